//! A hash too large to be packed: a table of fields, and the order in which those with an expiry expire.
//!
//! A field, its value and its expiry are one allocation, an [`Entry`] whose key is the field: a value that changes
//! within its size class is overwritten in place. `expiries` holds (expiry, hash of the field) of every field that has
//! one, so that the fields that are due are found without a walk. Guarded by the lock of its key's slot.

#![allow(unsafe_code)]

use std::collections::BTreeSet;

use super::FieldExpiry;
use crate::store::collection::Sought;
use crate::store::member;
use crate::store::member_table::{Item, MemberTable};
use crate::store::{Entry, EntryRef, Large, StringForm, ValueType};

/// Memory of one element of the order of expiries, its share of the tree's nodes included.
const EXPIRY_BYTES: usize = 24;

/// A field with its value.
struct Pair(Entry);

impl Item for Pair {
    #[inline]
    fn prefetch(&self) {
        self.0.prefetch();
    }
}

impl Pair {
    #[inline]
    fn view(&self) -> EntryRef<'_> {
        self.0.view()
    }

    #[inline]
    fn hash(&self) -> u64 {
        member::hash(self.view().key())
    }
}

impl Clone for Pair {
    fn clone(&self) -> Pair {
        Pair(self.view().copied_as(self.view().key(), 0))
    }
}

/// The fields of one hash.
#[derive(Clone, Default)]
pub struct Hash {
    fields: MemberTable<Pair>,
    /// Expiry in Unix milliseconds, hash of the field.
    expiries: BTreeSet<(u64, u64)>,
    /// What the fields' allocations take.
    pair_bytes: usize,
}

// SAFETY: the only one that gives this type.
unsafe impl Large for Hash {
    fn own_type() -> ValueType {
        ValueType::Hash
    }

    fn value_type(&self) -> ValueType {
        Self::own_type()
    }

    fn len(&self) -> usize {
        self.fields.len()
    }

    fn memory_bytes(&self) -> usize {
        let order_bytes = self.expiries.len() * EXPIRY_BYTES;
        size_of::<Hash>() + self.fields.memory_bytes() + self.pair_bytes + order_bytes
    }

    fn copied(&self) -> Box<dyn Large> {
        Box::new(self.clone())
    }

    fn approach(&self, sought: &mut Sought<'_>, step: u32) -> bool {
        let Some(field) = sought.arguments.first() else { return false };
        self.fields.approach(sought.hash_of(field, step), step)
    }
}

impl Hash {
    pub fn new() -> Hash {
        Hash::default()
    }

    /// Places for fields, and how many segments they stand in.
    pub fn capacity(&self) -> (usize, usize) {
        self.fields.capacity()
    }

    /// How many fields have an expiry.
    pub fn expiring_count(&self) -> usize {
        self.expiries.len()
    }

    pub fn soonest_expiry_ms(&self) -> Option<u64> {
        self.expiries.first().map(|(expiry_ms, _)| *expiry_ms)
    }

    /// The entry of a field: its key is the field, its value the field's value.
    #[inline]
    pub fn get(&self, field: &[u8]) -> Option<EntryRef<'_>> {
        self.fields.find(member::hash(field), |pair| pair.view().key() == field).map(Pair::view)
    }

    pub fn iter(&self) -> impl Iterator<Item = EntryRef<'_>> {
        self.fields.iter().map(Pair::view)
    }

    pub fn sample(&self, random: u64) -> Option<EntryRef<'_>> {
        self.fields.sample(random).map(Pair::view)
    }

    /// Visits about `count` fields from `cursor` on; gives the next cursor, 0 at the end.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(EntryRef<'_>)) -> u64 {
        self.fields.scan(cursor, count, Pair::hash, |pair| visit(pair.view()))
    }

    /// Sets a field; tells whether it is new.
    pub fn set(&mut self, field: &[u8], value: &[u8], expiry: FieldExpiry) -> bool {
        let hash = member::hash(field);
        let Some(Pair(entry)) = self.fields.find_mut(hash, |pair| pair.view().key() == field) else {
            let expiry_ms = if let FieldExpiry::At(expiry_ms) = expiry { Some(expiry_ms) } else { None };
            let entry = Entry::new(field, value, expiry_ms, StringForm::Auto, 0);
            self.pair_bytes += entry.view().memory_bytes();
            self.expiries.extend(expiry_ms.map(|expiry_ms| (expiry_ms, hash)));
            self.fields.insert(hash, Pair(entry), Pair::hash);
            return true;
        };
        let old_bytes = entry.view().memory_bytes();
        entry.set_value(value, StringForm::Auto);
        let old_ms = entry.view().expiry_ms();
        let new_ms = match expiry {
            FieldExpiry::Keep => old_ms,
            FieldExpiry::Clear => None,
            FieldExpiry::At(expiry_ms) => Some(expiry_ms),
        };
        if new_ms != old_ms {
            entry.set_expiry(new_ms);
        }
        self.pair_bytes = self.pair_bytes + entry.view().memory_bytes() - old_bytes;
        self.expiry_changed(hash, old_ms, new_ms);
        false
    }

    /// Sets or clears the expiry of a field; false if there is no such field.
    pub fn set_expiry(&mut self, field: &[u8], expiry_ms: Option<u64>) -> bool {
        let hash = member::hash(field);
        let Some(Pair(entry)) = self.fields.find_mut(hash, |pair| pair.view().key() == field) else { return false };
        let (old_bytes, old_ms) = (entry.view().memory_bytes(), entry.view().expiry_ms());
        entry.set_expiry(expiry_ms);
        self.pair_bytes = self.pair_bytes + entry.view().memory_bytes() - old_bytes;
        self.expiry_changed(hash, old_ms, expiry_ms);
        true
    }

    fn expiry_changed(&mut self, hash: u64, old_ms: Option<u64>, new_ms: Option<u64>) {
        if old_ms != new_ms {
            if let Some(old_ms) = old_ms {
                self.expiries.remove(&(old_ms, hash));
            }
            self.expiries.extend(new_ms.map(|new_ms| (new_ms, hash)));
        }
    }

    /// Removes a field; false if there is no such field.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        let hash = member::hash(field);
        let Some(Pair(entry)) = self.fields.remove(hash, |pair| pair.view().key() == field, Pair::hash) else {
            return false;
        };
        self.pair_bytes -= entry.view().memory_bytes();
        self.expiry_changed(hash, entry.view().expiry_ms(), None);
        true
    }

    /// The fields that expired before `now_ms`, the soonest first.
    pub fn expired(&self, now_ms: u64) -> impl Iterator<Item = EntryRef<'_>> {
        let due = self.expiries.iter().take_while(move |(expiry_ms, _)| *expiry_ms < now_ms);
        due.filter_map(|&(expiry_ms, hash)| {
            let is_it = |pair: &Pair| pair.view().expiry_ms() == Some(expiry_ms) && pair.hash() == hash;
            self.fields.find(hash, is_it).map(Pair::view)
        })
    }
}
