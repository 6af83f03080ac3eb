//! Being a replica: of a redis-server and of another Cairn, under writes, over breaks of the link, a promotion and a crash;
//! what a replica refuses; and what becomes of its data when a primary sends nonsense.
//!
//! CAIRN_REPLICATION_SEED replays the commands of a run, though not how their connections took turns.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

use crate::replication::{
    assert_alike, assert_same, contents, describe, describe_what_is_told, wait_for_link, wait_until_even,
    write_at_random, write_what_is_told,
};
use crate::support::{Client, DataDirectory, Random, Reply, Server, check, seed_from_environment, wait_until};

const OPTIONS: &[&str] =
    &["--repl-diskless-sync-delay", "0", "--repl-backlog-size", "64mb", "--enable-debug-command", "yes"];
const COMMANDS: usize = 1500;

fn follow(replica: &mut Client, primary: &Server) {
    assert_eq!(replica.run(&format!("REPLICAOF 127.0.0.1 {}", primary.port())), Reply::ok());
}

fn run_seed() -> u64 {
    let seed = seed_from_environment("CAIRN_REPLICATION_SEED");
    println!("CAIRN_REPLICATION_SEED={seed}");
    seed
}

/// How often a primary gave a full copy, and the rest.
fn synchronizations(primary: &mut Client) -> (u64, u64) {
    let mut count = |field| primary.info("stats", field).parse().expect("a count");
    (count("sync_full"), count("sync_partial_ok"))
}

/// Writers go on while the copy is made, and while the replica comes back.
fn follows_redis(replica: &Server) {
    let seed = run_seed();
    let primary = Server::of_oracle(&["--repl-diskless-sync-delay", "0", "--repl-backlog-size", "64mb"]);
    let (mut writer, mut follower) = (primary.client(), replica.client());
    check(&mut follower, "SET old value");
    write_what_is_told(&mut writer, &mut Random::new(seed), COMMANDS);
    follow(&mut follower, &primary);
    let mut before = (0, 0);
    for round in 1..=2 {
        thread::scope(|scope| {
            scope.spawn(|| write_what_is_told(&mut primary.client(), &mut Random::new(seed + round), COMMANDS));
            wait_for_link(&mut follower);
        });
        if round == 1 {
            // A flush ends the process that writes a copy, so that there may be several.
            wait_until_even(&mut writer, &mut follower);
            before = synchronizations(&mut writer);
            assert_eq!(writer.run("CLIENT KILL TYPE replica"), Reply::Integer(1));
        }
    }
    wait_until("the replica is back", || synchronizations(&mut writer).1 > before.1);
    wait_until_even(&mut writer, &mut follower);
    assert_eq!(synchronizations(&mut writer).0, before.0);
    assert_eq!(follower.run("EXISTS old"), Reply::Integer(0));
    assert_alike(&mut follower, &primary, describe_what_is_told);
    let complaint = replica.log().lines().find(|line| line.contains("fails here")).map(str::to_owned);
    assert_eq!(complaint, None, "the replica could not run what it was sent");
}

#[test]
fn a_redis_primary_is_followed() {
    follows_redis(&Server::with(OPTIONS));
}

#[test]
fn a_redis_primary_is_followed_with_a_log() {
    let directory = DataDirectory::new();
    let mut replica = Server::on(&directory, OPTIONS);
    follows_redis(&replica);
    let mut before = replica.client();
    assert_eq!(before.run("REPLICAOF NO ONE"), Reply::ok());
    let (held, digest) = (contents(&mut before, describe), before.run("DEBUG DIGEST"));
    replica.kill();
    let back = Server::on(&directory, OPTIONS);
    assert_same(&contents(&mut back.client(), describe), &held);
    assert_eq!(back.client().run("DEBUG DIGEST"), digest, "the log has what the replica had");
}

