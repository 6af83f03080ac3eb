//! Client-side caching: tells clients that what they cached is out of date.
//!
//! ```text
//! read under slot locks  -> table: key -> who read it
//! change under slot locks -> table: take the key -> a message to each reader            (by key)
//!                         -> the batch's changed keys -> at its end, one message a prefix (broadcast)
//! ```
//! Reads and changes of a key meet in its slot's lock, so a change finds every read before it. Messages go to a mailbox,
//! which is written behind the replies of the batch under way: an invalidation never overtakes the value it is about on
//! the same connection. What a client asked for stands in its session; what others must know of it, in its handle.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::clients::{ClientHandle, Clients, flag};
use super::mailbox::{Message, Wakes};
use super::tracked_keys::TrackedKeys;
use crate::resp::{Protocol, Reply};
use crate::store::Keyspace;

/// Where a RESP2 client that gets another's invalidations must listen.
const CHANNEL: &[u8] = b"__redis__:invalidate";
/// Keys given up at once, when there are too many.
const EVICTED_AT_ONCE_MAX: usize = 1000;
const FLAGS: u32 = flag::TRACKING | flag::TRACKING_BROADCAST | flag::TRACKING_NO_LOOP | flag::TRACKING_BROKEN;

type Prefix = Box<[u8]>;

/// How a client tracks keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub broadcast: bool,
    pub opt_in: bool,
    pub opt_out: bool,
    pub no_loop: bool,
    /// Who gets the messages; 0 for the client itself.
    pub redirect: u64,
}

/// What a session keeps of its tracking.
#[derive(Debug, Default)]
pub struct OwnTracking {
    pub options: Options,
    pub prefixes: BTreeSet<Prefix>,
    /// CLIENT CACHING was called for the next command.
    pub caching_given: bool,
}

impl OwnTracking {
    /// Whether the keys of the command under way are noted.
    pub fn notes_reads(&self) -> bool {
        let Options { broadcast, opt_in, opt_out, .. } = self.options;
        let told_not_to = if self.caching_given { opt_out } else { opt_in };
        !broadcast && !told_not_to
    }
}

/// Keys that changed since those who track by prefix were told, each with the client that changed it last; 0 if that
/// was nobody, because its time ran out.
#[derive(Debug, Default)]
pub struct ChangedKeys(BTreeMap<Box<[u8]>, u64>);

impl ChangedKeys {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Default)]
pub struct Tracking {
    clients: AtomicUsize,
    table: TrackedKeys,
    /// Who tracks by which prefix. The lock also guards the number of clients.
    prefixes: RwLock<BTreeMap<Prefix, HashMap<u64, Arc<ClientHandle>>>>,
    prefix_count: AtomicUsize,
}

/// What a message says to be out of date.
enum Stale<'a> {
    Everything,
    Keys(&'a [&'a [u8]]),
}

impl Stale<'_> {
    fn write(&self, reply: &mut Reply<'_>) {
        match self {
            Stale::Everything => reply.null(),
            Stale::Keys(keys) => {
                reply.array(keys.len());
                keys.iter().for_each(|key| reply.bulk(key));
            }
        }
    }
}

