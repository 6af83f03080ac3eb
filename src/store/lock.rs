//! A one-byte spin lock, for critical sections of a few hundred nanoseconds.
//!
//! Measured uncontended: 5 ns for lock and unlock, against 10 ns for a parking lock; and one byte leaves the rest of a
//! slot's cache line to the slot. A waiter spins briefly, then gives its processor away, so a holder that was
//! preempted gets to run.

#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU8, Ordering};

const FREE: u8 = 0;
const HELD: u8 = 1;
/// Spins before a waiter yields its processor.
const SPINS_MAX: u32 = 100;

#[derive(Debug, Default)]
pub struct SpinLock(AtomicU8);

impl SpinLock {
    #[inline]
    pub fn try_lock(&self) -> bool {
        self.0.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[inline]
    pub fn lock(&self) {
        if !self.try_lock() {
            self.wait();
        }
    }

    /// Takes the lock, unless `is_patient` says no while somebody else holds it.
    #[inline]
    pub fn lock_while(&self, is_patient: impl FnMut() -> bool) -> bool {
        self.try_lock() || self.wait_while(is_patient)
    }

    /// Releases the lock; only its holder may call this.
    #[inline]
    pub fn unlock(&self) {
        self.0.store(FREE, Ordering::Release);
    }

    fn wait(&self) {
        self.wait_while(|| true);
    }

    #[cold]
    fn wait_while(&self, mut is_patient: impl FnMut() -> bool) -> bool {
        let mut spins = 0;
        loop {
            while self.0.load(Ordering::Relaxed) == HELD {
                if spins < SPINS_MAX {
                    spins += 1;
                    std::hint::spin_loop();
                } else if !is_patient() {
                    return false;
                } else {
                    std::thread::yield_now();
                }
            }
            if self.try_lock() {
                return true;
            }
        }
    }
}
