//! Hashes: fields with values, and an expiry where a field was given one.
//!
//! Three forms, which OBJECT ENCODING tells apart:
//! ```text
//! Packed       listpack      field, value, field, value ...
//! PackedOther  listpackex    field, value, expiry, ...: Unix milliseconds, 0 for none; in no order
//! Large        hashtable     see `large`
//! ```
//! A hash starts packed, gets expiries when the first field gets one, and becomes large when it passes one of its
//! limits; it never goes back. A field that has expired is still there: whoever reads decides by
//! [`Field::is_expired`] whether to see it, and removes it when effects can be told. Guarded by the lock of its key's slot.

mod build;
mod edit;
mod large;

pub use build::{HashBuilder, from_listpack, packed_of};
pub use edit::HashMut;
pub use large::Hash;

use super::listpack::{Element, Listpack, Needle};
use super::{EntryRef, Form, Large, ValueType};

/// Elements of a packed field without expiry: the field and the value.
const PAIR: usize = 2;
/// Elements of a packed field where fields may expire.
const TRIPLE: usize = 3;

/// Expiries of fields stay below this, in Unix milliseconds.
pub const EXPIRY_END_MS: u64 = 1 << 46;

/// What becomes of a field's expiry when its value is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldExpiry {
    Clear,
    Keep,
    /// In Unix milliseconds.
    At(u64),
}

/// One field as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    pub name: Element<'a>,
    pub value: Element<'a>,
    pub expiry_ms: Option<u64>,
}

impl Field<'_> {
    /// A field lives through the millisecond that it expires at, as a key does.
    #[inline]
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expiry_ms.is_some_and(|expiry_ms| expiry_ms < now_ms)
    }
}

impl<'a> From<EntryRef<'a>> for Field<'a> {
    #[inline]
    fn from(entry: EntryRef<'a>) -> Field<'a> {
        let (name, value) = (Element::Bytes(entry.key()), Element::Bytes(entry.value()));
        Field { name, value, expiry_ms: entry.expiry_ms() }
    }
}

/// The expiry that a packed element says.
#[inline]
fn expiry_of(element: Option<Element<'_>>) -> Option<u64> {
    match element {
        Some(Element::Integer(expiry_ms)) if expiry_ms > 0 => Some(expiry_ms as u64),
        _ => None,
    }
}

/// A hash to read.
#[derive(Clone, Copy)]
pub enum HashRef<'a> {
    /// The elements of each field are so many.
    Packed(Listpack<'a>, usize),
    Large(&'a Hash),
}

impl<'a> HashRef<'a> {
    #[inline]
    pub fn new(entry: EntryRef<'a>) -> HashRef<'a> {
        match entry.collection_form() {
            Form::Packed => HashRef::Packed(Listpack::new(entry.value()), PAIR),
            Form::PackedOther => HashRef::Packed(Listpack::new(entry.value()), TRIPLE),
            Form::Large => HashRef::Large(entry.large()),
        }
    }

    /// The number of fields, those that expired included.
    #[inline]
    pub fn len(self) -> usize {
        match self {
            HashRef::Packed(list, stride) => list.count() / stride,
            HashRef::Large(hash) => hash.len(),
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The number of fields that have not expired.
    pub fn live_len(self, now_ms: u64) -> usize {
        if self.soonest_expiry_ms().is_none_or(|soonest_ms| soonest_ms >= now_ms) {
            return self.len();
        }
        let mut count = 0;
        self.for_each(|field| count += usize::from(!field.is_expired(now_ms)));
        count
    }

    #[inline]
    pub fn get(self, name: &[u8]) -> Option<Field<'a>> {
        match self {
            HashRef::Packed(list, stride) => {
                let at = list.find_needle(&Needle::new(name), list.first(), stride)?;
                packed_field(list, stride, at).map(|(field, _)| field)
            }
            HashRef::Large(hash) => hash.get(name).map(Field::from),
        }
    }

    /// Visits all fields, those that expired included.
    #[inline]
    pub fn for_each(self, mut visit: impl FnMut(Field<'a>)) {
        match self {
            HashRef::Packed(list, stride) => {
                let mut at = list.first();
                while let Some((field, next)) = packed_field(list, stride, at) {
                    visit(field);
                    at = next;
                }
            }
            HashRef::Large(hash) => hash.iter().for_each(|entry| visit(entry.into())),
        }
    }

    /// A field drawn with the random number; each is as likely as any other.
    pub fn sample(self, random: u64) -> Option<Field<'a>> {
        match self {
            HashRef::Packed(..) => {
                let len = self.len() as u128;
                self.at(((u128::from(random) * len) >> 64) as usize)
            }
            HashRef::Large(hash) => hash.sample(random).map(Field::from),
        }
    }

    /// A packed field by its index.
    fn at(self, index: usize) -> Option<Field<'a>> {
        let HashRef::Packed(list, stride) = self else { return None };
        let at = list.position((index * stride) as i64)?;
        packed_field(list, stride, at).map(|(field, _)| field)
    }

    /// Visits about `count` fields from `cursor` on; gives the next cursor, 0 at the end. Packed fields come all at once.
    pub fn scan(self, cursor: u64, count: usize, mut visit: impl FnMut(Field<'_>)) -> u64 {
        match self {
            HashRef::Packed(..) => {
                self.for_each(visit);
                0
            }
            HashRef::Large(hash) => hash.scan(cursor, count, |entry| visit(entry.into())),
        }
    }

    /// Whether fields may have expiries at all.
    #[inline]
    pub fn may_expire(self) -> bool {
        match self {
            HashRef::Packed(_, stride) => stride == TRIPLE,
            HashRef::Large(hash) => hash.expiring_count() > 0,
        }
    }

    /// The names of fields that expired before `now_ms`, up to `count` of them.
    pub fn expired(self, now_ms: u64, count: usize) -> Vec<Vec<u8>> {
        let mut names = Vec::new();
        match self {
            HashRef::Packed(_, PAIR) => {}
            HashRef::Packed(..) => self.for_each(|field| {
                if names.len() < count && field.is_expired(now_ms) {
                    names.push(field.name.to_vec());
                }
            }),
            HashRef::Large(hash) => names.extend(hash.expired(now_ms).take(count).map(|entry| entry.key().to_vec())),
        }
        names
    }

    /// The soonest expiry of a field.
    pub fn soonest_expiry_ms(self) -> Option<u64> {
        match self {
            HashRef::Packed(_, PAIR) => None,
            HashRef::Packed(..) => {
                let mut soonest_ms = None;
                self.for_each(|field| {
                    soonest_ms = [soonest_ms, field.expiry_ms].into_iter().flatten().min();
                });
                soonest_ms
            }
            HashRef::Large(hash) => hash.soonest_expiry_ms(),
        }
    }
}

/// The soonest expiry of a field, if the entry is a hash that has any.
#[inline]
pub fn soonest_field_expiry_ms(entry: EntryRef<'_>) -> Option<u64> {
    if entry.value_type() != ValueType::Hash || entry.collection_form() == Form::Packed {
        return None;
    }
    HashRef::new(entry).soonest_expiry_ms()
}

/// The field at a place, and the place of the next one.
#[inline]
fn packed_field(list: Listpack<'_>, stride: usize, at: usize) -> Option<(Field<'_>, usize)> {
    let value_at = list.after(at)?;
    let mut next = list.after(value_at)?;
    let mut expiry_ms = None;
    if stride == TRIPLE {
        expiry_ms = expiry_of(list.get(next));
        next = list.after(next)?;
    }
    Some((Field { name: list.get(at)?, value: list.get(value_at)?, expiry_ms }, next))
}
