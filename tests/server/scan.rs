//! SCAN's guarantee: what was there from the beginning to the end of an iteration is returned at least once, whatever
//! grows and shrinks meanwhile; and nothing is returned that never was there.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::{Client, Random, Reply, Server, encode_command};

/// Runs a whole iteration; gives every name with how often it came, and the number of calls.
fn iterate(client: &mut Client, options: &[&str]) -> (HashMap<String, usize>, usize) {
    let mut found = HashMap::new();
    let mut cursor = "0".to_owned();
    let mut calls = 0;
    loop {
        let mut command = vec!["SCAN", &cursor];
        command.extend_from_slice(options);
        let reply = client.command(&command);
        calls += 1;
        assert!(calls < 3_000_000, "the iteration does not end");
        for name in reply.items()[1].items() {
            *found.entry(name.text().to_owned()).or_insert(0) += 1;
        }
        cursor = reply.items()[0].text().to_owned();
        assert!(cursor.parse::<u64>().is_ok(), "not a cursor: {cursor}");
        if cursor == "0" {
            return (found, calls);
        }
    }
}

fn pipeline(client: &mut Client, commands: &[Vec<String>]) {
    for batch in commands.chunks(500) {
        let requests: Vec<u8> = batch.iter().flat_map(|command| encode_command(command)).collect();
        client.send(&requests);
        for command in batch {
            assert!(!client.reply().is_error(), "{command:?}");
        }
    }
}

fn set(key: &str) -> Vec<String> {
    vec!["SET".to_owned(), key.to_owned(), "v".to_owned()]
}

fn delete(key: &str) -> Vec<String> {
    vec!["DEL".to_owned(), key.to_owned()]
}

#[test]
fn a_still_keyspace_is_returned_exactly() {
    let server = Server::start();
    let mut client = server.client();
    for size in [0usize, 1, 2, 100, 3000, 30_000] {
        let commands: Vec<Vec<String>> = (0..size).map(|index| set(&format!("key:{index}"))).collect();
        pipeline(&mut client, &commands);
        for count in ["1", "10", "100", "5000", "100000000"] {
            if size > 3000 && count == "1" {
                continue;
            }
            let (found, _) = iterate(&mut client, &["COUNT", count]);
            assert_eq!(found.len(), size, "COUNT {count}");
            assert!(found.values().all(|times| *times == 1), "nothing changed, yet something came twice");
        }
    }
    let (found, calls) = iterate(&mut client, &[]);
    assert_eq!(found.len(), 30_000);
    assert!((1000..12_000).contains(&calls), "{calls} calls for 30,000 keys with the default COUNT of 10");
    // COUNT bounds what one call returns, roughly.
    let reply = client.run("SCAN 0 COUNT 50");
    assert!(reply.items()[1].items().len() < 1000);
}

#[test]
fn filters_narrow_the_result_only() {
    let server = Server::start();
    let mut client = server.client();
    let commands: Vec<Vec<String>> =
        (0..5000).map(|index| set(&format!("{}:{index}", ["user", "item"][index % 2]))).collect();
    pipeline(&mut client, &commands);
    let (found, _) = iterate(&mut client, &["MATCH", "user:*", "COUNT", "100"]);
    assert_eq!(found.len(), 2500);
    assert!(found.keys().all(|name| name.starts_with("user:")));
    let (found, _) = iterate(&mut client, &["MATCH", "item:77", "COUNT", "100"]);
    assert_eq!(found.len(), 1);
    let (found, _) = iterate(&mut client, &["TYPE", "string", "COUNT", "100", "MATCH", "*9"]);
    assert_eq!(found.len(), 500);
    let (found, _) = iterate(&mut client, &["TYPE", "hash", "COUNT", "100"]);
    assert!(found.is_empty());
    // A pattern that pins the slot must find the keys of that slot.
    let commands: Vec<Vec<String>> = (0..200).map(|index| set(&format!("{{tag}}:{index}"))).collect();
    pipeline(&mut client, &commands);
    let (found, _) = iterate(&mut client, &["MATCH", "{tag}:*", "COUNT", "20"]);
    assert_eq!(found.len(), 200);
}

#[test]
fn keys_past_their_time_are_not_returned() {
    let server = Server::start();
    let mut client = server.client();
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    for index in 0..300 {
        client.command(&["SET", &format!("dead:{index}"), "v", "PX", "1"]);
        client.command(&["SET", &format!("live:{index}"), "v"]);
    }
    client.wait_for("EXISTS dead:299", &Reply::Integer(0));
    let (found, _) = iterate(&mut client, &["COUNT", "50"]);
    assert_eq!(found.len(), 300);
    assert!(found.keys().all(|name| name.starts_with("live:")));
}

