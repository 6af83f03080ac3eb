//! The whole keyspace: the array of slots and what all of them share.

use super::slot::{DbIndex, Slot, SlotGuard};
use crate::base::hash::KeyHasher;
use crate::base::key_slot::{SLOT_COUNT, SlotId};

pub struct Keyspace {
    slots: Box<[Slot]>,
    hasher: KeyHasher,
    databases: DbIndex,
}

/// What INFO's keyspace section tells of a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DbCounts {
    pub keys: u64,
    pub expiring: u64,
    /// Bytes of the tables, entries left out.
    pub table_bytes: u64,
    /// Time to live of a sample of the keys that expire: its sum, and how many they are.
    pub sampled_ttl_ms: u64,
    pub sampled: u64,
}

impl Keyspace {
    pub fn new(databases: DbIndex, hasher: KeyHasher) -> Keyspace {
        Keyspace { slots: (0..SLOT_COUNT).map(|_| Slot::default()).collect(), hasher, databases }
    }

    pub fn hasher(&self) -> &KeyHasher {
        &self.hasher
    }

    /// How many databases there are.
    pub fn databases(&self) -> DbIndex {
        self.databases
    }

    #[inline]
    pub fn slot(&self, id: SlotId) -> &Slot {
        &self.slots[id.index()]
    }

    #[inline]
    pub fn lock(&self, id: SlotId) -> SlotGuard<'_> {
        self.slot(id).lock()
    }
}
