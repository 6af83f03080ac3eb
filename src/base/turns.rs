//! Short turns: how a background thread that takes the workers' locks shares their cores.
//!
//! Whoever frees what a worker allocated takes a lock of that worker's heap. A thread of low priority that loses its core
//! in there gets none back for as long as others are busy, and the worker stands still: for 360 ms on a busy machine. So
//! such a thread has the workers' priority, but asks the system for turns much shorter than theirs, and gives the core
//! away itself before one is over, where it holds nothing. With nobody else to run it goes on at once.

use std::io;

use super::clock::{self, Ticks};
use super::process;

/// What the system is asked for. A thread is left alone for as long, so it should not end before the thread gives way.
const TURN_NANOS: u64 = 300_000;
/// When the thread gives way: what a worker may wait for it.
const BURST_NANOS: u64 = 60_000;

/// Has the calling thread, and those that it starts, take short turns. Kernels before 6.12 know none: there such threads
/// give way all the same, but who waits for one of their locks may wait for some turns of the usual length.
pub fn take_short_turns() -> io::Result<()> {
    process::set_turn(TURN_NANOS)
}

/// What a thread does between two times that it gives way.
#[derive(Clone, Copy)]
pub struct Burst {
    began: Ticks,
}

impl Burst {
    pub fn begin() -> Burst {
        Burst { began: clock::ticks() }
    }

    /// Ends a burst that was long enough: gives the core away and begins the next. Called where the thread holds no lock.
    #[inline]
    pub fn give_way(&mut self) {
        if clock::ticks().nanos_since(self.began) >= BURST_NANOS {
            std::thread::yield_now();
            *self = Burst::begin();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_gives_way_after_a_burst() {
        take_short_turns().unwrap();
        let mut burst = Burst::begin();
        let began = burst.began;
        let mut times = 0;
        while clock::ticks().nanos_since(began) < 20 * BURST_NANOS {
            let before = burst.began;
            burst.give_way();
            times += u64::from(burst.began != before);
        }
        assert!((1..=20).contains(&times), "{times}");
    }
}
