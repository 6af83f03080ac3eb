//! Fuzz target: what a client may hand to RESTORE, and what DUMP makes of any value.
//!
//! What must hold of every input:
//! - no panic, and no string larger than the bytes at hand could stand for;
//! - with a right trailer or without, a payload gives a value or an error;
//! - a value that was taken gives a payload that gives the value again; so does the input itself, as a string.
#![no_main]

use cairn::base::crc64::crc64;
use cairn::engine::saved::{entry_of, value_of};
use cairn::rdb::Value;
use cairn::rdb::payload::{PayloadBuffer, PayloadError, decode, encode};
use cairn::store::digest::of_value;
use cairn::store::{Entry, StringForm};
use libfuzzer_sys::fuzz_target;

/// What one compressed byte may stand for, at most.
const GROWTH_MAX: usize = 88;
const STRING_BYTES_MAX: u64 = 1 << 20;

/// A round trip of an entry's value through a payload.
fn check_value(entry: &Entry) {
    for compressing in [false, true] {
        let payload = encode(value_of(entry.view()), compressing);
        let mut buffer = PayloadBuffer::default();
        let value = decode(&payload, STRING_BYTES_MAX, &mut buffer).expect("what was encoded is decoded");
        let again = entry_of(b"key", value, None, 0);
        assert_eq!(format!("{:?}", of_value(again.view())), format!("{:?}", of_value(entry.view())));
    }
}

fuzz_target!(|data: &[u8]| {
    let mut buffer = PayloadBuffer::default();
    let _ = decode(data, STRING_BYTES_MAX, &mut buffer);
    check_value(&Entry::new(b"key", data, None, StringForm::Auto, 0));

    let mut sealed = [data, &10u16.to_le_bytes()].concat();
    sealed.extend_from_slice(&crc64(0, &sealed).to_le_bytes());
    match decode(&sealed, STRING_BYTES_MAX, &mut buffer) {
        Ok(value) => {
            if let Value::String(text) = value {
                assert!(text.len() <= data.len() * GROWTH_MAX);
            }
            check_value(&entry_of(b"key", value, None, 0));
        }
        Err(error) => assert_ne!(error, PayloadError::VersionOrChecksum),
    }
});
