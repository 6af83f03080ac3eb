//! What follows a command: its effect to those who follow the data set, its time to the statistics, the slow log and
//! the latency events, its line to the monitors.

use std::fmt::Write;

use smallvec::SmallVec;

use super::context::Cx;
use super::keys::{self, FindKeys, KeyShape};
use super::registry::Command;
use super::spec::{ADMIN, FAST, SKIP_MONITOR, SKIP_SLOWLOG};
use crate::base::clock;
use crate::base::key_slot::SlotId;
use crate::config::Config;
use crate::engine::effect::{Effect, bytes_for_request};
use crate::engine::session::Waiting;
use crate::engine::{Engine, Session, Worker};
use crate::log::health::Stopped;
use crate::resp::ReplyError;
use crate::store::DbIndex;

/// Hands the effect of the command that just ran on, ahead of its reply and under its locks. Inside a transaction it
/// is kept for the transaction's end.
#[cold]
pub fn hand_on_effect(cx: &mut Cx<'_>, db: DbIndex, args: &[&[u8]], changes: u64) -> Result<(), ReplyError> {
    cx.worker.stats.dirty.add(changes);
    let effect = std::mem::take(&mut cx.space.effect);
    if !cx.space.is_followed() {
        return Ok(());
    }
    let handed = match effect {
        _ if changes == 0 => Ok(()),
        Effect::Verbatim => tell_verbatim(cx, db, args),
        Effect::Amended(index, argument) => {
            let mut args: SmallVec<[&[u8]; 16]> = SmallVec::from_slice(args);
            args[index as usize] = &argument;
            tell_verbatim(cx, db, &args)
        }
        Effect::Instead(commands) => match &commands[..] {
            [only] => {
                let args: SmallVec<[&[u8]; 8]> = only.command.iter().map(Vec::as_slice).collect();
                tell_one(cx, SlotId::of_key(args[only.key_at]), only.db, &args)
            }
            several => {
                for told in several {
                    let args: SmallVec<[&[u8]; 8]> = told.command.iter().map(Vec::as_slice).collect();
                    cx.space.tell(SlotId::of_key(args[told.key_at]), told.db, &args);
                }
                Ok(())
            }
        },
    };
    if cx.in_exec {
        return Ok(());
    }
    cx.worker.note_change();
    handed.and_then(|()| cx.space.hand_on()).map_err(|_| stopped_log(cx))
}

/// Makes sure, before anything is changed, that the log takes so many bytes of effects more than the request says.
pub fn reserve(cx: &mut Cx<'_>, args: &[&[u8]], bytes: usize) -> Result<(), ReplyError> {
    // A transaction has kept what its requests need.
    let of_request = if cx.in_exec { 0 } else { bytes_for_request(args.iter().map(|one| one.len()).sum(), args.len()) };
    cx.space.reserve(of_request + bytes).map_err(|_| stopped_log(cx))
}

/// The error of a change that the log did not take.
#[cold]
pub fn stopped_log(cx: &Cx<'_>) -> ReplyError {
    ReplyError::log_stopped(cx.worker.effects().and_then(|sink| sink.stopped()))
}

#[inline]
fn tell_one(cx: &mut Cx<'_>, slot: SlotId, db: DbIndex, args: &[&[u8]]) -> Result<(), Stopped> {
    if cx.in_exec {
        cx.space.tell(slot, db, args);
        return Ok(());
    }
    cx.space.hand_on_one(slot, db, args)
}

/// The command is its own effect. One that does the same to each of several keys is told to the log key by key: so each
/// effect belongs to one slot, and compaction sees what is superseded.
#[inline]
fn tell_verbatim(cx: &mut Cx<'_>, db: DbIndex, args: &[&[u8]]) -> Result<(), Stopped> {
    match cx.command.shape {
        KeyShape::One(at) => {
            let slot = cx.space.place(args[usize::from(at)]).slot;
            tell_one(cx, slot, db, args)
        }
        shape if is_of_each_key(cx.command) => {
            let mut places = shape.indexes(args.len());
            let (Some(first), second) = (places.next(), places.next()) else {
                panic!("{} changed something without a key", cx.command.full_name)
            };
            let Some(second) = second else { return tell_one(cx, SlotId::of_key(args[first]), db, args) };
            for with_key in args[first..].chunks(second - first) {
                let command: SmallVec<[&[u8]; 4]> = args[..first].iter().chain(with_key).copied().collect();
                cx.space.tell_log(SlotId::of_key(with_key[0]), db, &command);
            }
            cx.space.tell_replicas(db, args);
            Ok(())
        }
        _ => {
            let mut slots = SmallVec::new();
            keys::add_slots(cx.command, args, &mut slots);
            slots.dedup();
            let [slot] = slots[..] else { panic!("{} told no effect of one slot", cx.command.full_name) };
            tell_one(cx, slot, db, args)
        }
    }
}

