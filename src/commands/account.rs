//! What follows a command: its effect to those who follow the data set, its time to the statistics, the slow log and
//! the latency events, its line to the monitors.

use std::fmt::Write;

use smallvec::SmallVec;

use super::context::Cx;
use super::registry::Command;
use super::spec::{ADMIN, FAST, SKIP_MONITOR, SKIP_SLOWLOG};
use crate::base::clock;
use crate::engine::effect::Effect;
use crate::engine::expiry::append_del;
use crate::engine::{Engine, Session, Worker};
use crate::store::DbIndex;

/// Hands the effect of the command that just ran on, ahead of its reply and under its locks.
#[cold]
pub fn hand_on_effect(cx: &mut Cx<'_>, db: DbIndex, args: &[&[u8]], changes: u64) {
    cx.worker.stats.dirty.add(changes);
    let effect = std::mem::take(&mut cx.space.effect);
    let expired = std::mem::take(&mut cx.space.expired);
    let Some(effects) = cx.engine().effects.as_deref() else { return };
    for (index, key) in &expired {
        append_del(effects, *index, key);
    }
    match effect {
        _ if changes == 0 => {}
        Effect::Verbatim => effects.append(db, args),
        Effect::Instead(commands) => {
            for command in &commands {
                let args: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
                effects.append(db, &args);
            }
        }
    }
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
    let slow_us = config.slowlog_log_slower_than;
    if slow_us >= 0 && nanos >= slow_us as u64 * 1000 && !command.has(SKIP_SLOWLOG) {
        record_slow(worker, session, args, nanos / 1000, config.slowlog_max_len as usize);
    }
    let threshold_ms = config.latency_monitor_threshold as u64;
    if threshold_ms > 0 && nanos >= threshold_ms * 1_000_000 {
        let event = if command.has(FAST) { "fast-command" } else { "command" };
        worker.engine.latency.record(event, nanos / 1_000_000, worker.now_ms / 1000);
    }
    if worker.engine.clients.has_monitors() {
        feed_monitors(&worker.engine, session, command, args);
    }
    if !session.redacted.is_empty() {
        session.redacted.clear();
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
fn feed_monitors(engine: &Engine, session: &Session, command: &Command, args: &[&[u8]]) {
    if command.has(SKIP_MONITOR | ADMIN) {
        return;
    }
    let now_us = clock::unix_us();
    let mut line = format!(
        "+{}.{:06} [{} {}]",
        now_us / 1_000_000,
        now_us % 1_000_000,
        session.db,
        match &session.handle.peer {
            crate::engine::clients::Peer::Unix { path } => format!("unix:{path}"),
            peer => peer.address(),
        }
    );
    for argument in shown(session, args) {
        line.push(' ');
        push_quoted(&mut line, argument);
    }
    line.push_str("\r\n");
    engine.clients.feed_monitors(line.into());
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
