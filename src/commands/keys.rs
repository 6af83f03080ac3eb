//! Where a command's keys are: the key specs of a row, and the one function that reads them.
//!
//! Routing, the access check and COMMAND GETKEYS all call `keys`, so they cannot disagree. Most commands have keys
//! at fixed places; for these `KeyShape`, worked out once per row, answers with one branch and no allocation.

use smallvec::SmallVec;

use super::registry::Command;
use crate::base::key_slot::SlotId;
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

/// So many keys in a row.
pub const fn keys_at(index: u16, count: i16, flags: KeyFlags) -> KeySpec {
    spec(flags, BeginSearch::Index(index), FindKeys::Range { last: count - 1, step: 1, limit: 0 })
}

/// Keys from a place to the end, each followed by `step - 1` other arguments.
pub const fn keys_from(index: u16, step: u16, flags: KeyFlags) -> KeySpec {
    spec(flags, BeginSearch::Index(index), FindKeys::Range { last: -1, step, limit: 0 })
}

/// Keys behind their number, which stands at this place.
pub const fn counted_keys_at(index: u16, flags: KeyFlags) -> KeySpec {
    spec(flags, BeginSearch::Index(index), FindKeys::KeyNum { count_at: 0, first: 1, step: 1 })
}

/// Keys from a place up to the last argument, which is none.
pub const fn keys_before_last(index: u16, flags: KeyFlags) -> KeySpec {
    spec(flags, BeginSearch::Index(index), FindKeys::Range { last: -2, step: 1, limit: 0 })
}

