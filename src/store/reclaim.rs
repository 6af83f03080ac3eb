//! Freeing away from the workers: what is large is queued here and dropped by a background thread, so that no client
//! waits while memory goes back to the system. That thread takes short turns, so what consists of many allocations gives
//! way between its parts when it is dropped.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

use super::entry::Entry;
use super::slot::Db;
use super::table::CURSOR_END;
use crate::base::hash::KeyHasher;
use crate::base::turns::Burst;

/// Entries with at least this many bytes are freed in the background.
const LARGE_ENTRY_BYTES: usize = 64 << 10;
/// Collections of more items than this are freed in the background where that is asked for.
const LAZY_ITEMS_MIN: usize = 64;

/// Databases with more keys than this are freed in the background.
const KEYS_AT_ONCE_MAX: usize = 1000;

thread_local! {
    /// Of the thread that frees what is queued.
    static FREEING: Cell<Option<Burst>> = const { Cell::new(None) };
}

/// Something large that nobody can reach any more.
pub type Garbage = Box<dyn Send>;

/// The queue between those who retire memory and the thread that frees it. One per process.
#[derive(Default)]
pub struct Reclaimer {
    queue: Mutex<Queue>,
    arrived: Condvar,
    /// What entries will free that are queued.
    pending_bytes: AtomicU64,
}

#[derive(Default)]
struct Queue {
    /// With the bytes that each is known to free.
    garbage: Vec<(Garbage, u64)>,
    /// Taken by the thread and not yet freed.
    in_progress: usize,
    /// Freed since the process started or the counters were reset.
    freed_count: u64,
}

/// The process's queue.
pub static RECLAIMER: std::sync::LazyLock<Reclaimer> = std::sync::LazyLock::new(Reclaimer::default);

/// Frees an entry that nobody can reach any more: at once, or in the background if that may take long. Gives the bytes
/// that are left to the background.
#[inline]
pub fn discard(entry: impl Into<Option<Entry>>) -> usize {
    entry.into().map_or(0, |entry| if is_large(&entry) { retire(entry) } else { 0 })
}

/// The same for whoever asked that it take no time: collections go to the background already when they are of some size.
pub fn discard_lazily(entry: Entry) {
    if is_large(&entry) || entry.view().large_len() > LAZY_ITEMS_MIN {
        retire(entry);
    }
}

/// Called between the parts of something large that is dropped: the thread that frees what is queued gives way now and
/// then. It holds nothing, and for everybody else this does nothing.
#[inline]
pub fn give_way() {
    if let Some(mut burst) = FREEING.get() {
        burst.give_way();
        FREEING.set(Some(burst));
    }
}

#[inline]
fn is_large(entry: &Entry) -> bool {
    entry.view().memory_bytes() >= LARGE_ENTRY_BYTES
}

/// Whether freeing these databases may take long.
pub fn is_much(databases: &[Db], hasher: &KeyHasher) -> bool {
    if databases.iter().map(Db::len).sum::<usize>() > KEYS_AT_ONCE_MAX {
        return true;
    }
    let (mut bytes, mut arrays) = (0, 0);
    for db in databases {
        let mut cursor = 0;
        arrays += db.table().memory_bytes();
        while !db.is_empty() && cursor < CURSOR_END {
            cursor = db.table().scan(cursor as u32, hasher, |entry| bytes += entry.memory_bytes());
        }
    }
    bytes + arrays >= LARGE_ENTRY_BYTES
}

#[cold]
fn retire(entry: Entry) -> usize {
    let bytes = entry.view().memory_bytes();
    RECLAIMER.queue(Box::new(entry), bytes as u64);
    bytes
}

/// Garbage that somebody waits to be free of.
struct Awaited<F: FnOnce()> {
    garbage: Option<Garbage>,
    then: Option<F>,
}

impl<F: FnOnce()> Drop for Awaited<F> {
    fn drop(&mut self) {
        drop(self.garbage.take());
        if let Some(then) = self.then.take() {
            then();
        }
    }
}

impl Reclaimer {
    pub fn retire(&self, garbage: Garbage) {
        self.queue(garbage, 0);
    }

    /// Has `then` called once the garbage is freed.
    pub fn retire_then(&self, garbage: Garbage, then: impl FnOnce() + Send + 'static) {
        self.retire(Box::new(Awaited { garbage: Some(garbage), then: Some(then) }));
    }

    fn queue(&self, garbage: Garbage, bytes: u64) {
        self.pending_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.queue.lock().garbage.push((garbage, bytes));
        self.arrived.notify_one();
    }

    /// Frees what arrives, as long as the process lives; run on a thread of its own.
    pub fn run(&self) -> ! {
        FREEING.set(Some(Burst::begin()));
        loop {
            let batch = {
                let mut queue = self.queue.lock();
                while queue.garbage.is_empty() {
                    self.arrived.wait(&mut queue);
                }
                queue.in_progress = queue.garbage.len();
                std::mem::take(&mut queue.garbage)
            };
            for (item, bytes) in batch {
                drop(item);
                give_way();
                self.pending_bytes.fetch_sub(bytes, Ordering::Relaxed);
                let mut queue = self.queue.lock();
                queue.in_progress -= 1;
                queue.freed_count += 1;
            }
        }
    }

    /// Bytes that will be free once the entries in the queue are.
    #[inline]
    pub fn pending_bytes(&self) -> u64 {
        self.pending_bytes.load(Ordering::Relaxed)
    }

    pub fn pending_count(&self) -> usize {
        let queue = self.queue.lock();
        queue.garbage.len() + queue.in_progress
    }

    pub fn freed_count(&self) -> u64 {
        self.queue.lock().freed_count
    }

    pub fn reset_freed_count(&self) {
        self.queue.lock().freed_count = 0;
    }
}
