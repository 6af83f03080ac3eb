//! Commands on keys of any type: existence, expiry, renaming, copying, moving, enumerating, inspecting.

use std::time::Duration;

use crate::support::{Protocol, Reply, Server, check};

#[test]
fn existence() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        MSET a 1 b 2 c 3 d 4                         => +OK
        EXISTS a                                     => :1
        EXISTS a b a missing                         => :3
        EXISTS                                       => -ERR wrong number of arguments for 'exists' command
        TOUCH a b missing a                          => :3
        TOUCH                                        => -ERR wrong number of arguments for 'touch' command
        DEL a missing                                => :1
        DEL a                                        => :0
        DEL b c b                                    => :2
        DEL                                          => -ERR wrong number of arguments for 'del' command
        UNLINK d d missing                           => :1
        UNLINK                                       => -ERR wrong number of arguments for 'unlink' command
        TYPE a                                       => +none
        SET a x                                      => +OK
        TYPE a                                       => +string
        TYPE                                         => -ERR wrong number of arguments for 'type' command
        DBSIZE                                       => :1
        DBSIZE x                                     => -ERR wrong number of arguments for 'dbsize' command
        FLUSHDB                                      => +OK
        DBSIZE                                       => :0
        FLUSHDB SYNC                                 => +OK
        FLUSHDB ASYNC                                => +OK
        FLUSHDB BOGUS                                => -ERR syntax error
        FLUSHDB SYNC ASYNC                           => -ERR syntax error
        FLUSHALL                                     => +OK
        FLUSHALL async                               => +OK
        FLUSHALL sync                                => +OK
        FLUSHALL BOGUS                               => -ERR syntax error
        FLUSHALL SYNC x                              => -ERR syntax error
        "#,
    );
}

#[test]
fn flush_reaches_the_right_databases() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        SET a 0                                      => +OK
        SELECT 3                                     => +OK
        SET a 3                                      => +OK
        SET b 3                                      => +OK
        FLUSHDB                                      => +OK
        DBSIZE                                       => :0
        SELECT 0                                     => +OK
        DBSIZE                                       => :1
        SELECT 3                                     => +OK
        SET a 3                                      => +OK
        FLUSHALL                                     => +OK
        DBSIZE                                       => :0
        SELECT 0                                     => +OK
        DBSIZE                                       => :0
        "#,
    );
}

