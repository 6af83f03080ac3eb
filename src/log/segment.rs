//! A segment: one file of the journal, mapped, that one lane appends to until it is sealed.
//!
//! ```text
//!  0  "CAIRNJNL"   8  u32 version   12  u32 lane   16  u64 number   24  u64 number of the lane's segment before
//! 32  u64 time when it was begun    40  zeros      60  u32 CRC32 of bytes 0 to 59         64  records
//!
//! | header | records .................. | zeros ........ | what the file held before, or nothing |
//!                                       ^ end            ^ filled                      capacity ^
//! ```
//! - Bytes before `end` are records and never change again; anyone may read them. `end` is stored with Release behind
//!   each record, and loaded with Acquire.
//! - Bytes from `end` to `filled` have their space on the disk and are zeros. Only the [`Writer`] touches them, and there
//!   is one writer for a segment: it is not cloned, and lives in its lane, under the lane's lock.
//! - Bytes from `filled` on are touched under the lock `filling` only, and `filled` moves under it. So the thread that
//!   fills ahead and a writer that it was too slow for never write zeros over records.
//! - The segment's number is in its name before anything is written, durably, and no number is used twice.

#![allow(unsafe_code)]

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::record::{self, NUMBER_MAX, Record};
use super::storage::{Mapping, Storage, StorageFile};

pub const HEADER_BYTES: usize = 64;
pub const VERSION: u32 = 1;
pub const MAGIC: [u8; 8] = *b"CAIRNJNL";
/// Bytes that are filled with one write. The page cache keeps what one write brings as one piece, and writes a piece
/// whole when a record in it has changed: large ones cost least to fill, small ones least to sync after every record.
pub const FILL_STEP_BYTES: usize = 256 << 10;
pub const SMALL_FILL_STEP_BYTES: usize = 16 << 10;
const NAME_PREFIX: &str = "journal-";
const SPARE_PREFIX: &str = "spare-";
const CHECKSUM_AT: usize = 60;

static ZEROS: [u8; FILL_STEP_BYTES] = [0; FILL_STEP_BYTES];

/// The name of segment `number`.
pub fn file_name(number: u64) -> String {
    format!("{NAME_PREFIX}{number:016x}")
}

/// The name of the file that was segment `number` and is free for use. Recovery takes such files away.
pub fn spare_name(number: u64) -> String {
    format!("{SPARE_PREFIX}{number:016x}")
}

/// The number of the segment that a file of this name is. 0 stands for none.
pub fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(NAME_PREFIX)?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (file_name(number) == name && (1..=NUMBER_MAX).contains(&number)).then_some(number)
}

pub fn is_spare(name: &str) -> bool {
    name.starts_with(SPARE_PREFIX)
}

/// The first bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub lane: u32,
    pub number: u64,
    /// The segment before it in its lane, 0 for the first since the server started.
    pub previous: u64,
    pub time_ms: u64,
}

/// What stands where a header belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderReading {
    Whole(Header),
    /// Zeros: space without a use so far.
    Empty,
    /// Its checksum is wrong, but the first eight bytes are those of a segment.
    Broken,
    /// Its checksum is wrong and it does not begin as a segment does, or the checksum is right and something else is.
    Foreign,
    /// Whole, of a version that this code does not know.
    Version(u32),
}

impl Header {
    pub fn write(&self, into: &mut [u8]) {
        let into = &mut into[..HEADER_BYTES];
        into.fill(0);
        into[0..8].copy_from_slice(&MAGIC);
        into[8..12].copy_from_slice(&VERSION.to_le_bytes());
        into[12..16].copy_from_slice(&self.lane.to_le_bytes());
        into[16..24].copy_from_slice(&self.number.to_le_bytes());
        into[24..32].copy_from_slice(&self.previous.to_le_bytes());
        into[32..40].copy_from_slice(&self.time_ms.to_le_bytes());
        let sum = crc32fast::hash(&into[..CHECKSUM_AT]);
        into[CHECKSUM_AT..].copy_from_slice(&sum.to_le_bytes());
    }

