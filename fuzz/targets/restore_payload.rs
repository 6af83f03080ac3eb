//! Fuzz target: what a client may hand to RESTORE, and what DUMP makes of any value.
//!
//! What must hold of every input:
//! - no panic, and no value larger than the bytes at hand could stand for;
//! - with a right trailer or without, a payload gives a value or an error;
//! - a value that was taken gives a payload that gives the value again; so does the input itself, as a value.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The codec's own files rather than the whole crate: its dependencies would take minutes to build with these flags.
#[path = "../../src"]
#[allow(dead_code)]
mod base {
    #[path = "base/crc64.rs"]
    pub mod crc64;
    #[path = "base/number.rs"]
    pub mod number;
    #[path = "base/quoting.rs"]
    pub mod quoting;
    #[path = "base/version.rs"]
    pub mod version;
}
#[path = "../../src/rdb/mod.rs"]
#[allow(dead_code, unused_imports)]
mod rdb;

use rdb::Value;
use rdb::payload::{PayloadBuffer, PayloadError, decode, encode};

/// What one compressed byte may stand for, at most.
const GROWTH_MAX: usize = 88;
const STRING_BYTES_MAX: u64 = 1 << 20;

/// A round trip of a value through a payload.
fn check_value(value: &[u8]) {
    for compressing in [false, true] {
        let payload = encode(Value::String(value), compressing);
        let mut buffer = PayloadBuffer::default();
        assert_eq!(decode(&payload, STRING_BYTES_MAX, &mut buffer), Ok(Value::String(value)));
        assert!(payload.len() <= value.len() + 1 + 5 + 10);
    }
}

fuzz_target!(|data: &[u8]| {
    let mut buffer = PayloadBuffer::default();
    let _ = decode(data, STRING_BYTES_MAX, &mut buffer);
    check_value(data);

    let mut sealed = [data, &10u16.to_le_bytes()].concat();
    sealed.extend_from_slice(&base::crc64::crc64(0, &sealed).to_le_bytes());
    match decode(&sealed, STRING_BYTES_MAX, &mut buffer) {
        Ok(Value::String(value)) => {
            assert!(value.len() <= data.len() * GROWTH_MAX);
            let value = value.to_vec();
            check_value(&value);
        }
        Err(error) => assert_ne!(error, PayloadError::VersionOrChecksum),
    }
});
