//! Sorted sets through their commands.

use crate::commands::testing::TestServer;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

#[test]
fn adding_obeys_its_options() {
    let mut server = TestServer::new();
    server.expect(&[
        ("ZADD z XX 1 a", ":0\r\n"),
        ("EXISTS z", ":0\r\n"),
        ("ZADD z 1 a 2 b 1 a", ":2\r\n"),
        ("ZADD z NX 5 a 3 c", ":1\r\n"),
        ("ZADD z XX CH 5 a 3 d", ":1\r\n"),
        ("ZADD z GT CH 4 a 3 b", ":1\r\n"),
        ("ZADD z LT CH 4 a 9 b", ":1\r\n"),
        ("ZADD z INCR 0.5 a", "$3\r\n4.5\r\n"),
        ("ZADD z NX INCR 1 a", "$-1\r\n"),
        ("ZINCRBY z -inf c", "$4\r\n-inf\r\n"),
        ("ZINCRBY z inf c", "-ERR resulting score is not a number (NaN)\r\n"),
        ("ZADD z NX XX 1 a", "-ERR XX and NX options at the same time are not compatible\r\n"),
        ("ZADD z GT LT 1 a", "-ERR GT, LT, and/or NX options at the same time are not compatible\r\n"),
        ("ZADD z INCR 1 a 2 b", "-ERR INCR option supports a single increment-element pair\r\n"),
        ("ZADD z 1 a x b", "-ERR value is not a valid float\r\n"),
        ("ZADD z nan a", "-ERR value is not a valid float\r\n"),
        ("ZADD z 1 a 2", "-ERR syntax error\r\n"),
        ("ZREM z none b b", ":1\r\n"),
        ("ZREM z a c", ":2\r\n"),
        ("EXISTS z", ":0\r\n"),
        ("SET s x", "+OK\r\n"),
        ("ZADD s 1 a", WRONG_TYPE),
        ("ZCARD s", WRONG_TYPE),
    ]);
    assert_eq!(
        server.effects(),
        [
            "ZADD z 1 a 2 b 1 a",
            "ZADD z NX 5 a 3 c",
            "ZADD z XX CH 5 a 3 d",
            "ZADD z GT CH 4 a 3 b",
            "ZADD z LT CH 4 a 9 b",
            "ZADD z INCR 0.5 a",
            "ZINCRBY z -inf c",
            "ZREM z none b b",
            "ZREM z a c",
            "SET s x"
        ]
    );
}

#[test]
fn ranges_of_all_kinds() {
    let mut server = TestServer::new();
    server.expect(&[
        ("ZADD z 1 a 2 b 3 c 4 d", ":4\r\n"),
        ("ZRANGE z 1 2", "*2\r\n$1\r\nb\r\n$1\r\nc\r\n"),
        ("ZRANGE z -2 -1 REV", "*2\r\n$1\r\nb\r\n$1\r\na\r\n"),
        ("ZRANGE z 0 -9", "*0\r\n"),
        ("ZRANGE z 3 9 WITHSCORES", "*2\r\n$1\r\nd\r\n$1\r\n4\r\n"),
        ("ZRANGE z (1 3 BYSCORE LIMIT 1 5", "*1\r\n$1\r\nc\r\n"),
        ("ZRANGE z 3 -inf BYSCORE REV LIMIT 0 1", "*1\r\n$1\r\nc\r\n"),
        ("ZRANGEBYSCORE z 2 3 LIMIT -1 1", "*0\r\n"),
        ("ZRANGEBYSCORE z 2 3 LIMIT 0 -1", "*2\r\n$1\r\nb\r\n$1\r\nc\r\n"),
        ("ZREVRANGEBYLEX z [c (a", "*2\r\n$1\r\nc\r\n$1\r\nb\r\n"),
        ("ZRANGE z [b + BYLEX LIMIT 2 1", "*1\r\n$1\r\nd\r\n"),
        ("ZCOUNT z (1 +inf", ":3\r\n"),
        ("ZLEXCOUNT z - (c", ":2\r\n"),
        (
            "ZRANGE z 0 1 LIMIT 0 1",
            "-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX\r\n",
        ),
        ("ZRANGE z - + BYLEX WITHSCORES", "-ERR syntax error, WITHSCORES not supported in combination with BYLEX\r\n"),
        ("ZRANGE z a b BYSCORE", "-ERR min or max is not a float\r\n"),
        ("ZRANGE z a b BYLEX", "-ERR min or max not valid string range item\r\n"),
        ("ZREVRANGE z 0 1 REV", "-ERR syntax error\r\n"),
        ("ZRANK z c", ":2\r\n"),
        ("ZREVRANK z c WITHSCORE", "*2\r\n:1\r\n$1\r\n3\r\n"),
        ("ZRANK z none WITHSCORE", "*-1\r\n"),
        ("ZMSCORE z a none", "*2\r\n$1\r\n1\r\n$-1\r\n"),
        ("ZREMRANGEBYRANK z -1 -1", ":1\r\n"),
        ("ZREMRANGEBYSCORE z 9 10", ":0\r\n"),
        ("ZREMRANGEBYLEX z [a (c", ":2\r\n"),
        ("ZRANGE z 0 -1", "*1\r\n$1\r\nc\r\n"),
    ]);
}

