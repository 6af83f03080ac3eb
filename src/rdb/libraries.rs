//! Libraries of functions as FUNCTION DUMP gives them and FUNCTION RESTORE takes them.
//!
//! ```text
//! for each library: opcode FUNCTION | code: a string
//! RDB version, 2 bytes | CRC64 of all before, 8 bytes; both little-endian
//! ```

use super::format::opcode;
use super::packed::Packer;
use super::payload::{seal, verify};
use super::source::Source;

/// Why a payload is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LibrariesError {
    VersionOrChecksum,
    /// Something else stands where a library should.
    NoLibrary,
    Format,
}

pub fn encode<'a>(codes: impl Iterator<Item = &'a [u8]>, compress: bool) -> Vec<u8> {
    const INFALLIBLE: &str = "memory takes what is written to it";
    let mut packer = Packer::new(Vec::new(), compress);
    for code in codes {
        packer.byte(opcode::FUNCTION).expect(INFALLIBLE);
        packer.string(code).expect(INFALLIBLE);
    }
    seal(packer.to)
}

/// The code of each library.
pub fn decode(payload: &[u8]) -> Result<Vec<Vec<u8>>, LibrariesError> {
    let body = verify(payload).ok_or(LibrariesError::VersionOrChecksum)?;
    let mut source = Source::of_bytes(body, 512 << 20);
    let mut codes = Vec::new();
    while !source.is_at_end().map_err(|_| LibrariesError::Format)? {
        match source.byte() {
            Ok(opcode::FUNCTION) => {}
            Ok(_) => return Err(LibrariesError::NoLibrary),
            Err(_) => return Err(LibrariesError::Format),
        }
        let mut code = Vec::new();
        source.string(&mut code).map_err(|_| LibrariesError::Format)?;
        codes.push(code);
    }
    Ok(codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        let codes: [&[u8]; 3] = [b"#!lua name=a\n", &[b'x'; 100_000], b""];
        let payload = encode(codes.iter().copied(), true);
        assert_eq!(decode(&payload).unwrap(), codes);
        assert_eq!(decode(&encode(std::iter::empty(), true)).unwrap(), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn damage() {
        let payload = encode([&b"#!lua name=a\n"[..]].into_iter(), true);
        for cut in 0..payload.len() {
            assert_eq!(decode(&payload[..cut]), Err(LibrariesError::VersionOrChecksum), "{cut}");
        }
        assert_eq!(decode(&seal(b"\x00\x01a".to_vec())), Err(LibrariesError::NoLibrary));
        assert_eq!(decode(&seal(b"\xf5\x05a".to_vec())), Err(LibrariesError::Format));
    }
}
