//! A log that no server serves, to be read whole: for checks, restores and exports.
//!
//! While it is open no server can start in its directory; others may read it as well. Nothing in the directory is
//! changed, except by [`Purpose::Repair`], which cuts torn tails and holds the directory for itself.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::kept_log::MOVING_IN_NAME;
use super::{LOG_DIRECTORY, history};
use crate::base::key_slot::SlotId;
use crate::config::Config;
use crate::log::disk::Disk;
use crate::log::lock::{self, Lock, LockError};
use crate::log::manifest::{self, ManifestError};
use crate::log::record::Record;
use crate::log::scan::{self, Expected, Purpose, Scan, ScanError};
use crate::log::segment;
use crate::log::slot_index::SlotIndex;
use crate::log::slot_reader::SlotFault;
use crate::log::tables::Version;

pub struct Archive {
    pub version: Version,
    /// Without it nobody knows what is missing in any slot.
    pub journal: Result<Scan, ScanError>,
    /// In the place of the journal's where there is none.
    no_index: SlotIndex,
    _lock: Lock,
}

/// Why a log cannot be read at all.
#[derive(Debug)]
pub enum ArchiveError {
    /// No log is there.
    Absent(PathBuf),
    /// A data set was moving in and is not whole.
    MovingIn(PathBuf),
    Lock(PathBuf, LockError),
    Manifest(PathBuf, ManifestError),
    Io(PathBuf, io::Error),
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArchiveError::Absent(path) => write!(formatter, "{}: there is no log", path.display()),
            ArchiveError::MovingIn(path) => {
                write!(formatter, "{}: a data set was moving in, and is not whole", path.display())
            }
            ArchiveError::Lock(path, error) => write!(formatter, "{}: {error}", path.display()),
            ArchiveError::Manifest(path, error) => write!(formatter, "{}: {error}", path.display()),
            ArchiveError::Io(path, error) => write!(formatter, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for ArchiveError {}

/// The log's directory, given it or the data directory around it.
pub fn log_directory(directory: &Path) -> Result<PathBuf, ArchiveError> {
    let failed = |error| ArchiveError::Io(directory.to_path_buf(), error);
    if !fs::metadata(directory).map_err(failed)?.is_dir() {
        return Err(failed(io::ErrorKind::NotADirectory.into()));
    }
    let inside = directory.join(LOG_DIRECTORY);
    if holds_log(&inside).map_err(failed)? || inside.join(MOVING_IN_NAME).exists() {
        return Ok(inside);
    }
    if holds_log(directory).map_err(failed)? || directory.join(MOVING_IN_NAME).exists() {
        return Ok(directory.to_path_buf());
    }
    Err(ArchiveError::Absent(directory.to_path_buf()))
}

/// Whether any file of a log is there that is not still moving in.
pub fn holds_log(path: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut found = false;
    for entry in entries {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if name == MOVING_IN_NAME {
            return Ok(false);
        }
        found |= name == manifest::NAME || segment::number_of(&name).is_some() || name.starts_with("slots-");
    }
    Ok(found)
}

/// Refuses a log's directory in which something is that a new log would take the place of. What was moving in and is not
/// whole is nothing.
pub fn check_free(path: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    if holds_log(path).map_err(failed)? {
        return Err(format!("{} holds a log already", path.display()));
    }
    if path.join(MOVING_IN_NAME).exists() {
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if name != lock::NAME {
            return Err(format!("{} holds {}, which is no part of a log", path.display(), name.display()));
        }
    }
    Ok(())
}

/// A reason that begins with the slot it is about.
pub fn about_slot(slot: SlotId, reason: String) -> String {
    let name = format!("slot {}: ", slot.number());
    if reason.starts_with(&name) { reason } else { name + &reason }
}

/// A configuration for reading any log: with as many databases as there can be.
pub fn lenient_config() -> Config {
    Config { databases: u32::from(u16::MAX), ..Config::default() }
}

impl Archive {
    /// Opens the log in `path`, its directory.
    pub fn open(path: &Path, purpose: Purpose) -> Result<Archive, ArchiveError> {
        let failed = |error| ArchiveError::Io(path.to_path_buf(), error);
        let (lock, disk) = match purpose {
            Purpose::Check => (Lock::share(path), Disk::read_only(path)),
            Purpose::Open | Purpose::Repair => (Lock::take(path), Disk::open(path)),
        };
        let (lock, disk) =
            (lock.map_err(|error| ArchiveError::Lock(path.to_path_buf(), error))?, disk.map_err(failed)?);
        if path.join(MOVING_IN_NAME).exists() {
            return Err(ArchiveError::MovingIn(path.to_path_buf()));
        }
        let looked = Version::look(&disk).map_err(|error| ArchiveError::Manifest(path.to_path_buf(), error))?;
        let (version, mark) = looked.ok_or_else(|| ArchiveError::Absent(path.to_path_buf()))?;
        let expected = Expected { heads: &mark.heads, last_number: mark.last_number };
        let journal = scan::scan(&disk, expected, &|slot| version.slot(slot).sequence, purpose);
        Ok(Archive { version, journal, no_index: SlotIndex::build(&[], &mut || ()), _lock: lock })
    }

    /// The journal's records by slot; empty where the journal cannot be read.
    pub fn index(&self) -> &SlotIndex {
        self.journal.as_ref().map_or(&self.no_index, |scan| &scan.index)
    }

    /// The slots that have any history, in ascending order.
    pub fn slots(&self) -> BTreeSet<SlotId> {
        self.version.slots().map(|(slot, _)| slot).chain(self.index().slots()).collect()
    }

    /// What is wrong with a slot, as far as it shows without reading its log.
    pub fn damage(&self, slot: SlotId) -> Option<String> {
        let scanned = self.journal.as_ref().ok().and_then(|scan| scan.damage.iter().find(|damage| damage.slot == slot));
        scanned.map(ToString::to_string).or_else(|| self.version.refused(slot).map(|fault| fault.to_string()))
    }

    /// A slot's records. What follows a fault is not the slot's history.
    pub fn history<'a>(
        &'a self,
        slot: SlotId,
        buffer: &'a mut Vec<u8>,
    ) -> Result<impl Iterator<Item = Result<Record<'a>, SlotFault>> + use<'a>, SlotFault> {
        history::of_slot(&self.version, self.index(), slot, buffer)
    }
}