#[test]
fn any_cursor_is_safe() {
    let server = Server::start();
    let mut client = server.client();
    let commands: Vec<Vec<String>> = (0..2000).map(|index| set(&format!("key:{index}"))).collect();
    pipeline(&mut client, &commands);
    let mut random = Random::new(17);
    for _ in 0..500 {
        let cursor = random.next() >> random.below(64);
        let reply = client.command(&["SCAN", &cursor.to_string()]);
        assert_eq!(reply.items().len(), 2, "{reply:?}");
    }
    assert_eq!(client.run("SCAN 18446744073709551615").items().len(), 2);
}

/// Scans again and again while a writer lets the keyspace grow and shrink by a factor of twenty.
fn guarantee_holds(name: &(dyn Fn(&str, usize) -> String + Sync), stable_count: usize, volatile_count: usize) {
    const ITERATIONS: usize = 6;
    let server = Server::with(&["--io-threads", "2"]);
    let mut client = server.client();
    let stable: HashSet<String> = (0..stable_count).map(|index| name("stable", index)).collect();
    let commands: Vec<Vec<String>> = stable.iter().map(|key| set(key)).collect();
    pipeline(&mut client, &commands);
    let done = AtomicBool::new(false);
    let waves = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = server.client();
            while !done.load(Ordering::Relaxed) {
                for make in [set as fn(&str) -> Vec<String>, delete] {
                    for start in (0..volatile_count).step_by(500) {
                        if done.load(Ordering::Relaxed) {
                            return;
                        }
                        let batch: Vec<Vec<String>> = (start..(start + 500).min(volatile_count))
                            .map(|index| make(&name("passing", index)))
                            .collect();
                        pipeline(&mut writer, &batch);
                    }
                    waves.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        // Whatever panics here, the writer must learn that it is over.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut iterations = 0;
            while iterations < ITERATIONS || waves.load(Ordering::Relaxed) < 2 {
                let count = ["7", "20", "100", "1000"][iterations % 4];
                let (found, _) = iterate(&mut client, &["COUNT", count]);
                let missed: Vec<&String> = stable.iter().filter(|key| !found.contains_key(*key)).take(5).collect();
                assert!(
                    missed.is_empty(),
                    "iteration {iterations} with COUNT {count} missed keys, among them {missed:?}"
                );
                let strange = found.keys().find(|key| !stable.contains(*key) && !key.contains("passing"));
                assert!(strange.is_none(), "never written: {strange:?}");
                iterations += 1;
            }
        }));
        done.store(true, Ordering::Relaxed);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

#[test]
fn guarantee_under_growth_and_shrinking() {
    guarantee_holds(&|kind, index| format!("{kind}:{index}"), 3000, 60_000);
}

#[test]
fn guarantee_in_one_huge_slot() {
    guarantee_holds(&|kind, index| format!("{{one}}{kind}:{index}"), 2000, 40_000);
}

/// Values that change type size, or are renamed and copied, move in memory but keep their place in an iteration.
#[test]
fn guarantee_while_values_change() {
    let server = Server::start();
    let mut client = server.client();
    let names: Vec<String> = (0..2000).map(|index| format!("{{a}}:{index}")).collect();
    let commands: Vec<Vec<String>> = names.iter().map(|key| set(key)).collect();
    pipeline(&mut client, &commands);
    let mut random = Random::new(23);
    for _ in 0..5 {
        let mut cursor = "0".to_owned();
        let mut found = HashSet::new();
        loop {
            let reply = client.command(&["SCAN", &cursor, "COUNT", "30"]);
            found.extend(reply.items()[1].items().iter().map(|name| name.text().to_owned()));
            cursor = reply.items()[0].text().to_owned();
            if cursor == "0" {
                break;
            }
            for _ in 0..20 {
                let key = &names[random.below(names.len())];
                let value = "x".repeat(random.below(300));
                client.command(&["SET", key, &value, "EX", "1000"]);
                client.command(&["APPEND", &names[random.below(names.len())], "more"]);
                client.command(&["PERSIST", &names[random.below(names.len())]]);
            }
        }
        assert_eq!(names.iter().filter(|name| !found.contains(*name)).count(), 0);
    }
}
