//! Changes to a listpack, each one splice of its bytes.
//!
//! The bytes may stand anywhere that implements [`PackedBytes`]. A change computes the new elements, puts them in with
//! one splice, and corrects the header. Places are offsets in bytes, as [`Listpack`] gives them; a place that is not
//! an element's is the caller's fault, and damages the listpack but nothing else.

use std::ops::Range;

use smallvec::SmallVec;

use super::{
    BYTES_MAX, COUNT_UNKNOWN, END, Element, HEADER_BYTES, INTEGER_13_BITS, INTEGER_16_BITS, INTEGER_24_BITS,
    INTEGER_32_BITS, INTEGER_64_BITS, Listpack, Needle, STRING_6_BITS, STRING_12_BITS, STRING_32_BITS, array,
    back_bytes, integer_bytes,
};
use crate::store::Entry;

/// Bytes of new elements that need no allocation on their way in.
const ON_STACK_BYTES: usize = 256;

type Packed = SmallVec<[u8; ON_STACK_BYTES]>;

/// Bytes that can be edited in place.
pub trait PackedBytes {
    fn bytes(&self) -> &[u8];
    /// Replaces a range by other bytes, moving what is behind it.
    fn splice(&mut self, range: Range<usize>, insert: &[u8]);
    /// Overwrites bytes.
    fn write_at(&mut self, at: usize, bytes: &[u8]);
}

impl PackedBytes for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn splice(&mut self, range: Range<usize>, insert: &[u8]) {
        let (old_len, removed) = (self.len(), range.len());
        if insert.len() > removed {
            self.resize(old_len + insert.len() - removed, 0);
        }
        self.copy_within(range.end..old_len, range.start + insert.len());
        self[range.start..][..insert.len()].copy_from_slice(insert);
        self.truncate(old_len + insert.len() - removed);
    }

    fn write_at(&mut self, at: usize, bytes: &[u8]) {
        self[at..][..bytes.len()].copy_from_slice(bytes);
    }
}

impl PackedBytes for Entry {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.view().value()
    }

    #[inline]
    fn splice(&mut self, range: Range<usize>, insert: &[u8]) {
        self.splice_packed(range, insert);
    }

    #[inline]
    fn write_at(&mut self, at: usize, bytes: &[u8]) {
        self.packed_mut()[at..][..bytes.len()].copy_from_slice(bytes);
    }
}

/// Elements that are packed, and wait to be put into a listpack together.
#[derive(Default)]
pub struct Run {
    packed: Packed,
    count: usize,
}

impl Run {
    pub fn new() -> Run {
        Run::default()
    }

    /// How many elements there are.
    pub fn count(&self) -> usize {
        self.count
    }

    #[inline]
    pub fn push(&mut self, element: Element<'_>) {
        put_element(&mut self.packed, element);
        self.count += 1;
    }

    /// Sets a name's value, in a run of names and values in turn.
    #[inline]
    pub fn set(&mut self, name: &Needle<'_>, value: Element<'_>) {
        // Elements alone read like a listpack that ends early.
        match Listpack::new(&self.packed).find_needle(name, 0, 2) {
            Some(at) => self.replace_after(at, value),
            None => {
                self.push(name.element());
                self.push(value);
            }
        }
    }

    /// The run as a listpack of its own; `None` if that would be too long.
    pub fn into_listpack(self) -> Option<Vec<u8>> {
        let total = HEADER_BYTES + self.packed.len() + 1;
        let mut list = Vec::with_capacity(total);
        list.extend_from_slice(&header(total, self.count));
        list.extend_from_slice(&self.packed);
        list.push(END);
        (total < BYTES_MAX).then_some(list)
    }

    /// Replaces the element that follows the one at `at`.
    fn replace_after(&mut self, at: usize, element: Element<'_>) {
        let run = Listpack::new(&self.packed);
        if let Some(at) = run.after(at)
            && let Some(end) = run.after(at)
        {
            let behind = Packed::from_slice(&self.packed[end..]);
            self.packed.truncate(at);
            put_element(&mut self.packed, element);
            self.packed.extend_from_slice(&behind);
        }
    }
}

