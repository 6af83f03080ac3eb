//! What HSCAN, SSCAN and ZSCAN have in common: their arguments and the frame of their replies.

use super::arguments::Arguments;
use super::context::Cx;
use super::scan::read_cursor;
use crate::base::glob;
use crate::resp::{Reply, ReplyError};

/// Items of one call, unless COUNT says otherwise.
const COUNT_DEFAULT: i64 = 10;

/// What a call asks for.
pub struct ItemScan<'a> {
    pub cursor: u64,
    pub count: usize,
    /// HSCAN's NOVALUES.
    pub names_only: bool,
    pattern: Option<&'a [u8]>,
}

impl<'a> ItemScan<'a> {
    /// The cursor, which is looked at before the key is.
    pub fn cursor(args: &[&[u8]]) -> Result<u64, ReplyError> {
        read_cursor(args[2])
    }

    /// The arguments behind key and cursor, which are looked at only if there is such a key.
    pub fn read(cursor: u64, args: &'a [&'a [u8]], takes_no_values: bool) -> Result<ItemScan<'a>, ReplyError> {
        let mut scan = ItemScan { cursor, count: 0, names_only: false, pattern: None };
        let mut count = COUNT_DEFAULT;
        let mut reader = Arguments::from(args, 3);
        while !reader.is_done() {
            if reader.option("COUNT") {
                count = reader.integer();
                if count < 1 {
                    reader.fail(ReplyError::Syntax);
                }
            } else if reader.option("MATCH") {
                // This one matches whatever there is, the empty name too.
                scan.pattern = Some(reader.next_bytes()).filter(|pattern| *pattern != b"*");
            } else if takes_no_values && reader.word("NOVALUES") {
                scan.names_only = true;
            } else {
                reader.fail(ReplyError::Syntax);
            }
        }
        reader.finish()?;
        scan.count = count as usize;
        Ok(scan)
    }

    /// Whether an item of this name is wanted.
    pub fn wants(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name, false))
    }
}

/// Replies with a cursor and with `len` elements that were written to a buffer.
pub fn reply_page(reply: &mut Reply<'_>, cursor: u64, len: usize, elements: &[u8]) {
    reply.array(2);
    reply.bulk_text(&cursor.to_string());
    reply.array(len);
    reply.raw(elements);
}

/// The reply where there is no such key.
pub fn reply_nothing(cx: &mut Cx<'_>) {
    reply_page(&mut cx.reply, 0, 0, b"");
}
