//! Handlers of the commands that look for keys: SCAN, KEYS, RANDOMKEY, DBSIZE.
//!
//! They visit slots one after the other, each under its own lock, so other clients go on meanwhile.
//! SCAN's cursor is `hash position << 14 | slot`. Every table keeps its keys in hash order, so a key that stays from
//! the first call to the last is seen exactly once, whatever the tables do.

use super::arguments::Arguments;
use super::context::{Cx, Outcome};
use crate::base::glob;
use crate::base::key_slot::{SLOT_COUNT, SlotId, hashed_part};
use crate::resp::{Reply, ReplyError};

const SLOT_BITS: u32 = SLOT_COUNT.trailing_zeros();
/// Keys of one SCAN call, unless COUNT says otherwise.
const COUNT_DEFAULT: i64 = 10;

/// A cursor, as C's `strtoul` reads it: a sign is allowed, and nothing at all is 0.
fn read_cursor(text: &[u8]) -> Result<u64, ReplyError> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        _ => (false, text),
    };
    let value = match crate::base::number::parse_u64(digits) {
        Some(value) => value,
        None if text.is_empty() => 0,
        None => return Err(ReplyError::of("ERR invalid cursor")),
    };
    Ok(if negative { value.wrapping_neg() } else { value })
}

/// Which keys a walk is after.
#[derive(Default)]
struct Filter<'a> {
    pattern: Option<&'a [u8]>,
    type_name: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    /// `*` means every key, the empty one too, which the pattern as such does not match.
    fn set_pattern(&mut self, pattern: &'a [u8]) {
        self.pattern = (pattern != b"*").then_some(pattern);
    }

    fn wants(&self, key: &[u8], type_name: &str) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, key, false))
            && self.type_name.is_none_or(|wanted| wanted.eq_ignore_ascii_case(type_name.as_bytes()))
    }
}

/// The only slot whose keys can match `pattern`, if its literal beginning settles that.
fn only_slot(pattern: &[u8]) -> Option<SlotId> {
    let (prefix, whole) = glob::literal_prefix(pattern);
    let settled = whole || hashed_part(&prefix).len() < prefix.len();
    settled.then(|| SlotId::of_key(&prefix))
}

/// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]
pub fn scan(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let cursor = read_cursor(args[1])?;
    let (mut filter, mut count) = (Filter::default(), COUNT_DEFAULT);
    let mut reader = Arguments::from(args, 2);
    while !reader.is_done() {
        if reader.option("COUNT") {
            count = reader.integer();
            if count < 1 {
                reader.fail(ReplyError::Syntax);
            }
        } else if reader.option("MATCH") {
            filter.set_pattern(reader.next_bytes());
        } else if reader.option("TYPE") {
            filter.type_name = Some(reader.next_bytes());
        } else {
            reader.fail(ReplyError::Syntax);
        }
    }
    reader.finish()?;
    let only = filter.pattern.and_then(only_slot);
    let mut number = (cursor % SLOT_COUNT as u64) as u16;
    let mut position = Some((cursor >> SLOT_BITS) as u32);
    let (now_ms, effects) = (cx.space.now_ms, cx.engine().effects.as_deref());
    let (mut seen, mut found, mut keys) = (0, 0, Vec::new());
    let mut bulks = Reply::new(&mut keys, cx.reply.protocol);
    while seen < count as u64 {
        let Some(id) = SlotId::new(number) else { break };
        let Some(from) = position.filter(|_| only.is_none_or(|only| only == id)) else {
            number += 1;
            position = Some(0);
            continue;
        };
        let mut expired = Vec::new();
        position = cx.space.walk_slot(id, from, (count as u64 - seen) as usize, |entry| {
            seen += 1;
            if entry.is_expired(now_ms) {
                expired.push(entry.key().to_vec());
            } else if filter.wants(entry.key(), entry.value_type().name()) {
                found += 1;
                bulks.bulk(entry.key());
            }
        });
        cx.space.expire_all(id, &expired, effects);
    }
    if position.is_none() {
        number += 1;
    }
    let next = match SlotId::new(number) {
        Some(_) => u64::from(position.unwrap_or(0)) << SLOT_BITS | u64::from(number),
        None => 0,
    };
    cx.reply.array(2);
    cx.reply.bulk_text(&next.to_string());
    cx.reply.array(found);
    cx.reply.raw(&keys);
    Ok(())
}

/// KEYS pattern
pub fn keys(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let mut filter = Filter::default();
    filter.set_pattern(args[1]);
    let only = filter.pattern.and_then(only_slot);
    let now_ms = cx.space.now_ms;
    let (mut found, mut keys) = (0, Vec::new());
    let mut bulks = Reply::new(&mut keys, cx.reply.protocol);
    let mut walk = |id| {
        let mut position = Some(0);
        while let Some(from) = position {
            position = cx.space.walk_slot(id, from, usize::MAX, |entry| {
                if !entry.is_expired(now_ms) && filter.wants(entry.key(), entry.value_type().name()) {
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
    let effects = cx.engine().effects.as_deref();
    let key = cx.space.random_key(effects);
    cx.reply.bulk_or_null(key.as_deref());
    Ok(())
}

/// DBSIZE
pub fn dbsize(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    let count = cx.space.key_count();
    cx.reply.integer(count as i64);
    Ok(())
}
