//! maxmemory: what is refused when memory is full, what still works, and what is evicted.

use crate::support::{Server, check, wait_until};

#[test]
fn writes_are_refused_when_memory_is_full() {
    let server = Server::start();
    let mut client = server.client();
    check(&mut client, "SET key value => +OK\nCONFIG SET maxmemory 1 => +OK");
    // The server may look at its memory now and then only.
    wait_until("memory counts as full", || client.run("SET probe value").is_error());
    client.run("DEL probe");
    check(
        &mut client,
        r#"
        SET key other                                => -OOM command not allowed when used memory > 'maxmemory'.
        APPEND key x                                 => -OOM command not allowed when used memory > 'maxmemory'.
        INCR counter                                 => -OOM command not allowed when used memory > 'maxmemory'.
        SETRANGE key 0 x                             => -OOM command not allowed when used memory > 'maxmemory'.
        SETBIT key 1 1                               => -OOM command not allowed when used memory > 'maxmemory'.
        MSET a 1 b 2                                 => -OOM command not allowed when used memory > 'maxmemory'.
        COPY key other                               => -OOM command not allowed when used memory > 'maxmemory'.
        BITOP NOT dest key                           => -OOM command not allowed when used memory > 'maxmemory'.
        GETSET key x                                 => -OOM command not allowed when used memory > 'maxmemory'.
        GET key                                      => "value"
        STRLEN key                                   => :5
        EXPIRE key 1000                              => :1
        PERSIST key                                  => :1
        RENAME key renamed                           => +OK
        GETDEL renamed                               => "value"
        DEL key                                      => :0
        PING                                         => +PONG
        MULTI                                        => +OK
        SET key v                                    => -OOM command not allowed when used memory > 'maxmemory'.
        EXEC                                         => -EXECABORT Transaction discarded because of previous errors.
        MULTI                                        => +OK
        GET key                                      => -OOM command not allowed when used memory > 'maxmemory'.
        EXEC                                         => -EXECABORT Transaction discarded because of previous errors.
        CONFIG SET maxmemory 0                       => +OK
        SET key value                                => +OK
        "#,
    );
}

/// Fills a server whose limit lies a little above what it uses, and gives how many of the keys are left.
fn keys_left(policy: &str, expiring: bool) -> (usize, usize) {
    let server = Server::start();
    let mut client = server.client();
    let reply = client.run("INFO memory");
    let info = reply.text();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("a reading");
    let limit = used.trim().parse::<u64>().expect("a number") + (1 << 20);
    check(&mut client, &format!("CONFIG SET maxmemory {limit} maxmemory-policy {policy} => +OK"));
    let value = "x".repeat(2000);
    let mut refused = 0;
    for number in 0..2000 {
        let expiry = if expiring { " EX 10000" } else { "" };
        refused += usize::from(client.run(&format!("SET key:{number} {value}{expiry}")).is_error());
    }
    let left = (0..2000).filter(|number| client.run(&format!("EXISTS key:{number}")).integer() == 1).count();
    (left, refused)
}

#[test]
fn keys_are_evicted_as_the_policy_says() {
    for (policy, expiring) in
        [("allkeys-lru", false), ("allkeys-lfu", true), ("volatile-ttl", true), ("allkeys-random", false)]
    {
        let (left, refused) = keys_left(policy, expiring);
        assert!((200..600).contains(&left) && refused == 0, "{policy}: {left} left, {refused} refused");
    }
    for policy in ["volatile-lru", "noeviction"] {
        let (left, refused) = keys_left(policy, false);
        assert!((200..600).contains(&left) && refused == 2000 - left, "{policy}: {left} left, {refused} refused");
    }
}
