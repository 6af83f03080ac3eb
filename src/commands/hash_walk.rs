//! Handlers that tell some of a hash's fields: HSCAN and HRANDFIELD.

use std::collections::HashSet;

use super::arguments::negatable;
use super::context::{Cx, Outcome};
use super::hash::reply_element;
use super::scan_options::{Extra, ScanOptions, read_cursor, reply_page};
use crate::base::random;
use crate::resp::{Protocol, Reply, ReplyError};
use crate::store::ValueType;
use crate::store::hash::{Field, HashRef};

/// Expired fields that HRANDFIELD removes before it draws.
const EXPIRED_AT_ONCE_MAX: usize = 1000;
/// How often a draw that met an expired field is repeated before the fields are gone through.
const DRAWS_MAX: usize = 100;
/// Drawing until enough different fields are found is quick while at least so many times as many are there.
const SPARSE_FACTOR: usize = 3;

/// HSCAN key cursor [MATCH pattern] [COUNT count] [NOVALUES]
pub fn hscan(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let cursor = read_cursor(args[2])?;
    let (now_ms, protocol) = (cx.space.now_ms, cx.reply.protocol);
    let Some(entry) = cx.space.read_collection(args[1], ValueType::Hash)? else {
        reply_page(&mut cx.reply, 0, 0, b"");
        return Ok(());
    };
    let options = ScanOptions::read(&args[3..], Extra::NoValues)?;
    let (mut len, mut buffer) = (0, Vec::new());
    let mut page = Reply::new(&mut buffer, protocol);
    let next = HashRef::new(entry).scan(cursor, options.count, |field| {
        if field.is_expired(now_ms) || !options.wants(&field.name.text()) {
            return;
        }
        reply_element(&mut page, field.name);
        len += 1;
        if !options.names_only {
            reply_element(&mut page, field.value);
            len += 1;
        }
    });
    reply_page(&mut cx.reply, next, len, &buffer);
    Ok(())
}

/// HRANDFIELD key [count [WITHVALUES]]
pub fn hrandfield(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let Some(count) = args.get(2) else { return one_field(cx, args[1]) };
    let count = negatable(count)?;
    let values = match args.get(3) {
        None => false,
        Some(word) if word.eq_ignore_ascii_case(b"WITHVALUES") && args.len() == 4 => true,
        Some(_) => return Err(ReplyError::Syntax),
    };
    let (repeated, reply_bytes_max) = (count < 0, cx.reply_bytes_max());
    if values && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(ReplyError::OutOfRange);
    }
    if repeated {
        cx.check_draws(count.unsigned_abs())?;
    }
    let (now_ms, key) = (cx.space.now_ms, args[1]);
    remove_expired(cx, key)?;
    let Some(entry) = cx.space.read_collection(key, ValueType::Hash)? else {
        cx.reply.array(0);
        return Ok(());
    };
    let draw = Draw { hash: HashRef::new(entry), now_ms, values };
    match usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX) {
        count if repeated => draw.repeated(&mut cx.reply, count, reply_bytes_max),
        count => draw.different(&mut cx.reply, count),
    }
    Ok(())
}

fn one_field(cx: &mut Cx<'_>, key: &[u8]) -> Outcome {
    remove_expired(cx, key)?;
    let now_ms = cx.space.now_ms;
    let hash = cx.space.read_collection(key, ValueType::Hash)?.map(HashRef::new);
    match hash.and_then(|hash| Draw { hash, now_ms, values: false }.one()) {
        Some(field) => reply_element(&mut cx.reply, field.name),
        None => cx.reply.null(),
    }
    Ok(())
}

/// Removes expired fields of a hash, as many as one command may.
fn remove_expired(cx: &mut Cx<'_>, key: &[u8]) -> Outcome {
    let now_ms = cx.space.now_ms;
    let entry = cx.space.collection(key, ValueType::Hash)?;
    let expired = entry.map_or(Vec::new(), |entry| HashRef::new(entry).expired(now_ms, EXPIRED_AT_ONCE_MAX));
    if !expired.is_empty() {
        cx.space.expire_fields(key, &expired);
    }
    Ok(())
}

/// Draws fields that have not expired.
#[derive(Clone, Copy)]
struct Draw<'a> {
    hash: HashRef<'a>,
    now_ms: u64,
    values: bool,
}

impl<'a> Draw<'a> {
    fn one(self) -> Option<Field<'a>> {
        for _ in 0..DRAWS_MAX {
            let field = self.hash.sample(random::below(u64::MAX))?;
            if !field.is_expired(self.now_ms) {
                return Some(field);
            }
        }
        let mut first = None;
        self.hash.for_each(|field| {
            if first.is_none() && !field.is_expired(self.now_ms) {
                first = Some(field);
            }
        });
        first
    }

    /// Announces so many fields.
    fn announce(self, reply: &mut Reply<'_>, count: usize) {
        reply.array(if self.values && reply.protocol == Protocol::Resp2 { 2 * count } else { count });
    }

    fn tell(self, reply: &mut Reply<'_>, field: Field<'_>) {
        if self.values && reply.protocol == Protocol::Resp3 {
            reply.array(2);
        }
        reply_element(reply, field.name);
        if self.values {
            reply_element(reply, field.value);
        }
    }

    /// Replies with so many fields, each drawn from all.
    fn repeated(self, reply: &mut Reply<'_>, count: usize, reply_bytes_max: usize) {
        let count = if self.one().is_none() { 0 } else { count };
        self.announce(reply, count);
        for field in (0..count).filter_map(|_| self.one()) {
            self.tell(reply, field);
            if reply.len() > reply_bytes_max {
                break;
            }
        }
    }

    /// Replies with so many different fields, or all that there are.
    fn different(self, reply: &mut Reply<'_>, count: usize) {
        let len = self.hash.live_len(self.now_ms);
        let mut needed = count.min(len);
        self.announce(reply, needed);
        if let HashRef::Large(large) = self.hash
            && needed.saturating_mul(SPARSE_FACTOR) < len
        {
            let mut drawn = HashSet::new();
            while needed > 0 {
                let Some(entry) = large.sample(random::below(u64::MAX)) else { break };
                let field = Field::from(entry);
                if !field.is_expired(self.now_ms) && drawn.insert(entry.address()) {
                    self.tell(reply, field);
                    needed -= 1;
                }
            }
            return;
        }
        let mut left = len as u64;
        self.hash.for_each(|field| {
            if !field.is_expired(self.now_ms) {
                // Of the fields that are left, as many as are needed, each as likely as any other.
                if needed > 0 && random::below(left) < needed as u64 {
                    self.tell(reply, field);
                    needed -= 1;
                }
                left -= 1;
            }
        });
    }
}
