//! An order-statistics B+ tree: the elements of a large sorted set by (score, member), each subtree counted.
//!
//! Looking an element up, its rank, the element of a rank and the number of elements before a bound all take one way
//! down. So every range, by rank, score or member, is a range of ranks, and one iterator serves them all. An operation
//! moves at most a node's places on each level: a sorted set of any size never pauses to grow.
//!
//! The tree owns its elements (`element.rs`); what it removes goes to the caller.

use std::ops::Range;

use smallvec::SmallVec;

use super::element::{Element, ElementRef};
use super::node::{Inner, Leaf, Node, Which};
use crate::base::memory::size_class;

/// Elements that are brought towards the cache ahead of the iterator.
const PREFETCHED: usize = 8;

pub struct RankTree {
    root: Node,
    len: u64,
    /// What the allocator gave for the elements.
    element_bytes: usize,
}

impl Default for RankTree {
    fn default() -> RankTree {
        RankTree { root: Node::empty(), len: 0, element_bytes: 0 }
    }
}

impl RankTree {
    #[inline]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// What the allocator gave for the elements, and about what it gave for the nodes.
    pub fn memory_bytes(&self) -> usize {
        /// Elements to a leaf, about, where they arrived in no order.
        const PER_LEAF: usize = 44;
        let leaves = (self.len as usize).div_ceil(PER_LEAF).max(1);
        self.element_bytes
            + leaves * size_class(size_of::<Leaf>())
            + leaves.div_ceil(PER_LEAF) * size_class(size_of::<Inner>())
    }

    /// Inserts an element whose member is not there.
    pub fn insert(&mut self, element: Element) {
        let reference = element.reference();
        self.element_bytes += reference.memory_bytes();
        self.len += 1;
        if let Some(right) = self.root.insert(reference.score(), element, true) {
            let left = std::mem::replace(&mut self.root, Node::empty());
            self.root = Node::joining(left, right);
        }
    }

    /// Removes an element that is there.
    pub fn remove(&mut self, element: ElementRef) -> Element {
        self.take(Which::Element(element.score(), element.member()))
    }

    /// Removes the element at a rank below the length.
    pub fn remove_at(&mut self, rank: u64) -> Element {
        self.take(Which::Rank(rank))
    }

    fn take(&mut self, which: Which<'_>) -> Element {
        let removed = self.root.remove(which);
        self.note_removal(&removed);
        removed
    }

    fn note_removal(&mut self, removed: &Element) {
        self.element_bytes -= removed.reference().memory_bytes();
        self.len -= 1;
        while let Some(only) = self.root.take_only() {
            self.root = only;
        }
        if self.root.len() == 0 {
            self.root = Node::empty();
        }
    }

    /// Gives an element that is there another score.
    pub fn set_score(&mut self, element: ElementRef, score: f64) {
        if let Some(mut moved) = self.root.rescore(element.score(), element.member(), score) {
            self.note_removal(&moved);
            moved.set_score(score);
            self.insert(moved);
        }
    }

    /// Brings the leaf that (score, member) belongs to towards the cache.
    pub fn prefetch_place(&self, score: f64, member: &[u8]) {
        self.root.leaf_of(score, member).prefetch();
    }

    /// Brings the place of a rank towards the cache, or, as that is there, the elements from it on.
    pub fn prefetch_rank(&self, rank: u64, elements: bool) {
        let (leaf, at) = descend(&self.root, rank, &mut Path::new());
        if elements {
            leaf.prefetch_elements(at, PREFETCHED);
        } else {
            leaf.prefetch_places(at);
        }
    }

    /// How many elements come before (score, member).
    pub fn rank_of(&self, score: f64, member: &[u8]) -> u64 {
        self.root.rank_of(score, member)
    }

    /// How many elements come before the first of which `before` is false; it must be false for all that follow.
    pub fn partition(&self, before: impl Fn(f64, ElementRef) -> bool) -> u64 {
        self.root.partition(&before)
    }

