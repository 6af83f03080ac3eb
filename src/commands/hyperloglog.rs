//! Handlers: HyperLogLogs, which are strings. What their bytes mean is in [`crate::store::hyperloglog`].

use super::account::reserve;
use super::context::{Cx, Outcome};
use super::creation::tell_made;
use crate::base::key_slot::SlotId;
use crate::base::number::Decimal;
use crate::engine::effect::bytes_for_request;
use crate::engine::notify;
use crate::resp::ReplyError;
use crate::store::StringForm;
use crate::store::hyperloglog::{self as hll, Corrupt, REGISTERS};

const CORRUPT: ReplyError = ReplyError::of("INVALIDOBJ Corrupted HLL object detected");
const NOT_ONE: ReplyError = ReplyError::of("WRONGTYPE Key is not a valid HyperLogLog string value.");

impl From<Corrupt> for ReplyError {
    fn from(_: Corrupt) -> ReplyError {
        CORRUPT
    }
}

/// A string, if it is a HyperLogLog.
fn checked(value: &[u8]) -> Result<&[u8], ReplyError> {
    if hll::is_one(value) { Ok(value) } else { Err(NOT_ONE) }
}

/// PFADD key [element [element ...]]
pub fn pfadd(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (key, elements) = (args[1], &args[2..]);
    let held = cx.space.string(key)?.map(checked).transpose()?;
    let changes = match held {
        Some(bytes) if hll::is_dense(bytes) => cx.space.edit_string(key, 0, |bytes, _| {
            let changes = elements.iter().filter(|element| hll::add_dense(bytes, element)).count() as u64;
            (changes, changes)
        })?,
        _ => {
            let mut changes = u64::from(held.is_none());
            let mut bytes = held.map_or_else(hll::empty, <[u8]>::to_vec);
            for element in elements {
                changes += u64::from(hll::add(&mut bytes, element, sparse_bytes_max(cx))?);
            }
            if changes > 0 {
                // The first count of an empty one is a change as well.
                hll::forget_count(&mut bytes);
                cx.space.rewrite_string(key, StringForm::Raw, |_| Ok(bytes))?;
                cx.space.changes += changes - 1;
            }
            changes
        }
    };
    if changes > 0 {
        cx.space.notify(notify::STRING, "pfadd", key);
    }
    cx.reply.integer(i64::from(changes > 0));
    Ok(())
}

fn sparse_bytes_max(cx: &Cx<'_>) -> usize {
    usize::try_from(cx.config().hll_sparse_max_bytes).unwrap_or(usize::MAX)
}

/// PFCOUNT key [key ...]
pub fn pfcount(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let count = match args {
        [_, key] => count_one(cx, args, key)?,
        _ => {
            let mut registers = [0; REGISTERS];
            for key in &args[1..] {
                if let Some(value) = cx.space.read_string(key)? {
                    hll::merge(&mut registers, checked(value)?)?;
                }
            }
            hll::count_registers(&registers)
        }
    };
    cx.reply.integer(count as i64);
    Ok(())
}

/// The count of one, which is kept in its bytes: a change that is told like any other, where the log takes it.
fn count_one(cx: &mut Cx<'_>, args: &[&[u8]], key: &[u8]) -> Result<u64, ReplyError> {
    let Some(bytes) = cx.space.read_string(key)? else { return Ok(0) };
    if let Some(count) = hll::cached_count(checked(bytes)?) {
        return Ok(count);
    }
    let count = hll::count(bytes)?;
    // As many as a write of this length is promised, which this is not.
    if reserve(cx, args, bytes_for_request(key.len(), args.len())).is_ok() {
        cx.space.edit_string(key, 0, |bytes, _| {
            hll::cache_count(bytes, count);
            (1, ())
        })?;
        // Told as a write, which is all that a log has.
        let offset = Decimal::new(hll::CACHE_AT as i64);
        cx.space.effect.set(cx.space.db, &[b"SETRANGE", key, offset.as_bytes(), &count.to_le_bytes()]);
    }
    Ok(count)
}

