//! The best candidates for eviction among all that were looked at lately: a few keys, the best at the end. Sampling a
//! few keys each time and keeping the best of all samples comes close to always knowing the best key.

use super::slot::DbIndex;
use crate::base::key_slot::SlotId;

const CANDIDATES_MAX: usize = 16;

/// A key, and how good it is to evict; larger is better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub score: u64,
    pub slot: SlotId,
    pub db: DbIndex,
    pub hash: u64,
    pub key: Vec<u8>,
}

#[derive(Default)]
pub struct Candidates {
    /// By score, the best last.
    pool: Vec<Candidate>,
}

impl Candidates {
    /// Whether a key with this score would be kept.
    pub fn wants(&self, score: u64) -> bool {
        self.pool.len() < CANDIDATES_MAX || score > self.pool[0].score
    }

    /// Keeps a candidate, unless all others are better; one that is known gets its new score.
    pub fn add(&mut self, candidate: Candidate) {
        let same =
            |known: &Candidate| known.hash == candidate.hash && known.db == candidate.db && known.key == candidate.key;
        if let Some(at) = self.pool.iter().position(same) {
            self.pool.remove(at);
        }
        if !self.wants(candidate.score) {
            return;
        }
        if self.pool.len() == CANDIDATES_MAX {
            self.pool.remove(0);
        }
        let at = self.pool.partition_point(|known| known.score < candidate.score);
        self.pool.insert(at, candidate);
    }

    /// Takes the best one out.
    pub fn take_best(&mut self) -> Option<Candidate> {
        self.pool.pop()
    }

    /// Forgets all: scores by one policy mean nothing to another.
    pub fn clear(&mut self) {
        self.pool.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(key: u32, score: u64) -> Candidate {
        let key = key.to_string().into_bytes();
        Candidate { score, slot: SlotId::of_key(&key), db: 0, hash: u64::from(key[0]), key }
    }

    #[test]
    fn the_best_stay() {
        let mut pool = Candidates::default();
        for number in 0..100 {
            pool.add(candidate(number, u64::from(number * 37 % 100)));
        }
        pool.add(candidate(0, 99));
        pool.add(candidate(0, 98));
        assert!(!pool.wants(83) && pool.wants(90));
        let scores: Vec<u64> = std::iter::from_fn(|| pool.take_best()).map(|best| best.score).collect();
        assert_eq!(scores, [99, 98, 98, 97, 96, 95, 94, 93, 92, 91, 90, 89, 88, 87, 86, 85]);
        assert!(pool.wants(0));
    }
}
