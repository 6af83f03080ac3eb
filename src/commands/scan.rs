//! Handlers of the commands that look for keys: SCAN, KEYS, RANDOMKEY, DBSIZE.
//!
//! They visit slots one after the other, each under its own lock, so other clients go on meanwhile.
//! SCAN's cursor is `hash position << 14 | slot`. Every table keeps its keys in hash order, so a key that stays from
//! the first call to the last is seen exactly once, whatever the tables do.

use super::context::{Cx, Outcome};
use super::scan_options::{Extra, ScanOptions, read_cursor, reply_page};
use crate::base::glob;
use crate::base::key_slot::{SLOT_COUNT, SlotId, hashed_part};
use crate::resp::Reply;

const SLOT_BITS: u32 = SLOT_COUNT.trailing_zeros();

/// The only slot whose keys can match `pattern`, if its literal beginning settles that.
fn only_slot(pattern: &[u8]) -> Option<SlotId> {
    let (prefix, whole) = glob::literal_prefix(pattern);
    let settled = whole || hashed_part(&prefix).len() < prefix.len();
    settled.then(|| SlotId::of_key(&prefix))
}

/// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]
pub fn scan(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let cursor = read_cursor(args[1])?;
    let options = ScanOptions::read(&args[2..], Extra::Type)?;
    let only = options.pattern.and_then(only_slot);
    let mut number = (cursor % SLOT_COUNT as u64) as u16;
    let mut position = Some((cursor >> SLOT_BITS) as u32);
    let now_ms = cx.space.now_ms;
    let (mut seen, mut found, mut keys) = (0, 0, Vec::new());
    let mut bulks = Reply::new(&mut keys, cx.reply.protocol);
    while seen < options.count {
        let Some(id) = SlotId::new(number) else { break };
        let Some(from) = position.filter(|_| only.is_none_or(|only| only == id)) else {
            number += 1;
            position = Some(0);
            continue;
        };
        let mut expired = Vec::new();
        position = cx.space.walk_slot(id, from, options.count - seen, |entry| {
            seen += 1;
            if entry.is_expired(now_ms) {
                expired.push(entry.key().to_vec());
            } else if options.wants_key(entry) {
                found += 1;
                bulks.bulk(entry.key());
            }
        });
        cx.space.expire_all(id, &expired);
    }
    if position.is_none() {
        number += 1;
    }
    let next = match SlotId::new(number) {
        Some(_) => u64::from(position.unwrap_or(0)) << SLOT_BITS | u64::from(number),
        None => 0,
    };
    reply_page(&mut cx.reply, next, found, &keys);
    Ok(())
}

/// KEYS pattern
pub fn keys(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let wanted = ScanOptions::matching(args[1]);
    let only = wanted.pattern.and_then(only_slot);
    let now_ms = cx.space.now_ms;
    let (mut found, mut keys) = (0, Vec::new());
    let mut bulks = Reply::new(&mut keys, cx.reply.protocol);
    let mut walk = |id| {
        let mut position = Some(0);
        while let Some(from) = position {
            position = cx.space.walk_slot(id, from, usize::MAX, |entry| {
                if !entry.is_expired(now_ms) && wanted.wants_key(entry) {
                    found += 1;
                    bulks.bulk(entry.key());
                }
            });
        }
    };
    match only {
        Some(id) => walk(id),
        None => SlotId::all().for_each(walk),
    }
    cx.reply.array(found);
    cx.reply.raw(&keys);
    Ok(())
}

/// RANDOMKEY
pub fn randomkey(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    let key = cx.space.random_key();
    cx.reply.bulk_or_null(key.as_deref());
    Ok(())
}

