//! The replication stream: every change of the data set as Redis commands, in one order, each byte with an offset.
//!
//! It is off, and costs one load, until the first replica comes. Whoever changes keys appends under the locks of their
//! slots, so the stream has every slot's order; what belongs together is appended in one piece. A server that is a replica
//! itself relays its primary's stream byte for byte, so that one offset means the same on all of them. What the stream is
//! made of changes only while the gate is closed: inside the gate nobody sees that happen.
//!
//! ```text
//! base            start of the backlog        cursors of replicas     end
//!  |---------------|---------------------------|-------|---------------|
//!   kept for the slowest cursor                                         appended here
//! ```
//! The bytes lie in blocks that all readers share. A block goes once it is behind the backlog and behind every cursor.
//! One mutex guards all of it; it is held for copies of bounded size only.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::base::number::Decimal;
use crate::engine::clients::ClientHandle;
use crate::resp::push_request;
use crate::store::DbIndex;

/// What a cursor reads at once: it is memory that no limit reckons with.
const READ_BYTES_MAX: usize = 16 << 10;
/// Length of every block but the last.
const BLOCK_BYTES: usize = 64 << 10;

/// Commands for the stream that were not appended yet: those of a transaction, a script or one command.
#[derive(Debug, Default)]
pub struct Commands {
    encoded: Vec<u8>,
    /// Of each command: its database, and where it ends.
    ends: Vec<(DbIndex, usize)>,
}

impl Commands {
    pub fn push(&mut self, db: DbIndex, arguments: &[&[u8]]) {
        push_request(&mut self.encoded, arguments);
        self.ends.push((db, self.encoded.len()));
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn clear(&mut self) {
        self.encoded.clear();
        self.ends.clear();
    }
}

/// What the stream is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Source {
    /// It is off.
    #[default]
    Nothing,
    /// The effects of what is done here.
    Effects,
    /// The bytes of this server's own primary.
    Primary,
}

#[derive(Default)]
pub struct Stream {
    /// Whether effects are appended.
    on: AtomicBool,
    /// Whether there is a stream, whatever it is made of.
    kept: AtomicBool,
    /// Copy of the state's, for those who only look.
    end: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    source: Source,
    blocks: VecDeque<Vec<u8>>,
    /// Offset of the first byte that is kept.
    base: u64,
    end: u64,
    backlog_bytes: u64,
    /// The database that the stream has selected. None makes the next command select its own.
    selected: Option<DbIndex>,
    cursors: Vec<Place>,
    last_cursor_id: u64,
    /// Kept for its allocation.
    scratch: Vec<u8>,
}

/// Where a cursor stands.
struct Place {
    id: u64,
    offset: u64,
    /// To be woken by the next append.
    idle: bool,
    client: Option<Arc<ClientHandle>>,
}

impl State {
    fn write(&mut self, mut bytes: &[u8]) {
        self.end += bytes.len() as u64;
        while !bytes.is_empty() {
            match self.blocks.back_mut().filter(|block| block.len() < BLOCK_BYTES) {
                None => self.blocks.push_back(Vec::with_capacity(BLOCK_BYTES)),
                Some(block) => {
                    let (fitting, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES - block.len()));
                    block.extend_from_slice(fitting);
                    bytes = rest;
                }
            }
        }
    }

    fn select(&mut self, db: DbIndex) {
        if self.selected != Some(db) {
            self.selected = Some(db);
            let mut command = Vec::with_capacity(32);
            push_request(&mut command, &[b"SELECT", Decimal::new(i64::from(db)).as_bytes()]);
            self.write(&command);
        }
    }

    /// Keeps nothing, and goes on at an offset. Who stands elsewhere has lost the thread.
    fn begin_at(&mut self, offset: u64) {
        self.blocks.clear();
        (self.base, self.end) = (offset, offset);
        self.cursors.retain(|place| place.offset == offset);
    }

    fn backlog_start(&self) -> u64 {
        self.base.max(self.end.saturating_sub(self.backlog_bytes))
    }

    /// Ends an append.
    fn settle(&mut self) {
        for place in &mut self.cursors {
            if let Some(client) = &place.client
                && std::mem::take(&mut place.idle)
            {
                client.wake();
            }
        }
        self.trim();
    }

    /// Gives up the blocks that nobody will ask for.
    fn trim(&mut self) {
        let needed = self.cursors.iter().map(|place| place.offset).fold(self.backlog_start(), u64::min);
        while self.blocks.len() > 1 && self.base + BLOCK_BYTES as u64 <= needed {
            self.blocks.pop_front();
            self.base += BLOCK_BYTES as u64;
        }
    }
}

