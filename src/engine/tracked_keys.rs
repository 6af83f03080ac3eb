//! The table behind client-side caching: which clients read which key since it changed last.
//!
//! Keys are told apart by name alone, whatever database they are in. A shard's keys lie in a vector, so that one can be
//! drawn to be given up, with their places in a map. Locked under slot locks; takes no lock itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::base::key_slot::SlotId;
use crate::base::random;

const SHARDS: usize = 64;

/// Ids of clients. Most keys are cached by few.
pub type Readers = SmallVec<[u64; 2]>;

type Key = Arc<[u8]>;

#[derive(Default)]
struct Shard {
    places: HashMap<Key, usize>,
    keys: Vec<(Key, Readers)>,
}

impl Shard {
    fn remove_at(&mut self, place: usize) -> (Key, Readers) {
        let removed = self.keys.swap_remove(place);
        self.places.remove(&removed.0);
        if let Some((moved, _)) = self.keys.get(place) {
            self.places.insert(moved.clone(), place);
        }
        removed
    }
}

pub struct TrackedKeys {
    shards: Box<[Mutex<Shard>]>,
    keys: AtomicUsize,
    /// Pairs of key and client.
    items: AtomicUsize,
}

impl Default for TrackedKeys {
    fn default() -> TrackedKeys {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        TrackedKeys { shards, keys: AtomicUsize::new(0), items: AtomicUsize::new(0) }
    }
}

impl TrackedKeys {
    fn shard(&self, key: &[u8]) -> &Mutex<Shard> {
        &self.shards[SlotId::of_key(key).index() % SHARDS]
    }

    pub fn key_count(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    pub fn item_count(&self) -> usize {
        self.items.load(Ordering::Relaxed)
    }

    /// Notes that a client read a key.
    pub fn add(&self, key: &[u8], client: u64) {
        let shard = &mut *self.shard(key).lock();
        let place = match shard.places.get(key) {
            Some(place) => *place,
            None => {
                let key: Key = key.into();
                shard.places.insert(key.clone(), shard.keys.len());
                shard.keys.push((key, Readers::new()));
                self.keys.fetch_add(1, Ordering::Relaxed);
                shard.keys.len() - 1
            }
        };
        let readers = &mut shard.keys[place].1;
        // Many clients may read one key: the order lets a look-up stay cheap.
        if let Err(at) = readers.binary_search(&client) {
            readers.insert(at, client);
            self.items.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn count_removed(&self, readers: &Readers) {
        self.keys.fetch_sub(1, Ordering::Relaxed);
        self.items.fetch_sub(readers.len(), Ordering::Relaxed);
    }

    /// Forgets a key; gives who read it.
    pub fn take(&self, key: &[u8]) -> Option<Readers> {
        let shard = &mut *self.shard(key).lock();
        let place = *shard.places.get(key)?;
        let (_, readers) = shard.remove_at(place);
        self.count_removed(&readers);
        Some(readers)
    }

    /// Forgets a key drawn at random.
    pub fn take_any(&self) -> Option<(Arc<[u8]>, Readers)> {
        let first = random::below(SHARDS as u64) as usize;
        for step in 0..SHARDS {
            let shard = &mut *self.shards[(first + step) % SHARDS].lock();
            if !shard.keys.is_empty() {
                let removed = shard.remove_at(random::below(shard.keys.len() as u64) as usize);
                self.count_removed(&removed.1);
                return Some(removed);
            }
        }
        None
    }

    pub fn clear(&self) {
        for shard in &self.shards {
            let taken = std::mem::take(&mut *shard.lock());
            taken.keys.iter().for_each(|(_, readers)| self.count_removed(readers));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_readers_are_counted() {
        let table = TrackedKeys::default();
        for number in 0..100 {
            table.add(format!("{number}").as_bytes(), number % 3);
            table.add(b"all", number);
            table.add(b"all", number);
        }
        assert_eq!((table.key_count(), table.item_count()), (101, 200));
        assert_eq!(table.take(b"all").unwrap().len(), 100);
        assert_eq!(table.take(b"all"), None);
        assert_eq!(table.take(b"7").unwrap()[..], [1]);
        let mut drawn = std::collections::BTreeSet::new();
        for _ in 0..50 {
            assert!(drawn.insert(table.take_any().unwrap().0));
        }
        for number in 0..100 {
            let key = format!("{number}");
            let gone = number == 7 || drawn.iter().any(|other| other[..] == *key.as_bytes());
            assert_eq!(table.take(key.as_bytes()).is_none(), gone, "{number}");
        }
        table.add(b"x", 1);
        table.clear();
        assert_eq!((table.key_count(), table.item_count()), (0, 0));
        assert!(table.take_any().is_none());
    }
}
