//! What the server keeps on disk, as commands and INFO see it: what is being loaded, saved or compacted, what stands in
//! the way of writes, what was asked of the threads that do the work.
//!
//! Plain state: no I/O happens here. Handlers ask and look; the keeper's threads (`server/`) take what was asked and
//! report. Each part has a small lock of its own, held for a look or a note; what the hot path must see stands in one
//! atomic, [`Persistence::obstacles`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, RwLock};

use super::clients::ClientHandle;
use crate::base::clock;
use crate::base::key_slot::SlotId;

/// Bits of [`Persistence::obstacles`]: none is set while all is well.
pub mod obstacle {
    /// The data set is being loaded.
    pub const LOADING: u32 = 1 << 0;
    /// The last background save failed, and writes are to be refused for it.
    pub const SAVE_FAILED: u32 = 1 << 1;
    /// Some slots could not be loaded.
    pub const REFUSED_SLOTS: u32 = 1 << 2;
    /// The log's settling is behind: writers are slowed down.
    pub const PRESSURE: u32 = 1 << 3;
    /// A script overran its time.
    pub const BUSY_SCRIPT: u32 = 1 << 4;
    /// Keys are on their way to another server: those who name them wait.
    pub const DEPARTURES: u32 = 1 << 5;
    /// This server is a replica.
    pub const FOLLOWS: u32 = 1 << 6;
    /// It has no link to its primary.
    pub const UNLINKED: u32 = 1 << 7;
    /// These hold a request back; the others refuse it.
    pub const HOLDING: u32 = PRESSURE | DEPARTURES;
}

/// Work that goes on beside the workers, one at a time of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// A snapshot file.
    Save,
    /// Settling and compacting the whole log.
    Rewrite,
    /// Making the data set anew of what is kept (DEBUG RELOAD).
    Reload,
}

/// How jobs of one kind went.
#[derive(Debug)]
pub struct JobReport {
    /// When the one under way, or asked for, was begun.
    pub started_ms: Option<u64>,
    pub last_ok: bool,
    /// Seconds that the last one took; -1 before the first.
    pub last_took_s: i64,
    pub done_count: u64,
    pub failures_in_row: u64,
}

impl Default for JobReport {
    fn default() -> JobReport {
        JobReport { started_ms: None, last_ok: true, last_took_s: -1, done_count: 0, failures_in_row: 0 }
    }
}

/// A client that waits for the end of a job.
struct Waiter {
    client: Arc<ClientHandle>,
    outcome: Arc<Mutex<Option<bool>>>,
}

#[derive(Default)]
struct Job {
    report: Mutex<JobReport>,
    waiters: Mutex<Vec<Waiter>>,
}

/// How far loading is.
#[derive(Default)]
pub struct Loading {
    pub started_ms: AtomicU64,
    pub total_bytes: AtomicU64,
    pub loaded_bytes: AtomicU64,
    pub loaded_keys: AtomicU64,
    pub expired_keys: AtomicU64,
}

/// What the log's threads tell about it, several times a second.
#[derive(Clone, Debug, Default)]
pub struct LogReport {
    pub is_on: bool,
    /// Why nothing is taken; `None` while all is well.
    pub stopped: Option<String>,
    /// Whether the last attempt to settle failed, and why.
    pub settle_error: Option<String>,
    pub journal_bytes: u64,
    pub settled_bytes: u64,
    pub live_bytes: u64,
    pub disk_bytes: u64,
    pub free_bytes: u64,
    pub settle_passes: u64,
    pub syncs: u64,
    pub delayed_syncs: u64,
    pub writer_delay_ms: u64,
}

#[derive(Default)]
struct Asked {
    save: bool,
    rewrite: bool,
    reload: bool,
    /// A replica waits for a full copy.
    copy: bool,
    /// CONFIG SET appendonly.
    log: Option<bool>,
    stop: bool,
}

#[derive(Default)]
pub struct Persistence {
    obstacles: AtomicU32,
    save: Job,
    rewrite: Job,
    reload: Job,
    pub loading: Loading,
    log: Mutex<LogReport>,
    /// Why each refused slot is refused.
    refused: RwLock<Vec<(SlotId, String)>>,
    asked: Mutex<Asked>,
    asked_changed: Condvar,
    /// Changes to the data set when it was last saved.
    pub changes_saved: AtomicU64,
    /// Delay of each write of a client while settling is behind.
    writer_delay_ms: AtomicU64,
}

