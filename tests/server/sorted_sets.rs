//! Sorted sets where only a real server shows what they do: over restarts, and between clients.

use crate::support::{DataDirectory, Server, check};

const OPTIONS: &[&str] = &["--enable-debug-command", "yes"];

#[test]
fn small_and_large_ones_outlive_a_restart() {
    let directory = DataDirectory::new();
    let server = Server::on(&directory, OPTIONS);
    let mut client = server.client();
    check(
        &mut client,
        r#"
        ZADD small 1 a 0.1 b -inf c                  => :3
        ZINCRBY small 0.2 b                          => "0.30000000000000004"
        "#,
    );
    for number in 0..1000 {
        client.run(&format!("ZADD large {} member:{number}", number * 7 % 1000));
    }
    check(
        &mut client,
        r#"
        ZPOPMIN large 100                            => _
        ZREMRANGEBYRANK large -100 -1                => :100
        ZUNIONSTORE both 2 small large               => :803
        "#,
    );
    let server = server.killed_and_back(&directory, OPTIONS);
    let mut client = server.client();
    check(
        &mut client,
        r#"
        ZRANGE small 0 -1 WITHSCORES                 => ["c" "-inf" "b" "0.30000000000000004" "a" "1"]
        OBJECT ENCODING large                        => "skiplist"
        ZCARD large                                  => :800
        ZCARD both                                   => :803
        "#,
    );
}
