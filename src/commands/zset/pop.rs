//! Commands that take the first or last members out: ZPOPMIN, ZPOPMAX, ZMPOP, and those that wait for some.
//!
//! The effect of each is ZPOPMIN or ZPOPMAX with the number of members that were taken: which these are is settled by
//! the sorted set.

use super::replies::limits;
use crate::base::number::Decimal;
use crate::commands::arguments::{Arguments, quantity};
use crate::commands::blocking::{WaitFor, seconds_from};
use crate::commands::context::{Cx, Outcome, Waits};
use crate::engine::notify;
use crate::resp::{Protocol, ReplyError};
use crate::store::ValueType;
use crate::store::zset::{ZsetMut, ZsetRef};

/// Which end of a sorted set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Min,
    Max,
}

impl End {
    fn event(self) -> &'static str {
        match self {
            End::Min => "zpopmin",
            End::Max => "zpopmax",
        }
    }

    fn command(self) -> &'static [u8] {
        match self {
            End::Min => b"ZPOPMIN",
            End::Max => b"ZPOPMAX",
        }
    }
}

/// How the members taken are told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Members and scores, one after the other.
    Flat,
    /// The same, after the key.
    FlatWithKey,
    /// Members with their scores, each in an array.
    Pairs,
    /// The key, and an array of such pairs.
    PairsWithKey,
}

/// Takes up to `count` members, at least one, out of the sorted set at `key`, which is not empty.
fn pop(cx: &mut Cx<'_>, key: &[u8], end: End, count: u64, shape: Shape) -> Outcome {
    let Some(zset) = cx.space.collection(key, ValueType::Zset)?.map(ZsetRef::of) else { return Ok(()) };
    let (len, reply) = (zset.len(), &mut cx.reply);
    let taken = count.min(len);
    match shape {
        Shape::Flat => reply.array(2 * taken as usize),
        Shape::FlatWithKey => reply.array(2 * taken as usize + 1),
        Shape::Pairs => reply.array(taken as usize),
        Shape::PairsWithKey => reply.array(2),
    }
    if matches!(shape, Shape::FlatWithKey | Shape::PairsWithKey) {
        reply.bulk(key);
    }
    if shape == Shape::PairsWithKey {
        reply.array(taken as usize);
    }
    let ranks = if end == End::Min { 0..taken } else { len - taken..len };
    for (member, score) in zset.range(ranks.clone(), end == End::Max) {
        if matches!(shape, Shape::Pairs | Shape::PairsWithKey) {
            reply.array(2);
        }
        reply.bulk(&member);
        reply.double(score);
    }
    let limits = limits(cx);
    cx.space.edit(key, ValueType::Zset, |entry| (taken, ZsetMut::of(entry, limits).remove_ranks(ranks)))?;
    cx.space.notify_edit(notify::ZSET, end.event(), key);
    let db = cx.space.db;
    cx.space.effect.set(db, &[end.command(), key, Decimal::new(taken as i64).as_bytes()]);
    Ok(())
}

