//! The nodes of a rank tree: leaves with elements, inner nodes with subtrees and their counts.
//!
//! Elements are ordered by score, then by member. A leaf keeps the scores beside the elements, so that a search reads
//! members only where scores are equal. An inner node keeps each subtree's first element with its score, exactly: a
//! change of a subtree writes them again. No node below the root is empty.

use super::element::{Element, ElementRef};
use crate::store::buckets::{prefetch, prefetch_two};
use crate::store::reclaim;

/// Elements of a leaf at most: with them it fills an allocation of 1024 bytes.
const LEAF_PLACES: usize = 63;
/// Subtrees of an inner node at most.
const INNER_PLACES: usize = 63;
/// A node with fewer places in use is filled from its neighbour, or joined to it.
const PLACES_MIN: usize = 20;
/// Neighbours that have so many together become one, with room to grow.
const JOINED_MAX: usize = 50;

const CACHE_LINE_BYTES: usize = 64;

const _: () = assert!(size_of::<Leaf>() <= 1024);

pub struct Leaf {
    len: usize,
    scores: [f64; LEAF_PLACES],
    elements: [Option<Element>; LEAF_PLACES],
}

pub struct Inner {
    len: usize,
    counts: [u64; INNER_PLACES],
    /// The first score and element of each subtree.
    scores: [f64; INNER_PLACES],
    firsts: [ElementRef; INNER_PLACES],
    nodes: [Option<Node>; INNER_PLACES],
}

pub enum Node {
    Leaf(Box<Leaf>),
    Inner(Box<Inner>),
}

/// What to remove.
#[derive(Clone, Copy)]
pub enum Which<'a> {
    Rank(u64),
    /// An element that is there.
    Element(f64, &'a [u8]),
}

/// How many of the places lie before (score, member).
#[inline]
fn places_before<T>(scores: &[f64], places: &[T], score: f64, member: &[u8], read: impl Fn(&T) -> ElementRef) -> usize {
    let equal_at = scores.partition_point(|other| *other < score);
    if scores.get(equal_at) != Some(&score) {
        return equal_at;
    }
    let equals = match scores.get(equal_at + 1) {
        Some(next) if *next == score => scores[equal_at..].partition_point(|other| *other == score),
        _ => 1,
    };
    equal_at + places[equal_at..equal_at + equals].partition_point(|place| read(place).member() < member)
}

impl Drop for Leaf {
    fn drop(&mut self) {
        reclaim::give_way();
    }
}

impl Leaf {
    fn new() -> Leaf {
        Leaf { len: 0, scores: [0.0; LEAF_PLACES], elements: [const { None }; LEAF_PLACES] }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The score and the element at a place in use.
    #[inline]
    pub fn at(&self, at: usize) -> (f64, ElementRef) {
        (self.scores[at], reference(&self.elements[at]))
    }

    /// Brings all of the leaf towards the cache.
    pub fn prefetch(&self) {
        let start = std::ptr::from_ref(self).cast::<u8>();
        for at in (0..size_of::<Leaf>()).step_by(CACHE_LINE_BYTES) {
            prefetch(start.wrapping_add(at));
        }
    }

    /// Brings a place and those that follow it towards the cache.
    pub fn prefetch_places(&self, at: usize) {
        prefetch_two(self.scores.as_ptr().wrapping_add(at).cast());
        prefetch_two(self.elements.as_ptr().wrapping_add(at).cast());
    }

    /// Brings the elements at a place and behind it towards the cache.
    pub fn prefetch_elements(&self, at: usize, count: usize) {
        self.elements.iter().skip(at).take(count).flatten().for_each(|element| element.reference().prefetch());
    }

    fn places_before(&self, score: f64, member: &[u8]) -> usize {
        places_before(&self.scores[..self.len], &self.elements, score, member, reference)
    }

    /// How many elements come before the first of which `before` is false; it must be false for all that follow.
    fn partition(&self, before: impl Fn(f64, ElementRef) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low + (high - low) / 2;
            let (score, element) = self.at(middle);
            if before(score, element) { low = middle + 1 } else { high = middle }
        }
        low
    }

    fn insert_at(&mut self, at: usize, score: f64, element: Element) {
        self.scores.copy_within(at..self.len, at + 1);
        self.scores[at] = score;
        self.elements[at..=self.len].rotate_right(1);
        self.elements[at] = Some(element);
        self.len += 1;
    }

