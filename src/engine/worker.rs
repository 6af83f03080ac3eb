//! A worker's own state: what it needs at every batch and shares with nobody.

use std::sync::Arc;

use super::state::Engine;
use crate::base::clock;
use crate::config::Config;
use crate::metrics::WorkerStats;

pub struct Worker {
    pub engine: Arc<Engine>,
    pub index: usize,
    pub stats: Arc<WorkerStats>,
    config: Arc<Config>,
    config_generation: u64,
    /// Wall time of the batch under way, in Unix milliseconds.
    pub now_ms: u64,
}

impl Worker {
    pub fn new(engine: Arc<Engine>, index: usize) -> Worker {
        let stats = engine.workers[index].clone();
        let (config_generation, config) = (engine.config.generation(), engine.config.load());
        Worker { engine, index, stats, config, config_generation, now_ms: clock::unix_ms() }
    }

    /// Looks at the clock and at the configuration; called at the start of each batch.
    #[inline]
    pub fn refresh(&mut self) {
        self.now_ms = clock::unix_ms();
        let generation = self.engine.config.generation();
        if generation != self.config_generation {
            self.config_generation = generation;
            self.config = self.engine.config.load();
        }
    }

    /// The generation of [`Worker::config`].
    #[inline]
    pub fn config_generation(&self) -> u64 {
        self.config_generation
    }

    /// The configuration as of the batch's start.
    #[inline]
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }
}