/// A chain of three: the last follows the middle one, which is promoted when the first is gone.
#[test]
fn a_promoted_replica_s_replicas_go_on_without_a_copy() {
    let seed = run_seed();
    let [mut first, middle, last] = [(); 3].map(|()| Server::with(OPTIONS));
    let [mut at_first, mut at_middle, mut at_last] = [&first, &middle, &last].map(Server::client);
    let library = "#!lua name=one\nredis.register_function{function_name='one', flags={'no-writes'}, callback=function() \
                   return 1 end}";
    assert_eq!(at_first.command(&["FUNCTION", "LOAD", library]), Reply::bulk("one"));
    follow(&mut at_middle, &first);
    wait_for_link(&mut at_middle);
    follow(&mut at_last, &middle);
    wait_for_link(&mut at_last);
    write_at_random(&mut at_first, &mut Random::new(seed), COMMANDS);
    at_first.run("SELECT 5");
    assert_eq!(at_first.run("SET k v"), Reply::ok());
    wait_until_even(&mut at_first, &mut at_middle);
    wait_until_even(&mut at_middle, &mut at_last);
    for follower in [&mut at_middle, &mut at_last] {
        assert_same(&contents(&mut at_first, describe), &contents(follower, describe));
        assert_eq!(follower.run("FCALL one 0"), Reply::Integer(1));
    }
    let id = at_first.info("replication", "master_replid");
    assert_eq!(at_last.info("replication", "master_replid"), id);
    first.kill();
    wait_until("the link is down", || at_middle.info("replication", "master_link_status") == "down");
    assert_eq!(at_middle.run("REPLICAOF NO ONE"), Reply::ok());
    assert_eq!(at_middle.info("replication", "master_replid2"), id);
    at_middle.run("SELECT 5");
    assert_eq!(at_middle.run("SET k w"), Reply::ok());
    wait_until("the last one is back", || at_middle.info("stats", "sync_partial_ok") == "1");
    assert_eq!(at_middle.run("WAIT 1 0"), Reply::Integer(1));
    at_last.run("SELECT 5");
    assert_eq!(at_last.run("GET k"), Reply::bulk("w"));
    assert_eq!(at_middle.info("stats", "sync_full"), "1");
    assert_eq!(at_last.info("replication", "master_replid"), at_middle.info("replication", "master_replid"));
}

#[test]
fn what_a_replica_does_and_what_it_refuses() {
    let [primary, replica] = [(); 2].map(|()| Server::with(OPTIONS));
    let (mut at_primary, mut client) = (primary.client(), replica.client());
    check(
        &mut client,
        r#"
        REPLICAOF NO ONE => +OK
        REPLICAOF host 70000 => -ERR Invalid master port
        REPLICAOF host x => -ERR Invalid master port
        SET own 1
        REPLICAOF 127.0.0.1 1 => +OK
        REPLICAOF 127.0.0.1 1
        CONFIG GET replicaof => ["replicaof" "127.0.0.1 1"]
        SET k v => -READONLY You can't write against a read only replica.
        EVAL "return redis.call('SET',KEYS[1],1)" 1 k => contains "READONLY You can't write"
        GET own => "1"
        WAIT 1 0 => contains "cannot be used with replica instances"
        WAITAOF 0 1 0 => contains "cannot be used with replica instances"
        FAILOVER => -ERR FAILOVER is not valid when server is a replica.
        PSYNC ? -1 => -NOMASTERLINK Can't SYNC while not connected with my master
        CONFIG SET replica-serve-stale-data no
        GET own => -MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.
        PING => -MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.
        MULTI => +OK
        "#,
    );
    // Waiting for keys makes no sense where nobody may take them.
    let blocked = Server::with(OPTIONS);
    let mut waiting = blocked.client();
    waiting.post("BLPOP queue 0");
    let mut other = blocked.client();
    wait_until("it waits", || other.info("clients", "blocked_clients") == "1");
    follow(&mut other, &primary);
    assert!(waiting.reply().error().starts_with("UNBLOCKED "), "it is told");
    assert!(waiting.is_closed());

    let mut client = replica.client();
    follow(&mut client, &primary);
    wait_for_link(&mut client);
    assert_eq!(client.run("GET own"), Reply::Null);
    assert_eq!(client.run("ROLE").items()[0], Reply::bulk("slave"));
    let listed = client.run("CLIENT LIST TYPE master");
    assert!(String::from_utf8_lossy(listed.bytes()).contains(" flags=M "), "{listed:?}");

    // Keys go when the primary says so, and are not seen before.
    check(&mut at_primary, "DEBUG SET-ACTIVE-EXPIRE 0");
    check(&mut at_primary, "SET short v PX 1");
    // Both of its replicas.
    assert_eq!(at_primary.run("WAIT 2 0"), Reply::Integer(2));
    wait_until("the key is over", || client.run("GET short") == Reply::Null);
    assert_eq!(client.run("DBSIZE"), Reply::Integer(1));
    assert_eq!(at_primary.run("GET short"), Reply::Null);
    wait_until("it is gone", || client.run("DBSIZE") == Reply::Integer(0));

    // Clients that may write see to what they wrote.
    check(&mut client, "CONFIG SET replica-read-only no");
    check(&mut client, "SET mine v PX 1");
    wait_until("it is gone as well", || client.run("DBSIZE") == Reply::Integer(0));
}

