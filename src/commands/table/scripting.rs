//! Rows: scripts and functions.

use crate::commands::Handler;
use crate::commands::keys::*;
use crate::commands::script::{busy, cached, function, run};
use crate::commands::spec::*;
use category::SCRIPTING;

const fn row(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> CommandSpec {
    CommandSpec::new(Group::Scripting, name, arity, flags, SCRIPTING, handler)
}

/// A command that runs a script or function.
const fn runner(name: &'static str, flags: Flags) -> CommandSpec {
    row(name, -3, NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS | RUNS_SCRIPT | flags, run::run)
}

const WRITES_KEYS: &[KeySpec] =
    &[counted_keys_at(2, RW | ACCESS | UPDATE)
        .notes("What becomes of the keys is not known: reckon with RW and UPDATE")];
const READS_KEYS: &[KeySpec] =
    &[counted_keys_at(2, RO | ACCESS).notes("What becomes of the keys is not known: reckon with ACCESS")];

const DEPENDS: &str = "Depends on the script";
const DEPENDS_ON_FUNCTION: &str = "Depends on the function";

const SCRIPT_ARGS: &[ArgSpec] =
    &[string("script"), integer("numkeys"), key("key", 0).optional().multiple(), string("arg").optional().multiple()];
const SHA_ARGS: &[ArgSpec] =
    &[string("sha1"), integer("numkeys"), key("key", 0).optional().multiple(), string("arg").optional().multiple()];
const FUNCTION_ARGS: &[ArgSpec] =
    &[string("function"), integer("numkeys"), key("key", 0).optional().multiple(), string("arg").optional().multiple()];
const FLUSH_MODES: &[ArgSpec] = &[one_of("flush-type", &[word("async", "ASYNC"), word("sync", "SYNC")]).optional()];
const SCRIPT_FLUSH_MODES: &[ArgSpec] =
    &[one_of("flush-type", &[word("async", "ASYNC").since("6.2.0"), word("sync", "SYNC").since("6.2.0")])
        .since("6.2.0")
        .optional()];
const ALL_SHARDS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];
const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
const ONE_SUCCEEDS: &[&str] = &["request_policy:all_shards", "response_policy:one_succeeded"];

pub static ROWS: &[CommandSpec] = &[
    runner("eval", MAY_REPLICATE).doc("2.6.0", "Runs a Lua script.", DEPENDS).keys(WRITES_KEYS).args(SCRIPT_ARGS),
    runner("eval_ro", READONLY)
        .doc("7.0.0", "Runs a Lua script that does not write.", DEPENDS)
        .keys(READS_KEYS)
        .args(SCRIPT_ARGS),
    runner("evalsha", MAY_REPLICATE)
        .doc("2.6.0", "Runs a Lua script that the server keeps, by its SHA1.", DEPENDS)
        .keys(WRITES_KEYS)
        .args(SHA_ARGS),
    runner("evalsha_ro", READONLY)
        .doc("7.0.0", "Runs a Lua script that the server keeps and that does not write, by its SHA1.", DEPENDS)
        .keys(READS_KEYS)
        .args(SHA_ARGS),
    runner("fcall", MAY_REPLICATE)
        .doc("7.0.0", "Calls a function.", DEPENDS_ON_FUNCTION)
        .keys(WRITES_KEYS)
        .args(FUNCTION_ARGS),
    runner("fcall_ro", READONLY)
        .doc("7.0.0", "Calls a function that does not write.", DEPENDS_ON_FUNCTION)
        .keys(READS_KEYS)
        .args(FUNCTION_ARGS),
    CommandSpec::container(Group::Scripting, "function")
        .doc("7.0.0", "Commands about functions.", "Depends on the subcommand")
        .subcommands(&[
            row("delete", 3, WRITE | NOSCRIPT, function::delete)
                .doc("7.0.0", "Forgets a library and its functions.", "O(1)")
                .tips(ALL_SHARDS)
                .args(&[string("library-name")]),
            row("dump", 2, NOSCRIPT, function::dump).doc(
                "7.0.0",
                "Dumps all libraries into one payload.",
                "O(N), N: functions",
            ),
            row("flush", -2, WRITE | NOSCRIPT, function::flush)
                .doc("7.0.0", "Forgets all libraries.", "O(N), N: functions")
                .tips(ALL_SHARDS)
                .args(FLUSH_MODES),
            row("help", 2, LOADING | STALE, function::help).doc("7.0.0", "Lists the subcommands.", "O(1)"),
            row("kill", 2, NOSCRIPT | ALLOW_BUSY, busy::kill_function)
                .doc("7.0.0", "Ends the function that overruns its time.", "O(1)")
                .tips(ONE_SUCCEEDS),
            row("list", -2, NOSCRIPT, function::list)
                .doc("7.0.0", "Describes the libraries.", "O(N), N: functions")
                .tips(&["nondeterministic_output_order"])
                .args(&[
                    string("library-name-pattern").token("LIBRARYNAME").optional(),
                    word("withcode", "WITHCODE").optional(),
                ]),
            row("load", -3, WRITE | DENYOOM | NOSCRIPT, function::load)
                .doc("7.0.0", "Keeps a library of functions.", "O(1), and the time that its code takes")
                .tips(ALL_SHARDS)
                .args(&[word("replace", "REPLACE").optional(), string("function-code")]),
            row("restore", -3, WRITE | DENYOOM | NOSCRIPT, function::restore)
                .doc("7.0.0", "Takes the libraries of a payload.", "O(N), N: functions of the payload")
                .tips(ALL_SHARDS)
                .args(&[
                    string("serialized-value"),
                    one_of("policy", &[word("flush", "FLUSH"), word("append", "APPEND"), word("replace", "REPLACE")])
                        .optional(),
                ]),
            row("stats", 2, NOSCRIPT | ALLOW_BUSY, function::stats)
                .doc("7.0.0", "Describes the function that runs, and the engines.", "O(1)")
                .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
        ]),
    CommandSpec::container(Group::Scripting, "script")
        .doc("2.6.0", "Commands about scripts.", "Depends on the subcommand")
        .subcommands(&[
            row("debug", 3, NOSCRIPT, cached::debug)
                .doc("3.2.0", "Chooses whether scripts are debugged.", "O(1)")
                .args(&[one_of("mode", &[word("yes", "YES"), word("sync", "SYNC"), word("no", "NO")])]),
            row("exists", -3, NOSCRIPT, cached::exists)
                .doc("2.6.0", "Tells which scripts are kept.", "O(N), N: scripts asked for")
                .tips(&["request_policy:all_shards", "response_policy:agg_logical_and"])
                .args(&[string("sha1").multiple()]),
            row("flush", -2, NOSCRIPT, cached::flush)
                .doc("2.6.0", "Forgets all scripts.", "O(N), N: scripts kept")
                .history(&[("6.2.0", "Modes `ASYNC` and `SYNC`.")])
                .tips(ALL_NODES)
                .args(SCRIPT_FLUSH_MODES),
            row("help", 2, LOADING | STALE, cached::help).doc("5.0.0", "Lists the subcommands.", "O(1)"),
            row("kill", 2, NOSCRIPT | ALLOW_BUSY, busy::kill_script)
                .doc("2.6.0", "Ends the script that overruns its time.", "O(1)")
                .tips(ONE_SUCCEEDS),
            row("load", 3, NOSCRIPT | STALE, cached::load)
                .doc("2.6.0", "Keeps a script without running it.", "O(N), N: bytes of the script")
                .tips(ALL_NODES)
                .args(&[string("script")]),
        ]),
];
