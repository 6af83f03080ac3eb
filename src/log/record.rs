//! A record: one effect on one slot, as bytes. `docs/disk-format.md` describes it; this file is the only one that
//! reads or writes it.
//!
//! ```text
//!  0  u32  bytes of the effect, padding left out
//!  4  u32  checksum: CRC32 of bytes 8 to the effect's end, xor the spread of the epoch
//!  8  u64  sequence number, counted by slot
//! 16  u48  Unix time in milliseconds
//! 22  u16  slot
//! 24  u16  database
//! 26  u8   kind
//! 27  u8   header check: makes the xor of all header bytes but the checksum's zero
//! 28  u32  how many records follow that belong to the same transaction
//! 32       effect, then zeros up to a multiple of 8
//! ```
//! All numbers are little-endian. An effect is a command: the number of its arguments, then each argument with its
//! length before it; these numbers are LEB128.
//!
//! The epoch is the number of the journal segment that the record stands in, 0 in a slot log. It is spread over 32 bits
//! by a bijection and xored in, so what an earlier use of a segment left behind never passes, and a record moves
//! between epochs without its bytes being summed again.

use std::fmt;

use crate::base::key_slot::SlotId;

pub const HEADER_BYTES: usize = 32;
const ALIGNMENT: usize = 8;
/// Largest effect, in bytes.
pub const EFFECT_BYTES_MAX: usize = u32::MAX as usize - HEADER_BYTES - ALIGNMENT;
/// Highest sequence number of a slot, and number of a segment: what memory keeps of them, with room to count on.
pub const NUMBER_MAX: u64 = (1 << 56) - 1;
/// The slot field of records that belong to no slot.
const NO_SLOT: u16 = u16::MAX;
const CHECKSUM_AT: usize = 4;
const CHECKED_FROM: usize = 8;
const CHECK_AT: usize = 27;

/// What a record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A change of a slot.
    Effect = 0,
    /// Journal only: everything before the sequence field's offset in the segment of the effect's number was durable
    /// when this was written.
    Synced = 1,
    /// Journal only, the last record of its segment: the lane goes on in the segment that the sequence field names.
    Sealed = 2,
}

/// A record's header, all but its length and checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub kind: Kind,
    /// `None` where the kind has no slot.
    pub slot: Option<SlotId>,
    pub database: u16,
    pub sequence: u64,
    pub time_ms: u64,
    /// Records right behind this one that are parts of the same transaction.
    pub following: u32,
}

/// A record that was read and found whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub header: Header,
    pub effect: Effect<'a>,
}

/// What stands at some place of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading<'a> {
    /// A whole record and the bytes it takes, padding included.
    Whole(Record<'a>, usize),
    /// Nothing was written here.
    Empty,
    Broken(Fault),
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The length reaches beyond what there is.
    Length,
    /// The header does not pass its own check.
    Header,
    /// The header passes, the whole does not. The slot is what the header says.
    Checksum(Option<SlotId>),
    /// The checksum passes, but the fields make no sense: written by another version, or by a fault of ours.
    Meaning,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Length => write!(formatter, "the record's length reaches beyond the end"),
            Fault::Header => write!(formatter, "the record's header is damaged"),
            Fault::Checksum(Some(slot)) => write!(formatter, "bad checksum of a record of slot {}", slot.number()),
            Fault::Checksum(None) => write!(formatter, "bad checksum of a record"),
            Fault::Meaning => write!(formatter, "the record is whole but makes no sense"),
        }
    }
}

/// Bytes of a record with an effect of `effect_bytes`.
#[inline]
pub fn record_bytes(effect_bytes: usize) -> usize {
    (HEADER_BYTES + effect_bytes).next_multiple_of(ALIGNMENT)
}