/// Something to write packed elements to.
trait Sink {
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Sink for Packed {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

#[inline]
fn put_element(out: &mut impl Sink, element: Element<'_>) {
    let len = match element {
        Element::Integer(value) => {
            put_integer(out, value);
            integer_bytes(value)
        }
        Element::Bytes(bytes) => {
            let head = put_string_head(out, bytes.len());
            out.put(bytes);
            head + bytes.len()
        }
    };
    put_back_length(out, len);
}

#[inline]
fn put_integer(out: &mut impl Sink, value: i64) {
    let bytes = value.to_le_bytes();
    match integer_bytes(value) {
        1 => out.put(&[value as u8]),
        2 => out.put(&[INTEGER_13_BITS | (value >> 8) as u8 & 0x1f, value as u8]),
        3 => out.put(&[INTEGER_16_BITS, bytes[0], bytes[1]]),
        4 => out.put(&[INTEGER_24_BITS, bytes[0], bytes[1], bytes[2]]),
        5 => out.put(&[INTEGER_32_BITS, bytes[0], bytes[1], bytes[2], bytes[3]]),
        _ => {
            out.put(&[INTEGER_64_BITS]);
            out.put(&bytes);
        }
    }
}

#[inline]
fn put_string_head(out: &mut impl Sink, len: usize) -> usize {
    match len {
        0..64 => {
            out.put(&[STRING_6_BITS | len as u8]);
            1
        }
        64..4096 => {
            out.put(&[STRING_12_BITS | (len >> 8) as u8, len as u8]);
            2
        }
        _ => {
            let [a, b, c, d] = (len as u32).to_le_bytes();
            out.put(&[STRING_32_BITS, a, b, c, d]);
            5
        }
    }
}

#[inline]
fn put_back_length(out: &mut impl Sink, len: usize) {
    let bytes = back_bytes(len);
    if bytes == 1 {
        return out.put(&[len as u8]);
    }
    let mut encoded = [0; 5];
    for (index, byte) in encoded[..bytes].iter_mut().enumerate() {
        let group = (len >> (7 * (bytes - 1 - index))) as u8 & 0x7f;
        *byte = if index == 0 { group } else { group | 0x80 };
    }
    out.put(&encoded[..bytes]);
}

/// A new listpack of these elements.
pub fn pack<'e>(elements: impl IntoIterator<Item = Element<'e>>) -> Vec<u8> {
    let mut out = vec![0; HEADER_BYTES];
    let mut count = 0usize;
    for element in elements {
        put_element(&mut out, element);
        count += 1;
    }
    out.push(END);
    let header = header(out.len(), count);
    out[..HEADER_BYTES].copy_from_slice(&header);
    out
}

fn header(total: usize, count: usize) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&(total as u32).to_le_bytes());
    header[4..].copy_from_slice(&u16::try_from(count).unwrap_or(COUNT_UNKNOWN).to_le_bytes());
    header
}

/// Puts a run of elements before the one at `at`, or at the end.
#[inline]
pub fn insert_run(list: &mut impl PackedBytes, at: usize, run: &Run) {
    exchange(list, at..at, 0, &run.packed, run.count);
}

/// Replaces a range of `removed` whole elements by `added` packed ones.
#[inline]
fn exchange(list: &mut impl PackedBytes, range: Range<usize>, removed: usize, packed: &[u8], added: usize) {
    let total = list.bytes().len() - range.len() + packed.len();
    let count = array(list.bytes(), 4).map_or(COUNT_UNKNOWN, u16::from_le_bytes);
    let count = match count {
        COUNT_UNKNOWN => usize::from(COUNT_UNKNOWN),
        known => (usize::from(known) + added).saturating_sub(removed),
    };
    list.write_at(0, &header(total, count));
    if range.len() == packed.len() {
        list.write_at(range.start, packed);
    } else {
        list.splice(range, packed);
    }
}

#[inline]
fn packed<'e>(elements: impl IntoIterator<Item = Element<'e>>) -> (Packed, usize) {
    let (mut out, mut count) = (Packed::new(), 0);
    for element in elements {
        put_element(&mut out, element);
        count += 1;
    }
    (out, count)
}

/// Puts elements before the one at `at`, or at the end.
#[inline]
pub fn insert<'e>(list: &mut impl PackedBytes, at: usize, elements: impl IntoIterator<Item = Element<'e>>) {
    let (packed, count) = packed(elements);
    exchange(list, at..at, 0, &packed, count);
}

#[inline]
pub fn push_back<'e>(list: &mut impl PackedBytes, elements: impl IntoIterator<Item = Element<'e>>) {
    let at = Listpack::new(list.bytes()).end();
    insert(list, at, elements);
}

/// Puts elements in front, in the order given: the first given comes first.
#[inline]
pub fn push_front<'e>(list: &mut impl PackedBytes, elements: impl IntoIterator<Item = Element<'e>>) {
    insert(list, HEADER_BYTES, elements);
}

