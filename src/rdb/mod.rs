//! Redis's formats for data at rest: RDB files, DUMP payloads, and the append-only files that Redis writes.
//!
//! A codec only: bytes in and out of readers and writers that the caller gives. When to write a file, where, and what
//! becomes of what is read is not known here.
//!
//! ```text
//! writer, reader     the file: header, opcodes, keys, checksum
//! payload            one value as DUMP gives it
//! libraries          libraries of functions as FUNCTION DUMP gives them
//! append_only        Redis's append-only directory or file: an RDB part, then commands
//! value/             one file for each type of value
//! packed             lengths and strings, which everything above is made of
//! lzf                the compression of strings
//! source, sink       buffers that know their offset and checksum
//! ```

pub mod append_only;
mod error;
mod format;
pub mod libraries;
mod packed;
pub mod payload;
mod reader;
mod sink;
mod source;
pub mod value;
mod writer;
mod ziplist;

pub use error::{Fault, RdbError};
pub use format::{SELECTED_DB, SavedKey};
pub use reader::{Event, RdbReader, ReadOptions};
pub use value::Value;
pub use writer::{RdbWriter, WriteOptions};
