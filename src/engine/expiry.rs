//! The expiry cycle: finds expired keys, and expired fields of hashes, that nobody asks for.
//!
//! The keyspace knows a lower bound of all expiries, so a cycle with nothing due ends at once; each database of each
//! slot knows its own, so a sweep passes slots where nothing is due with a look at one number. A slot that is due is walked in steps, each under the slot's lock for a bounded time; when the
//! walk is through, what it saw is the new bound. Run by the background thread only.

use crate::base::clock;
use crate::base::key_slot::SlotId;
use crate::base::turns::Burst;
use crate::store::hash::{HashMut, HashRef, soonest_field_expiry_ms};
use crate::store::reclaim;
use crate::store::slot::{DbIndex, NEVER_MS};
use crate::store::table::CURSOR_END;
use crate::store::{EntryRef, SlotGuard, ValueType};

use super::blocking;
use super::effect::{EffectSink, field_removal_bytes, removal_bytes};
use super::gate::Passage;
use super::listeners::Listeners;
use super::notify;
use super::space::Followers;
use super::state::Engine;

/// Entries looked at under one hold of a slot's lock: some 50 microseconds.
const ENTRIES_PER_HOLD: usize = 500;
/// Fields of a hash removed under one hold of its slot's lock.
const FIELDS_PER_HOLD: usize = 200;
/// Reading the clock costs more than passing a slot where nothing is due.
const SLOTS_PER_LOOK_AT_THE_CLOCK: usize = 64;
const NANOS_PER_MS: u64 = 1_000_000;

/// What a cycle left undone for the next one.
#[derive(Default)]
pub struct ExpiryCycle {
    next_slot: usize,
}

impl ExpiryCycle {
    /// Sweeps the slots once, or until `budget_us` is used up; then the next call goes on from there.
    pub fn run(&mut self, engine: &Engine, budget_us: u64) {
        let started = clock::ticks();
        let mut now_ms = clock::unix_ms();
        let sink = engine.effects();
        if sink.as_ref().is_some_and(|sink| !sink.is_running()) || !engine.keyspace.take_due(now_ms) {
            return;
        }
        let (mut listeners, mut burst) = (Listeners::of(engine), Burst::begin());
        let slots = SlotId::all().count();
        let (mut removed, mut soonest_ms) = (0, NEVER_MS);
        for step in 0..slots {
            let number = (self.next_slot + step) % slots;
            let Some(id) = SlotId::new(number as u16) else { continue };
            if step % SLOTS_PER_LOOK_AT_THE_CLOCK == 0 {
                now_ms = clock::unix_ms();
            }
            let (removed_here, soonest_here_ms) =
                sweep_slot(engine, sink.as_deref(), &mut listeners, &mut burst, id, now_ms);
            burst.give_way();
            removed += removed_here;
            soonest_ms = soonest_ms.min(soonest_here_ms);
            if sink.as_ref().is_some_and(|sink| !sink.is_running()) {
                self.next_slot = number;
                soonest_ms = now_ms;
                break;
            }
            if step % SLOTS_PER_LOOK_AT_THE_CLOCK == 0 && clock::ticks().nanos_since(started) > budget_us * 1000 {
                self.next_slot = number + 1;
                engine.stats.time_limited_expire_cycles.add(1);
                // The slots not reached may have keys that are due.
                soonest_ms = now_ms;
                break;
            }
        }
        if soonest_ms != NEVER_MS {
            engine.keyspace.note_expiry(soonest_ms);
        }
        let took_ns = clock::ticks().nanos_since(started);
        engine.stats.actively_expired_keys.add(removed);
        engine.stats.expire_cycle_us.add(took_ns / 1000);
        let threshold_ms = engine.config.load().latency_monitor_threshold as u64;
        if threshold_ms > 0 && took_ns >= threshold_ms * NANOS_PER_MS {
            engine.latency.record("expire-cycle", took_ns / NANOS_PER_MS, clock::unix_ms() / 1000);
        }
    }
}

