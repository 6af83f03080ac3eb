//! A whole stream: its entries and its consumer groups. It may have none of either.

#![allow(unsafe_code)]

use std::collections::BTreeMap;

use super::{Entries, Group};
use crate::base::digest::Digest;
use crate::store::collection::Sought;
use crate::store::reclaim::RECLAIMER;
use crate::store::{Large, ValueType};

/// A group that takes at least so much is freed in the background.
const LARGE_GROUP_BYTES: usize = 64 << 10;

#[derive(Clone, Debug, Default)]
#[repr(C)]
pub struct Stream {
    /// In front, as what is fetched ahead.
    pub entries: Entries,
    groups: BTreeMap<Box<[u8]>, Group>,
    groups_bytes: usize,
}

// SAFETY: the only one that gives this type.
unsafe impl Large for Stream {
    fn own_type() -> ValueType {
        ValueType::Stream
    }

    fn value_type(&self) -> ValueType {
        Self::own_type()
    }

    fn len(&self) -> usize {
        self.entries.len() as usize
    }

    fn memory_bytes(&self) -> usize {
        size_of::<Stream>() + self.entries.memory_bytes() + self.groups_bytes
    }

    fn copied(&self) -> Box<dyn Large> {
        Box::new(self.clone())
    }

    /// Towards the end, where entries are added.
    fn approach(&self, _sought: &mut Sought<'_>, _step: u32) -> bool {
        self.entries.prefetch_end();
        false
    }
}

impl Stream {
    /// The groups in the order of their names.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.groups.iter().map(|(name, group)| (&name[..], group))
    }

    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(name)
    }

    /// A stream with copies of the groups and nothing else.
    pub fn without_entries(&self) -> Stream {
        Stream { entries: Entries::default(), groups: self.groups.clone(), groups_bytes: self.groups_bytes }
    }

    /// Runs `work` on a group, which may look at the entries beside it.
    pub fn with_group<R>(&mut self, name: &[u8], work: impl FnOnce(&Entries, &mut Group) -> R) -> Option<R> {
        let group = self.groups.get_mut(name)?;
        let before = group.memory_bytes();
        let result = work(&self.entries, group);
        self.groups_bytes = self.groups_bytes + group.memory_bytes() - before;
        Some(result)
    }

    /// Adds a group; false when there is one of that name.
    pub fn add_group(&mut self, name: &[u8], group: Group) -> bool {
        if self.groups.contains_key(name) {
            return false;
        }
        self.groups_bytes += group.memory_bytes() + name.len();
        self.groups.insert(name.into(), group);
        true
    }

    pub fn remove_group(&mut self, name: &[u8]) -> bool {
        let Some(group) = self.groups.remove(name) else { return false };
        self.groups_bytes -= group.memory_bytes() + name.len();
        if group.memory_bytes() >= LARGE_GROUP_BYTES {
            RECLAIMER.retire(Box::new(group));
        }
        true
    }

    /// Mixes all of the stream in, but when consumers were last seen: that is not told to those who follow.
    pub fn digest(&self, digest: &mut Digest) {
        let entries = &self.entries;
        for id in [entries.last_id, entries.first_id(), entries.max_deleted_id] {
            digest.add(&id.to_bytes());
        }
        digest.add_number(entries.len());
        digest.add_number(entries.added);
        for item in entries.range(super::StreamId::MIN, super::StreamId::MAX) {
            digest.add(&item.id.to_bytes());
            digest.add_number(item.field_count as u64);
            for (field, value) in item.pairs() {
                digest.add(&field.text());
                digest.add(&value.text());
            }
        }
        for (name, group) in self.groups() {
            digest.add(name);
            digest.add(&group.last_id.to_bytes());
            digest.add_number(group.entries_read.map_or(u64::MAX, |read| read));
            digest.add_number(group.consumer_count() as u64);
            group.consumers().for_each(|consumer| digest.add(&consumer.name));
            digest.add_number(group.pending_count() as u64);
            for (id, pending) in group.pending_in(..) {
                digest.add(&id.to_bytes());
                digest.add(group.name_of(pending.consumer));
                digest.add_number(pending.delivery_time_ms);
                digest.add_number(pending.delivery_count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::stream::{BlockLimits, Pending, StreamId};

    const LIMITS: BlockLimits = BlockLimits { bytes_max: 4096, entries_max: 100 };

    fn digest(stream: &Stream) -> Digest {
        let mut digest = Digest::default();
        stream.digest(&mut digest);
        digest
    }

    #[test]
    fn groups_come_and_go_and_memory_is_counted() {
        let mut stream = Stream::default();
        let empty = stream.memory_bytes();
        assert!(stream.add_group(b"g", Group::new(StreamId::MIN, None)));
        assert!(!stream.add_group(b"g", Group::new(StreamId::MAX, None)));
        let with_group = stream.memory_bytes();
        stream.with_group(b"g", |_, group| group.find_or_add_consumer(b"bob", 1));
        assert!(stream.memory_bytes() > with_group && with_group > empty);
        assert!(stream.remove_group(b"g") && !stream.remove_group(b"g"));
        assert_eq!(stream.memory_bytes(), empty);
        assert_eq!(stream.with_group(b"g", |_, _| ()), None);
    }

    #[test]
    fn the_digest_covers_what_is_told_and_not_how_blocks_are_cut() {
        let changes: [&dyn Fn(&mut Stream); 7] = [
            &|stream| stream.entries.append(StreamId::new(9, 0), &[b"f", b"v"], LIMITS).unwrap(),
            &|stream| assert!(stream.entries.delete(StreamId::new(1, 0))),
            &|stream| stream.entries.added += 1,
            &|stream| assert!(stream.add_group(b"h", Group::new(StreamId::MIN, None))),
            &|stream| assert!(stream.with_group(b"g", |_, group| group.entries_read = Some(1)).is_some()),
            &|stream| assert!(stream.with_group(b"g", |_, group| group.find_or_add_consumer(b"x", 1)).is_some()),
            &|stream| {
                let give = |_: &Entries, group: &mut Group| {
                    let (consumer, _) = group.find_or_add_consumer(b"bob", 1);
                    let pending = Pending { consumer, delivery_time_ms: 1, delivery_count: 1 };
                    group.set_pending(StreamId::new(1, 0), pending);
                };
                assert!(stream.with_group(b"g", give).is_some());
            },
        ];
        let sample = |entries_max| {
            let mut stream = Stream::default();
            for ms in 1..6 {
                let limits = BlockLimits { entries_max, ..LIMITS };
                stream.entries.append(StreamId::new(ms, 0), &[b"f", b"1"], limits).unwrap();
            }
            stream.add_group(b"g", Group::new(StreamId::MIN, None));
            stream.with_group(b"g", |_, group| group.find_or_add_consumer(b"bob", entries_max));
            stream
        };
        assert_eq!(digest(&sample(2)), digest(&sample(100)));
        let mut seen = vec![digest(&sample(2))];
        for change in changes {
            let mut changed = sample(2);
            change(&mut changed);
            assert!(!seen.contains(&digest(&changed)));
            seen.push(digest(&changed));
        }
    }
}
