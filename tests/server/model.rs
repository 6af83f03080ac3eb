//! Random command sequences against a plain model: maps of byte strings with an absolute expiry time.
//!
//! CAIRN_MODEL_SEED replays a run, CAIRN_MODEL_SECONDS says how long to go on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::{Random, Reply, Server, encode_command, escape, seed_from_environment};

const DATABASES: usize = 4;
const KEYS: usize = 24;
/// Steps between two comparisons of everything.
const SEQUENCE: usize = 2000;

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    value: Vec<u8>,
    /// Milliseconds since 1970; only times far in the future or already past are used.
    expires_at: Option<i64>,
}

type Database = BTreeMap<Vec<u8>, Entry>;

#[derive(Clone)]
struct Model {
    databases: Vec<Database>,
    selected: usize,
}

fn ok() -> Reply {
    Reply::ok()
}

fn integer(value: impl TryInto<i64>) -> Reply {
    Reply::Integer(value.try_into().unwrap_or_else(|_| panic!("a number that fits")))
}

fn error(text: &str) -> Reply {
    Reply::Error(text.as_bytes().to_vec())
}

fn bulk_or_null(value: Option<Vec<u8>>) -> Reply {
    value.map_or(Reply::Null, Reply::Bulk)
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

/// A decimal integer exactly as Redis accepts one.
fn parse_integer(text: &[u8]) -> Option<i64> {
    let value: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (value.to_string().as_bytes() == text).then_some(value)
}

const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";

impl Model {
    fn new() -> Model {
        Model { databases: vec![Database::new(); DATABASES], selected: 0 }
    }

    fn database(&mut self) -> &mut Database {
        &mut self.databases[self.selected]
    }

    fn get(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        self.database().get(key).map(|entry| entry.value.clone())
    }

    fn put(&mut self, key: &[u8], value: Vec<u8>, expires_at: Option<i64>) {
        if expires_at.is_some_and(|time| time <= now_ms()) {
            self.database().remove(key);
        } else {
            self.database().insert(key.to_vec(), Entry { value, expires_at });
        }
    }

    /// Replaces the value and keeps the expiry.
    fn modify(&mut self, key: &[u8], value: Vec<u8>) {
        let expires_at = self.database().get(key).and_then(|entry| entry.expires_at);
        self.put(key, value, expires_at);
    }

    fn expire(&mut self, key: &[u8], at_ms: i64) -> bool {
        match self.database().get(key).cloned() {
            Some(entry) => {
                self.put(key, entry.value, Some(at_ms));
                true
            }
            None => false,
        }
    }

    /// What the command must answer; the model moves along.
    fn apply(&mut self, command: &[Vec<u8>]) -> Reply {
        let name = String::from_utf8(command[0].clone()).expect("ASCII");
        let argument = |index: usize| command[index].as_slice();
        let number = |index: usize| parse_integer(argument(index)).expect("a number");
        let index_of = |index: usize| number(index) as usize;
        match name.as_str() {
            "GET" => bulk_or_null(self.get(argument(1))),
            "SET" => self.set(command),
            "GETDEL" => bulk_or_null(self.database().remove(argument(1)).map(|entry| entry.value)),
            "GETSET" => {
                let old = self.get(argument(1));
                self.put(argument(1), argument(2).to_vec(), None);
                bulk_or_null(old)
            }
            "GETEX" => {
                let old = self.get(argument(1));
                match argument(2) {
                    b"PERSIST" => {
                        if let Some(entry) = self.database().get_mut(argument(1)) {
                            entry.expires_at = None;
                        }
                    }
                    _ => {
                        self.expire(argument(1), number(3));
                    }
                }
                bulk_or_null(old)
            }
            "STRLEN" => integer(self.get(argument(1)).unwrap_or_default().len()),
            "APPEND" => {
                let mut value = self.get(argument(1)).unwrap_or_default();
                value.extend_from_slice(argument(2));
                let length = value.len();
                self.modify(argument(1), value);
                integer(length)
            }
            "INCRBY" | "DECRBY" => {
                let old = self.get(argument(1)).unwrap_or_else(|| b"0".to_vec());
                let Some(old) = parse_integer(&old) else {
                    return error(NOT_AN_INTEGER);
                };
                let by = number(2);
                let sum = if name == "INCRBY" { old.checked_add(by) } else { old.checked_sub(by) };
                match sum {
                    Some(sum) => {
                        self.modify(argument(1), sum.to_string().into_bytes());
                        Reply::Integer(sum)
                    }
                    None => error("ERR increment or decrement would overflow"),
                }
            }
            "SETRANGE" => {
                let (offset, patch) = (index_of(2), argument(3));
                let mut value = self.get(argument(1)).unwrap_or_default();
                if !patch.is_empty() {
                    value.resize(value.len().max(offset + patch.len()), 0);
                    value[offset..offset + patch.len()].copy_from_slice(patch);
                    self.modify(argument(1), value.clone());
                }
                integer(value.len())
            }
            "GETRANGE" => {
                let value = self.get(argument(1)).unwrap_or_default();
                let length = value.len() as i64;
                let (first, last) = (number(2), number(3));
                if first < 0 && last < 0 && first > last {
                    return Reply::Bulk(Vec::new());
                }
                let from = (if first < 0 { first + length } else { first }).max(0);
                let to = (if last < 0 { last + length } else { last }).max(0).min(length - 1);
                if length == 0 || from > to {
                    Reply::Bulk(Vec::new())
                } else {
                    Reply::Bulk(value[from as usize..=to as usize].to_vec())
                }
            }
            "SETBIT" => {
                let (offset, bit) = (index_of(2), number(3) as u8);
                let mut value = self.get(argument(1)).unwrap_or_default();
                value.resize(value.len().max(offset / 8 + 1), 0);
                let (byte, shift) = (offset / 8, 7 - offset % 8);
                let old = value[byte] >> shift & 1;
                value[byte] = value[byte] & !(1 << shift) | bit << shift;
                self.modify(argument(1), value);
                integer(old)
            }
            "BITCOUNT" => {
                integer(self.get(argument(1)).unwrap_or_default().iter().map(|byte| byte.count_ones()).sum::<u32>())
            }
            "MSET" => {
                command[1..].chunks(2).for_each(|pair| self.put(&pair[0], pair[1].clone(), None));
                ok()
            }
            "MSETNX" => {
                if command[1..].chunks(2).any(|pair| self.databases[self.selected].contains_key(&pair[0])) {
                    return Reply::Integer(0);
                }
                command[1..].chunks(2).for_each(|pair| self.put(&pair[0], pair[1].clone(), None));
                Reply::Integer(1)
            }
            "MGET" => Reply::Array(command[1..].iter().map(|key| bulk_or_null(self.get(key))).collect()),
            "DEL" | "UNLINK" => {
                integer(command[1..].iter().filter(|key| self.databases[self.selected].remove(*key).is_some()).count())
            }
            "EXISTS" | "TOUCH" => {
                integer(command[1..].iter().filter(|key| self.databases[self.selected].contains_key(*key)).count())
            }
            "TYPE" => {
                Reply::Status(if self.get(argument(1)).is_some() { b"string".to_vec() } else { b"none".to_vec() })
            }
            "PEXPIREAT" => self.expire_with_condition(command),
            "PERSIST" => match self.database().get_mut(argument(1)) {
                Some(entry) => integer(entry.expires_at.take().is_some() as i64),
                None => Reply::Integer(0),
            },
            "PEXPIRETIME" => match self.database().get(argument(1)) {
                Some(entry) => Reply::Integer(entry.expires_at.unwrap_or(-1)),
                None => Reply::Integer(-2),
            },
            "RENAME" | "RENAMENX" => {
                let Some(entry) = self.database().get(argument(1)).cloned() else {
                    return error("ERR no such key");
                };
                if name == "RENAMENX" {
                    if self.database().contains_key(argument(2)) {
                        return Reply::Integer(0);
                    }
                    self.database().remove(argument(1));
                    self.database().insert(argument(2).to_vec(), entry);
                    return Reply::Integer(1);
                }
                self.database().remove(argument(1));
                self.database().insert(argument(2).to_vec(), entry);
                ok()
            }
            "COPY" => {
                let target = index_of(4);
                let replace = command.len() > 5;
                if argument(1) == argument(2) && target == self.selected {
                    return error("ERR source and destination objects are the same");
                }
                let Some(entry) = self.database().get(argument(1)).cloned() else {
                    return Reply::Integer(0);
                };
                if !replace && self.databases[target].contains_key(argument(2)) {
                    return Reply::Integer(0);
                }
                self.databases[target].insert(argument(2).to_vec(), entry);
                Reply::Integer(1)
            }
            "MOVE" => {
                let target = index_of(2);
                if target == self.selected {
                    return error("ERR source and destination objects are the same");
                }
                if self.databases[target].contains_key(argument(1)) {
                    return Reply::Integer(0);
                }
                match self.database().remove(argument(1)) {
                    Some(entry) => {
                        self.databases[target].insert(argument(1).to_vec(), entry);
                        Reply::Integer(1)
                    }
                    None => Reply::Integer(0),
                }
            }
            "SWAPDB" => {
                self.databases.swap(index_of(1), index_of(2));
                ok()
            }
            "SELECT" => {
                self.selected = index_of(1);
                ok()
            }
            "FLUSHDB" => {
                self.database().clear();
                ok()
            }
            "FLUSHALL" => {
                self.databases.iter_mut().for_each(Database::clear);
                ok()
            }
            other => panic!("the model does not know {other}"),
        }
    }

    /// SET key value [NX|XX] [GET] [KEEPTTL | PXAT time], in this order.
    fn set(&mut self, command: &[Vec<u8>]) -> Reply {
        let options: Vec<&[u8]> = command[3..].iter().map(Vec::as_slice).collect();
        let has = |name: &[u8]| options.contains(&name);
        let (key, value) = (command[1].as_slice(), command[2].clone());
        let old = self.get(key);
        let refused = has(b"NX") && old.is_some() || has(b"XX") && old.is_none();
        if !refused {
            if has(b"KEEPTTL") {
                self.modify(key, value);
            } else {
                let time = has(b"PXAT").then(|| parse_integer(options[options.len() - 1]).expect("a time"));
                self.put(key, value, time);
            }
        }
        match (has(b"GET"), refused) {
            (true, _) => bulk_or_null(old),
            (false, true) => Reply::Null,
            (false, false) => ok(),
        }
    }

    /// PEXPIREAT key time [NX|XX|GT|LT].
    fn expire_with_condition(&mut self, command: &[Vec<u8>]) -> Reply {
        let at_ms = parse_integer(&command[2]).expect("a time");
        let Some(entry) = self.database().get(&command[1]).cloned() else {
            return Reply::Integer(0);
        };
        let allowed = match command.get(3).map(Vec::as_slice) {
            None => true,
            Some(b"NX") => entry.expires_at.is_none(),
            Some(b"XX") => entry.expires_at.is_some(),
            Some(b"GT") => entry.expires_at.is_some_and(|time| at_ms > time),
            Some(b"LT") => entry.expires_at.is_none_or(|time| at_ms < time),
            Some(other) => panic!("not a condition: {}", escape(other)),
        };
        if allowed {
            self.expire(&command[1], at_ms);
        }
        integer(allowed as i64)
    }
}

/// Half of the names share a slot, the others are spread.
fn key(random: &mut Random) -> String {
    let index = random.below(KEYS);
    if index.is_multiple_of(2) { format!("{{tag}}{index}") } else { format!("key{index}") }
}

fn value(random: &mut Random) -> Vec<u8> {
    match random.below(6) {
        0 => Vec::new(),
        1 | 2 => random.between(-1000, 1000).to_string().into_bytes(),
        3 => [i64::MAX, i64::MIN, i64::MAX - 3][random.below(3)].to_string().into_bytes(),
        4 => (0..random.below(20)).map(|_| random.next() as u8).collect(),
        _ => vec![b'x'; random.below(400)],
    }
}

fn time(random: &mut Random) -> String {
    const YEAR_2100_MS: i64 = 4_102_444_800_000;
    if random.chance(25) {
        random.between(1, 1_000_000).to_string()
    } else {
        (YEAR_2100_MS + random.between(0, 20)).to_string()
    }
}

fn command(random: &mut Random, inside_transaction: bool) -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let database = random.below(DATABASES).to_string();
    let line = match random.below(if inside_transaction { 32 } else { 35 }) {
        0..3 => format!("GET {}", key(random)),
        3..8 => {
            let head = [b"SET".to_vec(), key(random).into_bytes(), value(random)];
            parts.extend(head);
            let mut options = String::new();
            options += random.pick(&["", "", " NX", " XX"]);
            options += random.pick(&["", "", " GET"]);
            options += &match random.below(4) {
                0 => " KEEPTTL".to_owned(),
                1 => format!(" PXAT {}", time(random)),
                _ => String::new(),
            };
            parts.extend(options.split_whitespace().map(|word| word.as_bytes().to_vec()));
            return parts;
        }
        8 => format!("GETDEL {}", key(random)),
        9 => format!("GETEX {} PERSIST", key(random)),
        10 => format!("GETEX {} PXAT {}", key(random), time(random)),
        11 => format!("STRLEN {}", key(random)),
        12 | 13 => return vec![b"APPEND".to_vec(), key(random).into_bytes(), value(random)],
        14 | 15 => format!("{} {} {}", random.pick(&["INCRBY", "DECRBY"]), key(random), random.between(-5, 5)),
        16 => {
            return vec![
                b"SETRANGE".to_vec(),
                key(random).into_bytes(),
                random.below(60).to_string().into_bytes(),
                value(random),
            ];
        }
        17 => format!("GETRANGE {} {} {}", key(random), random.between(-30, 30), random.between(-30, 30)),
        18 => format!("SETBIT {} {} {}", key(random), random.below(500), random.below(2)),
        19 => format!("BITCOUNT {}", key(random)),
        20 => {
            format!("{} {} 1 {} 22 {} three", random.pick(&["MSET", "MSETNX"]), key(random), key(random), key(random))
        }
        21 => format!("MGET {} {} {}", key(random), key(random), key(random)),
        22 => format!("{} {} {}", random.pick(&["DEL", "UNLINK"]), key(random), key(random)),
        23 => format!("{} {} {} {}", random.pick(&["EXISTS", "TOUCH"]), key(random), key(random), key(random)),
        24 => format!("TYPE {}", key(random)),
        25 | 26 => format!("PEXPIREAT {} {} {}", key(random), time(random), random.pick(&["", "NX", "XX", "GT", "LT"])),
        27 => format!("PERSIST {}", key(random)),
        28 => format!("PEXPIRETIME {}", key(random)),
        29 => format!("{} {} {}", random.pick(&["RENAME", "RENAMENX"]), key(random), key(random)),
        30 => format!("COPY {} {} DB {database} {}", key(random), key(random), random.pick(&["", "REPLACE"])),
        31 => return vec![b"GETSET".to_vec(), key(random).into_bytes(), value(random)],
        32 => format!("MOVE {} {database}", key(random)),
        33 => format!("SELECT {database}"),
        _ => match random.below(30) {
            0 => "FLUSHALL".to_owned(),
            1 | 2 => "FLUSHDB".to_owned(),
            3..8 => format!("SWAPDB {database} {}", random.below(DATABASES)),
            _ => format!("SELECT {database}"),
        },
    };
    line.split_whitespace().map(|word| word.as_bytes().to_vec()).collect()
}

