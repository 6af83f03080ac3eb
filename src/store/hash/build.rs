//! Hashes made of fields that come from a file.

use std::collections::HashSet;

use smallvec::SmallVec;

use super::{FieldExpiry, Hash, PAIR, TRIPLE};
use crate::store::limits::PackedLimits;
use crate::store::listpack::edit;
use crate::store::listpack::{self, Element, Listpack, Needle};
use crate::store::{Detached, Form, Large, ValueType};

/// Fields up to which it is quicker to compare each with each than to hash them.
const COMPARED_FIELDS_MAX: usize = 16;
/// Fields that are gathered without an allocation.
const PAIRS_ON_STACK: usize = 8;
/// Expiries end here in Redis's files, in Unix milliseconds.
const STORED_EXPIRY_END_MS: i64 = 1 << 48;

/// Names and values in turn, no name twice.
pub type Pairs<'a> = SmallVec<[Element<'a>; PAIRS_ON_STACK * PAIR]>;

/// Collects fields, none twice.
#[derive(Default)]
pub struct HashBuilder {
    hash: Hash,
    longest_bytes: usize,
    total_bytes: usize,
}

impl HashBuilder {
    /// Adds a field; false if it is there already.
    pub fn add(&mut self, name: &[u8], value: &[u8], expiry_ms: Option<u64>) -> bool {
        self.longest_bytes = self.longest_bytes.max(name.len()).max(value.len());
        self.total_bytes += name.len() + value.len();
        self.hash.set(name, value, expiry_ms.map_or(FieldExpiry::Clear, FieldExpiry::At))
    }

    /// The hash, packed if it is within the limits; `None` if there are no fields.
    pub fn finish(self, limits: PackedLimits) -> Option<Detached> {
        let small = self.hash.len() <= limits.entries
            && self.longest_bytes <= limits.value_bytes
            && self.total_bytes < listpack::BYTES_MAX / 2;
        if self.hash.is_empty() {
            None
        } else if !small {
            Some(Detached::Large(Box::new(self.hash)))
        } else if self.hash.expiring_count() == 0 {
            let texts = self.hash.iter().flat_map(|entry| [entry.key(), entry.value()]);
            Some(Detached::Packed(ValueType::Hash, Form::Packed, edit::pack(texts.map(Element::of))))
        } else {
            let triples = self.hash.iter().flat_map(|entry| {
                let expiry = Element::Integer(entry.expiry_ms().unwrap_or(0) as i64);
                [Element::of(entry.key()), Element::of(entry.value()), expiry]
            });
            Some(Detached::Packed(ValueType::Hash, Form::PackedOther, edit::pack(triples)))
        }
    }
}

/// A packed hash of names and values in turn, of a name that comes again the last value; and its number of fields.
/// `None` if it would not be within the limits.
#[inline]
pub fn packed_of(pairs: &[&[u8]], limits: PackedLimits) -> Option<(Detached, u64)> {
    if pairs.len() / 2 > limits.entries || !pairs.iter().all(|text| text.len() <= limits.value_bytes) {
        return None;
    }
    let mut distinct = Pairs::new();
    for pair in pairs.chunks_exact(2) {
        set_pair(&mut distinct, Element::of(pair[0]), Element::of(pair[1]));
    }
    let fields = (distinct.len() / PAIR) as u64;
    Some((Detached::Packed(ValueType::Hash, Form::Packed, edit::pack_exactly(&distinct)?), fields))
}

/// Sets a name's value among names and values in turn.
#[inline]
pub fn set_pair<'a>(pairs: &mut Pairs<'a>, name: Element<'a>, value: Element<'a>) {
    match pairs.iter().step_by(PAIR).position(|other| *other == name) {
        Some(index) => pairs[index * PAIR + 1] = value,
        None => pairs.extend_from_slice(&[name, value]),
    }
}

/// A hash of a listpack from a file, of triples if `expiring`; `None` if the bytes are no whole hash.
pub fn from_listpack(framed: &[u8], expiring: bool, limits: PackedLimits) -> Option<Detached> {
    let bytes = listpack::unframe(framed)?;
    let (list, stride) = (Listpack::new(bytes), if expiring { TRIPLE } else { PAIR });
    let whole = !list.is_empty()
        && list.count().is_multiple_of(stride)
        && !has_duplicates(list, stride)
        && (!expiring || list.iter().skip(2).step_by(TRIPLE).all(is_expiry));
    if !whole {
        return None;
    }
    let form = if expiring { Form::PackedOther } else { Form::Packed };
    if list.count() / stride <= limits.entries {
        return Some(Detached::Packed(ValueType::Hash, form, bytes.to_vec()));
    }
    let mut hash = Hash::new();
    super::HashRef::Packed(list, stride).for_each(|field| {
        let expiry = field.expiry_ms.map_or(FieldExpiry::Clear, FieldExpiry::At);
        hash.set(&field.name.text(), &field.value.text(), expiry);
    });
    Some(Detached::Large(Box::new(hash)))
}

fn is_expiry(element: Element<'_>) -> bool {
    matches!(element, Element::Integer(0..STORED_EXPIRY_END_MS))
}

fn has_duplicates(list: Listpack<'_>, stride: usize) -> bool {
    if list.count() > COMPARED_FIELDS_MAX * stride {
        let mut seen = HashSet::new();
        return list.iter().step_by(stride).any(|name| !seen.insert(name.to_vec()));
    }
    let mut at = list.first();
    while let Some(name) = list.get(at) {
        let Some(next) = list.skip(at, stride) else { return false };
        if list.find_needle(&Needle::new(&name.text()), next, stride).is_some() {
            return true;
        }
        at = next;
    }
    false
}
