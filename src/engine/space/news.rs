//! Keys that a command changed, for clients that cache them: noted as it happens, if anyone does, and told when the
//! command is done.

use super::Space;
use crate::engine::notify::{self, KeyEvent};

/// A key that changed.
#[derive(Debug)]
pub struct Changed {
    pub key: Vec<u8>,
    /// Its time ran out; the command under way only met it.
    pub by_time: bool,
}

#[derive(Debug, Default)]
pub struct News {
    pub changed: Vec<Changed>,
    /// Whole databases were emptied.
    pub flushed: bool,
}

impl Space<'_> {
    /// Notes that a key changed.
    #[inline(always)]
    pub(super) fn note_changed(&mut self, key: &[u8], by_time: bool) {
        if self.keyspace.is_tracked() {
            self.note_tracked(key, by_time);
        }
    }

    #[cold]
    fn note_tracked(&mut self, key: &[u8], by_time: bool) {
        self.outbox().news.changed.push(Changed { key: key.to_vec(), by_time });
    }

    /// Notes that the time of a key ran out.
    pub(super) fn note_expired(&mut self, key: &[u8]) {
        self.notify(notify::EXPIRED, "expired", key);
        self.note_changed(key, true);
    }

    pub(super) fn note_flush(&mut self) {
        if self.keyspace.is_tracked() {
            self.outbox().news.flushed = true;
        }
    }

    #[cold]
    pub(in crate::engine) fn note_event(&mut self, event: KeyEvent) {
        self.outbox().events.push(event);
    }

    /// Whether there is anything to tell, events included.
    #[inline(always)]
    pub fn has_news(&self) -> bool {
        self.outbox
            .as_ref()
            .is_some_and(|outbox| !outbox.events.is_empty() || !outbox.news.changed.is_empty() || outbox.news.flushed)
    }

    pub fn take_news(&mut self) -> News {
        self.outbox.as_mut().map(|outbox| std::mem::take(&mut outbox.news)).unwrap_or_default()
    }

    pub fn take_events(&mut self) -> Vec<KeyEvent> {
        self.outbox.as_mut().map(|outbox| std::mem::take(&mut outbox.events)).unwrap_or_default()
    }
}
