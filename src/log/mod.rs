//! The log: what happened to each slot, on the disk. It knows slots, sequence numbers and bytes, and no value type.
//!
//! ```text
//! effect --append, under the slot's lock--> journal: a sequential mapped segment per lane
//!        --settle, in the background------> slot logs: one append-only log per slot, in a tablespace of extents
//! ```
//! `docs/disk-format.md` describes every byte.

mod core;
#[cfg(test)]
mod crash_test;
pub mod disk;
pub mod extents;
mod filler;
pub mod fold;
pub mod follow;
pub mod health;
mod history;
pub mod journal;
mod lane;
pub mod lock;
pub mod manifest;
pub mod record;
pub mod scan;
pub mod segment;
pub mod settle;
#[cfg(test)]
mod settle_test;
#[cfg(test)]
pub(crate) mod simulated_disk;
pub mod slot_index;
pub mod slot_reader;
pub mod storage;
pub mod sync;
pub mod table_writer;
pub mod tables;
#[cfg(test)]
mod toy;
pub mod transaction;
mod walk;
