//! The manifest of an append-only directory.
//!
//! ```text
//! file appendonly.aof.1.base.rdb seq 1 type b       the base: an RDB file or commands; at most one
//! file appendonly.aof.1.incr.aof seq 1 type i       what came after it; numbers go up
//! file appendonly.aof.0.incr.aof seq 0 type h       history, to be deleted
//! ```
//! Fields are pairs of a name and a value, in any order; names that are not known are ignored, and so are lines that
//! begin with `#`. Values are quoted as arguments are.

use std::fmt;

use crate::base::number::parse_u64;
use crate::base::quoting::split_arguments;

/// Files of a directory, by their names in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    pub base: Option<String>,
    /// In the order in which they were written.
    pub increments: Vec<String>,
    pub history: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// Counted from one; zero stands for the manifest as a whole.
    pub line: usize,
    pub fault: &'static str,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => out.write_str(self.fault),
            line => write!(out, "line {line}: {}", self.fault),
        }
    }
}

impl std::error::Error for ManifestError {}

impl Manifest {
    pub fn parse(text: &[u8]) -> Result<Manifest, ManifestError> {
        let mut manifest = Manifest::default();
        let mut last_sequence = None;
        for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
            if !line.starts_with(b"#") {
                let added = manifest.add(line, &mut last_sequence);
                added.map_err(|fault| ManifestError { line: index + 1, fault })?;
            }
        }
        if manifest == Manifest::default() {
            return Err(ManifestError { line: 0, fault: "names no file" });
        }
        Ok(manifest)
    }

    /// The files that make up the data set, in order.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.base.iter().chain(&self.increments).map(String::as_str)
    }

    fn add(&mut self, line: &[u8], last_sequence: &mut Option<u64>) -> Result<(), &'static str> {
        let line = line.strip_suffix(b"\n").ok_or("has no end")?;
        let words = split_arguments(line).ok_or("quotes that do not balance")?;
        let (mut file, mut sequence, mut kind) = (None, None, None);
        let (pairs, []) = words.as_chunks::<2>() else { return Err("a name without a value") };
        for [name, value] in pairs {
            match name.to_ascii_lowercase().as_slice() {
                b"file" => file = Some(value),
                b"seq" => sequence = Some(parse_u64(value).ok_or("a sequence number that is none")?),
                b"type" => kind = Some(value.as_slice()),
                _ => {}
            }
        }
        let (Some(file), Some(sequence), Some(kind)) = (file, sequence, kind) else {
            return Err("file, seq and type are needed");
        };
        let file = String::from_utf8(file.clone()).map_err(|_| "a file name that is not UTF-8")?;
        // A name leads nowhere but into the directory itself.
        if file.is_empty() || file == "." || file == ".." || file.contains(['/', '\0']) {
            return Err("a file name that is none");
        }
        match kind {
            b"b" if self.base.is_some() => return Err("a second base"),
            b"b" => self.base = Some(file),
            b"i" if last_sequence.is_some_and(|last| sequence <= last) => return Err("a sequence number out of order"),
            b"i" => {
                *last_sequence = Some(sequence);
                self.increments.push(file);
            }
            b"h" => self.history.push(file),
            _ => return Err("a type that is none of b, i, h"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_in_their_order() {
        let text = b"# written by hand\n\
            file a.1.base.rdb seq 1 type b\n\
            type h seq 0 file a.0.incr.aof\n\
            file \"a b\\x2e2\" seq 2 type i colour green\n\
            FILE a.10.incr.aof SEQ 10 TYPE i\r\n";
        let manifest = Manifest::parse(text).unwrap();
        assert_eq!(manifest.files().collect::<Vec<_>>(), ["a.1.base.rdb", "a b.2", "a.10.incr.aof"]);
        assert_eq!(manifest.history, ["a.0.incr.aof"]);
    }

    #[test]
    fn what_is_refused() {
        for (text, error) in [
            ("", "names no file"),
            ("# only a comment\n", "names no file"),
            ("file a seq 1 type b\n\nfile b seq 1 type i\n", "line 2: file, seq and type are needed"),
            ("file a seq 1 type b", "line 1: has no end"),
            ("file a seq 1 type\n", "line 1: a name without a value"),
            ("file \"a seq 1 type b\n", "line 1: quotes that do not balance"),
            ("file a seq -1 type b\n", "line 1: a sequence number that is none"),
            ("file a seq 1 type x\n", "line 1: a type that is none of b, i, h"),
            ("file ../a seq 1 type b\n", "line 1: a file name that is none"),
            ("file \"\" seq 1 type b\n", "line 1: a file name that is none"),
            ("file a seq 1 type b\nfile b seq 2 type b\n", "line 2: a second base"),
            ("file a seq 2 type i\nfile b seq 2 type i\n", "line 2: a sequence number out of order"),
        ] {
            assert_eq!(Manifest::parse(text.as_bytes()).unwrap_err().to_string(), error, "{text:?}");
        }
    }
}
