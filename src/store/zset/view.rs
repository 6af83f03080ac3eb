//! Sorted sets under their keys, small or large: what is asked of them, and what changes them.

#![allow(unsafe_code)]

use std::cmp::Ordering;
use std::ops::Range;

use super::large::{Sorted, Zset};
use super::packed;
use super::range::{LexRange, ScoreRange};
use super::rank_tree;
use crate::store::collection::Sought;
use crate::store::limits::PackedLimits;
use crate::store::listpack::{self, BYTES_MAX, Listpack, Text};
use crate::store::{Detached, Entry, EntryRef, Form, Large, ValueType};

// SAFETY: the only one that gives this type.
unsafe impl Large for Zset {
    fn own_type() -> ValueType {
        ValueType::Zset
    }

    fn value_type(&self) -> ValueType {
        Self::own_type()
    }

    fn len(&self) -> usize {
        Zset::len(self)
    }

    fn memory_bytes(&self) -> usize {
        Zset::memory_bytes(self)
    }

    fn copied(&self) -> Box<dyn Large> {
        Box::new(self.clone())
    }

    fn approach(&self, sought: &mut Sought<'_>, step: u32) -> bool {
        Zset::approach(self, sought, step)
    }
}

/// A sorted set to read. Ranges are ranges of ranks, and lie within the set.
#[derive(Clone, Copy)]
pub enum ZsetRef<'a> {
    Packed(Listpack<'a>),
    Large(&'a Zset),
}

impl<'a> ZsetRef<'a> {
    /// The sorted set of an entry that has one.
    #[inline]
    pub fn of(entry: EntryRef<'a>) -> ZsetRef<'a> {
        match entry.collection_form() {
            Form::Large => ZsetRef::Large(entry.large()),
            _ => ZsetRef::Packed(Listpack::new(entry.value())),
        }
    }

    #[inline]
    pub fn len(self) -> u64 {
        match self {
            ZsetRef::Packed(list) => list.count() as u64 / 2,
            ZsetRef::Large(zset) => zset.len() as u64,
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    pub fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            ZsetRef::Packed(list) => packed::find(list, member).map(|(_, score)| score),
            ZsetRef::Large(zset) => zset.score(member),
        }
    }

    /// A member's rank and score.
    pub fn rank(self, member: &[u8]) -> Option<(u64, f64)> {
        match self {
            ZsetRef::Packed(list) => {
                let (at, score) = packed::find(list, member)?;
                Some((list.between(list.first()..at).count() as u64 / 2, score))
            }
            ZsetRef::Large(zset) => zset.rank(member),
        }
    }

    /// The ranks of the scores within a range.
    pub fn ranks_of_scores(self, range: &ScoreRange) -> Range<u64> {
        let (start, end) = match self {
            ZsetRef::Packed(list) => {
                let mut scores = packed::pairs(list).map(|(_, score)| score);
                let start = scores.by_ref().take_while(|score| range.is_after(*score)).count();
                let end = packed::pairs(list).take_while(|(_, score)| range.reaches(*score)).count();
                (start as u64, end as u64)
            }
            ZsetRef::Large(zset) => {
                (zset.partition(|score, _| range.is_after(score)), zset.partition(|score, _| range.reaches(score)))
            }
        };
        start..end.max(start)
    }

    /// The ranks of the members within a range, where all have the same score.
    pub fn ranks_of_members(self, range: &LexRange<'_>) -> Range<u64> {
        let (start, end) = match self {
            ZsetRef::Packed(list) => {
                let members = || packed::pairs(list).map(|(member, _)| member.text());
                let start = members().take_while(|member| range.is_after(member)).count();
                let end = members().take_while(|member| range.reaches(member)).count();
                (start as u64, end as u64)
            }
            ZsetRef::Large(zset) => (
                zset.partition(|_, element| range.is_after(element.member())),
                zset.partition(|_, element| range.reaches(element.member())),
            ),
        };
        start..end.max(start)
    }

    /// Members and scores of a range, from its start or from its end.
    #[inline]
    pub fn range(self, ranks: Range<u64>, reversed: bool) -> Items<'a> {
        match self {
            ZsetRef::Packed(list) => {
                let place = |rank: u64| list.position(2 * rank as i64).unwrap_or(list.end());
                let elements = if reversed {
                    list.between(list.first()..place(ranks.end))
                } else {
                    list.between(place(ranks.start)..list.end())
                };
                Items::Packed { elements, left: ranks.end.saturating_sub(ranks.start), reversed }
            }
            ZsetRef::Large(zset) => Items::Large(zset.range(ranks, reversed)),
        }
    }

    /// All members and scores in order.
    pub fn iter(self) -> Items<'a> {
        self.range(0..self.len(), false)
    }

    /// Visits about `count` members from `cursor` on, 0 at first, and gives the cursor that follows, 0 at the end. A small
    /// set is visited at once. Visiting is told of scores as they are written in replies.
    pub fn scan(self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], f64)) -> u64 {
        match self {
            ZsetRef::Packed(_) => {
                self.iter().for_each(|(member, score)| visit(&member, score));
                0
            }
            ZsetRef::Large(zset) => zset.scan(cursor, count, visit),
        }
    }
}

