//! What happened to every slot, as it was told to the log: the model that recovery is held against.
//!
//! A recorder stands between the engine and the journal. It is called under the slots' locks, so that a slot's changes
//! are noted in the order in which they happened, and before they can be on any disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use parking_lot::Mutex;

use crate::base::digest::Digest;
use crate::base::key_slot::SlotId;
use crate::base::random::Rng;
use crate::commands::replay::Replayer;
use crate::engine::{EffectSink, Engine};
use crate::keeper::recovery;
use crate::log::health::Stopped;
use crate::log::journal::Journal;
use crate::log::transaction::{self, Parts};
use crate::store::table::CURSOR_END;
use crate::store::{DbIndex, digest};

/// A sequence number of each slot that has any.
pub type Positions = BTreeMap<SlotId, u64>;

/// Takes each slot's higher position.
pub fn raise(positions: &mut Positions, others: &Positions) {
    for (slot, sequence) in others {
        let position = positions.entry(*slot).or_default();
        *position = (*position).max(*sequence);
    }
}

/// One change of a slot. Its sequence number is its place among them, counted from 1.
pub struct Change {
    db: DbIndex,
    time_ms: u64,
    arguments: Vec<Vec<u8>>,
    /// The journal took it.
    taken: bool,
    /// What the slot held in memory after it, where that was looked at.
    digest: Option<Digest>,
}

#[derive(Default)]
pub struct Past {
    slots: BTreeMap<SlotId, Vec<Change>>,
    /// The parts of each transaction.
    transactions: Vec<Vec<(SlotId, u64)>>,
}

impl Past {
    fn note(&mut self, slot: SlotId, sequence: u64, change: Change) {
        let changes = self.slots.entry(slot).or_default();
        assert_eq!(sequence, changes.len() as u64 + 1, "slot {}: the log's order is another", slot.number());
        changes.push(change);
    }

    fn refuse(&mut self, slot: SlotId, sequence: u64) {
        self.slots.get_mut(&slot).expect("noted")[sequence as usize - 1].taken = false;
    }

    /// The last change of each slot that the journal took.
    pub fn taken(&self) -> Positions {
        let taken =
            |changes: &Vec<Change>| changes.iter().rposition(|change| change.taken).map_or(0, |at| at as u64 + 1);
        self.slots.iter().map(|(slot, changes)| (*slot, taken(changes))).collect()
    }

    pub fn is_refused(&self) -> bool {
        self.slots.values().any(|changes| changes.last().is_some_and(|change| !change.taken))
    }

    /// Notes what a slot holds after its last change.
    pub fn note_digest(&mut self, slot: SlotId, digest: Digest) {
        if let Some(last) = self.slots.get_mut(&slot).and_then(|changes| changes.last_mut()) {
            last.digest = Some(digest);
        }
    }

    pub fn digest_in_memory(&self, slot: SlotId, sequence: u64) -> Option<Digest> {
        self.slots.get(&slot)?.get((sequence as usize).checked_sub(1)?)?.digest
    }

    pub fn slots(&self) -> Vec<SlotId> {
        self.slots.keys().copied().collect()
    }

    pub fn len(&self, slot: SlotId) -> u64 {
        self.slots.get(&slot).map_or(0, |changes| changes.len() as u64)
    }

    /// The moment of a change, and the last one before the first that is later.
    pub fn at_some_moment(&self, slot: SlotId, rng: &mut Rng) -> (u64, u64) {
        let changes = &self.slots[&slot];
        let moment_ms = changes[rng.below(changes.len() as u64) as usize].time_ms;
        let later = changes.iter().position(|change| change.time_ms > moment_ms);
        (moment_ms, later.unwrap_or(changes.len()) as u64)
    }

    /// Of every transaction all parts are within the positions, or none.
    pub fn check_transactions(&self, positions: &Positions) {
        for parts in &self.transactions {
            let is_there = |(slot, sequence): &&(SlotId, u64)| positions.get(slot).is_some_and(|last| last >= sequence);
            let there = parts.iter().filter(is_there).count();
            assert!(there == 0 || there == parts.len(), "{there} parts of the transaction {parts:?} are there");
        }
    }

    /// Forgets what is behind the positions: it was lost.
    pub fn cut(&mut self, positions: &Positions) {
        let last = |slot: &SlotId| positions.get(slot).copied().unwrap_or(0);
        self.transactions.retain(|parts| parts.iter().all(|(slot, sequence)| *sequence <= last(slot)));
        self.slots.iter_mut().for_each(|(slot, changes)| changes.truncate(last(slot) as usize));
    }

    /// The slot's last changes, for people.
    pub fn tell(&self, slot: SlotId) -> String {
        let mut lines = String::new();
        let changes = self.slots.get(&slot).map_or(&[][..], Vec::as_slice);
        for (at, change) in changes.iter().enumerate().skip(changes.len().saturating_sub(30)) {
            let words = change.arguments.iter().map(|word| String::from_utf8_lossy(&word[..word.len().min(40)]));
            let words = words.collect::<Vec<_>>().join(" ");
            lines.push_str(&format!("{} db {} at {}: {words}\n", at + 1, change.db, change.time_ms));
        }
        lines
    }
}