/// A primary of a few words: it answers the handshake, then sends what it is given.
fn fake_primary(listener: &TcpListener, copy: &[u8]) {
    let (socket, _) = listener.accept().expect("a replica comes");
    let mut writer = socket.try_clone().expect("clone the socket");
    let mut reader = BufReader::new(socket);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).is_ok_and(|count| count == 0) {
            return;
        }
        match line.trim_end() {
            "PING" => writer.write_all(b"+PONG\r\n").expect("answer"),
            "REPLCONF" => writer.write_all(b"+OK\r\n").expect("answer"),
            "PSYNC" => break,
            _ => {}
        }
    }
    // The replica may hang up in the middle.
    let _ = write!(writer, "+FULLRESYNC {} 1\r\n", "a".repeat(40));
    let _ = writer.write_all(copy);
    let _ = writer.flush();
    line.clear();
    while reader.read_line(&mut line).is_ok_and(|count| count > 0) {}
}

#[test]
fn nonsense_of_a_primary_costs_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let port = listener.local_addr().expect("an address").port();
    let source = Server::with(OPTIONS);
    let mut client = source.client();
    check(&mut client, "SET k v");
    assert_eq!(client.run("SAVE"), Reply::ok());
    let whole = fs::read(source.path("dump.rdb")).expect("read the snapshot");
    let mut damaged = whole.clone();
    let at = damaged.len() - 1;
    damaged[at] ^= 1;
    let framed = |bytes: &[u8]| [format!("${}\r\n", bytes.len()).into_bytes(), bytes.to_vec()].concat();

    let replica = Server::with(OPTIONS);
    let mut follower = replica.client();
    check(&mut follower, "SET own 1");
    assert_eq!(follower.run(&format!("REPLICAOF 127.0.0.1 {port}")), Reply::ok());
    for copy in [b"hello\r\n".to_vec(), framed(b"REDIS0011"), framed(&damaged), framed(b""), b"-ERR no\r\n".to_vec()] {
        let wait = thread::scope(|scope| {
            let primary = scope.spawn(|| fake_primary(&listener, &copy));
            primary.join()
        });
        wait.expect("the conversation ends");
        assert_eq!(follower.run("GET own"), Reply::bulk("1"), "what was there stays");
    }
    // A whole one, and nonsense behind it.
    let stream =
        [framed(&whole), b"*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n*1\r\n$x\r\n".to_vec()]
            .concat();
    fake_primary(&listener, &stream);
    assert_eq!(follower.run("KEYS *").items().len(), 2);
    assert_eq!(follower.run("MGET k a"), Reply::Array(vec![Reply::bulk("v"), Reply::bulk("b")]));
    assert_eq!(follower.run("REPLICAOF NO ONE"), Reply::ok());
    assert_eq!(follower.run("SET own 2"), Reply::ok());
}
