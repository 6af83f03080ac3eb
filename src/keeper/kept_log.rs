//! The log of one directory, open: journal, slot logs, and the settling between them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{archive, recovery};
use crate::base::hash::KeyHasher;
use crate::base::key_slot::SlotId;
use crate::commands::replay::{CommandInterpreter, Scratch};
use crate::engine::Engine;
use crate::log::disk::Disk;
use crate::log::extents::FILE_UNITS_MAX;
use crate::log::fold::Census;
use crate::log::health::State;
use crate::log::journal::{Journal, Options};
use crate::log::lock::Lock;
use crate::log::scan::{self, Expected, Purpose, Scan};
use crate::log::segment;
use crate::log::settle::{Outcome, Pacer, Pass, Settler, Source, Unpaced};
use crate::log::slot_index::SlotIndex;
use crate::log::storage::Storage;
use crate::log::sync::Policy;
use crate::log::tables::{Space, Tables, Version};
use crate::store::Db;

/// While a Redis data set moves in, this file says that the log is not whole yet.
pub(super) const MOVING_IN_NAME: &str = "moving-in";

/// How a log is opened.
pub struct LogOptions {
    /// Workers, and one for the background.
    pub lanes: usize,
    pub policy: Policy,
    /// Readers at recovery.
    pub threads: usize,
    /// Refuse to start after a torn tail.
    pub refuse_torn: bool,
    pub measures: Measures,
}

/// How large the log's files are, and how often it acts by itself. The default is right for servers; tests take less.
pub struct Measures {
    /// Journal segments are so long, unless a transaction needs more.
    pub segment_bytes: usize,
    /// Released segments that are kept for use again.
    pub spare_segments: usize,
    /// Space is made ready so far ahead of a lane's end.
    pub fill_ahead_bytes: usize,
    /// Longest file of the tablespace, in units of extents.
    pub file_units: u32,
    /// Between two rounds of syncing that nobody asked for.
    pub period_ms: u64,
}

impl Default for Measures {
    fn default() -> Measures {
        Measures {
            segment_bytes: 64 << 20,
            spare_segments: 4,
            fill_ahead_bytes: 4 << 20,
            file_units: FILE_UNITS_MAX,
            period_ms: 1000,
        }
    }
}

pub struct KeptLog {
    pub journal: Arc<Journal>,
    pub tables: Arc<Tables>,
    settler: Mutex<Settler>,
    census: Arc<dyn Census>,
    /// Bytes that had been appended at the last cut.
    cut_bytes: AtomicU64,
    path: PathBuf,
    /// Held for as long as the log is open.
    _lock: Lock,
}

/// The live keyspace as settling asks for it.
struct LiveCensus(Arc<Engine>);

impl Census for LiveCensus {
    fn live_keys(&self, slot: SlotId) -> Option<u64> {
        Some(self.0.keyspace.lock(slot).dbs().map(|(_, db)| Db::len(db) as u64).sum())
    }
}

/// What opening a log found.
pub struct Found {
    /// The directory held no log: the data set is empty.
    pub fresh: bool,
}

impl KeptLog {
    /// Opens the log in `path`, loading what it holds into the engine's empty keyspace.
    pub fn open(path: &Path, engine: &Arc<Engine>, options: &LogOptions) -> Result<(KeptLog, Found), String> {
        let (storage, lock) = hold(path)?;
        if path.join(MOVING_IN_NAME).exists() {
            tracing::warn!("A data set was moving in when the server ended. It begins anew.");
            wipe(path)?;
        }
        KeptLog::open_on(storage, path, lock, engine, options)
    }

    /// Makes a new log in `path`, over whatever is there, that counts only once [`KeptLog::end_moving_in`] was called.
    pub fn begin(path: &Path, engine: &Arc<Engine>, options: &LogOptions) -> Result<KeptLog, String> {
        let (storage, lock) = hold(path)?;
        KeptLog::begin_on(storage, path, lock, engine, options)
    }