/// What a slot holds.
pub fn digest_of(engine: &Engine, slot: SlotId) -> Digest {
    let mut whole = Digest::default();
    for (db, database) in engine.keyspace.lock(slot).dbs() {
        let mut cursor = 0;
        while !database.is_empty() && cursor < CURSOR_END {
            cursor = database
                .table()
                .scan(cursor as u32, engine.keyspace.hasher(), |entry| whole.combine(digest::of_entry(db, entry)));
        }
    }
    whole
}

/// Runs the past again, from its beginning.
pub struct Oracle {
    engine: Arc<Engine>,
    replayer: Replayer,
}

impl Oracle {
    pub fn new(engine: Arc<Engine>) -> Oracle {
        Oracle { replayer: Replayer::new(engine.clone()), engine }
    }

    /// What a slot holds after the change of this number.
    pub fn digest(&mut self, past: &Past, slot: SlotId, sequence: u64) -> Digest {
        let changes = past.slots.get(&slot).map_or(&[][..], |changes| &changes[..sequence as usize]);
        for change in changes {
            let arguments: Vec<&[u8]> = change.arguments.iter().map(Vec::as_slice).collect();
            let replayed = self.replayer.run(slot, change.db, change.time_ms, &arguments);
            replayed.unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        }
        let digest = digest_of(&self.engine, slot);
        recovery::empty(&self.engine, slot);
        if let Some(in_memory) = past.digest_in_memory(slot, sequence) {
            let number = slot.number();
            assert_eq!(
                digest,
                in_memory,
                "slot {number} at {sequence}: effects and memory differ\n{}",
                past.tell(slot)
            );
        }
        digest
    }
}

/// Notes what it hands on to the journal.
pub struct Recorder {
    journal: Arc<Journal>,
    past: Arc<Mutex<Past>>,
    /// What each lane told since it was last asked.
    touched: Vec<Mutex<Positions>>,
}

impl Recorder {
    pub fn new(journal: Arc<Journal>, past: Arc<Mutex<Past>>, lanes: usize) -> Recorder {
        Recorder { journal, past, touched: (0..lanes).map(|_| Mutex::default()).collect() }
    }

    /// The last change of each slot that a lane changed since the last call.
    pub fn take_touched(&self, lane: usize) -> Positions {
        std::mem::take(&mut *self.touched[lane].lock())
    }
}

impl EffectSink for Recorder {
    fn append(&self, lane: usize, change: &transaction::Change<'_>) -> Result<(), Stopped> {
        let arguments = change.arguments.iter().map(|argument| argument.to_vec()).collect();
        let noted = Change { db: change.database, time_ms: change.time_ms, arguments, taken: true, digest: None };
        self.past.lock().note(change.slot, change.sequence, noted);
        let outcome = self.journal.append(lane, change);
        match outcome {
            Ok(()) => drop(self.touched[lane].lock().insert(change.slot, change.sequence)),
            Err(_) => self.past.lock().refuse(change.slot, change.sequence),
        }
        outcome
    }

    fn append_all(&self, lane: usize, parts: &Parts) -> Result<(), Stopped> {
        let mut numbers = Vec::new();
        let mut past = self.past.lock();
        for record in parts.records() {
            let (header, slot) = (record.header, record.header.slot.expect("effects have slots"));
            let arguments = record.effect.arguments().map(<[u8]>::to_vec).collect();
            let noted = Change { db: header.database, time_ms: header.time_ms, arguments, taken: true, digest: None };
            past.note(slot, header.sequence, noted);
            numbers.push((slot, header.sequence));
        }
        past.transactions.push(numbers.clone());
        drop(past);
        let outcome = self.journal.append_all(lane, parts);
        match outcome {
            Ok(()) => self.touched[lane].lock().extend(numbers),
            Err(_) => {
                let mut past = self.past.lock();
                numbers.into_iter().for_each(|(slot, sequence)| past.refuse(slot, sequence));
            }
        }
        outcome
    }

    fn is_running(&self) -> bool {
        self.journal.is_running()
    }

    fn stopped(&self) -> Option<String> {
        EffectSink::stopped(&*self.journal)
    }

    fn has_failed(&self) -> bool {
        EffectSink::has_failed(&*self.journal)
    }

    fn ticket(&self) -> u64 {
        self.journal.ticket()
    }

    fn is_durable(&self, ticket: u64) -> bool {
        EffectSink::is_durable(&*self.journal, ticket)
    }

    fn wake_when_durable(&self, ticket: u64, waker: &Waker) {
        EffectSink::wake_when_durable(&*self.journal, ticket, waker);
    }

    fn reserve(&self, lane: usize, bytes: usize) -> Result<(), Stopped> {
        self.journal.reserve(lane, bytes)
    }
}
