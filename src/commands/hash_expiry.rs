//! Handlers: the expiry of single fields of hashes.
//!
//! Their effects are HPEXPIREAT and HSETEX with Unix milliseconds, HPERSIST, and HDEL where a time is over already.

use smallvec::SmallVec;

use super::arguments::{Arguments, integer};
use super::context::{Cx, Outcome};
use super::hash::{expire_named, limits, read_fields};
use crate::base::number::Decimal;
use crate::engine::notify::HASH;
use crate::resp::ReplyError;
use crate::store::ValueType;
use crate::store::hash::{EXPIRY_END_MS, FieldExpiry, HashMut, HashRef};

const NO_FIELD: i64 = -2;
const NO_EXPIRY: i64 = -1;
const UNCHANGED: i64 = 0;
const CHANGED: i64 = 1;
const DELETED: i64 = 2;

const POSITIVE_FIELDS: ReplyError = ReplyError::of("ERR Number of fields must be a positive integer");
const FIELDS_MISSING: ReplyError =
    ReplyError::of("ERR Mandatory argument FIELDS is missing or not at the right position");
const FIELDS_MISMATCH: ReplyError = ReplyError::of("ERR The `numfields` parameter must match the number of arguments");

/// What a time counts, and from when.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clock {
    Seconds,
    Milliseconds,
    UnixSeconds,
    UnixMilliseconds,
}

impl Clock {
    fn is_seconds(self) -> bool {
        matches!(self, Clock::Seconds | Clock::UnixSeconds)
    }

    /// The moment from which it counts, in Unix milliseconds.
    fn base_ms(self, now_ms: u64) -> u64 {
        if matches!(self, Clock::Seconds | Clock::Milliseconds) { now_ms } else { 0 }
    }

    /// The option of this name in HGETEX and HSETEX.
    fn of_option(option: &[u8]) -> Option<Clock> {
        let clocks: [(&[u8], Clock); 4] = [
            (b"EX", Clock::Seconds),
            (b"PX", Clock::Milliseconds),
            (b"EXAT", Clock::UnixSeconds),
            (b"PXAT", Clock::UnixMilliseconds),
        ];
        clocks.into_iter().find(|(name, _)| option.eq_ignore_ascii_case(name)).map(|(_, clock)| clock)
    }

    /// The Unix time in milliseconds that an argument means.
    fn read(self, cx: &Cx<'_>, text: &[u8]) -> Result<u64, ReplyError> {
        let time = integer(text)?;
        let time = u64::try_from(time).map_err(|_| ReplyError::of("ERR invalid expire time, must be >= 0"))?;
        let time_ms = if self.is_seconds() { time.checked_mul(1000) } else { Some(time) };
        let expiry_ms = time_ms.and_then(|time_ms| time_ms.checked_add(self.base_ms(cx.space.now_ms)));
        expiry_ms
            .filter(|expiry_ms| *expiry_ms < EXPIRY_END_MS)
            .ok_or_else(|| ReplyError::invalid_expire(&cx.command.full_name))
    }
}

/// The fields behind `FIELDS count`, which stand at `at`.
fn read_names<'a, 'b>(args: &'b [&'a [u8]], at: usize, not_positive: ReplyError) -> Result<&'b [&'a [u8]], ReplyError> {
    let [word, count, names @ ..] = args.get(at..).unwrap_or_default() else { return Err(FIELDS_MISSING) };
    if !word.eq_ignore_ascii_case(b"FIELDS") {
        return Err(FIELDS_MISSING);
    }
    let count = integer(count).ok().filter(|count| *count > 0).ok_or(not_positive)?;
    if count as u64 == names.len() as u64 { Ok(names) } else { Err(FIELDS_MISMATCH) }
}

fn is_there(cx: &mut Cx<'_>, key: &[u8]) -> Result<bool, ReplyError> {
    Ok(cx.space.collection(key, ValueType::Hash)?.is_some())
}

fn reply_codes(cx: &mut Cx<'_>, codes: &[i64]) {
    cx.reply.array(codes.len());
    codes.iter().for_each(|code| cx.reply.integer(*code));
}

/// Tells a command with `FIELDS count field ...` behind `head` as the effect.
fn tell_with_names(cx: &mut Cx<'_>, head: &[&[u8]], names: &[&[u8]]) {
    let count = Decimal::new(names.len() as i64);
    let mut effect: Vec<&[u8]> = head.to_vec();
    effect.extend([b"FIELDS", count.as_bytes()]);
    effect.extend(names);
    cx.space.effect.set(cx.space.db, &effect);
}

// ---- setting ------------------------------------------------------------------------------------------------------

/// When the expiry of a field is set at all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    NoneYet,
    HasOne,
    Later,
    Sooner,
}

