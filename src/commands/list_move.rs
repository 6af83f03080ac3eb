//! Handlers of lists that take from one of several keys, or from one key for another, and those that wait for it.
//!
//! Their effects are told key by key: LPOP, RPOP, LPUSH and RPUSH, for the keys may lie in several slots.

use super::account;
use super::arguments::Arguments;
use super::blocking::{WaitFor, seconds_from};
use super::context::{Cx, Outcome};
use super::list::{pop_event, push_event};
use crate::base::number::Decimal;
use crate::engine::notify;
use crate::log::record;
use crate::resp::ReplyError;
use crate::store::ValueType;
use crate::store::limits::Limits;
use crate::store::list::{ListMut, ListRef, Side};

fn pop_command(side: Side) -> &'static [u8] {
    match side {
        Side::Head => b"LPOP",
        Side::Tail => b"RPOP",
    }
}

fn push_command(side: Side) -> &'static [u8] {
    match side {
        Side::Head => b"LPUSH",
        Side::Tail => b"RPUSH",
    }
}

fn side(word: &[u8]) -> Result<Side, ReplyError> {
    if word.eq_ignore_ascii_case(b"left") {
        Ok(Side::Head)
    } else if word.eq_ignore_ascii_case(b"right") {
        Ok(Side::Tail)
    } else {
        Err(ReplyError::Syntax)
    }
}

// ---- from one list to another ------------------------------------------------------------------------------------

/// From which end of which list an element goes to which end of which other.
struct Move<'a> {
    source: &'a [u8],
    destination: &'a [u8],
    from: Side,
    to: Side,
}

