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
use super::manifest::{self, JournalMark, Manifest, ReplaceError, SlotLog};
use super::slot_reader::{Digest, SlotFault, walk};
use super::tables::{self, FileState, Files, Tables, Version, Writer, file_name};
use crate::base::key_slot::SlotId;

/// The buffer is written out when it is longer.
const BUFFER_BYTES: usize = 4 << 20;
/// Most bytes that one call writes.
const WRITE_BYTES: usize = 256 << 10;
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
        files.insert(number, tables::new_file(file, self.tables.file_units));
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
        let mut slots = self.base.slots.clone();
        pause();
        for (slot, log) in &mut self.changes {
            slots[slot.index()] = Some(Arc::new(std::mem::take(log)));
        }
        pause();
        let entries = SlotId::all().zip(&slots).filter_map(|(slot, log)| Some((slot, log.clone()?)));
        let manifest = Manifest { number, journal, slots: entries.collect() };
        pause();
        let bytes = manifest::encode(&manifest, pause);
        let replaced = manifest::replace(&*self.tables.storage, &bytes, pause);
        if let Err(ReplaceError::Before(error)) = replaced {
            return Err(error);
        }
        let retired = {
            let next = Arc::new(Version { number, slots, files: self.writer.files.clone() });
            *self.tables.current.write() = next.clone();
            std::mem::replace(&mut self.base, next)
        };
        self.writer.journal = manifest.journal;
        self.changes.clear();
        self.allocated.clear();
        self.added_bytes = 0;
        self.writer.retire(number, &retired, std::mem::take(&mut self.freed));
        drop(retired);
        match replaced {
            Err(ReplaceError::Before(error) | ReplaceError::InDoubt(error)) => Err(error),
            Ok(()) => {
                self.writer.durable(number);
                self.writer.reclaim(pause);
                Ok(())
            }
        }
    }
}

impl Drop for Batch<'_> {
    /// What was not published has not happened.
    fn drop(&mut self) {
        for extent in std::mem::take(&mut self.allocated) {
            self.writer.space.release(extent);
        }
    }
}
