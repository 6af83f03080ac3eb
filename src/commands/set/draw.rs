//! Handlers of the commands that draw members by chance. What was drawn is told, never that something was.

use super::push;
use crate::base::random;
use crate::commands::account::reserve;
use crate::commands::arguments::{negatable, quantity};
use crate::commands::context::{Cx, Outcome};
use crate::engine::notify;
use crate::log::record;
use crate::resp::ReplyError;
use crate::store::ValueType;
use crate::store::listpack::Element;
use crate::store::reclaim;
use crate::store::set::SetRef;
use crate::store::set::combine::choose;

/// Members of one effect, and bytes that end one early.
const EFFECT_MEMBERS_MAX: usize = 1024;
const EFFECT_BYTES_MAX: usize = 64 << 10;
/// A removal of up to so many bytes fits into what every request is promised.
const PROMISED_BYTES: usize = 1024;

/// A random number for [`SetRef::sample`].
fn any() -> u64 {
    random::below(u64::MAX)
}

/// SPOP key [count]
pub fn spop(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    match args {
        [_, key] => pop_one(cx, args, key),
        [_, key, count] => pop_several(cx, args, key, quantity(count)?),
        _ => Err(ReplyError::Syntax),
    }
}

fn pop_one(cx: &mut Cx<'_>, args: &[&[u8]], key: &[u8]) -> Outcome {
    let set = cx.space.collection(key, ValueType::Set)?.map(SetRef::of);
    let Some(member) = set.and_then(|set| set.sample(any())).map(Element::to_vec) else {
        cx.reply.null();
        return Ok(());
    };
    take(cx, args, key, std::slice::from_ref(&member))?;
    cx.reply.bulk(&member);
    Ok(())
}

fn pop_several(cx: &mut Cx<'_>, args: &[&[u8]], key: &[u8], count: usize) -> Outcome {
    let set = cx.space.collection(key, ValueType::Set)?.map(SetRef::of);
    match set {
        Some(set) if count >= set.len() => {
            cx.reply.set(set.len());
            set.iter().for_each(|member| push(&mut cx.reply, member));
            reclaim::discard(cx.space.remove(key));
            cx.space.notify(notify::SET, "spop", key);
            cx.space.notify(notify::GENERIC, "del", key);
            cx.space.effect.set(cx.space.db, &[b"DEL", key]);
        }
        Some(set) if count > 0 => {
            let members: Vec<Vec<u8>> = choose(set, count, random::below).into_iter().map(Element::to_vec).collect();
            take(cx, args, key, &members)?;
            cx.reply.set(members.len());
            members.iter().for_each(|member| cx.reply.bulk(member));
        }
        _ => cx.reply.set(0),
    }
    Ok(())
}

/// Takes members out that are there.
fn take(cx: &mut Cx<'_>, args: &[&[u8]], key: &[u8], members: &[Vec<u8>]) -> Outcome {
    let effects = removals(key, members);
    let bytes = effects.iter().map(|effect| record::record_bytes(record::effect_bytes(effect))).sum();
    if bytes > PROMISED_BYTES {
        reserve(cx, args, bytes)?;
    }
    super::remove(cx, key, members)?;
    cx.space.notify_edit(notify::SET, "spop", key);
    cx.space.effect = crate::engine::effect::Effect::Instead(Vec::new());
    effects.iter().for_each(|effect| cx.space.effect.add(cx.space.db, effect));
    Ok(())
}

/// The commands that take these members out.
fn removals<'m>(key: &'m [u8], members: &'m [Vec<u8>]) -> Vec<Vec<&'m [u8]>> {
    let mut commands: Vec<Vec<&[u8]>> = Vec::new();
    let mut room = 0;
    for member in members {
        let full = commands.last().is_none_or(|command| command.len() >= EFFECT_MEMBERS_MAX + 2) || room < member.len();
        if full {
            commands.push(vec![b"SREM", key]);
            room = EFFECT_BYTES_MAX;
        }
        room = room.saturating_sub(member.len());
        commands.last_mut().into_iter().for_each(|command| command.push(member));
    }
    commands
}

/// SRANDMEMBER key [count]
pub fn srandmember(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let reply_bytes_max = cx.reply_bytes_max();
    let count = match args {
        [_, _] => None,
        [_, _, count] => {
            let count = negatable(count)?;
            if count < 0 {
                cx.check_draws(count.unsigned_abs())?;
            }
            Some(count)
        }
        _ => return Err(ReplyError::Syntax),
    };
    let set = cx.space.read_collection(args[1], ValueType::Set)?.map(SetRef::of);
    match (set, count) {
        (set, None) => match set.and_then(|set| set.sample(any())) {
            Some(member) => push(&mut cx.reply, member),
            None => cx.reply.null(),
        },
        (None, Some(_)) => cx.reply.array(0),
        (Some(set), Some(count @ 0..)) => {
            let members = choose(set, usize::try_from(count).unwrap_or(usize::MAX), random::below);
            cx.reply.array(members.len());
            members.into_iter().for_each(|member| push(&mut cx.reply, member));
        }
        (Some(set), Some(count)) => {
            let count = count.unsigned_abs();
            cx.reply.array(usize::try_from(count).unwrap_or(usize::MAX));
            // Packed sets are walked once, not once for each draw.
            let packed: Option<Vec<Element<'_>>> =
                (!matches!(set, SetRef::Large(_)) && count > 1).then(|| set.iter().collect());
            for _ in 0..count {
                if cx.reply.len() > reply_bytes_max {
                    break;
                }
                let member = match &packed {
                    Some(members) => members.get(random::below(members.len().max(1) as u64) as usize).copied(),
                    None => set.sample(any()),
                };
                member.into_iter().for_each(|member| push(&mut cx.reply, member));
            }
        }
    }
    Ok(())
}
