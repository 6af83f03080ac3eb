//! RDB files, DUMP payloads and append-only files against a real redis-server, in both directions.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use cairn::rdb::append_only::{AppendOnlyEvent, AppendOnlyFiles};
use cairn::rdb::{Event, RdbReader, RdbWriter, ReadOptions, SavedKey, Value, WriteOptions};

use crate::support::{Client, Random, Reply, Server, escape, temporary_directory, wait_until};

const FUTURE_MS: u64 = 4_000_000_000_000;
/// Database of the plain samples, and those of copies of some of them.
const DATABASES: [u64; 3] = [0, 3, 15];

/// What a database number and a key lead to.
type DataSet = BTreeMap<(u64, Vec<u8>), (Vec<u8>, Option<u64>)>;

/// Values of every encoding and of every length at which the encoding changes.
fn values() -> Vec<Vec<u8>> {
    let mut random = Random::new(42);
    let mut values: Vec<Vec<u8>> = Vec::new();
    for len in [0, 1, 19, 20, 21, 22, 63, 64, 65, 264, 265, 8192, 8200, 16_383, 16_384, 1 << 20] {
        values.push(vec![b'a'; len]);
        values.push((0..len).map(|_| random.next() as u8).collect());
        values.push((0..len).map(|_| random.pick(b"abc ")).collect());
    }
    let edges = [i64::from(i8::MAX), i64::from(i16::MAX), i64::from(i32::MAX), i64::from(u32::MAX), 10_000, 0];
    for edge in edges {
        for number in [edge - 1, edge, edge + 1, -edge - 1, -edge - 2, -edge] {
            values.push(number.to_string().into_bytes());
        }
    }
    let texts = ["00012", "-0", "+1", " 1", "1 ", "1.0", "9223372036854775807", "-9223372036854775808"];
    values.extend(texts.iter().map(|text| text.as_bytes().to_vec()));
    values.extend([b"9223372036854775808".to_vec(), b"\0\r\n\xff\xfe".to_vec(), (0..=255).collect()]);
    values
}

/// The values under plain keys, keys of every encoding, and expiries, in several databases.
fn samples() -> DataSet {
    let mut samples = DataSet::new();
    for (number, value) in values().into_iter().enumerate() {
        let expiry_ms = (number % 3 == 1).then_some(FUTURE_MS + number as u64);
        samples.insert((0, format!("value:{number}").into_bytes()), (value.clone(), expiry_ms));
        let db = DATABASES[1 + number % 2];
        // The value as a key: as long, as binary, as much a number.
        samples.insert((db, value), (number.to_string().into_bytes(), expiry_ms));
    }
    samples
}

fn select(client: &mut Client, db: u64) {
    assert_eq!(client.run(&format!("SELECT {db}")), Reply::ok());
}

fn set_all(client: &mut Client, samples: &DataSet) {
    for ((db, key), (value, expiry_ms)) in samples {
        select(client, *db);
        assert_eq!(client.command(&[b"SET", &key[..], value]), Reply::ok());
        if let Some(expiry_ms) = expiry_ms {
            let expiry = expiry_ms.to_string();
            assert_eq!(client.command(&[b"PEXPIREAT", &key[..], expiry.as_bytes()]), Reply::Integer(1));
        }
    }
}

/// Asserts that a server holds these keys and no others.
fn check_all(client: &mut Client, samples: &DataSet) {
    for db in 0..16 {
        select(client, db);
        let count = samples.keys().filter(|(of, _)| *of == db).count();
        assert_eq!(client.run("DBSIZE"), Reply::Integer(count as i64), "database {db}");
    }
    for ((db, key), (value, expiry_ms)) in samples {
        select(client, *db);
        let found = client.command(&[b"GET", &key[..]]);
        assert!(found == Reply::Bulk(value.clone()), "{} holds {found:?}", escape(key));
        let expiry = client.command(&[b"PEXPIRETIME", &key[..]]);
        assert_eq!(expiry, Reply::Integer(expiry_ms.map_or(-1, |expiry_ms| expiry_ms as i64)));
    }
}

