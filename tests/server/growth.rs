//! One slot that grows and shrinks by hundreds of thousands of keys must not make any client wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Reply, Server, encode_command};

const KEYS: usize = 300_000;
const BATCH: usize = 100;
/// Loose, since tests run unoptimised on loaded machines; a table that is rehashed at once takes longer.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// Fills and empties the slot while a probe asks; gives the probe's longest wait.
fn longest_wait(command: &(dyn Fn(usize) -> Vec<String> + Sync), server: &Server) -> Duration {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = server.client();
            for start in (0..KEYS).step_by(BATCH) {
                let requests: Vec<u8> =
                    (start..start + BATCH).flat_map(|index| encode_command(&command(index))).collect();
                writer.send(&requests);
                for _ in 0..BATCH {
                    writer.reply();
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        let mut probe = server.client();
        let mut longest = Duration::ZERO;
        while !done.load(Ordering::Relaxed) {
            let asked = Instant::now();
            // One key beside the growing slot, one inside it.
            assert_eq!(probe.run("GET elsewhere"), Reply::bulk("v"));
            assert_eq!(probe.run("GET {huge}:probe"), Reply::bulk("v"));
            longest = longest.max(asked.elapsed());
        }
        longest
    })
}

#[test]
fn a_growing_slot_stalls_nobody() {
    const ATTEMPTS: usize = 3;
    let mut waits = Vec::new();
    // A neighbour on the machine may cause a stall; the server would cause it every time.
    for _ in 0..ATTEMPTS {
        let server = Server::with(&["--io-threads", "2"]);
        let mut client = server.client();
        client.run("MSET elsewhere v {huge}:probe v");
        let growing = longest_wait(&|index| vec!["SET".into(), format!("{{huge}}:{index}"), "value".into()], &server);
        assert_eq!(client.run("DBSIZE"), Reply::Integer(KEYS as i64 + 2));
        let shrinking = longest_wait(&|index| vec!["DEL".into(), format!("{{huge}}:{index}")], &server);
        assert_eq!(client.run("DBSIZE"), Reply::Integer(2));
        println!("longest wait: {growing:?} while growing, {shrinking:?} while shrinking");
        if growing.max(shrinking) < LONGEST_WAIT {
            return;
        }
        waits.push(growing.max(shrinking));
    }
    panic!("a client waited {waits:?} for a slot that grew or shrank");
}

/// Flushing many keys answers at once, and the keys are gone for everybody.
#[test]
fn flushing_many_keys_is_quick() {
    let server = Server::start();
    let mut client = server.client();
    client.run("DEBUG POPULATE 200000");
    assert_eq!(client.run("DBSIZE"), Reply::Integer(200_000));
    let started = Instant::now();
    assert_eq!(client.run("FLUSHALL ASYNC"), Reply::ok());
    assert_eq!(client.run("DBSIZE"), Reply::Integer(0));
    assert!(started.elapsed() < Duration::from_secs(1), "FLUSHALL ASYNC took {:?}", started.elapsed());
    assert_eq!(client.run("EXISTS key:1"), Reply::Integer(0));
}
