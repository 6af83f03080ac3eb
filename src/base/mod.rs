//! The ground floor: time, entropy, hashing, numbers. No other room reads the clock or the system's randomness.

pub mod clock;
pub mod crc64;
pub mod digest;
pub mod double;
pub mod glob;
pub mod hash;
pub mod key_slot;
pub mod long_double;
pub mod lzf;
pub mod memory;
pub mod moment;
pub mod number;
pub mod process;
pub mod process_title;
pub mod quoting;
pub mod random;
pub mod sha1;
pub mod turns;
pub mod version;
