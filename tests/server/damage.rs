//! A damaged log: what is hurt is refused with its reason, the rest serves, and nothing is dropped in silence.
//!
//! The server only reads what is damaged, so wherever a test mends the damage again, everything is back.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::restart::refused_start;
use crate::support::{Client, DataDirectory, Dataset, Reply, Server, Stored, assert_same, check, dataset, wait_until};

/// One lane, so that it is known which file the last record is in.
const ONE_WORKER: [&str; 2] = ["--io-threads", "1"];

/// The slot of a key without a hash tag: CRC16 (XMODEM) modulo 16384.
fn slot_of(key: &str) -> u16 {
    let crc = key.bytes().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| if crc & 0x8000 != 0 { crc << 1 ^ 0x1021 } else { crc << 1 })
    });
    crc % 16_384
}

/// Where the bytes stand in the file, each time they do.
fn places(path: &Path, bytes: &[u8]) -> Vec<u64> {
    let content = fs::read(path).expect("read a file of the log");
    let found = memchr::memmem::find_iter(&content, bytes);
    found.map(|at| at as u64).collect()
}

/// Changes one byte, and back when it is done twice.
fn flip(path: &Path, at: u64) {
    let file = fs::File::options().read(true).write(true).open(path).expect("open a file of the log");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read a byte");
    file.write_all_at(&[byte[0] ^ 0x20], at).expect("write a byte");
}

/// Flips a byte within every occurrence of the bytes in files whose names begin so; gives the places.
fn damage(directory: &DataDirectory, prefix: &str, bytes: &[u8]) -> Vec<(PathBuf, u64)> {
    let files = directory.log_files(prefix);
    let all = files.iter().flat_map(|path| {
        places(path, bytes).into_iter().map(|at| (path.clone(), at + bytes.len() as u64 / 2)).collect::<Vec<_>>()
    });
    let all: Vec<(PathBuf, u64)> = all.collect();
    assert!(!all.is_empty(), "nothing to damage in {files:?}");
    all.iter().for_each(|(path, at)| flip(path, *at));
    all
}

fn mend(places: &[(PathBuf, u64)]) {
    places.iter().for_each(|(path, at)| flip(path, *at));
}

/// The end of what is written in a segment: the rest of its file is zeros.
fn written_end(path: &Path) -> u64 {
    let content = fs::read(path).expect("read a segment");
    content.iter().rposition(|byte| *byte != 0).map_or(0, |at| at as u64 + 1)
}

/// The segment with the most behind its header.
fn fullest_segment(directory: &DataDirectory) -> PathBuf {
    directory.log_files("journal-").into_iter().max_by_key(|path| written_end(path)).expect("a segment")
}

fn value_of(number: usize) -> String {
    format!("<the value of key {number}>").repeat(3)
}

/// 200 keys with values that can be found in the files.
fn fill(client: &mut Client) {
    for number in 0..200 {
        assert_eq!(client.command(&["SET", &format!("key:{number}"), &value_of(number)]), Reply::ok());
    }
}

fn settle(client: &mut Client) {
    assert!(!client.run("BGREWRITEAOF").is_error());
    wait_until("the rewrite ends", || client.info("persistence", "aof_rewrite_in_progress") == "0");
}

/// How far the segment's own marks say that it is durable. A mark is a record whose effect is the segment's number as
/// one argument, and whose sequence number is the offset.
fn covered(segment: &Path) -> u64 {
    const HEADER_BYTES: usize = 32;
    let digits = segment.to_str().expect("UTF-8").rsplit('-').next().expect("a number");
    let effect = [b"\x01\x10", digits.as_bytes()].concat();
    let content = fs::read(segment).expect("read a segment");
    let marks = memchr::memmem::find_iter(&content, &effect).map(|at| at - HEADER_BYTES + 8);
    marks.map(|at| u64::from_le_bytes(content[at..at + 8].try_into().expect("8 bytes"))).max().unwrap_or(0)
}

/// Has everything so far on the disk, and waits until a mark in the journal says so.
fn sync(directory: &DataDirectory, client: &mut Client) {
    let segment = fullest_segment(directory);
    let end = written_end(&segment);
    wait_until("a mark covers what was written", || {
        check(client, "SET synced x => +OK\nWAITAOF 1 0 0 => [:1 :0]");
        covered(&segment) >= end
    });
}

