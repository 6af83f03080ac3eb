//! The manifest: which slot logs there are, where they stand and how far they go. `docs/disk-format.md` describes its
//! bytes; this file is the only one that reads or writes them.
//!
//! It is replaced whole: written to `manifest.new`, synced, renamed to `manifest`, the directory synced. So there is
//! always one whole manifest, and what was being written when the machine stopped is a `manifest.new` to throw away.
//!
//! What [`read`] can find:
//! - no manifest and no other file of ours: a fresh directory;
//! - no manifest beside other files of ours: an error, since what they hold would be lost;
//! - foreign magic, a newer version, a bad checksum, entries that make no sense: an error each;
//! - a `manifest.new`: what an interrupted replacement left. It is passed over, and [`tidy`] removes it.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::extents::{EXTENT_UNITS_MAX, Extent, FILE_UNITS_MAX, HEADER_UNITS, UNIT_BYTES};
use super::record::{HEADER_BYTES as RECORD_BYTES_MIN, NUMBER_MAX};
use super::storage::Storage;
use crate::base::key_slot::{SLOT_COUNT, SlotId};

pub const NAME: &str = "manifest";
pub const NEW_NAME: &str = "manifest.new";
const MAGIC: &[u8; 8] = b"CAIRNMAN";
/// The version of all files of the directory.
pub const FORMAT_VERSION: u32 = 1;
const NUMBER_AT: u64 = 16;
const FIXED_BYTES: usize = 40;
const ENTRY_BYTES: usize = 48;
const EXTENT_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 4;

/// A slot's log: where it stands and what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotLog {
    pub extents: Vec<Extent>,
    /// CRC32 of the checksum fields of all records, one behind the other.
    pub digest: u32,
    /// The last record that is settled, superseded or not. 0 where none ever was.
    pub sequence: u64,
    pub bytes: u64,
    pub records: u64,
    /// What compaction wrote when it last wrote the log anew.
    pub base_bytes: u64,
    /// From this Unix time on the state of every moment can be rebuilt.
    pub history_ms: u64,
}

impl SlotLog {
    /// Bytes that the extents have room for.
    pub fn capacity_bytes(&self) -> u64 {
        self.extents.iter().map(|extent| extent.bytes()).sum()
    }
}

/// What the manifest says of the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalMark {
    /// No segment has a number above this, nor had one, when the manifest was written.
    pub last_number: u64,
    /// Segments that must be there. From each, sealed records lead to the ones behind it.
    pub heads: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub number: u64,
    pub journal: JournalMark,
    /// In ascending order.
    pub slots: Vec<(SlotId, Arc<SlotLog>)>,
}

#[derive(Debug)]
pub enum ManifestError {
    Io(io::Error),
    /// There is none, but this file of ours is there.
    Absent(String),
    /// Not a manifest of ours.
    Foreign,
    /// Written by another version, which this one does not read.
    Version(u32),
    /// Shorter than its entries.
    Short,
    Checksum,
    /// Whole, but it makes no sense.
    Meaning(String),
}

impl fmt::Display for ManifestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ManifestError::Io(error) => write!(formatter, "the manifest cannot be read: {error}"),
            ManifestError::Absent(name) => write!(formatter, "there is no manifest, but there is {name}"),
            ManifestError::Foreign => write!(formatter, "the manifest is none of Cairn's"),
            ManifestError::Version(version) => {
                write!(formatter, "the manifest is of format version {version}, known is {FORMAT_VERSION}")
            }
            ManifestError::Short => write!(formatter, "the manifest is cut short"),
            ManifestError::Checksum => write!(formatter, "the manifest is damaged: bad checksum"),
            ManifestError::Meaning(what) => write!(formatter, "the manifest is whole but makes no sense: {what}"),
        }
    }
}

impl std::error::Error for ManifestError {}

impl From<io::Error> for ManifestError {
    fn from(error: io::Error) -> ManifestError {
        ManifestError::Io(error)
    }
}

