//! The bucket array under a table: cache lines of eight words, probed linearly a line at a time.
//!
//! A word holds an entry's address (low 48 bits) and a tag of its hash (high 16); 0 is empty and 1 is a tombstone. A
//! key's home bucket is its hash's upper half scaled to the number of buckets, so buckets lie in hash order whatever
//! their number: that is what lets SCAN's cursor be a hash position that stays true while tables grow and shrink.
//! A search ends at the first bucket with an empty word, so a word inside a full bucket is freed to a tombstone.

#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use memmap2::MmapMut;

use super::entry::{Entry, EntryRef};
use super::reclaim;

pub(super) const WORDS: usize = 8;
pub(super) const CACHE_LINE_BYTES: usize = 64;
const EMPTY: u64 = 0;
const TOMBSTONE: u64 = 1;
const ADDRESS_MASK: u64 = (1 << 48) - 1;
/// Arrays of at least this many bytes are mapped: their pages arrive zeroed one by one, and leave all at once.
const MAPPED_BYTES_MIN: usize = 256 * 1024;

/// A mapped array goes back to the system in pieces of this size.
const UNMAPPED_AT_ONCE_BYTES: usize = 1 << 20;

const _: () = assert!(size_of::<Bucket>() == 64);

#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub(super) struct Bucket([u64; WORDS]);

