//! Moving in from redis-server and out again: its dump.rdb and its append-only files are loaded once, then Cairn's own
//! log is what counts; and redis-server loads what Cairn saves.

use std::fs;

use crate::restart::refused_start;
use crate::support::{
    Client, DataDirectory, Dataset, Random, Reply, Server, assert_same, check, dataset, seed_from_environment,
    wait_until,
};

const DATABASES: [usize; 4] = [0, 3, 9, 15];
/// In milliseconds since 1970: long after any run of this test.
const FAR_MS: i64 = 4_000_000_000_000;

/// All kinds of strings and of expiries, by commands that both servers know.
fn fill(client: &mut Client, random: &mut Random, keys: usize) {
    for database in DATABASES {
        assert_eq!(client.command(&["SELECT", &database.to_string()]), Reply::ok());
        for number in 0..keys {
            let key = format!("key:{}", random.below(2 * keys)).into_bytes();
            let length = [0, 3, 11, 63, 64, 300, 20_000][random.below(7)];
            let mut value: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
            match number % 6 {
                // Compressible, and the three forms of integers.
                0 => value = b"abcabcabd".repeat(1 + length / 9),
                1 => value = [127, -40_000, 2_000_000_000, i64::MIN][random.below(4)].to_string().into_bytes(),
                _ => {}
            }
            let reply = match number % 7 {
                3 => client.command(&[
                    b"SET".as_slice(),
                    &key,
                    &value,
                    b"PXAT",
                    (FAR_MS + number as i64).to_string().as_bytes(),
                ]),
                4 => client.command(&[b"APPEND".as_slice(), &key, &value]),
                5 => client.command(&[b"DEL".as_slice(), &key]),
                _ => client.command(&[b"SET".as_slice(), &key, &value]),
            };
            assert!(!reply.is_error(), "{reply:?}");
        }
        check(
            client,
            r#"
            SET "" "under the empty key"
            SET "\x00\xff binary \r\n" "\x00\xff"
            MULTI
            SET {a}x 1
            INCR {b}y
            RENAME {a}x {c}z
            EXEC
            SETRANGE range 1000 end
            "#,
        );
    }
    assert_eq!(client.run("SELECT 0"), Reply::ok());
}

fn all(server: &Server) -> Dataset {
    dataset(&mut server.client(), 0..16)
}

/// Starts Cairn on a directory that redis-server left, and again on what it then has itself.
fn move_in(directory: &DataDirectory, expected: &Dataset, source: &str) {
    let mut server = Server::on(directory, &[]);
    assert_same(source, expected, &all(&server));
    let log = server.log();
    assert!(log.contains(source), "the log does not say that {source} was loaded:\n{log}");
    check(&mut server.client(), "SET moved in => +OK\nDEL \"\" => :1");
    let expected = all(&server);
    server.kill();
    let mut server = Server::on(directory, &[]);
    assert_same("from its own log", &expected, &all(&server));
    let log = server.log();
    assert!(!log.contains(source), "{source} was loaded again:\n{log}");
    move_out(&mut server, &expected);
}

/// Has redis-server load what Cairn saves.
fn move_out(server: &mut Server, expected: &Dataset) {
    let mut client = server.client();
    assert!(!client.run("BGSAVE").is_error());
    wait_until("the save ends", || client.info("persistence", "rdb_bgsave_in_progress") == "0");
    assert_eq!(client.info("persistence", "rdb_last_bgsave_status"), "ok");
    let directory = DataDirectory::new();
    fs::copy(server.path("dump.rdb"), directory.path("dump.rdb")).expect("copy the snapshot");
    let redis = Server::oracle_on(&directory, &["--appendonly", "no"]);
    assert_same("in redis-server", expected, &all(&redis));
}

fn seeded() -> Random {
    let seed = seed_from_environment("CAIRN_MOVING_SEED");
    println!("CAIRN_MOVING_SEED={seed}");
    Random::new(seed)
}

#[test]
fn from_a_snapshot_of_redis() {
    let directory = DataDirectory::new();
    let mut redis = Server::oracle_on(&directory, &["--appendonly", "no"]);
    fill(&mut redis.client(), &mut seeded(), 400);
    // Must be gone when Cairn loads.
    check(&mut redis.client(), "SET gone value PX 1");
    let mut expected = all(&redis);
    expected.remove(&(0, b"gone".to_vec()));
    assert_eq!(redis.client().run("SAVE"), Reply::ok());
    redis.kill();
    move_in(&directory, &expected, "dump.rdb");
}

/// With a base in RDB format or in commands, and what came after it in further files.
#[test]
fn from_the_append_only_files_of_redis() {
    let mut random = seeded();
    for preamble in ["yes", "no"] {
        let directory = DataDirectory::new();
        let arguments = ["--appendonly", "yes", "--aof-use-rdb-preamble", preamble, "--appendfsync", "always"];
        let mut redis = Server::oracle_on(&directory, &arguments);
        let mut client = redis.client();
        fill(&mut client, &mut random, 200);
        client.run("BGREWRITEAOF");
        wait_until("the rewrite ends", || {
            client.info("persistence", "aof_rewrite_in_progress") == "0"
                && client.info("persistence", "aof_rewrite_scheduled") == "0"
        });
        fill(&mut client, &mut random, 100);
        let expected = all(&redis);
        redis.kill();
        move_in(&directory, &expected, "appendonlydir");
    }
}

