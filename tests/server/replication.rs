//! Replication: a redis-server follows Cairn from a full copy on, comes back after its link broke, and ends with the same
//! data; and what the server tells about its replicas.
//!
//! CAIRN_REPLICATION_SEED replays the commands of a run, though not how their connections took turns.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread;

use crate::differential::any_command;
use crate::support::{
    Client, DataDirectory, PATIENCE, Random, Reply, Server, check, encode_command, escape, seed_from_environment,
    wait_until,
};

const OPTIONS: &[&str] = &[
    "--io-threads",
    "2",
    "--repl-diskless-sync-delay",
    "0",
    "--proto-max-bulk-len",
    "1mb",
    "--enable-debug-command",
    "yes",
];
const WRITERS: u64 = 2;
const COMMANDS: usize = 1500;

const SCRIPTS: &[&str] = &[
    "redis.call('SET',KEYS[1],ARGV[1]) redis.call('RPUSH',KEYS[2],ARGV[1],ARGV[1]) return redis.call('LLEN',KEYS[2])",
    "redis.call('SADD',KEYS[1],ARGV[1],1,2,3) return redis.call('SPOP',KEYS[1])",
    "redis.call('SELECT',3) redis.call('DEL',KEYS[1]) redis.call('HSET',KEYS[1],ARGV[1],1) return 1",
    "redis.call('INCRBYFLOAT',KEYS[1],1.25) redis.call('EXPIRE',KEYS[1],100000) return redis.call('GET',KEYS[1])",
];

