//! Handlers: strings and the numbers kept in them. What touches a key goes through [`crate::engine::Space`].

use super::arguments::{Arguments, integer};
use super::context::{Cx, Outcome};
use super::string_expiry::{Condition, ExpiryOption, ExpiryUnit, SetOptions};
use crate::base::long_double::LongDouble;
use crate::base::number::Decimal;
use crate::engine::Expiry;
use crate::engine::notify::{GENERIC, STRING};
use crate::resp::ReplyError;
use crate::store::StringForm;
use crate::store::lcs::{LcsTable, table_bytes};

const TOO_LONG: ReplyError = ReplyError::of("ERR string exceeds maximum allowed size (proto-max-bulk-len)");

/// Where the inclusive range from `start` to `end` lies in something `len` long, negative positions counted from its
/// end; `None` when that is nowhere.
pub(super) fn clip(start: i64, end: i64, len: u64) -> Option<(u64, u64)> {
    let from_front = |position: i64| if position < 0 { (position + len as i64).max(0) } else { position } as u64;
    let (start_at, end_at) = (from_front(start), from_front(end).min(len.checked_sub(1)?));
    (start_at <= end_at).then_some((start_at, end_at))
}

// ---- reading ------------------------------------------------------------------------------------------------------

pub fn get(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let value = cx.space.read_string(args[1])?;
    cx.reply.bulk_or_null(value);
    Ok(())
}

pub fn mget(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    cx.reply.array(args.len() - 1);
    for key in &args[1..] {
        // A value of another type is no error here.
        cx.reply.bulk_or_null(cx.space.read_string(key).unwrap_or(None));
    }
    Ok(())
}

pub fn strlen(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let len = cx.space.read_string(args[1])?.map_or(0, <[u8]>::len);
    cx.reply.integer(len as i64);
    Ok(())
}

pub fn getrange(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (start, end) = (integer(args[2])?, integer(args[3])?);
    let value = cx.space.read_string(args[1])?.unwrap_or_default();
    let reversed = start < 0 && end < 0 && start > end;
    match clip(start, end, value.len() as u64).filter(|_| !reversed) {
        Some((start, end)) => cx.reply.bulk(&value[start as usize..=end as usize]),
        None => cx.reply.bulk(b""),
    }
    Ok(())
}

pub fn substr(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    getrange(cx, args)
}

// ---- setting ------------------------------------------------------------------------------------------------------

pub fn set(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (key, value) = (args[1], args[2]);
    if args.len() > 3 {
        return set_with_options(cx, args);
    }
    cx.space.set_string(key, value, Expiry::Clear, StringForm::Auto);
    cx.space.notify(STRING, "set", key);
    cx.reply.ok();
    Ok(())
}

/// The events of a string that was set.
fn notify_set(cx: &mut Cx<'_>, key: &[u8], expiry: Expiry) {
    cx.space.notify(STRING, "set", key);
    if let Expiry::At(_) = expiry {
        cx.space.notify(GENERIC, "expire", key);
    }
}

#[inline(never)]
fn set_with_options(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (key, value) = (args[1], args[2]);
    let options = SetOptions::read(&args[3..])?;
    let expiry = match options.expiry {
        ExpiryOption::Given(unit, text) => Expiry::At(unit.read(cx, text)?),
        ExpiryOption::Keep => Expiry::Keep,
        _ => Expiry::Clear,
    };
    if options.get {
        get(cx, args)?;
    }
    let refused = match options.condition {
        Condition::Always => false,
        Condition::Absent => cx.space.exists(key),
        Condition::Present => !cx.space.exists(key),
    };
    if refused {
        if !options.get {
            cx.reply.null();
        }
        return Ok(());
    }
    cx.space.set_string(key, value, expiry, StringForm::Auto);
    notify_set(cx, key, expiry);
    match expiry {
        Expiry::At(expiry_ms) => set_effect(cx, key, value, expiry_ms),
        _ if options.get => {
            let without_get = |argument: &&&[u8]| !argument.eq_ignore_ascii_case(b"GET");
            let effect: Vec<&[u8]> = args[..3].iter().chain(args[3..].iter().filter(without_get)).copied().collect();
            cx.space.effect.set(cx.space.db, &effect);
        }
        _ => {}
    }
    if !options.get {
        cx.reply.ok();
    }
    Ok(())
}

/// The effect of setting a key that expires.
fn set_effect(cx: &mut Cx<'_>, key: &[u8], value: &[u8], expiry_ms: u64) {
    cx.space.effect.set(cx.space.db, &[b"SET", key, value, b"PXAT", Decimal::new(expiry_ms as i64).as_bytes()]);
}

pub fn setex(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    set_for(cx, args, ExpiryUnit::Seconds)
}

pub fn psetex(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    set_for(cx, args, ExpiryUnit::Milliseconds)
}

