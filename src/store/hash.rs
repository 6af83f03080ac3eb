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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::random::Rng;
    use crate::store::limits::PackedLimits;
    use crate::store::{Detached, Entry};

    const ROOMY: PackedLimits = PackedLimits { entries: 20, value_bytes: 64 };

    type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

    fn check(entry: &Entry, model: &Model) {
        let hash = HashRef::new(entry.view());
        assert_eq!(hash.len(), model.len());
        let mut found = Model::new();
        hash.for_each(|field| drop(found.insert(field.name.to_vec(), (field.value.to_vec(), field.expiry_ms))));
        assert_eq!(&found, model);
        for (name, (value, expiry_ms)) in model {
            let field = hash.get(name).unwrap();
            assert!(field.value.is(value) && field.expiry_ms == *expiry_ms);
        }
        let soonest_ms = model.values().filter_map(|(_, expiry_ms)| *expiry_ms).min();
        assert_eq!(hash.soonest_expiry_ms(), soonest_ms);
        for now_ms in [50, 100] {
            let due = |expiry_ms: &Option<u64>| expiry_ms.is_some_and(|expiry_ms| expiry_ms < now_ms);
            let mut expired = hash.expired(now_ms, usize::MAX);
            expired.sort();
            let expected = model.iter().filter(|(_, (_, expiry_ms))| due(expiry_ms)).map(|(name, _)| name);
            assert!(expired.iter().eq(expected));
            assert_eq!(hash.live_len(now_ms), model.len() - expired.len());
        }
        assert_eq!(hash.sample(7).is_none(), model.is_empty());
    }

    fn text(random: &mut Rng, numbers: u64) -> Vec<u8> {
        let number = random.below(numbers);
        if number.is_multiple_of(2) { number.to_string().into_bytes() } else { format!("text{number}").into_bytes() }
    }

    #[test]
    fn every_form_agrees_with_a_model() {
        let mut random = Rng::from_seed(3);
        for names in [10, 18, 400] {
            let mut entry = Detached::empty(ValueType::Hash).with_key(b"key", None, 0);
            let mut model = Model::new();
            for _ in 0..1500 {
                let (name, value) = (text(&mut random, names), text(&mut random, 1000));
                let old_ms = model.get(&name).and_then(|(_, expiry_ms)| *expiry_ms);
                let mut hash = HashMut::new(&mut entry, ROOMY);
                match random.below(10) {
                    0..3 => {
                        let added = hash.set_all(&[&name, b"first", b"other", b"o", &name, &value]);
                        let before = model.len();
                        model.insert(name, (value, None));
                        model.insert(b"other".to_vec(), (b"o".to_vec(), None));
                        assert_eq!(added as usize, model.len() - before);
                    }
                    3 => {
                        assert_eq!(hash.set(&name, &value, FieldExpiry::Keep), !model.contains_key(&name));
                        model.insert(name, (value, old_ms));
                    }
                    4 if names > 10 => {
                        let expiry_ms = random.below(200) + 1;
                        hash.set(&name, &value, FieldExpiry::At(expiry_ms));
                        model.insert(name, (value, Some(expiry_ms)));
                    }
                    5 if names > 10 => {
                        let expiry_ms = (random.below(3) > 0).then(|| random.below(200) + 1);
                        assert_eq!(hash.set_expiry(&name, expiry_ms), model.contains_key(&name));
                        model.entry(name).and_modify(|field| field.1 = expiry_ms);
                    }
                    6 => {
                        hash.set(&name, &value, FieldExpiry::Clear);
                        model.insert(name, (value, None));
                    }
                    _ => assert_eq!(hash.remove(&name), model.remove(&name).is_some()),
                }
                check(&entry, &model);
            }
            let expected = [(10, "listpack"), (18, "listpackex"), (400, "hashtable")];
            assert!(expected.contains(&(names, entry.view().encoding())));
        }
    }

    #[test]
    fn hashes_outgrow_their_entry() {
        let grown = |pairs: &[&[u8]]| {
            let mut entry = Detached::empty(ValueType::Hash).with_key(b"key", None, 0);
            HashMut::new(&mut entry, PackedLimits { entries: 2, value_bytes: 5 }).set_all(pairs);
            entry.view().encoding()
        };
        assert_eq!(grown(&[b"a", b"12345", b"b", b"1", b"a", b"2"]), "listpack");
        assert_eq!(grown(&[b"a", b"1", b"b", b"1", b"c", b"1"]), "hashtable");
        assert_eq!(grown(&[b"a", b"123456"]), "hashtable");
        assert_eq!(grown(&[b"abcdef", b"1"]), "hashtable");
    }

    #[test]
    fn hashes_made_of_parts_are_checked() {
        let packed = |texts: &[&[u8]]| crate::store::listpack::edit::pack(texts.iter().map(|text| Element::of(text)));
        let made = |texts: &[&[u8]], expiring| {
            from_listpack(&Listpack::new(&packed(texts)).framed(), expiring, ROOMY).is_some()
        };
        assert!(made(&[b"a", b"1", b"b", b"1"], false) && made(&[b"a", b"1", b"0", b"b", b"1", b"77"], true));
        assert!(!made(&[b"a", b"1", b"b"], false) && !made(&[b"a", b"1", b"a", b"2"], false) && !made(&[], false));
        assert!(!made(&[b"a", b"1", b"x"], true) && !made(&[b"a", b"1", b"-1"], true));
        let many: Vec<String> = (0..100).map(|number| (number / 2 % 49).to_string()).collect();
        assert!(!made(&many.iter().map(String::as_bytes).collect::<Vec<_>>(), false));
        let (made, count) = packed_of(&[b"a", b"1", b"b", b"2", b"a", b"3"], ROOMY).unwrap();
        let entry = made.with_key(b"key", None, 0);
        assert_eq!((count, HashRef::new(entry.view()).get(b"a").unwrap().value), (2, Element::Integer(3)));
    }
}
