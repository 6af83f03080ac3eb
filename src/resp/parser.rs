//! The request parser: a borrowing, non-allocating reader of RESP arrays of bulk strings and of inline commands.
//!
//! [`parse`] keeps no state: it starts anew at the front of a request. For a request that comes in many parts,
//! [`parse_kept`] remembers how far it got, so that a million small arguments are not read once for every part. Either
//! way a request split at any byte gives the same result, and a caller learns how many bytes are needed at the least
//! ([`Parsed::Incomplete`]) before another call can tell more.
//! Source: the Redis serialization protocol specification; limits and error texts are those of Redis 7.2.

use crate::base::number::parse_i64;
use crate::base::quoting::split_arguments;

/// Most arguments of one request.
pub const ARGUMENTS_MAX: i64 = 1024 * 1024;
/// Longest inline request, and longest header line (`*3`, `$5`) of a multibulk one, in bytes.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;
/// Before a client has authenticated: most arguments, and longest bulk in bytes.
pub const UNAUTHENTICATED_ARGUMENTS_MAX: i64 = 10;
pub const UNAUTHENTICATED_BULK_BYTES_MAX: i64 = 16 * 1024;

/// What bounds a request.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest bulk string in bytes (`proto-max-bulk-len`).
    pub bulk_bytes_max: i64,
    /// Whether the client may send more than the small requests that precede authentication.
    pub authenticated: bool,
}

/// The outcome of reading one request from the front of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A whole request of `consumed` bytes; its arguments were appended (none for an empty request).
    Complete { consumed: usize },
    /// A whole inline request. Its quotes are undone, so its arguments are copies: it is rare and typed by hand.
    Inline { consumed: usize, arguments: Vec<Vec<u8>> },
    /// More bytes are needed: at least `needed` in all, counted from the start of this request. The argument that is not
    /// whole begins at `argument_at`, or 0 if that is not known.
    Incomplete { needed: usize, argument_at: usize },
    /// The bytes cannot be a request. The connection gets the error and is closed.
    Malformed(ProtocolError),
}

/// Why bytes cannot be a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    InlineTooBig,
    UnbalancedQuotes,
    MultibulkHeaderTooBig,
    MultibulkLength,
    MultibulkLengthUnauthenticated,
    BulkHeaderTooBig,
    /// Another byte stood where `$` was expected.
    ExpectedDollar(u8),
    BulkLength,
    BulkLengthUnauthenticated,
}

impl ProtocolError {
    /// The text after `-ERR Protocol error: `.
    pub fn text(self) -> Vec<u8> {
        let text: &[u8] = match self {
            ProtocolError::InlineTooBig => b"too big inline request",
            ProtocolError::UnbalancedQuotes => b"unbalanced quotes in request",
            ProtocolError::MultibulkHeaderTooBig => b"too big mbulk count string",
            ProtocolError::MultibulkLength => b"invalid multibulk length",
            ProtocolError::MultibulkLengthUnauthenticated => b"unauthenticated multibulk length",
            ProtocolError::BulkHeaderTooBig => b"too big bulk count string",
            ProtocolError::ExpectedDollar(byte) => return [b"expected '$', got '".as_slice(), &[byte], b"'"].concat(),
            ProtocolError::BulkLength => b"invalid bulk length",
            ProtocolError::BulkLengthUnauthenticated => b"unauthenticated bulk length",
        };
        text.to_vec()
    }
}

/// Reads one request from the front of `input`, appending its arguments to `arguments`.
/// On anything but [`Parsed::Complete`], `arguments` may hold a partial request past its old length.
#[inline]
pub fn parse<'a>(input: &'a [u8], limits: Limits, arguments: &mut Vec<&'a [u8]>) -> Parsed {
    match input.first() {
        None => Parsed::Incomplete { needed: 1, argument_at: 0 },
        Some(b'*') => parse_multibulk(input, limits, arguments),
        Some(_) => parse_inline(input),
    }
}

/// A header line's number: `Ok(None)` when the line has not ended yet.
#[inline(always)]
fn header(input: &[u8], too_big: ProtocolError, invalid: ProtocolError) -> Result<Option<(i64, usize)>, ProtocolError> {
    if let Some((number, used)) = short_header(input, input.first().copied().unwrap_or_default()) {
        return Ok(Some((number as i64, used)));
    }
    long_header(input, too_big, invalid)
}

