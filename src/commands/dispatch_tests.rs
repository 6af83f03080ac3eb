//! What a batch does when something is in the way of its commands.

use super::dispatch::{Hold, Progress};
use super::testing::TestServer;
use crate::base::key_slot::SlotId;
use crate::config::choices::ProtectedAction;

#[test]
fn a_request_whose_slot_is_held_comes_back_later() {
    let mut server = TestServer::new();
    let engine = server.engine.clone();
    let long = engine.keyspace.lock(SlotId::of_key(b"held"));
    let requests: [&[u8]; 10] = [b"SET", b"free", b"1", b"MSET", b"free", b"2", b"held", b"2", b"GET", b"free"];
    let (progress, out) = server.progress_of(0, &requests, &[3, 8, 10]);
    assert_eq!(out, b"+OK\r\n");
    let held = |progress: Progress| (progress.requests, matches!(progress.hold, Some(Hold::Held { .. })));
    assert_eq!(held(progress), (1, true));
    // Nothing is kept while it waits, and nothing was done of it.
    assert_eq!(server.run_as(1, "GET free"), "$1\r\n1\r\n");
    assert_eq!(held(server.progress_of(1, &[b"GET", b"held"], &[2]).0), (0, true));
    let (progress, out) = server.progress_of(1, &[b"DBSIZE"], &[1]);
    assert_eq!((held(progress), &out[..]), ((0, true), &b""[..]));
    drop(long);
    let (progress, out) = server.progress_of(0, &requests[3..], &[5, 7]);
    assert_eq!((progress.requests, &out[..]), (2, &b"+OK\r\n$1\r\n2\r\n"[..]));
    assert_eq!(server.session(0).held_tries, 0);
}

#[test]
fn a_request_for_all_slots_waits_outside_the_gate() {
    let mut server = TestServer::new();
    let engine = server.engine.clone();
    let long = engine.gate.enter(engine.background_lane());
    let (progress, out) = server.progress_of(0, &[b"FLUSHALL"], &[1]);
    assert_eq!((progress.requests, &out[..]), (0, &b""[..]));
    assert!(matches!(progress.hold, Some(Hold::Held { .. })));
    server.expect(&[("SET a 1", "+OK\r\n")]);
    drop(long);
    server.expect(&[("FLUSHALL", "+OK\r\n"), ("DBSIZE", ":0\r\n")]);
}

#[test]
fn a_long_batch_is_run_in_turns() {
    let mut server = TestServer::with_config(|config| config.enable_debug_command = ProtectedAction::Yes);
    let requests: [&[u8]; 4] = [b"DEBUG", b"SLEEP", b"0.002", b"PING"];
    let (progress, out) = server.progress_of(0, &requests, &[3, 4]);
    assert_eq!((progress, &out[..]), (Progress { requests: 1, hold: Some(Hold::Turn) }, &b"+OK\r\n"[..]));
}
