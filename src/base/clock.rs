//! The only reader of time.
//!
//! Two clocks: wall time in Unix milliseconds or microseconds (expiry, TIME, log stamps) and a monotonic tick
//! counter for durations, cheap enough to be read once a command.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

static TICKER: LazyLock<quanta::Clock> = LazyLock::new(quanta::Clock::new);

/// A reading of the monotonic tick counter; only differences mean anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticks(u64);

impl Ticks {
    /// Nanoseconds from `earlier` to `self`; zero when the order is reversed.
    #[inline]
    pub fn nanos_since(self, earlier: Ticks) -> u64 {
        TICKER.delta_as_nanos(earlier.0, self.0)
    }
}

/// Reads the monotonic tick counter.
#[inline]
pub fn ticks() -> Ticks {
    Ticks(TICKER.raw())
}

/// Unix time in microseconds.
pub fn unix_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_micros() as u64)
}

/// Local time as redis-server's log shows it: `22 Nov 2026 23:00:00.123`.
pub fn log_stamp() -> String {
    chrono::Local::now().format("%d %b %Y %H:%M:%S%.3f").to_string()
}

/// Unix time in milliseconds.
#[inline]
pub fn unix_ms() -> u64 {
    unix_us() / 1000
}
