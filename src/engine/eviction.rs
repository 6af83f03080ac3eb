//! Eviction: removes keys by the configured policy until memory is within its limit again.
//!
//! Each worker has an evictor of its own and runs it before a command, while it holds no slot; so does the background
//! thread for what commands leave to it. Victims' slots are locked one at a time.
//! A slot is drawn with the weight of its keys. The weights are counted once a second while there is anything to evict,
//! so a draw costs a binary search and no look at other slots.

use std::sync::Arc;

use super::effect::{EffectSink, removal_bytes};
use super::expiry;
use super::listeners::Listeners;
use super::notify;
use super::space::Followers;
use super::state::Engine;
use crate::base::clock::{self, Ticks};
use crate::base::key_slot::{SLOT_COUNT, SlotId};
use crate::base::{memory, random};
use crate::config::Config;
use crate::config::choices::MaxmemoryPolicy;
use crate::store::access::{AccessClock, Frequency};
use crate::store::candidates::{Candidate, Candidates};
use crate::store::reclaim::RECLAIMER;
use crate::store::slot::DbIndex;
use crate::store::{Db, EntryRef, SlotGuard};

/// How long counted weights are drawn by.
const WEIGHTS_LAST_MS: u64 = 1000;
/// Draws in vain after which the weights are counted anew, and after which there is nothing to evict.
const DRAWS_IN_VAIN_MAX: u32 = 64;
/// Random looks for a key that expires, before a slot is searched.
const RANDOM_LOOKS: u32 = 8;
/// Entries of a slot that are searched for one that expires.
const SEARCHED_ENTRIES: usize = 1000;
/// Evictions between looks at the clock and at memory that other threads free.
const EVICTIONS_PER_LOOK: u32 = 16;

/// What an attempt to get within the limit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Memory is within its limit.
    Within,
    /// It is not yet, and the time for this attempt is over.
    Unfinished,
    /// It is not, and nothing can be evicted.
    Stuck,
}

/// Bytes that the limit is about: without those that are about to be free.
fn counted_bytes(engine: &Engine) -> u64 {
    let uncounted_bytes = RECLAIMER.pending_bytes() + engine.clients.closing_bytes();
    // What replicas take comes and goes meanwhile: no key goes for that.
    let replicas_bytes = engine.replicas_bytes();
    let used_bytes = memory::used_bytes();
    used_bytes.saturating_sub(uncounted_bytes + replicas_bytes.max(engine.replicas_bytes()))
}

/// How the policy has uses counted, if it does.
pub fn frequency_of(config: &Config) -> Option<Frequency> {
    matches!(config.maxmemory_policy, MaxmemoryPolicy::VolatileLfu | MaxmemoryPolicy::AllkeysLfu)
        .then_some(Frequency { log_factor: config.lfu_log_factor, decay_minutes: config.lfu_decay_time })
}

/// Whether only keys that expire may be evicted.
fn is_volatile(policy: MaxmemoryPolicy) -> bool {
    use MaxmemoryPolicy::*;
    matches!(policy, VolatileLru | VolatileLfu | VolatileRandom | VolatileTtl)
}

/// The time that one command spends on eviction: from nothing at tenacity 0 to half a millisecond at 10, then ever
/// more, without end at 100.
fn limit_ns(tenacity: u32) -> u64 {
    match tenacity {
        0..=10 => 50_000 * u64::from(tenacity),
        11..=99 => (500_000.0 * 1.15f64.powi(tenacity as i32 - 10)) as u64,
        _ => u64::MAX,
    }
}

/// Where keys are, as of the last count. All evictors share one, made before it is needed: what it takes must not come
/// on top when memory is full.
pub struct Weights {
    /// By slot: keys in it and in all before it.
    ends: Vec<u32>,
    volatile: bool,
    counted_ms: u64,
}

impl Default for Weights {
    fn default() -> Weights {
        Weights { ends: Vec::with_capacity(SLOT_COUNT), volatile: false, counted_ms: 0 }
    }
}

