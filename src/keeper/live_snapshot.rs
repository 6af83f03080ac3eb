//! Snapshots without a log: the slots are read under their locks.
//!
//! A thread reads one slot after the other. Whoever is about to use a slot that was not read yet copies it first, so that
//! the file shows one instant: the moment at which the observer was installed. Copies wait in memory until the thread
//! comes to write them; there are as many as slots were used since.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::functions;
use super::snapshot::{SnapshotFile, Written};
use crate::base::key_slot::{SLOT_COUNT, SlotId};
use crate::config::Config;
use crate::engine::Engine;
use crate::log::settle::Pacer;
use crate::store::keyspace::SlotObserver;
use crate::store::table::CURSOR_END;
use crate::store::{DbIndex, Entry, EntryRef, SlotGuard};

type Copy = Vec<(DbIndex, Entry)>;

/// Which slots an observer has seen.
pub struct Seen(Box<[AtomicBool]>);

impl Default for Seen {
    fn default() -> Seen {
        Seen((0..SLOT_COUNT).map(|_| AtomicBool::new(false)).collect())
    }
}

impl Seen {
    /// Whether this is the first call for the slot, which the caller has locked.
    pub fn is_first(&self, id: SlotId) -> bool {
        !self.0[id.index()].swap(true, Ordering::Relaxed)
    }
}

/// Copies each slot once, for whoever comes first.
pub(super) struct Copier {
    engine: Arc<Engine>,
    seen: Seen,
    copies: Mutex<Vec<Copy>>,
}

impl Copier {
    pub fn new(engine: &Arc<Engine>) -> Copier {
        Copier { engine: engine.clone(), seen: Seen::default(), copies: Mutex::default() }
    }
}

impl SlotObserver for Copier {
    fn see(&self, id: SlotId, slot: &mut SlotGuard<'_>) {
        if !self.seen.is_first(id) {
            return;
        }
        let hasher = self.engine.keyspace.hasher();
        let mut copy = Copy::new();
        for (index, db) in slot.dbs() {
            let mut cursor = 0;
            while !db.is_empty() && cursor < CURSOR_END {
                cursor = db.table().scan(cursor as u32, hasher, |entry| {
                    copy.push((index, entry.copied_as(entry.key(), entry.access())));
                });
            }
        }
        if !copy.is_empty() {
            self.copies.lock().push(copy);
        }
    }
}

/// Writes the live data set, as it is when this is called, to the snapshot file `path`.
pub fn write_live(
    engine: &Arc<Engine>,
    path: &Path,
    config: &Config,
    pacer: &mut dyn Pacer,
) -> Result<Written, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let used_memory_bytes = engine.used_memory_bytes.load(Ordering::Relaxed);
    let libraries = engine.libraries.current();
    let codes = functions::codes(&libraries);
    let mut file = SnapshotFile::create(path, config, used_memory_bytes, codes).map_err(failed)?;
    let copier = Arc::new(Copier::new(engine));
    engine.keyspace.observe(Some(copier.clone()));
    // A transaction that began before may hold slots without showing them: it must be over before they are read.
    engine.gate.wait_for_leavers();
    let outcome = read_slots(engine, &copier, pacer, &mut |db, entry| file.add(db, entry));
    engine.keyspace.observe(None);
    match outcome {
        Ok(()) => {
            let keys = file.count();
            file.finish().map(|bytes| Written { keys, bytes }).map_err(failed)
        }
        Err(error) => {
            file.abandon();
            Err(failed(error))
        }
    }
}

/// Shows every entry as it was when the copier was installed as observer.
pub(super) fn read_slots(
    engine: &Engine,
    copier: &Copier,
    pacer: &mut dyn Pacer,
    add: &mut dyn FnMut(DbIndex, EntryRef<'_>) -> io::Result<()>,
) -> io::Result<()> {
    for id in SlotId::all() {
        drop(engine.keyspace.lock_alone(id));
        let copies = std::mem::take(&mut *copier.copies.lock());
        for (db, entry) in copies.iter().flatten() {
            add(*db, entry.view())?;
            pacer.pause();
        }
        pacer.pause();
    }
    Ok(())
}
