//! Intsets: small sets of integers in one run of bytes, exactly as Redis lays them out.
//!
//! ```text
//! u32 width of a number: 2, 4 or 8 bytes; u32 count; the numbers, signed and ascending      all little-endian
//! ```
//! The width is that of the widest number ever put in. Readers meet damaged bytes with missing numbers, never with a
//! panic; [`validate`] tells whether bytes from outside are whole. Changes are made where the bytes stand.

use super::listpack::edit::PackedBytes;

const HEADER_BYTES: usize = 8;
const COUNT_AT: usize = 4;
/// The intset without numbers.
pub const EMPTY: [u8; HEADER_BYTES] = [2, 0, 0, 0, 0, 0, 0, 0];

/// An intset to read.
#[derive(Clone, Copy)]
pub struct Intset<'a>(&'a [u8]);

/// The narrowest width that holds a number, in bytes.
fn width_of(value: i64) -> usize {
    if i16::try_from(value).is_ok() {
        2
    } else if i32::try_from(value).is_ok() {
        4
    } else {
        8
    }
}

fn word(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..at + 4).map_or(0, |word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]) as usize)
}

impl<'a> Intset<'a> {
    pub fn new(bytes: &'a [u8]) -> Intset<'a> {
        Intset(bytes)
    }

    fn width(self) -> usize {
        word(self.0, 0)
    }

    pub fn len(self) -> usize {
        word(self.0, COUNT_AT)
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The number at an index, in ascending order.
    #[inline]
    pub fn get(self, index: usize) -> Option<i64> {
        let numbers = self.0.get(HEADER_BYTES..)?;
        match self.width() {
            2 => numbers.get(2 * index..)?.first_chunk().map(|bytes| i64::from(i16::from_le_bytes(*bytes))),
            4 => numbers.get(4 * index..)?.first_chunk().map(|bytes| i64::from(i32::from_le_bytes(*bytes))),
            _ => numbers.get(8 * index..)?.first_chunk().map(|bytes| i64::from_le_bytes(*bytes)),
        }
    }

    /// The index of a number, or the one that it would have.
    fn search(self, value: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            match self.get(middle).map_or(std::cmp::Ordering::Greater, |other| other.cmp(&value)) {
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    pub fn contains(self, value: i64) -> bool {
        self.search(value).is_ok()
    }

    pub fn iter(self) -> impl Iterator<Item = i64> + Clone + 'a {
        (0..self.len()).map_while(move |index| self.get(index))
    }
}

/// Whether bytes are a whole intset: of a known width, as long as they say, and strictly ascending.
pub fn validate(bytes: &[u8]) -> bool {
    let set = Intset::new(bytes);
    bytes.len() >= HEADER_BYTES
        && matches!(set.width(), 2 | 4 | 8)
        && set.len().checked_mul(set.width()) == Some(bytes.len() - HEADER_BYTES)
        && set.iter().is_sorted_by(|before, after| before < after)
}

/// An intset of these numbers, which are ascending.
pub fn pack(values: impl Iterator<Item = i64> + Clone) -> Vec<u8> {
    let width = values.clone().map(width_of).max().unwrap_or(2);
    let mut bytes = EMPTY.to_vec();
    bytes[0] = width as u8;
    let mut count = 0u32;
    for value in values {
        bytes.extend_from_slice(&value.to_le_bytes()[..width]);
        count += 1;
    }
    bytes[COUNT_AT..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
    bytes
}

fn set_len(bytes: &mut impl PackedBytes, len: usize) {
    bytes.bytes_mut()[COUNT_AT..HEADER_BYTES].copy_from_slice(&(len as u32).to_le_bytes());
}

/// Adds a number; false if it is there.
pub fn insert(bytes: &mut impl PackedBytes, value: i64) -> bool {
    let set = Intset::new(bytes.bytes());
    let (len, width) = (set.len(), set.width());
    let Err(index) = set.search(value) else { return false };
    if width_of(value) > width {
        // Wider than all others, so it is the first or the last.
        let all: Vec<i64> = if value < 0 {
            std::iter::once(value).chain(set.iter()).collect()
        } else {
            set.iter().chain(std::iter::once(value)).collect()
        };
        let end = bytes.bytes().len();
        bytes.splice(0..end, &pack(all.into_iter()));
        return true;
    }
    let at = HEADER_BYTES + index * width;
    bytes.splice(at..at, &value.to_le_bytes()[..width]);
    set_len(bytes, len + 1);
    true
}

/// Takes a number out; false if it is not there. The width stays, as in Redis.
pub fn remove(bytes: &mut impl PackedBytes, value: i64) -> bool {
    let set = Intset::new(bytes.bytes());
    let (len, width) = (set.len(), set.width());
    let Ok(index) = set.search(value) else { return false };
    let at = HEADER_BYTES + index * width;
    bytes.splice(at..at + width, b"");
    set_len(bytes, len - 1);
    true
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::random::Rng;

    #[test]
    fn bytes_are_those_of_the_format() {
        let mut bytes = EMPTY.to_vec();
        assert!(insert(&mut bytes, 5) && insert(&mut bytes, -1) && !insert(&mut bytes, 5));
        assert_eq!(bytes, [2, 0, 0, 0, 2, 0, 0, 0, 0xff, 0xff, 5, 0]);
        assert!(insert(&mut bytes, 65_535));
        assert_eq!(bytes, [4, 0, 0, 0, 3, 0, 0, 0, 255, 255, 255, 255, 5, 0, 0, 0, 255, 255, 0, 0]);
        assert!(remove(&mut bytes, 65_535) && !remove(&mut bytes, 65_535));
        assert_eq!(bytes[..8], [4, 0, 0, 0, 2, 0, 0, 0]);
        assert!(insert(&mut bytes, i64::MIN));
        assert_eq!((bytes[0], bytes.len()), (8, 32));
        assert_eq!(Intset::new(&bytes).iter().collect::<Vec<_>>(), [i64::MIN, -1, 5]);
        assert_eq!(pack([i64::MIN, -1, 5].into_iter()), bytes);
    }

    #[test]
    fn random_changes_agree_with_a_model() {
        let mut rng = Rng::from_seed(3);
        let (mut bytes, mut model) = (EMPTY.to_vec(), BTreeSet::new());
        for step in 0..20_000u64 {
            // Wider numbers as time goes on.
            let value = (rng.below(300) as i64 - 150) * (1i64 << (step / 1000 * 2));
            if rng.below(3) > 0 {
                assert_eq!(insert(&mut bytes, value), model.insert(value));
            } else {
                assert_eq!(remove(&mut bytes, value), model.remove(&value));
            }
            let set = Intset::new(&bytes);
            assert_eq!((set.len(), set.contains(value)), (model.len(), model.contains(&value)));
        }
        assert!(validate(&bytes) && Intset::new(&bytes).iter().eq(model));
    }

    #[test]
    fn damaged_bytes_are_told_and_do_no_harm() {
        let whole = pack([1, 2, 70_000].into_iter());
        assert!(validate(&whole) && validate(&EMPTY));
        for cut in 0..whole.len() {
            assert!(!validate(&whole[..cut]), "{cut}");
            let set = Intset::new(&whole[..cut]);
            assert!(set.iter().count() <= 3 && !set.contains(4));
        }
        for (at, byte) in [(0, 3), (4, 2), (4, 4), (7, 0xff), (8, 9), (12, 1)] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            assert!(!validate(&bytes), "{at}");
        }
    }
}
