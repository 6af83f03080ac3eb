//! Which records belong to which slot, over several segments of the journal.
//!
//! Two passes over the records' headers in the order in which they stand: one counts the records of each slot, one puts
//! each record's sequence number and position into its slot's part of one array. Lanes are each in order already, so
//! sorting a slot's part is a merge of few runs. What is kept are the positions, eight bytes a record.
//!
//! Settling builds an index over the segments of a cut; recovery builds one over all that is live, and leaves out what
//! is settled or dropped.

use std::sync::Arc;

use super::record::{Kind, Record};
use super::segment::Segment;
use crate::base::key_slot::{SLOT_COUNT, SlotId};

/// How many records ahead of the one that is read are prefetched.
const PREFETCH_DISTANCE: usize = 8;
const OFFSET_BITS: u32 = 40;
/// Records between two pauses, while they are read; sorting them is quicker.
const RECORDS_PER_STEP: usize = 4096;
const RECORDS_PER_SORTED: usize = 8;

/// Where a record stands in the segments of a [`SlotIndex`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position(u64);

impl Position {
    pub(super) fn new(segment: usize, offset: usize) -> Position {
        Position((segment as u64) << OFFSET_BITS | offset as u64)
    }

    /// Which of the index's segments.
    #[inline]
    pub fn segment(self) -> usize {
        (self.0 >> OFFSET_BITS) as usize
    }

    #[inline]
    pub fn offset(self) -> usize {
        (self.0 & ((1 << OFFSET_BITS) - 1)) as usize
    }
}

/// The effects of several segments by slot, in the order of their sequence numbers.
pub struct SlotIndex {
    segments: Vec<Arc<Segment>>,
    /// Where each slot's positions begin, and behind the last slot's the end.
    starts: Vec<u32>,
    positions: Vec<Position>,
}

/// A record while the index is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub sequence: u64,
    pub position: Position,
}

/// The records of all slots, sorted by slot and sequence number.
pub(super) struct Sorted {
    starts: Vec<u32>,
    entries: Vec<Entry>,
}

impl Sorted {
    /// Of the effects in the segments whose sequence numbers are above those in `settled`, one for each slot.
    /// `pause` is called between steps of some 100 microseconds.
    pub fn build<'a>(segments: impl Iterator<Item = &'a Segment>, settled: &[u64], pause: &mut dyn FnMut()) -> Sorted {
        let mut steps = 0;
        let mut step = || {
            steps += 1;
            if steps % RECORDS_PER_STEP == 0 {
                pause();
            }
        };
        // Segments may grow meanwhile: both passes go to the same ends.
        let walks: Vec<_> = segments.map(Segment::records).collect();
        let wanted = |record: &Record<'_>| {
            let slot = record.header.slot.filter(|_| record.header.kind == Kind::Effect)?.index();
            (record.header.sequence > settled[slot]).then_some(slot)
        };
        let mut starts = vec![0u32; SLOT_COUNT + 1];
        for (_, record) in walks.iter().cloned().flatten() {
            step();
            if let Some(slot) = wanted(&record) {
                starts[slot + 1] += 1;
            }
        }
        for slot in 0..SLOT_COUNT {
            starts[slot + 1] += starts[slot];
        }
        let mut entries = vec![Entry { sequence: 0, position: Position(0) }; starts[SLOT_COUNT] as usize];
        let mut next = starts.clone();
        for (segment, walk) in walks.into_iter().enumerate() {
            for (offset, record) in walk {
                step();
                if let Some(slot) = wanted(&record) {
                    let position = Position::new(segment, offset);
                    entries[next[slot] as usize] = Entry { sequence: record.header.sequence, position };
                    next[slot] += 1;
                }
            }
        }
        let mut sorted = Sorted { starts, entries };
        for slot in 0..SLOT_COUNT {
            let part = sorted.part_mut(slot);
            part.iter().step_by(RECORDS_PER_SORTED).for_each(|_| step());
            if !part.is_sorted_by_key(|entry| entry.sequence) {
                // Stable, because that sort finds the runs.
                part.sort_by_key(|entry| entry.sequence);
            }
        }
        sorted
    }

    pub fn part(&self, slot: usize) -> &[Entry] {
        &self.entries[self.starts[slot] as usize..self.starts[slot + 1] as usize]
    }

    fn part_mut(&mut self, slot: usize) -> &mut [Entry] {
        &mut self.entries[self.starts[slot] as usize..self.starts[slot + 1] as usize]
    }
}

impl SlotIndex {
    /// Of all effects up to the segments' ends at this moment. `pause` is called between short steps.
    pub fn build(segments: &[Arc<Segment>], pause: &mut dyn FnMut()) -> SlotIndex {
        let Sorted { starts, entries } =
            Sorted::build(segments.iter().map(|segment| &**segment), &[0; SLOT_COUNT], pause);
        // In the place of the entries, which take twice as much: settling must not need much memory.
        let mut positions: Vec<Position> = entries.into_iter().map(|entry| entry.position).collect();
        positions.shrink_to_fit();
        SlotIndex { segments: segments.to_vec(), starts, positions }
    }

    /// Of the entries that `kept` leaves of each slot.
    pub(super) fn new(
        segments: Vec<Arc<Segment>>,
        sorted: &Sorted,
        kept: impl for<'a> Fn(usize, &'a [Entry]) -> &'a [Entry],
    ) -> SlotIndex {
        let mut starts = vec![0];
        let mut positions = Vec::with_capacity(sorted.entries.len());
        for slot in 0..SLOT_COUNT {
            positions.extend(kept(slot, sorted.part(slot)).iter().map(|entry| entry.position));
            starts.push(positions.len() as u32);
        }
        SlotIndex { segments, starts, positions }
    }

    pub fn segments(&self) -> &[Arc<Segment>] {
        &self.segments
    }

    /// Records of all slots together.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Slots that have records, in ascending order.
    pub fn slots(&self) -> impl Iterator<Item = SlotId> + '_ {
        SlotId::all().filter(|slot| !self.positions(*slot).is_empty())
    }

    /// A slot's records in the order of their sequence numbers. Those that come soon are prefetched.
    pub fn records(&self, slot: SlotId) -> impl Iterator<Item = Record<'_>> + '_ {
        let positions = self.positions(slot);
        positions.iter().take(PREFETCH_DISTANCE).for_each(|position| self.prefetch(*position));
        positions.iter().enumerate().map(move |(at, position)| {
            if let Some(soon) = positions.get(at + PREFETCH_DISTANCE) {
                self.prefetch(*soon);
            }
            self.record(*position)
        })
    }

    /// Where a slot's records stand, in the order of their sequence numbers.
    #[inline]
    pub fn positions(&self, slot: SlotId) -> &[Position] {
        &self.positions[self.starts[slot.index()] as usize..self.starts[slot.index() + 1] as usize]
    }

    /// A hint that the record will be read.
    #[inline]
    pub fn prefetch(&self, position: Position) {
        self.segments[position.segment()].prefetch(position.offset());
    }

    #[inline]
    pub fn record(&self, position: Position) -> Record<'_> {
        self.segments[position.segment()].record(position.offset())
    }

    /// The record as it stands in the segment, and the epoch of its checksum: what `record::change_epoch` takes.
    #[inline]
    pub fn bytes(&self, position: Position) -> (&[u8], u64) {
        let segment = &self.segments[position.segment()];
        (segment.record_bytes(position.offset()), segment.number())
    }
}