    fn remove_at(&mut self, at: usize) -> Element {
        self.scores.copy_within(at + 1..self.len, at);
        self.elements[at..self.len].rotate_left(1);
        self.len -= 1;
        self.elements[self.len].take().expect("a place in use")
    }

    /// Takes the elements from `at` on away.
    fn split_off(&mut self, at: usize) -> Box<Leaf> {
        let mut right = Box::new(Leaf::new());
        right.take_from(self, at);
        right
    }

    /// Appends the elements of another leaf from `at` on.
    fn take_from(&mut self, other: &mut Leaf, at: usize) {
        for from in at..other.len {
            self.scores[self.len] = other.scores[from];
            self.elements[self.len] = other.elements[from].take();
            self.len += 1;
        }
        other.len = at;
    }
}

#[inline]
fn reference(place: &Option<Element>) -> ElementRef {
    place.as_ref().expect("a place in use").reference()
}

impl Inner {
    fn new() -> Inner {
        Inner {
            len: 0,
            counts: [0; INNER_PLACES],
            scores: [0.0; INNER_PLACES],
            firsts: [ElementRef::nothing(); INNER_PLACES],
            nodes: [const { None }; INNER_PLACES],
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn node(&self, at: usize) -> &Node {
        self.nodes[at].as_ref().expect("a place in use")
    }

    fn node_mut(&mut self, at: usize) -> &mut Node {
        self.nodes[at].as_mut().expect("a place in use")
    }

    /// The subtree with the element at `rank`, and its rank there. A rank at the end or beyond leads to the last one.
    #[inline]
    pub fn place_of_rank(&self, rank: u64) -> (usize, u64) {
        let mut rest = rank;
        for at in 0..self.len - 1 {
            if rest < self.counts[at] {
                return (at, rest);
            }
            rest -= self.counts[at];
        }
        (self.len - 1, rest)
    }

    /// The subtree that (score, member) belongs to.
    fn place_of(&self, score: f64, member: &[u8]) -> usize {
        let at = places_before(&self.scores[..self.len], &self.firsts, score, member, |first| *first);
        let is_first = at < self.len && self.scores[at] == score && self.firsts[at].member() == member;
        if is_first { at } else { at.saturating_sub(1) }
    }

    fn count_before(&self, at: usize) -> u64 {
        self.counts[..at].iter().sum()
    }

    /// Writes again what is kept about a subtree.
    fn note(&mut self, at: usize) {
        let node = self.node(at);
        let (count, (score, first)) = (node.count(), node.first());
        self.counts[at] = count;
        self.scores[at] = score;
        self.firsts[at] = first;
    }

    fn insert_at(&mut self, at: usize, node: Node) {
        self.counts.copy_within(at..self.len, at + 1);
        self.scores.copy_within(at..self.len, at + 1);
        self.firsts.copy_within(at..self.len, at + 1);
        self.nodes[at..=self.len].rotate_right(1);
        self.nodes[at] = Some(node);
        self.len += 1;
        self.note(at);
    }

    fn remove_at(&mut self, at: usize) -> Node {
        self.counts.copy_within(at + 1..self.len, at);
        self.scores.copy_within(at + 1..self.len, at);
        self.firsts.copy_within(at + 1..self.len, at);
        self.nodes[at..self.len].rotate_left(1);
        self.len -= 1;
        self.nodes[self.len].take().expect("a place in use")
    }

    fn split_off(&mut self, at: usize) -> Box<Inner> {
        let mut right = Box::new(Inner::new());
        right.take_from(self, at);
        right
    }

    fn take_from(&mut self, other: &mut Inner, at: usize) {
        for from in at..other.len {
            self.counts[self.len] = other.counts[from];
            self.scores[self.len] = other.scores[from];
            self.firsts[self.len] = other.firsts[from];
            self.nodes[self.len] = other.nodes[from].take();
            self.len += 1;
        }
        other.len = at;
    }

    /// Writes again what is kept about a subtree that has one element less.
    fn note_removal(&mut self, at: usize) {
        if self.node(at).len() == 0 {
            self.remove_at(at);
        } else {
            self.counts[at] -= 1;
            (self.scores[at], self.firsts[at]) = self.node(at).first();
            self.mend(at);
        }
    }

    /// Sees to it that the subtree at `at` has enough places in use, with the help of a neighbour.
    fn mend(&mut self, at: usize) {
        if self.node(at).len() >= PLACES_MIN || self.len == 1 {
            return;
        }
        let left_at = if at + 1 < self.len { at } else { at - 1 };
        let mut right = self.nodes[left_at + 1].take().expect("a place in use");
        let emptied = self.node_mut(left_at).even_out(&mut right);
        self.nodes[left_at + 1] = Some(right);
        self.note(left_at);
        if emptied {
            self.remove_at(left_at + 1);
        } else {
            self.note(left_at + 1);
        }
    }
}

impl Node {
    pub fn empty() -> Node {
        Node::Leaf(Box::new(Leaf::new()))
    }

    /// A root over two nodes.
    pub fn joining(left: Node, right: Node) -> Node {
        let mut inner = Box::new(Inner::new());
        inner.insert_at(0, left);
        inner.insert_at(1, right);
        Node::Inner(inner)
    }

    /// Places in use.
    pub fn len(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.len,
            Node::Inner(inner) => inner.len,
        }
    }

    /// Elements.
    pub fn count(&self) -> u64 {
        match self {
            Node::Leaf(leaf) => leaf.len as u64,
            Node::Inner(inner) => inner.count_before(inner.len),
        }
    }

    fn first(&self) -> (f64, ElementRef) {
        match self {
            Node::Leaf(leaf) => leaf.at(0),
            Node::Inner(inner) => (inner.scores[0], inner.firsts[0]),
        }
    }

    /// The only subtree of an inner node with but one, which can stand in its place.
    pub fn take_only(&mut self) -> Option<Node> {
        match self {
            Node::Inner(inner) if inner.len == 1 => Some(inner.remove_at(0)),
            _ => None,
        }
    }

    /// Inserts an element that is not there. If the node had to be split, its right half comes back, for the place after
    /// it. `is_last` says that nothing in the tree follows the node: a full one is then left full, as it stays when
    /// elements arrive in order.
    pub fn insert(&mut self, score: f64, element: Element, is_last: bool) -> Option<Node> {
        match self {
            Node::Leaf(leaf) => {
                let at = leaf.places_before(score, element.reference().member());
                if leaf.len < LEAF_PLACES {
                    leaf.insert_at(at, score, element);
                    return None;
                }
                let split_at = if is_last && at == leaf.len { at } else { LEAF_PLACES / 2 };
                let mut right = leaf.split_off(split_at);
                match at.checked_sub(split_at) {
                    Some(at) if at > 0 || split_at == LEAF_PLACES => right.insert_at(at, score, element),
                    _ => leaf.insert_at(at, score, element),
                }
                Some(Node::Leaf(right))
            }
            Node::Inner(inner) => {
                let at = inner.place_of(score, element.reference().member());
                let is_last = is_last && at + 1 == inner.len;
                let Some(split) = inner.node_mut(at).insert(score, element, is_last) else {
                    inner.counts[at] += 1;
                    // Only an element before all others becomes the first of its subtree.
                    if at == 0 {
                        (inner.scores[0], inner.firsts[0]) = inner.node(0).first();
                    }
                    return None;
                };
                inner.note(at);
                if inner.len < INNER_PLACES {
                    inner.insert_at(at + 1, split);
                    return None;
                }
                let split_at = if is_last { inner.len } else { INNER_PLACES / 2 };
                let mut right = inner.split_off(split_at);
                match (at + 1).checked_sub(split_at) {
                    Some(at) if at > 0 || split_at == INNER_PLACES => right.insert_at(at, split),
                    _ => inner.insert_at(at + 1, split),
                }
                Some(Node::Inner(right))
            }
        }
    }

    pub fn remove(&mut self, which: Which<'_>) -> Element {
        match self {
            Node::Leaf(leaf) => match which {
                Which::Rank(rank) => leaf.remove_at(rank as usize),
                Which::Element(score, member) => leaf.remove_at(leaf.places_before(score, member)),
            },
            Node::Inner(inner) => {
                let (at, which) = match which {
                    Which::Rank(rank) => {
                        let (at, rank) = inner.place_of_rank(rank);
                        (at, Which::Rank(rank))
                    }
                    Which::Element(score, member) => (inner.place_of(score, member), which),
                };
                let removed = inner.node_mut(at).remove(which);
                inner.note_removal(at);
                removed
            }
        }
    }

    /// Gives the element another score, if it keeps its place in its leaf and that leaf's first element stays what it is.
    /// Else it is removed.
    pub fn rescore(&mut self, score: f64, member: &[u8], to: f64) -> Option<Element> {
        match self {
            Node::Leaf(leaf) => {
                let at = leaf.places_before(score, member);
                let fits = at > 0 && at + 1 < leaf.len && {
                    let ((before, before_element), (after, after_element)) = (leaf.at(at - 1), leaf.at(at + 1));
                    (before < to || before == to && before_element.member() < member)
                        && (to < after || to == after && member < after_element.member())
                };
                if !fits {
                    return Some(leaf.remove_at(at));
                }
                leaf.scores[at] = to;
                leaf.elements[at].as_mut().expect("a place in use").set_score(to);
                None
            }
            Node::Inner(inner) => {
                let at = inner.place_of(score, member);
                let removed = inner.node_mut(at).rescore(score, member, to)?;
                inner.note_removal(at);
                Some(removed)
            }
        }
    }

    /// Moves what this node and its right neighbour hold between them: all to this one if that leaves it room to grow,
    /// else half to each. Whether the neighbour is empty then.
    fn even_out(&mut self, right: &mut Node) -> bool {
        let total = self.len() + right.len();
        let keep = if total <= JOINED_MAX { total } else { total / 2 };
        match (self, right) {
            (Node::Leaf(left), Node::Leaf(right)) => {
                let mut rest = right.split_off(keep.saturating_sub(left.len));
                if left.len <= keep {
                    left.take_from(right, 0)
                } else {
                    right.take_from(left, keep)
                }
                right.take_from(&mut rest, 0);
                right.len == 0
            }
            (Node::Inner(left), Node::Inner(right)) => {
                let mut rest = right.split_off(keep.saturating_sub(left.len));
                if left.len <= keep {
                    left.take_from(right, 0)
                } else {
                    right.take_from(left, keep)
                }
                right.take_from(&mut rest, 0);
                right.len == 0
            }
            _ => unreachable!("neighbours stand equally high"),
        }
    }

    /// The leaf that (score, member) belongs to.
    pub fn leaf_of(&self, score: f64, member: &[u8]) -> &Leaf {
        let mut node = self;
        loop {
            match node {
                Node::Leaf(leaf) => return leaf,
                Node::Inner(inner) => node = inner.node(inner.place_of(score, member)),
            }
        }
    }

    /// How many elements come before (score, member).
    pub fn rank_of(&self, score: f64, member: &[u8]) -> u64 {
        match self {
            Node::Leaf(leaf) => leaf.places_before(score, member) as u64,
            Node::Inner(inner) => {
                let at = inner.place_of(score, member);
                inner.count_before(at) + inner.node(at).rank_of(score, member)
            }
        }
    }

    /// How many elements come before the first of which `before` is false; it must be false for all that follow.
    pub fn partition(&self, before: &impl Fn(f64, ElementRef) -> bool) -> u64 {
        match self {
            Node::Leaf(leaf) => leaf.partition(before) as u64,
            Node::Inner(inner) => {
                let (mut low, mut high) = (0, inner.len);
                while low < high {
                    let middle = low + (high - low) / 2;
                    if before(inner.scores[middle], inner.firsts[middle]) { low = middle + 1 } else { high = middle }
                }
                let Some(at) = low.checked_sub(1) else { return 0 };
                inner.count_before(at) + inner.node(at).partition(before)
            }
        }
    }

    /// Leaves and inner nodes of the subtree.
    #[cfg(test)]
    pub fn node_counts(&self) -> (usize, usize) {
        match self {
            Node::Leaf(_) => (1, 0),
            Node::Inner(inner) => {
                let below = (0..inner.len).map(|at| inner.node(at).node_counts());
                below.fold((0, 1), |sum, one| (sum.0 + one.0, sum.1 + one.1))
            }
        }
    }

    /// Checks every rule of the head comment.
    #[cfg(test)]
    pub fn check(&self, is_root: bool) {
        let len = self.len();
        assert!(is_root || len > 0);
        match self {
            Node::Leaf(leaf) => {
                for at in 0..len {
                    assert_eq!(leaf.at(at).0, leaf.at(at).1.score());
                }
                assert!(leaf.elements[len..].iter().all(Option::is_none));
            }
            Node::Inner(inner) => {
                for at in 0..len {
                    let node = inner.node(at);
                    node.check(false);
                    assert_eq!(inner.counts[at], node.count());
                    assert!(node.first() == (inner.scores[at], inner.firsts[at]));
                    assert_eq!(matches!(node, Node::Leaf(_)), matches!(inner.node(0), Node::Leaf(_)));
                }
                assert!(inner.nodes[len..].iter().all(Option::is_none));
            }
        }
    }
}