    /// Reads the header at the front of `bytes`, which may be too short to hold one.
    pub fn read(bytes: &[u8]) -> HeaderReading {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else { return HeaderReading::Empty };
        if bytes.iter().all(|byte| *byte == 0) {
            return HeaderReading::Empty;
        }
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let half = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let ours = bytes[0..8] == MAGIC;
        if crc32fast::hash(&bytes[..CHECKSUM_AT]) != half(CHECKSUM_AT) {
            return if ours { HeaderReading::Broken } else { HeaderReading::Foreign };
        }
        match half(8) {
            _ if !ours => HeaderReading::Foreign,
            VERSION => HeaderReading::Whole(Header {
                lane: half(12),
                number: number(16),
                previous: number(24),
                time_ms: number(32),
            }),
            version => HeaderReading::Version(version),
        }
    }
}

// ---- space -------------------------------------------------------------------------------------------------------

/// A mapped file that has the name of a segment, and how far it is filled with zeros.
pub struct Space {
    number: u64,
    file: Arc<dyn StorageFile>,
    mapping: Mapping,
    filled_bytes: AtomicUsize,
    filling: Mutex<()>,
}

impl Space {
    /// A new file for segment `number`. Its name is not durable yet.
    pub fn create(storage: &dyn Storage, number: u64, capacity: usize) -> io::Result<Space> {
        let file = storage.create(&file_name(number))?;
        let mapping = file.map(capacity)?;
        Ok(Space { number, file, mapping, filled_bytes: AtomicUsize::new(0), filling: Mutex::new(()) })
    }

    /// Gives the file of a spare to segment `number`. The name is not durable yet, and must be before anything is
    /// written.
    pub fn reuse(self, storage: &dyn Storage, number: u64) -> io::Result<Space> {
        storage.rename(&spare_name(self.number), &file_name(number))?;
        Ok(Space { number, filled_bytes: AtomicUsize::new(0), ..self })
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn capacity(&self) -> usize {
        self.mapping.len()
    }

    pub fn filled_bytes(&self) -> usize {
        self.filled_bytes.load(Ordering::Acquire)
    }

    /// Fills with zeros, up to `target` at least or the end of the file. What was filled before an error stays so.
    pub fn fill(&self, target: usize, step_bytes: usize) -> io::Result<()> {
        let target = target.min(self.capacity());
        while self.filled_bytes() < target {
            // Taken anew for each step: a writer that waits for space gets it after one of them.
            let _filling = self.filling.lock();
            let from = self.filled_bytes();
            let to = (from + 1).next_multiple_of(step_bytes).min(self.capacity());
            if from < target {
                self.file.write_at(&ZEROS[..to - from], from as u64)?;
                self.mapping.populate_for_write(from..to)?;
                self.filled_bytes.store(to, Ordering::Release);
            }
        }
        Ok(())
    }
}

// ---- segment -----------------------------------------------------------------------------------------------------

/// A segment that was begun. Shared: its lane's writer, the sync thread, and whoever reads it.
pub struct Segment {
    lane: u32,
    previous: u64,
    space: Space,
    end: AtomicUsize,
    /// Everything before this offset is durable.
    synced: AtomicUsize,
    sealed: AtomicBool,
    /// The generation of the changes in it, all of one.
    generation: AtomicU64,
    /// Bytes of a recovered segment that are not to be read: records that recovery dropped and damage, in order.
    skipped: Vec<Range<usize>>,
}

impl Segment {
    pub fn number(&self) -> u64 {
        self.space.number
    }

    pub fn lane(&self) -> u32 {
        self.lane
    }

    /// The segment before it in its lane, 0 for the first since the server started.
    pub fn previous(&self) -> u64 {
        self.previous
    }

    /// Where its records end at this moment.
    pub fn end(&self) -> usize {
        self.end.load(Ordering::Acquire)
    }