    /// The elements of a range of ranks, which must lie within the tree, from its start or from its end.
    pub fn range(&self, ranks: Range<u64>, reversed: bool) -> Iter<'_> {
        let left = ranks.end.saturating_sub(ranks.start);
        let start = if reversed { ranks.end.saturating_sub(1) } else { ranks.start };
        let mut path = SmallVec::new();
        let (leaf, at) = descend(&self.root, start, &mut path);
        Iter { path, leaf, at, left, reversed, prefetched: 0 }
    }
}

/// The leaf and the place in it of a rank. The way there is added to `path`.
fn descend<'a>(mut node: &'a Node, mut rank: u64, path: &mut Path<'a>) -> (&'a Leaf, usize) {
    loop {
        match node {
            Node::Leaf(leaf) => return (leaf, rank as usize),
            Node::Inner(inner) => {
                let (at, rest) = inner.place_of_rank(rank);
                path.push((inner, at));
                (node, rank) = (inner.node(at), rest);
            }
        }
    }
}

/// Inner nodes from the root down, and the subtree taken in each.
type Path<'a> = SmallVec<[(&'a Inner, usize); 6]>;

/// Scores and members in order.
pub struct Iter<'a> {
    path: Path<'a>,
    leaf: &'a Leaf,
    at: usize,
    /// How many are still to come.
    left: u64,
    reversed: bool,
    /// How many of the next elements of this leaf are on their way to the cache.
    prefetched: usize,
}

impl<'a> Iter<'a> {
    /// Goes on to the neighbouring leaf, which is there.
    #[cold]
    fn turn(&mut self) {
        while let Some((inner, at)) = self.path.pop() {
            let next = if self.reversed { at.checked_sub(1) } else { Some(at + 1).filter(|at| *at < inner.len()) };
            let Some(next) = next else { continue };
            self.path.push((inner, next));
            let edge = if self.reversed { u64::MAX } else { 0 };
            let (leaf, _) = descend(inner.node(next), edge, &mut self.path);
            (self.leaf, self.at) = (leaf, if self.reversed { leaf.len() - 1 } else { 0 });
            self.prefetched = 0;
            return;
        }
        self.left = 0;
    }

    /// Brings the next few elements of the leaf towards the cache.
    fn prefetch(&mut self) {
        let ahead = if self.reversed { self.at + 1 } else { self.leaf.len() - self.at };
        self.prefetched = PREFETCHED.min(ahead).min(self.left.min(PREFETCHED as u64) as usize);
        for distance in 0..self.prefetched {
            let at = if self.reversed { self.at - distance } else { self.at + distance };
            self.leaf.at(at).1.prefetch();
        }
    }