/// Checks that the key's slot is refused, that all others serve, and that INFO tells.
fn assert_refused(server: &Server, key: &str, complete: &Dataset) {
    let mut client = server.client();
    let slot = slot_of(key);
    let start = format!("MISCONF Slot {slot} ");
    for command in [
        format!("GET {key}"),
        format!("SET {key} value"),
        format!("DEL {key}"),
        format!("MGET key:1 {key}"),
        format!("MSET key:1 value {key} value"),
        format!("EXISTS {key}"),
        format!("EXPIRE {key} 100"),
        "FLUSHALL".to_owned(),
        "SWAPDB 0 1".to_owned(),
    ] {
        let error = client.run(&command).error();
        assert!(error.starts_with(if command.contains(key) { &start } else { "MISCONF " }), "{command} => {error}");
    }
    let mut expected = complete.clone();
    expected.retain(|(_, key), _| slot_of(std::str::from_utf8(key).expect("ASCII")) != slot);
    let found: Dataset = expected
        .keys()
        .filter_map(|(database, key)| match client.command(&[b"GET".as_slice(), key]) {
            Reply::Bulk(value) => Some(((*database, key.clone()), Stored { value, expires_at_ms: None })),
            Reply::Null => None,
            other => panic!("GET => {other:?}"),
        })
        .collect();
    assert_same("slots that are whole", &expected, &found);
    check(&mut client, "SET elsewhere value => +OK\nDEL elsewhere => :1");
    assert_eq!(client.info("persistence", "log_refused_slots"), "1");
    assert!(!client.info("persistence", &format!("log_refused_slot_{slot}")).is_empty());
    let log = server.log();
    assert!(log.contains(&slot.to_string()), "the log does not name slot {slot}:\n{log}");
}

#[test]
fn a_damaged_slot_log_costs_its_slot_only() {
    let directory = DataDirectory::new();
    let mut server = Server::on(&directory, &[]);
    let mut client = server.client();
    fill(&mut client);
    settle(&mut client);
    let complete = dataset(&mut client, [0]);
    server.kill();
    let damaged = damage(&directory, "slots-", value_of(77).as_bytes());
    // Neither another start nor a rewrite of the rest makes the damage go away.
    for attempt in 0..3 {
        let mut server = Server::on(&directory, &[]);
        assert_refused(&server, "key:77", &complete);
        if attempt == 1 {
            settle(&mut server.client());
            assert_refused(&server, "key:77", &complete);
        }
        server.kill();
    }
    // No snapshot without the refused slot; that stops neither the other slots' writes nor the end of the server.
    let mut server = Server::on(&directory, &["--save", "3600 1"]);
    let mut client = server.client();
    assert!(!client.run("BGSAVE").is_error());
    wait_until("the save fails", || client.info("persistence", "rdb_last_bgsave_status") == "err");
    check(&mut client, "SET key:1 other => +OK");
    let mut complete = complete;
    complete.extend(dataset(&mut client, [0]));
    server.signal("TERM");
    assert_eq!(server.wait_exit(), Some(0), "{}", server.log());
    mend(&damaged);
    let server = Server::on(&directory, &[]);
    assert_same("after the damage was mended", &complete, &dataset(&mut server.client(), [0]));
    assert_eq!(server.client().info("persistence", "log_refused_slots"), "0");
}

#[test]
fn a_damaged_record_of_the_journal_costs_its_slot_only() {
    let directory = DataDirectory::new();
    let mut server = Server::on(&directory, &ONE_WORKER);
    let mut client = server.client();
    fill(&mut client);
    sync(&directory, &mut client);
    let complete = dataset(&mut client, [0]);
    server.kill();
    let damaged = damage(&directory, "journal-", value_of(123).as_bytes());
    for _ in 0..2 {
        let mut server = Server::on(&directory, &ONE_WORKER);
        assert_refused(&server, "key:123", &complete);
        server.kill();
    }
    mend(&damaged);
    let server = Server::on(&directory, &ONE_WORKER);
    assert_same("after the damage was mended", &complete, &dataset(&mut server.client(), [0]));
}

