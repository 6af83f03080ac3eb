//! The reply writer: RESP2 and RESP3 onto one output buffer.
//!
//! Every method writes one complete element; aggregates announce their length and the caller writes that many elements
//! after. Where RESP2 lacks a type, the method writes what Redis writes for RESP2 clients.

use super::error::ReplyError;
use crate::base::number::{Decimal, INTEGER_DOUBLES_MAX, double_text};

/// Which protocol a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Protocol {
    #[default]
    Resp2,
    Resp3,
}

impl Protocol {
    pub fn number(self) -> i64 {
        match self {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        }
    }
}

/// Numbers below this have their header lines ready.
const SHORT_HEADERS: usize = 1024;
const SHORT_HEADER_BYTES: usize = 8;

/// `?N\r\n` for each short number, the length of the line in the last byte.
static SHORT_HEADERS_TEXT: [[u8; SHORT_HEADER_BYTES]; SHORT_HEADERS] = short_headers();

const fn short_headers() -> [[u8; SHORT_HEADER_BYTES]; SHORT_HEADERS] {
    let mut headers = [[0; SHORT_HEADER_BYTES]; SHORT_HEADERS];
    let mut number = 0;
    while number < SHORT_HEADERS {
        let digits = if number < 10 {
            1
        } else if number < 100 {
            2
        } else if number < 1000 {
            3
        } else {
            4
        };
        let (mut at, mut rest) = (digits, number);
        while at > 0 {
            headers[number][at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            at -= 1;
        }
        headers[number][digits + 1] = b'\r';
        headers[number][digits + 2] = b'\n';
        headers[number][SHORT_HEADER_BYTES - 1] = digits as u8 + 3;
        number += 1;
    }
    headers
}

/// Appends a request of these words: what this server asks of others, and tells replicas.
pub fn push_request(to: &mut Vec<u8>, words: &[impl AsRef<[u8]>]) {
    let mut writer = Reply::new(to, Protocol::Resp2);
    writer.array(words.len());
    words.iter().for_each(|word| writer.bulk(word.as_ref()));
}

/// Writes replies to the end of a buffer that its owner keeps.
#[derive(Debug)]
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    pub protocol: Protocol,
}

