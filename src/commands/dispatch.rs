//! From requests to replies: looks commands up, checks them, locks what they need, runs them, accounts for them.
//!
//! ```text
//! batch -> look up, place keys, prefetch -> [gate] each: check -> lock slots -> handler -> effect -> unlock -> account
//! ```
//! A batch is what one client sent at once. It runs on the worker that received it, between the batches of others.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::account;
use super::admission::{Admission, writes};
use super::ahead::Ahead;
use super::blocking;
use super::context::{Cx, Waits};
use super::keys::{self, KeyShape};
use super::listeners;
use super::lookup::{Lookup, Unknown};
use super::migrate;
use super::registry::{self, Command, CommandId};
use super::script;
use super::spec::{ADMIN, ALLOW_BUSY, MAY_REPLICATE, NEVER_QUEUED, RUNS_QUEUE, RUNS_SCRIPT, WALKS_SLOTS, WRITE};
use crate::base::clock::{self, Ticks};
use crate::base::key_slot::SlotId;
use crate::engine::departure::{Departure, Receipt};
use crate::engine::gate::{Exclusive, Passage};
use crate::engine::patience::Patience;
use crate::engine::persistence::obstacle;
use crate::engine::script::{Reach, Runnable};
use crate::engine::session::{Fate, ReplyMode};
use crate::engine::space::{Followers, Place, Space};
use crate::engine::state::PauseKind;
use crate::engine::{Engine, Session, Worker};
use crate::resp::Reply;
use crate::store::waiters::WaitedKey;

/// Most requests of one batch.
pub const BATCH_REQUESTS_MAX: usize = 32;
/// Keys of one request that are brought to the cache ahead of it, at most.
const KEYS_AHEAD_MAX: usize = 1024;
/// Replies beyond this many bytes are sent before the batch goes on.
const OUTPUT_BYTES_PER_RUN: usize = 256 << 10;
/// What a primary sends is kept in a buffer of this size from one command to the next, unless it needs a larger one.
const KEPT_RELAY_BYTES_MAX: usize = 64 << 10;
/// A client that has kept its worker for so long lets the others have their turn.
pub const TURN_NS: u64 = 500_000;

/// The requests that one client sent, parsed and not yet run.
pub struct Batch<'a> {
    /// The arguments of all requests, end to end.
    pub arguments: &'a [&'a [u8]],
    /// Where each request's arguments end.
    pub ends: &'a [usize],
    /// The bytes that they were read from, and where each request ends in them; only those of a primary are looked at.
    pub source: Option<(&'a [u8], &'a [usize])>,
}

impl<'a> Batch<'a> {
    fn request(&self, index: usize) -> &'a [&'a [u8]] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.arguments[start..self.ends[index]]
    }

    fn bytes(&self, index: usize) -> &'a [u8] {
        let Some((bytes, ends)) = self.source else { return &[] };
        let start = if index == 0 { 0 } else { ends[index - 1] };
        &bytes[start..ends[index]]
    }
}

/// How far a run came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Requests that are done with.
    pub requests: usize,
    /// Why the next request cannot run at once.
    pub hold: Option<Hold>,
}

/// What holds a client's next request back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// CLIENT PAUSE, until this Unix time in milliseconds or until the pause is lifted.
    Pause { until_ms: u64 },
    /// Settling is behind, and the request would write.
    Throttle { delay_ms: u64 },
    /// Keys that it names are on their way to another server, until this generation of departures ends.
    Departure { generation: u64 },
    /// A long command is in its way.
    Held { delay_ms: u64 },
    /// Nothing, but the worker's other clients have waited long enough.
    Turn,
    /// The session says what for.
    Waiting,
}

/// Runs the commands of one worker's clients.
pub struct Executor {
    pub worker: Worker,
    lookup: Arc<Lookup>,
    /// The requests of the batch under way; kept for its allocation.
    resolved: Vec<Resolved>,
    /// Runs commands while a script of the same thread, late as it is, has the worker's seat at the gate.
    beside_script: bool,
}

/// A request looked up.
struct Resolved {
    command: Result<&'static Command, Unknown>,
    place: Option<Place>,
}

