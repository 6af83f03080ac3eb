//! Lengths and strings, the two things that RDB files are made of.
//!
//! ```text
//! 00LLLLLL               a length of 6 bits
//! 01LLLLLL + 1 byte      of 14 bits
//! 10000000 + 4 bytes     of 32 bits
//! 10000001 + 8 bytes     of 64 bits; lengths are big-endian
//! 11000000 + 1 byte      where a string stands: a number of 8 bits
//! 11000001 + 2 bytes     of 16 bits
//! 11000010 + 4 bytes     of 32 bits; numbers are signed and little-endian
//! 11000011               a compressed string: its length so, its length plain, then LZF
//! ```
//! Any other string is its length and its bytes. A number stands for its decimal text, and only for that.

use std::io::{self, Read, Write};

use super::error::{Fault, RdbError};
use super::source::Source;
use crate::base::lzf;
use crate::base::number::{Decimal, parse_i64};

const LENGTH_14_BITS: u8 = 0b01 << 6;
const LENGTH_32_BITS: u8 = 0x80;
const LENGTH_64_BITS: u8 = 0x81;
const INTEGER_8_BITS: u8 = 0xc0;
const INTEGER_16_BITS: u8 = 0xc1;
const INTEGER_32_BITS: u8 = 0xc2;
const COMPRESSED: u8 = 0xc3;

/// The longest text of a number that is packed: "-2147483648".
const INTEGER_TEXT_MAX: usize = 11;
/// Strings up to this length are never compressed.
const PLAIN_BYTES_MAX: usize = 20;
/// Bytes that compression has to save.
const SAVED_BYTES_MIN: usize = 4;
/// Memory that a buffer keeps from one string to the next.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// What stands where a string begins.
enum Start {
    Length(u64),
    /// The whole byte.
    Packed(u8),
}

fn tidy(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.shrink_to(KEPT_BYTES_MAX);
}

impl<R: Read> Source<R> {
    fn start(&mut self) -> Result<Start, RdbError> {
        let first = self.byte()?;
        Ok(match first {
            0..LENGTH_14_BITS => Start::Length(u64::from(first)),
            LENGTH_14_BITS..LENGTH_32_BITS => {
                Start::Length(u64::from(u16::from_be_bytes([first - LENGTH_14_BITS, self.byte()?])))
            }
            LENGTH_32_BITS => Start::Length(u64::from(u32::from_be_bytes(self.array()?))),
            LENGTH_64_BITS => Start::Length(u64::from_be_bytes(self.array()?)),
            INTEGER_8_BITS.. => Start::Packed(first),
            _ => return Err(self.damaged_before(1, "a length of an unknown form")),
        })
    }

    /// An error about the last `bytes` bytes.
    pub fn damaged_before(&self, bytes: u64, what: &'static str) -> RdbError {
        RdbError { offset: self.offset() - bytes, fault: Fault::Damaged(what) }
    }

    /// A length, or another number that is kept as one.
    pub fn length(&mut self) -> Result<u64, RdbError> {
        match self.start()? {
            Start::Length(length) => Ok(length),
            Start::Packed(_) => Err(self.damaged_before(1, "a string where a length is due")),
        }
    }

    /// Replaces `out` by the string that follows.
    pub fn string(&mut self, out: &mut Vec<u8>) -> Result<(), RdbError> {
        tidy(out);
        let number = match self.start()? {
            Start::Length(len) => return self.append(len, out),
            Start::Packed(COMPRESSED) => return self.compressed(out),
            Start::Packed(INTEGER_8_BITS) => i64::from(i8::from_le_bytes(self.array()?)),
            Start::Packed(INTEGER_16_BITS) => i64::from(i16::from_le_bytes(self.array()?)),
            Start::Packed(INTEGER_32_BITS) => i64::from(i32::from_le_bytes(self.array()?)),
            Start::Packed(_) => return Err(self.damaged_before(1, "a string of an unknown form")),
        };
        out.extend_from_slice(Decimal::new(number).as_bytes());
        Ok(())
    }

    fn compressed(&mut self, out: &mut Vec<u8>) -> Result<(), RdbError> {
        let offset = self.offset() - 1;
        let (packed_len, len) = (self.length()?, self.length()?);
        self.check_string_bytes(len)?;
        let fault = Fault::Damaged("a compressed string that is not what it says");
        if len > packed_len.saturating_mul(lzf::GROWTH_MAX) {
            return Err(RdbError { offset, fault });
        }
        let mut packed = std::mem::take(&mut self.packed);
        tidy(&mut packed);
        let whole = self.append(packed_len, &mut packed).map(|()| lzf::decompress(&packed, len as usize, out));
        self.packed = packed;
        if whole? { Ok(()) } else { Err(RdbError { offset, fault }) }
    }
}

/// Writes lengths and strings to anything.
pub struct Packer<W> {
    pub to: W,
    /// Whether strings are compressed where it saves something.
    compressing: bool,
    compressed: Vec<u8>,
}

impl<W: Write> Packer<W> {
    pub fn new(to: W, compressing: bool) -> Packer<W> {
        Packer { to, compressing, compressed: Vec::new() }
    }

    #[inline]
    pub fn byte(&mut self, byte: u8) -> io::Result<()> {
        self.to.write_all(&[byte])
    }

    #[inline]
    pub fn length(&mut self, length: u64) -> io::Result<()> {
        if length < 1 << 6 {
            self.byte(length as u8)
        } else if length < 1 << 14 {
            let [high, low] = (length as u16).to_be_bytes();
            self.to.write_all(&[LENGTH_14_BITS | high, low])
        } else if let Ok(length) = u32::try_from(length) {
            self.byte(LENGTH_32_BITS)?;
            self.to.write_all(&length.to_be_bytes())
        } else {
            self.byte(LENGTH_64_BITS)?;
            self.to.write_all(&length.to_be_bytes())
        }
    }

