//! Listpacks: short sequences of strings and integers in one run of bytes, as Redis lays them out.
//!
//! ```text
//! in memory     u16 count (65535: unknown), elements                    numbers are little-endian
//! in files      u32 total bytes, the same, 0xff
//!
//! an element: encoding, payload, length of these two written so that it can be read from its end
//! 0xxxxxxx                            an integer of 7 bits, not negative
//! 10xxxxxx                            a string of up to 63 bytes
//! 110xxxxx + 1 byte                   a signed integer of 13 bits
//! 1110xxxx + 1 byte                   a string of up to 4095 bytes
//! 11110000 + 4 bytes                  a string of up to 4 GiB
//! 11110001, ..10, ..11, 11110100      a signed integer of 16, 24, 32 or 64 bits
//! ```
//! In memory whoever keeps the bytes knows how many they are; the frame that says it would put many a small collection
//! into the allocator's next size class. [`Listpack::framed`] adds it, [`unframe`] takes it off.
//!
//! A text that is a canonical integer is always packed as one. [`Listpack`] reads, [`edit`] changes, both without
//! owning the bytes: they mostly stand inside an entry. Readers meet damaged bytes with an early end, never with a
//! panic; [`unframe`] lets in only what is whole.

use std::borrow::Cow;
use std::ops::Range;

use crate::base::number::{Decimal, parse_i64};

pub mod edit;

/// Bytes in front of the first element.
pub const HEADER_BYTES: usize = 2;
/// The listpack without elements.
pub const EMPTY: [u8; HEADER_BYTES] = [0; HEADER_BYTES];
/// No listpack may grow beyond this: lengths are 32 bits, and edits move everything behind them.
pub const BYTES_MAX: usize = 1 << 30;

/// The total in front of a listpack in a file.
const TOTAL_BYTES: usize = 4;
/// Behind the last element in a file.
const END: u8 = 0xff;
/// What a listpack in a file takes beyond what it takes in memory.
pub const FRAME_BYTES: usize = TOTAL_BYTES + 1;
const COUNT_UNKNOWN: u16 = u16::MAX;

const INTEGER_7_BITS_END: u8 = 0x80;
const STRING_6_BITS: u8 = 0x80;
const STRING_6_BITS_END: u8 = 0xc0;
const INTEGER_13_BITS: u8 = 0xc0;
const INTEGER_13_BITS_END: u8 = 0xe0;
const STRING_12_BITS: u8 = 0xe0;
const STRING_12_BITS_END: u8 = 0xf0;
const STRING_32_BITS: u8 = 0xf0;
const INTEGER_16_BITS: u8 = 0xf1;
const INTEGER_24_BITS: u8 = 0xf2;
const INTEGER_32_BITS: u8 = 0xf3;
const INTEGER_64_BITS: u8 = 0xf4;

/// One element's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element<'a> {
    Integer(i64),
    Bytes(&'a [u8]),
}

/// An element as text: borrowed, or a number written out on the stack.
pub enum Text<'a> {
    Bytes(&'a [u8]),
    Decimal(Decimal),
}

impl<'a> From<Text<'a>> for Cow<'a, [u8]> {
    fn from(text: Text<'a>) -> Cow<'a, [u8]> {
        match text {
            Text::Bytes(bytes) => bytes.into(),
            Text::Decimal(decimal) => decimal.as_bytes().to_vec().into(),
        }
    }
}

impl AsRef<[u8]> for Text<'_> {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        match self {
            Text::Bytes(bytes) => bytes,
            Text::Decimal(decimal) => decimal.as_bytes(),
        }
    }
}

impl std::ops::Deref for Text<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_ref()
    }
}

impl<'a> Element<'a> {
    /// The element that a text is packed as.
    #[inline]
    pub fn of(text: &'a [u8]) -> Element<'a> {
        parse_i64(text).map_or(Element::Bytes(text), Element::Integer)
    }

    #[inline]
    pub fn text(self) -> Text<'a> {
        match self {
            Element::Bytes(bytes) => Text::Bytes(bytes),
            Element::Integer(value) => Text::Decimal(Decimal::new(value)),
        }
    }

    pub fn to_vec(self) -> Vec<u8> {
        self.text().to_vec()
    }

