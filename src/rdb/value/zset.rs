//! Sorted sets in all forms that files have them in.
//!
//! ```text
//! 3       count; member of each as a string, and its score as text: a length byte and so many characters, or one byte:
//!         253 not a number, 254 and 255 infinite
//! 5       count; member of each as a string, and its score (8 bytes, little-endian)
//! 12, 17  a string: a ziplist, a listpack, of member and score of each
//! ```
//! Written are 5, the highest score first, and 17.

use std::io::{self, Read, Write};

use super::Value;
use crate::rdb::error::RdbError;
use crate::rdb::packed::Packer;
use crate::rdb::source::Source;
use crate::rdb::ziplist;
use crate::store::limits::PackedLimits;
use crate::store::listpack::Element;
use crate::store::zset::{Gathering, ZsetRef, packed};
use crate::store::{Detached, EntryRef};

pub const TEXT_SCORES: u8 = 3;
pub const PAIRS: u8 = 5;
pub const ZIPLIST: u8 = 12;
pub const LISTPACK: u8 = 17;

const DAMAGED: &str = "a sorted set that is not whole";

pub fn read<'a, R: Read>(
    source: &mut Source<R>,
    type_byte: u8,
    bytes: &mut Vec<u8>,
    limits: PackedLimits,
) -> Result<Value<'a>, RdbError> {
    let zset = match type_byte {
        TEXT_SCORES => read_pairs(source, bytes, limits, text_score)?,
        PAIRS => read_pairs(source, bytes, limits, |source| Ok(Some(f64::from_le_bytes(source.array()?))))?,
        _ => {
            source.string(bytes)?;
            match type_byte {
                ZIPLIST => ziplist::elements(bytes).and_then(|elements| of_elements(&elements, limits)),
                _ => packed::from_listpack(bytes, limits),
            }
        }
    };
    zset.map(Value::Read).ok_or_else(|| source.damaged_before(0, DAMAGED))
}

/// Reads members one by one, the score of each by `read_score`.
fn read_pairs<R: Read>(
    source: &mut Source<R>,
    member: &mut Vec<u8>,
    limits: PackedLimits,
    read_score: impl Fn(&mut Source<R>) -> Result<Option<f64>, RdbError>,
) -> Result<Option<Detached>, RdbError> {
    let mut gathering = Gathering::default();
    for _ in 0..source.length()? {
        source.string(member)?;
        match read_score(source)?.filter(|score| !score.is_nan()) {
            Some(score) if gathering.add_new(score, member) => {}
            _ => return Ok(None),
        }
    }
    Ok(finished(gathering, limits))
}

fn text_score<R: Read>(source: &mut Source<R>) -> Result<Option<f64>, RdbError> {
    let mut text = [0; 255];
    Ok(match source.byte()? {
        253 => None,
        254 => Some(f64::INFINITY),
        255 => Some(f64::NEG_INFINITY),
        len => {
            for place in &mut text[..usize::from(len)] {
                *place = source.byte()?;
            }
            packed::score_if_valid(Element::Bytes(&text[..usize::from(len)]))
        }
    })
}

