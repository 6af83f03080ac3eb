//! Handlers of the commands that give keys an expiry, take it, and tell it.

use super::arguments::Arguments;
use super::context::{Cx, Outcome};
use crate::base::number::Decimal;
use crate::resp::ReplyError;
use crate::store::reclaim;

/// What a time argument counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Seconds,
    Milliseconds,
}

/// When an expiry is set at all.
#[derive(Clone, Copy, Default)]
struct Conditions {
    none_yet: bool,
    has_one: bool,
    later: bool,
    sooner: bool,
}

impl Conditions {
    fn read(args: &[&[u8]]) -> Result<Conditions, ReplyError> {
        let mut conditions = Conditions::default();
        let mut reader = Arguments::from(args, 3);
        while !reader.is_done() {
            if reader.word("NX") {
                conditions.none_yet = true;
            } else if reader.word("XX") {
                conditions.has_one = true;
            } else if reader.word("GT") {
                conditions.later = true;
            } else if reader.word("LT") {
                conditions.sooner = true;
            } else {
                let given = String::from_utf8_lossy(reader.next_bytes());
                reader.fail(ReplyError::Text(format!("ERR Unsupported option {given}").into()));
            }
        }
        reader.finish()?;
        if conditions.none_yet && (conditions.has_one || conditions.later || conditions.sooner) {
            return Err(ReplyError::of("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if conditions.later && conditions.sooner {
            return Err(ReplyError::of("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(conditions)
    }

    /// Whether they let the expiry become `when_ms`. A key without expiry counts as one that lives for ever.
    fn hold(self, current_ms: Option<u64>, when_ms: i64) -> bool {
        let current_ms = current_ms.map(|current_ms| current_ms as i64);
        !(self.none_yet && current_ms.is_some()
            || self.has_one && current_ms.is_none()
            || self.later && current_ms.is_none_or(|current_ms| when_ms <= current_ms)
            || self.sooner && current_ms.is_some_and(|current_ms| when_ms >= current_ms))
    }
}

/// `time` as Unix milliseconds, `base_ms` added; `None` when it leaves the range of the clock.
fn to_unix_ms(time: i64, unit: Unit, base_ms: u64) -> Option<i64> {
    let time_ms = if unit == Unit::Seconds { time.checked_mul(1000)? } else { time };
    time_ms.checked_add(base_ms as i64)
}

fn expire_generic(cx: &mut Cx<'_>, args: &[&[u8]], base_ms: u64, unit: Unit) -> Outcome {
    let conditions = Conditions::read(args)?;
    let mut reader = Arguments::from(&args[..3], 2);
    let time = reader.integer();
    reader.finish()?;
    let when_ms = to_unix_ms(time, unit, base_ms).ok_or_else(|| ReplyError::invalid_expire(&cx.command.full_name))?;
    let key = args[1];
    let allowed = match cx.space.peek(key) {
        Some(entry) => conditions.hold(entry.expiry_ms(), when_ms),
        None => false,
    };
    if allowed {
        if when_ms <= cx.space.now_ms as i64 {
            cx.space.remove(key).map(reclaim::discard);
            let lazy = cx.config().lazyfree_lazy_expire;
            cx.space.effect.set(&[if lazy { b"UNLINK" } else { b"DEL" }, key]);
        } else {
            cx.space.set_expiry(key, Some(when_ms as u64));
            cx.space.effect.set(&[b"PEXPIREAT", key, Decimal::new(when_ms).as_bytes()]);
        }
    }
    cx.reply.integer(i64::from(allowed));
    Ok(())
}

/// EXPIRE key seconds [NX | XX | GT | LT]
pub fn expire(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    expire_generic(cx, args, cx.space.now_ms, Unit::Seconds)
}

/// PEXPIRE key milliseconds [NX | XX | GT | LT]
pub fn pexpire(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    expire_generic(cx, args, cx.space.now_ms, Unit::Milliseconds)
}

/// EXPIREAT key unix-time-seconds [NX | XX | GT | LT]
pub fn expireat(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    expire_generic(cx, args, 0, Unit::Seconds)
}

/// PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT]
pub fn pexpireat(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    expire_generic(cx, args, 0, Unit::Milliseconds)
}

/// Tells a key's expiry counted from `base_ms`: -1 for one that stays, -2 for no key.
fn tell(cx: &mut Cx<'_>, key: &[u8], base_ms: u64, unit: Unit) -> Outcome {
    let value = match cx.space.look(key).map(|entry| entry.expiry_ms()) {
        None => -2,
        Some(None) => -1,
        Some(Some(expiry_ms)) => {
            let left_ms = expiry_ms.saturating_sub(base_ms) as i64;
            // Rounded to the nearest second; the sum cannot leave 64 bits unsigned.
            if unit == Unit::Seconds { ((left_ms as u64 + 500) / 1000) as i64 } else { left_ms }
        }
    };
    cx.reply.integer(value);
    Ok(())
}

/// TTL key
pub fn ttl(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    tell(cx, args[1], cx.space.now_ms, Unit::Seconds)
}

/// PTTL key
pub fn pttl(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    tell(cx, args[1], cx.space.now_ms, Unit::Milliseconds)
}

/// EXPIRETIME key
pub fn expiretime(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    tell(cx, args[1], 0, Unit::Seconds)
}

/// PEXPIRETIME key
pub fn pexpiretime(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    tell(cx, args[1], 0, Unit::Milliseconds)
}

/// PERSIST key
pub fn persist(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let expires = cx.space.peek(args[1]).is_some_and(|entry| entry.expiry_ms().is_some());
    if expires {
        cx.space.set_expiry(args[1], None);
    }
    cx.reply.integer(i64::from(expires));
    Ok(())
}