    #[inline]
    pub fn append_to(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.text());
    }

    /// Length of the text in bytes.
    pub fn text_len(self) -> usize {
        self.text().len()
    }

    /// The integer that the text is, if it is one.
    #[inline]
    pub fn integer(self) -> Option<i64> {
        match self {
            Element::Integer(value) => Some(value),
            Element::Bytes(bytes) => parse_i64(bytes),
        }
    }

    /// Whether the text is this one.
    #[inline]
    pub fn is(self, text: &[u8]) -> bool {
        match self {
            Element::Bytes(bytes) => bytes == text,
            Element::Integer(value) => Decimal::new(value).as_bytes() == text,
        }
    }

    /// Bytes that the element takes in a listpack.
    pub fn packed_bytes(self) -> usize {
        let len = match self {
            Element::Integer(value) => integer_bytes(value),
            Element::Bytes(bytes) => string_head_bytes(bytes.len()) + bytes.len(),
        };
        len + back_bytes(len)
    }
}

#[inline]
fn integer_bytes(value: i64) -> usize {
    match value {
        0..=127 => 1,
        -4096..=4095 => 2,
        -0x8000..=0x7fff => 3,
        -0x80_0000..=0x7f_ffff => 4,
        -0x8000_0000..=0x7fff_ffff => 5,
        _ => 9,
    }
}

#[inline]
fn string_head_bytes(len: usize) -> usize {
    match len {
        0..64 => 1,
        64..4096 => 2,
        _ => 5,
    }
}

/// Bytes that the length at an element's end takes. The limits are Redis's, one short of what would fit.
#[inline]
fn back_bytes(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

/// What to look for: a text, and the integer it would be packed as.
#[derive(Clone, Copy)]
pub struct Needle<'a> {
    text: &'a [u8],
    integer: Option<i64>,
}

impl<'a> Needle<'a> {
    #[inline]
    pub fn new(text: &'a [u8]) -> Needle<'a> {
        Needle { text, integer: parse_i64(text) }
    }

    /// The element that the text is packed as.
    #[inline]
    pub fn element(&self) -> Element<'a> {
        self.integer.map_or(Element::Bytes(self.text), Element::Integer)
    }
}

impl<'a> From<&'a [u8]> for Needle<'a> {
    #[inline]
    fn from(text: &'a [u8]) -> Needle<'a> {
        Needle::new(text)
    }
}

/// Where an element's parts stand.
#[derive(Clone, Copy)]
struct Head {
    tag: u8,
    /// The payload of a string; of an integer everything, its encoding included.
    payload: usize,
    payload_end: usize,
    /// Where the next element begins.
    end: usize,
}

impl Head {
    /// `None` behind the last element, and where the bytes end early.
    #[inline]
    fn read(bytes: &[u8], at: usize) -> Option<Head> {
        let tag = *bytes.get(at)?;
        let (payload, len) = match tag {
            0..INTEGER_7_BITS_END => (at, 1),
            STRING_6_BITS..STRING_6_BITS_END => (at + 1, usize::from(tag & 0x3f)),
            INTEGER_13_BITS..INTEGER_13_BITS_END => (at, 2),
            STRING_12_BITS..STRING_12_BITS_END => {
                (at + 2, usize::from(tag & 0x0f) << 8 | usize::from(*bytes.get(at + 1)?))
            }
            STRING_32_BITS => (at + 5, u32::from_le_bytes(array(bytes, at + 1)?) as usize),
            INTEGER_16_BITS => (at, 3),
            INTEGER_24_BITS => (at, 4),
            INTEGER_32_BITS => (at, 5),
            INTEGER_64_BITS => (at, 9),
            _ => return None,
        };
        let payload_end = payload + len;
        let end = payload_end + back_bytes(payload_end - at);
        Some(Head { tag, payload, payload_end, end })
    }

    #[inline]
    fn is_string(self) -> bool {
        matches!(self.tag, STRING_6_BITS..STRING_6_BITS_END | STRING_12_BITS..=STRING_32_BITS)
    }

    #[inline]
    fn integer(self, bytes: &[u8]) -> Option<i64> {
        let at = self.payload;
        Some(match self.tag {
            0..INTEGER_7_BITS_END => i64::from(self.tag),
            INTEGER_13_BITS..INTEGER_13_BITS_END => {
                let raw = u16::from(self.tag & 0x1f) << 8 | u16::from(*bytes.get(at + 1)?);
                i64::from((raw << 3) as i16 >> 3)
            }
            INTEGER_16_BITS => i64::from(i16::from_le_bytes(array(bytes, at + 1)?)),
            INTEGER_24_BITS => {
                let [low, middle, high] = array(bytes, at + 1)?;
                i64::from(i32::from_le_bytes([0, low, middle, high]) >> 8)
            }
            INTEGER_32_BITS => i64::from(i32::from_le_bytes(array(bytes, at + 1)?)),
            _ => i64::from_le_bytes(array(bytes, at + 1)?),
        })
    }