/// The number of the header line of this kind in front of `input` and the line's length, where that has the common form:
/// one or two digits. Looks at eight bytes at once, so the last few of a buffer are left to others.
#[inline(always)]
fn short_header(input: &[u8], kind: u8) -> Option<(usize, usize)> {
    const ONE_DIGIT: u64 = u64::from_le_bytes(*b"\0\0\r\n\0\0\0\0");
    const ONE_DIGIT_MASK: u64 = u64::from_le_bytes(*b"\xff\0\xff\xff\0\0\0\0");
    const TWO_DIGITS: u64 = u64::from_le_bytes(*b"\0\0\0\r\n\0\0\0");
    const TWO_DIGITS_MASK: u64 = u64::from_le_bytes(*b"\xff\0\0\xff\xff\0\0\0");
    let word = u64::from_le_bytes(*input.first_chunk()?);
    let [first, second] = [word >> 8, word >> 16].map(|rest| usize::from((rest as u8).wrapping_sub(b'0')));
    if word & ONE_DIGIT_MASK == ONE_DIGIT | u64::from(kind) && first < 10 {
        return Some((first, 4));
    }
    let is_number = first.wrapping_sub(1) < 9 && second < 10;
    (word & TWO_DIGITS_MASK == TWO_DIGITS | u64::from(kind) && is_number).then_some((first * 10 + second, 5))
}

/// A header line of any form.
fn long_header(
    input: &[u8],
    too_big: ProtocolError,
    invalid: ProtocolError,
) -> Result<Option<(i64, usize)>, ProtocolError> {
    let searched = &input[..input.len().min(INLINE_BYTES_MAX + 1)];
    let Some(end) = memchr::memchr(b'\r', searched) else {
        return if input.len() > INLINE_BYTES_MAX { Err(too_big) } else { Ok(None) };
    };
    // The line feed is taken on trust, as Redis does, but it must have arrived.
    if end + 2 > input.len() {
        return Ok(None);
    }
    match parse_i64(&input[1..end]) {
        Some(value) => Ok(Some((value, end + 2))),
        None => Err(invalid),
    }
}

#[inline]
fn parse_multibulk<'a>(input: &'a [u8], limits: Limits, arguments: &mut Vec<&'a [u8]>) -> Parsed {
    let (count, mut at) = match short_header(input, b'*') {
        Some((count, at)) if count <= UNAUTHENTICATED_ARGUMENTS_MAX as usize => (count as i64, at),
        _ => match read_count(input, limits) {
            Ok(count) => count,
            Err(outcome) => return outcome,
        },
    };
    for _ in 0..count {
        let (start, end) = match short_bulk(input, at, limits) {
            Some(range) => range,
            None => match read_bulk(input, at, limits) {
                Ok(range) => range,
                Err(outcome) => return outcome,
            },
        };
        arguments.push(&input[start..end]);
        at = end + 2;
    }
    Parsed::Complete { consumed: at }
}

/// How far a request was read that has come in part. Belongs to the bytes it was read from, which may grow but must
/// keep their front.
#[derive(Debug, Default)]
pub struct Partial {
    /// Where the next argument begins.
    at: usize,
    /// Arguments still to come.
    missing: i64,
    /// Where the arguments read so far stand.
    ranges: Vec<(usize, usize)>,
}

/// Like [`parse`], but goes on where an earlier call on the same `partial` ended.
pub fn parse_kept<'a>(input: &'a [u8], limits: Limits, partial: &mut Partial, arguments: &mut Vec<&'a [u8]>) -> Parsed {
    if partial.missing == 0 {
        if input.first() != Some(&b'*') {
            return parse(input, limits, arguments);
        }
        match read_count(input, limits) {
            Ok((count, at)) => *partial = Partial { at, missing: count.max(0), ranges: Vec::new() },
            Err(outcome) => return outcome,
        }
    }
    while partial.missing > 0 {
        match read_bulk(input, partial.at, limits) {
            Ok((start, end)) => {
                partial.ranges.push((start, end));
                partial.at = end + 2;
                partial.missing -= 1;
            }
            Err(outcome) => return outcome,
        }
    }
    let done = std::mem::take(partial);
    arguments.extend(done.ranges.iter().map(|(start, end)| &input[*start..*end]));
    Parsed::Complete { consumed: done.at }
}

