//! Many connections: ten thousand that idle, many that come and go, many that work at once.

use std::time::{Duration, Instant};

use crate::support::{Client, Reply, Server, encode_command, raise_file_limit, wait_until};

#[test]
fn ten_thousand_idle_connections() {
    const COUNT: usize = 10_000;
    raise_file_limit(COUNT as u64 + 500);
    let server = Server::with(&["--maxclients", "10100"]);
    let mut client = server.client();
    client.run("SET key value");
    let before = server.resident_bytes();
    let mut idle: Vec<Client> = Vec::with_capacity(COUNT);
    for index in 0..COUNT {
        let mut connection = server.client();
        // Half of them have spoken once, the others never do.
        if index % 2 == 0 {
            connection.send(b"PING\r\n");
        }
        idle.push(connection);
    }
    for connection in idle.iter_mut().step_by(2) {
        assert_eq!(connection.raw(7), b"+PONG\r\n");
    }
    let expected = (COUNT + 1).to_string();
    wait_until("all are counted", || client.info("clients", "connected_clients") == expected);
    let each = server.resident_bytes().saturating_sub(before) / COUNT as u64;
    println!("resident memory per idle connection: {each} bytes");
    assert!(each < 24_000, "an idle connection takes {each} bytes");
    // Among them one that works is answered as quickly as if it were alone.
    let mut slowest = Duration::ZERO;
    let started = Instant::now();
    for _ in 0..2000 {
        let asked = Instant::now();
        assert_eq!(client.run("GET key"), Reply::bulk("value"));
        slowest = slowest.max(asked.elapsed());
    }
    let mean = started.elapsed() / 2000;
    assert!(mean < Duration::from_millis(2), "a GET takes {mean:?} beside idle connections, {slowest:?} at worst");
    assert_eq!(client.run("CLIENT LIST").text().lines().count(), COUNT + 1);
    // All of them still work, and all go at once.
    for connection in idle.iter_mut().step_by(97) {
        assert_eq!(connection.run("ECHO still-here").text(), "still-here");
    }
    drop(idle);
    wait_until("all are gone", || client.info("clients", "connected_clients") == "1");
}

#[test]
fn connections_come_and_go() {
    let server = Server::start();
    let mut control = server.client();
    let round = |server: &Server| {
        for index in 0..1000 {
            let mut client = server.client();
            if index % 3 != 0 {
                assert!(client.run("INCR counter").integer() > 0);
            }
        }
    };
    round(&server);
    wait_until("all are gone", || control.info("clients", "connected_clients") == "1");
    let before = server.resident_bytes();
    round(&server);
    round(&server);
    wait_until("all are gone", || control.info("clients", "connected_clients") == "1");
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 4 << 20, "2,000 connections left {grown} bytes behind");
    let received: i64 = control.info("stats", "total_connections_received").parse().expect("a number");
    assert!(received > 3000);
}

/// Many connections pipeline at once over all workers; each sees its own replies, and no increment is lost.
#[test]
fn many_working_connections() {
    const CONNECTIONS: usize = 200;
    const ROUNDS: usize = 20;
    let server = Server::with(&["--io-threads", "2"]);
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| server.client()).collect();
    for round in 0..ROUNDS {
        for (index, client) in clients.iter_mut().enumerate() {
            let mut requests = Vec::new();
            for command in [
                vec!["SET".to_owned(), format!("own:{index}"), format!("{index}-{round}")],
                vec!["INCR".to_owned(), "shared".to_owned()],
                vec!["APPEND".to_owned(), "log".to_owned(), "x".to_owned()],
                vec!["GET".to_owned(), format!("own:{index}")],
            ] {
                requests.extend(encode_command(&command));
            }
            client.send(&requests);
        }
        for (index, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.reply(), Reply::ok());
            client.reply().integer();
            client.reply().integer();
            assert_eq!(client.reply(), Reply::bulk(&format!("{index}-{round}")));
        }
    }
    let total = (CONNECTIONS * ROUNDS) as i64;
    assert_eq!(clients[0].run("GET shared"), Reply::bulk(&total.to_string()));
    assert_eq!(clients[0].run("STRLEN log"), Reply::Integer(total));
}

#[test]
fn maxclients() {
    let server = Server::with(&["--maxclients", "5"]);
    // The connection that found the server ready may linger for a moment.
    let mut admitted = vec![server.client()];
    wait_until("we are alone", || admitted[0].info("clients", "connected_clients") == "1");
    admitted.extend((0..4).map(|_| server.client()));
    let mut refused = server.client();
    assert_eq!(refused.until_closed(), b"-ERR max number of clients reached\r\n");
    assert_eq!(admitted[0].info("stats", "rejected_connections"), "1");
    assert_eq!(admitted[0].run("CONFIG SET maxclients 6"), Reply::ok());
    let mut sixth = server.client();
    assert_eq!(sixth.run("PING").text(), "PONG");
    drop(admitted.pop());
    wait_until("a place is free", || admitted[0].info("clients", "connected_clients") == "5");
    assert_eq!(server.client().run("PING").text(), "PONG");
}

#[test]
fn idle_clients_time_out() {
    let server = Server::with(&["--timeout", "1"]);
    let (mut idle, mut busy) = (server.client(), server.client());
    idle.run("PING");
    let started = Instant::now();
    wait_until("the idle one is closed", || {
        busy.run("PING");
        idle.is_closed()
    });
    assert!(started.elapsed() >= Duration::from_millis(900), "closed after {:?}", started.elapsed());
    assert_eq!(busy.run("PING").text(), "PONG");
    // Without a timeout nobody is closed.
    assert_eq!(busy.run("CONFIG SET timeout 0"), Reply::ok());
    let mut idle = server.client();
    idle.expect_silence(Duration::from_millis(1500));
    assert_eq!(idle.run("PING").text(), "PONG");
}
