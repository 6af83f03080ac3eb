//! Reading what the commands on streams are given: ids, intervals, numbers.

use crate::commands::Cx;
use crate::commands::arguments::integer;
use crate::resp::ReplyError;
use crate::store::stream::{BlockLimits, NewId, StreamId};

const INVALID_ID: ReplyError = ReplyError::of("ERR Invalid stream ID specified as stream command argument");

/// An id; one that is only a moment is the moment's first.
pub fn id(text: &[u8]) -> Result<StreamId, ReplyError> {
    StreamId::parse(text, 0).ok_or(INVALID_ID)
}

/// Several of them.
pub fn ids(texts: &[&[u8]]) -> Result<Vec<StreamId>, ReplyError> {
    texts.iter().map(|text| id(text)).collect()
}

/// An id, or `-` or `+`.
pub fn any_id(text: &[u8]) -> Result<StreamId, ReplyError> {
    StreamId::parse_bound(text, 0).ok_or(INVALID_ID)
}

pub fn new_id(text: &[u8]) -> Result<NewId, ReplyError> {
    NewId::parse(text).ok_or(INVALID_ID)
}

/// Where an interval starts. One with `(` in front starts behind the id.
pub fn start(text: &[u8]) -> Result<StreamId, ReplyError> {
    match exclusive(text) {
        Some(text) => id(text)?.next().ok_or(ReplyError::of("ERR invalid start ID for the interval")),
        None => any_id(text),
    }
}

/// Where an interval ends: with the last id of a moment that stands alone.
pub fn end(text: &[u8]) -> Result<StreamId, ReplyError> {
    match exclusive(text) {
        Some(text) => {
            let id = StreamId::parse(text, u64::MAX).ok_or(INVALID_ID)?;
            id.previous().ok_or(ReplyError::of("ERR invalid end ID for the interval"))
        }
        None => StreamId::parse_bound(text, u64::MAX).ok_or(INVALID_ID),
    }
}

fn exclusive(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b"(").filter(|rest| !rest.is_empty())
}

/// A count that is taken for 0 when it is negative.
pub fn count(text: &[u8]) -> Result<usize, ReplyError> {
    integer(text).map(|count| usize::try_from(count).unwrap_or(0))
}

pub fn block_limits(cx: &Cx<'_>) -> BlockLimits {
    let config = cx.config();
    BlockLimits {
        bytes_max: usize::try_from(config.stream_node_max_bytes).unwrap_or(0),
        entries_max: u64::try_from(config.stream_node_max_entries).unwrap_or(0),
    }
}

/// The error of a group that is not there.
pub fn no_group(key: &[u8], group: &[u8], after: &str) -> ReplyError {
    quoting_two(["NOGROUP No such key '", "' or consumer group '", after], key, group)
}

/// An error that quotes two arguments between these texts.
pub fn quoting_two(texts: [&str; 3], first: &[u8], second: &[u8]) -> ReplyError {
    let (first, second) = (ReplyError::quoting(texts[0], first, texts[1]), ReplyError::quoting("", second, texts[2]));
    ReplyError::Quoting([first.bytes(), second.bytes()].concat())
}

/// Whether effects of the past are run again. Then what they say is right, whatever the clock shows.
pub fn is_replay(now_ms: u64) -> bool {
    now_ms == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals() {
        let of = |ms, seq| Ok(StreamId::new(ms, seq));
        assert_eq!([start(b"5"), start(b"(5"), start(b"(5-3"), start(b"-")], [of(5, 0), of(5, 1), of(5, 4), of(0, 0)]);
        assert_eq!([end(b"5"), end(b"(5-3"), end(b"(5-0")], [of(5, u64::MAX), of(5, 2), of(4, u64::MAX)]);
        assert_eq!(end(b"+"), Ok(StreamId::MAX));
        for (wrong, error) in [
            (start(b"(-"), INVALID_ID),
            (start(b"("), INVALID_ID),
            (
                start(b"(18446744073709551615-18446744073709551615"),
                ReplyError::of("ERR invalid start ID for the interval"),
            ),
            (end(b"(0-0"), ReplyError::of("ERR invalid end ID for the interval")),
        ] {
            assert_eq!(wrong, Err(error));
        }
    }
}
