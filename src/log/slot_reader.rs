//! Reading one slot's log, and what can be wrong with it.
//!
//! The bytes of the log are taken whole: out of the file's mapping where they are one piece, copied into the caller's
//! buffer where they stand in several extents. The mapping's pages are populated first, so that a disk that cannot
//! deliver them is an error here and no signal later. Then each record is checked as it is taken: checksum, slot,
//! ascending sequence; and behind the last one the number of records and the digest. The first thing that is wrong
//! ends the reading with a [`SlotFault`] that says where it is.
//!
//! Sequence numbers ascend, except that records which compaction made out of one history share its last number.

use std::fmt;

use super::manifest::SlotLog;
use super::record::{self, HEADER_BYTES, Kind, Reading, Record};
use super::tables::{Version, file_name};
use crate::base::key_slot::SlotId;

/// Why a slot's log is refused, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotFault {
    pub slot: SlotId,
    /// The file that holds the place, and the offset in it; the file alone where it could not be opened.
    pub file: String,
    pub offset: u64,
    pub cause: Cause,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The tablespace file is missing or its header is not what it must be.
    File(String),
    /// The disk did not deliver.
    Io(String),
    Record(record::Fault),
    /// Nothing was written where a record must be.
    Empty,
    /// A whole record, but not zeros behind it up to the next.
    Padding,
    /// A whole record of another slot, or of none.
    Foreign(Option<SlotId>),
    /// A whole record whose number is not behind the one before.
    Sequence {
        before: u64,
        found: u64,
    },
    /// A record is numbered above the last that is settled.
    Unsettled {
        settled: u64,
        found: u64,
    },
    /// Whole records, but not as many as were written.
    Count {
        written: u64,
        found: u64,
    },
    /// As many whole records as were written, but not the same ones.
    Digest,
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::File(why) => write!(formatter, "{why}"),
            Cause::Io(error) => write!(formatter, "cannot be read: {error}"),
            Cause::Record(fault) => write!(formatter, "{fault}"),
            Cause::Empty => write!(formatter, "nothing was written where a record must be"),
            Cause::Padding => write!(formatter, "the padding behind a record is damaged"),
            Cause::Foreign(Some(slot)) => write!(formatter, "a record of slot {}", slot.number()),
            Cause::Foreign(None) => write!(formatter, "a record that belongs to no slot log"),
            Cause::Sequence { before, found } => write!(formatter, "record {found} stands behind record {before}"),
            Cause::Unsettled { settled, found } => {
                write!(formatter, "record {found} is above {settled}, the last that is settled")
            }
            Cause::Count { written, found } => write!(formatter, "{found} records where {written} were written"),
            Cause::Digest => write!(formatter, "the records are not the ones that were written"),
        }
    }
}

impl fmt::Display for SlotFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SlotFault { slot, file, offset, cause } = self;
        write!(formatter, "slot {}: {file} at {offset}: {cause}", slot.number())
    }
}

impl std::error::Error for SlotFault {}

/// A record of a slot log that was found whole, and its bytes with header and padding.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    pub record: Record<'a>,
    pub raw: &'a [u8],
}

/// The records of a slot log, checked as they are taken.
pub struct SlotRecords<'a> {
    slot: SlotId,
    log: &'a SlotLog,
    bytes: &'a [u8],
    at: usize,
    before: u64,
    found: u64,
    digest: Digest,
    ended: bool,
}

impl Version {
    /// The records of a slot's log. `buffer` is filled where the log is not one piece.
    pub fn read<'a>(&'a self, slot: SlotId, buffer: &'a mut Vec<u8>) -> Result<SlotRecords<'a>, SlotFault> {
        let log = self.slot(slot);
        let bytes = self.bytes(slot, buffer)?;
        Ok(SlotRecords { slot, log, bytes, at: 0, before: 0, found: 0, digest: Digest::default(), ended: false })
    }
}

impl<'a> SlotRecords<'a> {
    /// All bytes of the log, checked or not.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Takes all records that are left and finds out whether all is well.
    pub fn check(mut self) -> Result<(), SlotFault> {
        self.try_for_each(|stored| stored.map(drop))
    }

