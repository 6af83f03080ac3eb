//! Tests of the handlers of lists, and with them of clients that wait for keys.

use super::testing::TestServer;
use crate::config::choices::ProtectedAction;
use crate::engine::clients::flag;

const OK: &str = "+OK\r\n";
const NULL_ARRAY: &str = "*-1\r\n";
const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

#[test]
fn pushing_popping_and_reading() {
    let mut server = TestServer::new();
    server.expect(&[
        ("LPUSHX l a", ":0\r\n"),
        ("RPUSH l b c", ":2\r\n"),
        ("LPUSH l a 1", ":4\r\n"),
        ("RPUSHX l d", ":5\r\n"),
        ("LLEN l", ":5\r\n"),
        ("LINDEX l -1", "$1\r\nd\r\n"),
        ("LINDEX l 9", "$-1\r\n"),
        ("LINDEX l x", "-ERR value is not an integer or out of range\r\n"),
        ("LRANGE l 1 2", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("LRANGE l 3 1", "*0\r\n"),
        ("TYPE l", "+list\r\n"),
        ("OBJECT ENCODING l", "$8\r\nlistpack\r\n"),
        ("LPOP l", "$1\r\n1\r\n"),
        ("RPOP l 2", "*2\r\n$1\r\nd\r\n$1\r\nc\r\n"),
        ("LPOP l 0", "*0\r\n"),
        ("LPOP l -1", "-ERR value is out of range, must be positive\r\n"),
        ("LPOP none 0", NULL_ARRAY),
        ("LPOP none", "$-1\r\n"),
        ("LPOP l 9", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("EXISTS l", ":0\r\n"),
        ("SET s 1", OK),
        ("LPUSH s a", WRONG_TYPE),
        ("LPOP s", WRONG_TYPE),
        ("LRANGE s 0 -1", WRONG_TYPE),
        ("GET l", "$-1\r\n"),
    ]);
    assert_eq!(
        server.effects(),
        ["RPUSH l b c", "LPUSH l a 1", "RPUSHX l d", "LPOP l", "RPOP l 2", "LPOP l 9", "SET s 1"]
    );
}

#[test]
fn changing_in_the_middle() {
    let mut server = TestServer::new();
    server.expect(&[
        ("LSET l 0 x", "-ERR no such key\r\n"),
        ("LINSERT l BEFORE a x", ":0\r\n"),
        ("RPUSH l a b a c a", ":5\r\n"),
        ("LSET l 9 x", "-ERR index out of range\r\n"),
        ("LSET l 1 B", OK),
        ("LINSERT l NEAR a x", "-ERR syntax error\r\n"),
        ("LINSERT l AFTER B x", ":6\r\n"),
        ("LINSERT l BEFORE nosuch x", ":-1\r\n"),
        ("LPOS l a", ":0\r\n"),
        ("LPOS l a RANK -1", ":5\r\n"),
        ("LPOS l a COUNT 0 RANK 2", "*2\r\n:3\r\n:5\r\n"),
        ("LPOS l a COUNT 2 MAXLEN 3", "*1\r\n:0\r\n"),
        ("LPOS l nosuch", "$-1\r\n"),
        ("LPOS l a COUNT -1", "-ERR COUNT can't be negative\r\n"),
        ("LREM l -2 a", ":2\r\n"),
        ("LRANGE l 0 -1", "*4\r\n$1\r\na\r\n$1\r\nB\r\n$1\r\nx\r\n$1\r\nc\r\n"),
        ("LTRIM l 1 2", OK),
        ("LRANGE l 0 -1", "*2\r\n$1\r\nB\r\n$1\r\nx\r\n"),
        ("LTRIM l 5 9", OK),
        ("EXISTS l", ":0\r\n"),
        ("LTRIM l 0 1", OK),
        ("LREM l 0 a", ":0\r\n"),
    ]);
    assert!(server.run("LPOS l a RANK 0").starts_with("-ERR RANK can't be zero: use 1 to start"));
}

#[test]
fn moving_between_keys() {
    let mut server = TestServer::new();
    server.expect(&[
        ("RPUSH a 1 2 3", ":3\r\n"),
        ("LMOVE a b LEFT RIGHT", "$1\r\n1\r\n"),
        ("RPOPLPUSH a b", "$1\r\n3\r\n"),
        ("RPOPLPUSH a a", "$1\r\n2\r\n"),
        ("LMOVE nosuch b LEFT LEFT", "$-1\r\n"),
        ("LMOVE a b LEFT UP", "-ERR syntax error\r\n"),
        ("LMPOP 2 nosuch b LEFT COUNT 5", "*2\r\n$1\r\nb\r\n*2\r\n$1\r\n3\r\n$1\r\n1\r\n"),
        ("LMPOP 1 nosuch RIGHT", NULL_ARRAY),
        ("LMPOP 0 a LEFT", "-ERR numkeys should be greater than 0\r\n"),
        ("LMPOP 9 a LEFT", "-ERR syntax error\r\n"),
        ("LMPOP 1 a LEFT COUNT 0", "-ERR count should be greater than 0\r\n"),
        ("BLPOP nosuch a 0", "*2\r\n$1\r\na\r\n$1\r\n2\r\n"),
        ("SET s 1", OK),
        ("RPUSH a 1", ":1\r\n"),
        ("LMOVE a s LEFT LEFT", WRONG_TYPE),
        ("LLEN a", ":1\r\n"),
    ]);
    assert_eq!(
        server.effects(),
        [
            "RPUSH a 1 2 3",
            "begin",
            "LPOP a",
            "RPUSH b 1",
            "end",
            "begin",
            "RPOP a",
            "LPUSH b 3",
            "end",
            "begin",
            "RPOP a",
            "LPUSH a 2",
            "end",
            "LPOP b 2",
            "LPOP a",
            "SET s 1",
            "RPUSH a 1"
        ]
    );
    assert_eq!(server.engine.total(|worker| worker.dirty.get()), 11);
}

#[test]
fn waiting_clients_are_served_in_order() {
    let mut server = TestServer::new();
    assert_eq!(server.run_as(1, "BLPOP a b 0"), "");
    assert_eq!(server.run_as(2, "BRPOP a 0"), "");
    assert_eq!(server.run_as(3, "BLMPOP 0 1 a LEFT COUNT 2"), "");
    assert!(server.session(1).handle.waiter.lock().is_some());
    assert_eq!(server.run("RPUSH a 1 2 3 4 5"), ":5\r\n");
    // The first waits for two keys in two slots, so all are served when the feeder's lock is gone.
    assert_eq!(server.answer(1).unwrap(), "*2\r\n$1\r\na\r\n$1\r\n1\r\n");
    assert_eq!(server.answer(2).unwrap(), "*2\r\n$1\r\na\r\n$1\r\n5\r\n");
    assert_eq!(server.answer(3).unwrap(), "*2\r\n$1\r\na\r\n*2\r\n$1\r\n2\r\n$1\r\n3\r\n");
    assert_eq!(server.effects(), ["RPUSH a 1 2 3 4 5", "LPOP a", "RPOP a", "LPOP a 2"]);
    assert!(server.run("INFO clients").contains("total_blocking_keys:0\r\n"));
}

#[test]
fn what_expired_serves_nobody() {
    let mut server = TestServer::with_config(|config| config.enable_debug_command = ProtectedAction::Local);
    server.run_as(1, "BLPOP k 0");
    for line in ["MULTI", "RPUSH k 1", "PEXPIRE k 1", "DEBUG SLEEP 0.005", "EXEC"] {
        server.run(line);
    }
    assert_eq!(server.answer(1), None, "it took so long that the key is over");
    assert_eq!(server.effects().last().unwrap(), "DEL k");
    server.plant_expired(1, "k");
    server.run("SWAPDB 0 1");
    assert_eq!(server.answer(1), None);
    let effects = server.effects();
    assert_eq!(effects[effects.len() - 2..], ["SWAPDB 0 1", "DEL k"]);
    server.run("RPUSH k 2");
    assert_eq!(server.answer(1).unwrap(), "*2\r\n$1\r\nk\r\n$1\r\n2\r\n");
}

#[test]
fn what_waiters_get_feeds_other_waiters() {
    let mut server = TestServer::new();
    for (client, line) in [(1, "BLMOVE a b LEFT RIGHT 0"), (2, "BLMOVE b c LEFT RIGHT 0"), (3, "BLPOP c 0")] {
        assert_eq!(server.run_as(client, line), "");
    }
    server.run("LPUSH a x");
    assert_eq!(server.answer(1).unwrap(), "$1\r\nx\r\n");
    assert_eq!(server.answer(2).unwrap(), "$1\r\nx\r\n");
    assert_eq!(server.answer(3).unwrap(), "*2\r\n$1\r\nc\r\n$1\r\nx\r\n");
    assert_eq!(
        server.effects(),
        ["LPUSH a x", "begin", "LPOP a", "RPUSH b x", "end", "begin", "LPOP b", "RPUSH c x", "end", "LPOP c"]
    );
}

#[test]
fn transactions_feed_when_they_are_over() {
    let mut server = TestServer::new();
    server.run_as(1, "BLPOP {a}1 0");
    server.expect(&[
        ("MULTI", OK),
        ("LPUSH {a}1 x", "+QUEUED\r\n"),
        ("DEL {a}1", "+QUEUED\r\n"),
        ("BLPOP {a}1 0", "+QUEUED\r\n"),
        ("BLMOVE {a}1 {a}2 LEFT LEFT 0", "+QUEUED\r\n"),
        ("EXEC", "*4\r\n:1\r\n:1\r\n*-1\r\n$-1\r\n"),
    ]);
    assert_eq!(server.answer(1), None);
    server.expect(&[("MULTI", OK), ("LPUSH {a}1 x y", "+QUEUED\r\n"), ("EXEC", "*1\r\n:2\r\n")]);
    assert_eq!(server.answer(1).unwrap(), "*2\r\n$4\r\n{a}1\r\n$1\r\ny\r\n");
}

#[test]
fn other_types_and_errors() {
    let mut server = TestServer::new();
    server.run_as(1, "BLPOP k 0");
    server.run("SET k 1");
    assert_eq!(server.answer(1), None);
    server.expect(&[("DEL k", ":1\r\n"), ("RPUSH other 1", ":1\r\n"), ("RENAME other k", OK)]);
    assert_eq!(server.answer(1).unwrap(), "*2\r\n$1\r\nk\r\n$1\r\n1\r\n");
    server.run("SET string 1");
    server.run_as(1, "BLMOVE k string LEFT LEFT 0");
    server.run("RPUSH k 1");
    assert_eq!(server.answer(1).unwrap(), WRONG_TYPE);
    assert_eq!(server.run("LLEN k"), ":1\r\n");
    // In another database; then it is swapped in.
    server.run_as(1, "SELECT 1");
    server.run_as(1, "BLPOP k 0");
    server.run("LPUSH k 2");
    assert_eq!(server.answer(1), None);
    server.run("SWAPDB 0 1");
    assert_eq!(server.answer(1).unwrap(), "*2\r\n$1\r\nk\r\n$1\r\n2\r\n");
    for (line, error) in [
        ("BLPOP k -1", "-ERR timeout is negative\r\n"),
        ("BLPOP k x", "-ERR timeout is not a float or out of range\r\n"),
        ("BLMPOP 1 0 k LEFT", "-ERR numkeys should be greater than 0\r\n"),
    ] {
        assert_eq!(server.run(line), error);
    }
}

#[test]
fn waits_end_without_an_answer() {
    let mut server = TestServer::new();
    let ends = |server: &mut TestServer, now_ms| {
        let engine = server.engine.clone();
        let waiter = server.session(1).handle.waiter.lock().clone().unwrap();
        let end = waiter.poll(now_ms, &engine.keyspace);
        if end.is_some() {
            server.session(1).waiting = None;
        }
        end.map(|end| format!("{end:?}"))
    };
    let id = server.session(1).handle.id;
    server.run_as(1, "BLPOP a b 0.5");
    assert!(server.run("INFO clients").contains("clients_in_timeout_table:0"));
    server.session(1).handle.set_flag(flag::BLOCKED, true);
    let info = server.run("INFO clients");
    assert!(info.contains("clients_in_timeout_table:1") && info.contains("total_blocking_keys:2"), "{info}");
    let until_ms = server.session(1).handle.waiter.lock().as_ref().unwrap().wait.until_ms.unwrap();
    assert_eq!(ends(&mut server, until_ms - 1), None);
    assert_eq!(ends(&mut server, until_ms).unwrap(), "TimedOut");
    for (how, end) in [("", "TimedOut"), ("ERROR", "Unblocked")] {
        server.run_as(1, "BLPOP a b 0");
        assert_eq!(server.run(&format!("CLIENT UNBLOCK {id} {how}")), ":1\r\n");
        assert_eq!(server.run(&format!("CLIENT UNBLOCK {id}")), ":0\r\n");
        server.run("LPUSH a x");
        assert_eq!(server.answer(1), None);
        assert_eq!(ends(&mut server, 0).unwrap(), end);
        assert_eq!(server.run("LPOP a"), "$1\r\nx\r\n");
    }
    server.run_as(1, "BLPOP a b 0");
    let waiter = server.session(1).handle.waiter.lock().clone().unwrap();
    waiter.forget(&server.engine.keyspace);
    server.expect(&[("LPUSH a x", ":1\r\n"), ("LLEN a", ":1\r\n"), (&format!("CLIENT UNBLOCK {id}"), ":0\r\n")]);
    assert!(server.run("INFO clients").contains("total_blocking_keys:0"));
}
