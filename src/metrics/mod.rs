//! What the server counts: counters, latency histograms, the slow log, latency events. Others bump and read; this room
//! knows nobody's state.

pub mod counter;
pub mod histogram;
pub mod latency;
pub mod rates;
pub mod slow_log;
pub mod stats;

pub use counter::Counter;
pub use stats::{CommandStats, SharedStats, WorkerStats};
