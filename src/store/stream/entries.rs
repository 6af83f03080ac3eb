//! The entries of a stream: blocks in the order of their ids, and what is known of all that were ever added.
//!
//! Entries are added to the open block, the last. Those before it are sealed and stand in a tree by their ids, so a stream
//! of any length grows by one block at a time. Where there are blocks there is an open one. `length`, `first_id` and
//! `bytes` say at all times what counting the blocks would. A block may be left whose entries are all deleted.

use std::collections::BTreeMap;

use super::block::{Block, BlockLimits, Item};
use super::{NewId, StreamId};
use crate::store::listpack::BYTES_MAX;
use crate::store::reclaim::RECLAIMER;

/// Trimming that removes so many blocks has them freed in the background.
const FREED_AT_ONCE_MAX: usize = 32;
/// What a block takes beyond its bytes: a place in the tree, which is two thirds full.
const PLACE_BYTES: usize = size_of::<(StreamId, Block)>() * 3 / 2;

/// What every addition touches stands in front: the object's first two lines are fetched ahead.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub struct Entries {
    /// The open block and its id.
    open: Option<(StreamId, Block)>,
    /// The id that was given last, which the next one must exceed.
    pub last_id: StreamId,
    length: u64,
    /// How many were ever added.
    pub added: u64,
    /// Bytes of all blocks.
    bytes: usize,
    /// The id of the first entry; zero when there is none.
    first_id: StreamId,
    /// The greatest that was deleted one by one.
    pub max_deleted_id: StreamId,
    sealed: BTreeMap<StreamId, Block>,
}

/// Why an entry cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// Its id is not above the last one.
    NotAbove,
    /// There is no id above the last one.
    Exhausted,
    TooLarge,
}

/// What trimming leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// So many entries, the last ones.
    Last(u64),
    /// Those from this id on.
    From(StreamId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    pub keep: Keep,
    /// Whether only whole blocks go.
    pub whole_blocks: bool,
    /// The most entries that may go; 0 is no limit.
    pub removed_max: u64,
}

impl Entries {
    /// Entries in blocks from elsewhere, which need not belong together: `None` if they do not.
    pub fn of_blocks(blocks: impl IntoIterator<Item = (StreamId, Block)>) -> Option<Entries> {
        let mut entries = Entries::default();
        let mut last = None;
        for (base, block) in blocks {
            if last.is_some_and(|last| last >= base) {
                return None;
            }
            last = Some(block.last_id(base)?);
            entries.length += block.len();
            entries.bytes += block.memory_bytes();
            entries.sealed.insert(base, block);
        }
        entries.open = entries.sealed.pop_last();
        entries.last_id = last.unwrap_or_default();
        entries.find_first_id();
        Some(entries)
    }

