//! Handlers: hashes, except the expiry of their fields.
//!
//! A field that has expired is not there for whoever reads. A command that names it removes it, which is a change of its
//! own; one that goes over all fields passes it by and leaves it to the expiry cycle.

use std::cell::Cell;

use super::arguments::integer;
use super::context::{Cx, Outcome};
use crate::base::long_double::LongDouble;
use crate::base::number::Decimal;
use crate::engine::notify::HASH;
use crate::resp::{Reply, ReplyError};
use crate::store::hash::{self, Field, FieldExpiry, HashMut, HashRef};
use crate::store::limits::{Limits, PackedLimits};
use crate::store::listpack::Element;
use crate::store::{Detached, ValueType};

pub(super) fn limits(cx: &Cx<'_>) -> PackedLimits {
    Limits::of(cx.config()).hash
}

#[inline]
pub(super) fn reply_element(reply: &mut Reply<'_>, element: Element<'_>) {
    match element {
        Element::Bytes(bytes) => reply.bulk(bytes),
        Element::Integer(value) => reply.bulk_integer(value),
    }
}

/// Removes those of these fields that have expired, for a command that is about to change them.
pub(super) fn expire_named(cx: &mut Cx<'_>, key: &[u8], names: &[&[u8]]) -> Result<(), ReplyError> {
    let now_ms = cx.space.now_ms;
    let Some(entry) = cx.space.collection(key, ValueType::Hash)? else { return Ok(()) };
    let fields = HashRef::new(entry);
    if !fields.may_expire() {
        return Ok(());
    }
    let is_expired = |name: &&&[u8]| fields.get(name).is_some_and(|field| field.is_expired(now_ms));
    let expired: Vec<&[u8]> = names.iter().filter(is_expired).copied().collect();
    if !expired.is_empty() {
        cx.space.expire_fields(key, &expired);
    }
    Ok(())
}

// ---- reading ------------------------------------------------------------------------------------------------------

/// Has `tell` reply with what a field holds.
#[inline]
fn read_field(cx: &mut Cx<'_>, args: &[&[u8]], tell: impl FnOnce(&mut Reply<'_>, Option<Element<'_>>)) -> Outcome {
    let now_ms = cx.space.now_ms;
    let entry = cx.space.read_collection(args[1], ValueType::Hash)?;
    let field = entry.and_then(|entry| HashRef::new(entry).get(args[2]));
    let expired = field.is_some_and(|field| field.is_expired(now_ms));
    tell(&mut cx.reply, field.filter(|_| !expired).map(|field| field.value));
    if expired {
        cx.space.expire_fields(args[1], &args[2..3]);
    }
    Ok(())
}

/// HGET key field
pub fn hget(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    read_field(cx, args, |reply, value| match value {
        Some(value) => reply_element(reply, value),
        None => reply.null(),
    })
}

/// HEXISTS key field
pub fn hexists(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    read_field(cx, args, |reply, value| reply.integer(i64::from(value.is_some())))
}

/// HSTRLEN key field
pub fn hstrlen(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    read_field(cx, args, |reply, value| reply.integer(value.map_or(0, Element::text_len) as i64))
}

/// HMGET key field [field ...]
pub fn hmget(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    read_fields(cx, args[1], &args[2..]).map(|_| ())
}

/// Replies with what fields hold, and removes those that have expired; tells whether there is such a key.
pub(super) fn read_fields(cx: &mut Cx<'_>, key: &[u8], names: &[&[u8]]) -> Result<bool, ReplyError> {
    let now_ms = cx.space.now_ms;
    let hash = cx.space.read_collection(key, ValueType::Hash)?.map(HashRef::new);
    let mut expired: Vec<&[u8]> = Vec::new();
    cx.reply.array(names.len());
    for name in names {
        match hash.and_then(|hash| hash.get(name)) {
            Some(field) if !field.is_expired(now_ms) => reply_element(&mut cx.reply, field.value),
            found => {
                if found.is_some() && !expired.contains(name) {
                    expired.push(name);
                }
                cx.reply.null();
            }
        }
    }
    let found = hash.is_some();
    if !expired.is_empty() {
        cx.space.expire_fields(key, &expired);
    }
    Ok(found)
}

/// HLEN key
pub fn hlen(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let entry = cx.space.read_collection(args[1], ValueType::Hash)?;
    cx.reply.integer(entry.map_or(0, |entry| HashRef::new(entry).len()) as i64);
    Ok(())
}

/// What is told of every field.
enum Part {
    Names,
    Values,
    Both,
}

fn read_all(cx: &mut Cx<'_>, key: &[u8], part: Part) -> Outcome {
    let now_ms = cx.space.now_ms;
    let hash = cx.space.read_collection(key, ValueType::Hash)?.map(HashRef::new);
    let len = hash.map_or(0, |hash| hash.live_len(now_ms));
    match part {
        Part::Both => cx.reply.map(len),
        Part::Names | Part::Values => cx.reply.array(len),
    }
    let Some(hash) = hash else { return Ok(()) };
    let (names, values) = (matches!(part, Part::Names | Part::Both), matches!(part, Part::Values | Part::Both));
    hash.for_each(|field| {
        if field.is_expired(now_ms) {
            return;
        }
        if names {
            reply_element(&mut cx.reply, field.name);
        }
        if values {
            reply_element(&mut cx.reply, field.value);
        }
    });
    Ok(())
}

/// HGETALL key
pub fn hgetall(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    read_all(cx, args[1], Part::Both)
}