impl Weights {
    fn are_old(&self, volatile: bool, now_ms: u64) -> bool {
        self.volatile != volatile || now_ms.abs_diff(self.counted_ms) > WEIGHTS_LAST_MS
    }

    fn count(&mut self, engine: &Engine, volatile: bool, now_ms: u64) {
        let mut sum = 0u32;
        self.ends.clear();
        self.ends.extend(SlotId::all().map(|id| {
            let slot = engine.keyspace.lock(id);
            let keys: usize = slot.dbs().map(|(_, db)| weight(db, volatile)).sum();
            sum = sum.saturating_add(keys.min(u32::MAX as usize) as u32);
            sum
        }));
        (self.volatile, self.counted_ms) = (volatile, now_ms);
    }

    /// A slot, drawn with the weight of its keys.
    fn draw(&self) -> Option<SlotId> {
        let total = *self.ends.last().filter(|total| **total > 0)?;
        let drawn = random::below(u64::from(total)) as u32;
        SlotId::new(self.ends.partition_point(|end| *end <= drawn) as u16)
    }
}

fn weight(db: &Db, volatile: bool) -> usize {
    if volatile { db.expiring_count() } else { db.len() }
}

#[derive(Default)]
pub struct Evictor {
    candidates: Candidates,
    policy: Option<MaxmemoryPolicy>,
}

/// One attempt's surroundings.
struct Attempt<'a> {
    engine: &'a Engine,
    config: &'a Config,
    followers: Option<Followers<'a>>,
    now_ms: u64,
    clock: AccessClock,
}

impl Evictor {
    /// Gets memory within the limit, as far as that can be done in the time that one command has for it. The caller is
    /// inside the gate and holds no slot.
    pub fn run(
        &mut self,
        engine: &Engine,
        config: &Config,
        sink: Option<&dyn EffectSink>,
        lane: usize,
        now_ms: u64,
    ) -> Outcome {
        let leaves_it = config.replica_ignore_maxmemory && engine.is_replica();
        let excess = if leaves_it { 0 } else { counted_bytes(engine).saturating_sub(config.maxmemory) };
        if excess == 0 {
            engine.eviction_pressure.end(engine);
            return Outcome::Within;
        }
        engine.eviction_pressure.begin();
        let policy = config.maxmemory_policy;
        if policy == MaxmemoryPolicy::Noeviction || sink.is_some_and(|sink| !sink.is_running()) {
            return Outcome::Stuck;
        }
        if self.policy != Some(policy) {
            self.candidates.clear();
            self.policy = Some(policy);
        }
        let clock = AccessClock::at(now_ms, frequency_of(config));
        let followers = Followers::of(engine, sink, lane, true);
        let attempt = Attempt { engine, config, followers, now_ms, clock };
        let outcome = self.free(&attempt, excess);
        if outcome == Outcome::Within {
            engine.eviction_pressure.end(engine);
        }
        outcome
    }

    fn free(&mut self, attempt: &Attempt<'_>, excess: u64) -> Outcome {
        let (started, limit_ns) = (clock::ticks(), limit_ns(attempt.config.maxmemory_eviction_tenacity));
        let (mut freed, mut evicted, mut outcome) = (0, 0u32, Outcome::Within);
        let mut listeners = Listeners::of(attempt.engine);
        while freed < excess {
            let Some(victim) = self.choose(attempt).filter(|victim| attempt.may_tell(victim)) else {
                outcome = Outcome::Stuck;
                break;
            };
            let Some(bytes) = attempt.evict(&victim, &mut listeners) else { continue };
            freed += bytes;
            evicted += 1;
            if evicted.is_multiple_of(EVICTIONS_PER_LOOK) {
                if counted_bytes(attempt.engine) <= attempt.config.maxmemory {
                    break;
                }
                if clock::ticks().nanos_since(started) > limit_ns {
                    outcome = Outcome::Unfinished;
                    break;
                }
            }
        }
        attempt.engine.stats.evicted_keys.add(u64::from(evicted));
        attempt.record_latency(started);
        outcome
    }

