//! One slot's history as it grows, read from the files of a log that another process may be writing.
//!
//! Nothing is locked, mapped or changed; everything is read anew, and checked. Each call of [`Follower::read`] gives what
//! became known since the one before, in order of sequence numbers:
//! 1. if the manifest is another one than last time: what the slot's log has above the last record that was given;
//! 2. from every segment of the journal, what was appended since it was last read; what follows the last record that was
//!    given without a gap;
//! 3. again from 1, if the manifest has changed meanwhile: records may have moved from segments that were not read yet
//!    to slot logs.
//!
//! A record whose predecessor stands in a segment that was read too early waits for the next call. A record that is not
//! whole is one that is being written: reading ends there, and begins there next time. Of a transaction all parts are
//! taken at once.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use super::manifest::{self, ManifestError};
use super::record::{self, Effect, Fault, Header, Kind, Reading};
use super::segment::{self, HEADER_BYTES};
use super::slot_reader::SlotFault;
use super::storage::{Storage, StorageFile};
use super::tables::Version;
use crate::base::key_slot::SlotId;

/// So much of a segment is read at once, and more only for a record that is longer.
const STEP_BYTES: usize = 64 << 10;
/// How often a slot log is read again because the server gave its place to something else meanwhile.
const ATTEMPTS: u32 = 20;

/// A record of the slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub header: Header,
    /// Which part of how many of a transaction it is, where that is known: slot logs do not keep it.
    pub part: Option<(u32, u32)>,
    effect: Vec<u8>,
}

impl Seen {
    pub fn effect(&self) -> Effect<'_> {
        Effect(&self.effect)
    }
}

#[derive(Debug)]
pub enum FollowError {
    /// There is no log.
    Nothing,
    Manifest(ManifestError),
    Slot(SlotFault),
    Journal {
        name: String,
        error: io::Error,
    },
}

impl fmt::Display for FollowError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FollowError::Nothing => write!(formatter, "there is no log"),
            FollowError::Manifest(error) => write!(formatter, "{error}"),
            FollowError::Slot(fault) => write!(formatter, "{fault}"),
            FollowError::Journal { name, error } => write!(formatter, "{name}: {error}"),
        }
    }
}

impl std::error::Error for FollowError {}

/// How far a segment was read.
struct Progress {
    offset: u64,
    is_sealed: bool,
    /// What stands where reading ended, if it is no record.
    fault: Option<Fault>,
}

pub struct Follower {
    storage: Arc<dyn Storage>,
    slot: SlotId,
    /// The number of the manifest that was read last.
    manifest: u64,
    /// The sequence number of the last record that was given.
    last: u64,
    segments: BTreeMap<u64, Progress>,
    /// Records that were read before the one before them.
    waiting: BTreeMap<u64, Seen>,
}

impl Follower {
    pub fn new(storage: Arc<dyn Storage>, slot: SlotId) -> Follower {
        Follower { storage, slot, manifest: 0, last: 0, segments: BTreeMap::new(), waiting: BTreeMap::new() }
    }

    /// What became known since the last call; first, everything there is.
    pub fn read(&mut self) -> Result<Vec<Seen>, FollowError> {
        let mut found = Vec::new();
        loop {
            let number = self.manifest_number()?;
            if number != self.manifest {
                self.read_settled(&mut found)?;
            }
            self.read_journal()?;
            self.waiting = self.waiting.split_off(&(self.last + 1));
            while let Some(next) = self.waiting.remove(&(self.last + 1)) {
                self.last += 1;
                found.push(next);
            }
            if self.manifest_number()? == self.manifest {
                return Ok(found);
            }
        }
    }

    /// What is in the way of going on, after a [`Follower::read`] that no other process can have disturbed.
    pub fn obstacles(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (number, progress) in &self.segments {
            if let Some(fault) = progress.fault {
                found.push(format!("{} at offset {}: {fault}", segment::file_name(*number), progress.offset));
            }
        }
        if let Some((next, _)) = self.waiting.first_key_value() {
            found.push(format!("record {} is missing; the next one is {next}", self.last + 1));
        }
        found
    }

