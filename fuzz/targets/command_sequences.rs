//! Fuzz target: sequences of commands through the whole engine, without a network.
//!
//! An input is read as commands: a byte chooses the command, one the number of its arguments, and each argument is a
//! word of a list or bytes of the input.
//!
//! What must hold of every input:
//! - no panic, and every command that does not wait is answered;
//! - the effects, run on an empty keyspace, give the same data set.
#![no_main]

use std::cell::RefCell;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use cairn::base::hash::KeyHasher;
use cairn::base::key_slot::SlotId;
use cairn::commands::replay::Replayer;
use cairn::commands::spec::{ADMIN, NO_MULTI};
use cairn::commands::{Batch, Executor, Lookup, registry};
use cairn::config::{Config, Live};
use cairn::engine::clients::{ClientHandle, Peer};
use cairn::engine::{EffectSink, Engine, Session, Worker};
use cairn::log::health::Stopped;
use cairn::log::transaction::{Change, Parts};
use cairn::store::DbIndex;
use cairn::store::digest;
use cairn::store::table::CURSOR_END;
use libfuzzer_sys::fuzz_target;

const COMMANDS_MAX: usize = 200;
const ARGUMENTS_MAX: u8 = 9;
const CLIENTS: usize = 2;

/// Keys, numbers and the words of many commands.
const WORDS: &[&str] = &[
    "a",
    "b",
    "c",
    "{a}1",
    "{a}2",
    "list",
    "set",
    "zset",
    "hash",
    "stream",
    "0",
    "1",
    "2",
    "3",
    "10",
    "-1",
    "-2",
    "100",
    "4000000000",
    "9223372036854775807",
    "-9223372036854775808",
    "1.5",
    "inf",
    "-inf",
    "(1",
    "[a",
    "+",
    "-",
    "nan",
    "",
    "*",
    "1-1",
    "5-*",
    "0-0",
    "$",
    ">",
    "x",
    "y",
    "a long member that does not stay packed because it has over sixty-four bytes",
    "COUNT",
    "MATCH",
    "LIMIT",
    "WITHSCORES",
    "WITHVALUES",
    "BYSCORE",
    "BYLEX",
    "REV",
    "LEFT",
    "RIGHT",
    "MIN",
    "MAX",
    "NX",
    "XX",
    "GT",
    "LT",
    "CH",
    "INCR",
    "GET",
    "EX",
    "PX",
    "PXAT",
    "KEEPTTL",
    "STORE",
    "BY",
    "ALPHA",
    "DESC",
    "WEIGHTS",
    "AGGREGATE",
    "SUM",
    "MAXLEN",
    "MINID",
    "~",
    "=",
    "STREAMS",
    "GROUP",
    "g",
    "alice",
    "CREATE",
    "MKSTREAM",
    "NOACK",
    "FORCE",
    "JUSTID",
    "IDLE",
    "FIELDS",
    "REPLACE",
    "ABSTTL",
    "DB",
    "FROMMEMBER",
    "FROMLONLAT",
    "BYRADIUS",
    "km",
    "ASC",
    "ANY",
    "BEFORE",
    "AFTER",
    "OVERFLOW",
    "u8",
    "i64",
    "#1",
    "INCRBY",
    "SET",
    "AND",
    "NOT",
    "BIT",
    "BYTE",
];

#[derive(Default)]
struct Capture(Mutex<Vec<(SlotId, DbIndex, Vec<Vec<u8>>)>>);

impl Capture {
    fn push<'a>(&self, slot: SlotId, db: DbIndex, arguments: impl Iterator<Item = &'a [u8]>) {
        self.0.lock().unwrap().push((slot, db, arguments.map(<[u8]>::to_vec).collect()));
    }
}

impl EffectSink for Capture {
    fn append(&self, _: usize, change: &Change<'_>) -> Result<(), Stopped> {
        self.push(change.slot, change.database, change.arguments.iter().copied());
        Ok(())
    }

    fn append_all(&self, _: usize, parts: &Parts) -> Result<(), Stopped> {
        for record in parts.records() {
            let slot = record.header.slot.expect("a part belongs to a slot");
            self.push(slot, record.header.database, record.effect.arguments());
        }
        Ok(())
    }

    fn is_running(&self) -> bool {
        true
    }

    fn stopped(&self) -> Option<String> {
        None
    }

    fn has_failed(&self) -> bool {
        false
    }

    fn ticket(&self) -> u64 {
        0
    }

    fn is_durable(&self, _: u64) -> bool {
        true
    }

    fn wake_when_durable(&self, _: u64, waker: &Waker) {
        waker.wake_by_ref();
    }

    fn reserve(&self, _: usize, _: usize) -> Result<(), Stopped> {
        Ok(())
    }
}

fn engine() -> Arc<Engine> {
    Arc::new(Engine::new(Live::new(Config::default(), None), 1, registry::count(), KeyHasher::from_seed(1, 2)))
}

