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

    pub fn text(&self) -> &str {
        match self {
            ReplyError::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value",
            ReplyError::Syntax => "ERR syntax error",
            ReplyError::NotAnInteger => "ERR value is not an integer or out of range",
            ReplyError::NotAFloat => "ERR value is not a valid float",
            ReplyError::OutOfRange => "ERR value is out of range",
            ReplyError::NoSuchKey => "ERR no such key",
            ReplyError::NotAuthenticated => "NOAUTH Authentication required.",
            ReplyError::Text(text) => text,
        }
    }

    /// The code word that starts the text.
    pub fn code(&self) -> &str {
        self.text().split(' ').next().unwrap_or("ERR")
    }
}