/// A key's place in hash order inside its slot.
#[inline]
pub(super) fn position(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[inline]
fn tagged(hash: u64, address: usize) -> u64 {
    debug_assert!(address as u64 & !ADDRESS_MASK == 0 && address as u64 > TOMBSTONE);
    (hash & 0xffff) << 48 | address as u64
}

#[inline]
fn is_live(word: u64) -> bool {
    word > TOMBSTONE
}

/// An array of buckets that owns the entries its words point at.
#[derive(Default)]
pub(super) struct Buckets {
    /// The array, or null. Atomic, as is the count, because [`Buckets::prefetch_home`] looks without the lock; all
    /// other accesses are under it.
    first: AtomicPtr<Bucket>,
    count: AtomicU32,
    /// Words that are not empty: live ones and tombstones.
    used: u32,
    live: u32,
}

// SAFETY: the array and its entries are owned, and entries are Send.
unsafe impl Send for Buckets {}

impl Buckets {
    pub fn with_count(count: u32) -> Buckets {
        if count == 0 {
            return Buckets::default();
        }
        let bytes = count as usize * size_of::<Bucket>();
        let first = if bytes >= MAPPED_BYTES_MIN {
            match MmapMut::map_anon(bytes) {
                // The map is rebuilt from address and length when it is dropped.
                Ok(map) => NonNull::new(std::mem::ManuallyDrop::new(map).as_mut_ptr().cast()),
                Err(_) => None,
            }
        } else {
            // SAFETY: `bytes` is not zero.
            NonNull::new(unsafe { alloc_zeroed(heap_layout(bytes)) }.cast())
        };
        let Some(first) = first else { handle_alloc_error(heap_layout(bytes)) };
        Buckets { first: AtomicPtr::new(first.as_ptr()), count: AtomicU32::new(count), used: 0, live: 0 }
    }

    #[inline]
    fn slice(&self) -> &[Bucket] {
        let first = self.first.load(Ordering::Relaxed);
        if first.is_null() {
            return &[];
        }
        // SAFETY: `first` points at `count` initialised buckets that live as long as `self`.
        unsafe { std::slice::from_raw_parts(first, self.count() as usize) }
    }

    #[inline]
    fn slice_mut(&mut self) -> &mut [Bucket] {
        let first = *self.first.get_mut();
        if first.is_null() {
            return &mut [];
        }
        // SAFETY: as in `slice`, and `self` is borrowed uniquely.
        unsafe { std::slice::from_raw_parts_mut(first, self.count() as usize) }
    }

    #[inline]
    pub fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    #[inline]
    pub fn used(&self) -> u32 {
        self.used
    }

    #[inline]
    pub fn live(&self) -> u32 {
        self.live
    }

    pub fn memory_bytes(&self) -> usize {
        self.count() as usize * size_of::<Bucket>()
    }

    #[inline]
    fn home(&self, position: u32) -> usize {
        ((u64::from(position) * u64::from(self.count())) >> 32) as usize
    }

    #[inline]
    fn next(&self, bucket: usize) -> usize {
        if bucket + 1 == self.count() as usize { 0 } else { bucket + 1 }
    }

    /// Brings a key's home bucket towards the cache.
    #[inline]
    pub fn prefetch_home(&self, hash: u64) {
        prefetch(self.first.load(Ordering::Relaxed).wrapping_add(self.home(position(hash))).cast());
    }

    /// Brings the entries that may be the key's towards the cache.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        if self.count() == 0 {
            return;
        }
        let bucket = &self.slice()[self.home(position(hash))];
        for word in bucket.0 {
            if word >> 48 == hash & 0xffff && is_live(word) {
                // Key and value of a small entry lie in its first two cache lines.
                prefetch_two((word & ADDRESS_MASK) as *const u8);
            }
        }
    }

    /// The first entry of a key's home bucket that may be the key's.
    #[inline]
    pub fn likely(&self, hash: u64) -> Option<EntryRef<'_>> {
        if self.count() == 0 {
            return None;
        }
        let bucket = &self.slice()[self.home(position(hash))];
        bucket.0.iter().find(|word| **word >> 48 == hash & 0xffff && is_live(**word)).map(borrow)
    }

    /// The word index of `key`.
    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<usize> {
        if self.count() == 0 {
            return None;
        }
        let buckets = self.slice();
        let mut at = self.home(position(hash));
        loop {
            let bucket = &buckets[at];
            for (offset, &word) in bucket.0.iter().enumerate() {
                if word >> 48 == hash & 0xffff && is_live(word) && borrow(&word).has_key(key) {
                    return Some(at * WORDS + offset);
                }
            }
            if bucket.0.contains(&EMPTY) {
                return None;
            }
            at = self.next(at);
        }
    }

    #[inline]
    pub fn entry(&self, index: usize) -> EntryRef<'_> {
        let word = &self.slice()[index / WORDS].0[index % WORDS];
        assert!(is_live(*word));
        borrow(word)
    }

    /// Runs `change` on the entry and stores its address again: a change may move it.
    #[inline]
    pub fn update<R>(&mut self, index: usize, change: impl FnOnce(&mut Entry) -> R) -> R {
        let word = &mut self.slice_mut()[index / WORDS].0[index % WORDS];
        assert!(is_live(*word));
        // While the entry is out, its word is a tombstone: a panic inside `change` leaks nothing twice.
        let tag = *word & !ADDRESS_MASK;
        // SAFETY: the word owned the entry and no longer does.
        let mut entry = unsafe { Entry::from_address((*word & ADDRESS_MASK) as usize) };
        *word = TOMBSTONE;
        let result = change(&mut entry);
        *word = tag | entry.into_address() as u64;
        result
    }

    /// Sets an entry's access clock, which never moves it.
    #[inline]
    pub fn set_access(&mut self, index: usize, access: u32) {
        let word = self.slice()[index / WORDS].0[index % WORDS];
        assert!(is_live(word));
        // SAFETY: the word keeps owning the entry, which is borrowed uniquely through `self` and not dropped here.
        let mut entry = std::mem::ManuallyDrop::new(unsafe { Entry::from_address((word & ADDRESS_MASK) as usize) });
        entry.set_access(access);
    }

    /// Adds an entry whose key is not there; the caller has made room.
    pub fn insert(&mut self, hash: u64, entry: Entry) -> usize {
        debug_assert!((self.used as usize) < self.count() as usize * WORDS);
        let mut at = self.home(position(hash));
        loop {
            if let Some(offset) = self.slice()[at].0.iter().position(|word| !is_live(*word)) {
                let word = &mut self.slice_mut()[at].0[offset];
                let was_empty = *word == EMPTY;
                *word = tagged(hash, entry.into_address());
                self.used += u32::from(was_empty);
                self.live += 1;
                return at * WORDS + offset;
            }
            at = self.next(at);
        }
    }

    pub fn remove(&mut self, index: usize) -> Entry {
        let bucket = &mut self.slice_mut()[index / WORDS];
        let word = bucket.0[index % WORDS];
        assert!(is_live(word));
        let becomes = if bucket.0.contains(&EMPTY) { EMPTY } else { TOMBSTONE };
        bucket.0[index % WORDS] = becomes;
        self.used -= u32::from(becomes == EMPTY);
        self.live -= 1;
        // SAFETY: the word owned the entry and no longer does.
        unsafe { Entry::from_address((word & ADDRESS_MASK) as usize) }
    }

    /// Takes every entry out of one bucket, leaving tombstones so that searches still pass over it.
    pub fn drain_bucket(&mut self, bucket: u32, mut take: impl FnMut(Entry)) {
        let words = self.slice()[bucket as usize].0;
        for (offset, word) in words.into_iter().enumerate() {
            if is_live(word) {
                self.slice_mut()[bucket as usize].0[offset] = TOMBSTONE;
                self.live -= 1;
                // SAFETY: the word owned the entry and no longer does.
                take(unsafe { Entry::from_address((word & ADDRESS_MASK) as usize) });
            }
        }
    }

    /// Brings the entries of a bucket towards the cache, ahead of [`Buckets::drain_bucket`].
    pub fn prefetch_bucket_entries(&self, bucket: u32) {
        if let Some(bucket) = self.slice().get(bucket as usize) {
            for word in bucket.0 {
                prefetch((word & ADDRESS_MASK) as *const u8);
            }
        }
    }

    /// The position after the last one whose home is the home of `from`.
    pub fn home_end(&self, from: u32) -> u64 {
        let next = self.home(from) as u64 + 1;
        (next << 32).div_ceil(u64::from(self.count().max(1)))
    }

    /// Calls `visit` for every entry whose position lies in `from..to`; `hash` gives a key's hash.
    pub fn visit_range(&self, from: u32, to: u64, hash: impl Fn(&[u8]) -> u64, mut visit: impl FnMut(EntryRef<'_>)) {
        if self.count() == 0 || self.live == 0 {
            return;
        }
        let last = self.home((to - 1) as u32);
        let mut at = self.home(from);
        let mut passed_last = false;
        for _ in 0..self.count() {
            self.prefetch_bucket_entries(at as u32);
            let bucket = &self.slice()[at];
            for word in bucket.0.iter().filter(|word| is_live(**word)) {
                let entry = borrow(word);
                if (u64::from(from)..to).contains(&u64::from(position(hash(entry.key())))) {
                    visit(entry);
                }
            }
            passed_last |= at == last;
            if passed_last && bucket.0.contains(&EMPTY) {
                break;
            }
            at = self.next(at);
        }
    }

    /// The index of the first live word at or after bucket `from`, going round.
    pub fn next_live(&self, from: u32) -> Option<usize> {
        if self.live == 0 {
            return None;
        }
        (0..self.count())
            .map(|step| ((u64::from(from) + u64::from(step)) % u64::from(self.count())) as usize)
            .find_map(|at| self.slice()[at].0.iter().position(|word| is_live(*word)).map(|offset| at * WORDS + offset))
    }

    /// The indexes of the live words of one bucket.
    pub fn live_indexes(&self, bucket: u32) -> impl Iterator<Item = usize> + use<> {
        let words = self.slice()[bucket as usize].0;
        (0..WORDS).filter(move |offset| is_live(words[*offset])).map(move |offset| bucket as usize * WORDS + offset)
    }
}

