//! The tool `cairn` as an operator uses it: beside a running server, on what a killed one left, and on damaged files.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cairn::base::key_slot::SlotId;

use crate::support::{Client, Reply, Server, split_line, temporary_directory, wait_until};

/// A directory that goes with the test.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Directory {
        Directory(temporary_directory())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a UTF-8 path").to_owned()
    }

    /// A server that keeps its data below this directory.
    pub fn serve(&self, name: &str, arguments: &[&str]) -> Server {
        fs::create_dir_all(self.path(name)).unwrap();
        let directory = self.text(name);
        let server = Server::with(&[&["--dir", &directory, "--appendonly", "yes"], arguments].concat());
        let mut client = server.client();
        wait_until("the data is loaded", || !client.run("DBSIZE").is_error());
        server
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the tool said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub error: String,
}

impl Said {
    #[track_caller]
    pub fn expect(&self, code: i32, part: &str) {
        assert!(self.code == code && (self.out.contains(part) || self.error.contains(part)), "{part}: {self:?}");
    }
}

pub fn cairn(arguments: &[&str]) -> Said {
    let done = Command::new(env!("CARGO_BIN_EXE_cairn")).args(arguments).output().expect("run the tool");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Said { code: done.status.code().expect("an exit status"), out: text(done.stdout), error: text(done.stderr) }
}

/// The commands of `cairn log` that a test compares: database, part and words.
fn commands(said: &Said) -> Vec<String> {
    let command = |line: &str| {
        let words: Vec<&str> = line.splitn(5, ' ').collect();
        let arguments = split_line(words[4]);
        let arguments: Vec<String> = arguments.iter().map(|argument| argument.escape_ascii().to_string()).collect();
        format!("{} {} {}", words[2], words[3], arguments.join(" "))
    };
    said.out.lines().map(command).collect()
}

fn lines_with<'a>(said: &'a Said, part: &str) -> Vec<&'a str> {
    said.out.lines().filter(|line| line.contains(part)).collect()
}

