//! What SCAN, HSCAN, SSCAN and ZSCAN have in common: cursor, options and the frame of their replies.

use super::arguments::Arguments;
use crate::base::{glob, number};
use crate::resp::{Reply, ReplyError};
use crate::store::EntryRef;

/// Items of one call, unless COUNT says otherwise.
const COUNT_DEFAULT: usize = 10;

/// A cursor, as C's `strtoul` reads it: a sign is allowed, and nothing at all is 0.
pub fn read_cursor(text: &[u8]) -> Result<u64, ReplyError> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        _ => (false, text),
    };
    let value = match number::parse_u64(digits) {
        Some(value) => value,
        None if text.is_empty() => 0,
        None => return Err(ReplyError::of("ERR invalid cursor")),
    };
    Ok(if negative { value.wrapping_neg() } else { value })
}

/// What a command takes beside MATCH and COUNT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    Nothing,
    /// TYPE type
    Type,
    /// NOVALUES
    NoValues,
}

/// What a call asks for.
pub struct ScanOptions<'a> {
    /// About how many items to look at.
    pub count: usize,
    /// What names must match, if anything.
    pub pattern: Option<&'a [u8]>,
    type_name: Option<&'a [u8]>,
    pub names_only: bool,
}

impl<'a> ScanOptions<'a> {
    /// Reads `[MATCH pattern] [COUNT count]` and what else the command takes.
    pub fn read(options: &'a [&'a [u8]], extra: Extra) -> Result<ScanOptions<'a>, ReplyError> {
        let mut read = ScanOptions { count: COUNT_DEFAULT, pattern: None, type_name: None, names_only: false };
        let mut reader = Arguments::from(options, 0);
        while !reader.is_done() {
            if reader.option("COUNT") {
                let count = reader.integer();
                if count < 1 {
                    reader.fail(ReplyError::Syntax);
                }
                read.count = usize::try_from(count).unwrap_or(usize::MAX);
            } else if reader.option("MATCH") {
                read.pattern = pattern_of(reader.next_bytes());
            } else if extra == Extra::Type && reader.option("TYPE") {
                read.type_name = Some(reader.next_bytes());
            } else if extra == Extra::NoValues && reader.word("NOVALUES") {
                read.names_only = true;
            } else {
                reader.fail(ReplyError::Syntax);
            }
        }
        reader.finish().map(|()| read)
    }

    /// Everything that matches a pattern.
    pub fn matching(pattern: &'a [u8]) -> ScanOptions<'a> {
        ScanOptions { count: usize::MAX, pattern: pattern_of(pattern), type_name: None, names_only: false }
    }

    /// Whether an item of this name is wanted.
    pub fn wants(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name, false))
    }

    pub fn wants_key(&self, entry: EntryRef<'_>) -> bool {
        let type_name = entry.value_type().name().as_bytes();
        self.wants(entry.key()) && self.type_name.is_none_or(|wanted| wanted.eq_ignore_ascii_case(type_name))
    }
}

/// `*` means every name, the empty one too, which the pattern as such does not match.
fn pattern_of(text: &[u8]) -> Option<&[u8]> {
    (text != b"*").then_some(text)
}

/// Replies with a cursor and with `len` elements that were written to a buffer.
pub fn reply_page(reply: &mut Reply<'_>, cursor: u64, len: usize, elements: &[u8]) {
    reply.array(2);
    reply.bulk_text(&cursor.to_string());
    reply.array(len);
    reply.raw(elements);
}
