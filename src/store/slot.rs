//! One hash slot: the unit of locking and of history. A slot holds a table per database; database 0 stands in the slot
//! itself, the others and the rarer things are allocated when first needed, so that a slot is one cache line.
//!
//! ```text
//! 0   1 byte    lock
//! 1   7 bytes   sequence number of the slot's last change
//! 8   56 bytes  what the lock guards
//! ```

#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use smallvec::SmallVec;

use super::buckets::prefetch;
use super::entry::{Entry, EntryRef};
use super::hash::soonest_field_expiry_ms;
use super::lock::SpinLock;
use super::table::{At, Table};
use super::waiters::{InLine, Waiters};
use crate::base::hash::KeyHasher;

/// A database's number, below the `databases` directive.
pub type DbIndex = u16;

/// Raised when a key that a transaction watches changes.
pub type WatchFlag = Arc<AtomicBool>;

/// What stands for "no key expires" in [`Db::soonest_expiry_ms`].
pub const NEVER_MS: u64 = u64::MAX;

/// The keys of one database inside one slot.
pub struct Db {
    table: Table,
    /// A lower bound of the expiries in this table, those of fields inside of values among them, so that the expiry cycle passes slots where nothing is due.
    soonest_expiry_ms: u64,
    expiring: u32,
    /// Of the database. It stands here, where it takes no room of its own.
    number: DbIndex,
}

impl Default for Db {
    fn default() -> Db {
        Db { table: Table::default(), soonest_expiry_ms: NEVER_MS, expiring: 0, number: 0 }
    }
}

impl Db {
    fn numbered(number: DbIndex) -> Db {
        Db { number, ..Db::default() }
    }

    #[inline]
    pub fn table(&self) -> &Table {
        &self.table
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// How many keys have an expiry.
    pub fn expiring_count(&self) -> usize {
        self.expiring as usize
    }

    pub fn soonest_expiry_ms(&self) -> u64 {
        self.soonest_expiry_ms
    }

    /// Told by the expiry cycle once it has seen every entry: nothing in the table expires before `bound_ms`.
    pub fn set_soonest_expiry_ms(&mut self, bound_ms: u64) {
        self.soonest_expiry_ms = bound_ms;
    }

    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<At> {
        self.table.find(hash, key)
    }

    #[inline]
    pub fn entry(&self, at: At) -> EntryRef<'_> {
        self.table.entry(at)
    }

    fn note_expiry(&mut self, before: Option<u64>, after: Option<u64>) {
        self.expiring += u32::from(after.is_some());
        self.expiring -= u32::from(before.is_some());
        if let Some(after_ms) = after {
            self.soonest_expiry_ms = self.soonest_expiry_ms.min(after_ms);
        }
    }

    /// Told of every expiry that a field inside a value got: the bound covers them, too.
    pub fn note_field_expiry(&mut self, expiry_ms: u64) {
        self.soonest_expiry_ms = self.soonest_expiry_ms.min(expiry_ms);
    }

    /// Adds an entry whose key is not there.
    #[inline]
    pub fn insert(&mut self, hash: u64, entry: Entry, hasher: &KeyHasher) -> At {
        self.note_expiry(None, entry.view().expiry_ms());
        if let Some(expiry_ms) = soonest_field_expiry_ms(entry.view()) {
            self.note_field_expiry(expiry_ms);
        }
        self.table.insert(hash, entry, hasher)
    }

    pub fn remove(&mut self, at: At, hasher: &KeyHasher) -> Entry {
        let entry = self.table.remove(at, hasher);
        self.note_expiry(entry.view().expiry_ms(), None);
        entry
    }

    /// Changes value or expiry of an entry; its key must stay.
    #[inline]
    pub fn update<R>(&mut self, at: At, change: impl FnOnce(&mut Entry) -> R) -> R {
        let (before, after, result) = self.table.update(at, |entry| {
            let before = entry.view().expiry_ms();
            let result = change(entry);
            (before, entry.view().expiry_ms(), result)
        });
        if before != after {
            self.note_expiry(before, after);
        }
        result
    }

    /// Sets an entry's access clock, which moves nothing.
    #[inline]
    pub fn set_access(&mut self, at: At, access: u32) {
        self.table.set_access(at, access);
    }
}

/// What a slot's lock guards.
#[derive(Default)]
pub struct SlotData {
    first: Db,
    extra: Option<Box<Extra>>,
}

/// Who watches which key of which database.
type Watchers = HashMap<(DbIndex, Box<[u8]>), SmallVec<[WatchFlag; 1]>>;

/// What few slots have: keys in other databases than 0, keys that are watched, and keys that are waited for.
#[derive(Default)]
struct Extra {
    /// In the order of their numbers, which are few.
    others: SmallVec<[Db; 1]>,
    attention: Option<Box<Attention>>,
}