/// HKEYS key
pub fn hkeys(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    read_all(cx, args[1], Part::Names)
}

/// HVALS key
pub fn hvals(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    read_all(cx, args[1], Part::Values)
}

// ---- changing -----------------------------------------------------------------------------------------------------

/// HSET key field value [field value ...]
pub fn hset(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let added = set_fields(cx, args)?;
    cx.reply.integer(added as i64);
    Ok(())
}

/// HMSET key field value [field value ...]
pub fn hmset(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    set_fields(cx, args)?;
    cx.reply.ok();
    Ok(())
}

/// Sets fields; tells how many are new.
#[inline]
fn set_fields(cx: &mut Cx<'_>, args: &[&[u8]]) -> Result<u64, ReplyError> {
    if args.len() % 2 == 1 {
        return Err(ReplyError::wrong_arity(&cx.command.full_name));
    }
    let (key, pairs, limits) = (args[1], &args[2..], limits(cx));
    // A hash that begins with these fields is made of them at once.
    let begun = Cell::new(None);
    let begin = || match hash::packed_of(pairs, limits) {
        Some((packed, added)) => {
            begun.set(Some(added));
            packed
        }
        None => Detached::empty(ValueType::Hash),
    };
    let added = cx.space.edit_or_insert(key, ValueType::Hash, begin, |entry| {
        let added = begun.get().unwrap_or_else(|| HashMut::new(entry, limits).set_all(pairs));
        (pairs.len() as u64 / 2, added)
    })?;
    cx.space.notify(HASH, "hset", key);
    Ok(added)
}

/// HSETNX key field value
pub fn hsetnx(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (key, name, limits) = (args[1], args[2], limits(cx));
    expire_named(cx, key, &[name])?;
    let entry = cx.space.collection(key, ValueType::Hash)?;
    let absent = entry.is_none_or(|entry| HashRef::new(entry).get(name).is_none());
    if absent {
        cx.space.edit_or_create(key, ValueType::Hash, |entry| {
            (1, HashMut::new(entry, limits).set(name, args[3], FieldExpiry::Clear))
        })?;
        cx.space.notify(HASH, "hset", key);
    }
    cx.reply.integer(i64::from(absent));
    Ok(())
}

/// HDEL key field [field ...]
pub fn hdel(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let removed = cx.space.edit(args[1], ValueType::Hash, |entry| {
        let removed = HashMut::shrinking(entry).remove_all(&args[2..]);
        (removed, removed)
    })?;
    let removed = removed.unwrap_or(0);
    if removed > 0 {
        cx.space.notify_edit(HASH, "hdel", args[1]);
    }
    cx.reply.integer(removed as i64);
    Ok(())
}

/// Replaces a field's value by what `compute` makes of it, keeping its expiry; gives the new value, and whether the
/// field expires.
fn recompute<T: AsRef<[u8]>>(
    cx: &mut Cx<'_>,
    args: &[&[u8]],
    compute: impl FnOnce(Option<Field<'_>>) -> Result<T, ReplyError>,
) -> Result<(T, bool), ReplyError> {
    let (key, name, limits) = (args[1], args[2], limits(cx));
    expire_named(cx, key, &[name])?;
    cx.space.edit_or_create(key, ValueType::Hash, |entry| {
        let mut hash = HashMut::new(entry, limits);
        let field = hash.view().get(name);
        let expires = field.is_some_and(|field| field.expiry_ms.is_some());
        match compute(field) {
            Ok(value) => {
                hash.set(name, value.as_ref(), FieldExpiry::Keep);
                (1, Ok((value, expires)))
            }
            Err(error) => (0, Err(error)),
        }
    })?
}

/// HINCRBY key field increment
pub fn hincrby(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let increment = integer(args[3])?;
    let mut sum = 0;
    recompute(cx, args, |field| {
        let not_integer = ReplyError::of("ERR hash value is not an integer");
        let value = field.map_or(Ok(0), |field| field.value.integer().ok_or(not_integer))?;
        sum = value.checked_add(increment).ok_or(ReplyError::of("ERR increment or decrement would overflow"))?;
        Ok(Decimal::new(sum))
    })?;
    cx.space.notify(HASH, "hincrby", args[1]);
    cx.reply.integer(sum);
    Ok(())
}

/// HINCRBYFLOAT key field increment
pub fn hincrbyfloat(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let increment = LongDouble::parse(args[3]).ok_or(ReplyError::NotAFloat)?;
    if !increment.is_finite() {
        return Err(ReplyError::of("ERR value is NaN or Infinity"));
    }
    let (sum, expires) = recompute(cx, args, |field| {
        let not_float = ReplyError::of("ERR hash value is not a float");
        let parse = |field: Field<'_>| LongDouble::parse(&field.value.text()).ok_or(not_float);
        let value = field.map_or(Ok(LongDouble::ZERO), parse)?;
        let sum = value.sum(increment).filter(|sum| sum.is_finite());
        Ok(sum.ok_or(ReplyError::of("ERR increment would produce NaN or Infinity"))?.to_text())
    })?;
    let (key, name, db) = (args[1], args[2], cx.space.db);
    match expires {
        true => cx.space.effect.set(db, &[b"HSETEX", key, b"KEEPTTL", b"FIELDS", b"1", name, sum.as_bytes()]),
        false => cx.space.effect.set(db, &[b"HSET", key, name, sum.as_bytes()]),
    }
    cx.space.notify(HASH, "hincrbyfloat", key);
    cx.reply.bulk_text(&sum);
    Ok(())
}
