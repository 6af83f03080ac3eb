//! Handlers that read entries by their ids.

use super::parse;
use super::write::write_items;
use crate::commands::{Cx, Outcome};
use crate::resp::ReplyError;
use crate::store::ValueType;
use crate::store::stream::{Stream, StreamId};

/// XLEN key
pub fn xlen(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let entry = cx.space.read_collection(args[1], ValueType::Stream)?;
    let length = entry.map_or(0, |entry| entry.large::<Stream>().entries.len());
    cx.reply.integer(length as i64);
    Ok(())
}

/// XRANGE key start end [COUNT count]
pub fn xrange(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let bounds = (parse::start(args[2])?, parse::end(args[3])?);
    range(cx, args, bounds, false)
}

/// XREVRANGE key end start [COUNT count]
pub fn xrevrange(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let bounds = (parse::start(args[3])?, parse::end(args[2])?);
    range(cx, args, bounds, true)
}

fn range(cx: &mut Cx<'_>, args: &[&[u8]], (start, end): (StreamId, StreamId), backwards: bool) -> Outcome {
    let mut count_max = usize::MAX;
    let mut rest = &args[4..];
    while let [word, value, more @ ..] = rest {
        if !word.eq_ignore_ascii_case(b"COUNT") {
            break;
        }
        count_max = parse::count(value)?;
        rest = more;
    }
    if !rest.is_empty() {
        return Err(ReplyError::Syntax);
    }
    let Some(entry) = cx.space.read_collection(args[1], ValueType::Stream)? else {
        cx.reply.array(0);
        return Ok(());
    };
    let entries = &entry.large::<Stream>().entries;
    if count_max == 0 {
        cx.reply.null_array();
    } else if backwards {
        write_items(&mut cx.reply, entries.range_back(start, end).take(count_max));
    } else {
        write_items(&mut cx.reply, entries.range(start, end).take(count_max));
    }
    Ok(())
}