fn of_elements(elements: &[Element<'_>], limits: PackedLimits) -> Option<Detached> {
    let mut gathering = Gathering::default();
    for pair in elements.chunks(2) {
        let [member, score] = pair else { return None };
        gathering.add_new(packed::score_if_valid(*score)?, &member.text()).then_some(())?;
    }
    finished(gathering, limits)
}

/// An empty sorted set has no place under a key.
fn finished(gathering: Gathering, limits: PackedLimits) -> Option<Detached> {
    let sorted = gathering.finish();
    (!sorted.is_empty()).then(|| sorted.into_detached(limits))
}

/// The type byte that a sorted set is written with.
pub fn type_byte(entry: EntryRef<'_>) -> u8 {
    match ZsetRef::of(entry) {
        ZsetRef::Packed(_) => LISTPACK,
        ZsetRef::Large(_) => PAIRS,
    }
}

pub fn write<W: Write>(packer: &mut Packer<W>, entry: EntryRef<'_>) -> io::Result<()> {
    let zset = ZsetRef::of(entry);
    if let ZsetRef::Packed(list) = zset {
        return packer.string(&list.framed());
    }
    packer.length(zset.len())?;
    for (member, score) in zset.range(0..zset.len(), true) {
        packer.string(&member)?;
        packer.to.write_all(&score.to_le_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::limits::Limits;
    use crate::store::listpack::{Listpack, edit};
    use crate::store::zset::{AddOptions, ZsetMut};
    use crate::store::{Entry, ValueType};

    fn decoded(type_byte: u8, body: &[u8]) -> Result<Entry, String> {
        let mut source = Source::of_bytes(body, 1 << 20);
        match read(&mut source, type_byte, &mut Vec::new(), Limits::default().zset) {
            Ok(Value::Read(zset)) => Ok(zset.with_key(b"key", None, 0)),
            Ok(_) => panic!("not a collection"),
            Err(error) => Err(error.to_string()),
        }
    }

    fn items(entry: &Entry) -> Vec<(String, f64)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        ZsetRef::of(entry.view()).iter().map(|(member, score)| (text(&member), score)).collect()
    }

    fn string(bytes: &[u8]) -> Vec<u8> {
        let mut packer = Packer::new(Vec::new(), false);
        packer.string(bytes).unwrap();
        packer.to
    }

    fn packed<const N: usize>(elements: [Element<'_>; N]) -> Vec<u8> {
        Listpack::new(&edit::pack(elements)).framed()
    }

    #[test]
    fn all_forms_are_read() {
        let expected = vec![("b".to_owned(), f64::NEG_INFINITY), ("a".into(), 1.5), ("c".into(), f64::INFINITY)];
        let text = b"\x03\x01a\x031.5\x01b\xff\x01c\xfe";
        assert_eq!(items(&decoded(TEXT_SCORES, text).unwrap()), expected);
        let mut pairs = b"\x03".to_vec();
        for (member, score) in &expected {
            pairs.extend_from_slice(&string(member.as_bytes()));
            pairs.extend_from_slice(&score.to_le_bytes());
        }
        assert_eq!(items(&decoded(PAIRS, &pairs).unwrap()), expected);
        let unordered = packed([b"a", &b"1.5"[..], b"c", b"inf", b"b", b"-inf"].map(Element::of));
        let read = decoded(LISTPACK, &string(&unordered)).unwrap();
        assert_eq!((items(&read), read.view().encoding()), (expected.clone(), "listpack"));
        let ziplist = b"\x18\0\0\0\x12\0\0\0\x04\0\x00\x01a\x03\xf2\x02\x01b\x03\x032.5\xff";
        assert_eq!(items(&decoded(ZIPLIST, &string(ziplist)).unwrap()), [("a".into(), 1.0), ("b".into(), 2.5)]);
    }

    #[test]
    fn what_is_written_reads_back() {
        for count in [1, 128, 129, 2000] {
            let mut entry = Detached::empty(ValueType::Zset).with_key(b"key", None, 0);
            for number in 0..count {
                let score = f64::from(number % 50) / 8.0;
                ZsetMut::of(&mut entry, Limits::default().zset).add(
                    score,
                    format!("{number}").as_bytes(),
                    AddOptions::default(),
                );
            }
            let mut packer = Packer::new(Vec::new(), true);
            write(&mut packer, entry.view()).unwrap();
            let read = decoded(type_byte(entry.view()), &packer.to).unwrap();
            assert_eq!((items(&read), read.view().encoding()), (items(&entry), entry.view().encoding()));
        }
    }

    #[test]
    fn damage_is_refused() {
        let twice = packed([b"a", &b"1"[..], b"a", b"2"].map(Element::of));
        let odd = packed([&b"a"[..]].map(Element::of));
        let no_number = packed([b"a", &b"x"[..]].map(Element::of));
        let empty = packed([]);
        for list in [&twice[..], &odd, &no_number, &empty, b"", b"\x07"] {
            assert!(decoded(LISTPACK, &string(list)).is_err(), "{list:?}");
        }
        for (type_byte, body) in [
            (TEXT_SCORES, &b"\x01\x01a\xfd"[..]),
            (TEXT_SCORES, b"\x01\x01a\x01x"),
            (TEXT_SCORES, b"\x00"),
            (PAIRS, b"\x01\x01a\0\0\0\0\0\0\xf8\x7f"),
            (PAIRS, b"\x02\x01a\0\0\0\0\0\0\0\0\x01a\0\0\0\0\0\0\0\0"),
            (PAIRS, b"\x01\x01a\0"),
            (ZIPLIST, b"\x03abc"),
        ] {
            assert!(decoded(type_byte, body).is_err(), "{type_byte} {body:?}");
        }
        let whole = packed([b"a", &b"1"[..], b"bcd", b"2.5"].map(Element::of));
        for at in 0..whole.len() {
            for value in 0..=255 {
                let mut damaged = whole.clone();
                damaged[at] = value;
                if let Ok(entry) = decoded(LISTPACK, &string(&damaged)) {
                    items(&entry);
                }
            }
        }
    }
}
