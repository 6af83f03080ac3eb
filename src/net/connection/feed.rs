//! Feeding a replica: its connection sends a full copy, then the stream, as `replication::primary` says.
//!
//! A piece is taken only when the one before it has left: what the socket does not take stays in the file of the copy or
//! in the stream, which all replicas share. What the replica sends is read and run as of any client; it is never answered.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Context;

use tokio::time::Sleep;

use super::{Connection, wait_until};
use crate::base::clock;
use crate::config::Config;
use crate::config::special::OutputLimit;
use crate::engine::Engine;
use crate::engine::clients::flag;
use crate::engine::replicas::copy::{FullCopy, Progress};
use crate::engine::replicas::history::{Claim, History};
use crate::engine::replicas::stream::Cursor;
use crate::engine::replicas::{Phase, Replica};
use crate::engine::session::{ReplyMode, StreamRequest, Waiting};
use crate::net::worker::Shared;
use crate::replication::primary::{Action, Link, Seen};

/// Pieces sent in one poll before other connections get their turn.
const PIECES_PER_POLL_MAX: usize = 64;

pub(super) struct Feed {
    replica: Arc<Replica>,
    link: Link,
    /// The full copy, until it is sent.
    copy: Option<Arc<FullCopy>>,
    /// What the stream keeps for this replica; from the cut of its copy on.
    cursor: Option<Cursor>,
    /// Kept for its allocation.
    piece: Vec<u8>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Feed {
    /// Bytes of the stream that wait for the replica.
    pub fn waiting_bytes(&self) -> u64 {
        self.cursor.as_ref().map_or(0, Cursor::lag)
    }

    /// A replica may always be as far behind as the backlog reaches: coming back, it would get no more.
    pub fn limit(limit: OutputLimit, config: &Config) -> OutputLimit {
        let at_least = |bytes: u64| if bytes == 0 { 0 } else { bytes.max(config.repl_backlog_size) };
        OutputLimit { hard_bytes: at_least(limit.hard_bytes), soft_bytes: at_least(limit.soft_bytes), ..limit }
    }

    /// Ends with the connection.
    pub fn end(self, engine: &Engine) {
        if let Some(copy) = &self.copy {
            copy.leave(&self.replica.client);
        }
        // Ahead of the entry in the roll: when that is gone nobody has a cursor.
        drop(self.cursor);
        engine.replicas.remove(&self.replica.client, clock::unix_ms());
    }
}

impl Connection {
    /// Answers a request for the stream.
    pub(super) fn become_replica(&mut self, cx: &mut Context<'_>, shared: &mut Shared) {
        let Some(Waiting::Stream(request)) = self.session.waiting.take() else { return };
        self.handle.set_flag(flag::BLOCKED, false);
        shared.executor.worker.refresh();
        let (engine, now_ms) = (shared.executor.worker.engine.clone(), shared.executor.worker.now_ms);
        let replica = self.session.replica.get_or_insert_with(|| Arc::new(Replica::new(self.handle.clone()))).clone();
        replica.set_acknowledges(request.told_offset);
        // A socket that is no TCP socket refuses it.
        let _ = self.stream.socket().set_tcp_nodelay(!engine.config.load().repl_disable_tcp_nodelay);
        self.session.reply_mode = ReplyMode::Off;
        let history = engine.history.lock().clone();
        let feed = match self.continued(&engine, &history, &request) {
            Some((cursor, offset)) => {
                engine.stats.partial_syncs.add(1);
                tracing::info!("Partial resynchronization request from {} accepted at {offset}.", self.name());
                let answer = match replica.wants.lock().follows_ids {
                    true => format!("+CONTINUE {}\r\n", history.id),
                    false => "+CONTINUE\r\n".to_owned(),
                };
                self.send_bytes(cx, answer.as_bytes(), &shared.executor);
                replica.note_acked(offset, None, now_ms);
                replica.enter(Phase::Online, now_ms);
                let cursor = Some(cursor);
                Feed::new(replica, Link::continued(), None, cursor)
            }
            None => {
                engine.stats.full_syncs.add(1);
                if request.told_offset && request.id != b"?" {
                    engine.stats.refused_partial_syncs.add(1);
                }
                let wants = replica.wants.lock().clone();
                tracing::info!("Full resync requested by replica {}", self.name());
                replica.enter(Phase::Waits, now_ms);
                let copy = engine.join_copy(&self.handle, wants.reads_marks, now_ms);
                let mark = copy.mark.clone();
                let link = Link::with_copy(request.told_offset, mark, wants.copy_only, now_ms);
                Feed::new(replica, link, Some(copy), None)
            }
        };
        engine.replicas.add(feed.replica.clone(), now_ms);
        self.feed = Some(feed);
        cx.waker().wake_by_ref();
    }

