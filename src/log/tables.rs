//! The tablespace: the slot logs' files, and the version of them that is in force.
//!
//! ```text
//! settling --Batch--> extents written, synced --> manifest replaced --> Tables::current: Arc<Version>, replaced whole
//!                                                                        ^ recovery, snapshots, compaction: pin and read
//! ```
//! A [`Version`] never changes. Whoever holds one reads every slot as it was when the version was current, for as long
//! as it is held: extents that a later version gave up are used again only when no earlier version is held any more and
//! a manifest that does not name them is durable. Until then they are in limbo.
//!
//! Locks: `current` for the length of a pointer copy; `writer` for as long as a [`Batch`] lives, so there is one at a
//! time. A reader takes `current` alone.
//!
//! What opening can find in the files (the manifest's cases are told there):
//! - a file that the manifest names is missing or has a bad header: the slots with extents in it are refused, one by
//!   one, when they are read; the others serve;
//! - a file that no extent is in: what an interrupted settling made; removed.
//!
//! [`Batch`]: super::table_writer::Batch

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use super::extents::{Extent, FILE_UNITS_MAX, FreeSpace, UNIT_BYTES};
use super::fold::Census;
use super::manifest::{self, FORMAT_VERSION, JournalMark, Manifest, ManifestError, SlotLog};
use super::slot_reader::{Cause, SlotFault};
use super::storage::{Storage, StorageFile};
use crate::base::key_slot::{SLOT_COUNT, SlotId};

const MAGIC: &[u8; 8] = b"CAIRNTBL";
const HEADER_BYTES: usize = UNIT_BYTES as usize;
const CHECKSUM_AT: usize = 60;
const NAME_PREFIX: &str = "slots-";

/// A file's name: its number is 4 hex digits.
pub fn file_name(number: u32) -> String {
    format!("{NAME_PREFIX}{number:04x}")
}

fn file_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix(NAME_PREFIX)?;
    u32::from_str_radix(digits, 16).ok().filter(|number| file_name(*number) == name)
}

/// A file of the tablespace, open.
pub(super) struct TableFile {
    pub(super) file: Arc<dyn StorageFile>,
}

/// A file of the tablespace as it was found.
#[derive(Clone)]
pub(super) enum FileState {
    Ready(Arc<TableFile>),
    /// It cannot be used, and why.
    Refused(String),
}

pub(super) type Files = BTreeMap<u32, FileState>;

/// Where every slot's log stands, at one moment.
pub struct Version {
    /// The number of its manifest.
    pub number: u64,
    pub(super) slots: Box<[Option<Arc<SlotLog>>]>,
    pub(super) files: Arc<Files>,
}

/// The slots that have an entry, of all of them.
pub(super) fn listed(slots: &[Option<Arc<SlotLog>>]) -> impl Iterator<Item = (SlotId, &SlotLog)> + Clone {
    slots.iter().enumerate().filter_map(|(number, log)| Some((SlotId::new(number as u16)?, log.as_deref()?)))
}

static EMPTY: SlotLog =
    SlotLog { extents: Vec::new(), digest: 0, sequence: 0, bytes: 0, records: 0, base_bytes: 0, history_ms: 0 };

impl Version {
    fn new(manifest: Manifest, files: Arc<Files>) -> Version {
        let mut slots = vec![None; SLOT_COUNT].into_boxed_slice();
        for (slot, log) in manifest.slots {
            slots[slot.index()] = Some(log);
        }
        Version { number: manifest.number, slots, files }
    }

    /// What is in force in a directory, to look at only: nothing is changed. `None` in a fresh one.
    ///
    /// A server may run in the directory: what is read is checked like anything else, and is wrong if the server has
    /// given the place to something new. Then there is another manifest.
    pub fn look(storage: &dyn Storage) -> Result<Option<(Version, JournalMark)>, ManifestError> {
        let Some(manifest) = manifest::read(storage)? else { return Ok(None) };
        let files = Arc::new(open_files(storage, &manifest));
        let journal = manifest.journal.clone();
        Ok(Some((Version::new(manifest, files), journal)))
    }

    pub fn slot(&self, slot: SlotId) -> &SlotLog {
        self.slots[slot.index()].as_deref().unwrap_or(&EMPTY)
    }

