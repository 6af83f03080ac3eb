//! All files of an append-only data set, read one after the other.

use std::fmt;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::manifest::Manifest;
use super::stream::{AppendOnlyEvent, AppendOnlyReader};
use crate::rdb::ReadOptions;

/// A data set that cannot be read: the file and what is wrong, with the offset where there is one.
#[derive(Debug)]
pub struct AppendOnlyError {
    pub file: PathBuf,
    pub text: String,
}

impl AppendOnlyError {
    fn new(file: &Path, error: impl fmt::Display) -> AppendOnlyError {
        AppendOnlyError { file: file.to_owned(), text: error.to_string() }
    }
}

impl fmt::Display for AppendOnlyError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.file.display(), self.text)
    }
}

impl std::error::Error for AppendOnlyError {}

pub struct AppendOnlyFiles {
    files: Vec<PathBuf>,
    /// Which of them `reader` reads.
    index: usize,
    reader: Option<AppendOnlyReader<File>>,
    options: ReadOptions,
}

impl AppendOnlyFiles {
    /// The data set below `directory`, the server's `dir`: what the manifest in `appenddirname` names, else the file
    /// `appendfilename` beside that; `None` when there is neither.
    pub fn find(
        directory: &Path,
        appenddirname: &str,
        appendfilename: &str,
        options: ReadOptions,
    ) -> Result<Option<AppendOnlyFiles>, AppendOnlyError> {
        let manifest = directory.join(appenddirname).join(format!("{appendfilename}.manifest"));
        let single = directory.join(appendfilename);
        if exists(&manifest)? {
            AppendOnlyFiles::of_manifest(&manifest, options).map(Some)
        } else if exists(&single)? {
            Ok(Some(AppendOnlyFiles::of_files(vec![single], options)))
        } else {
            Ok(None)
        }
    }

    /// The files that a manifest names, which stand beside it.
    pub fn of_manifest(manifest: &Path, options: ReadOptions) -> Result<AppendOnlyFiles, AppendOnlyError> {
        let text = fs::read(manifest).map_err(|error| AppendOnlyError::new(manifest, error))?;
        let named = Manifest::parse(&text).map_err(|error| AppendOnlyError::new(manifest, error))?;
        let directory = manifest.parent().unwrap_or(Path::new(""));
        let files: Vec<PathBuf> = named.files().map(|name| directory.join(name)).collect();
        for file in &files {
            if !exists(file)? {
                return Err(AppendOnlyError::new(file, format!("is missing, and {} names it", manifest.display())));
            }
        }
        Ok(AppendOnlyFiles::of_files(files, options))
    }

    /// These files, in this order.
    pub fn of_files(files: Vec<PathBuf>, options: ReadOptions) -> AppendOnlyFiles {
        AppendOnlyFiles { files, index: 0, reader: None, options }
    }

    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The file that the last event came from.
    pub fn current(&self) -> Option<&Path> {
        self.files.get(self.index).map(PathBuf::as_path)
    }

    /// The next event. Only the last file may have a torn end: in another one it is an error, since what follows builds
    /// on what is missing.
    #[allow(clippy::should_implement_trait, reason = "an iterator's items cannot borrow from it")]
    pub fn next(&mut self) -> Result<AppendOnlyEvent<'_>, AppendOnlyError> {
        if self.reader.as_ref().is_some_and(AppendOnlyReader::is_done) && self.index + 1 < self.files.len() {
            self.index += 1;
            self.reader = None;
        }
        let Some(file) = self.files.get(self.index) else { return Ok(AppendOnlyEvent::End) };
        let fail = |error: &dyn fmt::Display| AppendOnlyError { file: file.clone(), text: error.to_string() };
        let reader = match &mut self.reader {
            Some(reader) => reader,
            unopened => {
                let opened = File::open(file).map_err(|error| fail(&error))?;
                let reader = AppendOnlyReader::new(opened, self.options).map_err(|error| fail(&error))?;
                unopened.insert(reader)
            }
        };
        let more_follow = self.index + 1 < self.files.len();
        match reader.next().map_err(|error| fail(&error))? {
            AppendOnlyEvent::End if more_follow => Ok(AppendOnlyEvent::FileEnd),
            AppendOnlyEvent::Torn { bytes, .. } if more_follow => {
                Err(fail(&format!("ends in the middle, at offset {bytes}, though another file follows")))
            }
            event => Ok(event),
        }
    }
}

