//! Where a command's keys are: the key specs of a row, and the one function that reads them.
//!
//! Routing, the access check and COMMAND GETKEYS all call `keys`, so they cannot disagree. Most commands have keys
//! at fixed places; for these `KeyShape`, worked out once per row, answers with one branch and no allocation.

use smallvec::SmallVec;

use super::registry::Command;
use crate::base::number::parse_i64;

/// Bits of `KeySpec::flags` and `KeyRef::flags`.
pub type KeyFlags = u16;

/// Reads the value or its metadata.
pub const RO: KeyFlags = 1 << 0;
/// Modifies the value.
pub const RW: KeyFlags = 1 << 1;
/// Overwrites the value without a look at the old one.
pub const OW: KeyFlags = 1 << 2;
/// Removes the key.
pub const RM: KeyFlags = 1 << 3;
/// Returns, copies or otherwise uses the user's data.
pub const ACCESS: KeyFlags = 1 << 4;
/// Changes the user's data.
pub const UPDATE: KeyFlags = 1 << 5;
/// Adds data, changing none that is there.
pub const INSERT: KeyFlags = 1 << 6;
/// Removes some of the data.
pub const DELETE: KeyFlags = 1 << 7;
/// Routed like a key, but not one (sharded channels).
pub const NOT_KEY: KeyFlags = 1 << 8;
/// The spec may miss keys.
pub const INCOMPLETE: KeyFlags = 1 << 9;
/// What is done to the key depends on other arguments.
pub const VARIABLE_FLAGS: KeyFlags = 1 << 10;

/// Key flags as COMMAND names them, in its order.
pub const KEY_FLAG_NAMES: &[(KeyFlags, &str)] = &[
    (RO, "RO"),
    (RW, "RW"),
    (OW, "OW"),
    (RM, "RM"),
    (ACCESS, "access"),
    (UPDATE, "update"),
    (INSERT, "insert"),
    (DELETE, "delete"),
    (NOT_KEY, "not_key"),
    (INCOMPLETE, "incomplete"),
    (VARIABLE_FLAGS, "variable_flags"),
];

/// Where the search for keys begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeginSearch {
    Index(u16),
    /// After this word, sought from an index; a negative index counts from the end and seeks backwards.
    Keyword {
        word: &'static str,
        start_from: i16,
    },
    Unknown,
}

/// Which arguments from there on are keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindKeys {
    /// `last` counts from the first key, or from the end when negative; `limit` n takes an n-th of what is left.
    Range {
        last: i16,
        step: u16,
        limit: u16,
    },
    /// An argument holds the number of keys; both indexes count from where the search began.
    KeyNum {
        count_at: u16,
        first: u16,
        step: u16,
    },
    Unknown,
}

#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    pub flags: KeyFlags,
    pub begin: BeginSearch,
    pub find: FindKeys,
    pub notes: Option<&'static str>,
}

const fn spec(flags: KeyFlags, begin: BeginSearch, find: FindKeys) -> KeySpec {
    KeySpec { flags, begin, find, notes: None }
}

/// One key at a fixed place.
pub const fn key_at(index: u16, flags: KeyFlags) -> KeySpec {
    spec(flags, BeginSearch::Index(index), FindKeys::Range { last: 0, step: 1, limit: 0 })
}

/// Keys from a place to the end, each followed by `step - 1` other arguments.
pub const fn keys_from(index: u16, step: u16, flags: KeyFlags) -> KeySpec {
    spec(flags, BeginSearch::Index(index), FindKeys::Range { last: -1, step, limit: 0 })
}

impl KeySpec {
    pub const fn notes(self, notes: &'static str) -> Self {
        KeySpec { notes: Some(notes), ..self }
    }
}

/// One key of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRef {
    pub index: u32,
    pub flags: KeyFlags,
}

pub type KeyRefs = SmallVec<[KeyRef; 8]>;

/// The arguments do not hold keys where the command has them: a syntax error, or none given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeysError;

/// First and last key and the step between them, as COMMAND INFO has always shown; a negative `last` counts
/// from the end. All zero where there is no such range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyRange {
    pub first: i16,
    pub last: i16,
    pub step: i16,
}

/// The short way to the indexes (not the flags) of a command's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyShape {
    None,
    One(u16),
    Range(KeyRange),
    /// Only `keys` knows.
    Special,
}

impl KeyShape {
    /// The indexes of keys in a call of `count` arguments; nothing for `Special`. Never reaches beyond the call.
    pub fn indexes(self, count: usize) -> impl Iterator<Item = usize> {
        let (first, end, step) = match self {
            KeyShape::None | KeyShape::Special => (0, 0, 1),
            KeyShape::One(index) => (usize::from(index), (usize::from(index) + 1).min(count), 1),
            KeyShape::Range(range) => {
                let end = if range.last < 0 {
                    (count + 1).saturating_sub(usize::from(range.last.unsigned_abs()))
                } else {
                    (range.last as usize + 1).min(count)
                };
                (range.first as usize, end, range.step as usize)
            }
        };
        (first..end.max(first)).step_by(step)
    }
}

