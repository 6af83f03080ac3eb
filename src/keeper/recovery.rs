//! From the log's files to a keyspace that serves.
//!
//! Slots are loaded in parallel, one reader per core: each slot's log, then its records of the journal's tail. A slot
//! whose history is damaged is emptied again and refused, and the others serve.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::history;
use crate::base::key_slot::SlotId;
use crate::commands::replay::{ReplayError, Replayer};
use crate::engine::Engine;
use crate::engine::saved::{entry_of, value_of};
use crate::log::record::record_bytes;
use crate::log::slot_index::SlotIndex;
use crate::log::slot_reader::SlotFault;
use crate::log::tables::Version;
use crate::rdb::payload::{self, PayloadBuffer};
use crate::store::limits::Limits;
use crate::store::table::CURSOR_END;

/// Slots that a reader takes at a time.
const SLOTS_AT_ONCE: usize = 16;

/// Loads every slot that `refused` gives no reason against, with so many threads. The keyspace is empty, or is emptied
/// slot by slot; nobody else uses it. An error means that the configuration does not fit what the log holds.
pub fn load_slots(
    engine: &Arc<Engine>,
    version: &Version,
    index: &SlotIndex,
    refused: &(dyn Fn(SlotId) -> Option<String> + Sync),
    threads: usize,
) -> Result<(), String> {
    let fatal = Mutex::new(None);
    let slots: Vec<SlotId> = SlotId::all().collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut replayer = Replayer::new(engine.clone());
                let mut buffer = Vec::new();
                loop {
                    let first = next.fetch_add(SLOTS_AT_ONCE, Ordering::Relaxed);
                    let Some(batch) = slots.get(first..) else { break };
                    for &slot in batch.iter().take(SLOTS_AT_ONCE) {
                        let loaded = match refused(slot) {
                            Some(reason) => Err(Refusal::Slot(reason)),
                            None => load_slot(engine, version, index, slot, &mut replayer, &mut buffer),
                        };
                        match loaded {
                            Ok(()) => {}
                            Err(Refusal::Slot(reason)) => {
                                tracing::error!("Slot {} is refused: {reason}", slot.number());
                                empty(engine, slot);
                                engine.persistence.refuse_slot(slot, reason);
                            }
                            Err(Refusal::All(reason)) => {
                                *fatal.lock() = Some(reason);
                                return;
                            }
                        }
                    }
                }
            });
        }
    });
    fatal.into_inner().map_or(Ok(()), Err)
}

/// Why a slot was not loaded.
enum Refusal {
    Slot(String),
    /// It is the configuration that keeps it from loading, and would others.
    All(String),
}

impl From<ReplayError> for Refusal {
    fn from(error: ReplayError) -> Refusal {
        match error {
            ReplayError::Database(_) => Refusal::All(error.to_string()),
            ReplayError::Effect(reason) => Refusal::Slot(reason),
        }
    }
}

impl From<SlotFault> for Refusal {
    fn from(fault: SlotFault) -> Refusal {
        Refusal::Slot(fault.to_string())
    }
}

fn load_slot(
    engine: &Engine,
    version: &Version,
    index: &SlotIndex,
    slot: SlotId,
    replayer: &mut Replayer,
    buffer: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let mut sequence = version.slot(slot).sequence;
    let mut bytes = 0;
    for record in history::of_slot(version, index, slot, buffer)? {
        let record = record?;
        replayer.apply(&record)?;
        sequence = sequence.max(record.header.sequence);
        bytes += record_bytes(record.effect.bytes().len()) as u64;
    }
    engine.keyspace.lock(slot).set_sequence(sequence);
    engine.persistence.loading.loaded_bytes.fetch_add(bytes, Ordering::Relaxed);
    Ok(())
}

/// Makes every entry anew of what a snapshot would say of it. The caller has closed the gate.
pub fn recode(engine: &Engine) -> Result<(), String> {
    let hasher = engine.keyspace.hasher();
    let mut values = PayloadBuffer::with_limits(Limits::of(&engine.config.load()));
    for slot in SlotId::all() {
        let mut guard = engine.keyspace.lock(slot);
        let databases = guard.db_end();
        for index in 0..databases {
            let old = guard.take_db(index);
            let mut entries = Vec::new();
            let mut cursor = 0;
            while !old.is_empty() && cursor < CURSOR_END {
                cursor = old.table().scan(cursor as u32, hasher, |entry| {
                    let payload = payload::encode(value_of(entry), true);
                    entries.push((entry.key().to_vec(), payload, entry.expiry_ms(), entry.access()));
                });
            }
            for (key, payload, expiry_ms, access) in entries {
                let value = payload::decode(&payload, u64::MAX, &mut values).map_err(|error| format!("{error:?}"))?;
                let entry = entry_of(&key, value, expiry_ms, access);
                guard.db_mut(index).insert(hasher.hash(&key), entry, hasher);
            }
        }
    }
    Ok(())
}

/// Forgets what a slot holds.
pub fn empty(engine: &Engine, slot: SlotId) {
    let mut guard = engine.keyspace.lock(slot);
    let databases = guard.db_end();
    for index in 0..databases {
        drop(guard.take_db(index));
    }
}
