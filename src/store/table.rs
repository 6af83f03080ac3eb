//! The hash table of one database inside one slot.
//!
//! Small tables are rebuilt at once when they grow or shrink. Large ones keep the old bucket array beside the new and
//! move a few buckets with every change, so that no change is long however large the table is; a key is then looked up
//! in both. Sizes go 1, 2, 3, 4, 6, 8, 12, 16, ... buckets: each a third or a half larger, which keeps the load between
//! 58 and 88 percent while a table grows.

use crate::base::hash::KeyHasher;

use super::buckets::{Buckets, WORDS};
use super::entry::{Entry, EntryRef};
use super::reclaim::RECLAIMER;

/// Used words per bucket, on average, at which a table grows: 7 of 8.
const USED_WORDS_MAX: u32 = 7;
/// Tables of at most this many buckets are rebuilt at once: some 1,800 entries, less than 0.2 ms.
const REBUILT_AT_ONCE_BUCKETS_MAX: u32 = 256;
/// Old buckets moved with every change while two arrays stand. The new array has room for a third more, which is far
/// more changes than moving the old one takes.
const BUCKETS_MOVED_PER_CHANGE: u32 = 2;
/// A table shrinks when fewer than one in this many words is live.
const SHRINK_DIVISOR: u32 = 6;
/// The cursor positions of one slot end here.
pub const CURSOR_END: u64 = 1 << 32;

/// Where a key was found. Valid until the table changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    index: usize,
    in_old: bool,
}

#[derive(Default)]
pub struct Table {
    current: Buckets,
    moving: Option<Box<Moving>>,
}

/// The array that a large table moves out of, and how far it got.
struct Moving {
    old: Buckets,
    next_bucket: u32,
}

impl Table {
    #[inline]
    pub fn len(&self) -> usize {
        let moving = self.moving.as_ref().map_or(0, |moving| moving.old.live());
        self.current.live() as usize + moving as usize
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the bucket arrays.
    pub fn memory_bytes(&self) -> usize {
        self.current.memory_bytes() + self.moving.as_ref().map_or(0, |moving| moving.old.memory_bytes())
    }

    /// Words in the bucket arrays, and whether two stand.
    pub fn capacity(&self) -> (usize, Option<usize>) {
        let words = |buckets: &Buckets| buckets.count() as usize * WORDS;
        (words(&self.current), self.moving.as_ref().map(|moving| words(&moving.old)))
    }

    #[inline]
    pub fn prefetch_home(&self, hash: u64) {
        self.current.prefetch_home(hash);
    }

    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        self.current.prefetch_entry(hash);
    }