    pub fn string(&mut self, string: &[u8]) -> io::Result<()> {
        if string.len() <= INTEGER_TEXT_MAX
            && let Some(number) = parse_i64(string)
            && let Ok(number) = i32::try_from(number)
        {
            return self.integer(number);
        }
        if self.compressing && string.len() > PLAIN_BYTES_MAX {
            tidy(&mut self.compressed);
            if lzf::compress(string, string.len() - SAVED_BYTES_MIN, &mut self.compressed) {
                self.byte(COMPRESSED)?;
                self.length(self.compressed.len() as u64)?;
                self.length(string.len() as u64)?;
                return self.to.write_all(&self.compressed);
            }
        }
        self.length(string.len() as u64)?;
        self.to.write_all(string)
    }

    fn integer(&mut self, number: i32) -> io::Result<()> {
        if let Ok(number) = i8::try_from(number) {
            self.to.write_all(&[INTEGER_8_BITS, number as u8])
        } else if let Ok(number) = i16::try_from(number) {
            self.byte(INTEGER_16_BITS)?;
            self.to.write_all(&number.to_le_bytes())
        } else {
            self.byte(INTEGER_32_BITS)?;
            self.to.write_all(&number.to_le_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(string: &[u8], compressing: bool) -> Vec<u8> {
        let mut packer = Packer::new(Vec::new(), compressing);
        packer.string(string).unwrap();
        packer.to
    }

    fn unpacked(bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut source = Source::of_bytes(bytes, 1 << 32);
        let mut out = b"left over".to_vec();
        source.string(&mut out).map_err(|error| error.to_string())?;
        assert!(source.is_at_end().unwrap());
        Ok(out)
    }

    #[test]
    fn strings_take_the_shortest_form() {
        for (string, bytes) in [
            ("", &b"\x00"[..]),
            ("x", b"\x01x"),
            ("0", b"\xc0\x00"),
            ("-1", b"\xc0\xff"),
            ("127", b"\xc0\x7f"),
            ("-128", b"\xc0\x80"),
            ("128", b"\xc1\x80\x00"),
            ("-129", b"\xc1\x7f\xff"),
            ("32767", b"\xc1\xff\x7f"),
            ("-32768", b"\xc1\x00\x80"),
            ("32768", b"\xc2\x00\x80\x00\x00"),
            ("2147483647", b"\xc2\xff\xff\xff\x7f"),
            ("-2147483648", b"\xc2\x00\x00\x00\x80"),
            ("2147483648", b"\x0a2147483648"),
            ("-2147483649", b"\x0b-2147483649"),
            ("00012", b"\x0500012"),
            ("-0", b"\x02-0"),
            ("+1", b"\x02+1"),
            ("aaaaaaaaaaaaaaaaaaaa", b"\x14aaaaaaaaaaaaaaaaaaaa"),
            ("aaaaaaaaaaaaaaaaaaaaa", b"\xc3\x05\x15\x00a\xe0\x0b\x00"),
        ] {
            assert_eq!(packed(string.as_bytes(), true), bytes, "{string}");
            assert_eq!(unpacked(bytes).as_deref(), Ok(string.as_bytes()));
        }
        assert_eq!(packed(&[b'a'; 21], false)[..2], [21, b'a']);
    }

    #[test]
    fn every_length_has_its_form() {
        for (length, bytes) in [
            (63, &[63][..]),
            (64, &[0x40, 64]),
            (16_383, &[0x7f, 0xff]),
            (16_384, &[0x80, 0, 0, 0x40, 0]),
            (u64::from(u32::MAX), &[0x80, 255, 255, 255, 255]),
            (1 << 32, &[0x81, 0, 0, 0, 1, 0, 0, 0, 0]),
        ] {
            let mut packer = Packer::new(Vec::new(), false);
            packer.length(length).unwrap();
            assert_eq!(packer.to, bytes);
            assert_eq!(Source::of_bytes(bytes, 0).length().unwrap(), length);
        }
        for len in [63, 64, 16_383, 16_384, 100_000] {
            let string: Vec<u8> = (0..len).map(|index: usize| (index % 7) as u8).collect();
            assert_eq!(unpacked(&packed(&string, false)).unwrap(), string);
            let small = packed(&string, true);
            assert!(small.len() < 30 + len / 20 && unpacked(&small).unwrap() == string);
        }
    }

    #[test]
    fn damage_is_refused_where_it_stands() {
        for (bytes, error) in [
            (&b"\x05abc"[..], "RDB: ends in the middle, at offset 4"),
            (b"\x81\x10\x00\x00\x00\x00\x00\x00\x00x", "RDB: a string of 1152921504606846976 bytes at offset 9"),
            (b"\x82", "RDB: a length of an unknown form at offset 0"),
            (b"\xc4", "RDB: a string of an unknown form at offset 0"),
            (b"\xc3\xc0\x05", "RDB: a string where a length is due at offset 1"),
            (b"\xc3\x02\x03\x00a", "RDB: a compressed string that is not what it says at offset 0"),
            (b"\xc3\x02\x80\x10\x00\x00\x00\x00a", "RDB: a compressed string that is not what it says at offset 0"),
            (b"\xc2\x01", "RDB: ends in the middle, at offset 2"),
        ] {
            let found = unpacked(bytes).unwrap_err();
            assert!(found.starts_with(error), "{found}");
        }
        assert!(unpacked(b"\x80\xff\xff\xff\xffx").unwrap_err().starts_with("RDB: ends in the middle"));
    }
}
