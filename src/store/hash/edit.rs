//! Changing a hash, in any of its forms.

use super::build::{Pairs, set_pair};
use super::{FieldExpiry, Hash, HashRef, PAIR, TRIPLE};
use crate::store::limits::PackedLimits;
use crate::store::listpack::edit;
use crate::store::listpack::{self, Element, Listpack, Needle};
use crate::store::{Entry, Form, ValueType};

/// A hash to change.
pub struct HashMut<'a> {
    entry: &'a mut Entry,
    limits: PackedLimits,
}

impl<'a> HashMut<'a> {
    #[inline]
    pub fn new(entry: &'a mut Entry, limits: PackedLimits) -> HashMut<'a> {
        debug_assert_eq!(entry.view().value_type(), ValueType::Hash);
        HashMut { entry, limits }
    }

    /// A hash that is only going to lose fields.
    pub fn shrinking(entry: &'a mut Entry) -> HashMut<'a> {
        HashMut::new(entry, PackedLimits { entries: usize::MAX, value_bytes: usize::MAX })
    }

    #[inline]
    pub fn view(&self) -> HashRef<'_> {
        HashRef::new(self.entry.view())
    }

    #[inline]
    fn form(&self) -> Form {
        self.entry.view().collection_form()
    }

    /// Elements of each packed field.
    #[inline]
    fn stride(&self) -> usize {
        if self.form() == Form::PackedOther { TRIPLE } else { PAIR }
    }

    #[inline]
    fn list(&self) -> Listpack<'_> {
        Listpack::new(self.entry.view().value())
    }

    fn large(&mut self) -> &mut Hash {
        self.entry.large_mut()
    }

    /// Sets fields to values, each to the value that comes last; tells how many are new. Fields lose their expiry.
    #[inline]
    pub fn set_all(&mut self, pairs: &[&[u8]]) -> u64 {
        let limit = self.limits.value_bytes;
        if self.form() == Form::Packed && pairs.iter().all(|text| text.len() <= limit) && self.takes(pairs) {
            return self.set_packed_pairs(pairs);
        }
        let pairs = pairs.chunks_exact(2);
        pairs.map(|pair| u64::from(self.set(pair[0], pair[1], FieldExpiry::Clear))).sum()
    }

    /// Whether so much text more can be packed.
    fn takes(&self, texts: &[&[u8]]) -> bool {
        /// What an element takes beside its text.
        const OVERHEAD_BYTES: usize = 10;
        let more: usize = texts.iter().map(|text| text.len() + OVERHEAD_BYTES).sum();
        self.entry.view().value().len() + more < listpack::BYTES_MAX
    }

    /// Fields that are there are replaced one by one; all new ones are put in at once.
    fn set_packed_pairs(&mut self, pairs: &[&[u8]]) -> u64 {
        let mut new = Pairs::new();
        for pair in pairs.chunks_exact(2) {
            let (field, value) = (Needle::new(pair[0]), Element::of(pair[1]));
            let list = self.list();
            if let Some(at) = list.find_needle(&field, list.first(), PAIR) {
                let value_at = list.after(at).unwrap_or(list.end());
                edit::replace(self.entry, value_at, value);
            } else {
                set_pair(&mut new, field.element(), value);
            }
        }
        if !new.is_empty() {
            edit::push_back(self.entry, &new);
        }
        // They may be lower than when the last field came.
        self.keep_limits();
        (new.len() / PAIR) as u64
    }

    #[inline]
    fn keep_limits(&mut self) {
        if self.list().count() / self.stride() > self.limits.entries {
            self.become_large();
        }
    }

    /// Sets one field; tells whether it is new.
    pub fn set(&mut self, field: &[u8], value: &[u8], expiry: FieldExpiry) -> bool {
        if self.form() != Form::Large {
            if field.len().max(value.len()) > self.limits.value_bytes || !self.takes(&[field, value]) {
                self.become_large();
            } else if let (Form::Packed, FieldExpiry::At(_)) = (self.form(), expiry) {
                self.admit_expiries();
            }
        }
        if self.form() == Form::Large {
            return self.large().set(field, value, expiry);
        }
        let (list, stride) = (self.list(), self.stride());
        let value = Element::of(value);
        let given = if let FieldExpiry::At(expiry_ms) = expiry { expiry_ms as i64 } else { 0 };
        let Some(at) = list.find_needle(&Needle::new(field), list.first(), stride) else {
            let elements = [Element::of(field), value, Element::Integer(given)];
            edit::push_back(self.entry, &elements[..stride]);
            self.keep_limits();
            return true;
        };
        let value_at = list.after(at).unwrap_or(list.end());
        if stride == PAIR || expiry == FieldExpiry::Keep {
            edit::replace(self.entry, value_at, value);
        } else {
            edit::replace_many(self.entry, value_at, 2, &[value, Element::Integer(given)]);
        }
        self.keep_limits();
        false
    }

    /// Removes a field; false if there is no such field.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        if self.form() == Form::Large {
            return self.large().remove(field);
        }
        let (list, stride) = (self.list(), self.stride());
        let Some(at) = list.find_needle(&Needle::new(field), list.first(), stride) else { return false };
        edit::remove(self.entry, at, stride);
        true
    }

    /// Removes fields; tells how many there were.
    pub fn remove_all<N: AsRef<[u8]>>(&mut self, fields: &[N]) -> u64 {
        fields.iter().map(|field| u64::from(self.remove(field.as_ref()))).sum()
    }

    /// Sets or clears the expiry of a field; false if there is no such field.
    pub fn set_expiry(&mut self, field: &[u8], expiry_ms: Option<u64>) -> bool {
        match self.form() {
            Form::Large => return self.large().set_expiry(field, expiry_ms),
            Form::Packed if expiry_ms.is_none() => return self.view().get(field).is_some(),
            Form::Packed => self.admit_expiries(),
            Form::PackedOther => {}
        }
        if self.form() == Form::Large {
            return self.large().set_expiry(field, expiry_ms);
        }
        let list = self.list();
        let found = list.find_needle(&Needle::new(field), list.first(), TRIPLE).and_then(|at| list.skip(at, 2));
        let Some(expiry_at) = found else { return false };
        edit::replace(self.entry, expiry_at, Element::Integer(expiry_ms.unwrap_or(0) as i64));
        true
    }

    /// Packs an expiry beside each field.
    fn admit_expiries(&mut self) {
        let list = self.list();
        // Each field takes two bytes more.
        if list.bytes().len() + list.count() >= listpack::BYTES_MAX {
            return self.become_large();
        }
        let fields = list.pairs().flat_map(|(field, value)| [field, value, Element::Integer(0)]);
        let packed = edit::pack(fields);
        self.entry.set_packed(Form::PackedOther, &packed);
    }

    #[cold]
    fn become_large(&mut self) {
        let mut hash = Hash::new();
        self.view().for_each(|field| {
            let expiry = field.expiry_ms.map_or(FieldExpiry::Clear, FieldExpiry::At);
            hash.set(&field.name.text(), &field.value.text(), expiry);
        });
        self.entry.become_large(Box::new(hash));
    }
}
