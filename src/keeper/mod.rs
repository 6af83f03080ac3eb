//! Keeps the data set on disk: opens the log and recovers from it, settles it beside the workers, writes and reads
//! snapshots, moves a Redis data set in.
//!
//! ```text
//! start:  lock -> manifest -> journal's tail -> slots, in parallel -> a new journal -> serve
//! then:   one thread settles, compacts and takes what SAVE, BGSAVE and BGREWRITEAOF ask for; a snapshot is written by a
//!         thread of its own from a pinned version of the slot logs
//! ```
//! The server and the offline tool are built of the same parts.

pub mod archive;
mod full_copy;
pub mod functions;
mod history;
pub mod import;
pub mod kept_log;
pub mod live_snapshot;
pub mod pacer;
mod progress;
pub mod recovery;
pub mod restore;
mod seeder;
pub mod service;
#[cfg(test)]
mod simulation;
pub mod snapshot;

pub use kept_log::{KeptLog, LogOptions};
pub use service::Service;

/// The directory of the log, inside the data directory.
pub const LOG_DIRECTORY: &str = "cairn-log";
