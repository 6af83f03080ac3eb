//! `cairn export`: a data directory becomes a snapshot file for Redis.

use std::path::PathBuf;

use super::Status;
use super::progress::Progress;
use crate::commands::replay::Scratch;
use crate::engine::script::kept;
use crate::keeper::archive::{Archive, about_slot, lenient_config, log_directory};
use crate::keeper::snapshot::{SlotError, SnapshotFile, add_slot};
use crate::log::scan::Purpose;
use crate::log::settle::Unpaced;

/// Write a snapshot file (dump.rdb) that Redis loads
///
/// The data directory is only read. The file has its name only once it is whole; a file that is there already is not
/// replaced. For a snapshot of a running server use BGSAVE.
///
/// When a slot is damaged nothing is written, unless --partial is given: then damaged slots are named and left out, and
/// the exit status is 1.
#[derive(clap::Args)]
pub struct Arguments {
    /// The data directory, or the directory cairn-log in it
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    rdb: PathBuf,
    /// Leave damaged slots out
    #[arg(long)]
    partial: bool,
}

pub fn run(arguments: &Arguments) -> Result<Status, String> {
    let rdb = &arguments.rdb;
    if rdb.try_exists().map_err(|error| format!("{}: {error}", rdb.display()))? {
        return Err(format!("{} is there already", rdb.display()));
    }
    let path = log_directory(&arguments.directory).map_err(|error| error.to_string())?;
    let archive = Archive::open(&path, Purpose::Check).map_err(|error| error.to_string())?;
    if let Err(error) = &archive.journal {
        return Err(format!("{}: nobody knows what is missing in which slot: {error}", path.display()));
    }
    let failed = |error: std::io::Error| format!("{}: {error}", rdb.display());
    let libraries = kept::read(&path.join(kept::FILE_NAME))?;
    let codes = libraries.iter().map(Vec::as_slice);
    let mut file = SnapshotFile::create(rdb, &lenient_config(), 0, codes).map_err(failed)?;
    let missing = match add_all(&archive, &mut file, arguments.partial) {
        Ok(missing) => missing,
        Err(error) => {
            file.abandon();
            return Err(match error {
                SlotError::Damaged(reason) => {
                    format!("{reason}\nNothing was written. --partial leaves damaged slots out.")
                }
                SlotError::File(error) => failed(error),
            });
        }
    };
    let keys = file.count();
    let bytes = file.finish().map_err(failed)?;
    for reason in &missing {
        println!("missing: {reason}");
    }
    println!("{} has {keys} keys in {bytes} bytes; {} slots are missing", rdb.display(), missing.len());
    Ok(if missing.is_empty() { Status::Sound } else { Status::Partial })
}

/// Adds every slot; tells those that are damaged, if they are to be left out.
fn add_all(archive: &Archive, file: &mut SnapshotFile, partial: bool) -> Result<Vec<String>, SlotError> {
    let mut scratch = Scratch::new(&lenient_config());
    let mut buffer = Vec::new();
    let mut missing = Vec::new();
    let slots = archive.slots();
    let mut progress = Progress::new("Exporting", slots.len() as u64);
    for slot in slots {
        progress.advance(1);
        let added = match archive.damage(slot) {
            Some(damage) => Err(SlotError::Damaged(damage)),
            None => add_slot(file, &mut scratch, slot, archive.history(slot, &mut buffer), &mut Unpaced),
        };
        match added {
            Err(SlotError::Damaged(reason)) if partial => missing.push(about_slot(slot, reason)),
            added => added?,
        }
    }
    Ok(missing)
}
