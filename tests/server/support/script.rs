//! A notation for conversations: one command a line, `=>`, and the reply that must come.
//!
//! ```text
//! SET key "a\x00b" PX 100   => +OK
//! PTTL key                  => :0..100
//! INCR key                  => -ERR value is not an integer or out of range
//! EXEC                      => [+OK :1 nil "text"]
//! ```
//!
//! Replies: `+status`, `-error to the end of the line`, `:integer` or `:low..high`, `"bulk"`, `="verbatim"`, `nil`,
//! `[array]`, `{map}`, `~[set]`, `>[push]`, `,double`, `#t`, `_` for anything, `contains "text"` for any string or error
//! that holds the text. A line without `=>` must not answer an error. `#` starts a comment line.

use super::client::Client;
use super::reply::Reply;

/// Runs a conversation; the first reply that differs panics with its line.
pub fn check(client: &mut Client, conversation: &str) {
    for (number, line) in conversation.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (command, expected) = match line.split_once("=>") {
            Some((command, expected)) => (command.trim(), Some(expected.trim())),
            None => (line, None),
        };
        let reply = client.run(command);
        let met = match expected {
            Some(text) => Expectation::parse(text).met_by(&reply),
            None => !reply.is_error(),
        };
        assert!(
            met,
            "line {}: {command}\n  expected {}\n  received {reply:?}",
            number + 1,
            expected.unwrap_or("no error")
        );
    }
}

/// The part of the reply notation on the right of `=>`.
#[derive(Debug)]
pub enum Expectation {
    Exactly(Reply),
    Between(i64, i64),
    Contains(Vec<u8>),
    Anything,
    Array(Vec<Expectation>),
    Set(Vec<Expectation>),
    Push(Vec<Expectation>),
    Map(Vec<Expectation>),
}

impl Expectation {
    pub fn parse(text: &str) -> Expectation {
        let mut reader = Reader { text: text.as_bytes(), at: 0 };
        let parsed = reader.expectation();
        reader.skip_spaces();
        assert!(reader.at == reader.text.len(), "left over after the expectation: {text}");
        parsed
    }

    pub fn met_by(&self, reply: &Reply) -> bool {
        match self {
            Expectation::Exactly(expected) => expected == reply,
            Expectation::Between(low, high) => {
                matches!(reply, Reply::Integer(value) if (low..=high).contains(&value))
            }
            Expectation::Contains(part) => match reply {
                Reply::Bulk(bytes) | Reply::Verbatim(bytes) | Reply::Status(bytes) | Reply::Error(bytes) => {
                    bytes.windows(part.len()).any(|window| window == part)
                }
                _ => false,
            },
            Expectation::Anything => true,
            Expectation::Array(parts) => {
                matches!(reply, Reply::Array(items) if all_met(parts, items.iter()))
            }
            Expectation::Set(parts) => {
                matches!(reply, Reply::Set(items) if all_met(parts, items.iter()))
            }
            Expectation::Push(parts) => {
                matches!(reply, Reply::Push(items) if all_met(parts, items.iter()))
            }
            Expectation::Map(parts) => match reply {
                Reply::Map(pairs) => {
                    let items: Vec<&Reply> = pairs.iter().flat_map(|(key, value)| [key, value]).collect();
                    all_met(parts, items.into_iter())
                }
                _ => false,
            },
        }
    }
}

fn all_met<'a>(parts: &[Expectation], items: impl ExactSizeIterator<Item = &'a Reply>) -> bool {
    parts.len() == items.len() && parts.iter().zip(items).all(|(part, item)| part.met_by(item))
}

/// Splits a command line as redis-cli does: blanks separate, quotes hold together, `\xHH` and the usual escapes in "".
pub fn split_line(line: &str) -> Vec<Vec<u8>> {
    let mut reader = Reader { text: line.as_bytes(), at: 0 };
    let mut arguments = Vec::new();
    loop {
        reader.skip_spaces();
        match reader.peek() {
            None => return arguments,
            Some(b'"') => arguments.push(reader.quoted()),
            Some(_) => arguments.push(reader.word().to_vec()),
        }
    }
}

