//! Lists: a listpack in the entry while they are short, a sequence of nodes when they are long.
//!
//! [`ListRef`] reads and [`ListMut`] changes a list in either form; the first change beyond the limits makes it large,
//! and one that leaves a single node, at most half full, makes it small again. Indexes count from the head, from 0.

mod large;
mod node;

use std::sync::atomic::{AtomicUsize, Ordering};

use smallvec::SmallVec;

pub use large::LargeList;
pub use node::{Content, Node};

use super::collection::{Detached, Form, Large, ValueType};
use super::entry::{Entry, EntryRef};
use super::limits::Limits;
use super::listpack::edit;
use super::listpack::{BYTES_MAX, Element, Listpack, unframe};

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Head,
    Tail,
}

/// Elements of one push that are packed without an allocation.
const PUSHED_ON_STACK: usize = 8;
/// The largest node whose size is only bounded by its number of elements, in bytes.
const COUNTED_NODE_BYTES_MAX: usize = 8192;
/// What `list-max-listpack-size` from -1 down to -5 allows a node, in bytes.
const NODE_BYTES: [usize; 5] = [4096, 8192, 16_384, 32_768, 65_536];

/// Elements from this many bytes on stand in nodes of their own, if this is not 0: DEBUG QUICKLIST-PACKED-THRESHOLD.
static PLAIN_BYTES_MIN: AtomicUsize = AtomicUsize::new(0);

/// Sets from how many bytes on an element stands in a node of its own; 0: when it fills one. For tests only.
pub fn set_plain_threshold(bytes: usize) {
    PLAIN_BYTES_MIN.store(bytes, Ordering::Relaxed);
}

/// How large nodes may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListLimits {
    bytes: usize,
    count: usize,
    /// Nodes at either end that stay uncompressed; 0 compresses none.
    pub compress_depth: usize,
}

impl ListLimits {
    pub fn of(limits: &Limits) -> ListLimits {
        let (bytes, count) = match limits.list_node_size {
            size @ ..0 => (NODE_BYTES[(size.unsigned_abs() as usize).min(NODE_BYTES.len()) - 1], usize::MAX),
            size => (COUNTED_NODE_BYTES_MAX, (size as usize).max(1)),
        };
        ListLimits { bytes, count, compress_depth: limits.list_compress_depth as usize }
    }

    /// Whether a node may have so many bytes and elements.
    #[inline]
    pub fn allows(&self, bytes: usize, count: usize) -> bool {
        bytes <= self.bytes && count <= self.count
    }

    /// Whether an element gets a node of its own.
    #[inline]
    pub fn is_plain(&self, text: &[u8]) -> bool {
        match PLAIN_BYTES_MIN.load(Ordering::Relaxed) {
            0 => text.len() > self.bytes,
            bytes => text.len() >= bytes,
        }
    }
}

// ---- reading ------------------------------------------------------------------------------------------------------