/// The first of the keys with a sorted set.
fn first_filled<'a>(cx: &mut Cx<'_>, keys: &[&'a [u8]]) -> Result<Option<&'a [u8]>, ReplyError> {
    for key in keys {
        match cx.space.collection(key, ValueType::Zset) {
            Ok(None) => {}
            Ok(Some(_)) => return Ok(Some(key)),
            // A client that waits minds only what it waits for.
            Err(_) if cx.waits == Waits::Again => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

// ---- at once ------------------------------------------------------------------------------------------------------

/// ZPOPMIN key [count]
pub fn zpopmin(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    pop_one_key(cx, args, End::Min)
}

/// ZPOPMAX key [count]
pub fn zpopmax(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    pop_one_key(cx, args, End::Max)
}

fn pop_one_key(cx: &mut Cx<'_>, args: &[&[u8]], end: End) -> Outcome {
    let count = match args {
        [_, _] => 1,
        [_, _, count] => quantity(count)? as u64,
        _ => return Err(ReplyError::Syntax),
    };
    if first_filled(cx, &args[1..2])?.is_none() || count == 0 {
        cx.reply.array(0);
        return Ok(());
    }
    let in_pairs = cx.reply.protocol == Protocol::Resp3 && args.len() == 3;
    pop(cx, args[1], end, count, if in_pairs { Shape::Pairs } else { Shape::Flat })
}

/// The keys, end and count of ZMPOP and BZMPOP.
struct Several<'a> {
    keys: &'a [&'a [u8]],
    end: End,
    count: u64,
}

impl<'a> Several<'a> {
    /// Reads numkeys key [key ...] MIN | MAX [COUNT count] from index `first` on.
    fn read(args: &'a [&'a [u8]], first: usize) -> Result<Several<'a>, ReplyError> {
        let mut reader = Arguments::from(args, first);
        let key_count = positive(&mut reader, "ERR numkeys should be greater than 0");
        if reader.has_failed() {
            reader.finish()?;
        }
        let rest = &args[first + 1..];
        let keys = usize::try_from(key_count).ok().and_then(|count| rest.get(..count)).ok_or(ReplyError::Syntax)?;
        let mut reader = Arguments::from(rest, keys.len());
        let mut end = End::Min;
        if reader.word("MAX") {
            end = End::Max;
        } else if !reader.word("MIN") {
            reader.fail(ReplyError::Syntax);
        }
        let mut count = 1;
        if reader.option("COUNT") {
            count = positive(&mut reader, "ERR count should be greater than 0");
        }
        reader.finish()?;
        Ok(Several { keys, end, count })
    }
}

/// An integer above zero.
fn positive(reader: &mut Arguments<'_>, error: &'static str) -> u64 {
    match u64::try_from(reader.integer_or(ReplyError::of(error))) {
        Ok(value) if value > 0 => value,
        _ => {
            reader.fail(ReplyError::of(error));
            1
        }
    }
}

/// ZMPOP numkeys key [key ...] MIN | MAX [COUNT count]
pub fn zmpop(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let several = Several::read(args, 1)?;
    match first_filled(cx, several.keys)? {
        Some(key) => pop(cx, key, several.end, several.count, Shape::PairsWithKey),
        None => {
            cx.reply.null_array();
            Ok(())
        }
    }
}

// ---- waiting ------------------------------------------------------------------------------------------------------

/// BZPOPMIN key [key ...] timeout
pub fn bzpopmin(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    pop_or_wait_flat(cx, args, End::Min)
}

/// BZPOPMAX key [key ...] timeout
pub fn bzpopmax(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    pop_or_wait_flat(cx, args, End::Max)
}

fn pop_or_wait_flat(cx: &mut Cx<'_>, args: &[&[u8]], end: End) -> Outcome {
    let (timeout, keys) = (args[args.len() - 1], &args[1..args.len() - 1]);
    pop_or_wait(cx, args, &Several { keys, end, count: 1 }, timeout, Shape::FlatWithKey)
}

/// BZMPOP timeout numkeys key [key ...] MIN | MAX [COUNT count]
pub fn bzmpop(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let several = Several::read(args, 2)?;
    pop_or_wait(cx, args, &several, args[1], Shape::PairsWithKey)
}

fn pop_or_wait(cx: &mut Cx<'_>, args: &[&[u8]], several: &Several<'_>, timeout: &[u8], shape: Shape) -> Outcome {
    let until_ms = seconds_from(cx.space.now_ms, timeout)?;
    if let Some(key) = first_filled(cx, several.keys)? {
        return pop(cx, key, several.end, several.count, shape);
    }
    cx.wait_for(&WaitFor { call: args, keys: several.keys, wanted: ValueType::Zset, minds_end: false, until_ms })
}
