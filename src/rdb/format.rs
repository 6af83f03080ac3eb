//! The RDB file format, in numbers.
//!
//! ```text
//! "REDIS" and four digits: the version
//! then, each begun by its opcode, and lengths and strings as `packed` says:
//!   AUX            name, value: two strings
//!   SELECT_DB      number of the database of what follows: a length
//!   RESIZE_DB      keys in it, those that expire among them: two lengths
//!   SLOT_INFO      slot, keys in it, those that expire among them: three lengths
//!   FUNCTION       library: a string; MODULE_AUX: id of a module, its data
//!   a key          [EXPIRY_MS 8 bytes | EXPIRY 4 bytes] [IDLE length | FREQUENCY byte] type byte, key: a string, value
//! END, and from version 5 on 8 bytes of checksum (CRC64) over all that stands before; zero says that none was made
//! ```
//! Numbers of fixed size are little-endian; lengths, for no reason, big-endian.

use super::Value;

pub const MAGIC: &[u8; 5] = b"REDIS";
/// Digits of the version in the header.
pub const VERSION_DIGITS: usize = 4;
/// What is written: the version of Redis 7.0, which every later one reads.
pub const VERSION_WRITTEN: u16 = 10;
/// The newest version that is read.
pub const VERSION_MAX: u32 = 12;
/// The oldest version that ends with a checksum.
pub const VERSION_WITH_CHECKSUM: u32 = 5;
pub const CHECKSUM_BYTES: usize = 8;

/// Tells a replica which database the replication stream has selected where it goes on behind the file.
pub const SELECTED_DB: &[u8] = b"repl-stream-db";

/// Opcodes. Bytes below them are types of values.
pub mod opcode {
    pub const SLOT_INFO: u8 = 244;
    pub const FUNCTION: u8 = 245;
    /// Functions as release candidates of Redis 7.0 wrote them.
    pub const FUNCTION_EARLY: u8 = 246;
    pub const MODULE_AUX: u8 = 247;
    pub const IDLE: u8 = 248;
    pub const FREQUENCY: u8 = 249;
    pub const AUX: u8 = 250;
    pub const RESIZE_DB: u8 = 251;
    pub const EXPIRY_MS: u8 = 252;
    pub const EXPIRY: u8 = 253;
    pub const SELECT_DB: u8 = 254;
    pub const END: u8 = 255;
}

/// A key with its value and all that a file says about it.
#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub struct SavedKey<'a> {
    pub key: &'a [u8],
    pub value: Value<'a>,
    /// In Unix milliseconds.
    pub expiry_ms: Option<u64>,
    /// Seconds since it was last used, where the policy compares them.
    pub idle_seconds: Option<u64>,
    /// The access counter, where the policy compares those.
    pub frequency: Option<u8>,
}

impl<'a> SavedKey<'a> {
    pub fn new(key: &'a [u8], value: Value<'a>, expiry_ms: Option<u64>) -> SavedKey<'a> {
        SavedKey { key, value, expiry_ms, idle_seconds: None, frequency: None }
    }
}