/// The number of arguments that a request announces, and where the first begins.
fn read_count(input: &[u8], limits: Limits) -> Result<(i64, usize), Parsed> {
    let (count, at) = match header(input, ProtocolError::MultibulkHeaderTooBig, ProtocolError::MultibulkLength) {
        Ok(Some(header)) => header,
        Ok(None) => return Err(Parsed::Incomplete { needed: input.len() + 1, argument_at: 0 }),
        Err(error) => return Err(Parsed::Malformed(error)),
    };
    if count > ARGUMENTS_MAX {
        return Err(Parsed::Malformed(ProtocolError::MultibulkLength));
    }
    if count > UNAUTHENTICATED_ARGUMENTS_MAX && !limits.authenticated {
        return Err(Parsed::Malformed(ProtocolError::MultibulkLengthUnauthenticated));
    }
    Ok((count, at))
}

/// The same as [`read_bulk`] of a string of less than 100 bytes that is all there, and within the limit that may be so low.
#[inline]
fn short_bulk(input: &[u8], at: usize, limits: Limits) -> Option<(usize, usize)> {
    let (length, used) = short_header(input.get(at..)?, b'$')?;
    let start = at + used;
    let end = start + length;
    (end + 2 <= input.len() && length as i64 <= limits.bulk_bytes_max).then_some((start, end))
}

/// Where the bulk string that begins at `at` has its first byte and its end.
#[inline]
fn read_bulk(input: &[u8], at: usize, limits: Limits) -> Result<(usize, usize), Parsed> {
    let rest = &input[at..];
    match rest.first() {
        None => return Err(Parsed::Incomplete { needed: at + 1, argument_at: 0 }),
        Some(b'$') => {}
        Some(_) if memchr::memchr(b'\r', &rest[..rest.len().min(INLINE_BYTES_MAX + 1)]).is_none() => {
            // Redis looks for the end of the line before it looks at the first byte.
            return Err(if rest.len() > INLINE_BYTES_MAX {
                Parsed::Malformed(ProtocolError::BulkHeaderTooBig)
            } else {
                Parsed::Incomplete { needed: input.len() + 1, argument_at: 0 }
            });
        }
        Some(&other) => return Err(Parsed::Malformed(ProtocolError::ExpectedDollar(other))),
    }
    let (length, used) = match header(rest, ProtocolError::BulkHeaderTooBig, ProtocolError::BulkLength) {
        Ok(Some(header)) => header,
        Ok(None) => return Err(Parsed::Incomplete { needed: input.len() + 1, argument_at: 0 }),
        Err(error) => return Err(Parsed::Malformed(error)),
    };
    if length < 0 || length > limits.bulk_bytes_max {
        return Err(Parsed::Malformed(ProtocolError::BulkLength));
    }
    if length > UNAUTHENTICATED_BULK_BYTES_MAX && !limits.authenticated {
        return Err(Parsed::Malformed(ProtocolError::BulkLengthUnauthenticated));
    }
    let start = at + used;
    let end = start + length as usize;
    if end + 2 > input.len() {
        return Err(Parsed::Incomplete { needed: end + 2, argument_at: start });
    }
    Ok((start, end))
}