/// All keys of a file; names and values of its auxiliary fields.
fn read_file(path: &Path) -> (DataSet, BTreeMap<String, String>) {
    let mut reader = RdbReader::new(File::open(path).unwrap(), ReadOptions::default()).unwrap();
    let (mut db, mut announced) = (0, 0);
    let (mut keys, mut aux) = (DataSet::new(), BTreeMap::new());
    loop {
        match reader.next().unwrap_or_else(|error| panic!("{error}")) {
            Event::Aux { name, value } => {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                aux.insert(text(name), text(value));
            }
            Event::SelectDb(selected) => db = selected,
            Event::ResizeDb { keys, .. } => announced += keys,
            Event::SlotInfo { .. } | Event::Library(_) => {}
            Event::Key(saved) => {
                let Value::String(value) = saved.value else { panic!("not a string") };
                keys.insert((db, saved.key.to_vec()), (value.to_vec(), saved.expiry_ms));
            }
            Event::End => break,
        }
    }
    assert_eq!(announced, keys.len() as u64);
    (keys, aux)
}

fn write_file(path: &Path, samples: &DataSet, options: WriteOptions) {
    let mut writer = RdbWriter::new(BufWriter::new(File::create(path).unwrap()), options).unwrap();
    writer.header(1_700_000_000, 1_000_000, false).unwrap();
    for db in DATABASES {
        let of_db = || samples.iter().filter(move |((of, _), _)| *of == db);
        let expiring = of_db().filter(|(_, (_, expiry_ms))| expiry_ms.is_some()).count();
        writer.select_db(db).unwrap();
        writer.resize_db(of_db().count() as u64, expiring as u64).unwrap();
        for ((_, key), (value, expiry_ms)) in of_db() {
            writer.key(&SavedKey::new(key, Value::String(value), *expiry_ms)).unwrap();
        }
    }
    let bytes = writer.bytes();
    writer.finish().unwrap();
    assert_eq!(fs::metadata(path).unwrap().len(), bytes + 9);
}

/// A directory for files that a server is to find when it starts.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        Directory(temporary_directory())
    }

    fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

const OPTIONS: [WriteOptions; 3] = [
    WriteOptions { compression: true, checksum: true },
    WriteOptions { compression: false, checksum: true },
    WriteOptions { compression: true, checksum: false },
];

#[test]
fn what_redis_saves_is_read() {
    for options in OPTIONS {
        let arguments = ["--rdbcompression", yes_no(options.compression), "--rdbchecksum", yes_no(options.checksum)];
        let redis = Server::of_oracle(&arguments);
        let mut client = redis.client();
        let mut samples = samples();
        set_all(&mut client, &samples);
        // A key whose time has come is saved as long as it was not removed.
        client.run("DEBUG SET-ACTIVE-EXPIRE 0");
        select(&mut client, 0);
        client.run("SET past v PX 1");
        let past_ms = client.run("PEXPIRETIME past").integer() as u64;
        samples.insert((0, b"past".to_vec()), (b"v".to_vec(), Some(past_ms)));
        std::thread::sleep(std::time::Duration::from_millis(3));
        assert_eq!(client.run("SAVE"), Reply::ok());
        let (keys, aux) = read_file(&redis.path("dump.rdb"));
        assert!(keys == samples, "{options:?}");
        assert_eq!(aux["redis-bits"], "64");
    }
}

