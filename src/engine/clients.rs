//! The registry of connected clients, and the part of each client that other threads may see and reach.
//!
//! A connection belongs to one worker; its [`ClientHandle`] is shared. Fields that CLIENT LIST shows are atomics that
//! the owner stores once a batch; what other threads want of a client goes through its mailbox.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;

use dashmap::DashMap;
use parking_lot::Mutex;

use super::blocking::Waiter;
use super::mailbox::{Mail, Mailbox, Message, Orders};
use crate::resp::Protocol;

/// Where a client's bytes come from.
#[derive(Clone, Debug)]
pub enum Peer {
    Tcp { peer: SocketAddr, local: SocketAddr },
    Unix { path: String },
}

impl Peer {
    /// `addr` as CLIENT LIST shows it.
    pub fn address(&self) -> String {
        match self {
            Peer::Tcp { peer, .. } => peer.to_string(),
            Peer::Unix { path } => format!("{path}:0"),
        }
    }

    pub fn local_address(&self) -> String {
        match self {
            Peer::Tcp { local, .. } => local.to_string(),
            Peer::Unix { path } => format!("{path}:0"),
        }
    }

    /// Whether the other end is on this machine.
    pub fn is_local(&self) -> bool {
        match self {
            Peer::Tcp { peer, .. } => peer.ip().to_canonical().is_loopback(),
            Peer::Unix { .. } => true,
        }
    }
}

/// Bits of [`ClientHandle::flags`], as CLIENT LIST's letters tell them.
pub mod flag {
    pub const MONITOR: u32 = 1 << 0;
    pub const MULTI: u32 = 1 << 1;
    pub const CLOSE_AFTER_REPLY: u32 = 1 << 2;
    pub const BLOCKED: u32 = 1 << 3;
    pub const CLOSE_ASAP: u32 = 1 << 4;
    pub const UNIX_SOCKET: u32 = 1 << 5;
    pub const DIRTY_CAS: u32 = 1 << 6;
    pub const NO_EVICT: u32 = 1 << 7;
    pub const NO_TOUCH: u32 = 1 << 8;
    pub const TRACKING: u32 = 1 << 9;
    /// Tracks by prefixes, whatever it read.
    pub const TRACKING_BROADCAST: u32 = 1 << 10;
    /// Is not told of keys that it changed itself.
    pub const TRACKING_NO_LOOP: u32 = 1 << 11;
    /// The client that was to get its invalidation messages is gone.
    pub const TRACKING_BROKEN: u32 = 1 << 12;
    /// Has subscriptions.
    pub const PUBSUB: u32 = 1 << 13;
    /// Follows the replication stream.
    pub const REPLICA: u32 = 1 << 14;
    /// The primary that this server follows.
    pub const PRIMARY: u32 = 1 << 15;

    const LETTERS: &[(u32, char)] = &[
        (REPLICA, 'S'),
        (PRIMARY, 'M'),
        (MONITOR, 'O'),
        (PUBSUB, 'P'),
        (MULTI, 'x'),
        (BLOCKED, 'b'),
        (TRACKING, 't'),
        (TRACKING_BROKEN, 'R'),
        (TRACKING_BROADCAST, 'B'),
        (DIRTY_CAS, 'd'),
        (CLOSE_AFTER_REPLY, 'c'),
        (CLOSE_ASAP, 'A'),
        (UNIX_SOCKET, 'U'),
        (NO_EVICT, 'e'),
        (NO_TOUCH, 'T'),
    ];

    pub fn letters(flags: u32) -> String {
        let letters: String = LETTERS.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, letter)| *letter).collect();
        if letters.is_empty() { "N".into() } else { letters }
    }
}

/// What other threads may see of a client.
pub struct ClientHandle {
    pub id: u64,
    pub peer: Peer,
    pub file_descriptor: i32,
    pub worker: usize,
    pub connected_ms: u64,
    pub flags: AtomicU32,
    pub last_active_ms: AtomicU64,
    pub db: AtomicU16,
    pub protocol: AtomicU8,
    /// Queued commands of a transaction, or -1 outside of one.
    pub queued: AtomicI64,
    pub watched_keys: AtomicU32,
    pub last_command: AtomicU16,
    /// Subscriptions by kind, as `engine::pubsub` orders them.
    pub subscriptions: [AtomicU32; 3],
    /// By how many prefixes it tracks keys.
    pub prefixes: AtomicU32,
    /// Who gets its invalidation messages; 0 for itself.
    pub redirect: AtomicU64,
    pub query_buffer_bytes: AtomicUsize,
    pub query_buffer_free_bytes: AtomicUsize,
    pub queue_bytes: AtomicUsize,
    pub watched_bytes: AtomicUsize,
    pub output_bytes: AtomicUsize,
    /// Of the output buffer, what holds nothing that is still to be sent.
    pub output_free_bytes: AtomicUsize,
    /// Its share of [`Clients::memory_bytes`].
    pub(super) counted_bytes: AtomicUsize,
    /// Its share of [`Clients::closing_bytes`].
    pub(super) closing_bytes: AtomicUsize,
    pub input_bytes_total: AtomicU64,
    pub output_bytes_total: AtomicU64,
    pub commands_total: AtomicU64,
    pub names: Mutex<ClientNames>,
    /// What the client waits for, if that is keys: CLIENT UNBLOCK ends it.
    pub waiter: Mutex<Option<Arc<Waiter>>>,
    /// A wait for replicas or the disk, which CLIENT UNBLOCK ends, too.
    pub patience: Patience,
    mailbox: Mailbox,
}