fn parse_inline(input: &[u8]) -> Parsed {
    let searched = &input[..input.len().min(INLINE_BYTES_MAX + 1)];
    let Some(newline) = memchr::memchr(b'\n', searched) else {
        return if input.len() > INLINE_BYTES_MAX {
            Parsed::Malformed(ProtocolError::InlineTooBig)
        } else {
            Parsed::Incomplete { needed: input.len() + 1, argument_at: 0 }
        };
    };
    let line = &input[..newline];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match split_arguments(line) {
        Some(arguments) => Parsed::Inline { consumed: newline + 1, arguments },
        None => Parsed::Malformed(ProtocolError::UnbalancedQuotes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Limits = Limits { bulk_bytes_max: 512 * 1024 * 1024, authenticated: true };

    fn read(input: &[u8]) -> (Parsed, Vec<&[u8]>) {
        let mut arguments = Vec::new();
        let parsed = parse(input, OPEN, &mut arguments);
        (parsed, arguments)
    }

    #[test]
    fn a_request_needs_every_byte_and_takes_no_more() {
        let request = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$12\r\nhello\r\nworld\r\n";
        for cut in 0..request.len() {
            let (parsed, _) = read(&request[..cut]);
            let Parsed::Incomplete { needed, .. } = parsed else { panic!("cut at {cut}: {parsed:?}") };
            assert!(needed > cut && needed <= request.len());
        }
        let mut more = request.to_vec();
        more.extend_from_slice(b"*1\r\n");
        let (parsed, arguments) = read(&more);
        assert_eq!(parsed, Parsed::Complete { consumed: request.len() });
        assert_eq!(arguments, [b"SET".as_slice(), b"k", b"hello\r\nworld"]);
    }

    #[test]
    fn a_request_that_comes_in_parts_is_read_on_not_again() {
        let request = b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$12\r\nhello\r\nworld\r\n*1\r\n";
        let (mut partial, end) = (Partial::default(), request.len() - 4);
        for came in 0..end {
            let parsed = parse_kept(&request[..came], OPEN, &mut partial, &mut Vec::new());
            assert!(matches!(parsed, Parsed::Incomplete { needed, .. } if needed > came && needed <= end), "{came}");
        }
        let mut arguments = Vec::new();
        assert_eq!(parse_kept(request, OPEN, &mut partial, &mut arguments), Parsed::Complete { consumed: end });
        assert_eq!(arguments, [b"SET".as_slice(), b"", b"hello\r\nworld"]);
        let parsed = parse_kept(b"*0\r\n", OPEN, &mut partial, &mut Vec::new());
        assert_eq!(parsed, Parsed::Complete { consumed: 4 });
    }

    #[test]
    fn empty_and_negative_counts_are_requests_without_arguments() {
        assert_eq!(read(b"*0\r\n"), (Parsed::Complete { consumed: 4 }, vec![]));
        assert_eq!(read(b"*-10\r\n"), (Parsed::Complete { consumed: 6 }, vec![]));
        assert_eq!(read(b"\r\n").0, Parsed::Inline { consumed: 2, arguments: vec![] });
    }

    #[test]
    fn malformed_requests_have_their_own_errors() {
        let malformed = |input: &[u8]| match read(input).0 {
            Parsed::Malformed(error) => error,
            other => panic!("{other:?}"),
        };
        assert_eq!(malformed(b"*1048577\r\n"), ProtocolError::MultibulkLength);
        assert_eq!(malformed(b"*x\r\n"), ProtocolError::MultibulkLength);
        assert_eq!(malformed(b"*1\r\n$-1\r\n"), ProtocolError::BulkLength);
        assert_eq!(malformed(b"*1\r\n$536870913\r\n"), ProtocolError::BulkLength);
        assert_eq!(malformed(b"*1\r\nfoo\r\n"), ProtocolError::ExpectedDollar(b'f'));
        assert_eq!(malformed(b"GET \"k\r\n"), ProtocolError::UnbalancedQuotes);
        assert_eq!(malformed(&[b'a'; INLINE_BYTES_MAX + 1]), ProtocolError::InlineTooBig);
        let limits = Limits { authenticated: false, ..OPEN };
        assert_eq!(
            parse(b"*11\r\n", limits, &mut Vec::new()),
            Parsed::Malformed(ProtocolError::MultibulkLengthUnauthenticated)
        );
        assert_eq!(
            parse(b"*2\r\n$16385\r\n", limits, &mut Vec::new()),
            Parsed::Malformed(ProtocolError::BulkLengthUnauthenticated)
        );
    }

    #[test]
    fn a_low_limit_holds_however_much_has_come() {
        let limits = Limits { bulk_bytes_max: 10, authenticated: true };
        let whole = b"*2\r\n$10\r\n0123456789\r\n$11\r\n0123456789a\r\n";
        for came in [whole.len(), whole.len() - 1] {
            let outcome = parse(&whole[..came], limits, &mut Vec::new());
            assert_eq!(outcome, Parsed::Malformed(ProtocolError::BulkLength), "{came} bytes");
        }
    }

    #[test]
    fn an_inline_request_undoes_its_quotes() {
        let expected = vec![b"SET".to_vec(), b"k".to_vec(), b"a b\x01".to_vec()];
        assert_eq!(read(b"SET k \"a b\\x01\"\r\nPING").0, Parsed::Inline { consumed: 17, arguments: expected });
    }
}