    #[inline]
    fn element(self, bytes: &[u8]) -> Option<Element<'_>> {
        if self.is_string() {
            bytes.get(self.payload..self.payload_end).map(Element::Bytes)
        } else {
            self.integer(bytes).map(Element::Integer)
        }
    }

    #[inline]
    fn matches(self, bytes: &[u8], needle: &Needle<'_>) -> bool {
        if self.is_string() {
            self.payload_end - self.payload == needle.text.len()
                && bytes.get(self.payload..self.payload_end) == Some(needle.text)
        } else {
            needle.integer.is_some() && self.integer(bytes) == needle.integer
        }
    }
}

#[inline]
fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// The length that ends at `end`, and where it begins.
#[inline]
fn back_length(bytes: &[u8], end: usize) -> Option<(usize, usize)> {
    let (mut len, mut at) = (0usize, end);
    for shift in [0, 7, 14, 21, 28] {
        at = at.checked_sub(1)?;
        let byte = *bytes.get(at)?;
        len |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((len, at));
        }
    }
    None
}

/// A listpack to read. Places are offsets in bytes.
#[derive(Clone, Copy)]
pub struct Listpack<'a>(&'a [u8]);

impl<'a> Listpack<'a> {
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Listpack<'a> {
        Listpack(bytes)
    }

    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Bytes that the listpack takes in a file, by which limits are told.
    #[inline]
    pub fn framed_bytes(self) -> usize {
        self.0.len() + FRAME_BYTES
    }

    /// The listpack as it stands in files.
    pub fn framed(self) -> Vec<u8> {
        let total = (self.framed_bytes() as u32).to_le_bytes();
        [&total[..], self.0, &[END]].concat()
    }

    #[inline]
    fn counted(self) -> Option<usize> {
        let count = u16::from_le_bytes(array(self.0, 0)?);
        (count != COUNT_UNKNOWN).then_some(usize::from(count))
    }

    /// The number of elements: counted if there are too many for the header.
    #[inline]
    pub fn count(self) -> usize {
        self.counted().unwrap_or_else(|| self.iter().count())
    }

    pub fn is_empty(self) -> bool {
        self.0.len() <= EMPTY.len()
    }

    /// Where the first element stands, or the end.
    #[inline]
    pub fn first(self) -> usize {
        HEADER_BYTES
    }

    /// Where the elements end.
    #[inline]
    pub fn end(self) -> usize {
        self.0.len().max(HEADER_BYTES)
    }

    /// The element at a place.
    #[inline]
    pub fn get(self, at: usize) -> Option<Element<'a>> {
        Head::read(self.0, at)?.element(self.0)
    }

    /// Where the element after the one at `at` stands. At the last it is the end.
    #[inline]
    pub fn after(self, at: usize) -> Option<usize> {
        Head::read(self.0, at).map(|head| head.end)
    }

    /// Where the element before `at` stands.
    #[inline]
    pub fn before(self, at: usize) -> Option<usize> {
        if at <= HEADER_BYTES {
            return None;
        }
        let (len, len_at) = back_length(self.0, at)?;
        len_at.checked_sub(len).filter(|at| *at >= HEADER_BYTES)
    }

    /// The place `count` elements after the one at `at`: an element's, or the end.
    #[inline]
    pub fn skip(self, mut at: usize, count: usize) -> Option<usize> {
        for _ in 0..count {
            at = self.after(at)?;
        }
        Some(at)
    }

    /// The place of an element by its index, from the end if it is negative. The nearer end is where the search starts.
    pub fn position(self, index: i64) -> Option<usize> {
        let mut index = index;
        if let Some(count) = self.counted() {
            let count = count as i64;
            let forward = if index < 0 { index + count } else { index };
            if forward < 0 || forward >= count {
                return None;
            }
            index = if forward <= count / 2 { forward } else { forward - count };
        }
        if index >= 0 {
            let at = self.skip(HEADER_BYTES, usize::try_from(index).ok()?)?;
            Head::read(self.0, at).map(|_| at)
        } else {
            let mut at = self.end();
            for _ in 0..index.unsigned_abs() {
                at = self.before(at)?;
            }
            Some(at)
        }
    }

    /// All elements, from either end.
    #[inline]
    pub fn iter(self) -> Iter<'a> {
        self.between(HEADER_BYTES..self.end())
    }

    /// The elements between two places.
    #[inline]
    pub fn between(self, range: Range<usize>) -> Iter<'a> {
        Iter { bytes: self.0, front: range.start, back: range.end }
    }

    /// Elements two by two, as fields and their values.
    #[inline]
    pub fn pairs(self) -> impl Iterator<Item = (Element<'a>, Element<'a>)> {
        let mut elements = self.iter();
        std::iter::from_fn(move || Some((elements.next()?, elements.next()?)))
    }

    /// Looks for a text among every `stride`th element from `from` on; gives its place.
    #[inline]
    pub fn find(self, needle: impl Into<Needle<'a>>, from: usize, stride: usize) -> Option<usize> {
        self.find_needle(&needle.into(), from, stride)
    }

    /// As [`Listpack::find`], for who looks for the same text in many places.
    #[inline]
    pub fn find_needle(self, needle: &Needle<'_>, from: usize, stride: usize) -> Option<usize> {
        let bytes = self.0;
        let mut at = from;
        loop {
            let head = Head::read(bytes, at)?;
            if head.matches(bytes, needle) {
                return Some(at);
            }
            at = head.end;
            for _ in 1..stride {
                at = Head::read(bytes, at)?.end;
            }
        }
    }
}

