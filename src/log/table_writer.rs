//! Changing the tablespace: a batch of slot logs lengthened or written anew, then published as the next version.
//!
//! ```text
//! collecting --append, replace--> collecting --publish--> extents written -> files synced -> manifest replaced
//!     |                               |                                                          |
//!     +------- dropped: nothing ------+---- an error before the manifest's renaming: nothing     +-- current: the next version
//!              has changed                  has changed, what was allocated is free again
//! ```
//! Records are encoded into the batch's one buffer and written from there, in file order, neighbours with one call.
//! Appending writes behind the end that the version in force names, in place: no reader looks there, and what an attempt
//! that failed left there is written over.
//!
//! After an error in renaming the manifest or in syncing the directory it is not known which manifest a crash would
//! leave. The next version is then in force all the same, since all that it names is durable; what it gave up stays in
//! limbo until a later manifest is durable, so that the one before stays readable as well.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::extents::{self, Extent, UNIT_BYTES};
use super::manifest::{self, JournalMark, ReplaceError, SlotLog};
use super::slot_reader::{Digest, SlotFault, walk};
use super::tables::{self, FileState, Files, Tables, Version, Writer, file_name};
use crate::base::key_slot::SlotId;

/// The buffer is written out when it is longer.
const BUFFER_BYTES: usize = 4 << 20;
/// Most bytes that one call writes.
const WRITE_BYTES: usize = 64 << 10;
/// Slots that are gone through between two pauses.
const STEP_SLOTS: usize = 1024;
/// Format limit: the manifest counts them in 16 bits.
const EXTENTS_MAX: usize = u16::MAX as usize;

/// Why a slot's log could not be changed. Other slots of the batch are not affected.
#[derive(Debug)]
pub enum ChangeError {
    /// The log cannot be lengthened where it stands.
    Refused(SlotFault),
    /// Of the batch, not of the slot: give it up.
    Io(io::Error),
}

impl fmt::Display for ChangeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChangeError::Refused(fault) => write!(formatter, "{fault}"),
            ChangeError::Io(error) => write!(formatter, "the slot logs cannot be written: {error}"),
        }
    }
}

impl std::error::Error for ChangeError {}

impl From<io::Error> for ChangeError {
    fn from(error: io::Error) -> ChangeError {
        ChangeError::Io(error)
    }
}

/// A part of the buffer and where it goes.
struct Piece {
    file: u32,
    offset_bytes: u64,
    range: Range<usize>,
}

/// Changes of slot logs that come into force together. There is one batch at a time.
pub struct Batch<'t> {
    tables: &'t Tables,
    writer: MutexGuard<'t, Writer>,
    /// What the changes are made to.
    base: Arc<Version>,
    changes: Vec<(SlotId, SlotLog)>,
    allocated: Vec<Extent>,
    freed: Vec<Extent>,
    buffer: Vec<u8>,
    pieces: Vec<Piece>,
    /// Written since the last sync, by file.
    unsynced: BTreeMap<u32, Range<u64>>,
    /// Bytes added since the last publication.
    added_bytes: u64,
}

impl Tables {
    /// Begins to change slot logs. Waits for the batch before to end.
    pub fn batch(&self) -> Batch<'_> {
        let writer = self.writer.lock();
        let base = self.current();
        Batch {
            tables: self,
            writer,
            base,
            changes: Vec::new(),
            allocated: Vec::new(),
            freed: Vec::new(),
            buffer: Vec::new(),
            pieces: Vec::new(),
            unsynced: BTreeMap::new(),
            added_bytes: 0,
        }
    }

    /// Writes the log of one slot that has none, for tools that fill a fresh directory. In force after
    /// [`Batch::publish`]. `records` are encoded in epoch 0, in sequence order.
    pub fn append_base(batch: &mut Batch<'_>, slot: SlotId, records: &[u8], sequence: u64) -> Result<(), ChangeError> {
        let from = batch.buffer().len();
        batch.buffer().extend_from_slice(records);
        batch.replace(slot, Change { from, sequence, history_ms: 0 })?;
        batch.flush_if_long(&mut || ())?;
        Ok(())
    }
}