/// Reads the manifest in force; `None` in a fresh directory. Changes nothing.
pub fn read(storage: &dyn Storage) -> Result<Option<Manifest>, ManifestError> {
    let names = storage.names()?;
    if names.iter().all(|name| name != NAME) {
        let beside = names.iter().filter(|name| name.starts_with("journal-") || name.starts_with("slots-")).min();
        return beside.map_or(Ok(None), |name| Err(ManifestError::Absent(name.clone())));
    }
    let file = storage.open(NAME)?;
    let mut bytes = vec![0; file.len()? as usize];
    file.read_at(&mut bytes, 0)?;
    decode(&bytes).map(Some)
}

/// The number of the manifest in force, unchecked: to see whether it is still the same one.
pub fn number(storage: &dyn Storage) -> io::Result<u64> {
    let mut number = [0; 8];
    storage.open(NAME)?.read_at(&mut number, NUMBER_AT)?;
    Ok(u64::from_le_bytes(number))
}

/// Removes what an interrupted replacement left.
pub fn tidy(storage: &dyn Storage) -> io::Result<()> {
    let is_there = storage.names()?.iter().any(|name| name == NEW_NAME);
    if is_there { storage.remove(NEW_NAME) } else { Ok(()) }
}

/// What a failed replacement left.
#[derive(Debug)]
pub enum ReplaceError {
    /// The manifest before is still in force.
    Before(io::Error),
    /// Which of the two is found after a crash is not known.
    InDoubt(io::Error),
}

/// Puts an encoded manifest in the place of the one in force. `pause` is called between bounded steps.
pub fn replace(storage: &dyn Storage, bytes: &[u8], pause: &mut dyn FnMut()) -> Result<(), ReplaceError> {
    const STEP_BYTES: usize = 128 << 10;
    let write = |pause: &mut dyn FnMut()| {
        let file = storage.create(NEW_NAME)?;
        for (index, step) in bytes.chunks(STEP_BYTES).enumerate() {
            file.write_at(step, (index * STEP_BYTES) as u64)?;
            pause();
        }
        file.sync()
    };
    write(pause).map_err(ReplaceError::Before)?;
    storage.rename(NEW_NAME, NAME).and_then(|()| storage.sync_directory()).map_err(ReplaceError::InDoubt)
}

