//! Handlers of transactions: MULTI, EXEC, DISCARD, WATCH, UNWATCH.
//!
//! Dispatch queues what comes between MULTI and EXEC. Before EXEC runs it has locked every slot that the queued
//! commands and the watched keys need, so what happens here is one step to everybody else.

use super::access::{self, Denial};
use super::account;
use super::admission::bytes_for_transaction;
use super::context::{Cx, Outcome};
use super::dispatch::run_handler;
use super::registry::{self, CommandId};
use crate::acl::log::Context;
use crate::base::clock;
use crate::base::key_slot::SlotId;
use crate::engine::effect::Effect;
use crate::engine::session::Transaction;
use crate::resp::ReplyError;

fn unwatch_all(cx: &mut Cx<'_>) {
    let space = &mut cx.space;
    cx.session.unwatch(|id, work| space.with_slot(id, |slot| work(slot)));
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
pub fn exec(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    match cx.session.take_transaction() {
        None => Err(ReplyError::of("ERR EXEC without MULTI")),
        Some(transaction) => finish(cx, &transaction),
    }
}

fn finish(cx: &mut Cx<'_>, transaction: &Transaction) -> Outcome {
    cx.space.keep_reserved(bytes_for_transaction(cx.session, transaction));
    let changed = watched_key_changed(cx);
    unwatch_all(cx);
    if transaction.refused {
        return Err(ReplyError::of("EXECABORT Transaction discarded because of previous errors."));
    }
    if changed {
        cx.reply.null_array();
        return Ok(());
    }
    run_queue(cx, transaction);
    if cx.space.has_told() {
        cx.worker.note_change();
    }
    cx.space.hand_on().map_err(|_| account::stopped_log(cx))
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

/// Whether the user may still make the queued call: rules may have changed since, also by the queue itself.
fn check_again(cx: &mut Cx<'_>, args: &[&[u8]]) -> Result<(), Denial> {
    let engine = cx.engine();
    if !cx.session.knows_users(&engine.users) {
        cx.session.refresh_user(&engine.users);
    }
    if !cx.session.is_restricted() {
        return Ok(());
    }
    access::check_session(engine, cx.session, cx.command, args, Context::Multi, cx.space.now_ms)
}

fn run_queue(cx: &mut Cx<'_>, transaction: &Transaction) {
    let (exec, changes_before) = (cx.command, cx.space.changes);
    cx.in_exec = true;
    cx.reply.array(transaction.queue.len());
    for queued in &transaction.queue {
        let args: Vec<&[u8]> = queued.arguments.iter().map(Vec::as_slice).collect();
        cx.command = registry::by_id(CommandId(queued.command));
        cx.space.effect = Effect::default();
        if let Err(denial) = check_again(cx, &args) {
            let error = denial.error_in_exec();
            cx.engine().count_error(error.code());
            cx.reply.error(&error);
            continue;
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

#[cfg(test)]
mod tests {
    use crate::commands::registry;
    use crate::commands::testing::TestServer;

    #[test]
    fn queued_commands_run_as_one() {
        let mut server = TestServer::new();
        server.expect(&[
            ("MULTI", "+OK\r\n"),
            ("SET a 1", "+QUEUED\r\n"),
            ("DEL a b", "+QUEUED\r\n"),
            ("TYPE a", "+QUEUED\r\n"),
            ("EXPIRE a x", "+QUEUED\r\n"),
            ("EXEC", "*4\r\n+OK\r\n:1\r\n+none\r\n-ERR value is not an integer or out of range\r\n"),
            ("EXEC", "-ERR EXEC without MULTI\r\n"),
        ]);
        assert_eq!(server.effects(), ["begin", "SET a 1", "DEL a", "DEL b", "end"]);
        assert_eq!(server.engine.total(|worker| worker.dirty.get()), 2);
        let stats = |name: &str| {
            let id = registry::all().iter().find(|command| command.full_name == name).unwrap().id;
            let own = &server.engine.workers[0].commands[id.index()];
            (own.calls.get(), own.failed_calls.get())
        };
        assert_eq!((stats("set"), stats("expire"), stats("exec")), ((1, 0), (1, 1), (2, 1)));
    }

    #[test]
    fn an_empty_transaction_and_one_over_the_whole_keyspace() {
        let mut server = TestServer::new();
        server.expect(&[
            ("MULTI", "+OK\r\n"),
            ("EXEC", "*0\r\n"),
            ("MULTI", "+OK\r\n"),
            ("SET a 1", "+QUEUED\r\n"),
            ("DBSIZE", "+QUEUED\r\n"),
            ("KEYS *", "+QUEUED\r\n"),
            ("FLUSHALL", "+QUEUED\r\n"),
            ("DBSIZE", "+QUEUED\r\n"),
            ("EXEC", "*5\r\n+OK\r\n:1\r\n*1\r\n$1\r\na\r\n+OK\r\n:0\r\n"),
        ]);
    }

    #[test]
    fn what_may_not_be_done() {
        let mut server = TestServer::new();
        server.expect(&[
            ("DISCARD", "-ERR DISCARD without MULTI\r\n"),
            ("UNWATCH", "+OK\r\n"),
            ("MULTI", "+OK\r\n"),
            ("MULTI", "-ERR MULTI calls can not be nested\r\n"),
            ("WATCH a", "-ERR WATCH inside MULTI is not allowed\r\n"),
            ("SET a 1", "+QUEUED\r\n"),
            ("EXEC", "*1\r\n+OK\r\n"),
            ("MULTI", "+OK\r\n"),
            ("DEL", "-ERR wrong number of arguments for 'del' command\r\n"),
            ("SET a 2", "+QUEUED\r\n"),
            ("EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n"),
            ("MULTI", "+OK\r\n"),
            ("SET a 3", "+QUEUED\r\n"),
            ("DISCARD", "+OK\r\n"),
            ("OBJECT ENCODING a", "$3\r\nint\r\n"),
            ("KEYS *", "*1\r\n$1\r\na\r\n"),
        ]);
        assert_eq!(server.effects(), ["SET a 1"]);
    }

    /// A walk must not tell of keys ahead of what the transaction did before in the same slot.
    #[test]
    fn what_expires_in_a_transaction_is_told_in_order() {
        let mut server = TestServer::new();
        server.plant_expired(0, "{a}old");
        server.expect(&[
            ("MULTI", "+OK\r\n"),
            ("SET {a}new 1", "+QUEUED\r\n"),
            ("SCAN 0 COUNT 1000", "+QUEUED\r\n"),
            ("DEL {a}new", "+QUEUED\r\n"),
            ("EXEC", "*3\r\n+OK\r\n*2\r\n$1\r\n0\r\n*1\r\n$6\r\n{a}new\r\n:1\r\n"),
        ]);
        assert_eq!(server.effects(), ["begin", "SET {a}new 1", "DEL {a}old", "DEL {a}new", "end"]);
    }

    #[test]
    fn monitors_see_the_queue_when_it_runs() {
        let mut server = TestServer::new();
        let handle = server.session(1).handle.clone();
        server.engine.clients.add_monitor(handle.clone());
        server.expect(&[("MULTI", "+OK\r\n"), ("DEL a", "+QUEUED\r\n"), ("EXEC", "*1\r\n:0\r\n")]);
        let seen = server.mail(1);
        let commands: Vec<&str> = seen.lines().map(|line| line.split_once("] ").unwrap().1).collect();
        assert_eq!(commands, ["\"MULTI\"", "\"DEL\" \"a\"", "\"EXEC\""]);
    }

    /// Whether a transaction of client 0 that watches `k` goes through although `lines` run in between as client 1.
    fn goes_through(server: &mut TestServer, lines: &[&str]) -> bool {
        assert_eq!(server.run("WATCH k other"), "+OK\r\n");
        for line in lines {
            let reply = server.run_as(1, line);
            assert!(!reply.starts_with('-'), "{line}: {reply}");
        }
        server.expect(&[("MULTI", "+OK\r\n"), ("TYPE nosuch", "+QUEUED\r\n")]);
        match server.run("EXEC").as_str() {
            "*-1\r\n" => false,
            "*1\r\n+none\r\n" => true,
            reply => panic!("{reply}"),
        }
    }

    #[test]
    fn watched_keys() {
        for (before, meanwhile, expected) in [
            (&["SET k 1"][..], &["TYPE k"][..], true),
            (&["SET k 1"], &["SET x 1"], true),
            (&["SET k 1"], &["SET k 1"], false),
            (&["SET k 1"], &["DEL k"], false),
            (&[], &["DEL k"], true),
            (&[], &["SET k 1"], false),
            (&["SET k 1"], &["EXPIRE k 100"], false),
            (&["SET k 1"], &["EXPIRE k 100 XX"], true),
            (&["SET k 1"], &["PERSIST k"], true),
            (&["SET k 1"], &["RENAME k x"], false),
            (&["SET x 1"], &["RENAME x k"], false),
            (&["SET k 1"], &["COPY k x"], true),
            (&["SET x 1"], &["COPY x k"], false),
            (&["SET k 1"], &["MOVE k 1"], false),
            (&["SET k 1"], &["FLUSHALL"], false),
            (&["SET k 1"], &["FLUSHDB"], false),
            (&["SET x 1"], &["FLUSHALL"], true),
            (&["SET k 1"], &["SWAPDB 0 1"], false),
            (&["SET k 1"], &["SWAPDB 2 1"], true),
            (&["SET k 1", "MOVE k 1"], &["SWAPDB 0 1"], false),
            (&["SET x 1"], &["SWAPDB 1 0"], true),
        ] {
            let mut server = TestServer::new();
            before.iter().for_each(|line| drop(server.run(line)));
            assert_eq!(goes_through(&mut server, meanwhile), expected, "{before:?} {meanwhile:?}");
            assert!(goes_through(&mut server, &[]), "watching goes on after EXEC");
        }
    }

    #[test]
    fn expired_watched_keys() {
        // Expired when watching begins: its removal is no change.
        for meanwhile in [&[][..], &["EXISTS k"], &["FLUSHDB"], &["SWAPDB 0 1"]] {
            let mut server = TestServer::new();
            server.plant_expired(0, "k");
            assert!(goes_through(&mut server, meanwhile), "{meanwhile:?}");
        }
        // No key, or an expired one, gives way to an expired one.
        for both in [false, true] {
            let mut server = TestServer::new();
            server.plant_expired(1, "k");
            if both {
                server.plant_expired(0, "k");
            }
            assert!(goes_through(&mut server, &["SWAPDB 0 1", "EXISTS k"]));
        }
        // Expires while it is watched.
        let mut server = TestServer::new();
        server.run("SET k v");
        server.run("WATCH k");
        server.run("MULTI");
        server.plant_expired(0, "k");
        assert_eq!(server.run("EXEC"), "*-1\r\n");
    }

    #[test]
    fn watching_ends() {
        for end in ["UNWATCH", "MULTI|DISCARD", "MULTI|EXEC"] {
            let mut server = TestServer::new();
            server.run("WATCH k");
            server.run_as(1, "SET k 1");
            end.split('|').for_each(|line| drop(server.run(line)));
            assert!(goes_through(&mut server, &[]), "{end}");
            assert_eq!(server.session(0).watched().len(), 0);
        }
    }
}
