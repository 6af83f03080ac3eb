//! Random requests of everything that changes keys, on few keys of few slots, so that much happens to each.

use crate::base::clock;
use crate::base::random::Rng;
use crate::rdb::Value;
use crate::rdb::payload;

/// A command with its arguments.
pub type Line = Vec<Vec<u8>>;

/// As many databases are used.
pub const DATABASES: u64 = 4;
/// Expiries are so near at most, unless they are far.
const SOON_MS: u64 = 30;

fn line(words: &[&[u8]]) -> Line {
    words.iter().map(|word| word.to_vec()).collect()
}

fn text(line: &str) -> Line {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

fn one_of<'a>(rng: &mut Rng, words: &[&'a str]) -> &'a str {
    words[rng.below(words.len() as u64) as usize]
}

fn one_in(rng: &mut Rng, count: u64) -> bool {
    rng.below(count) == 0
}

fn key(rng: &mut Rng) -> String {
    match rng.below(5) {
        0 => format!("lone:{}", rng.below(4)),
        _ => format!("{{{}}}:{}", one_of(rng, &["a", "b", "c", "d", "e"]), rng.below(4)),
    }
}

/// A key of the same slot, or any.
fn other_key(rng: &mut Rng, key: &str) -> String {
    match key.rsplit_once(':') {
        Some((tag, _)) if rng.below(2) == 0 && tag.starts_with('{') => format!("{tag}:{}", rng.below(4)),
        _ => self::key(rng),
    }
}

fn value(rng: &mut Rng) -> Vec<u8> {
    let len = match rng.below(40) {
        0..=11 => return rng.below(1000).to_string().into_bytes(),
        12 => return format!("{}.25", rng.below(100)).into_bytes(),
        13..=30 => rng.below(40),
        31..=37 => rng.below(500),
        38 => rng.below(4000),
        // More than a small segment holds.
        _ => 5_000 + rng.below(30_000),
    };
    let first = rng.below(256) as u8;
    (0..len).map(|at| first.wrapping_add((at % 7) as u8)).collect()
}

/// The words that give a key an expiry.
fn expiry(rng: &mut Rng) -> Line {
    let now_ms = clock::unix_ms();
    match rng.below(6) {
        0 => text("EX 1000"),
        1 => text(&format!("EXAT {}", now_ms / 1000 + rng.below(1000))),
        2 | 3 => text(&format!("PX {}", 1 + rng.below(SOON_MS))),
        _ => text(&format!("PXAT {}", now_ms - 5 + rng.below(SOON_MS))),
    }
}

fn set(rng: &mut Rng) -> Line {
    let mut set = line(&[b"SET", key(rng).as_bytes(), &value(rng)]);
    match rng.below(6) {
        0 | 1 => set.extend(expiry(rng)),
        2 => set.extend(text("KEEPTTL")),
        _ => {}
    }
    if one_in(rng, 5) {
        set.extend(text(one_of(rng, &["NX", "XX"])));
    }
    if one_in(rng, 8) {
        set.extend(text("GET"));
    }
    set
}

fn expire(rng: &mut Rng) -> Line {
    let (key, now_ms) = (key(rng), clock::unix_ms());
    let mut expire = match rng.below(6) {
        0 => text(&format!("EXPIRE {key} {}", rng.below(1000) as i64 - 50)),
        1 => text(&format!("EXPIREAT {key} {}", now_ms / 1000 + rng.below(100))),
        2 | 3 => text(&format!("PEXPIRE {key} {}", rng.below(2 * SOON_MS) as i64 - 3)),
        4 => text(&format!("PEXPIREAT {key} {}", now_ms - 5 + rng.below(SOON_MS))),
        _ => return text(&format!("PERSIST {key}")),
    };
    if one_in(rng, 3) {
        expire.extend(text(one_of(rng, &["NX", "XX", "GT", "LT"])));
    }
    expire
}

fn restore(rng: &mut Rng) -> Line {
    let payload = payload::encode(Value::String(&value(rng)), rng.below(2) == 0);
    let ttl = match rng.below(4) {
        0 => 1 + rng.below(SOON_MS),
        1 => clock::unix_ms() - 5 + rng.below(SOON_MS),
        _ => 0,
    };
    let mut restore = line(&[b"RESTORE", key(rng).as_bytes(), ttl.to_string().as_bytes(), &payload]);
    for option in ["REPLACE", "REPLACE", "ABSTTL", "IDLETIME 9"] {
        if one_in(rng, 2) && !restore.iter().any(|word| word == option.as_bytes()) {
            restore.extend(text(option));
        }
    }
    restore
}