impl Drop for Buckets {
    fn drop(&mut self) {
        let first = *self.first.get_mut();
        if first.is_null() {
            return;
        }
        if self.live > 0 {
            for bucket in 0..self.count() {
                self.prefetch_bucket_entries(bucket + 1);
                self.drain_bucket(bucket, drop);
                reclaim::give_way();
            }
        }
        let bytes = self.memory_bytes();
        if bytes >= MAPPED_BYTES_MIN {
            // In pieces: the kernel would hold the address space, and the processor, for the whole of a large one.
            for start in (0..bytes).step_by(UNMAPPED_AT_ONCE_BYTES) {
                let piece_bytes = UNMAPPED_AT_ONCE_BYTES.min(bytes - start);
                // SAFETY: the map was made in `with_count` with this address and length; each piece is unmapped once.
                unsafe { libc::munmap(first.cast::<u8>().add(start).cast(), piece_bytes) };
                reclaim::give_way();
            }
        } else {
            // SAFETY: allocated in `with_count` with this layout, freed once.
            unsafe { dealloc(first.cast(), heap_layout(bytes)) };
        }
    }
}

fn heap_layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, 64).expect("a bucket array is far smaller than the address space")
}

/// The entry a live word points at, borrowed for as long as the word is.
#[inline]
fn borrow(word: &u64) -> EntryRef<'_> {
    debug_assert!(is_live(*word));
    // SAFETY: a live word owns its entry, and the word is borrowed for as long as the result lives.
    unsafe { EntryRef::at((*word & ADDRESS_MASK) as usize) }
}

/// Brings the cache lines at `address` and behind it towards the cache.
#[inline]
pub(super) fn prefetch_two(address: *const u8) {
    prefetch(address);
    prefetch(address.wrapping_add(64));
}

/// Brings the cache line at `address` towards the cache.
#[inline]
pub(super) fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint; it reads nothing and faults on no address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
