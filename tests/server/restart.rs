//! What a server has is there again after a restart, however it ended, and whatever was configured in between.

use std::time::{Duration, Instant};

use crate::support::{
    Client, DataDirectory, Dataset, Random, Reply, Server, assert_same, check, dataset, encode_command, escape,
    free_port, run_to_exit, seed_from_environment, wait_until,
};

const DATABASES: usize = 16;
const BATCH: usize = 500;
/// In milliseconds since 1970: long after any run of this test.
const FAR_MS: i64 = 4_000_000_000_000;

/// Sends commands in pipelines; none may fail.
fn send_all(client: &mut Client, commands: impl Iterator<Item = Vec<u8>>) {
    let mut commands = commands.peekable();
    while commands.peek().is_some() {
        let batch: Vec<Vec<u8>> = commands.by_ref().take(BATCH).collect();
        client.send(&batch.concat());
        for command in &batch {
            let reply = client.reply();
            assert!(!reply.is_error(), "{} => {reply:?}", escape(command));
        }
    }
}

/// One of everything that a data set of strings can have.
fn fill(client: &mut Client, seed: u64) {
    let mut random = Random::new(seed);
    let mut bytes = |length: usize| -> Vec<u8> { (0..length).map(|_| random.next() as u8).collect() };
    for database in 0..DATABASES {
        assert_eq!(client.command(&["SELECT", &database.to_string()]), Reply::ok());
        let mut commands = vec![
            encode_command(&[b"SET".as_slice(), b"empty", b""]),
            encode_command(&[b"SET".as_slice(), b"", b"under the empty key"]),
            encode_command(&[b"SET".as_slice(), b"negative", b"-9223372036854775808"]),
            encode_command(&[b"SET".as_slice(), b"padded", b"007"]),
            encode_command(&[b"SET".as_slice(), &bytes(40), &bytes(40)]),
            encode_command(&[b"SET".as_slice(), &bytes(5_000), b"under a long key"]),
            encode_command(&[b"SET".as_slice(), b"expires", b"value", b"PXAT", FAR_MS.to_string().as_bytes()]),
            encode_command(&["APPEND", "appended", "in "]),
            encode_command(&["APPEND", "appended", "two parts"]),
            encode_command(&["INCRBY", "counter", "41"]),
            encode_command(&["INCR", "counter"]),
            encode_command(&["SETBIT", "bits", "9000", "1"]),
            encode_command(&["MSET", "{a}one", "1", "{b}two", "2", "{c}three", "3"]),
            encode_command(&["RENAME", "{a}one", "{d}renamed"]),
            encode_command(&["SET", "removed", "value"]),
            encode_command(&["DEL", "removed"]),
        ];
        if database % 5 == 0 {
            commands.push(encode_command(&[b"SET".as_slice(), b"large", &bytes(1 << 20)]));
        }
        for number in 0..100 {
            let key = format!("key:{number}");
            commands.push(encode_command(&[b"SET".as_slice(), key.as_bytes(), &bytes(number * 7)]));
        }
        send_all(client, commands.into_iter());
    }
    assert_eq!(client.run("SWAPDB 2 3"), Reply::ok());
    assert_eq!(client.run("SELECT 7"), Reply::ok());
    assert_eq!(client.run("FLUSHDB"), Reply::ok());
    assert_eq!(client.run("SELECT 0"), Reply::ok());
}

/// The whole data set, and the server's own digest of it.
fn all(client: &mut Client) -> (Dataset, Reply) {
    (dataset(client, 0..DATABASES), client.run("DEBUG DIGEST"))
}

fn assert_restored(what: &str, server: &Server, expected: &(Dataset, Reply)) {
    let found = all(&mut server.client());
    assert_same(what, &expected.0, &found.0);
    assert_eq!(found.1, expected.1, "{what}: DEBUG DIGEST");
}

/// Asks for a rewrite of the log and waits until it is over.
fn rewrite(client: &mut Client) {
    assert!(!client.run("BGREWRITEAOF").is_error());
    wait_until("the rewrite ends", || {
        client.info("persistence", "aof_rewrite_in_progress") == "0"
            && client.info("persistence", "aof_rewrite_scheduled") == "0"
    });
    assert_eq!(client.info("persistence", "aof_last_bgrewrite_status"), "ok");
}