#[test]
fn what_policies_count_is_read() {
    for (policy, idle, frequency) in [("allkeys-lru", Some(777), None), ("allkeys-lfu", None, Some(99))] {
        let redis = Server::of_oracle(&["--maxmemory", "1gb", "--maxmemory-policy", policy]);
        let mut client = redis.client();
        client.run("SET key value");
        let payload = client.run("DUMP key").bytes().to_vec();
        let option: &[&[u8]] = if idle.is_some() { &[b"IDLETIME", b"777"] } else { &[b"FREQ", b"99"] };
        assert_eq!(
            client.command(&[&[&b"RESTORE"[..], b"key", b"0", &payload, b"REPLACE"], option].concat()),
            Reply::ok()
        );
        client.run("SAVE");
        let mut reader = RdbReader::new(File::open(redis.path("dump.rdb")).unwrap(), ReadOptions::default()).unwrap();
        let found = loop {
            if let Event::Key(saved) = reader.next().unwrap() {
                break (saved.idle_seconds, saved.frequency);
            }
        };
        assert_eq!(found.1, frequency);
        assert!(found.0 == idle || found.0 == idle.map(|seconds| seconds + 1), "{found:?}");
    }
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let redis = Server::of_oracle(&[]);
    redis.client().run("SADD some:key member");
    redis.client().run("SAVE");
    let mut file = fs::read(redis.path("dump.rdb")).unwrap();
    let name = file.windows(9).position(|bytes| bytes == b"\x08some:key").expect("the key");
    // What a module wrote.
    file[name - 1] = 7;
    let mut reader = RdbReader::new(&file[..], ReadOptions::default()).unwrap();
    let error = loop {
        match reader.next() {
            Ok(Event::Key(_) | Event::End) => panic!("it was read"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    let text = error.to_string();
    assert!(text.contains("value type 'module' of key \"some:key\" at offset "), "{text}");
    assert_eq!(error.offset as usize, name - 1);
}

#[test]
fn redis_starts_with_what_is_written() {
    for options in OPTIONS {
        let (directory, samples) = (Directory::new(), samples());
        // Loading leaves out what expired.
        let mut written = samples.clone();
        written.insert((0, b"past".to_vec()), (b"v".to_vec(), Some(1_000)));
        write_file(&directory.0.join("ours.rdb"), &written, options);
        let redis = Server::of_oracle(&["--dir", directory.text(), "--dbfilename", "ours.rdb"]);
        let mut client = redis.client();
        client.wait_for("PING", &Reply::Status(b"PONG".to_vec()));
        check_all(&mut client, &samples);
        let loaded = client.run("DEBUG DIGEST");
        client.run("FLUSHALL");
        set_all(&mut client, &samples);
        assert_eq!(client.run("DEBUG DIGEST"), loaded);
        // What Redis makes of it is what was meant.
        client.run("SAVE");
        let (again, _) = read_file(&directory.0.join("ours.rdb"));
        assert!(again == samples);
    }
}

#[test]
fn payloads_go_both_ways() {
    for compression in [true, false] {
        let arguments = ["--rdbcompression", yes_no(compression)];
        let servers = [Server::with(&arguments), Server::of_oracle(&arguments)];
        let [mut ours, mut theirs] = [servers[0].client(), servers[1].client()];
        for value in values() {
            for client in [&mut ours, &mut theirs] {
                assert_eq!(client.command(&[b"SET", b"key", &value[..]]), Reply::ok());
            }
            let dumped = ours.run("DUMP key").bytes().to_vec();
            let expected = theirs.run("DUMP key").bytes().to_vec();
            // Compressed forms may differ; what is restored may not.
            if !compression || value.len() <= 20 {
                assert_eq!(escape(&dumped), escape(&expected), "{}", escape(&value[..value.len().min(50)]));
            } else {
                assert!(dumped.len() <= value.len() + 16);
                // Nor may it be much worse than what Redis makes of it.
                assert!(dumped.len() <= expected.len() * 5 / 4 + 16, "{} and {}", dumped.len(), expected.len());
            }
            for (client, payload) in [(&mut theirs, &dumped), (&mut ours, &expected)] {
                assert_eq!(client.command(&[&b"RESTORE"[..], b"copy", b"0", payload, b"REPLACE"]), Reply::ok());
                assert!(client.run("GET copy") == Reply::Bulk(value.clone()));
            }
            assert_eq!(ours.run("OBJECT ENCODING copy"), theirs.run("OBJECT ENCODING copy"));
        }
        assert_eq!(ours.run("DUMP none"), Reply::Null);
    }
}

#[test]
fn payloads_of_every_type_travel_both_ways() {
    let (server, redis) = (Server::start(), Server::of_oracle(&[]));
    let (mut ours, mut theirs) = (server.client(), redis.client());
    for (command, question) in [
        ("RPUSH key a 1 b", "LRANGE key 0 -1"),
        ("SADD key 1 2 3", "SMEMBERS key"),
        ("SADD key member", "SMEMBERS key"),
        ("ZADD key 1 a 2.5 b", "ZRANGE key 0 -1 WITHSCORES"),
        ("HSET key field value", "HGETALL key"),
        ("XADD key 1-1 field value", "XRANGE key - +"),
        ("PFADD key a b c", "PFCOUNT key"),
    ] {
        theirs.run("DEL key");
        theirs.run(command);
        let expected = theirs.run(question);
        let payload = theirs.run("DUMP key").bytes().to_vec();
        assert_eq!(ours.command(&[&b"RESTORE"[..], b"key", b"0", &payload, b"REPLACE"]), Reply::ok(), "{command}");
        assert_eq!(ours.run(question), expected, "{command}");
        let payload = ours.run("DUMP key").bytes().to_vec();
        assert_eq!(theirs.command(&[&b"RESTORE"[..], b"key", b"0", &payload, b"REPLACE"]), Reply::ok(), "{command}");
        assert_eq!(theirs.run(question), expected, "{command}");
    }
}

/// What the commands of append-only files make, for those that the test below uses.
fn replay(directory: &Path) -> (DataSet, Vec<String>) {
    let (mut data, mut db, mut notes) = (DataSet::new(), 0, Vec::new());
    let files = AppendOnlyFiles::find(directory, "appendonlydir", "appendonly.aof", ReadOptions::default());
    let mut files = files.unwrap_or_else(|error| panic!("{error}")).expect("append-only files");
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).unwrap().parse::<u64>().unwrap();
    loop {
        match files.next().unwrap_or_else(|error| panic!("{error}")) {
            AppendOnlyEvent::Snapshot(Event::SelectDb(selected)) => db = selected,
            AppendOnlyEvent::Snapshot(Event::Key(saved)) => {
                let Value::String(value) = saved.value else { panic!("not a string") };
                data.insert((db, saved.key.to_vec()), (value.to_vec(), saved.expiry_ms));
            }
            AppendOnlyEvent::Snapshot(_) => {}
            AppendOnlyEvent::Command(command) => {
                let arguments: Vec<&[u8]> = command.arguments().collect();
                match (arguments[0].to_ascii_uppercase().as_slice(), &arguments[1..]) {
                    (b"SELECT", [selected]) => db = number(selected),
                    (b"SET", [key, value]) => drop(data.insert((db, key.to_vec()), (value.to_vec(), None))),
                    (b"PEXPIREAT", [key, expiry_ms]) => {
                        data.get_mut(&(db, key.to_vec())).unwrap().1 = Some(number(expiry_ms));
                    }
                    (b"DEL", [key]) => drop(data.remove(&(db, key.to_vec()))),
                    (b"MULTI" | b"EXEC", []) => notes.push(escape(arguments[0])),
                    _ => panic!("{:?}", arguments.iter().map(|part| escape(part)).collect::<Vec<_>>()),
                }
            }
            AppendOnlyEvent::Time(seconds) => assert!(seconds > 1_700_000_000),
            AppendOnlyEvent::Torn { whole_bytes, bytes } => notes.push(format!("torn {}", bytes - whole_bytes)),
            AppendOnlyEvent::FileEnd => notes.push("next".into()),
            AppendOnlyEvent::End => return (data, notes),
        }
    }
}

#[test]
fn append_only_files_of_redis_are_read() {
    for preamble in [true, false] {
        let directory = Directory::new();
        let redis = Server::of_oracle(&[
            "--dir",
            directory.text(),
            "--appendonly",
            "yes",
            // By default it puts writes off while it waits for the disk.
            "--appendfsync",
            "no",
            "--aof-timestamp-enabled",
            "yes",
            "--aof-use-rdb-preamble",
            yes_no(preamble),
        ]);
        let mut client = redis.client();
        let mut samples = samples();
        set_all(&mut client, &samples);
        let (found, notes) = replay(&directory.0);
        assert!(found == samples && notes == ["next"], "{notes:?}");

        client.run("BGREWRITEAOF");
        wait_until("the append-only file is rewritten", || {
            client.info("persistence", "aof_rewrite_in_progress") == "0"
                && client.info("persistence", "aof_rewrite_scheduled") == "0"
        });
        select(&mut client, 0);
        for line in ["MULTI", "SET value:0 new", "SET value:1 new", "EXEC", "DEL value:2"] {
            client.run(line);
        }
        samples.insert((0, b"value:0".to_vec()), (b"new".to_vec(), None));
        samples.insert((0, b"value:1".to_vec()), (b"new".to_vec(), None));
        samples.remove(&(0, b"value:2".to_vec()));
        let (found, notes) = replay(&directory.0);
        assert!(found == samples && notes == ["next", "MULTI", "EXEC"], "{notes:?}");

        // Killed in the middle of a write: the transaction is gone with what follows it.
        drop(redis);
        let mut files = fs::read_dir(directory.0.join("appendonlydir")).unwrap().map(|file| file.unwrap().path());
        let increment = files.find(|path| path.to_str().unwrap().ends_with(".2.incr.aof")).unwrap();
        let bytes = fs::read(&increment).unwrap();
        let exec = bytes.windows(4).position(|word| word == b"EXEC").unwrap();
        fs::write(&increment, &bytes[..exec + 2]).unwrap();
        let (_, notes) = replay(&directory.0);
        assert_eq!(notes[..2], ["next", "MULTI"]);
        assert!(notes[2].starts_with("torn "), "{notes:?}");
    }
}
