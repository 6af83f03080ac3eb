//! The commands: one declarative table, what follows from it, and the handlers.

pub mod access;
pub mod account;
mod acl;
mod admission;
mod ahead;
pub mod arguments;
mod bitfield;
mod bitmap;
pub mod blocking;
mod client;
mod cluster;
pub mod command;
mod config;
mod connection;
pub mod context;
pub mod creation;
mod debug;
mod debug_data;
pub mod dispatch;
#[cfg(test)]
mod dispatch_tests;
mod dump;
mod expire;
mod generic;
mod geo;
mod hash;
mod hash_expiry;
#[cfg(test)]
mod hash_tests;
mod hash_walk;
mod hyperloglog;
mod info;
pub mod keys;
mod latency;
mod list;
mod list_move;
#[cfg(test)]
mod list_tests;
pub mod listeners;
mod lolwut;
pub mod lookup;
mod memory;
mod migrate;
mod module;
mod object;
mod persistence;
mod pubsub;
pub mod registry;
pub mod replay;
mod replication;
mod scan;
mod scan_options;
pub mod script;
mod server;
mod set;
mod slow_log;
mod sort;
pub mod spec;
mod stream;
mod string;
mod string_expiry;
#[cfg(test)]
mod string_tests;
mod table;
#[cfg(any(test, fuzzing))]
pub mod testing;
mod tracking;
mod transactions;
mod zset;

pub use context::{Cx, Handler, Outcome};
pub use dispatch::{Batch, Executor};
pub use lookup::Lookup;
