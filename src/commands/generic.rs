//! Handlers of the commands on keys of any type, and on whole databases.

use std::sync::Arc;

use parking_lot::Mutex;

use super::account::{reserve, stopped_log};
use super::arguments::Arguments;
use super::context::{Cx, Outcome};
use super::creation::{creation_bytes, tell_made};
use crate::base::key_slot::SlotId;
use crate::engine::Space;
use crate::engine::effect::Effect;
use crate::engine::notify::{GENERIC, NEW};
use crate::engine::persistence::JobKind;
use crate::engine::session::Waiting;
use crate::resp::ReplyError;
use crate::store::reclaim::{self, RECLAIMER};
use crate::store::{Db, DbIndex, Entry};

const SAME_OBJECT: ReplyError = ReplyError::of("ERR source and destination objects are the same");

/// DEL key [key ...]
pub fn del(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let lazily = cx.config().lazyfree_lazy_user_del;
    remove_all(cx, args, lazily)
}

fn remove_all(cx: &mut Cx<'_>, args: &[&[u8]], lazily: bool) -> Outcome {
    let mut removed = 0;
    for key in &args[1..] {
        if let Some(entry) = cx.space.remove(key) {
            if lazily {
                reclaim::discard_lazily(entry);
            } else {
                reclaim::discard(entry);
            }
            cx.space.notify(GENERIC, "del", key);
            removed += 1;
        }
    }
    cx.reply.integer(removed);
    Ok(())
}

/// UNLINK key [key ...]
pub fn unlink(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    remove_all(cx, args, true)
}

/// EXISTS key [key ...]
pub fn exists(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let count = args[1..].iter().filter(|key| cx.space.look(key).is_some()).count();
    cx.reply.integer(count as i64);
    Ok(())
}

/// TOUCH key [key ...]
pub fn touch(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let count = args[1..].iter().filter(|key| cx.space.mark_used(key)).count();
    cx.reply.integer(count as i64);
    Ok(())
}

/// TYPE key
pub fn type_of(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    match cx.space.look(args[1]) {
        Some(entry) => cx.reply.simple(entry.value_type().name()),
        None => cx.reply.simple("none"),
    }
    Ok(())
}

/// Runs `work` with another database selected.
fn in_database<'a, R>(space: &mut Space<'a>, db: DbIndex, work: impl FnOnce(&mut Space<'a>) -> R) -> R {
    let selected = std::mem::replace(&mut space.db, db);
    let result = work(space);
    space.db = selected;
    result
}

/// Puts an entry under its key. What stood there goes first, so that the key is a new one.
fn put_as_new(space: &mut Space<'_>, entry: Entry, key: &[u8]) {
    if let Some(replaced) = space.put(entry) {
        reclaim::discard(replaced);
        space.notify(NEW, "new", key);
    }
}

/// Gives a key another name; false when only a free name will do and this one is taken.
fn rename_generic(cx: &mut Cx<'_>, args: &[&[u8]], only_if_free: bool) -> Result<bool, ReplyError> {
    let (from, to) = (args[1], args[2]);
    let Some(entry) = cx.space.peek(from) else { return Err(ReplyError::NoSuchKey) };
    let bytes = creation_bytes(entry, to);
    if from == to {
        return Ok(!only_if_free);
    }
    if only_if_free && cx.space.exists(to) {
        return Ok(false);
    }
    let crosses = SlotId::of_key(from) != SlotId::of_key(to);
    if crosses {
        reserve(cx, args, bytes)?;
    }
    let Some(mut entry) = cx.space.remove(from) else { return Err(ReplyError::NoSuchKey) };
    entry.set_access(cx.space.access_now);
    put_as_new(&mut cx.space, entry.rekeyed(to), to);
    cx.space.notify(GENERIC, "rename_from", from);
    cx.space.notify(GENERIC, "rename_to", to);
    // Two keys were touched, but it is one change.
    cx.space.changes -= 1;
    if crosses {
        let db = cx.space.db;
        cx.space.effect.set(db, &[b"DEL", from]);
        tell_made(cx, db, to);
    }
    Ok(true)
}

/// RENAME key newkey
pub fn rename(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    rename_generic(cx, args, false)?;
    cx.reply.ok();
    Ok(())
}

/// RENAMENX key newkey
pub fn renamenx(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let renamed = rename_generic(cx, args, true)?;
    cx.reply.integer(i64::from(renamed));
    Ok(())
}