/// A command was not run, as a long one is in its way: it may be tried again after this time.
struct Held {
    delay_ms: u64,
}

/// Which slots a command needs.
enum Need {
    Nothing,
    One(Place),
    Some(SmallVec<[SlotId; 16]>),
    All,
}

impl Need {
    fn includes(&self, slot: SlotId) -> bool {
        match self {
            Need::Nothing => false,
            Need::One(place) => place.slot == slot,
            Need::Some(slots) => slots.contains(&slot),
            Need::All => true,
        }
    }
}

impl Executor {
    pub fn new(worker: Worker, lookup: Arc<Lookup>) -> Executor {
        Executor { worker, lookup, resolved: Vec::with_capacity(BATCH_REQUESTS_MAX), beside_script: false }
    }

    /// For what is served while a late script keeps the worker's own executor: nothing that needs the data set.
    pub fn beside_script(worker: Worker, lookup: Arc<Lookup>) -> Executor {
        Executor { beside_script: true, ..Executor::new(worker, lookup) }
    }

    pub fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// Runs requests until all are done, the client is to be closed, the output wants sending, or a pause holds one
    /// back.
    pub fn run(&mut self, session: &mut Session, batch: &Batch<'_>, out: &mut Vec<u8>) -> Progress {
        self.worker.refresh();
        let mut resolved = std::mem::take(&mut self.resolved);
        self.run_with(&self.worker).resolve(batch, &mut resolved);
        let progress = loop {
            match self.run_with(&self.worker).batch(session, batch, &resolved, out) {
                Some(progress) => break progress,
                None => self.worker.refresh_effects(),
            }
        };
        resolved.clear();
        self.resolved = resolved;
        self.worker.tell_listeners();
        progress
    }
}

impl Executor {
    /// Serves whoever waits for these keys, which changed where nobody could be served.
    pub fn serve_waiters(&mut self, keys: Vec<WaitedKey>) {
        self.worker.refresh();
        let engine = self.worker.engine.clone();
        loop {
            let _passage = engine.gate.enter(self.worker.index);
            if self.worker.knows_effects() {
                return blocking::serve_unheld(&self.worker, &self.lookup, keys);
            }
            self.worker.refresh_effects();
        }
    }

    /// Ends a departure by what came of it, unless keys have to be sent again.
    pub fn finish_departure(&mut self, departure: Departure, receipt: Receipt) -> Option<Departure> {
        self.worker.refresh();
        let engine = self.worker.engine.clone();
        loop {
            let _passage = engine.gate.enter(self.worker.index);
            if self.worker.knows_effects() {
                return migrate::finish(&self.worker, &self.lookup, departure, receipt);
            }
            self.worker.refresh_effects();
        }
    }

    fn run_with<'e>(&'e self, worker: &'e Worker) -> Run<'e> {
        Run { worker, engine: &worker.engine, lookup: &self.lookup, beside_script: self.beside_script }
    }
}

/// What the commands of one batch run with.
#[derive(Clone, Copy)]
struct Run<'e> {
    worker: &'e Worker,
    engine: &'e Engine,
    lookup: &'e Lookup,
    beside_script: bool,
}