/// Bytes of the effect that a command is.
#[inline]
pub fn effect_bytes(arguments: &[&[u8]]) -> usize {
    let number = |value: usize| (usize::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize;
    number(arguments.len()) + arguments.iter().map(|argument| number(argument.len()) + argument.len()).sum::<usize>()
}

/// Spreads an epoch over 32 bits. Two epochs that differ in their lower 32 bits spread differently.
#[inline]
fn spread(epoch: u64) -> u32 {
    (epoch as u32).wrapping_mul(0x9e37_79b1)
}

/// Writes a record of `record_bytes(effect_bytes)` bytes to the front of `into`.
///
/// # Panics
/// If `into` is shorter, or `effect_bytes` is not what [`effect_bytes`] says of `arguments`.
#[inline]
pub fn write(into: &mut [u8], header: Header, arguments: &[&[u8]], effect_bytes: usize, epoch: u64) {
    let end = HEADER_BYTES + effect_bytes;
    let into = &mut into[..record_bytes(effect_bytes)];
    write_effect(&mut into[HEADER_BYTES..end], arguments);
    into[end..].fill(0);
    write_header(into, header, effect_bytes, epoch);
}

/// Writes the effect that a command is.
///
/// # Panics
/// If `into` is not as long as [`effect_bytes`] says of `arguments`.
#[inline]
pub fn write_effect(into: &mut [u8], arguments: &[&[u8]]) {
    let mut at = 0;
    let put_number = |into: &mut [u8], mut value: usize, at: &mut usize| {
        while value >= 0x80 {
            into[*at] = value as u8 | 0x80;
            value >>= 7;
            *at += 1;
        }
        into[*at] = value as u8;
        *at += 1;
    };
    put_number(into, arguments.len(), &mut at);
    for argument in arguments {
        put_number(into, argument.len(), &mut at);
        into[at..at + argument.len()].copy_from_slice(argument);
        at += argument.len();
    }
    assert_eq!(at, into.len(), "an effect of another length");
}

/// Writes a record with an effect that is encoded already.
pub fn write_encoded(into: &mut [u8], header: Header, effect: Effect<'_>, epoch: u64) {
    let end = HEADER_BYTES + effect.0.len();
    let into = &mut into[..record_bytes(effect.0.len())];
    into[HEADER_BYTES..end].copy_from_slice(effect.0);
    into[end..].fill(0);
    write_header(into, header, effect.0.len(), epoch);
}

#[inline]
fn write_header(into: &mut [u8], header: Header, effect_bytes: usize, epoch: u64) {
    let slot = header.slot.map_or(NO_SLOT, SlotId::number);
    into[0..4].copy_from_slice(&(effect_bytes as u32).to_le_bytes());
    into[8..16].copy_from_slice(&header.sequence.to_le_bytes());
    let time_and_slot = header.time_ms & 0xffff_ffff_ffff | u64::from(slot) << 48;
    into[16..24].copy_from_slice(&time_and_slot.to_le_bytes());
    let rest = u64::from(header.database) | u64::from(header.kind as u8) << 16 | u64::from(header.following) << 32;
    let check = fold(u64::from(effect_bytes as u32) ^ header.sequence ^ time_and_slot ^ rest);
    into[24..32].copy_from_slice(&(rest | u64::from(check) << 24).to_le_bytes());
    let sum = crc32fast::hash(&into[CHECKED_FROM..HEADER_BYTES + effect_bytes]);
    into[CHECKSUM_AT..8].copy_from_slice(&(sum ^ spread(epoch)).to_le_bytes());
}

/// The xor of the eight bytes of a word.
#[inline]
fn fold(word: u64) -> u8 {
    let word = word ^ word >> 32;
    let word = word ^ word >> 16;
    (word ^ word >> 8) as u8
}

/// Moves a record's checksum from one epoch to another.
#[inline]
pub fn change_epoch(record: &mut [u8], from: u64, to: u64) {
    let sum = u32::from_le_bytes(number_at(record, CHECKSUM_AT)) ^ spread(from) ^ spread(to);
    record[CHECKSUM_AT..8].copy_from_slice(&sum.to_le_bytes());
}

#[inline]
fn number_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut number = [0; N];
    number.copy_from_slice(&bytes[at..at + N]);
    number
}

/// Reads what stands at the front of `bytes`, checking all of it.
#[inline]
pub fn read(bytes: &[u8], epoch: u64) -> Reading<'_> {
    if bytes.len() < HEADER_BYTES {
        return if bytes.iter().all(|byte| *byte == 0) { Reading::Empty } else { Reading::Broken(Fault::Length) };
    }
    if bytes[..HEADER_BYTES] == [0; HEADER_BYTES] {
        return Reading::Empty;
    }
    let fields = Fields::at(bytes);
    if fields.check() != 0 {
        return Reading::Broken(Fault::Header);
    }
    let effect_end = HEADER_BYTES + fields.effect_bytes;
    let total = record_bytes(fields.effect_bytes);
    if total > bytes.len() {
        return Reading::Broken(Fault::Length);
    }
    let sum = crc32fast::hash(&bytes[CHECKED_FROM..effect_end]);
    if sum ^ spread(epoch) != u32::from_le_bytes(number_at(bytes, CHECKSUM_AT)) {
        return Reading::Broken(Fault::Checksum(SlotId::new(fields.slot())));
    }
    let Some(header) = fields.header() else { return Reading::Broken(Fault::Meaning) };
    let effect = Effect(&bytes[HEADER_BYTES..effect_end]);
    if header.kind == Kind::Effect && !effect.is_sound() {
        return Reading::Broken(Fault::Meaning);
    }
    Reading::Whole(Record { header, effect }, total)
}