#[test]
fn expire_forms() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        EXPIRE missing 10                            => :0
        PEXPIRE missing 10                           => :0
        EXPIREAT missing 10                          => :0
        PEXPIREAT missing 10                         => :0
        TTL missing                                  => :-2
        PTTL missing                                 => :-2
        EXPIRETIME missing                           => :-2
        PEXPIRETIME missing                          => :-2
        PERSIST missing                              => :0
        SET key v                                    => +OK
        TTL key                                      => :-1
        PTTL key                                     => :-1
        EXPIRETIME key                               => :-1
        PEXPIRETIME key                              => :-1
        PERSIST key                                  => :0
        EXPIRE key 100                               => :1
        TTL key => :99..100
        PTTL key => :95000..100000
        PERSIST key                                  => :1
        TTL key                                      => :-1
        PEXPIRE key 100000                           => :1
        PTTL key => :95000..100000
        EXPIREAT key 4102444800                      => :1
        EXPIRETIME key                               => :4102444800
        PEXPIREAT key 4102444800999                  => :1
        EXPIRETIME key                               => :4102444801
        PEXPIRETIME key                              => :4102444800999
        EXPIRE key 0                                 => :1
        EXISTS key                                   => :0
        SET key v                                    => +OK
        EXPIRE key -1                                => :1
        EXISTS key                                   => :0
        SET key v                                    => +OK
        EXPIREAT key 1                               => :1
        GET key                                      => nil
        SET key v                                    => +OK
        PEXPIREAT key 1                              => :1
        GET key                                      => nil
        SET key v                                    => +OK
        PEXPIREAT key -1                             => :1
        GET key                                      => nil
        SET key v                                    => +OK
        EXPIRE key abc                               => -ERR value is not an integer or out of range
        EXPIRE key ""                                => -ERR value is not an integer or out of range
        EXPIRE key 1.5                               => -ERR value is not an integer or out of range
        EXPIRE key 9223372036854775807               => -ERR invalid expire time in 'expire' command
        EXPIRE key -9223372036854775808              => -ERR invalid expire time in 'expire' command
        EXPIRE key 9223372036854776                  => -ERR invalid expire time in 'expire' command
        EXPIRE key 9223372036854775808               => -ERR value is not an integer or out of range
        PEXPIRE key 9223372036854775807              => -ERR invalid expire time in 'pexpire' command
        PEXPIRE key 9223372036854775000              => -ERR invalid expire time in 'pexpire' command
        EXPIREAT key 9223372036854776                => -ERR invalid expire time in 'expireat' command
        EXPIREAT key 9223372036854775                => :1
        PEXPIREAT key 9223372036854775807            => :1
        PEXPIRETIME key                              => :9223372036854775807
        PEXPIREAT key 9223372036854775808            => -ERR value is not an integer or out of range
        EXPIRE key                                   => -ERR wrong number of arguments for 'expire' command
        EXPIRE                                       => -ERR wrong number of arguments for 'expire' command
        PEXPIRE key                                  => -ERR wrong number of arguments for 'pexpire' command
        EXPIREAT key                                 => -ERR wrong number of arguments for 'expireat' command
        PEXPIREAT key                                => -ERR wrong number of arguments for 'pexpireat' command
        TTL                                          => -ERR wrong number of arguments for 'ttl' command
        TTL a b                                      => -ERR wrong number of arguments for 'ttl' command
        PTTL                                         => -ERR wrong number of arguments for 'pttl' command
        PERSIST                                      => -ERR wrong number of arguments for 'persist' command
        EXPIRETIME                                   => -ERR wrong number of arguments for 'expiretime' command
        PEXPIRETIME a b                              => -ERR wrong number of arguments for 'pexpiretime' command
        "#,
    );
}

#[test]
fn expire_conditions() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        SET key v                                    => +OK
        EXPIRE key 100 XX                            => :0
        EXPIRE key 100 GT                            => :0
        EXPIRE key 100 LT                            => :1
        TTL key => :99..100
        EXPIRE key 200 NX                            => :0
        EXPIRE key 200 XX                            => :1
        EXPIRE key 100 GT                            => :0
        EXPIRE key 300 GT                            => :1
        EXPIRE key 400 LT                            => :0
        EXPIRE key 50 LT                             => :1
        TTL key => :49..50
        PERSIST key                                  => :1
        EXPIRE key 100 NX                            => :1
        EXPIRE key 200 XX GT                         => :1
        EXPIRE key 50 XX LT                          => :1
        EXPIRE key 100 NX XX                         => -ERR NX and XX, GT or LT options at the same time are not compatible
        EXPIRE key 100 NX GT                         => -ERR NX and XX, GT or LT options at the same time are not compatible
        EXPIRE key 100 NX LT                         => -ERR NX and XX, GT or LT options at the same time are not compatible
        EXPIRE key 100 GT LT                         => -ERR GT and LT options at the same time are not compatible
        EXPIRE key 100 XX GT LT                      => -ERR GT and LT options at the same time are not compatible
        EXPIRE key 100 BOGUS                         => -ERR Unsupported option BOGUS
        EXPIRE key 100 ""                            => -"ERR Unsupported option "
        EXPIRE key 100 xx                            => :1
        EXPIRE missing 100 BOGUS                     => -ERR Unsupported option BOGUS
        EXPIRE missing 100 NX XX                     => -ERR NX and XX, GT or LT options at the same time are not compatible
        EXPIRE key abc NX                            => -ERR value is not an integer or out of range
        EXPIRE key abc BOGUS                         => -ERR Unsupported option BOGUS
        PEXPIRE key 1 GT                             => :0
        EXPIREAT key 4102444800 GT                   => :1
        PEXPIREAT key 4102444800000 GT               => :0
        PEXPIREAT key 4102444799999 GT               => :0
        PEXPIREAT key 4102444800001 gt               => :1
        PEXPIREAT key 4102444800001 LT               => :0
        PEXPIREAT key 1 NX                           => :0
        EXISTS key                                   => :1
        PEXPIREAT key 1 LT                           => :1
        EXISTS key                                   => :0
        "#,
    );
}