impl<'a> Reply<'a> {
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Reply<'a> {
        Reply { out, protocol }
    }

    /// Bytes in the buffer, earlier replies included.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Takes back everything after `len`, for a command that fails midway or whose reply is suppressed.
    pub fn truncate(&mut self, len: usize) {
        self.out.truncate(len);
    }

    /// What was written after `len`.
    pub fn written(&self, len: usize) -> &[u8] {
        &self.out[len..]
    }

    /// Takes everything after `len` out, for a reply that goes elsewhere.
    pub fn take_from(&mut self, len: usize) -> Vec<u8> {
        self.out.split_off(len)
    }

    /// Appends bytes that are a reply already.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    #[inline]
    fn header(&mut self, kind: u8, number: i64) {
        if (0..SHORT_HEADERS as i64).contains(&number) {
            let header = &SHORT_HEADERS_TEXT[number as usize];
            let end = self.out.len() + usize::from(header[SHORT_HEADER_BYTES - 1]);
            // A copy of constant length is a store; the bytes past the header are taken back.
            self.out.extend_from_slice(header);
            let start = self.out.len() - SHORT_HEADER_BYTES;
            self.out[start] = kind;
            self.out.truncate(end);
        } else {
            self.out.push(kind);
            self.out.extend_from_slice(Decimal::new(number).as_bytes());
            self.out.extend_from_slice(b"\r\n");
        }
    }

    #[inline]
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// A status line; `text` must hold no line end.
    pub fn simple(&mut self, text: &str) {
        self.out.push(b'+');
        self.out.extend_from_slice(text.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    #[inline]
    pub fn integer(&mut self, value: i64) {
        self.header(b':', value);
    }

    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + 32);
        self.header(b'$', bytes.len() as i64);
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    pub fn bulk_text(&mut self, text: &str) {
        self.bulk(text.as_bytes());
    }

    /// An integer as a bulk string.
    pub fn bulk_integer(&mut self, value: i64) {
        self.bulk(Decimal::new(value).as_bytes());
    }

    /// A bulk string, or null.
    pub fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    #[inline]
    pub fn null(&mut self) {
        match self.protocol {
            Protocol::Resp2 => self.out.extend_from_slice(b"$-1\r\n"),
            Protocol::Resp3 => self.out.extend_from_slice(b"_\r\n"),
        }
    }

    pub fn null_array(&mut self) {
        match self.protocol {
            Protocol::Resp2 => self.out.extend_from_slice(b"*-1\r\n"),
            Protocol::Resp3 => self.out.extend_from_slice(b"_\r\n"),
        }
    }

    #[inline]
    pub fn array(&mut self, length: usize) {
        self.header(b'*', length as i64);
    }

    /// Makes what was written from `start` on the `length` elements of an array.
    pub fn array_from(&mut self, start: usize, length: usize) {
        self.put_before(start, |reply| reply.array(length));
    }

    /// Makes what was written from `start` on the `pairs` keys and values of a map.
    pub fn map_from(&mut self, start: usize, pairs: usize) {
        self.put_before(start, |reply| reply.map(pairs));
    }

    /// Puts a bulk string in front of what was written from `start` on.
    pub fn bulk_from(&mut self, start: usize, bytes: &[u8]) {
        self.put_before(start, |reply| reply.bulk(bytes));
    }

    fn put_before(&mut self, start: usize, write: impl FnOnce(&mut Self)) {
        let end = self.out.len();
        write(self);
        let written = self.out.len() - end;
        self.out[start..].rotate_right(written);
    }

    /// `pairs` keys and values follow.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', 2 * pairs as i64),
            Protocol::Resp3 => self.header(b'%', pairs as i64),
        }
    }

    pub fn set(&mut self, length: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', length as i64),
            Protocol::Resp3 => self.header(b'~', length as i64),
        }
    }

    /// An out-of-band message; RESP2 clients see an array.
    pub fn push(&mut self, length: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', length as i64),
            Protocol::Resp3 => self.header(b'>', length as i64),
        }
    }

    pub fn boolean(&mut self, value: bool) {
        match self.protocol {
            Protocol::Resp2 => self.integer(i64::from(value)),
            Protocol::Resp3 => self.out.extend_from_slice(if value { b"#t\r\n" } else { b"#f\r\n" }),
        }
    }

    /// A floating point number with as few digits as tell it from others.
    pub fn double(&mut self, value: f64) {
        if value.trunc() == value && value.abs() <= INTEGER_DOUBLES_MAX && (value != 0.0 || value.is_sign_positive()) {
            match self.protocol {
                Protocol::Resp2 => self.bulk_integer(value as i64),
                Protocol::Resp3 => self.header(b',', value as i64),
            }
            return;
        }
        self.double_text(&double_text(value));
    }

    /// A floating point number that is written out already.
    pub fn double_text(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => {
                self.out.push(b',');
                self.out.extend_from_slice(text.as_bytes());
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// A text with its format (`txt` or `mkd`); RESP2 clients see a bulk string.
    pub fn verbatim(&mut self, format: &str, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.header(b'=', text.len() as i64 + 4);
                self.out.extend_from_slice(format.as_bytes());
                self.out.push(b':');
                self.out.extend_from_slice(text);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// A whole number of any size; RESP2 clients see a bulk string. `text` must hold no line end.
    pub fn big_number(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => {
                self.out.push(b'(');
                self.out.extend_from_slice(text.as_bytes());
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    pub fn error(&mut self, error: &ReplyError) {
        self.error_bytes(error.bytes());
    }

    pub fn error_text(&mut self, text: &str) {
        self.error_bytes(text.as_bytes());
    }

    /// An error line. Line ends inside (it may quote a client's argument) become spaces.
    pub fn error_bytes(&mut self, bytes: &[u8]) {
        self.out.push(b'-');
        self.out.extend(bytes.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
        self.out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl Fn(&mut Reply)) -> String {
        let mut out = Vec::new();
        write(&mut Reply::new(&mut out, protocol));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_type_in_both_protocols() {
        let both = |write: &dyn Fn(&mut Reply)| (written(Protocol::Resp2, write), written(Protocol::Resp3, write));
        assert_eq!(both(&|reply| reply.null()), ("$-1\r\n".into(), "_\r\n".into()));
        assert_eq!(both(&|reply| reply.null_array()), ("*-1\r\n".into(), "_\r\n".into()));
        assert_eq!(both(&|reply| reply.map(2)), ("*4\r\n".into(), "%2\r\n".into()));
        assert_eq!(both(&|reply| reply.set(2)), ("*2\r\n".into(), "~2\r\n".into()));
        assert_eq!(both(&|reply| reply.boolean(true)), (":1\r\n".into(), "#t\r\n".into()));
        assert_eq!(both(&|reply| reply.double(-7.0)), ("$2\r\n-7\r\n".into(), ",-7\r\n".into()));
        assert_eq!(both(&|reply| reply.double(-0.0)), ("$2\r\n-0\r\n".into(), ",-0\r\n".into()));
        assert_eq!(both(&|reply| reply.double(1e19)), ("$5\r\n1e+19\r\n".into(), ",1e+19\r\n".into()));
        assert_eq!(both(&|reply| reply.double(0.5)), ("$3\r\n0.5\r\n".into(), ",0.5\r\n".into()));
        assert_eq!(both(&|reply| reply.verbatim("txt", "hi")), ("$2\r\nhi\r\n".into(), "=6\r\ntxt:hi\r\n".into()));
        assert_eq!(written(Protocol::Resp2, |reply| reply.integer(-12)), ":-12\r\n");
        let late = |reply: &mut Reply| {
            reply.integer(1);
            let start = reply.len();
            reply.integer(2);
            reply.array_from(start, 1);
            reply.map_from(start, 7);
            reply.bulk_from(start, b"x");
        };
        let expected = (":1\r\n$1\r\nx\r\n*14\r\n*1\r\n:2\r\n".into(), ":1\r\n$1\r\nx\r\n%7\r\n*1\r\n:2\r\n".into());
        assert_eq!(both(&late), expected);
        assert_eq!(written(Protocol::Resp2, |reply| reply.bulk(&[b'x'; 10])), "$10\r\nxxxxxxxxxx\r\n");
        assert_eq!(written(Protocol::Resp2, |reply| reply.error_text("ERR a\r\nb")), "-ERR a  b\r\n");
    }
}