    /// What is probably the entry of a key with this hash: nobody has compared the key.
    #[inline]
    pub fn likely(&self, hash: u64) -> Option<EntryRef<'_>> {
        self.current.likely(hash)
    }

    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<At> {
        if let Some(index) = self.current.find(hash, key) {
            return Some(At { index, in_old: false });
        }
        let moving = self.moving.as_ref()?;
        moving.old.find(hash, key).map(|index| At { index, in_old: true })
    }

    #[inline]
    fn buckets(&self, at: At) -> &Buckets {
        match &self.moving {
            Some(moving) if at.in_old => &moving.old,
            _ => &self.current,
        }
    }

    #[inline]
    fn buckets_mut(&mut self, at: At) -> &mut Buckets {
        match &mut self.moving {
            Some(moving) if at.in_old => &mut moving.old,
            _ => &mut self.current,
        }
    }

    #[inline]
    pub fn entry(&self, at: At) -> EntryRef<'_> {
        self.buckets(at).entry(at.index)
    }

    /// Changes an entry in place; its key must stay.
    #[inline]
    pub fn update<R>(&mut self, at: At, change: impl FnOnce(&mut Entry) -> R) -> R {
        self.buckets_mut(at).update(at.index, change)
    }

    /// Sets an entry's access clock.
    #[inline]
    pub fn set_access(&mut self, at: At, access: u32) {
        self.buckets_mut(at).set_access(at.index, access);
    }

    /// Adds an entry whose key is not there. `hash` is its key's.
    pub fn insert(&mut self, hash: u64, entry: Entry, hasher: &KeyHasher) -> At {
        self.advance(hasher);
        if self.current.used() >= self.current.count() * USED_WORDS_MAX {
            self.grow(hasher);
        }
        At { index: self.current.insert(hash, entry), in_old: false }
    }

    /// Takes an entry out.
    pub fn remove(&mut self, at: At, hasher: &KeyHasher) -> Entry {
        let entry = self.buckets_mut(at).remove(at.index);
        self.advance(hasher);
        let count = self.current.count();
        if self.moving.is_none() && count > 1 && self.current.live() < count * WORDS as u32 / SHRINK_DIVISOR {
            self.resize(fitting_count(self.current.live() + self.current.live() / 4), hasher);
        }
        entry
    }

    /// Moves a few buckets if two arrays stand.
    fn advance(&mut self, hasher: &KeyHasher) {
        if self.moving.is_some() {
            self.move_buckets(BUCKETS_MOVED_PER_CHANGE, hasher);
        }
    }

    #[cold]
    fn move_buckets(&mut self, count: u32, hasher: &KeyHasher) -> bool {
        let Some(moving) = &mut self.moving else { return false };
        let end = (moving.next_bucket + count).min(moving.old.count());
        moving.old.prefetch_bucket_entries(end);
        for bucket in moving.next_bucket..end {
            moving.old.drain_bucket(bucket, |entry| {
                self.current.insert(hasher.hash(entry.view().key()), entry);
            });
        }
        moving.next_bucket = end;
        if end < moving.old.count() {
            return true;
        }
        if let Some(done) = self.moving.take() {
            // Unmapping a large array takes as long as it has pages.
            RECLAIMER.retire(Box::new(done.old));
        }
        false
    }

    #[cold]
    fn grow(&mut self, hasher: &KeyHasher) {
        // Only a table that outgrew its new array before the old one was empty comes here with two.
        while self.moving.is_some() && self.move_buckets(u32::MAX / 2, hasher) {}
        let (live, count) = (self.current.live(), self.current.count());
        let many_tombstones = live < count * USED_WORDS_MAX / 4 * 3;
        self.resize(if many_tombstones { count } else { next_count(count) }, hasher);
    }

    fn resize(&mut self, count: u32, hasher: &KeyHasher) {
        let old = std::mem::replace(&mut self.current, Buckets::with_count(count));
        let at_once = old.count() <= REBUILT_AT_ONCE_BUCKETS_MAX;
        if old.count() == 0 {
            return;
        }
        self.moving = Some(Box::new(Moving { old, next_bucket: 0 }));
        if at_once {
            let Some(mut moving) = self.moving.take() else { return };
            for bucket in 0..moving.old.count() {
                moving.old.prefetch_bucket_entries(bucket + 2);
                moving.old.drain_bucket(bucket, |entry| {
                    self.current.insert(hasher.hash(entry.view().key()), entry);
                });
            }
        }
    }

    /// Visits the entries of the next home bucket at or after `cursor` and gives the cursor that follows, at most
    /// [`CURSOR_END`]. An entry that stays in the table from the first call to the last is visited exactly once,
    /// whatever the table does in between, because the cursor is a position in hash order.
    pub fn scan(&self, cursor: u32, hasher: &KeyHasher, mut visit: impl FnMut(EntryRef<'_>)) -> u64 {
        let end = self.current.home_end(cursor).min(CURSOR_END);
        let hash = |key: &[u8]| hasher.hash(key);
        self.current.visit_range(cursor, end, hash, &mut visit);
        if let Some(moving) = &self.moving {
            moving.old.visit_range(cursor, end, hash, &mut visit);
        }
        end
    }

    /// An entry near the random position `drawn`; every entry can come up.
    pub fn sample(&self, drawn: u64) -> Option<EntryRef<'_>> {
        let old_live = self.moving.as_ref().map_or(0, |moving| moving.old.live());
        let total = u64::from(self.current.live()) + u64::from(old_live);
        if total == 0 {
            return None;
        }
        let buckets = match &self.moving {
            Some(moving) if (drawn >> 32) % total < u64::from(old_live) => &moving.old,
            _ => &self.current,
        };
        let bucket = (((drawn & 0xffff_ffff) * u64::from(buckets.count())) >> 32) as u32;
        let live: smallvec::SmallVec<[usize; WORDS]> = buckets.live_indexes(bucket).collect();
        let index = match live.len() {
            0 => buckets.next_live(bucket)?,
            count => live[(drawn >> 16) as usize % count],
        };
        Some(buckets.entry(index))
    }
}

