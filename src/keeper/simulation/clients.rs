//! The clients of one worker: they send batches, and what they changed waits to become durable.

use std::sync::Arc;

use super::commands::Line;
use super::past::{Past, Positions, digest_of, raise};
use super::server::Server;
use crate::base::random::Rng;
use crate::commands::{Batch, Executor, Lookup};
use crate::engine::clients::{ClientHandle, Peer};
use crate::engine::{EffectSink, Session, Worker};

/// Sessions of a worker.
const SESSIONS: u64 = 2;

/// What was changed up to a ticket.
pub type Ticketed = (u64, Positions);

/// Clients of one worker.
pub struct Clients {
    executor: Executor,
    sessions: Vec<Session>,
}

impl Clients {
    pub fn new(server: &Server, worker: usize) -> Clients {
        let session = || {
            let handle =
                ClientHandle::new(server.engine.clients.next_id(), Peer::Unix { path: "test".into() }, 0, 0, 0);
            Session::trusted(Arc::new(handle))
        };
        let worker = Worker::new(server.engine.clone(), worker);
        Clients {
            executor: Executor::new(worker, Arc::new(Lookup::plain())),
            sessions: (0..SESSIONS).map(|_| session()).collect(),
        }
    }

    /// Runs these requests of one client; gives its replies, and what is to become durable before it may see them.
    pub fn run(&mut self, server: &Server, rng: &mut Rng, lines: &[Line]) -> (Vec<u8>, Option<Ticketed>) {
        let session = &mut self.sessions[rng.below(SESSIONS) as usize];
        let mut replies = Vec::new();
        let mut done = 0;
        while done < lines.len() {
            let arguments: Vec<&[u8]> = lines[done..].iter().flatten().map(Vec::as_slice).collect();
            let ends = lines[done..].iter().scan(0, |end, line| {
                *end += line.len();
                Some(*end)
            });
            let ends: Vec<usize> = ends.collect();
            let batch = Batch { arguments: &arguments, ends: &ends, source: None };
            // As after many tries: waits in place for whatever is in its way.
            session.held_tries = u32::MAX;
            let progress = self.executor.run(session, &batch, &mut replies);
            assert!(progress.requests > 0, "{progress:?}");
            // Some are answered later, like FLUSHALL when much memory is freed; what they do is done.
            session.waiting = None;
            done += progress.requests;
        }
        let lane = self.executor.worker.index;
        let touched = server.recorder.take_touched(lane);
        let ticketed = (!touched.is_empty()).then(|| (server.recorder.ticket(), touched));
        (replies, ticketed)
    }
}

/// Notes what the slots hold that were just changed, where nobody else changes any.
pub fn note_digests(server: &Server, past: &mut Past, touched: &Positions) {
    touched.keys().for_each(|slot| past.note_digest(*slot, digest_of(&server.engine, *slot)));
}

/// How far is durable, as clients were told, or may be.
#[derive(Default)]
pub struct Promised {
    /// Durable for certain.
    pub floor: Positions,
    pub waiting: Vec<Ticketed>,
}

impl Promised {
    /// Round `durable` has succeeded.
    pub fn reached(&mut self, durable: u64) {
        for (_, positions) in self.waiting.extract_if(.., |(ticket, _)| *ticket <= durable) {
            raise(&mut self.floor, &positions);
        }
    }

    /// All that was ever run.
    pub fn all(&self) -> Positions {
        let mut all = self.floor.clone();
        self.waiting.iter().for_each(|(_, positions)| raise(&mut all, positions));
        all
    }
}