/// PFMERGE destkey [sourcekey [sourcekey ...]]
pub fn pfmerge(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let target = args[1];
    let (mut registers, mut dense) = ([0; REGISTERS], false);
    let mut own = registers;
    for (index, key) in args[1..].iter().enumerate() {
        if let Some(value) = cx.space.read_string(key)? {
            let bytes = checked(value)?;
            dense |= hll::is_dense(bytes);
            hll::merge(&mut registers, bytes)?;
        }
        if index == 0 {
            own = registers;
        }
    }
    // It becomes dense as a register is raised.
    let sparse_bytes_max = if registers == own { usize::MAX } else { sparse_bytes_max(cx) };
    let bytes = hll::pack(&registers, dense, sparse_bytes_max);
    let crosses = args[2..].iter().any(|source| SlotId::of_key(source) != SlotId::of_key(target));
    if crosses {
        reserve(cx, args, bytes_for_request(target.len() + bytes.len(), 5))?;
    }
    cx.space.rewrite_string(target, StringForm::Raw, |_| Ok(bytes))?;
    // The same event as any other addition.
    cx.space.notify(notify::STRING, "pfadd", target);
    if crosses {
        let db = cx.space.db;
        tell_made(cx, db, target);
    }
    cx.reply.ok();
    Ok(())
}

/// PFDEBUG GETREG | DECODE | ENCODING | TODENSE key
pub fn pfdebug(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let key = args[2];
    let Some(value) = cx.space.string(key)? else {
        return Err(ReplyError::of("ERR The specified key does not exist"));
    };
    let bytes = checked(value)?;
    match args[1].to_ascii_lowercase().as_slice() {
        b"getreg" => {
            let mut registers = [0; REGISTERS];
            hll::merge(&mut registers, bytes)?;
            make_dense(cx, key)?;
            cx.reply.array(REGISTERS);
            registers.iter().for_each(|value| cx.reply.integer(i64::from(*value)));
        }
        b"decode" if hll::is_dense(bytes) => return Err(ReplyError::of("ERR HLL encoding is not sparse")),
        b"decode" => {
            let runs: Vec<String> = hll::runs(bytes).map(shown).collect();
            cx.reply.bulk_text(&runs.join(" "));
        }
        b"encoding" => cx.reply.simple(if hll::is_dense(bytes) { "dense" } else { "sparse" }),
        b"todense" => {
            let converted = make_dense(cx, key)?;
            cx.reply.integer(i64::from(converted));
        }
        _ => return Err(ReplyError::quoting("ERR Unknown PFDEBUG subcommand '", args[1], "'")),
    }
    Ok(())
}

/// A run as PFDEBUG DECODE shows it.
fn shown(run: hll::Run) -> String {
    match (run.value, run.bytes) {
        (0, 1) => format!("z:{}", run.len),
        (0, _) => format!("Z:{}", run.len),
        (value, _) => format!("v:{value},{}", run.len),
    }
}

/// Gives a HyperLogLog its dense form; false if it has that.
fn make_dense(cx: &mut Cx<'_>, key: &[u8]) -> Result<bool, ReplyError> {
    let Some(mut bytes) = cx.space.string(key)?.filter(|bytes| !hll::is_dense(bytes)).map(<[u8]>::to_vec) else {
        return Ok(false);
    };
    hll::make_dense(&mut bytes)?;
    cx.space.rewrite_string(key, StringForm::Raw, |_| Ok(bytes))?;
    Ok(true)
}

