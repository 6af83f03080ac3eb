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
//! - a `manifest.new`: what an interrupted replacement left; removed.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::extents::{EXTENT_UNITS_MAX, Extent, FILE_UNITS_MAX, HEADER_UNITS, UNIT_BYTES};
use super::record::HEADER_BYTES as RECORD_BYTES_MIN;
use super::storage::Storage;
use crate::base::key_slot::{SLOT_COUNT, SlotId};

pub const NAME: &str = "manifest";
pub const NEW_NAME: &str = "manifest.new";
const MAGIC: &[u8; 8] = b"CAIRNMAN";
/// The version of all files of the directory.
pub const FORMAT_VERSION: u32 = 1;
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
    /// In ascending order. Shared with the version in memory that this is written from.
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

/// Reads the manifest in force; `None` in a fresh directory.
pub fn read(storage: &dyn Storage) -> Result<Option<Manifest>, ManifestError> {
    let names = storage.names()?;
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    if !has(NAME) {
        let beside = names.iter().filter(|name| name.starts_with("journal-") || name.starts_with("slots-")).min();
        if let Some(name) = beside {
            return Err(ManifestError::Absent(name.clone()));
        }
    }
    if has(NEW_NAME) {
        storage.remove(NEW_NAME)?;
    }
    if !has(NAME) {
        return Ok(None);
    }
    let file = storage.open(NAME)?;
    let mut bytes = vec![0; file.len()? as usize];
    file.read_at(&mut bytes, 0)?;
    decode(&bytes).map(Some)
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

/// The bytes of a manifest. `pause` is called between bounded steps.
pub fn encode(manifest: &Manifest, pause: &mut dyn FnMut()) -> Vec<u8> {
    const STEP_SLOTS: usize = 1024;
    let Manifest { number, journal, slots } = manifest;
    let extents: usize = slots.iter().map(|(_, log)| log.extents.len()).sum();
    let len = FIXED_BYTES + 8 * journal.heads.len() + ENTRY_BYTES * slots.len() + EXTENT_BYTES * extents;
    let mut bytes = Vec::with_capacity(len + CHECKSUM_BYTES);
    let mut hasher = crc32fast::Hasher::new();
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&(slots.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&journal.last_number.to_le_bytes());
    bytes.extend_from_slice(&(journal.heads.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    debug_assert_eq!(bytes.len(), FIXED_BYTES);
    journal.heads.iter().for_each(|head| bytes.extend_from_slice(&head.to_le_bytes()));
    hasher.update(&bytes);
    for some in slots.chunks(STEP_SLOTS) {
        let from = bytes.len();
        for (slot, log) in some {
            encode_entry(*slot, log, &mut bytes);
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
