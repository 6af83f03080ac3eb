//! Running the effects of the past again: at recovery on the keyspace that is to serve, for compaction and snapshots on
//! a scratch one, a slot at a time.
//!
//! An effect concerns one slot, FLUSHDB and SWAPDB included: in a log they mean that slot's part. Nothing expires while
//! effects are replayed, and no limit of the configuration applies: what was done was allowed when it was done.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use super::Lookup;
use super::context::{Cx, Waits};
use super::creation::create;
use super::keys::{self, KeyRefs, KeyShape};
use super::registry::{self, Command};
use super::spec::WRITE;
use crate::base::hash::KeyHasher;
use crate::base::key_slot::SlotId;
use crate::base::number::parse_i64;
use crate::config::{Config, Live};
use crate::engine::clients::ClientHandle;
use crate::engine::space::Place;
use crate::engine::{Engine, Expiry, Session, Space, Worker};
use crate::log::fold::{Interpreter, Meaning, Rebuilder};
use crate::log::record::{Effect, Record};
use crate::resp::{Protocol, Reply};
use crate::store::table::CURSOR_END;
use crate::store::{DbIndex, EntryRef, StringForm};

/// Arguments of an effect; most have few.
type Args<'a> = SmallVec<[&'a [u8]; 8]>;

/// Why an effect was not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// There is no such database: the directive `databases` was larger.
    Database(DbIndex),
    /// This server cannot have written it.
    Effect(String),
}

impl fmt::Display for ReplayError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplayError::Database(db) => {
                write!(formatter, "there is data in database {db}, so the directive \"databases\" must be above {db}")
            }
            ReplayError::Effect(reason) => formatter.write_str(reason),
        }
    }
}

impl From<String> for ReplayError {
    fn from(reason: String) -> ReplayError {
        ReplayError::Effect(reason)
    }
}

fn effect_error(reason: &str) -> ReplayError {
    ReplayError::Effect(reason.to_owned())
}

/// Runs effects on an engine's keyspace.
pub struct Replayer {
    worker: Worker,
    lookup: Lookup,
    session: Session,
    /// Replies that nobody reads.
    replies: Vec<u8>,
}

impl Replayer {
    pub fn new(engine: Arc<Engine>) -> Replayer {
        let config =
            Config { proto_max_bulk_len: i64::MAX as u64, cluster_enabled: false, ..(*engine.config.load()).clone() };
        Replayer {
            worker: Worker::detached(engine, config),
            lookup: Lookup::plain(),
            session: Session::trusted(Arc::new(ClientHandle::nobody())),
            replies: Vec::new(),
        }
    }

    /// Runs a record's effect.
    pub fn apply(&mut self, record: &Record<'_>) -> Result<(), ReplayError> {
        let Some(slot) = record.header.slot else { return Err("the record belongs to no slot".to_owned().into()) };
        let args: Args<'_> = record.effect.arguments().collect();
        self.run(slot, record.header.database, record.header.time_ms, &args).map_err(|error| match error {
            ReplayError::Database(_) => error,
            ReplayError::Effect(reason) => {
                let name = String::from_utf8_lossy(args.first().copied().unwrap_or_default()).into_owned();
                let sequence = record.header.sequence;
                format!("the effect {name} with sequence number {sequence} cannot be run: {reason}").into()
            }
        })
    }