/// The bytes of a manifest; slots come in ascending order. `pause` is called between bounded steps.
pub fn encode<'a>(
    number: u64,
    journal: &JournalMark,
    mut slots: impl Iterator<Item = (SlotId, &'a SlotLog)> + Clone,
    pause: &mut dyn FnMut(),
) -> Vec<u8> {
    const STEP_SLOTS: usize = 1024;
    let (mut count, mut extents) = (0, 0);
    for (_, log) in slots.clone() {
        count += 1;
        extents += log.extents.len();
    }
    let len = FIXED_BYTES + 8 * journal.heads.len() + ENTRY_BYTES * count + EXTENT_BYTES * extents;
    let mut bytes = Vec::with_capacity(len + CHECKSUM_BYTES);
    let mut hasher = crc32fast::Hasher::new();
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&(count as u32).to_le_bytes());
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&journal.last_number.to_le_bytes());
    bytes.extend_from_slice(&(journal.heads.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    debug_assert_eq!(bytes.len(), FIXED_BYTES);
    journal.heads.iter().for_each(|head| bytes.extend_from_slice(&head.to_le_bytes()));
    hasher.update(&bytes);
    while bytes.len() < len {
        let from = bytes.len();
        for (slot, log) in slots.by_ref().take(STEP_SLOTS) {
            encode_entry(slot, log, &mut bytes);
        }
        hasher.update(&bytes[from..]);
        pause();
    }
    bytes.extend_from_slice(&hasher.finalize().to_le_bytes());
    debug_assert_eq!(bytes.len(), len + CHECKSUM_BYTES);
    bytes
}

fn encode_entry(slot: SlotId, log: &SlotLog, bytes: &mut Vec<u8>) {
    let mut entry = [0; ENTRY_BYTES];
    entry[0..2].copy_from_slice(&slot.number().to_le_bytes());
    entry[2..4].copy_from_slice(&(log.extents.len() as u16).to_le_bytes());
    entry[4..8].copy_from_slice(&log.digest.to_le_bytes());
    entry[8..16].copy_from_slice(&log.sequence.to_le_bytes());
    entry[16..24].copy_from_slice(&log.bytes.to_le_bytes());
    entry[24..32].copy_from_slice(&log.records.to_le_bytes());
    entry[32..40].copy_from_slice(&log.base_bytes.to_le_bytes());
    entry[40..48].copy_from_slice(&log.history_ms.to_le_bytes());
    bytes.extend_from_slice(&entry);
    for extent in &log.extents {
        let mut encoded = [0; EXTENT_BYTES];
        encoded[0..4].copy_from_slice(&extent.file.to_le_bytes());
        encoded[4..8].copy_from_slice(&extent.units.to_le_bytes());
        encoded[8..16].copy_from_slice(&extent.offset_bytes().to_le_bytes());
        bytes.extend_from_slice(&encoded);
    }
}

/// Takes fixed-length fields off the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], ManifestError> {
        let (field, rest) = self.0.split_first_chunk().ok_or(ManifestError::Short)?;
        self.0 = rest;
        Ok(field)
    }

    fn u16(&mut self) -> Result<u16, ManifestError> {
        self.take().map(|field| u16::from_le_bytes(*field))
    }

    fn u32(&mut self) -> Result<u32, ManifestError> {
        self.take().map(|field| u32::from_le_bytes(*field))
    }

    fn u64(&mut self) -> Result<u64, ManifestError> {
        self.take().map(|field| u64::from_le_bytes(*field))
    }
}

/// Reads a manifest, checking all of it.
pub fn decode(bytes: &[u8]) -> Result<Manifest, ManifestError> {
    let mut fields = Fields(bytes);
    // The magic and the version come before the checksum: what another version sums is not known.
    let magic: &[u8; 8] = fields.take()?;
    if magic != MAGIC {
        return Err(ManifestError::Foreign);
    }
    let version = fields.u32()?;
    if version != FORMAT_VERSION {
        return Err(ManifestError::Version(version));
    }
    let (body, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(ManifestError::Short)?;
    if body.len() < FIXED_BYTES {
        return Err(ManifestError::Short);
    }
    if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return Err(ManifestError::Checksum);
    }
    let mut fields = Fields(&body[12..]);
    let slot_count = fields.u32()? as usize;
    let number = fields.u64()?;
    let last_number = fields.u64()?;
    let head_count = fields.u32()? as usize;
    let zeros = fields.u32()?;
    debug_assert_eq!(body.len() - fields.0.len(), FIXED_BYTES);
    if zeros != 0 || slot_count > SLOT_COUNT || head_count > fields.0.len() / 8 {
        return Err(ManifestError::Meaning("its counts".to_owned()));
    }
    let heads = (0..head_count).map(|_| fields.u64()).collect::<Result<Vec<u64>, _>>()?;
    if last_number > NUMBER_MAX {
        return Err(ManifestError::Meaning("the journal's last number".to_owned()));
    }
    if heads.iter().any(|head| *head > last_number) {
        return Err(ManifestError::Meaning("a journal head above the last number".to_owned()));
    }
    let mut slots: Vec<(SlotId, Arc<SlotLog>)> = Vec::with_capacity(slot_count);
    for _ in 0..slot_count {
        let (slot, log) = decode_entry(&mut fields)?;
        if slots.last().is_some_and(|(before, _)| *before >= slot) {
            return Err(ManifestError::Meaning(format!("slot {} out of order", slot.number())));
        }
        slots.push((slot, Arc::new(log)));
    }
    if !fields.0.is_empty() {
        return Err(ManifestError::Meaning("bytes behind the last entry".to_owned()));
    }
    check_overlaps(&slots)?;
    Ok(Manifest { number, journal: JournalMark { last_number, heads }, slots })
}

