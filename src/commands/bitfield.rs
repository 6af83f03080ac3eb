//! Handlers: BITFIELD and BITFIELD_RO. All operations are read before the first one runs.

use smallvec::SmallVec;

use super::arguments::integer;
use super::bitmap::bit_offset;
use super::context::{Cx, Outcome};
use crate::base::number::parse_i64;
use crate::engine::notify::STRING;
use crate::resp::{Reply, ReplyError};
use crate::store::bits::{FieldType, Overflow};

const BAD_TYPE: ReplyError =
    ReplyError::of("ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Operation {
    field: FieldType,
    offset: u64,
    action: Action,
}

type Operations = SmallVec<[Operation; 8]>;

pub fn bitfield(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let operations = read(cx, args)?;
    match bytes_written(&operations) {
        None => only_read(cx, args[1], &operations),
        Some(len) => {
            let (reply, before) = (&mut cx.reply, cx.space.changes);
            cx.space.edit_string(args[1], len, |value, grew| {
                reply.array(operations.len());
                let changed = operations.iter().filter(|operation| {
                    let wrote = operation.run(value, reply);
                    wrote.is_some_and(|(before, after)| grew || before != after)
                });
                (changed.count() as u64, ())
            })?;
            if cx.space.changes != before {
                cx.space.notify(STRING, "setbit", args[1]);
            }
            Ok(())
        }
    }
}

pub fn bitfield_ro(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let operations = read(cx, args)?;
    if bytes_written(&operations).is_some() {
        return Err(ReplyError::of("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    only_read(cx, args[1], &operations)
}

fn only_read(cx: &mut Cx<'_>, key: &[u8], operations: &[Operation]) -> Outcome {
    let value = cx.space.read_string(key)?.unwrap_or_default();
    cx.reply.array(operations.len());
    for operation in operations {
        cx.reply.integer(operation.field.read(value, operation.offset));
    }
    Ok(())
}

/// How long the string must be for the operations that write; `None` when none does.
fn bytes_written(operations: &[Operation]) -> Option<usize> {
    let writes = operations.iter().filter(|operation| operation.action != Action::Get);
    writes.map(|operation| (operation.offset + u64::from(operation.field.bits)).div_ceil(8) as usize).max()
}

fn read(cx: &Cx<'_>, args: &[&[u8]]) -> Result<Operations, ReplyError> {
    let mut operations = Operations::new();
    let mut overflow = Overflow::Wrap;
    let mut rest = &args[2..];
    while let [name, arguments @ ..] = rest {
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        rest = match arguments {
            [field, offset, after @ ..] if is("GET") => {
                let (field, offset) = place(cx, field, offset)?;
                operations.push(Operation { field, offset, action: Action::Get });
                after
            }
            [field, offset, value, after @ ..] if is("SET") || is("INCRBY") => {
                let (field, offset) = place(cx, field, offset)?;
                let value = integer(value)?;
                let action = if is("SET") { Action::Set(value, overflow) } else { Action::Add(value, overflow) };
                operations.push(Operation { field, offset, action });
                after
            }
            [kind, after @ ..] if is("OVERFLOW") => {
                overflow = overflow_kind(kind)?;
                after
            }
            _ => return Err(ReplyError::Syntax),
        };
    }
    Ok(operations)
}

fn overflow_kind(name: &[u8]) -> Result<Overflow, ReplyError> {
    let kinds = [("WRAP", Overflow::Wrap), ("SAT", Overflow::Saturate), ("FAIL", Overflow::Fail)];
    let found = kinds.iter().find(|(kind, _)| name.eq_ignore_ascii_case(kind.as_bytes()));
    found.map(|(_, overflow)| *overflow).ok_or(ReplyError::of("ERR Invalid OVERFLOW type specified"))
}

/// A field's type and the position of its first bit.
fn place(cx: &Cx<'_>, field: &[u8], offset: &[u8]) -> Result<(FieldType, u64), ReplyError> {
    let field = field_type(field)?;
    Ok((field, bit_offset(cx, offset, Some(field.bits))?))
}

fn field_type(name: &[u8]) -> Result<FieldType, ReplyError> {
    let (signed, bits) = match name {
        [b'i', bits @ ..] => (true, parse_i64(bits)),
        [b'u', bits @ ..] => (false, parse_i64(bits)),
        _ => return Err(BAD_TYPE),
    };
    match bits {
        Some(bits @ 1..=63) => Ok(FieldType { signed, bits: bits as u32 }),
        Some(64) if signed => Ok(FieldType { signed, bits: 64 }),
        _ => Err(BAD_TYPE),
    }
}

impl Operation {
    /// Runs the operation and replies; gives the field's value before and after, if it wrote.
    fn run(&self, value: &mut [u8], reply: &mut Reply<'_>) -> Option<(i64, i64)> {
        let old = self.field.read(value, self.offset);
        let (new, answer) = match self.action {
            Action::Get => {
                reply.integer(old);
                return None;
            }
            Action::Set(wanted, overflow) => (self.field.settle(wanted, overflow), old),
            Action::Add(increment, overflow) => {
                let sum = self.field.add(old, increment, overflow);
                (sum, sum.unwrap_or_default())
            }
        };
        let Some(new) = new else {
            reply.null();
            return None;
        };
        self.field.write(value, self.offset, new);
        reply.integer(answer);
        Some((old, new))
    }
}
