//! Cairn: a Redis-protocol compatible, sharded cache-and-store.
//!
//! The rooms below are listed deepest first; a file imports its own room and deeper ones only
//! (`tests/architecture.rs` enforces it).

pub mod acl;
pub mod base;
pub mod commands;
pub mod config;
pub mod engine;
pub mod keeper;
pub mod log;
pub mod metrics;
pub mod net;
pub mod rdb;
pub mod replication;
pub mod resp;
pub mod scripting;
pub mod server;
pub mod store;
pub mod tool;