    pub fn len(&self) -> u64 {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub fn first_id(&self) -> StreamId {
        self.first_id
    }

    pub fn block_count(&self) -> usize {
        self.sealed.len() + usize::from(self.open.is_some())
    }

    pub fn blocks(&self) -> impl Iterator<Item = (StreamId, &Block)> {
        self.sealed.iter().chain(self.open_block()).map(|(base, block)| (*base, block))
    }

    fn first_block(&self) -> Option<(StreamId, &Block)> {
        self.blocks().next()
    }

    fn open_block(&self) -> Option<(&StreamId, &Block)> {
        self.open.as_ref().map(|(base, block)| (base, block))
    }

    pub fn memory_bytes(&self) -> usize {
        self.bytes + self.sealed.len() * PLACE_BYTES
    }

    /// Brings what an addition touches towards the cache; the object is there.
    pub fn prefetch_end(&self) {
        if let Some((_, block)) = &self.open {
            block.prefetch_ends();
        }
    }

    // ---- adding -------------------------------------------------------------------------------------------------

    /// The id that a new entry gets.
    pub fn next_id(&self, id: NewId, now_ms: u64) -> Result<StreamId, AppendError> {
        if self.last_id == StreamId::MAX {
            return Err(AppendError::Exhausted);
        }
        let id = match id {
            NewId::Auto if now_ms > self.last_id.ms => Some(StreamId::new(now_ms, 0)),
            NewId::Auto => self.last_id.next(),
            NewId::AutoSeq(ms) if ms == self.last_id.ms => {
                self.last_id.seq.checked_add(1).map(|seq| StreamId::new(ms, seq))
            }
            NewId::AutoSeq(ms) => Some(StreamId::new(ms, 0)),
            NewId::Given(id) => Some(id),
        };
        id.filter(|id| *id > self.last_id).ok_or(AppendError::NotAbove)
    }

    /// Refuses an entry that no block could hold. `pairs` are its fields and values in turn.
    pub fn check_size(pairs: &[&[u8]]) -> Result<usize, AppendError> {
        let bytes = pairs.iter().map(|part| part.len()).sum();
        if bytes > BYTES_MAX { Err(AppendError::TooLarge) } else { Ok(bytes) }
    }

    /// Adds an entry whose id [`Entries::next_id`] gave.
    pub fn append(&mut self, id: StreamId, pairs: &[&[u8]], limits: BlockLimits) -> Result<(), AppendError> {
        let bytes = Entries::check_size(pairs)?;
        let mut has_room = false;
        if let Some((base, block)) = &mut self.open {
            let before = block.memory_bytes();
            has_room = block.push(*base, id, pairs, bytes, limits);
            if !has_room {
                block.seal();
            }
            self.bytes = self.bytes + block.memory_bytes() - before;
        }
        if !has_room {
            let block = Block::new(pairs);
            self.bytes += block.memory_bytes();
            self.sealed.extend(self.open.replace((id, block)));
        }
        self.length += 1;
        self.added = super::one_more(self.added);
        self.last_id = id;
        if self.length == 1 {
            self.first_id = id;
        }
        Ok(())
    }

    // ---- reading ------------------------------------------------------------------------------------------------

    /// The blocks that may hold entries from `start` to `end`.
    fn blocks_between(&self, start: StreamId, end: StreamId) -> impl DoubleEndedIterator<Item = (StreamId, &Block)> {
        let first = match self.open {
            Some((base, _)) if base <= start => base,
            _ => self.sealed.range(..=start).next_back().map_or(start, |(base, _)| *base),
        };
        let last = end.max(first);
        let open = self.open_block().filter(|(base, _)| **base <= last);
        self.sealed.range(first..=last).chain(open).map(|(base, block)| (*base, block))
    }

    /// The entries from `start` to `end`, both included.
    pub fn range(&self, start: StreamId, end: StreamId) -> impl Iterator<Item = Item<'_>> {
        let items = self.blocks_between(start, end).flat_map(|(base, block)| block.items(base));
        items.skip_while(move |item| item.id < start).take_while(move |item| item.id <= end)
    }

