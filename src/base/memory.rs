//! What the allocator has given out.
//!
//! [`CountedAllocator`] counts what is allocated and freed, to the byte and at once, which the memory limit needs: the
//! allocator's own counters lag behind by what its threads cache. Each thread adds to a counter of its own, so counting
//! costs a load and a store; a sum over the threads is what the process uses.
//! A reading that the allocator itself does not offer is zero: nothing but people's curiosity depends on it.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use tikv_jemallocator::Jemalloc;

use tikv_jemalloc_ctl::{Access, AsName, arenas, epoch, stats, stats_print, version};

use super::turns;

/// Rounds up to the allocator's size class: steps of 16 bytes up to 128, then four steps per doubling.
#[inline]
pub fn size_class(size: usize) -> usize {
    if size <= 128 {
        size.next_multiple_of(16).max(16)
    } else {
        let step = 1usize << ((size - 1).ilog2() - 2);
        size.next_multiple_of(step)
    }
}

/// Counters, one a thread.
const COUNTERS: usize = 128;
/// Of all threads that came when the others were taken.
const SHARED_COUNTER: usize = COUNTERS - 1;
/// Of all threads that work aside.
const ASIDE_COUNTER: usize = COUNTERS - 2;
const NO_COUNTER: usize = usize::MAX;

/// On a cache line of its own. Memory may be freed by another thread than took it, so one alone may be negative.
#[repr(align(128))]
struct ThreadCounter(AtomicI64);

static THREADS: [ThreadCounter; COUNTERS] = [const { ThreadCounter(AtomicI64::new(0)) }; COUNTERS];
static THREADS_SEEN: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static OWN: Cell<usize> = const { Cell::new(NO_COUNTER) };
}

#[inline]
fn own_counter() -> usize {
    OWN.with(|own| match own.get() {
        NO_COUNTER => {
            let index = THREADS_SEEN.fetch_add(1, Ordering::Relaxed);
            let index = if index < ASIDE_COUNTER { index } else { SHARED_COUNTER };
            own.set(index);
            index
        }
        index => index,
    })
}

#[inline]
fn count(bytes: i64) {
    let index = own_counter();
    let counter = &THREADS[index].0;
    if index < ASIDE_COUNTER {
        counter.store(counter.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
    } else {
        counter.fetch_add(bytes, Ordering::Relaxed);
    }
}

fn counted(index: usize) -> i64 {
    THREADS[index].0.load(Ordering::Relaxed)
}

/// Bytes that the process has allocated and not freed, as of now, but for what works aside: a few nanoseconds a thread.
pub fn used_bytes() -> u64 {
    let seen = THREADS_SEEN.load(Ordering::Relaxed).min(ASIDE_COUNTER);
    let sum: i64 = (0..seen).map(counted).sum();
    (sum + counted(SHARED_COUNTER)).max(0) as u64
}

/// Bytes that threads which work aside have allocated and not freed.
pub fn aside_bytes() -> u64 {
    counted(ASIDE_COUNTER).max(0) as u64
}

/// Counts what this thread allocates from now on apart. For threads that keep no data for others: their buffers come and
/// go, and must not count against a limit for the data set.
pub fn work_aside() {
    OWN.with(|own| own.set(ASIDE_COUNTER));
}

/// What this thread has allocated less what it has freed: differences tell what happened in between.
#[inline]
pub fn own_bytes() -> i64 {
    THREADS[own_counter()].0.load(Ordering::Relaxed)
}

/// Numbers of the allocator that are as wide as an address, by the names of jemalloc's mallctl.
const ALLOCATOR_NUMBERS: &[&[u8]] = &[b"arenas.page\0", b"arenas.quantum\0", b"arenas.tcache_max\0"];

/// One of the allocator's numbers.
pub fn allocator_number(name: &[u8]) -> Option<u64> {
    let name = ALLOCATOR_NUMBERS.iter().find(|known| known.strip_suffix(b"\0") == Some(name))?;
    // SAFETY: the name ends with a zero byte, and what it names is as wide as an address.
    let number: usize = unsafe { tikv_jemalloc_ctl::raw::read(name) }.ok()?;
    Some(number as u64)
}

/// Gives back what this thread keeps of freed memory, for its own next allocations.
pub fn flush_thread_cache() {
    let nothing = std::ptr::null_mut;
    // SAFETY: the name ends with a zero byte, and stands for an action that takes and gives no value.
    unsafe { tikv_jemalloc_sys::mallctl(c"thread.tcache.flush".as_ptr(), nothing(), nothing().cast(), nothing(), 0) };
}

/// The process's allocator, which counts.
pub struct CountedAllocator;

#[cfg(test)]
#[global_allocator]
static ALLOCATOR: CountedAllocator = CountedAllocator;

// SAFETY: all memory comes from and goes to one allocator that keeps the contract; counting touches none of it and
// allocates nothing.
unsafe impl GlobalAlloc for CountedAllocator {
    // SAFETY: the caller keeps the contract of the trait.
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(size_class(layout.size()) as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { Jemalloc.alloc(layout) }
    }

    // SAFETY: the caller keeps the contract of the trait.
    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(size_class(layout.size()) as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { Jemalloc.alloc_zeroed(layout) }
    }

    // SAFETY: the caller keeps the contract of the trait.
    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(size_class(layout.size()) as i64));
        // SAFETY: the caller's promises are passed on.
        unsafe { Jemalloc.dealloc(pointer, layout) }
    }

    // SAFETY: the caller keeps the contract of the trait.
    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size_class(size) as i64 - size_class(layout.size()) as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { Jemalloc.realloc(pointer, layout, size) }
    }
}

