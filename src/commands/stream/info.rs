//! Handlers of XINFO.

use super::groups::no_such_group;
use super::write::{write_id, write_item, write_items};
use crate::commands::arguments::integer;
use crate::commands::command::write_help;
use crate::commands::{Cx, Outcome};
use crate::resp::{Reply, ReplyError};
use crate::store::ValueType;
use crate::store::stream::{Consumer, Entries, Group, Item, Stream, StreamId};

/// Entries and pending entries that are shown in full where nobody says how many.
const SHOWN_DEFAULT: usize = 10;

/// XINFO CONSUMERS key group
pub fn consumers(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (key, name, now_ms) = (args[2], args[3], cx.space.now_ms as i64);
    let entry = cx.space.read_collection(key, ValueType::Stream)?.ok_or(ReplyError::NoSuchKey)?;
    let group = entry.large::<Stream>().group(name).ok_or_else(|| no_such_group(key, name))?;
    let since = |time_ms: u64| now_ms.wrapping_sub(time_ms as i64).max(0);
    let reply = &mut cx.reply;
    reply.array(group.consumer_count());
    for consumer in group.consumers() {
        reply.map(4);
        reply.bulk_text("name");
        reply.bulk(&consumer.name);
        number(reply, "pending", consumer.pending_count() as i64);
        number(reply, "idle", since(consumer.seen_time_ms));
        number(reply, "inactive", consumer.active_time_ms.map_or(-1, since));
    }
    Ok(())
}

fn number(reply: &mut Reply<'_>, name: &str, value: i64) {
    reply.bulk_text(name);
    reply.integer(value);
}

fn id(reply: &mut Reply<'_>, name: &str, id: StreamId) {
    reply.bulk_text(name);
    write_id(reply, id);
}

/// What a group has read, and how much there is left.
fn write_position(reply: &mut Reply<'_>, entries: &Entries, group: &Group) {
    let mut number_or_null = |name: &str, value: Option<i64>| {
        reply.bulk_text(name);
        match value {
            Some(value) => reply.integer(value),
            None => reply.null(),
        }
    };
    number_or_null("entries-read", group.entries_read.map(|read| read as i64));
    number_or_null("lag", group.lag(entries));
}

/// XINFO GROUPS key
pub fn groups(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let entry = cx.space.read_collection(args[2], ValueType::Stream)?.ok_or(ReplyError::NoSuchKey)?;
    let (stream, reply) = (entry.large::<Stream>(), &mut cx.reply);
    reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        reply.map(6);
        reply.bulk_text("name");
        reply.bulk(name);
        number(reply, "consumers", group.consumer_count() as i64);
        number(reply, "pending", group.pending_count() as i64);
        id(reply, "last-delivered-id", group.last_id);
        write_position(reply, &stream.entries, group);
    }
    Ok(())
}

/// How many entries a full report shows, 0 for all; `None` where none is asked for.
fn shown(cx: &Cx<'_>, args: &[&[u8]]) -> Result<Option<usize>, ReplyError> {
    match &args[3..] {
        [] => Ok(None),
        [full] if full.eq_ignore_ascii_case(b"FULL") => Ok(Some(SHOWN_DEFAULT)),
        [full, word, count] if full.eq_ignore_ascii_case(b"FULL") && word.eq_ignore_ascii_case(b"COUNT") => {
            Ok(Some(usize::try_from(integer(count)?).unwrap_or(SHOWN_DEFAULT)))
        }
        _ => Err(cx.unknown_subcommand(args)),
    }
}

/// XINFO STREAM key [FULL [COUNT count]]
pub fn stream(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    // The key is looked at first.
    if cx.space.collection(args[2], ValueType::Stream)?.is_none() {
        cx.space.read(args[2]);
        return Err(ReplyError::NoSuchKey);
    }
    let full = shown(cx, args)?;
    let entry = cx.space.read_collection(args[2], ValueType::Stream)?.ok_or(ReplyError::NoSuchKey)?;
    let (stream, reply) = (entry.large::<Stream>(), &mut cx.reply);
    let entries = &stream.entries;
    reply.map(if full.is_some() { 9 } else { 10 });
    number(reply, "length", entries.len() as i64);
    let blocks = entries.block_count() as i64;
    number(reply, "radix-tree-keys", blocks);
    // A tree of another kind: one node for each key and a root.
    number(reply, "radix-tree-nodes", blocks + 1);
    id(reply, "last-generated-id", entries.last_id);
    id(reply, "max-deleted-entry-id", entries.max_deleted_id);
    number(reply, "entries-added", entries.added as i64);
    id(reply, "recorded-first-entry-id", entries.first_id());
    match full {
        Some(count) => write_full(reply, stream, if count == 0 { usize::MAX } else { count }),
        None => {
            number(reply, "groups", stream.groups().len() as i64);
            let mut edge = |name: &str, item: Option<Item<'_>>| {
                reply.bulk_text(name);
                match item {
                    Some(item) => write_item(reply, &item),
                    None => reply.null(),
                }
            };
            edge("first-entry", entries.range(StreamId::MIN, StreamId::MAX).next());
            edge("last-entry", entries.range_back(StreamId::MIN, StreamId::MAX).next());
        }
    }
    Ok(())
}

fn write_full(reply: &mut Reply<'_>, stream: &Stream, count_max: usize) {
    reply.bulk_text("entries");
    write_items(reply, stream.entries.range(StreamId::MIN, StreamId::MAX).take(count_max));
    reply.bulk_text("groups");
    reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        reply.map(7);
        reply.bulk_text("name");
        reply.bulk(name);
        id(reply, "last-delivered-id", group.last_id);
        write_position(reply, &stream.entries, group);
        number(reply, "pel-count", group.pending_count() as i64);
        reply.bulk_text("pending");
        reply.array(group.pending_count().min(count_max));
        for (id, pending) in group.pending_in(..).take(count_max) {
            reply.array(4);
            write_id(reply, id);
            reply.bulk(group.name_of(pending.consumer));
            reply.integer(pending.delivery_time_ms as i64);
            reply.integer(pending.delivery_count as i64);
        }
        reply.bulk_text("consumers");
        reply.array(group.consumer_count());
        group.consumers().for_each(|consumer| write_consumer(reply, group, consumer, count_max));
    }
}

fn write_consumer(reply: &mut Reply<'_>, group: &Group, consumer: &Consumer, count_max: usize) {
    reply.map(5);
    reply.bulk_text("name");
    reply.bulk(&consumer.name);
    number(reply, "seen-time", consumer.seen_time_ms as i64);
    number(reply, "active-time", consumer.active_time_ms.map_or(-1, |time_ms| time_ms as i64));
    number(reply, "pel-count", consumer.pending_count() as i64);
    reply.bulk_text("pending");
    let begin = reply.len();
    let mut count = 0;
    if let Some(id) = group.find_consumer(&consumer.name) {
        for (id, pending) in group.pending_of(id, ..).take(count_max) {
            reply.array(3);
            write_id(reply, id);
            reply.integer(pending.delivery_time_ms as i64);
            reply.integer(pending.delivery_count as i64);
            count += 1;
        }
    }
    reply.array_from(begin, count);
}

/// XINFO HELP
pub fn help(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    write_help(
        &mut cx.reply,
        "XINFO",
        &[
            "CONSUMERS <key> <group>",
            "    Describe the consumers of a group.",
            "GROUPS <key>",
            "    Describe the groups of a stream.",
            "STREAM <key> [FULL [COUNT <count>]]",
            "    Describe a stream; with FULL its entries and groups, too.",
        ],
    );
    Ok(())
}
