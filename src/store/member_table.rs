//! The hash table inside a large collection: no single change moves more than one segment of it, however large it is.
//!
//! ```text
//! directory (one word per prefix of the hash) -> segment -> groups of 14 places, in hash order -> item
//! ```
//! Extendible hashing: the directory is indexed by the first bits of an item's position (the upper 48 bits of its hash),
//! a segment holds the items of one prefix, and one that is full is split in two. A segment starts with one group and
//! grows by quarters up to 64 groups (896 places), which keeps the load between 0.67 and 0.89; sparse segments shrink and
//! are merged with their buddy. An item's home group is the rest of its position scaled to the number of groups, so
//! groups lie in hash order whatever their number: that is what lets a scan's cursor be a position that stays true while
//! segments grow, split, shrink and merge. A full group passes items on to the next (the last to the first) and counts
//! them; a search goes on while that count is not zero.
//!
//! The table stores no hashes: what moves items takes a function that tells an item's hash. Owned by one collection, and
//! guarded by the lock of its key's slot.

use super::buckets::prefetch_two;
use super::reclaim;
use crate::base::random::Rng;

/// Places of a group: with one byte of tag each and the count of items passed on they fill two cache lines where an item
/// is 8 bytes wide.
const PLACES: usize = 14;
/// Groups of a segment that is split when it is full.
const SEGMENT_GROUPS_MAX: usize = 64;
/// A segment shrinks when its groups hold fewer items than this, on average.
const GROUP_ITEMS_MIN: usize = 4;
/// Buddies are merged when they hold no more items than this together: half of what a full segment holds.
const MERGED_ITEMS_MAX: usize = items_max(SEGMENT_GROUPS_MAX) / 2;
/// A split that would make the directory longer is not worth it while segments hold fewer items than this, on average:
/// the hash is bad, and a longer segment the lesser evil.
const SPLIT_AVERAGE_MIN: usize = 64;
/// Bits of a hash that give an item's position.
const POSITION_BITS: u32 = 48;
/// Longest prefix of a segment, in bits.
const DEPTH_MAX: u32 = 26;
/// Random places looked at by a sample before it takes the next item it finds.
const SAMPLE_TRIES: u32 = 1000;
/// Groups that a scan looks at for each item that it was asked for, at most.
const SCAN_GROUPS_PER_ITEM: usize = 10;

/// What a table holds.
pub trait Item {
    /// Brings what the item's hash and equality are worked out from towards the cache.
    fn prefetch(&self);
}

/// A set of items, found by their hash and an equality that the caller brings.
#[derive(Clone)]
pub struct MemberTable<T> {
    segments: Vec<Segment<T>>,
    /// The segment of each prefix of `depth` bits; empty while there is one segment for all.
    directory: Vec<u32>,
    /// How many segments have a prefix of each length, up to `depth` bits.
    depth_counts: Vec<u32>,
    len: usize,
    groups: usize,
}

/// The items whose positions begin with one prefix.
#[derive(Clone)]
struct Segment<T> {
    groups: Box<[Group<T>]>,
    prefix: u32,
    depth: u8,
    len: u32,
}

#[derive(Clone)]
struct Group<T> {
    /// Of each place: a byte of the item's hash that is not 0, or 0 where there is no item.
    tags: [u8; PLACES],
    /// Items that would not fit into this group and stand in a later one.
    passed_on: u16,
    items: [Option<T>; PLACES],
}

/// Where an item stands. Valid until the table changes.
#[derive(Clone, Copy)]
struct At {
    segment: usize,
    group: usize,
    place: usize,
}

#[inline]
fn position(hash: u64) -> u64 {
    hash >> (u64::BITS - POSITION_BITS)
}

#[inline]
fn tag(hash: u64) -> u8 {
    (hash as u8).max(1)
}

/// The next size of a segment, in groups: 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, ...
fn next_group_count(count: usize) -> usize {
    let step = (count + 1).next_power_of_two() / 8;
    count + step.max(1)
}

