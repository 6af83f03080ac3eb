//! Changes to a listpack, each one move of what is behind it.
//!
//! The bytes may stand anywhere that implements [`PackedBytes`]. A change works out how many bytes its elements take,
//! has room made for them, and writes them right there. Places are offsets in bytes, as [`Listpack`] gives them; a place
//! that is not an element's is the caller's fault, and damages the listpack but nothing else.

use std::ops::Range;

use super::{
    BYTES_MAX, COUNT_UNKNOWN, Element, HEADER_BYTES, INTEGER_7_BITS_END, INTEGER_13_BITS, INTEGER_16_BITS,
    INTEGER_24_BITS, INTEGER_32_BITS, INTEGER_64_BITS, Listpack, STRING_6_BITS, STRING_12_BITS, STRING_32_BITS, array,
    back_bytes, integer_bytes,
};
use crate::store::Entry;

/// Bytes that can be edited in place.
pub trait PackedBytes {
    fn bytes(&self) -> &[u8];
    fn bytes_mut(&mut self) -> &mut [u8];
    /// Replaces a range by `len` bytes, which are to be written, and moves what is behind it. Gives all bytes.
    fn make_room(&mut self, range: Range<usize>, len: usize) -> &mut [u8];

    /// Replaces a range by other bytes.
    fn splice(&mut self, range: Range<usize>, insert: &[u8]) {
        let start = range.start;
        self.make_room(range, insert.len())[start..][..insert.len()].copy_from_slice(insert);
    }
}

impl PackedBytes for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }

    #[inline]
    fn make_room(&mut self, range: Range<usize>, len: usize) -> &mut [u8] {
        let (old_len, removed) = (self.len(), range.len());
        if len > removed {
            self.resize(old_len + len - removed, 0);
        }
        if range.end < old_len {
            self.copy_within(range.end..old_len, range.start + len);
        }
        self.truncate(old_len + len - removed);
        self
    }
}

impl PackedBytes for Entry {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.view().value()
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.packed_mut()
    }

    #[inline]
    fn make_room(&mut self, range: Range<usize>, len: usize) -> &mut [u8] {
        self.make_packed_room(range, len)
    }
}

/// Writes an element to the front of `room`; gives the bytes that it took.
#[inline]
fn put_element(room: &mut [u8], element: Element<'_>) -> usize {
    let len = match element {
        Element::Integer(value) => put_integer(room, value),
        Element::Bytes(bytes) => {
            let head = put_string_head(room, bytes.len());
            room[head..][..bytes.len()].copy_from_slice(bytes);
            head + bytes.len()
        }
    };
    len + put_back_length(&mut room[len..], len)
}

#[inline]
fn put<const N: usize>(room: &mut [u8], bytes: [u8; N]) -> usize {
    room[..N].copy_from_slice(&bytes);
    N
}

#[inline]
fn put_integer(room: &mut [u8], value: i64) -> usize {
    let [a, b, c, d, ..] = value.to_le_bytes();
    match integer_bytes(value) {
        1 => put(room, [a]),
        2 => put(room, [INTEGER_13_BITS | b & 0x1f, a]),
        3 => put(room, [INTEGER_16_BITS, a, b]),
        4 => put(room, [INTEGER_24_BITS, a, b, c]),
        5 => put(room, [INTEGER_32_BITS, a, b, c, d]),
        _ => put(room, [INTEGER_64_BITS]) + put(&mut room[1..], value.to_le_bytes()),
    }
}

#[inline]
fn put_string_head(room: &mut [u8], len: usize) -> usize {
    match len {
        0..64 => put(room, [STRING_6_BITS | len as u8]),
        64..4096 => put(room, [STRING_12_BITS | (len >> 8) as u8, len as u8]),
        _ => put(room, [STRING_32_BITS]) + put(&mut room[1..], (len as u32).to_le_bytes()),
    }
}

#[inline]
fn put_back_length(room: &mut [u8], len: usize) -> usize {
    let bytes = back_bytes(len);
    if bytes == 1 {
        return put(room, [len as u8]);
    }
    for (index, byte) in room[..bytes].iter_mut().enumerate() {
        let group = (len >> (7 * (bytes - 1 - index))) as u8 & 0x7f;
        *byte = if index == 0 { group } else { group | 0x80 };
    }
    bytes
}

/// Bytes that the elements take in a listpack.
#[inline]
pub fn packed_bytes(elements: &[Element<'_>]) -> usize {
    elements.iter().map(|element| element.packed_bytes()).sum()
}

/// A new listpack of these elements.
pub fn pack<'e>(elements: impl IntoIterator<Item = Element<'e>>) -> Vec<u8> {
    let mut out = vec![0; HEADER_BYTES];
    let mut count = 0usize;
    for element in elements {
        let at = out.len();
        out.resize(at + element.packed_bytes(), 0);
        put_element(&mut out[at..], element);
        count += 1;
    }
    put(&mut out, header(count));
    out
}

