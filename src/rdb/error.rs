//! What can be wrong with an RDB file, and where.

use std::fmt;
use std::io;

use super::format::VERSION_MAX;

/// Bytes of a key that an error shows.
const SHOWN_KEY_BYTES_MAX: usize = 64;

/// A file that cannot be read. It displays as one line for a log.
#[derive(Debug)]
pub struct RdbError {
    /// Of the byte where the damaged or unknown part begins; where reading ended, for a file that is cut short.
    pub offset: u64,
    pub fault: Fault,
}

#[derive(Debug)]
pub enum Fault {
    Io(io::Error),
    /// The end came in the middle.
    Truncated,
    /// It does not begin as an RDB file does.
    NotRdb,
    /// A version that is not read.
    Version(u32),
    /// A type byte without a meaning.
    UnknownType {
        type_byte: u8,
        key: Vec<u8>,
    },
    /// A type that Redis knows and Cairn does not yet.
    UnsupportedType {
        name: &'static str,
        key: Vec<u8>,
    },
    /// Something other than a key that Redis knows and Cairn does not yet.
    Unsupported(String),
    TooLong {
        bytes: u64,
        bytes_max: u64,
    },
    Damaged(&'static str),
    Checksum {
        stored: u64,
        computed: u64,
    },
}

/// A key for a log: readable, and not too long.
struct ShownKey<'a>(&'a [u8]);

impl fmt::Display for ShownKey<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(SHOWN_KEY_BYTES_MAX)];
        let more = if shown.len() < self.0.len() { "..." } else { "" };
        write!(out, "\"{}{more}\"", shown.escape_ascii())
    }
}

impl fmt::Display for RdbError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = self.offset;
        out.write_str("RDB: ")?;
        match &self.fault {
            Fault::Io(error) => write!(out, "cannot be read at offset {offset}: {error}"),
            Fault::Truncated => write!(out, "ends in the middle, at offset {offset}"),
            Fault::NotRdb => write!(out, "no RDB file begins at offset {offset}"),
            Fault::Version(version) => write!(out, "version {version} is not among 1 to {VERSION_MAX}, which are read"),
            Fault::UnknownType { type_byte, key } => {
                write!(out, "value type {type_byte} of key {} at offset {offset} is unknown", ShownKey(key))
            }
            Fault::UnsupportedType { name, key } => {
                write!(out, "value type '{name}' of key {} at offset {offset} is not supported yet", ShownKey(key))
            }
            Fault::Unsupported(what) => write!(out, "{what} at offset {offset} is not supported yet"),
            Fault::TooLong { bytes, bytes_max } => {
                write!(out, "a string of {bytes} bytes at offset {offset}, where at most {bytes_max} are allowed")
            }
            Fault::Damaged(what) => write!(out, "{what} at offset {offset}"),
            Fault::Checksum { stored, computed } => write!(
                out,
                "the checksum at offset {offset} is {stored:016x}, while what stands before it gives {computed:016x}"
            ),
        }
    }
}

impl std::error::Error for RdbError {}
