//! Handlers of lists, each on one key. What lists are is the store's business.

use super::arguments::{Arguments, NOT_NEGATABLE, integer, quantity};
use super::context::{Cx, Outcome};
use crate::engine::notify;
use crate::resp::ReplyError;
use crate::store::ValueType;
use crate::store::limits::Limits;
use crate::store::list::{ListMut, ListRef, Side, index_of, range_of};
use crate::store::listpack::Element;

/// The event of a push at a side.
pub fn push_event(side: Side) -> &'static str {
    match side {
        Side::Head => "lpush",
        Side::Tail => "rpush",
    }
}

/// The event of a pop at a side.
pub fn pop_event(side: Side) -> &'static str {
    match side {
        Side::Head => "lpop",
        Side::Tail => "rpop",
    }
}

// ---- pushing and popping -----------------------------------------------------------------------------------------

/// LPUSH key element [element ...]
pub fn lpush(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    push(cx, args, Side::Head)
}

/// RPUSH key element [element ...]
pub fn rpush(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    push(cx, args, Side::Tail)
}

#[inline]
fn push(cx: &mut Cx<'_>, args: &[&[u8]], side: Side) -> Outcome {
    let (key, texts, limits) = (args[1], &args[2..], Limits::of(cx.config()));
    let len = cx.space.edit_or_create(key, ValueType::List, |entry| {
        let mut list = ListMut::of(entry, &limits);
        list.push(side, texts);
        (texts.len() as u64, list.count())
    })?;
    cx.space.notify(notify::LIST, push_event(side), key);
    cx.reply.integer(len as i64);
    Ok(())
}

/// LPUSHX key element [element ...]
pub fn lpushx(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    push_to_existing(cx, args, Side::Head)
}

/// RPUSHX key element [element ...]
pub fn rpushx(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    push_to_existing(cx, args, Side::Tail)
}

fn push_to_existing(cx: &mut Cx<'_>, args: &[&[u8]], side: Side) -> Outcome {
    if cx.space.collection(args[1], ValueType::List)?.is_none() {
        cx.reply.integer(0);
        return Ok(());
    }
    push(cx, args, side)
}

/// LPOP key [count]
pub fn lpop(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    pop(cx, args, Side::Head)
}

/// RPOP key [count]
pub fn rpop(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    pop(cx, args, Side::Tail)
}

#[inline]
fn pop(cx: &mut Cx<'_>, args: &[&[u8]], side: Side) -> Outcome {
    let count = match args {
        [_, _] => None,
        [_, _, count] => Some(quantity(count)?),
        _ => return Err(ReplyError::wrong_arity(&cx.command.full_name)),
    };
    let (key, limits) = (args[1], Limits::of(cx.config()));
    let reply = &mut cx.reply;
    let popped = cx.space.edit(key, ValueType::List, |entry| {
        let mut list = ListMut::of(entry, &limits);
        let popped = match count {
            None => list.pop(side, 1, |element| reply.bulk(&element.text())),
            Some(count) => {
                reply.array(count.min(list.count()));
                list.pop(side, count, |element| reply.bulk(&element.text()))
            }
        };
        (popped as u64, popped)
    })?;
    match (popped, count) {
        (None, None) => cx.reply.null(),
        (None, Some(_)) => cx.reply.null_array(),
        (Some(0), _) => {}
        (Some(_), _) => cx.space.notify_edit(notify::LIST, pop_event(side), key),
    }
    Ok(())
}

// ---- reading ------------------------------------------------------------------------------------------------------

/// LLEN key
pub fn llen(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let entry = cx.space.read_collection(args[1], ValueType::List)?;
    cx.reply.integer(entry.map_or(0, |entry| ListRef::of(entry).count() as i64));
    Ok(())
}

/// LINDEX key index
pub fn lindex(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let Some(entry) = cx.space.read_collection(args[1], ValueType::List)? else {
        cx.reply.null();
        return Ok(());
    };
    let (list, number) = (ListRef::of(entry), integer(args[2])?);
    match index_of(number, list.count()) {
        Some(index) => list.range(index, 1, |element| cx.reply.bulk(&element.text())),
        None => cx.reply.null(),
    }
    Ok(())
}

/// LRANGE key start stop
pub fn lrange(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (start, stop) = (integer(args[2])?, integer(args[3])?);
    let Some(entry) = cx.space.read_collection(args[1], ValueType::List)? else {
        cx.reply.array(0);
        return Ok(());
    };
    let list = ListRef::of(entry);
    let (first, count) = range_of(start, stop, list.count());
    cx.reply.array(count);
    list.range(first, count, |element| cx.reply.bulk(&element.text()));
    Ok(())
}

/// What LPOS looks for.
struct Search {
    /// The first match that counts, from 1.
    rank: u64,
    backwards: bool,
    /// How many matches are wanted, 0 for all; without it, one, told alone.
    count: Option<u64>,
    /// How many elements are compared, 0 for all.
    compared_max: u64,
}

