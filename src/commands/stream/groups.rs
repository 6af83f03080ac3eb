//! Handlers of XGROUP.

use super::parse;
use crate::base::clock;
use crate::commands::arguments::integer;
use crate::commands::command::write_help;
use crate::commands::{Cx, Outcome};
use crate::engine::notify;
use crate::resp::ReplyError;
use crate::store::stream::{Entries, Group, Stream, StreamId};
use crate::store::{Detached, ValueType};

const NO_KEY: ReplyError = ReplyError::of(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option \
     to create an empty stream automatically.",
);

/// The error of a group that a stream does not have.
pub fn no_such_group(key: &[u8], group: &[u8]) -> ReplyError {
    parse::quoting_two(["NOGROUP No such consumer group '", "' for key name '", "'"], group, key)
}

/// The moment at which a consumer is seen.
pub fn seen_ms(now_ms: u64) -> u64 {
    // When it was is not told to those who follow, so a replay takes its own time.
    if parse::is_replay(now_ms) { clock::unix_ms() } else { now_ms }
}

/// What stands behind the id of CREATE and SETID.
#[derive(Default)]
struct Options {
    make_stream: bool,
    entries_read: Option<u64>,
}

impl Options {
    fn read(cx: &Cx<'_>, args: &[&[u8]], creates: bool) -> Result<Options, ReplyError> {
        let mut options = Options::default();
        let mut rest = &args[5..];
        while let [word, more @ ..] = rest {
            rest = more;
            if creates && word.eq_ignore_ascii_case(b"MKSTREAM") {
                options.make_stream = true;
                continue;
            }
            let [value, more @ ..] = rest else { return Err(cx.unknown_subcommand(args)) };
            if !word.eq_ignore_ascii_case(b"ENTRIESREAD") {
                return Err(cx.unknown_subcommand(args));
            }
            rest = more;
            options.entries_read = match integer(value)? {
                -1 => None,
                read => Some(
                    u64::try_from(read)
                        .map_err(|_| ReplyError::of("ERR value for ENTRIESREAD must be positive or -1"))?,
                ),
            };
        }
        Ok(options)
    }
}

/// The position that a group is set to, in a stream that may not be there.
fn position(text: &[u8], entries: Option<&Entries>, strict: bool) -> Result<StreamId, ReplyError> {
    match text {
        b"$" => Ok(entries.map_or(StreamId::MIN, |entries| entries.last_id)),
        _ if strict => parse::id(text),
        _ => parse::any_id(text),
    }
}

/// XGROUP CREATE key group id | $ [MKSTREAM] [ENTRIESREAD entries-read]
pub fn create(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let options = Options::read(cx, args, true)?;
    let (key, name) = (args[2], args[3]);
    let entry = cx.space.collection(key, ValueType::Stream)?;
    if entry.is_none() && !options.make_stream {
        return Err(NO_KEY);
    }
    // Each option once at most.
    if args.len() > 8 {
        return Err(cx.unknown_subcommand(args));
    }
    let last_id = position(args[4], entry.map(|entry| &entry.large::<Stream>().entries), true)?;
    let make = || Detached::Large(Box::<Stream>::default());
    let group = Group::new(last_id, options.entries_read);
    let added = cx.space.edit_or_insert(key, ValueType::Stream, make, |entry| {
        let added = entry.large_mut::<Stream>().add_group(name, group);
        (u64::from(added), added)
    })?;
    if !added {
        return Err(ReplyError::of("BUSYGROUP Consumer Group name already exists"));
    }
    cx.space.notify(notify::STREAM, "xgroup-create", key);
    cx.reply.ok();
    Ok(())
}

/// Refuses a call whose key or group is not there.
fn check_group(cx: &mut Cx<'_>, key: &[u8], group: &[u8]) -> Result<(), ReplyError> {
    let entry = cx.space.collection(key, ValueType::Stream)?.ok_or(NO_KEY)?;
    entry.large::<Stream>().group(group).map(|_| ()).ok_or_else(|| no_such_group(key, group))
}

/// XGROUP SETID key group id | $ [ENTRIESREAD entries-read]
pub fn set_id(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let options = Options::read(cx, args, false)?;
    let (key, name) = (args[2], args[3]);
    check_group(cx, key, name)?;
    if args.len() > 7 {
        return Err(cx.unknown_subcommand(args));
    }
    let set = cx.space.edit(key, ValueType::Stream, |entry| {
        let set = entry.large_mut::<Stream>().with_group(name, |entries, group| {
            group.last_id = position(args[4], Some(entries), false)?;
            group.entries_read = options.entries_read;
            Ok(())
        });
        let set: Outcome = set.unwrap_or(Ok(()));
        (u64::from(set.is_ok()), set)
    })?;
    set.unwrap_or(Ok(()))?;
    cx.space.notify(notify::STREAM, "xgroup-setid", key);
    cx.reply.ok();
    Ok(())
}

/// XGROUP DESTROY key group
pub fn destroy(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (key, name) = (args[2], args[3]);
    let removed = cx.space.edit(key, ValueType::Stream, |entry| {
        let removed = entry.large_mut::<Stream>().remove_group(name);
        (u64::from(removed), removed)
    })?;
    let removed = removed.ok_or(NO_KEY)?;
    if removed {
        cx.space.notify(notify::STREAM, "xgroup-destroy", key);
    }
    cx.reply.integer(i64::from(removed));
    Ok(())
}

/// XGROUP CREATECONSUMER key group consumer
pub fn create_consumer(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (key, name, seen_ms) = (args[2], args[3], seen_ms(cx.space.now_ms));
    check_group(cx, key, name)?;
    let made = cx.space.edit(key, ValueType::Stream, |entry| {
        let add = |_: &Entries, group: &mut Group| group.find_or_add_consumer(args[4], seen_ms).1;
        let made = entry.large_mut::<Stream>().with_group(name, add) == Some(true);
        (u64::from(made), made)
    })?;
    if made == Some(true) {
        cx.space.notify(notify::STREAM, "xgroup-createconsumer", key);
    }
    cx.reply.integer(i64::from(made == Some(true)));
    Ok(())
}

/// XGROUP DELCONSUMER key group consumer
pub fn delete_consumer(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (key, name) = (args[2], args[3]);
    check_group(cx, key, name)?;
    let pending = cx.space.edit(key, ValueType::Stream, |entry| {
        let remove = |_: &Entries, group: &mut Group| group.remove_consumer(args[4]);
        let pending = entry.large_mut::<Stream>().with_group(name, remove).flatten();
        (u64::from(pending.is_some()), pending)
    })?;
    let pending = pending.flatten();
    if pending.is_some() {
        cx.space.notify(notify::STREAM, "xgroup-delconsumer", key);
    }
    cx.reply.integer(pending.unwrap_or(0) as i64);
    Ok(())
}

/// XGROUP HELP
pub fn help(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    write_help(
        &mut cx.reply,
        "XGROUP",
        &[
            "CREATE <key> <group> <id|$> [MKSTREAM] [ENTRIESREAD <count>]",
            "    Make a group that reads what comes after an entry. With MKSTREAM, make",
            "    the stream if there is none; ENTRIESREAD says how many entries came before.",
            "CREATECONSUMER <key> <group> <consumer>",
            "    Make a consumer.",
            "DELCONSUMER <key> <group> <consumer>",
            "    Remove a consumer and what it has pending.",
            "DESTROY <key> <group>",
            "    Remove a group.",
            "SETID <key> <group> <id|$> [ENTRIESREAD <count>]",
            "    Have a group read what comes after an entry.",
        ],
    );
    Ok(())
}
