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
use std::sync::Arc;

use cairn::base::hash::KeyHasher;
use cairn::base::key_slot::SlotId;
use cairn::commands::registry;
use cairn::commands::replay::Replayer;
use cairn::commands::spec::{ADMIN, NO_MULTI};
use cairn::commands::testing::TestServer;
use cairn::config::{Config, Live};
use cairn::engine::Engine;
use cairn::store::DbIndex;
use cairn::store::digest;
use cairn::store::table::CURSOR_END;
use libfuzzer_sys::fuzz_target;

const COMMANDS_MAX: usize = 200;
const ARGUMENTS_MAX: u8 = 9;

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

/// A server, and a keyspace to run its effects on: making them takes longer than an input.
struct Bench {
    server: TestServer,
    second: Arc<Engine>,
    replayer: Replayer,
}

thread_local! {
    static BENCH: RefCell<Option<Bench>> = const { RefCell::new(None) };
}

impl Bench {
    fn new() -> Bench {
        let live = Live::new(Config::default(), None);
        let second = Arc::new(Engine::new(live, 1, registry::count(), KeyHasher::from_seed(1, 2)));
        Bench { server: TestServer::new(), replayer: Replayer::new(second.clone()), second }
    }

    fn empty(&mut self) {
        self.server.disconnect();
        for engine in [&self.server.engine, &self.second] {
            for id in SlotId::all() {
                let mut slot = engine.keyspace.lock(id);
                for index in 0..slot.db_end() {
                    drop(slot.take_db(index));
                }
            }
        }
        self.server.captured();
    }

    fn run(&mut self, data: &[u8]) {
        self.empty();
        let mut input = Input(data);
        for _ in 0..COMMANDS_MAX {
            let Some((client, command)) = input.command() else { break };
            if self.server.session(client).waiting.is_some() {
                continue;
            }
            let arguments: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
            let reply = self.server.call_as(client, &arguments);
            let waits = self.server.session(client).waiting.is_some();
            assert!(!reply.is_empty() || waits, "{} was not answered", shown(&command));
        }
        // Marks of transactions belong to no slot.
        let effects: Vec<(SlotId, DbIndex, Vec<Vec<u8>>)> = self
            .server
            .captured()
            .into_iter()
            .filter_map(|effect| Some((effect.slot?, effect.db, effect.command)))
            .collect();
        for (slot, db, command) in &effects {
            let arguments: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
            if let Err(error) = self.replayer.run(*slot, *db, 0, &arguments) {
                panic!("the effect {} cannot be run: {error}", shown(command));
            }
        }
        let mut slots: Vec<SlotId> = effects.iter().map(|(slot, ..)| *slot).collect();
        slots.sort_unstable();
        slots.dedup();
        for slot in slots {
            let story: Vec<String> =
                effects.iter().filter(|effect| effect.0 == slot).map(|effect| shown(&effect.2)).collect();
            let [here, there] = [&self.server.engine, &self.second].map(|engine| digest_of(engine, slot));
            assert_eq!(here, there, "after {}", story.join("; "));
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