/// MOVE key db
pub fn move_key(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    if cx.config().cluster_enabled {
        return Err(ReplyError::of("ERR MOVE is not allowed in cluster mode"));
    }
    let mut reader = Arguments::from(args, 2);
    let db = reader.database(cx.space.keyspace().databases());
    reader.finish()?;
    if db == cx.space.db {
        return Err(SAME_OBJECT);
    }
    let key = args[1];
    let moves = cx.space.exists(key) && !in_database(&mut cx.space, db, |space| space.exists(key));
    if moves && let Some(mut entry) = cx.space.remove(key) {
        entry.set_access(cx.space.access_now);
        in_database(&mut cx.space, db, |space| space.put(entry));
        cx.space.changes -= 1;
        cx.space.notify(GENERIC, "move_from", key);
        in_database(&mut cx.space, db, |space| space.notify(GENERIC, "move_to", key));
    }
    cx.reply.integer(i64::from(moves));
    Ok(())
}

/// COPY source destination [DB destination-db] [REPLACE]
pub fn copy(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (from, to) = (args[1], args[2]);
    let (mut db, mut replace) = (cx.space.db, false);
    let mut reader = Arguments::from(args, 3);
    while !reader.is_done() {
        if reader.word("REPLACE") {
            replace = true;
        } else if reader.option("DB") {
            db = reader.database(cx.space.keyspace().databases());
        } else {
            reader.fail(ReplyError::Syntax);
        }
    }
    reader.finish()?;
    if cx.config().cluster_enabled && (db != 0 || cx.space.db != 0) {
        return Err(ReplyError::of("ERR Copying to another database is not allowed in cluster mode"));
    }
    if db == cx.space.db && from == to {
        return Err(SAME_OBJECT);
    }
    let access = cx.space.access_now;
    let taken = in_database(&mut cx.space, db, |space| space.exists(to));
    // The source counts as read even if nothing comes of it.
    let copied = match cx.space.read(from) {
        Some(entry) if replace || !taken => Some(entry.copied_as(to, access)),
        _ => None,
    };
    let crosses = SlotId::of_key(from) != SlotId::of_key(to);
    if crosses && let Some(copied) = &copied {
        reserve(cx, args, creation_bytes(copied.view(), to))?;
    }
    cx.reply.integer(i64::from(copied.is_some()));
    if let Some(copied) = copied {
        in_database(&mut cx.space, db, |space| {
            put_as_new(space, copied, to);
            space.notify(GENERIC, "copy_to", to);
        });
        if crosses {
            tell_made(cx, db, to);
        }
    }
    Ok(())
}

// ---- whole databases ------------------------------------------------------------------------------------------------

/// Whether a flush frees the keys in the background.
fn flushes_lazily(cx: &Cx<'_>, args: &[&[u8]]) -> Result<bool, ReplyError> {
    match args {
        [_] => Ok(cx.config().lazyfree_lazy_user_flush),
        [_, mode] if mode.eq_ignore_ascii_case(b"SYNC") => Ok(false),
        [_, mode] if mode.eq_ignore_ascii_case(b"ASYNC") => Ok(true),
        _ => Err(ReplyError::Syntax),
    }
}

/// Frees what was flushed, in the background if it is much: no other client waits for it. The client that asked does,
/// unless it wants to be lazy or may not wait.
fn free(cx: &mut Cx<'_>, databases: Vec<Db>, lazily: bool) {
    if !lazily && !reclaim::is_much(&databases, cx.space.keyspace().hasher()) {
        drop(databases);
    } else if lazily || cx.may_not_wait() {
        RECLAIMER.retire(Box::new(databases));
    } else {
        let outcome = Arc::new(Mutex::new(None));
        let (freed, client) = (outcome.clone(), cx.session.handle.clone());
        RECLAIMER.retire_then(Box::new(databases), move || {
            *freed.lock() = Some(true);
            client.wake();
        });
        cx.session.waiting = Some(Waiting::Job(outcome));
    }
}

fn flush(cx: &mut Cx<'_>, args: &[&[u8]], databases: std::ops::Range<DbIndex>) -> Result<Vec<Db>, ReplyError> {
    cx.space.reserve_by_slot(databases.clone()).map_err(|_| stopped_log(cx))?;
    // Each slot tells the log of its part.
    cx.space.effect = Effect::Instead(Vec::new());
    let flushed = cx.space.flush(databases);
    cx.space.tell_replicas(cx.space.db, args);
    Ok(flushed)
}

/// FLUSHDB [ASYNC | SYNC]
pub fn flushdb(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let lazily = flushes_lazily(cx, args)?;
    let db = cx.space.db;
    let flushed = flush(cx, args, db..db + 1)?;
    free(cx, flushed, lazily);
    if cx.session.waiting.is_none() {
        cx.reply.ok();
    }
    Ok(())
}