    /// True when nothing will be appended any more.
    pub fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// Its records up to the end at this moment, each with its offset, in the order of appending. All kinds.
    pub fn records(&self) -> Records<'_> {
        Records { bytes: self.bytes(0..self.end()), at: HEADER_BYTES, skipped: &self.skipped }
    }

    /// The record at `offset`, which [`Segment::records`] gave.
    #[inline]
    pub fn record(&self, offset: usize) -> Record<'_> {
        record::read_trusted(self.bytes(offset..self.end())).0
    }

    /// The record at `offset` as it stands there: header, effect and padding, its checksum of this segment's epoch.
    #[inline]
    pub fn record_bytes(&self, offset: usize) -> &[u8] {
        let bytes = self.bytes(offset..self.end());
        &bytes[..record::read_trusted(bytes).1]
    }

    /// Bytes before the end.
    #[inline]
    fn bytes(&self, range: Range<usize>) -> &[u8] {
        assert!(range.end <= self.end(), "{range:?} of a segment that ends at {}", self.end());
        // SAFETY: bytes before the end were written before the end was published and are never stored to again: the
        // writer goes on behind it. They lie within the file, which was filled that far.
        unsafe { self.space.mapping.bytes(range) }
    }

    pub(super) fn space(&self) -> &Space {
        &self.space
    }

    pub(super) fn file(&self) -> &dyn StorageFile {
        &*self.space.file
    }

    pub(super) fn synced(&self) -> usize {
        self.synced.load(Ordering::Acquire)
    }

    pub(super) fn set_synced(&self, offset: usize) {
        self.synced.fetch_max(offset, Ordering::AcqRel);
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Leaves out the record at `offset`.
    pub(super) fn skip(&mut self, offset: usize) {
        let range = offset..offset + self.record_bytes(offset).len();
        let at = self.skipped.partition_point(|skipped| skipped.start < offset);
        self.skipped.insert(at, range);
    }

    /// Takes the file out of a segment that nobody reads any more.
    pub(super) fn into_space(self) -> Space {
        self.space
    }

    /// A hint that the record at `offset` will be read.
    #[inline]
    pub(super) fn prefetch(&self, offset: usize) {
        let address = self.space.mapping.address_of(offset);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch is a hint; it reads nothing and faults on no address.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(address.cast());
            _mm_prefetch::<_MM_HINT_T0>(address.wrapping_add(64).cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = address;
    }
}

/// The records of a segment.
#[derive(Clone)]
pub struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
    skipped: &'a [Range<usize>],
}

impl<'a> Iterator for Records<'a> {
    type Item = (usize, Record<'a>);

    #[inline]
    fn next(&mut self) -> Option<(usize, Record<'a>)> {
        while let [skip, rest @ ..] = self.skipped
            && skip.start == self.at
        {
            self.at = skip.end;
            self.skipped = rest;
        }
        if self.at >= self.bytes.len() {
            return None;
        }
        let offset = self.at;
        let (record, total) = record::read_trusted(&self.bytes[offset..]);
        self.at += total;
        Some((offset, record))
    }
}

// ---- recovery ----------------------------------------------------------------------------------------------------

/// A segment that was found on the disk. Nobody else has the file.
pub(super) struct Found {
    number: u64,
    file: Arc<dyn StorageFile>,
    mapping: Mapping,
    len: usize,
}

/// What recovery found out about a segment.
pub(super) struct Verdict {
    pub lane: u32,
    pub previous: u64,
    pub end: usize,
    pub skipped: Vec<Range<usize>>,
    /// All of it is durable.
    pub is_synced: bool,
}

impl Found {
    pub fn open(storage: &dyn Storage, number: u64) -> io::Result<Found> {
        let file = storage.open(&file_name(number))?;
        let len = file.len()? as usize;
        // What the file does not have is not touched.
        let mapping = file.map(len.max(HEADER_BYTES))?;
        mapping.populate(0..HEADER_BYTES.min(len))?;
        Ok(Found { number, file, mapping, len })
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    /// Has all bytes read in; then an unreadable disk is an error here.
    pub fn load(&self) -> io::Result<()> {
        self.mapping.populate(0..self.len)
    }

    /// All bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: within the file, whose length was asked; it is cut only through `&mut self`, and nobody else has it.
        unsafe { self.mapping.bytes(0..self.len) }
    }

