//! Reading on behalf of a consumer group.

use super::{ConsumerId, Entries, Group, Item, Pending, StreamId};

impl Group {
    /// Gives entries that the group has not read to a consumer, up to `count_max` if that is not 0. `emit` gets each;
    /// with `acknowledged` none becomes pending. The result are their ids.
    pub fn read_new(
        &mut self,
        entries: &Entries,
        consumer: ConsumerId,
        count_max: usize,
        acknowledged: bool,
        now_ms: u64,
        mut emit: impl FnMut(&Item<'_>),
    ) -> Vec<StreamId> {
        let Some(start) = self.last_id.next() else { return Vec::new() };
        let most = if count_max == 0 { usize::MAX } else { count_max };
        let mut ids = Vec::new();
        for item in entries.range(start, StreamId::MAX).take(most) {
            self.pass(entries, item.id);
            emit(&item);
            if !acknowledged {
                self.set_pending(item.id, Pending { consumer, delivery_time_ms: now_ms, delivery_count: 1 });
            }
            ids.push(item.id);
        }
        if let Some(consumer) = self.consumer_mut(consumer).filter(|_| !ids.is_empty()) {
            consumer.active_time_ms = Some(now_ms);
        }
        ids
    }

    /// Moves the group on to an entry, and counts it where counting is sure.
    fn pass(&mut self, entries: &Entries, id: StreamId) {
        self.entries_read = match self.entries_read {
            Some(read) if !entries.has_holes_from(id) => Some(super::one_more(read)),
            read if entries.added == 0 => read,
            _ => entries.added_up_to(id),
        };
        self.last_id = id;
    }

    /// Gives a consumer again what it has pending after `after`. `emit` gets each id, with its entry if that is still
    /// there; those count as given once more. The result are their new states.
    pub fn read_pending(
        &mut self,
        entries: &Entries,
        consumer: ConsumerId,
        after: StreamId,
        count_max: usize,
        now_ms: u64,
        mut emit: impl FnMut(StreamId, Option<&Item<'_>>),
    ) -> (usize, Vec<(StreamId, Pending)>) {
        let most = if count_max == 0 { usize::MAX } else { count_max };
        let (mut count, mut given) = (0, Vec::new());
        let Some(start) = after.next() else { return (0, given) };
        for (id, pending) in self.pending_of(consumer, start..).take(most) {
            let item = entries.get(id);
            emit(id, item.as_ref());
            count += 1;
            if item.is_some() {
                let delivery_count = super::one_more(pending.delivery_count);
                given.push((id, Pending { delivery_time_ms: now_ms, delivery_count, ..pending }));
            }
        }
        for (id, pending) in &given {
            self.set_pending(*id, *pending);
        }
        (count, given)
    }

    /// How many entries the group has still to read, where that can be told.
    pub fn lag(&self, entries: &Entries) -> Option<i64> {
        if entries.added == 0 {
            return Some(0);
        }
        let read = match self.entries_read {
            Some(read) if !entries.has_holes_from(self.last_id) => read,
            _ => entries.added_up_to(self.last_id)?,
        };
        Some(entries.added.wrapping_sub(read) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::stream::BlockLimits;

    fn filled(count: u64) -> Entries {
        let mut entries = Entries::default();
        for ms in 1..=count {
            let limits = BlockLimits { bytes_max: 0, entries_max: 3 };
            entries.append(StreamId::new(ms, 0), &[b"f", b"v"], limits).unwrap();
        }
        entries
    }

    #[test]
    fn reading_leaves_entries_pending() {
        let mut entries = filled(5);
        let mut group = Group::new(StreamId::MIN, None);
        let (bob, _) = group.find_or_add_consumer(b"bob", 1);
        let mut seen = Vec::new();
        let ids = group.read_new(&entries, bob, 2, false, 7, |item| seen.push(item.id));
        assert_eq!((ids.len(), &ids), (2, &seen));
        assert_eq!((group.last_id, group.entries_read, group.lag(&entries)), (ids[1], Some(2), Some(3)));
        assert_eq!(group.read_new(&entries, bob, 0, true, 8, |_| ()).len(), 3);
        assert_eq!((group.entries_read, group.lag(&entries)), (Some(5), Some(0)));
        assert_eq!(group.read_new(&entries, bob, 0, false, 8, |_| ()), []);
        assert_eq!(group.consumer(bob).unwrap().active_time_ms, Some(8));

        entries.delete(ids[0]);
        let mut again = Vec::new();
        let (count, given) =
            group.read_pending(&entries, bob, StreamId::MIN, 0, 9, |id, item| again.push((id, item.is_some())));
        assert_eq!((count, again), (2, vec![(ids[0], false), (ids[1], true)]));
        assert_eq!(given, [(ids[1], Pending { consumer: bob, delivery_time_ms: 9, delivery_count: 2 })]);
        assert_eq!(group.pending(ids[1]), Some(given[0].1));
        assert_eq!(group.pending(ids[0]).unwrap().delivery_time_ms, 7);
    }

    #[test]
    fn lags_count_from_the_first_entry() {
        let entries = filled(5);
        let mut group = Group::new(StreamId::MIN, Some(0));
        let (bob, _) = group.find_or_add_consumer(b"bob", 1);
        assert_eq!(group.lag(&entries), Some(5));
        group.read_new(&entries, bob, 2, false, 7, |_| ());
        assert_eq!((group.entries_read, group.lag(&entries)), (Some(2), Some(3)));
    }
}
