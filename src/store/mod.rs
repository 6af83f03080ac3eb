//! The keyspace in memory: 16,384 individually locked slots, each with a compact hash table per database.
//!
//! ```text
//! Keyspace -> [Slot; 16384] -> lock -> Db per database -> Table -> buckets of words -> Entry (one allocation)
//! ```
//! No I/O and no protocol here; time is an argument.

pub mod access;
pub mod bits;
mod buckets;
pub mod candidates;
pub mod collection;
pub mod digest;
pub mod entry;
pub mod geo;
pub mod hash;
pub mod hyperloglog;
pub mod intset;
pub mod keyspace;
pub mod lcs;
pub mod limits;
pub mod list;
pub mod listpack;
pub mod lock;
pub mod member;
pub mod member_table;
pub mod reclaim;
pub mod set;
pub mod slot;
pub mod sort;
pub mod stream;
pub mod table;
pub mod waiters;
pub mod zset;

pub use collection::{Detached, Form, Large, ValueType};
pub use entry::{Entry, EntryRef, StringForm};
pub use keyspace::Keyspace;
pub use slot::{Db, DbIndex, SlotData, SlotGuard, WatchFlag};
