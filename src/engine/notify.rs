//! Keyspace notifications: what happens to keys, told to those who listen on channels named after key or event.
//!
//! A command notes its events on its [`Space`](super::Space) while it holds its slots, in order; they are published
//! once it is done. Nothing is noted that the directive `notify-keyspace-events` does not ask for.

use super::Space;
use super::mailbox::Wakes;
use super::pubsub::PubSub;
use crate::base::number::Decimal;
use crate::config::special::KeyspaceEvents;
use crate::store::DbIndex;

pub const GENERIC: u32 = KeyspaceEvents::GENERIC;
pub const STRING: u32 = KeyspaceEvents::STRING;
pub const LIST: u32 = KeyspaceEvents::LIST;
pub const SET: u32 = KeyspaceEvents::SET;
pub const HASH: u32 = KeyspaceEvents::HASH;
pub const ZSET: u32 = KeyspaceEvents::SORTED_SET;
pub const STREAM: u32 = KeyspaceEvents::STREAM;
pub const EXPIRED: u32 = KeyspaceEvents::EXPIRED;
pub const EVICTED: u32 = KeyspaceEvents::EVICTED;
pub const KEY_MISS: u32 = KeyspaceEvents::KEY_MISS;
pub const NEW: u32 = KeyspaceEvents::NEW_KEY;

/// Something that happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEvent {
    pub name: &'static str,
    pub db: DbIndex,
    pub key: Vec<u8>,
}

/// The classes that are told of, and the channels they are told on; nothing unless a channel is asked for.
#[inline]
pub fn wanted(directive: KeyspaceEvents) -> u32 {
    if directive.has(KeyspaceEvents::KEYSPACE | KeyspaceEvents::KEYEVENT) { directive.0 } else { 0 }
}

/// Publishes an event on the channels that `wanted` asks for.
pub fn publish(pubsub: &PubSub, wanted: u32, db: DbIndex, name: &str, key: &[u8], wakes: &mut Wakes) {
    let db = Decimal::new(i64::from(db));
    let mut publish_on = |family: &[u8], name: &[u8], payload: &[u8]| {
        let channel = [b"__", family, b"@", db.as_bytes(), b"__:", name].concat();
        pubsub.publish(&channel, payload, wakes);
    };
    if wanted & KeyspaceEvents::KEYSPACE != 0 {
        publish_on(b"keyspace", key, name.as_bytes());
    }
    if wanted & KeyspaceEvents::KEYEVENT != 0 {
        publish_on(b"keyevent", name.as_bytes(), key);
    }
}

impl Space<'_> {
    /// Notes that something of a class happened to a key of the selected database.
    #[inline]
    pub fn notify(&mut self, class: u32, name: &'static str, key: &[u8]) {
        if self.wanted_events & class != 0 {
            self.note_event(KeyEvent { name, db: self.db, key: key.to_vec() });
        }
    }

    /// Notes what the last edit of a collection did, and the end of its key if it left nothing.
    #[inline]
    pub fn notify_edit(&mut self, class: u32, name: &'static str, key: &[u8]) {
        if self.wanted_events != 0 {
            self.notify(class, name, key);
            if self.spent {
                self.notify(GENERIC, "del", key);
            }
        }
    }
}
