//! LZF, the compression of strings in RDB files.
//!
//! ```text
//! 000LLLLL                     L + 1 bytes as they are, which follow
//! LLLDDDDD          dddddddd   L + 2 bytes again from D * 256 + d + 1 bytes back; L is 1 to 6
//! 111DDDDD LLLLLLLL dddddddd   the same for L + 9 bytes
//! ```
//! A copy may reach into what it makes itself. Each thread keeps one table of where sequences of three bytes were last
//! seen. Positions in it go up from string to string, so what an earlier string left is told by its number and the
//! table needs no clearing.

use std::cell::RefCell;

const LITERALS_MAX: usize = 32;
const DISTANCE_MAX: usize = 1 << 13;
/// Bytes that a copy needs to be worth it.
const COPY_BYTES_MIN: usize = 3;
const COPY_BYTES_MAX: usize = 255 + 9;
/// From this length on a copy has a byte for it.
const LONG_COPY_BYTES: usize = 9;
const COPY_BITS: u8 = 5;
/// Bytes that three compressed bytes can stand for, at most: no string grows more than 88 times.
pub const GROWTH_MAX: u64 = (COPY_BYTES_MAX / 3) as u64;

const TABLE_BITS: u32 = 13;
/// Every so many positions in a row without a copy, steps get one longer: what does not compress is left soon.
const PATIENCE_BITS: usize = 6;

struct Table {
    /// Where a hash was last seen, counted over all strings.
    seen: Box<[u32]>,
    /// The position of the current string's first byte. Positions below it are those of earlier strings.
    base: u32,
}

thread_local! {
    static TABLE: RefCell<Table> = RefCell::new(Table { seen: vec![0; 1 << TABLE_BITS].into(), base: 1 });
}

fn hash(bytes: &[u8]) -> usize {
    let sequence = u32::from(bytes[0]) | u32::from(bytes[1]) << 8 | u32::from(bytes[2]) << 16;
    (sequence.wrapping_mul(0x9e37_79b1) >> (32 - TABLE_BITS)) as usize
}