/// The header of a record that was durable: nobody knows whose record it was, so there is no start.
#[test]
fn a_record_of_the_journal_whose_slot_is_unknown_refuses_the_start() {
    let directory = DataDirectory::new();
    let mut server = Server::on(&directory, &ONE_WORKER);
    let mut client = server.client();
    fill(&mut client);
    sync(&directory, &mut client);
    let complete = dataset(&mut client, [0]);
    server.kill();
    let segment = fullest_segment(&directory);
    // Behind the 32 bytes of the header stand the number of arguments, the length of "SET" and the word.
    let effect = [b"\x03\x03SET\x07key:123".as_slice(), &[value_of(123).len() as u8]].concat();
    let record = places(&segment, &effect)[0] - 32;
    let slot_field = record + 22;
    flip(&segment, slot_field);
    let output = refused_start(&directory, &ONE_WORKER);
    assert!(output.contains(segment.file_name().unwrap().to_str().unwrap()), "{output}");
    assert!(output.contains(&record.to_string()), "the offset {record} is not named:\n{output}");
    flip(&segment, slot_field);
    let server = Server::on(&directory, &ONE_WORKER);
    assert_same("after the damage was mended", &complete, &dataset(&mut server.client(), [0]));
}

#[test]
fn a_torn_tail_is_cut_and_told() {
    let arguments = [ONE_WORKER.as_slice(), &["--appendfsync", "no"]].concat();
    let directory = DataDirectory::new();
    let mut server = Server::on(&directory, &arguments);
    let mut client = server.client();
    fill(&mut client);
    let whole = dataset(&mut client, [0]);
    check(&mut client, "SET last \"the last value, which will be torn\" => +OK");
    server.kill();
    let segment = fullest_segment(&directory);
    let cut = written_end(&segment) - 9;
    fs::File::options().write(true).open(&segment).unwrap().set_len(cut).expect("cut the segment");
    let mut server = Server::on(&directory, &arguments);
    assert_same("without the torn record", &whole, &dataset(&mut server.client(), [0]));
    let log = server.log();
    assert!(log.contains("cut") && log.contains("journal-"), "the log does not tell of the cut:\n{log}");
    // The log goes on behind the cut.
    check(&mut server.client(), "SET last again => +OK\nSET key:0 again => +OK");
    server.kill();
    let server = Server::on(&directory, &arguments);
    check(&mut server.client(), "GET last => \"again\"\nGET key:0 => \"again\"\nDBSIZE => :201");
}

#[test]
fn a_torn_transaction_is_gone_with_all_its_parts() {
    let arguments = [ONE_WORKER.as_slice(), &["--appendfsync", "no"]].concat();
    for end in ["EXEC", "MSET"] {
        let directory = DataDirectory::new();
        let mut server = Server::on(&directory, &arguments);
        let mut client = server.client();
        fill(&mut client);
        let whole = dataset(&mut client, [0]);
        let conversation = match end {
            "EXEC" => "MULTI\nSET key:1 new\nDEL key:2\nAPPEND key:3 more\nSET {other}key torn\nEXEC",
            _ => "MSET key:1 new key:2 new key:3 new {other}key torn",
        };
        check(&mut client, conversation);
        server.kill();
        let segment = fullest_segment(&directory);
        let cut = written_end(&segment) - 2;
        fs::File::options().write(true).open(&segment).unwrap().set_len(cut).expect("cut the segment");
        let server = Server::on(&directory, &arguments);
        assert_same(end, &whole, &dataset(&mut server.client(), [0]));
    }
}

/// What a mark says is durable cannot have been torn off.
#[test]
fn a_durable_tail_that_is_missing_refuses_the_start() {
    let directory = DataDirectory::new();
    let mut server = Server::on(&directory, &ONE_WORKER);
    let mut client = server.client();
    fill(&mut client);
    sync(&directory, &mut client);
    server.kill();
    let segment = fullest_segment(&directory);
    let end = written_end(&segment);
    let place = places(&segment, value_of(150).as_bytes())[0];
    let file = fs::File::options().write(true).open(&segment).unwrap();
    // The mark is behind the hole, as when the disk lost a page.
    file.write_all_at(&vec![0; 3000], place).expect("write zeros");
    assert!(place + 3000 < end, "the mark went too");
    let output = refused_start(&directory, &ONE_WORKER);
    assert!(output.contains(segment.file_name().unwrap().to_str().unwrap()), "{output}");
}

