//! Commands that wait for keys: how they begin to wait, and how they are served.
//!
//! A handler that finds nothing ends with [`Cx::wait_for`]. Where waiting is allowed, that puts its client in the line
//! of each key. Once a command has changed such a key, and its effect was handed on, [`serve`] runs the calls of those
//! who wait, in order, in the same space: under the same locks, each with its own effect. A call that needs slots which
//! are not locked is left to [`serve_unheld`], right after the command's locks are gone; so are all behind it in that
//! line. What a served call changes may be waited for in turn, so both go on until nothing is left.

use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::SmallVec;

use super::access::{self, Refused};
use super::account;
use super::context::{Cx, Outcome, Waits};
use super::dispatch::run_handler;
use super::keys::add_slots;
use super::listeners;
use super::lookup::Lookup;
use super::registry::{self, CommandId};
use crate::acl::log::Context;
use crate::base::clock;
use crate::base::key_slot::SlotId;
use crate::base::long_double::LongDouble;
use crate::base::number::parse_i64;
use crate::engine::blocking::{Wait, Waiter};
use crate::engine::clients::ClientHandle;
use crate::engine::effect::bytes_for_request;
use crate::engine::session::{ReplyMode, Waiting};
use crate::engine::space::Followers;
use crate::engine::{Session, Space, Worker};
use crate::resp::{Protocol, Reply, ReplyError};
use crate::store::ValueType;
use crate::store::waiters::WaitedKey;

const OUT_OF_RANGE: ReplyError = ReplyError::of("ERR timeout is out of range");
const NEGATIVE: ReplyError = ReplyError::of("ERR timeout is negative");

/// Reads a timeout in seconds, which may have a fraction, as the moment when it is over; zero is never.
pub fn seconds_from(now_ms: u64, text: &[u8]) -> Result<Option<u64>, ReplyError> {
    let number = LongDouble::parse(text).ok_or(ReplyError::of("ERR timeout is not a float or out of range"))?;
    let timeout_ms = number.thousandfold_rounded_up().ok_or(OUT_OF_RANGE)?;
    moment(now_ms, timeout_ms)
}

/// The same in whole milliseconds.
pub fn milliseconds_from(now_ms: u64, text: &[u8]) -> Result<Option<u64>, ReplyError> {
    let timeout_ms = parse_i64(text).ok_or(ReplyError::of("ERR timeout is not an integer or out of range"))?;
    moment(now_ms, timeout_ms)
}

fn moment(now_ms: u64, timeout_ms: i64) -> Result<Option<u64>, ReplyError> {
    match timeout_ms {
        0 => Ok(None),
        ..0 => Err(NEGATIVE),
        _ => (now_ms as i64).checked_add(timeout_ms).map(|until_ms| Some(until_ms as u64)).ok_or(OUT_OF_RANGE),
    }
}

/// What to wait for.
pub struct WaitFor<'a> {
    /// The call that is run again when one of the keys changed; its keys are those of the call under way.
    pub call: &'a [&'a [u8]],
    /// The keys that may bring something.
    pub keys: &'a [&'a [u8]],
    /// The type that a key must have to be worth looking at again.
    pub wanted: ValueType,
    /// Look again, too, when a key was removed or became another type.
    pub minds_end: bool,
    pub until_ms: Option<u64>,
}

impl Cx<'_> {
    /// Whether nobody may wait here, so that the command answers as if its time was over.
    pub fn may_not_wait(&self) -> bool {
        self.in_exec || self.waits == Waits::Denied
    }

    /// Ends a command that found nothing: its client waits. Where it may not, it is told that the time is over.
    pub fn wait_for(&mut self, what: &WaitFor<'_>) -> Outcome {
        if self.may_not_wait() {
            self.reply.null_array();
            return Ok(());
        }
        if self.waits != Waits::Allowed {
            self.waits = Waits::InVain;
            return Ok(());
        }
        let mut slots = SmallVec::new();
        add_slots(self.command, what.call, &mut slots);
        slots.sort_unstable();
        slots.dedup();
        let to_vecs = |parts: &[&[u8]]| parts.iter().map(|part| part.to_vec()).collect();
        let wait = Wait {
            handle: self.session.handle.clone(),
            command: self.command.id.0,
            arguments: to_vecs(what.call),
            keys: to_vecs(what.keys),
            slots: slots.into_iter().collect(),
            wanted: what.wanted,
            minds_end: what.minds_end,
            until_ms: what.until_ms,
            db: self.space.db,
            protocol: self.session.protocol,
            no_touch: self.session.no_touch,
            silent: matches!(self.session.reply_mode, ReplyMode::Off | ReplyMode::Skip),
            user: self.session.user().cloned(),
            users_generation: self.session.users_generation(),
        };
        let (ticket, space) = (self.engine().next_wait_ticket(), &mut self.space);
        let waiter = Waiter::begin(wait, ticket, |id, work| work(space.slot(id)));
        self.session.waiting = Some(Waiting::Keys(waiter));
        Ok(())
    }
}