fn script(random: &mut Random) -> Vec<Vec<u8>> {
    let mut key = || format!("scripted:{}", random.below(20));
    let keys = [key(), key()];
    let [one, other] = &keys;
    let words = ["EVAL", SCRIPTS[random.below(SCRIPTS.len())], "2", one, other, "argument"];
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// Whether redis-server 7.0 tells its replicas all that this command does.
fn is_told(command: &[Vec<u8>]) -> bool {
    // A value grows before the overflow makes the operation fail.
    let fails = |word: &Vec<u8>| word.eq_ignore_ascii_case(b"FAIL");
    !(command[0].eq_ignore_ascii_case(b"BITFIELD") && command.iter().any(fails))
}

/// Runs random commands of every kind, some of which fail.
pub fn write_at_random(client: &mut Client, random: &mut Random, count: usize) {
    write_if(client, random, count, |_| true);
}

/// The same to a redis-server that is followed.
pub fn write_what_is_told(client: &mut Client, random: &mut Random, count: usize) {
    write_if(client, random, count, is_told);
}

fn write_if(client: &mut Client, random: &mut Random, count: usize, is_wanted: impl Fn(&[Vec<u8>]) -> bool) {
    for _ in 0..count {
        let command = if random.chance(8) { script(random) } else { any_command(random) };
        // What it means where scores differ depends on how a server looks for it.
        if command[0].eq_ignore_ascii_case(b"ZREMRANGEBYLEX") || !is_wanted(&command) {
            continue;
        }
        client.send(&encode_command(&command));
        let reply = client.reply_within(PATIENCE);
        assert!(reply.is_some(), "no answer to {:?}", command.iter().map(|word| escape(word)).collect::<Vec<_>>());
    }
    // What is queued is of no use.
    client.run("DISCARD");
    client.run("SELECT 0");
}

fn replica_of(server: &Server) -> Server {
    let primary = format!("127.0.0.1 {}", server.port());
    Server::of_oracle(&["--replicaof", &primary, "--proto-max-bulk-len", "1mb"])
}

pub fn wait_for_link(replica: &mut Client) {
    wait_until("the replica follows", || replica.info("replication", "master_link_status") == "up");
}

pub fn wait_until_even(primary: &mut Client, replica: &mut Client) {
    wait_until("the replica has everything", || {
        primary.info("replication", "master_repl_offset") == replica.info("replication", "slave_repl_offset")
    });
}

/// What two servers should hold alike of a key.
type Description = fn(&mut Client, &[u8]) -> Vec<Reply>;

/// Compares a Cairn with what a redis-server saves, as Cairn reads it: two kinds of servers digest in different ways.
pub fn assert_alike(cairn: &mut Client, redis: &Server, description: Description) {
    assert_eq!(redis.client().run("SAVE"), Reply::ok());
    let directory = DataDirectory::new();
    fs::copy(redis.path("dump.rdb"), directory.path("dump.rdb")).expect("copy redis-server's snapshot");
    let loaded = Server::on(&directory, &["--enable-debug-command", "yes"]);
    assert_same(&contents(cairn, description), &contents(&mut loaded.client(), description));
}

/// What a server holds: by database and key.
pub type Contents = BTreeMap<(usize, Vec<u8>), Vec<Reply>>;

pub fn contents(client: &mut Client, description: Description) -> Contents {
    let mut contents = Contents::new();
    for database in 0..16 {
        client.run(&format!("SELECT {database}"));
        for key in client.run("KEYS *").items() {
            contents.insert((database, key.bytes().to_vec()), description(client, key.bytes()));
        }
    }
    contents
}

/// Each key that the two do not hold alike, with what they hold.
pub fn assert_same(one: &Contents, other: &Contents) {
    let keys: BTreeSet<_> = one.keys().chain(other.keys()).collect();
    let differing = keys.into_iter().filter(|key| one.get(*key) != other.get(*key));
    let line = |key: &(usize, Vec<u8>)| {
        let (database, name) = (key.0, escape(&key.1));
        format!("  database {database}, {name}: {:?}, {:?}", one.get(key), other.get(key))
    };
    let found: Vec<_> = differing.map(line).collect();
    assert!(found.is_empty(), "these keys differ:\n{}", found.join("\n"));
}

/// A key's expiry and digest, and what is easily read of it.
pub fn describe(client: &mut Client, key: &[u8]) -> Vec<Reply> {
    let mut ask = |before: &[&str], after: &[&str]| {
        let bytes = |word: &&str| word.as_bytes().to_vec();
        let words = before.iter().map(bytes).chain([key.to_vec()]).chain(after.iter().map(bytes));
        client.command(&words.collect::<Vec<_>>())
    };
    let expiry = ask(&["PEXPIRETIME"], &[]);
    let value = match ask(&["TYPE"], &[]).bytes() {
        b"string" => ask(&["GET"], &[]),
        b"zset" => {
            let members = ask(&["ZRANGE"], &["0", "-1", "WITHSCORES"]);
            let zero = |item: &Reply| if *item == Reply::bulk("-0") { Reply::bulk("0") } else { item.clone() };
            // Redis saves a small sorted set without the sign of zero.
            return [vec![expiry], members.items().iter().map(zero).collect()].concat();
        }
        _ => Reply::Null,
    };
    match value {
        // It holds a count that may be out of date, which is no part of the value.
        Reply::Bulk(value) if value.starts_with(b"HYLL") => vec![expiry, ask(&["PFCOUNT"], &[])],
        value => vec![expiry, ask(&["DEBUG", "DIGEST-VALUE"], &[]), value],
    }
}

/// A key without what redis-server 7.0 does not tell its replicas: how much of a stream a group has read, how often and
/// when a consumer was given again what it has, and consumers that came to be by a command that found nothing for them.
pub fn describe_what_is_told(client: &mut Client, key: &[u8]) -> Vec<Reply> {
    let mut command = |words: &[&[u8]]| client.command(&words.iter().map(|word| word.to_vec()).collect::<Vec<_>>());
    if command(&[b"TYPE", key]) != Reply::Status(b"stream".to_vec()) {
        return describe(client, key);
    }
    let pairs = |reply: &Reply, names: &[&str]| names.iter().map(|name| reply.field(name).clone()).collect::<Vec<_>>();
    let stream = command(&[b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"]);
    let mut told = vec![command(&[b"PEXPIRETIME", key])];
    told.extend(pairs(&stream, &["last-generated-id", "max-deleted-entry-id", "entries-added", "entries"]));
    for group in stream.field("groups").items() {
        told.extend(pairs(group, &["name", "last-delivered-id"]));
        let pending = group.field("pending").items();
        told.extend(pending.iter().flat_map(|entry| entry.items()[..2].to_vec()));
    }
    told
}

/// Writers go on while the copy is made, and while the replica comes back.
fn follows_under_writes(server: &Server) {
    let seed = seed_from_environment("CAIRN_REPLICATION_SEED");
    println!("CAIRN_REPLICATION_SEED={seed}");
    let mut primary = server.client();
    write_at_random(&mut primary, &mut Random::new(seed), COMMANDS);
    check(&mut primary, "FUNCTION LOAD \"#!lua name=first\\nredis.register_function('one', function() return 1 end)\"");
    let replica = replica_of(server);
    let mut follower = replica.client();
    let mut write = |round: u64| {
        thread::scope(|scope| {
            for writer in 1..=WRITERS {
                scope.spawn(move || {
                    let mut random = Random::new(seed + 100 * round + writer);
                    write_at_random(&mut server.client(), &mut random, COMMANDS);
                });
            }
            // Meanwhile the replica comes, or comes back.
            wait_for_link(&mut follower);
        });
    };
    write(1);
    check(
        &mut primary,
        "FUNCTION LOAD \"#!lua name=second\\nredis.register_function('two', function() return 2 end)\"",
    );
    assert_eq!(primary.run("CLIENT KILL TYPE replica"), Reply::Integer(1));
    write(2);
    wait_until("the replica is back", || primary.info("stats", "sync_partial_ok") == "1");
    wait_until_even(&mut primary, &mut follower);
    assert_eq!(primary.info("stats", "sync_full"), "1");
    let complaint = replica.log().lines().find(|line| line.contains("CRITICAL")).map(str::to_owned);
    assert_eq!(complaint, None, "the replica could not run what it was sent");
    assert_alike(&mut primary, &replica, describe);
    let libraries = |client: &mut Client| client.run("FUNCTION LIST WITHCODE").items().len();
    assert_eq!((libraries(&mut primary), libraries(&mut follower)), (2, 2));
}

#[test]
fn a_redis_replica_follows_a_server_with_a_log() {
    let directory = DataDirectory::new();
    let arguments = [OPTIONS, &["--repl-backlog-size", "64mb"]].concat();
    follows_under_writes(&Server::on(&directory, &arguments));
}

#[test]
fn a_redis_replica_follows_a_server_without_a_log() {
    let arguments = [OPTIONS, &["--repl-backlog-size", "64mb", "--repl-diskless-sync", "no"]].concat();
    follows_under_writes(&Server::with(&arguments));
}

#[test]
fn replicas_are_waited_for_and_told_about() {
    let server = Server::with(OPTIONS);
    let mut client = server.client();
    check(
        &mut client,
        r#"
        WAIT 1 50 => :0
        ROLE => ["master" :0 []]
        CONFIG SET min-replicas-to-write 1
        SET k v => -NOREPLICAS Not enough good replicas to write.
        EVAL "return redis.call('SET',KEYS[1],1)" 1 k => contains "NOREPLICAS Not enough"
        GET k => nil
        "#,
    );
    let replica = replica_of(&server);
    wait_until("the replica counts", || client.info("replication", "min_slaves_good_slaves") == "1");
    assert_eq!(client.run("SET k v"), Reply::ok());
    assert_eq!(client.run("WAIT 1 0"), Reply::Integer(1));
    assert_eq!(replica.client().run("GET k"), Reply::bulk("v"));
    assert_eq!(client.run("WAIT 2 50"), Reply::Integer(1));
    assert_eq!(client.info("replication", "connected_slaves"), "1");
    let line = client.info("replication", "slave0");
    assert!(line.starts_with(&format!("ip=127.0.0.1,port={},state=online,offset=", replica.port())), "{line}");
    let listed = client.run("CLIENT LIST TYPE replica");
    assert!(String::from_utf8_lossy(listed.bytes()).contains(" flags=S "), "{listed:?}");
    let mut replica = replica;
    replica.kill();
    wait_until("the replica is gone", || client.info("replication", "connected_slaves") == "0");
    check(&mut client, "SET k v => -NOREPLICAS Not enough good replicas to write.");
}

/// A replica that takes nothing is dropped once it is too far behind, and a smaller backlog makes it begin anew.
#[test]
fn a_replica_that_is_too_slow_is_dropped() {
    let options = ["--client-output-buffer-limit", "replica 2mb 0 0", "--repl-backlog-size", "16kb"];
    let server = Server::with(&[OPTIONS, &options].concat());
    let mut client = server.client();
    let replica = replica_of(&server);
    let mut follower = replica.client();
    wait_for_link(&mut follower);
    replica.signal("STOP");
    let value = "v".repeat(500_000);
    wait_until("the slow replica is dropped", || {
        assert_eq!(client.command(&["SET", "large", value.as_str()]), Reply::ok());
        client.info("replication", "connected_slaves") == "0"
    });
    replica.signal("CONT");
    wait_until("it begins anew", || client.info("stats", "sync_full") == "2");
    wait_for_link(&mut follower);
    assert_eq!(client.run("WAIT 1 0"), Reply::Integer(1));
    assert_eq!(client.info("stats", "sync_partial_err"), "1");
}