    /// A key to evict, which may be gone by the time it is locked.
    fn choose(&mut self, attempt: &Attempt<'_>) -> Option<Candidate> {
        let policy = attempt.config.maxmemory_policy;
        let volatile = is_volatile(policy);
        let weights = &attempt.engine.eviction_weights;
        let count = |recounted: bool| {
            let mut weights = weights.write();
            if recounted || weights.are_old(volatile, attempt.now_ms) {
                weights.count(attempt.engine, volatile, attempt.now_ms);
            }
        };
        let draw = || {
            let weights = weights.read();
            (!weights.are_old(volatile, attempt.now_ms)).then(|| weights.draw())
        };
        let mut recounted = false;
        let is_random = matches!(policy, MaxmemoryPolicy::AllkeysRandom | MaxmemoryPolicy::VolatileRandom);
        let wanted = if is_random { 1 } else { attempt.config.maxmemory_samples };
        let (mut found, mut in_vain) = (0, 0);
        while found < wanted {
            let Some(drawn) = draw() else {
                count(false);
                continue;
            };
            if drawn.is_some_and(|id| attempt.sample(id, volatile, &mut self.candidates)) {
                found += 1;
            } else if drawn.is_some() && in_vain < DRAWS_IN_VAIN_MAX {
                in_vain += 1;
            } else if found > 0 || recounted {
                break;
            } else {
                // Keys went since they were counted, or there is nothing to evict.
                count(true);
                (recounted, in_vain) = (true, 0);
            }
        }
        self.candidates.take_best()
    }
}

impl Attempt<'_> {
    /// Looks at a key of a slot; false when there is none that could be evicted.
    fn sample(&self, id: SlotId, volatile: bool, candidates: &mut Candidates) -> bool {
        let slot = self.engine.keyspace.lock(id);
        let Some(index) = draw_db(&slot, volatile) else { return false };
        let Some(db) = slot.db(index) else { return false };
        let hasher = self.engine.keyspace.hasher();
        let found = match volatile {
            false => db.table().sample(random::below(u64::MAX)),
            true => None,
        };
        let mut keep = |entry: EntryRef<'_>| {
            let score = self.score(entry);
            if candidates.wants(score) {
                let key = entry.key().to_vec();
                candidates.add(Candidate { score, slot: id, db: index, hash: hasher.hash(&key), key });
            }
        };
        if let Some(entry) = found {
            keep(entry);
            return true;
        }
        for _ in 0..if volatile { RANDOM_LOOKS } else { 0 } {
            if let Some(entry) = db.table().sample(random::below(u64::MAX))
                && entry.expiry_ms().is_some()
            {
                keep(entry);
                return true;
            }
        }
        // Few of its keys expire: some of them are found in the order of the table, from a random place on.
        let (mut seen, mut any) = (0, false);
        let start = random::below(1 << 32);
        let mut cursor = start;
        while !any && seen < SEARCHED_ENTRIES {
            cursor = db.table().scan(cursor as u32, hasher, |entry| {
                seen += 1;
                if entry.expiry_ms().is_some() {
                    keep(entry);
                    any = true;
                }
            });
            if cursor >= 1 << 32 {
                if start == 0 {
                    break;
                }
                cursor = 0;
                // Around once: what is left is what lies before the start.
                seen = seen.max(SEARCHED_ENTRIES.saturating_sub(db.len()));
            }
        }
        any
    }

    fn score(&self, entry: EntryRef<'_>) -> u64 {
        match self.config.maxmemory_policy {
            MaxmemoryPolicy::VolatileTtl => u64::MAX - entry.expiry_ms().unwrap_or(u64::MAX),
            MaxmemoryPolicy::AllkeysRandom | MaxmemoryPolicy::VolatileRandom => 0,
            _ => u64::from(self.clock.coldness(entry.access())),
        }
    }

    /// Whether the log has room to tell of a victim.
    fn may_tell(&self, victim: &Candidate) -> bool {
        self.followers.is_none_or(|followers| followers.reserve(removal_bytes(&victim.key)).is_ok())
    }

    /// Removes a key, if it is still there and may go; gives the bytes that this frees.
    fn evict(&self, victim: &Candidate, listeners: &mut Listeners<'_>) -> Option<u64> {
        let before = memory::own_bytes();
        let mut slot = self.engine.keyspace.lock_alone(victim.slot);
        let (id, index, key) = (victim.slot, victim.db, &victim.key[..]);
        let db = slot.db(index)?;
        let entry = db.entry(db.find(victim.hash, key)?);
        if is_volatile(self.config.maxmemory_policy) && entry.expiry_ms().is_none() {
            return None;
        }
        let background_bytes = expiry::remove(self.engine, self.followers, &mut slot, id, index, key, self.now_ms);
        if slot.db(index).is_some_and(Db::is_empty) {
            // Tables of a key each would take what evicting keys frees.
            drop(slot.take_db(index));
        }
        // Messages about it are no reason to evict more.
        let freed = (before - memory::own_bytes()).max(1);
        listeners.tell_change(notify::EVICTED, "evicted", index, key);
        Some(freed as u64 + background_bytes as u64)
    }

    fn record_latency(&self, started: Ticks) {
        const NANOS_PER_MS: u64 = 1_000_000;
        let (threshold_ms, took_ns) =
            (self.config.latency_monitor_threshold as u64, clock::ticks().nanos_since(started));
        if threshold_ms > 0 && took_ns >= threshold_ms * NANOS_PER_MS {
            self.engine.latency.record("eviction-cycle", took_ns / NANOS_PER_MS, self.now_ms / 1000);
        }
    }
}

