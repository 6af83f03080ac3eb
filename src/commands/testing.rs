//! For unit tests of handlers and for fuzzing them: an engine of one worker without a network, with clients that run command lines.
//!
//! ```ignore
//! let mut server = TestServer::new();
//! assert_eq!(server.run("SET key value"), "+OK\r\n");
//! assert_eq!(server.run_as(1, "GET key"), "$5\r\nvalue\r\n"); // a second client
//! assert_eq!(server.effects(), ["SET key value"]);
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use parking_lot::Mutex;

use super::dispatch::Progress;
use super::registry;
use super::{Batch, Executor, Lookup};
use crate::base::hash::KeyHasher;
use crate::base::key_slot::SlotId;
use crate::base::quoting::split_arguments;
use crate::config::{Config, Live};
use crate::engine::clients::{ClientHandle, Peer};
use crate::engine::mailbox::Mail;
use crate::engine::{EffectSink, Engine, Session, Worker};
use crate::log::health::Stopped;
use crate::log::transaction::{Change, Parts};
use crate::store::table::CURSOR_END;
use crate::store::{DbIndex, Entry, StringForm};

/// One effect as it reached the sink; a transaction of several stands between effects named `begin` and `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Unless it is a mark.
    pub slot: Option<SlotId>,
    pub db: DbIndex,
    pub command: Vec<Vec<u8>>,
}

#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<Captured>>>);

impl Capture {
    fn push(&self, slot: Option<SlotId>, db: DbIndex, command: &[&[u8]]) {
        let command = command.iter().map(|argument| argument.to_vec()).collect();
        self.0.lock().push(Captured { slot, db, command });
    }
}

impl EffectSink for Capture {
    fn append(&self, _: usize, change: &Change<'_>) -> Result<(), Stopped> {
        self.push(Some(change.slot), change.database, change.arguments);
        Ok(())
    }

