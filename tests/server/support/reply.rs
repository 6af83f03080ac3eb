//! Replies as the tests see them. The redis-protocol crate finds the frames in the bytes; this only copies its ranges
//! out, because its owned frames lose the order of maps and refuse error texts that are not UTF-8.

use std::fmt;

use redis_protocol::{resp2, resp3};

use super::script::escape;

#[derive(Clone, PartialEq)]
pub enum Reply {
    Status(Vec<u8>),
    Error(Vec<u8>),
    Integer(i64),
    Bulk(Vec<u8>),
    Null,
    Array(Vec<Reply>),
    Map(Vec<(Reply, Reply)>),
    Set(Vec<Reply>),
    Push(Vec<Reply>),
    Double(f64),
    Boolean(bool),
    Verbatim(Vec<u8>),
}

impl Reply {
    /// Decodes the RESP2 reply at the start of `bytes`: the reply and its length, or None while it is incomplete.
    pub fn decode_resp2(bytes: &[u8]) -> Option<(Reply, usize)> {
        let decoded = resp2::decode::decode_range(bytes);
        let (frame, length) = decoded.unwrap_or_else(|error| panic!("not RESP2: {error:?} in {}", escape(bytes)))?;
        Some((from_resp2(&frame, bytes), length))
    }

    /// The same for RESP3.
    pub fn decode_resp3(bytes: &[u8]) -> Option<(Reply, usize)> {
        let decoded = resp3::decode::complete::decode_range(bytes);
        let (frame, length) = decoded.unwrap_or_else(|error| panic!("not RESP3: {error:?} in {}", escape(bytes)))?;
        Some((from_resp3(&frame, bytes), length))
    }

    pub fn bulk(text: &str) -> Reply {
        Reply::Bulk(text.as_bytes().to_vec())
    }

    pub fn ok() -> Reply {
        Reply::Status(b"OK".to_vec())
    }

    pub fn integer(&self) -> i64 {
        match self {
            Reply::Integer(value) => *value,
            other => panic!("expected an integer, got {other:?}"),
        }
    }

    /// The bytes of a bulk, verbatim or status reply.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Reply::Bulk(bytes) | Reply::Verbatim(bytes) | Reply::Status(bytes) => bytes,
            other => panic!("expected a string, got {other:?}"),
        }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(self.bytes()).expect("UTF-8")
    }

    /// The text of an error reply.
    pub fn error(&self) -> String {
        match self {
            Reply::Error(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("expected an error, got {other:?}"),
        }
    }

    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }

    /// The members of an array, set or push.
    pub fn items(&self) -> &[Reply] {
        match self {
            Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => items,
            other => panic!("expected an array, got {other:?}"),
        }
    }

    /// The value beside `name` in a map, or in an array of alternating names and values.
    pub fn field(&self, name: &str) -> &Reply {
        let found = match self {
            Reply::Map(pairs) => pairs.iter().find(|(key, _)| key.bytes() == name.as_bytes()).map(|(_, value)| value),
            Reply::Array(items) => items.chunks(2).find(|pair| pair[0].bytes() == name.as_bytes()).map(|pair| &pair[1]),
            other => panic!("expected a map, got {other:?}"),
        };
        found.unwrap_or_else(|| panic!("no field {name} in {self:?}"))
    }
}

fn from_resp2(frame: &resp2::types::RangeFrame, bytes: &[u8]) -> Reply {
    use resp2::types::RangeFrame;
    match frame {
        RangeFrame::SimpleString((start, end)) => Reply::Status(bytes[*start..*end].to_vec()),
        RangeFrame::Error((start, end)) => Reply::Error(bytes[*start..*end].to_vec()),
        RangeFrame::Integer(value) => Reply::Integer(*value),
        RangeFrame::BulkString((start, end)) => Reply::Bulk(bytes[*start..*end].to_vec()),
        RangeFrame::Array(frames) => Reply::Array(frames.iter().map(|frame| from_resp2(frame, bytes)).collect()),
        RangeFrame::Null => Reply::Null,
    }
}

