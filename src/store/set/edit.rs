//! Changing a set, in any of its forms and wherever it is kept.

use super::{Set, SetRef};
use crate::base::number::parse_i64;
use crate::store::collection::{Detached, Form, ValueType};
use crate::store::limits::Limits;
use crate::store::listpack::edit::{self, PackedBytes};
use crate::store::listpack::{self, Element, Listpack};
use crate::store::{Entry, intset};

/// Redis's own bound on the numbers of an intset.
const INTSET_ENTRIES_MAX: usize = 1 << 30;
/// What a listpack's element takes at most beside its text.
const OVERHEAD_BYTES: usize = 10;
/// The longest text of a number.
const NUMBER_BYTES_MAX: usize = 20;

/// Where a set is kept.
pub trait SetPlace: PackedBytes {
    fn view(&self) -> SetRef<'_>;
    fn large(&mut self) -> &mut Set;
    fn become_packed(&mut self, bytes: &[u8]);
    fn become_large(&mut self, set: Set);
}

impl SetPlace for Entry {
    fn view(&self) -> SetRef<'_> {
        SetRef::of(Entry::view(self))
    }

    fn large(&mut self) -> &mut Set {
        self.large_mut()
    }

    fn become_packed(&mut self, bytes: &[u8]) {
        self.set_packed(Form::Packed, bytes);
    }

    fn become_large(&mut self, set: Set) {
        Entry::become_large(self, Box::new(set));
    }
}

/// A set that no entry keeps, or not yet.
pub struct LooseSet {
    form: Form,
    bytes: Vec<u8>,
    /// The set itself, in its large form; empty in the others.
    set: Set,
}

impl LooseSet {
    /// An empty set in the form that suits so many members of which this is the first.
    pub fn for_members(first: &[u8], count: usize, limits: &Limits) -> LooseSet {
        let (form, bytes) = if count <= limits.intset_entries && parse_i64(first).is_some() {
            (Form::PackedOther, intset::EMPTY.to_vec())
        } else if count <= limits.set.entries {
            (Form::Packed, listpack::EMPTY.to_vec())
        } else {
            (Form::Large, Vec::new())
        };
        LooseSet { form, bytes, set: Set::default() }
    }

    /// An empty set that takes whatever form its members call for.
    pub fn empty() -> LooseSet {
        LooseSet { form: Form::PackedOther, bytes: intset::EMPTY.to_vec(), set: Set::default() }
    }

    /// The set that whole bytes of a packed form are.
    pub fn packed(form: Form, bytes: Vec<u8>) -> LooseSet {
        LooseSet { form, bytes, set: Set::default() }
    }

    pub fn view(&self) -> SetRef<'_> {
        match self.form {
            Form::PackedOther => SetRef::Integers(intset::Intset::new(&self.bytes)),
            Form::Packed => SetRef::Packed(Listpack::new(&self.bytes)),
            Form::Large => SetRef::Large(&self.set),
        }
    }

    pub fn detach(self) -> Detached {
        match self.form {
            Form::Large => Detached::Large(Box::new(self.set)),
            form => Detached::Packed(ValueType::Set, form, self.bytes),
        }
    }
}

impl PackedBytes for LooseSet {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn make_room(&mut self, range: std::ops::Range<usize>, len: usize) -> &mut [u8] {
        self.bytes.make_room(range, len)
    }
}

impl SetPlace for LooseSet {
    fn view(&self) -> SetRef<'_> {
        LooseSet::view(self)
    }

    fn large(&mut self) -> &mut Set {
        &mut self.set
    }

    fn become_packed(&mut self, bytes: &[u8]) {
        (self.form, self.bytes) = (Form::Packed, bytes.to_vec());
    }

    fn become_large(&mut self, set: Set) {
        (self.form, self.bytes, self.set) = (Form::Large, Vec::new(), set);
    }
}

/// A set to change.
pub struct SetMut<'a, P: SetPlace = Entry> {
    place: &'a mut P,
    limits: &'a Limits,
}