impl Condition {
    fn of_option(option: &[u8]) -> Option<Condition> {
        let conditions: [(&[u8], Condition); 4] = [
            (b"NX", Condition::NoneYet),
            (b"XX", Condition::HasOne),
            (b"GT", Condition::Later),
            (b"LT", Condition::Sooner),
        ];
        conditions.into_iter().find(|(name, _)| option.eq_ignore_ascii_case(name)).map(|(_, condition)| condition)
    }

    /// A field without expiry counts as one that lives for ever.
    fn holds(self, current_ms: Option<u64>, expiry_ms: u64) -> bool {
        match self {
            Condition::Always => true,
            Condition::NoneYet => current_ms.is_none(),
            Condition::HasOne => current_ms.is_some(),
            Condition::Later => current_ms.is_some_and(|current_ms| current_ms < expiry_ms),
            Condition::Sooner => current_ms.is_none_or(|current_ms| current_ms > expiry_ms),
        }
    }
}

/// HEXPIRE and its like: key time [NX | XX | GT | LT] FIELDS count field [field ...]
fn expire_fields(cx: &mut Cx<'_>, args: &[&[u8]], clock: Clock) -> Outcome {
    let key = args[1];
    is_there(cx, key)?;
    let expiry_ms = clock.read(cx, args[2])?;
    let condition = Condition::of_option(args[3]);
    let not_positive = ReplyError::of("ERR Parameter `numFields` should be greater than 0");
    let names = read_names(args, if condition.is_some() { 4 } else { 3 }, not_positive)?;
    let codes = set_expiry(cx, key, names, expiry_ms, condition.unwrap_or(Condition::Always))?;
    reply_codes(cx, &codes);
    Ok(())
}

/// Gives fields an expiry, or removes them where it is over; tells of each what was done.
fn set_expiry(
    cx: &mut Cx<'_>,
    key: &[u8],
    names: &[&[u8]],
    expiry_ms: u64,
    condition: Condition,
) -> Result<Vec<i64>, ReplyError> {
    expire_named(cx, key, names)?;
    let (limits, is_over) = (limits(cx), expiry_ms <= cx.space.now_ms);
    let mut codes = Vec::with_capacity(names.len());
    let mut changed: SmallVec<[&[u8]; 8]> = SmallVec::new();
    cx.space.edit(key, ValueType::Hash, |entry| {
        let mut hash = HashMut::new(entry, limits);
        for name in names {
            let code = match hash.view().get(name) {
                None => NO_FIELD,
                Some(field) if !condition.holds(field.expiry_ms, expiry_ms) => UNCHANGED,
                Some(_) if is_over => {
                    hash.remove(name);
                    DELETED
                }
                Some(_) => {
                    hash.set_expiry(name, Some(expiry_ms));
                    CHANGED
                }
            };
            codes.push(code);
            if code == CHANGED || code == DELETED {
                changed.push(name);
            }
        }
        (changed.len() as u64, ())
    })?;
    codes.resize(names.len(), NO_FIELD);
    if changed.is_empty() {
        return Ok(codes);
    }
    if is_over {
        tell_deleted(cx, key, &changed);
    } else {
        let expiry = Decimal::new(expiry_ms as i64);
        tell_with_names(cx, &[b"HPEXPIREAT", key, expiry.as_bytes()], &changed);
        cx.space.note_field_expiry(key, expiry_ms);
        cx.space.notify(HASH, "hexpire", key);
    }
    Ok(codes)
}

/// Tells that fields were removed.
fn tell_deleted(cx: &mut Cx<'_>, key: &[u8], names: &[&[u8]]) {
    let effect: SmallVec<[&[u8]; 8]> = [b"HDEL", key].into_iter().chain(names.iter().copied()).collect();
    cx.space.effect.set(cx.space.db, &effect);
    cx.space.notify_edit(HASH, "hdel", key);
}

pub fn hexpire(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    expire_fields(cx, args, Clock::Seconds)
}

pub fn hpexpire(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    expire_fields(cx, args, Clock::Milliseconds)
}

pub fn hexpireat(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    expire_fields(cx, args, Clock::UnixSeconds)
}

pub fn hpexpireat(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    expire_fields(cx, args, Clock::UnixMilliseconds)
}

/// HPERSIST key FIELDS count field [field ...]
pub fn hpersist(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    is_there(cx, args[1])?;
    let names = read_names(args, 2, POSITIVE_FIELDS)?;
    let codes = persist(cx, args[1], names)?;
    reply_codes(cx, &codes);
    Ok(())
}