/// What INFO tells of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    pub start: u64,
    pub end: u64,
    /// Memory of the blocks.
    pub bytes: u64,
}

impl Stream {
    /// Whether changes are to be appended. It does not change inside the gate.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    fn set_source(&self, state: &mut State, source: Source) {
        state.source = source;
        state.selected = None;
        if source != Source::Nothing && state.blocks.is_empty() {
            // It is there from the start, so that the first change takes no memory that nobody reckons with.
            state.blocks.push_back(Vec::with_capacity(BLOCK_BYTES));
        }
        self.on.store(source == Source::Effects, Ordering::Relaxed);
        self.kept.store(source != Source::Nothing, Ordering::Relaxed);
    }

    /// The offset behind the last byte.
    pub fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// What those who come back can have, if the stream is on.
    pub fn extent(&self) -> Option<Extent> {
        let state = self.state.lock();
        let bytes = (state.blocks.len() * BLOCK_BYTES) as u64;
        (state.source != Source::Nothing).then(|| Extent { start: state.backlog_start(), end: state.end, bytes })
    }

    /// Memory beyond the backlog, which is there for slow replicas alone.
    pub fn surplus_bytes(&self) -> u64 {
        // Asked at every command where memory has a limit.
        if !self.kept.load(Ordering::Relaxed) {
            return 0;
        }
        let state = self.state.lock();
        ((state.blocks.len() * BLOCK_BYTES) as u64).saturating_sub(state.backlog_bytes + BLOCK_BYTES as u64)
    }

    pub fn set_backlog(&self, bytes: u64) {
        let mut state = self.state.lock();
        state.backlog_bytes = bytes;
        state.trim();
    }

    /// Turns the stream on, if it is not, and makes a cursor at its end. Where it is made of effects, the next of them
    /// selects its database. The caller has closed the gate.
    pub fn cut(self: &Arc<Stream>, backlog_bytes: u64) -> Cursor {
        let mut state = self.state.lock();
        state.backlog_bytes = backlog_bytes;
        let end = state.end;
        if state.source == Source::Nothing {
            state.begin_at(end);
            self.set_source(&mut state, Source::Effects);
        }
        state.selected = None;
        self.add_cursor(&mut state, end, None)
    }

    /// Turns a stream of effects off and forgets it, unless there is a cursor. The caller has closed the gate.
    pub fn turn_off(&self) -> bool {
        let mut state = self.state.lock();
        if !state.cursors.is_empty() || state.source == Source::Primary {
            return false;
        }
        let end = state.end;
        state.begin_at(end);
        self.set_source(&mut state, Source::Nothing);
        true
    }

    /// Has the stream made of a primary's bytes from `offset` on. What is kept is kept on if it ends there. The caller has
    /// closed the gate.
    pub fn begin_relay(&self, offset: u64, backlog_bytes: u64) {
        let mut state = self.state.lock();
        state.backlog_bytes = backlog_bytes;
        if state.source == Source::Nothing || state.end != offset {
            state.begin_at(offset);
        }
        self.set_source(&mut state, Source::Primary);
        self.end.store(state.end, Ordering::Release);
    }

    /// Ends that: the stream goes on with the effects of what is done here. The caller has closed the gate.
    pub fn end_relay(&self) {
        self.set_source(&mut self.state.lock(), Source::Effects);
    }

    /// A cursor at an offset for a client that is woken when there is more; `None` when what follows is not kept.
    pub fn cursor(self: &Arc<Stream>, offset: u64, client: &Arc<ClientHandle>) -> Option<Cursor> {
        let mut state = self.state.lock();
        let kept = state.source != Source::Nothing && (state.base..=state.end).contains(&offset);
        kept.then(|| self.add_cursor(&mut state, offset, Some(client.clone())))
    }

    fn add_cursor(self: &Arc<Stream>, state: &mut State, offset: u64, client: Option<Arc<ClientHandle>>) -> Cursor {
        state.last_cursor_id += 1;
        let id = state.last_cursor_id;
        state.cursors.push(Place { id, offset, idle: false, client });
        Cursor { stream: self.clone(), id }
    }

    // ---- appending ----------------------------------------------------------------------------------------------

    fn append_with(&self, write: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        write(&mut state);
        state.settle();
        self.end.store(state.end, Ordering::Release);
    }

    /// One command on one database.
    pub fn append_one(&self, db: DbIndex, arguments: &[&[u8]]) {
        self.append_with(|state| {
            state.select(db);
            let mut scratch = std::mem::take(&mut state.scratch);
            push_request(&mut scratch, arguments);
            state.write(&scratch);
            scratch.clear();
            scratch.shrink_to(BLOCK_BYTES);
            state.scratch = scratch;
        });
    }

    /// Several commands as one transaction, a single one as it is. A transaction may have ended that itself: nothing, while
    /// the stream is not made of effects.
    pub fn append(&self, commands: &Commands) {
        let Some((first_db, _)) = commands.ends.first().filter(|_| self.is_on()) else { return };
        self.append_with(|state| {
            let is_transaction = commands.ends.len() > 1;
            state.select(*first_db);
            if is_transaction {
                state.write(b"*1\r\n$5\r\nMULTI\r\n");
            }
            let mut start = 0;
            for (db, end) in &commands.ends {
                state.select(*db);
                state.write(&commands.encoded[start..*end]);
                start = *end;
            }
            if is_transaction {
                state.write(b"*1\r\n$4\r\nEXEC\r\n");
            }
        });
    }

    /// Bytes of the primary, which end where one of its commands or transactions does.
    pub fn relay(&self, bytes: &[u8]) {
        self.append_with(|state| state.write(bytes));
    }

    /// A command that concerns no database; nothing while the stream is not made of effects.
    pub fn append_aside(&self, arguments: &[&[u8]]) {
        if !self.is_on() {
            return;
        }
        let mut command = Vec::new();
        push_request(&mut command, arguments);
        self.append_with(|state| state.write(&command));
    }
}