/// The next size of the ladder 1, 2, 3, 4, 6, 8, 12, ...
fn next_count(count: u32) -> u32 {
    match count {
        0 => 1,
        1 => 2,
        _ if count.is_power_of_two() => count + count / 2,
        _ => (count + 1).next_power_of_two(),
    }
}

/// The smallest size of the ladder that holds `live` entries.
fn fitting_count(live: u32) -> u32 {
    let mut count = 1;
    while count * USED_WORDS_MAX <= live {
        count = next_count(count);
    }
    count
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::random::Rng;
    use crate::store::StringForm;

    fn key(number: u64) -> Vec<u8> {
        format!("key:{number}").into_bytes()
    }

    fn add(table: &mut Table, hasher: &KeyHasher, number: u64) {
        let key = key(number);
        table.insert(hasher.hash(&key), Entry::new(&key, &key, None, StringForm::Auto, 0), hasher);
    }

    fn present(table: &Table, hasher: &KeyHasher, number: u64) -> Option<At> {
        let key = key(number);
        let at = table.find(hasher.hash(&key), &key)?;
        assert_eq!(table.entry(at).value(), key);
        Some(at)
    }

    #[test]
    fn grows_and_shrinks_through_every_size() {
        let hasher = KeyHasher::from_seed(1, 2);
        let mut table = Table::default();
        for number in 0..50_000 {
            add(&mut table, &hasher, number);
        }
        assert_eq!(table.len(), 50_000);
        assert!((0..50_000).all(|number| present(&table, &hasher, number).is_some()));
        assert!(present(&table, &hasher, 50_000).is_none());
        for number in 0..50_000 {
            let at = present(&table, &hasher, number).unwrap();
            assert_eq!(table.remove(at, &hasher).view().key(), key(number));
            assert!(present(&table, &hasher, number).is_none());
        }
        assert_eq!(table.len(), 0);
        assert!(table.capacity().0 <= 64, "{:?}", table.capacity());
    }

    #[test]
    fn random_changes_agree_with_a_model() {
        let hasher = KeyHasher::from_seed(3, 4);
        let mut rng = Rng::from_seed(5);
        let (mut table, mut model) = (Table::default(), BTreeSet::new());
        for step in 0..300_000u64 {
            // Waves of growth and of shrinking, so that every resize is crossed both ways.
            let growing = (step / 50_000) % 2 == 0;
            let number = rng.below(20_000);
            match present(&table, &hasher, number) {
                Some(at) if rng.below(4) < if growing { 1 } else { 3 } => {
                    table.remove(at, &hasher);
                    model.remove(&number);
                }
                None if rng.below(4) < if growing { 3 } else { 1 } => {
                    add(&mut table, &hasher, number);
                    model.insert(number);
                }
                found => assert_eq!(found.is_some(), model.contains(&number)),
            }
        }
        assert_eq!(table.len(), model.len());
    }

    #[test]
    fn a_scan_meets_every_lasting_key_once_while_the_table_changes() {
        let hasher = KeyHasher::from_seed(6, 7);
        for growing in [true, false] {
            let mut table = Table::default();
            let lasting = 500;
            let passing = 1_000..40_000;
            (0..lasting).for_each(|number| add(&mut table, &hasher, number));
            if !growing {
                passing.clone().for_each(|number| add(&mut table, &hasher, number));
            }
            let mut changes = passing;
            let (mut cursor, mut seen) = (0u64, Vec::new());
            while cursor < CURSOR_END {
                cursor = table.scan(cursor as u32, &hasher, |entry| seen.push(entry.key().to_vec()));
                for number in changes.by_ref().take(97) {
                    if growing {
                        add(&mut table, &hasher, number);
                    } else {
                        let at = present(&table, &hasher, number).unwrap();
                        table.remove(at, &hasher);
                    }
                }
            }
            for number in 0..lasting {
                assert_eq!(seen.iter().filter(|seen| **seen == key(number)).count(), 1, "{number}");
            }
        }
    }

    #[test]
    fn samples_reach_every_entry() {
        let hasher = KeyHasher::from_seed(8, 9);
        let mut table = Table::default();
        (0..40).for_each(|number| add(&mut table, &hasher, number));
        let mut rng = Rng::from_seed(1);
        let seen: BTreeSet<_> =
            (0..4000).filter_map(|_| table.sample(rng.next_u64())).map(|e| e.key().to_vec()).collect();
        assert_eq!(seen.len(), 40);
        assert!(Table::default().sample(1).is_none());
    }
}
