//! Streams: entries that are appended, read in the order of their ids, and given to consumer groups.
//!
//! ```text
//! Stream -> Entries -> Block per hundred entries or so (a listpack)
//!        -> Group by name -> pending entries, consumers
//! ```

mod block;
mod claim;
mod delivery;
mod entries;
mod group;
mod id;
mod value;

pub use block::{Block, BlockLimits, Item};
pub use claim::{Claim, Claimed};
pub use entries::{AppendError, Entries, Keep, Trim};
pub use group::{Consumer, ConsumerId, Group, Pending};
pub use id::{IdText, NewId, StreamId};
pub use value::Stream;

/// Where counts of entries and deliveries stop: the greatest that commands can tell and be told.
pub const COUNT_MAX: u64 = i64::MAX as u64;

/// The count after one more.
fn one_more(count: u64) -> u64 {
    count.saturating_add(1).min(COUNT_MAX)
}
