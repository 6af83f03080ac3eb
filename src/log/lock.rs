//! One server for a directory: an exclusive lock on a file in it, which the system gives up when the process ends.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

const NAME: &str = "lock";

/// The directory, held for as long as this lives.
#[derive(Debug)]
pub struct Lock {
    _file: Option<File>,
}

#[derive(Debug)]
pub enum LockError {
    /// Another process has it; what it wrote about itself.
    Taken {
        directory: String,
        process: String,
    },
    Io {
        directory: String,
        error: io::Error,
    },
}

impl fmt::Display for LockError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Taken { directory, process } => {
                write!(formatter, "{directory} is in use by another process ({process})")
            }
            LockError::Io { directory, error } => write!(formatter, "{directory} cannot be locked: {error}"),
        }
    }
}

impl std::error::Error for LockError {}

impl Lock {
    /// Takes the directory, if nobody has it.
    pub fn take(directory: &Path) -> Result<Lock, LockError> {
        let name = directory.display().to_string();
        let failed = |error| LockError::Io { directory: name.clone(), error };
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).open(directory.join(NAME)).map_err(failed)?;
        file.try_lock().map_err(|error| refused(&name, &mut file, error))?;
        let line = format!("pid {}\n", std::process::id());
        file.set_len(0).and_then(|()| file.write_all(line.as_bytes())).map_err(failed)?;
        Ok(Lock { _file: Some(file) })
    }

    /// Keeps servers out while the directory is looked at, beside others who only look; changes nothing in it. Where no
    /// server ever was there is nothing to hold.
    pub fn share(directory: &Path) -> Result<Lock, LockError> {
        let name = directory.display().to_string();
        let mut file = match File::open(directory.join(NAME)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lock { _file: None }),
            Err(error) => return Err(LockError::Io { directory: name, error }),
        };
        file.try_lock_shared().map_err(|error| refused(&name, &mut file, error))?;
        Ok(Lock { _file: Some(file) })
    }
}

fn refused(directory: &str, file: &mut File, error: TryLockError) -> LockError {
    let directory = directory.to_owned();
    match error {
        TryLockError::WouldBlock => {
            let mut process = String::new();
            // It is for people only.
            let _ = file.read_to_string(&mut process);
            LockError::Taken { directory, process: process.trim().to_owned() }
        }
        TryLockError::Error(error) => LockError::Io { directory, error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner() {
        let path = std::env::temp_dir().join(format!("cairn-lock-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let lock = Lock::take(&path).unwrap();
        for refused in [Lock::take(&path), Lock::share(&path)] {
            let refused = refused.unwrap_err().to_string();
            let expected = format!("is in use by another process (pid {})", std::process::id());
            assert!(refused.ends_with(&expected), "{refused}");
        }
        drop(lock);
        let shared = [Lock::share(&path).unwrap(), Lock::share(&path).unwrap()];
        assert!(Lock::take(&path).is_err());
        drop(shared);
        drop(Lock::take(&path).unwrap());
        std::fs::remove_file(path.join(NAME)).unwrap();
        drop(Lock::share(&path).unwrap());
        assert!(!path.join(NAME).exists());
        std::fs::remove_dir_all(&path).unwrap();
    }
}
