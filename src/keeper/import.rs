//! Moving in: reads a Redis data set, a snapshot file or an append-only directory, into a keyspace.
//!
//! Every key goes through the same seam as a client's write, so that a log that follows the data set has it too. What is
//! not understood ends the import with file and offset; nothing is left out silently.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::functions;
use super::kept_log::{KeptLog, LogOptions, Measures, discard};
use crate::base::clock;
use crate::base::key_slot::SlotId;
use crate::base::number::parse_u64;
use crate::commands::creation::create;
use crate::commands::{Batch, Executor, Lookup};
use crate::config::Config;
use crate::engine::clients::{ClientHandle, Peer};
use crate::engine::saved::entry_of;
use crate::engine::script::library::LibrarySet;
use crate::engine::space::Followers;
use crate::engine::{Engine, Session, Worker};
use crate::log::settle::Unpaced;
use crate::log::sync::Policy;
use crate::rdb::append_only::{AppendOnlyEvent, AppendOnlyFiles};
use crate::rdb::{Event, RdbReader, ReadOptions, SELECTED_DB, SavedKey};
use crate::store::DbIndex;
use crate::store::hash::soonest_field_expiry_ms;
use crate::store::limits::Limits;

/// Where a Redis data set lies.
pub enum Origin {
    Snapshot(PathBuf),
    AppendOnly(Box<AppendOnlyFiles>),
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub keys: u64,
    /// Keys of a snapshot whose time was over.
    pub expired: u64,
    pub commands: u64,
    /// The append-only file ended within a command or transaction, which was left out.
    pub torn: bool,
}

/// How reading a configuration's files is done.
fn read_options(config: &Config) -> ReadOptions {
    ReadOptions {
        limits: Limits::of(config),
        checksum: config.rdbchecksum,
        string_bytes_max: config.proto_max_bulk_len.max(512 << 20),
    }
}

/// Looks for a data set of Redis in a directory, as its configuration names it. An append-only directory goes before a
/// snapshot, as in Redis, unless `appendonly` is off.
pub fn find(directory: &Path, config: &Config) -> Result<Option<Origin>, String> {
    if config.appendonly {
        let files =
            AppendOnlyFiles::find(directory, &config.appenddirname, &config.appendfilename, read_options(config));
        if let Some(files) = files.map_err(|error| error.to_string())? {
            return Ok(Some(Origin::AppendOnly(Box::new(files))));
        }
    }
    let snapshot = directory.join(&config.dbfilename);
    match snapshot.try_exists() {
        Ok(true) => Ok(Some(Origin::Snapshot(snapshot))),
        Ok(false) => Ok(None),
        Err(error) => Err(format!("{}: {error}", snapshot.display())),
    }
}

impl Origin {
    /// An append-only file of the form before there were directories, with a snapshot before its commands or without.
    pub fn of_single_file(file: &Path, config: &Config) -> Origin {
        Origin::AppendOnly(Box::new(AppendOnlyFiles::of_files(vec![file.to_path_buf()], read_options(config))))
    }

    /// The append-only files that a manifest names.
    pub fn of_manifest(manifest: &Path, config: &Config) -> Result<Origin, String> {
        let files = AppendOnlyFiles::of_manifest(manifest, read_options(config));
        files.map(|files| Origin::AppendOnly(Box::new(files))).map_err(|error| error.to_string())
    }

    pub fn name(&self) -> String {
        match self {
            Origin::Snapshot(path) => path.display().to_string(),
            Origin::AppendOnly(files) => {
                let names: Vec<String> = files.files().iter().map(|path| path.display().to_string()).collect();
                names.join(", ")
            }
        }
    }

    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        let len = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
        match self {
            Origin::Snapshot(path) => len(path),
            Origin::AppendOnly(files) => files.files().iter().map(|path| len(path)).sum(),
        }
    }
}

/// Reads a data set into an engine's keyspace, and tells its followers. Loading must have begun; its progress is
/// counted.
pub fn read(origin: Origin, engine: &Arc<Engine>) -> Result<Imported, String> {
    let mut importer = Importer::new(engine);
    match origin {
        Origin::Snapshot(path) => importer.read_file(&path),
        Origin::AppendOnly(files) => importer.read_commands(*files),
    }?;
    let loading = &engine.persistence.loading;
    loading.loaded_keys.store(importer.imported.keys, Ordering::Relaxed);
    loading.expired_keys.store(importer.imported.expired, Ordering::Relaxed);
    Ok(importer.imported)
}