/// PFSELFTEST
pub fn pfselftest(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    hll::self_test().map_err(|what| ReplyError::Text(format!("TESTFAILED {what}").into()))?;
    cx.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::TestServer;

    #[test]
    fn merging_nothing_is_an_effect_too() {
        let mut server = TestServer::new();
        server.expect(&[("PFMERGE h", "+OK\r\n"), ("PFCOUNT h", ":0\r\n")]);
        assert_eq!(server.effects()[0], "PFMERGE h");
    }

    #[test]
    fn counting_and_its_cache() {
        let mut server = TestServer::new();
        server.expect(&[
            ("PFADD h", ":1\r\n"),
            ("PFCOUNT h", ":0\r\n"),
            ("PFADD h a b c", ":1\r\n"),
            ("PFADD h a b c", ":0\r\n"),
            ("PFCOUNT h", ":3\r\n"),
            ("PFCOUNT h", ":3\r\n"),
            ("PFCOUNT none", ":0\r\n"),
            ("PFADD i c d", ":1\r\n"),
            ("PFCOUNT h i none", ":4\r\n"),
            ("PFDEBUG ENCODING h", "+sparse\r\n"),
            ("PFDEBUG TODENSE h", ":1\r\n"),
            ("PFDEBUG TODENSE h", ":0\r\n"),
            ("PFADD h e", ":1\r\n"),
            ("PFADD h e", ":0\r\n"),
            ("PFCOUNT h", ":4\r\n"),
            ("STRLEN h", ":12304\r\n"),
            ("PFSELFTEST", "+OK\r\n"),
        ]);
        let effects = server.effects();
        let expected = [
            "PFADD h",
            "SETRANGE h 8",
            "PFADD h a b c",
            "SETRANGE h 8",
            "PFADD i c d",
            "PFDEBUG TODENSE h",
            "PFADD h e",
            "SETRANGE h 8",
        ];
        assert!(
            effects.len() == expected.len() && effects.iter().zip(expected).all(|(told, due)| told.starts_with(due))
        );
    }

    #[test]
    fn merging_crosses_slots() {
        let mut server = TestServer::new();
        server.expect(&[
            ("PFADD {t}a 1 2 3", ":1\r\n"),
            ("PFADD {t}b 3 4", ":1\r\n"),
            ("PFADD c 5", ":1\r\n"),
            ("PFADD {t}m 9", ":1\r\n"),
            ("PEXPIREAT {t}m 4000000000000", ":1\r\n"),
        ]);
        server.effects();
        server.expect(&[
            ("PFMERGE {t}m {t}a {t}b none", "+OK\r\n"),
            ("PFCOUNT {t}m", ":5\r\n"),
            ("PFMERGE {t}n {t}a {t}b", "+OK\r\n"),
            ("PFMERGE {t}m c", "+OK\r\n"),
            ("PFCOUNT {t}m", ":6\r\n"),
            ("PEXPIRETIME {t}m", ":4000000000000\r\n"),
            ("PFDEBUG ENCODING {t}m", "+sparse\r\n"),
        ]);
        let effects = server.effects();
        assert!(effects[0].starts_with("SET {t}m HYLL"), "{effects:?}");
        assert_eq!(effects[2], "PFMERGE {t}n {t}a {t}b");
        assert!(effects[3].ends_with("PXAT 4000000000000"), "{effects:?}");
    }

    #[test]
    fn what_is_none_is_refused() {
        let mut server = TestServer::new();
        let not_one = "-WRONGTYPE Key is not a valid HyperLogLog string value.\r\n";
        server.expect(&[
            ("SET text x", "+OK\r\n"),
            ("SADD set x", ":1\r\n"),
            ("PFADD text 1", not_one),
            ("PFCOUNT text", not_one),
            ("PFMERGE h text", not_one),
            ("PFCOUNT set", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
            ("PFADD h a", ":1\r\n"),
            ("PFDEBUG DECODE h", "$20\r\nZ:12711 v:2,1 Z:3672\r\n"),
            ("PFDEBUG NOSUCH h", "-ERR Unknown PFDEBUG subcommand 'NOSUCH'\r\n"),
            ("PFDEBUG ENCODING none", "-ERR The specified key does not exist\r\n"),
            ("APPEND h x", ":22\r\n"),
            ("PFCOUNT h", "-INVALIDOBJ Corrupted HLL object detected\r\n"),
        ]);
        assert!(server.run("PFDEBUG GETREG h").starts_with("-INVALIDOBJ"));
    }
}