fn decode_entry(fields: &mut Fields<'_>) -> Result<(SlotId, SlotLog), ManifestError> {
    let number = fields.u16()?;
    let wrong = |what: &str| ManifestError::Meaning(format!("slot {number}: {what}"));
    let slot = SlotId::new(number).ok_or_else(|| wrong("no such slot"))?;
    let extent_count = usize::from(fields.u16()?);
    let digest = fields.u32()?;
    let sequence = fields.u64()?;
    let (bytes, records) = (fields.u64()?, fields.u64()?);
    let (base_bytes, history_ms) = (fields.u64()?, fields.u64()?);
    let mut extents = Vec::with_capacity(extent_count);
    for _ in 0..extent_count {
        let (file, units, offset_bytes) = (fields.u32()?, fields.u32()?, fields.u64()?);
        let start_units = offset_bytes / UNIT_BYTES;
        let end_units = start_units.saturating_add(u64::from(units));
        let in_bounds = offset_bytes.is_multiple_of(UNIT_BYTES)
            && start_units >= u64::from(HEADER_UNITS)
            && end_units <= u64::from(FILE_UNITS_MAX)
            && (1..=EXTENT_UNITS_MAX).contains(&units);
        if !in_bounds {
            return Err(wrong("an extent out of bounds"));
        }
        extents.push(Extent { file, start_units: start_units as u32, units });
    }
    let log = SlotLog { extents, digest, sequence, bytes, records, base_bytes, history_ms };
    if log.bytes > log.capacity_bytes() {
        return Err(wrong("its extents are shorter than its log"));
    }
    if log.sequence > NUMBER_MAX {
        return Err(wrong("its sequence number"));
    }
    if log.base_bytes > log.bytes || log.records > log.bytes / RECORD_BYTES_MIN as u64 {
        return Err(wrong("its lengths contradict one another"));
    }
    Ok((slot, log))
}

