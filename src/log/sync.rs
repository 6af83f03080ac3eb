//! Rounds: how appended changes become durable.
//!
//! A round looks how far each segment goes, writes back the part of it that is not written to any more, and syncs the
//! files. One round serves all lanes: what a change depends on, in whichever lane, was appended before it and is durable
//! with it. The parts are written back first because a sync holds the pages that it writes, and an append that needs one
//! of them waits: with only the last chunk left to the sync, hardly ever.
//!
//! **Tickets.** Rounds are numbered. `started` is the number of the last one that began, so a change that was appended
//! before `started` was read is durable when round `started + 1` has succeeded. The round stores `started`, then reads the
//! ends; a ticket is drawn by a thread that stored an end, then reads `started`. A sequentially consistent fence stands
//! between the two on both sides, so at least one of them sees the other's store: either the ticket is a later round's,
//! or the round sees the end.
//! In the same way a round that begins looks whether the journal has failed. Whoever draws a ticket after a failure may have
//! seen in memory what the log did not take, so no round serves that ticket. One that was under way by then may succeed.
//!
//! **Marks.** After a round, at most once in a period, a `synced` record goes to every lane that has changes which none
//! covers. Recovery tells by them what must be there from what may be torn. What a mark covers is durable, and so is all
//! that came before it: in its lane, earlier segments included, and in its slot, whichever lane has it. For that a round
//! looks at the ends twice. Between looking at one lane and the next, a change may come to the first and one that depends
//! on it to the second. So it syncs up to where the second look found the ends, and marks say what the first one found.
//!
//! **Policy.** Always: rounds on request, the next one as soon as the last one ends if somebody asked meanwhile; and one
//! a second for what nobody asked for. EverySecond: one a second if there is something new, and on request. No: on request.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};
use std::task::Waker;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::core::Core;
use super::health::{Health, Stopped};
use super::journal::RECOVERED_GENERATION;
use super::segment::{FILL_STEP_BYTES, Segment, file_name};
use crate::base::clock::{self, Ticks};

/// A round that takes longer is late.
const LATE_US: u64 = 1_000_000;

/// When changes become durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Policy {
    /// Before they are acknowledged: the caller asks for rounds.
    Always,
    EverySecond,
    /// When the system sees fit.
    No,
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncCounts {
    pub rounds: u64,
    /// Rounds that took a second or longer.
    pub delayed: u64,
    pub last_round_us: u64,
    pub longest_round_us: u64,
    pub total_us: u64,
}

pub struct Rounds {
    started: AtomicU64,
    durable: AtomicU64,
    policy: AtomicU8,
    state: Mutex<RoundState>,
    /// For the sync thread.
    asked: Condvar,
    /// For threads that wait.
    ended: Condvar,
}

#[derive(Default)]
struct RoundState {
    /// The highest round that somebody asked for.
    requested: u64,
    wakers: Vec<(u64, Waker)>,
    counts: SyncCounts,
    is_closing: bool,
    is_stopped: bool,
}

impl Rounds {
    pub fn new(policy: Policy) -> Rounds {
        Rounds {
            started: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            policy: AtomicU8::new(policy as u8),
            state: Mutex::default(),
            asked: Condvar::new(),
            ended: Condvar::new(),
        }
    }

    pub fn policy(&self) -> Policy {
        match self.policy.load(Ordering::Relaxed) {
            0 => Policy::Always,
            1 => Policy::EverySecond,
            _ => Policy::No,
        }
    }

    pub fn set_policy(&self, policy: Policy) {
        self.policy.store(policy as u8, Ordering::Relaxed);
        self.asked.notify_one();
    }

    #[inline]
    pub fn ticket(&self) -> u64 {
        fence(Ordering::SeqCst);
        self.started.load(Ordering::Relaxed) + 1
    }

    #[inline]
    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    pub fn request(&self) {
        let mut state = self.state.lock();
        state.requested = state.requested.max(self.ticket());
        self.asked.notify_one();
    }

    pub fn on_durable(&self, health: &Health, ticket: u64, waker: &Waker) {
        let mut state = self.state.lock();
        if self.durable() >= ticket || health.has_failed() || state.is_stopped {
            drop(state);
            waker.wake_by_ref();
        } else {
            state.wakers.push((ticket, waker.clone()));
        }
    }

    pub fn wait(&self, health: &Health, ticket: u64, timeout: Duration) -> Result<bool, Stopped> {
        let began = clock::ticks();
        let mut state = self.state.lock();
        state.requested = state.requested.max(ticket.min(self.ticket()));
        self.asked.notify_one();
        while self.durable() < ticket {
            let passed = Duration::from_nanos(clock::ticks().nanos_since(began));
            let Some(left) = timeout.checked_sub(passed).filter(|left| !left.is_zero()) else { return Ok(false) };
            if health.has_failed() || state.is_stopped {
                return Err(Stopped::Failed);
            }
            self.ended.wait_for(&mut state, left);
        }
        Ok(true)
    }

    /// Everybody who waits looks again.
    pub fn wake_all(&self) {
        let wakers = std::mem::take(&mut self.state.lock().wakers);
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
        self.ended.notify_all();
    }

    pub fn counts(&self) -> SyncCounts {
        self.state.lock().counts
    }

    /// The thread makes all durable and ends.
    pub fn close(&self) {
        self.state.lock().is_closing = true;
        self.asked.notify_one();
    }

    /// The thread ends.
    pub fn stop(&self) {
        self.state.lock().is_stopped = true;
        self.asked.notify_one();
    }

