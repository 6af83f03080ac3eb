//! Joins the rooms below into a running keyspace: locking, effects, watched keys, clients that wait for keys, sessions, expiry.

pub mod blocking;
pub mod client_memory;
pub mod clients;
pub mod departure;
pub mod effect;
pub mod eviction;
pub mod expiry;
pub mod following;
pub mod gate;
pub mod listeners;
pub mod mailbox;
pub mod notify;
pub mod patience;
pub mod persistence;
pub mod pubsub;
pub mod replicas;
pub mod saved;
pub mod script;
pub mod session;
pub mod shutdown;
pub mod space;
pub mod state;
pub mod tracked_keys;
pub mod tracking;
pub mod worker;

pub use effect::EffectSink;
pub use session::Session;
pub use space::{Expiry, Space};
pub use state::Engine;
pub use worker::Worker;