    fn manifest_number(&self) -> Result<u64, FollowError> {
        manifest::number(&*self.storage).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => FollowError::Nothing,
            _ => FollowError::Manifest(error.into()),
        })
    }

    fn read_settled(&mut self, found: &mut Vec<Seen>) -> Result<(), FollowError> {
        for attempt in 1.. {
            let looked = Version::look(&*self.storage).map_err(FollowError::Manifest)?;
            let (version, _) = looked.ok_or(FollowError::Nothing)?;
            if version.number < self.manifest {
                // The log was made anew.
                *self = Follower::new(self.storage.clone(), self.slot);
            }
            let settled = version.slot(self.slot).sequence;
            let mut buffer = Vec::new();
            let read = if settled > self.last { self.above_last(&version, &mut buffer) } else { Ok(Vec::new()) };
            match read {
                Ok(records) => {
                    found.extend(records);
                    self.last = self.last.max(settled);
                    self.manifest = version.number;
                    break;
                }
                Err(_) if attempt < ATTEMPTS && self.manifest_number()? != version.number => {}
                Err(fault) => return Err(FollowError::Slot(fault)),
            }
        }
        Ok(())
    }

    fn above_last(&self, version: &Version, buffer: &mut Vec<u8>) -> Result<Vec<Seen>, SlotFault> {
        let mut records = Vec::new();
        for stored in version.read(self.slot, buffer)? {
            let record = stored?.record;
            if record.header.sequence > self.last {
                records.push(Seen { header: record.header, part: None, effect: record.effect.bytes().to_vec() });
            }
        }
        Ok(records)
    }

    fn read_journal(&mut self) -> Result<(), FollowError> {
        let failed = |name: &str, error| FollowError::Journal { name: name.to_owned(), error };
        let names = self.storage.names().map_err(|error| failed("the log's directory", error))?;
        let numbers: Vec<u64> = names.iter().filter_map(|name| segment::number_of(name)).collect();
        self.segments.retain(|number, _| numbers.contains(number));
        for number in numbers {
            let name = segment::file_name(number);
            match self.storage.open(&name) {
                Ok(file) => self.read_segment(number, &*file).map_err(|error| failed(&name, error))?,
                // Settled and gone since its name was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&name, error)),
            }
        }
        Ok(())
    }

    fn read_segment(&mut self, number: u64, file: &dyn StorageFile) -> io::Result<()> {
        let begun = Progress { offset: HEADER_BYTES as u64, is_sealed: false, fault: None };
        let progress = self.segments.entry(number).or_insert(begun);
        if progress.is_sealed {
            return Ok(());
        }
        progress.fault = None;
        let len = file.len()?;
        let mut window = Window { file, len, bytes: Vec::new(), start: progress.offset, at: 0, begin: 0 };
        let mut open: Vec<Seen> = Vec::new();
        let mut parts = 0;
        loop {
            let rest = &window.bytes[window.at..];
            let reading = record::read(rest, number);
            let may_go_on = reading == Reading::Broken(Fault::Length)
                || reading == Reading::Empty && rest.len() < record::HEADER_BYTES;
            if may_go_on && window.has_more() {
                if window.read_on()? {
                    continue;
                }
                return Ok(());
            }
            let (record, total) = match reading {
                Reading::Whole(record, total) => (record, total),
                Reading::Empty => return Ok(()),
                Reading::Broken(fault) => {
                    // Where nothing was written so far, an earlier use of the file may have left something.
                    progress.fault = Some(fault).filter(|_| progress.offset > HEADER_BYTES as u64);
                    return Ok(());
                }
            };
            window.at += total;
            let header = record.header;
            match header.kind {
                Kind::Effect => {
                    if parts == 0 {
                        parts = header.following.saturating_add(1);
                    }
                    let part = (parts > 1).then(|| (parts.saturating_sub(header.following), parts));
                    if header.slot == Some(self.slot) && header.sequence > self.last {
                        open.push(Seen { header, part, effect: record.effect.bytes().to_vec() });
                    }
                }
                Kind::Sealed => progress.is_sealed = true,
                Kind::Synced => {}
            }
            if header.following == 0 {
                self.waiting.extend(open.drain(..).map(|seen| (seen.header.sequence, seen)));
                parts = 0;
                window.begin = window.at;
                progress.offset = window.start + window.at as u64;
            }
            if progress.is_sealed {
                return Ok(());
            }
        }
    }
}

/// The part of a segment that is in memory.
struct Window<'a> {
    file: &'a dyn StorageFile,
    len: u64,
    bytes: Vec<u8>,
    /// Where the first byte stands in the file.
    start: u64,
    /// Where in the bytes the next record begins, and where the transaction does that it is part of.
    at: usize,
    begin: usize,
}