/// Moves a data set into a log of its own, which is made in the directory `path`, and durable in the end. The engine
/// has no data and serves nobody. After an error nothing is left in the directory.
pub fn into_fresh_log(origin: Origin, path: &Path, engine: &Arc<Engine>) -> Result<Imported, String> {
    let options = LogOptions {
        lanes: engine.background_lane() + 1,
        // One sync at the end is enough.
        policy: Policy::No,
        threads: 1,
        refuse_torn: true,
        measures: Measures::default(),
    };
    let log = KeptLog::begin_fresh(path, engine, &options)?;
    functions::keep(engine, Some(path))?;
    engine.persistence.begin_loading(origin.bytes());
    engine.follow(Some(log.journal.clone()), None);
    let moved = read(origin, engine).and_then(|imported| {
        log.settle(false, u64::MAX, &mut Unpaced)?;
        log.end_moving_in()?;
        log.journal.close().map_err(|_| log.stopped().unwrap_or_default())?;
        Ok(imported)
    });
    engine.follow(None, None);
    functions::keep(engine, None)?;
    engine.persistence.end_loading();
    // Its threads make files.
    drop(log);
    moved.inspect_err(|_| discard(path))
}

struct Importer<'e> {
    engine: &'e Arc<Engine>,
    config: Arc<Config>,
    executor: Executor,
    session: Session,
    db: DbIndex,
    /// What the snapshot says that the replication stream behind it has selected.
    selected: DbIndex,
    now_ms: u64,
    /// Keys whose time is over are taken all the same: somebody else says when they go.
    keeps_expired: bool,
    imported: Imported,
}

/// Counts the bytes that pass, for the progress of loading.
struct Counted<'e, R> {
    from: R,
    engine: &'e Engine,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.from.read(into)?;
        self.engine.persistence.loading.loaded_bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Reads a snapshot to its end and takes nothing of it; its checksum must be right.
pub fn check(snapshot: impl Read, config: &Config) -> Result<(), String> {
    let mut reader = RdbReader::new(snapshot, read_options(config)).map_err(|error| error.to_string())?;
    loop {
        if let Event::End = reader.next().map_err(|error| error.to_string())? {
            return Ok(());
        }
    }
}

/// Empties the keyspace, and tells its log. Loading must have begun, and nobody else uses the background lane.
pub fn remove_all(engine: &Arc<Engine>) -> Result<(), String> {
    Importer::new(engine).run(&[b"FLUSHALL", b"ASYNC"])?;
    engine.libraries.change(|set| {
        *set = LibrarySet::default();
        Ok(())
    })
}

/// Has the keyspace hold what a primary's snapshot holds, and nothing else, and tells its log. Loading must have begun, and
/// nobody else uses the background lane. Gives what was read, and the database that the primary's stream has selected.
pub fn replace_all(snapshot: impl Read, engine: &Arc<Engine>) -> Result<(Imported, DbIndex), String> {
    remove_all(engine)?;
    let mut importer = Importer::new(engine);
    importer.keeps_expired = true;
    importer.read_snapshot(snapshot)?;
    Ok((importer.imported, importer.selected))
}

