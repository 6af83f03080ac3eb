//! Consumer groups: how far a group has read, and what its consumers were given and did not acknowledge.
//!
//! Each pending entry stands in the group's list, with all that is known of it, and as a bare id in its consumer's. Both
//! are ordered by id. Consumers are named by numbers inside the group, so that a pending entry is small and a consumer
//! is found in one step. All lists are trees: nothing in them grows by leaps.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeBounds;

use super::StreamId;

/// Names a consumer inside its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConsumerId(u32);

/// An entry that was given to a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    pub consumer: ConsumerId,
    /// When it was given last, in Unix milliseconds.
    pub delivery_time_ms: u64,
    /// How often it was given.
    pub delivery_count: u64,
}

#[derive(Clone, Debug)]
pub struct Consumer {
    pub name: Box<[u8]>,
    /// When it last asked for anything, in Unix milliseconds.
    pub seen_time_ms: u64,
    /// When it last got something; `None` before that.
    pub active_time_ms: Option<u64>,
    pending: BTreeSet<StreamId>,
}

impl Consumer {
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }
}

#[derive(Clone, Debug, Default)]
pub struct Group {
    pub last_id: StreamId,
    /// How many of the stream's entries, counted since its beginning, the group has passed; `None` when unknown.
    pub entries_read: Option<u64>,
    pending: BTreeMap<StreamId, Pending>,
    consumers: BTreeMap<ConsumerId, Consumer>,
    names: BTreeMap<Box<[u8]>, ConsumerId>,
    next_consumer: u32,
    names_bytes: usize,
}

/// What a pending entry takes: a place in two trees, which are two thirds full.
const PENDING_BYTES: usize = (size_of::<(StreamId, Pending)>() + size_of::<StreamId>()) * 3 / 2;
/// What a consumer takes, its name left out.
const CONSUMER_BYTES: usize = (size_of::<Consumer>() + size_of::<(Box<[u8]>, ConsumerId)>()) * 3 / 2;

impl Group {
    pub fn new(last_id: StreamId, entries_read: Option<u64>) -> Group {
        Group { last_id, entries_read, ..Group::default() }
    }

