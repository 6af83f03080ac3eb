//! The catalogue of reply errors: what a client did wrong, with Redis's exact texts.
//!
//! A handler returns one of these; the text is made at the edge, when the reply is written. The first word is the
//! error's code, which INFO's `errorstats` counts.

use std::borrow::Cow;

/// A client's fault, told in an error reply. The text excludes the leading `-` and the line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// The key holds a value of another type.
    WrongType,
    Syntax,
    NotAnInteger,
    NotAFloat,
    /// A number left the range that the command allows.
    OutOfRange,
    NoSuchKey,
    NotAuthenticated,
    /// Any other text, code word included.
    Text(Cow<'static, str>),
    /// A text that quotes a client's bytes, which need not be text.
    Quoting(Vec<u8>),
    /// The error of a command that a script ran, which was counted then.
    Counted(Vec<u8>),
}

impl ReplyError {
    /// An error with the general code `ERR`; `text` includes it.
    pub const fn of(text: &'static str) -> ReplyError {
        ReplyError::Text(Cow::Borrowed(text))
    }

    pub fn wrong_arity(full_name: &str) -> ReplyError {
        ReplyError::Text(format!("ERR wrong number of arguments for '{full_name}' command").into())
    }

    pub fn invalid_expire(full_name: &str) -> ReplyError {
        ReplyError::Text(format!("ERR invalid expire time in '{full_name}' command").into())
    }

    /// The log takes nothing, so nothing may change.
    pub fn log_stopped(reason: Option<String>) -> ReplyError {
        let reason = reason.unwrap_or_default();
        ReplyError::Text(format!("MISCONF Errors writing to the AOF file: {reason}").into())
    }

    /// A text with a client's bytes in its middle. They end at a zero byte, as a C string does.
    pub fn quoting(before: &str, quoted: &[u8], after: &str) -> ReplyError {
        let end = memchr::memchr(0, quoted).unwrap_or(quoted.len());
        ReplyError::Quoting([before.as_bytes(), &quoted[..end], after.as_bytes()].concat())
    }

    /// The text for people, who read no bytes.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes())
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            ReplyError::WrongType => b"WRONGTYPE Operation against a key holding the wrong kind of value",
            ReplyError::Syntax => b"ERR syntax error",
            ReplyError::NotAnInteger => b"ERR value is not an integer or out of range",
            ReplyError::NotAFloat => b"ERR value is not a valid float",
            ReplyError::OutOfRange => b"ERR value is out of range",
            ReplyError::NoSuchKey => b"ERR no such key",
            ReplyError::NotAuthenticated => b"NOAUTH Authentication required.",
            ReplyError::Text(text) => text.as_bytes(),
            ReplyError::Quoting(bytes) | ReplyError::Counted(bytes) => bytes,
        }
    }

    /// Whether the statistics have it already.
    pub fn is_counted(&self) -> bool {
        matches!(self, ReplyError::Counted(_))
    }

    /// The code word that starts the text.
    pub fn code(&self) -> &str {
        let word = self.bytes().split(|byte| *byte == b' ').next().unwrap_or_default();
        std::str::from_utf8(word).unwrap_or("ERR")
    }
}
