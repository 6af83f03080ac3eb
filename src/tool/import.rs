//! `cairn import`: a data set of Redis becomes a data directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Status;
use super::progress::Progress;
use crate::base::hash::KeyHasher;
use crate::base::key_slot::SlotId;
use crate::commands::registry;
use crate::config::{Config, Live};
use crate::engine::Engine;
use crate::keeper::LOG_DIRECTORY;
use crate::keeper::archive::lenient_config;
use crate::keeper::import::{self, Imported, Origin};
use crate::scripting::LuaEngine;

const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// Load a data set of Redis into a fresh data directory
///
/// Takes a snapshot file (dump.rdb), or an append-only directory (appendonlydir) or file. The files of Redis are only
/// read. All is durable when the command ends; when it fails, nothing is left behind. A directory that holds a log is
/// refused.
///
/// Start a server on it with --dir DIR --appendonly yes.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["rdb", "aof"])))]
pub struct Arguments {
    /// A snapshot file
    #[arg(long, value_name = "FILE")]
    rdb: Option<PathBuf>,
    /// An append-only directory with its manifest, the manifest itself, or a single append-only file
    #[arg(long, value_name = "DIR")]
    aof: Option<PathBuf>,
    /// The data directory, made if it is not there
    #[arg(long, value_name = "DIR", default_value = ".")]
    into: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<Status, String> {
    let config = lenient_config();
    let origin = match (&arguments.rdb, &arguments.aof) {
        (Some(file), _) => {
            fs::metadata(file).map_err(|error| format!("{}: {error}", file.display()))?;
            Origin::Snapshot(file.clone())
        }
        (None, Some(path)) => append_only(path, &config)?,
        (None, None) => return Err("--rdb or --aof is needed".into()),
    };
    let is_made = !arguments.into.exists();
    let hasher = KeyHasher::from_entropy();
    let engine = Arc::new(Engine::new(Live::new(config, None), 1, registry::count(), hasher));
    // Nobody else installs one.
    let _ = engine.script_engine.set(Box::new(LuaEngine::new(true)));
    let imported = load(origin, &arguments.into.join(LOG_DIRECTORY), &engine).inspect_err(|_| {
        if is_made {
            // There only if something was begun, and then empty.
            let _ = fs::remove_dir(&arguments.into);
        }
    })?;
    println!(
        "{} has {} keys; {} were expired and left out, {} commands were run",
        arguments.into.display(),
        key_count(&engine),
        imported.expired,
        imported.commands
    );
    let databases = databases(&engine);
    if databases > Config::default().databases {
        println!("The server needs \"databases {databases}\".");
    }
    Ok(if imported.torn { Status::Partial } else { Status::Sound })
}

/// What an append-only path leads to.
fn append_only(path: &Path, config: &Config) -> Result<Origin, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let is_manifest = |path: &Path| path.extension().is_some_and(|extension| extension == "manifest");
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return if is_manifest(path) {
            Origin::of_manifest(path, config)
        } else {
            Ok(Origin::of_single_file(path, config))
        };
    }
    let mut manifests = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        manifests.extend(Some(entry.map_err(failed)?.path()).filter(|path| is_manifest(path)));
    }
    match &manifests[..] {
        [manifest] => Origin::of_manifest(manifest, config),
        [] => Err(format!("{}: no manifest is there, such as appendonly.aof.manifest", path.display())),
        several => Err(format!("{}: {} manifests are there: name one", path.display(), several.len())),
    }
}

/// Loads with a bar that shows how far it is.
fn load(origin: Origin, path: &Path, engine: &Arc<Engine>) -> Result<Imported, String> {
    let mut progress = Progress::new("Importing", origin.bytes());
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let loading = scope.spawn(|| {
            let imported = import::into_fresh_log(origin, path, engine);
            is_done.store(true, Ordering::Release);
            imported
        });
        while !is_done.load(Ordering::Acquire) && !loading.is_finished() {
            progress.set(engine.persistence.loading.loaded_bytes.load(Ordering::Relaxed));
            std::thread::park_timeout(LOOK_PERIOD);
        }
        loading.join().unwrap_or_else(|_| Err("importing ended in a panic".into()))
    })
}

fn key_count(engine: &Engine) -> u64 {
    SlotId::all().map(|slot| engine.keyspace.lock(slot).dbs().map(|(_, db)| db.len() as u64).sum::<u64>()).sum()
}

/// How many databases a server must have for what was loaded.
fn databases(engine: &Engine) -> u32 {
    let highest = |slot| {
        let slot = engine.keyspace.lock(slot);
        slot.dbs().filter(|(_, db)| !db.is_empty()).map(|(index, _)| u32::from(index) + 1).max().unwrap_or(0)
    };
    SlotId::all().map(highest).max().unwrap_or(0)
}
