//! Lists in all forms that files have them in.
//!
//! ```text
//! 1       count; each element as a string
//! 10      a string: a ziplist of all elements
//! 14      count; as many strings, each a ziplist of elements
//! 18      count; as many nodes: 1 and an element as a string, or 2 and a string: a listpack of elements
//! ```
//! Written is 18.

use std::io::{self, Read, Write};

use super::Value;
use crate::rdb::error::RdbError;
use crate::rdb::packed::Packer;
use crate::rdb::source::Source;
use crate::rdb::ziplist;
use crate::store::EntryRef;
use crate::store::limits::Limits;
use crate::store::list::{Content, ListBuilder, ListRef};
use crate::store::listpack::Listpack;

pub const ELEMENTS: u8 = 1;
pub const ZIPLIST: u8 = 10;
pub const ZIPLISTS: u8 = 14;
pub const NODES: u8 = 18;

const PLAIN: u64 = 1;
const PACKED: u64 = 2;

const DAMAGED: &str = "a list that is not whole";

pub fn read<'a, R: Read>(
    source: &mut Source<R>,
    type_byte: u8,
    bytes: &mut Vec<u8>,
    limits: &Limits,
) -> Result<Value<'a>, RdbError> {
    let mut builder = ListBuilder::new(limits);
    let count = if type_byte == ZIPLIST { 1 } else { source.length()? };
    for _ in 0..count {
        let kind = match type_byte {
            ELEMENTS => PLAIN,
            NODES => source.length()?,
            _ => PACKED,
        };
        source.string(bytes)?;
        let whole = match kind {
            PLAIN => {
                builder.push(bytes);
                true
            }
            PACKED if type_byte == NODES => builder.push_listpack(bytes),
            PACKED => match ziplist::elements(bytes) {
                Some(elements) => {
                    elements.iter().for_each(|element| builder.push(&element.text()));
                    true
                }
                None => false,
            },
            _ => false,
        };
        if !whole {
            return Err(source.damaged_before(0, DAMAGED));
        }
    }
    builder.finish().map(Value::Read).ok_or_else(|| source.damaged_before(0, DAMAGED))
}

pub fn write<W: Write>(packer: &mut Packer<W>, entry: EntryRef<'_>) -> io::Result<()> {
    match ListRef::of(entry) {
        ListRef::Packed(list) => {
            packer.length(1)?;
            packer.length(PACKED)?;
            packer.string(&list.framed())
        }
        ListRef::Large(list) => {
            packer.length(list.node_count() as u64)?;
            for node in list.nodes() {
                match node.content() {
                    Content::Plain(bytes) => {
                        packer.length(PLAIN)?;
                        packer.string(bytes)?;
                    }
                    Content::Packed(bytes) => {
                        packer.length(PACKED)?;
                        packer.string(&Listpack::new(&bytes).framed())?;
                    }
                }
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::list::ListMut;
    use crate::store::{Detached, Entry, ValueType};

    fn elements(entry: &Entry) -> Vec<String> {
        let mut all = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        ListRef::of(entry.view()).range(0, usize::MAX, |element| all.push(text(&element.text())));
        all
    }

    fn read_bytes(type_byte: u8, bytes: &[u8], limits: &Limits) -> Result<Entry, String> {
        let mut source = Source::of_bytes(bytes, 1 << 20);
        match read(&mut source, type_byte, &mut Vec::new(), limits) {
            Ok(Value::Read(list)) => Ok(list.with_key(b"k", None, 0)),
            Ok(_) => unreachable!("a list is made"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for (limits, long) in [
            (Limits::default(), 10),
            (Limits { list_node_size: 2, list_compress_depth: 1, ..Limits::default() }, 10_000),
        ] {
            let mut entry = Detached::empty(ValueType::List).with_key(b"k", None, 0);
            for number in 0..9 {
                let text = [b"element".repeat(20), number.to_string().into_bytes()].concat();
                ListMut::of(&mut entry, &limits).push(crate::store::list::Side::Tail, &[&text, &vec![b'x'; long]]);
            }
            let mut packer = Packer::new(Vec::new(), true);
            write(&mut packer, entry.view()).unwrap();
            let read = read_bytes(NODES, &packer.to, &limits).unwrap();
            assert_eq!(elements(&read), elements(&entry));
            assert_eq!(read.view().encoding(), entry.view().encoding());
            for len in 0..packer.to.len() {
                assert!(read_bytes(NODES, &packer.to[..len], &limits).is_err());
            }
        }
    }

    #[test]
    fn older_forms() {
        let limits = Limits::default();
        assert_eq!(elements(&read_bytes(ELEMENTS, b"\x02\x01a\xc0\x05", &limits).unwrap()), ["a", "5"]);
        let ziplist = b"\x10\x00\x00\x00\x0d\x00\x00\x00\x02\x00\x00\x01a\x03\xf6\xff";
        let string = [&[ziplist.len() as u8], &ziplist[..]].concat();
        assert_eq!(elements(&read_bytes(ZIPLIST, &string, &limits).unwrap()), ["a", "5"]);
        let two = [b"\x02", &string[..], &string].concat();
        assert_eq!(elements(&read_bytes(ZIPLISTS, &two, &limits).unwrap()), ["a", "5", "a", "5"]);
    }

    #[test]
    fn damage_is_refused() {
        let limits = Limits::default();
        for (type_byte, bytes) in [
            (ELEMENTS, &b"\x00"[..]),
            (NODES, b"\x01\x03\x01a"),
            (NODES, b"\x01\x02\x07\x07\x00\x00\x00\x01\x00\xff"),
            (NODES, b"\x01\x02\x07\x07\x00\x00\x00\x00\x00\xff"),
            (ZIPLIST, b"\x01a"),
        ] {
            let error = read_bytes(type_byte, bytes, &limits).err().unwrap_or_default();
            assert!(error.contains(DAMAGED), "{bytes:?}: {error}");
        }
    }
}
