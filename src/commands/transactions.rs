//! Handlers of transactions: MULTI, EXEC, DISCARD, WATCH, UNWATCH.
//!
//! Dispatch queues what comes between MULTI and EXEC. Before EXEC runs it has locked every slot that the queued
//! commands and the watched keys need, so what happens here is one step to everybody else.

use super::account;
use super::context::{Cx, Outcome};
use super::dispatch::run_handler;
use super::registry::{self, CommandId};
use crate::base::clock;
use crate::base::key_slot::SlotId;
use crate::engine::effect::Effect;
use crate::engine::session::Transaction;
use crate::resp::ReplyError;

fn unwatch_all(cx: &mut Cx<'_>) {
    let space = &mut cx.space;
    cx.session.unwatch(|id, work| space.with_slot(id, work));
}

/// MULTI
pub fn multi(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    if cx.session.transaction.is_some() {
        return Err(ReplyError::of("ERR MULTI calls can not be nested"));
    }
    cx.session.begin_transaction();
    cx.reply.ok();
    Ok(())
}

/// DISCARD
pub fn discard(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    if cx.session.take_transaction().is_none() {
        return Err(ReplyError::of("ERR DISCARD without MULTI"));
    }
    unwatch_all(cx);
    cx.reply.ok();
    Ok(())
}

/// WATCH key [key ...]
pub fn watch(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    if cx.session.transaction.is_some() {
        return Err(ReplyError::of("ERR WATCH inside MULTI is not allowed"));
    }
    // A transaction that is bound to fail needs no further reason.
    if !cx.session.watched_key_changed() {
        for key in &args[1..] {
            // Removes the key if it stands there expired: its end is then no change to what is watched.
            cx.space.exists(key);
            let session = &mut cx.session;
            cx.space.with_slot(SlotId::of_key(key), |slot| session.watch(slot, key));
        }
    }
    cx.reply.ok();
    Ok(())
}

/// UNWATCH
pub fn unwatch(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    unwatch_all(cx);
    cx.reply.ok();
    Ok(())
}

/// EXEC
pub fn exec(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let outcome = match cx.session.take_transaction() {
        None => Err(ReplyError::of("ERR EXEC without MULTI")),
        Some(transaction) => finish(cx, &transaction),
    };
    // Monitors see a transaction's commands first and its EXEC last.
    if cx.engine().clients.has_monitors() {
        account::feed_monitors(cx.engine(), cx.session, cx.command, args, cx.space.now_ms);
    }
    outcome
}

fn finish(cx: &mut Cx<'_>, transaction: &Transaction) -> Outcome {
    let changed = watched_key_changed(cx);
    unwatch_all(cx);
    if transaction.refused {
        return Err(ReplyError::of("EXECABORT Transaction discarded because of previous errors."));
    }
    if changed {
        cx.reply.null_array();
        return Ok(());
    }
    let effects = cx.engine().effects.as_deref();
    if let Some(effects) = effects {
        effects.begin();
    }
    run_queue(cx, transaction);
    if let Some(effects) = effects {
        effects.end();
    }
    Ok(())
}

/// Whether anyone changed a watched key, or its time ran out.
fn watched_key_changed(cx: &mut Cx<'_>) -> bool {
    let selected = cx.space.db;
    for (db, key) in cx.session.watched() {
        cx.space.db = db;
        // Looking at a key that has expired removes it, which tells those who watch it.
        cx.space.exists(key);
    }
    cx.space.db = selected;
    cx.session.watched_key_changed()
}

fn run_queue(cx: &mut Cx<'_>, transaction: &Transaction) {
    let (exec, changes_before) = (cx.command, cx.space.changes);
    cx.in_exec = true;
    cx.reply.array(transaction.queue.len());
    for queued in &transaction.queue {
        let args: Vec<&[u8]> = queued.arguments.iter().map(Vec::as_slice).collect();
        cx.command = registry::by_id(CommandId(queued.command));
        cx.space.effect = Effect::default();
        if cx.engine().clients.has_monitors() {
            account::feed_monitors(cx.engine(), cx.session, cx.command, &args, cx.space.now_ms);
        }
        let started = clock::ticks();
        let failed = run_handler(cx, &args);
        let took_ns = clock::ticks().nanos_since(started);
        account::record(cx.worker, cx.session, cx.command, &args, took_ns, failed);
    }
    cx.in_exec = false;
    cx.command = exec;
    // The queued commands' changes are counted and their effects handed on; EXEC itself changed nothing.
    cx.space.effect = Effect::default();
    cx.space.changes = changes_before;
}