/// Every file below a directory with its bytes.
fn contents(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    files.map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

fn log_files(directory: &Directory, name: &str, prefix: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = contents(&directory.path(name).join("cairn-log")).into_keys().collect();
    files.retain(|file| file.file_name().unwrap().to_str().unwrap().starts_with(prefix));
    files
}

fn settle(client: &mut Client) {
    client.run("BGREWRITEAOF");
    wait_until("settling ends", || client.info("persistence", "aof_rewrite_in_progress") == "0");
    assert_eq!(client.info("persistence", "aof_last_bgrewrite_status"), "ok");
}

/// Sets keys in several databases, some settled and some in the journal, and kills the server.
fn filled(directory: &Directory, name: &str) {
    let server = directory.serve(name, &[]);
    let mut client = server.client();
    for number in 0..100 {
        client.run(&format!("SET key:{number} settled"));
    }
    client.run("SELECT 5");
    client.run("SET other 5 PXAT 4000000000000");
    settle(&mut client);
    client.run("SELECT 0");
    client.run("MSET key:1 a key:2 b key:3 c");
}

#[test]
fn a_check_tells_sound_from_torn_from_damaged() {
    let directory = Directory::new();
    let server = directory.serve("data", &[]);
    cairn(&["check", &directory.text("data")]).expect(2, "is in use by process");
    drop(server);
    fs::remove_dir_all(directory.path("data")).unwrap();
    filled(&directory, "data");
    let data = directory.text("data");
    let sound = cairn(&["check", &data]);
    sound.expect(0, " 0 torn tails, 0 damaged slots: sound\n");
    assert_eq!(sound.out.lines().count(), 1, "{sound:?}");
    cairn(&["check", &directory.text("data/cairn-log")]).expect(0, "104 records (101 settled, 3 in the journal)");

    // A tail that is torn: half of a record behind the last whole one.
    let journal = log_files(&directory, "data", "journal-");
    let (torn, end) = journal
        .iter()
        .find_map(|file| {
            let bytes = fs::read(file).unwrap();
            let at = bytes.windows(5).position(|window| window == b"key:3")?;
            Some((file, (at + 7).next_multiple_of(8)))
        })
        .unwrap();
    let file = OpenOptions::new().write(true).open(torn).unwrap();
    file.write_all_at(&[7; 20], end as u64).unwrap();
    let before = contents(&directory.path("data/cairn-log"));
    let name = torn.file_name().unwrap().to_str().unwrap();
    cairn(&["check", &data]).expect(1, &format!("torn tail: {name} ends at offset {end}, where "));
    assert!(before == contents(&directory.path("data/cairn-log")), "a check changed something");
    cairn(&["check", &data, "--repair"]).expect(0, &format!("cut: {name} ends at offset {end}, where "));
    assert_eq!(fs::metadata(torn).unwrap().len(), end as u64);
    for (path, bytes) in before.iter().filter(|(path, _)| *path != torn && !path.ends_with("lock")) {
        assert!(fs::read(path).unwrap() == *bytes, "{} was changed", path.display());
    }
    cairn(&["check", &data]).expect(0, "sound");

    // A damaged record: its slot, and only that.
    let tables = log_files(&directory, "data", "slots-");
    let bytes = fs::read(&tables[0]).unwrap();
    let at = bytes.windows(6).position(|window| window == b"key:50").unwrap();
    let file = OpenOptions::new().write(true).open(&tables[0]).unwrap();
    file.write_all_at(b"K", at as u64).unwrap();
    let slot = SlotId::of_key(b"key:50").number();
    let damaged = cairn(&["check", &data]);
    damaged.expect(2, &format!("damage: slot {slot}: slots-0000 at "));
    damaged.expect(2, "1 damaged slots: damaged\n");
    assert_eq!(cairn(&["check", &data, "--repair"]).code, 2);

    // The export refuses, or says what is missing.
    let rdb = directory.text("some.rdb");
    cairn(&["export", &data, "--rdb", &rdb]).expect(2, &format!("slot {slot}: "));
    assert!(!directory.path("some.rdb").exists());
    cairn(&["export", &data, "--rdb", &rdb, "--partial"]).expect(1, &format!("missing: slot {slot}: "));
    cairn(&["export", &data, "--rdb", &rdb]).expect(2, "is there already");
    cairn(&["import", "--rdb", &rdb, "--into", &directory.text("some")]).expect(0, "has 100 keys");

    // A segment that is gone.
    fs::remove_file(torn).unwrap();
    cairn(&["check", &data]).expect(2, &format!("damage: the journal cannot be read: {name} is missing"));
    cairn(&["export", &data, "--rdb", &directory.text("other.rdb"), "--partial"]).expect(2, "is missing");
    fs::write(directory.path("data/cairn-log/manifest"), b"nonsense").unwrap();
    cairn(&["check", &data]).expect(2, "the manifest is none of Cairn's");
    cairn(&["check", &directory.text("nowhere")]).expect(2, "No such file");
    fs::create_dir(directory.path("empty")).unwrap();
    for command in [&["check"][..], &["log", "--slot", "1"], &["export", "--rdb", "x"]] {
        cairn(&[command, &[&directory.text("empty")]].concat()).expect(2, "there is no log");
    }
    cairn(&["check"]).expect(3, "<DIR>");
    cairn(&["mend"]).expect(3, "unrecognized subcommand");
}

#[test]
fn a_log_prints_what_happened_beside_a_running_server() {
    let directory = Directory::new();
    let server = directory.serve("data", &[]);
    let mut client = server.client();
    client.command(&[&b"SET"[..], b"{a}key", b"with \"quotes\"\r\n\0\xff"]);
    client.run("SET {a}other 1");
    client.run("INCRBY {a}other 5");
    settle(&mut client);
    client.run("APPEND {a}key more");
    client.run("MULTI");
    client.run("DEL {a}key");
    client.run("SET elsewhere 1");
    client.run("SELECT 2");
    client.run("SET {a}key 2 PXAT 4000000000000");
    client.run("EXEC");
    client.run("FLUSHDB");
    let data = directory.text("data");
    let before = contents(&directory.path("data/cairn-log"));
    let of_key = cairn(&["log", &data, "--key", "{a}key"]);
    let slot_text = SlotId::of_key(b"a").number().to_string();
    let of_slot = cairn(&["log", &data, "--slot", &slot_text]);
    assert!(before.keys().eq(contents(&directory.path("data/cairn-log")).keys()), "a file came or went");
    assert_eq!(
        commands(&of_key),
        [
            r#"db0 - SET {a}key with \"quotes\"\r\n\x00\xff"#,
            "db0 - APPEND {a}key more",
            "db0 1/3 DEL {a}key",
            "db2 3/3 SET {a}key 2 PXAT 4000000000000",
            "db2 - FLUSHDB"
        ]
    );
    assert_eq!(commands(&of_slot).len(), 7, "{of_slot:?}");
    assert_eq!(commands(&of_slot)[2], "db0 - INCRBY {a}other 5");
    let numbers: Vec<&str> = of_slot.out.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(numbers, ["1", "2", "3", "4", "5", "6", "7"]);
    // What a line gives as its time is where reading can begin.
    let flush = of_slot.out.lines().last().unwrap();
    let from = flush.split(' ').next().unwrap();
    let late = cairn(&["log", &data, "--slot", &slot_text, "--from", from]);
    assert!(late.code == 0 && late.out.ends_with(&format!("{flush}\n")), "{late:?}");
    let tomorrow = cairn(&["log", &data, "--slot", &slot_text, "--from", "2999-01-01 00:00:00"]);
    assert!(tomorrow.code == 0 && tomorrow.out.is_empty(), "{tomorrow:?}");
    // The same from what the server left.
    drop(server);
    assert_eq!(cairn(&["log", &data, "--slot", &slot_text]).out, of_slot.out);
}

/// A tool that goes on until it is ended.
struct Following(Child);

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn following_misses_nothing_while_the_log_settles() {
    const CLIENTS: usize = 3;
    const EACH: usize = 1500;
    let directory = Directory::new();
    let server =
        directory.serve("data", &["--log-settle-bytes", "4096", "--log-retention", "3600", "--io-threads", "2"]);
    server.client().run("SET counter 0");
    let data = directory.text("data");
    let child = Command::new(env!("CARGO_BIN_EXE_cairn"))
        .args(["log", &data, "--key", "counter", "--follow"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("run the tool");
    let mut following = Following(child);
    let out = BufReader::new(following.0.stdout.take().expect("a pipe"));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = server.client();
                let noise = "x".repeat(200);
                for number in 0..EACH {
                    assert!(!client.run("INCR counter").is_error());
                    client.run(&format!("SET noise:{} {noise}", number % 50));
                }
            });
        }
        let mut lines = out.lines();
        for expected in 1..=CLIENTS * EACH + 1 {
            let line = lines.next().expect("a line").expect("text");
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(words[1], expected.to_string(), "{line}");
            assert_eq!(words[4], if expected == 1 { "\"SET\"" } else { "\"INCR\"" }, "{line}");
        }
    });
    let mut client = server.client();
    assert_eq!(client.run("GET counter"), Reply::bulk(&(CLIENTS * EACH).to_string()));
    assert_eq!(client.info("persistence", "aof_last_bgrewrite_status"), "ok");
}