/// A place in the stream from which everything is kept for as long as the cursor lives.
pub struct Cursor {
    stream: Arc<Stream>,
    id: u64,
}

impl Cursor {
    /// `None` when the stream has begun elsewhere since.
    fn with<R>(&self, look: impl FnOnce(&mut State, usize) -> R) -> Option<R> {
        let mut state = self.stream.state.lock();
        let at = state.cursors.iter().position(|place| place.id == self.id)?;
        Some(look(&mut state, at))
    }

    pub fn offset(&self) -> Option<u64> {
        self.with(|state, at| state.cursors[at].offset)
    }

    /// Another cursor at the same place, for a client.
    pub fn again(&self, client: &Arc<ClientHandle>) -> Option<Cursor> {
        self.stream.cursor(self.offset()?, client)
    }

    /// Bytes that are still to be read.
    pub fn lag(&self) -> u64 {
        self.with(|state, at| state.end - state.cursors[at].offset).unwrap_or(0)
    }

    /// Appends some of what follows to `to`. Where nothing follows, the client is woken once something does.
    /// `None` when what followed here is lost.
    pub fn read(&self, to: &mut Vec<u8>) -> Option<usize> {
        self.with(|state, at| {
            let into = (state.cursors[at].offset - state.base) as usize;
            let block = state.blocks.get(into / BLOCK_BYTES).map_or(&[][..], Vec::as_slice);
            let bytes = block.get(into % BLOCK_BYTES..).unwrap_or_default();
            let count = bytes.len().min(READ_BYTES_MAX);
            to.extend_from_slice(&bytes[..count]);
            state.cursors[at].offset += count as u64;
            state.cursors[at].idle = count == 0;
            count
        })
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        let mut state = self.stream.state.lock();
        state.cursors.retain(|place| place.id != self.id);
        state.trim();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Arc<ClientHandle> {
        Arc::new(ClientHandle::nobody())
    }

    fn read_all(cursor: &Cursor) -> Vec<u8> {
        let mut bytes = Vec::new();
        while cursor.read(&mut bytes).is_some_and(|count| count > 0) {}
        bytes
    }

    fn words(bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes);
        let words = text.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with(['*', '$']));
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn databases_are_selected_and_transactions_framed() {
        let stream = Arc::new(Stream::default());
        let cursor = stream.cut(1000);
        stream.append_one(0, &[b"SET", b"a", b"1"]);
        stream.append_one(0, &[b"DEL", b"a"]);
        let mut commands = Commands::default();
        commands.push(3, &[b"SET", b"b", b"2"]);
        commands.push(0, &[b"SET", b"c", b""]);
        stream.append(&commands);
        commands.clear();
        commands.push(0, &[b"DEL", b"c"]);
        stream.append(&commands);
        stream.append_aside(&[b"PING"]);
        let bytes = read_all(&cursor);
        assert_eq!(words(&bytes), "SELECT 0 SET a 1 DEL a SELECT 3 MULTI SET b 2 SELECT 0 SET c EXEC DEL c PING");
        assert!(bytes.starts_with(b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n"));
        assert_eq!((cursor.lag(), stream.end()), (0, bytes.len() as u64));
        drop(stream.cut(1000));
        stream.append_one(0, &[b"DEL", b"d"]);
        assert_eq!(words(&read_all(&cursor)), "SELECT 0 DEL d", "a copy begins with no database selected");
    }

    #[test]
    fn what_a_cursor_needs_is_kept_and_no_more_than_the_backlog_beyond() {
        let stream = Arc::new(Stream::default());
        let backlog_bytes = 3 * BLOCK_BYTES as u64;
        let slow = stream.cut(backlog_bytes);
        let value = vec![b'v'; 10_000];
        for _ in 0..100 {
            stream.append_one(0, &[b"SET", b"k", &value]);
        }
        let extent = stream.extent().unwrap();
        assert_eq!((extent.start, extent.end), (stream.end() - backlog_bytes, stream.end()));
        assert!(stream.cursor(0, &client()).is_some(), "the slow one keeps it");
        assert_eq!(read_all(&slow).len() as u64, stream.end());
        drop(slow);
        assert!(stream.cursor(0, &client()).is_none());
        assert!(stream.cursor(stream.end() + 1, &client()).is_none());
        let back = stream.cursor(extent.start, &client()).unwrap();
        assert_eq!(read_all(&back).len() as u64, backlog_bytes);
        assert!(stream.extent().unwrap().bytes <= backlog_bytes + 2 * BLOCK_BYTES as u64);
        drop(back);
        let end = stream.end();
        assert!(stream.turn_off());
        assert_eq!((stream.extent(), stream.end()), (None, end), "offsets never go back");
        assert_eq!(stream.cut(1).offset(), Some(end));
    }

    #[test]
    fn a_primary_s_bytes_are_relayed_as_they_are() {
        let stream = Arc::new(Stream::default());
        stream.begin_relay(500, 1000);
        assert!(!stream.is_on(), "no effects are appended");
        stream.append_aside(&[b"PING"]);
        let cursor = stream.cut(1000);
        assert_eq!((cursor.offset(), stream.end()), (Some(500), 500));
        stream.relay(b"*1\r\n$4\r\nPING\r\n");
        assert_eq!(read_all(&cursor), b"*1\r\n$4\r\nPING\r\n");
        let extent = stream.extent().unwrap();
        assert_eq!((extent.start, extent.end), (500, 514));
        stream.begin_relay(514, 1000);
        assert!(stream.cursor(500, &client()).is_some(), "it goes on where it was");
        assert!(!stream.turn_off());
        stream.end_relay();
        stream.append_one(3, &[b"DEL", b"a"]);
        assert_eq!(words(&read_all(&cursor)), "SELECT 3 DEL a");
        let (end, mut bytes) = (stream.end(), Vec::new());
        stream.begin_relay(7, 1000);
        assert_eq!((stream.end(), cursor.offset(), cursor.lag(), cursor.read(&mut bytes)), (7, None, 0, None));
        assert!(stream.cursor(end, &client()).is_none() && cursor.again(&client()).is_none());
    }
}
