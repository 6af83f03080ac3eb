//! The reader of a command's arguments.
//!
//! It goes through them from left to right and remembers the first thing that is wrong; what it gives after that means
//! nothing, and [`Arguments::finish`] tells the error. So a handler reads all its arguments straight and asks once.

use crate::base::number::parse_i64;
use crate::resp::ReplyError;
use crate::store::DbIndex;

/// An argument that must be an integer.
pub fn integer(text: &[u8]) -> Result<i64, ReplyError> {
    parse_i64(text).ok_or(ReplyError::NotAnInteger)
}

/// Said of the least integer where its negative would be needed.
pub const NOT_NEGATABLE: ReplyError =
    ReplyError::of("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");

/// An argument that must be an integer other than the least: as many to draw, any of them several times if it is negative.
pub fn negatable(text: &[u8]) -> Result<i64, ReplyError> {
    match integer(text)? {
        i64::MIN => Err(NOT_NEGATABLE),
        number => Ok(number),
    }
}

/// A number of things: anything but a number from 0 on is out of range.
pub fn quantity(text: &[u8]) -> Result<usize, ReplyError> {
    let number = parse_i64(text).and_then(|number| usize::try_from(number).ok());
    number.ok_or(ReplyError::of("ERR value is out of range, must be positive"))
}

pub struct Arguments<'a> {
    rest: &'a [&'a [u8]],
    error: Option<ReplyError>,
}

impl<'a> Arguments<'a> {
    /// Reads `args` from index `first` on.
    pub fn from(args: &'a [&'a [u8]], first: usize) -> Arguments<'a> {
        Arguments { rest: args.get(first..).unwrap_or_default(), error: None }
    }

    /// Whether there is nothing more to read. After an error there is not.
    pub fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// Whether something was wrong so far.
    pub fn has_failed(&self) -> bool {
        self.error.is_some()
    }

    /// Remembers an error, unless there is one already.
    pub fn fail(&mut self, error: ReplyError) {
        self.error.get_or_insert(error);
        self.rest = &[];
    }

    /// The next argument; that there is none is a syntax error.
    pub fn next_bytes(&mut self) -> &'a [u8] {
        match self.rest {
            [first, rest @ ..] => {
                self.rest = rest;
                first
            }
            [] => {
                self.fail(ReplyError::Syntax);
                b""
            }
        }
    }

    /// Takes the next argument if it is this word, in any case.
    pub fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.rest, [first, ..] if first.eq_ignore_ascii_case(word.as_bytes()));
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    /// Takes the next argument if it is this word, in any case, and a value follows it.
    pub fn option(&mut self, word: &str) -> bool {
        self.option_of(word, 1)
    }

    /// Takes the next argument if it is this word, in any case, and so many values follow it.
    pub fn option_of(&mut self, word: &str, values: usize) -> bool {
        self.rest.len() > values && self.word(word)
    }

    /// A 64-bit integer.
    pub fn integer(&mut self) -> i64 {
        self.integer_or(ReplyError::NotAnInteger)
    }

    /// A 64-bit integer, with an error of the command's own.
    pub fn integer_or(&mut self, error: ReplyError) -> i64 {
        let text = self.next_bytes();
        parse_i64(text).unwrap_or_else(|| {
            self.fail(error);
            0
        })
    }

    /// A 32-bit integer.
    pub fn small_integer(&mut self) -> i32 {
        let value = self.integer();
        i32::try_from(value).unwrap_or_else(|_| {
            self.fail(ReplyError::of("ERR value is out of range, value must between -2147483648 and 2147483647"));
            0
        })
    }

    /// A 32-bit integer, with an error of the command's own.
    pub fn small_integer_or(&mut self, error: ReplyError) -> i32 {
        let value = self.integer_or(error.clone());
        i32::try_from(value).unwrap_or_else(|_| {
            self.fail(error);
            0
        })
    }

    /// A database's number, below `databases`.
    pub fn database(&mut self, databases: DbIndex) -> DbIndex {
        let number = self.small_integer();
        self.check_database(number, databases)
    }

    /// A number read earlier, as a database's.
    pub fn check_database(&mut self, number: i32, databases: DbIndex) -> DbIndex {
        match DbIndex::try_from(number) {
            Ok(index) if index < databases => index,
            _ => {
                self.fail(ReplyError::of("ERR DB index is out of range"));
                0
            }
        }
    }

    /// Ends reading: the first error, or a syntax error if anything was left unread.
    pub fn finish(self) -> Result<(), ReplyError> {
        match self.error {
            Some(error) => Err(error),
            None if self.rest.is_empty() => Ok(()),
            None => Err(ReplyError::Syntax),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_stands() {
        let args: &[&[u8]] = &[b"copy", b"DB", b"x", b"db", b"99", b"replace"];
        let mut reader = Arguments::from(args, 1);
        assert!(reader.option("db"));
        reader.integer();
        assert!(reader.is_done());
        assert!(!reader.word("db"));
        assert_eq!(reader.finish(), Err(ReplyError::NotAnInteger));
    }

    #[test]
    fn words_values_and_leftovers() {
        let args: &[&[u8]] = &[b"x", b"Count", b"7", b"count"];
        let mut reader = Arguments::from(args, 1);
        assert!(!reader.word("match") && reader.option("COUNT"));
        assert_eq!(reader.integer(), 7);
        assert!(!reader.option("count"));
        assert_eq!(reader.finish(), Err(ReplyError::Syntax));
        let mut reader = Arguments::from(args, 9);
        assert!(reader.is_done());
        assert_eq!(reader.next_bytes(), b"");
        assert_eq!(reader.finish(), Err(ReplyError::Syntax));
    }

    #[test]
    fn ranges() {
        let fails = |text: &str, read: &dyn Fn(&mut Arguments)| {
            let args = [text.as_bytes()];
            let mut reader = Arguments::from(&args, 0);
            read(&mut reader);
            reader.finish().err().map(|error| error.text().into_owned())
        };
        let database = |reader: &mut Arguments| {
            reader.database(16);
        };
        assert_eq!(fails("15", &database), None);
        assert_eq!(fails("16", &database).unwrap(), "ERR DB index is out of range");
        assert_eq!(fails("-1", &database).unwrap(), "ERR DB index is out of range");
        assert!(fails("4294967296", &database).unwrap().ends_with("between -2147483648 and 2147483647"));
        assert_eq!(fails("1.5", &database).unwrap(), "ERR value is not an integer or out of range");
    }
}
