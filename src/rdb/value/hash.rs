//! Hashes in all forms that files have them in.
//!
//! ```text
//! 4       count; field and value of each, as strings
//! 9       a string: a zipmap, see below
//! 13, 16  a string: a ziplist, a listpack, of field and value of each
//! 22      count; expiry, field and value of each, the expiry as a length: Unix milliseconds, 0 for none
//! 24      the soonest expiry (8 bytes, little-endian); then as 22, expiries counted from the soonest, which is 1
//! 23, 25  a string: a listpack of field, value and expiry of each, the soonest first; with 25 the soonest expiry before it
//! ```
//! Written are 4 and 16, and where fields have expiries 24 and 25.
//!
//! A zipmap is a count (254 or more: unknown), then each field's length and bytes, each value's length, a byte that
//! says how many bytes behind the value are unused, and the value; 0xff ends it. A length is a byte below 254, or 254
//! and 4 bytes, little-endian.

use std::io::{self, Read, Write};

use super::Value;
use crate::rdb::error::RdbError;
use crate::rdb::packed::Packer;
use crate::rdb::source::Source;
use crate::rdb::ziplist;
use crate::store::hash::{Field, HashBuilder, HashRef, from_listpack};
use crate::store::limits::PackedLimits;
use crate::store::listpack::edit;
use crate::store::listpack::{Element, Listpack};
use crate::store::{Detached, EntryRef, Form};

pub const PAIRS: u8 = 4;
pub const ZIPMAP: u8 = 9;
pub const ZIPLIST: u8 = 13;
pub const LISTPACK: u8 = 16;
pub const EXPIRING_EARLY: u8 = 22;
pub const EXPIRING: u8 = 24;
pub const EXPIRING_LISTPACK: u8 = 25;

const DAMAGED: &str = "a hash that is not whole";
/// Expiries end here, in Unix milliseconds.
const EXPIRY_END_MS: u64 = 1 << 48;

pub fn read<'a, R: Read>(
    source: &mut Source<R>,
    type_byte: u8,
    bytes: &mut Vec<u8>,
    limits: PackedLimits,
) -> Result<Value<'a>, RdbError> {
    let hash = match type_byte {
        PAIRS => read_fields(source, bytes, limits, |_| Ok(Some(0)))?,
        EXPIRING_EARLY => read_fields(source, bytes, limits, |source| source.length().map(Some))?,
        EXPIRING => {
            let soonest_ms = u64::from_le_bytes(source.array()?);
            let to_expiry_ms = |distance| match distance {
                0 => Some(0),
                _ => soonest_ms.checked_add(distance - 1),
            };
            read_fields(source, bytes, limits, |source| source.length().map(to_expiry_ms))?
        }
        _ => {
            if type_byte == EXPIRING_LISTPACK {
                source.array::<8>()?;
            }
            source.string(bytes)?;
            match type_byte {
                ZIPMAP => zipmap_fields(bytes).and_then(|texts| of_texts(&texts, limits)),
                ZIPLIST => ziplist::elements(bytes).and_then(|elements| of_elements(&elements, limits)),
                _ => from_listpack(bytes, type_byte != LISTPACK, limits),
            }
        }
    };
    hash.map(Value::Read).ok_or_else(|| source.damaged_before(0, DAMAGED))
}

/// Reads fields one by one, the expiry of each by `read_expiry`.
fn read_fields<R: Read>(
    source: &mut Source<R>,
    value: &mut Vec<u8>,
    limits: PackedLimits,
    read_expiry: impl Fn(&mut Source<R>) -> Result<Option<u64>, RdbError>,
) -> Result<Option<Detached>, RdbError> {
    let (mut builder, mut name) = (HashBuilder::default(), Vec::new());
    for _ in 0..source.length()? {
        let Some(expiry_ms) = read_expiry(source)?.filter(|expiry_ms| *expiry_ms < EXPIRY_END_MS) else {
            return Ok(None);
        };
        source.string(&mut name)?;
        source.string(value)?;
        if !builder.add(&name, value, (expiry_ms > 0).then_some(expiry_ms)) {
            return Ok(None);
        }
    }
    Ok(builder.finish(limits))
}

