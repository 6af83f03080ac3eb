//! A large list: nodes in order, in chunks of a few hundred.
//!
//! ```text
//! LargeList -> deque of chunks, each with its number of elements -> deque of nodes -> elements
//! ```
//! An element is found by its index by passing chunks, then nodes, from the nearer end. Nothing ever moves more than a
//! chunk's nodes, a node's bytes, or the deque of chunks, which for ten million elements are microseconds each.
//! `len`, the chunks' counts and the memory counter are right after every call; no chunk and no node is empty.

#![allow(unsafe_code)]

use std::collections::VecDeque;

use super::node::Node;
use super::{ListLimits, Side};
use crate::store::buckets::{CACHE_LINE_BYTES, prefetch};
use crate::store::collection::{Aim, Large, Sought, ValueType};
use crate::store::listpack::{Element, Listpack};
use crate::store::reclaim::{self, RECLAIMER};

/// Nodes of a chunk; a full one is split when a node comes into it.
const CHUNK_NODES_MAX: usize = 256;
/// Two neighbours are joined if that fills no more than one part in so many.
const JOINED_SHARE: usize = 2;
/// Freeing so many bytes is left to the background.
const GARBAGE_BYTES_MIN: usize = 64 << 10;

#[derive(Clone, Default)]
struct Chunk {
    nodes: VecDeque<Node>,
    elements: usize,
}

impl Drop for Chunk {
    fn drop(&mut self) {
        reclaim::give_way();
    }
}

/// What is touched at an end of a list: addresses of a chunk, its node and the node's elements. They are for prefetching
/// and never followed, since all but a push or a pop there leaves them as they are.
#[derive(Clone, Copy, Default)]
struct End {
    chunk: usize,
    node: usize,
    elements: usize,
}

impl End {
    #[inline]
    fn prefetch(self) {
        prefetch(self.chunk as *const u8);
        prefetch(self.node as *const u8);
        // What is pushed goes in front of the elements or behind them.
        for line in [self.elements.wrapping_sub(CACHE_LINE_BYTES), self.elements, self.elements + CACHE_LINE_BYTES] {
            prefetch(line as *const u8);
        }
    }
}

#[derive(Clone, Default)]
#[repr(C)]
pub struct LargeList {
    /// First, as the object's first two lines are fetched ahead.
    ends: [End; 2],
    chunks: VecDeque<Chunk>,
    len: usize,
    nodes: usize,
    /// Bytes of all nodes' buffers.
    buffer_bytes: usize,
}

/// An element's chunk, node, and index in it.
#[derive(Clone, Copy, Debug)]
struct Place {
    chunk: usize,
    node: usize,
    index: usize,
}

impl LargeList {
    /// A list of a listpack's elements.
    pub fn of_listpack(bytes: &[u8]) -> LargeList {
        let mut list = LargeList::default();
        list.push_node(Side::Tail, Node::packed(bytes, Listpack::new(bytes).count()));
        list
    }

    pub fn node_count(&self) -> usize {
        self.nodes
    }

    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = &Node> {
        self.chunks.iter().flat_map(|chunk| &chunk.nodes)
    }

