//! Whether the forms have all that the oracle has: every command, unless it is named here with the reason why not; and of
//! the commands of most groups every form that is documented, and each of its options.

use super::SHARED_OPTIONS;
use super::templates::forms_of;
use crate::support::{Reply, Server};

/// Commands that are not compared, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("BGREWRITEAOF", "its answer depends on what runs in the background, and it writes another kind of file"),
    ("BGSAVE", "its answer depends on what runs in the background"),
    ("DEBUG", "made for the tests of the server that has it; only what those need is there"),
    ("FAILOVER", "its answer is about links to other servers"),
    ("LOLWUT", "a picture, drawn by chance, and the version"),
    ("MIGRATE", "needs a second server"),
    ("MONITOR", "shows the moment and the address of every command, for ever"),
    ("PFSELFTEST", "takes long, and has one answer"),
    ("PSYNC", "its answer is about links to other servers"),
    ("QUIT", "ends the connection"),
    ("REPLCONF", "its answer is about links to other servers"),
    ("REPLICAOF", "its answer is about links to other servers"),
    ("ROLE", "its answer is about links to other servers"),
    ("SAVE", "writes files, and fails while BGSAVE runs"),
    ("SHUTDOWN", "ends the server"),
    ("SLAVEOF", "its answer is about links to other servers"),
    ("SYNC", "its answer is about links to other servers"),
];

/// Groups of commands that have to be covered.
const GROUPS: &[&str] = &["string", "list", "set", "sorted-set", "hash", "bitmap", "transactions"];

#[test]
fn every_command_is_compared_or_left_out_for_a_reason() {
    let oracle = Server::of_oracle(SHARED_OPTIONS);
    let reply = oracle.client().run("COMMAND LIST");
    let all = reply.items().iter().map(|name| name.text().to_ascii_uppercase());
    // What belongs to a command has its name behind a bar.
    let commands: Vec<String> = all.filter(|name| !name.contains('|')).collect();
    assert!(commands.len() >= 240, "{} commands", commands.len());
    let compared = |name: &str| !forms_of(name).is_empty();
    let left_out = |name: &str| LEFT_OUT.iter().any(|(left, _)| *left == name);
    let missing: Vec<&String> = commands.iter().filter(|name| !compared(name) && !left_out(name)).collect();
    assert!(missing.is_empty(), "neither compared nor left out: {missing:?}");
    for (name, _) in LEFT_OUT {
        assert!(commands.iter().any(|known| known == name), "{name} is no command");
        assert!(!compared(name), "{name} is compared, and named as left out");
    }
}

/// The value under a name in a flat list of names and values.
fn field<'a>(pairs: &'a Reply, name: &str) -> Option<&'a Reply> {
    pairs.items().as_chunks().0.iter().find_map(|[key, value]| (key.bytes() == name.as_bytes()).then_some(value))
}

/// Adds the words that make an argument what it is, at whatever depth.
fn collect_options(arguments: &Reply, options: &mut Vec<String>) {
    for argument in arguments.items() {
        options.extend(field(argument, "token").map(|token| String::from_utf8_lossy(token.bytes()).into_owned()));
        if let Some(inner) = field(argument, "arguments") {
            collect_options(inner, options);
        }
    }
}

#[test]
fn every_command_and_option_has_a_form() {
    let oracle = Server::of_oracle(SHARED_OPTIONS);
    let documented = oracle.client().run("COMMAND DOCS");
    let mut commands = 0;
    for [name, about] in documented.items().as_chunks().0 {
        let group = field(about, "group").expect("a command has a group");
        if !GROUPS.iter().any(|known| known.as_bytes() == group.bytes()) {
            continue;
        }
        commands += 1;
        let name = String::from_utf8_lossy(name.bytes());
        let forms = forms_of(&name);
        assert!(!forms.is_empty(), "{name} has no form");
        let words: Vec<&str> = forms.iter().flat_map(|form| form.split([' ', '|', '[', ']', '{', '}'])).collect();
        let mut options = Vec::new();
        if let Some(arguments) = field(about, "arguments") {
            collect_options(arguments, &mut options);
        }
        for option in options {
            assert!(words.iter().any(|word| option.eq_ignore_ascii_case(word)), "no form of {name} has {option}");
        }
    }
    assert!(commands > 100, "{commands} commands are documented");
}