/// Items at which a segment of so many groups grows: 12.5 for each, of 14 places.
const fn items_max(groups: usize) -> usize {
    groups * 25 / 2
}

/// The smallest size of a segment that takes so many items and a few more.
fn fitting_group_count(items: usize) -> usize {
    let mut count = 1;
    while items_max(count) <= items {
        count = next_group_count(count);
    }
    count
}

impl<T> Group<T> {
    fn empty() -> Group<T> {
        Group { tags: [0; PLACES], passed_on: 0, items: std::array::from_fn(|_| None) }
    }

    /// A bit for each place whose tag is this one.
    #[inline]
    fn matching(&self, tag: u8) -> u32 {
        let mut places = 0;
        for (place, other) in self.tags.iter().enumerate() {
            places |= u32::from(*other == tag) << place;
        }
        places
    }

    #[inline]
    fn free_place(&self) -> Option<usize> {
        let free = self.matching(0);
        (free != 0).then(|| free.trailing_zeros() as usize)
    }
}

impl<T: Item> Segment<T> {
    fn with_groups(count: usize, prefix: u32, depth: u8) -> Segment<T> {
        Segment { groups: (0..count).map(|_| Group::empty()).collect(), prefix, depth, len: 0 }
    }

    /// Bits of a position that say where in the segment an item is at home.
    fn width(&self) -> u32 {
        POSITION_BITS - u32::from(self.depth)
    }

    #[inline]
    fn home(&self, position: u64) -> usize {
        let within = position & ((1 << self.width()) - 1);
        ((u128::from(within) * self.groups.len() as u128) >> self.width()) as usize
    }

    /// The first position behind those at home in `group`. That of the last group begins the next segment.
    fn end_of(&self, group: usize) -> u64 {
        let within = ((group as u128 + 1) << self.width()).div_ceil(self.groups.len() as u128);
        (u64::from(self.prefix) << self.width()) + within as u64
    }

    #[inline]
    fn next(&self, group: usize) -> usize {
        if group + 1 == self.groups.len() { 0 } else { group + 1 }
    }

    /// Where items at home in `group` may stand: it and those it passes items on to.
    fn chain(&self, group: usize) -> impl Iterator<Item = usize> + '_ {
        let mut at = Some(group);
        std::iter::from_fn(move || {
            let this = at?;
            let next = self.next(this);
            at = (self.groups[this].passed_on > 0 && next != group).then_some(next);
            Some(this)
        })
    }

    #[inline]
    fn find(&self, hash: u64, mut is_it: impl FnMut(&T) -> bool) -> Option<(usize, usize)> {
        let (mut group, tag) = (self.home(position(hash)), tag(hash));
        for _ in 0..self.groups.len() {
            let mut places = self.groups[group].matching(tag);
            while places != 0 {
                let place = places.trailing_zeros() as usize;
                places &= places - 1;
                if self.groups[group].items[place].as_ref().is_some_and(&mut is_it) {
                    return Some((group, place));
                }
            }
            if self.groups[group].passed_on == 0 {
                return None;
            }
            group = self.next(group);
        }
        None
    }

    /// Adds an item; there is a free place.
    fn insert(&mut self, hash: u64, item: T) {
        let mut group = self.home(position(hash));
        loop {
            if let Some(place) = self.groups[group].free_place() {
                self.groups[group].tags[place] = tag(hash);
                self.groups[group].items[place] = Some(item);
                self.len += 1;
                return;
            }
            self.groups[group].passed_on = self.groups[group].passed_on.saturating_add(1);
            group = self.next(group);
        }
    }

    fn remove(&mut self, hash: u64, group: usize, place: usize) -> Option<T> {
        let mut passing = self.home(position(hash));
        while passing != group {
            // A count that ran into its end is not known any more, and stays.
            if self.groups[passing].passed_on < u16::MAX {
                self.groups[passing].passed_on -= 1;
            }
            passing = self.next(passing);
        }
        self.groups[group].tags[place] = 0;
        self.len -= 1;
        self.groups[group].items[place].take()
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.groups.iter().flat_map(|group| &group.items).flatten()
    }

    fn into_items(self) -> impl Iterator<Item = T> {
        self.groups.into_iter().flat_map(|group| group.items).flatten()
    }

    /// Moves all items into as many groups.
    fn resize(&mut self, count: usize, hash_of: impl Fn(&T) -> u64) {
        self.prefetch_items();
        let resized = Segment::with_groups(count, self.prefix, self.depth);
        for item in std::mem::replace(self, resized).into_items() {
            self.insert(hash_of(&item), item);
        }
    }

    /// Brings all items towards the cache, so that the waits for them overlap: their hashes will be asked for.
    fn prefetch_items(&self) {
        self.iter().for_each(Item::prefetch);
    }

    fn is_full(&self) -> bool {
        self.len as usize >= items_max(self.groups.len())
    }
}