impl<'e> Importer<'e> {
    fn new(engine: &'e Arc<Engine>) -> Importer<'e> {
        let config = engine.config.load();
        let handle = ClientHandle::new(0, Peer::Unix { path: "import".into() }, -1, 0, 0);
        let mut worker = Worker::detached(engine.clone(), (*config).clone());
        worker.refresh_effects();
        let mut session = Session::trusted(Arc::new(handle));
        session.loads = true;
        Importer {
            engine,
            executor: Executor::new(worker, Arc::new(Lookup::plain())),
            config,
            session,
            db: 0,
            selected: 0,
            now_ms: clock::unix_ms(),
            keeps_expired: false,
            imported: Imported::default(),
        }
    }

    fn read_file(&mut self, path: &Path) -> Result<(), String> {
        let file = File::open(path).map_err(|error| error.to_string());
        let read = file.and_then(|file| self.read_snapshot(BufReader::with_capacity(1 << 20, file)));
        read.map_err(|error| format!("{}: {error}", path.display()))
    }

    fn read_snapshot(&mut self, snapshot: impl Read) -> Result<(), String> {
        let snapshot = Counted { from: snapshot, engine: self.engine };
        let mut reader = RdbReader::new(snapshot, read_options(&self.config)).map_err(|error| error.to_string())?;
        loop {
            match reader.next().map_err(|error| error.to_string())? {
                Event::End => return Ok(()),
                event => self.take(event)?,
            }
        }
    }

    fn read_commands(&mut self, mut files: AppendOnlyFiles) -> Result<(), String> {
        let mut done = 0;
        loop {
            let place = files.current().map(|path| path.display().to_string()).unwrap_or_default();
            match files.next().map_err(|error| error.to_string())? {
                AppendOnlyEvent::Snapshot(event) => {
                    self.take(event).map_err(|error| format!("{place}: {error}"))?;
                }
                AppendOnlyEvent::Command(command) => {
                    let arguments: Vec<&[u8]> = command.arguments().collect();
                    done += arguments.iter().map(|argument| argument.len() as u64).sum::<u64>();
                    self.run(&arguments).map_err(|error| format!("{place}: {error}"))?;
                    self.engine.persistence.loading.loaded_bytes.store(done, Ordering::Relaxed);
                }
                AppendOnlyEvent::Time(_) | AppendOnlyEvent::FileEnd => {}
                AppendOnlyEvent::Torn { .. } if !self.config.aof_load_truncated => {
                    return Err(format!("{place} ends within a command, and aof-load-truncated is off"));
                }
                AppendOnlyEvent::Torn { .. } => {
                    tracing::warn!("{place} ends within a command or transaction, which is left out.");
                    self.imported.torn = true;
                }
                AppendOnlyEvent::End => return Ok(()),
            }
        }
    }

    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::SelectDb(number) => {
                let databases = self.engine.keyspace.databases();
                let db = DbIndex::try_from(number).ok().filter(|db| *db < databases);
                self.db =
                    db.ok_or(format!("it has a database {number}, and there are {databases}: raise \"databases\""))?;
                Ok(())
            }
            Event::Key(saved) => self.put(saved),
            Event::Aux { name, value } if name == SELECTED_DB => {
                self.selected = parse_u64(value).and_then(|db| DbIndex::try_from(db).ok()).unwrap_or(0);
                Ok(())
            }
            Event::Library(code) => functions::take(self.engine, code),
            Event::Aux { .. } | Event::ResizeDb { .. } | Event::SlotInfo { .. } | Event::End => Ok(()),
        }
    }

    fn put(&mut self, saved: SavedKey<'_>) -> Result<(), String> {
        if !self.keeps_expired && saved.expiry_ms.is_some_and(|expiry_ms| expiry_ms < self.now_ms) {
            self.imported.expired += 1;
            return Ok(());
        }
        if self.config.key_load_delay > 0 {
            std::thread::sleep(Duration::from_micros(self.config.key_load_delay as u64));
        }
        let used_ms = self.now_ms.saturating_sub(saved.idle_seconds.unwrap_or(0) * 1000);
        let (keyspace, id) = (&self.engine.keyspace, SlotId::of_key(saved.key));
        let access = keyspace.access_clock(used_ms).fresh();
        let entry = entry_of(saved.key, saved.value, saved.expiry_ms, access);
        let expiries_ms = [saved.expiry_ms, soonest_field_expiry_ms(entry.view())];
        let hash = keyspace.hasher().hash(saved.key);
        let sink = self.executor.worker.effects();
        let followers = Followers::of(self.engine, sink, self.engine.background_lane(), true);
        let _passage = self.engine.gate.enter(self.engine.background_lane());
        let mut slot = keyspace.lock(id);
        if let Some(followers) = followers {
            create(entry.view(), saved.key, |command| followers.tell(&mut slot, id, self.db, self.now_ms, command));
            if !followers.is_running() {
                return Err(sink.and_then(|sink| sink.stopped()).unwrap_or_default());
            }
        }
        let db = slot.db_mut(self.db);
        if let Some(at) = db.find(hash, saved.key) {
            drop(db.remove(at, keyspace.hasher()));
        }
        db.insert(hash, entry, keyspace.hasher());
        drop(slot);
        for expiry_ms in expiries_ms.into_iter().flatten() {
            keyspace.note_expiry(expiry_ms);
        }
        self.imported.keys += 1;
        Ok(())
    }

    /// Runs a command of an append-only file. Redis runs them whatever they answer; what this server cannot run at all
    /// must not be passed over.
    fn run(&mut self, arguments: &[&[u8]]) -> Result<(), String> {
        let mut reply = Vec::new();
        let batch = Batch { arguments, ends: &[arguments.len()], source: None };
        // It does not come back later: it waits in place for whatever is in its way.
        self.session.held_tries = u32::MAX;
        self.executor.run(&mut self.session, &batch, &mut reply);
        self.imported.commands += 1;
        let unknown = [&b"-ERR unknown command"[..], b"-EXECABORT", b"-MISCONF", b"-ERR DB index"];
        if unknown.iter().any(|text| reply.starts_with(text)) {
            let name = String::from_utf8_lossy(arguments.first().copied().unwrap_or_default()).into_owned();
            let reason = String::from_utf8_lossy(&reply[1..]).trim_end().to_owned();
            return Err(format!("the command {name} cannot be run: {reason}"));
        }
        Ok(())
    }
}
