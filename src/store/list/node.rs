//! A node of a large list: a run of elements in one buffer.
//!
//! ```text
//! Packed      [gap][listpack][gap]     elements; both ends take and give without moving the others
//! Plain       [bytes]                  one element that is too long for a listpack of this list
//! Compressed  [u32 length][LZF]        a packed node away from the ends, to be unpacked before it is read
//! ```

use std::borrow::Cow;
use std::ops::Range;

use super::Side;
use crate::base::lzf;
use crate::store::listpack::edit::{self, PackedBytes};
use crate::store::listpack::{self, Element, FRAME_BYTES, HEADER_BYTES, Listpack};

/// Smaller nodes are not compressed, and nothing is that would not become smaller by so much.
const COMPRESSIBLE_BYTES_MIN: usize = 48;
const SAVED_BYTES_MIN: usize = 8;
/// A buffer doubles up to this size, which is that of a full node by default; then it grows by an eighth.
const DOUBLING_BYTES_MAX: usize = 8192;
const SMALLEST_BUFFER_BYTES: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Packed,
    Plain,
    Compressed,
}

#[derive(Clone)]
pub struct Node {
    buffer: Box<[u8]>,
    /// Where the listpack of a packed node stands.
    start: u32,
    end: u32,
    count: u32,
    kind: Kind,
}