/// Members and scores in order.
pub enum Items<'a> {
    Packed { elements: listpack::Iter<'a>, left: u64, reversed: bool },
    Large(rank_tree::Iter<'a>),
}

impl<'a> Iterator for Items<'a> {
    type Item = (Text<'a>, f64);

    #[inline]
    fn next(&mut self) -> Option<(Text<'a>, f64)> {
        match self {
            Items::Packed { left: 0, .. } => None,
            Items::Packed { elements, left, reversed } => {
                *left -= 1;
                let (member, score) = if *reversed {
                    let score = elements.next_back()?;
                    (elements.next_back()?, score)
                } else {
                    (elements.next()?, elements.next()?)
                };
                Some((member.text(), packed::score_of(score)))
            }
            Items::Large(items) => items.next().map(|(score, member)| (Text::Bytes(member), score)),
        }
    }
}

/// What ZADD lets a score do.
#[derive(Clone, Copy, Debug, Default)]
pub struct AddOptions {
    /// Members that are there stay as they are.
    pub only_new: bool,
    /// Members that are not there stay away.
    pub only_present: bool,
    /// A score that is there may become greater only.
    pub only_greater: bool,
    /// A score that is there may become less only.
    pub only_less: bool,
    /// The score is added to the one that is there.
    pub increment: bool,
}

/// What adding a member did; its score where it has one now by this.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Added {
    New(f64),
    Updated(f64),
    /// The score was that already.
    Unchanged(f64),
    /// The options did not let it happen.
    Refused,
    /// The sum would be no number.
    NotANumber,
}

impl AddOptions {
    fn decide(self, old: Option<f64>, given: f64) -> Added {
        let Some(old) = old else {
            return if self.only_present { Added::Refused } else { Added::New(given) };
        };
        if self.only_new {
            return Added::Refused;
        }
        let score = if self.increment { old + given } else { given };
        match score.partial_cmp(&old) {
            None => Added::NotANumber,
            Some(Ordering::Less | Ordering::Equal) if self.only_greater => Added::Refused,
            Some(Ordering::Greater | Ordering::Equal) if self.only_less => Added::Refused,
            Some(Ordering::Equal) => Added::Unchanged(score),
            Some(_) => Added::Updated(score),
        }
    }
}

/// A sorted set to change.
pub struct ZsetMut<'a> {
    entry: &'a mut Entry,
    limits: PackedLimits,
}

impl<'a> ZsetMut<'a> {
    /// The sorted set of an entry that has one.
    #[inline]
    pub fn of(entry: &'a mut Entry, limits: PackedLimits) -> ZsetMut<'a> {
        ZsetMut { entry, limits }
    }

    #[inline]
    pub fn view(&self) -> ZsetRef<'_> {
        ZsetRef::of(self.entry.view())
    }

    fn packed(&self) -> Option<Listpack<'_>> {
        match self.view() {
            ZsetRef::Packed(list) => Some(list),
            ZsetRef::Large(_) => None,
        }
    }

    pub fn add(&mut self, score: f64, member: &[u8], options: AddOptions) -> Added {
        let Some(list) = self.packed() else {
            let mut added = Added::Refused;
            self.entry.large_mut::<Zset>().update(member, |old| {
                added = options.decide(old, score);
                match added {
                    Added::New(score) | Added::Updated(score) => Some(score),
                    _ => None,
                }
            });
            return added;
        };
        let found = packed::find(list, member);
        let added = options.decide(found.map(|(_, score)| score), score);
        match (added, found) {
            (Added::New(score), _) => {
                let fits = list.count() / 2 < self.limits.entries
                    && member.len() <= self.limits.value_bytes
                    && list.bytes().len() + member.len() < BYTES_MAX;
                if fits {
                    packed::insert(self.entry, score, member);
                } else {
                    self.become_large().insert(score, member);
                }
            }
            (Added::Updated(score), Some((at, _))) => {
                packed::remove_at(self.entry, at);
                packed::insert(self.entry, score, member);
            }
            _ => {}
        }
        added
    }

    fn become_large(&mut self) -> &mut Zset {
        let mut zset = Zset::default();
        for (member, score) in self.view().iter() {
            zset.insert(score, &member);
        }
        self.entry.become_large(Box::new(zset));
        self.entry.large_mut()
    }

    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self.packed() {
            Some(list) => match packed::find(list, member) {
                Some((at, _)) => {
                    packed::remove_at(self.entry, at);
                    true
                }
                None => false,
            },
            None => self.entry.large_mut::<Zset>().remove(member),
        }
    }

    /// Removes a range of ranks.
    pub fn remove_ranks(&mut self, ranks: Range<u64>) {
        if ranks.is_empty() {
            return;
        }
        match self.packed() {
            Some(_) => packed::remove_ranks(self.entry, ranks),
            None => self.entry.large_mut::<Zset>().remove_ranks(ranks),
        }
    }
}