impl<T: Item> Default for MemberTable<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for MemberTable<T> {
    fn drop(&mut self) {
        for segment in self.segments.drain(..) {
            drop(segment);
            reclaim::give_way();
        }
    }
}

impl<T: Item> MemberTable<T> {
    pub fn new() -> MemberTable<T> {
        MemberTable { segments: Vec::new(), directory: Vec::new(), depth_counts: Vec::new(), len: 0, groups: 0 }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of the table itself; what its items own is not among them.
    pub fn memory_bytes(&self) -> usize {
        self.groups * size_of::<Group<T>>()
            + self.segments.capacity() * size_of::<Segment<T>>()
            + (self.directory.capacity() + self.depth_counts.capacity()) * size_of::<u32>()
    }

    /// Places for items, and how many segments they stand in.
    pub fn capacity(&self) -> (usize, usize) {
        (self.groups * PLACES, self.segments.len())
    }

    /// Bits of a position that index the directory.
    #[inline]
    fn depth(&self) -> u32 {
        self.directory.len().max(1).trailing_zeros()
    }

    /// The segment of a position; there is at least one.
    #[inline]
    fn segment_of(&self, position: u64) -> usize {
        match self.directory.get((position >> (POSITION_BITS - self.depth())) as usize) {
            Some(segment) => *segment as usize,
            None => 0,
        }
    }

    /// Goes a step towards an item: its group, then the items that may be it. Tells whether there is a further step.
    #[inline]
    pub fn approach(&self, hash: u64, step: u32) -> bool {
        let Some(segment) = self.segments.get(self.segment_of(position(hash))) else { return false };
        let group = &segment.groups[segment.home(position(hash))];
        if step == 0 {
            prefetch_two(std::ptr::from_ref(group).cast());
            return true;
        }
        let mut places = group.matching(tag(hash));
        while places != 0 {
            group.items[places.trailing_zeros() as usize].as_ref().inspect(|item| item.prefetch());
            places &= places - 1;
        }
        false
    }

    #[inline]
    fn locate(&self, hash: u64, is_it: impl FnMut(&T) -> bool) -> Option<At> {
        let index = self.segment_of(position(hash));
        let (group, place) = self.segments.get(index)?.find(hash, is_it)?;
        Some(At { segment: index, group, place })
    }

    #[inline]
    pub fn find(&self, hash: u64, is_it: impl FnMut(&T) -> bool) -> Option<&T> {
        let at = self.locate(hash, is_it)?;
        self.segments[at.segment].groups[at.group].items[at.place].as_ref()
    }

    /// The item, to be changed in a way that leaves its hash.
    #[inline]
    pub fn find_mut(&mut self, hash: u64, is_it: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let at = self.locate(hash, is_it)?;
        self.segments[at.segment].groups[at.group].items[at.place].as_mut()
    }

    /// Adds an item that is not there. `hash` is its hash, and `hash_of` tells that of any.
    pub fn insert(&mut self, hash: u64, item: T, hash_of: impl Fn(&T) -> u64) {
        if self.segments.is_empty() {
            self.segments.reserve_exact(1);
            self.segments.push(Segment::with_groups(1, 0, 0));
            self.depth_counts = vec![1];
            self.groups = 1;
        }
        let mut index = self.segment_of(position(hash));
        while self.segments[index].is_full() {
            self.make_room(index, &hash_of);
            index = self.segment_of(position(hash));
        }
        self.segments[index].insert(hash, item);
        self.len += 1;
    }

    /// Takes an item out.
    pub fn remove(&mut self, hash: u64, is_it: impl FnMut(&T) -> bool, hash_of: impl Fn(&T) -> u64) -> Option<T> {
        let at = self.locate(hash, is_it)?;
        let removed = self.segments[at.segment].remove(hash, at.group, at.place);
        self.len -= 1;
        self.tidy(at.segment, hash_of);
        removed
    }

    // ---- growing and shrinking ----------------------------------------------------------------------------------

    #[cold]
    fn make_room(&mut self, index: usize, hash_of: impl Fn(&T) -> u64) {
        let segment = &self.segments[index];
        let depth = u32::from(segment.depth);
        let splits = segment.groups.len() >= SEGMENT_GROUPS_MAX
            && depth < DEPTH_MAX
            && (depth < self.depth() || self.len >= SPLIT_AVERAGE_MIN << depth);
        if splits {
            self.split(index, hash_of);
        } else {
            self.resize(index, next_group_count(segment.groups.len()), hash_of);
        }
    }

    fn resize(&mut self, index: usize, count: usize, hash_of: impl Fn(&T) -> u64) {
        let segment = &mut self.segments[index];
        self.groups = self.groups + count - segment.groups.len();
        segment.resize(count, hash_of);
    }

    fn split(&mut self, index: usize, hash_of: impl Fn(&T) -> u64) {
        let (prefix, depth) = (self.segments[index].prefix, self.segments[index].depth);
        if u32::from(depth) == self.depth() {
            self.deepen();
        }
        let old = std::mem::replace(&mut self.segments[index], Segment::with_groups(0, 0, 0));
        let old_groups = old.groups.len();
        let bit = POSITION_BITS - u32::from(depth) - 1;
        old.prefetch_items();
        let mut halves: [Vec<(u64, T)>; 2] = Default::default();
        for item in old.into_items() {
            let hash = hash_of(&item);
            halves[(position(hash) >> bit & 1) as usize].push((hash, item));
        }
        let [low, high] = halves.map(|items| (fitting_group_count(items.len()), items));
        self.groups = self.groups + low.0 + high.0 - old_groups;
        let fill = |(count, items): (usize, Vec<(u64, T)>), prefix| {
            let mut segment = Segment::with_groups(count, prefix, depth + 1);
            items.into_iter().for_each(|(hash, item)| segment.insert(hash, item));
            segment
        };
        self.segments[index] = fill(low, prefix << 1);
        self.segments.push(fill(high, prefix << 1 | 1));
        self.point_to(self.segments.len() - 1);
        self.depth_counts[usize::from(depth)] -= 1;
        self.depth_counts[usize::from(depth) + 1] += 2;
    }

    /// Makes the directory twice as long.
    fn deepen(&mut self) {
        if self.directory.is_empty() {
            self.directory.push(0);
        }
        self.directory = self.directory.iter().flat_map(|segment| [*segment; 2]).collect();
        self.depth_counts.push(0);
    }

    /// Enters a segment in the directory.
    fn point_to(&mut self, index: usize) {
        let segment = &self.segments[index];
        let shift = self.depth() - u32::from(segment.depth);
        let first = (segment.prefix as usize) << shift;
        if let Some(entries) = self.directory.get_mut(first..first + (1 << shift)) {
            entries.fill(index as u32);
        }
    }

    /// Gives back what a removal left too large.
    fn tidy(&mut self, index: usize, hash_of: impl Fn(&T) -> u64) {
        let segment = &self.segments[index];
        let (len, groups) = (segment.len as usize, segment.groups.len());
        // Looked at now and then: the buddy is memory that the removal did not touch.
        if segment.depth > 0 && len <= MERGED_ITEMS_MAX && len.is_multiple_of(16) {
            let buddy = self.segment_of(u64::from(segment.prefix ^ 1) << segment.width());
            let other = &self.segments[buddy];
            if other.depth == segment.depth && len + other.len as usize <= MERGED_ITEMS_MAX {
                return self.merge(index, buddy, hash_of);
            }
        }
        if groups > 1 && len < groups * GROUP_ITEMS_MIN {
            self.resize(index, fitting_group_count(len + len / 4), hash_of);
        }
    }

    #[cold]
    fn merge(&mut self, index: usize, buddy: usize, hash_of: impl Fn(&T) -> u64) {
        let (kept, freed) = (index.min(buddy), index.max(buddy));
        let (prefix, depth) = (self.segments[kept].prefix >> 1, self.segments[kept].depth - 1);
        let together = self.segments[kept].len as usize + self.segments[freed].len as usize;
        let count = fitting_group_count(together);
        let first = std::mem::replace(&mut self.segments[kept], Segment::with_groups(count, prefix, depth));
        let second = self.segments.swap_remove(freed);
        first.prefetch_items();
        second.prefetch_items();
        self.groups = self.groups + count - first.groups.len() - second.groups.len();
        for item in first.into_items().chain(second.into_items()) {
            self.segments[kept].insert(hash_of(&item), item);
        }
        self.point_to(kept);
        if freed < self.segments.len() {
            self.point_to(freed);
        }
        self.depth_counts[usize::from(depth) + 1] -= 2;
        self.depth_counts[usize::from(depth)] += 1;
        while self.depth_counts.len() > 1 && self.depth_counts.last() == Some(&0) {
            self.flatten();
        }
        if self.segments.len() < self.segments.capacity() / 4 {
            self.segments.shrink_to_fit();
        }
    }

    /// Makes the directory half as long; no segment needs its last bit.
    fn flatten(&mut self) {
        self.depth_counts.pop();
        self.directory = match self.directory.len() {
            ..=2 => Vec::new(),
            _ => self.directory.iter().step_by(2).copied().collect(),
        };
    }

    // ---- walking ------------------------------------------------------------------------------------------------

    /// All items, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.segments.iter().flat_map(Segment::iter)
    }

