//! The names of a data set's history: two servers that know one by the same name have the same bytes at the same offset
//! of the replication stream.

use std::ops::RangeInclusive;

use crate::base::random;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    pub id: String,
    /// The name it had before, and the offset up to which it is the same under both.
    pub former: Option<(String, u64)>,
}

/// Where somebody would go on: a history, and the offset up to which there is everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    pub id: &'a [u8],
    pub offset: Option<u64>,
}

impl Default for History {
    /// A history that nobody knows.
    fn default() -> History {
        History { id: random::hex_id(20), former: None }
    }
}

impl History {
    /// From `offset` on the history goes by another name.
    pub fn rename(&mut self, id: String, offset: u64) {
        let before = std::mem::replace(&mut self.id, id);
        self.former = Some((before, offset));
    }

    /// The offset from which who claims it can go on, if nothing is lost of what is missing there. `kept` are the offsets
    /// from which everything is kept.
    pub fn continues(&self, claim: Claim<'_>, kept: Option<RangeInclusive<u64>>) -> Option<u64> {
        let offset = claim.offset.filter(|offset| kept.is_some_and(|kept| kept.contains(offset)))?;
        let is_same = claim.id == self.id.as_bytes();
        let was_same = self.former.as_ref().is_some_and(|(id, until)| claim.id == id.as_bytes() && offset <= *until);
        (is_same || was_same).then_some(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_continued() {
        let mut history = History { id: "abc".into(), former: None };
        let claim = |id: &'static str, offset| Claim { id: id.as_bytes(), offset };
        for (id, offset, expected) in [
            ("abc", Some(10), Some(10)),
            ("abc", Some(20), Some(20)),
            ("abc", Some(9), None),
            ("abc", Some(21), None),
            ("abc", None, None),
            ("other", Some(15), None),
        ] {
            assert_eq!(history.continues(claim(id, offset), Some(10..=20)), expected, "{id} {offset:?}");
        }
        assert_eq!(history.continues(claim("abc", Some(0)), None), None);
        history.rename("def".into(), 15);
        for (id, offset, expected) in [
            ("abc", Some(15), Some(15)),
            ("abc", Some(16), None),
            ("abc", Some(9), None),
            ("def", Some(20), Some(20)),
            ("def", Some(10), Some(10)),
        ] {
            assert_eq!(history.continues(claim(id, offset), Some(10..=20)), expected, "{id} {offset:?}");
        }
        assert_ne!(History::default().id, History::default().id);
    }
}
