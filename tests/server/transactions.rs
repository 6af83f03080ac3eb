//! MULTI, EXEC, DISCARD, WATCH, UNWATCH: over any slots, with every way to be refused.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Protocol, Reply, Server, check};

#[test]
fn queue_and_run() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        MULTI                                        => +OK
        SET a 1                                      => +QUEUED
        INCR a                                       => +QUEUED
        GET missing                                  => +QUEUED
        MGET a b                                     => +QUEUED
        EXEC                                         => [+OK :2 nil ["2" nil]]
        GET a                                        => "2"
        MULTI                                        => +OK
        EXEC                                         => []
        EXEC                                         => -ERR EXEC without MULTI
        DISCARD                                      => -ERR DISCARD without MULTI
        MULTI                                        => +OK
        SET a 9                                      => +QUEUED
        DISCARD                                      => +OK
        GET a                                        => "2"
        MULTI x                                      => -ERR wrong number of arguments for 'multi' command
        EXEC x                                       => -EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command
        DISCARD x                                    => -ERR wrong number of arguments for 'discard' command
        "#,
    );
}

#[test]
fn errors_while_queueing_abort() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        MULTI                                        => +OK
        SET a 1                                      => +QUEUED
        NOSUCH x                                     => -"ERR unknown command 'NOSUCH', with args beginning with: 'x' "
        EXEC                                         => -EXECABORT Transaction discarded because of previous errors.
        EXISTS a                                     => :0
        MULTI                                        => +OK
        SET a                                        => -ERR wrong number of arguments for 'set' command
        SET b 1                                      => +QUEUED
        EXEC                                         => -EXECABORT Transaction discarded because of previous errors.
        EXISTS b                                     => :0
        MULTI                                        => +OK
        OBJECT NOSUCH key                            => -ERR unknown subcommand 'NOSUCH'. Try OBJECT HELP.
        EXEC                                         => -EXECABORT Transaction discarded because of previous errors.
        MULTI                                        => +OK
        NOSUCH                                       => -"ERR unknown command 'NOSUCH', with args beginning with: "
        DISCARD                                      => +OK
        GET a                                        => nil
        "#,
    );
}

#[test]
fn errors_while_running_do_not_undo() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        SET text abc                                 => +OK
        MULTI                                        => +OK
        SET a 1                                      => +QUEUED
        INCR text                                    => +QUEUED
        SETRANGE a -1 x                              => +QUEUED
        SET b 2                                      => +QUEUED
        EXEC                                         => [+OK -"ERR value is not an integer or out of range" -"ERR offset is out of range" +OK]
        MGET a b text                                => ["1" "2" "abc"]
        "#,
    );
}

#[test]
fn nested_and_forbidden() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        MULTI                                        => +OK
        MULTI                                        => -ERR MULTI calls can not be nested
        SET a 1                                      => +QUEUED
        WATCH a                                      => -ERR WATCH inside MULTI is not allowed
        EXEC                                         => [+OK]
        GET a                                        => "1"
        WATCH                                        => -ERR wrong number of arguments for 'watch' command
        UNWATCH                                      => +OK
        UNWATCH x                                    => -ERR wrong number of arguments for 'unwatch' command
        "#,
    );
}

#[test]
fn commands_that_stay_allowed_inside() {
    let server = Server::start();
    check(
        &mut server.client(),
        r#"
        MULTI
        PING                                         => +QUEUED
        ECHO hi                                      => +QUEUED
        SELECT 3                                     => +QUEUED
        SET in-three v                               => +QUEUED
        DBSIZE                                       => +QUEUED
        TIME                                         => +QUEUED
        SELECT 0                                     => +QUEUED
        DBSIZE                                       => +QUEUED
        UNWATCH                                      => +QUEUED
        EXEC                                         => [+PONG "hi" +OK +OK :1 _ +OK :0 +OK]
        MULTI
        SELECT 3                                     => +QUEUED
        EXEC                                         => [+OK]
        GET in-three                                 => "v"
        "#,
    );
}

#[test]
fn reset_and_quit_leave_a_transaction() {
    let server = Server::start();
    let mut client = server.client();
    check(
        &mut client,
        r#"
        MULTI                                        => +OK
        SET a 1                                      => +QUEUED
        RESET                                        => +RESET
        EXEC                                         => -ERR EXEC without MULTI
        EXISTS a                                     => :0
        MULTI                                        => +OK
        SET a 1                                      => +QUEUED
        QUIT                                         => +OK
        "#,
    );
    assert_eq!(client.until_closed(), b"");
    assert_eq!(server.client().run("EXISTS a"), Reply::Integer(0));
}

