//! The longest common subsequence of two strings, with the ranges where it lies in each.
//!
//! There may be several longest ones; the table is filled and walked back in the order that Redis does it, so that the
//! same one is found.

/// A run of bytes that stands in both strings: first and last position in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    pub first: (u32, u32),
    pub second: (u32, u32),
}

impl Match {
    pub fn byte_count(&self) -> u32 {
        self.first.1 - self.first.0 + 1
    }
}

/// The lengths of the subsequences of all pairs of prefixes.
pub struct LcsTable<'a> {
    first: &'a [u8],
    second: &'a [u8],
    /// Rows for the prefixes of `first`, columns for those of `second`.
    lengths: Vec<u32>,
}

/// Bytes of memory that the table for strings of these lengths takes; `None` if more than can be counted.
pub fn table_bytes(first: usize, second: usize) -> Option<usize> {
    (first + 1).checked_mul(second + 1)?.checked_mul(size_of::<u32>())
}

impl<'a> LcsTable<'a> {
    /// Fills the table; `None` when there is no memory for it. Strings have less than 2^32 - 1 bytes.
    pub fn new(first: &'a [u8], second: &'a [u8]) -> Option<LcsTable<'a>> {
        let columns = second.len() + 1;
        let cells = columns.checked_mul(first.len() + 1)?;
        let mut lengths = Vec::new();
        lengths.try_reserve_exact(cells).ok()?;
        lengths.resize(cells, 0u32);
        let mut above = 0;
        for &byte in first {
            let (done, current) = lengths.split_at_mut(above + columns);
            let (above_row, row) = (&done[above..], &mut current[..columns]);
            let mut left = 0;
            for (at, &other) in second.iter().enumerate() {
                left = if byte == other { above_row[at] + 1 } else { above_row[at + 1].max(left) };
                row[at + 1] = left;
            }
            above += columns;
        }
        Some(LcsTable { first, second, lengths })
    }

    fn at(&self, first: usize, second: usize) -> u32 {
        self.lengths[first * (self.second.len() + 1) + second]
    }

    /// The subsequence's length.
    pub fn length(&self) -> u32 {
        self.at(self.first.len(), self.second.len())
    }

    /// Walks back from the ends of both strings; gives each matching byte, the last one first.
    fn walk(&self, mut matching: impl FnMut(usize, usize)) {
        let (mut i, mut j) = (self.first.len(), self.second.len());
        while i > 0 && j > 0 {
            if self.first[i - 1] == self.second[j - 1] {
                i -= 1;
                j -= 1;
                matching(i, j);
            } else if self.at(i - 1, j) > self.at(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
    }

    /// The subsequence itself.
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.length() as usize);
        self.walk(|i, _| text.push(self.first[i]));
        text.reverse();
        text
    }

    /// Where it lies: the last range first.
    pub fn matches(&self) -> Vec<Match> {
        let mut matches: Vec<Match> = Vec::new();
        self.walk(|i, j| {
            let (i, j) = (i as u32, j as u32);
            match matches.last_mut() {
                Some(last) if last.first.0 == i + 1 && last.second.0 == j + 1 => {
                    (last.first.0, last.second.0) = (i, j);
                }
                _ => matches.push(Match { first: (i, i), second: (j, j) }),
            }
        });
        matches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_example() {
        let table = LcsTable::new(b"ohmytext", b"mynewtext").unwrap();
        assert_eq!((table.length(), &table.text()[..]), (6, &b"mytext"[..]));
        let expected = [Match { first: (4, 7), second: (5, 8) }, Match { first: (2, 3), second: (0, 1) }];
        assert_eq!(table.matches(), expected);
    }

    #[test]
    fn empty_strings_have_nothing_in_common() {
        for (first, second) in [("", ""), ("a", ""), ("", "a"), ("a", "b")] {
            let table = LcsTable::new(first.as_bytes(), second.as_bytes()).unwrap();
            assert_eq!((table.length(), table.text(), table.matches()), (0, vec![], vec![]));
        }
        assert_eq!(table_bytes(2, 3), Some(48));
        assert_eq!(table_bytes(usize::MAX - 1, 3), None);
    }

    #[test]
    fn any_two_strings() {
        let mut random = crate::base::random::Rng::from_seed(3);
        for _ in 0..300 {
            let mut string = || -> Vec<u8> { (0..random.below(12)).map(|_| b'a' + random.below(3) as u8).collect() };
            let (first, second) = (string(), string());
            let table = LcsTable::new(&first, &second).unwrap();
            let text = table.text();
            assert_eq!(text.len(), table.length() as usize);
            let mut joined = Vec::new();
            for found in table.matches().iter().rev() {
                let part = &first[found.first.0 as usize..=found.first.1 as usize];
                assert_eq!(part, &second[found.second.0 as usize..=found.second.1 as usize]);
                assert_eq!(part.len(), found.byte_count() as usize);
                joined.extend_from_slice(part);
            }
            assert_eq!(joined, text);
        }
    }
}