#[test]
fn pairs_in_the_third_protocol() {
    let mut server = TestServer::new();
    server.run("HELLO 3");
    server.expect(&[
        ("ZADD z 1 a 1.5 b", ":2\r\n"),
        ("ZRANGE z 0 -1 WITHSCORES", "*2\r\n*2\r\n$1\r\na\r\n,1\r\n*2\r\n$1\r\nb\r\n,1.5\r\n"),
        ("ZPOPMIN z", "*2\r\n$1\r\na\r\n,1\r\n"),
        ("ZPOPMAX z 5", "*1\r\n*2\r\n$1\r\nb\r\n,1.5\r\n"),
        ("ZMPOP 1 z MIN", "_\r\n"),
    ]);
}

#[test]
fn pops_tell_how_many_they_took() {
    let mut server = TestServer::new();
    server.expect(&[
        ("ZADD z 1 a 2 b 3 c 4 d", ":4\r\n"),
        ("ZPOPMIN z 0", "*0\r\n"),
        ("ZPOPMIN z", "*2\r\n$1\r\na\r\n$1\r\n1\r\n"),
        ("ZPOPMAX z -1", "-ERR value is out of range, must be positive\r\n"),
        (
            "ZMPOP 2 none z MAX COUNT 2",
            "*2\r\n$1\r\nz\r\n*2\r\n*2\r\n$1\r\nd\r\n$1\r\n4\r\n*2\r\n$1\r\nc\r\n$1\r\n3\r\n",
        ),
        ("BZPOPMAX none z 0", "*3\r\n$1\r\nz\r\n$1\r\nb\r\n$1\r\n2\r\n"),
        ("ZMPOP 1 z MIN", "*-1\r\n"),
        ("ZMPOP 0 z MIN", "-ERR numkeys should be greater than 0\r\n"),
        ("ZMPOP 1 z MIN COUNT 0", "-ERR count should be greater than 0\r\n"),
        ("ZMPOP 2 z MIN", "-ERR syntax error\r\n"),
    ]);
    assert_eq!(server.effects(), ["ZADD z 1 a 2 b 3 c 4 d", "ZPOPMIN z 1", "ZPOPMAX z 2", "ZPOPMAX z 1"]);
}

#[test]
fn who_waits_is_served_by_the_one_who_adds() {
    let mut server = TestServer::new();
    server.expect(&[("SET other x", "+OK\r\n"), ("DEL other", ":1\r\n")]);
    server.effects();
    assert_eq!(server.run_as(1, "BZPOPMIN none z 0"), "");
    assert_eq!(server.run_as(2, "BZMPOP 0 2 none z MAX COUNT 9"), "");
    server.expect(&[("SET none text", "+OK\r\n"), ("ZADD z 1 a 2 b 3 c", ":3\r\n"), ("EXISTS z", ":0\r\n")]);
    assert_eq!(server.answer(1).as_deref(), Some("*3\r\n$1\r\nz\r\n$1\r\na\r\n$1\r\n1\r\n"));
    let pairs = "*2\r\n$1\r\nz\r\n*2\r\n*2\r\n$1\r\nc\r\n$1\r\n3\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n";
    assert_eq!(server.answer(2).as_deref(), Some(pairs));
    assert_eq!(server.effects(), ["SET none text", "ZADD z 1 a 2 b 3 c", "ZPOPMIN z 1", "ZPOPMAX z 2"]);
}

#[test]
fn combinations_tell_and_store() {
    let mut server = TestServer::new();
    server.expect(&[
        ("ZADD {t}a 1 x 2 y", ":2\r\n"),
        ("ZADD {t}b 10 y 20 z", ":2\r\n"),
        ("SADD {t}s y q", ":2\r\n"),
        (
            "ZUNION 2 {t}a {t}b WEIGHTS 2 1 WITHSCORES",
            "*6\r\n$1\r\nx\r\n$1\r\n2\r\n$1\r\ny\r\n$2\r\n14\r\n$1\r\nz\r\n$2\r\n20\r\n",
        ),
        ("ZINTER 3 {t}a {t}b {t}s AGGREGATE MAX WITHSCORES", "*2\r\n$1\r\ny\r\n$2\r\n10\r\n"),
        ("ZDIFF 2 {t}a {t}s WITHSCORES", "*2\r\n$1\r\nx\r\n$1\r\n1\r\n"),
        ("ZDIFF 2 {t}a {t}a", "*0\r\n"),
        ("ZINTERCARD 2 {t}a {t}b LIMIT 1", ":1\r\n"),
        ("ZINTERCARD 2 {t}a {t}b LIMIT -1", "-ERR LIMIT can't be negative\r\n"),
        ("ZUNION 0 {t}a", "-ERR at least 1 input key is needed for 'zunion' command\r\n"),
        ("ZUNION 3 {t}a {t}b", "-ERR syntax error\r\n"),
        ("ZUNION 1 {t}a WEIGHTS x", "-ERR weight value is not a float\r\n"),
        ("ZDIFF 1 {t}a WEIGHTS 1", "-ERR syntax error\r\n"),
        ("ZUNIONSTORE {t}a 2 {t}a {t}b", ":3\r\n"),
        ("ZSCORE {t}a y", "$2\r\n12\r\n"),
        ("ZRANGESTORE {t}d {t}a 0 0 REV", ":1\r\n"),
        ("ZRANGE {t}d 0 -1", "*1\r\n$1\r\nz\r\n"),
        ("ZINTERSTORE {t}d 2 {t}d none{t}", ":0\r\n"),
        ("EXISTS {t}d", ":0\r\n"),
    ]);
    let effects = server.effects();
    assert!(effects[3].starts_with("RESTORE {t}a 0 ") && effects[4].starts_with("RESTORE {t}d 0 "), "{effects:?}");
    assert_eq!(effects[5], "DEL {t}d");
}