/// As [`pack`], with room for these elements alone; `None` if the listpack would be too long.
pub fn pack_exactly(elements: &[Element<'_>]) -> Option<Vec<u8>> {
    let total = HEADER_BYTES + packed_bytes(elements);
    if total >= BYTES_MAX {
        return None;
    }
    let mut out = vec![0; total];
    let mut at = put(&mut out, header(elements.len()));
    for element in elements {
        at += put_element(&mut out[at..], *element);
    }
    Some(out)
}

#[inline]
fn header(count: usize) -> [u8; HEADER_BYTES] {
    u16::try_from(count).unwrap_or(COUNT_UNKNOWN).to_le_bytes()
}

/// Replaces a range of `removed` whole elements by others.
#[inline]
fn exchange(list: &mut impl PackedBytes, range: Range<usize>, removed: usize, elements: &[Element<'_>]) {
    let (start, len) = (range.start, packed_bytes(elements));
    let bytes = if range.len() == len { list.bytes_mut() } else { list.make_room(range, len) };
    if removed != elements.len() {
        let count = match array(bytes, 0).map_or(COUNT_UNKNOWN, u16::from_le_bytes) {
            COUNT_UNKNOWN => usize::from(COUNT_UNKNOWN),
            known => (usize::from(known) + elements.len()).saturating_sub(removed),
        };
        put(bytes, header(count));
    }
    let mut room = &mut bytes[start..][..len];
    for element in elements {
        let used = put_element(room, *element);
        room = &mut room[used..];
    }
}

/// Puts elements before the one at `at`, or at the end.
#[inline]
pub fn insert(list: &mut impl PackedBytes, at: usize, elements: &[Element<'_>]) {
    exchange(list, at..at, 0, elements);
}

#[inline]
pub fn push_back(list: &mut impl PackedBytes, elements: &[Element<'_>]) {
    let at = Listpack::new(list.bytes()).end();
    insert(list, at, elements);
}

/// Puts elements in front, in the order given: the first given comes first.
#[inline]
pub fn push_front(list: &mut impl PackedBytes, elements: &[Element<'_>]) {
    insert(list, HEADER_BYTES, elements);
}

/// Replaces `count` elements from `at` on, or those that there are.
pub fn replace_many(list: &mut impl PackedBytes, at: usize, count: usize, elements: &[Element<'_>]) {
    let (end, removed) = behind(list, at, count);
    exchange(list, at..end, removed, elements);
}

/// Replaces the element at `at`.
#[inline]
pub fn replace(list: &mut impl PackedBytes, at: usize, element: Element<'_>) {
    // One small number for another, as counts are.
    if let Element::Integer(value @ 0..=127) = element
        && let Some(byte @ ..INTEGER_7_BITS_END) = list.bytes_mut().get_mut(at)
    {
        *byte = value as u8;
        return;
    }
    let end = Listpack::new(list.bytes()).after(at).unwrap_or(at);
    exchange(list, at..end, 1, &[element]);
}

/// Removes `count` elements from `at` on, or those that there are; gives how many.
#[inline]
pub fn remove(list: &mut impl PackedBytes, at: usize, count: usize) -> usize {
    let (end, removed) = behind(list, at, count);
    exchange(list, at..end, removed, &[]);
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
    use super::super::unframe;
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
        let view = Listpack::new(list);
        assert_eq!(unframe(&view.framed()), Some(list));
        assert_eq!(view.count(), model.len());
        assert!(view.iter().map(Element::to_vec).eq(model.iter().cloned()));
        assert!(view.iter().rev().map(Element::to_vec).eq(model.iter().rev().cloned()));
        let elements: Vec<_> = model.iter().map(|text| Element::of(text)).collect();
        assert_eq!(list, pack(elements.iter().copied()));
        assert_eq!(Some(list), pack_exactly(&elements).as_deref());
    }

    #[test]
    fn edits_agree_with_a_model() {
        let mut random = Rng::from_seed(17);
        for _ in 0..40 {
            let (mut list, mut model) = (super::super::EMPTY.to_vec(), Vec::<Vec<u8>>::new());
            for _ in 0..60 {
                let texts: Vec<_> = (0..random.below(4)).map(|_| some_text(&mut random)).collect();
                let elements: Vec<_> = texts.iter().map(|text| Element::of(text)).collect();
                let index = random.below(model.len() as u64 + 1) as usize;
                let at = Listpack::new(&list).skip(HEADER_BYTES, index).unwrap();
                let count = random.below(4) as usize;
                let end = (index + count).min(model.len());
                match random.below(7) {
                    0 => {
                        push_back(&mut list, &elements);
                        model.extend(texts);
                    }
                    1 => {
                        push_front(&mut list, &elements);
                        model.splice(0..0, texts);
                    }
                    2 | 3 => {
                        insert(&mut list, at, &elements);
                        model.splice(index..index, texts);
                    }
                    4 if index < model.len() => {
                        let text = some_text(&mut random);
                        replace(&mut list, at, Element::of(&text));
                        model[index] = text;
                    }
                    5 => {
                        replace_many(&mut list, at, count, &elements);
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
        assert_eq!(list[..2], 65_534u16.to_le_bytes());
        push_back(&mut list, &[Element::Integer(1)]);
        assert_eq!((list[..2] == [255, 255], Listpack::new(&list).count()), (true, 65_535));
        assert_eq!(remove(&mut list, HEADER_BYTES, 3), 3);
        assert!(unframe(&Listpack::new(&list).framed()).is_some());
        assert_eq!(Listpack::new(&list).count(), 65_532);
    }
}
