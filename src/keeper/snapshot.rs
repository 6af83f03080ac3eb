//! Snapshot files: the whole data set at one instant, in Redis's format, made of the slot logs.
//!
//! A version of the slot logs is pinned and read slot by slot: each log is replayed in a scratch keyspace, and what is
//! then there is written. The live tables are not touched, nothing is copied on write, and memory is needed for the
//! largest slot only. The file has a temporary name until it is whole and synced.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::functions;
use crate::base::clock;
use crate::base::key_slot::SlotId;
use crate::base::number::Decimal;
use crate::commands::replay::Scratch;
use crate::config::Config;
use crate::engine::saved::value_of;
use crate::engine::script::library::LibrarySet;
use crate::log::record::Record;
use crate::log::settle::Pacer;
use crate::log::slot_reader::SlotFault;
use crate::log::tables::Version;
use crate::rdb::{RdbWriter, SELECTED_DB, SavedKey, WriteOptions};
use crate::store::{DbIndex, EntryRef};

/// With `rdb-save-incremental-fsync`, so many bytes are written between two syncs.
const SYNC_STEP_BYTES: u64 = 4 << 20;

/// The keys of a data set on their way into a snapshot, wherever that is written to.
pub struct KeyWriter<W: Write> {
    writer: RdbWriter<W>,
    db: Option<DbIndex>,
    pub count: u64,
    /// `rdb-key-save-delay`: how long to wait after each key, for tests.
    delay: Duration,
}

impl<W: Write> KeyWriter<W> {
    /// Begins a snapshot with these libraries of functions.
    pub fn begin<'l>(
        to: W,
        config: &Config,
        used_memory_bytes: u64,
        libraries: impl Iterator<Item = &'l [u8]>,
    ) -> io::Result<KeyWriter<W>> {
        let options = WriteOptions { compression: config.rdbcompression, checksum: config.rdbchecksum };
        let mut writer = RdbWriter::new(to, options)?;
        writer.header(clock::unix_ms() / 1000, used_memory_bytes, false)?;
        libraries.into_iter().try_for_each(|code| writer.library(code))?;
        let delay = Duration::from_micros(u64::try_from(config.rdb_key_save_delay).unwrap_or(0));
        Ok(KeyWriter { writer, db: None, count: 0, delay })
    }

    /// Says, for a replica, which database the stream has selected where it goes on.
    pub fn note_selected(&mut self, db: DbIndex) -> io::Result<()> {
        self.writer.aux(SELECTED_DB, Decimal::new(i64::from(db)).as_bytes())
    }

    pub fn add(&mut self, db: DbIndex, entry: EntryRef<'_>) -> io::Result<()> {
        if self.db != Some(db) {
            self.writer.select_db(u64::from(db))?;
            self.db = Some(db);
        }
        self.count += 1;
        if !self.delay.is_zero() {
            std::thread::sleep(self.delay);
        }
        self.writer.key(&SavedKey::new(entry.key(), value_of(entry), entry.expiry_ms()))
    }

    /// Ends the snapshot; gives back what it was written to.
    pub fn finish(self) -> io::Result<W> {
        self.writer.finish()
    }
}

/// A snapshot file that is being written.
pub struct SnapshotFile {
    keys: KeyWriter<SteadyFile>,
    temporary: PathBuf,
    path: PathBuf,
}

/// A file that is synced every few megabytes, so that the last sync has little left to do.
struct SteadyFile {
    file: File,
    unsynced_bytes: u64,
    steady: bool,
}

