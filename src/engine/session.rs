//! A client's conversation: what its earlier commands left for its later ones. Owned by the client's connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::blocking::Waiter;
use super::clients::{ClientHandle, flag};
use super::mailbox::Mail;
use super::pubsub::Subscriptions;
use super::replicas::Replica;
use super::shutdown::Failure;
use super::state::Engine;
use super::tracking::OwnTracking;
use crate::acl::Users;
use crate::acl::user::SharedUser;
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
pub enum Waiting {
    /// So many replicas are to have the stream up to an offset.
    Replicas { wanted: usize, offset: u64, until_ms: Option<u64> },
    /// To become a replica: the connection answers that.
    Stream(StreamRequest),
    /// The end of the process; raised when it cannot be.
    ProcessEnd(Failure),
    /// The end of a job; the outcome is there when the client is woken.
    Job(Arc<Mutex<Option<bool>>>),
    /// What it wrote is to be durable here, and on so many replicas.
    Durable { ticket: u64, locally: bool, replicas: usize, offset: u64, until_ms: Option<u64> },
    /// Something to come under a key; whoever puts it there answers for the client.
    Keys(Arc<Waiter>),
    /// Another server is to take keys; the answer comes by mail. `silent`: no reply is wanted.
    Departure { silent: bool },
}

/// What a replica that comes asks for.
#[derive(Clone, Debug)]
pub struct StreamRequest {
    /// The history that it knows.
    pub id: Vec<u8>,
    /// The offset up to which it has everything.
    pub offset: Option<u64>,
    /// It is to be told where the stream begins.
    pub told_offset: bool,
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

/// What a watched key takes beside its bytes, here and in its slot.
const WATCHED_KEY_BYTES: usize = 96;

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
    /// Has logged in, or came while nobody needed to.
    pub authenticated: bool,
    /// Whom commands are checked for, as of `users_generation`. None is the server itself, which may do everything.
    user: Option<SharedUser>,
    users_generation: u64,
    /// Whether commands need checking at all.
    restricted: bool,
    pub reply_mode: ReplyMode,
    pub fate: Fate,
    pub transaction: Option<Box<Transaction>>,
    watched: Vec<Watched>,
    watch_flag: WatchFlag,
    /// CLIENT NO-TOUCH: reads leave access times alone.
    pub no_touch: bool,
    /// Monitors ask nothing else, and are told of everything.
    pub monitor: bool,
    /// The command under way is a script's.
    pub in_script: bool,
    subscriptions: Option<Box<Subscriptions>>,
    /// It has subscriptions, and speaks a protocol in which messages and replies cannot be told apart.
    pub only_listens: bool,
    /// What it said as a replica, or as one that is about to be.
    pub replica: Option<Arc<Replica>>,
    /// CLIENT TRACKING.
    pub tracking: Option<Box<OwnTracking>>,
    /// Confirmations to send even though replies are off.
    pub pushes: Vec<u8>,
    /// Runs the commands of a file that is being loaded: neither loading nor full memory stands in its way.
    pub loads: bool,
    /// The client is this server's primary. Of its stream, what is not relayed yet: the transaction that is being queued.
    pub relay: Option<Vec<u8>>,
    pub waiting: Option<Waiting>,
    /// Its next write has waited already for settling to catch up.
    pub throttled: bool,
    /// How often its next request has met a long command in its way.
    pub held_tries: u32,
    /// Arguments of the command under way that must not show in slow log or MONITOR.
    pub redacted: Vec<usize>,
}

impl Session {
    /// A client's session: it is the default user, and need not log in if nobody needs to.
    pub fn new(handle: Arc<ClientHandle>, users: &Users) -> Session {
        let mut session = Session::trusted(handle);
        session.log_out(users);
        session
    }

    /// A session of the server itself.
    pub fn trusted(handle: Arc<ClientHandle>) -> Session {
        Session {
            handle,
            db: 0,
            protocol: Protocol::Resp2,
            authenticated: true,
            user: None,
            users_generation: 0,
            restricted: false,
            reply_mode: ReplyMode::On,
            fate: Fate::Stay,
            transaction: None,
            watched: Vec::new(),
            watch_flag: WatchFlag::default(),
            no_touch: false,
            monitor: false,
            in_script: false,
            subscriptions: None,
            only_listens: false,
            replica: None,
            tracking: None,
            pushes: Vec::new(),
            loads: false,
            relay: None,
            waiting: None,
            throttled: false,
            held_tries: 0,
            redacted: Vec::new(),
        }
    }

    pub fn select(&mut self, db: DbIndex) {
        self.db = db;
        self.handle.db.store(db, Ordering::Relaxed);
    }

    /// Whether its commands are done as they come, because they were done elsewhere before: those of a file, and those of
    /// a primary.
    pub fn must_obey(&self) -> bool {
        self.loads || self.relay.is_some()
    }

    /// Whether the client follows the replication stream.
    pub fn replica_is_linked(&self) -> bool {
        self.replica.is_some() && self.handle.has_flag(flag::REPLICA)
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
        self.handle.take_messages(&mut mail);
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

    // ---- the user -----------------------------------------------------------------------------------------------

    pub fn user(&self) -> Option<&SharedUser> {
        self.user.as_ref()
    }

    /// Whether a command must be checked before it runs. The one question that is asked of every command.
    #[inline]
    pub fn is_restricted(&self) -> bool {
        self.restricted
    }

    /// Whether nothing may be done before logging in.
    pub fn must_log_in(&self) -> bool {
        !self.authenticated && self.user.as_ref().is_some_and(|user| !user.is_open())
    }

    /// The generation of users that [`Session::user`] is of.
    pub fn users_generation(&self) -> u64 {
        self.users_generation
    }

    #[inline]
    pub fn knows_users(&self, users: &Users) -> bool {
        self.users_generation == users.generation()
    }

    pub fn log_in(&mut self, user: SharedUser, users: &Users) {
        self.become_user(user);
        self.authenticated = true;
        self.refresh_user(users);
    }

    /// Back to what a client is when it comes.
    pub fn log_out(&mut self, users: &Users) {
        self.users_generation = users.generation();
        let user = users.default_user();
        self.authenticated = user.is_open();
        self.become_user(user);
    }

    fn become_user(&mut self, user: SharedUser) {
        self.handle.names.lock().user = String::from_utf8_lossy(&user.name).into_owned();
        self.set_user(user);
    }

    fn set_user(&mut self, user: SharedUser) {
        self.user = Some(user);
        self.restricted = self.must_log_in() || self.user.as_ref().is_some_and(|user| !user.may_do_everything());
    }

    /// Sees what became of the user. One that was deleted leaves its clients logged out.
    #[cold]
    pub fn refresh_user(&mut self, users: &Users) {
        // Before the look: a change in between is seen the next time.
        self.users_generation = users.generation();
        let Some(user) = &self.user else { return };
        match users.get(&user.name).filter(|found| found.id == user.id) {
            Some(found) => self.set_user(found),
            None => {
                self.authenticated = false;
                self.become_user(users.default_user());
            }
        }
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
        self.handle.watched_bytes.fetch_add(key.len() + WATCHED_KEY_BYTES, Ordering::Relaxed);
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
        self.handle.watched_bytes.store(0, Ordering::Relaxed);
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
