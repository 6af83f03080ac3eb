//! Handlers of the commands over several sets: SINTER, SUNION, SDIFF, and those that store or count what comes out.

use std::ops::ControlFlow;

use super::push;
use crate::base::key_slot::SlotId;
use crate::base::number::parse_i64;
use crate::commands::account::reserve;
use crate::commands::arguments::Arguments;
use crate::commands::context::{Cx, Outcome};
use crate::commands::creation::{creation_bytes, tell_made};
use crate::engine::{Space, notify};
use crate::resp::{Reply, ReplyError};
use crate::store::ValueType;
use crate::store::limits::Limits;
use crate::store::listpack::Element;
use crate::store::reclaim;
use crate::store::set::combine::{difference, intersection, union};
use crate::store::set::{LooseSet, SetMut, SetRef};

/// What is made of several sets. `None` stands for a key that is not there.
#[derive(Clone, Copy)]
enum Combination {
    Intersection,
    Union,
    Difference,
}

impl Combination {
    fn visit<'a>(self, sets: &[Option<SetRef<'a>>], mut visit: impl FnMut(Element<'a>)) {
        let there = |sets: &[Option<SetRef<'a>>]| sets.iter().flatten().copied().collect::<Vec<_>>();
        match self {
            Combination::Intersection if sets.iter().any(Option::is_none) => {}
            Combination::Intersection => intersection(&there(sets), |member| {
                visit(member);
                ControlFlow::Continue(())
            }),
            Combination::Union => union(&there(sets), visit),
            Combination::Difference => {
                if let [Some(first), others @ ..] = sets {
                    difference(*first, &there(others), visit);
                }
            }
        }
    }
}

/// The sets under these keys, side by side. All types are looked at, whatever comes out.
fn read_all<'s>(space: &'s mut Space<'_>, keys: &[&[u8]]) -> Result<Vec<Option<SetRef<'s>>>, ReplyError> {
    for key in keys {
        space.read_collection(key, ValueType::Set)?;
    }
    let space: &'s Space<'_> = space;
    Ok(keys.iter().map(|key| space.at_hand(key).map(SetRef::of)).collect())
}

fn reply_with(cx: &mut Cx<'_>, keys: &[&[u8]], combination: Combination) -> Outcome {
    let sets = read_all(&mut cx.space, keys)?;
    let (mut count, mut members) = (0, Vec::new());
    let mut bulks = Reply::new(&mut members, cx.reply.protocol);
    combination.visit(&sets, |member| {
        count += 1;
        push(&mut bulks, member);
    });
    cx.reply.set(count);
    cx.reply.raw(&members);
    Ok(())
}

/// SINTER key [key ...]
pub fn sinter(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    reply_with(cx, &args[1..], Combination::Intersection)
}

/// SUNION key [key ...]
pub fn sunion(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    reply_with(cx, &args[1..], Combination::Union)
}

/// SDIFF key [key ...]
pub fn sdiff(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    reply_with(cx, &args[1..], Combination::Difference)
}

/// SINTERCARD numkeys key [key ...] [LIMIT limit]
pub fn sintercard(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let count = parse_i64(args[1]).and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0);
    let count = count.ok_or(ReplyError::of("ERR numkeys should be greater than 0"))?;
    if count > args.len() - 2 {
        return Err(ReplyError::of("ERR Number of keys can't be greater than number of args"));
    }
    let (keys, options) = args[2..].split_at(count);
    let mut limit = 0;
    let mut reader = Arguments::from(options, 0);
    while !reader.is_done() {
        if reader.option("LIMIT") {
            let error = ReplyError::of("ERR LIMIT can't be negative");
            limit = reader.integer_or(error.clone());
            if limit < 0 {
                reader.fail(error);
            }
        } else {
            reader.fail(ReplyError::Syntax);
        }
    }
    reader.finish()?;
    let sets = read_all(&mut cx.space, keys)?;
    let mut shared = 0;
    if let Some(sets) = sets.into_iter().collect::<Option<Vec<_>>>() {
        intersection(&sets, |_| {
            shared += 1;
            if shared == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }
    cx.reply.integer(shared);
    Ok(())
}

fn store(cx: &mut Cx<'_>, args: &[&[u8]], combination: Combination, event: &'static str) -> Outcome {
    let (target, keys) = (args[1], &args[2..]);
    let limits = Limits::of(cx.config());
    let sets = read_all(&mut cx.space, keys)?;
    let mut made = LooseSet::empty();
    let mut set = SetMut::new(&mut made, &limits);
    combination.visit(&sets, |member| {
        set.insert(member.text().as_ref());
    });
    let len = made.view().len();
    let (db, access) = (cx.space.db, cx.space.access_now);
    if len == 0 {
        if let Some(replaced) = cx.space.remove(target) {
            reclaim::discard(replaced);
            cx.space.notify(notify::GENERIC, "del", target);
            cx.space.effect.set(db, &[b"DEL", target]);
        }
    } else {
        let entry = made.detach().with_key(target, None, access);
        let crosses = keys.iter().any(|key| SlotId::of_key(key) != SlotId::of_key(target));
        if crosses && cx.space.is_followed() {
            reserve(cx, args, creation_bytes(entry.view(), target))?;
        }
        reclaim::discard(cx.space.put(entry));
        cx.space.notify(notify::SET, event, target);
        if crosses {
            tell_made(cx, db, target);
        }
    }
    cx.reply.integer(len as i64);
    Ok(())
}

/// SINTERSTORE destination key [key ...]
pub fn sinterstore(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    store(cx, args, Combination::Intersection, "sinterstore")
}

/// SUNIONSTORE destination key [key ...]
pub fn sunionstore(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    store(cx, args, Combination::Union, "sunionstore")
}

/// SDIFFSTORE destination key [key ...]
pub fn sdiffstore(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    store(cx, args, Combination::Difference, "sdiffstore")
}