impl Write for SteadyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.unsynced_bytes += written as u64;
        if self.steady && self.unsynced_bytes >= SYNC_STEP_BYTES {
            self.file.sync_data()?;
            self.unsynced_bytes = 0;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl SnapshotFile {
    /// Begins the file that is to be `path`, with these libraries of functions.
    pub fn create<'l>(
        path: &Path,
        config: &Config,
        used_memory_bytes: u64,
        libraries: impl Iterator<Item = &'l [u8]>,
    ) -> io::Result<SnapshotFile> {
        let temporary = temporary_of(path);
        let file = File::create(&temporary)?;
        let file = SteadyFile { file, unsynced_bytes: 0, steady: config.rdb_save_incremental_fsync };
        let keys = KeyWriter::begin(file, config, used_memory_bytes, libraries)?;
        Ok(SnapshotFile { keys, temporary, path: path.to_path_buf() })
    }

    pub fn add(&mut self, db: DbIndex, entry: EntryRef<'_>) -> io::Result<()> {
        self.keys.add(db, entry)
    }

    /// How many keys were added.
    pub fn count(&self) -> u64 {
        self.keys.count
    }

    /// Ends the file, makes it durable and gives it its name; tells its length in bytes.
    pub fn finish(self) -> io::Result<u64> {
        let SnapshotFile { keys, temporary, path } = self;
        let finished = keys.finish().and_then(|file| {
            file.file.sync_all()?;
            let bytes = file.file.metadata()?.len();
            fs::rename(&temporary, &path)?;
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
            Ok(bytes)
        });
        finished.inspect_err(|_| remove_quietly(&temporary))
    }

    /// Gives the file up.
    pub fn abandon(self) {
        remove_quietly(&self.temporary);
    }
}

/// The file that is written before it gets its name.
fn temporary_of(path: &Path) -> PathBuf {
    path.with_file_name(format!("temp-{}.rdb", std::process::id()))
}

/// Removes what an unfinished snapshot has left, for a process that ends in haste.
pub fn remove_temporary(config: &Config) {
    let temporary = temporary_of(Path::new(&config.dbfilename));
    if temporary.exists() {
        remove_quietly(&temporary);
    }
}

/// Removes a file that is of no use; that it cannot be removed hurts nobody but the disk.
fn remove_quietly(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!("{} cannot be removed: {error}", path.display());
    }
}

/// What was written.
pub struct Written {
    pub keys: u64,
    pub bytes: u64,
}

/// Why a slot could not be added to a file.
#[derive(Debug)]
pub enum SlotError {
    /// Its log cannot be read or replayed, and nothing of it was written.
    Damaged(String),
    File(io::Error),
}

/// Writes a version of the slot logs, and these libraries, to the snapshot file `path`.
pub fn write_version(
    version: &Version,
    libraries: &LibrarySet,
    path: &Path,
    config: &Config,
    used_memory_bytes: u64,
    pacer: &mut dyn Pacer,
) -> Result<Written, String> {
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let mut file =
        SnapshotFile::create(path, config, used_memory_bytes, functions::codes(libraries)).map_err(failed)?;
    match add_version(&mut file, version, config, pacer) {
        Ok(()) => {
            let keys = file.count();
            file.finish().map(|bytes| Written { keys, bytes }).map_err(failed)
        }
        Err(error) => {
            file.abandon();
            Err(error)
        }
    }
}

fn add_version(
    file: &mut SnapshotFile,
    version: &Version,
    config: &Config,
    pacer: &mut dyn Pacer,
) -> Result<(), String> {
    let mut scratch = Scratch::new(config);
    let mut buffer = Vec::new();
    for (slot, _) in version.slots() {
        let records = version.read(slot, &mut buffer).map(|records| records.map(|stored| Ok(stored?.record)));
        add_slot(file, &mut scratch, slot, records, pacer).map_err(|error| match error {
            SlotError::Damaged(reason) => reason,
            SlotError::File(error) => error.to_string(),
        })?;
    }
    Ok(())
}

/// Adds what a slot's history makes of it.
pub fn add_slot<'a>(
    file: &mut SnapshotFile,
    scratch: &mut Scratch,
    slot: SlotId,
    history: Result<impl Iterator<Item = Result<Record<'a>, SlotFault>>, SlotFault>,
    pacer: &mut dyn Pacer,
) -> Result<(), SlotError> {
    let damaged = |fault: SlotFault| SlotError::Damaged(fault.to_string());
    let mut failure = None;
    let mut records = history.map_err(damaged)?.map(|record| {
        pacer.pause();
        record.map_err(|fault| fault.to_string())
    });
    let replayed = scratch.replay(slot, &mut records, &mut |db, entry| {
        if failure.is_none() {
            failure = file.add(db, entry).err();
        }
    });
    replayed.map_err(|error| SlotError::Damaged(error.to_string()))?;
    failure.map_or(Ok(()), |error| Err(SlotError::File(error)))
}