impl Tracking {
    pub fn client_count(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    pub fn key_count(&self) -> usize {
        self.table.key_count()
    }

    pub fn item_count(&self) -> usize {
        self.table.item_count()
    }

    pub fn prefix_count(&self) -> usize {
        self.prefix_count.load(Ordering::Relaxed)
    }

    /// Has a client track keys; prefixes are added to those it has.
    pub fn enable(
        &self,
        keyspace: &Keyspace,
        client: &Arc<ClientHandle>,
        own: &mut Option<Box<OwnTracking>>,
        options: Options,
        prefixes: &[&[u8]],
    ) {
        let mut all = self.prefixes.write();
        if own.is_none() {
            self.clients.fetch_add(1, Ordering::Relaxed);
            keyspace.set_tracked(true);
        }
        let own = own.get_or_insert_default();
        own.options = options;
        client.redirect.store(options.redirect, Ordering::Relaxed);
        client.set_flag(FLAGS, false);
        client.set_flag(flag::TRACKING_BROADCAST, options.broadcast);
        client.set_flag(flag::TRACKING_NO_LOOP, options.no_loop);
        client.set_flag(flag::TRACKING, true);
        if options.broadcast {
            let everything: &[&[u8]] = &[b""];
            for prefix in if prefixes.is_empty() { everything } else { prefixes } {
                own.prefixes.insert((*prefix).into());
                all.entry((*prefix).into()).or_default().insert(client.id, client.clone());
            }
            client.prefixes.store(own.prefixes.len() as u32, Ordering::Relaxed);
            self.prefix_count.store(all.len(), Ordering::Relaxed);
        }
    }

    /// Ends a client's tracking. What the table has of it is passed over when its turn comes.
    pub fn disable(&self, keyspace: &Keyspace, client: &ClientHandle, own: &mut Option<Box<OwnTracking>>) {
        let Some(own) = own.take() else { return };
        client.set_flag(FLAGS, false);
        client.redirect.store(0, Ordering::Relaxed);
        client.prefixes.store(0, Ordering::Relaxed);
        let mut all = self.prefixes.write();
        for prefix in &own.prefixes {
            if let Some(clients) = all.get_mut(prefix) {
                clients.remove(&client.id);
                if clients.is_empty() {
                    all.remove(prefix);
                }
            }
        }
        self.prefix_count.store(all.len(), Ordering::Relaxed);
        if self.clients.fetch_sub(1, Ordering::Relaxed) == 1 {
            keyspace.set_tracked(false);
            self.table.clear();
        }
    }

    /// Notes that a client read a key. Called under the lock of the key's slot.
    pub fn note_read(&self, client: u64, key: &[u8]) {
        self.table.add(key, client);
    }

    /// Tells those who read a key that it changed. Called under the lock of the key's slot. `changer` is the client whose
    /// command is under way, 0 if there is none; `by_time`: the key's time ran out.
    pub fn invalidate(
        &self,
        clients: &Clients,
        key: &[u8],
        changer: u64,
        by_time: bool,
        changed: &mut ChangedKeys,
        wakes: &mut Wakes,
    ) {
        if self.prefix_count() > 0 {
            changed.0.insert(key.into(), if by_time { 0 } else { changer });
        }
        let Some(readers) = self.table.take(key) else { return };
        for reader in readers {
            if let Some(reader) = clients.get(reader)
                && !(reader.has_flag(flag::TRACKING_NO_LOOP) && reader.id == changer)
                && !reader.has_flag(flag::TRACKING_BROADCAST)
            {
                send(clients, &reader, &Stale::Keys(&[key]), wakes);
            }
        }
    }

    /// Tells those who track by prefix what changed.
    pub fn broadcast(&self, changed: &mut ChangedKeys, wakes: &mut Wakes, clients: &Clients) {
        let keys = std::mem::take(&mut changed.0);
        for (prefix, group) in self.prefixes.read().iter() {
            let matching = || keys.iter().filter(|(key, _)| key.starts_with(prefix));
            let all: Vec<&[u8]> = matching().map(|(key, _)| &key[..]).collect();
            for client in group.values() {
                let others: Vec<&[u8]>;
                let told = if client.has_flag(flag::TRACKING_NO_LOOP) {
                    others =
                        matching().filter(|(_, changer)| **changer != client.id).map(|(key, _)| &key[..]).collect();
                    &others
                } else {
                    &all
                };
                if !told.is_empty() {
                    send(clients, client, &Stale::Keys(told), wakes);
                }
            }
        }
    }

    /// Tells everyone who tracks that all is out of date, after a flush. Called with the gate closed.
    pub fn invalidate_everything(&self, clients: &Clients, wakes: &mut Wakes) {
        self.table.clear();
        for client in clients.all() {
            send(clients, &client, &Stale::Everything, wakes);
        }
    }

    /// Gives keys up while there are more than `keys_max`; whoever cached one is told, as if it had changed.
    pub fn shrink(&self, clients: &Clients, keys_max: u64, wakes: &mut Wakes) {
        // Zero means no limit.
        for _ in 0..EVICTED_AT_ONCE_MAX {
            if keys_max == 0 || self.key_count() as u64 <= keys_max {
                break;
            }
            let Some((key, readers)) = self.table.take_any() else { break };
            for reader in readers.iter().filter_map(|reader| clients.get(*reader)) {
                if !reader.has_flag(flag::TRACKING_BROADCAST) {
                    send(clients, &reader, &Stale::Keys(&[&key]), wakes);
                }
            }
        }
    }
}

/// Sends a message to whoever gets the messages of a client that tracks.
fn send(clients: &Clients, client: &Arc<ClientHandle>, stale: &Stale<'_>, wakes: &mut Wakes) {
    if !client.has_flag(flag::TRACKING) {
        return;
    }
    let redirect = client.redirect.load(Ordering::Relaxed);
    let invalidation = || {
        Message::of(2, |reply| {
            reply.protocol = Protocol::Resp3;
            reply.bulk(b"invalidate");
            stale.write(reply);
        })
    };
    if redirect == 0 {
        // RESP2 knows no messages out of turn.
        if client.speaks() == Protocol::Resp3 {
            wakes.send(client, &invalidation());
        }
        return;
    }
    match clients.get(redirect).filter(|other| !other.has_flag(flag::CLOSE_ASAP)) {
        Some(other) if other.speaks() == Protocol::Resp3 => wakes.send(&other, &invalidation()),
        Some(other) if other.has_flag(flag::PUBSUB) => {
            let message = Message::of(3, |reply| {
                reply.bulk(b"message");
                reply.bulk(CHANNEL);
                stale.write(reply);
            });
            wakes.send(&other, &message);
        }
        Some(_) => {}
        None => {
            client.set_flag(flag::TRACKING_BROKEN, true);
            if client.speaks() == Protocol::Resp3 {
                let message = Message::of(2, |reply| {
                    reply.bulk(b"tracking-redir-broken");
                    reply.integer(redirect as i64);
                });
                wakes.send(client, &message);
            }
        }
    }
}
