//! Persistence of a running server: loads the data set, then does in the background what commands and time ask for.
//!
//! ```text
//! keeper thread:   takes tasks (SAVE, BGREWRITEAOF, CONFIG SET appendonly), settles when the journal is long enough,
//!                  watches save points and the disk, reports
//! snapshot thread: writes one file from a pinned version; lives as long as that takes
//! copy thread:     the same of a full copy for replicas
//! ```

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use super::import;
use super::kept_log::{KeptLog, LogOptions, Measures};
use super::pacer::{BurstPacer, Share};
use super::progress::ProgressWatch;
use super::seeder::Seeder;
use super::snapshot::Written;
use super::{LOG_DIRECTORY, full_copy, functions, live_snapshot, recovery, snapshot};
use crate::base::clock;
use crate::base::key_slot::SlotId;
use crate::base::memory;
use crate::config::Config;
use crate::config::choices::AppendFsync;
use crate::engine::Engine;
use crate::engine::effect::EffectSink;
use crate::engine::persistence::{JobKind, LogReport, Task, obstacle};
use crate::log::settle::{Pacer, Unpaced};
use crate::log::sync::Policy;
use crate::store::DbIndex;

/// How often the keeper looks around.
const LOOK_PERIOD: Duration = Duration::from_millis(100);
/// How often it adds up what the disk holds.
const SPACE_PERIOD_MS: u64 = 1000;
/// How often the end of a background save is looked for when the server ends.
const SAVE_POLL: Duration = Duration::from_millis(5);
/// After a background save failed, the next save point waits so long.
const SAVE_RETRY_MS: u64 = 5000;
/// Free space that the tablespace keeps while much is written: what compaction writes before it publishes, and more.
const KEPT_BYTES_MIN: u64 = 96 << 20;
/// Writing is quiet when less than this is appended in so long.
const QUIET_BYTES: u64 = 4 << 20;
const QUIET_MS: u64 = 5000;
/// Settling takes this share of a processor while nothing is behind. A steady share makes for steadier latencies than
/// short and large ones, so it grows slowly at first with what waits, and is the whole where writers are slowed down.
const CALM_PERCENT: u64 = 12;
/// Writing a snapshot takes this share.
const SNAPSHOT_PERCENT: u64 = 25;
/// Making a full copy for replicas takes this share: they wait for it, and the slots that change meanwhile take memory.
const COPY_PERCENT: u64 = 50;
/// The journal may hold this share of the live data, in percent, before it is settled.
const JOURNAL_PERCENT: u64 = 30;
/// Writers are slowed down at this multiple of what starts a pass.
const PRESSURE_MULTIPLE: u64 = 4;
/// But never below this: so little is soon settled.
const PRESSURE_BYTES_MIN: u64 = 32 << 20;
const WRITER_DELAY_MS_MAX: u64 = 100;
/// Writers are slowed down when less than this is left on the disk, or less than a quarter of what the log takes.
const FREE_BYTES_MIN: u64 = 256 << 20;

pub struct Service {
    engine: Arc<Engine>,
    directory: PathBuf,
    log: Mutex<Option<Arc<KeptLog>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    settle_share: Share,
    snapshot_share: Share,
    /// Held by whoever has an observer look at every slot, or makes the data set anew.
    observing: Mutex<()>,
    state: Mutex<Watched>,
}

/// What the keeper thread remembers between looks.
#[derive(Default)]
struct Watched {
    report: LogReport,
    space_looked_ms: u64,
    save_failed_ms: u64,
    /// What had been appended, and when, the last time that there was much.
    busy_bytes: u64,
    busy_ms: u64,
}

pub fn policy_of(config: &Config) -> Policy {
    match config.appendfsync {
        AppendFsync::Always => Policy::Always,
        AppendFsync::Everysec => Policy::EverySecond,
        AppendFsync::No => Policy::No,
    }
}

fn log_options(engine: &Engine, config: &Config) -> LogOptions {
    LogOptions {
        lanes: engine.background_lane() + 1,
        policy: policy_of(config),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        refuse_torn: !config.aof_load_truncated,
        measures: Measures::default(),
    }
}

/// How much free space the tablespace keeps for compaction to use.
fn kept_bytes(report: &LogReport, is_quiet: bool) -> u64 {
    if is_quiet { report.live_bytes / 16 } else { (report.live_bytes / 8).max(KEPT_BYTES_MIN) }
}