#[test]
fn keys_vanish_when_their_time_comes() {
    let server = Server::start();
    let mut client = server.client();
    check(
        &mut client,
        r#"
        SET lazy v PX 40
        SET kept v PX 40
        PERSIST kept
        SET shown v PX 60000
        PTTL shown                                   => :50000..60000
        "#,
    );
    client.wait_for("GET lazy", &Reply::Null);
    check(
        &mut client,
        r#"
        EXISTS lazy                                  => :0
        TTL lazy                                     => :-2
        TYPE lazy                                    => +none
        GET kept                                     => "v"
        DEL lazy                                     => :0
        "#,
    );
}

/// Keys that nobody asks for go too: the active cycle brings DBSIZE down and counts what it removed.
#[test]
fn active_expiry_reclaims_keys() {
    let server = Server::start();
    let mut client = server.client();
    for index in 0..2000 {
        client.command(&["SET", &format!("gone:{index}"), "v", "PX", "30"]);
    }
    client.run("SET stays v");
    client.wait_for("DBSIZE", &Reply::Integer(1));
    assert_eq!(client.info("stats", "expired_keys"), "2000");
    assert_eq!(client.info("keyspace", "db0"), "keys=1,expires=0,avg_ttl=0");
}

#[test]
fn rename() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        RENAME missing other                         => -ERR no such key
        RENAMENX missing other                       => -ERR no such key
        SET a 1 EX 1000                              => +OK
        RENAME a b                                   => +OK
        EXISTS a                                     => :0
        TTL b => :998..1000
        SET c 3                                      => +OK
        RENAME c b                                   => +OK
        GET b                                        => "3"
        TTL b                                        => :-1
        RENAME b b                                   => +OK
        RENAMENX b b                                 => :0
        SET d 4                                      => +OK
        RENAMENX b d                                 => :0
        RENAMENX b e                                 => :1
        GET e                                        => "3"
        RENAME a                                     => -ERR wrong number of arguments for 'rename' command
        RENAMENX a                                   => -ERR wrong number of arguments for 'renamenx' command
        RENAME missing missing                       => -ERR no such key
        "#,
    );
}

#[test]
fn copy() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        COPY missing other                           => :0
        SET a 1 EX 1000                              => +OK
        COPY a b                                     => :1
        GET b                                        => "1"
        TTL b => :998..1000
        SET a 2                                      => +OK
        GET b                                        => "1"
        COPY a b                                     => :0
        COPY a b REPLACE                             => :1
        GET b                                        => "2"
        TTL b                                        => :-1
        COPY a a                                     => -ERR source and destination objects are the same
        COPY a a DB 0                                => -ERR source and destination objects are the same
        COPY a a DB 1                                => :1
        COPY a a DB 1                                => :0
        COPY a a REPLACE DB 1                        => :1
        COPY a b DB 16                               => -ERR DB index is out of range
        COPY a b DB -1                               => -ERR DB index is out of range
        COPY a b DB x                                => -ERR value is not an integer or out of range
        COPY a b DB                                  => -ERR syntax error
        COPY a b BOGUS                               => -ERR syntax error
        COPY a                                       => -ERR wrong number of arguments for 'copy' command
        COPY missing b REPLACE                       => :0
        GET b                                        => "2"
        SELECT 1                                     => +OK
        GET a                                        => "2"
        "#,
    );
}

