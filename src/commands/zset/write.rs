//! ZADD, ZINCRBY and ZREM.

use smallvec::SmallVec;

use super::replies::limits;
use crate::base::double::parse_double;
use crate::commands::context::{Cx, Outcome};
use crate::engine::notify;
use crate::resp::ReplyError;
use crate::store::zset::{AddOptions, Added, ZsetMut};
use crate::store::{Entry, ValueType};

const NOT_A_NUMBER: ReplyError = ReplyError::of("ERR resulting score is not a number (NaN)");
const NEW_AND_PRESENT: ReplyError = ReplyError::of("ERR XX and NX options at the same time are not compatible");
const BOUNDS_CLASH: ReplyError = ReplyError::of("ERR GT, LT, and/or NX options at the same time are not compatible");
const ONE_INCREMENT: ReplyError = ReplyError::of("ERR INCR option supports a single increment-element pair");

/// ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]
pub fn zadd(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (mut options, mut counts_changed, mut at) = (AddOptions::default(), false, 2);
    while let Some(word) = args.get(at) {
        let flags = [
            ("NX", &mut options.only_new),
            ("XX", &mut options.only_present),
            ("GT", &mut options.only_greater),
            ("LT", &mut options.only_less),
            ("CH", &mut counts_changed),
            ("INCR", &mut options.increment),
        ];
        let named = flags.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
        let Some((_, flag)) = named else { break };
        *flag = true;
        at += 1;
    }
    let (pairs, rest) = args[at..].as_chunks();
    if pairs.is_empty() || !rest.is_empty() {
        return Err(ReplyError::Syntax);
    }
    if options.only_new && options.only_present {
        return Err(NEW_AND_PRESENT);
    }
    if [options.only_new, options.only_greater, options.only_less].iter().filter(|given| **given).count() > 1 {
        return Err(BOUNDS_CLASH);
    }
    if options.increment && pairs.len() > 1 {
        return Err(ONE_INCREMENT);
    }
    add(cx, args[1], pairs, options, counts_changed)
}

/// ZINCRBY key increment member
pub fn zincrby(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    add(cx, args[1], &[[args[2], args[3]]], AddOptions { increment: true, ..AddOptions::default() }, false)
}

/// What an addition of several members did.
#[derive(Default)]
struct Tally {
    added: u64,
    updated: u64,
    /// What became of the last member.
    last: Option<Added>,
}

fn add(cx: &mut Cx<'_>, key: &[u8], pairs: &[[&[u8]; 2]], options: AddOptions, counts_changed: bool) -> Outcome {
    let score = |pair: &[&[u8]; 2]| parse_double(pair[0]).ok_or(ReplyError::NotAFloat);
    let scores: SmallVec<[f64; 8]> = pairs.iter().map(score).collect::<Result<_, _>>()?;
    let limits = limits(cx);
    let change = |entry: &mut Entry| {
        let mut tally = Tally::default();
        let mut zset = ZsetMut::of(entry, limits);
        for (score, [_, member]) in scores.iter().zip(pairs) {
            let added = zset.add(*score, member, options);
            match added {
                Added::New(_) => tally.added += 1,
                Added::Updated(_) => tally.updated += 1,
                _ => {}
            }
            tally.last = Some(added);
        }
        (tally.added + tally.updated, tally)
    };
    let tally = if options.only_present {
        cx.space.edit(key, ValueType::Zset, change)?.unwrap_or_default()
    } else {
        cx.space.edit_or_create(key, ValueType::Zset, change)?
    };
    if tally.added + tally.updated > 0 {
        cx.space.notify(notify::ZSET, if options.increment { "zincr" } else { "zadd" }, key);
    }
    match tally.last {
        _ if !options.increment => {
            cx.reply.integer((tally.added + if counts_changed { tally.updated } else { 0 }) as i64);
        }
        Some(Added::New(score) | Added::Updated(score) | Added::Unchanged(score)) => cx.reply.double(score),
        Some(Added::NotANumber) => return Err(NOT_A_NUMBER),
        Some(Added::Refused) | None => cx.reply.null(),
    }
    Ok(())
}

/// ZREM key member [member ...]
pub fn zrem(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (key, limits) = (args[1], limits(cx));
    let removed = cx.space.edit(key, ValueType::Zset, |entry| {
        let mut zset = ZsetMut::of(entry, limits);
        let removed = args[2..].iter().filter(|member| zset.remove(member)).count() as u64;
        (removed, removed)
    })?;
    let removed = removed.unwrap_or(0);
    if removed > 0 {
        cx.space.notify_edit(notify::ZSET, "zrem", key);
    }
    cx.reply.integer(removed as i64);
    Ok(())
}
