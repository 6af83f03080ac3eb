//! Replies that the socket has not taken yet, in pieces: what piles up is never moved, and what is sent is freed, so a
//! slow reader costs what it has not read.

use std::collections::VecDeque;

/// Sizes of a piece. Both are sizes of the allocator's: what is counted is what is taken.
const PIECE_BYTES_MIN: usize = 16 * 1024;
const PIECE_BYTES_MAX: usize = 64 * 1024;

#[derive(Default)]
pub struct Unsent {
    /// In order, none of them empty.
    pieces: VecDeque<Vec<u8>>,
    /// Bytes of the first piece that are sent.
    sent: usize,
    len: usize,
    capacity: usize,
    pub over_soft_limit_since_ms: Option<u64>,
}

impl Unsent {
    /// Bytes that are not sent.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory beyond them.
    pub fn free_bytes(&self) -> usize {
        self.capacity - self.len
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        let room = self.pieces.back().map_or(0, |last| last.capacity() - last.len());
        let (fitting, rest) = bytes.split_at(room.min(bytes.len()));
        if let Some(last) = self.pieces.back_mut() {
            last.extend_from_slice(fitting);
        }
        for bytes in rest.chunks(PIECE_BYTES_MAX) {
            let size = if bytes.len() <= PIECE_BYTES_MIN { PIECE_BYTES_MIN } else { PIECE_BYTES_MAX };
            let mut piece = Vec::with_capacity(size);
            piece.extend_from_slice(bytes);
            self.capacity += piece.capacity();
            self.pieces.push_back(piece);
        }
    }

    /// What is to be sent next; empty if nothing is.
    pub fn next(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |first| &first[self.sent..])
    }

    /// Notes that so many bytes of [`Unsent::next`] are sent.
    pub fn pass(&mut self, count: usize) {
        self.sent += count;
        self.len -= count;
        if self.pieces.front().is_some_and(|first| first.len() == self.sent) {
            self.capacity -= self.pieces.pop_front().map_or(0, |first| first.capacity());
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_the_order_in_which_they_came() {
        let (mut unsent, mut expected, mut sent) = (Unsent::default(), Vec::new(), Vec::new());
        for round in 0..200_usize {
            let bytes: Vec<u8> = (0..round * 9_777 % 200_000).map(|at| (at + round) as u8).collect();
            unsent.push(&bytes);
            expected.extend_from_slice(&bytes);
            let count = unsent.next().len().min(round * 6_133 % 150_000);
            sent.extend_from_slice(&unsent.next()[..count]);
            unsent.pass(count);
            assert_eq!(unsent.len(), expected.len() - sent.len());
            let held_bytes: usize = unsent.pieces.iter().map(Vec::capacity).sum();
            assert_eq!(unsent.len() + unsent.free_bytes(), held_bytes);
        }
        while !unsent.next().is_empty() {
            sent.extend_from_slice(unsent.next());
            unsent.pass(unsent.next().len());
        }
        assert!(sent == expected);
        assert_eq!((unsent.len(), unsent.free_bytes(), unsent.pieces.len()), (0, 0, 0));
    }
}
