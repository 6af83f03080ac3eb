//! What the journal's lanes and threads share: which segments are live, which files can be used again, the numbers.
//!
//! `live` and `spares` are taken below a lane's lock, and never one below the other. Calls to the disk under `spares` are
//! renames and removals, by threads that may wait.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::filler::Signal;
use super::health::Health;
use super::journal::Options;
use super::lane::Padded;
use super::segment::{Segment, Space, file_name, spare_name};
use super::storage::Storage;
use super::sync::Rounds;

/// What the threads and the lanes share.
pub struct Core {
    pub storage: Arc<dyn Storage>,
    pub options: Options,
    pub health: Health,
    pub lanes: Box<[Padded]>,
    pub generation: AtomicU64,
    pub filler: Signal,
    pub rounds: Rounds,
    pub last_number: AtomicU64,
    pub free_bytes: AtomicU64,
    pub live: Mutex<Live>,
    pub spares: Mutex<Spares>,
}

/// Segments that hold what is not settled.
#[derive(Default)]
pub struct Live {
    /// Segments that were begun and not released, older ones of a lane first.
    pub segments: Vec<Arc<Segment>>,
    /// Numbers of those that are settled, and wait for the one before them.
    pub settled: Vec<u64>,
    /// Bytes of records in segments that were released, less what was there at the start.
    pub past_bytes: u64,
}

/// Files that are kept to be used again.
#[derive(Default)]
pub struct Spares {
    /// Released, and perhaps still read by somebody.
    released: Vec<Arc<Segment>>,
    ready: Vec<Space>,
}

impl Core {
    /// Space for a segment: its name durable, filled some way or not at all.
    pub fn prepare(&self, wanted_bytes: usize) -> io::Result<Space> {
        let number = self.last_number.fetch_add(1, Ordering::Relaxed) + 1;
        let spare = {
            let mut spares = self.spares.lock();
            let fitting = spares.ready.iter().position(|spare| spare.capacity() >= wanted_bytes);
            fitting.map(|at| spares.ready.swap_remove(at))
        };
        let space = match spare {
            Some(spare) => spare.reuse(&*self.storage, number)?,
            None => {
                let capacity = wanted_bytes.next_multiple_of(4096).max(self.options.segment_bytes);
                Space::create(&*self.storage, number, capacity).inspect_err(|_| {
                    // Whatever there is of it has no use; that it was not there is no matter.
                    let _ = self.storage.remove(&file_name(number));
                })?
            }
        };
        self.storage.sync_directory()?;
        Ok(space)
    }

    /// Keeps space that was prepared for nothing.
    pub fn put_aside(&self, space: Space) {
        let mut spares = self.spares.lock();
        let is_wanted = spares.ready.len() < self.options.spares;
        if is_wanted && self.storage.rename(&file_name(space.number()), &spare_name(space.number())).is_ok() {
            spares.ready.push(space);
        } else if !is_wanted {
            // A file that stays is empty, and recovery takes it away.
            let _ = self.storage.remove(&file_name(space.number()));
        }
    }

    pub fn add_live(&self, segment: Arc<Segment>) {
        self.live.lock().segments.push(segment);
    }

    /// Calls `each` with every segment that was begun and not released; older ones of a lane come first.
    pub fn for_live(&self, each: impl FnMut(&Arc<Segment>)) {
        self.live.lock().segments.iter().for_each(each);
    }

    /// Takes the files of released segments that nobody reads any more; true if some are still read.
    pub fn make_spares(&self) -> bool {
        let mut spares = self.spares.lock();
        for segment in std::mem::take(&mut spares.released) {
            match Arc::try_unwrap(segment) {
                Ok(segment) => spares.ready.push(segment.into_space()),
                Err(segment) => spares.released.push(segment),
            }
        }
        !spares.released.is_empty()
    }

    /// Gives the files that are kept for use again back to the file system.
    pub fn drop_spares(&self) {
        for space in std::mem::take(&mut self.spares.lock().ready) {
            // Recovery takes away what stays.
            let _ = self.storage.remove(&spare_name(space.number()));
        }
    }

    pub fn set_free_bytes(&self, bytes: u64) {
        self.free_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Takes the name of a released segment.
    pub fn retire(&self, segment: Arc<Segment>) {
        let number = segment.number();
        let mut spares = self.spares.lock();
        let is_wanted = spares.released.len() + spares.ready.len() < self.options.spares
            && segment.space().capacity() == self.options.segment_bytes;
        let outcome = if is_wanted {
            self.storage.rename(&file_name(number), &spare_name(number))
        } else {
            self.storage.remove(&file_name(number))
        };
        match outcome {
            Ok(()) if is_wanted => spares.released.push(segment),
            Ok(()) => {}
            // It is settled, and no manifest names it: recovery will take it away.
            Err(error) => tracing::warn!("a settled segment of the log stays: {}: {error}", file_name(number)),
        }
    }
}

impl Live {
    /// Takes out the settled segments that have none before them; gives them.
    pub fn release(&mut self, segments: &[Arc<Segment>]) -> Vec<Arc<Segment>> {
        self.settled.extend(segments.iter().filter(|segment| segment.is_sealed()).map(|segment| segment.number()));
        let mut gone = Vec::new();
        loop {
            let is_free = |segment: &Arc<Segment>| {
                self.settled.contains(&segment.number())
                    && !self.segments.iter().any(|other| other.number() == segment.previous())
            };
            let Some(at) = self.segments.iter().position(is_free) else { return gone };
            let segment = self.segments.remove(at);
            self.settled.retain(|number| *number != segment.number());
            self.past_bytes = self.past_bytes.wrapping_add(segment.end() as u64);
            gone.push(segment);
        }
    }

    /// The segments that have none before them, without those that are settled or are about to be.
    pub fn heads(&self, settled: &[Arc<Segment>]) -> Vec<u64> {
        let is_there = |number: u64| {
            self.segments.iter().any(|other| other.number() == number)
                && !self.settled.contains(&number)
                && !settled.iter().any(|other| other.number() == number)
        };
        let heads = self.segments.iter().filter(|one| is_there(one.number()) && !is_there(one.previous()));
        heads.map(|segment| segment.number()).collect()
    }
}
