//! Whether the journal may be written to.
//!
//! ```text
//!             no space to fill ahead
//!   Running ------------------------> Full      nothing was lost: it ends by itself when there is space again
//!      ^  <--------------------------  |
//!      |    the filler has succeeded   |
//!      +---- any other error ----+-----+
//!                                v
//!                             Failed           until the server starts anew
//! ```
//! Failed means that memory may be ahead of what the disk will hold, or that nobody knows what the disk holds. Every
//! transition is made, and logged, here.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;

const RUNNING: u8 = 0;
const FULL: u8 = 1;
const FAILED: u8 = 2;

/// Whether the journal may be written to, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Running,
    /// There is no space for more.
    Full,
    /// What went wrong.
    Failed(String),
}

/// Why a change was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    Full,
    Failed,
    /// More than a record can hold. The log is well.
    TooLarge,
}

impl fmt::Display for Stopped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Stopped::Full => "the disk is full",
            Stopped::Failed => "the log has failed",
            Stopped::TooLarge => "the change is too large for the log",
        })
    }
}

impl std::error::Error for Stopped {}

/// True if the error says that there is no space, and nothing else.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[derive(Default)]
pub struct Health {
    state: AtomicU8,
    reason: Mutex<String>,
}

impl Health {
    #[inline]
    pub fn is_running(&self) -> bool {
        self.state.load(Ordering::Relaxed) == RUNNING
    }

    #[inline]
    pub fn has_failed(&self) -> bool {
        self.state.load(Ordering::Relaxed) == FAILED
    }

    pub fn check(&self) -> Result<(), Stopped> {
        match self.state.load(Ordering::Relaxed) {
            RUNNING => Ok(()),
            FULL => Err(Stopped::Full),
            _ => Err(Stopped::Failed),
        }
    }

    pub fn state(&self) -> State {
        let reason = self.reason.lock();
        match self.state.load(Ordering::Relaxed) {
            RUNNING => State::Running,
            FULL => State::Full,
            _ => State::Failed(reason.clone()),
        }
    }

    /// An error on the way to space for later changes.
    pub fn note(&self, doing: &str, error: &io::Error) -> Stopped {
        if !is_full(error) {
            return self.fail(&format!("{doing}: {error}"));
        }
        if self.state.compare_exchange(RUNNING, FULL, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::error!("no more writes are taken, the disk is full: {doing}: {error}");
        }
        self.check().err().unwrap_or(Stopped::Full)
    }

    pub fn fail(&self, why: &str) -> Stopped {
        let mut reason = self.reason.lock();
        // The first reason is the one that tells something.
        if self.state.load(Ordering::Relaxed) != FAILED {
            why.clone_into(&mut reason);
            self.state.store(FAILED, Ordering::Relaxed);
            tracing::error!("no more writes are taken, the log has failed: {why}");
        }
        Stopped::Failed
    }

    /// There is space ahead of every lane.
    pub fn has_space(&self) {
        if self.state.compare_exchange(FULL, RUNNING, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::info!("writes are taken again, the disk has space");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_ends_and_failed_does_not() {
        let health = Health::default();
        let full = io::Error::from_raw_os_error(libc::ENOSPC);
        assert_eq!(health.note("filling", &full), Stopped::Full);
        assert_eq!((health.check(), health.state()), (Err(Stopped::Full), State::Full));
        health.has_space();
        assert!(health.is_running());
        let quota = io::Error::from_raw_os_error(libc::EDQUOT);
        assert_eq!(health.note("filling", &quota), Stopped::Full);
        assert_eq!(health.note("filling", &io::Error::from_raw_os_error(libc::EIO)), Stopped::Failed);
        health.fail("another");
        health.has_space();
        assert_eq!(health.note("filling", &full), Stopped::Failed);
        assert!(health.has_failed() && matches!(health.state(), State::Failed(why) if why.starts_with("filling: ")));
    }
}
