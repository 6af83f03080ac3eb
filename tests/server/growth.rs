//! One slot that grows and shrinks by hundreds of thousands of keys must not make any client wait, and one long command
//! none but those of its worker and its slots.

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

/// A long command beside clients that wait for its slot, for its slot with others, and for all slots: whoever shares
/// neither its worker nor its slot is served before it ends.
#[test]
fn a_long_command_holds_up_its_own_slots_only() {
    const LONG: &str = "local start = os.clock() while os.clock() - start < tonumber(ARGV[1]) do end
        return redis.call('GET', KEYS[1])";
    for blocked in ["SET {held} 1", "MSET {held} 1 elsewhere 1", "FLUSHALL", "INFO"] {
        let server = Server::with(&["--io-threads", "2", "--busy-reply-threshold", "0"]);
        let mut clients: Vec<_> = (0..9).map(|_| server.client()).collect();
        assert_eq!(clients[0].run("SET {held} 0"), Reply::ok());
        // A script is alone until it is known which keys it touches.
        assert_eq!(clients[0].command(&["EVAL", LONG, "1", "{held}", "0"]), Reply::bulk("0"));
        let (long, others) = clients.split_first_mut().unwrap();
        let (waiting, asking) = others.split_at_mut(4);
        // So long is what both of the server's workers use together.
        long.send(&encode_command(&["EVAL", LONG, "1", "{held}", "1"]));
        long.expect_silence(Duration::from_millis(100));
        // Some of them are on the other worker, whichever that is.
        waiting.iter_mut().for_each(|client| client.post(blocked));
        std::thread::sleep(Duration::from_millis(100));
        asking.iter_mut().for_each(|client| client.post("SET elsewhere 2"));
        let look = Duration::from_millis(20);
        while !asking.iter_mut().any(|client| client.reply_within(look).is_some()) {
            assert_eq!(long.reply_within(Duration::ZERO), None, "everybody waits while {blocked} does");
        }
        // A busy machine may need a while for a second of work.
        let patience = Duration::from_secs(60);
        let reply = long.reply_within(patience).map(|(reply, _)| reply);
        assert_eq!(reply, Some(Reply::bulk("0")), "{blocked}");
        for client in waiting {
            assert!(client.reply_within(patience).is_some(), "{blocked}");
        }
    }
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
