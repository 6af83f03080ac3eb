//! Handlers of the commands that take a value out as bytes and put it back.

use std::sync::atomic::Ordering;

use super::arguments::Arguments;
use super::context::{Cx, Outcome};
use super::object::counts_frequency;
use crate::base::number::Decimal;
use crate::engine::notify::GENERIC;
use crate::engine::saved::{entry_of, value_of};
use crate::rdb::payload::{self, PayloadBuffer, PayloadError};
use crate::resp::ReplyError;
use crate::store::limits::Limits;
use crate::store::reclaim;

const TARGET_EXISTS: ReplyError = ReplyError::of("BUSYKEY Target key name already exists.");

/// DUMP key
pub fn dump(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let compressing = cx.config().rdbcompression;
    match cx.space.read(args[1]) {
        Some(entry) => cx.reply.bulk(&payload::encode(value_of(entry), compressing)),
        None => cx.reply.null(),
    }
    Ok(())
}

/// The words after the payload.
#[derive(Default)]
struct Options {
    replace: bool,
    absolute: bool,
    idle_seconds: Option<i64>,
    frequency: Option<u8>,
}

impl Options {
    fn read(args: &[&[u8]]) -> Result<Options, ReplyError> {
        let mut options = Options::default();
        let mut reader = Arguments::from(args, 4);
        while !reader.is_done() {
            if reader.word("REPLACE") {
                options.replace = true;
            } else if reader.word("ABSTTL") {
                options.absolute = true;
            } else if options.frequency.is_none() && reader.option("IDLETIME") {
                let idle_seconds = reader.integer();
                if idle_seconds < 0 {
                    reader.fail(ReplyError::of("ERR Invalid IDLETIME value, must be >= 0"));
                }
                options.idle_seconds = Some(idle_seconds);
            } else if options.idle_seconds.is_none() && reader.option("FREQ") {
                let frequency = reader.integer();
                options.frequency = u8::try_from(frequency).ok();
                if options.frequency.is_none() {
                    reader.fail(ReplyError::of("ERR Invalid FREQ value, must be >= 0 and <= 255"));
                }
            } else {
                reader.fail(ReplyError::Syntax);
            }
        }
        reader.finish().map(|()| options)
    }

    /// What the access clock of the new key shows: as the options say if the policy counts what they tell.
    fn access(&self, cx: &Cx<'_>) -> u32 {
        let clock = cx.space.clock();
        match (self.idle_seconds, self.frequency) {
            (_, Some(frequency)) if counts_frequency(cx.config().maxmemory_policy) => clock.counted(frequency),
            (Some(idle_seconds), _) if !counts_frequency(cx.config().maxmemory_policy) => {
                clock.fresh().wrapping_sub(idle_seconds as u32)
            }
            _ => clock.fresh(),
        }
    }
}

fn refused(error: PayloadError) -> ReplyError {
    match error {
        PayloadError::VersionOrChecksum => ReplyError::of("ERR DUMP payload version or checksum are wrong"),
        PayloadError::Format => {
            tracing::warn!("The payload of a RESTORE is refused: its integrity check failed.");
            ReplyError::of("ERR Bad data format")
        }
        PayloadError::UnsupportedType(name) => {
            ReplyError::Text(format!("ERR Bad data format: value type '{name}' is not supported yet").into())
        }
    }
}