// ---- serving ------------------------------------------------------------------------------------------------------

/// Serves those who wait for what the command of `cx` changed, as far as the slots that it holds allow. Gives the keys
/// whose waiters need more.
#[cold]
pub fn serve(cx: &mut Cx<'_>) -> Vec<WaitedKey> {
    // A transaction may have taken so long that what it made is over.
    cx.space.let_time_pass();
    let mut unserved = Vec::new();
    let mut ready = VecDeque::from(cx.space.take_ready());
    while let Some(changed) = ready.pop_front() {
        if !serve_key(cx, &changed) {
            unserved.push(changed);
        }
        ready.extend(cx.space.take_ready());
    }
    unserved
}

/// Serves those who wait for one key; false when the next of them needs slots that are not held.
fn serve_key(cx: &mut Cx<'_>, changed: &WaitedKey) -> bool {
    if !cx.space.holds(SlotId::of_key(&changed.key)) {
        return false;
    }
    let mut after = 0;
    while let Some(waiter) = next_to_serve(cx, changed, &mut after) {
        if !waiter.wait.slots.iter().all(|slot| cx.space.holds(*slot)) {
            return false;
        }
        run_again(cx, &waiter);
    }
    true
}

/// Serves those who wait for these keys. No slot is locked by the caller, who is inside the gate.
pub fn serve_unheld(worker: &Worker, lookup: &Lookup, keys: Vec<WaitedKey>) {
    let mut keys = VecDeque::from(keys);
    while let Some(changed) = keys.pop_front() {
        let mut after = 0;
        loop {
            let mut slots = SmallVec::from_slice(&[SlotId::of_key(&changed.key)]);
            let mut seen = after;
            let first = with_slots(worker, lookup, &slots, |cx| next_to_serve(cx, &changed, &mut seen));
            let Some(first) = first else { break };
            slots.extend(first.wait.slots.iter().copied());
            let served = with_slots(worker, lookup, &slots, |cx| {
                // Others may have come and gone meanwhile; whoever is first now is served, if these slots allow it.
                let mut seen = after;
                let waiter = next_to_serve(cx, &changed, &mut seen)?;
                if waiter.wait.slots.iter().all(|slot| cx.space.holds(*slot)) {
                    after = seen;
                    run_again(cx, &waiter);
                }
                Some(serve(cx))
            });
            let Some(fed) = served else { break };
            keys.extend(fed);
        }
    }
}

