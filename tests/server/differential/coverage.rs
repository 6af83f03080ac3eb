//! Whether the forms have all that the oracle documents of the commands: each of them, and each of its options.

use super::SHARED_OPTIONS;
use super::templates::forms_of;
use crate::support::{Reply, Server};

/// Groups of commands that have to be covered.
const GROUPS: &[&str] = &["string", "list", "set", "sorted-set", "hash", "bitmap", "transactions"];

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
