//! A blocking client: commands in, decoded replies out, and the raw bytes where a test is about the bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::reply::Reply;
use super::script::{encode_command, escape, split_line};
use super::{PATIENCE, wait_until};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    Resp2,
    Resp3,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

pub struct Client {
    stream: Stream,
    protocol: Protocol,
    received: Vec<u8>,
    consumed: usize,
}

impl Client {
    pub fn connect(address: impl ToSocketAddrs) -> std::io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Client::over(Stream::Tcp(stream)))
    }

    pub fn connect_unix(path: &Path) -> std::io::Result<Client> {
        Ok(Client::over(Stream::Unix(UnixStream::connect(path)?)))
    }

    fn over(stream: Stream) -> Client {
        Client { stream, protocol: Protocol::Resp2, received: Vec::new(), consumed: 0 }
    }

    /// Sends one command and waits for its reply.
    pub fn command<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Reply {
        self.send(&encode_command(arguments));
        self.reply()
    }

    /// Sends one command and gives the bytes of its reply.
    pub fn command_bytes<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Vec<u8> {
        self.send(&encode_command(arguments));
        self.reply_bytes().1
    }

    /// Sends one command and waits for its reply; None when the server has closed the connection.
    pub fn try_command<A: AsRef<[u8]>>(&mut self, arguments: &[A]) -> Option<Reply> {
        self.try_send(&encode_command(arguments)).ok()?;
        self.try_reply()
    }

    /// The same from a command line with redis-cli's quoting.
    pub fn run(&mut self, line: &str) -> Reply {
        self.command(&split_line(line))
    }

    /// Sends a command without waiting for anything.
    pub fn post(&mut self, line: &str) {
        self.send(&encode_command(&split_line(line)));
    }

    /// Switches protocol with HELLO and gives its reply.
    pub fn hello(&mut self, protocol: Protocol) -> Reply {
        self.post(if protocol == Protocol::Resp3 { "HELLO 3" } else { "HELLO 2" });
        self.protocol = protocol;
        self.reply()
    }

    /// How replies from here on are decoded, for tests that negotiate by hand.
    pub fn decode_as(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap_or_else(|error| panic!("sending {}: {error}", escape(bytes)));
    }

    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        }
    }

    /// The next reply or push.
    pub fn reply(&mut self) -> Reply {
        self.reply_bytes().0
    }

    /// The next reply with the bytes that made it.
    pub fn reply_bytes(&mut self) -> (Reply, Vec<u8>) {
        match self.reply_within(PATIENCE) {
            Some(found) => found,
            None => panic!("no reply; received so far: {:?}", escape(&self.received[self.consumed..])),
        }
    }

    /// The next reply, or None when the server closes instead. Panics when neither happens in time.
    pub fn try_reply(&mut self) -> Option<Reply> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some((reply, _)) = self.take_reply() {
                return Some(reply);
            }
            match self.receive(deadline.saturating_duration_since(Instant::now())) {
                Received::Some => {}
                Received::Nothing => panic!("neither a reply nor an end of the connection"),
                Received::Closed => return None,
            }
        }
    }

    /// The next reply if it comes in time. Panics when the server closes instead.
    pub fn reply_within(&mut self, patience: Duration) -> Option<(Reply, Vec<u8>)> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(found) = self.take_reply() {
                return Some(found);
            }
            match self.receive(deadline.saturating_duration_since(Instant::now())) {
                Received::Some => {}
                Received::Nothing => return None,
                Received::Closed => {
                    panic!("closed by the server; received: {:?}", escape(&self.received[self.consumed..]))
                }
            }
        }
    }

    /// Whatever complete reply has already arrived.
    fn take_reply(&mut self) -> Option<(Reply, Vec<u8>)> {
        let waiting = &self.received[self.consumed..];
        let (reply, length) = match self.protocol {
            Protocol::Resp2 => Reply::decode_resp2(waiting)?,
            Protocol::Resp3 => Reply::decode_resp3(waiting)?,
        };
        let bytes = waiting[..length].to_vec();
        self.consumed += length;
        if self.consumed == self.received.len() {
            self.received.clear();
            self.consumed = 0;
        }
        Some((reply, bytes))
    }

    /// Raw bytes up to and with the given end.
    pub fn raw_until(&mut self, end: &[u8]) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        while !self.received[self.consumed..].ends_with(end) {
            match self.receive(deadline.saturating_duration_since(Instant::now())) {
                Received::Some => {}
                Received::Nothing => panic!("only received {:?}", escape(&self.received[self.consumed..])),
                Received::Closed => {
                    panic!("closed after {:?}", escape(&self.received[self.consumed..]))
                }
            }
        }
        let bytes = self.received.split_off(self.consumed);
        self.received.clear();
        self.consumed = 0;
        bytes
    }

    /// Waits for exactly `length` raw bytes.
    pub fn raw(&mut self, length: usize) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        while self.received.len() - self.consumed < length {
            match self.receive(deadline.saturating_duration_since(Instant::now())) {
                Received::Some => {}
                Received::Nothing => panic!("only received {:?}", escape(&self.received[self.consumed..])),
                Received::Closed => {
                    panic!("closed after {:?}", escape(&self.received[self.consumed..]))
                }
            }
        }
        let bytes = self.received[self.consumed..self.consumed + length].to_vec();
        self.consumed += length;
        bytes
    }

    /// Reads until the server closes and gives all that came before; panics when it does not close in time.
    pub fn until_closed(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.receive(deadline.saturating_duration_since(Instant::now())) {
                Received::Some => {}
                Received::Nothing => panic!("still open; received {:?}", escape(&self.received[self.consumed..])),
                Received::Closed => return self.received.split_off(self.consumed),
            }
        }
    }

    /// True when the server has closed this connection; discards what arrives before that.
    pub fn is_closed(&mut self) -> bool {
        loop {
            match self.receive(Duration::from_millis(1)) {
                Received::Some => {}
                Received::Nothing => return false,
                Received::Closed => return true,
            }
        }
    }

    /// Asserts that nothing arrives for a short while.
    pub fn expect_silence(&mut self, length: Duration) {
        if let Some((reply, _)) = self.reply_within(length) {
            panic!("expected silence, received {reply:?}");
        }
    }

    /// Closes our direction only; the server still answers what was sent.
    pub fn finish_sending(&mut self) {
        let done = match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
        done.expect("shutdown");
    }

    /// Limits how long a send may block; for tests of a server that stops reading.
    pub fn set_send_timeout(&mut self, timeout: Duration) {
        let done = match &self.stream {
            Stream::Tcp(stream) => stream.set_write_timeout(Some(timeout)),
            Stream::Unix(stream) => stream.set_write_timeout(Some(timeout)),
        };
        done.expect("set_write_timeout");
    }

    /// The id that the server gave this connection.
    pub fn id(&mut self) -> i64 {
        self.run("CLIENT ID").integer()
    }

    /// One line of INFO.
    pub fn info(&mut self, section: &str, field: &str) -> String {
        let reply = self.run(&format!("INFO {section}"));
        let found =
            reply.text().lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':').map(str::to_owned));
        found.unwrap_or_else(|| panic!("no {field} in INFO {section}: {reply:?}"))
    }

    /// Polls until the command answers what is expected.
    pub fn wait_for(&mut self, line: &str, expected: &Reply) {
        wait_until(&format!("{line} => {expected:?}"), || self.run(line) == *expected);
    }

    fn receive(&mut self, patience: Duration) -> Received {
        let mut chunk = [0u8; 65536];
        let patience = Some(patience.max(Duration::from_millis(1)));
        let outcome = match &mut self.stream {
            Stream::Tcp(stream) => stream.set_read_timeout(patience).and_then(|()| stream.read(&mut chunk)),
            Stream::Unix(stream) => stream.set_read_timeout(patience).and_then(|()| stream.read(&mut chunk)),
        };
        match outcome {
            Ok(0) => Received::Closed,
            Ok(length) => {
                if self.consumed > 0 && self.consumed * 2 > self.received.len() {
                    self.received.drain(..self.consumed);
                    self.consumed = 0;
                }
                self.received.extend_from_slice(&chunk[..length]);
                Received::Some
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Received::Nothing,
            Err(error) if error.kind() == ErrorKind::Interrupted => Received::Some,
            Err(_) => Received::Closed,
        }
    }
}

enum Received {
    Some,
    Nothing,
    Closed,
}