impl<'e> Run<'e> {
    /// `None` when someone else follows the data set now, which the worker does not know yet.
    fn batch(
        self,
        session: &mut Session,
        batch: &Batch<'_>,
        resolved: &[Resolved],
        out: &mut Vec<u8>,
    ) -> Option<Progress> {
        let first_byte = out.len();
        // A late script keeps the gate closed, and those who wait there answer that.
        let mut passage = self.enter();
        if passage.is_some() && !self.worker.knows_effects() {
            return None;
        }
        if !session.knows_users(&self.engine.users) {
            session.refresh_user(&self.engine.users);
        }
        let (mut started, mut turn_ns) = (clock::ticks(), 0);
        for (index, resolved) in resolved.iter().enumerate() {
            let args = batch.request(index);
            if args.is_empty() {
                self.relay(session, batch.bytes(index));
                continue;
            }
            if let Some(until_ms) = self.paused_until_ms(session, &resolved.command, args) {
                return Some(Progress { requests: index, hold: Some(Hold::Pause { until_ms }) });
            }
            if self.engine.persistence.obstacles() & obstacle::HOLDING != 0
                && let Some(hold) = self.held_back(session, resolved, args)
            {
                return Some(Progress { requests: index, hold: Some(hold) });
            }
            if let Some(relay) = &mut session.relay {
                relay.extend_from_slice(batch.bytes(index));
            }
            match self.one(session, resolved, args, out, &mut passage, started) {
                Ok(ended) => {
                    turn_ns += ended.nanos_since(started);
                    started = ended;
                }
                Err(Held { delay_ms }) => {
                    session.held_tries += 1;
                    if let Some(relay) = &mut session.relay {
                        relay.truncate(relay.len() - batch.bytes(index).len());
                    }
                    return Some(Progress { requests: index, hold: Some(Hold::Held { delay_ms }) });
                }
            }
            session.held_tries = 0;
            self.relay(session, &[]);
            let sees_new_config = resolved.command.is_ok_and(|command| command.has(ADMIN | RUNS_QUEUE))
                && (self.engine.config.generation() != self.worker.config_generation()
                    || !session.knows_users(&self.engine.users));
            if session.fate != Fate::Stay
                || session.waiting.is_some()
                || out.len() - first_byte > OUTPUT_BYTES_PER_RUN
                || sees_new_config
            {
                let hold = session.waiting.as_ref().map(|_| Hold::Waiting);
                return Some(Progress { requests: index + 1, hold });
            }
            if turn_ns > TURN_NS {
                return Some(Progress { requests: index + 1, hold: Some(Hold::Turn) });
            }
        }
        Some(Progress { requests: resolved.len(), hold: None })
    }

    /// Relays what a primary sent, unless that is the front of a transaction: it goes out in one piece with what it did.
    #[inline]
    fn relay(self, session: &mut Session, bytes: &[u8]) {
        if session.relay.is_some() {
            self.relay_of_primary(session, bytes);
        }
    }

    #[cold]
    fn relay_of_primary(self, session: &mut Session, bytes: &[u8]) {
        let Some(relay) = &mut session.relay else { return };
        relay.extend_from_slice(bytes);
        if session.transaction.is_some() || session.fate != Fate::Stay || relay.is_empty() {
            return;
        }
        self.engine.stream.relay(relay);
        self.engine.following.selected.store(session.db, Ordering::Relaxed);
        relay.clear();
        relay.shrink_to(KEPT_RELAY_BYTES_MAX);
    }

    /// Looks every request up and brings towards the cache what the batch will touch.
    #[inline]
    fn resolve(self, batch: &Batch<'_>, resolved: &mut Vec<Resolved>) {
        let mut ahead = Ahead::of(&self.engine.keyspace);
        for index in 0..batch.ends.len() {
            let args = batch.request(index);
            let command = if args.is_empty() { Err(Unknown::Command) } else { self.lookup.resolve(args) };
            let place = command.ok().and_then(|command| ahead.add(command, args));
            resolved.push(Resolved { command, place });
        }
        if resolved.len() > 1 {
            ahead.bring();
        }
    }

    /// Whether CLIENT PAUSE holds this request back, and until when.
    #[inline]
    fn paused_until_ms(
        self,
        session: &Session,
        command: &Result<&'static Command, Unknown>,
        args: &[&[u8]],
    ) -> Option<u64> {
        let (kind, until_ms) = self.engine.pause.now(self.worker.now_ms)?;
        let Ok(command) = command else { return None };
        // What is not well-formed is told so at once.
        if !command.spec.accepts(args.len()) {
            return None;
        }
        let held = match kind {
            PauseKind::All => true,
            PauseKind::Write if command.has(RUNS_QUEUE) => {
                session.transaction.iter().flat_map(|transaction| &transaction.queue).any(|queued| {
                    let args: Vec<&[u8]> = queued.arguments.iter().map(Vec::as_slice).collect();
                    may_write(self.worker, registry::by_id(CommandId(queued.command)), &args)
                })
            }
            PauseKind::Write => may_write(self.worker, command, args),
        };
        held.then_some(until_ms)
    }