/// Reads a record that this process has written or checked: nothing is summed.
///
/// # Panics
/// If there is none.
#[inline]
pub fn read_trusted(bytes: &[u8]) -> (Record<'_>, usize) {
    let fields = Fields::at(bytes);
    let header = fields.header().expect("a record that was checked");
    let effect = Effect(&bytes[HEADER_BYTES..HEADER_BYTES + fields.effect_bytes]);
    (Record { header, effect }, record_bytes(fields.effect_bytes))
}

/// The header at the front of `bytes` and the bytes of the whole record, if the header passes its check and makes
/// sense. The sum is not looked at.
#[inline]
pub fn read_header(bytes: &[u8]) -> Option<(Header, usize)> {
    if bytes.len() < HEADER_BYTES {
        return None;
    }
    let fields = Fields::at(bytes);
    let header = if fields.check() == 0 { fields.header() } else { None };
    Some((header?, record_bytes(fields.effect_bytes)))
}

/// A header's words as they stand in the log.
struct Fields {
    effect_bytes: usize,
    sequence: u64,
    time_and_slot: u64,
    rest: u64,
}

impl Fields {
    #[inline]
    fn at(bytes: &[u8]) -> Fields {
        let [sequence, time_and_slot, rest] = [8, 16, 24].map(|at| u64::from_le_bytes(number_at(bytes, at)));
        Fields { effect_bytes: u32::from_le_bytes(number_at(bytes, 0)) as usize, sequence, time_and_slot, rest }
    }

    /// Zero if nothing is wrong.
    #[inline]
    fn check(&self) -> u8 {
        fold(self.effect_bytes as u64 ^ self.sequence ^ self.time_and_slot ^ self.rest)
    }

    #[inline]
    fn slot(&self) -> u16 {
        (self.time_and_slot >> 48) as u16
    }

    /// `None` if the kind is none, or has a slot where it has none, or the number is one that is never given out.
    #[inline]
    fn header(&self) -> Option<Header> {
        let slot = SlotId::new(self.slot());
        let kind = match (self.rest >> 16) as u8 {
            0 if slot.is_some() => Kind::Effect,
            1 if self.slot() == NO_SLOT => Kind::Synced,
            2 if self.slot() == NO_SLOT => Kind::Sealed,
            _ => return None,
        };
        if self.sequence > NUMBER_MAX {
            return None;
        }
        Some(Header {
            kind,
            slot,
            database: self.rest as u16,
            sequence: self.sequence,
            time_ms: self.time_and_slot & 0xffff_ffff_ffff,
            following: (self.rest >> 32) as u32,
        })
    }
}

const _: () = assert!(CHECK_AT == 24 + 3, "the header check is the fourth byte of the last word");

/// A command as bytes. Those of a [`Record`] are sound: walking them needs no further checks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Effect<'a>(pub(super) &'a [u8]);

impl<'a> Effect<'a> {
    /// The encoded bytes.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// How many arguments there are, the command's name included.
    pub fn count(self) -> usize {
        take_number(&mut { self.0 }).unwrap_or(0)
    }

    /// The arguments, the command's name first.
    #[inline]
    pub fn arguments(self) -> Arguments<'a> {
        let mut rest = self.0;
        let left = take_number(&mut rest).unwrap_or(0);
        Arguments { rest, left }
    }

    fn is_sound(self) -> bool {
        let mut rest = self.0;
        let Some(count) = take_number(&mut rest) else { return false };
        for _ in 0..count {
            match take_number(&mut rest) {
                Some(len) if len <= rest.len() => rest = &rest[len..],
                _ => return false,
            }
        }
        count > 0 && rest.is_empty()
    }
}