    /// The same, but refuses a directory that holds anything.
    pub fn begin_fresh(path: &Path, engine: &Arc<Engine>, options: &LogOptions) -> Result<KeptLog, String> {
        let (storage, lock) = hold(path)?;
        archive::check_free(path)?;
        KeptLog::begin_on(storage, path, lock, engine, options)
    }

    fn begin_on(
        storage: Arc<dyn Storage>,
        path: &Path,
        lock: Lock,
        engine: &Arc<Engine>,
        options: &LogOptions,
    ) -> Result<KeptLog, String> {
        begin_moving_in(path)?;
        wipe(path)?;
        begin_moving_in(path)?;
        Ok(KeptLog::open_on(storage, path, lock, engine, options)?.0)
    }

    pub(super) fn open_on(
        storage: Arc<dyn Storage>,
        path: &Path,
        lock: Lock,
        engine: &Arc<Engine>,
        options: &LogOptions,
    ) -> Result<(KeptLog, Found), String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let opened = Tables::open_with(storage.clone(), options.measures.file_units).map_err(|error| failed(&error))?;
        let tables = Arc::new(opened.tables);
        let version = tables.current();
        let expected = Expected { heads: &opened.journal.heads, last_number: opened.journal.last_number };
        let scan = scan::scan(&*storage, expected, &|slot| version.slot(slot).sequence, Purpose::Open)
            .map_err(|error| failed(&error))?;
        tell_of(&scan);
        if options.refuse_torn && !scan.cuts.is_empty() {
            return Err(failed(&"the journal ends within a record, and aof-load-truncated is off"));
        }
        if !opened.fresh {
            engine.persistence.begin_loading(to_load_bytes(&version, &scan));
        }
        let refused = |slot: SlotId| {
            let damage = scan.damage.iter().find(|damage| damage.slot == slot);
            damage.map(ToString::to_string).or_else(|| version.refused(slot).map(|fault| fault.to_string()))
        };
        recovery::load_slots(engine, &version, &scan.index, &refused, options.threads)
            .map_err(|reason| failed(&reason))?;
        let journal = Journal::create(
            storage.clone(),
            Options {
                segment_bytes: options.measures.segment_bytes,
                first_number: scan.last_number + 1,
                spares: options.measures.spare_segments,
                fill_ahead_bytes: options.measures.fill_ahead_bytes,
                policy: options.policy,
                period_ms: options.measures.period_ms,
                recovered: scan.segments.clone(),
                ..Options::new(options.lanes)
            },
        )
        .map_err(|error| failed(&error))?;
        let config = engine.config.load();
        let census: Arc<dyn Census> = Arc::new(LiveCensus(engine.clone()));
        let settler = Settler::new(
            tables.clone(),
            Arc::new(CommandInterpreter::default()),
            Box::new(Scratch::new(&config)),
            census.clone(),
            KeyHasher::from_entropy(),
        );
        let log = KeptLog {
            journal,
            tables,
            settler: Mutex::new(settler),
            census,
            cut_bytes: AtomicU64::new(0),
            path: path.to_path_buf(),
            _lock: lock,
        };
        // From here on the new segments must be there.
        let mark = log.journal.mark(&[]);
        log.tables.batch().publish(mark, &mut || {}).map_err(|error| failed(&error))?;
        if scan.needs_settling {
            // What was dropped must not come back beside what is written from now on.
            log.settle(false, u64::MAX, &mut Unpaced)?;
        }
        Ok((log, Found { fresh: opened.fresh }))
    }

    /// Moves everything that was appended before this call into the slot logs.
    pub fn settle(&self, compact_all: bool, keep_from_ms: u64, pacer: &mut dyn Pacer) -> Result<Outcome, String> {
        let appended = self.journal.appended_bytes();
        let segments = self.journal.cut().map_err(|error| error.to_string())?;
        self.cut_bytes.store(appended, Ordering::Relaxed);
        let pass = Pass { segments: &segments, compact_all, keep_from_ms };
        let outcome = self.settler.lock().run(&pass, &*self.journal, pacer).map_err(|error| error.to_string())?;
        self.journal.release(&outcome.settled);
        Ok(outcome)
    }

    /// Has the engine's keyspace be what the log says that it is. The caller has closed the gate.
    pub fn reload(&self, engine: &Arc<Engine>, threads: usize) -> Result<(), String> {
        let segments = self.journal.cut().map_err(|error| error.to_string())?;
        let index = SlotIndex::build(&segments, &mut || ());
        SlotId::all().for_each(|slot| recovery::empty(engine, slot));
        recovery::load_slots(engine, &self.tables.current(), &index, &|_| None, threads)
    }

    /// Bytes appended since the last pass began.
    pub fn fresh_bytes(&self) -> u64 {
        self.journal.appended_bytes().saturating_sub(self.cut_bytes.load(Ordering::Relaxed))
    }

    pub fn space(&self) -> Space {
        self.tables.space(Some(&*self.census)).unwrap_or_default()
    }

    /// Says on the disk that what follows is a data set moving in, which counts only when it is whole.
    pub fn begin_moving_in(&self) -> Result<(), String> {
        begin_moving_in(&self.path)
    }

    /// Says that it is whole, once everything appended is durable.
    pub fn end_moving_in(&self) -> Result<(), String> {
        self.journal.sync().map_err(|error| error.to_string())?;
        end_moving_in(&self.path)
    }

    /// Why nothing is taken, if so.
    pub fn stopped(&self) -> Option<String> {
        match self.journal.state() {
            State::Running => None,
            State::Full => Some("No space left on device".into()),
            State::Failed(reason) => Some(reason),
        }
    }
}