// Another database of few keys has about one of these for each of its keys.
const _: () = assert!(size_of::<Extra>() == 64);

/// Who is to be told of changes to keys.
#[derive(Default)]
struct Attention {
    watchers: Watchers,
    waiters: Waiters,
}

impl Extra {
    fn is_idle(&self) -> bool {
        self.attention.as_ref().is_none_or(|attention| attention.is_empty())
            && self.others.iter().all(|db| db.is_empty() && db.table.memory_bytes() == 0)
    }
}

impl SlotData {
    /// The database, if this slot ever held a key of it.
    #[inline]
    pub fn db(&self, index: DbIndex) -> Option<&Db> {
        match index {
            0 => Some(&self.first),
            _ => {
                let others = &self.extra.as_ref()?.others;
                others.iter().find(|db| db.number == index)
            }
        }
    }

    #[inline(always)]
    pub fn db_mut(&mut self, index: DbIndex) -> &mut Db {
        if index == 0 { &mut self.first } else { self.other_db_mut(index) }
    }

    fn other_db_mut(&mut self, index: DbIndex) -> &mut Db {
        let others = &mut self.extra.get_or_insert_default().others;
        let at = others.binary_search_by_key(&index, |db| db.number).unwrap_or_else(|at| {
            others.insert(at, Db::numbered(index));
            at
        });
        &mut others[at]
    }

    /// The databases that hold or held keys, in the order of their numbers.
    pub fn dbs(&self) -> impl Iterator<Item = (DbIndex, &Db)> {
        let others = self.extra.as_ref().map_or(&[][..], |extra| &extra.others);
        std::iter::once((0, &self.first)).chain(others.iter().map(|db| (db.number, db)))
    }

    /// The number after the last of them.
    pub fn db_end(&self) -> DbIndex {
        self.dbs().map(|(index, _)| index + 1).last().unwrap_or_default()
    }

    /// Brings the entry of a key of database 0 towards the cache.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        self.first.table.prefetch_entry(hash);
    }

    /// What is probably a key's entry in database 0, if that is a collection.
    #[inline]
    pub fn likely_collection(&self, hash: u64) -> Option<EntryRef<'_>> {
        self.first.table.likely(hash).filter(|entry| !entry.is_string())
    }

    /// Takes all keys of a database out, leaving it empty.
    pub fn take_db(&mut self, index: DbIndex) -> Db {
        let empty = Db::numbered(index);
        let taken = if self.db(index).is_some() { std::mem::replace(self.db_mut(index), empty) } else { empty };
        self.drop_idle_extra();
        taken
    }

    pub fn put_db(&mut self, index: DbIndex, db: Db) {
        if index == 0 || self.db(index).is_some() || db.table.memory_bytes() > 0 {
            *self.db_mut(index) = Db { number: index, ..db };
        }
    }

    fn drop_idle_extra(&mut self) {
        if self.extra.as_ref().is_some_and(|extra| extra.is_idle()) {
            self.extra = None;
        }
    }

    #[inline]
    fn attention(&self) -> Option<&Attention> {
        self.extra.as_ref()?.attention.as_deref()
    }

    fn attention_mut(&mut self) -> &mut Attention {
        self.extra.get_or_insert_default().attention.get_or_insert_default()
    }

    /// Runs `change` on who is to be told, if anybody is.
    fn change_attention(&mut self, change: impl FnOnce(&mut Attention)) {
        let Some(extra) = &mut self.extra else { return };
        let Some(attention) = &mut extra.attention else { return };
        change(attention);
        if attention.is_empty() {
            extra.attention = None;
        }
        self.drop_idle_extra();
    }

    // ---- watched keys -----------------------------------------------------------------------------------------

    pub fn watch(&mut self, db: DbIndex, key: &[u8], flag: &WatchFlag) {
        self.attention_mut().watchers.entry((db, key.into())).or_default().push(flag.clone());
    }

    pub fn unwatch(&mut self, db: DbIndex, key: &[u8], flag: &WatchFlag) {
        self.change_attention(|attention| {
            let watched = (db, Box::<[u8]>::from(key));
            if let Some(flags) = attention.watchers.get_mut(&watched) {
                flags.retain(|other| !Arc::ptr_eq(other, flag));
                if flags.is_empty() {
                    attention.watchers.remove(&watched);
                }
            }
        });
    }

    /// Tells the transactions that watch `key` that it changed. Gives whether anybody waits for the key: then whoever
    /// changed it is to see to it that they are served.
    #[inline]
    #[must_use]
    pub fn touch(&self, db: DbIndex, key: &[u8]) -> bool {
        match &self.extra {
            Some(extra) => extra.attention.as_ref().is_some_and(|attention| attention.touch(db, key)),
            None => false,
        }
    }

    /// The watched keys of this slot.
    pub fn watched_keys(&self) -> impl Iterator<Item = (DbIndex, &[u8])> {
        let attention = self.attention().into_iter();
        attention.flat_map(|attention| attention.watchers.keys().map(|(db, key)| (*db, &key[..])))
    }

    // ---- keys waited for --------------------------------------------------------------------------------------

    /// Who waits for keys of this slot, if anybody does.
    #[inline]
    pub fn waiters(&self) -> Option<&Waiters> {
        self.attention().map(|attention| &attention.waiters).filter(|waiters| !waiters.is_empty())
    }

    pub fn wait(&mut self, db: DbIndex, key: &[u8], waiter: InLine) {
        self.attention_mut().waiters.join(db, key, waiter);
    }

    pub fn stop_waiting(&mut self, db: DbIndex, key: &[u8], ticket: u64) {
        self.change_attention(|attention| attention.waiters.leave(db, key, ticket));
    }
}

