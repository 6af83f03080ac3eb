//! Full copies for replicas: the data set at one instant, from which the replication stream goes on.
//!
//! The instant has to be one of the stream's offsets, in all slots at once. So the gate is closed for the moment in which
//! the observer of a live snapshot is installed and the stream's end is noted; then the slots are read as for any snapshot
//! without a log, also where there is one.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::live_snapshot::{self, Copier};
use super::snapshot::KeyWriter;
use super::{functions, snapshot::Written};
use crate::base::clock;
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::replicas::copy::{FullCopy, nameless_file};
use crate::log::settle::Pacer;

/// Replicas are told of the file's growth in such steps.
const STEP_BYTES: u64 = 256 << 10;

/// The file as it grows under the eyes of those who send it.
struct GrowingFile {
    file: File,
    copy: Arc<FullCopy>,
    bytes: u64,
    told_bytes: u64,
}

impl GrowingFile {
    fn tell(&mut self) {
        self.copy.grow(self.bytes);
        self.told_bytes = self.bytes;
    }
}

impl Write for GrowingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        if self.bytes >= self.told_bytes + STEP_BYTES {
            self.tell();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Cuts a copy of the live data set and writes it. No other observer looks at the slots meanwhile.
pub fn write(
    engine: &Arc<Engine>,
    copy: &Arc<FullCopy>,
    config: &Config,
    pacer: &mut dyn Pacer,
) -> Result<Written, String> {
    let path = PathBuf::from(format!("temp-copy-{}.rdb", std::process::id()));
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let file = nameless_file(&path).map_err(failed)?;
    let to_write = file.try_clone().map_err(failed)?;
    let used_memory_bytes = engine.used_memory_bytes.load(Ordering::Relaxed);
    let copier = Arc::new(Copier::new(engine));
    let (cursor, libraries, selected) = engine.cut(copier.clone());
    copy.begin(file, cursor);
    let growing = GrowingFile { file: to_write, copy: copy.clone(), bytes: 0, told_bytes: 0 };
    let made =
        KeyWriter::begin(growing, config, used_memory_bytes, functions::codes(&libraries)).and_then(|mut keys| {
            keys.note_selected(selected)?;
            live_snapshot::read_slots(engine, &copier, pacer, &mut |db, entry| {
                if copy.is_wanted() {
                    keys.add(db, entry)
                } else {
                    Err(io::Error::other("no replica wants it any more"))
                }
            })?;
            Ok(keys)
        });
    engine.keyspace.observe(None);
    let keys = made.map_err(failed)?;
    let count = keys.count;
    let mut growing = keys.finish().map_err(failed)?;
    growing.tell();
    Ok(Written { keys: count, bytes: growing.bytes })
}

/// Makes a copy that is due, and tells the server's log of it.
pub fn make(engine: &Arc<Engine>, copy: &Arc<FullCopy>, pacer: &mut dyn Pacer) {
    let (config, started_ms) = (engine.config.load(), clock::unix_ms());
    let outcome = if engine.persistence.refused_slots().is_empty() {
        write(engine, copy, &config, pacer)
    } else {
        Err("slots are refused, and a copy without them would not be whole".into())
    };
    match &outcome {
        Ok(written) => tracing::info!(
            "Full copy for replicas: {} keys, {} bytes, {:.3} seconds",
            written.keys,
            written.bytes,
            clock::unix_ms().saturating_sub(started_ms) as f64 / 1000.0
        ),
        Err(error) => tracing::warn!("The full copy for replicas failed: {error}"),
    }
    engine.replicas.copies.end(copy, outcome.is_ok());
}