/// Takes the expiry of fields away; tells of each what was done.
fn persist(cx: &mut Cx<'_>, key: &[u8], names: &[&[u8]]) -> Result<Vec<i64>, ReplyError> {
    let (limits, now_ms) = (limits(cx), cx.space.now_ms);
    let mut codes = Vec::with_capacity(names.len());
    let mut changed: SmallVec<[&[u8]; 8]> = SmallVec::new();
    cx.space.edit(key, ValueType::Hash, |entry| {
        let mut hash = HashMut::new(entry, limits);
        for name in names {
            codes.push(match hash.view().get(name) {
                Some(field) if field.expiry_ms.is_none() => NO_EXPIRY,
                Some(field) if !field.is_expired(now_ms) => {
                    hash.set_expiry(name, None);
                    changed.push(name);
                    CHANGED
                }
                _ => NO_FIELD,
            });
        }
        (u64::from(!changed.is_empty()), ())
    })?;
    codes.resize(names.len(), NO_FIELD);
    if !changed.is_empty() {
        tell_with_names(cx, &[b"HPERSIST", key], &changed);
        cx.space.notify(HASH, "hpersist", key);
    }
    Ok(codes)
}

// ---- telling ------------------------------------------------------------------------------------------------------

/// HTTL and its like: key FIELDS count field [field ...]
fn tell_expiry(cx: &mut Cx<'_>, args: &[&[u8]], clock: Clock) -> Outcome {
    let now_ms = cx.space.now_ms;
    let hash = cx.space.read_collection(args[1], ValueType::Hash)?.map(HashRef::new);
    let names = read_names(args, 2, POSITIVE_FIELDS)?;
    cx.reply.array(names.len());
    for name in names {
        let field = hash.and_then(|hash| hash.get(name)).filter(|field| !field.is_expired(now_ms));
        cx.reply.integer(match field.map(|field| field.expiry_ms) {
            None => NO_FIELD,
            Some(None) => NO_EXPIRY,
            Some(Some(expiry_ms)) => {
                let left_ms = expiry_ms.saturating_sub(clock.base_ms(now_ms));
                (if clock.is_seconds() { left_ms.div_ceil(1000) } else { left_ms }) as i64
            }
        });
    }
    Ok(())
}

pub fn httl(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    tell_expiry(cx, args, Clock::Seconds)
}

pub fn hpttl(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    tell_expiry(cx, args, Clock::Milliseconds)
}

pub fn hexpiretime(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    tell_expiry(cx, args, Clock::UnixSeconds)
}

pub fn hpexpiretime(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    tell_expiry(cx, args, Clock::UnixMilliseconds)
}

// ---- reading and writing with an expiry -----------------------------------------------------------------------------

/// HGETDEL key FIELDS count field [field ...]
pub fn hgetdel(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let key = args[1];
    is_there(cx, key)?;
    let names = read_names(args, 2, POSITIVE_FIELDS)?;
    read_fields(cx, key, names)?;
    let mut removed: SmallVec<[&[u8]; 8]> = SmallVec::new();
    cx.space.edit(key, ValueType::Hash, |entry| {
        let mut hash = HashMut::shrinking(entry);
        removed.extend(names.iter().filter(|name| hash.remove(name)).copied());
        (removed.len() as u64, ())
    })?;
    if !removed.is_empty() {
        tell_deleted(cx, key, &removed);
    }
    Ok(())
}

/// HGETEX key [EX seconds | PX milliseconds | EXAT time | PXAT time | PERSIST] FIELDS count field [field ...]
pub fn hgetex(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let key = args[1];
    is_there(cx, key)?;
    let (clock, persists) = (Clock::of_option(args[2]), args[2].eq_ignore_ascii_case(b"PERSIST"));
    let expiry_ms = clock.map(|clock| clock.read(cx, args[3])).transpose()?;
    let names = read_names(args, 2 + usize::from(persists) + 2 * usize::from(clock.is_some()), POSITIVE_FIELDS)?;
    read_fields(cx, key, names)?;
    if let Some(expiry_ms) = expiry_ms {
        set_expiry(cx, key, names, expiry_ms, Condition::Always)?;
    } else if persists {
        persist(cx, key, names)?;
    }
    Ok(())
}

/// What HSETEX asks for.
struct SetRequest<'a, 'b> {
    /// Whether all fields have to be there already, or none of them.
    present: Option<bool>,
    expiry: FieldExpiry,
    pairs: &'b [&'a [u8]],
}