/// Runs `work` with these slots locked.
pub(super) fn with_slots<R>(
    worker: &Worker,
    lookup: &Lookup,
    slots: &SmallVec<[SlotId; 16]>,
    work: impl FnOnce(&mut Cx<'_>) -> R,
) -> R {
    let followers = Followers::of(&worker.engine, worker.effects(), worker.index, true);
    let now_ms = clock::unix_ms();
    let access_clock = worker.engine.keyspace.access_clock(now_ms);
    let mut space = Space::new(&worker.engine.keyspace, &worker.stats, 0, now_ms, access_clock, true, followers);
    space.wanted_events = worker.wanted_events();
    space.lock_some(slots.clone(), || true);
    let handle = Arc::new(ClientHandle::nobody());
    let mut out = Vec::new();
    let mut cx = Cx {
        worker,
        lookup,
        session: &mut Session::trusted(handle),
        space,
        reply: Reply::new(&mut out, Protocol::Resp2),
        command: registry::by_id(CommandId(0)),
        in_exec: false,
        script: None,
        wants_everything: false,
        waits: Waits::Denied,
    };
    let result = work(&mut cx);
    listeners::tell(&mut cx);
    result
}

/// The next client after this ticket whose call is worth running, now that the key has changed; moves the ticket.
fn next_to_serve(cx: &mut Cx<'_>, changed: &WaitedKey, after: &mut u64) -> Option<Arc<Waiter>> {
    if cx.space.drop_expired(changed.db, &changed.key) {
        // It counts as looked at; a stopped log lets nothing more in, whoever comes.
        let _ = cx.space.hand_on();
    }
    let kind = cx.space.kind(changed.db, &changed.key);
    let waiters = cx.space.slot(SlotId::of_key(&changed.key)).waiters()?;
    if kind.is_none() && !waiters.mind_end(changed.db, &changed.key) {
        return None;
    }
    loop {
        let place = waiters.next(changed.db, &changed.key, *after)?;
        *after = place.ticket;
        if let Some(waiter) = Waiter::of(&place.waiter)
            && (place.minds_end || kind == Some(waiter.wait.wanted))
        {
            return Some(waiter);
        }
    }
}

/// Runs a client's call again, all of whose slots are held. Unless there is still nothing for it, it is answered.
fn run_again(cx: &mut Cx<'_>, waiter: &Arc<Waiter>) {
    if !waiter.claim() {
        return;
    }
    let wait = &waiter.wait;
    let mut session = Session::trusted(wait.handle.clone());
    session.db = wait.db;
    session.protocol = wait.protocol;
    session.no_touch = wait.no_touch;
    let before = (cx.command, cx.reply.protocol, cx.waits, cx.space.db);
    std::mem::swap(cx.session, &mut session);
    cx.command = registry::by_id(CommandId(wait.command));
    cx.reply.protocol = wait.protocol;
    cx.waits = Waits::Again;
    cx.space.serve(wait.db, !wait.no_touch);

    let args: SmallVec<[&[u8]; 8]> = wait.arguments.iter().map(Vec::as_slice).collect();
    let (start, started) = (cx.reply.len(), clock::ticks());
    let failed = match recheck(cx, wait, &args) {
        Err(error) => {
            cx.engine().count_error(error.code());
            cx.worker.stats.commands[cx.command.id.index()].rejected_calls.add(1);
            cx.reply.error(&error);
            false
        }
        Ok(()) => match reserve(cx, &args) {
            Ok(()) => run_handler(cx, &args),
            Err(error) => {
                cx.reply.error(&error);
                true
            }
        },
    };
    let reply = cx.reply.take_from(start);
    if cx.waits == Waits::InVain {
        waiter.put_back(cx.space.now_ms);
    } else {
        if failed {
            cx.worker.stats.commands[cx.command.id.index()].failed_calls.add(1);
        }
        let took_ns = clock::ticks().nanos_since(started);
        account::record_if_slow(cx.worker, cx.session, cx.command, &args, took_ns, cx.worker.config());
        let space = &mut cx.space;
        waiter.answer(reply, |id, work| work(space.slot(id)));
    }

    (cx.command, cx.reply.protocol, cx.waits, cx.space.db) = before;
    std::mem::swap(cx.session, &mut session);
}

/// Whether the client's user, whose rules may have changed while it waited, may still make its call.
fn recheck(cx: &Cx<'_>, wait: &Wait, args: &[&[u8]]) -> Result<(), ReplyError> {
    let users = &cx.engine().users;
    let Some(user) = wait.user.as_ref().filter(|_| users.generation() != wait.users_generation) else { return Ok(()) };
    // The clients of a user that is gone are about to be closed.
    let found = users.get(&user.name).filter(|found| found.id == user.id).ok_or(ReplyError::NotAuthenticated)?;
    access::check(&found, cx.command, args).map_err(|denial| {
        let object = denial.object(cx.command, args);
        let refused = Refused { reason: denial.reason, object, username: &found.name, args };
        access::refuse(cx.engine(), cx.session, refused, Context::TopLevel, cx.space.now_ms);
        denial.error(cx.command)
    })
}

/// Makes sure that the log takes the effects of a call.
fn reserve(cx: &mut Cx<'_>, args: &[&[u8]]) -> Result<(), ReplyError> {
    let Some(followers) = cx.space.followers() else { return Ok(()) };
    let bytes = bytes_for_request(args.iter().map(|one| one.len()).sum(), args.len());
    followers.reserve(bytes).map_err(|_| account::stopped_log(cx))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts() {
        let text = |error: ReplyError| error.text().into_owned();
        for (written, expected) in [
            ("0", Ok(None)),
            ("0.0000001", Ok(Some(1001))),
            ("1.5", Ok(Some(2500))),
            ("0x10", Ok(Some(17_000))),
            ("-1", Err("ERR timeout is negative")),
            ("-0.001", Ok(None)),
            ("-0.0011", Err("ERR timeout is negative")),
            ("x", Err("ERR timeout is not a float or out of range")),
            ("inf", Err("ERR timeout is out of range")),
            ("9223372036854775", Err("ERR timeout is out of range")),
            ("1e30", Err("ERR timeout is out of range")),
        ] {
            assert_eq!(
                seconds_from(1000, written.as_bytes()).map_err(text),
                expected.map_err(str::to_owned),
                "{written}"
            );
        }
        assert_eq!(milliseconds_from(1000, b"5").map_err(text), Ok(Some(1005)));
        assert_eq!(
            milliseconds_from(1000, b"1.5").map_err(text).unwrap_err(),
            "ERR timeout is not an integer or out of range"
        );
    }
}