#[test]
fn a_stored_large_set_is_told_in_pieces_of_its_own_slot() {
    let mut server = TestServer::new();
    for number in 0..2000 {
        server.run(&format!("ZADD a {number}.5 member:{number}"));
    }
    server.effects();
    server.expect(&[("ZUNIONSTORE b 1 a", ":2000\r\n"), ("OBJECT ENCODING b", "$8\r\nskiplist\r\n")]);
    let effects = server.effects();
    assert_eq!(effects[..2], ["begin", "DEL b"]);
    assert!(effects.len() > 4 && effects[2].starts_with("ZADD b 0.5 member:0 1.5 member:1 "));
    server.expect(&[("DEL b", ":1\r\n")]);
    effects[1..effects.len() - 1].iter().for_each(|effect| drop(server.run(effect)));
    server.expect(&[("ZCARD b", ":2000\r\n"), ("ZSCORE b member:1999", "$6\r\n1999.5\r\n")]);
}

#[test]
fn edges_of_scores_and_ranks() {
    TestServer::new().expect(&[
        ("ZADD {t}one 1 x", ":1\r\n"),
        ("ZADD {t}infinite inf x", ":1\r\n"),
        ("ZINTER 2 {t}one {t}infinite WEIGHTS 1 0 AGGREGATE MIN WITHSCORES", "*2\r\n$1\r\nx\r\n$1\r\n1\r\n"),
        ("ZINTER 2 {t}one {t}infinite WEIGHTS 1 0 WITHSCORES", "*2\r\n$1\r\nx\r\n$1\r\n0\r\n"),
        ("ZUNION 2 {t}one {t}infinite WEIGHTS -0 0 AGGREGATE MIN WITHSCORES", "*2\r\n$1\r\nx\r\n$2\r\n-0\r\n"),
        ("ZADD packed -0 x", ":1\r\n"),
        ("ZSCORE packed x", "$1\r\n0\r\n"),
        ("CONFIG SET zset-max-listpack-entries 0", "+OK\r\n"),
        ("ZADD large -0 x", ":1\r\n"),
        ("ZSCORE large x", "$2\r\n-0\r\n"),
        ("ZRANGESTORE {t}d {t}one 0 0 REV LIMIT 1 -1", ":1\r\n"),
    ]);
}

#[test]
fn random_members_and_scans() {
    let mut server = TestServer::new();
    for number in 0..300 {
        server.run(&format!("ZADD large {number} m{number}"));
    }
    server.expect(&[
        ("ZADD small 1 a 2 b", ":2\r\n"),
        ("ZSCAN small 0", "*2\r\n$1\r\n0\r\n*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n"),
        ("ZSCAN small 0 MATCH b*", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n"),
        ("ZSCAN none 0", "*2\r\n$1\r\n0\r\n*0\r\n"),
        ("ZSCAN small x", "-ERR invalid cursor\r\n"),
        ("ZRANDMEMBER none", "$-1\r\n"),
        ("ZRANDMEMBER none 3", "*0\r\n"),
        ("ZRANDMEMBER small 5", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("ZRANDMEMBER small -1099511627776", "-ERR value is out of range\r\n"),
        (
            "ZRANDMEMBER small -9223372036854775808 JUNK",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807\r\n",
        ),
        ("ZRANDMEMBER small 5000000000000000000 WITHSCORES", "-ERR value is out of range\r\n"),
    ]);
    for (count, lines) in [(10, 21), (-10, 21), (250, 501), (300, 601), (1000, 601)] {
        let reply = server.run(&format!("ZRANDMEMBER large {count}"));
        let members: Vec<&str> = reply.lines().collect();
        assert_eq!(members.len(), lines);
        let distinct: std::collections::BTreeSet<_> = members.iter().filter(|line| line.starts_with('m')).collect();
        assert!(count < 0 || distinct.len() == lines / 2);
    }
    let (mut cursor, mut seen) = ("0".to_owned(), std::collections::BTreeSet::new());
    loop {
        let reply = server.run(&format!("ZSCAN large {cursor} COUNT 20"));
        let lines: Vec<&str> = reply.lines().collect();
        seen.extend(lines.iter().filter(|line| line.starts_with('m')).map(|line| (*line).to_owned()));
        cursor = lines[2].to_owned();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 300);
}