    /// What else holds this request back.
    #[cold]
    fn held_back(self, session: &mut Session, resolved: &Resolved, args: &[&[u8]]) -> Option<Hold> {
        let obstacles = self.engine.persistence.obstacles();
        if obstacles & obstacle::PRESSURE != 0
            && let Some(delay_ms) = self.throttle_ms(session, &resolved.command, args)
        {
            return Some(Hold::Throttle { delay_ms });
        }
        let command = resolved.command.ok()?;
        if obstacles & obstacle::DEPARTURES == 0 || !command.spec.accepts(args.len()) || queues(session, command) {
            return None;
        }
        let need = if command.has(RUNS_SCRIPT) {
            // One that was never run is taken at its word: most touch no other keys, and who does is noticed.
            match script::reach(script::find(self.worker, command, args).as_ref(), command, args) {
                Reach::Everything => Need::All,
                Reach::Declared | Reach::Untried => need_of_keys(command, args),
            }
        } else {
            need(self.worker, session, command, resolved.place, args)
        };
        let generation = self.engine.departures.keep_out(&session.handle, |held| need.includes(held))?;
        Some(Hold::Departure { generation })
    }

    /// How long this request must wait for settling to catch up, once.
    fn throttle_ms(
        self,
        session: &mut Session,
        command: &Result<&'static Command, Unknown>,
        args: &[&[u8]],
    ) -> Option<u64> {
        let writes = command.is_ok_and(|command| {
            command.has(RUNS_QUEUE)
                || command.spec.accepts(args.len())
                    && may_write(self.worker, command, args)
                    && !queues(session, command)
        });
        if !writes || std::mem::take(&mut session.throttled) {
            return None;
        }
        session.throttled = true;
        Some(self.engine.persistence.writer_delay_ms()).filter(|delay_ms| *delay_ms > 0)
    }

    fn one(
        self,
        session: &mut Session,
        resolved: &Resolved,
        args: &[&[u8]],
        out: &mut Vec<u8>,
        passage: &mut Option<Passage<'e>>,
        started: Ticks,
    ) -> Result<Ticks, Held> {
        let mut before = out.len();
        if let Ok(command) = resolved.command {
            session.handle.last_command.store(command.id.0, Ordering::Relaxed);
        }
        let ended = match self.admission().admit(session, &resolved.command, args) {
            Err(error) => {
                session.refuse_transaction();
                if let Ok(command) = resolved.command {
                    self.worker.stats.commands[command.id.index()].rejected_calls.add(1);
                    if command.has(RUNS_QUEUE) {
                        self.abort_transaction(session);
                    }
                }
                self.engine.count_error(error.code());
                if session.relay.is_some() && error.code() == "MISCONF" {
                    // Without it the data set would no longer be the primary's. It will be sent again.
                    session.fate = Fate::CloseAfterReply;
                }
                let mut reply = Reply::new(out, session.protocol);
                if resolved.command.is_ok_and(|command| command.has(RUNS_QUEUE)) {
                    let text = error.text();
                    let reason = text.trim_start_matches("ERR ");
                    reply.error_text(&format!("EXECABORT Transaction discarded because of: {reason}"));
                } else if is_http(&resolved.command, args) {
                    tracing::warn!(
                        "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands. \
                         Connection from {} aborted.",
                        session.handle.peer.address()
                    );
                    session.fate = Fate::CloseAfterReply;
                } else {
                    reply.error(&error);
                }
                clock::ticks()
            }
            Ok(command) if queues(session, command) => {
                session.enqueue(command.id.0, args);
                Reply::new(out, session.protocol).raw(b"+QUEUED\r\n");
                clock::ticks()
            }
            Ok(command) => {
                if session.tracking.is_some() {
                    // What went to make room for the command is out of date before its reply.
                    session.write_mail(out);
                    before = out.len();
                }
                self.call(session, command, resolved.place, args, out, passage, started)?
            }
        };
        if session.relay.is_some() && out.get(before) == Some(&b'-') {
            let name = String::from_utf8_lossy(args[0]).into_owned();
            let error = String::from_utf8_lossy(&out[before + 1..]).trim_end().to_owned();
            tracing::warn!("A command of the primary, {name}, fails here: {error}");
        }
        match session.reply_mode {
            ReplyMode::On => {}
            ReplyMode::SkipNext => {
                session.reply_mode = ReplyMode::Skip;
                out.truncate(before);
            }
            ReplyMode::Skip => {
                session.reply_mode = ReplyMode::On;
                out.truncate(before);
            }
            ReplyMode::Off => out.truncate(before),
        }
        if !session.pushes.is_empty() {
            out.append(&mut session.pushes);
        }
        Ok(ended)
    }