#[test]
fn moving_between_databases() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        MOVE missing 1                               => :0
        SET a 1 EX 1000                              => +OK
        MOVE a 0                                     => -ERR source and destination objects are the same
        MOVE a 16                                    => -ERR DB index is out of range
        MOVE a -1                                    => -ERR DB index is out of range
        MOVE a x                                     => -ERR value is not an integer or out of range
        MOVE a                                       => -ERR wrong number of arguments for 'move' command
        MOVE a 1                                     => :1
        EXISTS a                                     => :0
        SET a 2                                      => +OK
        MOVE a 1                                     => :0
        SELECT 1                                     => +OK
        GET a                                        => "1"
        TTL a => :998..1000
        SWAPDB 0 1                                   => +OK
        GET a                                        => "2"
        SELECT 0                                     => +OK
        GET a                                        => "1"
        SWAPDB 0 0                                   => +OK
        SWAPDB 0 16                                  => -ERR DB index is out of range
        SWAPDB 16 0                                  => -ERR DB index is out of range
        SWAPDB x 0                                   => -ERR invalid first DB index
        SWAPDB 0 x                                   => -ERR invalid second DB index
        SWAPDB 0                                     => -ERR wrong number of arguments for 'swapdb' command
        SELECT 16                                    => -ERR DB index is out of range
        SELECT -1                                    => -ERR DB index is out of range
        SELECT x                                     => -ERR value is not an integer or out of range
        SELECT                                       => -ERR wrong number of arguments for 'select' command
        SELECT 15                                    => +OK
        "#,
    );
}