    /// The slots that anything was ever settled of, in ascending order.
    pub fn slots(&self) -> impl Iterator<Item = (SlotId, &SlotLog)> + Clone {
        listed(&self.slots)
    }

    /// Why a slot cannot be served, as far as it shows without reading its log.
    pub fn refused(&self, slot: SlotId) -> Option<SlotFault> {
        self.slot(slot).extents.iter().find_map(|extent| self.ready(slot, *extent).err())
    }

    pub(super) fn ready(&self, slot: SlotId, extent: Extent) -> Result<&TableFile, SlotFault> {
        let why = match self.files.get(&extent.file) {
            Some(FileState::Ready(file)) => return Ok(file),
            Some(FileState::Refused(why)) => why.clone(),
            None => "missing".to_owned(),
        };
        Err(SlotFault { slot, file: file_name(extent.file), offset: 0, cause: Cause::File(why) })
    }

    /// The bytes of a slot's log, read into `buffer`. Reading beats a mapping here: it costs less a record, the pages
    /// count as nobody's memory, and what the disk cannot deliver is an error and no signal.
    pub fn bytes<'a>(&'a self, slot: SlotId, buffer: &'a mut Vec<u8>) -> Result<&'a [u8], SlotFault> {
        let log = self.slot(slot);
        if log.bytes == 0 {
            return Ok(&[]);
        }
        let failed = |extent: &Extent, error: io::Error| SlotFault {
            slot,
            file: file_name(extent.file),
            offset: extent.offset_bytes(),
            cause: Cause::Io(error.to_string()),
        };
        let used = log.extents.iter().scan(log.bytes, |left, extent| {
            let bytes = extent.bytes().min(*left);
            *left -= bytes;
            (bytes > 0).then_some((extent, bytes))
        });
        // What is not there takes no memory.
        for (extent, bytes) in used.clone() {
            let file = self.ready(slot, *extent)?;
            match file.file.len() {
                Ok(len) if len >= extent.offset_bytes() + bytes => {}
                Ok(_) => return Err(failed(extent, io::ErrorKind::UnexpectedEof.into())),
                Err(error) => return Err(failed(extent, error)),
            }
        }
        buffer.clear();
        buffer.resize(log.bytes as usize, 0);
        let mut at = 0;
        for (extent, bytes) in used {
            let into = &mut buffer[at..at + bytes as usize];
            let file = self.ready(slot, *extent)?;
            file.file.read_at(into, extent.offset_bytes()).map_err(|error| failed(extent, error))?;
            at += bytes as usize;
        }
        Ok(buffer)
    }
}

/// Extents that versions before a certain one may still read.
struct Limbo {
    /// The first manifest that does not name them.
    number: u64,
    /// The last version that names them.
    retired: Weak<Version>,
    extents: Vec<Extent>,
}

/// What changes the tablespace holds.
pub(super) struct Writer {
    pub(super) space: FreeSpace,
    limbo: VecDeque<Limbo>,
    /// The last manifest that is known to be durable.
    durable: u64,
    /// All files, those included that no version names so far.
    pub(super) files: Arc<Files>,
    pub(super) next_file: u32,
    /// Files whose headers and names are not durable.
    pub(super) new_files: Vec<u32>,
    pub(super) journal: JournalMark,
}

/// The slot logs of a directory.
pub struct Tables {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) current: RwLock<Arc<Version>>,
    pub(super) writer: Mutex<Writer>,
}

/// What [`Tables::open`] finds.
pub struct Opened {
    pub tables: Tables,
    pub journal: JournalMark,
    /// There was nothing: the directory is in use for the first time.
    pub fresh: bool,
}

/// How the tablespace uses the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Slots with a log.
    pub slots: u64,
    pub records: u64,
    /// Bytes of all slot logs.
    pub log_bytes: u64,
    /// Bytes of them that compaction wrote.
    pub base_bytes: u64,
    /// Estimate of what compaction of everything would leave.
    pub live_bytes: u64,
    /// Bytes of all extents that slot logs have.
    pub extent_bytes: u64,
    /// Bytes that wait for readers, or for a durable manifest, before they are free.
    pub limbo_bytes: u64,
    /// What the files take on the disk.
    pub disk_bytes: u64,
    pub files: u64,
    /// Files that cannot be used.
    pub refused_files: u64,
}