    fn admission(self) -> Admission<'e> {
        Admission { worker: self.worker }
    }

    fn abort_transaction(self, session: &mut Session) {
        session.take_transaction();
        if self.beside_script {
            // The script may hold the slots of watched keys. They stay watched.
            return;
        }
        let keyspace = &self.engine.keyspace;
        session.unwatch(|id, work| work(&mut keyspace.lock(id)));
    }

    #[inline]
    fn followers(self, session: &Session, command: &Command) -> Option<Followers<'e>> {
        Followers::of(self.engine, self.worker.effects(), self.worker.index, writes(session, command))
    }

    /// Locks, runs and accounts for one command; gives the moment it ended. Nothing is done if a long command is in
    /// the way.
    #[allow(clippy::too_many_arguments)]
    #[inline]
    fn call(
        self,
        session: &mut Session,
        command: &'static Command,
        place: Option<Place>,
        args: &[&[u8]],
        out: &mut Vec<u8>,
        passage: &mut Option<Passage<'e>>,
        started: Ticks,
    ) -> Result<Ticks, Held> {
        let (mut exclusive, mut unserved) = (None, Vec::new());
        let busy = self.engine.running.busy();
        let mut patience = Patience::with_slots(session.held_tries, busy);
        let failed = {
            // Built in place and locked there: it is large, and moving it would cost more than a lock.
            let mut cx = Cx {
                worker: self.worker,
                lookup: self.lookup,
                space: Space::new(
                    &self.engine.keyspace,
                    &self.worker.stats,
                    session.db,
                    self.worker.now_ms,
                    self.worker.access_clock,
                    !session.no_touch,
                    self.followers(session, command),
                ),
                reply: Reply::new(out, session.protocol),
                session,
                command,
                in_exec: false,
                script: None,
                wants_everything: false,
                waits: Waits::Allowed,
            };
            cx.space.wanted_events = self.worker.wanted_events();
            cx.space.held_tries = cx.session.held_tries;
            cx.space.keeps_expired = self.engine.pause.now(self.worker.now_ms).is_some();
            if self.engine.is_replica() {
                see_as_replica(&mut cx);
            }
            // Inside the gate, unless a late script keeps it closed; then only what helps is let through.
            if passage.is_none() && !command.has(ALLOW_BUSY) {
                *passage = self.enter();
            }
            let needed = if command.has(RUNS_SCRIPT) {
                // It is left for the handler.
                cx.script = script::find(cx.worker, cx.command, args);
                need_of_script(cx.script.as_ref(), cx.command, args)
            } else {
                need(self.worker, cx.session, command, place, args)
            };
            let locked = match needed {
                Need::Nothing => passage.is_some() || command.has(ALLOW_BUSY),
                _ if passage.is_none() => false,
                Need::One(place) => cx.space.lock_one(key_of(command, args), place, || patience.lasts()),
                Need::Some(slots) => cx.space.lock_some(slots, || patience.lasts()),
                Need::All => {
                    patience = Patience::with_gate(cx.session.held_tries, busy);
                    self.lock_all(&mut cx, passage, &mut exclusive, &mut patience)
                }
            };
            if !locked && !busy.load(Ordering::Acquire) {
                return Err(Held { delay_ms: patience.retry_ms() });
            }
            let before = cx.reply.len();
            let mut failed = if locked { run_handler(&mut cx, args) } else { refuse_as_busy(&mut cx) };
            if cx.wants_everything {
                failed = self.run_with_everything(&mut cx, args, passage, &mut exclusive);
            }
            if cx.space.missed_slot {
                cx.reply.truncate(before);
                return Err(Held { delay_ms: patience.retry_ms() });
            }
            if cx.space.has_ready() {
                unserved = blocking::serve(&mut cx);
                listeners::tell(&mut cx);
            }
            failed
        };
        // While nobody else sees the one without the other.
        self.relay(session, &[]);
        if exclusive.take().is_some() {
            *passage = self.enter();
        }
        if !unserved.is_empty() {
            blocking::serve_unheld(self.worker, self.lookup, unserved);
        }
        let ended = clock::ticks();
        account::record(self.worker, session, command, args, ended.nanos_since(started), failed);
        Ok(ended)
    }
}

