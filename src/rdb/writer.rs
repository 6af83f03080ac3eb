//! Writes an RDB file, a key at a time.
//!
//! The caller gives header, databases and keys in the order in which they stand in the file (`format` says which), and
//! ends with [`RdbWriter::finish`]. Bytes are gathered before they are written; nothing is synced.

use std::io::{self, Write};

use super::format::{MAGIC, SavedKey, VERSION_DIGITS, VERSION_WRITTEN, opcode};
use super::packed::Packer;
use super::sink::Sink;
use super::value;
use crate::base::number::Decimal;
use crate::base::version::REDIS_VERSION;

/// `rdbcompression` and `rdbchecksum`.
#[derive(Clone, Copy, Debug)]
pub struct WriteOptions {
    pub compression: bool,
    pub checksum: bool,
}

impl Default for WriteOptions {
    fn default() -> Self {
        WriteOptions { compression: true, checksum: true }
    }
}

pub struct RdbWriter<W> {
    packer: Packer<Sink<W>>,
}

impl<W: Write> RdbWriter<W> {
    pub fn new(to: W, options: WriteOptions) -> io::Result<RdbWriter<W>> {
        let mut packer = Packer::new(Sink::new(to, options.checksum), options.compression);
        packer.to.write_all(MAGIC)?;
        write!(packer.to, "{VERSION_WRITTEN:0VERSION_DIGITS$}")?;
        Ok(RdbWriter { packer })
    }

    /// What Redis writes about every file.
    pub fn header(&mut self, created_seconds: u64, used_memory_bytes: u64, append_only_base: bool) -> io::Result<()> {
        let number = |number: u64| Decimal::new(i64::try_from(number).unwrap_or(i64::MAX));
        self.aux(b"redis-ver", REDIS_VERSION.as_bytes())?;
        self.aux(b"redis-bits", b"64")?;
        self.aux(b"ctime", number(created_seconds).as_bytes())?;
        self.aux(b"used-mem", number(used_memory_bytes).as_bytes())?;
        self.aux(b"aof-base", if append_only_base { b"1" } else { b"0" })
    }

    pub fn aux(&mut self, name: &[u8], value: &[u8]) -> io::Result<()> {
        self.packer.byte(opcode::AUX)?;
        self.packer.string(name)?;
        self.packer.string(value)
    }

    /// A library of functions. They stand before the first database.
    pub fn library(&mut self, code: &[u8]) -> io::Result<()> {
        self.packer.byte(opcode::FUNCTION)?;
        self.packer.string(code)
    }

    /// Begins the keys of a database.
    pub fn select_db(&mut self, db: u64) -> io::Result<()> {
        self.packer.byte(opcode::SELECT_DB)?;
        self.packer.length(db)
    }

    /// Says how many keys the database has, so that a reader can make room.
    pub fn resize_db(&mut self, keys: u64, expiring: u64) -> io::Result<()> {
        self.packer.byte(opcode::RESIZE_DB)?;
        self.packer.length(keys)?;
        self.packer.length(expiring)
    }

    pub fn key(&mut self, saved: &SavedKey<'_>) -> io::Result<()> {
        let packer = &mut self.packer;
        if let Some(expiry_ms) = saved.expiry_ms {
            packer.byte(opcode::EXPIRY_MS)?;
            packer.to.write_all(&expiry_ms.to_le_bytes())?;
        }
        if let Some(idle_seconds) = saved.idle_seconds {
            packer.byte(opcode::IDLE)?;
            packer.length(idle_seconds)?;
        }
        if let Some(frequency) = saved.frequency {
            packer.to.write_all(&[opcode::FREQUENCY, frequency])?;
        }
        packer.byte(saved.value.type_byte())?;
        packer.string(saved.key)?;
        value::write(packer, &saved.value)
    }

    /// Bytes that the file has so far.
    pub fn bytes(&self) -> u64 {
        self.packer.to.bytes()
    }

    /// Ends the file and gives the writer back, flushed.
    pub fn finish(self) -> io::Result<W> {
        let mut sink = self.packer.to;
        sink.write_all(&[opcode::END])?;
        let checksum = sink.checksum()?;
        sink.write_all(&checksum.to_le_bytes())?;
        sink.finish()
    }
}
