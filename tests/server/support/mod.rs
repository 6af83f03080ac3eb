//! What every black-box test stands on: a server process that ends with its test, a client that decodes replies with
//! an independent library, a notation for expectations, polling with a deadline, and a seeded generator.

mod client;
mod dataset;
mod process;
mod random;
mod reply;
mod script;

use std::time::{Duration, Instant};

pub use client::{Client, Protocol};
pub use dataset::{Dataset, Stored, assert_same, dataset};
pub use process::{DataDirectory, Server, free_port, raise_file_limit, run_to_exit, temporary_directory};
pub use random::{Random, seed_from_environment};
pub use reply::Reply;
pub use script::{check, encode_command, escape, split_line};

/// How long anything that should happen at once may take on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until `condition` holds; panics with `what` when it does not hold in time.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(1);
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