#[test]
fn watch_notices_changes_by_others() {
    let server = Server::start();
    let (mut client, mut other) = (server.client(), server.client());
    let changes = [
        ("SET key v", "SET key w"),
        ("SET key v", "SET key v"),
        ("SET key v", "DEL key"),
        ("SET key v", "UNLINK key"),
        ("SET key v", "APPEND key x"),
        ("SET key v", "EXPIRE key 100"),
        ("SET key v", "EXPIRE key -1"),
        ("SET key v EX 100", "PERSIST key"),
        ("SET key v", "GETEX key EX 100"),
        ("SET key v", "GETDEL key"),
        ("SET key v", "RENAME key other"),
        ("MSET key v other w", "RENAME other key"),
        ("SET key v", "MOVE key 1"),
        ("MSET key v source w", "COPY source key REPLACE"),
        ("SET key v", "FLUSHDB"),
        ("SET key v", "FLUSHALL"),
        ("SET key 1", "INCR key"),
        ("SET key v", "SETBIT key 0 1"),
        ("SET key v", "SETRANGE key 0 x"),
        ("SET key v", "BITFIELD key SET u8 0 1"),
        ("SET key v", "BITOP NOT key key"),
        ("SET key v", "MSET a 1 key 2"),
        ("DEL key", "SET key v"),
        ("DEL key", "MSETNX key v x y"),
        ("SET key v", "SWAPDB 0 1"),
        ("DEL key", "MULTI;SET key v;EXEC"),
    ];
    for (before, change) in changes {
        other.run("SELECT 1");
        other.run("FLUSHDB");
        other.run("SELECT 0");
        client.run("FLUSHALL");
        client.run(before);
        assert_eq!(client.run("WATCH key"), Reply::ok());
        for line in change.split(';') {
            assert!(!other.run(line).is_error(), "{line}");
        }
        client.run("MULTI");
        client.run("SET touched yes");
        client.send(b"*1\r\n$4\r\nEXEC\r\n");
        let (_, bytes) = client.reply_bytes();
        assert_eq!(bytes, b"*-1\r\n", "after {before}, {change} went unnoticed");
        assert_eq!(client.run("EXISTS touched"), Reply::Integer(0), "after {before}, {change}");
    }
}

#[test]
fn watch_ignores_what_changes_nothing() {
    let server = Server::start();
    let (mut client, mut other) = (server.client(), server.client());
    let harmless = [
        ("SET key v", "GET key"),
        ("SET key v", "SET other w"),
        ("SET key v", "SET key w NX"),
        ("DEL key", "SET key w XX"),
        ("SET key v", "SETNX key w"),
        ("SET key v", "MSETNX key w b c"),
        ("SET key v", "PERSIST key"),
        ("SET key v", "EXPIRE key 100 XX"),
        ("DEL key", "DEL key"),
        ("DEL key", "EXPIRE key 100"),
        ("DEL key", "FLUSHDB"),
        ("SET key v", "TOUCH key"),
        ("SET key v", "OBJECT ENCODING key"),
        ("SET key v", "GETRANGE key 0 -1"),
        ("SET key v", "INCR key"),
        ("SET key v", "COPY key target"),
        ("SET key v", "GETEX key"),
        ("SET key v", "SETRANGE key 0 \"\""),
        ("SET key v", "BITFIELD key GET u8 0"),
    ];
    for (before, action) in harmless {
        client.run("FLUSHALL");
        client.run(before);
        client.run("WATCH key");
        other.run(action);
        client.run("MULTI");
        client.run("SET touched yes");
        assert_eq!(client.run("EXEC"), Reply::Array(vec![Reply::ok()]), "after {before}, {action} counted as a change");
    }
}

