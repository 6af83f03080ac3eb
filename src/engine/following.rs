//! Whom this server follows, if it is a replica, and how far the link to its primary is.
//!
//! ```text
//! REPLICAOF host port --> Waits --> Connects --> Greets --> Copies --> Linked --the link breaks--> Waits
//!                                                  +----what is missing is kept there----^
//! ```
//! REPLICAOF begins and ends it with the gate closed: inside the gate the role does not change. The link's thread acts on
//! it and tells how far it came. What every command must know stands in `Persistence::obstacles`, so that a server that
//! follows nobody pays nothing. The state has one lock, held for a look or a note.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::clients::ClientHandle;
use super::persistence::obstacle;
use super::replicas::history::History;
use super::state::Engine;
use crate::base::clock;
use crate::resp::push_request;
use crate::store::DbIndex;

/// Where a primary listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Primary {
    pub host: String,
    pub port: u16,
}

/// How far the link is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// For the next attempt.
    #[default]
    Waits,
    Connects,
    Greets,
    /// A full copy is on its way, or being loaded.
    Copies,
    /// The primary's stream comes as it grows.
    Linked,
}

impl Stage {
    /// The word in ROLE.
    pub fn word(self) -> &'static str {
        match self {
            Stage::Waits => "connect",
            Stage::Connects => "connecting",
            Stage::Greets => "handshake",
            Stage::Copies => "sync",
            Stage::Linked => "connected",
        }
    }
}

/// The full copy that is on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyProgress {
    /// None: it ends with a mark.
    pub total_bytes: Option<u64>,
    pub read_bytes: u64,
    pub last_read_ms: u64,
}

/// What the link's thread is to do: one of these is in force until the generation changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// None: to follow nobody.
    pub primary: Option<Primary>,
    pub generation: u64,
}

/// What INFO and ROLE tell.
#[derive(Clone, Debug, Default)]
pub struct Status {
    pub primary: Primary,
    pub stage: Stage,
    /// When the link was lost, or the attempts began; while there is none.
    pub down_since_ms: u64,
    /// When the primary was last heard of; while there is a link.
    pub heard_ms: u64,
    /// Bytes of the stream that have come and were not run yet.
    pub waiting_bytes: u64,
    pub copy: CopyProgress,
}

/// Keys to which clients of this replica gave an expiry: the primary does not know of it, so they expire here.
#[derive(Default)]
pub struct OwnExpiries(Mutex<HashSet<(DbIndex, Vec<u8>)>>);

impl OwnExpiries {
    pub fn note(&self, db: DbIndex, key: &[u8]) {
        self.0.lock().insert((db, key.to_vec()));
    }

    pub fn take(&self) -> HashSet<(DbIndex, Vec<u8>)> {
        std::mem::take(&mut *self.0.lock())
    }
}

#[derive(Default)]
struct State {
    primary: Option<Primary>,
    generation: u64,
    stage: Stage,
    down_since_ms: u64,
    /// The connection on which the stream comes.
    link: Option<Arc<ClientHandle>>,
    copy: CopyProgress,
}

#[derive(Default)]
pub struct Following {
    state: Mutex<State>,
    /// Tells the link's thread that the state may have changed.
    changed: Notify,
    /// The database that the primary's stream has selected at its end. Changed inside the gate, as the stream is.
    pub selected: AtomicU16,
    pub own_expiries: OwnExpiries,
    /// The offset up to which the log has the stream on disk, as far as that is known; 0 without a log.
    pub durable: AtomicU64,
}

impl Following {
    /// Who is followed.
    pub fn status(&self) -> Option<Status> {
        let state = self.state.lock();
        let primary = state.primary.clone()?;
        let link = state.link.as_ref();
        Some(Status {
            primary,
            stage: state.stage,
            down_since_ms: state.down_since_ms,
            heard_ms: link.map_or(0, |link| link.last_active_ms.load(Ordering::Relaxed)),
            waiting_bytes: link.map_or(0, |link| link.query_buffer_bytes.load(Ordering::Relaxed) as u64),
            copy: state.copy,
        })
    }

    // ---- the link's thread --------------------------------------------------------------------------------------

    pub fn order(&self) -> Order {
        let state = self.state.lock();
        Order { primary: state.primary.clone(), generation: state.generation }
    }

    /// Waits until there may be something new.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether an order is still in force.
    pub fn is_current(&self, generation: u64) -> bool {
        self.state.lock().generation == generation
    }