/// Replaces `out` by `input` compressed; false when that would take more than `bytes_max`.
pub fn compress(input: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> bool {
    out.clear();
    let Ok(len) = u32::try_from(input.len()) else { return false };
    TABLE.with_borrow_mut(|table| {
        if table.base.checked_add(len).is_none() {
            table.seen.fill(0);
            table.base = 1;
        }
        let fits = table.base.checked_add(len).is_some() && compress_with(table, input, bytes_max, out);
        table.base = table.base.saturating_add(len);
        fits
    })
}

fn compress_with(table: &mut Table, input: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> bool {
    // Where the bytes begin that are not written yet.
    let mut literals = 0;
    let mut at = 0;
    while at + COPY_BYTES_MIN <= input.len() {
        let place = &mut table.seen[hash(&input[at..])];
        let seen = std::mem::replace(place, table.base + at as u32);
        let copy = seen.checked_sub(table.base).map(|from| from as usize).filter(|from| at - from <= DISTANCE_MAX);
        let len = copy.map_or(0, |from| common_bytes(input, from, at));
        if len < COPY_BYTES_MIN {
            at += 1 + ((at - literals) >> PATIENCE_BITS);
            continue;
        }
        put_literals(&input[literals..at], out);
        put_copy(at - copy.unwrap_or_default(), len, out);
        if out.len() > bytes_max {
            return false;
        }
        // The copy's last positions may begin the next one.
        for inside in (at + len - 2).max(at + 1)..at + len {
            if inside + COPY_BYTES_MIN <= input.len() {
                table.seen[hash(&input[inside..])] = table.base + inside as u32;
            }
        }
        at += len;
        literals = at;
    }
    put_literals(&input[literals..], out);
    out.len() <= bytes_max
}

/// How many bytes from `at` on are those from `from` on, as far as one copy reaches.
fn common_bytes(input: &[u8], from: usize, at: usize) -> usize {
    let limit = (input.len() - at).min(COPY_BYTES_MAX);
    let (earlier, later) = (&input[from..from + limit], &input[at..at + limit]);
    let words = earlier.as_chunks::<8>().0.iter().zip(later.as_chunks::<8>().0);
    for (index, (earlier, later)) in words.enumerate() {
        let different = u64::from_le_bytes(*earlier) ^ u64::from_le_bytes(*later);
        if different != 0 {
            return index * 8 + different.trailing_zeros() as usize / 8;
        }
    }
    let compared = limit / 8 * 8;
    let tail = earlier[compared..].iter().zip(&later[compared..]);
    compared + tail.take_while(|(earlier, later)| earlier == later).count()
}

fn put_literals(bytes: &[u8], out: &mut Vec<u8>) {
    for run in bytes.chunks(LITERALS_MAX) {
        out.push((run.len() - 1) as u8);
        out.extend_from_slice(run);
    }
}

fn put_copy(distance: usize, len: usize, out: &mut Vec<u8>) {
    let (high, low) = (((distance - 1) >> 8) as u8, (distance - 1) as u8);
    if len < LONG_COPY_BYTES {
        out.extend_from_slice(&[((len - 2) as u8) << COPY_BITS | high, low]);
    } else {
        out.extend_from_slice(&[7 << COPY_BITS | high, (len - LONG_COPY_BYTES) as u8, low]);
    }
}

/// Replaces `out` by what `input` stands for; false unless that is well formed and exactly `len` bytes. The caller has
/// checked `len` against [`GROWTH_MAX`].
pub fn decompress(input: &[u8], len: usize, out: &mut Vec<u8>) -> bool {
    out.clear();
    out.reserve(len);
    let mut rest = input;
    while let [control, after @ ..] = rest {
        rest = after;
        if usize::from(*control) < LITERALS_MAX {
            let run = usize::from(*control) + 1;
            if run > rest.len() || run > len - out.len() {
                return false;
            }
            out.extend_from_slice(&rest[..run]);
            rest = &rest[run..];
            continue;
        }
        let mut run = usize::from(control >> COPY_BITS) + 2;
        if run == LONG_COPY_BYTES {
            let [more, after @ ..] = rest else { return false };
            run += usize::from(*more);
            rest = after;
        }
        let [low, after @ ..] = rest else { return false };
        rest = after;
        let distance = (usize::from(control & 0x1f) << 8 | usize::from(*low)) + 1;
        if distance > out.len() || run > len - out.len() {
            return false;
        }
        let from = out.len() - distance;
        while run > 0 {
            let piece = run.min(out.len() - from);
            out.extend_from_within(from..from + piece);
            run -= piece;
        }
    }
    out.len() == len
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(input: &[u8]) -> Option<usize> {
        let (mut packed, mut unpacked) = (Vec::new(), Vec::new());
        let fits = compress(input, usize::MAX, &mut packed);
        assert!(fits && decompress(&packed, input.len(), &mut unpacked));
        assert_eq!(unpacked, input);
        assert!(packed.len() as u64 * GROWTH_MAX >= input.len() as u64);
        assert!(!decompress(&packed, input.len() + 1, &mut unpacked));
        if !input.is_empty() {
            assert!(!decompress(&packed, input.len() - 1, &mut unpacked));
            assert!(!compress(input, packed.len() - 1, &mut unpacked));
        }
        compress(input, input.len().saturating_sub(4), &mut packed).then_some(packed.len())
    }

    #[test]
    fn what_repeats_gets_small() {
        assert_eq!(round_trip(b""), Some(0));
        assert_eq!(round_trip(b"a"), None);
        assert_eq!(round_trip(b"abcdefghijklmnopqrstuvwxyz"), None);
        assert_eq!(round_trip(&[b'a'; 21]), Some(5));
        let words: Vec<u8> = b"the quick brown fox jumps over the lazy dog; ".repeat(1000);
        assert!(round_trip(&words).unwrap() < words.len() / 50);
        for len in [255, 263, 264, 265, 266, 267, 8191, 8192, 8193, 8200, 100_000] {
            assert!(round_trip(&vec![7; len]).is_some(), "{len}");
        }
    }

    #[test]
    fn copies_reach_as_far_as_they_may() {
        let noise = |seed: u32| {
            std::iter::successors(Some(seed), |last| Some(last.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)))
                .map(|number| (number >> 24) as u8)
        };
        for gap in [DISTANCE_MAX - 101, DISTANCE_MAX - 100, DISTANCE_MAX - 99, 3 * DISTANCE_MAX] {
            let marked: Vec<u8> = noise(7).take(100).collect();
            let filler = vec![0; gap];
            round_trip(&[&marked[..], &filler, &marked].concat());
        }
        for len in [1 << 10, 1 << 20] {
            assert_eq!(round_trip(&noise(1).take(len).collect::<Vec<_>>()), None);
        }
        // Of few symbols, so that there are copies of every length and distance.
        for modulus in 2..6 {
            let mixed: Vec<u8> = noise(modulus).take(50_000).map(|byte| byte % modulus as u8).collect();
            assert!(round_trip(&mixed).is_some());
        }
    }

    #[test]
    fn damaged_input_is_refused() {
        let mut out = Vec::new();
        for (input, len) in [
            (&b"\x05abc"[..], 6),
            (b"\x00a\x20", 4),
            (b"\x00a\xe0", 9),
            (b"\x00a\xe0\x00", 10),
            (b"\x20\x00", 3),
            (b"\x00a\x20\x01", 4),
            (b"\x00a", 2),
            (b"\x00a", 0),
            (b"\x00a\xe0\xff\x00", 20),
        ] {
            assert!(!decompress(input, len, &mut out), "{input:?}");
        }
        assert!(decompress(b"\x00a\xe0\xff\x00", 265, &mut out));
    }
}