fn shown(command: &[Vec<u8>]) -> String {
    command.iter().map(|part| escape(part)).collect::<Vec<_>>().join(" ")
}

#[test]
fn random_sequences_match_the_model() {
    let seed = seed_from_environment("CAIRN_MODEL_SEED");
    let seconds =
        std::env::var("CAIRN_MODEL_SECONDS").map_or(6, |text| text.parse().expect("CAIRN_MODEL_SECONDS is a number"));
    println!("CAIRN_MODEL_SEED={seed}");
    let mut random = Random::new(seed);
    let server = Server::start();
    let mut client = server.client();
    let mut model = Model::new();
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut steps = 0u64;
    loop {
        for _ in 0..SEQUENCE / 20 {
            // A pipeline, now and then inside MULTI, sometimes discarded.
            let transaction = random.chance(20);
            let discarded = transaction && random.chance(20);
            let commands: Vec<Vec<Vec<u8>>> = (0..20).map(|_| command(&mut random, transaction)).collect();
            let mut requests = Vec::new();
            if transaction {
                requests.extend_from_slice(b"MULTI\r\n");
            }
            requests.extend(commands.iter().flat_map(|command| encode_command(command)));
            if transaction {
                requests.extend_from_slice(if discarded { b"DISCARD\r\n" } else { b"EXEC\r\n" });
            }
            client.send(&requests);
            let mut replies: Vec<Reply> = Vec::new();
            if transaction {
                assert_eq!(client.reply(), ok());
                (0..commands.len()).for_each(|_| assert_eq!(client.reply().text(), "QUEUED"));
                match client.reply() {
                    Reply::Array(items) => replies = items,
                    reply => assert!(discarded && reply == ok(), "{reply:?}"),
                }
            } else {
                replies.extend((0..commands.len()).map(|_| client.reply()));
            }
            for (command, reply) in commands.iter().zip(&replies) {
                let expected = model.apply(command);
                assert_eq!(*reply, expected, "CAIRN_MODEL_SEED={seed}, step {steps}: {}", shown(command));
                steps += 1;
            }
        }
        let selected = model.selected;
        for index in 0..DATABASES {
            client.command(&["SELECT", &index.to_string()]);
            model.selected = index;
            let mut names: Vec<Vec<u8>> =
                client.run("KEYS *").items().iter().map(|name| name.bytes().to_vec()).collect();
            names.sort();
            let expected: Vec<Vec<u8>> = model.database().keys().cloned().collect();
            // Keys written with a time that was already past may be counted until they are reclaimed.
            client.wait_for("DBSIZE", &integer(expected.len()));
            assert_eq!(names, expected, "CAIRN_MODEL_SEED={seed}: the keys of database {index} after {steps} steps");
            for name in names {
                for question in ["GET", "PEXPIRETIME"] {
                    let asked = vec![question.as_bytes().to_vec(), name.clone()];
                    assert_eq!(
                        client.command(&asked),
                        model.apply(&asked),
                        "CAIRN_MODEL_SEED={seed}: {}",
                        shown(&asked)
                    );
                }
            }
        }
        client.command(&["SELECT", &selected.to_string()]);
        model.selected = selected;
        if Instant::now() > deadline {
            break;
        }
    }
    println!("{steps} commands compared");
}