/// A list to read.
#[derive(Clone, Copy)]
pub enum ListRef<'a> {
    Packed(Listpack<'a>),
    Large(&'a LargeList),
}

impl<'a> ListRef<'a> {
    /// The list of an entry of that type.
    #[inline]
    pub fn of(entry: EntryRef<'a>) -> ListRef<'a> {
        match entry.collection_form() {
            Form::Large => ListRef::Large(entry.large()),
            _ => ListRef::Packed(Listpack::new(entry.value())),
        }
    }

    #[inline]
    pub fn count(self) -> usize {
        match self {
            ListRef::Packed(list) => list.count(),
            ListRef::Large(list) => list.len(),
        }
    }

    /// Shows elements and their indexes from `first` on, in either direction, until `visit` has enough.
    pub fn visit(self, first: usize, backwards: bool, mut visit: impl FnMut(usize, Element<'_>) -> bool) {
        match self {
            ListRef::Large(list) => list.visit(first, backwards, visit),
            ListRef::Packed(list) => {
                let Some(at) = list.position(first as i64) else { return };
                if backwards {
                    let end = list.after(at).unwrap_or(list.end());
                    let mut elements = list.between(list.first()..end).rev();
                    let mut indexes = (0..=first).rev();
                    while let (Some(index), Some(element)) = (indexes.next(), elements.next()) {
                        if !visit(index, element) {
                            return;
                        }
                    }
                } else {
                    for (index, element) in (first..).zip(list.between(at..list.end())) {
                        if !visit(index, element) {
                            return;
                        }
                    }
                }
            }
        }
    }

    /// Shows `count` elements from `first` on.
    pub fn range(self, first: usize, count: usize, mut show: impl FnMut(Element<'_>)) {
        let mut left = count;
        if left == 0 {
            return;
        }
        self.visit(first, false, |_, element| {
            show(element);
            left -= 1;
            left > 0
        });
    }

    /// The first index with this text.
    pub fn find(self, text: &[u8]) -> Option<usize> {
        let (wanted, mut found) = (Element::of(text), None);
        self.visit(0, false, |index, element| {
            if element == wanted {
                found = Some(index);
            }
            found.is_none()
        });
        found
    }
}

/// The index that a number names, which counts from the tail if it is negative.
pub fn index_of(number: i64, len: usize) -> Option<usize> {
    let index = if number < 0 { number.checked_add(len as i64)? } else { number };
    usize::try_from(index).ok().filter(|index| *index < len)
}

/// First index and number of the elements from one number to another, both included, as LRANGE and LTRIM take them.
pub fn range_of(start: i64, stop: i64, len: usize) -> (usize, usize) {
    let len = len as i64;
    let from_head = |number: i64| if number < 0 { number.saturating_add(len) } else { number };
    let (start, stop) = (from_head(start).max(0), from_head(stop).min(len - 1));
    if start > stop { (0, 0) } else { (start as usize, (stop - start + 1) as usize) }
}

// ---- changing -----------------------------------------------------------------------------------------------------

/// A list to change.
pub struct ListMut<'e> {
    entry: &'e mut Entry,
    limits: ListLimits,
}

impl<'e> ListMut<'e> {
    /// The list of an entry of that type.
    #[inline]
    pub fn of(entry: &'e mut Entry, limits: &Limits) -> ListMut<'e> {
        ListMut { entry, limits: ListLimits::of(limits) }
    }

    #[inline]
    fn view(&self) -> ListRef<'_> {
        ListRef::of(self.entry.view())
    }

    #[inline]
    pub fn count(&self) -> usize {
        self.view().count()
    }

    #[inline]
    fn is_large(&self) -> bool {
        self.entry.view().collection_form() == Form::Large
    }

    /// Makes the list large where these texts would not fit into its listpack.
    fn make_room(&mut self, texts: &[&[u8]]) {
        let list = Listpack::new(self.entry.view().value());
        let bytes: usize = texts.iter().map(|text| Element::of(text).packed_bytes()).sum();
        let fits = self.limits.allows(list.framed_bytes() + bytes, list.count() + texts.len());
        if !fits || texts.iter().any(|text| self.limits.is_plain(text)) {
            let large = if list.is_empty() { LargeList::default() } else { LargeList::of_listpack(list.bytes()) };
            self.entry.become_large(Box::new(large));
        }
    }

    /// Makes the list small again where it has become so.
    fn shrink(&mut self) {
        if self.is_large()
            && let Some(list) = self.entry.view().large::<LargeList>().only_listpack()
            && self.limits.allows(2 * list.framed_bytes(), 2usize.saturating_mul(list.count()))
        {
            let list = list.bytes().to_vec();
            self.entry.set_packed(Form::Packed, &list);
        }
    }

    #[inline]
    fn large(&mut self) -> &mut LargeList {
        self.entry.large_mut()
    }

    /// Pushes texts one after the other.
    #[inline]
    pub fn push(&mut self, side: Side, texts: &[&[u8]]) {
        if !self.is_large() {
            self.make_room(texts);
        }
        if self.is_large() {
            let limits = self.limits;
            let list = self.large();
            texts.iter().for_each(|text| list.push(side, text, &limits));
        } else {
            let mut elements: SmallVec<[_; PUSHED_ON_STACK]> = texts.iter().map(|text| Element::of(text)).collect();
            match side {
                Side::Head => {
                    elements.reverse();
                    edit::push_front(self.entry, &elements);
                }
                Side::Tail => edit::push_back(self.entry, &elements),
            }
        }
    }

    /// Pops up to `count` elements one after the other, showing each; gives how many there were.
    #[inline]
    pub fn pop(&mut self, side: Side, count: usize, mut take: impl FnMut(Element<'_>)) -> usize {
        let count = count.min(self.count());
        if self.is_large() {
            let limits = self.limits;
            let list = self.large();
            (0..count).for_each(|_| list.pop(side, &mut take, &limits));
            if list.node_count() == 1 {
                self.shrink();
            }
            return count;
        }
        let list = Listpack::new(self.entry.view().value());
        match side {
            Side::Head => {
                list.iter().take(count).for_each(take);
                let at = list.first();
                edit::remove(self.entry, at, count);
            }
            Side::Tail => {
                let mut at = list.end();
                for _ in 0..count {
                    at = list.before(at).unwrap_or(at);
                    list.get(at).into_iter().for_each(&mut take);
                }
                edit::remove(self.entry, at, count);
            }
        }
        count
    }

    /// Replaces the element at an index; false when there is none.
    pub fn set(&mut self, index: usize, text: &[u8]) -> bool {
        if index >= self.count() {
            return false;
        }
        if !self.is_large() {
            self.make_room(&[text]);
        }
        let limits = self.limits;
        if self.is_large() {
            self.large().set(index, text, &limits);
            self.shrink();
        } else if let Some(at) = Listpack::new(self.entry.view().value()).position(index as i64) {
            edit::replace(self.entry, at, Element::of(text));
        }
        true
    }

    /// Puts an element in front of the one at an index, or behind the last.
    pub fn insert(&mut self, index: usize, text: &[u8]) {
        if !self.is_large() {
            self.make_room(&[text]);
        }
        let limits = self.limits;
        if self.is_large() {
            return self.large().insert(index, text, &limits);
        }
        let list = Listpack::new(self.entry.view().value());
        let at = list.position(index as i64).unwrap_or(list.end());
        edit::insert(self.entry, at, &[Element::of(text)]);
    }

    /// Keeps `count` elements from `start` on.
    pub fn keep(&mut self, start: usize, count: usize) {
        let (len, limits) = (self.count(), self.limits);
        if self.is_large() {
            self.large().keep(start, count, &limits);
            return self.shrink();
        }
        let list = Listpack::new(self.entry.view().value());
        let end = list.skip(list.first(), start + count).unwrap_or(list.end());
        edit::remove(self.entry, end, len);
        edit::remove(self.entry, super::listpack::HEADER_BYTES, start);
    }

    /// Removes up to `count` elements with this text, from the head or the tail on; gives how many.
    pub fn remove(&mut self, backwards: bool, count: usize, text: &[u8]) -> usize {
        let (wanted, limits) = (Element::of(text), self.limits);
        if self.is_large() {
            let removed = self.large().remove_matching(backwards, count, |element| element == wanted, &limits);
            self.shrink();
            return removed;
        }
        let bytes = self.entry.view().value();
        let mut node = Node::packed(bytes, Listpack::new(bytes).count());
        let mut left = count;
        let removed = node.retain(backwards, |element| {
            let goes = left > 0 && element == wanted;
            left -= usize::from(goes);
            !goes
        });
        if removed > 0 {
            self.entry.set_packed(Form::Packed, node.listpack());
        }
        removed
    }
}

// ---- making -------------------------------------------------------------------------------------------------------

/// Makes a list of elements that come one after the other.
pub struct ListBuilder {
    list: LargeList,
    limits: ListLimits,
}

impl ListBuilder {
    pub fn new(limits: &Limits) -> ListBuilder {
        ListBuilder { list: LargeList::default(), limits: ListLimits::of(limits) }
    }

    pub fn push(&mut self, text: &[u8]) {
        self.list.push(Side::Tail, text, &self.limits);
    }

    /// Takes a listpack over as it is; false if it is not whole, or has no elements.
    pub fn push_listpack(&mut self, framed: &[u8]) -> bool {
        let list = unframe(framed).map(Listpack::new).filter(|list| framed.len() <= BYTES_MAX && !list.is_empty());
        if let Some(list) = list {
            self.list.push_node(Side::Tail, Node::packed(list.bytes(), list.count()));
        }
        list.is_some()
    }

    /// The list, unless it is empty.
    pub fn finish(mut self) -> Option<Detached> {
        if self.list.is_empty() {
            return None;
        }
        if let Some(list) = self.list.only_listpack()
            && self.limits.allows(list.framed_bytes(), list.count())
        {
            return Some(Detached::Packed(ValueType::List, Form::Packed, list.bytes().to_vec()));
        }
        self.list.compress_inner(&self.limits);
        Some(Detached::Large(Box::new(self.list)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Rng;

    fn entry() -> Entry {
        Detached::empty(ValueType::List).with_key(b"k", None, 0)
    }

    fn contents(entry: &Entry) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        ListRef::of(entry.view()).range(0, usize::MAX, |element| all.push(element.to_vec()));
        all
    }

    fn some_text(random: &mut Rng) -> Vec<u8> {
        match random.below(12) {
            0 => vec![b'x'; random.below(12_000) as usize],
            1..4 => random.below(1000).to_string().into_bytes(),
            4 => vec![b'y'; 200],
            _ => format!("text {}", random.below(20)).into_bytes(),
        }
    }

    fn check(entry: &Entry, model: &[Vec<u8>], limits: &Limits, random: &mut Rng) {
        assert_eq!(contents(entry), model);
        let view = ListRef::of(entry.view());
        assert_eq!(view.count(), model.len());
        if !model.is_empty() {
            let first = random.below(model.len() as u64) as usize;
            let mut backwards = Vec::new();
            view.visit(first, true, |index, element| {
                backwards.push((index, element.to_vec()));
                true
            });
            assert!(backwards.into_iter().eq((0..=first).rev().map(|index| (index, model[index].clone()))));
        }
        if let ListRef::Large(list) = view {
            let buffers: usize = list.nodes().map(Node::buffer_bytes).sum();
            let nodes = list.nodes().count();
            assert_eq!(list.node_count(), nodes);
            assert_eq!(list.nodes().map(Node::count).sum::<usize>(), model.len());
            assert!(list.nodes().all(|node| node.count() > 0));
            assert!(list.memory_bytes() > buffers && list.memory_bytes() < buffers + 200 + nodes * 128);
            let depth = limits.list_compress_depth as usize;
            for (at, node) in list.nodes().enumerate() {
                let is_inner = depth > 0 && at >= depth && at + depth < nodes;
                assert!(is_inner || !node.is_compressed(), "node {at} of {nodes}");
            }
        }
    }

    #[test]
    fn changes_agree_with_a_model() {
        let mut random = Rng::from_seed(5);
        for (node_size, depth) in [(-2, 0), (-1, 1), (3, 2), (1, 1), (5, 0), (128, 3), (0, 1)] {
            let limits = Limits { list_node_size: node_size, list_compress_depth: depth, ..Limits::default() };
            let (mut entry, mut model) = (entry(), Vec::<Vec<u8>>::new());
            for round in 0..700 {
                let text = some_text(&mut random);
                let len = model.len();
                let index = random.below(len as u64 + 1) as usize;
                let mut list = ListMut::of(&mut entry, &limits);
                match random.below(if round % 200 < 120 { 10 } else { 18 }) {
                    0..3 => {
                        list.push(Side::Head, &[&text, b"second"]);
                        model.splice(0..0, [b"second".to_vec(), text]);
                    }
                    3..6 => {
                        list.push(Side::Tail, &[&text, b"7"]);
                        model.extend([text, b"7".to_vec()]);
                    }
                    6..8 => {
                        list.insert(index, &text);
                        model.insert(index, text);
                    }
                    8..10 => {
                        assert_eq!(list.set(index, &text), index < len);
                        if index < len {
                            model[index] = text;
                        }
                    }
                    kind @ 10..14 => {
                        let side = if kind < 12 { Side::Head } else { Side::Tail };
                        let count = (random.below(8) as usize).min(len);
                        let mut popped = Vec::new();
                        assert_eq!(list.pop(side, count, |element| popped.push(element.to_vec())), count);
                        let range = if side == Side::Head { 0..count } else { len - count..len };
                        let mut gone: Vec<_> = model.drain(range).collect();
                        if side == Side::Tail {
                            gone.reverse();
                        }
                        assert_eq!(popped, gone);
                    }
                    14 => {
                        let start = random.below(6) as usize;
                        let count = len.saturating_sub(start + random.below(6) as usize);
                        list.keep(start, count);
                        model = model.into_iter().skip(start).take(count).collect();
                    }
                    kind => {
                        let (backwards, count) = (kind % 2 == 0, 1 + random.below(9) as usize);
                        let matching: Vec<usize> = (0..len).filter(|at| model[*at] == text).collect();
                        let taken = count.min(matching.len());
                        assert_eq!(list.remove(backwards, count, &text), taken);
                        let gone = if backwards { &matching[matching.len() - taken..] } else { &matching[..taken] };
                        gone.iter().rev().for_each(|at| drop(model.remove(*at)));
                    }
                }
                check(&entry, &model, &limits, &mut random);
            }
        }
    }

    #[test]
    fn long_lists_are_split_into_chunks_and_indexed() {
        let limits = Limits { list_node_size: 2, ..Limits::default() };
        let mut entry = entry();
        for number in 0..3000i64 {
            let (head, tail) = ((-number - 1).to_string(), number.to_string());
            ListMut::of(&mut entry, &limits).push(Side::Head, &[head.as_bytes()]);
            ListMut::of(&mut entry, &limits).push(Side::Tail, &[tail.as_bytes()]);
        }
        for index in [0, 1, 999, 2999, 3000, 3001, 4500, 5999] {
            let mut seen = None;
            ListRef::of(entry.view()).visit(index, false, |_, element| {
                seen = element.integer();
                false
            });
            assert_eq!(seen, Some(index as i64 - 3000));
        }
        for _ in 0..600 {
            ListMut::of(&mut entry, &limits).insert(1000, b"between");
        }
        assert_eq!(ListRef::of(entry.view()).count(), 6600);
        assert_eq!(ListMut::of(&mut entry, &limits).remove(true, 599, b"between"), 599);
        assert_eq!(ListRef::of(entry.view()).find(b"between"), Some(1000));
        ListMut::of(&mut entry, &limits).keep(2999, 4);
        assert_eq!(
            contents(&entry),
            [b"-2", b"-1"]
                .map(|text| text.to_vec())
                .into_iter()
                .chain([b"0", b"1"].map(|text| text.to_vec()))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn forms_follow_the_size() {
        let limits = Limits { list_node_size: 4, ..Limits::default() };
        let mut entry = entry();
        let form = |entry: &Entry| entry.view().collection_form();
        ListMut::of(&mut entry, &limits).push(Side::Tail, &[b"1", b"2", b"3", b"4"]);
        assert_eq!(form(&entry), Form::Packed);
        ListMut::of(&mut entry, &limits).push(Side::Tail, &[b"5"]);
        assert_eq!(form(&entry), Form::Large);
        ListMut::of(&mut entry, &limits).pop(Side::Tail, 2, |_| ());
        assert_eq!(form(&entry), Form::Large);
        ListMut::of(&mut entry, &limits).pop(Side::Head, 1, |_| ());
        assert_eq!(form(&entry), Form::Packed);
        ListMut::of(&mut entry, &limits).set(0, &[b'x'; 9000]);
        assert_eq!(form(&entry), Form::Large);
        assert!(entry.view().large::<LargeList>().nodes().next().is_some_and(Node::is_plain));
    }

    #[test]
    fn ranges_of_numbers() {
        for ((start, stop, len), expected) in [
            ((0, -1, 3), (0, 3)),
            ((-2, -1, 3), (1, 2)),
            ((5, 9, 3), (0, 0)),
            ((-9, 1, 3), (0, 2)),
            ((2, 1, 3), (0, 0)),
            ((i64::MIN, i64::MAX, 3), (0, 3)),
            ((0, -1, 0), (0, 0)),
        ] {
            assert_eq!(range_of(start, stop, len), expected);
        }
        assert_eq!(
            [0, 2, 3, -1, -3, -4, i64::MIN].map(|number| index_of(number, 3)),
            [Some(0), Some(2), None, Some(2), Some(0), None, None]
        );
    }
}