    fn append_all(&self, _: usize, parts: &Parts) -> Result<(), Stopped> {
        if parts.len() > 1 {
            self.push(None, 0, &[b"begin"]);
        }
        for record in parts.records() {
            let command: Vec<&[u8]> = record.effect.arguments().collect();
            self.push(record.header.slot, record.header.database, &command);
        }
        if parts.len() > 1 {
            self.push(None, 0, &[b"end"]);
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

/// What a key holds, for comparing data sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub value: Vec<u8>,
    pub expiry_ms: Option<u64>,
    pub encoding: &'static str,
}

pub struct TestServer {
    pub engine: Arc<Engine>,
    pub executor: Executor,
    sessions: Vec<Session>,
    captured: Capture,
}

impl Default for TestServer {
    fn default() -> TestServer {
        TestServer::new()
    }
}

impl TestServer {
    /// A server with the default configuration.
    pub fn new() -> TestServer {
        TestServer::with_config(|_| ())
    }

    /// A server whose configuration `change` has changed.
    pub fn with_config(change: impl FnOnce(&mut Config)) -> TestServer {
        let mut config = Config::default();
        change(&mut config);
        let captured = Capture::default();
        let hasher = KeyHasher::from_seed(1, 2);
        let engine = Arc::new(Engine::new(Live::new(config, None), 1, registry::count(), hasher));
        engine.follow(Some(Arc::new(captured.clone())), None);
        let executor = Executor::new(Worker::new(engine.clone(), 0), Arc::new(Lookup::plain()));
        TestServer { engine, executor, sessions: Vec::new(), captured }
    }

    /// The session of a client; clients are made when first named.
    pub fn session(&mut self, client: usize) -> &mut Session {
        while self.sessions.len() <= client {
            let address = "127.0.0.1:1".parse().unwrap();
            let peer = Peer::Tcp { peer: address, local: address };
            let handle = Arc::new(ClientHandle::new(self.engine.clients.next_id(), peer, 0, 0, 0));
            self.engine.clients.add(handle.clone());
            self.sessions.push(Session::new(handle, &self.engine.users));
        }
        &mut self.sessions[client]
    }

    /// Has all clients go.
    pub fn disconnect(&mut self) {
        for mut session in self.sessions.drain(..) {
            session.unwatch(|id, work| work(&mut self.engine.keyspace.lock(id)));
            session.stop_listening(&self.engine);
            self.engine.clients.remove(&session.handle);
        }
    }

    /// Runs one command of the first client; gives the reply's bytes.
    pub fn call(&mut self, args: &[&[u8]]) -> Vec<u8> {
        self.call_as(0, args)
    }

    /// Runs one command of a client; gives the reply's bytes.
    pub fn call_as(&mut self, client: usize, args: &[&[u8]]) -> Vec<u8> {
        let (progress, out) = self.progress_of(client, args, &[args.len()]);
        assert_eq!(progress.requests, 1, "the command was held back");
        out
    }

    /// Runs a batch of a client; gives how far it came and the replies' bytes.
    pub fn progress_of(&mut self, client: usize, arguments: &[&[u8]], ends: &[usize]) -> (Progress, Vec<u8>) {
        self.session(client);
        let mut out = Vec::new();
        let progress =
            self.executor.run(&mut self.sessions[client], &Batch { arguments, ends, source: None }, &mut out);
        (progress, out)
    }

    /// Runs a command line of the first client, with Redis's quoting rules; bytes that are not UTF-8 are replaced.
    pub fn run(&mut self, line: &str) -> String {
        self.run_as(0, line)
    }

    pub fn run_as(&mut self, client: usize, line: &str) -> String {
        let args = split_arguments(line.as_bytes()).expect("the quotes balance");
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        String::from_utf8_lossy(&self.call_as(client, &args)).into_owned()
    }

    /// What a client that waited for keys was answered since; `None` while it waits.
    pub fn answer(&mut self, client: usize) -> Option<String> {
        let session = self.session(client);
        let reply = session.handle.take_mail(&mut Mail::default()).answer?;
        session.waiting = None;
        Some(String::from_utf8_lossy(&reply).into_owned())
    }

    /// Runs each line and compares its reply.
    #[track_caller]
    pub fn expect(&mut self, lines: &[(&str, &str)]) {
        for (line, reply) in lines {
            assert_eq!(self.run(line), *reply, "{line}");
        }
    }

    /// The messages that came for a client since the last call.
    pub fn mail(&mut self, client: usize) -> String {
        let mut mail = Mail::default();
        self.session(client).handle.take_messages(&mut mail);
        String::from_utf8_lossy(&mail.pieces().collect::<Vec<_>>().concat()).into_owned()
    }

    /// The effects since the last call.
    pub fn captured(&mut self) -> Vec<Captured> {
        std::mem::take(&mut *self.captured.0.lock())
    }

    /// The effects since the last call as command lines, arguments separated by spaces.
    pub fn effects(&mut self) -> Vec<String> {
        let lines = self.captured().into_iter();
        lines.map(|effect| String::from_utf8_lossy(&effect.command.join(&b' ')).into_owned()).collect()
    }

    /// Puts a key into a database that has expired and is not removed yet, as if time had passed since it was set.
    pub fn plant_expired(&mut self, db: DbIndex, key: &str) {
        let keyspace = &self.engine.keyspace;
        let (key, hasher) = (key.as_bytes(), keyspace.hasher());
        let hash = hasher.hash(key);
        let mut slot = keyspace.lock(SlotId::of_key(key));
        let db = slot.db_mut(db);
        if let Some(at) = db.find(hash, key) {
            drop(db.remove(at, hasher));
        }
        db.insert(hash, Entry::new(key, b"v", Some(1), StringForm::Auto, 0), hasher);
    }

    /// Every key of every database.
    pub fn data_set(&self) -> BTreeMap<(DbIndex, Vec<u8>), Held> {
        let keyspace = &self.engine.keyspace;
        let mut keys = BTreeMap::new();
        for id in SlotId::all() {
            let slot = keyspace.lock(id);
            for (index, db) in slot.dbs() {
                let mut cursor = 0;
                while cursor < CURSOR_END {
                    cursor = db.table().scan(cursor as u32, keyspace.hasher(), |entry| {
                        let (value, encoding) = (entry.value().to_vec(), entry.encoding());
                        let held = Held { value, expiry_ms: entry.expiry_ms(), encoding };
                        keys.insert((index, entry.key().to_vec()), held);
                    });
                }
            }
        }
        keys
    }
}
