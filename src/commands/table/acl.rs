//! Rows: users and what they may do.

use crate::commands::spec::*;
use crate::commands::{Handler, acl};

const PLAIN: Flags = NOSCRIPT | LOADING | STALE;
const ADMINS: Flags = ADMIN | PLAIN;

const fn row(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> CommandSpec {
    CommandSpec::new(Group::Server, name, arity, flags, 0, handler)
}

pub static ROWS: &[CommandSpec] = &[CommandSpec::container(Group::Server, "acl")
    .doc("6.0.0", "Commands about users.", "Depends on the subcommand")
    .subcommands(&[
        row("cat", -2, PLAIN, acl::cat)
            .doc(
                "6.0.0",
                "Lists the groups of commands, or the commands of a group.",
                "O(1), for their number is fixed",
            )
            .args(&[string("category").optional()]),
        row("deluser", -3, ADMINS, acl::deluser)
            .doc("6.0.0", "Removes users and closes their connections.", "O(1) amortized, for a user with few rules")
            .tips(ALL_NODES)
            .args(&[string("username").multiple()]),
        row("dryrun", -4, ADMINS, acl::dryrun)
            .doc("7.0.0", "Tells whether a user could run a command, without running it.", "O(1)")
            .args(&[string("username"), string("command"), string("arg").optional().multiple()]),
        row("genpass", -2, PLAIN, acl::genpass)
            .doc("6.0.0", "Makes a random password.", "O(1)")
            .args(&[integer("bits").optional()]),
        row("getuser", 3, ADMINS, acl::getuser)
            .doc("6.0.0", "Describes a user.", "O(N), N: the user's passwords, rules and patterns")
            .history(&[
                ("6.2.0", "Shows patterns of channels."),
                ("7.0.0", "Shows selectors; keys and channels are shown as rules, no longer as lists."),
            ])
            .args(&[string("username")]),
        row("help", 2, LOADING | STALE, acl::help).doc("6.0.0", "Lists the subcommands.", "O(1)"),
        row("list", 2, ADMINS, acl::list).doc("6.0.0", "Describes all users as lines of their file.", "O(N), N: users"),
        row("load", 2, ADMINS, acl::load).doc("6.0.0", "Reads the users' file anew.", "O(N), N: users"),
        row("log", -2, ADMINS, acl::log)
            .doc("6.0.0", "Shows what was refused lately, or forgets it.", "O(N), N: entries shown")
            .history(&[("7.2.0", "Entries have an id, and tell when they were made and last changed.")])
            .args(&[one_of("operation", &[integer("count"), word("reset", "RESET")]).optional()]),
        row("save", 2, ADMINS, acl::save).doc("6.0.0", "Writes the users' file.", "O(N), N: users").tips(ALL_NODES),
        row("setuser", -3, ADMINS, acl::setuser)
            .doc("6.0.0", "Makes a user, or applies rules to it.", "O(N), N: rules")
            .history(&[
                ("6.2.0", "Rules about channels."),
                ("7.0.0", "Selectors, and rules about reading and writing keys."),
            ])
            .tips(ALL_NODES)
            .args(&[string("username"), string("rule").optional().multiple()]),
        row("users", 2, ADMINS, acl::users).doc("6.0.0", "Lists the names of the users.", "O(N), N: users"),
        row("whoami", 2, PLAIN, acl::whoami).doc("6.0.0", "Names the connection's user.", "O(1)"),
    ])];

const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