/// Replaces `count` elements from `at` on, or those that there are.
pub fn replace_many<'e>(
    list: &mut impl PackedBytes,
    at: usize,
    count: usize,
    elements: impl IntoIterator<Item = Element<'e>>,
) {
    let (end, removed) = behind(list, at, count);
    let (packed, added) = packed(elements);
    exchange(list, at..end, removed, &packed, added);
}

/// Replaces the element at `at`.
#[inline]
pub fn replace(list: &mut impl PackedBytes, at: usize, element: Element<'_>) {
    let end = Listpack::new(list.bytes()).after(at).unwrap_or(at);
    let mut packed = Packed::new();
    put_element(&mut packed, element);
    exchange(list, at..end, 1, &packed, 1);
}

/// Removes `count` elements from `at` on, or those that there are; gives how many.
#[inline]
pub fn remove(list: &mut impl PackedBytes, at: usize, count: usize) -> usize {
    let (end, removed) = behind(list, at, count);
    exchange(list, at..end, removed, &[], 0);
    removed
}

/// The place behind up to `count` elements, and how many there are.
#[inline]
fn behind(list: &impl PackedBytes, at: usize, count: usize) -> (usize, usize) {
    let view = Listpack::new(list.bytes());
    let (mut end, mut passed) = (at, 0);
    while passed < count && end < view.end() {
        let Some(next) = view.after(end) else { break };
        end = next;
        passed += 1;
    }
    (end.min(view.end()), passed)
}

#[cfg(test)]
mod tests {
    use super::super::validate;
    use super::*;
    use crate::base::random::Rng;

    /// Text of one of the many forms that elements take.
    fn some_text(random: &mut Rng) -> Vec<u8> {
        match random.below(8) {
            0 => random.below(200).to_string().into_bytes(),
            1 => (random.below(1 << 20) as i64 - (1 << 19)).to_string().into_bytes(),
            2 => (random.next_u64() as i64).to_string().into_bytes(),
            3 => vec![b'a'; random.below(70) as usize],
            4 => vec![b'b'; 100 + random.below(60) as usize],
            5 => vec![b'c'; 4090 + random.below(10) as usize],
            _ => format!("text{}", random.below(30)).into_bytes(),
        }
    }

    fn check(list: &[u8], model: &[Vec<u8>]) {
        assert!(validate(list));
        let view = Listpack::new(list);
        assert_eq!(view.count(), model.len());
        assert!(view.iter().map(Element::to_vec).eq(model.iter().cloned()));
        assert!(view.iter().rev().map(Element::to_vec).eq(model.iter().rev().cloned()));
        assert_eq!(list, pack(model.iter().map(|text| Element::of(text))));
    }

    #[test]
    fn edits_agree_with_a_model() {
        let mut random = Rng::from_seed(17);
        for _ in 0..40 {
            let (mut list, mut model) = (super::super::EMPTY.to_vec(), Vec::<Vec<u8>>::new());
            for _ in 0..60 {
                let texts: Vec<_> = (0..random.below(4)).map(|_| some_text(&mut random)).collect();
                let elements = || texts.iter().map(|text| Element::of(text));
                let index = random.below(model.len() as u64 + 1) as usize;
                let at = Listpack::new(&list).skip(HEADER_BYTES, index).unwrap();
                let count = random.below(4) as usize;
                let end = (index + count).min(model.len());
                match random.below(7) {
                    0 => {
                        push_back(&mut list, elements());
                        model.extend(texts);
                    }
                    1 => {
                        push_front(&mut list, elements());
                        model.splice(0..0, texts);
                    }
                    2 | 3 => {
                        insert(&mut list, at, elements());
                        model.splice(index..index, texts);
                    }
                    4 if index < model.len() => {
                        let text = some_text(&mut random);
                        replace(&mut list, at, Element::of(&text));
                        model[index] = text;
                    }
                    5 => {
                        replace_many(&mut list, at, count, elements());
                        model.splice(index..end, texts);
                    }
                    _ => {
                        assert_eq!(remove(&mut list, at, count), end - index);
                        model.drain(index..end);
                    }
                }
                check(&list, &model);
            }
        }
    }

    #[test]
    fn a_count_too_large_stays_unknown() {
        let mut list = pack((0..65_534).map(Element::Integer));
        assert_eq!(list[4..6], 65_534u16.to_le_bytes());
        push_back(&mut list, [Element::Integer(1)]);
        assert_eq!((list[4..6] == [255, 255], Listpack::new(&list).count()), (true, 65_535));
        assert_eq!(remove(&mut list, HEADER_BYTES, 3), 3);
        assert!(validate(&list));
        assert_eq!(Listpack::new(&list).count(), 65_532);
    }
}
