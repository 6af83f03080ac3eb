//! Serving a connection while a late script keeps its worker.
//!
//! The script runs inside the poll of another connection, so the runtime polls nobody. Every millisecond or so the script
//! lets this thread look at its other connections: their sockets are read and written directly, past the runtime, and
//! what they ask for is run by an executor that knows what must not be done now. Since it is all one thread, nothing
//! races: the connection goes on where this left it once the runtime polls it again.

use std::io::{self, Read, Write};

use socket2::SockRef;

use super::{Connection, parse_limits};
use crate::commands::{Batch, Executor};
use crate::engine::session::Fate;
use crate::net::stream::Stream;
use crate::resp::Reply;
use crate::resp::parser::{self, Parsed, Partial};

/// What one look takes from a socket.
const READ_BYTES: usize = 16 * 1024;

impl Stream {
    /// The socket, which does not block.
    pub(super) fn socket(&self) -> SockRef<'_> {
        match self {
            Stream::Tcp(stream) => SockRef::from(stream),
            Stream::Unix(stream) => SockRef::from(stream),
        }
    }
}

impl Connection {
    /// Reads what the client sent, answers what is complete in it, and sends the answers as far as the socket takes them.
    pub fn serve_beside_script(&mut self, executor: &mut Executor) {
        let holds = self.delayed.is_some() || self.held_for.is_some() || self.session.waiting.is_some();
        // What a primary sends is run in its order, or not at all.
        if holds || self.session.fate != Fate::Stay || self.session.relay.is_some() {
            return;
        }
        let mut buffer = [0; READ_BYTES];
        let read = (&*self.stream.socket()).read(&mut buffer);
        // The end of the client's side, or of the socket, is met again by the next poll. A replica is gone at once: the
        // script may look.
        if let Ok(0) = read
            && let Some(feed) = self.feed.take()
        {
            feed.end(&executor.worker.engine);
            self.session.fate = Fate::CloseAfterReply;
            self.handle.wake();
        }
        let Ok(count @ 1..) = read else { return };
        self.input.extend_from_slice(&buffer[..count]);
        let mut output = Vec::new();
        self.run_beside_script(executor, &mut output);
        self.unsent.push(&output);
        if self.write_at_once().is_err() {
            self.session.fate = Fate::CloseAfterReply;
        }
        // The next poll sends the rest, and closes what is to be closed.
        self.handle.wake();
    }

    fn run_beside_script(&mut self, executor: &mut Executor, output: &mut Vec<u8>) {
        let input = std::mem::take(&mut self.input);
        let mut consumed = 0;
        self.needed = 0;
        while consumed < input.len() && self.session.fate == Fate::Stay && self.session.waiting.is_none() {
            let mut arguments: Vec<&[u8]> = Vec::new();
            let limits = parse_limits(&self.session, executor);
            let inline;
            let length = match parser::parse(&input[consumed..], limits, &mut arguments) {
                Parsed::Complete { consumed } => consumed,
                Parsed::Inline { consumed, arguments: words } => {
                    inline = words;
                    arguments = inline.iter().map(Vec::as_slice).collect();
                    consumed
                }
                Parsed::Incomplete { needed, .. } => {
                    self.needed = needed;
                    break;
                }
                Parsed::Malformed(error) => {
                    let text = [b"ERR Protocol error: ", &error.text()[..]].concat();
                    Reply::new(output, self.session.protocol).error_bytes(&text);
                    self.session.fate = Fate::CloseAfterReply;
                    break;
                }
            };
            let batch = Batch { arguments: &arguments, ends: &[arguments.len()], source: None };
            if executor.run(&mut self.session, &batch, output).requests == 0 {
                break;
            }
            consumed += length;
        }
        if consumed > 0 {
            self.partial = Partial::default();
        }
        self.input = input;
        self.input.drain(..consumed);
    }

    fn write_at_once(&mut self) -> io::Result<()> {
        while self.unsent.len() > 0 {
            match (&*self.stream.socket()).write(self.unsent.next()) {
                Ok(count) => self.unsent.pass(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