impl Space {
    /// The share of the logs' bytes that is superseded, in percent.
    pub fn dead_percent(&self) -> u64 {
        (self.log_bytes - self.live_bytes) * 100 / self.log_bytes.max(1)
    }
}

impl Tables {
    /// Opens the slot logs of a directory. In a fresh one the first manifest is written, before any other file is made.
    pub fn open(storage: Arc<dyn Storage>) -> Result<Opened, ManifestError> {
        Tables::open_with(storage, FILE_UNITS_MAX)
    }

    /// As [`Tables::open`]; files that are made are at most `file_units` long.
    pub fn open_with(storage: Arc<dyn Storage>, file_units: u32) -> Result<Opened, ManifestError> {
        let found = manifest::read(&*storage)?;
        manifest::tidy(&*storage)?;
        let fresh = found.is_none();
        let manifest = match found {
            Some(manifest) => manifest,
            None => first_manifest(&*storage)?,
        };
        let files = open_files(&*storage, &manifest);
        let mut next_file = files.last_key_value().map_or(0, |(last, _)| last + 1);
        for number in storage.names()?.iter().filter_map(|name| file_number(name)) {
            if !files.contains_key(&number) {
                storage.remove(&file_name(number))?;
            }
            next_file = next_file.max(number + 1);
        }
        let mut space = FreeSpace::new(file_units);
        for (number, state) in &files {
            if let FileState::Ready(file) = state {
                let written_units = file.file.len()?.div_ceil(UNIT_BYTES).min(u64::from(FILE_UNITS_MAX)) as u32;
                space.add_file(*number, written_units);
            }
        }
        for extent in manifest.slots.iter().flat_map(|(_, log)| &log.extents) {
            if let Some(FileState::Ready(_)) = files.get(&extent.file) {
                space.claim(*extent);
            }
        }
        let (number, journal) = (manifest.number, manifest.journal.clone());
        let files = Arc::new(files);
        let version = Version::new(manifest, files.clone());
        let writer = Writer {
            space,
            limbo: VecDeque::new(),
            durable: number,
            files,
            next_file,
            new_files: Vec::new(),
            journal: journal.clone(),
        };
        let tables = Tables { storage, current: RwLock::new(Arc::new(version)), writer: Mutex::new(writer) };
        Ok(Opened { tables, journal, fresh })
    }

    /// The version in force. To hold it is to pin it.
    pub fn current(&self) -> Arc<Version> {
        self.current.read().clone()
    }

    /// How the disk is used; with a census also how much of it is superseded.
    pub fn space(&self, census: Option<&dyn Census>) -> io::Result<Space> {
        let version = self.current();
        let mut space = Space::default();
        for (slot, log) in version.slots() {
            space.slots += u64::from(log.bytes > 0);
            space.records += log.records;
            space.log_bytes += log.bytes;
            space.base_bytes += log.base_bytes;
            space.extent_bytes += log.capacity_bytes();
            let live = census.and_then(|census| census.live_keys(slot)).unwrap_or(log.records).min(log.records);
            space.live_bytes += (u128::from(log.bytes) * u128::from(live) / u128::from(log.records.max(1))) as u64;
        }
        for state in version.files.values() {
            space.files += 1;
            match state {
                FileState::Ready(file) => space.disk_bytes += file.file.disk_bytes()?,
                FileState::Refused(_) => space.refused_files += 1,
            }
        }
        // A batch holds the writer's lock while it waits for the disk, and INFO must not wait with it.
        if let Some(writer) = self.writer.try_lock() {
            space.limbo_bytes = writer.limbo.iter().flat_map(|limbo| &limbo.extents).map(|extent| extent.bytes()).sum();
        }
        Ok(space)
    }

    /// Frees what nobody reads any more, and gives its space back to the file system, all but `kept_bytes`: compaction is
    /// soon to use it, and pages that the system has at hand cost it far less than fresh ones. To be called after settling, once the
    /// journal's segments are released, and now and then. `pause` is called between bounded steps.
    pub fn reclaim(&self, kept_bytes: u64, pause: &mut dyn FnMut()) {
        let mut writer = self.writer.lock();
        writer.free(pause);
        writer.punch(kept_bytes / UNIT_BYTES, pause);
    }
}