/// RESTORE key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]
pub fn restore(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let options = Options::read(args)?;
    let key = args[1];
    if !options.replace && cx.space.exists(key) {
        return Err(TARGET_EXISTS);
    }
    let mut reader = Arguments::from(&args[..3], 2);
    let ttl_ms = reader.integer();
    if ttl_ms < 0 {
        reader.fail(ReplyError::of("ERR Invalid TTL value, must be >= 0"));
    }
    reader.finish()?;
    let mut buffer = PayloadBuffer::with_limits(Limits::of(cx.config()));
    let resealed = cx.engine().skips_checksums.load(Ordering::Relaxed).then(|| payload::resealed(args[3]));
    let payload = resealed.as_deref().unwrap_or(args[3]);
    let value = payload::decode(payload, cx.config().proto_max_bulk_len, &mut buffer).map_err(refused)?;

    // Beyond the end of time it wraps into the past, as in Redis.
    let base_ms = if options.absolute { 0 } else { cx.space.wall_ms as i64 };
    let expiry_ms = (ttl_ms != 0).then(|| ttl_ms.wrapping_add(base_ms));
    match expiry_ms {
        Some(expiry_ms) if expiry_ms <= cx.space.now_ms as i64 => {
            // What would be gone at once is not made; only what it replaces goes.
            if options.replace
                && let Some(replaced) = cx.space.remove(key)
            {
                reclaim::discard(replaced);
                let lazy = cx.config().lazyfree_lazy_server_del;
                cx.space.effect.set(cx.space.db, &[if lazy { b"UNLINK" } else { b"DEL" }, key]);
                cx.space.notify(GENERIC, "del", key);
            }
        }
        _ => {
            let access = options.access(cx);
            let entry = entry_of(key, value, expiry_ms.map(|expiry_ms| expiry_ms as u64), access);
            reclaim::discard(cx.space.put(entry));
            cx.space.notify(GENERIC, "restore", key);
            let expiry = expiry_ms.filter(|_| !options.absolute).map(Decimal::new);
            if expiry.is_some() || resealed.is_some() {
                let mut effect = args.to_vec();
                // Who runs it again minds the checksum.
                effect[3] = payload;
                if let Some(expiry) = &expiry {
                    effect[2] = expiry.as_bytes();
                    effect.push(b"ABSTTL");
                }
                cx.space.effect.set(cx.space.db, &effect);
            }
        }
    }
    cx.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use crate::commands::testing::TestServer;
    use crate::config::choices::MaxmemoryPolicy;
    use crate::rdb::Value;
    use crate::rdb::payload::encode;

    /// The bytes in a bulk reply.
    fn bulk(reply: &[u8]) -> &[u8] {
        let start = reply.windows(2).position(|pair| pair == b"\r\n").expect("a header") + 2;
        &reply[start..reply.len() - 2]
    }

    fn restore(server: &mut TestServer, key: &str, ttl: &str, payload: &[u8], options: &str) -> String {
        let mut args = vec![b"RESTORE", key.as_bytes(), ttl.as_bytes(), payload];
        args.extend(options.split_whitespace().map(str::as_bytes));
        String::from_utf8(server.call(&args)).unwrap()
    }

    #[test]
    fn out_and_back() {
        let mut server = TestServer::new();
        let words = b"words and ".repeat(100);
        for value in [&b""[..], b"x", b"-129", b"00012", b"\0\r\n\xff", &words] {
            server.call(&[b"SET", b"a", value]);
            let dumped = server.call(&[b"DUMP", b"a"]);
            assert_eq!(bulk(&dumped), encode(Value::String(value), true));
            assert_eq!(restore(&mut server, "b", "0", bulk(&dumped), "replace"), "+OK\r\n");
            assert_eq!(bulk(&server.call(&[b"GET", b"b"])), value);
            assert_eq!(server.run("OBJECT ENCODING a"), server.run("OBJECT ENCODING b"));
        }
        server.expect(&[("DUMP none", "$-1\r\n"), ("TTL b", ":-1\r\n")]);
        let mut plain = TestServer::with_config(|config| config.rdbcompression = false);
        plain.call(&[b"SET", b"a", &words]);
        assert!(plain.call(&[b"DUMP", b"a"]).len() > words.len());
    }

    #[test]
    fn errors_in_their_order() {
        let mut server = TestServer::new();
        server.run("SET taken 1");
        let payload = encode(Value::String(b"v"), true);
        for (key, ttl, payload, options, error) in [
            ("taken", "x", &b"?"[..], "NOSUCH", "-ERR syntax error"),
            ("taken", "x", b"?", "IDLETIME", "-ERR syntax error"),
            ("taken", "x", b"?", "IDLETIME 1 FREQ 1", "-ERR syntax error"),
            ("taken", "x", b"?", "FREQ 1 IDLETIME 1", "-ERR syntax error"),
            ("taken", "x", b"?", "IDLETIME x", "-ERR value is not an integer or out of range"),
            ("taken", "x", b"?", "IDLETIME -1 NOSUCH", "-ERR Invalid IDLETIME value, must be >= 0"),
            ("taken", "x", b"?", "FREQ 256", "-ERR Invalid FREQ value, must be >= 0 and <= 255"),
            ("taken", "x", b"?", "FREQ -1", "-ERR Invalid FREQ value, must be >= 0 and <= 255"),
            ("taken", "x", b"?", "ABSTTL", "-BUSYKEY Target key name already exists."),
            ("free", "x", b"?", "", "-ERR value is not an integer or out of range"),
            ("taken", "-1", b"?", "REPLACE", "-ERR Invalid TTL value, must be >= 0"),
            ("taken", "0", b"?", "REPLACE", "-ERR DUMP payload version or checksum are wrong"),
            ("free", "0", &payload[..payload.len() - 1], "", "-ERR DUMP payload version or checksum are wrong"),
        ] {
            assert_eq!(restore(&mut server, key, ttl, payload, options), format!("{error}\r\n"), "{ttl} {options}");
        }
        assert_eq!(server.run("GET taken"), "$1\r\n1\r\n");
        assert_eq!(server.effects(), ["SET taken 1"]);
    }

    #[test]
    fn a_checksum_that_does_not_count_is_set_right_for_those_who_follow() {
        let mut server = TestServer::new();
        let payload = encode(Value::String(b"7"), true);
        let mut damaged = payload.clone();
        damaged[payload.len() - 1] ^= 1;
        let refused = "-ERR DUMP payload version or checksum are wrong\r\n";
        assert_eq!(restore(&mut server, "a", "0", &damaged, ""), refused);
        server.engine.skips_checksums.store(true, Ordering::Relaxed);
        assert_eq!(restore(&mut server, "a", "0", &damaged, ""), "+OK\r\n");
        assert_eq!(restore(&mut server, "b", "0", b"", ""), refused);
        let effects = server.captured();
        assert_eq!((effects.len(), &effects[0].command[3]), (1, &payload));
    }

    #[test]
    fn expiries_are_handed_on_as_moments() {
        let mut server = TestServer::new();
        let payload = encode(Value::String(b"7"), true);
        let effect_start = |effect: &[Vec<u8>]| String::from_utf8(effect[..3].join(&b' ')).unwrap();
        assert_eq!(restore(&mut server, "a", "0", &payload, ""), "+OK\r\n");
        assert_eq!(restore(&mut server, "a", "4000000000000", &payload, "REPLACE ABSTTL FREQ 3"), "+OK\r\n");
        server.expect(&[("PEXPIRETIME a", ":4000000000000\r\n")]);
        let effects = server.captured();
        assert_eq!(effects[0].command[1..], [&b"a"[..], b"0", &payload]);
        assert_eq!(effect_start(&effects[1].command), "RESTORE a 4000000000000");
        assert_eq!(effects[1].command[4..].join(&b' '), b"REPLACE ABSTTL FREQ 3");

        assert_eq!(restore(&mut server, "b", "100000", &payload, "IDLETIME 5"), "+OK\r\n");
        let expiry = server.run("PEXPIRETIME b").trim_matches([':', '\r', '\n']).to_owned();
        let effects = server.captured();
        assert_eq!(effect_start(&effects[0].command), format!("RESTORE b {expiry}"));
        assert_eq!(effects[0].command[4..].join(&b' '), b"IDLETIME 5 ABSTTL");

        // Past: nothing is made, and what was there goes only if it may be replaced.
        for ttl in ["1", "1000"] {
            assert_eq!(restore(&mut server, "none", ttl, &payload, "ABSTTL"), "+OK\r\n");
            assert_eq!(restore(&mut server, "none", ttl, &payload, "ABSTTL REPLACE"), "+OK\r\n");
        }
        assert_eq!(restore(&mut server, "none", "9223372036854775807", &payload, ""), "+OK\r\n");
        assert!(server.captured().is_empty());
        assert_eq!(restore(&mut server, "a", "1", &payload, "ABSTTL REPLACE"), "+OK\r\n");
        server.expect(&[("EXISTS a none", ":0\r\n")]);
        assert_eq!(server.effects(), ["DEL a"]);
        server.plant_expired(0, "old");
        assert_eq!(restore(&mut server, "old", "0", &payload, ""), "+OK\r\n");
        assert_eq!(server.effects()[..2], ["begin", "DEL old"]);
    }

    #[test]
    fn uses_are_restored_as_the_policy_counts_them() {
        let payload = encode(Value::String(b"v"), true);
        let mut server = TestServer::new();
        restore(&mut server, "a", "0", &payload, "IDLETIME 1000");
        server.expect(&[("OBJECT IDLETIME a", ":1000\r\n")]);
        restore(&mut server, "a", "0", &payload, "REPLACE FREQ 100");
        server.expect(&[("OBJECT IDLETIME a", ":0\r\n")]);
        let mut server = TestServer::with_config(|config| config.maxmemory_policy = MaxmemoryPolicy::AllkeysLfu);
        restore(&mut server, "a", "0", &payload, "FREQ 100");
        server.expect(&[("OBJECT FREQ a", ":100\r\n")]);
    }
}
