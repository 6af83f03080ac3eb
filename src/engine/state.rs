//! What all workers share: the keyspace, the configuration, the clients, the gate, the counters that are not a
//! worker's own. One per process, made at start and never moved.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use super::clients::{Clients, flag};
use super::departure::{Courier, Departures};
use super::effect::EffectSink;
use super::eviction::{self, Pressure, Weights};
use super::following::Following;
use super::gate::Gate;
use super::persistence::Persistence;
use super::pubsub::PubSub;
use super::replicas::Replicas;
use super::replicas::history::History;
use super::replicas::stream::{Cursor, Stream};
use super::script::library::LibrarySet;
use super::script::{Libraries, Running, ScriptEngine, Scripts};
use super::shutdown::Shutdown;
use super::tracking::Tracking;
use crate::acl::Users;
use crate::acl::log::DenialLog;
use crate::base::hash::KeyHasher;
use crate::base::{clock, memory, random};
use crate::config::{Config, Live};
use crate::metrics::latency::LatencyEvents;
use crate::metrics::rates::{Rate, Rates};
use crate::metrics::slow_log::SlowLog;
use crate::metrics::{SharedStats, WorkerStats};
use crate::store::keyspace::SlotObserver;
use crate::store::{DbIndex, Keyspace};

/// Which commands CLIENT PAUSE holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseKind {
    Write,
    All,
}

/// Until when commands are held back.
#[derive(Default)]
pub struct Pause {
    state: Mutex<Option<(PauseKind, u64)>>,
    /// Whether there may be a pause; saves the lock.
    active: AtomicBool,
}

impl Pause {
    /// Pauses until `until_ms`, never shortening or weakening a pause under way.
    pub fn set(&self, kind: PauseKind, until_ms: u64) {
        let mut state = self.state.lock();
        *state = Some(match *state {
            Some((old_kind, old_until_ms)) => {
                let kind = if old_kind == PauseKind::All { old_kind } else { kind };
                (kind, until_ms.max(old_until_ms))
            }
            None => (kind, until_ms),
        });
        self.active.store(true, Ordering::Release);
    }

    pub fn clear(&self) {
        *self.state.lock() = None;
        self.active.store(false, Ordering::Release);
    }

    /// What is paused now, and until when.
    #[inline]
    pub fn now(&self, now_ms: u64) -> Option<(PauseKind, u64)> {
        if !self.active.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.state.lock();
        if state.is_some_and(|(_, until_ms)| until_ms <= now_ms) {
            *state = None;
            self.active.store(false, Ordering::Release);
        }
        *state
    }
}

/// Acts on a change of the configuration before it is published: listens elsewhere, for example. Gets the old and the
/// new configuration; a refusal names the directive and the reason, and leaves everything as it was.
pub type ConfigHook = Box<dyn Fn(&Config, &Config) -> Result<(), (String, String)> + Send + Sync>;