    /// About the bytes that the group takes.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Group>()
            + self.names_bytes
            + self.consumers.len() * CONSUMER_BYTES
            + self.pending.len() * PENDING_BYTES
    }

    // ---- consumers ----------------------------------------------------------------------------------------------

    /// The consumers in the order of their names.
    pub fn consumers(&self) -> impl Iterator<Item = &Consumer> {
        self.names.values().filter_map(|id| self.consumers.get(id))
    }

    pub fn consumer_count(&self) -> usize {
        self.names.len()
    }

    pub fn find_consumer(&self, name: &[u8]) -> Option<ConsumerId> {
        self.names.get(name).copied()
    }

    pub fn consumer(&self, id: ConsumerId) -> Option<&Consumer> {
        self.consumers.get(&id)
    }

    pub fn consumer_mut(&mut self, id: ConsumerId) -> Option<&mut Consumer> {
        self.consumers.get_mut(&id)
    }

    /// The name of a consumer of this group.
    pub fn name_of(&self, id: ConsumerId) -> &[u8] {
        self.consumers.get(&id).map_or(&[], |consumer| &consumer.name)
    }

    /// The consumer of this name, and whether it was made just now.
    pub fn find_or_add_consumer(&mut self, name: &[u8], now_ms: u64) -> (ConsumerId, bool) {
        if let Some(id) = self.find_consumer(name) {
            return (id, false);
        }
        let id = ConsumerId(self.next_consumer);
        self.next_consumer += 1;
        let consumer =
            Consumer { name: name.into(), seen_time_ms: now_ms, active_time_ms: None, pending: BTreeSet::new() };
        self.consumers.insert(id, consumer);
        self.names.insert(name.into(), id);
        self.names_bytes += 2 * name.len();
        (id, true)
    }

    /// Removes a consumer and what it has pending; gives how much that was.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let consumer = self.consumers.remove(&self.names.remove(name)?)?;
        self.names_bytes -= 2 * name.len();
        for id in &consumer.pending {
            self.pending.remove(id);
        }
        Some(consumer.pending.len())
    }

    // ---- pending entries ----------------------------------------------------------------------------------------

    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    pub fn pending(&self, id: StreamId) -> Option<Pending> {
        self.pending.get(&id).copied()
    }

    pub fn pending_in(
        &self,
        range: impl RangeBounds<StreamId>,
    ) -> impl DoubleEndedIterator<Item = (StreamId, Pending)> {
        self.pending.range(range).map(|(id, pending)| (*id, *pending))
    }

    /// What one consumer has pending.
    pub fn pending_of(
        &self,
        consumer: ConsumerId,
        range: impl RangeBounds<StreamId>,
    ) -> impl Iterator<Item = (StreamId, Pending)> {
        let of_consumer = self.consumers.get(&consumer).map(|consumer| consumer.pending.range(range));
        of_consumer.into_iter().flatten().filter_map(|id| Some((*id, *self.pending.get(id)?)))
    }

    /// Gives an entry to a consumer, whoever had it before.
    pub fn set_pending(&mut self, id: StreamId, pending: Pending) {
        let before = self.pending.insert(id, pending).map(|before| before.consumer);
        if before == Some(pending.consumer) {
            return;
        }
        if let Some(consumer) = before.and_then(|before| self.consumers.get_mut(&before)) {
            consumer.pending.remove(&id);
        }
        if let Some(consumer) = self.consumers.get_mut(&pending.consumer) {
            consumer.pending.insert(id);
        }
    }

    /// Takes an entry from whoever has it; false when nobody does.
    pub fn remove_pending(&mut self, id: StreamId) -> bool {
        let Some(pending) = self.pending.remove(&id) else { return false };
        if let Some(consumer) = self.consumers.get_mut(&pending.consumer) {
            consumer.pending.remove(&id);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(consumer: ConsumerId, delivery_time_ms: u64) -> Pending {
        Pending { consumer, delivery_time_ms, delivery_count: 1 }
    }

    fn ids_of(group: &Group, name: &str) -> Vec<u64> {
        let consumer = group.find_consumer(name.as_bytes()).unwrap();
        group.pending_of(consumer, ..).map(|(id, _)| id.ms).collect()
    }

    #[test]
    fn entries_change_hands_and_are_acknowledged() {
        let mut group = Group::new(StreamId::MIN, None);
        let (bob, made) = group.find_or_add_consumer(b"bob", 5);
        assert!(made && group.find_or_add_consumer(b"bob", 9) == (bob, false));
        let (alice, _) = group.find_or_add_consumer(b"alice", 6);
        for ms in [3, 1, 2] {
            group.set_pending(StreamId::new(ms, 0), pending(bob, 10));
        }
        assert_eq!(ids_of(&group, "bob"), [1, 2, 3]);
        group.set_pending(StreamId::new(2, 0), pending(alice, 20));
        group.set_pending(StreamId::new(2, 0), pending(alice, 21));
        assert_eq!((ids_of(&group, "bob"), ids_of(&group, "alice")), (vec![1, 3], vec![2]));
        assert!(group.remove_pending(StreamId::new(1, 0)) && !group.remove_pending(StreamId::new(1, 0)));
        assert_eq!(group.pending_in(StreamId::new(2, 0)..).map(|(id, _)| id.ms).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(group.consumers().map(|one| &one.name[..]).collect::<Vec<_>>(), [&b"alice"[..], b"bob"]);
        let with_bob = group.memory_bytes();
        assert_eq!(group.remove_consumer(b"bob"), Some(1));
        assert_eq!(group.remove_consumer(b"bob"), None);
        assert!(group.memory_bytes() < with_bob);
        assert_eq!((group.pending_count(), group.consumer_count()), (1, 1));
    }
}
