//! MIGRATE: keys go to another server, one of ours or a redis-server, and are here or there for whoever looks.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::support::{Client, DataDirectory, Reply, Server, check, free_port, wait_until};

/// Puts a key of every type into a database.
fn fill(client: &mut Client) {
    for line in [
        "SET string words-and-words-and-words-and-words",
        "RPUSH list a b c",
        "SADD set 1 2 3",
        "ZADD zset 1 a 2.5 b",
        "HSET hash f v g w",
        "XADD stream 1-1 f v",
        "SETBIT bits 70000 1",
        "SET expires v PX 100000",
    ] {
        assert!(!client.run(line).is_error(), "{line}");
    }
}

const ALL: &str = "string list set zset hash stream bits expires";

#[test]
fn every_type_arrives_at_either_kind_of_server_and_comes_back() {
    let source = Server::start();
    for target in [Server::start(), Server::of_oracle(&[])] {
        let (mut here, mut there) = (source.client(), target.client());
        fill(&mut here);
        let digests = format!("DEBUG DIGEST-VALUE {ALL}");
        let before = here.run(&digests);
        let (port, back) = (target.port(), source.port());
        check(
            &mut here,
            &format!(
                "MIGRATE 127.0.0.1 {port} \"\" 0 5000 COPY KEYS {ALL} none => +OK
                 DBSIZE => :8
                 MIGRATE 127.0.0.1 {port} string 0 5000 => -ERR Target instance replied with error: BUSYKEY Target key name already exists.
                 EXISTS string => :1
                 MIGRATE 127.0.0.1 {port} \"\" 0 5000 REPLACE KEYS {ALL} none => +OK
                 DBSIZE => :0
                 MIGRATE 127.0.0.1 {port} string 0 5000 => +NOKEY"
            ),
        );
        assert!((1..=100_000).contains(&there.run("PTTL expires").integer()));
        assert_eq!(there.run("DBSIZE").integer(), 8);
        assert_eq!(there.run(&format!("MIGRATE 127.0.0.1 {back} \"\" 0 5000 KEYS {ALL}")), Reply::ok());
        assert_eq!(there.run("DBSIZE").integer(), 0);
        assert_eq!(here.run(&digests), before);
        here.run("FLUSHALL");
    }
}