impl Window<'_> {
    fn has_more(&self) -> bool {
        self.start + (self.bytes.len() as u64) < self.len
    }

    /// Lets go of what is done with and reads some more; false when the file was cut meanwhile, by somebody who has
    /// settled or dropped what was there.
    fn read_on(&mut self) -> io::Result<bool> {
        self.bytes.drain(..self.begin);
        self.start += self.begin as u64;
        self.at -= self.begin;
        self.begin = 0;
        let from = self.bytes.len();
        let place = self.start + from as u64;
        let more = (self.len - place).min(from.max(STEP_BYTES) as u64);
        self.bytes.resize(from + more as usize, 0);
        match self.file.read_at(&mut self.bytes[from..], place) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            read => read.map(|()| true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::simulated_disk::SimulatedDisk;
    use super::super::table_writer::Change;
    use super::super::tables::Tables;
    use super::super::{segment, toy};
    use super::*;

    fn slot() -> SlotId {
        SlotId::new(7).unwrap()
    }

    fn record(sequence: u64, following: u32, value: &[u8], epoch: u64) -> Vec<u8> {
        let header = Header { following, ..toy::header(slot(), 3, sequence, 1000 + sequence) };
        toy::encoded(header, &[b"SET", b"k", value], epoch)
    }

    /// A segment's file, written as a server does: behind what is there.
    struct File {
        file: Arc<dyn StorageFile>,
        number: u64,
        end: u64,
    }

    impl File {
        fn new(disk: &SimulatedDisk, number: u64) -> File {
            let file = disk.create(&segment::file_name(number)).unwrap();
            file.write_at(&[0; 4096], 0).unwrap();
            File { file, number, end: HEADER_BYTES as u64 }
        }

        fn write(&mut self, sequence: u64, following: u32, value: &[u8]) {
            let bytes = record(sequence, following, value, self.number);
            self.file.write_at(&bytes, self.end).unwrap();
            self.end += bytes.len() as u64;
        }
    }

    fn numbers(found: &[Seen]) -> Vec<u64> {
        found.iter().map(|seen| seen.header.sequence).collect()
    }

    #[test]
    fn every_record_is_given_once_and_in_order_wherever_it_stands() {
        let disk = SimulatedDisk::new(1, 64 << 20);
        let storage: Arc<dyn Storage> = Arc::new(disk.clone());
        let mut follower = Follower::new(storage.clone(), slot());
        assert!(matches!(follower.read(), Err(FollowError::Nothing)));
        let tables = Tables::open(storage).unwrap().tables;
        let (mut one, mut two) = (File::new(&disk, 1), File::new(&disk, 2));
        assert!(follower.read().unwrap().is_empty());

        // Longer than what is read at once, and ending where a step does.
        one.write(1, 0, &vec![b'x'; 3 * STEP_BYTES]);
        one.write(2, 0, b"2");
        let found = follower.read().unwrap();
        assert_eq!(numbers(&found), [1, 2]);
        assert_eq!(found[0].effect().arguments().nth(2).unwrap().len(), 3 * STEP_BYTES);
        assert_eq!((found[1].header.database, found[1].header.time_ms, found[1].part), (3, 1002, None));

        // One lane is read before the other has the record before.
        two.write(4, 0, b"4");
        assert!(follower.read().unwrap().is_empty());
        assert_eq!(follower.obstacles(), ["record 3 is missing; the next one is 4"]);
        one.write(3, 0, b"3");
        assert_eq!(numbers(&follower.read().unwrap()), [3, 4]);

        // A transaction comes at once; half a record is one that is being written.
        two.write(5, 1, b"5");
        assert!(follower.read().unwrap().is_empty());
        let whole = record(6, 0, b"6", 2);
        two.file.write_at(&whole[..36], two.end).unwrap();
        assert!(follower.read().unwrap().is_empty());
        assert!(follower.obstacles()[0].starts_with("journal-0000000000000002 at offset "));
        two.write(6, 0, b"6");
        let found = follower.read().unwrap();
        assert_eq!(numbers(&found), [5, 6]);
        assert_eq!([found[0].part, found[1].part], [Some((1, 2)), Some((2, 2))]);
        assert!(follower.obstacles().is_empty());

        // Settled and gone before it was read, with one superseded; some of it was known.
        one.write(7, 0, b"7");
        assert_eq!(numbers(&follower.read().unwrap()), [7]);
        let mut batch = tables.batch();
        let from = batch.buffer().len();
        for sequence in [6, 7, 9] {
            let bytes = record(sequence, 0, b"settled", 0);
            batch.buffer().extend_from_slice(&bytes);
        }
        batch.append(slot(), Change { from, sequence: 10, history_ms: 0 }).unwrap();
        batch.publish(Default::default(), &mut || ()).unwrap();
        for number in [1, 2] {
            disk.remove(&segment::file_name(number)).unwrap();
        }
        let mut three = File::new(&disk, 3);
        three.write(11, 0, b"11");
        assert_eq!(numbers(&follower.read().unwrap()), [9, 11]);
        assert!(follower.read().unwrap().is_empty() && follower.obstacles().is_empty());
    }
}
