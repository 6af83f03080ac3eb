//! A client's conversation: what its earlier commands left for its later ones. Owned by the client's connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::clients::{ClientHandle, flag};
use super::mailbox::Mail;
use super::pubsub::Subscriptions;
use super::state::Engine;
use super::tracking::OwnTracking;
use crate::base::key_slot::SlotId;
use crate::resp::Protocol;
use crate::store::{DbIndex, SlotData, WatchFlag};

/// Which replies a client wants (CLIENT REPLY).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ReplyMode {
    #[default]
    On,
    Off,
    /// None for the command after the one under way.
    SkipNext,
    /// None for the command under way.
    Skip,
}

/// What becomes of the connection after the replies so far are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Fate {
    #[default]
    Stay,
    CloseAfterReply,
}

/// What a client waits for: its next request runs only then. The connection polls it, and writes the reply.
#[derive(Debug)]
pub enum Waiting {
    /// The end of a job; the outcome is there when the client is woken.
    Job(Arc<Mutex<Option<bool>>>),
    /// What it wrote is to be durable here, and on so many replicas.
    Durable { ticket: u64, locally: bool, replicas: u64, until_ms: Option<u64> },
}

/// A command kept for EXEC.
#[derive(Clone, Debug)]
pub struct Queued {
    /// The command's id in the command table.
    pub command: u16,
    pub arguments: Vec<Vec<u8>>,
}

/// The transaction that a client is queueing.
#[derive(Debug, Default)]
pub struct Transaction {
    pub queue: Vec<Queued>,
    pub queue_bytes: usize,
    /// A command was refused while queueing: EXEC aborts.
    pub refused: bool,
}

/// A key that the next EXEC depends on.
#[derive(Debug)]
struct Watched {
    db: DbIndex,
    key: Vec<u8>,
}

pub struct Session {
    pub handle: Arc<ClientHandle>,
    pub db: DbIndex,
    pub protocol: Protocol,
    pub authenticated: bool,
    pub reply_mode: ReplyMode,
    pub fate: Fate,
    pub transaction: Option<Box<Transaction>>,
    watched: Vec<Watched>,
    watch_flag: WatchFlag,
    /// CLIENT NO-TOUCH: reads leave access times alone.
    pub no_touch: bool,
    /// Monitors ask nothing else, and are told of everything.
    pub monitor: bool,
    subscriptions: Option<Box<Subscriptions>>,
    /// It has subscriptions, and speaks a protocol in which messages and replies cannot be told apart.
    pub only_listens: bool,
    /// CLIENT TRACKING.
    pub tracking: Option<Box<OwnTracking>>,
    /// Confirmations to send even though replies are off.
    pub pushes: Vec<u8>,
    /// Runs the commands of a file that is being loaded: neither loading nor full memory stands in its way.
    pub loads: bool,
    pub waiting: Option<Waiting>,
    /// Its next write has waited already for settling to catch up.
    pub throttled: bool,
    /// Arguments of the command under way that must not show in slow log or MONITOR.
    pub redacted: Vec<usize>,
}

impl Session {
    pub fn new(handle: Arc<ClientHandle>, authenticated: bool) -> Session {
        Session {
            handle,
            db: 0,
            protocol: Protocol::Resp2,
            authenticated,
            reply_mode: ReplyMode::On,
            fate: Fate::Stay,
            transaction: None,
            watched: Vec::new(),
            watch_flag: WatchFlag::default(),
            no_touch: false,
            monitor: false,
            subscriptions: None,
            only_listens: false,
            tracking: None,
            pushes: Vec::new(),
            loads: false,
            waiting: None,
            throttled: false,
            redacted: Vec::new(),
        }
    }

