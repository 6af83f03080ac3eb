//! What reaches beyond the keys that a command names: walks over slots, random keys, flushing and swapping databases.
//!
//! Walks hold one slot at a time, and each for a bounded number of entries, unless the space holds all slots anyway.
//! Flushing and swapping need every slot held. Keys that a walk finds expired are removed under their slot's lock. Where
//! that is gone when the walk goes on, those who follow the data set are told there and then; where the command holds it
//! to its end, with the command's other effects, which may be earlier ones of the same slot.

use super::Space;
use crate::base::key_slot::SlotId;
use crate::base::random;
use crate::engine::effect::removal_bytes;
use crate::log::health::Stopped;
use crate::store::reclaim;
use crate::store::table::CURSOR_END;
use crate::store::{Db, DbIndex, EntryRef, SlotData};

/// Random draws that may hit expired keys before a walk looks for one that has not.
const DRAWS_MAX: usize = 16;
/// Entries looked at under one hold of a slot's lock: some 50 microseconds.
const ENTRIES_PER_HOLD: usize = 500;

impl Space<'_> {
    /// Visits entries of one slot from hash position `cursor` on, expired ones included, until about `limit` are
    /// seen; gives the position that follows, or `None` at the slot's end. The slot is locked for this call unless it
    /// is held already.
    pub fn walk_slot(
        &mut self,
        id: SlotId,
        cursor: u32,
        limit: usize,
        mut visit: impl FnMut(EntryRef<'_>),
    ) -> Option<u32> {
        let (index, hasher) = (self.db, self.keyspace.hasher());
        let limit = limit.min(ENTRIES_PER_HOLD);
        self.with_slot(id, |slot| {
            let db = slot.db(index).filter(|db| !db.is_empty())?;
            let (mut seen, mut next) = (0, u64::from(cursor));
            while next < CURSOR_END && seen < limit {
                next = db.table().scan(next as u32, hasher, |entry| {
                    seen += 1;
                    visit(entry);
                });
            }
            (next < CURSOR_END).then_some(next as u32)
        })
    }

    /// Removes those of `keys`, all of one slot, that have expired.
    pub fn expire_all(&mut self, id: SlotId, keys: &[Vec<u8>]) {
        let bytes: usize = keys.iter().map(|key| removal_bytes(key)).sum();
        // A walk may meet more of them than any request reckons with.
        let has_space = match self.followers {
            Some(followers) if !self.holds_slots() => followers.reserve(bytes).is_ok(),
            _ => self.reserve(bytes).is_ok(),
        };
        if keys.is_empty() || !has_space {
            return;
        }
        let (index, now_ms, hasher, stats) = (self.db, self.now_ms, self.keyspace.hasher(), self.stats);
        let at_once = self.followers.filter(|_| !self.holds_slots());
        let (mut removed, mut expired, mut ready) = (Vec::new(), Vec::new(), Vec::new());
        self.with_slot(id, |slot| {
            for key in keys {
                let db = slot.db_mut(index);
                // The key may have been set again since it was seen.
                let found = db.find(hasher.hash(key), key).filter(|at| db.entry(*at).is_expired(now_ms));
                if let Some(at) = found {
                    reclaim::discard(db.remove(at, hasher));
                    if slot.touch(index, key) {
                        ready.push(key);
                    }
                    stats.expired_keys.add(1);
                    expired.push(key);
                    match at_once {
                        Some(followers) => followers.tell(slot, id, index, now_ms, &[b"DEL", key]),
                        None => removed.push(key),
                    }
                }
            }
        });
        expired.into_iter().for_each(|key| self.note_expired(key));
        ready.into_iter().for_each(|key| self.note_ready(index, key));
        if self.holds_slots() {
            removed.into_iter().for_each(|key| self.tell(id, index, &[b"DEL", key]));
        }
    }

    /// A key drawn at random from the database; keys that turn out expired are removed.
    pub fn random_key(&mut self) -> Option<Vec<u8>> {
        let (index, now_ms) = (self.db, self.now_ms);
        for _ in 0..DRAWS_MAX {
            let id = self.random_slot()?;
            let drawn = self.with_slot(id, |slot| {
                let entry = slot.db(index)?.table().sample(random::below(u64::MAX))?;
                Some((entry.key().to_vec(), entry.is_expired(now_ms)))
            });
            match drawn {
                Some((key, false)) => return Some(key),
                Some((key, true)) => self.expire_all(id, &[key]),
                // Emptied by another client since the slots were weighed.
                None => {}
            }
        }
        self.any_key()
    }

    /// A slot that holds keys, each with a chance in proportion to their number.
    fn random_slot(&mut self) -> Option<SlotId> {
        let index = self.db;
        let (mut total, mut chosen) = (0, None);
        for id in SlotId::all() {
            let count = self.with_slot(id, |slot| slot.db(index).map_or(0, Db::len)) as u64;
            total += count;
            if count > 0 && random::below(total) < count {
                chosen = Some(id);
            }
        }
        chosen
    }

    /// The first key that has not expired, from a random slot on.
    fn any_key(&mut self) -> Option<Vec<u8>> {
        let now_ms = self.now_ms;
        let slots: Vec<SlotId> = SlotId::all().collect();
        let first = random::below(slots.len() as u64) as usize;
        for &id in slots[first..].iter().chain(&slots[..first]) {
            let mut cursor = Some(0);
            while let Some(from) = cursor {
                let (mut live, mut expired) = (None, Vec::new());
                cursor = self.walk_slot(id, from, ENTRIES_PER_HOLD, |entry| {
                    if entry.is_expired(now_ms) {
                        expired.push(entry.key().to_vec());
                    } else if live.is_none() {
                        live = Some(entry.key().to_vec());
                    }
                });
                self.expire_all(id, &expired);
                if live.is_some() {
                    return live;
                }
            }
        }
        None
    }

    /// Makes sure that the log takes an effect of each slot that has keys in one of these databases.
    pub fn reserve_by_slot(&mut self, databases: std::ops::Range<DbIndex>) -> Result<(), Stopped> {
        /// FLUSHDB, or SWAPDB with its numbers.
        const EFFECT_BYTES: usize = 64;
        if !self.is_followed() {
            return Ok(());
        }
        let of_slot =
            |slot: &SlotData| slot.dbs().filter(|(index, db)| databases.contains(index) && !db.is_empty()).count();
        let effects: usize = SlotId::all().map(|id| of_slot(self.slot(id))).sum();
        self.reserve(effects * EFFECT_BYTES)
    }

    /// Takes all keys of these databases out, for the caller to free. Each counts as a change, and whoever watches one
    /// is told, and each slot that held any tells the log of it.
    pub fn flush(&mut self, databases: std::ops::Range<DbIndex>) -> Vec<Db> {
        let (mut taken, hasher) = (Vec::new(), self.keyspace.hasher());
        self.note_flush();
        for id in SlotId::all() {
            let slot = self.slot(id);
            for (index, key) in observed_keys(slot, |index| databases.contains(&index)) {
                let slot = self.slot(id);
                let is_there = slot.db(index).is_some_and(|db| db.find(hasher.hash(&key), &key).is_some());
                if is_there && slot.touch(index, &key) {
                    self.note_ready(index, &key);
                }
            }
            let slot = self.slot(id);
            let end = databases.end.min(slot.db_end());
            for index in databases.start..end {
                let db = self.slot(id).take_db(index);
                if !db.is_empty() {
                    self.tell_log(id, index, &[b"FLUSHDB"]);
                }
                if !db.is_empty() || db.table().memory_bytes() > 0 {
                    taken.push(db);
                }
            }
        }
        self.changes += taken.iter().map(|db| db.len() as u64).sum::<u64>();
        taken
    }

    /// Exchanges two databases. Who watches a key that either holds is told, unless it is gone before and after, and
    /// each slot that held any tells the log of it.
    pub fn swap(&mut self, first: DbIndex, second: DbIndex) {
        self.changes += 1;
        if first == second {
            return;
        }
        let (now_ms, hasher) = (self.now_ms, self.keyspace.hasher());
        let before = self.db;
        for id in SlotId::all() {
            for (index, key) in observed_keys(self.slot(id), |index| index == first || index == second) {
                let hash = hasher.hash(&key);
                let slot = self.slot(id);
                let held = |index| slot.db(index).and_then(|db| db.find(hash, &key).map(|at| db.entry(at)));
                let other = if index == first { second } else { first };
                if held(index).is_some() || held(other).is_some_and(|entry| !entry.is_expired(now_ms)) {
                    if slot.touch(index, &key) {
                        self.note_ready(index, &key);
                    }
                } else if held(other).is_some() {
                    // No key gives way to an expired one, which is nothing to those who watch. Removing it now keeps it
                    // so. Those who wait find out when they are served.
                    if slot.watched_keys().any(|watched| watched == (index, &key[..])) {
                        self.db = other;
                        self.expire_all(id, &[key]);
                    } else {
                        self.note_ready(index, &key);
                    }
                }
            }
            let slot = self.slot(id);
            if slot.db(first).is_some() || slot.db(second).is_some() {
                let (from_first, from_second) = (slot.take_db(first), slot.take_db(second));
                let had_keys = !from_first.is_empty() || !from_second.is_empty();
                slot.put_db(first, from_second);
                slot.put_db(second, from_first);
                if had_keys {
                    let (one, other) = (first.to_string(), second.to_string());
                    self.tell_log(id, before, &[b"SWAPDB", one.as_bytes(), other.as_bytes()]);
                }
            }
        }
        self.db = before;
    }
}

/// The keys of some databases in a slot that are watched or waited for.
fn observed_keys(slot: &SlotData, wanted: impl Fn(DbIndex) -> bool) -> Vec<(DbIndex, Vec<u8>)> {
    let waited = slot.waiters().into_iter().flat_map(|waiters| waiters.keys().map(|(index, key, _)| (index, key)));
    let observed = slot.watched_keys().chain(waited).filter(|(index, _)| wanted(*index));
    observed.map(|(index, key)| (index, key.to_vec())).collect()
}
