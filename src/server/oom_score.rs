//! The kernel's inclination to end this process when memory runs out, as `oom-score-adj` wants it.

use std::fs;
use std::io;

use parking_lot::Mutex;

use crate::config::Config;
use crate::config::choices::OomScoreAdj;

const FILE: &str = "/proc/self/oom_score_adj";
/// What the kernel takes.
const SCORE_MAX: i32 = 1000;

/// Remembers what the score was before it was changed.
#[derive(Default)]
pub struct OomScore(Mutex<Option<i32>>);

impl OomScore {
    /// Sets the score as the new configuration says; leaves it alone where neither has anything to say.
    pub fn follow(&self, old: &Config, new: &Config) -> io::Result<()> {
        let wishes = |config: &Config| (config.oom_score_adj, config.oom_score_adj_values, config.replicaof.is_some());
        if wishes(old) == wishes(new) {
            return Ok(());
        }
        let mut before = self.0.lock();
        if new.oom_score_adj == OomScoreAdj::No {
            return before.take().map_or(Ok(()), write);
        }
        let base = match *before {
            Some(base) => base,
            None => read()?,
        };
        let [of_primary, of_replica, _] = new.oom_score_adj_values;
        let own = if new.replicaof.is_some() { of_replica } else { of_primary };
        let score = if new.oom_score_adj == OomScoreAdj::Absolute { own } else { base + own };
        write(score.clamp(-SCORE_MAX, SCORE_MAX))?;
        *before = Some(base);
        Ok(())
    }
}

fn read() -> io::Result<i32> {
    fs::read_to_string(FILE)?.trim().parse().map_err(io::Error::other)
}

fn write(score: i32) -> io::Result<()> {
    fs::write(FILE, score.to_string())
}