#[test]
fn every_way_to_end_keeps_everything() {
    let seed = seed_from_environment("CAIRN_RESTART_SEED");
    println!("CAIRN_RESTART_SEED={seed}");
    let directory = DataDirectory::new();
    let mut server = Server::on(&directory, &[]);
    fill(&mut server.client(), seed);
    let mut expected = all(&mut server.client());
    assert!(expected.0.len() > 1_500, "{} keys", expected.0.len());
    for (number, ending) in ["SHUTDOWN", "kill", "TERM", "SHUTDOWN NOSAVE", "INT", "rewrite", "kill"].iter().enumerate()
    {
        let mut client = server.client();
        match *ending {
            "kill" => server.kill(),
            "rewrite" => {
                rewrite(&mut client);
                assert_restored("after the rewrite", &server, &expected);
                server.kill();
            }
            "TERM" | "INT" => {
                server.signal(ending);
                assert_eq!(server.wait_exit(), Some(0));
            }
            command => {
                client.post(command);
                assert_eq!(server.wait_exit(), Some(0));
            }
        }
        server = Server::on(&directory, &[]);
        assert_restored(ending, &server, &expected);
        // Each life adds something, so that no life can pass on the one before it.
        let mut client = server.client();
        client.command(&["SET", &format!("life:{number}"), "lived"]);
        client.run("APPEND appended more");
        expected = all(&mut client);
    }
}

/// What watches a server may ask at any time.
#[test]
fn a_server_with_a_log_says_so_from_the_first_moment() {
    let directory = DataDirectory::new();
    for _ in 0..2 {
        let mut server = Server::on(&directory, &[]);
        assert_eq!(server.client().info("persistence", "aof_enabled"), "1");
        server.kill();
    }
}

#[test]
fn overwritten_and_deleted_keys_stay_so_through_settling_and_rewrites() {
    let directory = DataDirectory::new();
    let arguments = ["--log-settle-bytes", "1mb"];
    let mut server = Server::on(&directory, &arguments);
    let mut client = server.client();
    for round in 0..6 {
        let value = |number: usize| format!("round {round} of key {number} {}", "x".repeat(300));
        send_all(&mut client, (0..3_000).map(|n| encode_command(&["SET", &format!("key:{n}"), &value(n)])));
        send_all(&mut client, (round..3_000).step_by(7).map(|n| encode_command(&["DEL", &format!("key:{n}")])));
        let expected = all(&mut client);
        if round % 2 == 1 {
            rewrite(&mut client);
        }
        server.kill();
        server = Server::on(&directory, &arguments);
        client = server.client();
        assert_restored(&format!("round {round}"), &server, &expected);
    }
    wait_until("the log was settled", || {
        let info = client.run("INFO persistence");
        info.text().contains("\r\nlog_settled_bytes:") && !info.text().contains("\r\nlog_settled_bytes:0\r\n")
    });
}

#[test]
fn keys_that_expire_while_the_server_is_down_are_gone() {
    let directory = DataDirectory::new();
    let mut server = Server::on(&directory, &[]);
    let mut client = server.client();
    check(
        &mut client,
        "SET soon value PX 300 => +OK\nSET kept value => +OK\nSET later value EX 10000 => +OK\nSET also value => +OK\nPEXPIRE also 300 => :1",
    );
    let deadline = Instant::now() + Duration::from_millis(300);
    server.kill();
    // Nothing else than the clock can be waited for: no server is up.
    std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
    let mut server = Server::on(&directory, &[]);
    let conversation =
        "GET soon => nil\nGET also => nil\nGET kept => \"value\"\nTTL later => :9900..10000\nTTL kept => :-1";
    check(&mut server.client(), conversation);
    wait_until("the expired keys are not counted", || server.client().run("DBSIZE") == Reply::Integer(2));
    rewrite(&mut server.client());
    server.kill();
    let server = Server::on(&directory, &[]);
    check(&mut server.client(), conversation);
}

#[test]
fn a_hundred_thousand_keys_and_another_number_of_workers_each_time() {
    const KEYS: usize = 100_000;
    let directory = DataDirectory::new();
    let mut server = Server::on(&directory, &["--io-threads", "3"]);
    // Two connections, so that more than one worker writes.
    std::thread::scope(|scope| {
        for half in 0..2 {
            let mut client = server.client();
            let keys = (half..KEYS).step_by(2);
            scope.spawn(move || {
                send_all(
                    &mut client,
                    keys.map(|n| encode_command(&["SET", &format!("key:{n}"), &format!("value {n}")])),
                );
            });
        }
    });
    let digest = server.client().run("DEBUG DIGEST");
    for threads in ["1", "2", "4"] {
        server.kill();
        server = Server::on(&directory, &["--io-threads", threads]);
        let mut client = server.client();
        assert_eq!(client.run("DBSIZE"), Reply::Integer(KEYS as i64));
        assert_eq!(client.run("DEBUG DIGEST"), digest, "--io-threads {threads}");
        assert_eq!(client.run("GET key:99999"), Reply::bulk("value 99999"));
    }
}