    /// Runs a command on the keys of one slot.
    pub fn run(&mut self, slot: SlotId, db: DbIndex, used_ms: u64, args: &[&[u8]]) -> Result<(), ReplayError> {
        let keyspace = &self.worker.engine.keyspace;
        if db >= keyspace.databases() {
            return Err(ReplayError::Database(db));
        }
        let mut space = Space::replaying(keyspace, &self.worker.stats, db, used_ms);
        if let [name, key, value, rest @ ..] = args
            && name.eq_ignore_ascii_case(b"SET")
            && let Some(expiry) = expiry_of(rest)
            && SlotId::of_key(key) == slot
        {
            space.lock_one(key, Place { slot, hash: keyspace.hasher().hash(key) }, || true);
            space.set_string(key, value, expiry, StringForm::Auto);
            return Ok(());
        }
        match args {
            [b"FLUSHDB"] => {
                drop(keyspace.lock(slot).take_db(db));
                return Ok(());
            }
            [b"SWAPDB", first, second] => {
                let index = |text| parse_i64(text).and_then(|number| DbIndex::try_from(number).ok());
                let (Some(first), Some(second)) = (index(first), index(second)) else {
                    return Err(effect_error("bad numbers"));
                };
                let mut slot = keyspace.lock(slot);
                let (from_first, from_second) = (slot.take_db(first), slot.take_db(second));
                slot.put_db(first, from_second);
                slot.put_db(second, from_first);
                return Ok(());
            }
            _ => {}
        }
        let command = self.lookup.resolve(args).map_err(|_| effect_error("no such command"))?;
        if !command.has(WRITE) || !command.spec.accepts(args.len()) {
            return Err(effect_error("no well-formed write"));
        }
        let mut slots = SmallVec::new();
        keys::add_slots(command, args, &mut slots);
        if slots.is_empty() {
            return Err(effect_error("its keys make no sense"));
        }
        if slots.iter().any(|other| *other != slot) {
            return Err(effect_error("a key is of another slot"));
        }
        space.lock_some(SmallVec::from_slice(&[slot]), || true);
        self.session.db = db;
        self.replies.clear();
        let mut cx = Cx {
            worker: &self.worker,
            lookup: &self.lookup,
            space,
            reply: Reply::new(&mut self.replies, Protocol::Resp2),
            session: &mut self.session,
            command,
            in_exec: false,
            script: None,
            wants_everything: false,
            waits: Waits::Denied,
        };
        (command.spec.handler)(&mut cx, args).map_err(|error| effect_error(&error.text()))
    }
}

/// What becomes of the key's expiry by an effect SET with these options; `None` when it is another form of SET.
fn expiry_of(options: &[&[u8]]) -> Option<Expiry> {
    match options {
        [] => Some(Expiry::Clear),
        [word, at] if word.eq_ignore_ascii_case(b"PXAT") => Some(Expiry::At(u64::try_from(parse_i64(at)?).ok()?)),
        [word] if word.eq_ignore_ascii_case(b"KEEPTTL") => Some(Expiry::Keep),
        _ => None,
    }
}

/// A keyspace of its own for looking at what a slot's log makes.
pub struct Scratch {
    engine: Arc<Engine>,
    replayer: Replayer,
}

impl Scratch {
    /// A scratch keyspace under this configuration.
    pub fn new(config: &Config) -> Scratch {
        let hasher = KeyHasher::from_entropy();
        let engine = Arc::new(Engine::new(Live::new(config.clone(), None), 1, registry::count(), hasher));
        Scratch { replayer: Replayer::new(engine.clone()), engine }
    }

    /// Runs the records of a slot in order, visits every entry that is then there, and forgets them. Nothing is visited
    /// when a record cannot be read or run.
    pub fn replay<'a>(
        &mut self,
        slot: SlotId,
        records: &mut dyn Iterator<Item = Result<Record<'a>, String>>,
        visit: &mut dyn FnMut(DbIndex, EntryRef<'_>),
    ) -> Result<(), ReplayError> {
        let mut outcome = Ok(());
        while outcome.is_ok()
            && let Some(record) = records.next()
        {
            outcome = record.map_err(ReplayError::Effect).and_then(|record| self.replayer.apply(&record));
        }
        let mut guard = self.engine.keyspace.lock(slot);
        let databases = guard.db_end();
        for index in 0..databases {
            let db = guard.take_db(index);
            let mut cursor = 0;
            while outcome.is_ok() && !db.is_empty() && cursor < CURSOR_END {
                let hasher = self.engine.keyspace.hasher();
                cursor = db.table().scan(cursor as u32, hasher, |entry| visit(index, entry));
            }
        }
        outcome
    }
}

impl Rebuilder for Scratch {
    fn rebuild(
        &mut self,
        slot: SlotId,
        records: &mut dyn Iterator<Item = Record<'_>>,
        emit: &mut dyn FnMut(u16, &[&[u8]]),
    ) -> Result<(), String> {
        let mut records = records.map(Ok);
        let emit_entry =
            &mut |db: DbIndex, entry: EntryRef<'_>| create(entry, entry.key(), |command| emit(db, command));
        self.replay(slot, &mut records, emit_entry).map_err(|error| error.to_string())
    }
}

