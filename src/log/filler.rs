//! The filler: a thread that keeps space ahead of every lane, so that appending asks the disk for nothing.
//!
//! Ahead of each lane's end it fills the segment with zeros, and behind the segment it keeps the next one ready: its name
//! durable, its front filled. A lane that comes close to the end of what is filled wakes it. When the disk is full it
//! tries again and again, and what it gets ends the state Full. It also looks how much space the disk has left, and makes
//! spares of released segments that nobody reads any more.

use std::io;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::core::Core;
use crate::base::clock;

/// How often the disk's free space is looked at.
const LOOK_MS: u64 = 1000;
/// How soon something that could not be done is tried again.
const RETRY_MS: u64 = 100;

/// How lanes wake the filler, and how it is stopped.
#[derive(Default)]
pub struct Signal {
    state: Mutex<SignalState>,
    changed: Condvar,
}

#[derive(Default)]
struct SignalState {
    is_woken: bool,
    is_stopped: bool,
}

impl Signal {
    pub fn wake(&self) {
        let mut state = self.state.lock();
        if !state.is_woken {
            state.is_woken = true;
            self.changed.notify_one();
        }
    }

    pub fn stop(&self) {
        self.state.lock().is_stopped = true;
        self.changed.notify_one();
    }

    /// Waits to be woken; false when stopped.
    fn wait(&self, longest: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.is_woken && !state.is_stopped {
            self.changed.wait_for(&mut state, longest);
        }
        state.is_woken = false;
        !state.is_stopped
    }
}

/// The thread.
pub fn run(core: &Core) {
    let mut looked = None;
    loop {
        if looked.is_none_or(|at| clock::ticks().nanos_since(at) >= LOOK_MS * 1_000_000) {
            looked = Some(clock::ticks());
            if let Ok(bytes) = core.storage.free_bytes() {
                core.set_free_bytes(bytes);
            }
        }
        let is_waiting = core.make_spares();
        let is_short = match fill_all(core) {
            Ok(()) => {
                core.health.has_space();
                false
            }
            Err(error) => {
                core.health.note("filling the journal ahead", &error);
                true
            }
        };
        let longest_ms = if is_waiting || is_short { RETRY_MS } else { LOOK_MS };
        if !core.filler.wait(Duration::from_millis(longest_ms)) {
            return;
        }
    }
}

fn fill_all(core: &Core) -> io::Result<()> {
    let (ahead_bytes, step_bytes) = (core.options.fill_ahead_bytes, core.fill_step_bytes());
    for lane in &core.lanes {
        let (segment, unfilled, is_next_missing) = lane.0.lock().take_unfilled(ahead_bytes);
        let current = segment.space().fill(segment.end() + ahead_bytes, step_bytes);
        // A reader's hold on it would keep it from being used again.
        drop(segment);
        let next = match unfilled {
            Some(space) => Some(space),
            None if is_next_missing && current.is_ok() => Some(core.prepare(0)?),
            None => None,
        };
        let Some(space) = next else {
            current?;
            continue;
        };
        let filled = space.fill(ahead_bytes, step_bytes);
        let mut lane = lane.0.lock();
        match lane.next {
            None => {
                lane.next = Some(space);
                lane.note_space(core);
            }
            // The lane was faster.
            Some(_) => {
                drop(lane);
                core.put_aside(space);
            }
        }
        current.and(filled)?;
    }
    Ok(())
}
