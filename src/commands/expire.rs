//! Handlers of the commands that give keys an expiry, take it, and tell it.

use super::arguments::Arguments;
use super::context::{Cx, Outcome};
use crate::base::number::Decimal;
use crate::engine::notify::GENERIC;
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
                let given = reader.next_bytes();
                reader.fail(ReplyError::quoting("ERR Unsupported option ", given, ""));
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
            reclaim::discard(cx.space.remove(key));
            let lazy = cx.config().lazyfree_lazy_expire;
            cx.space.effect.set(cx.space.db, &[if lazy { b"UNLINK" } else { b"DEL" }, key]);
            cx.space.notify(GENERIC, "del", key);
        } else {
            cx.space.set_expiry(key, Some(when_ms as u64));
            cx.space.notify(GENERIC, "expire", key);
            cx.space.effect.set(cx.space.db, &[b"PEXPIREAT", key, Decimal::new(when_ms).as_bytes()]);
        }
    }
    cx.reply.integer(i64::from(allowed));
    Ok(())
}

/// EXPIRE key seconds [NX | XX | GT | LT]
pub fn expire(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    expire_generic(cx, args, cx.space.wall_ms, Unit::Seconds)
}

/// PEXPIRE key milliseconds [NX | XX | GT | LT]
pub fn pexpire(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    expire_generic(cx, args, cx.space.wall_ms, Unit::Milliseconds)
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
        cx.space.notify(GENERIC, "persist", args[1]);
    }
    cx.reply.integer(i64::from(expires));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::base::clock;
    use crate::commands::testing::TestServer;

    fn number(reply: String) -> i64 {
        reply.trim_start_matches(':').trim_end().parse().unwrap()
    }

    #[test]
    fn every_form_sets_and_tells() {
        let mut server = TestServer::new();
        server.expect(&[("SET k v", "+OK\r\n"), ("TTL k", ":-1\r\n"), ("PTTL none", ":-2\r\n")]);
        let far_seconds = clock::unix_ms() as i64 / 1000 + 1000;
        for (line, left_ms) in [
            ("EXPIRE k 100".to_owned(), 100_000),
            ("PEXPIRE k 50000".to_owned(), 50_000),
            (format!("EXPIREAT k {far_seconds}"), 1_000_000),
            (format!("PEXPIREAT k {far_seconds}000"), 1_000_000),
        ] {
            assert_eq!(server.run(&line), ":1\r\n", "{line}");
            let left = number(server.run("PTTL k"));
            assert!((left_ms - 2000..=left_ms).contains(&left), "{line}: {left}");
            assert!((left / 1000 - number(server.run("TTL k"))).abs() <= 1);
        }
        assert_eq!(number(server.run("EXPIRETIME k")), far_seconds);
        assert_eq!(number(server.run("PEXPIRETIME k")), far_seconds * 1000);
        server.expect(&[
            ("PERSIST k", ":1\r\n"),
            ("PERSIST k", ":0\r\n"),
            ("PERSIST none", ":0\r\n"),
            ("EXPIRETIME k", ":-1\r\n"),
            ("EXPIRE none 100", ":0\r\n"),
        ]);
    }

    #[test]
    fn conditions() {
        let mut server = TestServer::new();
        server.expect(&[
            ("SET k v", "+OK\r\n"),
            ("EXPIRE k 100 XX", ":0\r\n"),
            ("EXPIRE k 100 GT", ":0\r\n"),
            ("EXPIRE k 100 xx lt", ":0\r\n"),
            ("EXPIRE k 100 NX", ":1\r\n"),
            ("EXPIRE k 200 NX", ":0\r\n"),
            ("EXPIRE k 50 GT", ":0\r\n"),
            ("EXPIRE k 200 GT", ":1\r\n"),
            ("EXPIRE k 300 LT", ":0\r\n"),
            ("EXPIRE k 150 XX LT", ":1\r\n"),
            ("PERSIST k", ":1\r\n"),
            ("EXPIRE k 100 LT", ":1\r\n"),
            ("EXPIRE k 1 nx xx", "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n"),
            ("EXPIRE k 1 GT LT", "-ERR GT and LT options at the same time are not compatible\r\n"),
            ("EXPIRE k x AB", "-ERR Unsupported option AB\r\n"),
        ]);
    }

    #[test]
    fn what_the_clock_cannot_hold() {
        let mut server = TestServer::new();
        for (line, name) in [
            ("EXPIRE k 9223372036854775807", "expire"),
            ("EXPIRE k -9223372036854775808", "expire"),
            ("EXPIREAT k 9223372036854775", ""),
            ("EXPIREAT k 9223372036854776", "expireat"),
            ("PEXPIRE k 9223372036854775807", "pexpire"),
            ("PEXPIREAT k 9223372036854775807", ""),
        ] {
            server.run("SET k v");
            let expected = match name {
                "" => ":1\r\n".to_owned(),
                name => format!("-ERR invalid expire time in '{name}' command\r\n"),
            };
            assert_eq!(server.run(line), expected, "{line}");
        }
        server.expect(&[
            ("PEXPIREAT k 9223372036854775807", ":1\r\n"),
            ("EXPIRETIME k", ":9223372036854776\r\n"),
            ("EXPIRE k 1.5", "-ERR value is not an integer or out of range\r\n"),
        ]);
    }

    #[test]
    fn effects_are_absolute_and_a_past_expiry_deletes() {
        let mut server = TestServer::new();
        server.run("SET k v");
        server.effects();
        server.expect(&[("EXPIREAT k 4000000000 XX", ":0\r\n"), ("EXPIREAT k 4000000000 NX", ":1\r\n")]);
        assert_eq!(server.effects(), ["PEXPIREAT k 4000000000000"]);
        server.expect(&[("PERSIST k", ":1\r\n"), ("EXPIRE k -1", ":1\r\n"), ("EXISTS k", ":0\r\n")]);
        assert_eq!(server.effects(), ["PERSIST k", "DEL k"]);
    }
}