/// Lets the allocator return memory to the system from threads of its own, which take short turns, or from those that
/// allocate.
pub fn set_background_purging(on: bool) -> Result<(), String> {
    // The allocator's threads are of the kind of the one that has them started.
    let starter = std::thread::spawn(move || {
        turns::take_short_turns().map_err(|error| error.to_string())?;
        tikv_jemalloc_ctl::background_thread::write(on).map_err(|error| error.to_string())
    });
    starter.join().unwrap_or_else(|_| Err("its threads cannot be started".into()))
}

/// Bytes that the allocator has handed out, by its own counters. Adds them up, which takes microseconds.
fn allocated_bytes() -> u64 {
    // The keys exist in every build of the allocator; without statistics they read zero.
    let _ = epoch::advance();
    stats::allocated::read().unwrap_or(0) as u64
}

/// The allocator's view of memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllocatorUse {
    /// Handed out and not given back.
    pub allocated_bytes: u64,
    /// In pages that hold anything handed out.
    pub active_bytes: u64,
    /// Mapped and, as far as the allocator knows, backed by memory.
    pub resident_bytes: u64,
}

/// All of the allocator's counters at one moment.
pub fn allocator_use() -> AllocatorUse {
    AllocatorUse {
        allocated_bytes: allocated_bytes(),
        active_bytes: stats::active::read().unwrap_or(0) as u64,
        resident_bytes: stats::resident::read().unwrap_or(0) as u64,
    }
}

/// The allocator's name and version, such as `jemalloc-5.3.0`.
pub fn allocator_name() -> String {
    let full = version::read().unwrap_or("unknown");
    format!("jemalloc-{}", full.split('-').next().unwrap_or_default())
}

/// The allocator's own report, for people.
pub fn allocator_report() -> String {
    let mut report = Vec::new();
    match stats_print::stats_print(&mut report, stats_print::Options::default()) {
        Ok(()) => String::from_utf8_lossy(&report).into_owned(),
        Err(error) => format!("The allocator gave no statistics: {error}\n"),
    }
}

/// Has the allocator give unused pages back to the system.
pub fn purge_allocator() -> Result<(), String> {
    let count: u32 = arenas::narenas::read().map_err(|error| error.to_string())?;
    for index in 0..count {
        let name = format!("arena.{index}.dirty_decay_ms\0");
        let name = name.as_str().name();
        // Arenas that were never used have no decay time. Setting it to zero purges at once.
        let Ok(before) = Access::<isize>::update(name, 0) else { continue };
        Access::<isize>::write(name, before).map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_are_the_allocators() {
        let classes =
            [(1, 16), (16, 16), (17, 32), (128, 128), (129, 160), (160, 160), (161, 192), (257, 320), (1025, 1280)];
        for (size, class) in classes {
            assert_eq!(size_class(size), class, "{size}");
        }
    }

    #[test]
    fn what_is_used_is_known_to_the_byte() {
        let before = own_bytes();
        let mut kept = Vec::<u8>::with_capacity(100);
        assert_eq!(own_bytes() - before, 112);
        kept.reserve_exact(1025);
        assert_eq!(own_bytes() - before, 1280);
        assert!(used_bytes() > 1280);
        let freed_elsewhere = std::thread::spawn(move || {
            let before = own_bytes();
            drop(kept);
            own_bytes() - before
        });
        assert_eq!(freed_elsewhere.join().unwrap(), -1280);
        let aside = std::thread::spawn(|| {
            work_aside();
            let kept = Vec::<u8>::with_capacity(1 << 20);
            (aside_bytes(), kept.capacity())
        });
        assert!(aside.join().unwrap().0 >= 1 << 20);
    }

    #[test]
    fn the_allocator_answers() {
        assert!(allocator_name().starts_with("jemalloc-5."));
        assert!(allocator_use().resident_bytes > 0);
        assert!(allocator_report().contains("jemalloc"));
        assert_eq!(purge_allocator(), Ok(()));
    }
}
