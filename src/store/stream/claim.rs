//! Passing pending entries from one consumer to another.

use super::{ConsumerId, Entries, Group, Pending, StreamId};

/// What is asked of pending entries that change hands, and what they become.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    pub now_ms: u64,
    /// How long ago an entry must have been given for it to change hands.
    pub min_idle_ms: u64,
    pub delivery_time_ms: u64,
    /// How often it counts as given from then on; otherwise once more, or with `just_id` as often as before.
    pub delivery_count: Option<u64>,
    pub just_id: bool,
    /// Whether an entry that nobody has becomes pending.
    pub force: bool,
}

/// What became of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    Taken(Pending),
    /// It was pending and is in the stream no more: now it is not pending either.
    Gone,
    /// Nothing: it is not pending, or not long enough.
    Left,
}

impl Group {
    pub fn claim(&mut self, entries: &Entries, id: StreamId, consumer: ConsumerId, claim: &Claim) -> Claimed {
        let before = self.pending(id);
        if !entries.contains(id) {
            return if self.remove_pending(id) { Claimed::Gone } else { Claimed::Left };
        }
        let idle_ms = before.map(|before| (claim.now_ms as i64).wrapping_sub(before.delivery_time_ms as i64));
        let too_fresh = claim.min_idle_ms > 0 && idle_ms.is_some_and(|idle_ms| idle_ms < claim.min_idle_ms as i64);
        if too_fresh || before.is_none() && !claim.force {
            return Claimed::Left;
        }
        // One that was made by force counts as given once already, as in Redis.
        let count_before = before.map_or(1, |before| before.delivery_count);
        let delivery_count = match claim.delivery_count {
            Some(count) => count,
            None if claim.just_id => count_before,
            None => super::one_more(count_before),
        };
        let pending = Pending { consumer, delivery_time_ms: claim.delivery_time_ms, delivery_count };
        self.set_pending(id, pending);
        if let Some(consumer) = self.consumer_mut(consumer) {
            consumer.active_time_ms = Some(claim.now_ms);
        }
        Claimed::Taken(pending)
    }

    /// Tries pending entries from `start` on, `tries_max` of them at the most, until `count_max` were taken or are gone.
    /// `emit` gets those. The result is where to go on, if there is more.
    pub fn claim_from(
        &mut self,
        entries: &Entries,
        start: StreamId,
        (tries_max, count_max): (usize, usize),
        consumer: ConsumerId,
        claim: &Claim,
        mut emit: impl FnMut(StreamId, Claimed),
    ) -> Option<StreamId> {
        /// How many ids are looked up at a time.
        const CHUNK: usize = 64;
        let (mut start, mut tries, mut count) = (start, tries_max, count_max);
        loop {
            let chunk: Vec<StreamId> = self.pending_in(start..).take(CHUNK).map(|(id, _)| id).collect();
            for id in &chunk {
                if tries == 0 || count == 0 {
                    return Some(*id);
                }
                tries -= 1;
                let claimed = self.claim(entries, *id, consumer, claim);
                if claimed != Claimed::Left {
                    count -= 1;
                    emit(*id, claimed);
                }
            }
            start = chunk.last().filter(|_| chunk.len() == CHUNK)?.next()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::stream::BlockLimits;

    const CLAIM: Claim = Claim {
        now_ms: 100,
        min_idle_ms: 0,
        delivery_time_ms: 100,
        delivery_count: None,
        just_id: false,
        force: false,
    };

    fn id(ms: u64) -> StreamId {
        StreamId::new(ms, 0)
    }

    /// A group in which Bob has been given the first `given` of `count` entries at time 10.
    fn sample(count: u64, given: usize) -> (Entries, Group, ConsumerId) {
        let mut entries = Entries::default();
        for ms in 1..=count {
            entries.append(id(ms), &[b"f", b"v"], BlockLimits { bytes_max: 0, entries_max: 3 }).unwrap();
        }
        let mut group = Group::new(StreamId::MIN, None);
        let (bob, _) = group.find_or_add_consumer(b"bob", 1);
        group.read_new(&entries, bob, given, false, 10, |_| ());
        let (alice, _) = group.find_or_add_consumer(b"alice", 1);
        (entries, group, alice)
    }

    #[test]
    fn conditions_and_counts() {
        let (mut entries, mut group, alice) = sample(5, 3);
        let taken = |delivery_time_ms, delivery_count| {
            Claimed::Taken(Pending { consumer: alice, delivery_time_ms, delivery_count })
        };
        let mut claim = |ms, claim: Claim| group.claim(&entries, id(ms), alice, &claim);
        assert_eq!(claim(1, Claim { min_idle_ms: 91, ..CLAIM }), Claimed::Left);
        assert_eq!(claim(1, Claim { min_idle_ms: 90, ..CLAIM }), taken(100, 2));
        assert_eq!(claim(2, Claim { just_id: true, delivery_time_ms: 50, ..CLAIM }), taken(50, 1));
        assert_eq!(claim(2, Claim { delivery_count: Some(9), ..CLAIM }), taken(100, 9));
        assert_eq!(claim(4, CLAIM), Claimed::Left);
        assert_eq!(claim(9, Claim { force: true, ..CLAIM }), Claimed::Left);
        assert_eq!(claim(4, Claim { force: true, just_id: true, min_idle_ms: 500, ..CLAIM }), taken(100, 1));
        entries.delete(id(3));
        assert_eq!(group.claim(&entries, id(3), alice, &CLAIM), Claimed::Gone);
        assert_eq!(group.claim(&entries, id(3), alice, &CLAIM), Claimed::Left);
        assert_eq!(group.pending_count(), 3);
        assert_eq!(group.consumer(alice).unwrap().pending_count(), 3);
    }

    #[test]
    fn sweeping_goes_on_where_it_stopped() {
        let (mut entries, mut group, alice) = sample(200, 200);
        entries.delete(id(2));
        let mut sweep = |start, tries, count| {
            let mut met = Vec::new();
            let next = group.claim_from(&entries, id(start), (tries, count), alice, &CLAIM, |id, claimed| {
                met.push((id.ms, claimed == Claimed::Gone));
            });
            (next.map(|id| id.ms), met)
        };
        assert_eq!(sweep(0, 100, 3), (Some(4), vec![(1, false), (2, true), (3, false)]));
        assert_eq!(sweep(4, 100, 100).0, Some(104));
        assert_eq!(sweep(4, 5, 100).0, Some(9));
        let (next, met) = sweep(150, 1000, 1000);
        assert_eq!((next, met.len()), (None, 51));
    }
}