impl<'a> Move<'a> {
    fn read(args: &[&'a [u8]]) -> Result<Move<'a>, ReplyError> {
        Ok(Move { source: args[1], destination: args[2], from: side(args[3])?, to: side(args[4])? })
    }

    fn classic(args: &[&'a [u8]]) -> Move<'a> {
        Move { source: args[1], destination: args[2], from: Side::Tail, to: Side::Head }
    }

    /// The element that would move; `None` when there is no source.
    fn element(&self, cx: &mut Cx<'_>) -> Result<Option<Vec<u8>>, ReplyError> {
        let Some(entry) = cx.space.collection(self.source, ValueType::List)? else { return Ok(None) };
        let (list, mut element) = (ListRef::of(entry), Vec::new());
        let index = if self.from == Side::Head { 0 } else { list.count().saturating_sub(1) };
        list.range(index, 1, |found| found.append_to(&mut element));
        cx.space.collection(self.destination, ValueType::List)?;
        Ok(Some(element))
    }

    /// Moves the element, which is there, and replies with it.
    fn run(&self, cx: &mut Cx<'_>, args: &[&[u8]], element: &[u8]) -> Outcome {
        let limits = Limits::of(cx.config());
        let pop: [&[u8]; 2] = [pop_command(self.from), self.source];
        let push: [&[u8]; 3] = [push_command(self.to), self.destination, element];
        if cx.space.is_followed() {
            let bytes = [&pop[..], &push].map(|effect| record::record_bytes(record::effect_bytes(effect)));
            account::reserve(cx, args, bytes.iter().sum())?;
        }
        if self.source == self.destination {
            // The key stays through it, even if this is its only element.
            cx.space.edit(self.source, ValueType::List, |entry| {
                let mut list = ListMut::of(entry, &limits);
                list.pop(self.from, 1, |_| ());
                list.push(self.to, &[element]);
                (1, ())
            })?;
            cx.space.notify(notify::LIST, push_event(self.to), self.destination);
            cx.space.notify(notify::LIST, pop_event(self.from), self.source);
        } else {
            cx.space.edit_or_create(self.destination, ValueType::List, |entry| {
                ListMut::of(entry, &limits).push(self.to, &[element]);
                (1, ())
            })?;
            cx.space.notify(notify::LIST, push_event(self.to), self.destination);
            cx.space.edit(self.source, ValueType::List, |entry| {
                ListMut::of(entry, &limits).pop(self.from, 1, |_| ());
                (1, ())
            })?;
            cx.space.notify_edit(notify::LIST, pop_event(self.from), self.source);
            // Moving is one change.
            cx.space.changes -= 1;
        }
        let db = cx.space.db;
        cx.space.effect.set(db, &pop);
        cx.space.effect.add(db, &push);
        cx.reply.bulk(element);
        Ok(())
    }

    fn run_or_null(&self, cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
        match self.element(cx)? {
            Some(element) => self.run(cx, args, &element),
            None => {
                cx.reply.null();
                Ok(())
            }
        }
    }

    fn run_or_wait(&self, cx: &mut Cx<'_>, args: &[&[u8]], timeout: &[u8]) -> Outcome {
        let until_ms = seconds_from(cx.space.now_ms, timeout)?;
        match self.element(cx)? {
            Some(element) => self.run(cx, args, &element),
            None if cx.may_not_wait() => {
                cx.reply.null();
                Ok(())
            }
            None => wait(cx, args, &[self.source], until_ms),
        }
    }
}

fn wait(cx: &mut Cx<'_>, args: &[&[u8]], keys: &[&[u8]], until_ms: Option<u64>) -> Outcome {
    cx.wait_for(&WaitFor { call: args, keys, wanted: ValueType::List, minds_end: false, until_ms })
}

/// LMOVE source destination LEFT | RIGHT LEFT | RIGHT
pub fn lmove(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    Move::read(args)?.run_or_null(cx, args)
}

/// RPOPLPUSH source destination
pub fn rpoplpush(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    Move::classic(args).run_or_null(cx, args)
}

/// BLMOVE source destination LEFT | RIGHT LEFT | RIGHT timeout
pub fn blmove(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    Move::read(args)?.run_or_wait(cx, args, args[5])
}

/// BRPOPLPUSH source destination timeout
pub fn brpoplpush(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    Move::classic(args).run_or_wait(cx, args, args[3])
}

// ---- from the first list that has anything ------------------------------------------------------------------------

/// The first of these keys that exists.
fn first_list<'a>(cx: &mut Cx<'_>, keys: &[&'a [u8]]) -> Result<Option<&'a [u8]>, ReplyError> {
    for key in keys {
        if cx.space.collection(key, ValueType::List)?.is_some() {
            return Ok(Some(key));
        }
    }
    Ok(None)
}

/// Pops elements off a list that is there, and replies with the key and them; `count`: as an array of their own.
fn pop_with_key(cx: &mut Cx<'_>, key: &[u8], side: Side, count: Option<usize>) -> Outcome {
    let limits = Limits::of(cx.config());
    let reply = &mut cx.reply;
    reply.array(2);
    reply.bulk(key);
    let popped = cx.space.edit(key, ValueType::List, |entry| {
        let mut list = ListMut::of(entry, &limits);
        if let Some(count) = count {
            reply.array(count.min(list.count()));
        }
        let popped = list.pop(side, count.unwrap_or(1), |element| reply.bulk(&element.text()));
        (popped as u64, popped)
    })?;
    cx.space.notify_edit(notify::LIST, pop_event(side), key);
    let db = cx.space.db;
    match count {
        None => cx.space.effect.set(db, &[pop_command(side), key]),
        Some(_) => {
            let number = Decimal::new(popped.unwrap_or(0) as i64);
            cx.space.effect.set(db, &[pop_command(side), key, number.as_bytes()]);
        }
    }
    Ok(())
}

/// BLPOP key [key ...] timeout
pub fn blpop(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    pop_or_wait(cx, args, Side::Head)
}

/// BRPOP key [key ...] timeout
pub fn brpop(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    pop_or_wait(cx, args, Side::Tail)
}

fn pop_or_wait(cx: &mut Cx<'_>, args: &[&[u8]], side: Side) -> Outcome {
    let (keys, timeout) = (&args[1..args.len() - 1], args[args.len() - 1]);
    let until_ms = seconds_from(cx.space.now_ms, timeout)?;
    match first_list(cx, keys)? {
        Some(key) => pop_with_key(cx, key, side, None),
        None => wait(cx, args, keys, until_ms),
    }
}

/// What LMPOP and BLMPOP take, and from where.
struct Pop<'a> {
    keys: &'a [&'a [u8]],
    side: Side,
    count: usize,
}

impl<'a> Pop<'a> {
    /// Reads from the number of keys, at index `first`, on.
    fn read(args: &'a [&'a [u8]], first: usize) -> Result<Pop<'a>, ReplyError> {
        let mut counted = Arguments::from(&args[..=first], first);
        let number = at_least_one(&mut counted, "ERR numkeys should be greater than 0");
        counted.finish()?;
        let keys = args[first + 1..].get(..number).ok_or(ReplyError::Syntax)?;
        let mut arguments = Arguments::from(args, first + 1 + number);
        let side = if arguments.word("left") {
            Side::Head
        } else if arguments.word("right") {
            Side::Tail
        } else {
            arguments.fail(ReplyError::Syntax);
            Side::Head
        };
        let count = if arguments.option("count") {
            at_least_one(&mut arguments, "ERR count should be greater than 0")
        } else {
            1
        };
        arguments.finish()?;
        Ok(Pop { keys, side, count })
    }
}

fn at_least_one(arguments: &mut Arguments<'_>, error: &'static str) -> usize {
    let number = arguments.integer_or(ReplyError::of(error));
    usize::try_from(number).ok().filter(|number| *number > 0).unwrap_or_else(|| {
        arguments.fail(ReplyError::of(error));
        1
    })
}

/// LMPOP numkeys key [key ...] LEFT | RIGHT [COUNT count]
pub fn lmpop(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let pop = Pop::read(args, 1)?;
    match first_list(cx, pop.keys)? {
        Some(key) => pop_with_key(cx, key, pop.side, Some(pop.count)),
        None => {
            cx.reply.null_array();
            Ok(())
        }
    }
}

/// BLMPOP timeout numkeys key [key ...] LEFT | RIGHT [COUNT count]
pub fn blmpop(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let pop = Pop::read(args, 2)?;
    let until_ms = seconds_from(cx.space.now_ms, args[1])?;
    match first_list(cx, pop.keys)? {
        Some(key) => pop_with_key(cx, key, pop.side, Some(pop.count)),
        None => wait(cx, args, pop.keys, until_ms),
    }
}