/// FLUSHALL [ASYNC | SYNC]
pub fn flushall(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let lazily = flushes_lazily(cx, args)?;
    let databases = cx.space.keyspace().databases();
    let flushed = flush(cx, args, 0..databases)?;
    free(cx, flushed, lazily);
    // Without a log, the file of the last save would bring back what is gone.
    if cx.worker.effects().is_none() && !cx.config().save.is_empty() && !cx.session.loads {
        // A save under way may be too old; the next save point comes in time.
        let asked = cx.engine().persistence.ask_and_wait(JobKind::Save, &cx.session.handle);
        if !cx.may_not_wait()
            && let Ok(outcome) = asked
        {
            cx.session.waiting = Some(Waiting::Job(outcome));
        }
    }
    if cx.session.waiting.is_none() {
        cx.reply.ok();
    }
    Ok(())
}

/// SWAPDB index1 index2
pub fn swapdb(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    if cx.config().cluster_enabled {
        return Err(ReplyError::of("ERR SWAPDB is not allowed in cluster mode"));
    }
    let databases = cx.space.keyspace().databases();
    let mut reader = Arguments::from(args, 1);
    let first = reader.small_integer_or(ReplyError::of("ERR invalid first DB index"));
    let second = reader.small_integer_or(ReplyError::of("ERR invalid second DB index"));
    let (first, second) = (reader.check_database(first, databases), reader.check_database(second, databases));
    reader.finish()?;
    cx.space.reserve_by_slot(0..databases).map_err(|_| stopped_log(cx))?;
    // Each slot tells the log of its part.
    cx.space.effect = Effect::Instead(Vec::new());
    cx.space.swap(first, second);
    cx.space.tell_replicas(cx.space.db, args);
    cx.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::TestServer;
    use crate::engine::session::Waiting;
    use crate::store::reclaim::RECLAIMER;

    #[test]
    fn deleting_counting_and_naming_types() {
        let mut server = TestServer::new();
        server.expect(&[
            ("SET a 1", "+OK\r\n"),
            ("SET b 2", "+OK\r\n"),
            ("EXISTS a b a none", ":3\r\n"),
            ("TOUCH a a none", ":2\r\n"),
            ("TYPE a", "+string\r\n"),
            ("TYPE none", "+none\r\n"),
            ("DEL a none a", ":1\r\n"),
            ("UNLINK b none", ":1\r\n"),
            ("DBSIZE", ":0\r\n"),
        ]);
        assert_eq!(
            server.effects(),
            [
                "SET a 1",
                "SET b 2",
                "begin",
                "DEL a",
                "DEL none",
                "DEL a",
                "end",
                "begin",
                "UNLINK b",
                "UNLINK none",
                "end"
            ]
        );
        assert_eq!(server.engine.total(|worker| worker.keyspace_hits.get()), 6);
        server.plant_expired(0, "old");
        server.expect(&[("DEL old", ":0\r\n")]);
        assert_eq!(server.effects(), ["DEL old"]);
    }

    #[test]
    fn renaming_takes_value_and_expiry_along() {
        let mut server = TestServer::new();
        server.expect(&[
            ("SET a 1 PXAT 4000000000000", "+OK\r\n"),
            ("SET b 2", "+OK\r\n"),
            ("RENAMENX a b", ":0\r\n"),
            ("RENAMENX a a", ":0\r\n"),
            ("RENAME a a", "+OK\r\n"),
            ("RENAME none none", "-ERR no such key\r\n"),
            ("RENAMENX none b", "-ERR no such key\r\n"),
        ]);
        server.effects();
        let before = server.engine.total(|worker| worker.dirty.get());
        server.expect(&[
            ("RENAME a b", "+OK\r\n"),
            ("PEXPIRETIME b", ":4000000000000\r\n"),
            ("RENAMENX b c", ":1\r\n"),
            ("GET c", "$1\r\n1\r\n"),
            ("DBSIZE", ":1\r\n"),
        ]);
        let moved = |from: &str, to: &str| {
            ["begin".into(), format!("DEL {from}"), format!("SET {to} 1 PXAT 4000000000000"), "end".into()]
        };
        assert_eq!(server.effects(), [moved("a", "b"), moved("b", "c")].concat());
        assert_eq!(server.engine.total(|worker| worker.dirty.get()) - before, 2);
    }

    #[test]
    fn a_large_value_changes_hands_and_is_freed_elsewhere() {
        let mut server = TestServer::new();
        let value = vec![b'x'; 100_000];
        server.call(&[b"SET", b"a", &value[..]]);
        server.call(&[b"SET", b"b", &value[..]]);
        let freed_later = RECLAIMER.pending_count();
        server.expect(&[("RENAME a b", "+OK\r\n"), ("MOVE b 3", ":1\r\n"), ("EXISTS a b", ":0\r\n")]);
        assert!(RECLAIMER.pending_count() > freed_later);
        let data = server.data_set();
        assert_eq!(data.len(), 1);
        assert_eq!(data[&(3, b"b".to_vec())].value, value);
    }

    #[test]
    fn flushing_much_is_done_elsewhere_and_waited_for() {
        let mut server = TestServer::with_config(|config| config.save.clear());
        let members: Vec<String> = (0..10_000).map(|number| format!("m{number}")).collect();
        let fill = [b"SADD".as_slice(), b"s"].into_iter().chain(members.iter().map(String::as_bytes));
        let fill: Vec<&[u8]> = fill.collect();
        for waits in [true, false] {
            server.call(&fill);
            let freed_later = RECLAIMER.pending_count();
            server.expect(&[if waits { ("FLUSHALL SYNC", "") } else { ("FLUSHALL ASYNC", "+OK\r\n") }]);
            assert!(RECLAIMER.pending_count() > freed_later);
            assert_eq!(matches!(server.session(0).waiting.take(), Some(Waiting::Job(_))), waits);
        }
        server.call(&fill);
        server.expect(&[("MULTI", "+OK\r\n"), ("FLUSHDB SYNC", "+QUEUED\r\n"), ("EXEC", "*1\r\n+OK\r\n")]);
        server.expect(&[("SET a 1", "+OK\r\n"), ("FLUSHDB SYNC", "+OK\r\n"), ("DBSIZE", ":0\r\n")]);
    }

    #[test]
    fn moving_and_copying_between_databases() {
        let mut server = TestServer::new();
        server.expect(&[
            ("SET a 1 PXAT 4000000000000", "+OK\r\n"),
            ("MOVE a 0", "-ERR source and destination objects are the same\r\n"),
            ("MOVE a 16", "-ERR DB index is out of range\r\n"),
            ("MOVE a -1", "-ERR DB index is out of range\r\n"),
            ("MOVE a x", "-ERR value is not an integer or out of range\r\n"),
            ("MOVE none 1", ":0\r\n"),
            ("COPY a b", ":1\r\n"),
            ("COPY a b", ":0\r\n"),
            ("COPY a a", "-ERR source and destination objects are the same\r\n"),
            ("COPY a a DB 1", ":1\r\n"),
            ("COPY none b REPLACE", ":0\r\n"),
            ("COPY a b NOSUCH", "-ERR syntax error\r\n"),
            ("COPY a b DB", "-ERR syntax error\r\n"),
            ("COPY a b DB 16", "-ERR DB index is out of range\r\n"),
            ("MOVE a 1", ":0\r\n"),
            ("MOVE b 1", ":1\r\n"),
            ("SET a 2", "+OK\r\n"),
            ("COPY a b REPLACE DB 1", ":1\r\n"),
            ("SWAPDB 0 1", "+OK\r\n"),
            ("PEXPIRETIME a", ":4000000000000\r\n"),
            ("GET b", "$1\r\n2\r\n"),
            ("TTL b", ":-1\r\n"),
        ]);
        let effects = server.effects();
        assert_eq!(effects[1..5], ["SET b 1 PXAT 4000000000000", "COPY a a DB 1", "MOVE b 1", "SET a 2"]);
    }

    #[test]
    fn whole_databases() {
        let mut server = TestServer::new();
        for number in 0..100 {
            server.run(&format!("SET key:{number} v"));
            server.run(&format!("COPY key:{number} key:{number} DB 5"));
        }
        server.effects();
        let before = server.engine.total(|worker| worker.dirty.get());
        server.expect(&[
            ("FLUSHDB NOSUCH", "-ERR syntax error\r\n"),
            ("FLUSHALL SYNC ASYNC", "-ERR syntax error\r\n"),
            ("SWAPDB x 1", "-ERR invalid first DB index\r\n"),
            ("SWAPDB 1 4294967296", "-ERR invalid second DB index\r\n"),
            ("SWAPDB 99 y", "-ERR invalid second DB index\r\n"),
            ("SWAPDB 0 16", "-ERR DB index is out of range\r\n"),
            ("SWAPDB 3 3", "+OK\r\n"),
            ("FLUSHDB sync", "+OK\r\n"),
            ("DBSIZE", ":0\r\n"),
            ("SWAPDB 0 5", "+OK\r\n"),
            ("DBSIZE", ":100\r\n"),
            ("FLUSHALL async", "+OK\r\n"),
            ("DBSIZE", ":0\r\n"),
        ]);
        let effects = server.effects();
        let count = |effect: &str| effects.iter().filter(|other| *other == effect).count();
        // A part for each slot that held anything.
        assert_eq!((count("FLUSHDB"), count("SWAPDB 0 5"), count("begin")), (200, 100, 3));
        assert_eq!(server.engine.total(|worker| worker.dirty.get()) - before, 202);
        assert!(server.data_set().is_empty());
    }
}