/// Removes the expired keys among those to which clients of this replica gave an expiry themselves.
pub fn expire_own(engine: &Engine) {
    let sink = engine.effects();
    for (index, key) in engine.following.own_expiries.take() {
        let id = SlotId::of_key(&key);
        let (_passage, mut slot) = hold(engine, id);
        let (hasher, now_ms) = (engine.keyspace.hasher(), clock::unix_ms());
        let entry = slot.db(index).and_then(|db| Some(db.entry(db.find(hasher.hash(&key), &key)?)));
        let Some(entry) = entry.filter(|entry| entry.expiry_ms().is_some()) else { continue };
        let told = followers(engine, sink.as_deref());
        if !entry.is_expired(now_ms) || told.is_some_and(|told| told.reserve(removal_bytes(&key)).is_err()) {
            engine.following.own_expiries.note(index, &key);
            continue;
        }
        remove(engine, told, &mut slot, id, index, &key, now_ms);
        engine.stats.actively_expired_keys.add(1);
    }
}

/// Holds a slot inside the gate: whoever closed it is alone with every slot.
fn hold(engine: &Engine, id: SlotId) -> (Passage<'_>, SlotGuard<'_>) {
    (engine.gate.enter(engine.background_lane()), engine.keyspace.lock_alone(id))
}

/// Who follows the data set while the slot is held.
fn followers<'e>(engine: &'e Engine, sink: Option<&'e dyn EffectSink>) -> Option<Followers<'e>> {
    Followers::of(engine, sink, engine.background_lane(), true)
}

/// Removes the expired keys of one slot, where its bounds say that there are any; gives their number, and a bound of
/// the expiries that are left.
fn sweep_slot(
    engine: &Engine,
    sink: Option<&dyn EffectSink>,
    listeners: &mut Listeners<'_>,
    burst: &mut Burst,
    id: SlotId,
    now_ms: u64,
) -> (u64, u64) {
    let mut removed = 0;
    let mut held = hold(engine, id);
    let due: smallvec::SmallVec<[DbIndex; 4]> =
        held.1.dbs().filter(|(_, db)| db.soonest_expiry_ms() < now_ms).map(|(index, _)| index).collect();
    for index in due {
        // Keys that get an expiry while the lock is free for a moment lower this bound themselves.
        held.1.db_mut(index).set_soonest_expiry_ms(NEVER_MS);
        let (mut cursor, mut soonest_ms) = (0u64, NEVER_MS);
        while cursor < CURSOR_END {
            let (mut expired, mut with_fields) = (Vec::new(), Vec::new());
            let mut seen = 0;
            while cursor < CURSOR_END && seen < ENTRIES_PER_HOLD {
                let Some(db) = held.1.db(index) else { break };
                cursor = db.table().scan(cursor as u32, engine.keyspace.hasher(), |entry: EntryRef<'_>| {
                    seen += 1;
                    if entry.is_expired(now_ms) {
                        expired.push(entry.key().to_vec());
                        return;
                    }
                    let field_expiry_ms = soonest_field_expiry_ms(entry);
                    if field_expiry_ms.is_some_and(|expiry_ms| expiry_ms < now_ms) {
                        with_fields.push(entry.key().to_vec());
                    }
                    let still_ms = [entry.expiry_ms(), field_expiry_ms].into_iter().flatten();
                    soonest_ms = still_ms.filter(|expiry_ms| *expiry_ms >= now_ms).fold(soonest_ms, u64::min);
                });
            }
            let bytes: usize = expired.iter().map(|key| removal_bytes(key)).sum();
            let told = followers(engine, sink);
            if told.is_some_and(|told| told.reserve(bytes).is_err()) {
                held.1.db_mut(index).set_soonest_expiry_ms(0);
                return (removed, 0);
            }
            removed += expired.len() as u64;
            for key in &expired {
                remove(engine, told, &mut held.1, id, index, key, now_ms);
                listeners.tell_change(notify::EXPIRED, "expired", index, key);
            }
            for key in &with_fields {
                loop {
                    let followers = followers(engine, sink);
                    let hash = HashInPlace { engine, followers, id, index, key, now_ms };
                    let left_ms = hash.expire_fields(&mut held.1, listeners);
                    if left_ms.is_none_or(|left_ms| left_ms >= now_ms) {
                        soonest_ms = soonest_ms.min(left_ms.unwrap_or(NEVER_MS));
                        break;
                    }
                    if followers.is_some_and(|followers| !followers.is_running()) {
                        held.1.db_mut(index).set_soonest_expiry_ms(0);
                        return (removed, 0);
                    }
                    drop(held);
                    burst.give_way();
                    held = hold(engine, id);
                }
            }
            if cursor < CURSOR_END {
                drop(held);
                burst.give_way();
                held = hold(engine, id);
            }
        }
        let bound_ms = held.1.db_mut(index).soonest_expiry_ms().min(soonest_ms);
        held.1.db_mut(index).set_soonest_expiry_ms(bound_ms);
    }
    let soonest_ms = held.1.dbs().map(|(_, db)| db.soonest_expiry_ms()).min();
    (removed, soonest_ms.unwrap_or(NEVER_MS))
}

