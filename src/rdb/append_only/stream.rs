//! One append-only file: commands as clients send them, after an RDB file or without one.
//!
//! ```text
//! ["REDIS" ...]                                       an RDB file, which ends by itself
//! *COUNT\r\n and COUNT times $BYTES\r\n...\r\n        a command
//! #TS:SECONDS\r\n                                     the time of what follows; other lines that begin with # say nothing
//! ```
//! The file may end in the middle of a command, or of a transaction, when its writer was killed: that is an event, and
//! tells where the file would have to be cut. Whatever else is wrong is an error. A command's bytes lie in one buffer,
//! so reading one takes no allocation of its own, and no more memory than its bytes.

use std::fmt;
use std::io::Read;

use crate::base::number::parse_i64;
use crate::rdb::error::{Fault, RdbError};
use crate::rdb::format::MAGIC;
use crate::rdb::source::Source;
use crate::rdb::{Event, RdbReader, ReadOptions};

/// Digits of a count or a length, with a sign.
const NUMBER_BYTES_MAX: usize = 20;
/// The part of an annotation that is kept.
const ANNOTATION_BYTES_MAX: usize = 64;
/// Memory that is kept from one command to the next.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// Arguments of a command, its name first; there is at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    bytes: &'a [u8],
    /// Where each argument ends.
    ends: &'a [usize],
}

impl<'a> Command<'a> {
    pub fn arguments(self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| &self.bytes[std::mem::replace(&mut start, end)..end])
    }

    fn is_just(self, name: &str) -> bool {
        self.ends.len() == 1 && self.bytes.eq_ignore_ascii_case(name.as_bytes())
    }
}

#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub enum AppendOnlyEvent<'a> {
    /// Of the RDB part.
    Snapshot(Event<'a>),
    Command(Command<'a>),
    /// In Unix seconds, when what follows was written.
    Time(i64),
    /// The file ends in the middle of a command or transaction. The end comes next.
    Torn {
        /// Where the last whole part ended: what to cut the file to.
        whole_bytes: u64,
        /// How long the file is.
        bytes: u64,
    },
    /// Of several files, one is over and another follows.
    FileEnd,
    End,
}

/// A file that cannot be read.
#[derive(Debug)]
pub struct StreamError {
    pub offset: u64,
    pub fault: StreamFault,
}

#[derive(Debug)]
pub enum StreamFault {
    /// Of the RDB part.
    Snapshot(RdbError),
    Io(std::io::Error),
    TooLong {
        bytes: u64,
        bytes_max: u64,
    },
    Malformed(&'static str),
}

impl fmt::Display for StreamError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = self.offset;
        match &self.fault {
            StreamFault::Snapshot(error) => error.fmt(out),
            StreamFault::Io(error) => write!(out, "cannot be read at offset {offset}: {error}"),
            StreamFault::TooLong { bytes, bytes_max } => {
                write!(out, "an argument of {bytes} bytes at offset {offset}, where at most {bytes_max} are allowed")
            }
            StreamFault::Malformed(what) => write!(out, "{what} at offset {offset}"),
        }
    }
}

impl std::error::Error for StreamError {}

impl From<RdbError> for StreamError {
    /// An error of the bytes below the commands.
    fn from(error: RdbError) -> StreamError {
        let fault = match error.fault {
            Fault::Io(error) => StreamFault::Io(error),
            Fault::TooLong { bytes, bytes_max } => StreamFault::TooLong { bytes, bytes_max },
            fault => return StreamError::snapshot(RdbError { fault, ..error }),
        };
        StreamError { offset: error.offset, fault }
    }
}

impl StreamError {
    fn snapshot(error: RdbError) -> StreamError {
        StreamError { offset: error.offset, fault: StreamFault::Snapshot(error) }
    }
}

/// Where reading is.
enum Stage<R> {
    Snapshot(Box<RdbReader<R>>),
    Commands(Source<R>),
    Done,
}