#[test]
fn a_moment_is_restored_whole() {
    let directory = Directory::new();
    let server = directory.serve("data", &["--log-retention", "3600"]);
    let mut client = server.client();
    let mut moments: Vec<(String, i64)> = Vec::new();
    for round in 0..4 {
        // Every key in its own slot, all in one transaction.
        let pairs: Vec<String> = (0..20).map(|key| format!("key:{key} {round}")).collect();
        client.run(&format!("MSET {}", pairs.join(" ")));
        client.run("INCR counter");
        if round == 1 {
            settle(&mut client);
        }
        let time = client.run("TIME");
        let Reply::Array(parts) = &time else { panic!("{time:?}") };
        let micros: u64 = parts[1].text().parse().unwrap();
        moments.push((format!("{}.{:03}", parts[0].text(), micros / 1000), round));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    client.run("FLUSHALL");
    let data = directory.text("data");
    cairn(&["restore", &data, "--to", "1", "--into", &directory.text("x")]).expect(2, "is in use");
    drop(server);
    let before = contents(&directory.path("data/cairn-log"));
    for (moment, round) in &moments {
        let name = format!("at-{round}");
        cairn(&["restore", &data, "--to", moment, "--into", &directory.text(&name)]).expect(0, "21 slots");
        cairn(&["check", &directory.text(&name)]).expect(0, "sound");
        let server = directory.serve(&name, &[]);
        let mut client = server.client();
        let keys: Vec<String> = (0..20).map(|key| format!("key:{key}")).collect();
        let values = client.run(&format!("MGET {}", keys.join(" ")));
        assert_eq!(values, Reply::Array(vec![Reply::bulk(&round.to_string()); 20]), "{moment}");
        assert_eq!(client.run("GET counter"), Reply::bulk(&(round + 1).to_string()));
        assert_eq!(client.run("INCR counter"), Reply::Integer(round + 2));
        assert_eq!(client.run("DBSIZE"), Reply::Integer(21));
    }
    // The end of it all; a directory that is there and empty is taken.
    fs::create_dir(directory.path("end")).unwrap();
    cairn(&["restore", &data, "--to", "2999-01-01", "--into", &directory.text("end")]).expect(0, "has the state of");
    let server = directory.serve("end", &[]);
    assert_eq!(server.client().run("DBSIZE"), Reply::Integer(0));
    cairn(&["restore", &data, "--to", "2999-01-01", "--into", &directory.text("end")]).expect(2, "is not empty");
    assert!(before == contents(&directory.path("data/cairn-log")), "a restore changed its source");
}

#[test]
fn a_moment_that_was_not_kept_is_refused_with_the_earliest_one() {
    let directory = Directory::new();
    {
        let server = directory.serve("data", &[]);
        let mut client = server.client();
        for number in 0..5 {
            client.run(&format!("SET key {number}"));
        }
        settle(&mut client);
        client.run("SET key last");
    }
    let data = directory.text("data");
    let refused = cairn(&["restore", &data, "--to", "1700000000", "--into", &directory.text("early")]);
    refused.expect(2, "is too early: what was kept begins at ");
    assert!(!directory.path("early").exists());
    let earliest = refused.error.split("begins at ").nth(1).unwrap().split(' ').next().unwrap();
    cairn(&["restore", &data, "--to", earliest, "--into", &directory.text("first")]).expect(0, "1 slots");
    let server = directory.serve("first", &[]);
    assert_eq!(server.client().run("GET key"), Reply::bulk("4"));
}

#[test]
fn data_moves_in_from_redis_and_out_again() {
    let directory = Directory::new();
    // A Redis with a base and increments.
    let redis = Server::of_oracle(&["--appendonly", "yes", "--save", ""]);
    let mut client = redis.client();
    for number in 0..500 {
        client.run(&format!("SET key:{number} {number}"));
    }
    client.run("SELECT 9");
    client.run("SET later 1 PXAT 4000000000000");
    wait_until("the rewrite begins", || !client.run("BGREWRITEAOF").is_error());
    wait_until("the rewrite ends", || client.info("persistence", "aof_rewrite_in_progress") == "0");
    client.run("MULTI");
    client.run("APPEND later 2");
    client.run("DEL later:none");
    client.run("EXEC");
    client.run("SAVE");
    let aof = redis.path("appendonlydir").to_str().unwrap().to_owned();
    let rdb = redis.path("dump.rdb").to_str().unwrap().to_owned();
    for (from, name) in [(["--aof", &aof], "of-aof"), (["--rdb", &rdb], "of-rdb")] {
        let into = directory.text(name);
        cairn(&[&["import", "--into", &into], &from[..]].concat()).expect(0, "has 501 keys");
        cairn(&["check", &into]).expect(0, "500 slots, ");
        cairn(&[&["import", "--into", &into], &from[..]].concat()).expect(2, "holds a log already");
        cairn(&["check", &into]).expect(0, "500 slots, ");
        let server = directory.serve(name, &[]);
        let mut client = server.client();
        assert_eq!(client.run("DBSIZE"), Reply::Integer(500));
        client.run("SELECT 9");
        assert_eq!(client.run("GET later"), Reply::bulk("12"));
        assert_eq!(client.run("PEXPIRETIME later"), Reply::Integer(4_000_000_000_000));
        drop(server);
        // And out: Redis loads it.
        let out = directory.path(&format!("redis-{name}"));
        fs::create_dir(&out).unwrap();
        let file = out.join("dump.rdb").to_str().unwrap().to_owned();
        cairn(&["export", &into, "--rdb", &file]).expect(0, "has 501 keys");
        let back = Server::of_oracle(&["--dir", out.to_str().unwrap()]);
        let mut client = back.client();
        assert_eq!(client.run("GET key:499"), Reply::bulk("499"));
        assert_eq!(client.run("DBSIZE"), Reply::Integer(500));
        client.run("SELECT 9");
        assert_eq!(client.run("GET later"), Reply::bulk("12"));
    }
    // What cannot be read leaves nothing behind.
    fs::write(directory.path("bad.rdb"), b"REDIS0011 and nonsense").unwrap();
    let bad = directory.text("bad.rdb");
    cairn(&["import", "--rdb", &bad, "--into", &directory.text("bad")]).expect(2, "bad.rdb: RDB: ");
    assert!(!directory.path("bad").exists());
    cairn(&["import", "--rdb", &directory.text("none.rdb"), "--into", &directory.text("bad")]).expect(2, "none.rdb");
    cairn(&["import", "--aof", &directory.text("of-aof"), "--into", &directory.text("bad")]).expect(2, "no manifest");
    assert!(!directory.path("bad").exists());
    fs::create_dir_all(directory.path("bad/cairn-log")).unwrap();
    fs::write(directory.path("bad/cairn-log/notes"), b"mine").unwrap();
    cairn(&["import", "--rdb", &rdb, "--into", &directory.text("bad")]).expect(2, "holds notes, which is no part");
    assert_eq!(fs::read(directory.path("bad/cairn-log/notes")).unwrap(), b"mine");
    // A torn end of a single append-only file is said.
    fs::write(directory.path("single.aof"), b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n*3\r\n$3\r\nSE").unwrap();
    let single = directory.text("single.aof");
    let torn = cairn(&["import", "--aof", &single, "--into", &directory.text("torn")]);
    torn.expect(1, "has 1 keys");
    torn.expect(1, "ends within a command");
    // As many databases as there can be, and a word on what the server needs then.
    fs::write(
        directory.path("high.aof"),
        b"*2\r\n$6\r\nSELECT\r\n$2\r\n40\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n",
    )
    .unwrap();
    let high = cairn(&["import", "--aof", &directory.text("high.aof"), "--into", &directory.text("high")]);
    high.expect(0, "needs \"databases 41\"");
}

#[test]
fn a_data_set_that_is_not_whole_is_not_taken_for_one() {
    let directory = Directory::new();
    filled(&directory, "data");
    File::create(directory.path("data/cairn-log/moving-in")).unwrap();
    let data = directory.text("data");
    cairn(&["check", &data]).expect(2, "not whole");
    cairn(&["export", &data, "--rdb", &directory.text("x.rdb")]).expect(2, "not whole");
    cairn(&["restore", &data, "--to", "2999-01-01", "--into", &directory.text("x")]).expect(2, "not whole");
    let lines = cairn(&["log", &data, "--key", "key:1"]);
    assert_eq!(lines_with(&lines, "key:1").len(), lines.out.lines().count());
}
