//! Values by their type: which byte of the format stands for which, and how each is read and written.
//!
//! A type that is read or written has a file of its own here and a line in each `match`. All others have their line in
//! [`TYPE_NAMES`] only and are refused by name.

mod hash;
mod list;
mod set;
mod stream;
mod string;
mod zset;

use std::io::{self, Read, Write};

use super::error::{Fault, RdbError};
use super::packed::Packer;
use super::source::Source;
use crate::store::limits::Limits;
use crate::store::{Detached, EntryRef, ValueType};

const STRING: u8 = 0;

/// Every type byte of the format. Several types may hold the same kind of value in different forms.
const TYPE_NAMES: &[(u8, &str)] = &[
    (STRING, "string"),
    (1, "list"),
    (2, "set"),
    (3, "zset-text-scores"),
    (4, "hash"),
    (5, "zset"),
    (6, "module-early"),
    (7, "module"),
    (9, "hash-zipmap"),
    (10, "list-ziplist"),
    (11, "set-intset"),
    (12, "zset-ziplist"),
    (13, "hash-ziplist"),
    (14, "list-quicklist"),
    (15, "stream-listpacks"),
    (16, "hash-listpack"),
    (17, "zset-listpack"),
    (18, "list-quicklist-2"),
    (19, "stream-listpacks-2"),
    (20, "set-listpack"),
    (21, "stream-listpacks-3"),
    (22, "hash-with-expiries-early"),
    (23, "hash-listpack-with-expiries-early"),
    (24, "hash-with-expiries"),
    (25, "hash-listpack-with-expiries"),
];

/// A value in parts that the format knows. Strings and what is written are borrowed from whoever keeps them; a
/// collection that is read is made as the store will keep it.
pub enum Value<'a> {
    String(&'a [u8]),
    /// A collection of the store, to be written.
    Kept(EntryRef<'a>),
    /// A collection that was read.
    Read(Detached),
}

impl Value<'_> {
    /// The type byte that the value is written with.
    pub(super) fn type_byte(&self) -> u8 {
        match self {
            Value::String(_) => STRING,
            Value::Kept(entry) => kept_type_byte(*entry),
            Value::Read(_) => unreachable!("what is read is not written again"),
        }
    }
}

/// The type byte that an entry's value is written with.
fn kept_type_byte(entry: EntryRef<'_>) -> u8 {
    match entry.value_type() {
        ValueType::String => STRING,
        ValueType::List => list::NODES,
        ValueType::Set => set::type_byte(entry),
        ValueType::Zset => zset::type_byte(entry),
        ValueType::Hash => hash::type_byte(entry),
        ValueType::Stream => stream::TYPE_COUNTED,
    }
}

/// What a value that is read is kept in until the next one is.
#[derive(Default)]
pub struct ValueBuffer {
    bytes: Vec<u8>,
    /// How the collections that are read are kept.
    limits: Limits,
}

impl ValueBuffer {
    pub fn with_limits(limits: Limits) -> ValueBuffer {
        ValueBuffer { bytes: Vec::new(), limits }
    }
}

/// The name of a type byte, if it has a meaning.
pub(super) fn type_name(type_byte: u8) -> Option<&'static str> {
    TYPE_NAMES.iter().find(|(byte, _)| *byte == type_byte).map(|(_, name)| *name)
}