    fn fault(&mut self, cause: Cause) -> SlotFault {
        self.ended = true;
        let at = self.at as u64;
        let mut begin = 0;
        let place = self.log.extents.iter().find_map(|extent| {
            let within = at - begin;
            begin += extent.bytes();
            (within < extent.bytes()).then(|| (file_name(extent.file), extent.offset_bytes() + within))
        });
        // Past the last byte of a full extent, or in a log without one: the manifest is what it contradicts.
        let (file, offset) = place.unwrap_or_else(|| match self.log.extents.last() {
            Some(last) => (file_name(last.file), last.offset_bytes() + last.bytes()),
            None => (super::manifest::NAME.to_owned(), 0),
        });
        SlotFault { slot: self.slot, file, offset, cause }
    }

    fn take(&mut self) -> Result<Option<Stored<'a>>, Cause> {
        let log = self.log;
        let rest = &self.bytes[self.at..];
        if rest.is_empty() {
            self.ended = true;
            if self.found != log.records {
                return Err(Cause::Count { written: log.records, found: self.found });
            }
            return if std::mem::take(&mut self.digest).value() == log.digest { Ok(None) } else { Err(Cause::Digest) };
        }
        let (record, total) = match record::read(rest, 0) {
            Reading::Whole(record, total) => (record, total),
            Reading::Empty => return Err(Cause::Empty),
            Reading::Broken(fault) => return Err(Cause::Record(fault)),
        };
        let header = record.header;
        if header.kind != Kind::Effect || header.slot != Some(self.slot) {
            return Err(Cause::Foreign(header.slot));
        }
        let in_base = (self.at as u64) < log.base_bytes;
        if header.sequence < self.before || header.sequence == self.before && !(in_base && self.found > 0) {
            return Err(Cause::Sequence { before: self.before, found: header.sequence });
        }
        if header.sequence > log.sequence {
            return Err(Cause::Unsettled { settled: log.sequence, found: header.sequence });
        }
        let raw = &rest[..total];
        if raw[HEADER_BYTES + record.effect.bytes().len()..].iter().any(|byte| *byte != 0) {
            return Err(Cause::Padding);
        }
        self.digest.add(raw);
        self.before = header.sequence;
        self.found += 1;
        self.at += total;
        Ok(Some(Stored { record, raw }))
    }
}

impl<'a> Iterator for SlotRecords<'a> {
    type Item = Result<Stored<'a>, SlotFault>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.take() {
            Ok(stored) => stored.map(Ok),
            Err(cause) => Some(Err(self.fault(cause))),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // One more for a fault.
        (0, Some((self.log.records - self.found.min(self.log.records)) as usize + 1))
    }
}

/// The CRC32 of the checksum fields of records.
pub struct Digest {
    hasher: crc32fast::Hasher,
    /// Summed together: the fields are short, and a call costs more than its bytes.
    pending: [u8; Digest::PENDING_BYTES],
    len: usize,
}

impl Default for Digest {
    fn default() -> Digest {
        Digest::onto(0, 0)
    }
}

impl Digest {
    const PENDING_BYTES: usize = 256;

    /// Goes on from the digest of `records`.
    pub fn onto(digest: u32, records: u64) -> Digest {
        let hasher = crc32fast::Hasher::new_with_initial_len(digest, records * 4);
        Digest { hasher, pending: [0; Digest::PENDING_BYTES], len: 0 }
    }

    /// Adds a record by its bytes, in epoch 0.
    #[inline]
    pub fn add(&mut self, raw: &[u8]) {
        if self.len == Digest::PENDING_BYTES {
            self.hasher.update(&self.pending);
            self.len = 0;
        }
        self.pending[self.len..self.len + 4].copy_from_slice(&raw[4..8]);
        self.len += 4;
    }

    pub fn value(mut self) -> u32 {
        self.hasher.update(&self.pending[..self.len]);
        self.hasher.finalize()
    }
}

/// Walks records that are known to be whole: their bytes, one behind the other.
pub fn walk(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, _) = bytes.split_first_chunk()?;
        debug_assert!(bytes.len() >= HEADER_BYTES);
        let (raw, rest) = bytes.split_at_checked(record::record_bytes(u32::from_le_bytes(*len) as usize))?;
        bytes = rest;
        Some(raw)
    })
}