impl<'e> Run<'e> {
    /// Passes the gate, unless a late script keeps it closed.
    #[inline]
    fn enter(self) -> Option<Passage<'e>> {
        if self.beside_script {
            return None;
        }
        self.engine.gate.enter_unless(self.worker.index, self.engine.running.busy())
    }

    /// Closes the gate and brings every slot in reach; false when patience ends before.
    #[cold]
    fn lock_all(
        self,
        cx: &mut Cx<'_>,
        passage: &mut Option<Passage<'e>>,
        exclusive: &mut Option<Exclusive<'e>>,
        patience: &mut Patience<'_>,
    ) -> bool {
        *passage = None;
        *exclusive = self.engine.gate.close_while(|| patience.lasts());
        if exclusive.is_some() {
            cx.space.lock_all();
        }
        exclusive.is_some()
    }

    /// Runs a handler again that asked for every slot.
    #[cold]
    fn run_with_everything(
        self,
        cx: &mut Cx<'_>,
        args: &[&[u8]],
        passage: &mut Option<Passage<'e>>,
        exclusive: &mut Option<Exclusive<'e>>,
    ) -> bool {
        cx.wants_everything = false;
        cx.space.release();
        let mut patience = Patience::endless(self.engine.running.busy());
        if self.lock_all(cx, passage, exclusive, &mut patience) { run_handler(cx, args) } else { refuse_as_busy(cx) }
    }
}

/// Answers that a late script holds the command up.
#[cold]
fn refuse_as_busy(cx: &mut Cx<'_>) -> bool {
    let error = script::busy_error(cx.engine());
    cx.reply.error(&error);
    cx.engine().count_error(error.code());
    true
}

/// Runs the handler of `cx.command`, turns its error into a reply, and hands its effect on. Tells whether it failed.
#[inline]
pub(super) fn run_handler(cx: &mut Cx<'_>, args: &[&[u8]]) -> bool {
    let start = cx.reply.len();
    let changes_before = cx.space.changes;
    let db = cx.space.db;
    let mut result = (cx.command.spec.handler)(cx, args);
    let changes = cx.space.changes - changes_before;
    if (changes > 0 || cx.space.has_told())
        && let Err(stopped) = account::hand_on_effect(cx, db, args, changes)
    {
        result = Err(stopped);
    }
    if cx.space.has_news() {
        listeners::tell(cx);
    }
    if cx.session.tracking.is_some() {
        listeners::note_reads(cx, args);
    }
    match result {
        Ok(()) => false,
        Err(error) => {
            cx.reply.truncate(start);
            cx.reply.error(&error);
            if !error.is_counted() {
                cx.engine().count_error(error.code());
            }
            true
        }
    }
}

/// On a replica keys expire when the primary says so. Clients that may write there by themselves do away with what they
/// see expired.
#[cold]
fn see_as_replica(cx: &mut Cx<'_>) {
    if cx.session.must_obey() {
        cx.space.obey();
    } else if cx.config().replica_read_only || !writes(cx.session, cx.command) {
        cx.space.keeps_expired = true;
    } else {
        cx.space.own_expiries = Some(&cx.worker.engine.following.own_expiries);
    }
}

