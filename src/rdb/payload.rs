//! One value as DUMP gives it and RESTORE takes it.
//!
//! ```text
//! type byte | value | RDB version, 2 bytes | CRC64 of all before, 8 bytes; both little-endian
//! ```

use super::error::Fault;
use super::format::{CHECKSUM_BYTES, VERSION_MAX, VERSION_WRITTEN};
use super::packed::Packer;
use super::source::Source;
use super::value::{self, Value, ValueBuffer};
use crate::base::crc64::crc64;
use crate::store::limits::Limits;

const VERSION_BYTES: usize = 2;

/// Why a payload is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadError {
    VersionOrChecksum,
    Format,
    /// A type of value that Redis knows and Cairn does not yet.
    UnsupportedType(&'static str),
}

/// What a payload that is read is kept in.
#[derive(Default)]
pub struct PayloadBuffer(ValueBuffer);

impl PayloadBuffer {
    /// A buffer for values whose collections are kept within these limits.
    pub fn with_limits(limits: Limits) -> PayloadBuffer {
        PayloadBuffer(ValueBuffer::with_limits(limits))
    }
}

/// The payload of a value.
pub fn encode(value: Value<'_>, compressing: bool) -> Vec<u8> {
    let mut packer = Packer::new(vec![value.type_byte()], compressing);
    value::write(&mut packer, &value).expect("memory takes what is written to it");
    seal(packer.to)
}

/// Puts version and checksum behind what a payload holds.
pub(super) fn seal(mut payload: Vec<u8>) -> Vec<u8> {
    payload.extend_from_slice(&VERSION_WRITTEN.to_le_bytes());
    payload.extend_from_slice(&crc64(0, &payload).to_le_bytes());
    payload
}

/// What a payload holds whose version and checksum are right.
pub(super) fn verify(payload: &[u8]) -> Option<&[u8]> {
    let (checked, checksum) = payload.split_last_chunk::<CHECKSUM_BYTES>()?;
    let (body, version) = checked.split_last_chunk::<VERSION_BYTES>()?;
    let known = u32::from(u16::from_le_bytes(*version)) <= VERSION_MAX;
    (known && crc64(0, checked) == u64::from_le_bytes(*checksum)).then_some(body)
}

/// The same payload with the checksum that it should have.
pub fn resealed(payload: &[u8]) -> Vec<u8> {
    let checked = payload.split_last_chunk::<CHECKSUM_BYTES>().map_or(payload, |(checked, _)| checked);
    [checked, &crc64(0, checked).to_le_bytes()].concat()
}

/// The value of a payload. Like Redis it does not mind bytes between the value and the version. No string of it may be
/// longer than `string_bytes_max`.
pub fn decode<'a>(
    payload: &[u8],
    string_bytes_max: u64,
    buffer: &'a mut PayloadBuffer,
) -> Result<Value<'a>, PayloadError> {
    let body = verify(payload).ok_or(PayloadError::VersionOrChecksum)?;
    let mut source = Source::of_bytes(body, string_bytes_max);
    let read = source.byte().and_then(|type_byte| value::read(&mut source, type_byte, b"", 0, &mut buffer.0));
    read.map_err(|error| match error.fault {
        Fault::UnsupportedType { name, .. } => PayloadError::UnsupportedType(name),
        _ => PayloadError::Format,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A payload with a right trailer around any body.
    fn sealed(body: &[u8], version: u16) -> Vec<u8> {
        let mut payload = [body, &version.to_le_bytes()].concat();
        payload.extend_from_slice(&crc64(0, &payload).to_le_bytes());
        payload
    }

    fn decoded(payload: &[u8]) -> Result<Vec<u8>, PayloadError> {
        decode(payload, 1000, &mut PayloadBuffer::default()).map(|value| match value {
            Value::String(bytes) => bytes.to_vec(),
            _ => panic!("not a string"),
        })
    }

    #[test]
    fn round_trips() {
        let long: Vec<u8> = b"words, words. ".repeat(50);
        for value in [&b""[..], b"x", b"12345", &long] {
            for compressing in [false, true] {
                assert_eq!(decoded(&encode(Value::String(value), compressing)).as_deref(), Ok(value));
            }
        }
        assert!(encode(Value::String(&long), true).len() < encode(Value::String(&long), false).len());
        assert_eq!(encode(Value::String(b"hi"), true), sealed(b"\x00\x02hi", 10));
        assert_eq!(decoded(&sealed(b"\x00\x02hi and more", 12)).as_deref(), Ok(&b"hi"[..]));
    }

    #[test]
    fn what_is_refused() {
        let payload = encode(Value::String(b"hello"), true);
        for at in 0..payload.len() {
            let mut damaged = payload.clone();
            damaged[at] ^= 4;
            assert_eq!(decoded(&damaged), Err(PayloadError::VersionOrChecksum), "byte {at}");
            assert_eq!(decoded(&payload[..at]), Err(PayloadError::VersionOrChecksum), "{at} bytes");
        }
        assert_eq!(decoded(&sealed(b"\x00\x02hi", 13)), Err(PayloadError::VersionOrChecksum));
        for body in [&b""[..], b"\x00", b"\x00\x03hi", b"\x08", b"\xff", b"\x00\xc3\x02\x03\x00a", b"\x00\x50\x00"] {
            assert_eq!(decoded(&sealed(body, 10)), Err(PayloadError::Format), "{body:?}");
        }
        assert_eq!(decoded(&sealed(b"\x07\x00", 10)), Err(PayloadError::UnsupportedType("module")));
    }
}
