//! The records of every slot, put in order after a restart: which of them follow each other without a gap, and which must
//! go because something before them is not there.
//!
//! Of each slot the records must go on from what is settled without a gap. Where there is one, the disk did not get some
//! other lane's tail before the power went, or the log is damaged. Marks tell: what a mark covers was durable with
//! everything before it.
//! - A gap before a record that a mark covers is damage. The slot is refused, and none of its records goes.
//! - Other gaps are losses that nobody was promised to be spared. The slot's records behind it go; with a record that is
//!   part of a transaction all parts go, with those the later records of their slots, and so on until nothing changes.

use std::collections::HashMap;

use super::segment::Segment;
use super::slot_index::{Entry, Position, Sorted};
use crate::base::key_slot::{SLOT_COUNT, SlotId};

/// A slot whose history has a gap that no loss of power explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Break {
    pub slot: SlotId,
    /// The number that should come next.
    pub expected: u64,
    /// The record that comes instead.
    pub position: Position,
}

/// What is to be done with the records.
pub struct History {
    /// How many of each slot's records stay. All of a refused slot's do.
    kept: Vec<u32>,
    pub breaks: Vec<Break>,
    /// Records that go.
    pub dropped: Vec<Position>,
}

struct Transactions {
    /// Which transaction a record is part of.
    members: HashMap<Position, usize>,
    /// Each transaction's parts: slot and sequence number.
    parts: Vec<Vec<(SlotId, u64)>>,
}

struct Search<'a> {
    segments: &'a [Segment],
    sorted: &'a Sorted,
    settled: &'a [u64],
    /// Offsets in each segment before which all was durable.
    covered: &'a [usize],
    refused: Vec<bool>,
    history: History,
    /// Dropped records whose transactions were not looked at.
    pending: Vec<Position>,
}

impl History {
    /// Of slots in `refused` nothing goes.
    pub fn find(
        segments: &[Segment],
        sorted: &Sorted,
        settled: &[u64],
        covered: &[usize],
        refused: Vec<bool>,
    ) -> History {
        let kept = (0..SLOT_COUNT).map(|slot| sorted.part(slot).len() as u32).collect();
        let history = History { kept, breaks: Vec::new(), dropped: Vec::new() };
        let mut search = Search { segments, sorted, settled, covered, refused, history, pending: Vec::new() };
        for (slot, settled) in settled.iter().enumerate() {
            let expected = settled + 1..;
            let mut pairs = sorted.part(slot).iter().zip(expected);
            if let Some(at) = pairs.position(|(entry, expected)| entry.sequence != expected) {
                search.drop_from(slot, at);
            }
        }
        if !search.pending.is_empty() {
            search.drop_transactions();
        }
        search.history
    }

    /// The records of a slot that stay.
    pub fn kept<'a>(&self, slot: usize, part: &'a [Entry]) -> &'a [Entry] {
        &part[..self.kept[slot] as usize]
    }
}

impl Search<'_> {
    fn is_covered(&self, position: Position) -> bool {
        position.offset() < self.covered[position.segment()]
    }

    /// The slot's records from the `at`th on go, or it is refused.
    fn drop_from(&mut self, slot: usize, at: usize) {
        let kept = self.history.kept[slot] as usize;
        if self.refused[slot] || at >= kept {
            return;
        }
        let part = &self.sorted.part(slot)[at..kept];
        if part.iter().any(|entry| self.is_covered(entry.position)) {
            self.refused[slot] = true;
            let slot = SlotId::new(slot as u16).expect("below the number of slots");
            let expected = self.settled[slot.index()] + 1 + at as u64;
            self.history.breaks.push(Break { slot, expected, position: part[0].position });
            return;
        }
        self.history.kept[slot] = at as u32;
        for entry in part {
            self.history.dropped.push(entry.position);
            self.pending.push(entry.position);
        }
    }

    fn drop_transactions(&mut self) {
        let Transactions { members, parts } = self.transactions();
        while let Some(position) = self.pending.pop() {
            let Some(transaction) = members.get(&position) else { continue };
            for (slot, sequence) in &parts[*transaction] {
                let slot = slot.index();
                // A part that is settled cannot be undone; settling takes transactions whole, so there is none.
                if *sequence > self.settled[slot] {
                    self.drop_from(slot, (*sequence - self.settled[slot] - 1) as usize);
                }
            }
        }
    }

    fn transactions(&self) -> Transactions {
        let mut members = HashMap::new();
        let mut transactions: Vec<Vec<(SlotId, u64)>> = Vec::new();
        for (index, segment) in self.segments.iter().enumerate() {
            let mut is_open = false;
            for (offset, record) in segment.records() {
                let Some(slot) = record.header.slot else { continue };
                if record.header.following > 0 && !is_open {
                    transactions.push(Vec::new());
                    is_open = true;
                }
                if is_open {
                    members.insert(Position::new(index, offset), transactions.len() - 1);
                    transactions.last_mut().expect("pushed above").push((slot, record.header.sequence));
                }
                is_open &= record.header.following > 0;
            }
        }
        Transactions { members, parts: transactions }
    }
}