fn from_resp3(frame: &resp3::types::RangeFrame, bytes: &[u8]) -> Reply {
    use resp3::types::RangeFrame;
    let all = |frames: &[RangeFrame]| frames.iter().map(|frame| from_resp3(frame, bytes)).collect::<Vec<_>>();
    match frame {
        RangeFrame::SimpleString { data: (start, end), .. } => Reply::Status(bytes[*start..*end].to_vec()),
        RangeFrame::SimpleError { data: (start, end), .. } => Reply::Error(bytes[*start..*end].to_vec()),
        RangeFrame::BlobError { data: (start, end), .. } => Reply::Error(bytes[*start..*end].to_vec()),
        RangeFrame::BlobString { data: (start, end), .. } => Reply::Bulk(bytes[*start..*end].to_vec()),
        RangeFrame::VerbatimString { data: (start, end), .. } => Reply::Verbatim(bytes[*start..*end].to_vec()),
        RangeFrame::Number { data, .. } => Reply::Integer(*data),
        RangeFrame::Double { data, .. } => Reply::Double(*data),
        RangeFrame::Boolean { data, .. } => Reply::Boolean(*data),
        RangeFrame::Null => Reply::Null,
        RangeFrame::Array { data, .. } => Reply::Array(all(data)),
        RangeFrame::Push { data, .. } => Reply::Push(all(data)),
        RangeFrame::Set { data, .. } => {
            let mut members: Vec<&RangeFrame> = data.iter().collect();
            members.sort_by_key(|member| position(member));
            Reply::Set(members.into_iter().map(|member| from_resp3(member, bytes)).collect())
        }
        RangeFrame::Map { data, .. } => {
            let mut pairs: Vec<(&RangeFrame, &RangeFrame)> = data.iter().collect();
            pairs.sort_by_key(|(key, _)| position(key));
            Reply::Map(
                pairs.into_iter().map(|(key, value)| (from_resp3(key, bytes), from_resp3(value, bytes))).collect(),
            )
        }
        other => panic!("a frame no reply should hold: {other:?}"),
    }
}

/// Where a frame's bytes start: the library keeps maps and sets unordered, this gives the order on the wire back.
fn position(frame: &resp3::types::RangeFrame) -> usize {
    use resp3::types::RangeFrame;
    match frame {
        RangeFrame::SimpleString { data, .. } | RangeFrame::BlobString { data, .. } => data.0,
        _ => 0,
    }
}

/// Prints in the notation that `script` reads.
impl fmt::Debug for Reply {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |out: &mut fmt::Formatter<'_>, open: &str, items: &[Reply], close: &str| {
            write!(out, "{open}")?;
            for (index, item) in items.iter().enumerate() {
                write!(out, "{}{item:?}", if index == 0 { "" } else { " " })?;
            }
            write!(out, "{close}")
        };
        match self {
            Reply::Status(text) => write!(out, "+{}", escape(text)),
            Reply::Error(text) => write!(out, "-{}", escape(text)),
            Reply::Integer(value) => write!(out, ":{value}"),
            Reply::Bulk(bytes) => write!(out, "\"{}\"", escape(bytes)),
            Reply::Verbatim(bytes) => write!(out, "=\"{}\"", escape(bytes)),
            Reply::Null => write!(out, "nil"),
            Reply::Double(value) => write!(out, ",{value}"),
            Reply::Boolean(value) => write!(out, "#{}", if *value { "t" } else { "f" }),
            Reply::Array(items) => list(out, "[", items, "]"),
            Reply::Set(items) => list(out, "~[", items, "]"),
            Reply::Push(items) => list(out, ">[", items, "]"),
            Reply::Map(pairs) => {
                write!(out, "{{")?;
                for (index, (key, value)) in pairs.iter().enumerate() {
                    write!(out, "{}{key:?} {value:?}", if index == 0 { "" } else { " " })?;
                }
                write!(out, "}}")
            }
        }
    }
}