/// Reads the value that follows. `key` and `offset`, that of the type byte, are for the error.
pub(super) fn read<'a, R: Read>(
    source: &mut Source<R>,
    type_byte: u8,
    key: &[u8],
    offset: u64,
    buffer: &'a mut ValueBuffer,
) -> Result<Value<'a>, RdbError> {
    match type_byte {
        STRING => string::read(source, &mut buffer.bytes),
        list::ELEMENTS | list::ZIPLIST | list::ZIPLISTS | list::NODES => {
            list::read(source, type_byte, &mut buffer.bytes, &buffer.limits)
        }
        set::MEMBERS | set::INTSET | set::LISTPACK => set::read(source, type_byte, &buffer.limits, &mut buffer.bytes),
        zset::TEXT_SCORES | zset::PAIRS | zset::ZIPLIST | zset::LISTPACK => {
            zset::read(source, type_byte, &mut buffer.bytes, buffer.limits.zset)
        }
        hash::PAIRS
        | hash::ZIPMAP
        | hash::ZIPLIST
        | hash::LISTPACK
        | hash::EXPIRING_EARLY..=hash::EXPIRING_LISTPACK => {
            hash::read(source, type_byte, &mut buffer.bytes, buffer.limits.hash)
        }
        stream::TYPE_FIRST | stream::TYPE_COUNTED | stream::TYPE_ACTIVE => stream::read(source, type_byte),
        _ => {
            let key = key.to_vec();
            let fault = match type_name(type_byte) {
                Some(name) => Fault::UnsupportedType { name, key },
                None => Fault::UnknownType { type_byte, key },
            };
            Err(RdbError { offset, fault })
        }
    }
}

/// Writes a value, its type byte not included.
pub(super) fn write<W: Write>(packer: &mut Packer<W>, value: &Value<'_>) -> io::Result<()> {
    match value {
        Value::String(bytes) => string::write(packer, bytes),
        Value::Kept(entry) => match entry.value_type() {
            ValueType::String => string::write(packer, entry.value()),
            ValueType::List => list::write(packer, *entry),
            ValueType::Set => set::write(packer, *entry),
            ValueType::Zset => zset::write(packer, *entry),
            ValueType::Hash => hash::write(packer, *entry),
            ValueType::Stream => stream::write(packer, entry.large()),
        },
        Value::Read(_) => unreachable!("what is read is not written again"),
    }
}

/// Bytes that a value takes in a file, its type byte not included.
pub fn packed_bytes(value: &Value<'_>, compressing: bool) -> u64 {
    let mut packer = Packer::new(Count(0), compressing);
    write(&mut packer, value).expect("counting does not fail");
    packer.to.0
}

/// Counts what is written to it.
struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Strings are compared, for the tests of what reads and writes them.
#[cfg(test)]
impl PartialEq for Value<'_> {
    fn eq(&self, other: &Value<'_>) -> bool {
        matches!((self, other), (Value::String(one), Value::String(other)) if one == other)
    }
}

impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::String(bytes) => write!(formatter, "{bytes:?}"),
            Value::Kept(entry) => formatter.write_str(entry.value_type().name()),
            Value::Read(collection) => formatter.write_str(collection.value_type().name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_or_refused_by_name() {
        for type_byte in 0..=255 {
            let bytes = b"\x01x";
            let mut source = Source::of_bytes(bytes, 100);
            let mut buffer = ValueBuffer::default();
            let read = read(&mut source, type_byte, b"k\n", 7, &mut buffer).map_err(|error| error.to_string());
            match (type_byte, type_name(type_byte)) {
                (STRING, _) => assert_eq!(read, Ok(Value::String(b"x"))),
                (6 | 7, Some(name)) => {
                    let error = format!("RDB: value type '{name}' of key \"k\\n\" at offset 7 is not supported yet");
                    assert_eq!(read, Err(error));
                }
                // Each type's own tests say which bytes it takes.
                (_, Some(_)) => assert!(read.is_err() || !matches!(read, Ok(Value::String(_)))),
                (byte, None) => {
                    assert_eq!(read, Err(format!("RDB: value type {byte} of key \"k\\n\" at offset 7 is unknown")));
                }
            }
        }
    }

    #[test]
    fn sizes_without_writing() {
        for (text, bytes) in [("-128", 2), ("128", 3), ("2147483647", 5), ("2147483648", 11), ("x", 2), ("01", 3)] {
            assert_eq!(packed_bytes(&Value::String(text.as_bytes()), true), bytes, "{text}");
        }
        assert_eq!(packed_bytes(&Value::String(&[b'a'; 1000]), false), 1002);
        assert!(packed_bytes(&Value::String(&[b'a'; 1000]), true) < 40);
    }
}