    pub fn select(&mut self, db: DbIndex) {
        self.db = db;
        self.handle.db.store(db, Ordering::Relaxed);
    }

    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        self.note_subscriptions();
        self.handle.protocol.store(protocol.number() as u8, Ordering::Relaxed);
    }

    // ---- subscriptions and tracking ----------------------------------------------------------------------------

    pub fn subscriptions(&self) -> Option<&Subscriptions> {
        self.subscriptions.as_deref()
    }

    /// Changes what the client is subscribed to.
    pub fn change_subscriptions<R>(&mut self, change: impl FnOnce(&mut Subscriptions, &Arc<ClientHandle>) -> R) -> R {
        let subscriptions = self.subscriptions.get_or_insert_default();
        let result = change(subscriptions, &self.handle);
        if subscriptions.is_empty() {
            self.subscriptions = None;
        }
        self.note_subscriptions();
        result
    }

    /// Writes the messages that came so far to `out`.
    pub fn write_mail(&self, out: &mut Vec<u8>) {
        let mut mail = Mail::default();
        if self.handle.take_mail(&mut mail) {
            // The order to close is for the connection.
            self.handle.kill();
        }
        mail.pieces().for_each(|piece| out.extend_from_slice(piece));
    }

    fn note_subscriptions(&mut self) {
        self.only_listens = self.subscriptions.is_some() && self.protocol == Protocol::Resp2;
    }

    /// Ends subscriptions and tracking.
    pub fn stop_listening(&mut self, engine: &Engine) {
        if self.subscriptions.is_some() {
            self.change_subscriptions(|own, handle| engine.pubsub.leave(own, handle));
        }
        engine.tracking.disable(&engine.keyspace, &self.handle, &mut self.tracking);
    }

    // ---- transactions -----------------------------------------------------------------------------------------

    pub fn begin_transaction(&mut self) {
        self.transaction = Some(Box::default());
        self.handle.set_flag(flag::MULTI, true);
        self.publish_queue();
    }

    pub fn enqueue(&mut self, command: u16, arguments: &[&[u8]]) {
        if let Some(transaction) = &mut self.transaction {
            transaction.queue_bytes += arguments.iter().map(|argument| argument.len() + 32).sum::<usize>();
            let arguments = arguments.iter().map(|argument| argument.to_vec()).collect();
            transaction.queue.push(Queued { command, arguments });
            self.publish_queue();
        }
    }

    /// Marks the transaction so that EXEC aborts, if one is being queued.
    pub fn refuse_transaction(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.refused = true;
        }
    }

    /// Ends queueing. Watched keys stay watched until [`Session::unwatch`].
    pub fn take_transaction(&mut self) -> Option<Box<Transaction>> {
        let taken = self.transaction.take();
        self.handle.set_flag(flag::MULTI, false);
        self.publish_queue();
        taken
    }

    fn publish_queue(&self) {
        let (queued, bytes) = match &self.transaction {
            Some(transaction) => (transaction.queue.len() as i64, transaction.queue_bytes),
            None => (-1, 0),
        };
        self.handle.queued.store(queued, Ordering::Relaxed);
        self.handle.queue_bytes.store(bytes, Ordering::Relaxed);
    }

    // ---- watched keys -----------------------------------------------------------------------------------------

    /// Watches `key` of the selected database, whose locked slot is `slot`. The key must not stand there expired: its
    /// removal would count as a change.
    pub fn watch(&mut self, slot: &mut SlotData, key: &[u8]) {
        if self.watched.iter().any(|watched| watched.db == self.db && watched.key == key) {
            return;
        }
        slot.watch(self.db, key, &self.watch_flag);
        self.watched.push(Watched { db: self.db, key: key.to_vec() });
        self.handle.watched_keys.store(self.watched.len() as u32, Ordering::Relaxed);
    }

    /// Watches nothing any more. `with_slot` runs a closure on a slot under its lock.
    pub fn unwatch(&mut self, mut with_slot: impl FnMut(SlotId, &mut dyn FnMut(&mut SlotData))) {
        if self.watched.is_empty() {
            return;
        }
        for watched in self.watched.drain(..) {
            let flag = &self.watch_flag;
            with_slot(SlotId::of_key(&watched.key), &mut |slot| slot.unwatch(watched.db, &watched.key, flag));
        }
        self.watch_flag.store(false, Ordering::Relaxed);
        self.handle.watched_keys.store(0, Ordering::Relaxed);
        self.handle.set_flag(flag::DIRTY_CAS, false);
    }

    /// The keys watched, with their databases.
    pub fn watched(&self) -> impl ExactSizeIterator<Item = (DbIndex, &[u8])> {
        self.watched.iter().map(|watched| (watched.db, &watched.key[..]))
    }

    /// Whether a watched key was touched by anyone since it was watched.
    pub fn watched_key_changed(&self) -> bool {
        self.watch_flag.load(Ordering::Relaxed)
    }
}