/// A request as an array of bulk strings.
pub fn encode_command<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        let bytes = argument.as_ref();
        request.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
        request.extend_from_slice(bytes);
        request.extend_from_slice(b"\r\n");
    }
    request
}

/// Bytes as printable text; what is long is cut, since it only serves messages.
pub fn escape(bytes: &[u8]) -> String {
    const SHOWN: usize = 600;
    let mut text: String =
        bytes.iter().take(SHOWN).flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect();
    if bytes.len() > SHOWN {
        text.push_str(&format!("...({} bytes)", bytes.len()));
    }
    text
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn word(&mut self) -> &'a [u8] {
        let start = self.at;
        while self.peek().is_some_and(|byte| !byte.is_ascii_whitespace()) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    /// A word that a closing bracket also ends.
    fn token(&mut self) -> String {
        let start = self.at;
        while self.peek().is_some_and(|byte| !byte.is_ascii_whitespace() && byte != b']' && byte != b'}') {
            self.at += 1;
        }
        String::from_utf8_lossy(&self.text[start..self.at]).into_owned()
    }

    fn quoted(&mut self) -> Vec<u8> {
        assert_eq!(self.peek(), Some(b'"'), "a quote was expected");
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            let byte = self.peek().expect("a closing quote");
            self.at += 1;
            match byte {
                b'"' => return bytes,
                b'\\' => {
                    let escaped = self.peek().expect("something after the backslash");
                    self.at += 1;
                    bytes.push(match escaped {
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'x' => {
                            let digits = std::str::from_utf8(&self.text[self.at..self.at + 2]).expect("ASCII");
                            self.at += 2;
                            u8::from_str_radix(digits, 16).expect("two hexadecimal digits")
                        }
                        other => other,
                    });
                }
                other => bytes.push(other),
            }
        }
    }

    fn rest(&mut self) -> Vec<u8> {
        let rest = self.text[self.at..].to_vec();
        self.at = self.text.len();
        rest
    }

    fn list(&mut self, close: u8) -> Vec<Expectation> {
        let mut parts = Vec::new();
        self.at += 1;
        loop {
            self.skip_spaces();
            if self.peek() == Some(close) {
                self.at += 1;
                return parts;
            }
            parts.push(self.expectation());
        }
    }

    fn expectation(&mut self) -> Expectation {
        self.skip_spaces();
        match self.peek().expect("an expectation") {
            b'+' => {
                self.at += 1;
                Expectation::Exactly(Reply::Status(self.token().into_bytes()))
            }
            b'-' => {
                self.at += 1;
                // Inside a list the error stands in quotes, because its end could not be told otherwise.
                let text = if self.peek() == Some(b'"') { self.quoted() } else { self.rest() };
                Expectation::Exactly(Reply::Error(text))
            }
            b':' => {
                self.at += 1;
                let token = self.token();
                let number = |text: &str| text.parse::<i64>().unwrap_or_else(|_| panic!("not an integer: {text}"));
                match token.split_once("..") {
                    Some((low, high)) => Expectation::Between(number(low), number(high)),
                    None => Expectation::Exactly(Reply::Integer(number(&token))),
                }
            }
            b'"' => Expectation::Exactly(Reply::Bulk(self.quoted())),
            b'=' => {
                self.at += 1;
                Expectation::Exactly(Reply::Verbatim(self.quoted()))
            }
            b',' => {
                self.at += 1;
                Expectation::Exactly(Reply::Double(self.token().parse().expect("a double")))
            }
            b'#' => {
                self.at += 1;
                Expectation::Exactly(Reply::Boolean(self.token() == "t"))
            }
            b'[' => Expectation::Array(self.list(b']')),
            b'{' => Expectation::Map(self.list(b'}')),
            b'~' => {
                self.at += 1;
                Expectation::Set(self.list(b']'))
            }
            b'>' => {
                self.at += 1;
                Expectation::Push(self.list(b']'))
            }
            _ => match self.token().as_str() {
                "nil" => Expectation::Exactly(Reply::Null),
                "_" => Expectation::Anything,
                "contains" => {
                    self.skip_spaces();
                    Expectation::Contains(self.quoted())
                }
                other => panic!("not in the notation: {other}"),
            },
        }
    }
}