/// DBSIZE
pub fn dbsize(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    let count = cx.space.key_count();
    cx.reply.integer(count as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::commands::testing::TestServer;

    /// The cursor and the keys of a SCAN reply.
    fn scanned(reply: &str) -> (u64, Vec<String>) {
        let lines: Vec<&str> = reply.split("\r\n").collect();
        let keys = lines[4..].chunks_exact(2).map(|pair| pair[1].to_owned()).collect();
        (lines[2].parse().unwrap(), keys)
    }

    fn walk(server: &mut TestServer, options: &str) -> (Vec<String>, usize) {
        let (mut cursor, mut keys, mut calls) = (0, Vec::new(), 0);
        loop {
            let (next, found) = scanned(&server.run(&format!("SCAN {cursor} {options}")));
            keys.extend(found);
            calls += 1;
            if next == 0 {
                return (keys, calls);
            }
            cursor = next;
        }
    }

    fn filled(count: usize) -> TestServer {
        let mut server = TestServer::new();
        for number in 0..count {
            assert_eq!(server.run(&format!("SET key:{number} v")), "+OK\r\n");
        }
        server
    }

    #[test]
    fn a_walk_meets_every_key_once() {
        let mut server = filled(2000);
        for (options, calls) in
            [("", 180..=201), ("COUNT 100", 18..=21), ("COUNT 1", 1300..=2001), ("COUNT 5000", 1..=1)]
        {
            let (keys, made) = walk(&mut server, options);
            assert_eq!(keys.len(), 2000, "{options}");
            assert_eq!(keys.into_iter().collect::<BTreeSet<_>>().len(), 2000);
            assert!(calls.contains(&made), "{options}: {made}");
        }
        for number in 0..3000 {
            server.run(&format!("SET {{tag}}{number} v"));
        }
        assert_eq!(walk(&mut server, "COUNT 7").0.len(), 5000);
        assert_eq!(walk(&mut server, "MATCH {tag}* COUNT 1000").0.len(), 3000);
        assert_eq!(walk(&mut server, "MATCH key:19?").0.len(), 10);
        assert_eq!(walk(&mut server, "MATCH key:19").0, ["key:19"]);
        assert_eq!(walk(&mut server, "TYPE STRING COUNT 1000").0.len(), 5000);
        assert_eq!(walk(&mut server, "TYPE nosuch").0.len(), 0);
    }

    #[test]
    fn scan_arguments() {
        let mut server = filled(1);
        for cursor in ["0", "", "-0", "+0", "00"] {
            assert_eq!(scanned(&server.run(&format!("SCAN '{cursor}'"))).1.len(), 1, "{cursor}");
        }
        for cursor in ["-1", "18446744073709551615"] {
            assert_eq!(scanned(&server.run(&format!("SCAN {cursor}"))).0, 0, "{cursor}");
        }
        for cursor in ["x", "1x", "' 1'", "-", "18446744073709551616"] {
            assert_eq!(server.run(&format!("SCAN {cursor}")), "-ERR invalid cursor\r\n", "{cursor}");
        }
        server.expect(&[
            ("SCAN 0 COUNT 0", "-ERR syntax error\r\n"),
            ("SCAN 0 COUNT x", "-ERR value is not an integer or out of range\r\n"),
            ("SCAN 0 COUNT", "-ERR syntax error\r\n"),
            ("SCAN 0 NOSUCH 1", "-ERR syntax error\r\n"),
        ]);
    }

    #[test]
    fn scan_and_randomkey_remove_what_expired() {
        let mut server = filled(20);
        for number in 0..10 {
            server.plant_expired(0, &format!("old:{number}"));
        }
        server.effects();
        assert_eq!(server.run("DBSIZE"), ":30\r\n");
        assert_eq!(walk(&mut server, "").0.len(), 20);
        assert_eq!(server.run("DBSIZE"), ":20\r\n");
        let effects = server.effects();
        assert!(effects.len() == 10 && effects.iter().all(|effect| effect.starts_with("DEL old:")), "{effects:?}");
        server.run("FLUSHALL");
        for number in 0..100 {
            server.plant_expired(0, &format!("old:{number}"));
        }
        assert_eq!(server.run("RANDOMKEY"), "$-1\r\n");
        assert_eq!(server.run("DBSIZE"), ":0\r\n");
    }

    #[test]
    fn random_keys_come_from_slots_by_their_weight() {
        let mut server = TestServer::new();
        assert_eq!(server.run("RANDOMKEY"), "$-1\r\n");
        for number in 0..30 {
            server.run(&format!("SET {{big}}{number} v"));
        }
        for number in 0..10 {
            server.run(&format!("SET small{number} v"));
        }
        let drawn: Vec<String> = (0..400).map(|_| server.run("RANDOMKEY")).collect();
        let big = drawn.iter().filter(|reply| reply.contains("{big}")).count();
        assert!((250..350).contains(&big), "{big}");
        assert!(drawn.iter().collect::<BTreeSet<_>>().len() > 30);
    }

    #[test]
    fn keys_by_pattern() {
        let mut server = filled(30);
        server.plant_expired(0, "key:old");
        let count = |server: &mut TestServer, pattern: &str| {
            let reply = server.run(&format!("KEYS {pattern}"));
            reply[1..reply.find('\r').unwrap()].parse::<usize>().unwrap()
        };
        server.run("SET '' empty");
        server.run("SET {t}a v");
        for (pattern, found) in [
            ("*", 32),
            ("key:*", 30),
            ("key:1?", 10),
            ("key:7", 1),
            ("key:old", 0),
            ("''", 1),
            ("{t}*", 1),
            ("[k]*", 30),
        ] {
            assert_eq!(count(&mut server, pattern), found, "{pattern}");
        }
    }

    #[test]
    fn slots_that_a_pattern_settles() {
        let slot = |pattern: &str| only_slot(pattern.as_bytes());
        assert_eq!(slot("{user}:*"), Some(SlotId::of_key(b"user")));
        assert_eq!(slot("a{user}*"), Some(SlotId::of_key(b"user")));
        assert_eq!(slot("plain"), Some(SlotId::of_key(b"plain")));
        assert_eq!(slot("\\{a\\}\\*"), Some(SlotId::of_key(b"a")));
        for open in ["*", "{user*}", "user*", "*{user}", "{}user*", "{user", "?{a}"] {
            assert_eq!(slot(open).is_some(), open == "{user", "{open}");
        }
    }
}
