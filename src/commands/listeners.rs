//! After a command: tells those who listen what happened to keys, and notes what a client that caches has read. Both
//! happen under the command's locks, so that events come in order and no change falls between a read and its note.

use super::context::Cx;
use super::keys::{self, KeyRefs};
use super::spec::{PUBSUB, READONLY};
use crate::engine::notify;
use crate::engine::space::News;

/// Publishes the events that the command noted, and tells who cached what it changed.
#[cold]
pub fn tell(cx: &mut Cx<'_>) {
    let engine = cx.engine();
    let (wakes, changed_keys) = (&mut *cx.worker.wakes.borrow_mut(), &mut *cx.worker.changed_keys.borrow_mut());
    let wanted = cx.space.events.wanted;
    for event in std::mem::take(&mut cx.space.events.noted) {
        notify::publish(&engine.pubsub, wanted, event.db, event.name, &event.key, wakes);
    }
    let News { changed, flushed } = cx.space.take_news();
    let client = cx.session.handle.id;
    for key in changed {
        engine.tracking.invalidate(&engine.clients, &key.key, client, key.by_time, changed_keys, wakes);
    }
    if flushed {
        engine.tracking.invalidate_everything(&engine.clients, wakes);
    }
}

/// Notes the keys that a tracking client's command read.
#[cold]
pub fn note_reads(cx: &mut Cx<'_>, args: &[&[u8]]) {
    let Some(tracking) = &mut cx.session.tracking else { return };
    if cx.command.has(READONLY) && !cx.command.has(PUBSUB) && tracking.notes_reads() {
        let mut found = KeyRefs::new();
        // A call whose keys make no sense read none.
        if keys::keys(cx.command, args, &mut found).is_ok() {
            let client = cx.session.handle.id;
            for key in &found {
                cx.worker.engine.tracking.note_read(client, args[key.index as usize]);
            }
        }
    }
    // CLIENT CACHING is for the next command, or for the transaction that follows.
    if cx.session.transaction.is_none() && !cx.in_exec && !cx.command.full_name.starts_with("client|") {
        tracking.caching_given = false;
    }
}