/// Whether a client waits for replicas or the disk, and whether somebody has ended that.
#[derive(Default)]
pub struct Patience(AtomicU8);

impl Patience {
    const NONE: u8 = 0;
    const WAITS: u8 = 1;
    const ENDED_QUIETLY: u8 = 2;
    const ENDED_LOUDLY: u8 = 3;

    /// The client begins to wait.
    pub fn begin(&self) {
        self.0.store(Self::WAITS, Ordering::Release);
    }

    /// Its wait is over.
    pub fn end(&self) {
        self.0.store(Self::NONE, Ordering::Release);
    }

    /// Somebody else ends the wait; false when there is none. The client is to be woken.
    pub fn exhaust(&self, with_error: bool) -> bool {
        let to = if with_error { Self::ENDED_LOUDLY } else { Self::ENDED_QUIETLY };
        self.0.compare_exchange(Self::WAITS, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Whether somebody has ended the wait, and whether the client is told so.
    pub fn exhausted(&self) -> Option<bool> {
        match self.0.load(Ordering::Acquire) {
            Self::ENDED_QUIETLY => Some(false),
            Self::ENDED_LOUDLY => Some(true),
            _ => None,
        }
    }
}

/// What clients call themselves, and whom they authenticated as.
#[derive(Clone, Debug, Default)]
pub struct ClientNames {
    pub name: String,
    pub library_name: String,
    pub library_version: String,
    pub user: String,
}

/// What a subscription takes beside its name, or a prefix by which keys are tracked.
const SUBSCRIPTION_BYTES: usize = 96;

/// `last_command` before the first command.
pub const NO_COMMAND: u16 = u16::MAX;

impl ClientHandle {
    pub fn new(id: u64, peer: Peer, file_descriptor: i32, worker: usize, now_ms: u64) -> ClientHandle {
        let flags = if matches!(peer, Peer::Unix { .. }) { flag::UNIX_SOCKET } else { 0 };
        ClientHandle {
            id,
            peer,
            file_descriptor,
            worker,
            connected_ms: now_ms,
            flags: AtomicU32::new(flags),
            last_active_ms: AtomicU64::new(now_ms),
            db: AtomicU16::new(0),
            protocol: AtomicU8::new(2),
            queued: AtomicI64::new(-1),
            watched_keys: AtomicU32::new(0),
            last_command: AtomicU16::new(NO_COMMAND),
            subscriptions: Default::default(),
            prefixes: AtomicU32::new(0),
            redirect: AtomicU64::new(0),
            query_buffer_bytes: AtomicUsize::new(0),
            query_buffer_free_bytes: AtomicUsize::new(0),
            queue_bytes: AtomicUsize::new(0),
            watched_bytes: AtomicUsize::new(0),
            output_bytes: AtomicUsize::new(0),
            output_free_bytes: AtomicUsize::new(0),
            counted_bytes: AtomicUsize::new(0),
            closing_bytes: AtomicUsize::new(0),
            input_bytes_total: AtomicU64::new(0),
            output_bytes_total: AtomicU64::new(0),
            commands_total: AtomicU64::new(0),
            names: Mutex::new(ClientNames { user: "default".into(), ..ClientNames::default() }),
            waiter: Mutex::default(),
            patience: Patience::default(),
            mailbox: Mailbox::default(),
        }
    }

    /// Stands for a client where commands run that nobody sent.
    pub fn nobody() -> ClientHandle {
        ClientHandle::new(0, Peer::Unix { path: String::new() }, -1, 0, 0)
    }

    pub fn has_flag(&self, flag: u32) -> bool {
        self.flags.load(Ordering::Relaxed) & flag != 0
    }

    pub fn set_flag(&self, flag: u32, on: bool) {
        if on {
            self.flags.fetch_or(flag, Ordering::Relaxed);
        } else {
            self.flags.fetch_and(!flag, Ordering::Relaxed);
        }
    }

    pub fn speaks(&self) -> Protocol {
        if self.protocol.load(Ordering::Relaxed) == 3 { Protocol::Resp3 } else { Protocol::Resp2 }
    }

    /// Told once by the connection's task, so that letters wake it.
    pub fn set_waker(&self, waker: Waker) {
        self.mailbox.set_waker(waker);
    }

    /// Has the connection's task run.
    pub fn wake(&self) {
        self.mailbox.wake();
    }

    /// Puts a message in the mailbox. Tells whether the caller owes a wake.
    #[inline]
    pub fn put(&self, message: &Message) -> bool {
        self.mailbox.put(message, self.speaks())
    }

    /// Sends a message at once.
    pub fn send(&self, message: &Message) {
        if self.put(message) {
            self.wake();
        }
    }

    /// Has the connection closed as soon as its task runs.
    pub fn kill(&self) {
        self.set_flag(flag::CLOSE_ASAP, true);
        self.mailbox.order(|orders| orders.kill = true);
    }

    /// Gives the connection an order, and has it run.
    pub fn order(&self, give: impl FnOnce(&mut Orders)) {
        self.mailbox.order(give);
    }

    /// Moves the messages that arrived into `mail`, which is empty, and gives the orders.
    #[inline]
    pub fn take_mail(&self, mail: &mut Mail) -> Orders {
        self.mailbox.take(mail)
    }

    /// Moves the messages alone; orders are left for the connection.
    pub fn take_messages(&self, mail: &mut Mail) {
        self.mailbox.take_messages(mail);
    }

    /// Output that waits in the mailbox, in bytes.
    pub fn mailbox_bytes(&self) -> usize {
        self.mailbox.waiting_bytes()
    }

    fn listening_bytes(&self) -> usize {
        let subscriptions = self.subscriptions.iter().map(|count| count.load(Ordering::Relaxed));
        (subscriptions.sum::<u32>() + self.prefixes.load(Ordering::Relaxed)) as usize * SUBSCRIPTION_BYTES
    }

    /// Bytes of memory that the client's buffers take.
    pub fn memory_bytes(&self) -> usize {
        let load = |bytes: &AtomicUsize| bytes.load(Ordering::Relaxed);
        size_of::<ClientHandle>()
            + load(&self.query_buffer_bytes)
            + load(&self.query_buffer_free_bytes)
            + load(&self.output_bytes)
            + load(&self.output_free_bytes)
            + load(&self.queue_bytes)
            + load(&self.watched_bytes)
            + self.listening_bytes()
            + self.mailbox_bytes()
    }
}

/// Every connected client by id.
#[derive(Default)]
pub struct Clients {
    by_id: DashMap<u64, Arc<ClientHandle>>,
    last_id: AtomicU64,
    /// How many, monitors and all; kept apart because the map counts slowly.
    count: AtomicUsize,
    /// What the buffers take of all clients that may be evicted.
    pub(super) memory_bytes: AtomicI64,
    /// What will be free once the clients that were evicted are gone.
    pub(super) closing_bytes: AtomicU64,
    monitors: Mutex<Vec<Arc<ClientHandle>>>,
    monitor_count: AtomicUsize,
}

impl Clients {
    pub fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Takes one of `limit` places for a connection; false when all are taken.
    pub fn reserve(&self, limit: usize) -> bool {
        self.count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < limit).then_some(count + 1))
            .is_ok()
    }