    /// The entries from `end` back to `start`, both included.
    pub fn range_back(&self, start: StreamId, end: StreamId) -> impl Iterator<Item = Item<'_>> {
        let items = self.blocks_between(start, end).rev().flat_map(|(base, block)| block.items(base).rev());
        items.skip_while(move |item| item.id > end).take_while(move |item| item.id >= start)
    }

    pub fn get(&self, id: StreamId) -> Option<Item<'_>> {
        self.range(id, id).next()
    }

    pub fn contains(&self, id: StreamId) -> bool {
        self.get(id).is_some()
    }

    /// The id of the last entry that is there.
    pub fn last_present_id(&self) -> Option<StreamId> {
        self.range_back(StreamId::MIN, StreamId::MAX).next().map(|item| item.id)
    }

    fn find_first_id(&mut self) {
        let first = self.range(StreamId::MIN, StreamId::MAX).next().map(|item| item.id);
        self.first_id = first.unwrap_or_default();
    }

    // ---- removing -----------------------------------------------------------------------------------------------

    /// Deletes an entry; false when there is none of that id.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let block = match &mut self.open {
            Some((base, block)) if *base <= id => Some((*base, block)),
            _ => self.sealed.range_mut(..=id).next_back().map(|(base, block)| (*base, block)),
        };
        let Some((base, block)) = block else { return false };
        let before = block.memory_bytes();
        let deleted = block.delete(base, |present| (present <= id).then_some(present == id));
        if deleted == 0 {
            return false;
        }
        self.bytes = self.bytes + block.memory_bytes() - before;
        if block.is_empty() {
            self.bytes -= block.memory_bytes();
            if self.sealed.remove(&base).is_none() {
                self.open = self.sealed.pop_last();
            }
        }
        self.length -= 1;
        self.max_deleted_id = self.max_deleted_id.max(id);
        if id == self.first_id {
            self.find_first_id();
        }
        true
    }

    /// Removes entries from the front; gives how many.
    pub fn trim(&mut self, trim: Trim) -> u64 {
        let mut removed = 0;
        let mut freed = Vec::new();
        while let Some((base, first)) = self.first_block() {
            let count = first.len();
            let over = trim.removed_max != 0 && removed + count > trim.removed_max;
            if over || matches!(trim.keep, Keep::Last(kept) if self.length <= kept) {
                break;
            }
            let goes_whole = match trim.keep {
                Keep::Last(kept) => self.length - count >= kept,
                Keep::From(id) => first.last_id(base).is_none_or(|last| last < id),
            };
            if goes_whole {
                let first = self.sealed.pop_first().or_else(|| self.open.take());
                let Some((_, block)) = first else { break };
                self.bytes -= block.memory_bytes();
                self.length -= count;
                removed += count;
                freed.push(block);
                continue;
            }
            if !trim.whole_blocks {
                removed += self.trim_first_block(trim.keep);
            }
            break;
        }
        if freed.len() > FREED_AT_ONCE_MAX {
            RECLAIMER.retire(Box::new(freed));
        }
        if removed > 0 {
            self.find_first_id();
        }
        removed
    }

    fn trim_first_block(&mut self, keep: Keep) -> u64 {
        let open = self.open.as_mut().map(|(base, block)| (&*base, block));
        let Some((base, block)) = self.sealed.iter_mut().next().or(open) else { return 0 };
        let before = block.memory_bytes();
        let mut excess = match keep {
            Keep::Last(kept) => self.length.saturating_sub(kept),
            Keep::From(_) => u64::MAX,
        };
        let removed = block.delete(*base, |id| {
            let goes = excess > 0 && !matches!(keep, Keep::From(from) if id >= from);
            excess = excess.saturating_sub(1);
            goes.then_some(true)
        });
        self.bytes = self.bytes + block.memory_bytes() - before;
        self.length -= removed;
        removed
    }

    // ---- counting from the beginning ----------------------------------------------------------------------------

    /// Whether an entry from `start` on may have been deleted from between others.
    pub fn has_holes_from(&self, start: StreamId) -> bool {
        !self.is_empty()
            && !self.max_deleted_id.is_zero()
            && self.first_id <= self.max_deleted_id
            && start <= self.max_deleted_id
    }

    /// How many entries were added up to an id, where that can be told.
    pub fn added_up_to(&self, id: StreamId) -> Option<u64> {
        if self.added == 0 {
            return Some(0);
        }
        if id == self.last_id || self.is_empty() && id < self.last_id {
            return Some(self.added);
        }
        if id > self.last_id || !self.max_deleted_id.is_zero() && self.max_deleted_id >= self.first_id {
            return None;
        }
        let before_first = self.added.saturating_sub(self.length);
        match id.cmp(&self.first_id) {
            std::cmp::Ordering::Less => Some(before_first),
            std::cmp::Ordering::Equal => Some(before_first + 1),
            std::cmp::Ordering::Greater => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Rng;

    const LIMITS: BlockLimits = BlockLimits { bytes_max: 4096, entries_max: 4 };

    fn id(ms: u64) -> StreamId {
        StreamId::new(ms, 0)
    }

    fn filled(count: u64) -> Entries {
        let mut entries = Entries::default();
        for ms in 1..=count {
            entries.append(id(ms), &[b"field", ms.to_string().as_bytes()], LIMITS).unwrap();
        }
        entries
    }

    fn ids(entries: &Entries, start: u64, end: u64) -> Vec<u64> {
        let forward: Vec<u64> = entries.range(id(start), id(end)).map(|item| item.id.ms).collect();
        let mut back: Vec<u64> = entries.range_back(id(start), id(end)).map(|item| item.id.ms).collect();
        back.reverse();
        assert_eq!(forward, back);
        forward
    }

    /// What is kept as a count is what counting gives.
    fn check(entries: &Entries) {
        assert_eq!(entries.blocks().map(|(_, block)| block.len()).sum::<u64>(), entries.len());
        assert_eq!(entries.blocks().map(|(_, block)| block.memory_bytes()).sum::<usize>(), entries.bytes);
        let first = entries.range(StreamId::MIN, StreamId::MAX).next().map(|item| item.id);
        assert_eq!(first.unwrap_or_default(), entries.first_id());
    }

    #[test]
    fn ids_rise() {
        let mut entries = filled(3);
        assert_eq!(entries.next_id(NewId::Auto, 9), Ok(id(9)));
        assert_eq!(entries.next_id(NewId::Auto, 2), Ok(StreamId::new(3, 1)));
        assert_eq!(entries.next_id(NewId::AutoSeq(3), 0), Ok(StreamId::new(3, 1)));
        assert_eq!(entries.next_id(NewId::AutoSeq(4), 0), Ok(id(4)));
        assert_eq!(entries.next_id(NewId::AutoSeq(2), 0), Err(AppendError::NotAbove));
        assert_eq!(entries.next_id(NewId::Given(id(3)), 0), Err(AppendError::NotAbove));
        entries.last_id = StreamId::new(3, u64::MAX);
        assert_eq!(entries.next_id(NewId::AutoSeq(3), 0), Err(AppendError::NotAbove));
        entries.last_id = StreamId::MAX;
        assert_eq!(entries.next_id(NewId::Auto, 0), Err(AppendError::Exhausted));
        assert_eq!(Entries::default().next_id(NewId::AutoSeq(0), 0), Ok(StreamId::new(0, 1)));
    }

    #[test]
    fn ranges_over_blocks() {
        let entries = filled(11);
        assert_eq!(entries.blocks().count(), 3);
        assert_eq!(ids(&entries, 0, 99), (1..=11).collect::<Vec<_>>());
        assert_eq!(ids(&entries, 4, 6), [4, 5, 6]);
        assert_eq!(ids(&entries, 6, 4), [0; 0]);
        assert_eq!(ids(&entries, 12, 99), [0; 0]);
        assert!(entries.contains(id(5)) && !entries.contains(StreamId::new(5, 1)));
    }

    #[test]
    fn trimming_by_blocks_and_exactly() {
        let trimmed = |keep, whole_blocks, removed_max| {
            let mut entries = filled(11);
            let removed = entries.trim(Trim { keep, whole_blocks, removed_max });
            check(&entries);
            (removed, ids(&entries, 0, 99).first().copied())
        };
        assert_eq!(trimmed(Keep::Last(4), false, 0), (7, Some(8)));
        assert_eq!(trimmed(Keep::Last(4), true, 0), (4, Some(5)));
        assert_eq!(trimmed(Keep::Last(0), true, 7), (4, Some(5)));
        assert_eq!(trimmed(Keep::Last(0), false, 0), (11, None));
        assert_eq!(trimmed(Keep::Last(20), false, 0), (0, Some(1)));
        assert_eq!(trimmed(Keep::From(id(7)), false, 0), (6, Some(7)));
        assert_eq!(trimmed(Keep::From(id(7)), true, 0), (4, Some(5)));
        assert_eq!(trimmed(Keep::From(id(70)), true, 0), (11, None));
    }

    #[test]
    fn changes_agree_with_a_model() {
        let mut random = Rng::from_seed(4);
        for _ in 0..50 {
            let (mut entries, mut model, mut last) = (Entries::default(), Vec::new(), 0);
            for _ in 0..100 {
                match random.below(8) {
                    0..5 => {
                        last += 1 + random.below(3);
                        entries.append(id(last), &[b"f", b"v"], LIMITS).unwrap();
                        model.push(last);
                    }
                    5 | 6 => {
                        let ms = 1 + random.below(last + 1);
                        let present = model.contains(&ms);
                        assert_eq!(entries.delete(id(ms)), present);
                        model.retain(|one| *one != ms);
                    }
                    _ => {
                        let kept = random.below(12);
                        let trim = if random.below(2) == 0 {
                            model.drain(..model.len().saturating_sub(kept as usize));
                            Keep::Last(kept)
                        } else {
                            let from = last.saturating_sub(kept);
                            model.retain(|one| *one >= from);
                            Keep::From(id(from))
                        };
                        entries.trim(Trim { keep: trim, whole_blocks: false, removed_max: 0 });
                    }
                }
                assert_eq!(ids(&entries, 0, u64::MAX), model);
                check(&entries);
            }
            let blocks = entries.blocks().map(|(base, block)| (base, block.clone()));
            let copy = Entries::of_blocks(blocks).unwrap();
            assert_eq!((copy.len(), copy.first_id()), (entries.len(), entries.first_id()));
        }
    }

    #[test]
    fn places_are_told_where_nothing_was_deleted() {
        let mut entries = filled(5);
        entries.trim(Trim { keep: Keep::Last(3), whole_blocks: false, removed_max: 0 });
        assert_eq!(
            [0, 1, 3, 4, 5, 6].map(|ms| entries.added_up_to(id(ms))),
            [Some(2), Some(2), Some(3), None, Some(5), None]
        );
        assert!(!entries.has_holes_from(StreamId::MIN));
        entries.delete(id(4));
        assert!(entries.has_holes_from(id(4)) && !entries.has_holes_from(id(5)));
        assert_eq!([3, 5].map(|ms| entries.added_up_to(id(ms))), [None, Some(5)]);
        assert_eq!(Entries::default().added_up_to(id(9)), Some(0));
    }
}
