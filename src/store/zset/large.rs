//! A large sorted set: its elements in order, and an index of them by member.

use std::cmp::Ordering;
use std::ops::Range;

use smallvec::SmallVec;

use super::element::{Element, ElementRef};
use super::rank_tree::{Iter, RankTree};
use crate::base::double::parse_double;
use crate::base::number::parse_i64;
use crate::store::collection::{Aim, Sought};
use crate::store::member::hash;
use crate::store::member_table::{Item, MemberTable};

/// Elements of a range that are sought in the index ahead of their removal.
const REMOVED_TOGETHER: u64 = 16;

/// The tree owns the elements; the index refers to the same ones.
#[derive(Default)]
pub struct Zset {
    tree: RankTree,
    index: MemberTable<ElementRef>,
}

impl Item for ElementRef {
    #[inline]
    fn prefetch(&self) {
        ElementRef::prefetch(*self);
    }
}

#[inline]
fn hash_of(element: &ElementRef) -> u64 {
    hash(element.member())
}

impl Zset {
    /// Goes a step towards a member, and the places where it stands and where a new score puts it; or towards a rank.
    pub fn approach(&self, sought: &mut Sought<'_>, step: u32) -> bool {
        // Where a command names a member, it is mostly the last of its arguments, and a score comes before it.
        let (member, score) = match sought.arguments {
            [rank, ..] if sought.aim == Aim::Ranks => {
                return parse_i64(rank).is_some_and(|rank| self.approach_rank(rank, step));
            }
            [.., score, member] => (member, Some(score)),
            [member] => (member, None),
            [] => return false,
        };
        let hash = sought.hash_of(member, step);
        match step {
            0 => self.index.approach(hash, 0),
            1 => {
                self.index.approach(hash, 1);
                sought.aim == Aim::Places
            }
            _ => {
                let old = self.index.find(hash, |element| element.member() == *member).map(|element| element.score());
                let new = score.and_then(|score| parse_double(score));
                old.into_iter().chain(new).for_each(|score| self.tree.prefetch_place(score, member));
                false
            }
        }
    }

    /// The same towards a rank, which counts from the end if it is negative.
    fn approach_rank(&self, rank: i64, step: u32) -> bool {
        let len = self.tree.len();
        let rank = if rank < 0 { len.saturating_sub(rank.unsigned_abs()) } else { rank.unsigned_abs() };
        if rank < len {
            self.tree.prefetch_rank(rank, step > 0);
        }
        step == 0
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.tree.len() as usize
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn memory_bytes(&self) -> usize {
        size_of::<Zset>() + self.tree.memory_bytes() + self.index.memory_bytes()
    }

    /// Places of the index, and how many segments they stand in.
    pub fn index_capacity(&self) -> (usize, usize) {
        self.index.capacity()
    }

    #[inline]
    fn find(&self, member: &[u8]) -> Option<ElementRef> {
        self.index.find(hash(member), |element| element.member() == member).copied()
    }

    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        self.find(member).map(ElementRef::score)
    }

    /// A member's rank and score.
    pub fn rank(&self, member: &[u8]) -> Option<(u64, f64)> {
        let score = self.score(member)?;
        Some((self.tree.rank_of(score, member), score))
    }

    /// Gives a member the score that `score` makes of the one it has, or inserts it; where that is none, nothing is done.
    pub fn update(&mut self, member: &[u8], score: impl FnOnce(Option<f64>) -> Option<f64>) {
        let hash = hash(member);
        match self.index.find(hash, |element| element.member() == member).copied() {
            Some(element) => {
                if let Some(score) = score(Some(element.score())) {
                    self.tree.set_score(element, score);
                }
            }
            None => {
                if let Some(score) = score(None) {
                    self.insert_new(hash, Element::new(score, member));
                }
            }
        }
    }

    /// Inserts a member, unless it is there.
    pub fn insert(&mut self, score: f64, member: &[u8]) -> bool {
        let hash = hash(member);
        let is_new = self.index.find(hash, |element| element.member() == member).is_none();
        if is_new {
            self.insert_new(hash, Element::new(score, member));
        }
        is_new
    }

    fn insert_new(&mut self, hash: u64, element: Element) {
        self.index.insert(hash, element.reference(), hash_of);
        self.tree.insert(element);
    }

    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self.index.remove(hash(member), |element| element.member() == member, hash_of) {
            Some(element) => {
                drop(self.tree.remove(element));
                true
            }
            None => false,
        }
    }

    /// Removes a range of ranks, which must lie within the set.
    pub fn remove_ranks(&mut self, ranks: Range<u64>) {
        let mut left = ranks.end - ranks.start;
        while left > 0 {
            // The waits for the places in the index overlap.
            let run = left.min(REMOVED_TOGETHER);
            let mut hashes: SmallVec<[u64; REMOVED_TOGETHER as usize]> = SmallVec::new();
            let mut elements = self.tree.range(ranks.start..ranks.start + run, false);
            while let Some((_, element)) = elements.next_element() {
                let hash = hash_of(&element);
                self.index.approach(hash, 0);
                hashes.push(hash);
            }
            drop(elements);
            for hash in hashes {
                let removed = self.tree.remove_at(ranks.start);
                let reference = removed.reference();
                self.index.remove(hash, |element| *element == reference, hash_of);
            }
            left -= run;
        }
    }

    /// How many elements come before the first of which `before` is false; it must be false for all that follow.
    pub fn partition(&self, before: impl Fn(f64, ElementRef) -> bool) -> u64 {
        self.tree.partition(before)
    }

    /// The elements of a range of ranks, which must lie within the set, from its start or from its end.
    pub fn range(&self, ranks: Range<u64>, reversed: bool) -> Iter<'_> {
        self.tree.range(ranks, reversed)
    }

    /// Visits about `count` elements from `cursor` on, 0 at first, and gives the cursor that follows, 0 at the end.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], f64)) -> u64 {
        self.index.scan(cursor, count, hash_of, |element| visit(element.member(), element.score()))
    }
}

