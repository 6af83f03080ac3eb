//! Handlers: strings used as arrays of bits. BITFIELD has a file of its own.

use super::account::reserve;
use super::arguments::integer;
use super::context::{Cx, Outcome};
use super::string::clip;
use crate::base::key_slot::SlotId;
use crate::base::number::parse_i64;
use crate::engine::Expiry;
use crate::engine::notify::{GENERIC, STRING};
use crate::resp::ReplyError;
use crate::store::StringForm;
use crate::store::bits::{self, BitOperation};

pub use super::bitfield::{bitfield, bitfield_ro};

const BAD_OFFSET: ReplyError = ReplyError::of("ERR bit offset is not an integer or out of range");
const BAD_BIT: ReplyError = ReplyError::of("ERR bit is not an integer or out of range");

/// A bit's position in a string; `#N` is the position of the N-th field of `field_bits` bits, where fields are meant.
pub(super) fn bit_offset(cx: &Cx<'_>, argument: &[u8], field_bits: Option<u32>) -> Result<u64, ReplyError> {
    let offset = match (argument, field_bits) {
        ([b'#', number @ ..], Some(bits)) => parse_i64(number).and_then(|number| number.checked_mul(i64::from(bits))),
        _ => parse_i64(argument),
    };
    let offset = offset.and_then(|offset| u64::try_from(offset).ok());
    offset.filter(|offset| offset / 8 < cx.config().proto_max_bulk_len).ok_or(BAD_OFFSET)
}

pub fn getbit(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let offset = bit_offset(cx, args[2], None)?;
    let bit = cx.space.read_string(args[1])?.is_some_and(|value| bits::get(value, offset));
    cx.reply.integer(i64::from(bit));
    Ok(())
}

pub fn setbit(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let offset = bit_offset(cx, args[2], None)?;
    let bit = match parse_i64(args[3]) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(BAD_BIT),
    };
    let before = cx.space.changes;
    let was = cx.space.edit_string(args[1], (offset / 8) as usize + 1, |value, _| {
        let was = bits::set(value, offset, bit);
        (u64::from(was != bit), was)
    })?;
    if cx.space.changes != before {
        cx.space.notify(STRING, "setbit", args[1]);
    }
    cx.reply.integer(i64::from(was));
    Ok(())
}

/// Whether a range counts bits, or bytes.
fn counts_bits(unit: Option<&&[u8]>) -> Result<bool, ReplyError> {
    match unit {
        None => Ok(false),
        Some(unit) if unit.eq_ignore_ascii_case(b"BYTE") => Ok(false),
        Some(unit) if unit.eq_ignore_ascii_case(b"BIT") => Ok(true),
        Some(_) => Err(ReplyError::Syntax),
    }
}

/// The bits of a range, which is given in bits or in bytes, inside a string of `len` bytes.
fn clip_bits(start: i64, end: i64, len: usize, in_bits: bool) -> Option<(u64, u64)> {
    if in_bits {
        clip(start, end, len as u64 * 8)
    } else {
        clip(start, end, len as u64).map(|(start, end)| (start * 8, end * 8 + 7))
    }
}

pub fn bitcount(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let Some(value) = cx.space.read_string(args[1])? else {
        cx.reply.integer(0);
        return Ok(());
    };
    let count = match args[2..] {
        [] => bits::count(value),
        [start, end] | [start, end, _] => {
            let (start, end) = (integer(start)?, integer(end)?);
            if start < 0 && end < 0 && start > end {
                0
            } else {
                let range = clip_bits(start, end, value.len(), counts_bits(args.get(4))?);
                range.map_or(0, |(first, last)| bits::count_range(value, first, last))
            }
        }
        _ => return Err(ReplyError::Syntax),
    };
    cx.reply.integer(count as i64);
    Ok(())
}

pub fn bitpos(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let bit = match integer(args[2])? {
        0 => false,
        1 => true,
        _ => return Err(ReplyError::of("ERR The bit argument must be 1 or 0.")),
    };
    let Some(value) = cx.space.read_string(args[1])? else {
        // Nothing but zeros, without end.
        cx.reply.integer(if bit { -1 } else { 0 });
        return Ok(());
    };
    let (range, open_end) = match args[3..] {
        [] => (clip_bits(0, -1, value.len(), false), true),
        [start] => (clip_bits(integer(start)?, -1, value.len(), false), true),
        [start, end] => (clip_bits(integer(start)?, integer(end)?, value.len(), false), false),
        [start, end, unit] => {
            let (start, in_bits) = (integer(start)?, counts_bits(Some(&unit))?);
            (clip_bits(start, integer(end)?, value.len(), in_bits), false)
        }
        _ => return Err(ReplyError::Syntax),
    };
    let position = range.and_then(|(first, last)| {
        // Zeros follow the string, where the range has no end.
        let beyond = (open_end && !bit).then_some(last + 1);
        bits::find(value, bit, first, last).or(beyond)
    });
    cx.reply.integer(position.map_or(-1, |position| position as i64));
    Ok(())
}

pub fn bitop(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (target, sources) = (args[2], &args[3..]);
    let is = |name: &str| args[1].eq_ignore_ascii_case(name.as_bytes());
    let operation = match () {
        () if is("AND") => Some(BitOperation::And),
        () if is("OR") => Some(BitOperation::Or),
        () if is("XOR") => Some(BitOperation::Xor),
        () if is("NOT") => None,
        () => return Err(ReplyError::Syntax),
    };
    if operation.is_none() && sources.len() != 1 {
        return Err(ReplyError::of("ERR BITOP NOT must be called with a single source key."));
    }
    let mut result = cx.space.read_string(sources[0])?.unwrap_or_default().to_vec();
    match operation {
        None => bits::invert(&mut result),
        Some(operation) => {
            for source in &sources[1..] {
                bits::combine(operation, &mut result, cx.space.read_string(source)?.unwrap_or_default());
            }
        }
    }
    let crosses = sources.iter().any(|source| SlotId::of_key(source) != SlotId::of_key(target));
    if crosses {
        reserve(cx, args, result.len())?;
    }
    if result.is_empty() {
        if cx.space.remove(target).is_some() {
            cx.space.notify(GENERIC, "del", target);
        }
        cx.space.effect.set(cx.space.db, &[b"DEL", target]);
    } else {
        cx.space.set_string(target, &result, Expiry::Clear, StringForm::Raw);
        cx.space.notify(STRING, "set", target);
        if crosses {
            cx.space.effect.set(cx.space.db, &[b"SET", target, &result]);
        }
    }
    cx.reply.integer(result.len() as i64);
    Ok(())
}