impl Search {
    fn read(args: &[&[u8]]) -> Result<Search, ReplyError> {
        let mut search = Search { rank: 1, backwards: false, count: None, compared_max: 0 };
        let mut arguments = Arguments::from(args, 3);
        while !arguments.is_done() {
            if arguments.option("rank") {
                let rank = arguments.integer();
                if rank == 0 && !arguments.has_failed() {
                    arguments.fail(ReplyError::of(
                        "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use \
                         negative to start from the end of the list",
                    ));
                } else if rank == i64::MIN {
                    arguments.fail(NOT_NEGATABLE);
                }
                (search.rank, search.backwards) = (rank.unsigned_abs(), rank < 0);
            } else if arguments.option("count") {
                search.count = Some(not_negative(&mut arguments, "ERR COUNT can't be negative"));
            } else if arguments.option("maxlen") {
                search.compared_max = not_negative(&mut arguments, "ERR MAXLEN can't be negative");
            } else {
                arguments.fail(ReplyError::Syntax);
            }
        }
        arguments.finish()?;
        Ok(search)
    }

    /// The indexes found.
    fn run(&self, list: ListRef<'_>, text: &[u8]) -> Vec<usize> {
        let (wanted, mut found) = (Element::of(text), Vec::new());
        let (mut compared, mut matches) = (0, 0);
        let limit = self.count.unwrap_or(1);
        let first = if self.backwards { list.count().saturating_sub(1) } else { 0 };
        list.visit(first, self.backwards, |index, element| {
            if element == wanted {
                matches += 1;
                if matches >= self.rank {
                    found.push(index);
                }
            }
            compared += 1;
            compared != self.compared_max && (limit == 0 || (found.len() as u64) < limit)
        });
        found
    }
}

fn not_negative(arguments: &mut Arguments<'_>, error: &'static str) -> u64 {
    let number = arguments.integer_or(ReplyError::of(error));
    u64::try_from(number).unwrap_or_else(|_| {
        arguments.fail(ReplyError::of(error));
        0
    })
}

/// LPOS key element [RANK rank] [COUNT num-matches] [MAXLEN len]
pub fn lpos(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let search = Search::read(args)?;
    let entry = cx.space.read_collection(args[1], ValueType::List)?;
    let found = entry.map_or(Vec::new(), |entry| search.run(ListRef::of(entry), args[2]));
    if search.count.is_some() {
        cx.reply.array(found.len());
        found.into_iter().for_each(|index| cx.reply.integer(index as i64));
    } else {
        match found.first() {
            Some(index) => cx.reply.integer(*index as i64),
            None => cx.reply.null(),
        }
    }
    Ok(())
}

// ---- changing -----------------------------------------------------------------------------------------------------

/// LSET key index element
pub fn lset(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let key = args[1];
    let Some(entry) = cx.space.collection(key, ValueType::List)? else { return Err(ReplyError::NoSuchKey) };
    let index = index_of(integer(args[2])?, ListRef::of(entry).count());
    let index = index.ok_or(ReplyError::of("ERR index out of range"))?;
    let limits = Limits::of(cx.config());
    cx.space.edit(key, ValueType::List, |entry| (1, ListMut::of(entry, &limits).set(index, args[3])))?;
    cx.space.notify(notify::LIST, "lset", key);
    cx.reply.ok();
    Ok(())
}

/// LINSERT key BEFORE | AFTER pivot element
pub fn linsert(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let key = args[1];
    let behind = match args[2].to_ascii_lowercase().as_slice() {
        b"after" => 1,
        b"before" => 0,
        _ => return Err(ReplyError::Syntax),
    };
    let Some(entry) = cx.space.collection(key, ValueType::List)? else {
        cx.reply.integer(0);
        return Ok(());
    };
    let Some(pivot) = ListRef::of(entry).find(args[3]) else {
        cx.reply.integer(-1);
        return Ok(());
    };
    let limits = Limits::of(cx.config());
    let len = cx.space.edit(key, ValueType::List, |entry| {
        let mut list = ListMut::of(entry, &limits);
        list.insert(pivot + behind, args[4]);
        (1, list.count())
    })?;
    cx.space.notify(notify::LIST, "linsert", key);
    cx.reply.integer(len.unwrap_or(0) as i64);
    Ok(())
}

/// LREM key count element
pub fn lrem(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (key, count) = (args[1], integer(args[2])?);
    let limit = if count == 0 { usize::MAX } else { usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX) };
    let limits = Limits::of(cx.config());
    let removed = cx.space.edit(key, ValueType::List, |entry| {
        let removed = ListMut::of(entry, &limits).remove(count < 0, limit, args[3]);
        (removed as u64, removed)
    })?;
    let removed = removed.unwrap_or(0);
    if removed > 0 {
        cx.space.notify_edit(notify::LIST, "lrem", key);
    }
    cx.reply.integer(removed as i64);
    Ok(())
}

/// LTRIM key start stop
pub fn ltrim(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (key, start, stop) = (args[1], integer(args[2])?, integer(args[3])?);
    let limits = Limits::of(cx.config());
    let trimmed = cx.space.edit(key, ValueType::List, |entry| {
        let mut list = ListMut::of(entry, &limits);
        let len = list.count();
        let (first, count) = range_of(start, stop, len);
        list.keep(first, count);
        ((len - count) as u64, ())
    })?;
    if trimmed.is_some() {
        cx.space.notify_edit(notify::LIST, "ltrim", key);
    }
    cx.reply.ok();
    Ok(())
}
