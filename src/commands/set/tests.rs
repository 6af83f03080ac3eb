//! Tests of the set commands.

use crate::commands::testing::TestServer;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

#[test]
fn members_come_and_go() {
    let mut server = TestServer::new();
    server.expect(&[
        ("SADD s 1 2 2", ":2\r\n"),
        ("SADD s 2", ":0\r\n"),
        ("OBJECT ENCODING s", "$6\r\nintset\r\n"),
        ("SMEMBERS s", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n"),
        ("SADD s a", ":1\r\n"),
        ("OBJECT ENCODING s", "$8\r\nlistpack\r\n"),
        ("SISMEMBER s a", ":1\r\n"),
        ("SISMEMBER none a", ":0\r\n"),
        ("SMISMEMBER s 1 x a", "*3\r\n:1\r\n:0\r\n:1\r\n"),
        ("SMISMEMBER none 1", "*1\r\n:0\r\n"),
        ("SCARD s", ":3\r\n"),
        ("SCARD none", ":0\r\n"),
        ("SREM s 1 x", ":1\r\n"),
        ("SREM none x", ":0\r\n"),
        ("SREM s 2 a", ":2\r\n"),
        ("EXISTS s", ":0\r\n"),
        ("SMEMBERS s", "*0\r\n"),
        ("SET text x", "+OK\r\n"),
        ("SADD text x", WRONG_TYPE),
        ("SCARD text", WRONG_TYPE),
        ("SADD s x", ":1\r\n"),
        ("GET s", WRONG_TYPE),
        ("TYPE s", "+set\r\n"),
    ]);
    assert_eq!(server.effects(), ["SADD s 1 2 2", "SADD s a", "SREM s 1 x", "SREM s 2 a", "SET text x", "SADD s x"]);
}

#[test]
fn a_move_is_told_key_by_key() {
    let mut server = TestServer::new();
    server.expect(&[("SADD a 1 2", ":2\r\n"), ("SADD b 2", ":1\r\n"), ("SET text x", "+OK\r\n")]);
    server.effects();
    server.expect(&[
        ("SMOVE a b 3", ":0\r\n"),
        ("SMOVE a a 1", ":1\r\n"),
        ("SMOVE none text 1", ":0\r\n"),
        ("SMOVE a text 9", WRONG_TYPE),
        ("SMOVE a b 1", ":1\r\n"),
        ("SMOVE a b 2", ":1\r\n"),
        ("EXISTS a", ":0\r\n"),
        ("SMEMBERS b", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n"),
    ]);
    assert_eq!(server.effects(), ["begin", "SREM a 1", "SADD b 1", "end", "SREM a 2"]);
}

#[test]
fn combinations_are_told_and_stored() {
    let mut server = TestServer::new();
    server.expect(&[
        ("SADD {t}a 1 2 3", ":3\r\n"),
        ("SADD {t}b 2 3 4", ":3\r\n"),
        ("SADD c 3 x", ":2\r\n"),
        ("SET text x", "+OK\r\n"),
        ("SINTER {t}a {t}b c", "*1\r\n$1\r\n3\r\n"),
        ("SINTER {t}a none", "*0\r\n"),
        ("SINTER none text", WRONG_TYPE),
        ("SDIFF {t}a {t}b none", "*1\r\n$1\r\n1\r\n"),
        ("SUNION {t}a", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n"),
        ("SINTERCARD 2 {t}a {t}b", ":2\r\n"),
        ("SINTERCARD 2 {t}a {t}b LIMIT 1", ":1\r\n"),
        ("SINTERCARD 2 {t}a {t}b LIMIT 0", ":2\r\n"),
        ("SINTERCARD 2 {t}a {t}b LIMIT -1", "-ERR LIMIT can't be negative\r\n"),
        ("SINTERCARD 0 {t}a", "-ERR numkeys should be greater than 0\r\n"),
        ("SINTERCARD 3 {t}a {t}b", "-ERR Number of keys can't be greater than number of args\r\n"),
        ("SINTERCARD 1 {t}a {t}b", "-ERR syntax error\r\n"),
    ]);
    server.effects();
    server.expect(&[
        ("SUNIONSTORE {t}d {t}a {t}b", ":4\r\n"),
        ("SINTERSTORE {t}d {t}d {t}a", ":3\r\n"),
        ("SDIFFSTORE {t}d {t}a none c", ":2\r\n"),
        ("SDIFFSTORE none {t}a text", WRONG_TYPE),
        ("SINTERSTORE {t}d none c", ":0\r\n"),
        ("SINTERSTORE {t}d none c", ":0\r\n"),
        ("EXISTS {t}d", ":0\r\n"),
    ]);
    let effects = server.effects();
    assert_eq!(effects[..2], ["SUNIONSTORE {t}d {t}a {t}b", "SINTERSTORE {t}d {t}d {t}a"]);
    assert!(effects[2].starts_with("RESTORE {t}d 0 "), "{effects:?}");
    assert_eq!(effects[3..], ["DEL {t}d"]);
}

#[test]
fn a_large_set_is_told_in_pieces() {
    let mut server = TestServer::new();
    let members: Vec<String> = (0..2000).map(|number| format!("member:{number}")).collect();
    server.run(&format!("SADD from {}", members.join(" ")));
    server.run("PEXPIREAT from 4000000000000");
    server.effects();
    server.expect(&[("RENAME from to", "+OK\r\n"), ("SCARD to", ":2000\r\n")]);
    let effects = server.effects();
    let mut again = TestServer::new();
    for effect in &effects {
        if effect != "begin" && effect != "end" {
            assert!(effect.len() < 40_000);
            assert!(!again.run(effect).starts_with('-'), "{effect}");
        }
    }
    assert!(effects.len() > 4);
    again.expect(&[
        ("SCARD to", ":2000\r\n"),
        ("PEXPIRETIME to", ":4000000000000\r\n"),
        ("SISMEMBER to member:7", ":1\r\n"),
    ]);
}

#[test]
fn what_was_drawn_is_told() {
    let mut server = TestServer::new();
    server.expect(&[
        ("SADD s a", ":1\r\n"),
        ("SRANDMEMBER s", "$1\r\na\r\n"),
        ("SRANDMEMBER s 5", "*1\r\n$1\r\na\r\n"),
        ("SRANDMEMBER s -2", "*2\r\n$1\r\na\r\n$1\r\na\r\n"),
        ("SRANDMEMBER none", "$-1\r\n"),
        ("SRANDMEMBER none 3", "*0\r\n"),
        ("SRANDMEMBER s -1099511627776", "-ERR value is out of range\r\n"),
        ("SRANDMEMBER s x", "-ERR value is not an integer or out of range\r\n"),
        ("SPOP s -1", "-ERR value is out of range, must be positive\r\n"),
        ("SPOP s 0", "*0\r\n"),
        ("SPOP s", "$1\r\na\r\n"),
        ("SPOP s", "$-1\r\n"),
        ("EXISTS s", ":0\r\n"),
        ("SADD s b", ":1\r\n"),
        ("SPOP s 7", "*1\r\n$1\r\nb\r\n"),
    ]);
    assert_eq!(server.effects(), ["SADD s a", "SREM s a", "SADD s b", "DEL s"]);
    for number in 0..5000 {
        server.run(&format!("SADD big {number}"));
    }
    server.effects();
    assert!(server.run("SPOP big 2500").starts_with("*2500\r\n"));
    let effects = server.effects();
    let told: usize =
        effects.iter().filter_map(|effect| effect.strip_prefix("SREM big ")).map(|e| e.split(' ').count()).sum();
    assert_eq!((told, effects.len()), (2500, 5));
    assert_eq!(server.run("SCARD big"), ":2500\r\n");
}

#[test]
fn scans_meet_every_member() {
    let mut server = TestServer::new();
    for number in 0..3000 {
        server.run(&format!("SADD big m{number}"));
    }
    let (mut cursor, mut seen) = ("0".to_owned(), std::collections::BTreeSet::new());
    loop {
        let reply = server.run(&format!("SSCAN big {cursor} COUNT 20"));
        let lines: Vec<&str> = reply.split("\r\n").collect();
        seen.extend(lines[4..].chunks_exact(2).map(|pair| pair[1].to_owned()));
        cursor = lines[2].to_owned();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 3000);
    server.expect(&[
        ("SADD few 1 12 3", ":3\r\n"),
        ("SSCAN few 0 MATCH 1* COUNT 1", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\n1\r\n$2\r\n12\r\n"),
        ("SSCAN none 0 NOSUCH", "*2\r\n$1\r\n0\r\n*0\r\n"),
        ("SSCAN few 0 COUNT 0", "-ERR syntax error\r\n"),
        ("SSCAN few 0 TYPE set", "-ERR syntax error\r\n"),
        ("SSCAN few x", "-ERR invalid cursor\r\n"),
    ]);
}
