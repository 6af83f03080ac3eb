//! Sets: member by member, or the bytes of an intset or a listpack as a string.
//!
//! A listpack is written member by member: releases that read the version written do not know it.

use std::io::{self, Read, Write};

use super::Value;
use crate::rdb::error::RdbError;
use crate::rdb::packed::Packer;
use crate::rdb::source::Source;
use crate::store::limits::Limits;
use crate::store::listpack::{self, Listpack};
use crate::store::set::{LooseSet, Set, SetMut, SetRef};
use crate::store::{EntryRef, Form, intset};

/// The type byte of members one by one.
pub const MEMBERS: u8 = 2;
pub const INTSET: u8 = 11;
pub const LISTPACK: u8 = 20;

pub fn type_byte(entry: EntryRef<'_>) -> u8 {
    match SetRef::of(entry) {
        SetRef::Integers(_) => INTSET,
        SetRef::Packed(_) | SetRef::Large(_) => MEMBERS,
    }
}

pub fn read<'a, R: Read>(
    source: &mut Source<R>,
    type_byte: u8,
    limits: &Limits,
    bytes: &mut Vec<u8>,
) -> Result<Value<'a>, RdbError> {
    let mut set = if type_byte == MEMBERS {
        read_members(source, limits, bytes)?
    } else {
        source.string(bytes)?;
        packed(type_byte, bytes).ok_or_else(|| source.damaged_before(0, "a packed set that is not what it says"))?
    };
    if set.view().is_empty() {
        return Err(source.damaged_before(0, "a set without members"));
    }
    SetMut::new(&mut set, limits).fit();
    Ok(Value::Read(set.detach()))
}

fn read_members<R: Read>(source: &mut Source<R>, limits: &Limits, bytes: &mut Vec<u8>) -> Result<LooseSet, RdbError> {
    let count = source.length()?;
    let mut set = LooseSet::empty();
    for index in 0..count {
        source.string(bytes)?;
        if index == 0 {
            set = LooseSet::for_members(bytes, usize::try_from(count).unwrap_or(usize::MAX), limits);
        }
        if !SetMut::new(&mut set, limits).insert(bytes) {
            return Err(source.damaged_before(0, "a set with a member twice"));
        }
    }
    Ok(set)
}

/// The set that packed bytes are, if they are whole and no member is there twice.
fn packed(type_byte: u8, bytes: &[u8]) -> Option<LooseSet> {
    if type_byte == INTSET {
        return intset::validate(bytes).then(|| LooseSet::packed(Form::PackedOther, bytes.to_vec()));
    }
    let list = listpack::unframe(bytes).map(Listpack::new)?;
    let mut seen = Set::default();
    let distinct = list.iter().all(|member| seen.insert(member.text().as_ref()));
    distinct.then(|| LooseSet::packed(Form::Packed, list.bytes().to_vec()))
}

pub fn write<W: Write>(packer: &mut Packer<W>, entry: EntryRef<'_>) -> io::Result<()> {
    let set = SetRef::of(entry);
    if let SetRef::Integers(_) = set {
        return packer.string(entry.value());
    }
    packer.length(set.len() as u64)?;
    set.iter().try_for_each(|member| packer.string(member.text().as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rdb::payload::{PayloadBuffer, decode, encode};
    use crate::store::listpack::Element;

    fn read_bytes(type_byte: u8, bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let mut source = Source::of_bytes(bytes, 1000);
        let read = read(&mut source, type_byte, &Limits::default(), &mut Vec::new());
        match read.map_err(|error| error.to_string())? {
            Value::Read(set) => {
                let entry = set.with_key(b"key", None, 0);
                Ok(SetRef::of(entry.view()).iter().map(Element::to_vec).collect())
            }
            _ => panic!("not a set"),
        }
    }

    #[test]
    fn every_form_makes_the_way_and_back() {
        let members = |count: usize, prefix: &str| (0..count).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>();
        for (members, encoding, type_byte) in [
            (members(5, ""), "intset", INTSET),
            (members(600, ""), "hashtable", MEMBERS),
            (members(5, "m"), "listpack", MEMBERS),
            (members(200, "m"), "hashtable", MEMBERS),
        ] {
            let limits = Limits::default();
            let mut set = LooseSet::empty();
            members.iter().for_each(|member| assert!(SetMut::new(&mut set, &limits).insert(member.as_bytes())));
            let entry = set.detach().with_key(b"key", None, 0);
            assert_eq!(entry.view().encoding(), encoding);
            let payload = encode(Value::Kept(entry.view()), true);
            assert_eq!(payload[0], type_byte);
            let mut buffer = PayloadBuffer::default();
            let Ok(Value::Read(read)) = decode(&payload, 1000, &mut buffer) else { panic!("unreadable") };
            let again = read.with_key(b"key", None, 0);
            assert_eq!(again.view().encoding(), encoding);
            assert_eq!(SetRef::of(again.view()).digest(), SetRef::of(entry.view()).digest());
        }
    }

    #[test]
    fn damage_is_refused() {
        assert_eq!(read_bytes(MEMBERS, b"\x02\x01a\xc0\x05").unwrap(), [b"a".to_vec(), b"5".to_vec()]);
        assert_eq!(read_bytes(INTSET, b"\x0a\x02\0\0\0\x01\0\0\0\x07\0").unwrap(), [b"7".to_vec()]);
        assert_eq!(
            read_bytes(LISTPACK, b"\x0b\x0b\0\0\0\x02\0\x01\x01\x02\x01\xff").unwrap(),
            [b"1".to_vec(), b"2".to_vec()]
        );
        for (type_byte, bytes) in [
            (MEMBERS, &b"\x00"[..]),
            (MEMBERS, b"\x02\x01a\x01a"),
            (MEMBERS, b"\x02\x01a"),
            (MEMBERS, b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01a"),
            (INTSET, b"\x08\x02\0\0\0\0\0\0\0"),
            (INTSET, b"\x0a\x02\0\0\0\x02\0\0\0\x07\0"),
            (INTSET, b"\x0c\x02\0\0\0\x02\0\0\0\x07\0\x07\0"),
            (LISTPACK, b"\x07\x07\0\0\0\0\0\xff"),
            (LISTPACK, b"\x0b\x0b\0\0\0\x02\0\x01\x01\x01\x01\xff"),
            (LISTPACK, b"\x0b\x0b\0\0\0\x02\0\x01\x09\x02\x01\xff"),
        ] {
            assert!(read_bytes(type_byte, bytes).is_err(), "{type_byte}: {bytes:?}");
        }
    }
}
