//! Background work in short bursts: a thread that shares a core with a worker must not keep it for long at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::base::clock::{self, Ticks};
use crate::log::settle::Pacer;

/// Longest burst: what a client may wait more because of it.
const BURST_NANOS: u64 = 60_000;
/// Longest sleep, so that a low share still moves on.
const SLEEP_NANOS_MAX: u64 = 20_000_000;

/// How much of a processor paced work takes, in percent; whoever sees that it falls behind raises it.
#[derive(Clone, Debug)]
pub struct Share(Arc<AtomicU64>);

impl Share {
    pub fn new(percent: u64) -> Share {
        Share(Arc::new(AtomicU64::new(percent)))
    }

    pub fn set(&self, percent: u64) {
        self.0.store(percent.clamp(1, 100), Ordering::Relaxed);
    }

    fn percent(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Sleeps after each burst for as long as the share asks.
pub struct BurstPacer {
    share: Share,
    started: Ticks,
}

impl BurstPacer {
    pub fn new(share: Share) -> BurstPacer {
        BurstPacer { share, started: clock::ticks() }
    }
}

impl Pacer for BurstPacer {
    #[inline]
    fn pause(&mut self) {
        let busy_nanos = clock::ticks().nanos_since(self.started);
        if busy_nanos < BURST_NANOS {
            return;
        }
        let percent = self.share.percent();
        if percent < 100 {
            let sleep_nanos = busy_nanos * (100 - percent) / percent;
            std::thread::sleep(Duration::from_nanos(sleep_nanos.min(SLEEP_NANOS_MAX)));
        }
        self.started = clock::ticks();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_kept() {
        let mut pacer = BurstPacer::new(Share::new(20));
        let (mut busy_nanos, started) = (0, clock::ticks());
        while busy_nanos < 20_000_000 {
            let before = clock::ticks();
            while clock::ticks().nanos_since(before) < 50_000 {}
            busy_nanos += clock::ticks().nanos_since(before);
            pacer.pause();
        }
        let all_nanos = clock::ticks().nanos_since(started);
        assert!(all_nanos > busy_nanos * 3, "{busy_nanos} of {all_nanos}");
    }
}
