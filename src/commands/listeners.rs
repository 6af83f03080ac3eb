//! After a command: tells those who listen what happened to keys, and notes what a client that caches has read. Both
//! happen under the command's locks, so that events come in order and no change falls between a read and its note.

use super::context::Cx;
use super::keys::{self, KeyRefs};
use super::spec::{PUBSUB, READONLY, category};
use crate::engine::notify;
use crate::engine::space::News;

/// Publishes the events that the command noted, and tells who cached what it changed.
#[cold]
pub fn tell(cx: &mut Cx<'_>) {
    let engine = cx.engine();
    let (wakes, changed_keys) = (&mut *cx.worker.wakes.borrow_mut(), &mut *cx.worker.changed_keys.borrow_mut());
    let wanted = cx.space.wanted_events;
    for event in cx.space.take_events() {
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
    // What a script reads is noted as its commands run.
    let is_script = cx.command.categories & category::SCRIPTING != 0;
    if cx.command.has(READONLY) && !is_script && !cx.command.has(PUBSUB) && tracking.notes_reads() {
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

/// Notes the keys that a script's call names, after a command of the script that reads.
#[cold]
pub fn note_script_reads(cx: &mut Cx<'_>, keys: &[&[u8]]) {
    if cx.command.has(READONLY) && cx.session.tracking.as_ref().is_some_and(|tracking| tracking.notes_reads()) {
        let client = cx.session.handle.id;
        keys.iter().for_each(|key| cx.worker.engine.tracking.note_read(client, key));
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::TestServer;
    use crate::config::special::KeyspaceEvents;

    /// What client 1 heard since the last call, as "event key" words.
    fn heard(server: &mut TestServer) -> String {
        let mail = server.mail(1);
        let lines: Vec<&str> = mail.split("\r\n").collect();
        let events: Vec<String> = lines
            .chunks_exact(9)
            .map(|message| format!("{} {}", message[6].split_once("__:").unwrap().1, message[8]))
            .collect();
        events.join(", ")
    }

    #[test]
    fn events_of_commands() {
        let mut server = TestServer::with_config(|config| {
            let classes = KeyspaceEvents::ALL | KeyspaceEvents::NEW_KEY | KeyspaceEvents::KEY_MISS;
            config.notify_keyspace_events = KeyspaceEvents(classes | KeyspaceEvents::KEYEVENT);
        });
        server.run_as(1, "PSUBSCRIBE *");
        for (line, events) in [
            ("SET a 1", "new a, set a"),
            ("SET a 1 EX 100", "set a, expire a"),
            ("SET a 1 NX", ""),
            ("SETEX a 100 1", "set a, expire a"),
            ("GET none", "keymiss none"),
            ("EXISTS none a", "keymiss none"),
            ("GETSET a 2", "set a"),
            ("GETEX a EX 10", "expire a"),
            ("GETEX a PERSIST", "persist a"),
            ("GETEX a", ""),
            ("INCR a", "incrby a"),
            ("INCRBYFLOAT a 1", "incrbyfloat a"),
            ("APPEND b x", "new b, append b"),
            ("SETRANGE b 1 y", "setrange b"),
            ("SETRANGE b 1 \"\"", ""),
            ("SETBIT b 1 1", ""),
            ("SETBIT b 1 0", "setbit b"),
            ("BITFIELD b GET u8 0", ""),
            ("BITFIELD c SET u8 0 1", "new c, setbit c"),
            ("BITOP NOT d b", "new d, set d"),
            ("BITOP NOT d none", "keymiss none, del d"),
            ("MSET b 1 c 1", "set b, set c"),
            ("SETNX b 1", ""),
            ("RENAME b x", "new x, rename_from b, rename_to x"),
            ("RENAME x c", "new c, rename_from x, rename_to c"),
            ("COPY c b", "new b, copy_to b"),
            ("MOVE b 3", "new b, move_from b, move_to b"),
            ("EXPIRE c 100", "expire c"),
            ("PERSIST c", "persist c"),
            ("EXPIRE c -1", "del c"),
            ("GETDEL a", "del a"),
            ("MULTI", ""),
            ("SET a 1", ""),
            ("DEL a none", ""),
            ("EXEC", "new a, set a, del a"),
            ("FLUSHALL", ""),
        ] {
            server.run(line);
            assert_eq!(heard(&mut server), events, "{line}");
        }
        server.plant_expired(0, "old");
        server.run("DEL old");
        assert_eq!(heard(&mut server), "expired old");
        server.plant_expired(0, "old");
        server.run("RANDOMKEY");
        assert_eq!(heard(&mut server), "expired old");
    }

    #[test]
    fn channels_of_events() {
        for (letters, channels) in [
            (KeyspaceEvents::STRING, ""),
            (KeyspaceEvents::STRING | KeyspaceEvents::KEYSPACE, "__keyspace@2__:k set"),
            (KeyspaceEvents::STRING | KeyspaceEvents::KEYEVENT, "__keyevent@2__:set k"),
            (KeyspaceEvents::LIST | KeyspaceEvents::KEYEVENT, ""),
        ] {
            let mut server = TestServer::with_config(|config| config.notify_keyspace_events = KeyspaceEvents(letters));
            server.run_as(1, "PSUBSCRIBE *");
            server.run("SELECT 2");
            server.run("SET k v");
            let mail = server.mail(1);
            let lines: Vec<&str> = mail.lines().collect();
            let seen = if lines.is_empty() { String::new() } else { format!("{} {}", lines[6], lines[8]) };
            assert_eq!(seen, channels, "{letters}");
        }
    }
}
