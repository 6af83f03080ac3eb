//! Boot, background work and the end of the process.

pub mod arguments;
pub mod boot;
pub mod cron;
pub mod daemon;
pub mod logging;
mod oom_score;
mod title;