pub struct AppendOnlyReader<R> {
    stage: Stage<R>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Offset after the last whole command or transaction.
    whole_bytes: u64,
    in_transaction: bool,
}

/// What was read into the buffers.
enum Part {
    Command,
    Time(i64),
    /// A line that says nothing.
    Nothing,
    End,
}

impl<R: Read> AppendOnlyReader<R> {
    pub fn new(from: R, options: ReadOptions) -> Result<AppendOnlyReader<R>, StreamError> {
        let mut source = Source::new(from, options.string_bytes_max);
        let stage = match source.begins_with(MAGIC)? {
            true => Stage::Snapshot(Box::new(RdbReader::over(source, options).map_err(StreamError::snapshot)?)),
            false => Stage::Commands(source),
        };
        Ok(AppendOnlyReader { stage, bytes: Vec::new(), ends: Vec::new(), whole_bytes: 0, in_transaction: false })
    }

    /// Whether the end was reached.
    pub fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// The next event. After the end it is the end again.
    #[allow(clippy::should_implement_trait, reason = "an iterator's items cannot borrow from it")]
    pub fn next(&mut self) -> Result<AppendOnlyEvent<'_>, StreamError> {
        self.leave_snapshot();
        // A borrow in one arm alone does not hold the others.
        let source = match self.stage {
            Stage::Snapshot(ref mut reader) => {
                return reader.next().map(AppendOnlyEvent::Snapshot).map_err(StreamError::snapshot);
            }
            Stage::Commands(ref mut source) => source,
            Stage::Done => return Ok(AppendOnlyEvent::End),
        };
        let part = loop {
            match read_part(source, &mut self.bytes, &mut self.ends) {
                Ok(Part::Nothing) => {}
                Err(StreamError { fault: StreamFault::Snapshot(RdbError { fault: Fault::Truncated, .. }), .. }) => {
                    return Ok(self.torn());
                }
                other => break other?,
            }
        };
        let offset = source.offset();
        match part {
            Part::Time(seconds) => Ok(AppendOnlyEvent::Time(seconds)),
            Part::End if self.in_transaction => Ok(self.torn()),
            Part::End | Part::Nothing => {
                self.stage = Stage::Done;
                Ok(AppendOnlyEvent::End)
            }
            Part::Command => {
                let command = Command { bytes: &self.bytes, ends: &self.ends };
                if command.is_just("MULTI") {
                    self.in_transaction = true;
                } else if command.is_just("EXEC") {
                    self.in_transaction = false;
                }
                if !self.in_transaction {
                    self.whole_bytes = offset;
                }
                Ok(AppendOnlyEvent::Command(command))
            }
        }
    }

    /// Goes on to the commands once the RDB part was read.
    fn leave_snapshot(&mut self) {
        if matches!(&self.stage, Stage::Snapshot(reader) if reader.is_done())
            && let Stage::Snapshot(reader) = std::mem::replace(&mut self.stage, Stage::Done)
        {
            self.whole_bytes = reader.offset();
            self.stage = Stage::Commands(reader.into_source());
        }
    }

    fn torn(&mut self) -> AppendOnlyEvent<'static> {
        let bytes = match &self.stage {
            Stage::Commands(source) => source.offset(),
            _ => self.whole_bytes,
        };
        self.stage = Stage::Done;
        AppendOnlyEvent::Torn { whole_bytes: self.whole_bytes, bytes }
    }
}

fn malformed(offset: u64, what: &'static str) -> StreamError {
    StreamError { offset, fault: StreamFault::Malformed(what) }
}

