//! The end of the process: asked for by SHUTDOWN at once, or by a signal, which may be taken back until the background
//! work comes round.
//!
//! ```text
//! signal -> scheduled -> (SHUTDOWN ABORT: as if it had not come) -> ending -> the process ends
//! SHUTDOWN ------------------------------------------------------> ending -> (saving fails: the client is told)
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::clients::ClientHandle;

/// Whether the data set is saved first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownKind {
    Save,
    NoSave,
}

/// Raised when the end that a client asked for could not be.
pub type Failure = Arc<AtomicBool>;

/// What SHUTDOWN asked for.
struct Asked {
    kind: ShutdownKind,
    client: Arc<ClientHandle>,
    failure: Failure,
}

/// Where the process learns that it is to end.
#[derive(Default)]
pub struct Shutdown {
    asked: Mutex<Option<Asked>>,
    changed: tokio::sync::Notify,
    /// A signal has come that is not acted on yet.
    scheduled: AtomicBool,
    /// DEBUG PAUSE-CRON: signals are not acted on.
    pub paused: AtomicBool,
    /// Whom to tell if the end under way cannot be.
    waiting: Mutex<Vec<(Arc<ClientHandle>, Failure)>>,
}

impl Shutdown {
    /// Asks for the end on behalf of a client, which is told if it cannot be.
    pub fn ask(&self, kind: ShutdownKind, client: &Arc<ClientHandle>) -> Failure {
        let failure = Failure::default();
        *self.asked.lock() = Some(Asked { kind, client: client.clone(), failure: failure.clone() });
        self.changed.notify_one();
        failure
    }

    /// Waits until a client asks. For one waiter.
    pub async fn wait(&self) -> ShutdownKind {
        loop {
            if let Some(Asked { kind, client, failure }) = self.asked.lock().take() {
                self.waiting.lock().push((client, failure));
                return kind;
            }
            self.changed.notified().await;
        }
    }

    /// Told of a signal that asks for the end.
    pub fn schedule(&self) {
        self.scheduled.store(true, Ordering::Relaxed);
    }

    /// Takes back what a signal asked for; false when there is nothing.
    pub fn abort(&self) -> bool {
        self.scheduled.swap(false, Ordering::Relaxed)
    }

    pub fn is_scheduled(&self) -> bool {
        self.scheduled.load(Ordering::Relaxed)
    }

    /// Tells the clients that asked that there is no end: what comes first has failed.
    pub fn fail(&self) {
        self.scheduled.store(false, Ordering::Relaxed);
        for (client, failure) in self.waiting.lock().drain(..) {
            failure.store(true, Ordering::Release);
            client.wake();
        }
    }
}
