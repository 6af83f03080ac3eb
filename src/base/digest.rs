//! A 160-bit digest for comparing data sets: the same in every process and on every machine, and quick.
//!
//! It tells accidental differences apart; it is no defence against somebody who wants two data sets to look alike.
//! Digests of parts are combined with [`Digest::combine`], in any order.

use std::fmt;

const LANES: usize = 3;
const MULTIPLIERS: [u64; LANES] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db, 0x8ebc_6af0_9c88_c6e3];

/// Displays as 40 hexadecimal digits. The default, all zeros, stands for nothing at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest([u64; LANES]);

impl Digest {
    /// Mixes a piece in. Pieces are kept apart: `ab` and `c` differ from `a` and `bc`. Their order counts.
    pub fn add(&mut self, piece: &[u8]) {
        self.add_word(piece.len() as u64);
        for chunk in piece.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.add_word(u64::from_le_bytes(word));
        }
    }

    pub fn add_number(&mut self, number: u64) {
        self.add(&number.to_le_bytes());
    }

    fn add_word(&mut self, word: u64) {
        for (lane, multiplier) in self.0.iter_mut().zip(MULTIPLIERS) {
            let mixed = lane.rotate_left(23) ^ word.wrapping_add(multiplier);
            let product = u128::from(mixed | 1) * u128::from(multiplier);
            *lane = (product as u64 ^ (product >> 64) as u64).wrapping_add(mixed);
        }
    }

    /// Takes another digest in; the order of several does not matter.
    pub fn combine(&mut self, other: Digest) {
        for (lane, other) in self.0.iter_mut().zip(other.0) {
            *lane = lane.wrapping_add(other);
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}{:016x}{:08x}", self.0[0], self.0[1], self.0[2] as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pieces: &[&str]) -> Digest {
        let mut digest = Digest::default();
        pieces.iter().for_each(|piece| digest.add(piece.as_bytes()));
        digest
    }

    #[test]
    fn pieces_and_their_order_count() {
        let different = [of(&[]), of(&[""]), of(&["ab", "c"]), of(&["a", "bc"]), of(&["c", "ab"]), of(&["abc"])];
        for (at, one) in different.iter().enumerate() {
            assert!(different[at + 1..].iter().all(|other| other != one), "{one}");
        }
        assert_eq!(Digest::default().to_string(), "0".repeat(40));
        assert_eq!(of(&["abc"]).to_string().len(), 40);
    }

    #[test]
    fn combining_forgets_the_order() {
        let (mut one, mut other) = (of(&["x"]), of(&["y"]));
        one.combine(of(&["y"]));
        other.combine(of(&["x"]));
        assert_eq!(one, other);
        assert_ne!(one, of(&["x"]));
    }

    #[test]
    fn the_digest_is_the_same_everywhere() {
        assert_eq!(of(&["hello world"]).to_string(), "de3caa7bd64cbd4acda01ccb64840e29d4aad13c");
    }
}
