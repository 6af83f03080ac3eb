//! The whole keyspace: the array of slots and what all of them share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::RwLock;

use super::access::{AccessClock, Frequency};
use super::slot::{DbIndex, NEVER_MS, Slot, SlotGuard};
use crate::base::hash::KeyHasher;
use crate::base::key_slot::{SLOT_COUNT, SlotId};

pub struct Keyspace {
    slots: Box<[Slot]>,
    hasher: KeyHasher,
    databases: DbIndex,
    /// No key anywhere expires before this Unix time in milliseconds.
    soonest_expiry_ms: AtomicU64,
    /// Whether there is an observer; saves the lock.
    observed: AtomicBool,
    observer: RwLock<Option<Arc<dyn SlotObserver>>>,
    /// A packed [`Frequency`], where access clocks tell how often keys are used; else 0.
    frequency: AtomicU64,
    /// Whether any client wants to hear of changed keys. It is read under the lock of the key's slot, where the client's
    /// read was noted.
    tracked: AtomicBool,
}

/// Sees each slot once, as it was when the observer was installed: whoever locks slots shows them before they change.
pub trait SlotObserver: Send + Sync {
    fn see(&self, id: SlotId, slot: &mut SlotGuard<'_>);
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
        Keyspace {
            slots: (0..SLOT_COUNT).map(|_| Slot::default()).collect(),
            hasher,
            databases,
            soonest_expiry_ms: AtomicU64::new(NEVER_MS),
            observed: AtomicBool::new(false),
            observer: RwLock::default(),
            frequency: AtomicU64::new(0),
            tracked: AtomicBool::new(false),
        }
    }

    /// Installs an observer, or takes it away. Those who held slots before may not have seen it.
    pub fn observe(&self, observer: Option<Arc<dyn SlotObserver>>) {
        let mut current = self.observer.write();
        self.observed.store(observer.is_some(), Ordering::Release);
        *current = observer;
    }

    /// Whether slots are to be shown. Asked once with all locks of a command held, so that the observer sees either
    /// nothing of it or all.
    #[inline]
    pub fn is_observed(&self) -> bool {
        self.observed.load(Ordering::Acquire)
    }

    pub fn set_tracked(&self, tracked: bool) {
        self.tracked.store(tracked, Ordering::SeqCst);
    }

    #[inline]
    pub fn is_tracked(&self) -> bool {
        self.tracked.load(Ordering::Relaxed)
    }

    /// Shows a locked slot to the observer, before anything in it changes.
    #[cold]
    pub fn show(&self, id: SlotId, slot: &mut SlotGuard<'_>) {
        if let Some(observer) = &*self.observer.read() {
            observer.see(id, slot);
        }
    }

    /// Has access clocks tell how often keys are used, or when.
    pub fn set_frequency(&self, frequency: Option<Frequency>) {
        self.frequency.store(frequency.map_or(0, Frequency::pack), Ordering::Relaxed);
    }

    /// A moment as access clocks see it.
    #[inline]
    pub fn access_clock(&self, now_ms: u64) -> AccessClock {
        AccessClock::at(now_ms, Frequency::unpack(self.frequency.load(Ordering::Relaxed)))
    }

    pub fn hasher(&self) -> &KeyHasher {
        &self.hasher
    }

    /// How many databases there are.
    pub fn databases(&self) -> DbIndex {
        self.databases
    }

    /// Told of every expiry that a key got, while its slot is still locked: a sweep then either meets the key, or has
    /// lifted the bound before.
    #[inline]
    pub fn note_expiry(&self, expiry_ms: u64) {
        if expiry_ms < self.soonest_expiry_ms.load(Ordering::Relaxed) {
            self.soonest_expiry_ms.fetch_min(expiry_ms, Ordering::Relaxed);
        }
    }

    /// Whether a key may have expired by `now_ms`. If so, the bound is lifted: the caller looks at every slot and
    /// tells of the expiries that are left.
    pub fn take_due(&self, now_ms: u64) -> bool {
        self.soonest_expiry_ms.load(Ordering::Relaxed) < now_ms && {
            self.soonest_expiry_ms.store(NEVER_MS, Ordering::Relaxed);
            true
        }
    }

    #[inline]
    pub fn slot(&self, id: SlotId) -> &Slot {
        &self.slots[id.index()]
    }

    #[inline]
    pub fn lock(&self, id: SlotId) -> SlotGuard<'_> {
        self.slot(id).lock()
    }

    /// The same, unless `is_patient` says no while somebody else holds the slot.
    #[inline]
    pub fn lock_alone_while(&self, id: SlotId, is_patient: impl FnMut() -> bool) -> Option<SlotGuard<'_>> {
        let mut guard = self.slot(id).lock_while(is_patient)?;
        if self.is_observed() {
            self.show(id, &mut guard);
        }
        Some(guard)
    }

    /// The lock of one slot and nothing else, for whoever changes it.
    #[inline]
    pub fn lock_alone(&self, id: SlotId) -> SlotGuard<'_> {
        let mut guard = self.lock(id);
        if self.is_observed() {
            self.show(id, &mut guard);
        }
        guard
    }
}