impl fmt::Debug for Effect<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.arguments().map(String::from_utf8_lossy)).finish()
    }
}

/// The arguments of an [`Effect`].
#[derive(Clone, Debug)]
pub struct Arguments<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Arguments<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let len = take_number(&mut self.rest)?;
        let (argument, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(argument)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // Each takes a byte at least, whatever a number says.
        (0, Some(self.left.min(self.rest.len())))
    }
}

/// Takes a LEB128 number off the front.
#[inline]
fn take_number(bytes: &mut &[u8]) -> Option<usize> {
    let (mut value, mut shift) = (0u64, 0);
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value as usize);
        }
        shift += 7;
        if shift > 28 {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            kind: Kind::Effect,
            slot: SlotId::new(12_182),
            database: 3,
            sequence: 0x0002_0304_0506_0708,
            time_ms: 1_795_000_000_123,
            following: 2,
        }
    }

    fn written(arguments: &[&[u8]], epoch: u64) -> Vec<u8> {
        let len = effect_bytes(arguments);
        let mut bytes = vec![0xaa; record_bytes(len)];
        write(&mut bytes, header(), arguments, len, epoch);
        bytes
    }

    #[test]
    fn bytes_are_those_of_the_format_document() {
        let bytes = written(&[b"SET", b"foo", b"bar"], 0);
        let time = 1_795_000_000_123u64.to_le_bytes();
        assert_eq!(bytes[..4], [13, 0, 0, 0]);
        assert_eq!(bytes[8..16], [8, 7, 6, 5, 4, 3, 2, 0]);
        assert_eq!(bytes[16..22], time[..6]);
        assert_eq!(bytes[22..24], 12_182u16.to_le_bytes());
        assert_eq!(bytes[24..27], [3, 0, 0]);
        assert_eq!(bytes[28..32], [2, 0, 0, 0]);
        assert_eq!(&bytes[32..], b"\x03\x03SET\x03foo\x03bar\0\0\0");
        let all_but_checksum = bytes[..4].iter().chain(&bytes[8..32]).fold(0, |xor, byte| xor ^ byte);
        assert_eq!(all_but_checksum, 0);
        assert_eq!(bytes[4..8], crc32fast::hash(&bytes[8..45]).to_le_bytes());
    }

    #[test]
    fn what_is_written_is_read() {
        let long = vec![b'x'; 100_000];
        for arguments in [&[&b"PING"[..]][..], &[b"SET", b"", &long], &[&b"a"[..]; 300]] {
            for epoch in [0, 1, 77, u64::from(u32::MAX)] {
                let mut bytes = written(arguments, epoch);
                bytes.extend([0; 40]);
                let Reading::Whole(record, total) = read(&bytes, epoch) else { panic!("{:?}", read(&bytes, epoch)) };
                assert_eq!((record.header, total + 40), (header(), bytes.len()));
                assert_eq!(record.effect.arguments().collect::<Vec<_>>(), arguments);
                assert_eq!(record.effect.count(), arguments.len());
                assert_eq!(read(&bytes[total..], epoch), Reading::Empty);
                assert!(matches!(read(&bytes, epoch + 1), Reading::Broken(Fault::Checksum(_))));
                change_epoch(&mut bytes, epoch, 5);
                assert!(matches!(read(&bytes, 5), Reading::Whole(..)));
                assert!(!matches!(read(&bytes[..total - 1], 5), Reading::Whole(..)));
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let bytes = written(&[b"SET", b"foo", b"bar"], 9);
        let effect_end = HEADER_BYTES + 13;
        for bit in 0..effect_end * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let reading = read(&flipped, 9);
            match bit / 8 {
                0..4 | 8..32 => assert_eq!(reading, Reading::Broken(Fault::Header), "{bit}"),
                // The header can be believed, so the slot is known.
                _ => assert_eq!(reading, Reading::Broken(Fault::Checksum(header().slot)), "{bit}"),
            }
        }
    }

    #[test]
    fn numbers_that_lie_are_no_effects() {
        for bytes in
            [&b""[..], b"\0", b"\x01", b"\x01\x05abc", b"\x02\x01a", b"\x01\x01ab", b"\xff\xff\xff\xff\xff\x01"]
        {
            assert!(!Effect(bytes).is_sound(), "{bytes:?}");
            Effect(bytes).arguments().for_each(drop);
        }
    }
}