    /// Told how far the link is that an order asked for.
    pub fn enter(&self, generation: u64, stage: Stage) {
        let mut state = self.state.lock();
        if state.generation == generation {
            state.stage = stage;
            state.copy = CopyProgress { last_read_ms: clock::unix_ms(), ..CopyProgress::default() };
        }
    }

    pub fn note_copy(&self, generation: u64, copy: CopyProgress) {
        let mut state = self.state.lock();
        if state.generation == generation {
            state.copy = copy;
        }
    }

    /// The connection on which the stream comes.
    pub fn link(&self) -> Option<Arc<ClientHandle>> {
        self.state.lock().link.clone()
    }
}

impl Engine {
    /// What a primary is told of how far this server has come.
    pub fn acknowledgement(&self) -> Vec<u8> {
        let numbers =
            [self.stream.end(), self.following.durable.load(Ordering::Relaxed)].map(|offset| offset.to_string());
        let [offset, durable] = &numbers;
        let words = ["REPLCONF", "ACK", offset, "FACK", durable];
        let words = if durable == "0" { &words[..3] } else { &words };
        let mut command = Vec::new();
        push_request(&mut command, words);
        command
    }

    /// Whether this server follows another one. It does not change inside the gate.
    #[inline]
    pub fn is_replica(&self) -> bool {
        self.persistence.obstacles() & obstacle::FOLLOWS != 0
    }

    /// Follows a primary, perhaps another one than before. The caller has closed the gate. Clients that wait for keys
    /// are told that they wait in vain.
    pub fn follow_primary(&self, primary: Primary) {
        let was_replica = self.is_replica();
        self.change_order(Some(primary.clone()));
        self.note_in_config(Some((primary.host, primary.port)));
        if was_replica {
            return;
        }
        // A primary that knows this history may let it go on here.
        self.stream.begin_relay(self.stream.end(), self.config.load().repl_backlog_size);
        for client in self.clients.all() {
            let waiter = client.waiter.lock().clone();
            if let Some(waiter) = waiter {
                waiter.dismiss();
            }
            if client.patience.exhaust(false) {
                client.wake();
            }
        }
    }

    /// Follows nobody any more: the data set goes on as its own, under a new name. The caller has closed the gate.
    pub fn stop_following(&self) {
        self.change_order(None);
        self.note_in_config(None);
        self.history.lock().rename(History::default().id, self.stream.end());
        self.stream.end_relay();
        // They come back and learn the new name.
        self.dismiss_replicas();
    }

    fn note_in_config(&self, primary: Option<(String, u16)>) {
        let old = self.config.load();
        self.config.update(|config| config.replicaof = primary);
        if let Some(hook) = self.config_hook.get()
            && let Err((directive, reason)) = hook(&old, &self.config.load())
        {
            tracing::warn!("{directive} cannot follow the change of role: {reason}");
        }
    }

    fn change_order(&self, primary: Option<Primary>) {
        let mut state = self.following.state.lock();
        if let Some(link) = state.link.take() {
            link.kill();
        }
        let follows = primary.is_some();
        let generation = state.generation + 1;
        *state = State { primary, generation, down_since_ms: clock::unix_ms(), ..State::default() };
        drop(state);
        self.following.own_expiries.take();
        self.persistence.set_obstacle(obstacle::FOLLOWS | obstacle::UNLINKED, follows);
        self.following.changed.notify_one();
    }

    fn dismiss_replicas(&self) {
        self.replicas.all().iter().for_each(|replica| replica.client.kill());
    }

    /// The data set is about to become the primary's: loading begins, and until it has ended no other order comes. What is
    /// known of the old one is of no use to anybody any more. False, and nothing has changed, when the order is no longer
    /// in force. The caller is no worker inside a batch.
    pub fn begin_replacing(&self, generation: u64, bytes: u64) -> bool {
        let alone = self.gate.close();
        if !self.following.is_current(generation) {
            return false;
        }
        self.persistence.begin_loading(bytes);
        drop(alone);
        *self.history.lock() = History::default();
        self.dismiss_replicas();
        true
    }

    /// The data set is the primary's at an offset of its history, and the stream will go on from there. The caller is no
    /// worker inside a batch. False when the order is no longer in force.
    pub fn begin_relay(&self, generation: u64, id: &str, offset: u64) -> bool {
        let alone = self.gate.close();
        if !self.following.is_current(generation) {
            return false;
        }
        *self.history.lock() = History { id: id.to_owned(), former: None };
        if offset != self.stream.end() {
            self.dismiss_replicas();
        }
        self.stream.begin_relay(offset, self.config.load().repl_backlog_size);
        drop(alone);
        true
    }