fn set_for(cx: &mut Cx<'_>, args: &[&[u8]], unit: ExpiryUnit) -> Outcome {
    let (key, value) = (args[1], args[3]);
    let expiry_ms = unit.read(cx, args[2])?;
    cx.space.set_string(key, value, Expiry::At(expiry_ms), StringForm::Auto);
    notify_set(cx, key, Expiry::At(expiry_ms));
    set_effect(cx, key, value, expiry_ms);
    cx.reply.ok();
    Ok(())
}

pub fn setnx(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let absent = !cx.space.exists(args[1]);
    if absent {
        cx.space.set_string(args[1], args[2], Expiry::Clear, StringForm::Auto);
        cx.space.notify(STRING, "set", args[1]);
    }
    cx.reply.integer(i64::from(absent));
    Ok(())
}

pub fn mset(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    set_all(cx, pairs(cx, args)?);
    cx.reply.ok();
    Ok(())
}

pub fn msetnx(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let pairs = pairs(cx, args)?;
    let free = pairs.iter().all(|[key, _]| !cx.space.exists(key));
    if free {
        set_all(cx, pairs);
        // Told key by key, MSETNX would find the keys that it has just set.
        let db = cx.space.db;
        pairs.iter().for_each(|[key, value]| cx.space.effect.add(db, &[b"SET", key, value]));
    }
    cx.reply.integer(i64::from(free));
    Ok(())
}