#[test]
fn a_loading_server_says_so() {
    const KEYS: usize = 400_000;
    let directory = DataDirectory::new();
    let mut server = Server::on(&directory, &[]);
    let mut client = server.client();
    send_all(&mut client, (0..KEYS).map(|n| encode_command(&["SET", &format!("key:{n}"), "value"])));
    server.kill();

    let mut server = Server::loading_on(&directory, &["--io-threads", "1"]);
    let mut refused = 0;
    let mut loading = None;
    wait_until("the server has loaded", || {
        let Some(mut client) = server.try_client() else {
            return false;
        };
        match client.run("GET key:1") {
            Reply::Error(text) => {
                assert_eq!(text, b"LOADING Redis is loading the dataset in memory");
                refused += 1;
                let info = client.run("INFO persistence").text().to_owned();
                if info.contains("loading:1\r\n") {
                    loading = Some(info);
                }
                false
            }
            reply => {
                assert_eq!(reply, Reply::bulk("value"));
                true
            }
        }
    });
    assert!(refused > 0, "{KEYS} keys were loaded before the first command came");
    let info = loading.expect("INFO while the server loaded");
    for field in [
        "loading_start_time",
        "loading_total_bytes",
        "loading_loaded_bytes",
        "loading_loaded_perc",
        "loading_eta_seconds",
    ] {
        assert!(info.contains(&format!("{field}:")), "no {field} in {info}");
    }
    let mut client = server.client();
    assert_eq!(client.run("DBSIZE"), Reply::Integer(KEYS as i64));
    assert_eq!(client.info("persistence", "loading"), "0");
}

/// A second server on a directory ends with a reason, and does not disturb the first.
#[test]
fn a_directory_has_one_server() {
    let directory = DataDirectory::new();
    let mut server = Server::on(&directory, &[]);
    let mut client = server.client();
    check(&mut client, "SET key value => +OK");
    let path = directory.path("");
    let (path, port) = (path.to_str().expect("UTF-8"), free_port().to_string());
    let arguments = ["--bind", "127.0.0.1", "--port", &port, "--dir", path, "--appendonly", "yes"];
    let second = run_to_exit(&arguments, "");
    assert_eq!(second.code, Some(1), "{}", second.output);
    let reason = format!("the log is in use by process {}", server.process_id());
    assert!(second.output.contains(&reason), "{}", second.output);
    check(&mut client, "SET key again => +OK\nGET key => \"again\"");
    // The lock goes with the process, however it ended.
    server.kill();
    let server = Server::on(&directory, &[]);
    check(&mut server.client(), "GET key => \"again\"");
}

#[test]
fn fewer_databases_than_the_log_has_are_refused() {
    let directory = DataDirectory::new();
    let mut server = Server::on(&directory, &[]);
    check(&mut server.client(), "SELECT 7 => +OK\nSET key value => +OK");
    for how in ["kill", "rewrite"] {
        if how == "rewrite" {
            rewrite(&mut server.client());
        }
        server.kill();
        let output = refused_start(&directory, &["--databases", "7"]);
        assert!(output.contains("database 7") && output.contains("\"databases\""), "{output}");
        // Nothing is lost by the attempt.
        server = Server::on(&directory, &["--databases", "8"]);
        check(&mut server.client(), "SELECT 7 => +OK\nGET key => \"value\"");
    }
}

/// Starts a server that must end by itself with an error; gives what it printed.
pub fn refused_start(directory: &DataDirectory, arguments: &[&str]) -> String {
    let mut server = Server::loading_on(directory, arguments);
    let code = server.wait_exit();
    assert_eq!(code, Some(1), "{}", server.log());
    server.log()
}