    /// Cuts the file; durable with the next sync.
    pub fn cut(&mut self, len: usize) -> io::Result<()> {
        if len < self.len {
            self.len = len;
            self.file.set_len(len as u64)?;
        }
        Ok(())
    }

    /// Makes the bytes of `range` durable, even if a sync of them failed before: the system may hold them for written
    /// then, while the disk does not have them. So they are written anew.
    pub fn make_durable(&self, range: Range<usize>) -> io::Result<()> {
        let mut copy = Vec::new();
        for at in range.clone().step_by(FILL_STEP_BYTES) {
            copy.clear();
            copy.extend_from_slice(&self.bytes()[at..range.end.min(at + FILL_STEP_BYTES)]);
            self.file.write_at(&copy, at as u64)?;
        }
        self.file.sync()
    }

    pub fn into_segment(self, verdict: Verdict) -> Segment {
        assert!(verdict.end <= self.len.max(HEADER_BYTES), "the records lie within the file");
        Segment {
            lane: verdict.lane,
            previous: verdict.previous,
            end: AtomicUsize::new(verdict.end),
            synced: AtomicUsize::new(if verdict.is_synced { verdict.end } else { 0 }),
            sealed: AtomicBool::new(true),
            generation: AtomicU64::new(0),
            skipped: verdict.skipped,
            space: Space {
                number: self.number,
                file: self.file,
                mapping: self.mapping,
                filled_bytes: AtomicUsize::new(self.len),
                filling: Mutex::new(()),
            },
        }
    }
}

// ---- writer ------------------------------------------------------------------------------------------------------

/// The one that appends to a segment.
pub struct Writer {
    segment: Arc<Segment>,
    end: usize,
    /// How far the space was filled when it was last asked.
    filled: usize,
}

impl Writer {
    /// Begins a segment: its name is durable, and `space` is filled for the header at least.
    pub fn begin(space: Space, lane: u32, previous: u64, generation: u64, time_ms: u64) -> Writer {
        assert!(space.filled_bytes() >= HEADER_BYTES, "a segment is begun in filled space");
        let header = Header { lane, number: space.number, previous, time_ms };
        // SAFETY: filled, by the check above; the space is this function's alone.
        header.write(unsafe { space.mapping.bytes_mut(0..HEADER_BYTES) });
        let segment = Arc::new(Segment {
            lane,
            previous,
            space,
            end: AtomicUsize::new(HEADER_BYTES),
            synced: AtomicUsize::new(0),
            sealed: AtomicBool::new(false),
            generation: AtomicU64::new(generation),
            skipped: Vec::new(),
        });
        let filled = segment.space.filled_bytes();
        Writer { segment, end: HEADER_BYTES, filled }
    }

    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    pub fn end(&self) -> usize {
        self.end
    }

    /// Bytes that can be appended now, as far as this writer knows.
    #[inline]
    pub fn room(&self) -> usize {
        self.filled - self.end
    }

    /// Learns how far the space is filled by now.
    pub fn refresh(&mut self) {
        self.filled = self.segment.space.filled_bytes();
    }

    /// Appends `bytes` bytes that `write` writes, all of them, given the epoch. They are published when it has returned.
    ///
    /// # Panics
    /// If there is no room.
    #[inline]
    pub fn append(&mut self, bytes: usize, write: impl FnOnce(&mut [u8], u64)) {
        assert!(bytes <= self.room(), "an append into space that is not filled");
        let end = self.end + bytes;
        // SAFETY: the range is filled, by the check above, so nobody fills it. It lies behind the published end, so
        // nobody reads it. There is one writer, borrowed mutably here.
        write(unsafe { self.segment.space.mapping.bytes_mut(self.end..end) }, self.segment.space.number);
        self.end = end;
        self.segment.end.store(end, Ordering::Release);
    }