/// Whether a call is the same as one call for each of its keys: its only keys are the rest of the call.
fn is_of_each_key(command: &Command) -> bool {
    matches!(command.spec.keys, [only] if matches!(only.find, FindKeys::Range { last: -1, .. }))
}

/// What stands for an argument that must not be shown.
const REDACTED: &[u8] = b"(redacted)";

/// Accounts for a call that took `nanos`.
#[inline]
pub fn record(worker: &Worker, session: &mut Session, command: &Command, args: &[&[u8]], nanos: u64, failed: bool) {
    let stats = &worker.stats;
    // CONFIG SET is accounted for as it has just set things.
    let fresh = (command.has(ADMIN) && worker.engine.config.generation() != worker.config_generation())
        .then(|| worker.engine.config.load());
    let config = fresh.as_ref().unwrap_or(worker.config());
    stats.commands_processed.add(1);
    let own = &stats.commands[command.id.index()];
    own.record(nanos, config.latency_tracking);
    if failed {
        own.failed_calls.add(1);
    }
    // What a client waits in is told of once it is over.
    if !matches!(session.waiting, Some(Waiting::Keys(_) | Waiting::Departure { .. })) {
        record_if_slow(worker, session, command, args, nanos, config);
    }
    if worker.engine.clients.has_monitors() && !command.has(SKIP_MONITOR | ADMIN) {
        feed_monitors(&worker.engine, session, args);
    }
    if !session.redacted.is_empty() {
        session.redacted.clear();
    }
}

/// Tells the slow log and the latency events of a call that took long.
#[inline]
pub fn record_if_slow(
    worker: &Worker,
    session: &Session,
    command: &Command,
    args: &[&[u8]],
    nanos: u64,
    config: &Config,
) {
    let slow_us = config.slowlog_log_slower_than;
    if slow_us >= 0 && nanos >= slow_us as u64 * 1000 && !command.has(SKIP_SLOWLOG) {
        record_slow(worker, session, args, nanos / 1000, config.slowlog_max_len as usize);
    }
    let threshold_ms = config.latency_monitor_threshold as u64;
    if threshold_ms > 0 && nanos >= threshold_ms * 1_000_000 {
        let event = if command.has(FAST) { "fast-command" } else { "command" };
        worker.engine.latency.record(event, nanos / 1_000_000, worker.now_ms / 1000);
    }
}

/// The arguments without those that must not be shown.
fn shown<'a>(session: &Session, args: &[&'a [u8]]) -> SmallVec<[&'a [u8]; 8]> {
    let mut shown = SmallVec::from_slice(args);
    for index in &session.redacted {
        if let Some(argument) = shown.get_mut(*index) {
            *argument = REDACTED;
        }
    }
    shown
}

#[cold]
fn record_slow(worker: &Worker, session: &Session, args: &[&[u8]], duration_us: u64, entries_max: usize) {
    if entries_max == 0 {
        return;
    }
    let name = session.handle.names.lock().name.clone();
    let peer = session.handle.peer.address();
    worker.engine.slow_log.record(&shown(session, args), duration_us, worker.now_ms / 1000, peer, name, entries_max);
}

/// Tells monitors of a command that ran: only then it is known what must not be shown.
#[cold]
pub(super) fn feed_monitors(engine: &Engine, session: &Session, args: &[&[u8]]) {
    let now_us = clock::unix_us();
    let mut line = format!(
        "+{}.{:06} [{} {}]",
        now_us / 1_000_000,
        now_us % 1_000_000,
        session.db,
        match &session.handle.peer {
            _ if session.in_script => "lua".into(),
            crate::engine::clients::Peer::Unix { path } => format!("unix:{path}"),
            peer => peer.address(),
        }
    );
    for argument in shown(session, args) {
        line.push(' ');
        push_quoted(&mut line, argument);
    }
    line.push_str("\r\n");
    engine.clients.feed_monitors(line);
}

/// Appends an argument in double quotes, with escapes for what does not print.
pub fn push_quoted(line: &mut String, argument: &[u8]) {
    line.push('"');
    for &byte in argument {
        match byte {
            b'\\' | b'"' => {
                line.push('\\');
                line.push(char::from(byte));
            }
            b'\n' => line.push_str("\\n"),
            b'\r' => line.push_str("\\r"),
            b'\t' => line.push_str("\\t"),
            7 => line.push_str("\\a"),
            8 => line.push_str("\\b"),
            b' '..=b'~' => line.push(char::from(byte)),
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(line, "\\x{byte:02x}");
            }
        }
    }
    line.push('"');
}