/// Elements from both ends. Damaged bytes end it early.
#[derive(Clone)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    front: usize,
    back: usize,
}

impl<'a> Iter<'a> {
    /// Where the element stands that comes next.
    #[inline]
    pub fn place(&self) -> usize {
        self.front
    }

    /// The next element and its place.
    #[inline]
    pub fn next_placed(&mut self) -> Option<(usize, Element<'a>)> {
        let at = self.front;
        self.next().map(|element| (at, element))
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        if self.front >= self.back {
            return None;
        }
        let head = Head::read(self.bytes, self.front)?;
        self.front = head.end;
        head.element(self.bytes)
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.back <= self.front {
            return None;
        }
        let list = Listpack(self.bytes);
        self.back = list.before(self.back).filter(|at| *at >= self.front)?;
        list.get(self.back)
    }
}

/// What a listpack of a file is in memory. `None` unless it is whole, every element of it: then reading it meets each
/// element once, either way.
pub fn unframe(framed: &[u8]) -> Option<&[u8]> {
    let (total, rest) = framed.split_first_chunk::<TOTAL_BYTES>()?;
    let (end, bytes) = rest.split_last()?;
    let list = Listpack(bytes);
    if u32::from_le_bytes(*total) as usize != framed.len() || *end != END || bytes.len() < HEADER_BYTES {
        return None;
    }
    let (mut at, mut count) = (HEADER_BYTES, 0);
    while at < list.end() {
        let head = Head::read(bytes, at)?;
        if head.end > list.end()
            || head.element(bytes).is_none()
            || back_length(bytes, head.end) != Some((head.payload_end - at, head.payload_end))
        {
            return None;
        }
        at = head.end;
        count += 1;
    }
    list.counted().is_none_or(|counted| counted == count).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(texts: &[&[u8]]) -> Vec<u8> {
        edit::pack(texts.iter().map(|text| Element::of(text)))
    }

    fn is_whole(bytes: &[u8]) -> bool {
        unframe(&Listpack::new(bytes).framed()).is_some()
    }

    #[test]
    fn layout_is_exact() {
        let whole = pack(&[b"a", b"1", b"-1", b"4095", b"-4097", b"8388607", b"-2147483648", b"2147483648", b"01"]);
        let mut expected = vec![0, 0, 0, 0, 9, 0];
        for part in [
            &b"\x81a\x02"[..],
            b"\x01\x01",
            b"\xdf\xff\x02",
            b"\xcf\xff\x02",
            b"\xf1\xff\xef\x03",
            b"\xf2\xff\xff\x7f\x04",
            b"\xf3\x00\x00\x00\x80\x05",
            b"\xf4\x00\x00\x00\x80\x00\x00\x00\x00\x09",
            b"\x8201\x03",
            b"\xff",
        ] {
            expected.extend_from_slice(part);
        }
        expected[0] = expected.len() as u8;
        assert_eq!(Listpack::new(&whole).framed(), expected);
        assert_eq!(whole, expected[TOTAL_BYTES..expected.len() - 1]);
        assert_eq!((pack(&[]), Listpack::new(&EMPTY).framed()), (EMPTY.to_vec(), vec![7, 0, 0, 0, 0, 0, END]));
        let long = [b'x'; 126];
        assert_eq!(pack(&[&long])[HEADER_BYTES + 128..], [1, 0x80]);
        assert_eq!(pack(&[&long])[HEADER_BYTES..][..2], [0xe0, 126]);
        for (len, back) in [(4096, 3), (16_377, 3), (16_378, 4), (2_097_145, 4), (2_097_146, 5)] {
            let long = vec![b'x'; len];
            let back = if len == 4096 { 2 } else { back - 1 };
            assert_eq!(pack(&[&long]).len(), EMPTY.len() + 5 + len + back, "{len}");
            assert!(is_whole(&pack(&[&long])));
        }
    }

    #[test]
    fn integers_come_back() {
        let mut values = vec![i64::MIN, i64::MAX, 0, -1];
        for bits in 1..63 {
            values.extend([-1, 0, 1].map(|more| (1i64 << bits) + more));
            values.extend([-1, 0, 1].map(|more| -(1i64 << bits) + more));
        }
        for value in values {
            let packed = edit::pack([Element::Integer(value)]);
            assert!(is_whole(&packed));
            let list = Listpack::new(&packed);
            assert_eq!(list.get(list.first()), Some(Element::Integer(value)));
            assert_eq!(list.find(value.to_string().as_bytes(), HEADER_BYTES, 1), Some(HEADER_BYTES));
            assert_eq!(packed.len(), EMPTY.len() + Element::Integer(value).packed_bytes());
        }
    }

    #[test]
    fn places_and_searches() {
        let packed = pack(&[b"one", b"1", b"two", b"2", b"1", b"one"]);
        let list = Listpack::new(&packed);
        let index_of = |at: usize| list.between(HEADER_BYTES..at).count();
        assert_eq!(list.count(), 6);
        for index in 0..6i64 {
            assert_eq!(index_of(list.position(index).unwrap()), index as usize);
            assert_eq!(list.position(index), list.position(index - 6));
        }
        assert_eq!((list.position(6), list.position(-7)), (None, None));
        assert_eq!(index_of(list.find(&b"1"[..], list.first(), 1).unwrap()), 1);
        assert_eq!(index_of(list.find(&b"1"[..], list.first(), 2).unwrap()), 4);
        assert_eq!(list.find(&b"01"[..], list.first(), 1), None);
        assert_eq!(list.find(&b"three"[..], list.first(), 2), None);
        let backwards: Vec<_> = list.iter().rev().map(Element::to_vec).collect();
        assert_eq!(backwards, [&b"one"[..], b"1", b"2", b"two", b"1", b"one"]);
        assert_eq!(list.pairs().count(), 3);
        let mut both = list.iter();
        assert!(both.next().is_some_and(|element| element.is(b"one")));
        assert!(both.next_back().is_some_and(|element| element.is(b"one")));
        assert_eq!(both.count(), 4);
    }

    #[test]
    fn more_elements_than_the_header_counts() {
        let packed = edit::pack((0..70_000).map(Element::Integer));
        let list = Listpack::new(&packed);
        assert!(is_whole(&packed));
        assert_eq!((packed[0], packed[1], list.count()), (255, 255, 70_000));
        for index in [0, 65_535, 69_999, -1, -70_000] {
            let expected = if index < 0 { index + 70_000 } else { index };
            assert_eq!(list.get(list.position(index).unwrap()), Some(Element::Integer(expected)));
        }
        assert_eq!((list.position(70_000), list.position(-70_001)), (None, None));
    }

    /// Damage anywhere is found or harmless, and no reader panics at it.
    #[test]
    fn damaged_bytes_do_not_harm() {
        let long = [b'y'; 200];
        let whole = pack(&[b"one", b"1", &long, b"-70000", b"9999999999", b""]);
        let read_all = |bytes: &[u8]| {
            let list = Listpack::new(bytes);
            let forwards = list.iter().count();
            let backwards = list.iter().rev().count();
            assert_eq!(list.find(&b"none"[..], list.first(), 2), None);
            let _ = (list.position(3), list.position(-2), list.count());
            forwards == backwards
        };
        for len in 0..whole.len() {
            read_all(&whole[..len]);
        }
        let framed = Listpack::new(&whole).framed();
        assert_eq!(unframe(&framed), Some(&whole[..]));
        for len in 0..framed.len() {
            assert_eq!(unframe(&framed[..len]), None);
        }
        for at in 0..framed.len() {
            for value in 0..=255 {
                let mut bytes = framed.clone();
                bytes[at] = value;
                let even = read_all(&bytes[TOTAL_BYTES..bytes.len() - 1]);
                assert!(unframe(&bytes).is_none() || even, "byte {at} as {value}");
            }
        }
    }
}
