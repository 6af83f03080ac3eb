//! The only source of randomness: system entropy for seeds and secrets, and a fast generator for sampling.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;

/// Fills `buffer` from the system's entropy.
///
/// # Panics
/// Where the kernel offers no /dev/urandom: nothing safe can be done without seeds.
pub fn entropy(buffer: &mut [u8]) {
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(buffer))
        .expect("the kernel offers /dev/urandom");
}

pub fn entropy_u64() -> u64 {
    let mut bytes = [0; 8];
    entropy(&mut bytes);
    u64::from_ne_bytes(bytes)
}

/// `bytes` random bytes as lower-case hexadecimal, for run ids and generated passwords.
pub fn hex_id(bytes: usize) -> String {
    let mut raw = vec![0; bytes];
    entropy(&mut raw);
    raw.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SplitMix64 (Steele, Lea and Flood, 2014): for sampling, never for secrets.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn from_seed(seed: u64) -> Rng {
        Rng(seed)
    }

    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound`; `bound` must not be zero.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }
}

thread_local! {
    static LOCAL: Cell<u64> = Cell::new(entropy_u64());
}

/// A number in `0..bound` from this thread's own generator; `bound` must not be zero.
pub fn below(bound: u64) -> u64 {
    LOCAL.with(|state| {
        let mut rng = Rng(state.get());
        let drawn = rng.below(bound);
        state.set(rng.0);
        drawn
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_stays_in_bounds_and_reaches_both_ends() {
        let mut rng = Rng::from_seed(7);
        let mut seen = [false; 5];
        for _ in 0..1000 {
            seen[rng.below(5) as usize] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(hex_id(20).len(), 40);
    }
}