impl Attention {
    fn is_empty(&self) -> bool {
        self.watchers.is_empty() && self.waiters.is_empty()
    }

    #[cold]
    fn touch(&self, db: DbIndex, key: &[u8]) -> bool {
        if !self.watchers.is_empty() {
            for flag in self.watchers.get(&(db, Box::from(key))).into_iter().flatten() {
                flag.store(true, Ordering::Relaxed);
            }
        }
        !self.waiters.is_empty() && self.waiters.is_waited_for(db, key)
    }
}

/// A slot and its lock, in one cache line.
#[derive(Default)]
#[repr(C, align(64))]
pub struct Slot {
    lock: SpinLock,
    /// Little-endian; guarded by the lock. 2^56 changes of one slot take longer than anybody waits.
    sequence: UnsafeCell<[u8; 7]>,
    data: UnsafeCell<SlotData>,
}

const _: () = assert!(size_of::<Slot>() == 64);

// SAFETY: `sequence` and `data` are reached only through a guard, which holds the lock.
unsafe impl Sync for Slot {}

impl Slot {
    #[inline]
    pub fn lock(&self) -> SlotGuard<'_> {
        self.lock.lock();
        SlotGuard(self)
    }

    /// Brings the slot towards the cache.
    #[inline]
    pub fn prefetch(&self) {
        prefetch(std::ptr::from_ref(self).cast());
    }

    /// Brings the home bucket of a key of database 0 towards the cache, without the lock.
    #[inline]
    pub fn prefetch_home(&self, hash: u64) {
        // SAFETY: the address of the bucket array is only computed, never followed; it stands in atomics, so a look
        // beside the lock's holder sees an old or a new value, and a prefetch of either is harmless.
        let table = unsafe { &*std::ptr::addr_of!((*self.data.get()).first.table) };
        table.prefetch_home(hash);
    }

    /// The guard, unless somebody else holds the lock.
    #[inline]
    pub fn try_lock(&self) -> Option<SlotGuard<'_>> {
        self.lock.try_lock().then(|| SlotGuard(self))
    }

    /// Locks the slot, unless `is_patient` says no while somebody else holds it.
    #[inline]
    pub fn lock_while(&self, is_patient: impl FnMut() -> bool) -> Option<SlotGuard<'_>> {
        self.lock.lock_while(is_patient).then(|| SlotGuard(self))
    }
}

/// A locked slot; dropping it unlocks.
pub struct SlotGuard<'a>(&'a Slot);

impl SlotGuard<'_> {
    /// The sequence number of the slot's last change; 0 before the first.
    #[inline]
    pub fn sequence(&self) -> u64 {
        let mut bytes = [0; 8];
        // SAFETY: the guard holds the lock.
        bytes[..7].copy_from_slice(unsafe { &*self.0.sequence.get() });
        u64::from_le_bytes(bytes)
    }

    #[inline]
    pub fn set_sequence(&mut self, sequence: u64) {
        let bytes = sequence.to_le_bytes();
        // SAFETY: the guard holds the lock and is borrowed uniquely.
        unsafe { &mut *self.0.sequence.get() }.copy_from_slice(&bytes[..7]);
    }

    /// Counts a change; gives its number.
    #[inline]
    pub fn next_sequence(&mut self) -> u64 {
        let next = self.sequence() + 1;
        self.set_sequence(next);
        next
    }
}

impl Deref for SlotGuard<'_> {
    type Target = SlotData;

    #[inline]
    fn deref(&self) -> &SlotData {
        // SAFETY: the guard holds the lock, and `self` is borrowed for as long as the result.
        unsafe { &*self.0.data.get() }
    }
}

impl DerefMut for SlotGuard<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut SlotData {
        // SAFETY: the guard holds the lock, and `self` is borrowed uniquely for as long as the result.
        unsafe { &mut *self.0.data.get() }
    }
}

impl Drop for SlotGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.lock.unlock();
    }
}