/// A node's elements, for reading.
pub enum Content<'a> {
    Packed(Cow<'a, [u8]>),
    Plain(&'a [u8]),
}

impl Content<'_> {
    /// Shows elements in order, from index `first` on, until `visit` has enough. Tells whether it went to the end.
    pub fn visit(&self, first: usize, mut visit: impl FnMut(Element<'_>) -> bool) -> bool {
        match self {
            Content::Plain(bytes) => first > 0 || visit(Element::of(bytes)),
            Content::Packed(bytes) => {
                let list = Listpack::new(bytes);
                let from = list.position(first as i64).unwrap_or(list.end());
                list.between(from..list.end()).all(&mut visit)
            }
        }
    }

    /// The same backwards, from index `last` on.
    pub fn visit_back(&self, last: usize, mut visit: impl FnMut(Element<'_>) -> bool) -> bool {
        match self {
            Content::Plain(bytes) => visit(Element::of(bytes)),
            Content::Packed(bytes) => {
                let list = Listpack::new(bytes);
                let to = list.position(last as i64).and_then(|at| list.after(at)).unwrap_or(list.end());
                list.between(list.first()..to).rev().all(&mut visit)
            }
        }
    }
}

impl Node {
    /// A packed node without elements.
    pub fn empty() -> Node {
        Node::packed(&listpack::EMPTY, 0)
    }

    /// A packed node of a listpack that has `count` elements.
    pub fn packed(listpack: &[u8], count: usize) -> Node {
        let mut buffer = listpack.to_vec();
        buffer.reserve_exact(SMALLEST_BUFFER_BYTES.saturating_sub(buffer.len()));
        let end = buffer.len() as u32;
        buffer.resize(buffer.capacity(), 0);
        Node { buffer: buffer.into_boxed_slice(), start: 0, end, count: count as u32, kind: Kind::Packed }
    }

    pub fn plain(bytes: &[u8]) -> Node {
        Node { buffer: bytes.into(), start: 0, end: 0, count: 1, kind: Kind::Plain }
    }

    pub fn count(&self) -> usize {
        self.count as usize
    }

    pub fn is_packed(&self) -> bool {
        self.kind == Kind::Packed
    }

    pub fn is_plain(&self) -> bool {
        self.kind == Kind::Plain
    }

    pub fn is_compressed(&self) -> bool {
        self.kind == Kind::Compressed
    }

    /// Where the elements at an end stand in memory.
    #[inline]
    pub fn end_address(&self, side: Side) -> usize {
        let at = match side {
            Side::Head => self.start,
            Side::Tail => self.end,
        };
        self.buffer.as_ptr().addr() + at as usize
    }

    /// Bytes of memory beside the node itself.
    pub fn buffer_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Bytes of the listpack as it stands in files, by which limits are told, or of the plain element.
    pub fn content_bytes(&self) -> usize {
        match self.kind {
            Kind::Packed => (self.end - self.start) as usize + FRAME_BYTES,
            Kind::Plain => self.buffer.len(),
            Kind::Compressed => self.unpacked_bytes() + FRAME_BYTES,
        }
    }

    fn unpacked_bytes(&self) -> usize {
        self.buffer.first_chunk().map_or(0, |len| u32::from_le_bytes(*len) as usize)
    }

    #[inline]
    pub fn listpack(&self) -> &[u8] {
        debug_assert!(self.is_packed());
        &self.buffer[self.start as usize..self.end as usize]
    }

    pub fn content(&self) -> Content<'_> {
        match self.kind {
            Kind::Packed => Content::Packed(Cow::Borrowed(self.listpack())),
            Kind::Plain => Content::Plain(&self.buffer),
            Kind::Compressed => Content::Packed(Cow::Owned(self.unpacked())),
        }
    }

    fn unpacked(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let len = self.unpacked_bytes();
        let whole = lzf::decompress(self.buffer.get(4..).unwrap_or_default(), len, &mut out);
        debug_assert!(whole, "what a node compressed it can unpack");
        out
    }

    // ---- changing -----------------------------------------------------------------------------------------------

    /// Compresses a packed node, if that saves anything.
    pub fn compress(&mut self) {
        if !self.is_packed() || self.content_bytes() < COMPRESSIBLE_BYTES_MIN {
            return;
        }
        let (input, mut out) = (self.listpack(), Vec::new());
        if lzf::compress(input, input.len() - SAVED_BYTES_MIN - 4, &mut out) {
            let len = (input.len() as u32).to_le_bytes();
            self.buffer = [&len[..], &out].concat().into();
            self.kind = Kind::Compressed;
        }
    }

    pub fn unpack(&mut self) {
        if self.is_compressed() {
            *self = Node::packed(&self.unpacked(), self.count());
        }
    }

    /// Gives memory back that the node keeps for growing.
    pub fn trim(&mut self) {
        if self.is_packed() && self.buffer.len() - self.listpack().len() > self.listpack().len() / 8 {
            *self = Node::packed(self.listpack(), self.count());
        }
    }

    /// Puts an element at an index of a packed node, which may be behind the last.
    #[inline]
    pub fn insert(&mut self, index: usize, element: Element<'_>) {
        let list = Listpack::new(self.listpack());
        let at = match index {
            0 => HEADER_BYTES,
            _ if index >= self.count() => list.end(),
            _ => list.position(index as i64).unwrap_or(list.end()),
        };
        edit::insert(self, at, &[element]);
        self.count += 1;
    }

    /// Replaces an element of a packed node.
    pub fn replace(&mut self, index: usize, element: Element<'_>) {
        if let Some(at) = Listpack::new(self.listpack()).position(index as i64) {
            edit::replace(self, at, element);
        }
    }

    /// Removes `count` elements from `index` on of a node that is not compressed. One without elements is left to be
    /// dropped.
    pub fn remove(&mut self, index: usize, count: usize) {
        if count >= self.count() {
            self.count = 0;
            return;
        }
        if let Some(at) = Listpack::new(self.listpack()).position(index as i64) {
            self.count -= edit::remove(self, at, count) as u32;
        }
    }

    /// Splits the elements from `index` on off a packed node.
    pub fn split_off(&mut self, index: usize) -> Node {
        let list = Listpack::new(self.listpack());
        let at = list.position(index as i64).unwrap_or(list.end());
        let tail = Node::packed(&edit::pack(list.between(at..list.end())), self.count() - index);
        self.remove(index, tail.count());
        self.trim();
        tail
    }

    /// Puts the elements of another packed node behind those of this one.
    pub fn append(&mut self, other: &Node) {
        self.count += other.count;
        let end = self.listpack().len();
        self.splice(end..end, &other.listpack()[HEADER_BYTES..]);
        let count = u16::try_from(self.count).unwrap_or(u16::MAX);
        self.bytes_mut()[..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
    }

    /// Keeps the elements that `keep` says of a node that is not compressed; it sees them from one end or the other.
    /// Gives how many went.
    pub fn retain(&mut self, backwards: bool, mut keep: impl FnMut(Element<'_>) -> bool) -> usize {
        if self.is_plain() {
            let gone = !keep(Element::of(&self.buffer));
            self.count -= u32::from(gone);
            return usize::from(gone);
        }
        let list = Listpack::new(self.listpack());
        let mut kept: Vec<Element<'_>> = if backwards {
            list.iter().rev().filter(|element| keep(*element)).collect()
        } else {
            list.iter().filter(|element| keep(*element)).collect()
        };
        if backwards {
            kept.reverse();
        }
        let gone = self.count() - kept.len();
        if gone > 0 {
            let packed = edit::pack(kept.iter().copied());
            *self = Node::packed(&packed, kept.len());
        }
        gone
    }

    /// Makes room for `more` bytes in front or behind: within the buffer if it is roomy, else in a larger one.
    #[cold]
    fn widen(&mut self, more: usize, in_front: bool) {
        let len = self.listpack().len();
        let slack = self.buffer.len() - len;
        if slack >= more && slack >= len / 8 {
            let room = (slack + more) / 2;
            let start = if in_front { room } else { slack - room };
            self.buffer.copy_within(self.start as usize..self.end as usize, start);
            (self.start, self.end) = (start as u32, (start + len) as u32);
            return;
        }
        let needed = len + more;
        let roomy = if needed > DOUBLING_BYTES_MAX { needed + needed / 8 } else { (2 * len).min(DOUBLING_BYTES_MAX) };
        let mut buffer = vec![0; needed.max(roomy)].into_boxed_slice();
        let start = if in_front { buffer.len() - len } else { 0 };
        buffer[start..start + len].copy_from_slice(self.listpack());
        self.buffer = buffer;
        (self.start, self.end) = (start as u32, (start + len) as u32);
    }
}

/// The shorter side moves, if there is room for it.
impl PackedBytes for Node {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.listpack()
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start as usize..self.end as usize]
    }

    #[inline]
    fn make_room(&mut self, range: Range<usize>, len: usize) -> &mut [u8] {
        let (head, tail) = (range.start, self.listpack().len() - range.end);
        let front = head < tail;
        if len > range.len() {
            let more = len - range.len();
            let room = if front { self.start as usize } else { self.buffer.len() - self.end as usize };
            if room < more {
                self.widen(more, front);
            }
        }
        let (start, end) = (self.start as usize, self.end as usize);
        if front {
            // Where the head begins so that what is behind the range stays.
            let moved = start + range.end - len - head;
            self.buffer.copy_within(start..start + head, moved);
            self.start = moved as u32;
        } else {
            let moved = start + head + len;
            if tail > 0 {
                self.buffer.copy_within(end - tail..end, moved);
            }
            self.end = (moved + tail) as u32;
        }
        self.bytes_mut()
    }
}
