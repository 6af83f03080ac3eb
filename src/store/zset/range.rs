//! Ranges of scores and of members, as clients write them.

use crate::base::double::parse_bound;

/// Scores between two bounds, each of which may be left out itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreRange {
    min: (f64, bool),
    max: (f64, bool),
}

/// One end of a range of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LexBound<'a> {
    /// Before all members.
    Lowest,
    /// After all members.
    Highest,
    Including(&'a [u8]),
    Excluding(&'a [u8]),
}

/// Members between two bounds, where all have the same score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LexRange<'a> {
    min: LexBound<'a>,
    max: LexBound<'a>,
}

fn score_bound(text: &[u8]) -> Option<(f64, bool)> {
    match text {
        [b'(', rest @ ..] => Some((parse_bound(rest)?, true)),
        _ => Some((parse_bound(text)?, false)),
    }
}

impl ScoreRange {
    /// Bounds written as numbers, after `(` if they are not part of the range.
    pub fn parse(min: &[u8], max: &[u8]) -> Option<ScoreRange> {
        Some(ScoreRange { min: score_bound(min)?, max: score_bound(max)? })
    }

    /// From one score to another that is not part of the range.
    pub fn half_open(min: f64, max: f64) -> ScoreRange {
        ScoreRange { min: (min, false), max: (max, true) }
    }

    /// Whether a score lies before the range.
    #[inline]
    pub fn is_after(&self, score: f64) -> bool {
        if self.min.1 { score <= self.min.0 } else { score < self.min.0 }
    }

    /// Whether a score does not lie behind the range.
    #[inline]
    pub fn reaches(&self, score: f64) -> bool {
        if self.max.1 { score < self.max.0 } else { score <= self.max.0 }
    }
}

fn lex_bound(text: &[u8]) -> Option<LexBound<'_>> {
    match text {
        b"-" => Some(LexBound::Lowest),
        b"+" => Some(LexBound::Highest),
        [b'[', rest @ ..] => Some(LexBound::Including(rest)),
        [b'(', rest @ ..] => Some(LexBound::Excluding(rest)),
        _ => None,
    }
}

impl<'a> LexRange<'a> {
    /// Bounds written as `-`, `+`, `[member` or `(member`.
    pub fn parse(min: &'a [u8], max: &'a [u8]) -> Option<LexRange<'a>> {
        Some(LexRange { min: lex_bound(min)?, max: lex_bound(max)? })
    }

    /// Whether a member lies before the range.
    pub fn is_after(&self, member: &[u8]) -> bool {
        match self.min {
            LexBound::Lowest => false,
            LexBound::Highest => true,
            LexBound::Including(min) => member < min,
            LexBound::Excluding(min) => member <= min,
        }
    }

    /// Whether a member does not lie behind the range.
    pub fn reaches(&self, member: &[u8]) -> bool {
        match self.max {
            LexBound::Lowest => false,
            LexBound::Highest => true,
            LexBound::Including(max) => member <= max,
            LexBound::Excluding(max) => member < max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_parsed_and_kept() {
        let range = ScoreRange::parse(b"(1", b"+inf").unwrap();
        assert_eq!([0.5, 1.0, 1.5].map(|score| range.is_after(score)), [true, true, false]);
        assert!(range.reaches(f64::INFINITY));
        let range = ScoreRange::parse(b"1", b"(2").unwrap();
        assert_eq!(
            [1.0, 2.0].map(|score| (range.is_after(score), range.reaches(score))),
            [(false, true), (false, false)]
        );
        assert!(ScoreRange::parse(b"str", b"1").is_none() && ScoreRange::parse(b"1", b"NaN").is_none());
        let range = LexRange::parse(b"[b", b"(d").unwrap();
        let places =
            ["a", "b", "c", "d"].map(|member| (range.is_after(member.as_bytes()), range.reaches(member.as_bytes())));
        assert_eq!(places, [(true, true), (false, true), (false, true), (false, false)]);
        let range = LexRange::parse(b"+", b"-").unwrap();
        assert!(range.is_after(b"a") && !range.reaches(b"a"));
        for text in ["", "a", "-x", "+x"] {
            assert!(LexRange::parse(text.as_bytes(), b"+").is_none(), "{text}");
        }
    }
}