impl<'a, P: SetPlace> SetMut<'a, P> {
    pub fn new(place: &'a mut P, limits: &'a Limits) -> SetMut<'a, P> {
        SetMut { place, limits }
    }

    pub fn view(&self) -> SetRef<'_> {
        self.place.view()
    }

    /// Gives the set the form that takes so many more members, if they are more than its own ever does.
    pub fn expect(&mut self, count: usize) {
        let outgrown = match self.view() {
            SetRef::Integers(_) => count > self.limits.intset_entries,
            SetRef::Packed(_) => count > self.limits.set.entries,
            SetRef::Large(_) => false,
        };
        if outgrown {
            self.enlarge();
        }
    }

    /// Adds a member; false if it is there.
    pub fn insert(&mut self, member: &[u8]) -> bool {
        match self.view() {
            SetRef::Integers(_) => match parse_i64(member) {
                Some(value) => self.insert_integer(value),
                None => self.insert_first_text(member),
            },
            SetRef::Packed(list) => {
                list.find(member, list.first(), 1).is_none() && {
                    if list.count() < self.limits.set.entries && self.takes(member.len(), list.bytes().len()) {
                        edit::push_back(self.place, &[Element::of(member)]);
                    } else {
                        self.enlarge().insert(member);
                    }
                    true
                }
            }
            SetRef::Large(_) => self.place.large().insert(member),
        }
    }

    /// Whether a listpack of so many bytes may take a member of so many.
    fn takes(&self, member_bytes: usize, list_bytes: usize) -> bool {
        member_bytes <= self.limits.set.value_bytes && list_bytes + member_bytes + OVERHEAD_BYTES <= listpack::BYTES_MAX
    }

    fn insert_integer(&mut self, value: i64) -> bool {
        let inserted = intset::insert(self.place, value);
        if inserted && self.view().len() > self.limits.intset_entries.min(INTSET_ENTRIES_MAX) {
            self.enlarge();
        }
        inserted
    }

    /// Adds what is no number to a set that has nothing else.
    fn insert_first_text(&mut self, member: &[u8]) -> bool {
        let SetRef::Integers(numbers) = self.view() else { return false };
        let count = numbers.len();
        let longest = [numbers.get(0), count.checked_sub(1).and_then(|last| numbers.get(last))]
            .into_iter()
            .flatten()
            .map(|value| Element::Integer(value).text_len())
            .max()
            .unwrap_or(0);
        let fits = count < self.limits.set.entries
            && longest <= self.limits.set.value_bytes
            && self.takes(member.len(), count * (NUMBER_BYTES_MAX + OVERHEAD_BYTES));
        if fits {
            let elements = numbers.iter().map(Element::Integer);
            let packed = edit::pack(elements.chain([Element::of(member)]));
            self.place.become_packed(&packed);
        } else {
            self.enlarge().insert(member);
        }
        true
    }

    /// Takes a member out; false if it is not there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self.view() {
            SetRef::Integers(_) => parse_i64(member).is_some_and(|value| intset::remove(self.place, value)),
            SetRef::Packed(list) => match list.find(member, list.first(), 1) {
                Some(at) => edit::remove(self.place, at, 1) > 0,
                None => false,
            },
            SetRef::Large(_) => self.place.large().remove(member),
        }
    }

    /// Gives the set its large form.
    fn enlarge(&mut self) -> &mut Set {
        let mut set = Set::default();
        for member in self.view().iter() {
            set.insert(member.text().as_ref());
        }
        self.place.become_large(set);
        self.place.large()
    }

    /// Gives a packed set that is beyond the limits its large form.
    pub fn fit(&mut self) {
        let view = self.view();
        let fits = match view {
            SetRef::Integers(numbers) => numbers.len() <= self.limits.intset_entries,
            SetRef::Packed(list) => {
                list.count() <= self.limits.set.entries
                    && list.iter().all(|member| member.text_len() <= self.limits.set.value_bytes)
            }
            SetRef::Large(_) => true,
        };
        if !fits {
            self.enlarge();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::random::Rng;
    use crate::store::limits::PackedLimits;

    fn limits(integers: usize, entries: usize, value_bytes: usize) -> Limits {
        Limits { intset_entries: integers, set: PackedLimits { entries, value_bytes }, ..Limits::default() }
    }

    fn made(limits: &Limits, members: &[&str]) -> LooseSet {
        let mut set = LooseSet::for_members(members[0].as_bytes(), members.len(), limits);
        for member in members {
            assert!(SetMut::new(&mut set, limits).insert(member.as_bytes()), "{member}");
        }
        set
    }

    #[test]
    fn forms_follow_the_members() {
        let cases: &[(Limits, &[&str], &str)] = &[
            (limits(3, 3, 5), &["1", "2", "3"], "intset"),
            (limits(3, 3, 5), &["1", "2", "a"], "listpack"),
            (limits(3, 3, 5), &["a", "2", "3"], "listpack"),
            (limits(3, 3, 5), &["1", "2", "3", "4"], "hashtable"),
            (limits(9, 2, 5), &["1", "2", "a"], "hashtable"),
            (limits(9, 9, 5), &["a", "sixsix"], "hashtable"),
            (limits(9, 9, 5), &["100000", "a"], "hashtable"),
            (limits(9, 9, 5), &["1", "sixsix"], "hashtable"),
            (limits(0, 9, 5), &["1"], "listpack"),
            (limits(9, 0, 5), &["a"], "hashtable"),
        ];
        for (limits, members, encoding) in cases {
            let set = made(limits, members);
            assert_eq!(set.view().encoding(), *encoding, "{members:?}");
            let mut held: Vec<_> = set.view().iter().map(Element::to_vec).collect();
            held.sort();
            assert_eq!(
                held,
                members
                    .iter()
                    .map(|member| member.as_bytes().to_vec())
                    .collect::<BTreeSet<_>>()
                    .into_iter()
                    .collect::<Vec<_>>()
            );
        }
        let mut set = made(&limits(3, 3, 5), &["1"]);
        SetMut::new(&mut set, &limits(3, 3, 5)).expect(4);
        assert_eq!(set.view().encoding(), "hashtable");
        let mut set = made(&limits(9, 9, 9), &["1", "2", "x"]);
        SetMut::new(&mut set, &limits(9, 2, 9)).fit();
        assert_eq!(set.view().encoding(), "hashtable");
    }

    #[test]
    fn every_form_agrees_with_a_model() {
        for (limits, texts) in [
            (limits(2000, 0, 0), false),
            (limits(0, 2000, 64), true),
            (limits(0, 0, 0), true),
            (limits(50, 100, 6), true),
        ] {
            let mut entry = LooseSet::empty().detach().with_key(b"key", Some(5), 0);
            let (mut rng, mut model) = (Rng::from_seed(4), BTreeSet::new());
            for step in 0..6_000 {
                let number = rng.below(400);
                let member = if texts && number % 2 == 1 { format!("m{number}") } else { number.to_string() };
                let mut set = SetMut::new(&mut entry, &limits);
                if rng.below(3) < if step < 3_000 { 2 } else { 1 } {
                    assert_eq!(set.insert(member.as_bytes()), model.insert(member.clone()));
                } else {
                    assert_eq!(set.remove(member.as_bytes()), model.remove(&member));
                }
                assert_eq!(set.view().contains(Element::of(member.as_bytes())), model.contains(&member));
                assert_eq!((set.view().len(), entry.view().is_spent()), (model.len(), model.is_empty()));
            }
            let view = SetRef::of(entry.view());
            let mut held: Vec<_> = view.iter().map(Element::to_vec).collect();
            held.sort();
            assert!(held.iter().map(Vec::as_slice).eq(model.iter().map(String::as_bytes)));
            let mut scanned = Vec::new();
            let mut cursor = 0;
            loop {
                cursor = view.scan(cursor, 10, |member| scanned.push(member.to_vec()));
                if cursor == 0 {
                    break;
                }
            }
            scanned.sort();
            assert_eq!(scanned, held);
            assert!((0..100).all(|_| view.contains(view.sample(rng.next_u64()).unwrap())));
            let mut other = LooseSet::empty();
            held.iter().rev().for_each(|member| assert!(SetMut::new(&mut other, &Limits::default()).insert(member)));
            assert_eq!(other.view().digest(), view.digest());
        }
    }

    #[test]
    fn memory_of_a_large_set_is_known() {
        let mut set = Set::default();
        (0..1000).for_each(|number| assert!(set.insert(format!("member:{number}").as_bytes())));
        let bytes = crate::store::Large::memory_bytes(&set);
        assert!((1000 * 16 + 1000 * 9..1000 * 16 + 1000 * 16).contains(&bytes), "{bytes}");
        (0..1000).for_each(|number| assert!(set.remove(format!("member:{number}").as_bytes())));
        assert!(set.is_empty() && crate::store::Large::memory_bytes(&set) < 1000);
    }
}
