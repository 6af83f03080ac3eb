//! The name of a stream's entry: a moment in milliseconds, and a number that tells entries of one moment apart.

use std::fmt;

use crate::base::number::{parse_i64, parse_u64, put_digits};

/// Longest text that is looked at as an id.
const TEXT_BYTES_MAX: usize = 127;
/// The longest text of an id: two numbers of 20 digits and what stands between them.
const WRITTEN_BYTES_MAX: usize = 41;
const VERTICAL_TAB: u8 = 0x0b;

/// Ordered by moment, then by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    pub ms: u64,
    pub seq: u64,
}

/// How the id of a new entry is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewId {
    /// `*`: the server names the moment and the number.
    Auto,
    /// `ms-*`: the server names the number.
    AutoSeq(u64),
    Given(StreamId),
}

impl StreamId {
    pub const MIN: StreamId = StreamId::new(0, 0);
    pub const MAX: StreamId = StreamId::new(u64::MAX, u64::MAX);

    pub const fn new(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    pub fn is_zero(self) -> bool {
        self == StreamId::MIN
    }

    /// The id right after this one, if there is one.
    pub fn next(self) -> Option<StreamId> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(StreamId { ms: self.ms, seq }),
            None => Some(StreamId { ms: self.ms.checked_add(1)?, seq: 0 }),
        }
    }

    /// The id right before this one, if there is one.
    pub fn previous(self) -> Option<StreamId> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(StreamId { ms: self.ms, seq }),
            None => Some(StreamId { ms: self.ms.checked_sub(1)?, seq: u64::MAX }),
        }
    }

    /// Reads `ms-seq` or `ms`, to which `missing_seq` is added.
    pub fn parse(text: &[u8], missing_seq: u64) -> Option<StreamId> {
        let (ms, seq) = split(text)?;
        let seq = match seq {
            Some(seq) => read_number(seq)?,
            None => missing_seq,
        };
        Some(StreamId { ms: read_number(ms)?, seq })
    }

    /// Reads an id as `parse` does, or `-` and `+` for the least and the greatest.
    pub fn parse_bound(text: &[u8], missing_seq: u64) -> Option<StreamId> {
        match text {
            b"-" => Some(StreamId::MIN),
            b"+" => Some(StreamId::MAX),
            _ => StreamId::parse(text, missing_seq),
        }
    }

    #[inline]
    pub fn to_text(self) -> IdText {
        let mut buffer = [0; WRITTEN_BYTES_MAX];
        let dash = put_digits(&mut buffer, WRITTEN_BYTES_MAX, self.seq) - 1;
        buffer[dash] = b'-';
        let start = put_digits(&mut buffer, dash, self.ms) as u8;
        IdText { buffer, start }
    }

    /// The 16 bytes of the id in files: both numbers big-endian, so that bytes are ordered as ids are.
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.ms) << 64 | u128::from(self.seq)).to_be_bytes()
    }

    pub fn of_bytes(bytes: [u8; 16]) -> StreamId {
        let both = u128::from_be_bytes(bytes);
        StreamId { ms: (both >> 64) as u64, seq: both as u64 }
    }
}

impl NewId {
    pub fn parse(text: &[u8]) -> Option<NewId> {
        if text == b"*" {
            return Some(NewId::Auto);
        }
        match split(text)? {
            (ms, Some(b"*")) => Some(NewId::AutoSeq(read_number(ms)?)),
            _ => StreamId::parse(text, 0).map(NewId::Given),
        }
    }
}

/// A part of an id. Besides plain numbers it may be what C's `strtoull` reads: white space and a sign come first, zeros
/// may lead, and below zero the numbers go on from the greatest down; but no plain negative number.
fn read_number(text: &[u8]) -> Option<u64> {
    if let Some(number) = parse_u64(text) {
        return Some(number);
    }
    if parse_i64(text).is_some() {
        return None;
    }
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == VERTICAL_TAB;
    let text = &text[text.iter().take_while(|byte| is_space(byte)).count()..];
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0u64, |number, digit| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })?;
    Some(if negative { number.wrapping_neg() } else { number })
}

/// The two parts of an id's text.
fn split(text: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    match memchr::memchr(b'-', text) {
        Some(at) => Some((&text[..at], Some(&text[at + 1..]))),
        None => Some((text, None)),
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}", self.ms, self.seq)
    }
}

/// The text of an id, written from the end of a buffer on the stack.
pub struct IdText {
    buffer: [u8; WRITTEN_BYTES_MAX],
    start: u8,
}

impl IdText {
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.buffer[usize::from(self.start)..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_bytes() {
        for id in [StreamId::MIN, StreamId::MAX, StreamId::new(1, 0), StreamId::new(u64::MAX, 7)] {
            assert_eq!(id.to_text().as_bytes(), id.to_string().as_bytes());
            assert_eq!(StreamId::parse(id.to_text().as_bytes(), 9), Some(id));
            assert_eq!(StreamId::of_bytes(id.to_bytes()), id);
        }
        assert_eq!(StreamId::parse(b"5", 9), Some(StreamId::new(5, 9)));
        for wrong in [
            "",
            "-",
            "+",
            "1-",
            "-1",
            "1-2-3",
            "a",
            "1-a",
            "1-*",
            "*",
            "18446744073709551616",
            "1 ",
            "1--1",
            "+",
            "++1",
            " ",
            "-0",
        ] {
            assert_eq!(StreamId::parse(wrong.as_bytes(), 0), None, "{wrong}");
        }
        let odd = [(" 1", 1, 0), ("+1-01", 1, 1), ("\t\x0b007", 7, 0), ("1--0", 1, 0), ("1- -1", 1, u64::MAX)];
        for (text, ms, seq) in odd {
            assert_eq!(StreamId::parse(text.as_bytes(), 0), Some(StreamId::new(ms, seq)), "{text}");
        }
        assert_eq!(StreamId::parse(&[b'0'; 128], 0), None);
        assert_eq!(StreamId::parse_bound(b"-", 1), Some(StreamId::MIN));
        assert_eq!(StreamId::parse_bound(b"+", 1), Some(StreamId::MAX));
        assert_eq!(NewId::parse(b"*"), Some(NewId::Auto));
        assert_eq!(NewId::parse(b"12-*"), Some(NewId::AutoSeq(12)));
        assert_eq!(NewId::parse(b"12-3"), Some(NewId::Given(StreamId::new(12, 3))));
        assert_eq!(NewId::parse(b"x-*"), None);
    }

    #[test]
    fn neighbours() {
        let carried = StreamId::new(1, u64::MAX);
        assert_eq!(carried.next(), Some(StreamId::new(2, 0)));
        assert_eq!(StreamId::new(2, 0).previous(), Some(carried));
        assert_eq!(StreamId::MAX.next(), None);
        assert_eq!(StreamId::MIN.previous(), None);
        assert!(StreamId::new(1, 5) < StreamId::new(2, 0));
    }
}