/// How many bytes of journal start a pass.
fn starts_at_bytes(report: &LogReport, config: &Config) -> u64 {
    (report.live_bytes * JOURNAL_PERCENT / 100).max(config.log_settle_bytes).max(1)
}

impl Service {
    /// Loads the data set that `directory` holds, whatever its form, and has the log follow it if there is to be one.
    /// The engine says that it is loading.
    pub fn load(engine: &Arc<Engine>, directory: &Path) -> Result<Arc<Service>, String> {
        let config = engine.config.load();
        let started_ms = clock::unix_ms();
        let service = Service {
            engine: engine.clone(),
            directory: directory.to_path_buf(),
            log: Mutex::default(),
            threads: Mutex::default(),
            settle_share: Share::new(CALM_PERCENT),
            snapshot_share: Share::new(SNAPSHOT_PERCENT),
            observing: Mutex::default(),
            state: Mutex::default(),
        };
        let watch = ProgressWatch::start(engine);
        if config.appendonly {
            service.open_log(&config)?;
        } else if let Some(origin) = import::find(directory, &config)? {
            engine.persistence.begin_loading(origin.bytes());
            let name = origin.name();
            let imported = import::read(origin, engine)?;
            tracing::info!(
                "DB loaded from {name}: {} keys, {} expired, {:.3} seconds",
                imported.keys,
                imported.expired,
                clock::unix_ms().saturating_sub(started_ms) as f64 / 1000.0
            );
        }
        drop(watch);
        let log = service.log.lock().clone();
        service.report(log.as_deref());
        engine.persistence.end_loading();
        Ok(Arc::new(service))
    }

    /// Whether there may be anything to load.
    pub fn finds_data(directory: &Path, config: &Config) -> bool {
        config.appendonly && directory.join(LOG_DIRECTORY).exists()
            || !matches!(import::find(directory, config), Ok(None))
    }

    fn open_log(&self, config: &Config) -> Result<(), String> {
        let started_ms = clock::unix_ms();
        let path = self.directory.join(LOG_DIRECTORY);
        let (log, found) = KeptLog::open(&path, &self.engine, &log_options(&self.engine, config))?;
        let log = Arc::new(log);
        let sink: Arc<dyn EffectSink> = log.journal.clone();
        functions::recover(&self.engine, &path)?;
        if found.fresh
            && let Some(origin) = import::find(&self.directory, config)?
        {
            let name = origin.name();
            tracing::info!("The log is empty. Moving in from {name}");
            self.engine.persistence.begin_loading(origin.bytes());
            log.begin_moving_in()?;
            self.engine.follow(Some(sink), None);
            let imported = import::read(origin, &self.engine)?;
            log.end_moving_in()?;
            tracing::info!(
                "Moved in from {name}: {} keys, {} of them expired and left out, {} commands. The log has them now; the \
                 files stay as they are and are not read again.",
                imported.keys,
                imported.expired,
                imported.commands
            );
        } else {
            self.engine.follow(Some(sink), None);
            tracing::info!(
                "DB loaded from the log: {:.3} seconds",
                clock::unix_ms().saturating_sub(started_ms) as f64 / 1000.0
            );
        }
        *self.log.lock() = Some(log);
        Ok(())
    }

    /// Starts the keeper's thread.
    pub fn start(self: &Arc<Service>) -> std::io::Result<()> {
        let service = self.clone();
        self.spawn("keeper", move || service.run())
    }

    fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let work = move || {
            // What settling, compaction and snapshots hold for a moment is no part of the data set.
            memory::work_aside();
            work();
        };
        let thread = std::thread::Builder::new().name(name.into()).spawn(work)?;
        let mut threads = self.threads.lock();
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
        Ok(())
    }

    /// Ends background work, saves if asked, and closes the log. An error leaves the server running.
    pub fn end(self: &Arc<Service>, save: bool) -> Result<(), String> {
        if save && self.has_refused_slots() {
            tracing::warn!(
                "No snapshot is saved: without the refused slots it would not be whole. The log has the rest."
            );
        } else if save {
            // A background save under way writes the same file. It ends first, in haste.
            self.snapshot_share.set(100);
            while self.engine.persistence.is_under_way(JobKind::Save) {
                std::thread::sleep(SAVE_POLL);
            }
            let saved = self.save_now();
            self.snapshot_share.set(SNAPSHOT_PERCENT);
            saved?;
        }
        self.engine.persistence.ask_stop();
        self.engine.replicas.copies.abandon();
        // Not held while they end: one of them may be about to start another.
        let threads = std::mem::take(&mut *self.threads.lock());
        // A late script may hold slots that they wait for. Then the process ends under them, as if it had crashed.
        for thread in threads.into_iter().filter(|_| !self.engine.running.is_busy()) {
            // One that panicked has said so.
            let _ = thread.join();
        }
        match self.log.lock().take() {
            Some(log) => log.journal.close().map_err(|_| log.stopped().unwrap_or_default()),
            None => Ok(()),
        }
    }

    fn run(self: &Arc<Service>) {
        loop {
            match self.engine.persistence.next_task(LOOK_PERIOD) {
                Some(Task::Stop) => return,
                Some(Task::Save) => self.begin_save(),
                Some(Task::Rewrite) => self.rewrite(),
                Some(Task::Reload) => self.reload(),
                Some(Task::Copy) => {}
                Some(Task::SwitchLog(on)) => self.switch_log(on),
                None => {}
            }
            self.look_around();
        }
    }

    // ---- what time asks for -------------------------------------------------------------------------------------

    fn look_around(self: &Arc<Service>) {
        let config = self.engine.config.load();
        let log = self.log.lock().clone();
        if let Some(log) = &log {
            log.journal.set_policy(policy_of(&config));
            let is_quiet = self.is_quiet(log);
            if log.fresh_bytes()
                > if is_quiet { QUIET_BYTES } else { starts_at_bytes(&self.state.lock().report, &config) }
            {
                // What is wrong is in the report.
                let _ = self.settle(log, false);
            }
            if is_quiet {
                log.journal.drop_spares();
            }
            log.tables.reclaim(kept_bytes(&self.state.lock().report, is_quiet), &mut || {});
        }
        self.report(log.as_deref());
        self.watch_save_points(&config);
        self.begin_copies();
    }

    /// Whether little was written for a while: then the journal is settled early, so that the disk holds little more than
    /// is live and the next start is quick.
    fn is_quiet(&self, log: &KeptLog) -> bool {
        let (now_ms, appended_bytes) = (clock::unix_ms(), log.journal.appended_bytes());
        let mut state = self.state.lock();
        if appended_bytes > state.busy_bytes + QUIET_BYTES {
            (state.busy_bytes, state.busy_ms) = (appended_bytes, now_ms);
        }
        now_ms >= state.busy_ms + QUIET_MS
    }

    fn has_refused_slots(&self) -> bool {
        self.engine.persistence.obstacles() & obstacle::REFUSED_SLOTS != 0
    }

    fn watch_save_points(&self, config: &Config) {
        let engine = &self.engine;
        let changes = engine.total(|stats| stats.dirty.get());
        let changes = changes.saturating_sub(engine.persistence.changes_saved.load(Ordering::Relaxed));
        let now_ms = clock::unix_ms();
        let since_s = (now_ms / 1000).saturating_sub(engine.last_save_seconds.load(Ordering::Relaxed) as u64);
        let failed_ms = self.state.lock().save_failed_ms;
        let is_due = !self.has_refused_slots()
            && config.save.iter().any(|&(seconds, least)| changes >= least && since_s > seconds);
        if is_due && now_ms >= failed_ms + SAVE_RETRY_MS && engine.persistence.ask(JobKind::Save).is_ok() {
            tracing::info!("{changes} changes in {since_s} seconds. Saving...");
        }
    }

    fn report(&self, log: Option<&KeptLog>) {
        let mut state = self.state.lock();
        let Some(log) = log else {
            state.report = LogReport::default();
            self.engine.persistence.report_log(LogReport::default());
            return;
        };
        let now_ms = clock::unix_ms();
        let report = &mut state.report;
        report.is_on = true;
        report.stopped = log.stopped();
        report.journal_bytes = log.journal.unsettled_bytes();
        let syncs = log.journal.sync_counts();
        (report.syncs, report.delayed_syncs) = (syncs.rounds, syncs.delayed);
        report.free_bytes = log.journal.free_bytes();
        report.writer_delay_ms = self.engine.persistence.writer_delay_ms();
        if now_ms >= state.space_looked_ms + SPACE_PERIOD_MS {
            let space = log.space();
            let report = &mut state.report;
            (report.settled_bytes, report.live_bytes) = (space.log_bytes, space.live_bytes);
            report.disk_bytes = space.disk_bytes + report.journal_bytes;
            state.space_looked_ms = now_ms;
        }
        self.engine.persistence.report_log(state.report.clone());
        self.press(&state.report);
    }

    /// Gives settling the share it needs, and slows writers down where that is not enough.
    fn press(&self, report: &LogReport) {
        let starts_at = starts_at_bytes(report, &self.engine.config.load());
        let behind_percent = (report.journal_bytes.saturating_sub(starts_at) * 100 / starts_at).min(1000);
        self.settle_share.set(CALM_PERCENT + behind_percent * (360 + behind_percent) / 2000);
        let limit = (starts_at * PRESSURE_MULTIPLE).max(PRESSURE_BYTES_MIN);
        let behind = report.journal_bytes.saturating_sub(limit) * WRITER_DELAY_MS_MAX / limit;
        let free_min = FREE_BYTES_MIN.min(report.disk_bytes / 4);
        let scarce = free_min.saturating_sub(report.free_bytes) * WRITER_DELAY_MS_MAX / free_min.max(1);
        let delay_ms = behind.max(scarce).min(WRITER_DELAY_MS_MAX);
        let before_ms = self.engine.persistence.writer_delay_ms();
        if (delay_ms > 0) != (before_ms > 0) {
            if delay_ms > 0 {
                tracing::warn!(
                    "Writers are slowed down: {} bytes of journal wait for settling, {} bytes are left on the disk.",
                    report.journal_bytes,
                    report.free_bytes
                );
            } else {
                tracing::info!("Writers are no longer slowed down.");
            }
        }
        self.engine.persistence.slow_writers(delay_ms);
    }

    // ---- settling -----------------------------------------------------------------------------------------------

    fn settle(&self, log: &KeptLog, compact_all: bool) -> Result<(), String> {
        let retention_ms = u64::from(self.engine.config.load().log_retention) * 1000;
        let keep_from_ms = if retention_ms == 0 { u64::MAX } else { clock::unix_ms().saturating_sub(retention_ms) };
        let mut pacer =
            WatchfulPacer { service: self, log, pacer: BurstPacer::new(self.settle_share.clone()), looked_ms: 0 };
        let outcome = log.settle(compact_all, keep_from_ms, &mut pacer);
        let mut state = self.state.lock();
        let error = match outcome {
            Ok(outcome) => {
                state.report.settle_passes += 1;
                state.space_looked_ms = 0;
                outcome.problems.first().map(|problem| problem.to_string())
            }
            Err(error) => Some(error),
        };
        if error != state.report.settle_error
            && let Some(error) = &error
        {
            tracing::error!("The journal cannot be settled: {error}");
        }
        state.report.settle_error = error.clone();
        error.map_or(Ok(()), Err)
    }

    fn rewrite(&self) {
        // For tests that want one to last: `rdb-key-save-delay` once, while it is set.
        let (began_ms, delay_us) = (clock::unix_ms(), || self.engine.config.load().rdb_key_save_delay.max(0) as u64);
        while clock::unix_ms().saturating_sub(began_ms) * 1000 < delay_us() && !self.engine.persistence.is_stopping() {
            std::thread::sleep(SAVE_POLL);
        }
        let log = self.log.lock().clone();
        let outcome = log.map_or(Ok(()), |log| self.settle(&log, true));
        match &outcome {
            Ok(()) => tracing::info!("Background AOF rewrite finished successfully: the log is settled and compacted."),
            Err(error) => tracing::error!("Background AOF rewrite failed: {error}"),
        }
        self.engine.persistence.finish(JobKind::Rewrite, outcome.is_ok());
    }

    // ---- snapshots ----------------------------------------------------------------------------------------------

    fn snapshot_path(&self, config: &Config) -> PathBuf {
        // Relative to the working directory, which CONFIG SET dir changes.
        PathBuf::from(&config.dbfilename)
    }

    /// Begins the save that was asked for, on a thread of its own.
    fn begin_save(self: &Arc<Service>) {
        let service = self.clone();
        let log = self.log.lock().clone();
        // Whoever asked may be about to count its own changes, which are saved, too.
        self.engine.gate.wait_for_leavers();
        let changes = self.engine.total(|stats| stats.dirty.get());
        let work: Box<dyn FnOnce() + Send> = match log {
            None => Box::new(move || {
                let mut pacer = BurstPacer::new(service.snapshot_share.clone());
                let outcome = service.write_live(&mut pacer);
                service.end_save(outcome, changes);
            }),
            Some(log) => match self.settled_version(&log) {
                Err(error) => return self.end_save(Err(error), changes),
                Ok(version) => Box::new(move || {
                    let config = service.engine.config.load();
                    let used_bytes = service.engine.used_memory_bytes.load(Ordering::Relaxed);
                    let path = service.snapshot_path(&config);
                    let mut pacer = BurstPacer::new(service.snapshot_share.clone());
                    let libraries = service.engine.libraries.current();
                    let outcome = snapshot::write_version(&version, &libraries, &path, &config, used_bytes, &mut pacer);
                    drop(version);
                    service.end_save(outcome, changes);
                }),
            },
        };
        if let Err(error) = self.spawn("snapshot", move || {
            work();
        }) {
            self.end_save(Err(format!("no thread for it: {error}")), changes);
        }
    }

    /// The slot logs with everything that was done before this call.
    fn settled_version(&self, log: &KeptLog) -> Result<Arc<crate::log::tables::Version>, String> {
        if let Some((slot, _)) = self.engine.persistence.refused_slots().first() {
            return Err(format!("slot {} is refused, and a snapshot without it would not be whole", slot.number()));
        }
        self.settle(log, false)?;
        Ok(log.tables.current())
    }

    /// Begins the full copies that are due, each on a thread of its own.
    fn begin_copies(self: &Arc<Service>) {
        while let Some(copy) = self.engine.replicas.copies.take_due(clock::unix_ms()) {
            let (service, to_make) = (self.clone(), copy.clone());
            let spawned = self.spawn("copy", move || {
                let _alone = service.observing.lock();
                let mut pacer = BurstPacer::new(Share::new(COPY_PERCENT));
                full_copy::make(&service.engine, &to_make, &mut pacer);
            });
            if let Err(error) = spawned {
                tracing::warn!("No thread for a full copy: {error}");
                self.engine.replicas.copies.end(&copy, false);
            }
        }
    }

    fn write_live(&self, pacer: &mut dyn Pacer) -> Result<Written, String> {
        let _alone = self.observing.lock();
        let config = self.engine.config.load();
        live_snapshot::write_live(&self.engine, &self.snapshot_path(&config), &config, pacer)
    }

    /// Saves and waits for it, for the end of the server.
    fn save_now(self: &Arc<Service>) -> Result<(), String> {
        tracing::info!("Saving the final RDB snapshot before exiting.");
        let changes = self.engine.total(|stats| stats.dirty.get());
        let log = self.log.lock().clone();
        let outcome = match log {
            None => self.write_live(&mut Unpaced),
            Some(log) => {
                self.settle_share.set(100);
                self.settled_version(&log).and_then(|version| {
                    let config = self.engine.config.load();
                    let used_bytes = self.engine.used_memory_bytes.load(Ordering::Relaxed);
                    let path = self.snapshot_path(&config);
                    let libraries = self.engine.libraries.current();
                    snapshot::write_version(&version, &libraries, &path, &config, used_bytes, &mut Unpaced)
                })
            }
        };
        let failed = outcome.as_ref().err().cloned();
        self.note_saved(outcome, changes);
        failed.map_or(Ok(()), Err)
    }

    fn end_save(&self, outcome: Result<Written, String>, changes: u64) {
        let ok = self.note_saved(outcome, changes);
        self.engine.persistence.finish(JobKind::Save, ok);
    }

    fn note_saved(&self, outcome: Result<Written, String>, changes: u64) -> bool {
        let engine = &self.engine;
        let config = engine.config.load();
        // A refused slot keeps snapshots from being whole, and the other slots serve.
        let stops_writes = config.stop_writes_on_bgsave_error && !config.save.is_empty() && !self.has_refused_slots();
        match outcome {
            Ok(written) => {
                engine.last_save_seconds.store((clock::unix_ms() / 1000) as i64, Ordering::Relaxed);
                engine.persistence.changes_saved.store(changes, Ordering::Relaxed);
                engine.persistence.set_obstacle(obstacle::SAVE_FAILED, false);
                tracing::info!("DB saved on disk: {} keys, {} bytes", written.keys, written.bytes);
                true
            }
            Err(error) => {
                tracing::error!("Background saving error: {error}");
                self.state.lock().save_failed_ms = clock::unix_ms();
                engine.persistence.set_obstacle(obstacle::SAVE_FAILED, stops_writes);
                false
            }
        }
    }

    /// Makes the data set what a primary's copy holds, which `snapshot` opens as often as it is read. What was there before
    /// goes once the copy is seen to be whole, and if the order is still in force. Gives the database that the primary's
    /// stream has selected.
    pub fn load_copy<R: Read>(
        &self,
        generation: u64,
        bytes: u64,
        snapshot: impl Fn() -> std::io::Result<R>,
    ) -> Result<DbIndex, String> {
        let (engine, config, started_ms) = (&self.engine, self.engine.config.load(), clock::unix_ms());
        let open = || snapshot().map_err(|error| format!("the copy cannot be read: {error}"));
        import::check(open()?, &config)?;
        let (_observing, _background) = (self.observing.lock(), engine.background.lock());
        if !engine.begin_replacing(generation, bytes) {
            return Err("another order is in force".into());
        }
        let watch = ProgressWatch::start(engine);
        let loaded = open().and_then(|snapshot| import::replace_all(snapshot, engine));
        if loaded.is_err() {
            // Half of it is of no use to anybody. Where not even that can be done, the log has stopped and says so.
            let _ = import::remove_all(engine);
        }
        drop(watch);
        engine.persistence.end_loading();
        let (imported, selected) = loaded?;
        tracing::info!(
            "The primary's copy is loaded: {} keys, {:.3} seconds",
            imported.keys,
            clock::unix_ms().saturating_sub(started_ms) as f64 / 1000.0
        );
        Ok(selected)
    }

    // ---- the log on and off -------------------------------------------------------------------------------------

    /// DEBUG RELOAD and LOADAOF: the data set is made anew of what the disk has, or would have.
    fn reload(&self) {
        let _observing = self.observing.lock();
        let alone = self.engine.gate.close();
        let outcome = match &*self.log.lock() {
            Some(log) => log.reload(&self.engine, 1),
            None => recovery::recode(&self.engine),
        };
        drop(alone);
        let outcome = outcome.and_then(|()| functions::reload(&self.engine));
        if let Err(error) = &outcome {
            tracing::error!("The data set cannot be loaded again: {error}");
        }
        self.engine.persistence.finish(JobKind::Reload, outcome.is_ok());
    }

    /// CONFIG SET appendonly.
    fn switch_log(&self, on: bool) {
        let _observing = self.observing.lock();
        let is_on = self.log.lock().is_some();
        match (is_on, on) {
            (true, false) => {
                self.engine.follow(None, None);
                // Keeping them nowhere does not fail.
                let _ = functions::keep(&self.engine, None);
                if let Some(log) = self.log.lock().take() {
                    // What it holds is as of now, and stays.
                    let _ = log.journal.close();
                }
                tracing::info!(
                    "The log is off. What it holds stays on disk, and is read if the server starts with it."
                );
            }
            (false, true) => match self.begin_log() {
                Ok(()) => tracing::info!("The log is on and holds the whole data set."),
                Err(error) => {
                    self.engine.follow(None, None);
                    tracing::error!("The log cannot be turned on: {error}");
                }
            },
            _ => {}
        }
    }

    /// Makes a new log of the live data set, and has it follow from then on.
    fn begin_log(&self) -> Result<(), String> {
        let config = self.engine.config.load();
        let path = self.directory.join(LOG_DIRECTORY);
        let log = Arc::new(KeptLog::begin(&path, &self.engine, &log_options(&self.engine, &config))?);
        let sink: Arc<dyn EffectSink> = log.journal.clone();
        let seeder = Arc::new(Seeder::new(&self.engine, &sink));
        self.engine.follow(Some(sink), Some(seeder));
        let mut pacer = BurstPacer::new(Share::new(SNAPSHOT_PERCENT));
        for id in SlotId::all() {
            drop(self.engine.keyspace.lock_alone(id));
            pacer.pause();
        }
        self.engine.keyspace.observe(None);
        functions::keep(&self.engine, Some(&path))?;
        log.end_moving_in()?;
        *self.log.lock() = Some(log);
        Ok(())
    }
}

/// Paces settling, and keeps an eye on the journal meanwhile.
struct WatchfulPacer<'s> {
    service: &'s Service,
    log: &'s KeptLog,
    pacer: BurstPacer,
    looked_ms: u64,
}

impl Pacer for WatchfulPacer<'_> {
    #[inline]
    fn pause(&mut self) {
        self.pacer.pause();
        let now_ms = clock::unix_ms();
        if now_ms >= self.looked_ms + LOOK_PERIOD.as_millis() as u64 {
            self.looked_ms = now_ms;
            self.service.report(Some(self.log));
        }
    }
}