pub struct Engine {
    pub keyspace: Keyspace,
    pub config: Live,
    /// Installed by the server once it serves.
    pub config_hook: OnceLock<ConfigHook>,
    pub clients: Clients,
    pub pubsub: PubSub,
    pub tracking: Tracking,
    pub users: Users,
    /// What users tried and may not do.
    pub denials: DenialLog,
    pub gate: Gate,
    /// Held by whoever works beside the workers: one thread at a time has the seat at the gate and the lane for that.
    pub background: Mutex<()>,
    pub pause: Pause,
    /// Tickets given to clients that wait for keys.
    wait_tickets: AtomicU64,
    pub persistence: Persistence,
    pub eviction_pressure: Pressure,
    pub eviction_weights: RwLock<Weights>,
    pub shutdown: Shutdown,
    pub scripts: Scripts,
    pub libraries: Libraries,
    /// Scripts that overran their time.
    pub running: Running,
    /// Keys on their way to other servers.
    pub departures: Departures,
    /// Who brings them there. Installed by the first worker.
    pub courier: OnceLock<Box<dyn Courier>>,
    /// Installed before anything is loaded.
    pub script_engine: OnceLock<Box<dyn ScriptEngine>>,
    /// DEBUG SET-DISABLE-DENY-SCRIPTS: scripts may run what they otherwise may not.
    pub scripts_run_anything: AtomicBool,
    /// DEBUG SET-SKIP-CHECKSUM-VALIDATION: RESTORE takes payloads with wrong checksums.
    pub skips_checksums: AtomicBool,
    pub workers: Vec<Arc<WorkerStats>>,
    pub stats: SharedStats,
    pub error_codes: Mutex<std::collections::BTreeMap<String, u64>>,
    pub slow_log: SlowLog,
    pub latency: LatencyEvents,
    pub rates: Rates,
    /// Who follows the data set. Workers keep what they saw at the start of a batch.
    effects: Mutex<Option<Arc<dyn EffectSink>>>,
    effects_generation: AtomicU64,
    pub run_id: String,
    /// What replicas follow.
    pub stream: Arc<Stream>,
    pub replicas: Replicas,
    /// Names the history of this data set to replicas.
    pub history: Mutex<History>,
    /// Whom this server follows.
    pub following: Following,
    pub started_ms: u64,
    /// When the data set was last saved; before the first time, when the process started.
    pub last_save_seconds: AtomicI64,
    /// Bytes that the allocator has handed out, as of the last look (several times a second).
    pub used_memory_bytes: AtomicU64,
    /// The same when the server began to serve.
    pub startup_memory_bytes: AtomicU64,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub active_expiry: AtomicBool,
}

impl Engine {
    /// `command_count` is the size of the command table, for the per-command counters.
    pub fn new(config: Live, workers: usize, command_count: usize, hasher: KeyHasher) -> Engine {
        let databases = config.load().databases.min(u32::from(u16::MAX)) as u16;
        let users = Users::new(command_count, config.load().requirepass.as_bytes());
        let now_ms = clock::unix_ms();
        let keyspace = Keyspace::new(databases, hasher);
        keyspace.set_frequency(eviction::frequency_of(&config.load()));
        Engine {
            keyspace,
            config,
            config_hook: OnceLock::new(),
            clients: Clients::default(),
            pubsub: PubSub::default(),
            tracking: Tracking::default(),
            users,
            denials: DenialLog::default(),
            // One more seat for who works beside the workers.
            gate: Gate::new(workers + 1),
            background: Mutex::default(),
            pause: Pause::default(),
            wait_tickets: AtomicU64::new(0),
            persistence: Persistence::default(),
            eviction_pressure: Pressure::default(),
            eviction_weights: RwLock::default(),
            shutdown: Shutdown::default(),
            scripts: Scripts::default(),
            libraries: Libraries::default(),
            running: Running::default(),
            departures: Departures::default(),
            courier: OnceLock::new(),
            script_engine: OnceLock::new(),
            scripts_run_anything: AtomicBool::new(false),
            skips_checksums: AtomicBool::new(false),
            workers: (0..workers).map(|_| Arc::new(WorkerStats::new(command_count))).collect(),
            stats: SharedStats::default(),
            error_codes: Mutex::default(),
            slow_log: SlowLog::default(),
            latency: LatencyEvents::default(),
            rates: Rates::default(),
            effects: Mutex::default(),
            effects_generation: AtomicU64::new(0),
            run_id: random::hex_id(20),
            stream: Arc::default(),
            replicas: Replicas::default(),
            history: Mutex::default(),
            following: Following::default(),
            started_ms: now_ms,
            last_save_seconds: AtomicI64::new((now_ms / 1000) as i64),
            used_memory_bytes: AtomicU64::new(0),
            startup_memory_bytes: AtomicU64::new(memory::used_bytes()),
            active_expiry: AtomicBool::new(true),
        }
    }

