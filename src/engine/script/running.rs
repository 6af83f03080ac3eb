//! Scripts that overran the time after which everybody is told to wait.
//!
//! A run shows here only once it is late, so that runs which end in time cost nothing. While one shows, commands are
//! answered with an error, but for the few that help; `obstacle::BUSY_SCRIPT` says so to the hot path.
//!
//! ```text
//! Free --first write--> Wrote: it must run to its end
//!   +----KILL---------> Killed: it ends at its next step, and cannot write any more
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use parking_lot::Mutex;

use crate::base::clock::{self, Ticks};
use crate::engine::persistence::{Persistence, obstacle};

const FREE: u8 = 0;
const WROTE: u8 = 1;
const KILLED: u8 = 2;

/// One late run.
pub struct Overrun {
    /// The function's name, or the script's SHA-1.
    pub name: String,
    pub is_function: bool,
    pub command: Vec<Vec<u8>>,
    pub started: Ticks,
    pub client_id: u64,
    state: AtomicU8,
}

impl Overrun {
    pub fn new(
        name: String,
        is_function: bool,
        command: Vec<Vec<u8>>,
        started: Ticks,
        client_id: u64,
        wrote: bool,
    ) -> Overrun {
        let state = AtomicU8::new(if wrote { WROTE } else { FREE });
        Overrun { name, is_function, command, started, client_id, state }
    }

    /// Told before a write; false when the run was killed, and must not write.
    pub fn may_write(&self) -> bool {
        self.state.compare_exchange(FREE, WROTE, Ordering::AcqRel, Ordering::Acquire) != Err(KILLED)
    }

    pub fn is_killed(&self) -> bool {
        self.state.load(Ordering::Acquire) == KILLED
    }

    pub fn duration_ms(&self) -> u64 {
        clock::ticks().nanos_since(self.started) / 1_000_000
    }

    fn kill(&self) -> bool {
        self.state.compare_exchange(FREE, KILLED, Ordering::AcqRel, Ordering::Acquire) != Err(WROTE)
    }
}

/// Why nothing was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillError {
    NothingRuns,
    HasWritten,
    /// What runs is killed by the other command.
    OtherKind,
}

/// What workers do beside a late script, as the network installs it: they serve their other clients.
pub type Meanwhile = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
pub struct Running {
    late: Mutex<Vec<Arc<Overrun>>>,
    /// Whether there are any.
    busy: AtomicBool,
    pub meanwhile: std::sync::OnceLock<Meanwhile>,
}

impl Running {
    /// Whether a script is late. Waiters for locks look at it.
    #[inline]
    pub fn busy(&self) -> &AtomicBool {
        &self.busy
    }

    #[inline]
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Shows a run that is late.
    pub fn begin(&self, overrun: Arc<Overrun>, persistence: &Persistence) {
        let mut late = self.late.lock();
        late.push(overrun);
        self.tell(&late, persistence);
    }

    /// Takes away a run that was late.
    pub fn end(&self, overrun: &Arc<Overrun>, persistence: &Persistence) {
        let mut late = self.late.lock();
        late.retain(|other| !Arc::ptr_eq(other, overrun));
        self.tell(&late, persistence);
    }

    fn tell(&self, late: &[Arc<Overrun>], persistence: &Persistence) {
        self.busy.store(!late.is_empty(), Ordering::Release);
        persistence.set_obstacle(obstacle::BUSY_SCRIPT, !late.is_empty());
    }

    /// The run that has been late for longest.
    pub fn first(&self) -> Option<Arc<Overrun>> {
        self.late.lock().first().cloned()
    }

    /// Ends every late run of a kind.
    pub fn kill(&self, functions: bool) -> Result<(), KillError> {
        let late = self.late.lock();
        if late.is_empty() {
            return Err(KillError::NothingRuns);
        }
        let mut outcome = Err(KillError::OtherKind);
        for overrun in late.iter() {
            let killed = match overrun.is_function == functions {
                true if overrun.kill() => Ok(()),
                true => Err(KillError::HasWritten),
                // Like Redis, which looks at what was written first.
                false if overrun.state.load(Ordering::Acquire) == WROTE => Err(KillError::HasWritten),
                false => continue,
            };
            if outcome != Ok(()) {
                outcome = killed;
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn killing() {
        let (running, persistence) = (Running::default(), Persistence::default());
        assert_eq!(running.kill(false), Err(KillError::NothingRuns));
        let overrun =
            |is_function, wrote| Arc::new(Overrun::new("x".into(), is_function, Vec::new(), clock::ticks(), 1, wrote));
        let script = overrun(false, false);
        running.begin(script.clone(), &persistence);
        assert!(running.is_busy() && persistence.obstacles() == obstacle::BUSY_SCRIPT);
        assert_eq!(running.kill(true), Err(KillError::OtherKind));
        assert_eq!(running.kill(false), Ok(()));
        assert!(script.is_killed() && !script.may_write());
        running.end(&script, &persistence);
        assert!(!running.is_busy() && running.first().is_none());
        let function = overrun(true, false);
        running.begin(function.clone(), &persistence);
        assert!(function.may_write() && function.may_write());
        assert_eq!(running.kill(true), Err(KillError::HasWritten));
        assert_eq!(running.kill(false), Err(KillError::HasWritten));
    }
}
