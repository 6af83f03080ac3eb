//! Reads an RDB file, an event at a time.
//!
//! An event borrows from the reader until the next one is asked for, so that a file of millions of keys is read without
//! an allocation for each. After an error the file cannot be read on; what came before it was whole, but only
//! [`Event::End`] says that the checksum was right.

use std::io::Read;

use super::error::{Fault, RdbError};
use super::format::{CHECKSUM_BYTES, MAGIC, SavedKey, VERSION_DIGITS, VERSION_MAX, VERSION_WITH_CHECKSUM, opcode};
use super::source::Source;
use super::value::{self, ValueBuffer};
use crate::base::number::parse_u64;
use crate::store::limits::Limits;

#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    /// How collections that are read are kept.
    pub limits: Limits,
    /// `rdbchecksum`. A file that was written without a checksum is read either way.
    pub checksum: bool,
    /// The longest string that is taken for one, so that a damaged length does not take the memory of all that follows.
    /// No shorter than `proto-max-bulk-len` was when the file was written.
    pub string_bytes_max: u64,
}

impl Default for ReadOptions {
    fn default() -> Self {
        ReadOptions { checksum: true, string_bytes_max: 512 << 20, limits: Limits::default() }
    }
}

#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub enum Event<'a> {
    /// Something about the file. Unknown names are to be ignored.
    Aux {
        name: &'a [u8],
        value: &'a [u8],
    },
    /// The keys that follow are those of this database.
    SelectDb(u64),
    /// How many keys the database has.
    ResizeDb {
        keys: u64,
        expiring: u64,
    },
    /// How many keys of a slot follow.
    SlotInfo {
        slot: u64,
        keys: u64,
        expiring: u64,
    },
    Key(SavedKey<'a>),
    /// The code of a library of functions.
    Library(&'a [u8]),
    /// The file was whole. Nothing comes after it.
    End,
}

pub struct RdbReader<R> {
    source: Source<R>,
    options: ReadOptions,
    version: u32,
    done: bool,
    /// A key's name, or that of an auxiliary field.
    name: Vec<u8>,
    aux: Vec<u8>,
    value: ValueBuffer,
}

/// What precedes a key.
#[derive(Default)]
struct Attributes {
    expiry_ms: Option<u64>,
    idle_seconds: Option<u64>,
    frequency: Option<u8>,
}

/// A time of the file. Those before 1970 are all the same: long past. All bits set means that there is none.
fn expiry(time: i64, unit_ms: i64) -> Option<u64> {
    (time != -1).then(|| u64::try_from(time.saturating_mul(unit_ms)).unwrap_or(0))
}

impl<R: Read> RdbReader<R> {
    /// Reads the file's first bytes.
    pub fn new(from: R, options: ReadOptions) -> Result<RdbReader<R>, RdbError> {
        RdbReader::over(Source::new(from, options.string_bytes_max), options)
    }

    /// Reads on from a source that stands before a file.
    pub(super) fn over(mut source: Source<R>, options: ReadOptions) -> Result<RdbReader<R>, RdbError> {
        source.start_checksum();
        let offset = source.offset();
        let begin = source.array::<{ MAGIC.len() + VERSION_DIGITS }>();
        let version = begin.as_ref().ok().and_then(|begin| begin.strip_prefix(MAGIC)).and_then(parse_u64);
        let version = match (begin.err(), version) {
            (None, Some(version)) => version as u32,
            (Some(RdbError { fault: Fault::Io(error), offset }), _) => {
                return Err(RdbError { offset, fault: Fault::Io(error) });
            }
            _ => return Err(RdbError { offset, fault: Fault::NotRdb }),
        };
        if version == 0 || version > VERSION_MAX {
            return Err(RdbError { offset, fault: Fault::Version(version) });
        }
        let (name, aux) = (Vec::new(), Vec::new());
        let value = ValueBuffer::with_limits(options.limits);
        Ok(RdbReader { source, options, version, done: false, name, aux, value })
    }

    pub fn version(&self) -> u32 {
        self.version
    }

    /// Offset of what the next event is read from.
    pub fn offset(&self) -> u64 {
        self.source.offset()
    }

    /// Whether the end was reached.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// What follows the file.
    pub(super) fn into_source(self) -> Source<R> {
        self.source
    }

    /// The next event. After the end it is the end again.
    #[allow(clippy::should_implement_trait, reason = "an iterator's items cannot borrow from it")]
    pub fn next(&mut self) -> Result<Event<'_>, RdbError> {
        if self.done {
            return Ok(Event::End);
        }
        let mut attributes = Attributes::default();
        let (offset, type_byte) = loop {
            let offset = self.source.offset();
            let source = &mut self.source;
            match source.byte()? {
                opcode::AUX => {
                    source.string(&mut self.name)?;
                    source.string(&mut self.aux)?;
                    return Ok(Event::Aux { name: &self.name, value: &self.aux });
                }
                opcode::SELECT_DB => return Ok(Event::SelectDb(source.length()?)),
                opcode::RESIZE_DB => {
                    return Ok(Event::ResizeDb { keys: source.length()?, expiring: source.length()? });
                }
                opcode::SLOT_INFO => {
                    let (slot, keys, expiring) = (source.length()?, source.length()?, source.length()?);
                    return Ok(Event::SlotInfo { slot, keys, expiring });
                }
                opcode::EXPIRY_MS => attributes.expiry_ms = expiry(i64::from_le_bytes(source.array()?), 1),
                opcode::EXPIRY => {
                    attributes.expiry_ms = expiry(i64::from(i32::from_le_bytes(source.array()?)), 1000);
                }
                opcode::IDLE => attributes.idle_seconds = Some(source.length()?),
                opcode::FREQUENCY => attributes.frequency = Some(source.byte()?),
                opcode::FUNCTION => {
                    source.string(&mut self.aux)?;
                    return Ok(Event::Library(&self.aux));
                }
                opcode::FUNCTION_EARLY => {
                    return Err(RdbError {
                        offset,
                        fault: Fault::Unsupported("a library of functions of a release candidate".into()),
                    });
                }
                opcode::MODULE_AUX => {
                    let what = format!("data of the module '{}'", module_name(source.length()?));
                    return Err(RdbError { offset, fault: Fault::Unsupported(what) });
                }
                opcode::END => {
                    self.end()?;
                    return Ok(Event::End);
                }
                type_byte => break (offset, type_byte),
            }
        };
        // What is no type of a value has no key either: the bytes that follow are anything.
        match value::type_name(type_byte) {
            Some(_) => self.source.string(&mut self.name)?,
            None => self.name.clear(),
        }
        let value = value::read(&mut self.source, type_byte, &self.name, offset, &mut self.value)?;
        let Attributes { expiry_ms, idle_seconds, frequency } = attributes;
        Ok(Event::Key(SavedKey { key: &self.name, value, expiry_ms, idle_seconds, frequency }))
    }

    fn end(&mut self) -> Result<(), RdbError> {
        let computed = self.source.end_checksum();
        if self.version >= VERSION_WITH_CHECKSUM {
            let offset = self.source.offset();
            let stored = u64::from_le_bytes(self.source.array::<CHECKSUM_BYTES>()?);
            if self.options.checksum && stored != 0 && stored != computed {
                return Err(RdbError { offset, fault: Fault::Checksum { stored, computed } });
            }
        }
        self.done = true;
        Ok(())
    }
}