    /// An item drawn with the random number; each is as likely as any other.
    pub fn sample(&self, random: u64) -> Option<&T> {
        if self.len == 0 {
            return None;
        }
        let mut rng = Rng::from_seed(random);
        for _ in 0..SAMPLE_TRIES {
            let (segment, group) = self.random_group(&mut rng);
            let place = rng.below(PLACES as u64) as usize;
            if let Some(item) = group.and_then(|group| self.segments[segment].groups[group].items[place].as_ref()) {
                return Some(item);
            }
        }
        let first = rng.below(self.segments.len() as u64) as usize;
        (first..self.segments.len()).chain(0..first).find_map(|segment| self.segments[segment].iter().next())
    }

    /// A group, each as likely as any other. A segment that stands for many entries of the directory is met more often
    /// than its groups deserve, so it is asked for a group that it may not have.
    #[inline]
    fn random_group(&self, rng: &mut Rng) -> (usize, Option<usize>) {
        if self.directory.is_empty() {
            return (0, Some(rng.below(self.segments[0].groups.len() as u64) as usize));
        }
        let index = self.directory[rng.below(self.directory.len() as u64) as usize] as usize;
        let segment = &self.segments[index];
        let shares = SEGMENT_GROUPS_MAX.max(segment.groups.len()) << (self.depth() - u32::from(segment.depth));
        let group = rng.below(shares as u64) as usize;
        (index, (group < segment.groups.len()).then_some(group))
    }