#[test]
fn keys_and_patterns() {
    let server = Server::start();
    let mut client = server.client();
    check(
        &mut client,
        r#"
        KEYS *                                       => []
        MSET hello 1 hallo 2 hxllo 3 heeeello 4 "h*llo" 5 "a[b" 6 "x\\y" 7 => +OK
        KEYS hello                                   => ["hello"]
        KEYS nothing*                                => []
        KEYS h\*llo                                  => ["h*llo"]
        KEYS a\[b                                    => ["a[b"]
        KEYS hee*o                                   => ["heeeello"]
        KEYS                                         => -ERR wrong number of arguments for 'keys' command
        KEYS a b                                     => -ERR wrong number of arguments for 'keys' command
        "#,
    );
    let mut sorted = |pattern: &str| {
        let reply = client.command(&["KEYS", pattern]);
        let mut names: Vec<String> = reply.items().iter().map(|item| item.text().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(sorted("h?llo"), ["h*llo", "hallo", "hello", "hxllo"]);
    assert_eq!(sorted("h[ae]llo"), ["hallo", "hello"]);
    assert_eq!(sorted("h[^e]llo"), ["h*llo", "hallo", "hxllo"]);
    assert_eq!(sorted("h[a-e]llo"), ["hallo", "hello"]);
    assert_eq!(sorted("h[e-a]llo"), ["hallo", "hello"]);
    assert_eq!(sorted("*").len(), 7);
    assert_eq!(sorted("x\\\\y"), ["x\\y"]);
    assert_eq!(sorted("h*o"), ["h*llo", "hallo", "heeeello", "hello", "hxllo"]);
    assert!(sorted("h[ello").is_empty());
}

#[test]
fn pattern_matching_stays_fast() {
    let server = Server::start();
    let mut client = server.client();
    client.command(&["SET", &"a".repeat(100), "v"]);
    let started = std::time::Instant::now();
    let pattern = format!("{}b", "a*".repeat(40));
    assert_eq!(client.command(&["KEYS", &pattern]), Reply::Array(vec![]));
    assert!(started.elapsed() < Duration::from_secs(3), "a pattern of many stars took {:?}", started.elapsed());
}

#[test]
fn randomkey() {
    let server = Server::start();
    let mut client = server.client();
    assert_eq!(client.command_bytes(&["RANDOMKEY"]), b"$-1\r\n");
    client.run("MSET a 1 b 2 c 3");
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..400 {
        seen.insert(client.run("RANDOMKEY").text().to_owned());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    check(&mut client, "RANDOMKEY x => -ERR wrong number of arguments for 'randomkey' command");
    // Keys whose time has come are never drawn.
    client.run("FLUSHALL");
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    client.run("SET live v");
    for index in 0..50 {
        client.command(&["SET", &format!("dead:{index}"), "v", "PX", "1"]);
    }
    client.wait_for("EXISTS dead:49", &Reply::Integer(0));
    assert_eq!(client.run("RANDOMKEY"), Reply::bulk("live"));
}

#[test]
fn object() {
    let server = Server::start();
    let mut client = server.client();
    check(
        &mut client,
        r#"
        SET key 123456                               => +OK
        OBJECT ENCODING key                          => "int"
        OBJECT REFCOUNT key => :1..2147483647
        OBJECT IDLETIME key => :0..1
        OBJECT FREQ key                              => -ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.
        OBJECT ENCODING missing                      => nil
        OBJECT REFCOUNT missing                      => nil
        OBJECT IDLETIME missing                      => nil
        OBJECT FREQ missing                          => nil
        OBJECT                                       => -ERR wrong number of arguments for 'object' command
        OBJECT ENCODING                              => -ERR wrong number of arguments for 'object|encoding' command
        OBJECT ENCODING a b                          => -ERR wrong number of arguments for 'object|encoding' command
        OBJECT BOGUS key                             => -ERR unknown subcommand 'BOGUS'. Try OBJECT HELP.
        object encoding key                          => "int"
        CONFIG SET maxmemory-policy allkeys-lfu      => +OK
        SET key 123457                               => +OK
        OBJECT IDLETIME key                          => -ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.
        OBJECT FREQ key => :0..255
        "#,
    );
    let help = client.run("OBJECT HELP");
    let first = help.items()[0].text();
    assert_eq!(first, "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
}

#[test]
fn idle_time_and_touch() {
    let server = Server::start();
    let mut client = server.client();
    client.run("SET key v");
    crate::support::wait_until("a second of idle time", || client.run("OBJECT IDLETIME key").integer() >= 1);
    client.run("TOUCH key");
    assert_eq!(client.run("OBJECT IDLETIME key"), Reply::Integer(0));
    crate::support::wait_until("a second of idle time", || client.run("OBJECT IDLETIME key").integer() >= 1);
    check(
        &mut client,
        r#"
        TYPE key                                     => +string
        TTL key                                      => :-1
        EXISTS key                                   => :1
        OBJECT IDLETIME key                          => _
        CLIENT NO-TOUCH ON                           => +OK
        GET key                                      => "v"
        CLIENT NO-TOUCH OFF                          => +OK
        "#,
    );
    assert_eq!(client.run("GET key"), Reply::bulk("v"));
    assert_eq!(client.run("OBJECT IDLETIME key"), Reply::Integer(0));
}

#[test]
fn scan_errors_and_forms() {
    let server = Server::start();
    let mut client = server.client();
    check(
        &mut client,
        r#"
        SCAN 0                                       => ["0" []]
        SET key v                                    => +OK
        SCAN 0 COUNT 1000000                         => ["0" ["key"]]
        SCAN 0 COUNT 1000000 MATCH k*                => ["0" ["key"]]
        SCAN 0 COUNT 1000000 MATCH x*                => ["0" []]
        SCAN 0 COUNT 1000000 TYPE string             => ["0" ["key"]]
        SCAN 0 COUNT 1000000 TYPE list               => ["0" []]
        SCAN 0 COUNT 1000000 TYPE STRING MATCH key   => ["0" ["key"]]
        SCAN 0 COUNT 1000000 TYPE nonsense           => ["0" []]
        SCAN 0 COUNT 0                               => -ERR syntax error
        SCAN 0 COUNT -1                              => -ERR syntax error
        SCAN 0 COUNT x                               => -ERR value is not an integer or out of range
        SCAN 0 COUNT                                 => -ERR syntax error
        SCAN 0 MATCH                                 => -ERR syntax error
        SCAN 0 BOGUS                                 => -ERR syntax error
        SCAN 0 BOGUS 1                               => -ERR syntax error
        SCAN x                                       => -ERR invalid cursor
        SCAN ""                                      => ["0" ["key"]]
        SCAN " 0"                                    => -ERR invalid cursor
        SCAN 1.5                                     => -ERR invalid cursor
        SCAN 18446744073709551616                    => -ERR invalid cursor
        SCAN                                         => -ERR wrong number of arguments for 'scan' command
        "#,
    );
    let bytes = client.command_bytes(&["SCAN", "0", "COUNT", "1000000"]);
    assert_eq!(bytes, b"*2\r\n$1\r\n0\r\n*1\r\n$3\r\nkey\r\n");
    client.hello(Protocol::Resp3);
    let bytes = client.command_bytes(&["SCAN", "0", "COUNT", "1000000"]);
    assert_eq!(bytes, b"*2\r\n$1\r\n0\r\n*1\r\n$3\r\nkey\r\n");
}

#[test]
fn sixteen_databases_are_apart() {
    let server = Server::start();
    let mut client = server.client();
    for database in 0..16 {
        client.command(&["SELECT", &database.to_string()]);
        client.command(&["SET", "key", &database.to_string()]);
        client.command(&["SET", &format!("only:{database}"), "v"]);
    }
    for database in 0..16 {
        client.command(&["SELECT", &database.to_string()]);
        assert_eq!(client.run("GET key"), Reply::bulk(&database.to_string()));
        assert_eq!(client.run("DBSIZE"), Reply::Integer(2));
        let reply = client.run("SCAN 0 COUNT 1000000 MATCH only:*");
        assert_eq!(reply.items()[1].items(), [Reply::bulk(&format!("only:{database}"))]);
    }
}

/// SWAPDB is seen whole: a transaction over both databases never finds the same one twice.
#[test]
fn swapdb_is_atomic() {
    let server = Server::with(&["--io-threads", "2"]);
    let mut client = server.client();
    check(&mut client, "SET key zero\nSELECT 1\nSET key one\nSELECT 0");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut swapper = server.client();
            for _ in 0..2000 {
                assert_eq!(swapper.run("SWAPDB 0 1"), Reply::ok());
            }
        });
        for _ in 0..1000 {
            client.send(b"MULTI\r\nSELECT 0\r\nGET key\r\nSELECT 1\r\nGET key\r\nSELECT 0\r\nEXEC\r\n");
            let replies: Vec<Reply> = (0..7).map(|_| client.reply()).collect();
            let results = replies[6].items();
            assert_ne!(results[1], results[3], "half a swap was seen");
        }
    });
    check(&mut client, "GET key => \"zero\"\nSELECT 1 => +OK\nGET key => \"one\"");
}

/// FLUSHALL amid writers: what was written after it stays, what was there before is gone.
#[test]
fn flushing_amid_writers() {
    let server = Server::with(&["--io-threads", "2"]);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let server = &server;
            scope.spawn(move || {
                let mut client = server.client();
                for round in 0..1500 {
                    client.command(&["MSET", &format!("a:{writer}"), "v", &format!("b:{writer}:{round}"), "v"]);
                }
            });
        }
        let mut flusher = server.client();
        for _ in 0..100 {
            assert_eq!(flusher.run("FLUSHALL"), Reply::ok());
        }
    });
    let mut client = server.client();
    client.run("FLUSHALL");
    assert_eq!(client.run("DBSIZE"), Reply::Integer(0));
    assert_eq!(client.run("KEYS *"), Reply::Array(vec![]));
    client.run("SET after v");
    assert_eq!(client.run("DBSIZE"), Reply::Integer(1));
}