    /// The next element itself.
    #[inline]
    pub fn next_element(&mut self) -> Option<(f64, ElementRef)> {
        if self.left == 0 {
            return None;
        }
        if self.prefetched == 0 {
            self.prefetch();
        }
        self.prefetched = self.prefetched.saturating_sub(1);
        let found = self.leaf.at(self.at);
        self.left -= 1;
        match self.reversed {
            true if self.at > 0 => self.at -= 1,
            false if self.at + 1 < self.leaf.len() => self.at += 1,
            _ if self.left > 0 => self.turn(),
            _ => {}
        }
        Some(found)
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (f64, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<(f64, &'a [u8])> {
        self.next_element().map(|(score, element)| (score, element.member()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Rng;

    /// Ordered like the tree; all scores are finite.
    type Model = Vec<(f64, Vec<u8>)>;

    fn place(model: &Model, score: f64, member: &[u8]) -> usize {
        model.partition_point(|(other, name)| *other < score || *other == score && &name[..] < member)
    }

    fn insert(tree: &mut RankTree, model: &mut Model, score: f64, member: &[u8]) {
        tree.insert(Element::new(score, member));
        let at = place(model, score, member);
        model.insert(at, (score, member.to_vec()));
    }

    fn all(tree: &RankTree, ranks: Range<u64>, reversed: bool) -> Model {
        tree.range(ranks, reversed).map(|(score, member)| (score, member.to_vec())).collect()
    }

    fn same(tree: &RankTree, model: &Model) {
        tree.root.check(true);
        assert_eq!(tree.len(), model.len() as u64);
        assert!(all(tree, 0..tree.len(), false) == *model);
        let backwards: Model = model.iter().rev().cloned().collect();
        assert!(all(tree, 0..tree.len(), true) == backwards);
    }

    fn grown(count: u64, member_of: impl Fn(u64) -> (f64, String)) -> (RankTree, Model) {
        let (mut tree, mut model) = (RankTree::default(), Model::new());
        for index in 0..count {
            let (score, member) = member_of(index);
            insert(&mut tree, &mut model, score, member.as_bytes());
        }
        same(&tree, &model);
        (tree, model)
    }

    #[test]
    fn any_order_of_growing_and_shrinking_keeps_the_order() {
        let mut rng = Rng::from_seed(3);
        for kind in 0..5 {
            let (mut tree, mut model) = grown(6000, |index| match kind {
                0 => (index as f64, format!("m{index}")),
                1 => (-(index as f64), format!("m{index}")),
                2 => (0.0, format!("{:05}", index * 7919 % 6007)),
                3 => ((index * 7919 % 6007) as f64, format!("m{index}")),
                _ => ((index * 7919 % 13) as f64, format!("m{index}")),
            });
            for round in 0.. {
                if model.is_empty() {
                    break;
                }
                let at = match kind {
                    0 => 0,
                    1 => model.len() - 1,
                    _ => rng.below(model.len() as u64) as usize,
                };
                let (score, member) = model.remove(at);
                let (_, element) = tree.range(at as u64..at as u64 + 1, false).next_element().unwrap();
                let removed = if round % 2 == 0 { tree.remove(element) } else { tree.remove_at(at as u64) };
                assert_eq!((removed.reference().score(), removed.reference().member()), (score, &member[..]));
                if round % 997 == 0 || model.len() < 3 {
                    same(&tree, &model);
                }
            }
            assert_eq!((tree.len(), tree.element_bytes), (0, 0));
        }
    }

    #[test]
    fn ranks_bounds_and_ranges_agree_with_a_sorted_list() {
        let (tree, model) = grown(5000, |index| ((index * 31 % 500) as f64, format!("m{index:04}")));
        let mut rng = Rng::from_seed(5);
        for _ in 0..500 {
            let rank = rng.below(5000);
            let (score, member) = &model[rank as usize];
            assert_eq!(tree.rank_of(*score, member), rank);
            assert_eq!(tree.rank_of(*score, &[member, &b"x"[..]].concat()), rank + 1);
            let end = rank + rng.below(5001 - rank);
            assert!(all(&tree, rank..end, false) == model[rank as usize..end as usize]);
            let backwards: Model = model[rank as usize..end as usize].iter().rev().cloned().collect();
            assert!(all(&tree, rank..end, true) == backwards);
            let bound = rng.below(502) as f64 - 1.0;
            let expected = model.iter().filter(|(score, _)| *score < bound).count();
            assert_eq!(tree.partition(|score, _| score < bound), expected as u64);
        }
    }

    #[test]
    fn a_changed_score_moves_the_element() {
        let (mut tree, mut model) = grown(3000, |index| ((index % 300) as f64, format!("m{index:04}")));
        let mut rng = Rng::from_seed(9);
        for round in 0..4000 {
            let at = rng.below(3000) as usize;
            let (score, member) = model.remove(at);
            let moved = if round % 2 == 0 { score + 0.5 } else { rng.below(300) as f64 };
            let (_, element) = tree.range(at as u64..at as u64 + 1, false).next_element().unwrap();
            tree.set_score(element, moved);
            let to = place(&model, moved, &member);
            model.insert(to, (moved, member));
        }
        same(&tree, &model);
    }

    #[test]
    fn nodes_are_well_filled() {
        let (leaves, _) = grown(20_000, |index| (index as f64, format!("m{index}"))).0.root.node_counts();
        assert!(leaves <= 20_000 / 63 + 1);
        let mut rng = Rng::from_seed(1);
        let mut tree = RankTree::default();
        for index in 0..50_000u64 {
            tree.insert(Element::new(rng.below(1 << 40) as f64, &index.to_le_bytes()));
        }
        let (leaves, inner) = tree.root.node_counts();
        assert!(leaves < 50_000 / 40 && inner < leaves / 30, "{leaves} leaves, {inner} inner nodes");
    }
}
