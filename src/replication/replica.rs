//! The replica's side of replication: what a primary is told until its stream comes, and what its answers mean.
//!
//! ```text
//! PING --> AUTH, if there is a login, and REPLCONF listening-port, ip-address, capa --> PSYNC id offset
//!                                                          +CONTINUE [id]          |
//!      the stream <----------------------------------------------------------------+
//!      $length | $EOF:mark, then the copy, then the stream <-----------------------+ +FULLRESYNC id offset
//! ```
//! A line is answered at a time; empty ones are signs of life.

use std::collections::VecDeque;

use crate::resp::push_request;

/// Length of the mark that ends a copy.
const MARK_BYTES: usize = 40;
/// Errors to PING after which it makes sense to go on: the login comes next.
const PERMITTED_ERRORS: [&[u8]; 3] = [b"-NOAUTH", b"-NOPERM", b"-ERR operation not permitted"];
/// Errors to PSYNC that pass.
const PASSING_ERRORS: [&[u8]; 2] = [b"-NOMASTERLINK", b"-LOADING"];

/// What a replica says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Introduction {
    pub user: Option<String>,
    pub password: Option<String>,
    pub listening_port: u16,
    /// The address that it wants to be known by.
    pub address: Option<String>,
    /// The history that it knows, and the offset up to which it has everything.
    pub id: String,
    pub offset: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Ping,
    Login,
    /// Primaries that do not know the word are none the worse.
    About,
    Stream,
}

/// What follows from an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// To say this, which may be nothing, and hear on.
    Say(Vec<u8>),
    /// A copy comes, and the stream from this offset on.
    Copy { id: String, offset: u64 },
    /// The stream goes on where it was, perhaps under another name.
    Continue { id: Option<String> },
}

/// The conversation that ends with the stream.
#[derive(Debug)]
pub struct Handshake {
    introduction: Introduction,
    awaited: VecDeque<Question>,
}

