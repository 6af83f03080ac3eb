//! Sets: distinct strings in no order.
//!
//! ```text
//! only integers        an intset, sorted                  Form::PackedOther, OBJECT ENCODING intset
//! few and short        a listpack                         Form::Packed,      listpack
//! anything else        a table of members, [`Set`]        Form::Large,       hashtable
//! ```
//! A set goes down this list as it outgrows a form, and never back up. [`SetRef`] reads any of them, [`edit::SetMut`]
//! changes them, inside an entry or without one.

#![allow(unsafe_code)]

pub mod combine;
pub mod edit;

use super::collection::{Form, Large, Sought, ValueType};
use super::entry::EntryRef;
use super::intset::Intset;
use super::listpack::{Element, Listpack};
use super::member::{self, Member};
use super::member_table::MemberTable;
use crate::base::digest::Digest;

pub use edit::{LooseSet, SetMut};

/// A large set.
#[derive(Clone, Default)]
pub struct Set {
    members: MemberTable<Member>,
    /// What the members have allocated.
    heap_bytes: usize,
}

impl Set {
    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn contains(&self, member: &[u8]) -> bool {
        self.members.find(member::hash(member), |other| other.as_bytes() == member).is_some()
    }

    /// Adds a member; false if it is there.
    pub fn insert(&mut self, member: &[u8]) -> bool {
        let hash = member::hash(member);
        if self.members.find(hash, |other| other.as_bytes() == member).is_some() {
            return false;
        }
        let member = Member::new(member);
        self.heap_bytes += member.heap_bytes();
        self.members.insert(hash, member, Member::hash);
        true
    }

    /// Takes a member out; false if it is not there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let removed = self.members.remove(member::hash(member), |other| other.as_bytes() == member, Member::hash);
        self.heap_bytes -= removed.as_ref().map_or(0, Member::heap_bytes);
        removed.is_some()
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.members.iter().map(Member::as_bytes)
    }

    pub fn table(&self) -> &MemberTable<Member> {
        &self.members
    }
}

// SAFETY: the only one that gives this type.
unsafe impl Large for Set {
    fn own_type() -> ValueType {
        ValueType::Set
    }

    fn value_type(&self) -> ValueType {
        Self::own_type()
    }

    fn len(&self) -> usize {
        self.members.len()
    }

    fn memory_bytes(&self) -> usize {
        size_of::<Set>() + self.members.memory_bytes() + self.heap_bytes
    }

    fn copied(&self) -> Box<dyn Large> {
        Box::new(self.clone())
    }

    fn approach(&self, sought: &mut Sought<'_>, step: u32) -> bool {
        let Some(member) = sought.arguments.first() else { return false };
        self.members.approach(sought.hash_of(member, step), step)
    }
}

/// A set to read, whatever its form.
#[derive(Clone, Copy)]
pub enum SetRef<'a> {
    Integers(Intset<'a>),
    Packed(Listpack<'a>),
    Large(&'a Set),
}

impl<'a> SetRef<'a> {
    /// The set of an entry that keeps one.
    #[inline]
    pub fn of(entry: EntryRef<'a>) -> SetRef<'a> {
        match entry.collection_form() {
            Form::PackedOther => SetRef::Integers(Intset::new(entry.value())),
            Form::Packed => SetRef::Packed(Listpack::new(entry.value())),
            Form::Large => SetRef::Large(entry.large()),
        }
    }

    pub fn encoding(self) -> &'static str {
        match self {
            SetRef::Integers(_) => "intset",
            SetRef::Packed(_) => "listpack",
            SetRef::Large(_) => "hashtable",
        }
    }

    pub fn len(self) -> usize {
        match self {
            SetRef::Integers(set) => set.len(),
            SetRef::Packed(list) => list.count(),
            SetRef::Large(set) => set.len(),
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    pub fn contains(self, member: Element<'_>) -> bool {
        match self {
            SetRef::Integers(set) => member.integer().is_some_and(|value| set.contains(value)),
            SetRef::Packed(list) => list.find(member.text().as_ref(), list.first(), 1).is_some(),
            SetRef::Large(set) => set.contains(member.text().as_ref()),
        }
    }

    pub fn iter(self) -> Box<dyn Iterator<Item = Element<'a>> + 'a> {
        match self {
            SetRef::Integers(set) => Box::new(set.iter().map(Element::Integer)),
            SetRef::Packed(list) => Box::new(list.iter()),
            SetRef::Large(set) => Box::new(set.iter().map(Element::Bytes)),
        }
    }

    /// A member drawn with the random number; each is as likely as any other.
    pub fn sample(self, random: u64) -> Option<Element<'a>> {
        let index = |len: usize| ((u128::from(random) * len as u128) >> 64) as usize;
        match self {
            SetRef::Integers(set) => set.get(index(set.len())).map(Element::Integer),
            SetRef::Packed(list) => list.get(list.position(index(list.count()) as i64)?),
            SetRef::Large(set) => set.members.sample(random).map(|member| Element::Bytes(member.as_bytes())),
        }
    }

    /// Visits about `count` members from `cursor` on, and gives the cursor that follows, 0 at the end. Packed sets are
    /// visited whole.
    pub fn scan(self, cursor: u64, count: usize, mut visit: impl FnMut(Element<'_>)) -> u64 {
        if let SetRef::Large(set) = self {
            return set.members.scan(cursor, count, Member::hash, |member| visit(Element::Bytes(member.as_bytes())));
        }
        self.iter().for_each(visit);
        0
    }

    /// The digest of the members, whatever their order and form.
    pub fn digest(self) -> Digest {
        let mut digest = Digest::default();
        for member in self.iter() {
            let mut one = Digest::default();
            one.add(member.text().as_ref());
            digest.combine(one);
        }
        digest
    }
}