/// The keys and values of MSET and MSETNX.
fn pairs<'a, 'b>(cx: &Cx<'_>, args: &'b [&'a [u8]]) -> Result<&'b [[&'a [u8]; 2]], ReplyError> {
    match args[1..].as_chunks() {
        (pairs, []) => Ok(pairs),
        _ => Err(ReplyError::wrong_arity(&cx.command.full_name)),
    }
}

fn set_all(cx: &mut Cx<'_>, pairs: &[[&[u8]; 2]]) {
    for [key, value] in pairs {
        cx.space.set_string(key, value, Expiry::Clear, StringForm::Auto);
        cx.space.notify(STRING, "set", key);
    }
}

// ---- reading and changing -----------------------------------------------------------------------------------------

pub fn getset(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    get(cx, args)?;
    cx.space.set_string(args[1], args[2], Expiry::Clear, StringForm::Auto);
    cx.space.notify(STRING, "set", args[1]);
    cx.space.effect.set(cx.space.db, &[b"SET", args[1], args[2]]);
    Ok(())
}

pub fn getdel(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    get(cx, args)?;
    if cx.space.remove(args[1]).is_some() {
        cx.space.effect.set(cx.space.db, &[b"DEL", args[1]]);
        cx.space.notify(GENERIC, "del", args[1]);
    }
    Ok(())
}

pub fn getex(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let key = args[1];
    let option = ExpiryOption::read_of_getex(&args[2..])?;
    let Some(value) = cx.space.read_string(key)? else {
        cx.reply.null();
        return Ok(());
    };
    cx.reply.bulk(value);
    match option {
        ExpiryOption::Given(unit, text) => {
            let expiry_ms = unit.read(cx, text)?;
            if unit.is_absolute() && expiry_ms <= cx.space.now_ms {
                cx.space.remove(key);
                cx.space.effect.set(cx.space.db, &[b"DEL", key]);
                cx.space.notify(GENERIC, "del", key);
            } else {
                cx.space.set_expiry(key, Some(expiry_ms));
                cx.space.notify(GENERIC, "expire", key);
                cx.space.effect.set(cx.space.db, &[b"PEXPIREAT", key, Decimal::new(expiry_ms as i64).as_bytes()]);
            }
        }
        ExpiryOption::Persist => {
            if cx.space.peek(key).is_some_and(|entry| entry.expiry_ms().is_some()) {
                cx.space.set_expiry(key, None);
                cx.space.notify(GENERIC, "persist", key);
                cx.space.effect.set(cx.space.db, &[b"PERSIST", key]);
            }
        }
        ExpiryOption::None | ExpiryOption::Keep => {}
    }
    Ok(())
}

pub fn append(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (key, tail) = (args[1], args[2]);
    let len = match cx.space.string(key)?.map(<[u8]>::len) {
        None => {
            cx.space.set_string(key, tail, Expiry::Keep, StringForm::Auto);
            tail.len()
        }
        Some(old_len) => {
            let len = checked_len(cx, old_len as u64, tail)?;
            cx.space.edit_string(key, len, |value, _| (1, value[old_len..].copy_from_slice(tail)))?;
            len
        }
    };
    cx.space.notify(STRING, "append", key);
    cx.reply.integer(len as i64);
    Ok(())
}

pub fn setrange(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (key, part) = (args[1], args[3]);
    let offset = u64::try_from(integer(args[2])?).map_err(|_| ReplyError::of("ERR offset is out of range"))?;
    let old_len = cx.space.string(key)?.map_or(0, <[u8]>::len);
    if part.is_empty() {
        cx.reply.integer(old_len as i64);
        return Ok(());
    }
    let end = checked_len(cx, offset, part)?;
    let len = cx.space.edit_string(key, end, |value, _| {
        value[end - part.len()..end].copy_from_slice(part);
        (1, value.len())
    })?;
    cx.space.notify(STRING, "setrange", key);
    cx.reply.integer(len as i64);
    Ok(())
}

/// The length of `len` bytes with `more` after them, which a string must be allowed to have.
fn checked_len(cx: &Cx<'_>, len: u64, more: &[u8]) -> Result<usize, ReplyError> {
    let total = len.checked_add(more.len() as u64).filter(|total| *total <= cx.config().proto_max_bulk_len);
    total.map(|total| total as usize).ok_or(TOO_LONG)
}

// ---- numbers ------------------------------------------------------------------------------------------------------

pub fn incr(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    add(cx, args[1], 1)
}

pub fn decr(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    add(cx, args[1], -1)
}

pub fn incrby(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let increment = integer(args[2])?;
    add(cx, args[1], increment)
}

pub fn decrby(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let decrement = integer(args[2])?;
    let increment = decrement.checked_neg().ok_or(ReplyError::of("ERR decrement would overflow"))?;
    add(cx, args[1], increment)
}

#[inline]
fn add(cx: &mut Cx<'_>, key: &[u8], increment: i64) -> Outcome {
    let mut sum = 0;
    cx.space.rewrite_string(key, StringForm::Auto, |value| {
        let value = value.map_or(Ok(0), integer)?;
        sum = value.checked_add(increment).ok_or(ReplyError::of("ERR increment or decrement would overflow"))?;
        Ok(Decimal::new(sum))
    })?;
    cx.space.notify(STRING, "incrby", key);
    cx.reply.integer(sum);
    Ok(())
}

pub fn incrbyfloat(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let float = |text: &[u8]| LongDouble::parse(text).ok_or(ReplyError::NotAFloat);
    let sum = cx.space.rewrite_string(args[1], StringForm::Text, |value| {
        let value = value.map_or(Ok(LongDouble::ZERO), float)?;
        let sum = value.sum(float(args[2])?).filter(|sum| sum.is_finite());
        let sum = sum.ok_or(ReplyError::of("ERR increment would produce NaN or Infinity"))?;
        Ok(sum.to_text())
    })?;
    cx.space.notify(STRING, "incrbyfloat", args[1]);
    cx.space.effect.set(cx.space.db, &[b"SET", args[1], sum.as_bytes(), b"KEEPTTL"]);
    cx.reply.bulk_text(&sum);
    Ok(())
}

// ---- LCS ----------------------------------------------------------------------------------------------------------

pub fn lcs(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let mut string = |key: &[u8]| match cx.space.read_string(key) {
        Ok(value) => Ok(value.unwrap_or_default().to_vec()),
        Err(_) => Err(ReplyError::of("ERR The specified keys must contain string values")),
    };
    let (first, second) = (string(args[1])?, string(args[2])?);
    let (mut only_length, mut indexes, mut with_lengths, mut shortest) = (false, false, false, 0);
    let mut options = Arguments::from(args, 3);
    while !options.is_done() {
        if options.word("IDX") {
            indexes = true;
        } else if options.word("LEN") {
            only_length = true;
        } else if options.word("WITHMATCHLEN") {
            with_lengths = true;
        } else if options.option("MINMATCHLEN") {
            shortest = options.integer();
        } else {
            options.fail(ReplyError::Syntax);
        }
    }
    options.finish()?;
    if only_length && indexes {
        return Err(ReplyError::of("ERR If you want both the length and indexes, please just use IDX."));
    }
    if first.len().max(second.len()) >= u32::MAX as usize - 1 {
        return Err(ReplyError::of("ERR String too long for LCS"));
    }
    if table_bytes(first.len(), second.len()).is_some_and(|bytes| bytes as u64 > cx.config().proto_max_bulk_len) {
        return Err(ReplyError::of("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"));
    }
    let table = LcsTable::new(&first, &second)
        .ok_or(ReplyError::of("ERR Insufficient memory, failed allocating transient memory for LCS"))?;
    if indexes {
        reply_matches(cx, &table, shortest, with_lengths);
    } else if only_length {
        cx.reply.integer(i64::from(table.length()));
    } else {
        cx.reply.bulk(&table.text());
    }
    Ok(())
}

fn reply_matches(cx: &mut Cx<'_>, table: &LcsTable<'_>, shortest: i64, with_lengths: bool) {
    let mut matches = table.matches();
    matches.retain(|found| i64::from(found.byte_count()) >= shortest);
    let reply = &mut cx.reply;
    reply.map(2);
    reply.bulk_text("matches");
    reply.array(matches.len());
    for found in &matches {
        reply.array(2 + usize::from(with_lengths));
        for (first, last) in [found.first, found.second] {
            reply.array(2);
            reply.integer(i64::from(first));
            reply.integer(i64::from(last));
        }
        if with_lengths {
            reply.integer(i64::from(found.byte_count()));
        }
    }
    reply.bulk_text("len");
    reply.integer(i64::from(table.length()));
}
