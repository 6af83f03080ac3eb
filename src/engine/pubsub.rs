//! Publish and subscribe: who listens to which channel.
//!
//! Channels and shard channels lie in concurrent maps; patterns, which every message is held against, lie apart. The
//! lock of a channel's entry is held while a message goes into its subscribers' mailboxes: so whoever has unsubscribed
//! gets nothing more, and all subscribers of a channel see its messages in one order. Slot locks may be held by the
//! caller; mailboxes are locked inside. What a client is subscribed to also stands in its session, which alone
//! subscribes and unsubscribes.
//!
//! Nothing of this reaches the log. A message for replicas is a command of its own, told where a handler calls
//! [`PubSub::publish`].

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use parking_lot::RwLock;

use super::clients::{ClientHandle, flag};
use super::mailbox::{Message, Wakes};
use crate::base::glob;

/// What a subscription is to. The numbers are places in [`ClientHandle::subscriptions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Channel = 0,
    Pattern = 1,
    /// A channel of the shard that its name's slot belongs to.
    Shard = 2,
}

type Name = Box<[u8]>;
/// By client id.
type Subscribers = HashMap<u64, Arc<ClientHandle>>;

/// What one client is subscribed to, by kind.
#[derive(Debug, Default)]
pub struct Subscriptions([BTreeSet<Name>; 3]);

impl Subscriptions {
    pub fn of(&self, kind: Kind) -> &BTreeSet<Name> {
        &self.0[kind as usize]
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(BTreeSet::is_empty)
    }

    /// How many a confirmation of this kind tells: channels and patterns count together.
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Shard => self.of(kind).len(),
            Kind::Channel | Kind::Pattern => self.of(Kind::Channel).len() + self.of(Kind::Pattern).len(),
        }
    }

    fn publish(&self, handle: &ClientHandle) {
        for (shown, names) in handle.subscriptions.iter().zip(&self.0) {
            shown.store(names.len() as u32, Ordering::Relaxed);
        }
        handle.set_flag(flag::PUBSUB, !self.is_empty());
    }
}

#[derive(Default)]
struct Channels(DashMap<Name, Subscribers>);

impl Channels {
    fn add(&self, name: &[u8], client: &Arc<ClientHandle>) {
        self.0.entry(name.into()).or_default().insert(client.id, client.clone());
    }

    fn remove(&self, name: &[u8], client: &ClientHandle) {
        self.0.remove_if_mut(name, |_, subscribers| {
            subscribers.remove(&client.id);
            subscribers.is_empty()
        });
    }

    fn send(&self, name: &[u8], word: &str, payload: &[u8], wakes: &mut Wakes) -> usize {
        let Some(subscribers) = self.0.get(name) else { return 0 };
        let message = Message::of(3, |reply| [word.as_bytes(), name, payload].iter().for_each(|part| reply.bulk(part)));
        subscribers.values().for_each(|client| wakes.send(client, &message));
        subscribers.len()
    }
}

/// The subscriptions of all clients.
#[derive(Default)]
pub struct PubSub {
    channels: Channels,
    shard_channels: Channels,
    patterns: RwLock<HashMap<Name, Subscribers>>,
    /// How many patterns there are; saves the lock where there are none.
    pattern_count: AtomicUsize,
}

impl PubSub {
    fn channels(&self, kind: Kind) -> &Channels {
        if kind == Kind::Shard { &self.shard_channels } else { &self.channels }
    }

    /// Subscribes a client to one more name, unless it is already.
    pub fn subscribe(&self, own: &mut Subscriptions, client: &Arc<ClientHandle>, kind: Kind, name: &[u8]) {
        if !own.0[kind as usize].insert(name.into()) {
            return;
        }
        if kind == Kind::Pattern {
            let mut patterns = self.patterns.write();
            patterns.entry(name.into()).or_default().insert(client.id, client.clone());
            self.pattern_count.store(patterns.len(), Ordering::Release);
        } else {
            self.channels(kind).add(name, client);
        }
        own.publish(client);
    }

    /// Ends a subscription, if there is one. No message of it arrives afterwards.
    pub fn unsubscribe(&self, own: &mut Subscriptions, client: &ClientHandle, kind: Kind, name: &[u8]) {
        if !own.0[kind as usize].remove(name) {
            return;
        }
        if kind == Kind::Pattern {
            let mut patterns = self.patterns.write();
            if let Some(subscribers) = patterns.get_mut(name) {
                subscribers.remove(&client.id);
                if subscribers.is_empty() {
                    patterns.remove(name);
                }
            }
            self.pattern_count.store(patterns.len(), Ordering::Release);
        } else {
            self.channels(kind).remove(name, client);
        }
        own.publish(client);
    }

