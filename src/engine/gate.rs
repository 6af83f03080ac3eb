//! The gate for exclusive work.
//!
//! ```text
//! worker:  take own seat -> gate open? -> run a batch -> leave the seat
//! taker:   close the gate -> wait until every seat is free -> work -> open the gate
//! ```
//! Each worker marks only its own seat, on a cache line of its own, so passing an open gate costs a few nanoseconds
//! and no sharing. Rare work that must see the whole keyspace at rest (FLUSHALL, SWAPDB, a transaction over the whole
//! keyspace) pays by waiting for the batches under way, and keeps the workers out meanwhile.
//! A worker leaves its seat before it becomes a taker, and takes no slot lock before that: two takers cannot deadlock.
//! A taker that meets a long command opens the gate again and comes back later, so that only the two of them wait.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::patience::Patience;

/// How often someone who waits for the batches under way looks again.
const LEAVERS_POLL: Duration = Duration::from_micros(20);
/// How often someone who waits for a taker looks whether to give up.
const GIVE_UP_POLL: Duration = Duration::from_millis(1);

/// One worker's seat: how often it was taken and left, so it is odd while the worker is inside.
#[derive(Default)]
#[repr(align(128))]
struct Seat(AtomicU64);

impl Seat {
    fn is_taken(&self) -> bool {
        self.0.load(Ordering::SeqCst) % 2 == 1
    }
}

pub struct Gate {
    seats: Box<[Seat]>,
    closed: AtomicBool,
    /// Held by the taker for as long as the gate is closed.
    taker: Mutex<()>,
}

impl Gate {
    pub fn new(workers: usize) -> Gate {
        Gate {
            seats: (0..workers).map(|_| Seat::default()).collect(),
            closed: AtomicBool::new(false),
            taker: Mutex::new(()),
        }
    }

    /// Passes the gate, waiting while it is closed.
    #[inline]
    pub fn enter(&self, worker: usize) -> Passage<'_> {
        let seat = &self.seats[worker].0;
        loop {
            // Sequentially consistent on both sides: either the taker sees the seat taken, or we see the gate closed.
            let taken = seat.fetch_add(1, Ordering::SeqCst) + 1;
            if !self.closed.load(Ordering::SeqCst) {
                return Passage { seat, taken };
            }
            seat.store(taken + 1, Ordering::SeqCst);
            drop(self.taker.lock());
        }
    }

    /// The same, unless `give_up` is raised while the gate is closed.
    #[inline]
    pub fn enter_unless(&self, worker: usize, give_up: &AtomicBool) -> Option<Passage<'_>> {
        let seat = &self.seats[worker].0;
        loop {
            let taken = seat.fetch_add(1, Ordering::SeqCst) + 1;
            if !self.closed.load(Ordering::SeqCst) {
                return Some(Passage { seat, taken });
            }
            seat.store(taken + 1, Ordering::SeqCst);
            drop(self.wait_for_taker(|| !give_up.load(Ordering::Relaxed))?);
        }
    }

    /// Waits until no taker is at work, or `is_patient` says no.
    #[cold]
    fn wait_for_taker(&self, mut is_patient: impl FnMut() -> bool) -> Option<MutexGuard<'_, ()>> {
        loop {
            if let Some(taker) = self.taker.try_lock_for(GIVE_UP_POLL) {
                return Some(taker);
            }
            if !is_patient() {
                return None;
            }
        }
    }

    /// Waits until no worker is inside and keeps them out until the guard is dropped; opens the gate again when
    /// `is_patient` says no meanwhile. The caller must hold no [`Passage`] and no slot.
    pub fn close_while(&self, mut is_patient: impl FnMut() -> bool) -> Option<Exclusive<'_>> {
        let taker = self.wait_for_taker(&mut is_patient)?;
        self.closed.store(true, Ordering::SeqCst);
        let exclusive = Exclusive { gate: self, _taker: taker };
        for seat in &self.seats {
            while seat.is_taken() {
                if !is_patient() {
                    return None;
                }
                std::thread::yield_now();
            }
        }
        Some(exclusive)
    }

    /// Waits until everyone who was inside when this was called has left, keeping nobody out.
    pub fn wait_for_leavers(&self) {
        for seat in &self.seats {
            let seen = seat.0.load(Ordering::SeqCst);
            while seen % 2 == 1 && seat.0.load(Ordering::SeqCst) == seen {
                std::thread::sleep(LEAVERS_POLL);
            }
        }
        drop(self.taker.lock());
    }

    /// The same for a thread of no client, which may come back as often as it takes.
    pub fn close(&self) -> Exclusive<'_> {
        let busy = AtomicBool::new(false);
        for tries in 0.. {
            let mut patience = Patience::with_gate(tries, &busy);
            if let Some(exclusive) = self.close_while(|| patience.lasts()) {
                return exclusive;
            }
            std::thread::sleep(Duration::from_millis(patience.retry_ms()));
        }
        unreachable!("patience ends only after so many tries")
    }
}

/// Held by a worker while it runs a batch.
pub struct Passage<'a> {
    seat: &'a AtomicU64,
    taken: u64,
}

impl Drop for Passage<'_> {
    #[inline]
    fn drop(&mut self) {
        self.seat.store(self.taken + 1, Ordering::Release);
    }
}

/// Held by whoever closed the gate.
pub struct Exclusive<'a> {
    gate: &'a Gate,
    _taker: MutexGuard<'a, ()>,
}

impl Drop for Exclusive<'_> {
    fn drop(&mut self) {
        self.gate.closed.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_taker_is_alone() {
        let gate = Gate::new(3);
        let (mut shared, rounds) = (0u64, 2_000);
        let cell = SharedCell(&mut shared);
        std::thread::scope(|scope| {
            for worker in 0..3 {
                let (gate, cell) = (&gate, &cell);
                scope.spawn(move || {
                    for _ in 0..rounds {
                        let passage = gate.enter(worker);
                        assert_eq!(cell.read() % 2, 0);
                        drop(passage);
                        if worker == 0 {
                            let _alone = gate.close();
                            cell.bump();
                            cell.bump();
                        }
                    }
                });
            }
        });
        assert_eq!(shared, 2 * rounds);
    }

    #[test]
    fn a_taker_that_meets_a_long_command_lets_others_pass() {
        let gate = Gate::new(2);
        let long = gate.enter(0);
        assert!(gate.close_while(|| false).is_none());
        drop(gate.enter(1));
        std::thread::scope(|scope| {
            let taker = scope.spawn(|| drop(gate.close()));
            // Each waits for no more than a try of the taker.
            for _ in 0..20 {
                drop(gate.enter(1));
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(!taker.is_finished());
            drop(long);
            taker.join().unwrap();
        });
    }

    /// Two separate additions, seen half done by anyone who is not kept out.
    struct SharedCell(*mut u64);

    #[allow(unsafe_code)]
    // SAFETY: the gate is what makes the accesses exclusive; the test fails, or a race detector does, if it does not.
    unsafe impl Sync for SharedCell {}

    #[allow(unsafe_code)]
    impl SharedCell {
        fn read(&self) -> u64 {
            // SAFETY: the pointee outlives the scope of the test's threads.
            unsafe { self.0.read_volatile() }
        }

        fn bump(&self) {
            // SAFETY: as in `read`.
            unsafe { self.0.write_volatile(self.0.read_volatile() + 1) }
        }
    }
}