fn exists(file: &Path) -> Result<bool, AppendOnlyError> {
    match fs::metadata(file) {
        Ok(found) if found.is_file() => Ok(true),
        Ok(_) => Err(AppendOnlyError::new(file, "is no file")),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(AppendOnlyError::new(file, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rdb::{Event, RdbWriter, SavedKey, Value, WriteOptions};

    /// A directory that goes with the test.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Directory {
            let path = std::env::temp_dir().join(format!("cairn-append-only-{}-{name}", std::process::id()));
            fs::create_dir_all(path.join("sub")).unwrap();
            Directory(path)
        }

        fn story(&self) -> Vec<String> {
            let mut lines = Vec::new();
            let mut files = match AppendOnlyFiles::find(&self.0, "sub", "a.aof", ReadOptions::default()) {
                Ok(Some(files)) => files,
                Ok(None) => return vec!["nothing".into()],
                Err(error) => return vec![error.to_string().replace(self.0.to_str().unwrap(), "")],
            };
            loop {
                lines.push(match files.next() {
                    Ok(AppendOnlyEvent::Command(command)) => {
                        String::from_utf8(command.arguments().collect::<Vec<_>>().join(&b' ')).unwrap()
                    }
                    Ok(AppendOnlyEvent::Snapshot(Event::End)) => "snapshot".into(),
                    Ok(AppendOnlyEvent::Snapshot(_)) => continue,
                    Ok(AppendOnlyEvent::End) => break,
                    Ok(other) => format!("{other:?}"),
                    Err(error) => {
                        lines.push(error.to_string().replace(self.0.to_str().unwrap(), ""));
                        return lines;
                    }
                });
            }
            assert!(
                files.next().unwrap() == AppendOnlyEvent::End
                    && files.current() == files.files().last().map(|file| &**file)
            );
            lines
        }

        fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
            fs::write(self.0.join(name), bytes).unwrap();
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_directory_goes_before_a_file() {
        let directory = Directory::new("find");
        assert_eq!(directory.story(), ["nothing"]);
        directory.put("a.aof", "*1\r\n$4\r\nPING\r\n*1\r\n");
        assert_eq!(directory.story(), ["PING", "Torn { whole_bytes: 14, bytes: 18 }"]);
        directory.put("sub/a.aof.manifest", "file x seq 1 type b\nfile y seq 1 type i\nfile z seq 2 type i\n");
        assert_eq!(directory.story(), ["/sub/x: is missing, and /sub/a.aof.manifest names it"]);
        let mut writer = RdbWriter::new(Vec::new(), WriteOptions::default()).unwrap();
        writer.key(&SavedKey::new(b"key", Value::String(b"value"), None)).unwrap();
        directory.put("sub/x", writer.finish().unwrap());
        directory.put("sub/y", "*1\r\n$3\r\nONE\r\n#note\r\n");
        directory.put("sub/z", "*1\r\n$3\r\nTWO\r\n");
        assert_eq!(directory.story(), ["snapshot", "FileEnd", "ONE", "FileEnd", "TWO"]);
        directory.put("sub/z", "*1\r\n$3\r\nTWO\r\n*");
        assert_eq!(directory.story()[4..], ["TWO", "Torn { whole_bytes: 13, bytes: 14 }"]);
        directory.put("sub/y", "*1\r\n$3\r\nONE\r\n*2\r\n$3");
        assert_eq!(
            directory.story()[2..],
            ["ONE", "/sub/y: ends in the middle, at offset 19, though another file follows"]
        );
        directory.put("sub/y", "oops");
        assert_eq!(directory.story()[2..], ["/sub/y: no command begins at offset 0"]);
        directory.put("sub/a.aof.manifest", "file x\n");
        assert_eq!(directory.story(), ["/sub/a.aof.manifest: line 1: file, seq and type are needed"]);
    }
}