fn check_overlaps(slots: &[(SlotId, Arc<SlotLog>)]) -> Result<(), ManifestError> {
    let mut extents: Vec<(Extent, SlotId)> = Vec::new();
    for (slot, log) in slots {
        extents.extend(log.extents.iter().map(|extent| (*extent, *slot)));
    }
    extents.sort_unstable();
    for pair in extents.windows(2) {
        let ([(before, one), (behind, other)], true) = (pair, pair.len() == 2) else { continue };
        if before.file == behind.file && before.end_units() > behind.start_units {
            let slots = format!("slots {} and {} share an extent", one.number(), other.number());
            return Err(ManifestError::Meaning(slots));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: u16) -> SlotId {
        SlotId::new(number).unwrap()
    }

    fn example() -> Manifest {
        let extent = |file, start_units, units| Extent { file, start_units, units };
        let first = SlotLog {
            extents: vec![extent(0, 1, 1), extent(2, 0x1_0000, 4)],
            digest: 0x0403_0201,
            sequence: 0x1111,
            bytes: 5000,
            records: 40,
            base_bytes: 4000,
            history_ms: 1_795_000_000_123,
        };
        let second = SlotLog { sequence: 9, ..SlotLog::default() };
        let journal = JournalMark { last_number: 12, heads: vec![11, 12] };
        Manifest { number: 77, journal, slots: vec![(slot(5), Arc::new(first)), (slot(16_383), Arc::new(second))] }
    }

    fn encoded(manifest: &Manifest) -> Vec<u8> {
        let slots = manifest.slots.iter().map(|(slot, log)| (*slot, &**log));
        encode(manifest.number, &manifest.journal, slots, &mut || ())
    }

    /// Changes an encoded manifest and makes its checksum right again.
    fn forged(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = encoded(&example());
        bytes.truncate(bytes.len() - CHECKSUM_BYTES);
        change(&mut bytes);
        let sum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    #[test]
    fn bytes_are_those_of_the_format_document() {
        let bytes = encoded(&example());
        assert_eq!(&bytes[0..8], b"CAIRNMAN");
        assert_eq!(bytes[8..16], [1, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(bytes[16..24], 77u64.to_le_bytes());
        assert_eq!(bytes[24..32], 12u64.to_le_bytes());
        assert_eq!(bytes[32..40], [2, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[40..48], 11u64.to_le_bytes());
        assert_eq!(bytes[48..56], 12u64.to_le_bytes());
        let entry = &bytes[56..];
        assert_eq!(entry[0..8], [5, 0, 2, 0, 1, 2, 3, 4]);
        assert_eq!(entry[8..16], 0x1111u64.to_le_bytes());
        assert_eq!(entry[16..24], 5000u64.to_le_bytes());
        assert_eq!(entry[24..32], 40u64.to_le_bytes());
        assert_eq!(entry[32..40], 4000u64.to_le_bytes());
        assert_eq!(entry[40..48], 1_795_000_000_123u64.to_le_bytes());
        assert_eq!(entry[48..56], [0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(entry[56..64], 4096u64.to_le_bytes());
        assert_eq!(entry[64..72], [2, 0, 0, 0, 4, 0, 0, 0]);
        assert_eq!(entry[72..80], 0x1000_0000u64.to_le_bytes());
        assert_eq!(entry[80..84], [0xff, 0x3f, 0, 0]);
        assert_eq!(entry.len(), 80 + 48 + 4);
        assert_eq!(entry[128..], crc32fast::hash(&bytes[..bytes.len() - 4]).to_le_bytes());
        assert_eq!(decode(&bytes).unwrap(), example());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let bytes = encoded(&example());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = decode(&flipped).unwrap_err();
            match bit / 8 {
                0..8 => assert!(matches!(error, ManifestError::Foreign), "{error}"),
                8..12 => assert!(matches!(error, ManifestError::Version(_)), "{error}"),
                _ => assert!(matches!(error, ManifestError::Checksum), "{error}"),
            }
        }
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err(), "{len}");
        }
        let newer = ManifestError::Version(2).to_string();
        assert_eq!(newer, "the manifest is of format version 2, known is 1");
    }

    #[test]
    fn whole_manifests_that_make_no_sense_are_refused() {
        let entry = 56;
        let cases: [(&str, Vec<u8>); 10] = [
            ("its counts", forged(|bytes| bytes[13] = 0xff)),
            ("its counts", forged(|bytes| bytes[33] = 0xff)),
            ("a journal head above", forged(|bytes| bytes[40] = 13)),
            ("slot 16383 out of order", forged(|bytes| bytes[entry..entry + 2].copy_from_slice(&[0xff, 0x3f]))),
            ("no such slot", forged(|bytes| bytes[entry..entry + 2].copy_from_slice(&[0, 0x40]))),
            ("out of bounds", forged(|bytes| bytes[entry + 56] = 1)),
            ("out of bounds", forged(|bytes| bytes[entry + 57] = 0)),
            ("out of bounds", forged(|bytes| bytes[entry + 52] = 0)),
            ("shorter than its log", forged(|bytes| bytes[entry + 18] = 1)),
            ("contradict", forged(|bytes| bytes[entry + 25] = 1)),
        ];
        for (expected, bytes) in cases {
            let error = decode(&bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error} for {expected}");
        }
        let overlapping = forged(|bytes| {
            bytes[entry + 64..entry + 68].fill(0);
            bytes[entry + 72..entry + 80].copy_from_slice(&4096u64.to_le_bytes());
        });
        assert!(decode(&overlapping).unwrap_err().to_string().contains("share an extent"));
        let longer = forged(|bytes| bytes.extend([0; 8]));
        assert!(decode(&longer).unwrap_err().to_string().contains("behind the last entry"));
        assert!(matches!(decode(&forged(|bytes| bytes.truncate(100))), Err(ManifestError::Short)));
    }
}
