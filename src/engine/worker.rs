//! A worker's own state: what it needs at every batch and shares with nobody.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::effect::EffectSink;
use super::eviction::{Evictor, Outcome};
use super::mailbox::Wakes;
use super::notify;
use super::script::ScriptCache;
use super::state::Engine;
use super::tracking::ChangedKeys;
use crate::base::clock;
use crate::config::Config;
use crate::metrics::WorkerStats;
use crate::store::access::AccessClock;

pub struct Worker {
    pub engine: Arc<Engine>,
    pub index: usize,
    pub stats: Arc<WorkerStats>,
    config: Arc<Config>,
    config_generation: u64,
    effects: Option<Arc<dyn EffectSink>>,
    effects_generation: u64,
    changed: Cell<bool>,
    evictor: RefCell<Evictor>,
    out_of_memory: Cell<bool>,
    /// Whom the batch sent messages.
    pub wakes: RefCell<Wakes>,
    /// What the batch changed, for those who track keys by prefix.
    pub changed_keys: RefCell<ChangedKeys>,
    /// Classes of keyspace events that are published.
    wanted_events: u32,
    /// The scripts that the worker ran, ready at hand.
    pub scripts: RefCell<ScriptCache>,
    /// Wall time of the batch under way, in Unix milliseconds.
    pub now_ms: u64,
    /// The same as access clocks see it.
    pub access_clock: AccessClock,
}

impl Worker {
    pub fn new(engine: Arc<Engine>, index: usize) -> Worker {
        let stats = engine.workers[index].clone();
        let (config_generation, config) = (engine.config.generation(), engine.config.load());
        let (effects_generation, effects) = (engine.effects_generation(), engine.effects());
        let now_ms = clock::unix_ms();
        Worker {
            access_clock: engine.keyspace.access_clock(now_ms),
            wanted_events: notify::wanted(config.notify_keyspace_events),
            engine,
            index,
            stats,
            config,
            config_generation,
            effects,
            effects_generation,
            changed: Cell::new(false),
            evictor: RefCell::default(),
            out_of_memory: Cell::new(false),
            wakes: RefCell::default(),
            changed_keys: RefCell::default(),
            scripts: RefCell::default(),
            now_ms,
        }
    }

    /// A worker beside those that serve: it counts for itself, has its own configuration, and nobody follows it.
    pub fn detached(engine: Arc<Engine>, config: Config) -> Worker {
        Worker {
            index: engine.background_lane(),
            stats: Arc::new(WorkerStats::new(engine.workers[0].commands.len())),
            config: Arc::new(config),
            config_generation: 0,
            effects: None,
            effects_generation: 0,
            changed: Cell::new(false),
            evictor: RefCell::default(),
            out_of_memory: Cell::new(false),
            wakes: RefCell::default(),
            changed_keys: RefCell::default(),
            wanted_events: 0,
            scripts: RefCell::default(),
            now_ms: 0,
            access_clock: engine.keyspace.access_clock(0),
            engine,
        }
    }

    /// Looks at the clock and at the configuration; called at the start of each batch.
    #[inline]
    pub fn refresh(&mut self) {
        self.now_ms = clock::unix_ms();
        self.access_clock = self.engine.keyspace.access_clock(self.now_ms);
        let generation = self.engine.config.generation();
        if generation != self.config_generation {
            self.config_generation = generation;
            self.config = self.engine.config.load();
            self.wanted_events = notify::wanted(self.config.notify_keyspace_events);
        }
    }

    /// Classes of keyspace events that are published, as of the batch's start.
    #[inline]
    pub fn wanted_events(&self) -> u32 {
        self.wanted_events
    }

    /// Ends a batch: those who track keys by prefix are told what changed, and whoever got messages is woken.
    #[inline]
    pub fn tell_listeners(&mut self) {
        let (wakes, changed) = (self.wakes.get_mut(), self.changed_keys.get_mut());
        if !changed.is_empty() {
            self.engine.tracking.broadcast(changed, wakes, &self.engine.clients);
        }
        if self.engine.keyspace.is_tracked() {
            // The batch itself may have set it.
            let is_old = self.engine.config.generation() != self.config_generation;
            let fresh = is_old.then(|| self.engine.config.load());
            let keys_max = fresh.as_ref().unwrap_or(&self.config).tracking_table_max_keys;
            self.engine.tracking.shrink(&self.engine.clients, keys_max, wakes);
        }
        wakes.pay();
    }

    /// Whether [`Worker::effects`] is up to date; asked inside the gate, so that a new follower misses nothing.
    #[inline]
    pub fn knows_effects(&self) -> bool {
        self.engine.effects_generation() == self.effects_generation
    }

    /// Sees who follows the data set.
    #[cold]
    pub fn refresh_effects(&mut self) {
        self.effects_generation = self.engine.effects_generation();
        self.effects = self.engine.effects();
    }

    /// Told when a change was handed on: its reply may have to wait for the disk.
    #[inline]
    pub fn note_change(&self) {
        self.changed.set(true);
    }

    /// Whether a change was handed on since the last call.
    #[inline]
    pub fn take_changed(&self) -> bool {
        self.changed.replace(false)
    }

    /// Gets memory within its limit, if there is one, before a command runs. The caller is inside the gate and holds no
    /// slot.
    #[inline]
    pub fn evict(&self) {
        let out_of_memory = self.config.maxmemory > 0 && {
            let (effects, mut evictor) = (self.effects.as_deref(), self.evictor.borrow_mut());
            evictor.run(&self.engine, &self.config, effects, self.index, self.now_ms) == Outcome::Stuck
        };
        self.out_of_memory.set(out_of_memory);
    }

    /// Whether memory was above its limit, with nothing to evict, when the command under way began.
    #[inline]
    pub fn is_out_of_memory(&self) -> bool {
        self.out_of_memory.get()
    }

    /// Who follows the data set, as of the batch's start.
    #[inline]
    pub fn effects(&self) -> Option<&dyn EffectSink> {
        self.effects.as_deref()
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