    /// The primary lets the stream go on, perhaps under another name.
    pub fn continue_relay(&self, id: Option<&str>) {
        let mut history = self.history.lock();
        if let Some(id) = id.filter(|id| *id != history.id) {
            tracing::info!("The primary's replication id is {id} from offset {} on", self.stream.end());
            history.rename(id.to_owned(), self.stream.end());
            drop(history);
            self.dismiss_replicas();
        }
    }

    /// The primary's stream comes on this connection. False when the order is no longer in force.
    pub fn take_link(&self, generation: u64, link: &Arc<ClientHandle>) -> bool {
        let mut state = self.following.state.lock();
        if state.generation != generation {
            return false;
        }
        (state.stage, state.link) = (Stage::Linked, Some(link.clone()));
        self.persistence.set_obstacle(obstacle::UNLINKED, false);
        true
    }

    /// Told when the connection of a primary has ended.
    pub fn lose_link(&self, link: &ClientHandle) {
        let mut state = self.following.state.lock();
        if state.link.as_ref().is_some_and(|held| held.id == link.id) {
            (state.stage, state.link, state.down_since_ms) = (Stage::Waits, None, clock::unix_ms());
            self.persistence.set_obstacle(obstacle::UNLINKED, true);
            drop(state);
            tracing::warn!("Connection with primary lost.");
            self.following.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::KeyHasher;
    use crate::config::{Config, Live};
    use crate::engine::replicas::history::Claim;

    fn engine() -> Engine {
        Engine::new(Live::new(Config::default(), None), 1, 1, KeyHasher::from_entropy())
    }

    fn primary(host: &str) -> Primary {
        Primary { host: host.into(), port: 7000 }
    }

    #[test]
    fn roles_change_and_names_with_them() {
        let engine = engine();
        let own = engine.history.lock().id.clone();
        engine.follow_primary(primary("one"));
        let order = engine.following.order();
        assert_eq!(order.primary, Some(primary("one")));
        assert_eq!(engine.persistence.obstacles(), obstacle::FOLLOWS | obstacle::UNLINKED);
        assert_eq!(engine.config.load().replicaof, Some(("one".into(), 7000)));
        assert!(!engine.stream.is_on() && engine.history.lock().id == own);

        assert!(engine.begin_replacing(order.generation, 1) && engine.persistence.is_loading());
        assert_ne!(engine.history.lock().id, own);
        engine.persistence.end_loading();
        assert!(engine.begin_relay(order.generation, "abc", 100));
        let link = Arc::new(ClientHandle::nobody());
        assert!(engine.take_link(order.generation, &link));
        assert_eq!(engine.persistence.obstacles(), obstacle::FOLLOWS);
        engine.stream.relay(b"1234567890");
        engine.lose_link(&link);
        assert_eq!(engine.persistence.obstacles(), obstacle::FOLLOWS | obstacle::UNLINKED);
        engine.continue_relay(Some("def"));
        engine.stream.relay(b"12345");

        engine.stop_following();
        assert_eq!((engine.persistence.obstacles(), engine.config.load().replicaof.clone()), (0, None));
        assert!(engine.stream.is_on() && engine.following.status().is_none());
        let history = engine.history.lock().clone();
        let claim = |id: &str, offset| {
            let kept = engine.stream.extent().map(|extent| extent.start..=extent.end);
            history.continues(Claim { id: id.as_bytes(), offset: Some(offset) }, kept)
        };
        assert_eq!((claim("def", 112), claim("def", 116), claim("abc", 110)), (Some(112), None, None));
        assert_eq!(claim(&history.id, 115), Some(115));
    }

    #[test]
    fn what_an_older_order_asked_for_is_no_longer_wanted() {
        let engine = engine();
        engine.follow_primary(primary("one"));
        let old = engine.following.order().generation;
        engine.follow_primary(primary("two"));
        let link = Arc::new(ClientHandle::nobody());
        assert!(!engine.begin_replacing(old, 1) && !engine.persistence.is_loading());
        assert!(!engine.begin_relay(old, "abc", 100) && !engine.take_link(old, &link));
        engine.following.enter(old, Stage::Copies);
        assert_eq!(engine.following.status().map(|status| status.stage), Some(Stage::Waits));
        assert_ne!(engine.history.lock().id, "abc");
    }
}
