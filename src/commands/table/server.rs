//! Rows: the server as a whole: its configuration, statistics, data set and diagnosis.

use super::generic::{RESTORE_ARGS, RESTORE_COMPLEXITY, RESTORE_HISTORY};
use crate::commands::keys::*;
use crate::commands::spec::*;
use crate::commands::{
    Handler, command, config, debug, dump, generic, info, latency, lolwut, memory, module, persistence, replication,
    scan, server, slow_log,
};
use category::{CONNECTION, DANGEROUS, KEYSPACE};

const fn row(name: &'static str, arity: i16, flags: Flags, categories: Categories, handler: Handler) -> CommandSpec {
    CommandSpec::new(Group::Server, name, arity, flags, categories, handler)
}

const fn container(name: &'static str) -> CommandSpec {
    CommandSpec::container(Group::Server, name)
}

const PRIMARY_ARGS: &[ArgSpec] = &[one_of(
    "args",
    &[block("host-port", &[string("host"), integer("port")]), block("no-one", &[word("no", "NO"), word("one", "ONE")])],
)];

pub static ROWS: &[CommandSpec] = &[
    row("bgrewriteaof", 1, ADMIN | NOSCRIPT | NO_ASYNC_LOADING, 0, persistence::bgrewriteaof).doc(
        "1.0.0",
        "Settles and compacts the log in the background.",
        "O(1)",
    ),
    row("bgsave", -1, ADMIN | NOSCRIPT | NO_ASYNC_LOADING, 0, persistence::bgsave)
        .doc("1.0.0", "Writes a snapshot file in the background.", "O(1)")
        .history(&[("3.2.2", "Option `SCHEDULE`.")])
        .args(&[word("schedule", "SCHEDULE").since("3.2.2").optional()]),
    row("command", -1, LOADING | STALE, CONNECTION, command::command)
        .doc("2.8.13", "Describes all commands.", "O(N), N: commands")
        .tips(&["nondeterministic_output_order"])
        .subcommands(&[
            row("count", 2, LOADING | STALE, CONNECTION, command::count).doc("2.8.13", "Counts the commands.", "O(1)"),
            row("docs", -2, LOADING | STALE, CONNECTION, command::docs)
                .doc("7.0.0", "Documents some commands, or all.", "O(N), N: commands asked for")
                .tips(&["nondeterministic_output_order"])
                .args(&[string("command-name").optional().multiple()]),
            row("getkeys", -3, LOADING | STALE, CONNECTION, command::getkeys)
                .doc("2.8.13", "Picks the keys out of a command.", "O(N), N: arguments")
                .args(&[string("command"), string("arg").optional().multiple()]),
            row("getkeysandflags", -3, LOADING | STALE, CONNECTION, command::getkeysandflags)
                .doc("7.0.0", "Picks the keys out of a command and tells how it uses each.", "O(N), N: arguments")
                .args(&[string("command"), string("arg").optional().multiple()]),
            row("help", 2, LOADING | STALE, CONNECTION, command::help).doc("5.0.0", "Lists the subcommands.", "O(1)"),
            row("info", -2, LOADING | STALE, CONNECTION, command::info)
                .doc("2.8.13", "Describes some commands, or all.", "O(N), N: commands asked for")
                .history(&[("7.0.0", "Without names it describes all commands.")])
                .tips(&["nondeterministic_output_order"])
                .args(&[string("command-name").optional().multiple()]),
            row("list", -2, LOADING | STALE, CONNECTION, command::list)
                .doc("7.0.0", "Lists the names of commands.", "O(N), N: commands")
                .tips(&["nondeterministic_output_order"])
                .args(&[one_of(
                    "filterby",
                    &[
                        string("module-name").token("MODULE"),
                        string("category").token("ACLCAT"),
                        pattern("pattern").token("PATTERN"),
                    ],
                )
                .token("FILTERBY")
                .optional()]),
        ]),
    container("config")
        .doc("2.0.0", "Commands about the server's configuration.", "Depends on the subcommand")
        .subcommands(&[
            row("get", -3, ADMIN | NOSCRIPT | LOADING | STALE, 0, config::get)
                .doc("2.0.0", "Reads the directives that match any of the patterns.", "O(N), N: patterns")
                .history(&[("7.0.0", "Takes several patterns.")])
                .args(&[string("parameter").multiple()]),
            row("help", 2, LOADING | STALE, 0, config::help).doc("5.0.0", "Lists the subcommands.", "O(1)"),
            row("resetstat", 2, ADMIN | NOSCRIPT | LOADING | STALE | ALL_SLOTS, 0, config::resetstat)
                .doc("2.0.0", "Sets the server's counters back to zero.", "O(1)")
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
            row("rewrite", 2, ADMIN | NOSCRIPT | LOADING | STALE, 0, config::rewrite)
                .doc("2.8.0", "Writes the configuration in force to the file it came from.", "O(1)")
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
            row("set", -4, ADMIN | NOSCRIPT | LOADING | STALE, 0, config::set)
                .doc("2.0.0", "Changes directives while the server runs.", "O(N), N: directives")
                .history(&[("7.0.0", "Takes several directives.")])
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .args(&[block("data", &[string("parameter"), string("value")]).multiple()]),
        ]),
    row("dbsize", 1, READONLY | FAST | WALKS_SLOTS, KEYSPACE, scan::dbsize)
        .doc("1.0.0", "Counts the keys of the database.", "O(1)")
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"]),
    row("debug", -2, ADMIN | NOSCRIPT | LOADING | STALE | PROTECTED | WALKS_SLOTS, 0, debug::debug)
        .doc("1.0.0", "Commands for those who debug or test the server.", "Depends on the subcommand")
        .system(),
    row("failover", -1, ADMIN | NOSCRIPT | STALE, 0, server::failover)
        .doc("6.2.0", "Hands over to a replica.", "O(1)")
        .args(&[
            block("target", &[string("host"), integer("port"), word("force", "FORCE").optional()])
                .token("TO")
                .optional(),
            word("abort", "ABORT").optional(),
            integer("milliseconds").token("TIMEOUT").optional(),
        ]),
    row("flushall", -1, WRITE | ALL_SLOTS, KEYSPACE | DANGEROUS, generic::flushall)
        .doc("1.0.0", "Deletes every key of every database.", "O(N), N: keys in all databases")
        .history(&[("4.0.0", "Option `ASYNC`."), ("6.2.0", "Option `SYNC`.")])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .args(&[one_of("flush-type", &[word("async", "ASYNC").since("4.0.0"), word("sync", "SYNC").since("6.2.0")])
            .optional()]),
    row("flushdb", -1, WRITE | ALL_SLOTS, KEYSPACE | DANGEROUS, generic::flushdb)
        .doc("1.0.0", "Deletes every key of the database.", "O(N), N: keys in the database")
        .history(&[("4.0.0", "Option `ASYNC`."), ("6.2.0", "Option `SYNC`.")])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .args(&[one_of("flush-type", &[word("async", "ASYNC").since("4.0.0"), word("sync", "SYNC").since("6.2.0")])
            .optional()]),
    row("info", -1, LOADING | STALE | WALKS_SLOTS, DANGEROUS, info::info)
        .doc("1.0.0", "Reports the server's state and statistics.", "O(1)")
        .history(&[("7.0.0", "Takes several sections.")])
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .args(&[string("section").optional().multiple()]),
    row("lastsave", 1, LOADING | STALE | FAST, category::ADMIN | DANGEROUS, persistence::lastsave)
        .doc("1.0.0", "Tells when the data was last saved to disk, as a Unix time.", "O(1)")
        .tips(&["nondeterministic_output"]),
    container("latency").doc("2.8.13", "Commands that trace slow events.", "Depends on the subcommand").subcommands(&[
        row("doctor", 2, ADMIN | NOSCRIPT | LOADING | STALE, 0, latency::doctor)
            .doc("2.8.13", "Explains the latency spikes that were seen.", "O(1)")
            .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]),
        row("graph", 3, ADMIN | NOSCRIPT | LOADING | STALE, 0, latency::graph)
            .doc("2.8.13", "Draws the latency of an event over time.", "O(1)")
            .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
            .args(&[string("event")]),
        row("help", 2, LOADING | STALE, 0, latency::help).doc("2.8.13", "Lists the subcommands.", "O(1)"),
        row("histogram", -2, ADMIN | NOSCRIPT | LOADING | STALE, 0, latency::histogram)
            .doc(
                "7.0.0",
                "Tells how the execution times of commands are distributed.",
                "O(N), N: commands that have data",
            )
            .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
            .args(&[string("command").optional().multiple()]),
        row("history", 3, ADMIN | NOSCRIPT | LOADING | STALE, 0, latency::history)
            .doc("2.8.13", "Lists the recorded spikes of an event.", "O(1)")
            .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
            .args(&[string("event")]),
        row("latest", 2, ADMIN | NOSCRIPT | LOADING | STALE, 0, latency::latest)
            .doc("2.8.13", "Tells the latest spike of every event.", "O(1)")
            .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]),
        row("reset", -2, ADMIN | NOSCRIPT | LOADING | STALE, 0, latency::reset)
            .doc("2.8.13", "Forgets the spikes of some events, or all.", "O(1)")
            .tips(&["request_policy:all_nodes", "response_policy:agg_sum"])
            .args(&[string("event").optional().multiple()]),
    ]),
    row("lolwut", -1, READONLY | FAST, 0, lolwut::lolwut)
        .doc("5.0.0", "Draws a picture and tells the version.", "")
        .args(&[integer("version").token("VERSION").optional()]),
    container("memory")
        .doc("4.0.0", "Commands that trace the use of memory.", "Depends on the subcommand")
        .subcommands(&[
            row("doctor", 2, WALKS_SLOTS, 0, memory::doctor)
                .doc("4.0.0", "Points out problems with memory.", "O(1)")
                .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
            row("help", 2, LOADING | STALE, 0, memory::help).doc("4.0.0", "Lists the subcommands.", "O(1)"),
            row("malloc-stats", 2, 0, 0, memory::malloc_stats)
                .doc("4.0.0", "Prints the allocator's own statistics.", "Depends on the memory allocated, may be slow")
                .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
            row("purge", 2, 0, 0, memory::purge)
                .doc(
                    "4.0.0",
                    "Asks the allocator to give unused memory back.",
                    "Depends on the memory allocated, may be slow",
                )
                .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
            row("stats", 2, WALKS_SLOTS, 0, memory::stats)
                .doc("4.0.0", "Tells what memory is used for.", "O(1)")
                .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
            row("usage", -3, READONLY, 0, memory::usage)
                .doc("4.0.0", "Estimates the bytes that a key and its value take.", "O(N), N: samples")
                .keys(&[key_at(2, RO)])
                .args(&[key("key", 0), integer("count").token("SAMPLES").optional()]),
        ]),
    container("module").doc("4.0.0", "Commands about modules.", "Depends on the subcommand").subcommands(&[
        row("help", 2, LOADING | STALE, 0, module::help).doc("5.0.0", "Lists the subcommands.", "O(1)"),
        row("list", 2, ADMIN | NOSCRIPT, 0, module::list)
            .doc("4.0.0", "Lists the modules that are loaded.", "O(N), N: modules")
            .tips(&["nondeterministic_output_order"]),
        row("load", -3, NO_ASYNC_LOADING | ADMIN | NOSCRIPT | PROTECTED, 0, module::load)
            .doc("4.0.0", "Loads a module.", "O(1)")
            .args(&[string("path"), string("arg").optional().multiple()]),
        row("loadex", -3, NO_ASYNC_LOADING | ADMIN | NOSCRIPT | PROTECTED, 0, module::load)
            .doc("7.0.0", "Loads a module with a configuration.", "O(1)")
            .args(&[
                string("path"),
                block("configs", &[string("name"), string("value")]).token("CONFIG").optional().multiple_token(),
                string("args").token("ARGS").optional().multiple(),
            ]),
        row("unload", 3, NO_ASYNC_LOADING | ADMIN | NOSCRIPT | PROTECTED, 0, module::unload)
            .doc("4.0.0", "Unloads a module.", "O(1)")
            .args(&[string("name")]),
    ]),
    row("monitor", 1, ADMIN | NOSCRIPT | LOADING | STALE, 0, server::monitor).doc(
        "1.0.0",
        "Streams every command that the server runs.",
        "",
    ),
    row("psync", -3, ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI, 0, replication::psync)
        .doc("2.8.0", "Follows the replication stream from where it was left, if that is kept.", "")
        .args(&[string("replicationid"), integer("offset")]),
    row("replconf", -1, ADMIN | NOSCRIPT | LOADING | STALE | ALLOW_BUSY, 0, replication::replconf)
        .doc("3.0.0", "Tells the primary about a replica, and how far it has come.", "O(1)")
        .system(),
    row("replicaof", 3, ADMIN | NOSCRIPT | NO_ASYNC_LOADING | STALE | ALL_SLOTS, 0, replication::replicaof)
        .doc("5.0.0", "Makes the server a replica of another one, or a primary again.", "O(1)")
        .args(PRIMARY_ARGS),
    row("restore-asking", -4, WRITE | DENYOOM | ASKING, KEYSPACE | DANGEROUS, dump::restore)
        .doc("3.0.0", "Makes a key of what DUMP gave, for the migration of slots.", RESTORE_COMPLEXITY)
        .history(RESTORE_HISTORY)
        .system()
        .keys(&[key_at(1, OW | UPDATE)])
        .args(RESTORE_ARGS),
    row("role", 1, NOSCRIPT | LOADING | STALE | FAST, category::ADMIN | DANGEROUS, replication::role).doc(
        "2.8.12",
        "Tells whether the server is a primary, and who follows it.",
        "O(1)",
    ),
    row("save", 1, ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI, 0, persistence::save).doc(
        "1.0.0",
        "Writes a snapshot file and answers when it is there.",
        "O(N), N: keys in all databases",
    ),
    row("shutdown", -1, ADMIN | NOSCRIPT | LOADING | STALE | NO_MULTI | ALLOW_BUSY, 0, server::shutdown)
        .doc(
            "1.0.0",
            "Saves the data if so configured, and stops the server.",
            "O(N) when it saves, N: keys in all databases; else O(1)",
        )
        .history(&[("7.0.0", "Options `NOW`, `FORCE`, `ABORT`.")])
        .args(&[
            one_of("save-selector", &[word("nosave", "NOSAVE"), word("save", "SAVE")]).optional(),
            word("now", "NOW").since("7.0.0").optional(),
            word("force", "FORCE").since("7.0.0").optional(),
            word("abort", "ABORT").since("7.0.0").optional(),
        ]),
    row("slaveof", 3, ADMIN | NOSCRIPT | NO_ASYNC_LOADING | STALE | ALL_SLOTS, 0, replication::replicaof)
        .doc("1.0.0", "Makes the server a replica of another one, or a primary again.", "O(1)")
        .deprecated("5.0.0", "`REPLICAOF`")
        .args(PRIMARY_ARGS),
    container("slowlog")
        .doc("2.2.12", "Commands about the log of slow commands.", "Depends on the subcommand")
        .subcommands(&[
            row("get", -2, ADMIN | LOADING | STALE, 0, slow_log::get)
                .doc("2.2.12", "Lists entries of the slow log, newest first.", "O(N), N: entries listed")
                .history(&[("4.0.0", "Entries have the client's address and name.")])
                .tips(&["request_policy:all_nodes", "nondeterministic_output"])
                .args(&[integer("count").optional()]),
            row("help", 2, LOADING | STALE, 0, slow_log::help).doc("6.2.0", "Lists the subcommands.", "O(1)"),
            row("len", 2, ADMIN | LOADING | STALE, 0, slow_log::len)
                .doc("2.2.12", "Counts the entries of the slow log.", "O(1)")
                .tips(&["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"]),
            row("reset", 2, ADMIN | LOADING | STALE, 0, slow_log::reset)
                .doc("2.2.12", "Empties the slow log.", "O(N), N: entries")
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
        ]),
    row("swapdb", 3, WRITE | FAST | ALL_SLOTS, KEYSPACE | DANGEROUS, generic::swapdb)
        .doc("4.0.0", "Exchanges two databases.", "O(N), N: clients that watch or wait for keys of either")
        .args(&[integer("index1"), integer("index2")]),
    row("sync", 1, ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI, 0, replication::sync).doc(
        "1.0.0",
        "Takes a full copy of the data set and follows the replication stream.",
        "",
    ),
    row("time", 1, LOADING | STALE | FAST, 0, server::time)
        .doc("2.6.0", "Tells the server's time.", "O(1)")
        .tips(&["nondeterministic_output"]),
];
