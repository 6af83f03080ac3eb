//! Which records belong to which slot, over several segments.
use super::record::Record;
use super::segment::Segment;
use crate::base::key_slot::SlotId;
use std::sync::Arc;

/// Where a record stands in the segments of a [`SlotIndex`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position(u64);

/// The effects of several segments by slot, in the order of their sequence numbers. Positions take eight bytes each.
pub struct SlotIndex {
    segments: Vec<Arc<Segment>>,
    starts: Vec<u32>,
    positions: Vec<Position>,
}

impl SlotIndex {
    /// Of all effects up to the segments' ends at this moment.
    pub fn build(segments: &[Arc<Segment>]) -> SlotIndex {
        let _ = segments;
        todo!()
    }
    pub fn segments(&self) -> &[Arc<Segment>] {
        &self.segments
    }
    pub fn len(&self) -> usize {
        self.positions.len()
    }
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }
    /// Slots that have records, ascending.
    pub fn slots(&self) -> impl Iterator<Item = SlotId> + '_ {
        SlotId::all().filter(|slot| !self.positions(*slot).is_empty())
    }
    /// A slot's records in the order of their sequence numbers; those that come soon are prefetched.
    pub fn records(&self, slot: SlotId) -> impl Iterator<Item = Record<'_>> {
        self.positions(slot).iter().map(|position| self.record(*position))
    }
    pub fn positions(&self, slot: SlotId) -> &[Position] {
        &self.positions[self.starts[slot.index()] as usize..self.starts[slot.index() + 1] as usize]
    }
    pub fn prefetch(&self, position: Position) {
        let _ = position;
        todo!()
    }
    pub fn record(&self, position: Position) -> Record<'_> {
        let _ = position;
        todo!()
    }
    /// The record as it stands in the segment, and the epoch of its checksum (see `record::change_epoch`).
    pub fn bytes(&self, position: Position) -> (&[u8], u64) {
        let _ = position;
        todo!()
    }
}
