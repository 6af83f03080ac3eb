//! Small sorted sets: a listpack of members, each followed by its score, ordered as the rank tree is.

use std::ops::Range;

use super::large::Gathering;
use crate::base::number::{INTEGER_DOUBLES_MAX, double_text};
use crate::store::limits::PackedLimits;
use crate::store::listpack::edit::{self, PackedBytes};
use crate::store::listpack::{Element, Listpack, unframe};
use crate::store::{Detached, Form, ValueType};

/// A score as a listpack holds it, where a negative zero is a zero.
enum PackedScore {
    Integer(i64),
    Text(String),
}

impl PackedScore {
    fn of(score: f64) -> PackedScore {
        if score.abs() <= INTEGER_DOUBLES_MAX && score.trunc() == score {
            PackedScore::Integer(score as i64)
        } else {
            PackedScore::Text(double_text(score))
        }
    }

    fn element(&self) -> Element<'_> {
        match self {
            PackedScore::Integer(value) => Element::Integer(*value),
            PackedScore::Text(text) => Element::Bytes(text.as_bytes()),
        }
    }
}

/// The score that an element is; damaged ones, which loading lets nobody have, are zero.
#[inline]
pub fn score_of(element: Element<'_>) -> f64 {
    score_if_valid(element).unwrap_or(0.0)
}

/// The score that an element is, unless it is something else.
pub fn score_if_valid(element: Element<'_>) -> Option<f64> {
    match element {
        Element::Integer(value) => Some(value as f64),
        Element::Bytes(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok().filter(|score: &f64| !score.is_nan()),
    }
}

/// Members and scores in order.
pub fn pairs<'a>(list: Listpack<'a>) -> impl Iterator<Item = (Element<'a>, f64)> {
    list.pairs().map(|(member, score)| (member, score_of(score)))
}

/// Where a member stands, and its score.
pub fn find(list: Listpack<'_>, member: &[u8]) -> Option<(usize, f64)> {
    let at = list.find(member, list.first(), 2)?;
    let score = list.get(list.after(at)?)?;
    Some((at, score_of(score)))
}

/// Inserts a member that is not there.
pub fn insert(list: &mut impl PackedBytes, score: f64, member: &[u8]) {
    let view = Listpack::new(list.bytes());
    let (mut at, mut elements) = (view.end(), view.iter());
    while let (Some((place, other)), Some(other_score)) = (elements.next_placed(), elements.next()) {
        let other_score = score_of(other_score);
        if other_score > score || other_score == score && *other.text() > *member {
            at = place;
            break;
        }
    }
    edit::insert(list, at, &[Element::of(member), PackedScore::of(score).element()]);
}

/// Removes the member at a place with its score.
pub fn remove_at(list: &mut impl PackedBytes, at: usize) {
    edit::remove(list, at, 2);
}

/// Removes a range of ranks, which must lie within the list.
pub fn remove_ranks(list: &mut impl PackedBytes, ranks: Range<u64>) {
    let view = Listpack::new(list.bytes());
    let at = view.skip(view.first(), 2 * ranks.start as usize).unwrap_or(view.end());
    edit::remove(list, at, 2 * (ranks.end - ranks.start) as usize);
}

/// The sorted set of a listpack from outside; `None` if it is damaged, empty, or has a member twice.
pub fn from_listpack(framed: &[u8], limits: PackedLimits) -> Option<Detached> {
    let bytes = unframe(framed)?;
    let (mut gathering, mut last) = (Gathering::default(), None);
    let (mut elements, mut in_order) = (Listpack::new(bytes).iter(), true);
    while let Some(member) = elements.next() {
        let (member, score) = (member.text(), score_if_valid(elements.next()?)?);
        gathering.add_new(score, &member).then_some(())?;
        if let Some((last_score, last_member)) = last.replace((score, member)) {
            let (_, member) = last.as_ref()?;
            in_order &= last_score < score || last_score == score && *last_member < **member;
        }
    }
    let fits = gathering.len() <= limits.entries && gathering.longest() <= limits.value_bytes;
    match gathering.len() {
        0 => None,
        _ if in_order && fits => Some(Detached::Packed(ValueType::Zset, Form::Packed, bytes.to_vec())),
        _ => Some(gathering.finish().into_detached(limits)),
    }
}

/// A listpack of scores and members that are in order.
pub fn pack<'e>(pairs: impl IntoIterator<Item = (f64, &'e [u8])>) -> Vec<u8> {
    let pairs: Vec<(&[u8], PackedScore)> =
        pairs.into_iter().map(|(score, member)| (member, PackedScore::of(score))).collect();
    edit::pack(pairs.iter().flat_map(|(member, score)| [Element::of(member), score.element()]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::listpack::EMPTY;

    #[test]
    fn members_stand_in_order_of_score_and_bytes() {
        let mut list = EMPTY.to_vec();
        let scores = [
            ("b", 2.0),
            ("a", 2.0),
            ("10", -0.5),
            ("9", -0.5),
            ("inf", f64::INFINITY),
            ("minus", f64::NEG_INFINITY),
            ("zero", 0.0),
            ("large", 1e300),
            ("long", 4e18),
        ];
        for (member, score) in scores {
            insert(&mut list, score, member.as_bytes());
            assert!(unframe(&Listpack::new(&list).framed()).is_some());
        }
        let view = Listpack::new(&list);
        let order: Vec<Vec<u8>> = pairs(view).map(|(member, _)| member.to_vec()).collect();
        let expected = ["minus", "10", "9", "zero", "a", "b", "long", "large", "inf"];
        assert_eq!(order, expected.map(|member| member.as_bytes().to_vec()));
        for (member, score) in scores {
            assert_eq!(find(view, member.as_bytes()).unwrap().1.to_bits(), score.to_bits());
        }
        assert!(find(view, b"-inf").is_none());
        let whole: Vec<(f64, Vec<u8>)> = pairs(view).map(|(member, score)| (score, member.to_vec())).collect();
        assert_eq!(pack(whole.iter().map(|(score, member)| (*score, &member[..]))), list);
        remove_ranks(&mut list, 1..8);
        let (at, _) = find(Listpack::new(&list), b"minus").unwrap();
        remove_at(&mut list, at);
        assert_eq!(pairs(Listpack::new(&list)).count(), 1);
    }
}