#[test]
fn a_missing_file_of_the_tablespace_costs_the_slots_in_it() {
    let directory = DataDirectory::new();
    let mut server = Server::on(&directory, &[]);
    let mut client = server.client();
    fill(&mut client);
    settle(&mut client);
    let complete = dataset(&mut client, [0]);
    server.kill();
    let files = directory.log_files("slots-");
    let aside = directory.path("aside");
    fs::create_dir(&aside).unwrap();
    let moved = |path: &PathBuf| aside.join(path.file_name().unwrap());
    files.iter().for_each(|path| fs::rename(path, moved(path)).expect("move a file away"));
    let mut server = Server::on(&directory, &[]);
    let mut client = server.client();
    let mut slots: Vec<u16> = (0..200).map(|number| slot_of(&format!("key:{number}"))).collect();
    slots.sort_unstable();
    slots.dedup();
    assert_eq!(client.info("persistence", "log_refused_slots"), slots.len().to_string());
    for number in 0..200 {
        let error = client.run(&format!("GET key:{number}")).error();
        assert!(error.starts_with("MISCONF Slot "), "{error}");
    }
    let free = (0..).map(|number| format!("free:{number}")).find(|key| !slots.contains(&slot_of(key))).unwrap();
    assert_eq!(client.command(&["SET", &free, "value"]), Reply::ok());
    let name = files[0].file_name().unwrap().to_str().unwrap();
    assert!(server.log().contains(name), "the log does not name {name}:\n{}", server.log());
    server.kill();
    files.iter().for_each(|path| fs::rename(moved(path), path).expect("move a file back"));
    let server = Server::on(&directory, &[]);
    let mut client = server.client();
    assert_eq!(client.command(&["GET", &free]), Reply::bulk("value"));
    client.command(&["DEL", &free]);
    assert_same("after the file came back", &complete, &dataset(&mut client, [0]));
}

/// Writes another format version, with the checksum that belongs to it.
fn set_version(path: &Path, version: u32) {
    let mut content = fs::read(path).expect("read a file of the log");
    content[8..12].copy_from_slice(&version.to_le_bytes());
    let sum_at = if path.ends_with("manifest") { content.len() - 4 } else { 60 };
    let sum = crc32fast::hash(&content[..sum_at]);
    content[sum_at..sum_at + 4].copy_from_slice(&sum.to_le_bytes());
    fs::write(path, content).expect("write a file of the log");
}

#[test]
fn what_another_version_or_somebody_else_wrote_refuses_the_start() {
    let directory = DataDirectory::new();
    let mut server = Server::on(&directory, &ONE_WORKER);
    let mut client = server.client();
    fill(&mut client);
    settle(&mut client);
    check(&mut client, "SET unsettled value => +OK");
    sync(&directory, &mut client);
    let complete = dataset(&mut client, [0]);
    server.kill();
    let manifest = directory.path("cairn-log/manifest");
    let segment = fullest_segment(&directory);
    let refused = |path: &Path, words: &[&str]| {
        let output = refused_start(&directory, &ONE_WORKER);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(output.contains(name), "{name} is not named:\n{output}");
        for word in words {
            assert!(output.contains(word), "no '{word}' about {name}:\n{output}");
        }
    };
    for path in [&manifest, &segment] {
        let content = fs::read(path).unwrap();
        set_version(path, 2);
        refused(path, &["version", "2"]);
        fs::write(path, b"This is somebody's letter and not a part of the log. ".repeat(80)).unwrap();
        refused(path, &[]);
        fs::write(path, content).unwrap();
    }
    // Damage of the manifest, and its loss.
    let middle = fs::metadata(&manifest).unwrap().len() / 2;
    flip(&manifest, middle);
    refused(&manifest, &[]);
    flip(&manifest, middle);
    let aside = directory.path("manifest.aside");
    fs::rename(&manifest, &aside).unwrap();
    refused(&manifest, &[]);
    fs::rename(&aside, &manifest).unwrap();
    // A segment that the manifest or another segment needs.
    fs::rename(&segment, &aside).unwrap();
    refused(&segment, &[]);
    fs::rename(&aside, &segment).unwrap();

    let server = Server::on(&directory, &ONE_WORKER);
    assert_same("after all was mended", &complete, &dataset(&mut server.client(), [0]));
}
