//! Several sets taken together: their intersection, union and difference, told member by member.

use std::ops::ControlFlow;

use super::{Set, SetRef};
use crate::store::listpack::Element;

/// Visits the members that all the sets have, until told to stop.
pub fn intersection<'a>(sets: &[SetRef<'a>], mut visit: impl FnMut(Element<'a>) -> ControlFlow<()>) {
    let mut sets = sets.to_vec();
    // The smallest is walked, and members are sought in the next smallest first.
    sets.sort_by_key(|set| set.len());
    let Some((first, others)) = sets.split_first() else { return };
    for member in first.iter() {
        if others.iter().all(|other| other.contains(member)) && visit(member).is_break() {
            return;
        }
    }
}

/// Visits the members that any of the sets has, each once.
pub fn union<'a>(sets: &[SetRef<'a>], mut visit: impl FnMut(Element<'a>)) {
    if let [only] = sets {
        return only.iter().for_each(visit);
    }
    let mut seen = Set::default();
    for member in sets.iter().flat_map(|set| set.iter()) {
        if seen.insert(member.text().as_ref()) {
            visit(member);
        }
    }
}

/// Visits the members of the first set that none of the others has.
pub fn difference<'a>(first: SetRef<'a>, others: &[SetRef<'a>], visit: impl FnMut(Element<'a>)) {
    let sought_one_by_one = first.len().saturating_mul(others.len()) / 2;
    let merged = others.iter().map(|other| other.len()).sum::<usize>();
    if others.len() < 2 || sought_one_by_one <= merged {
        let absent = |member: &Element<'a>| !others.iter().any(|other| other.contains(*member));
        return first.iter().filter(absent).for_each(visit);
    }
    let mut taken = Set::default();
    union(others, |member| {
        taken.insert(member.text().as_ref());
    });
    first.iter().filter(|member| !taken.contains(member.text().as_ref())).for_each(visit);
}

/// `count` different members, or all if there are fewer: every choice is as likely as any other, though not every
/// order. `below` draws a number below another.
pub fn choose<'a>(set: SetRef<'a>, count: usize, mut below: impl FnMut(u64) -> u64) -> Vec<Element<'a>> {
    /// Members drawn one by one are few of the set, so that few are drawn twice.
    const SPARSE: usize = 3;
    let len = set.len();
    let mut chosen = Vec::with_capacity(count.min(len));
    if let SetRef::Large(large) = set
        && count <= len / SPARSE
    {
        let mut drawn = Set::default();
        while chosen.len() < count {
            let Some(member) = large.table().sample(below(u64::MAX)) else { break };
            if drawn.insert(member.as_bytes()) {
                chosen.push(Element::Bytes(member.as_bytes()));
            }
        }
        return chosen;
    }
    for (passed, member) in set.iter().enumerate() {
        let wanted = count.min(len) - chosen.len();
        if wanted == 0 {
            break;
        }
        if below((len - passed) as u64) < wanted as u64 {
            chosen.push(member);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::base::random::Rng;
    use crate::store::limits::Limits;
    use crate::store::set::{LooseSet, SetMut};

    fn made(members: &BTreeSet<u64>, large: bool) -> LooseSet {
        let limits = Limits::default();
        let mut set = LooseSet::empty();
        if large {
            SetMut::new(&mut set, &limits).expect(1_000);
        }
        members.iter().for_each(|member| assert!(SetMut::new(&mut set, &limits).insert(member.to_string().as_bytes())));
        set
    }

    #[test]
    fn combinations_agree_with_a_model() {
        let mut rng = Rng::from_seed(1);
        for round in 0..300 {
            let models: Vec<BTreeSet<u64>> = (0..1 + round % 5)
                .map(|_| {
                    let (size, spread) = (rng.below(200), 1 + rng.below(300));
                    (0..size).map(|_| rng.below(spread)).collect()
                })
                .collect();
            let sets: Vec<LooseSet> = models.iter().enumerate().map(|(at, model)| made(model, at % 2 == 1)).collect();
            let views: Vec<SetRef> = sets.iter().map(LooseSet::view).collect();
            let number = |member: Element<'_>| member.integer().unwrap() as u64;
            let sorted = |mut told: Vec<u64>| {
                told.sort();
                told
            };
            let (mut shared, mut all, mut left) = (Vec::new(), Vec::new(), Vec::new());
            intersection(&views, |member| {
                shared.push(number(member));
                ControlFlow::Continue(())
            });
            union(&views, |member| all.push(number(member)));
            difference(views[0], &views[1..], |member| left.push(number(member)));
            let (shared, all, left) = (sorted(shared), sorted(all), sorted(left));
            let expected = models[0].iter().filter(|member| models.iter().all(|model| model.contains(member)));
            assert!(shared.iter().eq(expected));
            assert!(all.iter().eq(models.iter().flatten().collect::<BTreeSet<_>>()));
            let expected = models[0].iter().filter(|member| !models[1..].iter().any(|model| model.contains(member)));
            assert!(left.iter().eq(expected));
        }
    }

    #[test]
    fn choices_are_fair_and_differ() {
        let mut rng = Rng::from_seed(2);
        let members: BTreeSet<u64> = (0..60).collect();
        for (large, count) in [(false, 7), (true, 7), (true, 40), (true, 60), (false, 99), (true, 0)] {
            let set = made(&members, large);
            let mut times = BTreeMap::new();
            for _ in 0..3_000 {
                let chosen = choose(set.view(), count, |bound| rng.below(bound));
                let chosen: BTreeSet<i64> = chosen.into_iter().map(|member| member.integer().unwrap()).collect();
                assert_eq!(chosen.len(), count.min(60));
                chosen.into_iter().for_each(|member| *times.entry(member).or_insert(0u32) += 1);
            }
            let expected = 3_000.0 * count.min(60) as f64 / 60.0;
            let off = times.values().map(|times| (f64::from(*times) - expected).abs()).fold(0.0, f64::max);
            assert!(off <= 5.0 * expected.sqrt(), "{large} {count}: {off}");
        }
    }
}