impl<'a, 'b> SetRequest<'a, 'b> {
    fn read(cx: &Cx<'_>, args: &'b [&'a [u8]]) -> Result<SetRequest<'a, 'b>, ReplyError> {
        let (mut present, mut expiry) = (None, FieldExpiry::Clear);
        let mut at = 2;
        while let Some(option) = args.get(at) {
            at += 1;
            if option.eq_ignore_ascii_case(b"FIELDS") {
                let wrong_arity = || ReplyError::wrong_arity(&cx.command.full_name);
                let mut reader = Arguments::from(&args[..args.len().min(at + 1)], at);
                let count = reader.small_integer_or(ReplyError::of("ERR invalid number of fields"));
                reader.finish().map_err(|error| if at < args.len() { error } else { wrong_arity() })?;
                if count < 1 {
                    return Err(ReplyError::of("ERR invalid number of fields"));
                }
                let pairs = &args[at + 1..];
                let matches = pairs.len() as u64 == 2 * count as u64;
                return if matches { Ok(SetRequest { present, expiry, pairs }) } else { Err(wrong_arity()) };
            }
            let is = |word: &[u8]| option.eq_ignore_ascii_case(word);
            if is(b"FNX") || is(b"FXX") {
                if present.replace(is(b"FXX")).is_some() {
                    return Err(ReplyError::of("ERR Only one of FXX or FNX arguments can be specified"));
                }
                continue;
            }
            let clock = Clock::of_option(option);
            if clock.is_none() && !is(b"KEEPTTL") {
                return Err(ReplyError::quoting("ERR unknown argument: ", option, ""));
            }
            if expiry != FieldExpiry::Clear {
                let several = "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified";
                return Err(ReplyError::of(several));
            }
            expiry = match clock {
                None => FieldExpiry::Keep,
                Some(clock) => {
                    let time = args.get(at).ok_or(ReplyError::of("ERR missing expire time"))?;
                    at += 1;
                    FieldExpiry::At(clock.read(cx, time)?)
                }
            };
        }
        Err(FIELDS_MISSING)
    }
}

/// HSETEX key [FNX | FXX] [EX seconds | PX milliseconds | EXAT time | PXAT time | KEEPTTL] FIELDS count field value
/// [field value ...]
pub fn hsetex(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let key = args[1];
    let request = SetRequest::read(cx, args)?;
    let names: SmallVec<[&[u8]; 8]> = request.pairs.iter().step_by(2).copied().collect();
    expire_named(cx, key, &names)?;
    let hash = cx.space.collection(key, ValueType::Hash)?.map(HashRef::new);
    let is_present = |name: &&[u8]| hash.is_some_and(|hash| hash.get(name).is_some());
    let allowed = request.present.is_none_or(|present| names.iter().all(|name| is_present(name) == present));
    if allowed {
        match request.expiry {
            FieldExpiry::At(expiry_ms) if expiry_ms <= cx.space.now_ms => remove_at_once(cx, key, &names)?,
            expiry => set_with_expiry(cx, key, request.pairs, expiry)?,
        }
    }
    cx.reply.integer(i64::from(allowed));
    Ok(())
}

/// Does what setting fields does that are expired at once.
fn remove_at_once(cx: &mut Cx<'_>, key: &[u8], names: &[&[u8]]) -> Outcome {
    let removed = cx.space.edit(key, ValueType::Hash, |entry| {
        let removed = HashMut::shrinking(entry).remove_all(names);
        (removed, removed)
    })?;
    if removed.is_some_and(|removed| removed > 0) {
        tell_deleted(cx, key, names);
    }
    Ok(())
}

fn set_with_expiry(cx: &mut Cx<'_>, key: &[u8], pairs: &[&[u8]], expiry: FieldExpiry) -> Outcome {
    let limits = limits(cx);
    cx.space.edit_or_create(key, ValueType::Hash, |entry| {
        let mut hash = HashMut::new(entry, limits);
        for pair in pairs.chunks_exact(2) {
            hash.set(pair[0], pair[1], expiry);
        }
        (pairs.len() as u64 / 2, ())
    })?;
    cx.space.notify(HASH, "hset", key);
    let count = Decimal::new(pairs.len() as i64 / 2);
    let mut effect: Vec<&[u8]> = vec![b"HSETEX", key];
    let time;
    match expiry {
        FieldExpiry::Clear => effect[0] = b"HSET",
        FieldExpiry::Keep => effect.extend([&b"KEEPTTL"[..], b"FIELDS", count.as_bytes()]),
        FieldExpiry::At(expiry_ms) => {
            time = Decimal::new(expiry_ms as i64);
            effect.extend([&b"PXAT"[..], time.as_bytes(), b"FIELDS", count.as_bytes()]);
            cx.space.note_field_expiry(key, expiry_ms);
            cx.space.notify(HASH, "hexpire", key);
        }
    }
    effect.extend(pairs);
    cx.space.effect.set(cx.space.db, &effect);
    Ok(())
}