/// A hash of names and values in turn; `None` if one name comes twice, or has no value.
fn of_texts(texts: &[&[u8]], limits: PackedLimits) -> Option<Detached> {
    let mut builder = HashBuilder::default();
    for pair in texts.chunks(2) {
        let [name, value] = pair else { return None };
        builder.add(name, value, None).then_some(())?;
    }
    builder.finish(limits)
}

fn of_elements(elements: &[Element<'_>], limits: PackedLimits) -> Option<Detached> {
    let texts: Vec<_> = elements.iter().map(|element| element.text()).collect();
    of_texts(&texts.iter().map(AsRef::as_ref).collect::<Vec<&[u8]>>(), limits)
}

/// Names and values in turn.
fn zipmap_fields(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    const LONG_LENGTH: u8 = 254;
    const END: u8 = 255;
    let (count, mut rest) = bytes.split_first()?;
    let take = |rest: &mut &'_ [u8], len: usize| {
        let (taken, left) = rest.split_at_checked(len)?;
        *rest = left;
        Some(taken.len())
    };
    let mut texts = Vec::new();
    while *rest.first()? != END {
        for is_value in [false, true] {
            let length = match *rest.first()? {
                END => return None,
                LONG_LENGTH => {
                    let length = u32::from_le_bytes(*rest.get(1..)?.first_chunk()?);
                    take(&mut rest, 5)?;
                    length as usize
                }
                short => take(&mut rest, 1).map(|_| usize::from(short))?,
            };
            let unused = if is_value { *rest.first()? } else { 0 };
            take(&mut rest, usize::from(is_value))?;
            texts.push(rest.get(..length)?);
            take(&mut rest, length)?;
            take(&mut rest, usize::from(unused))?;
        }
    }
    let counted = *count >= LONG_LENGTH || usize::from(*count) * 2 == texts.len();
    (rest.len() == 1 && counted).then_some(texts)
}

/// The type byte that a hash is written with.
pub fn type_byte(entry: EntryRef<'_>) -> u8 {
    let large = entry.collection_form() == Form::Large;
    match (HashRef::new(entry).soonest_expiry_ms().is_some(), large) {
        (false, false) => LISTPACK,
        (false, true) => PAIRS,
        (true, false) => EXPIRING_LISTPACK,
        (true, true) => EXPIRING,
    }
}

pub fn write<W: Write>(packer: &mut Packer<W>, entry: EntryRef<'_>) -> io::Result<()> {
    let hash = HashRef::new(entry);
    let soonest_ms = hash.soonest_expiry_ms();
    if let Some(soonest_ms) = soonest_ms {
        packer.to.write_all(&soonest_ms.to_le_bytes())?;
    }
    match (hash, entry.collection_form()) {
        (HashRef::Packed(list, _), Form::Packed) => packer.string(&list.framed()),
        (HashRef::Packed(..), _) => {
            packer.string(&Listpack::new(&packed_in_order(hash, soonest_ms.is_some())).framed())
        }
        (HashRef::Large(large), _) => {
            packer.length(hash.len() as u64)?;
            for entry in large.iter() {
                if let Some(soonest_ms) = soonest_ms {
                    packer.length(entry.expiry_ms().map_or(0, |expiry_ms| expiry_ms - soonest_ms + 1))?;
                }
                packer.string(entry.key())?;
                packer.string(entry.value())?;
            }
            Ok(())
        }
    }
}

/// The listpack of a hash whose fields may have expiries: with them, the soonest first and those without last; or
/// without, where no field has one.
fn packed_in_order(hash: HashRef<'_>, expiring: bool) -> Vec<u8> {
    let mut fields: Vec<Field<'_>> = Vec::with_capacity(hash.len());
    hash.for_each(|field| fields.push(field));
    fields.sort_by_key(|field| field.expiry_ms.unwrap_or(u64::MAX));
    let elements = fields.iter().flat_map(|field| {
        let expiry = Element::Integer(field.expiry_ms.unwrap_or(0) as i64);
        [field.name, field.value, expiry].into_iter().take(if expiring { 3 } else { 2 })
    });
    edit::pack(elements)
}