/// Tells compaction what effects mean, by the command table.
pub struct CommandInterpreter {
    lookup: Lookup,
}

impl Default for CommandInterpreter {
    fn default() -> CommandInterpreter {
        CommandInterpreter { lookup: Lookup::plain() }
    }
}

impl CommandInterpreter {
    /// Whether an effect names this key, or may concern any key of its slot.
    pub fn concerns(&self, effect: Effect<'_>, key: &[u8]) -> bool {
        let args: Args<'_> = effect.arguments().collect();
        let mut found = KeyRefs::new();
        match self.lookup.resolve(&args).map(|command| keys::keys(command, &args, &mut found)) {
            Ok(Ok(())) if !found.is_empty() => found.iter().any(|found| args[found.index as usize] == key),
            _ => true,
        }
    }
}

impl Interpreter for CommandInterpreter {
    #[inline]
    fn meaning<'a>(&self, effect: Effect<'a>) -> Meaning<'a> {
        let mut arguments = effect.arguments();
        if let (Some(name), Some(key)) = (arguments.next(), arguments.next()) {
            let is = |word: &[u8]| name.eq_ignore_ascii_case(word);
            match effect.count() {
                // It was run, so what it found was to be replaced, or was nothing.
                3 if is(b"SET") || is(b"MSET") => return Meaning::Replaces(key),
                5 if is(b"SET") && arguments.nth(1).is_some_and(|word| word.eq_ignore_ascii_case(b"PXAT")) => {
                    return Meaning::Replaces(key);
                }
                2 if is(b"DEL") || is(b"UNLINK") => return Meaning::Removes(key),
                // Without REPLACE it needs the removal before it: there may be an older value below that.
                _ if is(b"RESTORE") && arguments.skip(2).any(|word| word.eq_ignore_ascii_case(b"REPLACE")) => {
                    return Meaning::Replaces(key);
                }
                _ => {}
            }
        }
        let args: Args<'_> = effect.arguments().collect();
        match self.lookup.resolve(&args) {
            Ok(command) if is_of_one_key(command) => match command.shape {
                KeyShape::One(at) => args.get(usize::from(at)).map_or(Meaning::Whole, |key| Meaning::Changes(key)),
                _ => Meaning::Whole,
            },
            _ => Meaning::Whole,
        }
    }
}

/// Whether all that a command changes or looks at is one key of the selected database.
fn is_of_one_key(command: &Command) -> bool {
    matches!(command.shape, KeyShape::One(_)) && !MOVING.contains(&command.full_name.as_str())
}

/// Commands of one key that reach into another database.
const MOVING: &[&str] = &["move"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::transaction::{Change, Parts};

    fn meaning(arguments: &[&[u8]]) -> String {
        let mut parts = Parts::default();
        parts.push(&Change { slot: SlotId::of_key(b"k"), database: 0, sequence: 1, time_ms: 1, arguments });
        let record = parts.records().next().expect("pushed");
        format!("{:?}", CommandInterpreter::default().meaning(record.effect))
    }

    /// What is said to replace a key drops the records before it, a removal included.
    #[test]
    fn only_what_works_on_any_value_replaces() {
        let [changes, replaces] = ["Changes", "Replaces"].map(|word| format!("{word}({:?})", b"k"));
        for (expected, arguments) in [
            (&replaces, &[&b"SET"[..], b"k", b"v"][..]),
            (&replaces, &[b"set", b"k", b"v", b"pxat", b"1"]),
            (&changes, &[b"SET", b"k", b"v", b"KEEPTTL"]),
            (&changes, &[b"SET", b"k", b"v", b"NX", b"GET"]),
            (&changes, &[b"RESTORE", b"k", b"0", b"REPLACE"]),
            (&changes, &[b"RESTORE", b"k", b"0", b"payload", b"ABSTTL"]),
            (&replaces, &[b"RESTORE", b"k", b"0", b"payload", b"ABSTTL", b"replace"]),
            (&changes, &[b"APPEND", b"k", b"v"]),
        ] {
            assert_eq!(meaning(arguments), *expected);
        }
        assert_eq!(meaning(&[b"MOVE", b"k", b"1"]), "Whole");
    }
}
