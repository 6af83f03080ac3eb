//! Bytes to read: a buffer over any reader that knows its offset and keeps a checksum.
//!
//! Invariants: `hashed <= at <= end <= buffer.len()`; `buffer[at..end]` is not read yet; `checksum` covers what was
//! read up to `hashed` since checksumming began. What a length promises is read in pieces, so a damaged length takes no
//! more memory than there are bytes.

use std::io::{ErrorKind, Read};

use super::error::{Fault, RdbError};
use crate::base::crc64::crc64;

/// Bytes read from a file at a time.
const BUFFER_BYTES: usize = 128 * 1024;
/// What a string's length is trusted for before its bytes are there.
const TRUSTED_BYTES_MAX: u64 = 1024 * 1024;

pub struct Source<R> {
    from: R,
    buffer: Box<[u8]>,
    at: usize,
    end: usize,
    /// Offset of the buffer's first byte.
    base: u64,
    hashing: bool,
    hashed: usize,
    checksum: u64,
    /// The longest string that is taken.
    string_bytes_max: u64,
    /// For strings on their way to being unpacked.
    pub(super) packed: Vec<u8>,
}

impl<R: Read> Source<R> {
    pub fn new(from: R, string_bytes_max: u64) -> Source<R> {
        Source::with_buffer(from, BUFFER_BYTES, string_bytes_max)
    }

    fn with_buffer(from: R, buffer_bytes: usize, string_bytes_max: u64) -> Source<R> {
        let buffer = vec![0; buffer_bytes].into();
        let packed = Vec::new();
        Source {
            from,
            buffer,
            at: 0,
            end: 0,
            base: 0,
            hashing: false,
            hashed: 0,
            checksum: 0,
            string_bytes_max,
            packed,
        }
    }

    /// Offset of the next byte.
    pub fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    pub fn error(&self, fault: Fault) -> RdbError {
        RdbError { offset: self.offset(), fault }
    }

    /// Starts a checksum here.
    pub fn start_checksum(&mut self) {
        (self.hashing, self.hashed, self.checksum) = (true, self.at, 0);
    }

    /// The checksum of what was read since it was started. It ends here.
    pub fn end_checksum(&mut self) -> u64 {
        self.hash();
        self.hashing = false;
        self.checksum
    }

    fn hash(&mut self) {
        if self.hashing {
            self.checksum = crc64(self.checksum, &self.buffer[self.hashed..self.at]);
        }
        self.hashed = self.at;
    }

    /// Reads more behind what the buffer holds; false at the end.
    fn read_more(&mut self) -> Result<bool, RdbError> {
        loop {
            match self.from.read(&mut self.buffer[self.end..]) {
                Ok(bytes) => {
                    self.end += bytes;
                    return Ok(bytes > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let offset = self.base + self.end as u64;
                    return Err(RdbError { offset, fault: Fault::Io(error) });
                }
            }
        }
    }

    /// Makes at least one byte available; false at the end.
    fn fill(&mut self) -> Result<bool, RdbError> {
        if self.at < self.end {
            return Ok(true);
        }
        self.hash();
        self.base += self.at as u64;
        (self.at, self.end, self.hashed) = (0, 0, 0);
        self.read_more()
    }

    fn require(&mut self) -> Result<(), RdbError> {
        if self.fill()? { Ok(()) } else { Err(self.error(Fault::Truncated)) }
    }

    /// Whether nothing follows.
    pub fn is_at_end(&mut self) -> Result<bool, RdbError> {
        Ok(!self.fill()?)
    }

    /// Whether the first bytes of all are these. To be asked before anything is read.
    pub fn begins_with(&mut self, bytes: &[u8]) -> Result<bool, RdbError> {
        debug_assert!(self.offset() == 0 && bytes.len() <= self.buffer.len());
        while self.end < bytes.len() && self.read_more()? {}
        Ok(self.buffer[..self.end].starts_with(bytes))
    }

    #[inline]
    pub fn byte(&mut self) -> Result<u8, RdbError> {
        if self.at == self.end {
            self.require()?;
        }
        self.at += 1;
        Ok(self.buffer[self.at - 1])
    }

    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], RdbError> {
        let mut bytes = [0; N];
        if let Some(here) = self.buffer[self.at..self.end].get(..N) {
            bytes.copy_from_slice(here);
            self.at += N;
        } else {
            for byte in &mut bytes {
                *byte = self.byte()?;
            }
        }
        Ok(bytes)
    }

    /// Refuses a string's length that is out of bounds.
    pub fn check_string_bytes(&self, bytes: u64) -> Result<(), RdbError> {
        match self.string_bytes_max {
            bytes_max if bytes > bytes_max => Err(self.error(Fault::TooLong { bytes, bytes_max })),
            _ => Ok(()),
        }
    }

    /// Adds the next `len` bytes to `out`.
    pub fn append(&mut self, len: u64, out: &mut Vec<u8>) -> Result<(), RdbError> {
        self.check_string_bytes(len)?;
        out.reserve(len.min(TRUSTED_BYTES_MAX) as usize);
        let mut left = len;
        while left > 0 {
            self.require()?;
            let piece = left.min((self.end - self.at) as u64) as usize;
            out.extend_from_slice(&self.buffer[self.at..self.at + piece]);
            self.at += piece;
            left -= piece as u64;
        }
        Ok(())
    }
}

impl<'a> Source<&'a [u8]> {
    /// Over bytes in memory, with no larger a buffer than they need.
    pub fn of_bytes(bytes: &'a [u8], string_bytes_max: u64) -> Source<&'a [u8]> {
        Source::with_buffer(bytes, bytes.len().clamp(1, BUFFER_BYTES), string_bytes_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at each call, and an interruption before each.
    struct Slowly<'a>(&'a [u8], bool);

    impl Read for Slowly<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            self.1 = !self.1;
            if self.1 { Err(ErrorKind::Interrupted.into()) } else { self.0.read(&mut out[..1]) }
        }
    }

    #[test]
    fn reading_in_pieces() {
        let bytes: Vec<u8> = (0..=255).collect();
        for buffer_bytes in [8, 100, 1000] {
            let mut source = Source::with_buffer(Slowly(&bytes, false), buffer_bytes, 1000);
            assert!(source.begins_with(&[0, 1, 2]).unwrap() && !source.begins_with(&[1]).unwrap());
            assert_eq!(source.array::<2>().unwrap(), [0, 1]);
            source.start_checksum();
            let mut out = Vec::new();
            source.append(200, &mut out).unwrap();
            assert_eq!(out, bytes[2..202]);
            assert_eq!(source.byte().unwrap(), 202);
            assert_eq!(source.end_checksum(), crc64(0, &bytes[2..203]));
            assert_eq!(source.offset(), 203);
            assert!(matches!(source.append(1001, &mut out).unwrap_err().fault, Fault::TooLong { .. }));
            let error = source.append(1000, &mut out).unwrap_err();
            assert!(matches!(error.fault, Fault::Truncated) && error.offset == 256, "{error}");
            assert!(source.is_at_end().unwrap());
        }
    }
}