    /// A ticket for a client that begins to wait, larger than all before. The slots of what it waits for are locked, so
    /// that their lines stay sorted.
    pub fn next_wait_ticket(&self) -> u64 {
        self.wait_tickets.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The lane of effects for what happens beside the workers; whoever uses it holds [`Engine::background`].
    pub fn background_lane(&self) -> usize {
        self.workers.len()
    }

    /// Who follows the data set now.
    pub fn effects(&self) -> Option<Arc<dyn EffectSink>> {
        self.effects.lock().clone()
    }

    /// Changes with every call of [`Engine::follow`].
    #[inline]
    pub fn effects_generation(&self) -> u64 {
        self.effects_generation.load(Ordering::Acquire)
    }

    /// Has `sink` follow the data set from now on, and `observer` see each slot once as it is now. No batch is under
    /// way meanwhile, so no change is missed and none is told twice. The caller is no worker inside a batch.
    pub fn follow(&self, sink: Option<Arc<dyn EffectSink>>, observer: Option<Arc<dyn SlotObserver>>) {
        let alone = self.gate.close();
        *self.effects.lock() = sink;
        self.effects_generation.fetch_add(1, Ordering::Release);
        self.keyspace.observe(observer);
        drop(alone);
    }

    /// Begins a full copy for replicas: `observer` sees each slot once as it is now, and the stream has every change from
    /// now on, behind the cursor. Tells which database the stream has selected there, where it is a primary's. The caller is
    /// no worker inside a batch.
    pub fn cut(&self, observer: Arc<dyn SlotObserver>) -> (Cursor, Arc<LibrarySet>, DbIndex) {
        let alone = self.gate.close();
        let cursor = self.stream.cut(self.config.load().repl_backlog_size);
        let libraries = self.libraries.current();
        let selected = self.following.selected.load(Ordering::Relaxed);
        self.keyspace.observe(Some(observer));
        drop(alone);
        (cursor, libraries, selected)
    }

    /// Forgets the replication stream, unless somebody has come to follow it. It will go on under another id.
    pub fn end_stream(&self) {
        let alone = self.gate.close();
        if self.stream.turn_off() {
            *self.history.lock() = History::default();
        }
        drop(alone);
    }

    /// Ends a pause now. Clients that it holds back sleep until its end, so they are woken.
    pub fn unpause(&self) {
        self.pause.clear();
        for client in self.clients.all() {
            if client.has_flag(flag::BLOCKED) {
                client.wake();
            }
        }
    }

    /// Adds one counter up over all workers.
    pub fn total(&self, counter: impl Fn(&WorkerStats) -> u64) -> u64 {
        self.workers.iter().map(|worker| counter(worker)).sum()
    }

    /// Looks at memory and at how fast things go; the background thread calls it ten times a second.
    pub fn sample(&self) {
        self.note_used_memory(memory::used_bytes());
        let now_ms = clock::unix_ms();
        let sample = |rate, reached| self.rates.sample(rate, now_ms, reached);
        sample(Rate::Commands, self.total(|stats| stats.commands_processed.get()));
        sample(Rate::InputBytes, self.total(|stats| stats.net_input_bytes.get()));
        sample(Rate::OutputBytes, self.total(|stats| stats.net_output_bytes.get()));
        sample(Rate::Batches, self.total(|stats| stats.reads_processed.get()));
    }

    /// Keeps what the allocator said for those who look at it often.
    pub fn note_used_memory(&self, used_bytes: u64) {
        self.used_memory_bytes.store(used_bytes, Ordering::Relaxed);
        self.stats.used_memory_peak_bytes.raise_to(used_bytes);
    }

    /// Counts an error reply by its code word.
    pub fn count_error(&self, code: &str) {
        /// Codes remembered apart, so that scripts cannot fill the memory with codes of their own.
        const CODES_MAX: usize = 128;
        self.stats.total_error_replies.add(1);
        let mut codes = self.error_codes.lock();
        if let Some(count) = codes.get_mut(code) {
            *count += 1;
        } else if codes.len() < CODES_MAX {
            codes.insert(code.to_owned(), 1);
        }
    }
}
