//! The state at a moment: of every slot the history up to it, written as the slot logs of a fresh directory.
//!
//! What is taken of a slot is what stands before its first record of a later time. A transaction has one time, and none
//! of its slots has an earlier record of a later one, so a moment has all of it or nothing; should the clock have been
//! set back all the same, a transaction that would be cut is left out, with what follows it in its slots. Where a record
//! is settled already, its transaction is not known any more.

use std::path::Path;
use std::sync::Arc;

use super::archive::{Archive, holds_log};
use super::kept_log::{begin_moving_in, discard, end_moving_in, hold};
use crate::base::key_slot::{SLOT_COUNT, SlotId};
use crate::base::moment;
use crate::log::manifest::JournalMark;
use crate::log::record::{self, Header, Kind, Record};
use crate::log::scan::Scan;
use crate::log::storage::Storage;
use crate::log::table_writer::Change;
use crate::log::tables::Tables;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    pub slots: u64,
    pub records: u64,
    /// The time of the last record that was taken, 0 if none was.
    pub last_ms: u64,
}

/// The earliest moment that can be rebuilt, and the slot that it is of.
pub fn earliest(archive: &Archive) -> Option<(u64, SlotId)> {
    archive.version.slots().map(|(slot, log)| (log.history_ms, slot)).filter(|(history_ms, _)| *history_ms > 0).max()
}

/// Writes the state at `moment_ms` to `into`, the directory of a log that is made. `step` is called with each slot.
/// After an error nothing is left there.
pub fn restore(
    archive: &Archive,
    moment_ms: u64,
    into: &Path,
    step: &mut dyn FnMut(SlotId),
) -> Result<Restored, String> {
    let scan = archive.journal.as_ref().map_err(ToString::to_string)?;
    if let Some((earliest_ms, slot)) = earliest(archive).filter(|(earliest_ms, _)| moment_ms < *earliest_ms) {
        return Err(format!(
            "{} is too early: what was kept begins at {} (slot {})",
            moment::show(moment_ms),
            moment::show(earliest_ms),
            slot.number()
        ));
    }
    let ends = ends(archive, scan, moment_ms)?;
    let (storage, _lock) = hold(into)?;
    if holds_log(into).map_err(|error| format!("{}: {error}", into.display()))? {
        return Err(format!("{} holds a log already", into.display()));
    }
    let written = begin_moving_in(into).and_then(|()| write(archive, &ends, storage, step));
    match written.map_err(|error| format!("{}: {error}", into.display())) {
        Ok(restored) => end_moving_in(into).map(|()| restored),
        Err(error) => {
            discard(into);
            Err(error)
        }
    }
}

/// Of each slot the sequence number of the last record that counts.
fn ends(archive: &Archive, scan: &Scan, moment_ms: u64) -> Result<Vec<u64>, String> {
    let mut ends = vec![0; SLOT_COUNT];
    let mut buffer = Vec::new();
    for slot in archive.slots() {
        if let Some(damage) = archive.damage(slot) {
            return Err(damage);
        }
        let (mut last, mut is_cut) = (0, false);
        for record in archive.history(slot, &mut buffer).map_err(|fault| fault.to_string())? {
            let header = record.map_err(|fault| fault.to_string())?.header;
            // The rest is read all the same: damage anywhere in the slot is told.
            is_cut |= header.time_ms > moment_ms;
            if !is_cut {
                last = header.sequence;
            }
        }
        let settled = archive.version.slot(slot).sequence;
        ends[slot.index()] = if is_cut { last } else { last.max(settled) };
    }
    while leave_out_cut_transactions(archive, scan, &mut ends) {}
    Ok(ends)
}

/// Moves ends before transactions that would be cut; true if there was one.
fn leave_out_cut_transactions(archive: &Archive, scan: &Scan, ends: &mut [u64]) -> bool {
    let mut changed = false;
    let mut parts: Vec<(SlotId, u64)> = Vec::new();
    for segment in &scan.segments {
        parts.clear();
        for (_, record) in segment.records() {
            let Header { kind: Kind::Effect, slot: Some(slot), sequence, following, .. } = record.header else {
                continue;
            };
            // Settling takes a transaction whole.
            if sequence > archive.version.slot(slot).sequence {
                parts.push((slot, sequence));
            }
            if following > 0 {
                continue;
            }
            let is_in = |(slot, sequence): &(SlotId, u64)| *sequence <= ends[slot.index()];
            if parts.iter().any(is_in) && !parts.iter().all(is_in) {
                for (slot, sequence) in &parts {
                    ends[slot.index()] = ends[slot.index()].min(sequence - 1);
                }
                changed = true;
            }
            parts.clear();
        }
    }
    changed
}

fn write(
    archive: &Archive,
    ends: &[u64],
    storage: Arc<dyn Storage>,
    step: &mut dyn FnMut(SlotId),
) -> Result<Restored, String> {
    let tables = Tables::open(storage).map_err(|error| error.to_string())?.tables;
    let mut batch = tables.batch();
    let mut restored = Restored::default();
    let mut buffer = Vec::new();
    for slot in archive.slots() {
        step(slot);
        let end = ends[slot.index()];
        if end == 0 {
            continue;
        }
        let from = batch.buffer().len();
        for record in archive.history(slot, &mut buffer).map_err(|fault| fault.to_string())? {
            let record = record.map_err(|fault| fault.to_string())?;
            if record.header.sequence > end {
                break;
            }
            push(batch.buffer(), &record);
            restored.records += 1;
            restored.last_ms = restored.last_ms.max(record.header.time_ms);
        }
        restored.slots += 1;
        let history_ms = archive.version.slot(slot).history_ms;
        batch.replace(slot, Change { from, sequence: end, history_ms }).map_err(|error| error.to_string())?;
        batch.flush_if_long(&mut || ()).map_err(|error| error.to_string())?;
    }
    batch.publish(JournalMark::default(), &mut || ()).map_err(|error| error.to_string())?;
    Ok(restored)
}

/// Appends a record as it stands in slot logs.
fn push(records: &mut Vec<u8>, record: &Record<'_>) {
    let from = records.len();
    records.resize(from + record::record_bytes(record.effect.bytes().len()), 0);
    let header = Header { following: 0, ..record.header };
    record::write_encoded(&mut records[from..], header, record.effect, 0);
}