#[test]
fn watch_own_changes_and_forgetting() {
    let server = Server::start();
    let (mut client, mut other) = (server.client(), server.client());
    check(
        &mut client,
        r#"
        SET key v                                    => +OK
        WATCH key                                    => +OK
        SET key w                                    => +OK
        MULTI                                        => +OK
        GET key                                      => +QUEUED
        EXEC                                         => nil
        WATCH key                                    => +OK
        SET key x                                    => +OK
        UNWATCH                                      => +OK
        MULTI                                        => +OK
        GET key                                      => +QUEUED
        EXEC                                         => ["x"]
        WATCH key                                    => +OK
        SET key y                                    => +OK
        MULTI                                        => +OK
        DISCARD                                      => +OK
        MULTI                                        => +OK
        GET key                                      => +QUEUED
        EXEC                                         => ["y"]
        "#,
    );
    // EXEC forgets too, whether it ran or not.
    check(&mut client, "WATCH key\nMULTI\nEXEC => []");
    other.run("SET key z");
    check(&mut client, "MULTI\nGET key\nEXEC => [\"z\"]");
    // Many keys, one of them changed; and a key watched twice.
    check(&mut client, "WATCH a b c d e f\nWATCH a a");
    other.run("SET e 1");
    check(&mut client, "MULTI\nPING\nEXEC => nil");
    // A failed queue comes before a changed key.
    check(&mut client, "WATCH key");
    other.run("SET key 1");
    check(
        &mut client,
        "MULTI\nNOSUCH => contains \"unknown command\"\nEXEC => -EXECABORT Transaction discarded because of previous errors.",
    );
}

/// A watched key in another database with the same name is another key.
#[test]
fn watch_is_per_database() {
    let server = Server::start();
    let (mut client, mut other) = (server.client(), server.client());
    client.run("WATCH key");
    other.run("SELECT 1");
    other.run("SET key v");
    check(&mut client, "MULTI\nPING\nEXEC => [+PONG]");
    client.run("WATCH key");
    client.run("SELECT 1");
    other.run("SELECT 0");
    other.run("SET key v");
    check(&mut client, "MULTI\nPING\nEXEC => nil");
}

/// Expiry counts as a change only when the key was still alive at WATCH.
#[test]
fn watch_and_expiry() {
    let server = Server::start();
    let (mut client, mut other) = (server.client(), server.client());
    client.run("DEBUG SET-ACTIVE-EXPIRE 0");
    // Alive at WATCH, gone at EXEC: aborted.
    client.run("SET key v PX 30");
    client.run("WATCH key");
    other.wait_for("EXISTS key", &Reply::Integer(0));
    check(&mut client, "MULTI\nPING\nEXEC => nil");
    // The same, with nobody looking at the key in between.
    client.run("SET key v PX 30");
    client.run("WATCH key");
    client.run("SET clock v PX 60");
    other.wait_for("EXISTS clock", &Reply::Integer(0));
    check(&mut client, "MULTI\nPING\nEXEC => nil");
    // Already gone at WATCH, though never touched since: nothing changes any more.
    client.run("SET key v PX 30");
    client.run("SET clock v PX 60");
    other.wait_for("EXISTS clock", &Reply::Integer(0));
    client.run("WATCH key");
    other.run("GET key");
    check(&mut client, "MULTI\nPING\nEXEC => [+PONG]");
    // Already gone at WATCH, then really deleted by a flush: still nothing.
    client.run("SET key v PX 30");
    client.run("SET clock v PX 60");
    other.wait_for("EXISTS clock", &Reply::Integer(0));
    client.run("WATCH key");
    other.run("FLUSHALL");
    check(&mut client, "MULTI\nPING\nEXEC => [+PONG]");
    // Gone at WATCH and written anew: changed.
    client.run("SET key v PX 30");
    client.run("SET clock v PX 60");
    other.wait_for("EXISTS clock", &Reply::Integer(0));
    client.run("WATCH key");
    other.run("SET key w");
    check(&mut client, "MULTI\nPING\nEXEC => nil");
}

#[test]
fn reply_forms() {
    let server = Server::start();
    let mut client = server.client();
    let abort = |client: &mut crate::support::Client| {
        client.run("WATCH key");
        client.run("SET key v");
        client.run("MULTI");
        client.command_bytes(&["EXEC"])
    };
    assert_eq!(abort(&mut client), b"*-1\r\n");
    client.hello(Protocol::Resp3);
    assert_eq!(abort(&mut client), b"_\r\n");
    client.run("MULTI");
    client.run("GET missing");
    assert_eq!(client.command_bytes(&["EXEC"]), b"*1\r\n_\r\n");
}

