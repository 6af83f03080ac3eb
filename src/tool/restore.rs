//! `cairn restore`: the state at a moment of the past, in a data directory of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Status;
use super::command_line::parse_moment;
use super::progress::Progress;
use crate::base::moment;
use crate::engine::script::kept;
use crate::keeper::LOG_DIRECTORY;
use crate::keeper::archive::{Archive, log_directory};
use crate::keeper::restore;
use crate::log::scan::Purpose;

/// Rebuild the state at a moment, into a new data directory
///
/// Every slot is as it was at the moment, transactions whole. The directive log-retention says how far back a server
/// keeps what is needed for it; an earlier moment is refused, with the earliest one that is possible.
///
/// DIR is only read. Start a server on the new directory with --dir DIR2 --appendonly yes. Keys whose time to live is over
/// by then expire at once: expiry times are moments, too.
#[derive(clap::Args)]
pub struct Arguments {
    /// The data directory, or the directory cairn-log in it
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The moment: RFC 3339, "YYYY-MM-DD HH:MM:SS" in local time, or Unix seconds
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    to: u64,
    /// The data directory to make; it may be there if it is empty
    #[arg(long, value_name = "DIR2")]
    into: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<Status, String> {
    let path = log_directory(&arguments.directory).map_err(|error| error.to_string())?;
    let is_made = !is_there_and_empty(&arguments.into)?;
    let archive = Archive::open(&path, Purpose::Check).map_err(|error| error.to_string())?;
    let mut progress = Progress::new("Restoring", archive.slots().len() as u64);
    let into = arguments.into.join(LOG_DIRECTORY);
    let restored = restore::restore(&archive, arguments.to, &into, &mut |_| progress.advance(1));
    drop(progress);
    let restored = restored.inspect_err(|_| {
        if is_made {
            // There only if something was begun, and then empty.
            let _ = fs::remove_dir(&arguments.into);
        }
    })?;
    // Functions have no past: they are as they are.
    match fs::copy(path.join(kept::FILE_NAME), into.join(kept::FILE_NAME)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(format!("{}: {error}", into.join(kept::FILE_NAME).display()));
        }
        _ => {}
    }
    println!(
        "{} has the state of {}: {} slots, {} records, {}",
        arguments.into.display(),
        moment::show(arguments.to),
        restored.slots,
        restored.records,
        match restored.last_ms {
            0 => "nothing in them".to_owned(),
            last_ms => format!("the last of {}", moment::show(last_ms)),
        }
    );
    Ok(Status::Sound)
}

/// False where nothing is; an error where something is that would be lost.
fn is_there_and_empty(directory: &Path) -> Result<bool, String> {
    match fs::read_dir(directory) {
        Ok(mut entries) => match entries.next() {
            None => Ok(true),
            Some(_) => Err(format!("{} is not empty", directory.display())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(format!("{}: {error}", directory.display())),
    }
}
