//! Effects: what a write did, as deterministic Redis commands.
//!
//! A write's effect is the command itself unless the handler says otherwise: relative times become absolute, computed
//! values are written out, a key that expired is a DEL. Every effect belongs to one slot: it changes keys of that slot
//! only, and needs nothing but the slot's earlier effects to be run again. A command over several slots therefore has
//! an effect in each, and together they are one transaction. One effect feeds everyone who follows the data set, under
//! the locks of the slots it touched, so that every follower sees each slot's changes in the order they happened. Replicas
//! follow the stream (`replicas::stream`): they are told of a call over several slots as a whole where that says the same.

use std::task::Waker;

use crate::log::health::{State, Stopped};
use crate::log::journal::Journal;
use crate::log::record;
use crate::log::transaction::{Change, Parts};
use crate::store::DbIndex;

/// Who follows the data set.
pub trait EffectSink: Send + Sync {
    /// One effect, under the lock of its slot. `lane` is the caller's own: a worker's number, or their count for
    /// whoever works in the background.
    fn append(&self, lane: usize, change: &Change<'_>) -> Result<(), Stopped>;
    /// The effects of one transaction, under the locks of all their slots: all or none reach a follower.
    fn append_all(&self, lane: usize, parts: &Parts) -> Result<(), Stopped>;
    /// Whether effects are taken. While they are not, nothing may change.
    fn is_running(&self) -> bool;
    /// Why they are not.
    fn stopped(&self) -> Option<String>;
    /// Whether they never will be again, and nobody knows what became of the last ones.
    fn has_failed(&self) -> bool;
    /// Names everything appended so far, for the questions below.
    fn ticket(&self) -> u64;
    /// Whether what the ticket names would survive the end of the machine.
    fn is_durable(&self, ticket: u64) -> bool;
    /// Sees to it that what the ticket names becomes durable, and wakes the task then, or when the sink stops.
    fn wake_when_durable(&self, ticket: u64, waker: &Waker);
    /// Makes sure that effects of so many bytes will be taken, before anything is changed. Takes the place of what was
    /// reserved for this lane before.
    fn reserve(&self, lane: usize, bytes: usize) -> Result<(), Stopped>;
}

/// What the effects of a request of so many bytes and arguments take, keys that expire under its eyes included. A command
/// whose effects tell more than its request does reserves that itself.
#[inline]
pub fn bytes_for_request(bytes: usize, arguments: usize) -> usize {
    /// Each argument may begin a record of its own.
    const PER_ARGUMENT_BYTES: usize = 96;
    /// Numbers that are written out, and words that are added.
    const WRITTEN_OUT_BYTES: usize = 8 << 10;
    /// Of longer requests the least part is keys.
    const KEYS_BYTES_MAX: usize = 1 << 20;
    bytes + bytes.min(KEYS_BYTES_MAX) + arguments * PER_ARGUMENT_BYTES + WRITTEN_OUT_BYTES
}

/// What the removal of a key takes.
pub fn removal_bytes(key: &[u8]) -> usize {
    record::record_bytes(record::effect_bytes(&[b"DEL", key]))
}

/// What the removal of fields of a hash takes.
pub fn field_removal_bytes<N: AsRef<[u8]>>(key: &[u8], names: &[N]) -> usize {
    let effect: Vec<&[u8]> = [&b"HDEL"[..], key].into_iter().chain(names.iter().map(AsRef::as_ref)).collect();
    record::record_bytes(record::effect_bytes(&effect))
}

impl EffectSink for Journal {
    #[inline]
    fn append(&self, lane: usize, change: &Change<'_>) -> Result<(), Stopped> {
        Journal::append(self, lane, change)
    }

    fn append_all(&self, lane: usize, parts: &Parts) -> Result<(), Stopped> {
        Journal::append_all(self, lane, parts)
    }

    #[inline]
    fn is_running(&self) -> bool {
        Journal::is_running(self)
    }

    fn stopped(&self) -> Option<String> {
        match self.state() {
            State::Running => None,
            State::Full => Some("No space left on device".into()),
            State::Failed(reason) => Some(reason),
        }
    }

    fn has_failed(&self) -> bool {
        matches!(self.state(), State::Failed(_))
    }

    fn ticket(&self) -> u64 {
        Journal::ticket(self)
    }

    fn is_durable(&self, ticket: u64) -> bool {
        self.durable_round() >= ticket
    }

    fn wake_when_durable(&self, ticket: u64, waker: &Waker) {
        self.on_durable(ticket, waker);
        self.request();
    }

    fn reserve(&self, lane: usize, bytes: usize) -> Result<(), Stopped> {
        Journal::reserve(self, lane, bytes)
    }
}

/// A command that tells a part of what was done. It belongs to the slot of its key.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    pub db: DbIndex,
    /// Where its key stands.
    pub key_at: usize,
    pub command: Vec<Vec<u8>>,
}

/// What the command under way did, as far as its handler told.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// The command as the client sent it.
    #[default]
    Verbatim,
    /// The same, with another argument in one place.
    Amended(u32, Box<[u8]>),
    /// These commands instead; none means that nothing is left to be told.
    Instead(Vec<Told>),
}

impl Effect {
    /// Replaces what was told before by one command.
    pub fn set(&mut self, db: DbIndex, command: &[&[u8]]) {
        *self = Effect::Instead(Vec::new());
        self.add(db, command);
    }

    /// Tells the command as the client sent it, but with this argument at `index`.
    pub fn amend(&mut self, index: usize, argument: &[u8]) {
        *self = Effect::Amended(index as u32, argument.into());
    }

    /// Adds a command to those told so far. Its first argument is its key.
    pub fn add(&mut self, db: DbIndex, command: &[&[u8]]) {
        self.add_keyed(db, 1, command);
    }

    /// Adds a command whose key stands elsewhere: behind a subcommand.
    pub fn add_keyed(&mut self, db: DbIndex, key_at: usize, command: &[&[u8]]) {
        let told = Told { db, key_at, command: command.iter().map(|argument| argument.to_vec()).collect() };
        match self {
            Effect::Verbatim | Effect::Amended(..) => *self = Effect::Instead(vec![told]),
            Effect::Instead(commands) => commands.push(told),
        }
    }
}