fn bit_field(rng: &mut Rng) -> Line {
    let mut field = text(&format!("BITFIELD {}", key(rng)));
    for _ in 0..1 + rng.below(3) {
        let (kind, at) = (one_of(rng, &["u8", "i5", "u16", "i33"]), rng.below(200));
        field.extend(match rng.below(4) {
            0 => text(&format!("GET {kind} {at}")),
            1 => text(&format!("OVERFLOW {}", one_of(rng, &["WRAP", "SAT", "FAIL"]))),
            2 => text(&format!("SET {kind} {at} {}", rng.below(300))),
            _ => text(&format!("INCRBY {kind} {at} {}", rng.below(100))),
        });
    }
    field
}

fn of_several(rng: &mut Rng) -> Line {
    let first = key(rng);
    let second = other_key(rng, &first);
    let mut command = match rng.below(7) {
        0 => text(&format!("RENAME {first} {second}")),
        1 => text(&format!("RENAMENX {first} {second}")),
        2 | 3 => {
            let mut copy = text(&format!("COPY {first} {second}"));
            if one_in(rng, 2) {
                copy.extend(text(&format!("DB {}", rng.below(DATABASES))));
            }
            if one_in(rng, 2) {
                copy.extend(text("REPLACE"));
            }
            return copy;
        }
        4 => text(&format!("BITOP {} {first}", one_of(rng, &["AND", "OR", "XOR", "NOT"]))),
        5 => text(one_of(rng, &["DEL", "UNLINK", "TOUCH", "EXISTS", "MGET"])),
        _ => {
            let mut set = text(one_of(rng, &["MSET", "MSET", "MSETNX"]));
            for _ in 0..1 + rng.below(4) {
                set.extend([key(rng).into_bytes(), value(rng)]);
            }
            return set;
        }
    };
    if command.len() < 3 || command[0] == b"BITOP" {
        for _ in 0..1 + rng.below(3) {
            command.push(other_key(rng, &first).into_bytes());
        }
    }
    command
}

fn of_one(rng: &mut Rng) -> Line {
    let (key, value) = (key(rng), value(rng));
    let number = rng.below(2000) as i64 - 1000;
    match rng.below(20) {
        0 => line(&[b"SETNX", key.as_bytes(), &value]),
        1 => line(&[b"SETEX", key.as_bytes(), b"100", &value]),
        2 => line(&[b"PSETEX", key.as_bytes(), (1 + rng.below(SOON_MS)).to_string().as_bytes(), &value]),
        3 => line(&[b"GETSET", key.as_bytes(), &value]),
        4 => text(&format!("GETDEL {key}")),
        5 => {
            let mut get = text(&format!("GETEX {key}"));
            get.extend(if one_in(rng, 3) { text("PERSIST") } else { expiry(rng) });
            get
        }
        6..=8 => line(&[b"APPEND", key.as_bytes(), &value]),
        9 => text(&format!("{} {key}", one_of(rng, &["INCR", "DECR"]))),
        10 => text(&format!("{} {key} {number}", one_of(rng, &["INCRBY", "DECRBY"]))),
        11 => text(&format!("INCRBYFLOAT {key} {number}.5")),
        12 | 13 => line(&[b"SETRANGE", key.as_bytes(), rng.below(300).to_string().as_bytes(), &value]),
        14 => text(&format!("SETBIT {key} {} {}", rng.below(4000), rng.below(2))),
        15 => bit_field(rng),
        16 => text(&format!("MOVE {key} {}", rng.below(DATABASES))),
        17 => text(&format!("DEL {key}")),
        _ => text(&format!("{} {key}", one_of(rng, &["GET", "TTL", "TYPE", "STRLEN", "DUMP", "EXPIRETIME"]))),
    }
}

fn of_all(rng: &mut Rng) -> Line {
    match rng.below(12) {
        0 => text("FLUSHDB"),
        1 => text(one_of(rng, &["FLUSHALL", "FLUSHDB ASYNC", "DEBUG POPULATE 3 lone 40"])),
        2..=4 => text(&format!("SWAPDB {} {}", rng.below(DATABASES), rng.below(DATABASES))),
        5 => text("DBSIZE"),
        6 => text("KEYS *"),
        7 => text("RANDOMKEY"),
        _ => text("SCAN 0 COUNT 100"),
    }
}

/// One command.
pub fn command(rng: &mut Rng) -> Line {
    match rng.below(100) {
        0..=29 => set(rng),
        30..=64 => of_one(rng),
        65..=80 => of_several(rng),
        81..=89 => expire(rng),
        90..=94 => restore(rng),
        95..=97 => text(&format!("SELECT {}", rng.below(DATABASES))),
        _ => of_all(rng),
    }
}

/// What a client sends at once: some commands, or a transaction.
pub fn batch(rng: &mut Rng) -> Vec<Line> {
    let count = 1 + rng.below(5);
    let mut lines: Vec<Line> = (0..count).map(|_| command(rng)).collect();
    if one_in(rng, 4) {
        lines.insert(0, text("MULTI"));
        lines.push(text(if one_in(rng, 10) { "DISCARD" } else { "EXEC" }));
        if one_in(rng, 4) {
            lines.insert(0, text(&format!("WATCH {}", key(rng))));
        }
    }
    lines
}
