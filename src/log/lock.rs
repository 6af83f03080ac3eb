//! One process at a time: the file `lock` in the log's directory, held with `flock` as long as the directory is open.
//! The system gives the lock back when the process ends, however it ends. The file holds the number of the process that
//! has it, for the message that others give.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;

pub const NAME: &str = "lock";

/// The right to use a directory; given back when dropped.
#[derive(Debug)]
pub struct Lock {
    _file: Option<File>,
}

#[derive(Debug)]
pub enum LockError {
    /// Another process has the directory; its number, if it could be read.
    InUse(Option<u32>),
    Io(io::Error),
}

impl fmt::Display for LockError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::InUse(Some(process)) => write!(formatter, "the log is in use by process {process}"),
            LockError::InUse(None) => write!(formatter, "the log is in use by another process"),
            LockError::Io(error) => write!(formatter, "the log's lock: {error}"),
        }
    }
}

impl std::error::Error for LockError {}

impl Lock {
    /// Takes the directory, which is there, or says who has it.
    pub fn take(directory: &Path) -> Result<Lock, LockError> {
        let path = directory.join(NAME);
        // Not emptied before it is ours: another process's number stands in it.
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = options.map_err(LockError::Io)?;
        file.try_lock().map_err(|error| refused(&path, error))?;
        file.set_len(0).map_err(LockError::Io)?;
        writeln!(file, "{}", std::process::id()).map_err(LockError::Io)?;
        Ok(Lock { _file: Some(file) })
    }

    /// Keeps servers out while the directory is looked at, beside others who only look; changes nothing in it. Where no
    /// server ever was there is nothing to hold.
    pub fn share(directory: &Path) -> Result<Lock, LockError> {
        let path = directory.join(NAME);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lock { _file: None }),
            Err(error) => return Err(LockError::Io(error)),
        };
        file.try_lock_shared().map_err(|error| refused(&path, error))?;
        Ok(Lock { _file: Some(file) })
    }
}

fn refused(path: &Path, error: TryLockError) -> LockError {
    match error {
        TryLockError::WouldBlock => {
            LockError::InUse(fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()))
        }
        TryLockError::Error(error) => LockError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_taken_once() {
        let directory = std::env::temp_dir().join(format!("cairn-lock-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let lock = Lock::take(&directory).unwrap();
        for refused in [Lock::take(&directory), Lock::share(&directory)] {
            let expected = format!("the log is in use by process {}", std::process::id());
            assert_eq!(refused.unwrap_err().to_string(), expected);
        }
        drop(lock);
        let shared = [Lock::share(&directory).unwrap(), Lock::share(&directory).unwrap()];
        assert!(Lock::take(&directory).is_err());
        drop(shared);
        drop(Lock::take(&directory).unwrap());
        fs::remove_file(directory.join(NAME)).unwrap();
        drop(Lock::share(&directory).unwrap());
        assert!(!directory.join(NAME).exists());
        fs::remove_dir_all(&directory).unwrap();
        assert!(matches!(Lock::take(&directory), Err(LockError::Io(_))));
    }
}