/// The directory for this process alone, made if it is not there.
pub(super) fn hold(path: &Path) -> Result<(Arc<dyn Storage>, Lock), String> {
    let disk = Disk::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lock = Lock::take(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok((Arc::new(disk), lock))
}

pub(super) fn begin_moving_in(path: &Path) -> Result<(), String> {
    let mark = path.join(MOVING_IN_NAME);
    let made = fs::File::create(&mark).and_then(|file| file.sync_all()).and_then(|()| sync_directory(path));
    made.map_err(|error| format!("{}: {error}", mark.display()))
}

pub(super) fn end_moving_in(path: &Path) -> Result<(), String> {
    let mark = path.join(MOVING_IN_NAME);
    let removed = fs::remove_file(&mark).and_then(|()| sync_directory(path));
    removed.map_err(|error| format!("{}: {error}", mark.display()))
}

fn sync_directory(path: &Path) -> std::io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// Removes every file of a log that is not whole, the mark that says so last.
pub fn wipe(path: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let keep = ["lock", MOVING_IN_NAME];
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !keep.iter().any(|name| entry.file_name() == *name) {
            fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    sync_directory(path).map_err(failed)?;
    match fs::remove_file(path.join(MOVING_IN_NAME)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
        _ => sync_directory(path).map_err(failed),
    }
}

/// Removes a log that was begun and will not become whole. The caller holds the directory.
pub(super) fn discard(path: &Path) {
    // What cannot be removed still says that it is not whole.
    let removed = wipe(path).and_then(|()| fs::remove_dir_all(path).map_err(|error| error.to_string()));
    if let Err(error) = removed {
        tracing::warn!("What was begun cannot be removed: {error}");
    }
}

fn to_load_bytes(version: &Version, scan: &Scan) -> u64 {
    let settled: u64 = version.slots().map(|(_, log)| log.bytes).sum();
    settled + scan.bytes
}

/// Says in the server's log what recovery met.
fn tell_of(scan: &Scan) {
    for cut in &scan.cuts {
        tracing::warn!("The journal was cut: {cut}. What was lost was not yet synced to the disk.");
    }
    for number in &scan.damaged_headers {
        tracing::warn!("The header of {} is damaged; its records are whole.", segment::file_name(*number));
    }
    if scan.dropped_records > 0 {
        tracing::warn!(
            "{} records behind the cut were dropped, so that each slot is as it once was.",
            scan.dropped_records
        );
    }
}