impl Clone for Zset {
    fn clone(&self) -> Zset {
        let mut copy = Zset::default();
        for (score, member) in self.range(0..self.tree.len(), false) {
            copy.insert_new(hash(member), Element::new(score, member));
        }
        copy
    }
}

/// Gathers members whose scores are combined, and makes a sorted set of them in the end.
#[derive(Default)]
pub struct Gathering {
    elements: Vec<Element>,
    index: MemberTable<ElementRef>,
}

impl Gathering {
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Length of the longest member.
    pub fn longest(&self) -> usize {
        self.elements.iter().map(|element| element.reference().member().len()).max().unwrap_or(0)
    }

    /// Adds a member with its score, or combines the score that it has with this one.
    pub fn add(&mut self, score: f64, member: &[u8], combine: impl FnOnce(f64, f64) -> f64) {
        let hash = hash(member);
        match self.index.find_mut(hash, |element| element.member() == member) {
            Some(element) => element.set_score(combine(element.score(), score)),
            None => self.push(hash, Element::new(score, member)),
        }
    }

    /// Adds a member with its score, unless it is there.
    pub fn add_new(&mut self, score: f64, member: &[u8]) -> bool {
        let hash = hash(member);
        let is_new = self.index.find(hash, |element| element.member() == member).is_none();
        if is_new {
            self.push(hash, Element::new(score, member));
        }
        is_new
    }

    fn push(&mut self, hash: u64, element: Element) {
        self.index.insert(hash, element.reference(), hash_of);
        self.elements.push(element);
    }

    /// What was gathered, in order.
    pub fn finish(mut self) -> Sorted {
        self.elements.sort_unstable_by(|one, other| {
            let (one, other) = (one.reference(), other.reference());
            one.score()
                .partial_cmp(&other.score())
                .unwrap_or(Ordering::Equal)
                .then_with(|| one.member().cmp(other.member()))
        });
        Sorted(self)
    }
}

/// Members and scores in order.
pub struct Sorted(Gathering);

impl Sorted {
    pub fn len(&self) -> usize {
        self.0.elements.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = (f64, &[u8])> {
        self.0.elements.iter().map(|element| (element.reference().score(), element.reference().member()))
    }

    pub fn into_zset(self) -> Zset {
        let mut zset = Zset { tree: RankTree::default(), index: self.0.index };
        self.0.elements.into_iter().for_each(|element| zset.tree.insert(element));
        zset
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Rng;

    #[test]
    fn index_and_order_agree_through_random_changes() {
        let (mut zset, mut rng) = (Zset::default(), Rng::from_seed(11));
        let mut model = std::collections::BTreeMap::new();
        for _ in 0..60_000 {
            let number = rng.below(4000);
            let (member, score) = (number.to_string(), rng.below(1000) as f64);
            match rng.below(5) {
                0..3 => {
                    let before = model.insert(number, score);
                    zset.update(member.as_bytes(), |old| {
                        assert_eq!(old, before);
                        Some(score)
                    });
                }
                3 => assert_eq!(zset.remove(member.as_bytes()), model.remove(&number).is_some()),
                _ => {
                    let rank = zset.rank(member.as_bytes());
                    assert_eq!(rank.map(|(_, score)| score), model.get(&number).copied());
                    if let Some((rank, score)) = rank {
                        assert_eq!(zset.range(rank..rank + 1, false).next(), Some((score, member.as_bytes())));
                    }
                }
            }
            assert_eq!(zset.len(), model.len());
        }
        let copy = zset.clone();
        zset.remove_ranks(10..zset.len() as u64 - 10);
        assert_eq!((zset.len(), copy.len()), (20, model.len()));
        let (mut seen, mut cursor) = (0, 0);
        loop {
            cursor = copy.scan(cursor, 10, |member, score| {
                let number: u64 = std::str::from_utf8(member).unwrap().parse().unwrap();
                assert_eq!(model[&number], score);
                seen += 1;
            });
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(seen, model.len());
    }

    #[test]
    fn gathered_scores_are_combined_and_sorted() {
        let mut gathering = Gathering::default();
        for (score, member) in [(3.0, "c"), (1.0, "a"), (2.0, "b"), (5.0, "a"), (-0.0, "z"), (0.0, "y")] {
            gathering.add(score, member.as_bytes(), |one, other| one + other);
        }
        let zset = gathering.finish().into_zset();
        let order: Vec<_> = zset.range(0..5, false).map(|(score, _)| score).collect();
        assert_eq!(order, [0.0, 0.0, 2.0, 3.0, 6.0]);
        assert_eq!((zset.rank(b"y"), zset.rank(b"a")), (Some((0, 0.0)), Some((4, 6.0))));
    }

    #[test]
    fn a_member_costs_less_than_76_bytes() {
        let mut zset = Zset::default();
        let mut rng = Rng::from_seed(2);
        for number in 0..200_000 {
            zset.insert(rng.below(1 << 50) as f64, format!("member:{number:09}").as_bytes());
        }
        let cost = zset.memory_bytes() as f64 / zset.len() as f64;
        assert!(cost < 72.0, "{cost}");
    }
}
