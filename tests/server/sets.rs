//! Sets, SORT and HyperLogLogs where only a real server shows what they do: over restarts.

use crate::support::{DataDirectory, Server, check};

const OPTIONS: &[&str] = &["--enable-debug-command", "yes"];

#[test]
fn what_chance_and_patterns_made_outlives_a_restart() {
    let directory = DataDirectory::new();
    let server = Server::on(&directory, OPTIONS);
    let mut client = server.client();
    for number in 0..1000 {
        client.run(&format!("SADD large member:{number}"));
        client.run(&format!("SADD numbers {number}"));
    }
    check(
        &mut client,
        r#"
        SPOP large 300                               => _
        SPOP large                                   => _
        SMOVE large other member:none                => :0
        SADD few 1 2 3                               => :3
        SMOVE few other 2                            => :1
        SUNIONSTORE both large few                   => :701
        SINTERSTORE some numbers few                 => :2
        SDIFFSTORE nothing few numbers               => :0
        SET weight_1 9                               => +OK
        SET weight_3 4                               => +OK
        SORT few BY weight_* GET # GET weight_* STORE sorted => :4
        PFADD seen a b c                             => :1
        PFCOUNT seen                                 => :3
        PFMERGE all seen few_seen                    => +OK
        "#,
    );
    let server = server.killed_and_back(&directory, OPTIONS);
    let mut client = server.client();
    check(
        &mut client,
        r#"
        SCARD large                                  => :699
        OBJECT ENCODING large                        => "hashtable"
        OBJECT ENCODING some                         => "intset"
        SMEMBERS other                               => ["2"]
        LRANGE sorted 0 -1                           => ["3" "4" "1" "9"]
        PFCOUNT all                                  => :3
        "#,
    );
}