/// What a background thread is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    Save,
    Rewrite,
    Reload,
    /// To look whether a full copy is due.
    Copy,
    SwitchLog(bool),
    Stop,
}

/// Why a job was not begun: one of its kind is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl Persistence {
    /// What stands in the way, as bits of [`obstacle`].
    #[inline]
    pub fn obstacles(&self) -> u32 {
        self.obstacles.load(Ordering::Relaxed)
    }

    pub fn set_obstacle(&self, bit: u32, on: bool) {
        if on {
            self.obstacles.fetch_or(bit, Ordering::Release);
        } else {
            self.obstacles.fetch_and(!bit, Ordering::Release);
        }
    }

    pub fn is_loading(&self) -> bool {
        self.obstacles() & obstacle::LOADING != 0
    }

    /// Begins to count loading.
    pub fn begin_loading(&self, total_bytes: u64) {
        self.loading.started_ms.store(clock::unix_ms(), Ordering::Relaxed);
        self.loading.total_bytes.store(total_bytes, Ordering::Relaxed);
        self.loading.loaded_bytes.store(0, Ordering::Relaxed);
        self.set_obstacle(obstacle::LOADING, true);
    }

    pub fn end_loading(&self) {
        self.set_obstacle(obstacle::LOADING, false);
    }

    // ---- slots that could not be loaded -------------------------------------------------------------------------

    pub fn refuse_slot(&self, slot: SlotId, reason: String) {
        let mut refused = self.refused.write();
        match refused.binary_search_by_key(&slot, |(id, _)| *id) {
            Ok(_) => {}
            Err(at) => refused.insert(at, (slot, reason)),
        }
        self.set_obstacle(obstacle::REFUSED_SLOTS, true);
    }

    /// Why a slot is refused, if it is.
    pub fn refusal(&self, slot: SlotId) -> Option<String> {
        let refused = self.refused.read();
        let at = refused.binary_search_by_key(&slot, |(id, _)| *id).ok()?;
        Some(refused[at].1.clone())
    }

    pub fn refused_slots(&self) -> Vec<(SlotId, String)> {
        self.refused.read().clone()
    }

    // ---- the log ------------------------------------------------------------------------------------------------

    pub fn log_report(&self) -> LogReport {
        self.log.lock().clone()
    }

    pub fn report_log(&self, report: LogReport) {
        *self.log.lock() = report;
    }

    /// Has every write of a client wait so long; 0 lifts it.
    pub fn slow_writers(&self, delay_ms: u64) {
        self.writer_delay_ms.store(delay_ms, Ordering::Relaxed);
        self.set_obstacle(obstacle::PRESSURE, delay_ms > 0);
    }

    pub fn writer_delay_ms(&self) -> u64 {
        self.writer_delay_ms.load(Ordering::Relaxed)
    }

    // ---- jobs ---------------------------------------------------------------------------------------------------

    fn job(&self, kind: JobKind) -> &Job {
        match kind {
            JobKind::Save => &self.save,
            JobKind::Rewrite => &self.rewrite,
            JobKind::Reload => &self.reload,
        }
    }

    pub fn with_report<R>(&self, kind: JobKind, look: impl FnOnce(&JobReport) -> R) -> R {
        look(&self.job(kind).report.lock())
    }

    pub fn is_under_way(&self, kind: JobKind) -> bool {
        self.with_report(kind, |report| report.started_ms.is_some())
    }

    /// Has a background thread begin a job.
    pub fn ask(&self, kind: JobKind) -> Result<(), Busy> {
        let mut report = self.job(kind).report.lock();
        if report.started_ms.is_some() {
            return Err(Busy);
        }
        report.started_ms = Some(clock::unix_ms());
        drop(report);
        let mut asked = self.asked.lock();
        match kind {
            JobKind::Save => asked.save = true,
            JobKind::Rewrite => asked.rewrite = true,
            JobKind::Reload => asked.reload = true,
        }
        self.asked_changed.notify_all();
        Ok(())
    }

    /// The same for a client that waits for the end: the place where the outcome will stand, once the client is woken.
    pub fn ask_and_wait(&self, kind: JobKind, client: &Arc<ClientHandle>) -> Result<Arc<Mutex<Option<bool>>>, Busy> {
        let mut waiters = self.job(kind).waiters.lock();
        self.ask(kind)?;
        let outcome = Arc::default();
        waiters.push(Waiter { client: client.clone(), outcome: Arc::clone(&outcome) });
        Ok(outcome)
    }

    /// Whether a rewrite waits for the save under way: they do not compete for the disk.
    pub fn is_rewrite_scheduled(&self) -> bool {
        self.asked.lock().rewrite && self.is_under_way(JobKind::Save)
    }

    /// Told when the job under way has ended.
    pub fn finish(&self, kind: JobKind, ok: bool) {
        let waiters = std::mem::take(&mut *self.job(kind).waiters.lock());
        let mut report = self.job(kind).report.lock();
        let took_ms = report.started_ms.take().map_or(0, |started_ms| clock::unix_ms().saturating_sub(started_ms));
        report.last_ok = ok;
        report.last_took_s = (took_ms / 1000) as i64;
        report.done_count += u64::from(ok);
        report.failures_in_row = if ok { 0 } else { report.failures_in_row + 1 };
        drop(report);
        // What waited for it may begin.
        let asked = self.asked.lock();
        self.asked_changed.notify_all();
        drop(asked);
        for waiter in waiters {
            *waiter.outcome.lock() = Some(ok);
            waiter.client.wake();
        }
    }

    /// Has a background thread look whether a full copy is due.
    pub fn ask_copy(&self) {
        self.asked.lock().copy = true;
        self.asked_changed.notify_all();
    }

    /// Has a background thread turn the log on or off.
    pub fn ask_log(&self, on: bool) {
        self.asked.lock().log = Some(on);
        self.asked_changed.notify_all();
    }

    /// Has the background thread that takes tasks end.
    pub fn ask_stop(&self) {
        self.asked.lock().stop = true;
        self.asked_changed.notify_all();
    }

    pub fn is_stopping(&self) -> bool {
        self.asked.lock().stop
    }

    /// The next task, for the one thread that does them; `None` after `patience` without one.
    pub fn next_task(&self, patience: Duration) -> Option<Task> {
        let mut asked = self.asked.lock();
        if let Some(task) = self.take_task(&mut asked) {
            return Some(task);
        }
        self.asked_changed.wait_for(&mut asked, patience);
        self.take_task(&mut asked)
    }

    fn take_task(&self, asked: &mut Asked) -> Option<Task> {
        if asked.stop {
            return Some(Task::Stop);
        }
        if let Some(on) = asked.log.take() {
            return Some(Task::SwitchLog(on));
        }
        if std::mem::take(&mut asked.reload) {
            return Some(Task::Reload);
        }
        if std::mem::take(&mut asked.copy) {
            return Some(Task::Copy);
        }
        if std::mem::take(&mut asked.save) {
            return Some(Task::Save);
        }
        let rewrites = asked.rewrite && !self.is_under_way(JobKind::Save);
        asked.rewrite &= !rewrites;
        rewrites.then_some(Task::Rewrite)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_job_of_a_kind_at_a_time() {
        let persistence = Persistence::default();
        assert_eq!(persistence.ask(JobKind::Save), Ok(()));
        assert_eq!(persistence.ask(JobKind::Save), Err(Busy));
        assert_eq!(persistence.ask(JobKind::Rewrite), Ok(()));
        assert!(persistence.is_rewrite_scheduled());
        assert_eq!(persistence.next_task(Duration::ZERO), Some(Task::Save));
        assert_eq!(persistence.next_task(Duration::ZERO), None);
        persistence.finish(JobKind::Save, false);
        assert!(persistence.with_report(JobKind::Save, |report| !report.last_ok && report.done_count == 0));
        assert!(!persistence.is_rewrite_scheduled());
        assert_eq!(persistence.next_task(Duration::ZERO), Some(Task::Rewrite));
        assert_eq!(persistence.next_task(Duration::ZERO), None);
        assert_eq!(persistence.ask(JobKind::Save), Ok(()));
        persistence.finish(JobKind::Save, true);
        assert!(persistence.with_report(JobKind::Save, |report| report.last_ok && report.failures_in_row == 0));
    }

    #[test]
    fn refused_slots_are_known_by_number() {
        let persistence = Persistence::default();
        let [one, other] = [7, 3].map(|number| SlotId::new(number).unwrap());
        persistence.refuse_slot(one, "bad".into());
        persistence.refuse_slot(other, "worse".into());
        assert_eq!(persistence.refusal(one).as_deref(), Some("bad"));
        assert_eq!(persistence.refused_slots().len(), 2);
        assert_eq!(persistence.obstacles(), obstacle::REFUSED_SLOTS);
    }
}
