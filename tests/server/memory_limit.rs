//! maxmemory: what is refused when memory is full, and what still works.

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
