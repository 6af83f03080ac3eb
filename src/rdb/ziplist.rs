//! Ziplists: what Redis packed small collections in before it had listpacks. They are only read.
//!
//! ```text
//! u32 total bytes, u32 offset of the last entry, u16 count (65535: unknown), entries, 0xff     little-endian
//!
//! an entry: length of the one before it, encoding, payload
//! length     1 byte below 254, or 254 and 4 bytes
//! 00xxxxxx                     a string of up to 63 bytes
//! 01xxxxxx + 1 byte            of up to 16,383 bytes
//! 10...... + 4 bytes           of 32 bits; lengths of strings are big-endian
//! 11000000, 11010000, 11100000, 11110000, 11111110    integers of 16, 32, 64, 24 and 8 bits, little-endian
//! 1111xxxx                     0 to 12, as xxxx less 1
//! ```

use crate::store::listpack::Element;

const HEADER_BYTES: usize = 10;
const END: u8 = 0xff;
const LONG_LENGTH: u8 = 254;
const COUNT_UNKNOWN: usize = u16::MAX as usize;

/// Reads little by little; `None` where the bytes end too early.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn slice(&mut self, len: usize) -> Option<&'a [u8]> {
        let slice = self.bytes.get(self.at..)?.get(..len)?;
        self.at += len;
        Some(slice)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.slice(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn string(&mut self, len: usize) -> Option<Element<'a>> {
        self.slice(len).map(Element::Bytes)
    }

    /// The length of the entry before.
    fn length_before(&mut self) -> Option<usize> {
        match self.byte()? {
            LONG_LENGTH => self.array().map(|length| u32::from_le_bytes(length) as usize),
            END => None,
            short => Some(usize::from(short)),
        }
    }

    fn element(&mut self) -> Option<Element<'a>> {
        let tag = self.byte()?;
        let integer = match tag {
            0x00..0x40 => return self.string(usize::from(tag)),
            0x40..0x80 => {
                let len = usize::from(tag & 0x3f) << 8 | usize::from(self.byte()?);
                return self.string(len);
            }
            0x80..0xc0 => {
                let len = u32::from_be_bytes(self.array()?) as usize;
                return self.string(len);
            }
            0xc0 => i64::from(i16::from_le_bytes(self.array()?)),
            0xd0 => i64::from(i32::from_le_bytes(self.array()?)),
            0xe0 => i64::from_le_bytes(self.array()?),
            0xf0 => {
                let [low, middle, high] = self.array()?;
                i64::from(i32::from_le_bytes([0, low, middle, high]) >> 8)
            }
            0xfe => i64::from(self.byte()? as i8),
            0xf1..=0xfd => i64::from(tag & 0x0f) - 1,
            _ => return None,
        };
        Some(Element::Integer(integer))
    }
}

/// The elements of a ziplist; `None` unless it is whole.
pub fn elements(bytes: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut cursor = Cursor { bytes, at: 0 };
    let total = u32::from_le_bytes(cursor.array()?) as usize;
    let last_at = u32::from_le_bytes(cursor.array()?) as usize;
    let count = usize::from(u16::from_le_bytes(cursor.array()?));
    if total != bytes.len() || bytes.last() != Some(&END) {
        return None;
    }
    let (mut elements, mut began, mut length) = (Vec::new(), HEADER_BYTES, 0);
    while cursor.at + 1 < bytes.len() {
        began = cursor.at;
        if cursor.length_before()? != length {
            return None;
        }
        elements.push(cursor.element()?);
        length = cursor.at - began;
    }
    let whole = cursor.at + 1 == bytes.len() && last_at == began && (count == COUNT_UNKNOWN || count == elements.len());
    whole.then_some(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ziplist of entries whose encodings and payloads are given.
    fn ziplist(entries: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        let (mut last_at, mut length) = (HEADER_BYTES, 0usize);
        for entry in entries {
            last_at = bytes.len();
            match u8::try_from(length) {
                Ok(short) if short < LONG_LENGTH => bytes.push(short),
                _ => {
                    bytes.push(LONG_LENGTH);
                    bytes.extend_from_slice(&(length as u32).to_le_bytes());
                }
            }
            bytes.extend_from_slice(entry);
            length = bytes.len() - last_at;
        }
        bytes.push(END);
        let total = bytes.len() as u32;
        bytes[..4].copy_from_slice(&total.to_le_bytes());
        bytes[4..8].copy_from_slice(&(last_at as u32).to_le_bytes());
        bytes[8..10].copy_from_slice(&(entries.len() as u16).to_le_bytes());
        bytes
    }

    fn entries() -> Vec<Vec<u8>> {
        let long = [&[0x41, 0x2c][..], &[b'y'; 300]].concat();
        let longer = [&[0x80, 0, 0, 0, 2][..], b"zz"].concat();
        let integers: [&[u8]; 8] = [
            &[0xc0, 0xff, 0xff],
            &[0xd0, 0, 0, 0, 0x80],
            &[0xe0, 0, 0, 0, 0, 0, 0, 0, 0x80],
            &[0xf0, 0, 0, 0x80],
            &[0xfe, 0x80],
            &[0xf1],
            &[0xfd],
            b"\x01x",
        ];
        [vec![long, longer], integers.map(<[u8]>::to_vec).to_vec()].concat()
    }

    #[test]
    fn every_encoding_is_read() {
        let entries = entries();
        let bytes = ziplist(&entries.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let expected = [
            Element::Bytes(&[b'y'; 300]),
            Element::Bytes(b"zz"),
            Element::Integer(-1),
            Element::Integer(i64::from(i32::MIN)),
            Element::Integer(i64::MIN),
            Element::Integer(-(1 << 23)),
            Element::Integer(-128),
            Element::Integer(0),
            Element::Integer(12),
            Element::Bytes(b"x"),
        ];
        assert_eq!(elements(&bytes).unwrap(), expected);
        assert_eq!(elements(&ziplist(&[])).unwrap(), []);
    }

    #[test]
    fn damage_is_refused_or_harmless() {
        let entries = entries();
        let whole = ziplist(&entries.iter().map(Vec::as_slice).collect::<Vec<_>>());
        for len in 0..whole.len() {
            assert_eq!(elements(&whole[..len]), None);
        }
        for at in 0..whole.len() {
            for value in 0..=255 {
                let mut bytes = whole.clone();
                bytes[at] = value;
                let read = elements(&bytes);
                assert!(read.is_none() || read.unwrap().len() == entries.len());
            }
        }
    }
}