impl Writer {
    /// Notes that the version with this number gave up `extents`.
    pub(super) fn retire(&mut self, number: u64, retired: &Arc<Version>, extents: Vec<Extent>) {
        // Also where it gave up nothing: it may be held longer than those behind it, and reads what they give up.
        self.limbo.push_back(Limbo { number, retired: Arc::downgrade(retired), extents });
    }

    pub(super) fn durable(&mut self, number: u64) {
        self.durable = number;
    }

    /// Frees what nobody reads any more.
    pub(super) fn free(&mut self, pause: &mut dyn FnMut()) {
        const STEP_EXTENTS: usize = 256;
        // A version holds what it names and what versions before it named: oldest first.
        while let Some(limbo) =
            self.limbo.pop_front_if(|limbo| limbo.number <= self.durable && limbo.retired.strong_count() == 0)
        {
            for some in limbo.extents.chunks(STEP_EXTENTS) {
                some.iter().for_each(|extent| self.space.release(*extent));
                pause();
            }
        }
    }

    /// Gives free space back to the file system, all but so much.
    pub(super) fn punch(&mut self, kept_units: u64, pause: &mut dyn FnMut()) {
        const STEP_UNITS: u32 = 64;
        for stale in self.space.take_stale(kept_units) {
            let Some(FileState::Ready(file)) = self.files.get(&stale.file) else { continue };
            for start_units in (stale.start_units..stale.end_units()).step_by(STEP_UNITS as usize) {
                let units = STEP_UNITS.min(stale.end_units() - start_units);
                let step = Extent { start_units, units, ..stale };
                // Space that cannot be given back is used again all the same.
                if file.file.punch(step.offset_bytes()..step.offset_bytes() + step.bytes()).is_err() {
                    self.space.still_stale(step);
                }
                pause();
            }
        }
    }
}

/// Writes the manifest of a directory that nothing is in yet.
fn first_manifest(storage: &dyn Storage) -> Result<Manifest, ManifestError> {
    let manifest = Manifest { number: 1, journal: JournalMark::default(), slots: Vec::new() };
    let bytes = manifest::encode(manifest.number, &manifest.journal, std::iter::empty(), &mut || ());
    match manifest::replace(storage, &bytes, &mut || ()) {
        Ok(()) => Ok(manifest),
        Err(manifest::ReplaceError::Before(error) | manifest::ReplaceError::InDoubt(error)) => Err(error.into()),
    }
}

pub(super) fn new_file(file: Arc<dyn StorageFile>) -> FileState {
    FileState::Ready(Arc::new(TableFile { file }))
}

/// The first unit of a file.
pub(super) fn header(number: u32) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[0..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&number.to_le_bytes());
    let sum = crc32fast::hash(&header[..CHECKSUM_AT]);
    header[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&sum.to_le_bytes());
    header
}

/// The files that a manifest names.
fn open_files(storage: &dyn Storage, manifest: &Manifest) -> Files {
    let extents = manifest.slots.iter().flat_map(|(_, log)| &log.extents);
    let named: BTreeSet<u32> = extents.map(|extent| extent.file).collect();
    named.into_iter().map(|number| (number, open_file(storage, number))).collect()
}

fn open_file(storage: &dyn Storage, number: u32) -> FileState {
    let file = match storage.open(&file_name(number)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return FileState::Refused("missing".to_owned()),
        Err(error) => return FileState::Refused(format!("cannot be opened: {error}")),
    };
    let mut found = [0; HEADER_BYTES];
    if let Err(error) = file.read_at(&mut found, 0) {
        return FileState::Refused(format!("its header cannot be read: {error}"));
    }
    let version = u32::from_le_bytes([found[8], found[9], found[10], found[11]]);
    let whole = crc32fast::hash(&found[..CHECKSUM_AT]).to_le_bytes() == found[CHECKSUM_AT..CHECKSUM_AT + 4];
    if found == header(number) {
        FileState::Ready(Arc::new(TableFile { file }))
    } else if whole && found[..8] == *MAGIC && version != FORMAT_VERSION {
        FileState::Refused(format!("is of format version {version}, known is {FORMAT_VERSION}"))
    } else {
        FileState::Refused("its header is damaged".to_owned())
    }
}