#[test]
fn only_acknowledged_keys_go_and_the_log_knows() {
    let target = Server::start();
    let (mut there, port) = (target.client(), target.port());
    let directory = DataDirectory::new();
    let source = Server::on(&directory, &[]);
    let mut here = source.client();
    for key in ["a", "b", "c"] {
        here.run(&format!("SET {key} here"));
    }
    there.run("SELECT 7");
    there.run("SET b there");
    check(
        &mut here,
        &format!(
            "MIGRATE 127.0.0.1 {port} \"\" 7 5000 KEYS a b c => -ERR Target instance replied with error: BUSYKEY Target key name already exists.
             KEYS * => [\"b\"]
             MIGRATE 127.0.0.1 {port} b 99 5000 => -ERR Target instance replied with error: ERR DB index is out of range
             GET b => \"here\""
        ),
    );
    check(&mut there, "MGET a b c => [\"here\" \"there\" \"here\"]\nSELECT 0\nDBSIZE => :0");
    let source = source.killed_and_back(&directory, &[]);
    check(&mut source.client(), "KEYS * => [\"b\"]");
}

#[test]
fn in_transactions_and_scripts_it_answers_at_once() {
    let (source, target) = (Server::start(), Server::start());
    let (mut here, mut there, port) = (source.client(), target.client(), target.port());
    here.run("MSET a 1 b 2 c 3");
    check(
        &mut here,
        &format!(
            "MULTI
             MIGRATE 127.0.0.1 {port} a 0 5000
             EXISTS a
             MIGRATE 127.0.0.1 {port} a 0 5000
             EXEC => [+OK :0 +NOKEY]
             EVAL \"return redis.call('migrate', '127.0.0.1', ARGV[1], KEYS[1], 0, 5000)\" 1 b {port} => +OK
             EXISTS a b c => :1
             EVAL \"return redis.pcall('migrate', '127.0.0.1', 1, KEYS[1], 0, 5000)\" 1 c => contains \"IOERR error or timeout connecting\"
             EXISTS c => :1"
        ),
    );
    check(&mut there, "MGET a b c => [\"1\" \"2\" nil]");
}

#[test]
fn logging_in_there() {
    let (source, target) = (Server::start(), Server::with(&["--requirepass", "secret"]));
    let (mut here, mut there, port) = (source.client(), target.client(), target.port());
    check(&mut there, "AUTH secret => +OK\nACL SETUSER mover on >pass ~* +restore +select => +OK");
    for key in ["a", "b", "c"] {
        here.run(&format!("SET {key} 1"));
    }
    let mut other = source.client();
    other.run("MONITOR");
    check(
        &mut here,
        &format!(
            "MIGRATE 127.0.0.1 {port} a 1 5000 => contains \"ERR Target instance replied with error: NOAUTH\"
             MIGRATE 127.0.0.1 {port} a 1 5000 AUTH wrong => contains \"ERR Target instance replied with error: WRONGPASS\"
             MIGRATE 127.0.0.1 {port} a 1 5000 AUTH secret => +OK
             MIGRATE 127.0.0.1 {port} b 1 5000 AUTH2 mover pass => +OK
             MIGRATE 127.0.0.1 {port} c 1 5000 => contains \"ERR Target instance replied with error: NOAUTH\"
             MIGRATE 127.0.0.1 {port} c 1 5000 AUTH2 mover => -ERR syntax error
             EXISTS a b c => :1"
        ),
    );
    check(&mut there, "SELECT 1\nEXISTS a b c => :2");
    let shown = String::from_utf8(other.raw_until(b"\"EXISTS\" \"a\" \"b\" \"c\"\r\n")).expect("text");
    assert!(!shown.contains("secret") && !shown.contains("pass") && !shown.contains("wrong"), "{shown}");
    assert_eq!(shown.matches("(redacted)").count(), 4, "{shown}");
}

#[test]
fn nobody_there() {
    let source = Server::start();
    let mut here = source.client();
    let port = free_port();
    check(
        &mut here,
        &format!(
            "SET a 1
             MIGRATE 127.0.0.1 {port} a 0 500 => -IOERR error or timeout connecting to the client
             MIGRATE 127.0.0.1 nonsense a 0 500 => -IOERR error or timeout connecting to the client
             GET a => \"1\"
             INCR a => :2"
        ),
    );
}

/// A server that does what a test says: it takes one connection, and reads requests without a look at them.
struct Puppet {
    listener: TcpListener,
}

impl Puppet {
    fn start() -> Puppet {
        Puppet { listener: TcpListener::bind("127.0.0.1:0").expect("listen") }
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().expect("an address").port()
    }

    fn accept(&self) -> BufReader<TcpStream> {
        let (stream, _) = self.listener.accept().expect("accept");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        BufReader::new(stream)
    }
}

/// Reads one request.
fn request(stream: &mut BufReader<TcpStream>) -> Vec<Vec<u8>> {
    let number = |stream: &mut BufReader<TcpStream>| {
        let mut line = String::new();
        stream.read_line(&mut line).expect("a line");
        line.trim_start_matches(['*', '$']).trim_end().parse::<usize>().expect("a number")
    };
    let count = number(stream);
    let argument = |_| {
        let mut argument = vec![0; number(stream) + 2];
        stream.read_exact(&mut argument).expect("an argument");
        argument.truncate(argument.len() - 2);
        argument
    };
    (0..count).map(argument).collect()
}

fn say(stream: &mut BufReader<TcpStream>, text: &str) {
    stream.get_mut().write_all(text.as_bytes()).expect("write");
}

#[test]
fn a_key_on_its_way_is_waited_for_and_no_other() {
    let source = Server::with(&["--io-threads", "2"]);
    let puppet = Puppet::start();
    let (mut mover, mut here) = (source.client(), source.client());
    here.run("MSET moving 1 other 1");
    mover.post(&format!("MIGRATE 127.0.0.1 {} moving 0 10000", puppet.port()));
    let mut wire = puppet.accept();
    assert_eq!(request(&mut wire), [&b"SELECT"[..], b"0"]);
    say(&mut wire, "+OK\r\n");
    assert_eq!(request(&mut wire)[..2], [&b"RESTORE"[..], b"moving"]);

    // On both workers: whoever names the key waits, also with all keys or in a transaction.
    let lines = ["GET moving", "MGET other moving", "DBSIZE", "FLUSHDB"];
    let mut waiting: Vec<Client> = (0..4).map(|_| source.client()).collect();
    let mut transaction = source.client();
    check(&mut transaction, "MULTI\nINCR moving => +QUEUED\nPING => +QUEUED");
    transaction.post("EXEC");
    check(&mut here, "INCR other => :2\nKEYS * => _\nEVAL \"return redis.call('get', KEYS[1])\" 1 other => \"2\"");
    waiting[0].post(lines[0]);
    waiting[1].post(lines[1]);
    waiting[2].post("EVAL \"return redis.call('exists', KEYS[1])\" 1 moving");
    waiting[3].post("DEL moving");
    wait_until("they wait", || here.info("clients", "blocked_clients") == "6");
    say(&mut wire, "+OK\r\n");
    assert_eq!(mover.reply(), Reply::ok());
    assert_eq!(transaction.reply().items().len(), 2);
    assert_eq!(waiting[1].reply().items().len(), 2);
    for client in [0, 2, 3] {
        assert!(!waiting[client].reply().is_error());
    }
    wait_until("nobody waits", || here.info("clients", "blocked_clients") == "0");
}

#[test]
fn the_connection_is_kept_and_replaced_when_it_broke() {
    let source = Server::start();
    let puppet = Puppet::start();
    let mut here = source.client();
    here.run("MSET a 1 b 2 c 3");
    let call = |key: &str| format!("MIGRATE 127.0.0.1 {} {key} 3 2000", puppet.port());
    here.post(&call("a"));
    let mut wire = puppet.accept();
    request(&mut wire);
    say(&mut wire, "+OK\r\n");
    request(&mut wire);
    say(&mut wire, "+OK\r\n");
    assert_eq!(here.reply(), Reply::ok());
    assert_eq!(here.info("stats", "migrate_cached_sockets"), "1");
    // The database is selected.
    here.post(&call("b"));
    assert_eq!(request(&mut wire)[..2], [&b"RESTORE"[..], b"b"]);
    drop(wire);
    let mut wire = puppet.accept();
    assert_eq!(request(&mut wire), [&b"SELECT"[..], b"3"]);
    say(&mut wire, "+OK\r\n");
    request(&mut wire);
    // A second break is the client's to know.
    drop(wire);
    assert_eq!(here.reply().error(), "IOERR error or timeout reading to target instance");
    assert_eq!(here.run("GET b"), Reply::bulk("2"));
    // Silence is not tried again.
    here.post(&call("c").replace("2000", "100"));
    let mut wire = puppet.accept();
    assert_eq!(request(&mut wire), [&b"SELECT"[..], b"3"]);
    assert_eq!(here.reply().error(), "IOERR error or timeout reading to target instance");
    check(&mut here, "MGET a b c => [nil \"2\" \"3\"]");
    assert_eq!(here.info("stats", "migrate_cached_sockets"), "0");
}

#[test]
fn a_key_that_changes_on_its_way_is_sent_again() {
    let source = Server::start();
    let puppet = Puppet::start();
    let (mut mover, mut here, mut waiter) = (source.client(), source.client(), source.client());
    here.run("RPUSH moving a");
    // A served client is nobody's command: it reaches the key.
    waiter.post("BLMOVE feed moving LEFT RIGHT 0");
    wait_until("it waits", || here.info("clients", "blocked_clients") == "1");
    mover.post(&format!("MIGRATE 127.0.0.1 {} moving 0 10000", puppet.port()));
    let mut wire = puppet.accept();
    request(&mut wire);
    say(&mut wire, "+OK\r\n");
    let first = request(&mut wire);
    assert_eq!(first.len(), 4);
    here.run("RPUSH feed b");
    assert_eq!(waiter.reply(), Reply::bulk("b"));
    say(&mut wire, "+OK\r\n");
    let second = request(&mut wire);
    assert_eq!((&second[1], &second[4]), (&b"moving".to_vec(), &b"REPLACE".to_vec()));
    assert_ne!(first[3], second[3]);
    here.run("SET other 1");
    say(&mut wire, "+OK\r\n");
    assert_eq!(mover.reply(), Reply::ok());
    check(&mut here, "EXISTS moving => :0");
}