/// An engine with its clients, and one to run the effects on: making them takes longer than an input.
struct Bench {
    engine: Arc<Engine>,
    executor: Executor,
    capture: Arc<Capture>,
    second: Arc<Engine>,
    replayer: Replayer,
}

thread_local! {
    static BENCH: RefCell<Option<Bench>> = const { RefCell::new(None) };
}

impl Bench {
    fn new() -> Bench {
        let (engine, second, capture) = (engine(), engine(), Arc::new(Capture::default()));
        engine.follow(Some(capture.clone()), None);
        let executor = Executor::new(Worker::new(engine.clone(), 0), Arc::new(Lookup::plain()));
        Bench { executor, engine, capture, replayer: Replayer::new(second.clone()), second }
    }

    fn session(&self) -> Session {
        let address = "127.0.0.1:1".parse().expect("an address");
        let handle =
            ClientHandle::new(self.engine.clients.next_id(), Peer::Tcp { peer: address, local: address }, 0, 0, 0);
        Session::trusted(Arc::new(handle))
    }

    fn empty(&mut self) {
        for engine in [&self.engine, &self.second] {
            for id in SlotId::all() {
                let mut slot = engine.keyspace.lock(id);
                for index in 0..slot.db_end() {
                    drop(slot.take_db(index));
                }
            }
        }
        self.capture.0.lock().unwrap().clear();
    }

    fn run(&mut self, data: &[u8]) {
        self.empty();
        let mut sessions: Vec<Session> = (0..CLIENTS).map(|_| self.session()).collect();
        let mut input = Input(data);
        for _ in 0..COMMANDS_MAX {
            let Some((client, command)) = input.command() else { break };
            let session = &mut sessions[client];
            if session.waiting.is_some() {
                continue;
            }
            let arguments: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
            let batch = Batch { arguments: &arguments, ends: &[arguments.len()] };
            let mut replies = Vec::new();
            let progress = self.executor.run(session, &batch, &mut replies);
            assert_eq!(progress.requests, 1, "{command:?} was held back");
            assert!(!replies.is_empty() || session.waiting.is_some(), "{command:?} was not answered");
        }
        for session in &mut sessions {
            session.unwatch(|id, work| work(&mut self.engine.keyspace.lock(id)));
        }
        let effects = std::mem::take(&mut *self.capture.0.lock().unwrap());
        for (slot, db, command) in &effects {
            let arguments: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
            let ran = self.replayer.run(*slot, *db, 0, &arguments);
            assert!(ran.is_ok(), "the effect {} cannot be run: {}", shown(command), ran.unwrap_err());
        }
        let mut slots: Vec<SlotId> = effects.iter().map(|(slot, ..)| *slot).collect();
        slots.sort_unstable();
        slots.dedup();
        for slot in slots {
            let story: Vec<String> =
                effects.iter().filter(|effect| effect.0 == slot).map(|effect| shown(&effect.2)).collect();
            assert_eq!(digest_of(&self.engine, slot), digest_of(&self.second, slot), "after {}", story.join("; "));
        }
    }
}

fn shown(command: &[Vec<u8>]) -> String {
    command.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
}

fn digest_of(engine: &Engine, id: SlotId) -> Vec<String> {
    let hasher = engine.keyspace.hasher();
    let slot = engine.keyspace.lock(id);
    let mut digests = Vec::new();
    for (index, db) in slot.dbs() {
        let mut cursor = 0;
        while !db.is_empty() && cursor < CURSOR_END {
            cursor = db.table().scan(cursor as u32, hasher, |entry| {
                digests.push(format!("{} {:?}", entry.key().escape_ascii(), digest::of_entry(index, entry)));
            });
        }
    }
    digests.sort();
    digests
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next command and who sends it.
    fn command(&mut self) -> Option<(usize, Vec<Vec<u8>>)> {
        let all = registry::all();
        loop {
            let number = usize::from(self.byte()?) | usize::from(self.byte()?) << 8;
            let command = &all[(number >> 1) % all.len()];
            // What reaches beyond the engine, or takes as long as it is told to.
            let left_out = ["debug", "eval", "fcall", "script", "function", "config", "shutdown", "module", "failover"];
            let name = command.full_name.split('|').next().unwrap_or_default();
            let count = self.byte()? % ARGUMENTS_MAX;
            let mut words: Vec<Vec<u8>> = command.full_name.split('|').map(|word| word.as_bytes().to_vec()).collect();
            for _ in 0..count {
                words.push(self.argument()?);
            }
            if !command.has(ADMIN | NO_MULTI) && !left_out.iter().any(|word| name.starts_with(word)) {
                return Some((number & 1, words));
            }
        }
    }

    fn argument(&mut self) -> Option<Vec<u8>> {
        let choice = usize::from(self.byte()?);
        if let Some(word) = WORDS.get(choice) {
            return Some(word.as_bytes().to_vec());
        }
        let len = (choice - WORDS.len()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        Some(bytes.to_vec())
    }
}

fuzz_target!(|data: &[u8]| {
    BENCH.with_borrow_mut(|bench| bench.get_or_insert_with(Bench::new).run(data));
});
