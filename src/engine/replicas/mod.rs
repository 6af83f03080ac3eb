//! Replicas of this server: the stream that they follow, the full copies that they begin with, and what is known of each.
//!
//! What they are to be sent next is decided in `replication/`; connections send it.

pub mod copy;
pub mod history;
mod roll;
pub mod stream;

pub use roll::{Phase, Replica, Replicas, Wants};