/// What is done to a slot's log.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// Where in the buffer its records begin; they end with the buffer.
    pub from: usize,
    /// The slot's last sequence number, superseded or not.
    pub sequence: u64,
    pub history_ms: u64,
}

impl Batch<'_> {
    /// The version that the changes are made to.
    pub fn base(&self) -> &Arc<Version> {
        &self.base
    }

    /// What the manifest in force says of the journal.
    pub fn journal(&self) -> &JournalMark {
        &self.writer.journal
    }

    /// Where records are encoded to: behind what is there.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Bytes of logs that were added since the last publication.
    pub fn added_bytes(&self) -> u64 {
        self.added_bytes
    }

    /// Lengthens a slot's log. At most one change a slot between two publications.
    pub fn append(&mut self, slot: SlotId, change: Change) -> Result<(), ChangeError> {
        let before = self.base.slot(slot);
        let mut log = before.clone();
        let len = (self.buffer.len() - change.from) as u64;
        let capacity = log.capacity_bytes();
        let room = (capacity - log.bytes).min(len);
        if room > 0
            && let Some(tail) = log.extents.last()
            && let Err(fault) = self.base.ready(slot, *tail)
        {
            self.buffer.truncate(change.from);
            return Err(ChangeError::Refused(fault));
        }
        let first_new = log.extents.len();
        for units in extents::growth(capacity / UNIT_BYTES, len - room) {
            log.extents.push(self.allocate(units)?);
        }
        Batch::check_extents(&log)?;
        let at = log.bytes;
        self.place(&mut log, at, first_new, change);
        log.history_ms = log.history_ms.max(change.history_ms);
        self.changes.push((slot, log));
        Ok(())
    }

    /// Writes a slot's log anew; the one before is given up.
    pub fn replace(&mut self, slot: SlotId, change: Change) -> Result<(), ChangeError> {
        let mut log = SlotLog { history_ms: change.history_ms, ..SlotLog::default() };
        for units in extents::exact((self.buffer.len() - change.from) as u64) {
            log.extents.push(self.allocate(units)?);
        }
        Batch::check_extents(&log)?;
        self.place(&mut log, 0, 0, change);
        log.base_bytes = log.bytes;
        self.freed.extend_from_slice(&self.base.slot(slot).extents);
        self.changes.push((slot, log));
        Ok(())
    }

    /// Lays the buffer's end out over the log's extents, behind its first `at` bytes.
    fn place(&mut self, log: &mut SlotLog, at: u64, first_new: usize, change: Change) {
        let records = &self.buffer[change.from..];
        let len = records.len() as u64;
        let mut digest = Digest::onto(log.digest, log.records);
        for raw in walk(records) {
            digest.add(raw);
            log.records += 1;
        }
        log.digest = digest.value();
        log.sequence = change.sequence;
        log.bytes += len;
        self.added_bytes += len;
        let mut begin = 0;
        for (index, extent) in log.extents.iter().enumerate() {
            let end = begin + extent.bytes();
            let (from, to) = (at.max(begin), (at + len).min(end));
            if from < to {
                let range = change.from + (from - at) as usize..change.from + (to - at) as usize;
                self.pieces.push(Piece {
                    file: extent.file,
                    offset_bytes: extent.offset_bytes() + from - begin,
                    range,
                });
                // To the unit's end, so that this write and its neighbour's are one.
                if index >= first_new && to == at + len {
                    let padding = (to - begin).next_multiple_of(UNIT_BYTES) - (to - begin);
                    self.buffer.resize(self.buffer.len() + padding as usize, 0);
                    if let Some(piece) = self.pieces.last_mut() {
                        piece.range.end += padding as usize;
                    }
                }
            }
            begin = end;
        }
    }

    fn check_extents(log: &SlotLog) -> io::Result<()> {
        if log.extents.len() <= EXTENTS_MAX { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn allocate(&mut self, units: u32) -> io::Result<Extent> {
        let extent = match self.writer.space.allocate(units) {
            Some(extent) => extent,
            None => {
                self.add_file()?;
                self.writer.space.allocate(units).ok_or(io::ErrorKind::StorageFull)?
            }
        };
        self.allocated.push(extent);
        Ok(extent)
    }

    fn add_file(&mut self) -> io::Result<()> {
        let number = self.writer.next_file;
        let file = self.tables.storage.create(&file_name(number))?;
        self.writer.next_file += 1;
        self.writer.space.add_file(number, 0);
        let mut files = Files::clone(&self.writer.files);
        files.insert(number, tables::new_file(file));
        self.writer.files = Arc::new(files);
        self.writer.new_files.push(number);
        Ok(())
    }

    /// Writes the buffer out when it is long. `pause` is called between bounded steps.
    pub fn flush_if_long(&mut self, pause: &mut dyn FnMut()) -> io::Result<()> {
        if self.buffer.len() < BUFFER_BYTES { Ok(()) } else { self.flush(pause) }
    }

    fn flush(&mut self, pause: &mut dyn FnMut()) -> io::Result<()> {
        let Batch { pieces, buffer, writer, unsynced, .. } = self;
        let files = &writer.files;
        pieces.sort_unstable_by_key(|piece| (piece.file, piece.offset_bytes));
        let mut pieces = pieces.drain(..).peekable();
        while let Some(Piece { file, offset_bytes, mut range }) = pieces.next() {
            while let Some(behind) = pieces.next_if(|behind| {
                behind.file == file
                    && behind.offset_bytes == offset_bytes + range.len() as u64
                    && behind.range.start == range.end
            }) {
                range.end = behind.range.end;
            }
            let Some(FileState::Ready(open)) = files.get(&file) else {
                return Err(io::ErrorKind::NotFound.into());
            };
            let end = offset_bytes + range.len() as u64;
            let dirty = unsynced.entry(file).or_insert(offset_bytes..end);
            *dirty = dirty.start.min(offset_bytes)..dirty.end.max(end);
            for (index, step) in buffer[range].chunks(WRITE_BYTES).enumerate() {
                open.file.write_at(step, offset_bytes + (index * WRITE_BYTES) as u64)?;
                pause();
            }
        }
        buffer.clear();
        buffer.shrink_to(2 * BUFFER_BYTES);
        Ok(())
    }

    /// Makes what was written durable, and the files that it is in.
    fn sync(&mut self) -> io::Result<()> {
        let made = std::mem::take(&mut self.writer.new_files);
        let files = self.writer.files.clone();
        let sync = |unsynced: &mut BTreeMap<u32, Range<u64>>| {
            for number in &made {
                if let Some(FileState::Ready(open)) = files.get(number) {
                    open.file.write_at(&tables::header(*number), 0)?;
                    unsynced.entry(*number).or_insert(0..UNIT_BYTES);
                }
            }
            for (number, range) in unsynced {
                if let Some(FileState::Ready(open)) = files.get(number) {
                    open.file.write_back(range.clone());
                    open.file.sync()?;
                }
            }
            if made.is_empty() { Ok(()) } else { self.tables.storage.sync_directory() }
        };
        let outcome = sync(&mut self.unsynced);
        if outcome.is_err() {
            // Their headers and names are to be written again before a manifest names them.
            self.writer.new_files = made;
        }
        self.unsynced.clear();
        outcome
    }

    /// Makes all changes so far durable and puts them into force. `pause` is called between bounded steps. The batch can
    /// be used further after success; after an error it is to be dropped.
    pub fn publish(&mut self, journal: JournalMark, pause: &mut dyn FnMut()) -> io::Result<()> {
        self.flush(pause)?;
        self.sync()?;
        let number = self.base.number + 1;
        let mut slots = Vec::with_capacity(self.base.slots.len());
        for some in self.base.slots.chunks(STEP_SLOTS) {
            slots.extend_from_slice(some);
            pause();
        }
        for some in self.changes.chunks_mut(STEP_SLOTS) {
            for (slot, log) in some {
                slots[slot.index()] = Some(Arc::new(std::mem::take(log)));
            }
            pause();
        }
        let bytes = manifest::encode(number, &journal, tables::listed(&slots), pause);
        let replaced = manifest::replace(&*self.tables.storage, &bytes, pause);
        if let Err(ReplaceError::Before(error)) = replaced {
            return Err(error);
        }
        let retired = {
            let slots = slots.into_boxed_slice();
            let next = Arc::new(Version { number, slots, files: self.writer.files.clone() });
            *self.tables.current.write() = next.clone();
            std::mem::replace(&mut self.base, next)
        };
        self.writer.journal = journal;
        self.changes.clear();
        self.allocated.clear();
        self.added_bytes = 0;
        self.writer.retire(number, &retired, std::mem::take(&mut self.freed));
        if let Ok(retired) = Arc::try_unwrap(retired) {
            let mut slots = retired.slots.into_vec();
            while !slots.is_empty() {
                slots.truncate(slots.len() - STEP_SLOTS.min(slots.len()));
                pause();
            }
        }
        match replaced {
            Err(ReplaceError::Before(error) | ReplaceError::InDoubt(error)) => Err(error),
            Ok(()) => {
                self.writer.durable(number);
                self.writer.free(pause);
                Ok(())
            }
        }
    }
}

impl Drop for Batch<'_> {
    /// What was not published has not happened.
    fn drop(&mut self) {
        if self.allocated.is_empty() {
            return;
        }
        for extent in std::mem::take(&mut self.allocated) {
            self.writer.space.release(extent);
        }
        // At once: a full disk may be why it was not published.
        self.writer.punch(0, &mut || ());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::manifest::{NAME, NEW_NAME};
    use super::super::simulated_disk::{Operation, SimulatedDisk};
    use super::super::slot_reader::Cause;
    use super::super::storage::Storage;
    use super::super::toy;
    use super::*;
    use crate::base::random::Rng;

    const FILE_UNITS: u32 = 80;
    const FILE_BYTES: usize = FILE_UNITS as usize * UNIT_BYTES as usize;

    fn slot(number: u64) -> SlotId {
        SlotId::new(number as u16).unwrap()
    }

    fn disk(seed: u64) -> SimulatedDisk {
        SimulatedDisk::new(seed, FILE_BYTES)
    }

    fn open(disk: &SimulatedDisk) -> Tables {
        Tables::open_with(Arc::new(disk.clone()), FILE_UNITS).unwrap().tables
    }

    /// The bytes of the slots' logs, and their last sequence numbers.
    type Model = BTreeMap<SlotId, (Vec<u8>, u64)>;

    fn content(version: &Version) -> Model {
        let read = |(slot, log): (SlotId, &SlotLog)| {
            let mut buffer = Vec::new();
            let records = version.read(slot, &mut buffer).unwrap();
            let bytes = records.bytes().to_vec();
            records.check().unwrap();
            (slot, (bytes, log.sequence))
        };
        version.slots().map(read).collect()
    }

    fn records(rng: &mut Rng, slot: SlotId, sequence: &mut u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..1 + rng.below(6) {
            *sequence += 1 + rng.below(2);
            let value = vec![b'v'; rng.below(3000) as usize];
            bytes.extend(toy::encoded(toy::header(slot, 0, *sequence, 1000), &[b"SET", b"k", &value], 0));
        }
        bytes
    }

    /// Puts random changes into a batch and into the model.
    fn change(rng: &mut Rng, batch: &mut Batch<'_>, model: &mut Model) -> Result<(), ChangeError> {
        for number in (0..6u64).filter(|_| rng.below(2) == 0).collect::<Vec<_>>() {
            let slot = slot(number * 3000);
            let (bytes, sequence) = model.entry(slot).or_default();
            let anew = rng.below(3) == 0 || bytes.len() > 40_000;
            let run = records(rng, slot, sequence);
            let from = batch.buffer().len();
            batch.buffer().extend_from_slice(&run);
            let change = Change { from, sequence: *sequence, history_ms: 0 };
            if anew {
                *bytes = run;
                batch.replace(slot, change)?;
            } else {
                bytes.extend(run);
                batch.append(slot, change)?;
            }
        }
        Ok(())
    }

    #[test]
    fn versions_stay_as_they_are_while_they_are_held() {
        for seed in 0..4 {
            let mut rng = Rng::from_seed(seed);
            let disk = disk(seed);
            let mut tables = open(&disk);
            let mut model = Model::new();
            let mut held: Vec<(Arc<Version>, Model)> = Vec::new();
            for round in 0..60 {
                let mut batch = tables.batch();
                change(&mut rng, &mut batch, &mut model).unwrap();
                let mark = JournalMark { last_number: round, heads: vec![round] };
                batch.publish(mark, &mut || ()).unwrap();
                drop(batch);
                assert_eq!(content(&tables.current()), model, "seed {seed}");
                held.push((tables.current(), model.clone()));
                if held.len() > 5 {
                    held.swap_remove(rng.below(6) as usize);
                }
                for (version, model) in &held {
                    assert_eq!(content(version), *model, "seed {seed}, round {round}");
                }
                if rng.below(10) == 0 {
                    held.clear();
                    let opened = Tables::open_with(Arc::new(disk.crash(seed)), FILE_UNITS).unwrap();
                    assert_eq!(opened.journal, JournalMark { last_number: round, heads: vec![round] });
                    assert_eq!(content(&opened.tables.current()), model, "seed {seed}");
                    tables = open(&disk);
                }
            }
        }
    }

    #[test]
    fn space_follows_what_is_live() {
        let disk = disk(1);
        let tables = open(&disk);
        let run = |sequence| toy::encoded(toy::header(slot(1), 0, sequence, 1), &[b"SET", b"k", &[7; 200_000]], 0);
        let write = |sequence: u64| {
            let mut batch = tables.batch();
            let from = batch.buffer().len();
            batch.buffer().extend(run(sequence));
            batch.replace(slot(1), Change { from, sequence, history_ms: 0 }).unwrap();
            batch.publish(JournalMark::default(), &mut || ()).unwrap();
        };
        write(1);
        let held = tables.current();
        write(2);
        let space = tables.space(None).unwrap();
        assert_eq!((space.slots, space.records, space.files), (1, 1, 2));
        assert!(space.limbo_bytes >= 200_000 && space.disk_bytes > 400_000, "{space:?}");
        drop(held);
        tables.reclaim(0, &mut || ());
        let space = tables.space(None).unwrap();
        assert!(space.limbo_bytes == 0 && space.disk_bytes < 220_000, "{space:?}");
        (3..40).for_each(write);
        tables.reclaim(0, &mut || ());
        let space = tables.space(None).unwrap();
        assert!(space.disk_bytes < 220_000 && space.files == 2, "{space:?}");
        assert_eq!(space.dead_percent(), 0);
    }

    /// A crash at every step finds what was published before, or what was being published.
    #[test]
    fn a_crash_at_any_step_finds_one_version_or_the_next() {
        let mut found = [0; 2];
        for seed in 0..8 {
            let mut rng = Rng::from_seed(seed);
            let disk = disk(seed);
            let tables = open(&disk);
            let mut model = Model::new();
            for round in 0..8 {
                let before = model.clone();
                let mut crashed = Vec::new();
                let mut batch = tables.batch();
                change(&mut rng, &mut batch, &mut model).unwrap();
                batch.publish(JournalMark::default(), &mut || crashed.push(disk.crash(seed + 1000 * round))).unwrap();
                for crashed in crashed {
                    let after = content(&open(&crashed).current());
                    assert!(after == before || after == model, "seed {seed}, round {round}");
                    found[usize::from(after == model)] += 1;
                    assert!(!crashed.names().unwrap().contains(&NEW_NAME.to_owned()));
                }
            }
        }
        assert!(found[0] > 30 && found[1] > 30, "{found:?}");
    }

    /// Every kind of operation fails at its first, second, ... time: nothing is lost, and a later attempt succeeds.
    #[test]
    fn a_failure_of_any_operation_loses_nothing() {
        use Operation::{Create, Rename, Sync, SyncDirectory, Write};
        let mut failures = 0;
        for operation in [Create, Rename, Sync, SyncDirectory, Write] {
            for skip in 0..6 {
                for seed in 0..3 {
                    let mut rng = Rng::from_seed(seed);
                    let disk = disk(seed);
                    let tables = open(&disk);
                    let mut model = Model::new();
                    for round in 0..6 {
                        let before = model.clone();
                        let attempt = |model: &mut Model, rng: &mut Rng| {
                            let mut batch = tables.batch();
                            change(rng, &mut batch, model)?;
                            batch.publish(JournalMark::default(), &mut || ()).map_err(ChangeError::Io)
                        };
                        if round == 3 {
                            let error = if skip % 2 == 0 { libc::EIO } else { libc::ENOSPC };
                            disk.fail(operation, skip, 1, error);
                        }
                        let outcome = attempt(&mut model, &mut rng);
                        disk.heal();
                        let crashed = content(&open(&disk.crash(seed)).current());
                        let now = content(&tables.current());
                        if outcome.is_ok() {
                            assert_eq!((&now, &crashed), (&model, &model));
                            continue;
                        }
                        failures += 1;
                        // What was given up is not written over while either manifest may be found.
                        tables.reclaim(0, &mut || ());
                        {
                            let mut batch = tables.batch();
                            change(&mut Rng::from_seed(seed), &mut batch, &mut Model::new()).unwrap();
                            batch.flush(&mut || ()).unwrap();
                        }
                        let later = content(&open(&disk.crash(seed)).current());
                        assert!(later == before || later == model, "{operation:?} {skip}, seed {seed}");
                        assert!(crashed == before || crashed == model, "{operation:?} {skip}, seed {seed}");
                        assert!(now == before || now == model, "{operation:?} {skip}, seed {seed}");
                        model = now;
                        attempt(&mut model, &mut rng).unwrap();
                        assert_eq!(content(&tables.current()), model);
                        assert_eq!(
                            content(&open(&disk.crash(seed)).current()),
                            model,
                            "{operation:?} {skip}, seed {seed}"
                        );
                    }
                }
            }
        }
        assert!(failures > 20, "{failures}");
    }

    #[test]
    fn a_full_disk_is_an_error_and_gives_back_what_it_took() {
        let disk = disk(3);
        let tables = open(&disk);
        let write = |bytes: usize| {
            let mut batch = tables.batch();
            let run = toy::encoded(toy::header(slot(1), 0, 1, 1), &[b"SET", b"k", &vec![7; bytes]], 0);
            Tables::append_base(&mut batch, slot(1), &run, 1)?;
            batch.publish(JournalMark::default(), &mut || ()).map_err(ChangeError::Io)
        };
        disk.set_capacity(150_000);
        for _ in 0..3 {
            assert!(matches!(write(200_000), Err(ChangeError::Io(_))));
            write(60_000).unwrap();
        }
    }

    #[test]
    fn every_flipped_bit_of_files_and_logs_is_found() {
        let disk = disk(5);
        let tables = open(&disk);
        let mut rng = Rng::from_seed(5);
        let mut model = Model::new();
        for _ in 0..3 {
            let mut batch = tables.batch();
            change(&mut rng, &mut batch, &mut model).unwrap();
            batch.publish(JournalMark::default(), &mut || ()).unwrap();
        }
        let version = tables.current();
        let name = file_name(0);
        let bytes = disk.contents(&name);
        let mut flips: Vec<usize> = (0..100).chain((100..UNIT_BYTES as usize).step_by(7)).collect();
        let mut owner = BTreeMap::new();
        for (slot, log) in version.slots() {
            let mut begin = 0;
            for extent in log.extents.iter().filter(|extent| extent.file == 0) {
                let used = extent.bytes().min(log.bytes - begin);
                let range = extent.offset_bytes() as usize..(extent.offset_bytes() + used) as usize;
                owner.extend(range.clone().map(|at| (at, slot)));
                // All of the headers and edges, a sample of the long values.
                flips.extend(range.clone().filter(|at| at - range.start < 120 || at % 397 == 0));
                begin += used;
            }
        }
        for at in flips {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            disk.put(&name, &flipped);
            let version = open(&disk).current();
            let mut faults = Vec::new();
            for (slot, _) in version.slots() {
                let mut buffer = Vec::new();
                faults.extend(version.read(slot, &mut buffer).and_then(|records| records.check()).err());
            }
            match owner.get(&at) {
                Some(slot) => {
                    assert!(faults.len() == 1 && faults[0].slot == *slot, "{at}: {faults:?}");
                    let fault = &faults[0];
                    assert!(fault.file == name && fault.offset <= at as u64, "{at}: {fault}");
                    assert!(matches!(fault.cause, Cause::Record(_) | Cause::Empty | Cause::Padding), "{at}: {fault}");
                }
                // The padding of the last record of a unit belongs to nobody; the header is everybody's.
                None => {
                    assert!(at < UNIT_BYTES as usize && !faults.is_empty(), "{at}");
                    assert!(faults.iter().all(|fault| matches!(fault.cause, Cause::File(_))), "{at}: {faults:?}");
                }
            }
        }
    }

    #[test]
    fn a_log_of_other_whole_records_is_refused() {
        let disk = disk(6);
        let tables = open(&disk);
        let record = |slot, sequence, value: &[u8]| toy::encoded(toy::header(slot, 0, sequence, 1), &[value], 0);
        let one = slot(1);
        let mut batch = tables.batch();
        let run = [record(one, 3, b"a"), record(one, 5, b"b"), record(one, 7, b"c")].concat();
        batch.buffer().extend_from_slice(&run);
        batch.append(one, Change { from: 0, sequence: 8, history_ms: 0 }).unwrap();
        batch.publish(JournalMark::default(), &mut || ()).unwrap();
        let refused = |records: [Vec<u8>; 3]| {
            let mut bytes = disk.contents(&file_name(0));
            bytes[4096..4096 + run.len()].copy_from_slice(&records.concat());
            disk.put(&file_name(0), &bytes);
            let version = open(&disk).current();
            let mut buffer = Vec::new();
            version.read(one, &mut buffer).and_then(|records| records.check()).unwrap_err()
        };
        let (first, second, third) = (record(one, 3, b"a"), record(one, 5, b"b"), record(one, 7, b"c"));
        let fault = refused([first.clone(), second.clone(), record(one, 5, b"c")]);
        assert_eq!(fault.cause, Cause::Sequence { before: 5, found: 5 });
        assert_eq!((fault.file.as_str(), fault.offset), ("slots-0000", 4096 + 80));
        assert_eq!(fault.to_string(), "slot 1: slots-0000 at 4176: record 5 stands behind record 5");
        let fault = refused([first.clone(), second.clone(), record(one, 9, b"c")]);
        assert_eq!(fault.cause, Cause::Unsettled { settled: 8, found: 9 });
        let fault = refused([first.clone(), second.clone(), record(slot(2), 7, b"c")]);
        assert_eq!(fault.cause, Cause::Foreign(Some(slot(2))));
        let fault = refused([first.clone(), second.clone(), record(one, 7, b"d")]);
        assert_eq!(fault.cause, Cause::Digest);
        let long = record(one, 7, &[b'c'; 41]);
        let fault = refused([long, Vec::new(), third]);
        assert_eq!(fault.cause, Cause::Sequence { before: 7, found: 7 });
        let fault = refused([record(one, 3, &[b'c'; 41]), second, Vec::new()]);
        assert_eq!(fault.cause, Cause::Count { written: 3, found: 2 });
    }

    #[test]
    fn slots_of_a_missing_file_are_refused_and_the_others_serve() {
        let disk = disk(7);
        let tables = open(&disk);
        let mut batch = tables.batch();
        for number in [1, 2, 3] {
            let run = toy::encoded(toy::header(slot(number), 0, 1, 1), &[b"SET", b"k", &[7; 130_000]], 0);
            Tables::append_base(&mut batch, slot(number), &run, 1).unwrap();
        }
        batch.publish(JournalMark::default(), &mut || ()).unwrap();
        drop(batch);
        assert!(tables.current().slot(slot(3)).extents.iter().any(|extent| extent.file == 1));
        disk.remove("slots-0001").unwrap();
        let before = disk.names().unwrap();
        let (looked, _) = Version::look(&disk).unwrap().unwrap();
        assert!(looked.refused(slot(3)).is_some() && looked.refused(slot(1)).is_none());
        assert_eq!(disk.names().unwrap(), before);
        let tables = open(&disk);
        let version = tables.current();
        let mut buffer = Vec::new();
        version.read(slot(1), &mut buffer).unwrap().check().unwrap();
        let fault = version.refused(slot(3)).unwrap();
        assert_eq!(fault.to_string(), "slot 3: slots-0001 at 0: missing");
        assert!(version.read(slot(3), &mut buffer).is_err());
        assert!(version.refused(slot(1)).is_none());
        // The manifest goes on naming what is refused, and its file's number is not used for another.
        let mut batch = tables.batch();
        let run = toy::encoded(toy::header(slot(9), 0, 1, 1), &[b"SET", b"k", &[7; 200_000]], 0);
        Tables::append_base(&mut batch, slot(9), &run, 1).unwrap();
        batch.publish(JournalMark::default(), &mut || ()).unwrap();
        drop(batch);
        let version = open(&disk).current();
        assert!(version.refused(slot(3)).is_some() && version.refused(slot(9)).is_none());
    }

    #[test]
    fn what_is_there_without_a_manifest_is_not_overwritten() {
        let disk = disk(8);
        drop(open(&disk));
        disk.remove(NAME).unwrap();
        assert!(Tables::open(Arc::new(disk.clone())).unwrap_or_else(|error| panic!("{error}")).fresh);
        disk.remove(NAME).unwrap();
        disk.create("journal-0000000000000001").unwrap();
        let error = Tables::open(Arc::new(disk.clone())).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("there is no manifest, but there is journal-0000000000000001"));
        disk.put(NAME, b"something else");
        let error = Tables::open(Arc::new(disk.clone())).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("the manifest is none of Cairn's"));
    }

    #[test]
    fn files_that_no_manifest_names_are_removed() {
        let disk = disk(9);
        drop(open(&disk));
        for name in ["slots-0000", NEW_NAME] {
            disk.create(name).unwrap().write_at(b"torn", 0).unwrap();
        }
        drop(open(&disk));
        assert_eq!(disk.names().unwrap(), [NAME]);
    }
}