/// Works out the classic range and the shape of a row's key specs. Consecutive plain ranges join into one; the
/// returned bool says that the range misses keys ("movablekeys").
pub fn range_and_shape(specs: &[KeySpec]) -> (KeyRange, KeyShape, bool) {
    if specs.is_empty() {
        return (KeyRange::default(), KeyShape::None, false);
    }
    let mut movable = specs.iter().any(|spec| spec.flags & INCOMPLETE != 0);
    let mut joined: Option<KeyRange> = None;
    for spec in specs {
        let (BeginSearch::Index(index), FindKeys::Range { last, step, .. }) = (spec.begin, spec.find) else {
            movable = true;
            continue;
        };
        let first = index as i16;
        let last = if last < 0 { last } else { first + last };
        match &mut joined {
            _ if specs.len() > 1 && step != 1 => movable = true,
            None => joined = Some(KeyRange { first, last, step: step as i16 }),
            Some(range) if range.last == first - 1 => range.last = last,
            Some(_) => movable = true,
        }
    }
    let limited = specs.iter().any(|spec| matches!(spec.find, FindKeys::Range { limit: 2.., .. }));
    let range = joined.unwrap_or_default();
    let shape = match joined {
        Some(range) if !movable && !limited => match range.first == range.last {
            true => KeyShape::One(range.first as u16),
            false => KeyShape::Range(range),
        },
        _ => KeyShape::Special,
    };
    (range, shape, movable)
}

/// Puts the keys of a call (`args[0]` is the command's name) into `out`, with what is done to each. Arguments that
/// only route like keys (`NOT_KEY`) are left out. No key at all is an error, unless the command takes none.
pub fn keys(command: &Command, args: &[&[u8]], out: &mut KeyRefs) -> Result<(), KeysError> {
    out.clear();
    let spec = command.spec;
    let names_keys = spec.keys.iter().any(|key| key.flags & NOT_KEY == 0);
    let flags_vary = spec.keys.iter().any(|key| key.flags & VARIABLE_FLAGS != 0);
    let by_specs = names_keys && !flags_vary;
    if !names_keys && spec.key_finder.is_none() {
        return Ok(());
    }
    if by_specs && by_key_specs(spec.keys, args, out).is_some() {
        return if out.is_empty() { Err(KeysError) } else { Ok(()) };
    }
    out.clear();
    if let Some(find) = spec.key_finder {
        find(args, out);
    }
    if out.is_empty() { Err(KeysError) } else { Ok(()) }
}

/// `None` when a spec cannot be trusted for this call.
fn by_key_specs(specs: &[KeySpec], args: &[&[u8]], out: &mut KeyRefs) -> Option<()> {
    for spec in specs.iter().filter(|spec| spec.flags & NOT_KEY == 0) {
        let begin = match spec.begin {
            BeginSearch::Index(index) => usize::from(index),
            BeginSearch::Keyword { word, start_from } => match after_keyword(word, start_from, args) {
                Some(begin) => begin,
                None => continue,
            },
            BeginSearch::Unknown => return None,
        };
        let (first, last, step) = match spec.find {
            FindKeys::Range { last, step, limit } => {
                let last = match (last, limit) {
                    (0.., _) => begin + last as usize,
                    (_, 0 | 1) => args.len().checked_sub(usize::from(last.unsigned_abs()))?,
                    (_, limit) => {
                        let share = args.len().checked_sub(begin)? / usize::from(limit);
                        (begin + share).checked_sub(usize::from(last.unsigned_abs()))?
                    }
                };
                (begin, last, step)
            }
            FindKeys::KeyNum { count_at, first, step } => {
                let count = args.get(begin + usize::from(count_at))?;
                let count = usize::try_from(parse_i64(count)?).ok()?;
                let first = begin + usize::from(first);
                // The count may be any number: it is bounded below before anything is stored.
                let last = first.checked_add(count.checked_sub(1)?.checked_mul(usize::from(step))?)?;
                (first, last, step)
            }
            FindKeys::Unknown => return None,
        };
        if last < first || last >= args.len() {
            return None;
        }
        let found = (first..=last).step_by(usize::from(step));
        out.extend(found.map(|index| KeyRef { index: index as u32, flags: spec.flags }));
        if spec.flags & INCOMPLETE != 0 {
            return None;
        }
    }
    Some(())
}

fn after_keyword(word: &str, start_from: i16, args: &[&[u8]]) -> Option<usize> {
    let is_word = |index: &usize| args[*index].eq_ignore_ascii_case(word.as_bytes());
    let found = if start_from > 0 {
        // The last argument is never tried: nothing could follow it.
        (usize::from(start_from.unsigned_abs())..args.len().saturating_sub(1)).find(is_word)
    } else {
        let start = args.len().checked_sub(usize::from(start_from.unsigned_abs()))?;
        (2..=start).rev().find(is_word)
    };
    found.map(|index| index + 1)
}

/// SET reads the old value only with GET.
pub fn set_keys(args: &[&[u8]], out: &mut KeyRefs) {
    let reads = args.iter().skip(3).any(|arg| arg.eq_ignore_ascii_case(b"get"));
    let flags = if reads { RW | ACCESS | UPDATE } else { OW | UPDATE };
    out.push(KeyRef { index: 1, flags });
}

/// BITFIELD with nothing but GET (and OVERFLOW) only reads.
pub fn bitfield_keys(args: &[&[u8]], out: &mut KeyRefs) {
    let mut rest = args.get(2..).unwrap_or(&[]);
    let mut reads_only = true;
    while let [word, values @ ..] = rest {
        let taken = if word.eq_ignore_ascii_case(b"get") {
            2
        } else if word.eq_ignore_ascii_case(b"overflow") {
            1
        } else {
            usize::MAX
        };
        let Some(after) = values.get(taken..) else {
            reads_only = false;
            break;
        };
        rest = after;
    }
    let flags = if reads_only { RO | ACCESS } else { RW | ACCESS | UPDATE };
    out.push(KeyRef { index: 1, flags });
}