    /// A cursor where the replica goes on, and its offset, if nothing that it misses is lost.
    fn continued(&self, engine: &Engine, history: &History, request: &StreamRequest) -> Option<(Cursor, u64)> {
        let kept = engine.stream.extent().map(|extent| extent.start..=extent.end);
        let offset = history.continues(Claim { id: &request.id, offset: request.offset }, kept)?;
        Some((engine.stream.cursor(offset, &self.handle)?, offset))
    }

    fn name(&self) -> String {
        self.handle.peer.address()
    }

    /// Sends what is next, as far as the socket takes it. Tells whether the connection is to close.
    pub(super) fn feed_replica(&mut self, cx: &mut Context<'_>, shared: &mut Shared) -> bool {
        let Some(mut feed) = self.feed.take() else { return false };
        let mut close = false;
        for pieces in 0.. {
            if self.unsent.len() > 0 || self.handle.has_flag(flag::CLOSE_ASAP) {
                break;
            }
            if pieces == PIECES_PER_POLL_MAX {
                cx.waker().wake_by_ref();
                break;
            }
            match feed.next(cx, shared) {
                Next::Send => {
                    let piece = std::mem::take(&mut feed.piece);
                    self.send_bytes(cx, &piece, &shared.executor);
                    // One that has to wait keeps no more than what it could not send.
                    feed.piece = if self.unsent.len() > 0 { Vec::new() } else { piece };
                    feed.piece.clear();
                }
                Next::Look => {}
                Next::Rest => break,
                Next::Close => {
                    close = true;
                    break;
                }
            }
        }
        self.feed = Some(feed);
        self.publish_output(shared);
        // Whoever looks at idle clients sees that it is served.
        self.handle.last_active_ms.store(shared.executor.worker.now_ms, Ordering::Relaxed);
        close
    }
}

/// What became of a step.
enum Next {
    /// Send the piece.
    Send,
    /// Look again.
    Look,
    /// The task is woken when there is more.
    Rest,
    Close,
}

impl Feed {
    fn new(replica: Arc<Replica>, link: Link, copy: Option<Arc<FullCopy>>, cursor: Option<Cursor>) -> Feed {
        Feed { replica, link, copy, cursor, piece: Vec::new(), timer: None }
    }

    fn next(&mut self, cx: &mut Context<'_>, shared: &mut Shared) -> Next {
        let worker = &mut shared.executor.worker;
        worker.refresh();
        let (engine, now_ms) = (worker.engine.clone(), worker.now_ms);
        let copy = self.copy.as_ref().map_or(Progress::default(), |copy| copy.progress());
        if copy.offset.is_some() && self.cursor.is_none() {
            self.cursor = self.copy.as_ref().and_then(|copy| copy.cursor(&self.replica.client));
        }
        let was_sending = self.link.is_sending();
        let acknowledged = self.replica.has_acked();
        let id = engine.history.lock().id.clone();
        match self.link.step(Seen { id: &id, copy, acknowledged, now_ms }) {
            Action::Say(bytes) => {
                if self.link.is_sending() && !was_sending {
                    self.replica.enter(Phase::Loads, now_ms);
                }
                self.piece.extend_from_slice(&bytes);
                Next::Send
            }
            Action::Copy { from, bytes } => {
                let Some(copy) = &self.copy else { return Next::Close };
                match copy.read(&mut self.piece, from, bytes as usize) {
                    Ok(()) => Next::Send,
                    Err(error) => {
                        tracing::warn!("The full copy for a replica cannot be read: {error}");
                        Next::Close
                    }
                }
            }
            Action::GoOnline => {
                tracing::info!("Synchronization with replica {} succeeded", self.replica.client.peer.address());
                if let Some(copy) = self.copy.take() {
                    copy.leave(&self.replica.client);
                }
                self.replica.enter(Phase::Online, now_ms);
                Next::Look
            }
            Action::Stream => match self.cursor.as_ref().and_then(|cursor| cursor.read(&mut self.piece)) {
                None => Next::Close,
                Some(0) => Next::Rest,
                Some(_) => Next::Send,
            },
            Action::Wait { until_ms } => {
                wait_until(&mut self.timer, cx, Some(until_ms), now_ms);
                Next::Rest
            }
            Action::Close => Next::Close,
        }
    }
}