fn shown(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

impl Handshake {
    /// Begins it; gives what to say first.
    pub fn begin(introduction: Introduction) -> (Handshake, Vec<u8>) {
        let mut ping = Vec::new();
        push_request(&mut ping, &["PING"]);
        (Handshake { introduction, awaited: VecDeque::from([Question::Ping]) }, ping)
    }

    /// Hears a line, without its end. An error ends the attempt.
    pub fn hear(&mut self, line: &[u8]) -> Result<Next, String> {
        if line.is_empty() {
            return Ok(Next::Say(Vec::new()));
        }
        let is_error = line.starts_with(b"-");
        let question = self.awaited.pop_front().ok_or("the primary speaks unasked")?;
        match question {
            Question::Ping if is_error && !PERMITTED_ERRORS.iter().any(|error| line.starts_with(error)) => {
                return Err(format!("Error reply to PING from primary: '{}'", shown(line)));
            }
            Question::Ping => return Ok(Next::Say(self.introduce())),
            Question::Login if is_error => return Err(format!("Unable to AUTH to MASTER: {}", shown(line))),
            Question::Login | Question::About => {}
            Question::Stream => return answer_to_psync(line),
        }
        let mut words = Vec::new();
        if self.awaited.is_empty() {
            let Introduction { id, offset, .. } = &self.introduction;
            push_request(&mut words, &["PSYNC", id, &(offset + 1).to_string()]);
            self.awaited.push_back(Question::Stream);
        }
        Ok(Next::Say(words))
    }

    fn introduce(&mut self) -> Vec<u8> {
        let mut said = Vec::new();
        let mut say = |question, words: &[&str]| {
            push_request(&mut said, words);
            self.awaited.push_back(question);
        };
        let Introduction { user, password, listening_port, address, .. } = &self.introduction;
        match (user, password) {
            (Some(user), Some(password)) => say(Question::Login, &["AUTH", user, password]),
            (None, Some(password)) => say(Question::Login, &["AUTH", password]),
            (_, None) => {}
        }
        say(Question::About, &["REPLCONF", "listening-port", &listening_port.to_string()]);
        if let Some(address) = address {
            say(Question::About, &["REPLCONF", "ip-address", address]);
        }
        say(Question::About, &["REPLCONF", "capa", "eof", "capa", "psync2"]);
        said
    }
}

fn answer_to_psync(line: &[u8]) -> Result<Next, String> {
    let text = shown(line);
    let mut words = text.split(' ');
    match (words.next(), words.next(), words.next()) {
        (Some("+FULLRESYNC"), Some(id), Some(offset)) => {
            let offset = offset.parse().ok().filter(|_| is_id(id));
            let offset = offset.ok_or(format!("the primary offers a copy in words that make no sense: {text}"))?;
            Ok(Next::Copy { id: id.to_owned(), offset })
        }
        (Some("+CONTINUE"), id, None) => Ok(Next::Continue { id: id.filter(|id| is_id(id)).map(str::to_owned) }),
        _ if PASSING_ERRORS.iter().any(|error| line.starts_with(error)) => {
            Err(format!("the primary cannot give its stream now: {text}"))
        }
        _ => Err(format!("Unexpected reply to PSYNC from primary: {text}")),
    }
}

fn is_id(id: &str) -> bool {
    id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A full copy on its way.
#[derive(Debug)]
pub struct Incoming {
    /// `None`: it ends with the mark.
    pub total_bytes: Option<u64>,
    mark: Vec<u8>,
    pub read_bytes: u64,
    /// The last bytes, as many as a mark has.
    tail: Vec<u8>,
}

impl Incoming {
    /// Hears the line that announces a copy, without its end; `None` for a sign of life.
    pub fn announced(line: &[u8]) -> Result<Option<Incoming>, String> {
        let incoming = |total_bytes, mark: &[u8]| {
            Ok(Some(Incoming { total_bytes, mark: mark.to_vec(), read_bytes: 0, tail: Vec::new() }))
        };
        if line.is_empty() {
            return Ok(None);
        }
        if let Some(mark) = line.strip_prefix(b"$EOF:").filter(|mark| mark.len() == MARK_BYTES) {
            return incoming(None, mark);
        }
        let length = line.strip_prefix(b"$").and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        match length {
            Some(length) => incoming(Some(length), b""),
            None => Err(format!("the primary does not send a copy but: {}", shown(line))),
        }
    }

    /// Takes bytes; tells how many of them belong to the copy, the mark included.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        let count = match self.total_bytes {
            Some(total_bytes) => bytes.len().min((total_bytes - self.read_bytes) as usize),
            None => bytes.len(),
        };
        self.read_bytes += count as u64;
        self.tail.extend_from_slice(&bytes[count.saturating_sub(MARK_BYTES)..count]);
        let surplus = self.tail.len().saturating_sub(MARK_BYTES);
        self.tail.drain(..surplus);
        count
    }

    /// Whether nothing is missing. With a mark, nothing follows before the primary has heard that it came.
    pub fn is_whole(&self) -> bool {
        match self.total_bytes {
            Some(total_bytes) => self.read_bytes == total_bytes,
            None => self.tail == self.mark,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    fn introduction() -> Introduction {
        Introduction { listening_port: 7001, id: ID.into(), offset: 99, ..Introduction::default() }
    }

    fn words(said: &[u8]) -> String {
        let text = String::from_utf8_lossy(said);
        let words = text.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with(['*', '$']));
        words.collect::<Vec<_>>().join(" ")
    }

    /// What is said after each line; an error in brackets.
    fn story(introduction: Introduction, lines: &[&str]) -> Vec<String> {
        let (mut handshake, first) = Handshake::begin(introduction);
        let mut told = vec![words(&first)];
        told.extend(lines.iter().map(|line| match handshake.hear(line.as_bytes()) {
            Ok(Next::Say(said)) => words(&said),
            Ok(Next::Copy { id, offset }) => format!("copy {id} {offset}"),
            Ok(Next::Continue { id }) => format!("continue {id:?}"),
            Err(error) => format!("[{error}]"),
        }));
        told
    }

    #[test]
    fn a_copy_or_the_stream_is_agreed_on() {
        let about = "REPLCONF listening-port 7001 REPLCONF capa eof capa psync2";
        let psync = format!("PSYNC {ID} 100");
        let full = format!("+FULLRESYNC {ID} 7");
        assert_eq!(
            story(introduction(), &["+PONG", "+OK", "-ERR what", "", &full]),
            ["PING", about, "", &psync, "", &format!("copy {ID} 7")]
        );
        let with_login = Introduction {
            user: Some("u".into()),
            password: Some("p".into()),
            address: Some("host".into()),
            ..introduction()
        };
        let told = story(with_login, &["-NOAUTH Authentication required.", "+OK", "+OK", "+OK", "+OK", "+CONTINUE"]);
        assert!(told[1].starts_with("AUTH u p REPLCONF listening-port 7001 REPLCONF ip-address host "), "{}", told[1]);
        assert_eq!(&told[2..], ["", "", "", &psync, "continue None"]);
        let told = story(introduction(), &["+PONG", "+OK", "+OK", &format!("+CONTINUE {ID}")]);
        assert_eq!(told[4], format!("continue {:?}", Some(ID)));
    }

    #[test]
    fn what_makes_no_sense_ends_it() {
        let last = |introduction, lines: &[&str]| story(introduction, lines).pop().unwrap();
        assert_eq!(last(introduction(), &["-ERR no"]), "[Error reply to PING from primary: '-ERR no']");
        let with_login = Introduction { password: Some("p".into()), ..introduction() };
        assert_eq!(last(with_login, &["+PONG", "-WRONGPASS no"]), "[Unable to AUTH to MASTER: -WRONGPASS no]");
        for line in
            ["+FULLRESYNC x 1", "+FULLRESYNC", "-NOMASTERLINK no", "-ERR unknown command", "hello", "+FULLRESYNC 1"]
        {
            assert!(last(introduction(), &["+PONG", "+OK", "+OK", line]).starts_with('['), "{line}");
        }
    }

    #[test]
    fn copies_end_by_length_or_with_their_mark() {
        assert!(Incoming::announced(b"").unwrap().is_none());
        for line in [&b"-ERR no"[..], b"$x", b"$EOF:short", b"hello"] {
            assert!(Incoming::announced(line).is_err());
        }
        let mut counted = Incoming::announced(b"$10").unwrap().unwrap();
        assert_eq!((counted.take(b"12345"), counted.is_whole()), (5, false));
        assert_eq!((counted.take(b"67890*1"), counted.is_whole()), (5, true));
        let mut marked = Incoming::announced(format!("$EOF:{ID}").as_bytes()).unwrap().unwrap();
        for piece in ["data", &ID[..20], ID, &ID[..39]] {
            marked.take(piece.as_bytes());
            assert_eq!(marked.is_whole(), piece == ID, "{piece}");
        }
        assert_eq!(marked.take(&ID.as_bytes()[39..]), 1);
        assert!(marked.is_whole());
    }
}
