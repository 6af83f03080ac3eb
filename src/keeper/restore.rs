//! The state at a moment: of every slot the history up to it, written as the slot logs of a fresh directory.
//!
//! What is taken of a slot is what stands before its first record of a later time. A transaction has one time, and none
//! of its slots has an earlier record of a later one, so a moment has all of it or nothing; should the clock have been
//! set back all the same, a transaction that would be cut is left out, with what follows it in its slots. Where a record
//! is settled already, its transaction is not known any more.

use std::path::Path;
use std::sync::Arc;

use super::archive::{Archive, check_free};
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
    check_free(into)?;
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::log::disk::Disk;
    use crate::log::journal::{Journal, Options};
    use crate::log::scan::Purpose;
    use crate::log::settle::Source;
    use crate::log::transaction::{Change as Appended, Parts};

    fn slot(number: u16) -> SlotId {
        SlotId::new(number).unwrap()
    }

    fn change(number: u16, sequence: u64, time_ms: u64) -> Appended<'static> {
        Appended { slot: slot(number), database: 0, sequence, time_ms, arguments: &[b"FLUSHDB"] }
    }

    fn directory(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("cairn-restore-{}-{name}", std::process::id()))
    }

    fn sequences(archive: &Archive, number: u16) -> Vec<u64> {
        let mut buffer = Vec::new();
        let history = archive.history(slot(number), &mut buffer).unwrap();
        history.map(|record| record.unwrap().header.sequence).collect()
    }

    #[test]
    fn a_transaction_is_not_cut_where_the_clock_was_set_back() {
        let (from, into) = (directory("from"), directory("into"));
        let storage: Arc<dyn Storage> = Arc::new(Disk::open(&from).unwrap());
        let tables = Tables::open(storage.clone()).unwrap().tables;
        let journal = Journal::create(storage, Options { segment_bytes: 1 << 20, ..Options::new(1) }).unwrap();
        tables.batch().publish(journal.mark(&[]), &mut || ()).unwrap();
        let mut parts = Parts::default();
        // Slot 2 has a record from before the clock was set back.
        for single in [change(1, 1, 100), change(2, 1, 900), change(4, 1, 100)] {
            journal.append(0, &single).unwrap();
        }
        for transaction in [[change(1, 2, 500), change(2, 2, 500)], [change(1, 3, 510), change(3, 1, 510)]] {
            parts.clear();
            transaction.iter().for_each(|part| parts.push(part));
            journal.append_all(0, &parts).unwrap();
        }
        journal.append(0, &change(4, 2, 600)).unwrap();
        journal.close().unwrap();
        drop(journal);

        let archive = Archive::open(&from, Purpose::Check).unwrap();
        let mut steps = 0;
        let restored = restore(&archive, 550, &into, &mut |_| steps += 1).unwrap();
        assert_eq!(restored, Restored { slots: 2, records: 2, last_ms: 100 });
        assert_eq!(steps, 4);
        let made = Archive::open(&into, Purpose::Check).unwrap();
        assert_eq!([1, 2, 3, 4].map(|number| sequences(&made, number)), [vec![1], vec![], vec![], vec![1]]);
        assert!(restore(&archive, 550, &into, &mut |_| ()).unwrap_err().contains("in use"));
        drop(made);
        assert!(restore(&archive, 550, &into, &mut |_| ()).unwrap_err().contains("holds a log already"));
        assert_eq!(sequences(&Archive::open(&into, Purpose::Check).unwrap(), 1), [1]);
        fs::remove_dir_all(&into).unwrap();
        let all = restore(&archive, 900, &into, &mut |_| ()).unwrap();
        assert_eq!(all, Restored { slots: 4, records: 8, last_ms: 900 });
        [from, into].iter().for_each(|path| fs::remove_dir_all(path).unwrap());
    }
}