    /// Visits about `count` items from `cursor` on, 0 at first, and gives the cursor that follows, 0 at the end. An item
    /// that stays in the table from the first call to the last is visited exactly once, whatever the table does in
    /// between, because the cursor is a position in hash order.
    pub fn scan(&self, cursor: u64, count: usize, hash_of: impl Fn(&T) -> u64, mut visit: impl FnMut(&T)) -> u64 {
        const END: u64 = 1 << POSITION_BITS;
        let (mut from, mut visited) = (cursor, 0);
        let mut groups_left = count.max(1).saturating_mul(SCAN_GROUPS_PER_ITEM);
        while from < END && visited < count.max(1) && groups_left > 0 && self.len > 0 {
            let segment = &self.segments[self.segment_of(from)];
            let end = segment.end_of(segment.home(from));
            // The end is rounded up, so items below it may be at home in the next group.
            for home in segment.home(from)..=segment.home(end - 1) {
                for group in segment.chain(home) {
                    for item in segment.groups[group].items.iter().flatten() {
                        let position = position(hash_of(item));
                        if (from..end).contains(&position) && segment.home(position) == home {
                            visited += 1;
                            visit(item);
                        }
                    }
                }
            }
            from = end;
            groups_left -= 1;
        }
        if from < END && self.len > 0 { from } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::num::NonZeroU64;

    use super::*;

    fn good(number: &u64) -> u64 {
        Rng::from_seed(*number).next_u64()
    }

    impl Item for u64 {
        fn prefetch(&self) {}
    }

    impl Item for NonZeroU64 {
        fn prefetch(&self) {}
    }

    fn add(table: &mut MemberTable<u64>, number: u64, hash_of: fn(&u64) -> u64) {
        assert!(table.find(hash_of(&number), |other| *other == number).is_none());
        table.insert(hash_of(&number), number, hash_of);
    }

    fn take(table: &mut MemberTable<u64>, number: u64, hash_of: fn(&u64) -> u64) -> Option<u64> {
        table.remove(hash_of(&number), |other| *other == number, hash_of)
    }

    fn check(table: &MemberTable<u64>) {
        assert_eq!(table.iter().count(), table.len());
        assert_eq!(table.segments.iter().map(|segment| segment.groups.len()).sum::<usize>(), table.groups);
        assert_eq!(table.depth_counts.iter().sum::<u32>() as usize, table.segments.len());
        let depth = table.depth();
        assert!(table.directory.is_empty() || table.depth_counts.len() as u32 == depth + 1);
        for (entry, segment) in table.directory.iter().enumerate() {
            let segment = &table.segments[*segment as usize];
            assert_eq!(segment.prefix as usize, entry >> (depth - u32::from(segment.depth)));
        }
        for segment in &table.segments {
            assert_eq!(segment.iter().count(), segment.len as usize);
        }
    }

    #[test]
    fn random_changes_agree_with_a_model() {
        let constant = |_: &u64| 0x1234_5678_9abc_def0u64;
        let few = |number: &u64| good(&(number % 7));
        type HashOf = fn(&u64) -> u64;
        let hashes: [(HashOf, u64); 3] = [(good, 300_000), (constant, 6_000), (few, 20_000)];
        for (hash_of, steps) in hashes {
            let mut rng = Rng::from_seed(5);
            let (mut table, mut model) = (MemberTable::new(), BTreeSet::new());
            for step in 0..steps {
                let growing = step / (steps / 6) % 2 == 0;
                let number = rng.below(steps / 15);
                let found = table.find(hash_of(&number), |other| *other == number).is_some();
                assert_eq!(found, model.contains(&number));
                if found && rng.below(4) < if growing { 1 } else { 3 } {
                    assert_eq!(take(&mut table, number, hash_of), Some(number));
                    model.remove(&number);
                } else if !found && rng.below(4) < if growing { 3 } else { 1 } {
                    add(&mut table, number, hash_of);
                    model.insert(number);
                }
                if step % 1000 == 0 {
                    check(&table);
                }
            }
            assert!(table.iter().copied().collect::<BTreeSet<_>>() == model);
            for number in model {
                assert!(take(&mut table, number, hash_of).is_some());
            }
            check(&table);
            assert!(table.is_empty() && table.segments.len() <= 2 && table.memory_bytes() < 2_000);
        }
    }

    #[test]
    fn items_cost_little_and_no_step_is_long() {
        let mut table: MemberTable<NonZeroU64> = MemberTable::new();
        let hash_of = |item: &NonZeroU64| good(&item.get());
        assert_eq!(size_of::<Group<NonZeroU64>>(), 128);
        let (mut bytes_per_item, mut worst, mut samples) = (0.0, 0.0f64, 0);
        for number in 1..200_000u64 {
            let moved = std::cell::Cell::new(0);
            let counting = |item: &NonZeroU64| {
                moved.set(moved.get() + 1);
                hash_of(item)
            };
            table.insert(good(&number), NonZeroU64::new(number).unwrap(), counting);
            assert!(moved.get() <= SEGMENT_GROUPS_MAX * PLACES, "{}", moved.get());
            // What moves in one piece when it grows: 2 MB of 10 million items.
            let list_bytes = table.segments.capacity() * size_of::<Segment<NonZeroU64>>();
            assert!(number < 10_000 || (list_bytes + table.directory.capacity() * 4) as u64 <= number / 5);
            if number > 10_000 && number % 100 == 0 {
                let cost = table.memory_bytes() as f64 / table.len() as f64;
                (bytes_per_item, worst, samples) = (bytes_per_item + cost, worst.max(cost), samples + 1);
            }
        }
        let average = bytes_per_item / f64::from(samples);
        assert!(average < 12.5 && worst < 14.0, "{average} on average, {worst} at worst");
    }

    #[test]
    fn a_scan_meets_every_lasting_item_once_while_the_table_changes() {
        for (growing, lasting) in [(true, 0..500), (false, 0..500), (true, 0..3), (false, 0..3)] {
            let mut table = MemberTable::new();
            let passing = 1_000..40_000;
            lasting.clone().for_each(|number| add(&mut table, number, good));
            if !growing {
                passing.clone().for_each(|number| add(&mut table, number, good));
            }
            let mut changes = passing;
            let (mut cursor, mut seen) = (0, BTreeMap::new());
            loop {
                let mut visited = 0;
                cursor = table.scan(cursor, 10, good, |number| {
                    visited += 1;
                    *seen.entry(*number).or_insert(0) += 1;
                });
                assert!(visited < 10 + 3 * PLACES);
                if cursor == 0 {
                    break;
                }
                for number in changes.by_ref().take(97) {
                    if growing {
                        add(&mut table, number, good);
                    } else {
                        assert!(take(&mut table, number, good).is_some());
                    }
                }
            }
            for number in lasting {
                assert_eq!(seen[&number], 1, "{number}");
            }
        }
        assert_eq!(MemberTable::<u64>::new().scan(0, 10, good, |_| panic!("empty")), 0);
        assert_eq!(MemberTable::<u64>::new().scan(u64::MAX, 10, good, |_| panic!("empty")), 0);
    }

    #[test]
    fn samples_are_fair() {
        for count in [1, 10, 100, 1_000, 5_000] {
            let mut table = MemberTable::new();
            // Grown and shrunk, so that segments of several depths and sizes stand side by side.
            (0..count + 3_000).for_each(|number| add(&mut table, number, good));
            (count..count + 3_000).for_each(|number| assert!(take(&mut table, number, good).is_some()));
            let (mut rng, mut drawn) = (Rng::from_seed(9), BTreeMap::new());
            for _ in 0..count * 50 {
                *drawn.entry(*table.sample(rng.next_u64()).unwrap()).or_insert(0u32) += 1;
            }
            // Chi square with count - 1 degrees of freedom: its mean is that, its deviation the root of twice that.
            let statistic: f64 =
                (0..count).map(|n| (f64::from(drawn.get(&n).copied().unwrap_or(0)) - 50.0).powi(2) / 50.0).sum();
            let freedom = count as f64 - 1.0;
            assert!((statistic - freedom).abs() <= 4.0 * (2.0 * freedom).sqrt(), "{count}: {statistic}");
        }
        assert!(MemberTable::<u64>::new().sample(1).is_none());
    }
}