    /// Gives a reserved place back.
    pub fn release(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn add(&self, handle: Arc<ClientHandle>) {
        self.by_id.insert(handle.id, handle);
    }

    pub fn remove(&self, handle: &ClientHandle) {
        self.by_id.remove(&handle.id);
        self.recount(handle, 0);
        self.closing_bytes.fetch_sub(handle.closing_bytes.swap(0, Ordering::Relaxed) as u64, Ordering::Relaxed);
        self.remove_monitor(handle.id);
    }

    pub fn get(&self, id: u64) -> Option<Arc<ClientHandle>> {
        self.by_id.get(&id).map(|handle| handle.clone())
    }

    /// Every client, oldest first.
    pub fn all(&self) -> Vec<Arc<ClientHandle>> {
        let mut all: Vec<_> = self.by_id.iter().map(|handle| handle.clone()).collect();
        all.sort_unstable_by_key(|handle| handle.id);
        all
    }

    /// Shows every client, in no order.
    pub fn visit(&self, mut work: impl FnMut(&ClientHandle)) {
        self.by_id.iter().for_each(|handle| work(&handle));
    }

    // ---- MONITOR ------------------------------------------------------------------------------------------------

    pub fn add_monitor(&self, handle: Arc<ClientHandle>) {
        let mut monitors = self.monitors.lock();
        handle.set_flag(flag::MONITOR, true);
        if monitors.iter().all(|known| known.id != handle.id) {
            monitors.push(handle);
        }
        self.monitor_count.store(monitors.len(), Ordering::Relaxed);
    }

    pub fn remove_monitor(&self, id: u64) {
        if self.monitor_count.load(Ordering::Relaxed) > 0 {
            let mut monitors = self.monitors.lock();
            monitors.retain(|monitor| monitor.id != id);
            self.monitor_count.store(monitors.len(), Ordering::Relaxed);
        }
    }

    #[inline]
    pub fn has_monitors(&self) -> bool {
        self.monitor_count.load(Ordering::Relaxed) > 0
    }

    /// Sends a line to everyone who monitors.
    pub fn feed_monitors(&self, line: String) {
        let message = Message::line(line);
        for monitor in self.monitors.lock().iter() {
            monitor.send(&message);
        }
    }
}
