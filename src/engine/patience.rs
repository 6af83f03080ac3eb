//! How long a command waits in place for a slot or for the gate.
//!
//! Whoever waits in place keeps its worker from other clients, and may hold other slots or the gate meanwhile. Short
//! commands are over sooner than this patience, so only who meets a long one gives up: it lets go of everything, and
//! its client comes back a little later. After many tries it waits as long as it takes, so that everybody gets their turn.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::clock::{self, Ticks};

/// Longer than short commands take, of several workers one after another.
const SLOT_PATIENCE_NS: u64 = 200_000;
/// Longer than a batch of short commands takes. Everybody waits as long.
const GATE_PATIENCE_NS: u64 = 1_000_000;
/// How long a client stays away that met a long command.
const SLOT_RETRY_MS: u64 = 1;
/// The same of one that closed the gate: all others have their turn meanwhile.
const GATE_RETRY_MS: u64 = 5;
/// Tries in vain after which patience has no end: some ten seconds.
const SLOT_TRIES_MAX: u32 = 10_000;
const GATE_TRIES_MAX: u32 = 2_000;

/// One wait.
pub struct Patience<'a> {
    /// Raised while a late script keeps others out, who are told so.
    busy: &'a AtomicBool,
    limit_ns: u64,
    since: Option<Ticks>,
    retry_ms: u64,
}

impl<'a> Patience<'a> {
    /// For slots, by someone who has tried so often in vain.
    #[inline]
    pub fn with_slots(tries: u32, busy: &'a AtomicBool) -> Patience<'a> {
        let limit_ns = if tries < SLOT_TRIES_MAX { SLOT_PATIENCE_NS } else { u64::MAX };
        Patience { busy, limit_ns, since: None, retry_ms: SLOT_RETRY_MS }
    }

    /// The same for the gate to close.
    pub fn with_gate(tries: u32, busy: &'a AtomicBool) -> Patience<'a> {
        let limit_ns = if tries < GATE_TRIES_MAX { GATE_PATIENCE_NS } else { u64::MAX };
        Patience { busy, limit_ns, since: None, retry_ms: GATE_RETRY_MS }
    }

    /// For who cannot come back.
    pub fn endless(busy: &'a AtomicBool) -> Patience<'a> {
        Patience { limit_ns: u64::MAX, ..Patience::with_slots(0, busy) }
    }

    /// Asked again and again while waiting: whether to wait on. The first question starts the clock.
    pub fn lasts(&mut self) -> bool {
        let now = clock::ticks();
        let since = *self.since.get_or_insert(now);
        !self.busy.load(Ordering::Relaxed) && now.nanos_since(since) < self.limit_ns
    }

    /// When to come back after giving up.
    pub fn retry_ms(&self) -> u64 {
        self.retry_ms
    }
}
