//! Lists over sockets: clients that wait for them, on whatever worker they and those who serve them are.

use std::time::{Duration, Instant};

use crate::support::{Client, Reply, Server, check, wait_until};

fn pair(key: &str, element: &str) -> Reply {
    Reply::Array(vec![Reply::bulk(key), Reply::bulk(element)])
}

fn wait_for_blocked(client: &mut Client, count: usize) {
    wait_until("clients wait", || client.info("clients", "blocked_clients") == count.to_string());
}

#[test]
fn those_who_wait_are_served_across_workers() {
    let server = Server::with(&["--io-threads", "2"]);
    let mut feeder = server.client();
    let mut waiting: Vec<Client> = (0..6).map(|_| server.client()).collect();
    for (number, client) in waiting.iter_mut().enumerate() {
        client.post(&format!("BLPOP queue other:{number} 0"));
        wait_for_blocked(&mut feeder, number + 1);
    }
    assert_eq!(feeder.run("RPUSH queue a b c d e f g").integer(), 7);
    for (client, element) in waiting.iter_mut().zip(["a", "b", "c", "d", "e", "f"]) {
        assert_eq!(client.reply(), pair("queue", element));
        assert_eq!(client.run("PING"), Reply::Status(b"PONG".to_vec()));
    }
    assert_eq!(feeder.run("LLEN queue").integer(), 1);
    assert_eq!(feeder.info("clients", "total_blocking_keys"), "0");
}

#[test]
fn a_ring_of_moves_loses_nothing() {
    let server = Server::with(&["--io-threads", "2"]);
    let mut movers: Vec<Client> = (0..4).map(|_| server.client()).collect();
    const ROUNDS: usize = 200;
    for (number, mover) in movers.iter_mut().enumerate() {
        for _ in 0..ROUNDS {
            mover.post(&format!("BLMOVE ring:{number} ring:{} LEFT RIGHT 0", (number + 1) % 4));
        }
    }
    let mut feeder = server.client();
    feeder.run("RPUSH ring:0 x");
    for mover in &mut movers {
        for _ in 0..ROUNDS {
            assert_eq!(mover.reply(), Reply::bulk("x"));
        }
    }
    let lengths: i64 = (0..4).map(|number| feeder.run(&format!("LLEN ring:{number}")).integer()).sum();
    assert_eq!(lengths, 1);
}

#[test]
fn rules_are_looked_at_again_when_a_client_is_served() {
    let server = Server::start();
    let mut other = server.client();
    check(&mut other, "ACL SETUSER waiter on nopass +@all allkeys\nACL SETUSER goer on nopass +@all allkeys");
    let mut waiting: Vec<Client> = ["waiter", "goer", "default"]
        .iter()
        .enumerate()
        .map(|(number, user)| {
            let mut client = server.client();
            client.run(&format!("AUTH {user} x"));
            client.post("BLPOP queue 0");
            wait_for_blocked(&mut other, number + 1);
            client
        })
        .collect();
    check(
        &mut other,
        "ACL SETUSER waiter resetkeys
         ACL DELUSER goer => :1
         RPUSH queue a => :1
         LLEN queue => :0",
    );
    assert_eq!(other.run("ACL LOG 1").items()[0].field("object"), &Reply::bulk("queue"));
    assert!(waiting[0].reply().error().starts_with("NOPERM"));
    assert_eq!(waiting[2].reply(), pair("queue", "a"));
    // The one whose user is gone may be met before its connection has ended.
    let counted = other.info("commandstats", "cmdstat_blpop");
    assert!(counted.contains("rejected_calls=1") || counted.contains("rejected_calls=2"), "{counted}");
}

#[test]
fn waiting_ends_in_every_way() {
    let server = Server::start();
    let (mut client, mut other) = (server.client(), server.client());
    let began = Instant::now();
    assert_eq!(client.run("BLPOP nothing 0.1"), Reply::Null);
    assert!(began.elapsed() >= Duration::from_millis(100));

    let id = client.id();
    client.post("BLMOVE nothing else LEFT LEFT 0");
    // A request that follows waits, too.
    client.post("PING");
    wait_for_blocked(&mut other, 1);
    client.expect_silence(Duration::from_millis(30));
    assert_eq!(other.run(&format!("CLIENT UNBLOCK {id} ERROR")).integer(), 1);
    assert_eq!(client.reply(), Reply::Error(b"UNBLOCKED client unblocked via CLIENT UNBLOCK".to_vec()));
    assert_eq!(client.reply(), Reply::Status(b"PONG".to_vec()));

    for gone in 0..2 {
        let mut leaving = server.client();
        let id = leaving.id();
        leaving.post("BRPOP queue other 0");
        wait_for_blocked(&mut other, 1);
        if gone == 0 {
            drop(leaving);
        } else {
            other.run(&format!("CLIENT KILL ID {id}"));
        }
        wait_for_blocked(&mut other, 0);
        check(&mut other, "RPUSH queue kept => :1\n LPOP queue => \"kept\"");
    }
}

#[test]
fn lists_survive_a_restart() {
    let data = crate::support::DataDirectory::new();
    let mut server = Server::on(&data, &[]);
    let mut client = server.client();
    for first in (0..5000).step_by(50) {
        let numbers: Vec<String> = (first..first + 50).map(|number| format!("element:{number}")).collect();
        client.run(&format!("RPUSH long {}", numbers.join(" ")));
    }
    check(
        &mut client,
        r#"
        LTRIM long 100 -100                          => +OK
        LSET long 7 seven                            => +OK
        LINSERT long AFTER seven between             => :4802
        LREM long 1 element:4000                     => :1
        LMOVE long {other}short LEFT RIGHT           => "element:100"
        RPUSH short a b c                            => :3
        LPOP short                                   => "a"
        "#,
    );
    let expected = ["LRANGE long 0 -1", "LRANGE short 0 -1", "LRANGE {other}short 0 -1"].map(|line| client.run(line));
    server.kill();
    let server = Server::on(&data, &[]);
    let mut client = server.client();
    let found = ["LRANGE long 0 -1", "LRANGE short 0 -1", "LRANGE {other}short 0 -1"].map(|line| client.run(line));
    assert_eq!(found, expected);
}