/// A database of the slot, drawn with the weight of its keys.
fn draw_db(slot: &SlotGuard<'_>, volatile: bool) -> Option<DbIndex> {
    let total: usize = slot.dbs().map(|(_, db)| weight(db, volatile)).sum();
    let mut drawn = if total > 0 { random::below(total as u64) as usize } else { return None };
    for (index, db) in slot.dbs() {
        match drawn.checked_sub(weight(db, volatile)) {
            Some(rest) => drawn = rest,
            None => return Some(index),
        }
    }
    None
}

/// How long memory has been above its limit.
#[derive(Default)]
pub struct Pressure {
    since: parking_lot::Mutex<Option<Ticks>>,
    active: std::sync::atomic::AtomicBool,
}

impl Pressure {
    fn begin(&self) {
        let mut since = self.since.lock();
        since.get_or_insert_with(clock::ticks);
        self.active.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    fn end(&self, engine: &Engine) {
        if self.active.load(std::sync::atomic::Ordering::Relaxed)
            && let Some(since) = self.since.lock().take()
        {
            self.active.store(false, std::sync::atomic::Ordering::Relaxed);
            engine.stats.eviction_exceeded_us.add(clock::ticks().nanos_since(since) / 1000);
        }
    }

    /// Microseconds since memory went above its limit, if it is above.
    pub fn current_us(&self) -> u64 {
        self.since.lock().map_or(0, |since| clock::ticks().nanos_since(since) / 1000)
    }
}

/// The background thread's part: what commands had no time for, or when no command comes.
pub fn run_in_background(engine: &Arc<Engine>, evictor: &mut Evictor) {
    let config = engine.config.load();
    if config.maxmemory == 0 {
        return;
    }
    let sink = engine.effects();
    let lane = engine.background_lane();
    // Between attempts whoever wants to be alone can be.
    for _ in 0..BACKGROUND_ATTEMPTS {
        let _passage = engine.gate.enter(lane);
        if evictor.run(engine, &config, sink.as_deref(), lane, clock::unix_ms()) != Outcome::Unfinished {
            return;
        }
    }
}

/// Attempts of one background run, each as long as a command's.
const BACKGROUND_ATTEMPTS: u32 = 50;