    /// Round `round` has succeeded.
    fn succeed(&self, round: u64, took_us: u64) {
        self.durable.store(round, Ordering::Release);
        let woken: Vec<_> = {
            let mut state = self.state.lock();
            let counts = &mut state.counts;
            counts.rounds += 1;
            counts.delayed += u64::from(took_us >= LATE_US);
            counts.last_round_us = took_us;
            counts.longest_round_us = counts.longest_round_us.max(took_us);
            counts.total_us += took_us;
            state.wakers.extract_if(.., |(ticket, _)| *ticket <= round).collect()
        };
        woken.into_iter().for_each(|(_, waker)| waker.wake());
        self.ended.notify_all();
    }
}

/// What the sync thread is to do next.
enum Order {
    Round,
    Close,
    Stop,
}

/// How far a lane was synced, as marks may say: a segment's number and an offset in it.
type Synced = Option<(u64, usize)>;

/// The thread.
pub fn run(core: &Core) {
    let mut lanes: Vec<Synced> = vec![None; core.lanes.len()];
    let mut begun = clock::ticks();
    let mut marked = begun;
    loop {
        let order = next_order(core, begun);
        if let Order::Stop = order {
            break;
        }
        begun = clock::ticks();
        if round(core, &mut lanes).is_err() {
            break;
        }
        if let Order::Close = order {
            mark(core, &lanes);
            let _ = round(core, &mut lanes);
            break;
        }
        if begun.nanos_since(marked) >= core.options.period_ms * 1_000_000 {
            marked = begun;
            mark(core, &lanes);
        }
    }
    core.rounds.state.lock().is_stopped = true;
    core.rounds.wake_all();
}

fn next_order(core: &Core, begun: Ticks) -> Order {
    let period_ns = core.options.period_ms * 1_000_000;
    let rounds = &core.rounds;
    let mut state = rounds.state.lock();
    loop {
        if state.is_stopped || core.health.has_failed() {
            return Order::Stop;
        }
        if state.is_closing {
            return Order::Close;
        }
        if state.requested > rounds.started.load(Ordering::Relaxed) {
            return Order::Round;
        }
        let passed_ns = clock::ticks().nanos_since(begun);
        if passed_ns < period_ns {
            rounds.asked.wait_for(&mut state, Duration::from_nanos(period_ns - passed_ns));
            continue;
        }
        // Lanes are not locked below this lock.
        drop(state);
        if rounds.policy() != Policy::No && core.lanes.iter().any(|lane| lane.0.lock().unmarked) {
            return Order::Round;
        }
        state = rounds.state.lock();
        if !state.is_stopped && !state.is_closing && state.requested <= rounds.started.load(Ordering::Relaxed) {
            rounds.asked.wait_for(&mut state, Duration::from_nanos(period_ns / 10));
        }
    }
}

/// Makes durable what was appended before; learns how far marks may go.
fn round(core: &Core, lanes: &mut [Synced]) -> Result<(), Stopped> {
    let began = clock::ticks();
    let rounds = &core.rounds;
    let number = rounds.started.load(Ordering::Relaxed) + 1;
    rounds.started.store(number, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    if core.health.has_failed() {
        return Err(Stopped::Failed);
    }
    let mut reached = vec![None; lanes.len()];
    core.for_live(|segment| {
        if segment.generation() != RECOVERED_GENERATION {
            reached[segment.lane() as usize] = Some((segment.number(), segment.end()));
        }
    });
    let mut dirty: Vec<(Arc<Segment>, usize)> = Vec::new();
    core.for_live(|segment| {
        let end = segment.end();
        if segment.synced() < end {
            dirty.push((Arc::clone(segment), end));
        }
    });
    for (segment, end) in &dirty {
        let range = chunk_start(segment.synced())..chunk_start(*end);
        if !range.is_empty() {
            segment.file().write_back(range);
        }
    }
    for (segment, end) in &dirty {
        segment.file().sync().map_err(|error| failed(core, segment, &error))?;
        segment.set_synced(*end);
    }
    lanes.copy_from_slice(&reached);
    rounds.succeed(number, clock::ticks().nanos_since(began) / 1000);
    Ok(())
}

fn failed(core: &Core, segment: &Segment, error: &io::Error) -> Stopped {
    core.health.fail(&format!("syncing {}: {error}", file_name(segment.number())))
}

fn chunk_start(offset: usize) -> u64 {
    (offset - offset % FILL_STEP_BYTES) as u64
}

fn mark(core: &Core, lanes: &[Synced]) {
    for (lane, synced) in core.lanes.iter().zip(lanes) {
        let mut lane = lane.0.lock();
        if let (true, Some((number, offset))) = (lane.unmarked, *synced) {
            lane.mark(number, offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::filler::Signal;
    use super::super::journal::Options;
    use super::super::simulated_disk::SimulatedDisk;
    use super::*;

    #[test]
    fn no_round_begins_after_a_failure() {
        let core = Core {
            storage: Arc::new(SimulatedDisk::new(1, 4096)),
            options: Options::new(0),
            health: Health::default(),
            lanes: Box::default(),
            generation: AtomicU64::new(RECOVERED_GENERATION + 1),
            filler: Signal::default(),
            rounds: Rounds::new(Policy::Always),
            last_number: AtomicU64::new(0),
            free_bytes: AtomicU64::new(0),
            live: Mutex::default(),
            spares: Mutex::default(),
        };
        assert_eq!((round(&core, &mut []), core.rounds.durable()), (Ok(()), 1));
        core.health.fail("a test");
        let ticket = core.rounds.ticket();
        assert_eq!(round(&core, &mut []), Err(Stopped::Failed));
        assert!(core.rounds.durable() < ticket);
    }
}
