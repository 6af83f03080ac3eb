//! Reading the append-only files of Redis: a directory with a manifest, or one file as before Redis 7.
//!
//! ```text
//! manifest   which files make up the data set, in which order
//! stream     one file: an RDB part or not, then commands
//! files      all of them, one after the other
//! ```

mod files;
mod manifest;
mod stream;

pub use files::{AppendOnlyError, AppendOnlyFiles};
pub use manifest::{Manifest, ManifestError};
pub use stream::{AppendOnlyEvent, AppendOnlyReader, Command, StreamError, StreamFault};