    /// Nothing follows.
    pub fn seal(self) -> Arc<Segment> {
        self.segment.sealed.store(true, Ordering::Release);
        self.segment
    }

    /// Takes a segment without changes to another generation.
    pub fn set_generation(&mut self, generation: u64) {
        self.segment.generation.store(generation, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::super::simulated_disk::SimulatedDisk;
    use super::*;

    #[test]
    fn the_header_is_that_of_the_format_document() {
        let header = Header { lane: 3, number: 0x1234, previous: 0x1200, time_ms: 77 };
        let mut bytes = [0xee; HEADER_BYTES];
        header.write(&mut bytes);
        assert_eq!(&bytes[..20], b"CAIRNJNL\x01\0\0\0\x03\0\0\0\x34\x12\0\0");
        assert_eq!(bytes[24..40], [0, 0x12, 0, 0, 0, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[40..60], [0; 20]);
        assert_eq!(bytes[60..], crc32fast::hash(&bytes[..60]).to_le_bytes());
        assert_eq!(Header::read(&bytes), HeaderReading::Whole(header));
        for at in 0..HEADER_BYTES {
            let mut flipped = bytes;
            flipped[at] ^= 1;
            let expected = if at < 8 { HeaderReading::Foreign } else { HeaderReading::Broken };
            assert_eq!(Header::read(&flipped), expected);
        }
        assert_eq!(Header::read(&[0; 64]), HeaderReading::Empty);
        assert_eq!(Header::read(&[1; 63]), HeaderReading::Empty);
    }

    #[test]
    fn names_are_exact() {
        assert_eq!(number_of("journal-00000000000000ff"), Some(255));
        assert_eq!(number_of(&file_name(0)), None);
        assert_eq!(number_of(&file_name(u64::MAX)), None);
        for name in ["journal-ff", "journal-00000000000000FF", "journal-00000000000000fg", "slots-0001", "journal-"] {
            assert_eq!(number_of(name), None, "{name}");
        }
        assert!(is_spare(&spare_name(9)) && number_of(&spare_name(9)).is_none());
    }

    #[test]
    fn a_writer_writes_into_zeros_also_in_a_file_used_again() {
        let disk = SimulatedDisk::new(1, 1 << 20);
        let mut space = Space::create(&disk, 1, 600 << 10).unwrap();
        for number in 1..3 {
            assert_eq!(space.number(), number);
            space.fill(1, FILL_STEP_BYTES).unwrap();
            assert_eq!(space.filled_bytes(), FILL_STEP_BYTES);
            space.fill(usize::MAX, FILL_STEP_BYTES).unwrap();
            assert_eq!(space.filled_bytes(), 600 << 10);
            let mut writer = Writer::begin(space, 0, 0, 1, 5);
            let segment = Arc::clone(writer.segment());
            let header = record::Header {
                kind: record::Kind::Sealed,
                slot: None,
                database: 0,
                sequence: 8,
                time_ms: 1,
                following: 0,
            };
            while writer.room() >= 40 {
                writer.append(40, |into, epoch| {
                    assert!(into.iter().all(|byte| *byte == 0) && epoch == number);
                    record::write(into, header, &[b""], 2, epoch);
                });
            }
            assert_eq!(segment.end(), writer.end());
            assert_eq!(segment.records().count(), ((600 << 10) - HEADER_BYTES) / 40);
            assert_eq!(segment.record(HEADER_BYTES + 40).header, header);
            drop(segment);
            let released = Arc::try_unwrap(writer.seal()).ok().unwrap();
            disk.rename(&file_name(number), &spare_name(number)).unwrap();
            space = released.into_space().reuse(&disk, number + 1).unwrap();
            assert_eq!(disk.names().unwrap(), [file_name(number + 1)]);
        }
    }
}
