//! Tests of the handlers of hashes: replies and effects.

use super::testing::TestServer;

#[test]
fn fields_are_set_read_and_removed() {
    let mut server = TestServer::new();
    server.expect(&[
        ("HSET h a 1 b two a 3", ":2\r\n"),
        ("HGET h a", "$1\r\n3\r\n"),
        ("HSETNX h a 4", ":0\r\n"),
        ("HMGET h b none", "*2\r\n$3\r\ntwo\r\n$-1\r\n"),
        ("HINCRBY h a -5", ":-2\r\n"),
        ("HINCRBY h b 1", "-ERR hash value is not an integer\r\n"),
        ("HINCRBY h a 9223372036854775807", ":9223372036854775805\r\n"),
        ("HINCRBY h a 3", "-ERR increment or decrement would overflow\r\n"),
        ("HINCRBYFLOAT h b 1", "-ERR hash value is not a float\r\n"),
        ("HINCRBYFLOAT new f 0.5", "$3\r\n0.5\r\n"),
        ("HSTRLEN h a", ":19\r\n"),
        ("HSET h a", "-ERR wrong number of arguments for 'hset' command\r\n"),
        ("HDEL h a b none", ":2\r\n"),
        ("EXISTS h", ":0\r\n"),
        ("HGETALL h", "*0\r\n"),
        ("SET s v", "+OK\r\n"),
        ("HGET s f", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
    ]);
    let effects = server.effects();
    assert!(effects.contains(&"HSET new f 0.5".to_owned()), "{effects:?}");
    assert!(effects.contains(&"HDEL h a b none".to_owned()));
}

#[test]
fn expiries_are_set_told_and_taken_away() {
    let mut server = TestServer::new();
    server.expect(&[
        ("HSET h a 1 b 2 c 3", ":3\r\n"),
        ("HPEXPIREAT h 4000000000000 FIELDS 2 a none", "*2\r\n:1\r\n:-2\r\n"),
        ("HPEXPIREAT h 4000000000001 NX FIELDS 2 a b", "*2\r\n:0\r\n:1\r\n"),
        ("HPEXPIREAT h 4000000000000 GT FIELDS 1 b", "*1\r\n:0\r\n"),
        ("OBJECT ENCODING h", "$10\r\nlistpackex\r\n"),
        ("HEXPIRETIME h FIELDS 3 a b c", "*3\r\n:4000000000\r\n:4000000001\r\n:-1\r\n"),
        ("HINCRBYFLOAT h a 1", "$1\r\n2\r\n"),
        ("HPEXPIRETIME h FIELDS 1 a", "*1\r\n:4000000000000\r\n"),
        ("HPERSIST h FIELDS 2 a c", "*2\r\n:1\r\n:-1\r\n"),
        ("HEXPIREAT h 1 FIELDS 1 c", "*1\r\n:2\r\n"),
        ("HSETEX h FNX PXAT 4000000000000 FIELDS 1 a 5", ":0\r\n"),
        ("HSETEX h FXX PXAT 4000000000000 FIELDS 1 a 5", ":1\r\n"),
        ("HGETEX h PERSIST FIELDS 1 a", "*1\r\n$1\r\n5\r\n"),
        ("HGETDEL h FIELDS 2 a none", "*2\r\n$1\r\n5\r\n$-1\r\n"),
        ("HLEN h", ":1\r\n"),
        ("HEXPIRE h -1 FIELDS 1 b", "-ERR invalid expire time, must be >= 0\r\n"),
        ("HSETEX h FIELDS 2 a 1", "-ERR wrong number of arguments for 'hsetex' command\r\n"),
    ]);
    assert_eq!(
        server.effects(),
        [
            "HSET h a 1 b 2 c 3",
            "HPEXPIREAT h 4000000000000 FIELDS 1 a",
            "HPEXPIREAT h 4000000000001 FIELDS 1 b",
            "HSETEX h KEEPTTL FIELDS 1 a 2",
            "HPERSIST h FIELDS 1 a",
            "HDEL h c",
            "HSETEX h PXAT 4000000000000 FIELDS 1 a 5",
            "HPERSIST h FIELDS 1 a",
            "HDEL h a",
        ]
    );
}

/// A command that names a field that has expired removes it first, and tells that.
#[test]
fn expired_fields_are_gone_before_what_meets_them() {
    let mut server = TestServer::new();
    for limit in ["512", "0"] {
        server.run(&format!("CONFIG SET hash-max-listpack-entries {limit}"));
        server.run("HSET h a 1 b 2 c 3 d 4");
        server.run("HPEXPIRE h 1 FIELDS 3 a b c");
        std::thread::sleep(std::time::Duration::from_millis(10));
        server.effects();
        server.expect(&[
            ("HKEYS h", "*1\r\n$1\r\nd\r\n"),
            ("HLEN h", ":4\r\n"),
            ("HGET h a", "$-1\r\n"),
            ("HINCRBY h b 5", ":5\r\n"),
            ("HSETNX h c 6", ":1\r\n"),
        ]);
        let effects = server.effects();
        assert_eq!(effects[..2], ["HDEL h a", "begin"]);
        assert_eq!(effects[2..], ["HDEL h b", "HINCRBY h b 5", "end", "begin", "HDEL h c", "HSETNX h c 6", "end"]);
        server.run("DEL h");
    }
}