impl Sorted {
    /// The collection of what was gathered, packed if the limits allow it.
    pub fn into_detached(self, limits: PackedLimits) -> Detached {
        let bytes: usize = self.iter().map(|(_, member)| member.len()).sum();
        let fits = self.len() <= limits.entries
            && self.iter().all(|(_, member)| member.len() <= limits.value_bytes)
            && bytes < BYTES_MAX / 2;
        match fits {
            true => Detached::Packed(ValueType::Zset, Form::Packed, packed::pack(self.iter())),
            false => Detached::Large(Box::new(self.into_zset())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Rng;
    use crate::store::zset::Gathering;

    const SMALL: PackedLimits = PackedLimits { entries: 128, value_bytes: 64 };
    const LARGE: PackedLimits = PackedLimits { entries: 0, value_bytes: 64 };

    fn empty() -> Entry {
        Detached::empty(ValueType::Zset).with_key(b"key", None, 0)
    }

    fn items(view: ZsetRef<'_>, ranks: Range<u64>, reversed: bool) -> Vec<(Vec<u8>, f64)> {
        view.range(ranks, reversed).map(|(member, score)| (member.to_vec(), score)).collect()
    }

    #[test]
    fn both_forms_do_the_same() {
        let (mut small, mut large, mut rng) = (empty(), empty(), Rng::from_seed(4));
        for _ in 0..3000 {
            let member = rng.below(60).to_string();
            let score = rng.below(20) as f64 / 4.0;
            let flag = rng.below(12);
            let options = AddOptions {
                only_new: flag == 0,
                only_present: flag == 1,
                only_greater: flag == 2,
                only_less: flag == 3,
                increment: flag == 4,
            };
            let forms = [(&mut small, SMALL), (&mut large, LARGE)];
            let told = forms.map(|(entry, limits)| {
                let mut zset = ZsetMut::of(entry, limits);
                match flag {
                    5..8 => format!("{}", zset.remove(member.as_bytes())),
                    8 if zset.view().len() > 40 => format!("{:?}", zset.remove_ranks(3..6)),
                    _ => format!("{:?}", zset.add(score, member.as_bytes(), options)),
                }
            });
            assert_eq!(told[0], told[1]);
            let (one, other) = (ZsetRef::of(small.view()), ZsetRef::of(large.view()));
            let len = one.len();
            assert_eq!(items(one, 0..len, false), items(other, 0..len, false));
            let start = rng.below(len + 1);
            let end = start + rng.below(len - start + 1);
            assert_eq!(items(one, start..end, true), items(other, start..end, true));
            assert_eq!(one.rank(member.as_bytes()), other.rank(member.as_bytes()));
            let range = ScoreRange::parse(format!("({score}").as_bytes(), b"3").unwrap();
            assert_eq!(one.ranks_of_scores(&range), other.ranks_of_scores(&range));
        }
        assert!(matches!(ZsetRef::of(small.view()), ZsetRef::Packed(_)));
        assert_eq!((small.view().encoding(), large.view().encoding()), ("listpack", "skiplist"));
    }

    #[test]
    fn limits_say_when_a_set_grows_up() {
        for (count, len, encoding) in [(128, 64, "listpack"), (129, 1, "skiplist"), (1, 65, "skiplist")] {
            let (mut entry, mut gathering) = (empty(), Gathering::default());
            for number in 0..count {
                let member = format!("{number:0len$}");
                ZsetMut::of(&mut entry, SMALL).add(1.0, member.as_bytes(), AddOptions::default());
                gathering.add(1.0, member.as_bytes(), |_, score| score);
            }
            let stored = gathering.finish().into_detached(SMALL).with_key(b"key", None, 0);
            assert_eq!((entry.view().encoding(), stored.view().encoding()), (encoding, encoding));
            let (one, other) = (ZsetRef::of(entry.view()), ZsetRef::of(stored.view()));
            assert_eq!(items(one, 0..count, false), items(other, 0..count, false));
        }
    }

    #[test]
    fn members_of_one_score_have_ranges() {
        for limits in [SMALL, LARGE] {
            let mut entry = empty();
            for member in ["alpha", "bar", "cool", "down", "elephant"] {
                ZsetMut::of(&mut entry, limits).add(0.0, member.as_bytes(), AddOptions::default());
            }
            let view = ZsetRef::of(entry.view());
            for (min, max, ranks) in [
                ("-", "[cool", 0..3),
                ("[bar", "[down", 1..4),
                ("(bar", "(down", 2..3),
                ("+", "-", 5..5),
                ("[z", "[a", 5..5),
            ] {
                let range = LexRange::parse(min.as_bytes(), max.as_bytes()).unwrap();
                assert_eq!(view.ranks_of_members(&range), ranks, "{min} {max}");
            }
        }
    }
}