/// A snapshot with what Cairn does not know is not loaded by half.
#[test]
fn what_cannot_be_loaded_refuses_the_start() {
    let directory = DataDirectory::new();
    let mut redis = Server::oracle_on(&directory, &["--appendonly", "no"]);
    check(&mut redis.client(), "SET a 1\nSET b 2\nXADD events 1-1 field value\nSET c 3\nSAVE");
    redis.kill();
    // What a module wrote.
    let mut snapshot = fs::read(directory.path("dump.rdb")).expect("the snapshot");
    let name = snapshot.windows(7).position(|bytes| bytes == b"\x06events").expect("the key");
    snapshot[name - 1] = 7;
    fs::write(directory.path("dump.rdb"), &snapshot).expect("a snapshot");
    for attempt in 0..2 {
        let output = refused_start(&directory, &[]);
        assert!(output.contains("dump.rdb") && output.contains("events"), "{output}");
        let offset = output
            .split(|character: char| !character.is_ascii_digit())
            .any(|word| word.parse::<usize>().is_ok_and(|number| number > 9 && number < snapshot.len()));
        assert!(offset, "attempt {attempt}: no offset is named:\n{output}");
        assert_eq!(fs::read(directory.path("dump.rdb")).expect("the snapshot"), snapshot);
    }
    fs::remove_file(directory.path("dump.rdb")).unwrap();
    let server = Server::on(&directory, &[]);
    check(&mut server.client(), "DBSIZE => :0");
}

/// What fills a key of each type, small and large, with commands that both servers know.
fn fill_every_type(client: &mut Client) {
    check(
        client,
        r#"
        RPUSH list a 1 b
        SADD integers 1 2 3
        SADD members a b c
        ZADD zset 1 a 2.5 b -inf c
        HSET hash field value number 7
        XADD stream 1-1 field value
        XADD stream 2-1 other value
        XGROUP CREATE stream group 0
        XREADGROUP GROUP group alice COUNT 1 STREAMS stream >
        XDEL stream 2-1
        PFADD log a b c
        GEOADD geo 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
        EXPIRE hash 100000
        "#,
    );
    for number in 0..2000 {
        client.run(&format!("RPUSH long:list element:{number}"));
        client.run(&format!("SADD long:set member:{number}"));
        client.run(&format!("ZADD long:zset {}.5 member:{number}", number * 7 % 2000));
        client.run(&format!("HSET long:hash field:{number} value:{number}"));
        client.run(&format!("XADD long:stream {}-1 number {number}", number + 1));
    }
}

/// What shows all of those keys. Tables keep their own order, so theirs is sorted.
fn every_type(client: &mut Client) -> Vec<Vec<Reply>> {
    [
        "LRANGE list 0 -1",
        "LRANGE long:list 0 -1",
        "ZRANGE zset 0 -1 WITHSCORES",
        "ZRANGE long:zset 0 -1 WITHSCORES",
        "XRANGE stream - +",
        "XRANGE long:stream - +",
        "XPENDING stream group - + 10",
        "XINFO GROUPS stream",
        "SORT integers",
        "SORT members ALPHA",
        "SORT long:set ALPHA",
        "HMGET hash field number none",
        "HGETALL long:hash",
        "GEOPOS geo Palermo Catania",
    ]
    .into_iter()
    .map(|line| {
        let mut items = client.run(line).items().to_vec();
        match line {
            "HGETALL long:hash" => items.sort_by_key(|item| item.bytes().to_vec()),
            // How long ago it was delivered.
            "XPENDING stream group - + 10" => {
                items = items.iter().flat_map(|one| [one.items()[0].clone(), one.items()[3].clone()]).collect();
            }
            _ => {}
        }
        items
    })
    .collect()
}

#[test]
fn every_type_moves_in_outlives_a_kill_and_moves_out() {
    const OPTIONS: &[&str] = &["--enable-debug-command", "yes"];
    let directory = DataDirectory::new();
    let mut redis = Server::oracle_on(&directory, &["--appendonly", "no"]);
    let mut client = redis.client();
    fill_every_type(&mut client);
    let expected = (every_type(&mut client), client.run("PFCOUNT log"), client.run("DBSIZE"));
    assert_eq!(client.run("SAVE"), Reply::ok());
    redis.kill();

    let server = Server::on(&directory, OPTIONS);
    let mut server = server.killed_and_back(&directory, OPTIONS);
    let mut client = server.client();
    let found = (every_type(&mut client), client.run("PFCOUNT log"), client.run("DBSIZE"));
    assert_eq!(found, expected, "moved in");
    assert_eq!(client.run("SAVE"), Reply::ok());
    server.kill();

    let redis = Server::oracle_on(&directory, &["--appendonly", "no"]);
    let mut client = redis.client();
    let found = (every_type(&mut client), client.run("PFCOUNT log"), client.run("DBSIZE"));
    assert_eq!(found, expected, "moved out");
}