    /// Ends all subscriptions of a client.
    pub fn leave(&self, own: &mut Subscriptions, client: &ClientHandle) {
        for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
            while let Some(name) = own.of(kind).first().cloned() {
                self.unsubscribe(own, client, kind, &name);
            }
        }
    }

    /// Sends a message to everyone who listens; gives how many times it was sent.
    pub fn publish(&self, channel: &[u8], payload: &[u8], wakes: &mut Wakes) -> usize {
        let mut receivers = self.channels.send(channel, "message", payload, wakes);
        if self.pattern_count.load(Ordering::Acquire) > 0 {
            for (pattern, subscribers) in self.patterns.read().iter() {
                if glob::matches(pattern, channel, false) {
                    let parts = [&b"pmessage"[..], pattern, channel, payload];
                    let message = Message::of(4, |reply| parts.iter().for_each(|part| reply.bulk(part)));
                    subscribers.values().for_each(|client| wakes.send(client, &message));
                    receivers += subscribers.len();
                }
            }
        }
        receivers
    }

    /// The same on a shard channel, which no pattern is held against.
    pub fn publish_to_shard(&self, channel: &[u8], payload: &[u8], wakes: &mut Wakes) -> usize {
        self.shard_channels.send(channel, "smessage", payload, wakes)
    }

    /// The channels that anyone is subscribed to and `pattern` matches.
    pub fn active_channels(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Name> {
        let wanted = |name: &[u8]| pattern.is_none_or(|pattern| glob::matches(pattern, name, false));
        self.channels(kind).0.iter().filter(|entry| wanted(entry.key())).map(|entry| entry.key().clone()).collect()
    }

    pub fn subscriber_count(&self, kind: Kind, channel: &[u8]) -> usize {
        self.channels(kind).0.get(channel).map_or(0, |subscribers| subscribers.len())
    }

    /// Shows every subscription: its kind, its name, its client.
    pub fn visit(&self, mut visit: impl FnMut(Kind, &[u8], &ClientHandle)) {
        let mut show = |kind, name: &[u8], subscribers: &Subscribers| {
            subscribers.values().for_each(|client| visit(kind, name, client));
        };
        for kind in [Kind::Channel, Kind::Shard] {
            self.channels(kind).0.iter().for_each(|entry| show(kind, entry.key(), entry.value()));
        }
        self.patterns.read().iter().for_each(|(name, subscribers)| show(Kind::Pattern, name, subscribers));
    }

    /// How many different names of a kind anyone is subscribed to.
    pub fn name_count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Pattern => self.pattern_count.load(Ordering::Relaxed),
            kind => self.channels(kind).0.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::clients::Peer;
    use crate::engine::mailbox::Mail;

    fn client(id: u64) -> Arc<ClientHandle> {
        Arc::new(ClientHandle::new(id, Peer::Unix { path: "s".into() }, 0, 0, 0))
    }

    fn received(client: &ClientHandle) -> String {
        let mut mail = Mail::default();
        client.take_mail(&mut mail);
        String::from_utf8(mail.pieces().collect::<Vec<_>>().concat()).unwrap().replace("\r\n", " ")
    }

    #[test]
    fn messages_reach_those_who_listen() {
        let (registry, one, other) = (PubSub::default(), client(1), client(2));
        let (mut of_one, mut of_other) = (Subscriptions::default(), Subscriptions::default());
        let mut wakes = Wakes::default();
        for _ in 0..2 {
            registry.subscribe(&mut of_one, &one, Kind::Channel, b"a");
        }
        registry.subscribe(&mut of_one, &one, Kind::Pattern, b"?");
        registry.subscribe(&mut of_other, &other, Kind::Channel, b"a");
        registry.subscribe(&mut of_other, &other, Kind::Shard, b"a");
        assert_eq!(registry.publish(b"a", b"x", &mut wakes), 3);
        assert_eq!(registry.publish(b"b", b"y", &mut wakes), 1);
        assert_eq!(registry.publish(b"bb", b"z", &mut wakes), 0);
        assert_eq!(registry.publish_to_shard(b"a", b"s", &mut wakes), 1);
        assert_eq!(
            received(&one),
            "*3 $7 message $1 a $1 x *4 $8 pmessage $1 ? $1 a $1 x *4 $8 pmessage $1 ? $1 b $1 y "
        );
        assert_eq!(received(&other), "*3 $7 message $1 a $1 x *3 $8 smessage $1 a $1 s ");
        assert_eq!((of_one.count(Kind::Pattern), of_other.count(Kind::Shard)), (2, 1));
        assert_eq!(registry.subscriber_count(Kind::Channel, b"a"), 2);
        registry.unsubscribe(&mut of_one, &one, Kind::Channel, b"a");
        registry.unsubscribe(&mut of_one, &one, Kind::Channel, b"none");
        assert_eq!(registry.publish(b"a", b"x", &mut wakes), 2);
        assert!(one.has_flag(flag::PUBSUB));
        registry.leave(&mut of_one, &one);
        registry.leave(&mut of_other, &other);
        assert!(!one.has_flag(flag::PUBSUB) && of_one.is_empty());
        for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
            assert_eq!(registry.name_count(kind), 0, "{kind:?}: nothing is left behind");
        }
        assert!(registry.active_channels(Kind::Channel, None).is_empty());
    }
}