/// Keys that no rule finds.
pub const fn unknown_keys(flags: KeyFlags) -> KeySpec {
    spec(flags, BeginSearch::Unknown, FindKeys::Unknown)
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

/// Adds the slot of each key of a call, in the order of the call, to those that are there. A call whose keys make no sense
/// has none: its handler answers the error.
pub fn add_slots(command: &Command, args: &[&[u8]], slots: &mut SmallVec<[SlotId; 16]>) {
    match command.shape {
        KeyShape::None => {}
        KeyShape::Special => {
            let mut found = KeyRefs::new();
            if keys(command, args, &mut found).is_ok() {
                slots.extend(found.iter().map(|key| SlotId::of_key(args[key.index as usize])));
            }
        }
        shape => slots.extend(shape.indexes(args.len()).map(|at| SlotId::of_key(args[at]))),
    }
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
    let are_keys = specs.iter().any(|spec| spec.flags & NOT_KEY == 0);
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
        _ if !are_keys => KeyShape::None,
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

/// MIGRATE has one key at its place, or any number behind KEYS, which a password may be, too.
pub fn migrate_keys(args: &[&[u8]], out: &mut KeyRefs) {
    let flags = RW | ACCESS | DELETE;
    let mut at = 6;
    while at < args.len() {
        let word = args[at].to_ascii_lowercase();
        match &word[..] {
            b"keys" if args[3].is_empty() => {
                out.extend((at + 1..args.len()).map(|index| KeyRef { index: index as u32, flags }));
                return;
            }
            // Both is a syntax error.
            b"keys" => return,
            b"auth" => at += 2,
            b"auth2" => at += 3,
            _ => at += 1,
        }
    }
    if args.len() > 3 {
        out.push(KeyRef { index: 3, flags });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::lookup::Lookup;

    /// The indexes and flags of a call's keys, written "1:RO+access".
    fn extracted(call: &str) -> Result<String, KeysError> {
        let args: Vec<&[u8]> = call.split(' ').map(str::as_bytes).collect();
        let lookup = Lookup::plain();
        let command = lookup.resolve(&args).ok().unwrap();
        let mut found = KeyRefs::new();
        keys(command, &args, &mut found)?;
        let text = |key: &KeyRef| {
            let names: Vec<&str> =
                KEY_FLAG_NAMES.iter().filter(|(bit, _)| key.flags & bit != 0).map(|(_, name)| *name).collect();
            format!("{}:{}", key.index, names.join("+"))
        };
        Ok(found.iter().map(text).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn examples() {
        for (call, expected) in [
            ("get k", "1:RO+access"),
            ("set k v", "1:OW+update"),
            ("set k v ex 1 GeT", "1:RW+access+update"),
            ("set get v", "1:OW+update"),
            ("mget a b c", "1:RO+access 2:RO+access 3:RO+access"),
            ("mset a 1 b 2", "1:OW+update 3:OW+update"),
            ("mset a 1 b", "1:OW+update 3:OW+update"),
            ("msetnx a 1", "1:OW+insert"),
            ("lcs a b", "1:RO+access 2:RO+access"),
            ("rename a b", "1:RW+access+delete 2:OW+update"),
            ("copy a b replace", "1:RO+access 2:OW+update"),
            ("bitop and d a b", "2:OW+update 3:RO+access 4:RO+access"),
            ("bitfield k", "1:RO+access"),
            ("bitfield k get u8 0 overflow sat get u8 1", "1:RO+access"),
            ("bitfield k get u8 0 set u8 1 2", "1:RW+access+update"),
            ("bitfield k get u8", "1:RW+access+update"),
            ("bitfield k nonsense", "1:RW+access+update"),
            ("bitfield_ro k get u8 0", "1:RO+access"),
            ("object encoding k", "2:RO"),
            ("memory usage k samples 3", "2:RO"),
            ("del a b", "1:RM+delete 2:RM+delete"),
            ("watch a", "1:RO"),
            ("ping k", ""),
            ("client list", ""),
        ] {
            assert_eq!(extracted(call).as_deref(), Ok(expected), "{call}");
        }
        assert_eq!(extracted("object help"), Ok(String::new()));
        assert_eq!(extracted("bitop and d"), Err(KeysError));
        assert_eq!(extracted("get"), Err(KeysError));
    }

    fn found_by(specs: &[KeySpec], call: &str) -> Option<Vec<u32>> {
        let args: Vec<&[u8]> = call.split(' ').map(str::as_bytes).collect();
        let mut out = KeyRefs::new();
        by_key_specs(specs, &args, &mut out)?;
        Some(out.iter().map(|key| key.index).collect())
    }

    #[test]
    fn counted_keys() {
        let counted = [counted_keys_at(2, RO)];
        assert_eq!(found_by(&counted, "eval s 2 a b x"), Some(vec![3, 4]));
        assert_eq!(found_by(&counted, "eval s 1 a"), Some(vec![3]));
        for wrong in ["eval s", "eval s 0", "eval s -1 a", "eval s 2 a", "eval s x a", "eval s 9223372036854775807 a"] {
            assert_eq!(found_by(&counted, wrong), None, "{wrong}");
        }
        assert_eq!(range_and_shape(&counted), (KeyRange::default(), KeyShape::Special, true));
    }

    #[test]
    fn keys_after_a_word() {
        let half = FindKeys::Range { last: -1, step: 1, limit: 2 };
        let streams = [spec(RO, BeginSearch::Keyword { word: "STREAMS", start_from: 1 }, half)];
        assert_eq!(found_by(&streams, "xread count 1 streams a b 0 0"), Some(vec![4, 5]));
        assert_eq!(found_by(&streams, "xread streams a 0"), Some(vec![2]));
        assert_eq!(found_by(&streams, "xread block 0"), Some(vec![]));
        let rest = FindKeys::Range { last: -1, step: 1, limit: 0 };
        let migrate =
            [key_at(3, RW), spec(RW | INCOMPLETE, BeginSearch::Keyword { word: "KEYS", start_from: -2 }, rest)];
        assert_eq!(found_by(&migrate, "migrate h p k 0 1"), Some(vec![3]));
        assert_eq!(found_by(&migrate, "migrate h p  0 1 copy keys a b"), None, "incomplete");
        let (range, shape, movable) = range_and_shape(&migrate);
        assert_eq!((range, shape, movable), (KeyRange { first: 3, last: 3, step: 1 }, KeyShape::Special, true));
    }

    #[test]
    fn shapes_agree_with_the_extractor() {
        let lookup = Lookup::plain();
        for (call, shape) in [
            ("get k", KeyShape::One(1)),
            ("set k v get", KeyShape::One(1)),
            ("object freq k", KeyShape::One(2)),
            ("del a b c", KeyShape::Range(KeyRange { first: 1, last: -1, step: 1 })),
            ("mset a 1 b 2", KeyShape::Range(KeyRange { first: 1, last: -1, step: 2 })),
            ("rename a b", KeyShape::Range(KeyRange { first: 1, last: 2, step: 1 })),
            ("bitop not d a", KeyShape::Range(KeyRange { first: 2, last: -1, step: 1 })),
            ("time", KeyShape::None),
        ] {
            let args: Vec<&[u8]> = call.split(' ').map(str::as_bytes).collect();
            let command = lookup.resolve(&args).ok().unwrap();
            assert_eq!(command.shape, shape, "{call}");
            let mut found = KeyRefs::new();
            keys(command, &args, &mut found).unwrap();
            let indexes: Vec<usize> = found.iter().map(|key| key.index as usize).collect();
            assert_eq!(shape.indexes(args.len()).collect::<Vec<_>>(), indexes, "{call}");
        }
        assert_eq!(KeyShape::One(1).indexes(1).count(), 0);
        assert_eq!(KeyShape::Range(KeyRange { first: 1, last: -3, step: 1 }).indexes(1).count(), 0);
    }
}