/// Without the log, a snapshot is what a restart finds.
#[test]
fn a_saved_snapshot_is_loaded_where_there_is_no_log() {
    let seed = seed_from_environment("CAIRN_RESTART_SEED");
    println!("CAIRN_RESTART_SEED={seed}");
    let directory = DataDirectory::new();
    let arguments = ["--appendonly", "no"];
    let mut server = Server::on(&directory, &arguments);
    let mut client = server.client();
    fill(&mut client, seed);
    let expected = all(&mut client);
    assert_eq!(client.run("SAVE"), Reply::ok());
    client.run("SET unsaved value");
    server.kill();
    assert!(directory.path("dump.rdb").exists());
    assert!(!directory.path("cairn-log").exists(), "a log that was not asked for");
    let mut server = Server::on(&directory, &arguments);
    assert_restored("SAVE", &server, &expected);

    // SHUTDOWN SAVE saves, without save points too; SHUTDOWN alone then does not.
    let mut client = server.client();
    client.run("SET saved value");
    let expected = all(&mut client);
    client.post("SHUTDOWN SAVE");
    assert_eq!(server.wait_exit(), Some(0));
    let mut server = Server::on(&directory, &arguments);
    assert_restored("SHUTDOWN SAVE", &server, &expected);
    let mut client = server.client();
    client.run("SET unsaved value");
    client.post("SHUTDOWN");
    assert_eq!(server.wait_exit(), Some(0));
    let mut server = Server::on(&directory, &arguments);
    assert_restored("SHUTDOWN", &server, &expected);

    // BGSAVE, seen through LASTSAVE, which counts seconds.
    let mut client = server.client();
    client.run("SET background value");
    let expected = all(&mut client);
    let before = client.run("LASTSAVE").integer();
    assert!(before > 0);
    wait_until("LASTSAVE moves", || {
        let reply = client.run("BGSAVE");
        assert!(!reply.is_error() || reply.error().contains("in progress"), "{reply:?}");
        wait_until("the save ends", || client.info("persistence", "rdb_bgsave_in_progress") == "0");
        client.run("LASTSAVE").integer() > before
    });
    assert_eq!(client.info("persistence", "rdb_last_bgsave_status"), "ok");
    server.kill();
    let server = Server::on(&directory, &arguments);
    assert_restored("BGSAVE", &server, &expected);
}

#[test]
fn save_points_save_by_themselves() {
    let directory = DataDirectory::new();
    let arguments = ["--appendonly", "no", "--save", "1 2"];
    let mut server = Server::on(&directory, &arguments);
    let mut client = server.client();
    check(&mut client, "SET a 1 => +OK\nSET b 2 => +OK");
    wait_until("a save point is reached", || client.info("persistence", "rdb_changes_since_last_save") == "0");
    server.kill();
    let mut server = Server::on(&directory, &arguments);
    check(&mut server.client(), "GET a => \"1\"\nGET b => \"2\"\nSET c 3 => +OK");
    // With save points a polite end saves as well, unless it is told not to.
    server.signal("TERM");
    assert_eq!(server.wait_exit(), Some(0));
    let mut server = Server::on(&directory, &arguments);
    let mut client = server.client();
    check(&mut client, "GET c => \"3\"\nSET d 4 => +OK");
    client.post("SHUTDOWN NOSAVE");
    assert_eq!(server.wait_exit(), Some(0));
    let server = Server::on(&directory, &arguments);
    check(&mut server.client(), "GET c => \"3\"\nGET d => nil");
}

/// `appendfsync always`: replies come once the disk has what they acknowledge.
#[test]
fn replies_come_whatever_the_policy_and_waitaof_tells_what_is_durable() {
    for policy in ["always", "everysec", "no"] {
        let directory = DataDirectory::new();
        let mut server = Server::on(&directory, &["--appendfsync", policy, "--io-threads", "2"]);
        std::thread::scope(|scope| {
            for connection in 0..8 {
                let mut client = server.client();
                scope.spawn(move || {
                    for number in 0..20 {
                        assert_eq!(client.command(&["SET", &format!("{connection}:{number}"), "value"]), Reply::ok());
                    }
                });
            }
        });
        let mut client = server.client();
        assert_eq!(client.run("DBSIZE"), Reply::Integer(160));
        if policy == "no" {
            // Nothing syncs by itself here, so that only the time runs out.
            check(&mut client, "SET key value => +OK\nWAITAOF 0 1 20 => [_ :0]");
        } else {
            check(&mut client, "SET key value => +OK\nWAITAOF 1 0 0 => [:1 :0]");
        }
        check(&mut client, "MULTI => +OK\nSET {a}x 1 => +QUEUED\nSET {b}y 2 => +QUEUED\nEXEC => [+OK +OK]");
        server.kill();
        let server = Server::on(&directory, &["--appendfsync", policy]);
        check(&mut server.client(), "DBSIZE => :163\nGET {b}y => \"2\"");
    }
    let server = Server::start();
    check(
        &mut server.client(),
        "WAITAOF 1 0 0 => -ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
    );
}
