//! Every command of the oracle is either compared or named here with the reason why not.

use super::templates;
use crate::support::Server;

const LEFT_OUT: &[(&str, &str)] = &[
    ("BGREWRITEAOF", "its answer depends on what runs in the background, and it writes another kind of file"),
    ("BGSAVE", "its answer depends on what runs in the background"),
    ("CLUSTER", "cluster mode is not there yet"),
    ("DEBUG", "made for the tests of the server that has it; only what those need is there"),
    ("FAILOVER", "replication is not there yet"),
    ("LOLWUT", "a picture, drawn by chance, and the version"),
    ("MIGRATE", "not there yet"),
    ("MONITOR", "shows the moment and the address of every command, for ever"),
    ("PFSELFTEST", "takes long, and has one answer"),
    ("PSYNC", "replication is not there yet"),
    ("QUIT", "ends the connection"),
    ("REPLCONF", "replication is not there yet"),
    ("REPLICAOF", "replication is not there yet"),
    ("ROLE", "replication is not there yet"),
    ("SAVE", "writes files, and fails while BGSAVE runs"),
    ("SHUTDOWN", "ends the server"),
    ("SLAVEOF", "replication is not there yet"),
    ("SYNC", "replication is not there yet"),
];

#[test]
fn every_command_is_compared_or_left_out_for_a_reason() {
    let oracle = Server::of_oracle(&[]);
    let reply = oracle.client().run("COMMAND LIST");
    let all = reply.items().iter().map(|name| name.text().to_ascii_uppercase());
    // What belongs to a command has its name behind a bar.
    let commands: Vec<String> = all.filter(|name| !name.contains('|')).collect();
    assert!(commands.len() >= 240, "{} commands", commands.len());
    let compared = templates::first_words();
    let left_out = |name: &str| LEFT_OUT.iter().any(|(left, _)| *left == name);
    let missing: Vec<&String> =
        commands.iter().filter(|name| !compared.contains(name.as_str()) && !left_out(name)).collect();
    assert!(missing.is_empty(), "neither compared nor left out: {missing:?}");
    for (name, _) in LEFT_OUT {
        assert!(commands.iter().any(|known| known == name), "{name} is no command");
        assert!(!compared.contains(name), "{name} is compared, and named as left out");
    }
}
