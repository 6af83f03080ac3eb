//! The file beside the log that keeps the libraries of functions: what FUNCTION DUMP gives.
//!
//! Libraries are no part of the slots' logs. An effect belongs to one slot and is superseded key by key, which fits data
//! and nothing else: told in some slot, libraries would need an exception in compaction, in recovery, in point-in-time
//! restores and wherever else a slot's log is read, for a set that is a few kilobytes and changes by hand. So the whole set
//! is written at each change, under another name, synced, and renamed: after a crash there is the old set or the new one,
//! and FUNCTION LOAD is answered only when it is the new one. Functions and data need no common order, since the log holds
//! what functions did and never a call of one.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use super::library::LibrarySet;
use crate::rdb::libraries;

pub const FILE_NAME: &str = "functions";

/// Writes the set in the place of what the file held, and waits until it is on the disk.
pub fn write(set: &LibrarySet, path: &Path) -> Result<(), String> {
    let payload = libraries::encode(set.libraries().map(|library| &library.code.code[..]), true);
    let fresh = path.with_extension("new");
    let written = File::create(&fresh).and_then(|mut file| {
        file.write_all(&payload)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    });
    written.map_err(|error| format!("MISCONF Errors writing to the file of functions: {error}"))
}

/// The code of the libraries that the file holds; none where there is no file.
pub fn read(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    match fs::read(path) {
        Ok(payload) => {
            libraries::decode(&payload).map_err(|_| format!("{}: the file of functions is damaged", path.display()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}
