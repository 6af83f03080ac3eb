//! Bytes to write: a buffer before any writer that keeps a checksum of what went through it.

use std::io::{self, Write};

use crate::base::crc64::crc64;

/// Bytes that are gathered for one write.
const BUFFER_BYTES: usize = 256 * 1024;

pub struct Sink<W> {
    to: W,
    buffer: Vec<u8>,
    /// Of what has left the buffer; `None` where nobody wants one.
    checksum: Option<u64>,
    /// Bytes that have left the buffer.
    written: u64,
}

impl<W: Write> Sink<W> {
    pub fn new(to: W, checksummed: bool) -> Sink<W> {
        Sink { to, buffer: Vec::with_capacity(BUFFER_BYTES), checksum: checksummed.then_some(0), written: 0 }
    }

    /// Bytes that were written so far, those in the buffer among them.
    pub fn bytes(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// The checksum of all that was written so far; zero where there is none.
    pub fn checksum(&mut self) -> io::Result<u64> {
        self.empty()?;
        Ok(self.checksum.unwrap_or(0))
    }

    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(checksum) = &mut self.checksum {
            *checksum = crc64(*checksum, bytes);
        }
        self.written += bytes.len() as u64;
        self.to.write_all(bytes)
    }

    fn empty(&mut self) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let done = self.pass(&buffer);
        buffer.clear();
        self.buffer = buffer;
        done
    }

    /// Ends writing and gives the writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.empty()?;
        self.to.flush()?;
        Ok(self.to)
    }
}

impl<W: Write> Write for Sink<W> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.empty()?;
            if bytes.len() > BUFFER_BYTES / 2 {
                return self.pass(bytes);
            }
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.empty()?;
        self.to.flush()
    }
}
