//! Cairn: a Redis-protocol compatible, sharded cache-and-store.

pub mod base;
pub mod config;
