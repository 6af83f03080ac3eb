//! A server without a network, from opening its log to its end, and the check of what it recovered.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::commands::DATABASES;
use super::past::{Oracle, Past, Positions, Recorder, digest_of};
use crate::base::hash::KeyHasher;
use crate::base::key_slot::SlotId;
use crate::base::random::Rng;
use crate::commands::registry;
use crate::config::choices::ProtectedAction;
use crate::config::{Config, Live};
use crate::engine::Engine;
use crate::keeper::kept_log::{KeptLog, LogOptions, Measures};
use crate::log::lock::Lock;
use crate::log::simulated_disk::SimulatedDisk;
use crate::log::sync::Policy;

pub const WORKERS: usize = 2;
/// Files of the simulated disk grow to this; the tablespace's files to that many units.
pub const FILE_BYTES: usize = FILE_UNITS as usize * 4096;
const FILE_UNITS: u32 = 160;

pub struct Server {
    pub engine: Arc<Engine>,
    pub log: Arc<KeptLog>,
    pub recorder: Arc<Recorder>,
}

fn config() -> Config {
    Config { databases: DATABASES as u32, enable_debug_command: ProtectedAction::Yes, ..Config::default() }
}

pub fn engine() -> Arc<Engine> {
    let hasher = KeyHasher::from_seed(1, 2);
    Arc::new(Engine::new(Live::new(config(), None), WORKERS, registry::count(), hasher))
}

fn options(rng: &mut Rng) -> LogOptions {
    let segment_bytes = 4096 << rng.below(4);
    LogOptions {
        lanes: WORKERS + 1,
        policy: [Policy::Always, Policy::EverySecond, Policy::No][rng.below(3) as usize],
        threads: 1,
        refuse_torn: false,
        measures: Measures {
            segment_bytes,
            spare_segments: rng.below(4) as usize,
            fill_ahead_bytes: segment_bytes >> rng.below(2),
            file_units: FILE_UNITS,
            period_ms: 1 + rng.below(4),
        },
    }
}

impl Server {
    /// A server on what the disk holds. `directory` is for the lock alone.
    pub fn start(
        disk: &SimulatedDisk,
        directory: &Path,
        past: &Arc<Mutex<Past>>,
        rng: &mut Rng,
    ) -> Result<Server, String> {
        let engine = engine();
        let lock = Lock::take(directory).map_err(|error| error.to_string())?;
        let options = options(rng);
        let (log, _) = KeptLog::open_on(Arc::new(disk.clone()), directory, lock, &engine, &options)?;
        let recorder = Arc::new(Recorder::new(log.journal.clone(), past.clone(), options.lanes));
        engine.follow(Some(recorder.clone()), None);
        engine.persistence.end_loading();
        Ok(Server { engine, log: Arc::new(log), recorder })
    }

    /// Checks what was recovered: it reaches from `floor` to `given`, and is what it was. Gives how far it reaches.
    pub fn check(&self, oracle: &mut Oracle, past: &Past, floor: &Positions, given: &Positions) -> Positions {
        assert_eq!(self.engine.persistence.refused_slots(), [], "nothing is damaged");
        let mut found = Positions::new();
        for slot in SlotId::all() {
            let sequence = self.engine.keyspace.lock(slot).sequence();
            let (least, most) = (floor.get(&slot).copied().unwrap_or(0), given.get(&slot).copied().unwrap_or(0));
            let number = slot.number();
            assert!(sequence >= least, "slot {number}: {sequence} found, {least} was durable");
            assert!(sequence <= most, "slot {number}: {sequence} found, {most} were given");
            if sequence > 0 {
                found.insert(slot, sequence);
                let expected = oracle.digest(past, slot, sequence);
                let recovered = digest_of(&self.engine, slot);
                assert_eq!(recovered, expected, "slot {number} at {sequence}:\n{}", past.tell(slot));
            }
        }
        past.check_transactions(&found);
        found
    }

    /// What is in memory is what the effects say, to the last one.
    pub fn check_memory(&self, oracle: &mut Oracle, past: &Past) {
        for slot in past.slots() {
            let expected = oracle.digest(past, slot, past.len(slot));
            assert_eq!(digest_of(&self.engine, slot), expected, "slot {}:\n{}", slot.number(), past.tell(slot));
        }
    }
}