    /// The only node, if it is a packed one.
    pub fn only_listpack(&self) -> Option<Listpack<'_>> {
        let node = self.chunks.front().and_then(|chunk| chunk.nodes.front());
        node.filter(|node| self.nodes == 1 && node.is_packed()).map(|node| Listpack::new(node.listpack()))
    }

    // ---- counters -----------------------------------------------------------------------------------------------

    fn count_in(&mut self, node: &Node) {
        self.len += node.count();
        self.nodes += 1;
        self.buffer_bytes += node.buffer_bytes();
    }

    fn count_out(&mut self, node: &Node) {
        self.len -= node.count();
        self.nodes -= 1;
        self.buffer_bytes -= node.buffer_bytes();
    }

    /// Has `work` change a node, and counts what changed.
    #[inline]
    fn change<R>(&mut self, chunk: usize, node: usize, work: impl FnOnce(&mut Node) -> R) -> R {
        let chunk = &mut self.chunks[chunk];
        let node = &mut chunk.nodes[node];
        let (count, bytes) = (node.count(), node.buffer_bytes());
        let result = work(node);
        chunk.elements = chunk.elements - count + node.count();
        self.len = self.len - count + node.count();
        self.buffer_bytes = self.buffer_bytes - bytes + node.buffer_bytes();
        result
    }

    // ---- nodes --------------------------------------------------------------------------------------------------

    pub fn push_node(&mut self, side: Side, node: Node) {
        let end = match side {
            Side::Head => self.chunks.front(),
            Side::Tail => self.chunks.back(),
        };
        if end.is_none_or(|chunk| chunk.nodes.len() >= CHUNK_NODES_MAX) {
            match side {
                Side::Head => self.chunks.push_front(Chunk::default()),
                Side::Tail => self.chunks.push_back(Chunk::default()),
            }
        }
        let (chunk, at) = match side {
            Side::Head => (0, 0),
            Side::Tail => (self.chunks.len() - 1, self.chunks[self.chunks.len() - 1].nodes.len()),
        };
        self.insert_node(chunk, at, node);
    }

    /// Puts a node in front of the one at `at`; gives its place, as chunks may be split for it.
    fn insert_node(&mut self, mut chunk: usize, mut at: usize, node: Node) -> (usize, usize) {
        self.count_in(&node);
        if self.chunks[chunk].nodes.len() >= CHUNK_NODES_MAX {
            let nodes = self.chunks[chunk].nodes.split_off(CHUNK_NODES_MAX / 2);
            let elements = nodes.iter().map(Node::count).sum();
            self.chunks[chunk].elements -= elements;
            self.chunks.insert(chunk + 1, Chunk { nodes, elements });
            if at > CHUNK_NODES_MAX / 2 {
                (chunk, at) = (chunk + 1, at - CHUNK_NODES_MAX / 2);
            }
        }
        let into = &mut self.chunks[chunk];
        into.elements += node.count();
        into.nodes.insert(at, node);
        (chunk, at)
    }

    fn remove_node(&mut self, chunk: usize, at: usize) -> Option<Node> {
        let node = self.chunks[chunk].nodes.remove(at)?;
        self.count_out(&node);
        self.chunks[chunk].elements -= node.count();
        if self.chunks[chunk].nodes.is_empty() {
            self.chunks.remove(chunk);
        }
        Some(node)
    }

    /// Joins a node with the next one of its chunk, if together they are far from full; tells whether it did.
    fn join(&mut self, chunk: usize, at: usize, limits: &ListLimits) -> bool {
        let nodes = &self.chunks[chunk].nodes;
        let (Some(one), Some(next)) = (nodes.get(at), nodes.get(at + 1)) else { return false };
        let bytes = JOINED_SHARE * (one.content_bytes() + next.content_bytes());
        let joined =
            one.is_packed() && next.is_packed() && limits.allows(bytes, JOINED_SHARE * (one.count() + next.count()));
        if joined && let Some(next) = self.remove_node(chunk, at + 1) {
            self.change(chunk, at, |node| node.append(&next));
        }
        joined
    }

    /// Where an element stands, sought from the nearer end.
    fn place(&self, index: usize) -> Option<Place> {
        if index >= self.len {
            return None;
        }
        if index <= self.len / 2 {
            let mut left = index;
            let chunk = self.chunks.iter().position(|chunk| passes(&mut left, chunk.elements))?;
            let node = self.chunks[chunk].nodes.iter().position(|node| passes(&mut left, node.count()))?;
            return Some(Place { chunk, node, index: left });
        }
        let mut left = self.len - 1 - index;
        let chunk = self.chunks.iter().rposition(|chunk| passes(&mut left, chunk.elements))?;
        let nodes = &self.chunks[chunk].nodes;
        let node = nodes.iter().rposition(|node| passes(&mut left, node.count()))?;
        Some(Place { chunk, node, index: nodes[node].count() - 1 - left })
    }

    // ---- compression --------------------------------------------------------------------------------------------

    /// Whether a node is so far from both ends that it is compressed.
    fn is_inner(&self, chunk: usize, at: usize, depth: usize) -> bool {
        depth > 0 && {
            let before = self.chunks.iter().take(chunk).map(|chunk| chunk.nodes.len());
            let after = self.chunks.iter().skip(chunk + 1).map(|chunk| chunk.nodes.len());
            let own = self.chunks[chunk].nodes.len();
            reaches(before.chain([at]), depth) && reaches(after.chain([own - 1 - at]), depth)
        }
    }

    /// Compresses a node that was changed, if it is one of those.
    fn settle(&mut self, chunk: usize, at: usize, limits: &ListLimits) {
        if self.is_inner(chunk, at, limits.compress_depth) {
            self.change(chunk, at, Node::compress);
        }
        self.settle_ends(limits);
    }

    /// Has the nodes at both ends uncompressed, and compresses the next ones.
    fn settle_ends(&mut self, limits: &ListLimits) {
        let depth = limits.compress_depth;
        if depth == 0 {
            return;
        }
        for from_end in 0..=depth.min(self.nodes) {
            for side in [Side::Head, Side::Tail] {
                let Some((chunk, at)) = self.nth_node(side, from_end) else { continue };
                if self.is_inner(chunk, at, depth) {
                    self.change(chunk, at, Node::compress);
                } else {
                    self.change(chunk, at, Node::unpack);
                }
            }
        }
    }

    /// Compresses all nodes away from the ends.
    pub fn compress_inner(&mut self, limits: &ListLimits) {
        if limits.compress_depth == 0 {
            return;
        }
        for chunk in 0..self.chunks.len() {
            for at in 0..self.chunks[chunk].nodes.len() {
                if self.is_inner(chunk, at, limits.compress_depth) {
                    self.change(chunk, at, Node::compress);
                }
            }
        }
    }

    fn nth_node(&self, side: Side, mut nth: usize) -> Option<(usize, usize)> {
        let fits = |chunk: &Chunk| passes(&mut nth, chunk.nodes.len());
        match side {
            Side::Head => self.chunks.iter().position(fits).map(|chunk| (chunk, nth)),
            Side::Tail => {
                let chunk = self.chunks.iter().rposition(fits)?;
                Some((chunk, self.chunks[chunk].nodes.len() - 1 - nth))
            }
        }
    }

    // ---- elements -----------------------------------------------------------------------------------------------

    #[inline]
    pub fn push(&mut self, side: Side, text: &[u8], limits: &ListLimits) {
        if let (Some(chunk), false) = (self.chunks.len().checked_sub(1), limits.is_plain(text)) {
            let chunk = if side == Side::Head { 0 } else { chunk };
            let at = if side == Side::Head { 0 } else { self.chunks[chunk].nodes.len() - 1 };
            let node = &self.chunks[chunk].nodes[at];
            let element = Element::of(text);
            if node.is_packed() && limits.allows(node.content_bytes() + element.packed_bytes(), node.count() + 1) {
                self.change(chunk, at, |node| node.insert(if side == Side::Head { 0 } else { node.count() }, element));
                self.note_end(side);
                return;
            }
            self.change(chunk, at, Node::trim);
        }
        self.push_node(side, node_of(text, limits));
        self.settle_ends(limits);
        self.note_end(side);
    }

    /// Notes where the end is that was just touched.
    #[inline]
    fn note_end(&mut self, side: Side) {
        let (chunk, node) = match side {
            Side::Head => (self.chunks.front(), self.chunks.front().and_then(|chunk| chunk.nodes.front())),
            Side::Tail => (self.chunks.back(), self.chunks.back().and_then(|chunk| chunk.nodes.back())),
        };
        if let (Some(chunk), Some(node)) = (chunk, node) {
            let [chunk_at, node_at] = [std::ptr::from_ref(chunk).addr(), std::ptr::from_ref(node).addr()];
            self.ends[side as usize] = End { chunk: chunk_at, node: node_at, elements: node.end_address(side) };
        }
    }

    /// Removes the element at an end, showing it to `take` before.
    #[inline]
    pub fn pop(&mut self, side: Side, take: impl FnOnce(Element<'_>), limits: &ListLimits) {
        let Some(last) = self.chunks.len().checked_sub(1) else { return };
        let chunk = if side == Side::Head { 0 } else { last };
        let at = if side == Side::Head { 0 } else { self.chunks[chunk].nodes.len() - 1 };
        let emptied = self.change(chunk, at, |node| {
            node.unpack();
            let index = if side == Side::Head { 0 } else { node.count() - 1 };
            let mut take = Some(take);
            node.content().visit(index, |element| {
                if let Some(take) = take.take() {
                    take(element);
                }
                false
            });
            node.remove(index, 1);
            node.count() == 0
        });
        if emptied {
            self.remove_node(chunk, at);
            self.settle_ends(limits);
        }
        self.note_end(side);
    }

    /// Shows elements and their indexes from `first` on, in either direction, until `visit` has enough.
    pub fn visit(&self, first: usize, backwards: bool, mut visit: impl FnMut(usize, Element<'_>) -> bool) {
        let Some(place) = self.place(first) else { return };
        let mut index = first;
        if backwards {
            let mut show = |element: Element<'_>| {
                let more = visit(index, element);
                index = index.wrapping_sub(1);
                more
            };
            let own = &self.chunks[place.chunk].nodes;
            if !own[place.node].content().visit_back(place.index, &mut show) {
                return;
            }
            let before = self.chunks.range(..place.chunk).rev().flat_map(|chunk| chunk.nodes.iter().rev());
            let rest = own.range(..place.node).rev().chain(before);
            for node in rest {
                if !node.content().visit_back(node.count() - 1, &mut show) {
                    return;
                }
            }
        } else {
            let mut show = |element: Element<'_>| {
                let more = visit(index, element);
                index += 1;
                more
            };
            let own = &self.chunks[place.chunk].nodes;
            if !own[place.node].content().visit(place.index, &mut show) {
                return;
            }
            let after = self.chunks.range(place.chunk + 1..).flat_map(|chunk| &chunk.nodes);
            for node in own.range(place.node + 1..).chain(after) {
                if !node.content().visit(0, &mut show) {
                    return;
                }
            }
        }
    }

    /// Replaces the element at an index; false when there is none.
    pub fn set(&mut self, index: usize, text: &[u8], limits: &ListLimits) -> bool {
        let Some(Place { chunk, node: at, index }) = self.place(index) else { return false };
        self.change(chunk, at, Node::unpack);
        let node = &self.chunks[chunk].nodes[at];
        let grown = node.content_bytes() + Element::of(text).packed_bytes();
        if node.is_packed() && !limits.is_plain(text) && (node.count() == 1 || limits.allows(grown, node.count())) {
            self.change(chunk, at, |node| node.replace(index, Element::of(text)));
            self.settle(chunk, at, limits);
        } else {
            // A node of its own takes the element's place.
            let (chunk, at) = self.part(chunk, at, index);
            self.change(chunk, at, |node| node.remove(0, 1));
            let (chunk, at) = self.insert_node(chunk, at, node_of(text, limits));
            self.drop_if_empty(chunk, at + 1);
            self.settle(chunk, at, limits);
        }
        true
    }

    /// Drops the node behind, if it has no elements. It may stand in the next chunk.
    fn drop_if_empty(&mut self, chunk: usize, at: usize) {
        let (chunk, at) = if at < self.chunks[chunk].nodes.len() { (chunk, at) } else { (chunk + 1, 0) };
        if self.chunks.get(chunk).and_then(|chunk| chunk.nodes.get(at)).is_some_and(|node| node.count() == 0) {
            self.remove_node(chunk, at);
        }
    }

    /// Splits a node that is not compressed so that the element at `index` is the first of its node; gives the place.
    fn part(&mut self, chunk: usize, at: usize, index: usize) -> (usize, usize) {
        if index == 0 {
            return (chunk, at);
        }
        let tail = self.change(chunk, at, |node| node.split_off(index));
        self.insert_node(chunk, at + 1, tail)
    }

    /// Puts an element in front of the one at `index`, which is there.
    pub fn insert(&mut self, index: usize, text: &[u8], limits: &ListLimits) {
        let Some(Place { chunk, node: at, index }) = self.place(index) else {
            return self.push(Side::Tail, text, limits);
        };
        self.change(chunk, at, Node::unpack);
        let node = &self.chunks[chunk].nodes[at];
        let element = Element::of(text);
        let (chunk, at) = if node.is_packed()
            && !limits.is_plain(text)
            && limits.allows(node.content_bytes() + element.packed_bytes(), node.count() + 1)
        {
            self.change(chunk, at, |node| node.insert(index, element));
            (chunk, at)
        } else {
            let (chunk, at) = self.part(chunk, at, index);
            self.insert_node(chunk, at, node_of(text, limits))
        };
        self.settle(chunk, at, limits);
        self.settle_around(chunk, at, limits);
    }

    /// Compresses the neighbours of a node, which may be halves of one that was split.
    fn settle_around(&mut self, chunk: usize, at: usize, limits: &ListLimits) {
        if limits.compress_depth == 0 {
            return;
        }
        for at in [at.wrapping_sub(1), at + 1] {
            if self.chunks[chunk].nodes.get(at).is_some() && self.is_inner(chunk, at, limits.compress_depth) {
                self.change(chunk, at, Node::compress);
            }
        }
    }

    /// Keeps `count` elements from `start` on. What goes is freed in the background if it is much.
    pub fn keep(&mut self, start: usize, count: usize, limits: &ListLimits) {
        let mut garbage = Vec::new();
        self.cut(Side::Tail, self.len - (start + count).min(self.len), &mut garbage);
        self.cut(Side::Head, start.min(self.len), &mut garbage);
        self.settle_ends(limits);
        let bytes: usize = garbage.iter().flat_map(|chunk| &chunk.nodes).map(Node::buffer_bytes).sum();
        if bytes >= GARBAGE_BYTES_MIN {
            RECLAIMER.retire(Box::new(garbage));
        }
    }

    /// Removes `count` elements at an end, whole chunks and nodes at once.
    fn cut(&mut self, side: Side, mut count: usize, garbage: &mut Vec<Chunk>) {
        let end = |chunks: &VecDeque<Chunk>| if side == Side::Head { 0 } else { chunks.len().saturating_sub(1) };
        while let Some(chunk) = self.chunks.get(end(&self.chunks))
            && count >= chunk.elements
            && count > 0
        {
            count -= chunk.elements;
            let at = end(&self.chunks);
            let Some(gone) = self.chunks.remove(at) else { return };
            self.len -= gone.elements;
            self.nodes -= gone.nodes.len();
            self.buffer_bytes -= gone.nodes.iter().map(Node::buffer_bytes).sum::<usize>();
            garbage.push(gone);
        }
        let mut loose = Chunk::default();
        while count > 0 && !self.chunks.is_empty() {
            let chunk = end(&self.chunks);
            let at = if side == Side::Head { 0 } else { self.chunks[chunk].nodes.len() - 1 };
            let here = self.chunks[chunk].nodes[at].count();
            if count >= here {
                count -= here;
                loose.nodes.extend(self.remove_node(chunk, at));
            } else {
                self.change(chunk, at, |node| {
                    node.unpack();
                    node.remove(if side == Side::Head { 0 } else { here - count }, count);
                });
                count = 0;
            }
        }
        garbage.push(loose);
    }

    /// Removes up to `count` elements that `is_match` says of, from one end on; gives how many.
    pub fn remove_matching(
        &mut self,
        backwards: bool,
        count: usize,
        is_match: impl Fn(Element<'_>) -> bool,
        limits: &ListLimits,
    ) -> usize {
        let mut removed = 0;
        let mut next = if backwards { self.last_node() } else { Some((0, 0)) };
        while let Some((chunk, at)) = next
            && removed < count
        {
            let Some(nodes) = self.chunks.get(chunk).map(|chunk| &chunk.nodes) else { break };
            let Some(node) = nodes.get(at) else {
                next = Some((chunk + 1, 0));
                continue;
            };
            let before = if at > 0 { Some((chunk, at - 1)) } else { self.last_node_before(chunk) };
            let has_any = !node.content().visit(0, |element| !is_match(element));
            let mut stays = true;
            if has_any {
                removed += self.remove_in(chunk, at, backwards, count - removed, &is_match);
                if self.chunks[chunk].nodes[at].count() == 0 {
                    self.remove_node(chunk, at);
                    stays = false;
                } else if self.is_inner(chunk, at, limits.compress_depth) {
                    self.change(chunk, at, Node::compress);
                } else if at > 0 && !backwards {
                    stays = !self.join(chunk, at - 1, limits);
                } else if backwards {
                    self.join(chunk, at, limits);
                }
            }
            next = if backwards { before } else { Some((chunk, at + usize::from(stays))) };
        }
        self.settle_ends(limits);
        removed
    }

    /// Removes up to `count` matching elements of one node.
    fn remove_in(
        &mut self,
        chunk: usize,
        at: usize,
        backwards: bool,
        count: usize,
        is_match: impl Fn(Element<'_>) -> bool,
    ) -> usize {
        self.change(chunk, at, |node| {
            node.unpack();
            let mut left = count;
            node.retain(backwards, |element| {
                let goes = left > 0 && is_match(element);
                left -= usize::from(goes);
                !goes
            })
        })
    }

    fn last_node(&self) -> Option<(usize, usize)> {
        self.last_node_before(self.chunks.len())
    }

    fn last_node_before(&self, chunk: usize) -> Option<(usize, usize)> {
        let chunk = chunk.checked_sub(1)?;
        Some((chunk, self.chunks[chunk].nodes.len() - 1))
    }
}

/// Whether `left` lies within the next `count` items; else they are passed.
#[inline]
fn passes(left: &mut usize, count: usize) -> bool {
    if *left < count {
        return true;
    }
    *left -= count;
    false
}

/// Whether numbers add up to at least `least`; no more of them are looked at than are needed.
fn reaches(numbers: impl Iterator<Item = usize>, least: usize) -> bool {
    let mut sum = 0;
    numbers.into_iter().any(|number| {
        sum += number;
        sum >= least
    })
}

/// A node of one element.
fn node_of(text: &[u8], limits: &ListLimits) -> Node {
    if limits.is_plain(text) {
        return Node::plain(text);
    }
    let mut node = Node::empty();
    node.insert(0, Element::of(text));
    node
}

// SAFETY: the only one that gives this type.
unsafe impl Large for LargeList {
    fn own_type() -> ValueType {
        ValueType::List
    }

    fn value_type(&self) -> ValueType {
        Self::own_type()
    }

    fn len(&self) -> usize {
        self.len
    }

    fn memory_bytes(&self) -> usize {
        size_of::<LargeList>()
            + self.buffer_bytes
            + self.nodes * size_of::<Node>()
            + self.chunks.len() * size_of::<Chunk>()
    }

    fn copied(&self) -> Box<dyn Large> {
        Box::new(self.clone())
    }

    /// Towards the end that is sought, or both.
    fn approach(&self, sought: &mut Sought<'_>, _step: u32) -> bool {
        if sought.aim != Aim::Tail {
            self.ends[Side::Head as usize].prefetch();
        }
        if sought.aim != Aim::Head {
            self.ends[Side::Tail as usize].prefetch();
        }
        false
    }
}