/// Transactions over many slots are atomic: no reader ever sees two keys of one transaction differ.
#[test]
fn transactions_over_slots_are_atomic() {
    let server = Server::start();
    let mut setup = server.client();
    setup.run("MSET left 0 right 0");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut writer = server.client();
                for _ in 0..1500 {
                    writer.send(b"MULTI\r\nINCR left\r\nINCR right\r\nEXEC\r\n");
                    let replies: Vec<Reply> = (0..4).map(|_| writer.reply()).collect();
                    let results = replies[3].items();
                    assert_eq!(results[0], results[1]);
                }
                done.store(true, Ordering::Relaxed);
            });
        }
        scope.spawn(|| {
            let mut reader = server.client();
            while !done.load(Ordering::Relaxed) {
                let pair = reader.run("MGET left right");
                assert_eq!(pair.items()[0], pair.items()[1], "a reader saw half a transaction");
                reader.send(b"MULTI\r\nGET right\r\nGET left\r\nEXEC\r\n");
                let replies: Vec<Reply> = (0..4).map(|_| reader.reply()).collect();
                assert_eq!(replies[3].items()[0], replies[3].items()[1], "a transaction saw half of another");
            }
        });
    });
    assert_eq!(setup.run("MGET left right"), Reply::Array(vec![Reply::bulk("3000"), Reply::bulk("3000")]));
}

/// The usual check-and-set loop loses no increment under contention.
#[test]
fn optimistic_increments_lose_nothing() {
    const EACH: usize = 300;
    let server = Server::start();
    server.client().run("SET counter 0");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = server.client();
                let mut applied = 0;
                while applied < EACH {
                    client.run("WATCH counter");
                    let value: i64 = client.run("GET counter").text().parse().expect("a number");
                    client.run("MULTI");
                    client.command(&["SET", "counter", &(value + 1).to_string()]);
                    if client.run("EXEC") != Reply::Null {
                        applied += 1;
                    }
                }
            });
        }
    });
    assert_eq!(server.client().run("GET counter"), Reply::bulk(&(3 * EACH).to_string()));
}

#[test]
fn a_large_transaction() {
    let server = Server::start();
    let mut client = server.client();
    client.run("MULTI");
    for index in 0..5000 {
        assert_eq!(client.command(&["SET", &format!("key:{index}"), "v"]), Reply::Status(b"QUEUED".to_vec()));
    }
    assert_eq!(client.run("EXEC").items().len(), 5000);
    assert_eq!(client.run("DBSIZE"), Reply::Integer(5000));
}

/// Transactions, reads over several slots, walks and exclusive commands from many connections over four workers: money
/// moves between accounts in as many slots, and whoever looks finds all of it.
#[test]
fn every_look_is_at_one_moment_whatever_the_workers_do() {
    const ACCOUNTS: usize = 8;
    const TRANSFERS_PER_MOVER: usize = 400;
    let server = Server::with(&["--io-threads", "4"]);
    let accounts: Vec<String> = (0..ACCOUNTS).map(|number| format!("account:{number}")).collect();
    let mut client = server.client();
    for account in &accounts {
        client.run(&format!("SET {account} 1000"));
    }
    let done = AtomicBool::new(false);
    let sum = |reply: &Reply| -> i64 { reply.items().iter().map(|item| item.text().parse::<i64>().unwrap()).sum() };
    let all = format!("MGET {}", accounts.join(" "));
    std::thread::scope(|scope| {
        let movers: Vec<_> = (0..4)
            .map(|mover| {
                let (server, accounts) = (&server, &accounts);
                scope.spawn(move || {
                    let mut client = server.client();
                    for round in 0..TRANSFERS_PER_MOVER {
                        let (from, to) = ((mover + round) % ACCOUNTS, (mover * 3 + round * 5 + 1) % ACCOUNTS);
                        client.run("MULTI");
                        client.run(&format!("DECRBY {} {round}", accounts[from]));
                        client.run(&format!("INCRBY {} {round}", accounts[to]));
                        if round % 16 == 0 {
                            // Walks the keyspace, so the whole transaction needs every slot.
                            client.run("DBSIZE");
                        }
                        assert!(!client.run("EXEC").is_error());
                    }
                })
            })
            .collect();
        let (server, done, all) = (&server, &done, &all);
        scope.spawn(move || {
            let mut client = server.client();
            while !done.load(Ordering::Relaxed) {
                assert_eq!(sum(&client.run(all)), 1000 * ACCOUNTS as i64);
            }
        });
        scope.spawn(move || {
            let mut client = server.client();
            while !done.load(Ordering::Relaxed) {
                for line in ["SELECT 1", "SET passing 1", "SWAPDB 1 2", "KEYS *", "SCAN 0 COUNT 100", "INFO", "FLUSHDB"]
                {
                    assert!(!client.run(line).is_error(), "{line}");
                }
            }
        });
        let moved: Vec<_> = movers.into_iter().map(|mover| mover.join()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(moved.iter().all(Result::is_ok));
    });
    assert_eq!(sum(&client.run(&all)), 1000 * ACCOUNTS as i64);
}