/// A hash of which fields are due.
struct HashInPlace<'a> {
    engine: &'a Engine,
    followers: Option<Followers<'a>>,
    id: SlotId,
    index: DbIndex,
    key: &'a [u8],
    now_ms: u64,
}

impl HashInPlace<'_> {
    /// Removes as many expired fields as one hold of the lock is good for, and the hash with its last field; gives the
    /// soonest expiry that is left.
    fn expire_fields(&self, slot: &mut SlotGuard<'_>, listeners: &mut Listeners<'_>) -> Option<u64> {
        let (key, hasher) = (self.key, self.engine.keyspace.hasher());
        let db = slot.db_mut(self.index);
        // It may be another value by now.
        let at = db.find(hasher.hash(key), key).filter(|at| db.entry(*at).value_type() == ValueType::Hash)?;
        let names = HashRef::new(db.entry(at)).expired(self.now_ms, FIELDS_PER_HOLD);
        let bytes = field_removal_bytes(key, &names);
        if self.followers.is_some_and(|followers| followers.reserve(bytes).is_err()) {
            return soonest_field_expiry_ms(db.entry(at));
        }
        let (left_ms, spent) = db.update(at, |entry| {
            HashMut::shrinking(entry).remove_all(&names);
            (soonest_field_expiry_ms(entry.view()), entry.view().is_spent())
        });
        if spent {
            reclaim::discard(db.remove(at, hasher));
        }
        if names.is_empty() {
            return left_ms.filter(|left_ms| *left_ms >= self.now_ms);
        }
        // Clients wait for what is added, never for a hash.
        let _ = slot.touch(self.index, key);
        listeners.tell_change(notify::HASH, "hexpired", self.index, key);
        if spent {
            listeners.tell_change(notify::GENERIC, "del", self.index, key);
        }
        self.engine.stats.actively_expired_fields.add(names.len() as u64);
        if let Some(followers) = self.followers {
            let effect: Vec<&[u8]> = [b"HDEL", key].into_iter().chain(names.iter().map(Vec::as_slice)).collect();
            followers.tell(slot, self.id, self.index, self.now_ms, &effect);
        }
        left_ms
    }
}

/// Removes a key for good, whether or not it has expired; gives the bytes that are left to be freed in the background.
pub(super) fn remove(
    engine: &Engine,
    followers: Option<Followers<'_>>,
    slot: &mut SlotGuard<'_>,
    id: SlotId,
    index: DbIndex,
    key: &[u8],
    now_ms: u64,
) -> usize {
    let hasher = engine.keyspace.hasher();
    let db = slot.db_mut(index);
    let Some(at) = db.find(hasher.hash(key), key) else { return 0 };
    let background_bytes = reclaim::discard(db.remove(at, hasher));
    if slot.touch(index, key) {
        blocking::nudge(slot, index, key);
    }
    if let Some(followers) = followers {
        followers.tell(slot, id, index, now_ms, &[b"DEL", key]);
    }
    background_bytes
}
