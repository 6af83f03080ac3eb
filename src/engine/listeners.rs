//! Telling those who listen of keys that changed without a command: expired or evicted in the background.

use super::mailbox::Wakes;
use super::notify;
use super::state::Engine;
use super::tracking::ChangedKeys;
use crate::store::DbIndex;

/// Collects what is to be told; what is owed is paid when it is dropped.
pub struct Listeners<'a> {
    engine: &'a Engine,
    wanted_events: u32,
    wakes: Wakes,
    changed: ChangedKeys,
}

impl<'a> Listeners<'a> {
    pub fn of(engine: &'a Engine) -> Listeners<'a> {
        let wanted_events = notify::wanted(engine.config.load().notify_keyspace_events);
        Listeners { engine, wanted_events, wakes: Wakes::default(), changed: ChangedKeys::default() }
    }

    /// A key changed or went. The caller holds its slot.
    #[inline]
    pub fn tell_change(&mut self, class: u32, event: &str, db: DbIndex, key: &[u8]) {
        let engine = self.engine;
        if self.wanted_events & class != 0 {
            notify::publish(&engine.pubsub, self.wanted_events, db, event, key, &mut self.wakes);
        }
        if engine.keyspace.is_tracked() {
            let (changed, wakes) = (&mut self.changed, &mut self.wakes);
            engine.tracking.invalidate(&engine.clients, key, 0, true, changed, wakes);
        }
    }
}

impl Drop for Listeners<'_> {
    fn drop(&mut self) {
        if !self.changed.is_empty() {
            self.engine.tracking.broadcast(&mut self.changed, &mut self.wakes, &self.engine.clients);
        }
    }
}
