//! The hash that places a key inside its slot's table.
//!
//! Seeded once per process, so that a client cannot choose keys that collide.

use std::hash::{BuildHasher, Hasher};

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;

use super::random;

/// The process's hash function. Cheap to copy; two copies of one seed agree.
#[derive(Clone)]
pub struct KeyHasher(SeedableRandomState);

impl KeyHasher {
    /// A hasher seeded from the system's entropy. Leaks its 48 bytes of seed: one is made per process.
    pub fn from_entropy() -> KeyHasher {
        Self::from_seed(random::entropy_u64(), random::entropy_u64())
    }

    /// A hasher with a chosen seed, for tests that want the same layout each time.
    pub fn from_seed(shared: u64, own: u64) -> KeyHasher {
        let shared = Box::leak(Box::new(SharedSeed::from_u64(shared)));
        KeyHasher(SeedableRandomState::with_seed(own, shared))
    }

    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(key);
        hasher.finish()
    }
}