fn read_part<R: Read>(source: &mut Source<R>, bytes: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<Part, StreamError> {
    if source.is_at_end()? {
        return Ok(Part::End);
    }
    bytes.clear();
    bytes.shrink_to(KEPT_BYTES_MAX);
    ends.clear();
    ends.shrink_to(KEPT_BYTES_MAX / size_of::<usize>());
    let offset = source.offset();
    match source.byte()? {
        b'*' => {
            let count = read_number(source, bytes)?;
            if count < 1 {
                return Err(malformed(offset, "a command without arguments"));
            }
            for _ in 0..count {
                read_argument(source, bytes)?;
                ends.push(bytes.len());
            }
            Ok(Part::Command)
        }
        b'#' => {
            read_annotation(source, bytes)?;
            let seconds = bytes.strip_prefix(b"TS:").and_then(parse_i64);
            Ok(seconds.map_or(Part::Nothing, Part::Time))
        }
        _ => Err(malformed(offset, "no command begins")),
    }
}

/// A number and the end of its line. Leaves `bytes` as they were.
fn read_number<R: Read>(source: &mut Source<R>, bytes: &mut Vec<u8>) -> Result<i64, StreamError> {
    let (offset, start) = (source.offset(), bytes.len());
    loop {
        match source.byte()? {
            b'\r' => break,
            _ if bytes.len() - start == NUMBER_BYTES_MAX => return Err(malformed(offset, "a number that is none")),
            byte => bytes.push(byte),
        }
    }
    let number = parse_i64(&bytes[start..]);
    bytes.truncate(start);
    if source.byte()? != b'\n' {
        return Err(malformed(offset, "a line without an end"));
    }
    number.ok_or_else(|| malformed(offset, "a number that is none"))
}

fn read_argument<R: Read>(source: &mut Source<R>, bytes: &mut Vec<u8>) -> Result<(), StreamError> {
    let offset = source.offset();
    if source.byte()? != b'$' {
        return Err(malformed(offset, "no argument begins"));
    }
    let len = read_number(source, bytes)?;
    let len = u64::try_from(len).map_err(|_| malformed(offset, "an argument of negative length"))?;
    source.append(len, bytes)?;
    let offset = source.offset();
    match source.array::<2>()? {
        [b'\r', b'\n'] => Ok(()),
        _ => Err(malformed(offset, "an argument without an end")),
    }
}

/// The rest of a line, as far as anybody reads it.
fn read_annotation<R: Read>(source: &mut Source<R>, bytes: &mut Vec<u8>) -> Result<(), StreamError> {
    loop {
        match source.byte()? {
            b'\n' => break,
            byte if bytes.len() < ANNOTATION_BYTES_MAX => bytes.push(byte),
            _ => {}
        }
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rdb::{RdbWriter, SavedKey, Value, WriteOptions};

    /// Events as lines, the error last.
    fn story(bytes: &[u8]) -> Vec<String> {
        let options = ReadOptions { string_bytes_max: 1000, ..ReadOptions::default() };
        let mut lines = Vec::new();
        let mut reader = match AppendOnlyReader::new(bytes, options) {
            Ok(reader) => reader,
            Err(error) => return vec![error.to_string()],
        };
        loop {
            lines.push(match reader.next() {
                Ok(AppendOnlyEvent::Command(command)) => command
                    .arguments()
                    .map(|argument| argument.escape_ascii().to_string())
                    .collect::<Vec<_>>()
                    .join(" "),
                Ok(AppendOnlyEvent::Snapshot(Event::Key(saved))) => format!("{} saved", saved.key.escape_ascii()),
                Ok(AppendOnlyEvent::Snapshot(_)) => continue,
                Ok(AppendOnlyEvent::End) => return lines,
                Ok(other) => format!("{other:?}"),
                Err(error) => {
                    lines.push(error.to_string());
                    return lines;
                }
            });
        }
    }

    const COMMANDS: &[u8] = b"#TS:1700000000\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n#any thing\r\n\
        *1\r\n$5\r\nmulti\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\n\r\n\0v\r\n*1\r\n$4\r\nEXEC\r\n*1\r\n$0\r\n\r\n";
    const TOLD: &[&str] = &["Time(1700000000)", "SELECT 0", "multi", "SET k \\r\\n\\x00v", "EXEC", ""];

    fn snapshot() -> Vec<u8> {
        let mut writer = RdbWriter::new(Vec::new(), WriteOptions::default()).unwrap();
        writer.header(1, 2, true).unwrap();
        writer.key(&SavedKey::new(b"key", Value::String(b"value"), None)).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn commands_with_and_without_a_snapshot() {
        assert_eq!(story(COMMANDS), TOLD);
        assert_eq!(story(&snapshot()), ["key saved"]);
        let told: Vec<&str> = std::iter::once("key saved").chain(TOLD.iter().copied()).collect();
        assert_eq!(story(&[&snapshot()[..], COMMANDS].concat()), told);
        assert!(story(b"").is_empty());
    }

    #[test]
    fn a_torn_end_tells_where_to_cut() {
        let snapshot = snapshot();
        let file = [&snapshot[..], COMMANDS].concat();
        // Where a cut is none: after each part, but inside the transaction.
        let multi = snapshot.len() + COMMANDS.windows(8).position(|part| part == b"*1\r\n$5\r\n").unwrap();
        let exec_end = file.len() - b"*1\r\n$0\r\n\r\n".len();
        let mut whole = 0;
        for cut in snapshot.len()..=file.len() {
            let lines = story(&file[..cut]);
            let last = lines.last().unwrap();
            if let Some(torn) = last.strip_prefix("Torn { whole_bytes: ") {
                assert!(torn.ends_with(&format!(", bytes: {cut} }}")), "{cut}: {last}");
                let to: usize = torn.split(',').next().unwrap().parse().unwrap();
                assert!(to == snapshot.len() || to <= multi || to == exec_end, "{cut}: {last}");
                assert!(!story(&file[..to]).last().unwrap().starts_with("Torn"), "{cut}: {last}");
            } else {
                assert!(!last.contains("offset"), "{cut}: {last}");
                assert!(cut <= multi || cut >= exec_end, "{cut}: {last}");
                whole += 1;
            }
        }
        assert_eq!(whole, 6, "after the snapshot, two annotations, SELECT, EXEC, the last command");
        // A snapshot is never torn: it was written before the file got its name.
        assert_eq!(
            story(&file[..snapshot.len() - 1]).last().unwrap().split(',').next(),
            Some("RDB: ends in the middle")
        );
    }

    #[test]
    fn damage_is_an_error_with_its_place() {
        for (bytes, error) in [
            ("SET k v\r\n", "no command begins at offset 0"),
            ("\0\0\0", "no command begins at offset 0"),
            ("REDI", "no command begins at offset 0"),
            ("REDIS9999", "RDB: version 9999 is not among 1 to 12, which are read"),
            ("*0\r\n", "a command without arguments at offset 0"),
            ("*-1\r\n", "a command without arguments at offset 0"),
            ("*x\r\n", "a number that is none at offset 1"),
            ("*1\n$1\r\nx\r\n", "a number that is none at offset 1"),
            ("*1\rx", "a line without an end at offset 1"),
            ("*111111111111111111111\r\n", "a number that is none at offset 1"),
            ("*1\r\n+OK\r\n", "no argument begins at offset 4"),
            ("*1\r\n$-1\r\n", "an argument of negative length at offset 4"),
            ("*1\r\n$4\r\nINFOxx", "an argument without an end at offset 12"),
            ("*1\r\n$1001\r\n", "an argument of 1001 bytes at offset 11, where at most 1000 are allowed"),
        ] {
            assert_eq!(story(bytes.as_bytes()), [error], "{bytes:?}");
        }
        assert_eq!(story(b"*9223372036854775807\r\n$1\r\nx\r\n"), ["Torn { whole_bytes: 0, bytes: 29 }"]);
        let damaged = [COMMANDS, b"*1\r\n$4\r\nPING\r\n?"].concat();
        assert_eq!(story(&damaged).last().unwrap(), &format!("no command begins at offset {}", damaged.len() - 1));
    }
}
