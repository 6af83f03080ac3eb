//! Handlers: sets. The values' own logic is in [`crate::store::set`].

mod combine;
mod draw;
#[cfg(test)]
mod tests;

use super::context::{Cx, Outcome};
use super::scan_options::{Extra, ScanOptions, read_cursor, reply_page};
use crate::engine::notify;
use crate::resp::{Reply, ReplyError};
use crate::store::limits::Limits;
use crate::store::listpack::Element;
use crate::store::set::{LooseSet, SetMut, SetRef};
use crate::store::{EntryRef, ValueType};

pub use combine::{sdiff, sdiffstore, sinter, sintercard, sinterstore, sunion, sunionstore};
pub use draw::{spop, srandmember};

/// The set under `key` for a reading command.
fn read<'s>(cx: &'s mut Cx<'_>, key: &[u8]) -> Result<Option<SetRef<'s>>, ReplyError> {
    Ok(cx.space.read_collection(key, ValueType::Set)?.map(SetRef::of))
}

fn push(reply: &mut Reply<'_>, member: Element<'_>) {
    match member {
        Element::Integer(value) => reply.bulk_integer(value),
        Element::Bytes(bytes) => reply.bulk(bytes),
    }
}

/// SADD key member [member ...]
pub fn sadd(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (key, members) = (args[1], &args[2..]);
    let added = add(cx, key, members)?;
    if added > 0 {
        cx.space.notify_edit(notify::SET, "sadd", key);
    }
    cx.reply.integer(added as i64);
    Ok(())
}

/// Adds members, making the set if need be; tells how many are new.
fn add(cx: &mut Cx<'_>, key: &[u8], members: &[&[u8]]) -> Result<u64, ReplyError> {
    let limits = Limits::of(cx.config());
    let make = || LooseSet::for_members(members[0], members.len(), &limits).detach();
    cx.space.edit_or_insert(key, ValueType::Set, make, |entry| {
        let mut set = SetMut::new(entry, &limits);
        set.expect(members.len());
        let added = members.iter().filter(|member| set.insert(member)).count() as u64;
        (added, added)
    })
}

/// SREM key member [member ...]
pub fn srem(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let removed = remove(cx, args[1], &args[2..])?;
    if removed > 0 {
        cx.space.notify_edit(notify::SET, "srem", args[1]);
    }
    cx.reply.integer(removed as i64);
    Ok(())
}

/// Takes members out; tells how many there were.
fn remove(cx: &mut Cx<'_>, key: &[u8], members: &[impl AsRef<[u8]>]) -> Result<u64, ReplyError> {
    let limits = Limits::of(cx.config());
    let removed = cx.space.edit(key, ValueType::Set, |entry| {
        let mut set = SetMut::new(entry, &limits);
        let removed = members.iter().filter(|member| set.remove(member.as_ref())).count() as u64;
        (removed, removed)
    })?;
    Ok(removed.unwrap_or(0))
}

/// SMOVE source destination member
pub fn smove(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (from, to, member) = (args[1], args[2], args[3]);
    let held = match cx.space.collection(from, ValueType::Set)? {
        Some(entry) => SetRef::of(entry).contains(Element::of(member)),
        None => {
            cx.reply.integer(0);
            return Ok(());
        }
    };
    cx.space.collection(to, ValueType::Set)?;
    if held && from != to {
        let db = cx.space.db;
        remove(cx, from, &[member])?;
        cx.space.notify_edit(notify::SET, "srem", from);
        cx.space.effect.set(db, &[b"SREM", from, member]);
        if add(cx, to, &[member])? > 0 {
            cx.space.notify_edit(notify::SET, "sadd", to);
            cx.space.effect.add(db, &[b"SADD", to, member]);
        }
    }
    cx.reply.integer(i64::from(held));
    Ok(())
}

/// SISMEMBER key member
pub fn sismember(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let held = read(cx, args[1])?.is_some_and(|set| set.contains(Element::of(args[2])));
    cx.reply.integer(i64::from(held));
    Ok(())
}

/// SMISMEMBER key member [member ...]
pub fn smismember(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let set = cx.space.read_collection(args[1], ValueType::Set)?.map(SetRef::of);
    cx.reply.array(args.len() - 2);
    for member in &args[2..] {
        cx.reply.integer(i64::from(set.is_some_and(|set| set.contains(Element::of(member)))));
    }
    Ok(())
}

/// SCARD key
pub fn scard(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let len = read(cx, args[1])?.map_or(0, SetRef::len);
    cx.reply.integer(len as i64);
    Ok(())
}

/// SMEMBERS key
pub fn smembers(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let set = cx.space.read_collection(args[1], ValueType::Set)?.map(SetRef::of);
    cx.reply.set(set.map_or(0, SetRef::len));
    set.into_iter().flat_map(SetRef::iter).for_each(|member| push(&mut cx.reply, member));
    Ok(())
}

/// SSCAN key cursor [MATCH pattern] [COUNT count]
pub fn sscan(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let cursor = read_cursor(args[2])?;
    let entry: Option<EntryRef<'_>> = cx.space.read_collection(args[1], ValueType::Set)?;
    let (mut next, mut found, mut members) = (0, 0, Vec::new());
    if let Some(entry) = entry {
        let options = ScanOptions::read(&args[3..], Extra::Nothing)?;
        let mut bulks = Reply::new(&mut members, cx.reply.protocol);
        next = SetRef::of(entry).scan(cursor, options.count, |member| {
            if options.wants(member.text().as_ref()) {
                found += 1;
                push(&mut bulks, member);
            }
        });
    }
    reply_page(&mut cx.reply, next, found, &members);
    Ok(())
}
