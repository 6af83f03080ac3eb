//! Messages between connections: their order, how few writes they take, what a slow reader costs, and what clients that
//! cache are told.

use std::collections::HashMap;

use crate::support::{Client, Protocol, Reply, Server, wait_until};

/// `count` messages published in one pipeline reach every subscriber in order, in few writes.
#[test]
fn messages_come_in_order_and_together() {
    const SUBSCRIBERS: usize = 50;
    const MESSAGES: usize = 640;
    const PIPELINE: usize = 32;
    let server = Server::with(&["--io-threads", "2"]);
    let mut publisher = server.client();
    let mut subscribers: Vec<Client> = (0..SUBSCRIBERS).map(|_| server.client()).collect();
    for subscriber in &mut subscribers {
        subscriber.run("SUBSCRIBE c");
    }
    let writes = |client: &mut Client| client.info("stats", "total_writes_processed").parse::<usize>().unwrap();
    let before = writes(&mut publisher);
    for batch in 0..MESSAGES / PIPELINE {
        let numbers = batch * PIPELINE..(batch + 1) * PIPELINE;
        let lines: String = numbers.clone().map(|number| format!("PUBLISH c {number}\r\n")).collect();
        publisher.send(lines.as_bytes());
        for _ in numbers {
            assert_eq!(publisher.reply(), Reply::Integer(SUBSCRIBERS as i64));
        }
    }
    for subscriber in &mut subscribers {
        for number in 0..MESSAGES {
            let text = number.to_string();
            let expected = format!("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n${}\r\n{text}\r\n", text.len());
            assert_eq!(subscriber.raw(expected.len()), expected.as_bytes());
        }
    }
    let written = writes(&mut publisher) - before;
    let rounds = MESSAGES / PIPELINE;
    assert!(written < 4 * rounds * (SUBSCRIBERS + 1), "{written} writes for {rounds} batches");
}

#[test]
fn long_messages_and_a_reader_that_is_too_slow() {
    let server = Server::with(&["--client-output-buffer-limit", "pubsub", "4mb", "0", "0"]);
    let (mut publisher, mut quick, mut slow) = (server.client(), server.client(), server.client());
    quick.run("SUBSCRIBE c");
    slow.run("PSUBSCRIBE c*");
    let message = "x".repeat(1 << 20);
    let mut gone = false;
    for _ in 0..60 {
        let receivers = publisher.command(&["PUBLISH", "c", &message]).integer();
        let frame = quick.raw(message.len() + 36);
        assert!(frame.starts_with(b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1048576\r\nxx") && frame.ends_with(b"xx\r\n"));
        gone |= receivers == 1;
    }
    assert!(gone, "the slow one is disconnected");
    assert_eq!(publisher.info("stats", "client_output_buffer_limit_disconnections"), "1");
    assert_eq!(publisher.info("stats", "pubsub_patterns"), "0");
    drop(quick);
    wait_until("its channel is gone", || publisher.info("stats", "pubsub_channels") == "0");
}

/// What a client has cached at the end is what the server has: no change goes untold, however reads and writes meet.
#[test]
fn a_cache_is_never_out_of_date_for_long() {
    const KEYS: usize = 4;
    let server = Server::with(&["--io-threads", "2"]);
    let (mut reader, mut writer) = (server.client(), server.client());
    reader.hello(Protocol::Resp3);
    reader.run("CLIENT TRACKING ON");
    let writing = std::thread::spawn(move || {
        for number in 0..3000 {
            writer.run(&format!("INCR k{}", number % KEYS));
        }
        writer
    });
    let mut cache: HashMap<Vec<u8>, Reply> = HashMap::new();
    let mut note = |asked: Option<&str>, reply: Reply| match (reply, asked) {
        (Reply::Push(parts), _) => {
            let [_, Reply::Array(keys)] = &parts[..] else { panic!("{parts:?}") };
            keys.iter().for_each(|key| drop(cache.remove(key.text().as_bytes())));
            false
        }
        (value, Some(key)) => {
            cache.insert(key.into(), value);
            true
        }
        (pong, None) => pong == Reply::Status(b"PONG".to_vec()),
    };
    let mut told = 0;
    for number in 0.. {
        let key = format!("k{}", number % KEYS);
        reader.post(&format!("GET {key}"));
        while !note(Some(&key), reader.reply()) {
            told += 1;
        }
        if writing.is_finished() {
            break;
        }
    }
    let mut writer = writing.join().unwrap();
    reader.post("PING");
    while !note(None, reader.reply()) {}
    assert!(told > 0 && !cache.is_empty());
    for (key, value) in cache {
        assert_eq!(writer.command(&[b"GET", &key[..]]), value);
    }
}