/// The name in a module's id: nine characters of six bits above ten bits of version.
fn module_name(id: u64) -> String {
    const CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..9).map(|index| CHARACTERS[(id >> (58 - 6 * index)) as usize & 0x3f] as char).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::crc64::crc64;
    use crate::rdb::{RdbWriter, Value, WriteOptions};

    /// Events as lines, the error last.
    fn story(bytes: &[u8], options: ReadOptions) -> Vec<String> {
        let mut lines = Vec::new();
        let mut reader = match RdbReader::new(bytes, options) {
            Ok(reader) => reader,
            Err(error) => return vec![error.to_string()],
        };
        loop {
            lines.push(match reader.next() {
                Ok(Event::Aux { name, value }) => format!("{} = {}", name.escape_ascii(), value.escape_ascii()),
                Ok(Event::Key(saved)) => {
                    let Value::String(value) = saved.value else { panic!("not a string") };
                    let mut line = format!("{}: {}", saved.key.escape_ascii(), value.escape_ascii());
                    line += &saved.expiry_ms.map_or(String::new(), |expiry_ms| format!(" until {expiry_ms}"));
                    line += &saved.idle_seconds.map_or(String::new(), |idle| format!(" idle {idle}"));
                    line + &saved.frequency.map_or(String::new(), |frequency| format!(" used {frequency}"))
                }
                Ok(Event::Library(code)) => format!("library {}", code.escape_ascii()),
                Ok(Event::End) => break,
                Ok(other) => format!("{other:?}"),
                Err(error) => {
                    lines.push(error.to_string());
                    return lines;
                }
            });
        }
        assert!(reader.is_done() && reader.next().unwrap() == Event::End);
        lines
    }

    fn read(bytes: &[u8]) -> Vec<String> {
        story(bytes, ReadOptions::default())
    }

    fn written(options: WriteOptions) -> Vec<u8> {
        let mut writer = RdbWriter::new(Vec::new(), options).unwrap();
        writer.header(1_700_000_000, 1 << 40, true).unwrap();
        writer.select_db(0).unwrap();
        writer.resize_db(3, 2).unwrap();
        let text = b"again and ".repeat(10);
        writer.key(&SavedKey::new(b"a", Value::String(&text), None)).unwrap();
        writer.key(&SavedKey::new(b"77", Value::String(b"-5"), Some(u64::MAX >> 1))).unwrap();
        writer
            .key(&SavedKey {
                key: b"\0\xff",
                value: Value::String(b""),
                expiry_ms: Some(0),
                idle_seconds: Some(100_000),
                frequency: Some(255),
            })
            .unwrap();
        writer.select_db(1 << 40).unwrap();
        writer.key(&SavedKey::new(b"", Value::String(b"x"), None)).unwrap();
        let bytes = writer.bytes();
        let file = writer.finish().unwrap();
        assert_eq!(file.len() as u64, bytes + 9);
        file
    }

    #[test]
    fn round_trips() {
        let again = "again and ".repeat(10);
        let expected = [
            "redis-ver = 7.2.6",
            "redis-bits = 64",
            "ctime = 1700000000",
            "used-mem = 1099511627776",
            "aof-base = 1",
            "SelectDb(0)",
            "ResizeDb { keys: 3, expiring: 2 }",
            &format!("a: {again}"),
            "77: -5 until 9223372036854775807",
            "\\x00\\xff:  until 0 idle 100000 used 255",
            "SelectDb(1099511627776)",
            ": x",
        ];
        for options in [(true, true), (true, false), (false, true), (false, false)] {
            let file = written(WriteOptions { compression: options.0, checksum: options.1 });
            assert_eq!(read(&file), expected);
            assert!(file.starts_with(b"REDIS0010\xfa\x09redis-ver"));
            assert_eq!(file.ends_with(&[0; 8]), !options.1);
        }
    }

    #[test]
    fn every_byte_counts() {
        let file = written(WriteOptions::default());
        let whole = read(&file);
        for at in 0..file.len() {
            let cut = read(&file[..at]);
            let error = cut.last().unwrap();
            assert!(
                error.starts_with("RDB: ") && (at < 9 || error.ends_with(&format!("offset {at}"))),
                "{at}: {error}"
            );
            let mut damaged = file.clone();
            damaged[at] ^= 0x40;
            let damaged = read(&damaged);
            assert!(damaged != whole && damaged.last().unwrap().starts_with("RDB: "), "{at}: {damaged:?}");
        }
        let mut damaged = file.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(read(&damaged).last().unwrap().starts_with("RDB: the checksum at offset"));
        let unchecked = ReadOptions { checksum: false, ..ReadOptions::default() };
        assert_eq!(story(&damaged, unchecked), whole);
        assert_eq!(crc64(0, &file), 0, "the checksum of a file with its checksum");
    }

    #[test]
    fn opcodes_of_other_versions() {
        for (body, lines) in [
            (&b"\xf4\x05\x02\x01\x00\x01k\x01v"[..], &["SlotInfo { slot: 5, keys: 2, expiring: 1 }", "k: v"][..]),
            (b"\xfd\x02\x00\x00\x00\x00\x01k\x01v", &["k: v until 2000"]),
            (b"\xfd\xfe\xff\xff\xff\x00\x01k\x01v", &["k: v until 0"]),
            (b"\xfd\xff\xff\xff\xff\x00\x01k\x01v", &["k: v"]),
            (b"\xf5\x04code", &["library code"]),
            (b"\xf6\x04code", &["RDB: a library of functions of a release candidate at offset 9 is not supported yet"]),
            (
                b"\xfe\x00\xf7\x81\x48\xe1\x95\x37\xb5\x8e\x40\x00",
                &["SelectDb(0)", "RDB: data of the module 'SOGVN7WOQ' at offset 11 is not supported yet"],
            ),
            (
                b"\x00\x01k\x01v\x07\x01h",
                &["k: v", "RDB: value type 'module' of key \"h\" at offset 14 is not supported yet"],
            ),
            (b"\x08\x01h", &["RDB: value type 8 of key \"\" at offset 9 is unknown"]),
            (
                b"\x00\x01k\x81\x10\x00\x00\x00\x00\x00\x00\x00",
                &["RDB: a string of 1152921504606846976 bytes at offset 21, where at most 536870912 are allowed"],
            ),
        ] {
            let file = [b"REDIS0012", body, b"\xff\0\0\0\0\0\0\0\0"].concat();
            assert_eq!(read(&file), lines);
        }
        // Versions below 5 end without a checksum.
        assert_eq!(read(b"REDIS0004\x00\x01k\x01v\xff"), ["k: v"]);
        assert_eq!(read(b"REDIS0005\xff"), ["RDB: ends in the middle, at offset 10"]);
        for (file, error) in [
            (&b"REDIS0013\xff"[..], "RDB: version 13 is not among 1 to 12, which are read"),
            (b"REDIS0000\xff", "RDB: version 0 is not among 1 to 12, which are read"),
            (b"REDIS+010\xff", "RDB: no RDB file begins at offset 0"),
            (b"REDIS", "RDB: no RDB file begins at offset 0"),
            (b"", "RDB: no RDB file begins at offset 0"),
        ] {
            assert_eq!(read(file), [error]);
        }
    }
}