/// Whether a browser was made to talk to us: a page may send requests across protocols, and their lines must not run.
#[cold]
fn is_http(command: &Result<&'static Command, Unknown>, args: &[&[u8]]) -> bool {
    let word = args.first().copied().unwrap_or_default();
    command.is_err() && (word.eq_ignore_ascii_case(b"post") || word.eq_ignore_ascii_case(b"host:"))
}

/// Whether the client is queueing and this command goes into the queue.
#[inline]
fn queues(session: &Session, command: &Command) -> bool {
    session.transaction.is_some() && !command.has(NEVER_QUEUED)
}

/// Whether a call may put something into the log or the replication stream.
fn may_write(worker: &Worker, command: &Command, args: &[&[u8]]) -> bool {
    if command.has(RUNS_SCRIPT) {
        return script::may_write(worker, command, args);
    }
    command.has(WRITE | MAY_REPLICATE)
}

/// The key of a command that names one.
#[inline]
fn key_of<'a>(command: &Command, args: &[&'a [u8]]) -> &'a [u8] {
    match command.shape {
        KeyShape::One(at) => args[usize::from(at)],
        _ => &[],
    }
}

#[inline]
fn need(worker: &Worker, session: &Session, command: &Command, place: Option<Place>, args: &[&[u8]]) -> Need {
    if let Some(place) = place {
        return Need::One(place);
    }
    if command.needs_all_slots(args) {
        return Need::All;
    }
    if command.has(RUNS_QUEUE) {
        return need_of_transaction(worker, session);
    }
    match command.shape {
        KeyShape::None if is_in_no_slot(worker, command) => Need::All,
        KeyShape::None => Need::Nothing,
        _ => {
            prefetch_keys(&worker.engine, command, args);
            need_of_keys(command, args)
        }
    }
}

/// Whether a command changes what lies in no slot, and replicas are to see such changes in their order: then it runs alone.
fn is_in_no_slot(worker: &Worker, command: &Command) -> bool {
    command.shape == KeyShape::None && command.has(WRITE) && worker.engine.stream.is_on()
}

/// What a script needs, as far as that is known before it runs.
fn need_of_script(script: Option<&Runnable>, command: &Command, args: &[&[u8]]) -> Need {
    match script::reach(script, command, args) {
        Reach::Declared => need_of_keys(command, args),
        Reach::Untried | Reach::Everything => Need::All,
    }
}

/// The slots of the keys that a call names.
fn need_of_keys(command: &Command, args: &[&[u8]]) -> Need {
    let mut slots = SmallVec::new();
    keys::add_slots(command, args, &mut slots);
    if slots.is_empty() { Need::Nothing } else { Need::Some(slots) }
}

/// Brings what the keys of a command with several keys touch towards the cache.
fn prefetch_keys(engine: &Engine, command: &Command, args: &[&[u8]]) {
    let KeyShape::Range { .. } = command.shape else { return };
    let mut ahead = Ahead::of(&engine.keyspace);
    command.shape.indexes(args.len()).take(KEYS_AHEAD_MAX).for_each(|at| {
        ahead.add_key(args[at]);
    });
    ahead.bring();
}

/// A transaction needs what its commands need, and its watched keys. With a command that reaches beyond its keys it
/// needs everything.
fn need_of_transaction(worker: &Worker, session: &Session) -> Need {
    let mut slots: SmallVec<[SlotId; 16]> = session.watched().map(|(_, key)| SlotId::of_key(key)).collect();
    for queued in session.transaction.iter().flat_map(|transaction| &transaction.queue) {
        let command = registry::by_id(CommandId(queued.command));
        let args: Vec<&[u8]> = queued.arguments.iter().map(Vec::as_slice).collect();
        if command.has(WALKS_SLOTS) || command.needs_all_slots(&args) || is_in_no_slot(worker, command) {
            return Need::All;
        }
        // Such a script cannot be run again with everything: what was queued before it may have changed something.
        if command.has(RUNS_SCRIPT)
            && script::reach(script::find(worker, command, &args).as_ref(), command, &args) != Reach::Declared
        {
            return Need::All;
        }
        keys::add_slots(command, &args, &mut slots);
    }
    if slots.is_empty() { Need::Nothing } else { Need::Some(slots) }
}
