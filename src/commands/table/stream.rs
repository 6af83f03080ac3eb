//! Rows: streams.

use crate::commands::keys::*;
use crate::commands::spec::*;
use crate::commands::{Handler, stream};
use category::STREAM;

const fn row(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> CommandSpec {
    CommandSpec::new(Group::Stream, name, arity, flags, STREAM, handler)
}

const fn container(name: &'static str) -> CommandSpec {
    CommandSpec::container(Group::Stream, name)
}

/// The keys of a call that reads several streams: the first half of what follows `STREAMS`.
const fn streams(start_from: i16) -> KeySpec {
    KeySpec {
        flags: RO | ACCESS,
        begin: BeginSearch::Keyword { word: "STREAMS", start_from },
        find: FindKeys::Range { last: -1, step: 1, limit: 2 },
        notes: None,
    }
}

const COUNT: ArgSpec = integer("count").token("COUNT").optional();
const STREAMS: ArgSpec = block("streams", &[key("key", 0).multiple(), string("id").multiple()]).token("STREAMS");
const TRIM: ArgSpec = block(
    "trim",
    &[
        one_of("strategy", &[word("maxlen", "MAXLEN"), word("minid", "MINID").since("6.2.0")]),
        one_of("operator", &[word("equal", "="), word("approximately", "~")]).optional(),
        string("threshold"),
        integer("count").token("LIMIT").since("6.2.0").optional(),
    ],
);
const GROUP_ID: ArgSpec = one_of("id-selector", &[string("id"), word("new-id", "$")]);
const NONDETERMINISTIC: &[&str] = &["nondeterministic_output"];

pub static ROWS: &[CommandSpec] = &[
    row("xack", -4, WRITE | FAST, stream::xack)
        .doc("5.0.0", "Acknowledges entries that a group's consumers have pending.", "O(1) for each id")
        .keys(&[key_at(1, RW | UPDATE)])
        .args(&[key("key", 0), string("group"), string("id").multiple()]),
    row("xadd", -5, WRITE | DENYOOM | FAST, stream::xadd)
        .doc(
            "5.0.0",
            "Appends an entry to a stream, which is created if there is none.",
            "O(1); O(N) when trimming, N: entries removed",
        )
        .tips(NONDETERMINISTIC)
        .history(&[("6.2.0", "Options `NOMKSTREAM`, `MINID`, `LIMIT`."), ("7.0.0", "Ids of the form `<ms>-*`.")])
        .keys(&[key_at(1, RW | UPDATE).notes("An update, not an insertion, since it may trim")])
        .args(&[
            key("key", 0),
            word("nomkstream", "NOMKSTREAM").since("6.2.0").optional(),
            TRIM.optional(),
            one_of("id-selector", &[word("auto-id", "*"), string("id")]),
            block("data", &[string("field"), string("value")]).multiple(),
        ]),
    row("xautoclaim", -6, WRITE | FAST, stream::xautoclaim)
        .doc("6.2.0", "Gives a consumer what others have had pending for long.", "O(1), for a small `COUNT`")
        .tips(NONDETERMINISTIC)
        .history(&[("7.0.0", "Replies with the ids of deleted entries that were pending.")])
        .keys(&[key_at(1, RW | ACCESS | DELETE)])
        .args(&[
            key("key", 0),
            string("group"),
            string("consumer"),
            string("min-idle-time"),
            string("start"),
            COUNT,
            word("justid", "JUSTID").optional(),
        ]),
    row("xclaim", -6, WRITE | FAST, stream::xclaim)
        .doc("5.0.0", "Gives a consumer pending entries of others.", "O(log N), N: entries that the group has pending")
        .tips(NONDETERMINISTIC)
        .keys(&[key_at(1, RW | UPDATE)])
        .args(&[
            key("key", 0),
            string("group"),
            string("consumer"),
            string("min-idle-time"),
            string("id").multiple(),
            integer("ms").token("IDLE").optional(),
            unix_time("unix-time-milliseconds").token("TIME").optional(),
            integer("count").token("RETRYCOUNT").optional(),
            word("force", "FORCE").optional(),
            word("justid", "JUSTID").optional(),
            string("lastid").token("LASTID").optional(),
        ]),
    row("xdel", -3, WRITE | FAST, stream::xdel)
        .doc("5.0.0", "Deletes entries of a stream.", "O(1) for each id")
        .keys(&[key_at(1, RW | DELETE)])
        .args(&[key("key", 0), string("id").multiple()]),
    container("xgroup").doc("5.0.0", "Commands on consumer groups.", "Depends on the subcommand").subcommands(&[
        row("create", -5, WRITE | DENYOOM, stream::create)
            .doc("5.0.0", "Makes a consumer group.", "O(1)")
            .history(&[("7.0.0", "Option `ENTRIESREAD`.")])
            .keys(&[key_at(2, RW | INSERT)])
            .args(&[
                key("key", 0),
                string("group"),
                GROUP_ID,
                word("mkstream", "MKSTREAM").optional(),
                integer("entriesread").display("entries-read").token("ENTRIESREAD").optional(),
            ]),
        row("createconsumer", 5, WRITE | DENYOOM, stream::create_consumer)
            .doc("6.2.0", "Makes a consumer.", "O(1)")
            .keys(&[key_at(2, RW | INSERT)])
            .args(&[key("key", 0), string("group"), string("consumer")]),
        row("delconsumer", 5, WRITE, stream::delete_consumer)
            .doc("5.0.0", "Removes a consumer.", "O(1)")
            .keys(&[key_at(2, RW | DELETE)])
            .args(&[key("key", 0), string("group"), string("consumer")]),
        row("destroy", 4, WRITE, stream::destroy)
            .doc("5.0.0", "Removes a consumer group.", "O(N), N: entries that the group has pending")
            .keys(&[key_at(2, RW | DELETE)])
            .args(&[key("key", 0), string("group")]),
        row("help", 2, LOADING | STALE, stream::xgroup_help).doc("5.0.0", "Lists the subcommands.", "O(1)"),
        row("setid", -5, WRITE, stream::set_id)
            .doc("5.0.0", "Sets up to where a group has read.", "O(1)")
            .history(&[("7.0.0", "Option `ENTRIESREAD`.")])
            .keys(&[key_at(2, RW | UPDATE)])
            .args(&[
                key("key", 0),
                string("group"),
                GROUP_ID,
                integer("entriesread").display("entries-read").token("ENTRIESREAD").optional(),
            ]),
    ]),
    container("xinfo").doc("5.0.0", "Commands that look inside streams.", "Depends on the subcommand").subcommands(&[
        row("consumers", 4, READONLY, stream::consumers)
            .doc("5.0.0", "Describes the consumers of a group.", "O(1)")
            .tips(NONDETERMINISTIC)
            .history(&[("7.2.0", "Field `inactive`; `idle` counts attempts, too.")])
            .keys(&[key_at(2, RO | ACCESS)])
            .args(&[key("key", 0), string("group")]),
        row("groups", 3, READONLY, stream::groups)
            .doc("5.0.0", "Describes the groups of a stream.", "O(1)")
            .history(&[("7.0.0", "Fields `entries-read` and `lag`.")])
            .keys(&[key_at(2, RO | ACCESS)])
            .args(&[key("key", 0)]),
        row("help", 2, LOADING | STALE, stream::xinfo_help).doc("5.0.0", "Lists the subcommands.", "O(1)"),
        row("stream", -3, READONLY, stream::stream)
            .doc("5.0.0", "Describes a stream.", "O(1)")
            .history(&[
                ("6.0.0", "Option `FULL`."),
                (
                    "7.0.0",
                    "Fields `max-deleted-entry-id`, `entries-added`, `recorded-first-entry-id`, `entries-read`, `lag`.",
                ),
                ("7.2.0", "Field `active-time`; `seen-time` counts attempts, too."),
            ])
            .keys(&[key_at(2, RO | ACCESS)])
            .args(&[key("key", 0), block("full-block", &[word("full", "FULL"), COUNT]).optional()]),
    ]),
    row("xlen", 2, READONLY | FAST, stream::xlen)
        .doc("5.0.0", "Counts the entries of a stream.", "O(1)")
        .keys(&[key_at(1, RO)])
        .args(&[key("key", 0)]),
    row("xpending", -3, READONLY, stream::xpending)
        .doc(
            "5.0.0",
            "Tells what a group's consumers have pending.",
            "O(N), N: entries returned; O(M) without a range, M: consumers",
        )
        .tips(NONDETERMINISTIC)
        .history(&[("6.2.0", "Option `IDLE`, and intervals without their ends.")])
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[
            key("key", 0),
            string("group"),
            block(
                "filters",
                &[
                    integer("min-idle-time").token("IDLE").since("6.2.0").optional(),
                    string("start"),
                    string("end"),
                    integer("count"),
                    string("consumer").optional(),
                ],
            )
            .optional(),
        ]),
    row("xrange", -4, READONLY, stream::xrange)
        .doc("5.0.0", "Reads the entries in a range of ids.", "O(N), N: entries returned")
        .history(&[("6.2.0", "Intervals without their ends.")])
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[key("key", 0), string("start"), string("end"), COUNT]),
    row("xread", -4, READONLY | BLOCKING, stream::xread)
        .doc("5.0.0", "Reads what comes after an entry in each of several streams, and waits for it if need be.", "")
        .keys(&[streams(1)])
        .args(&[COUNT, integer("milliseconds").token("BLOCK").optional(), STREAMS]),
    row("xreadgroup", -7, WRITE | BLOCKING, stream::xreadgroup)
        .doc(
            "5.0.0",
            "Gives a group's consumer entries of streams, new ones or those it has pending.",
            "O(M) for each stream, M: entries returned",
        )
        .keys(&[streams(4)])
        .args(&[
            block("group-block", &[string("group"), string("consumer")]).token("GROUP"),
            COUNT,
            integer("milliseconds").token("BLOCK").optional(),
            word("noack", "NOACK").optional(),
            STREAMS,
        ]),
    row("xrevrange", -4, READONLY, stream::xrevrange)
        .doc("5.0.0", "Reads the entries in a range of ids, the last first.", "O(N), N: entries returned")
        .history(&[("6.2.0", "Intervals without their ends.")])
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[key("key", 0), string("end"), string("start"), COUNT]),
    row("xsetid", -3, WRITE | DENYOOM | FAST, stream::xsetid)
        .doc("5.0.0", "Sets what a stream remembers of ids that it gave. Replication uses it.", "O(1)")
        .history(&[("7.0.0", "Options `ENTRIESADDED` and `MAXDELETEDID`.")])
        .keys(&[key_at(1, RW | UPDATE)])
        .args(&[
            key("key", 0),
            string("last-id"),
            integer("entries-added").token("ENTRIESADDED").since("7.0.0").optional(),
            string("max-deleted-id").token("MAXDELETEDID").since("7.0.0").optional(),
        ]),
    row("xtrim", -4, WRITE, stream::xtrim)
        .doc("5.0.0", "Removes the first entries of a stream.", "O(N), N: entries removed")
        .tips(NONDETERMINISTIC)
        .history(&[("6.2.0", "Options `MINID` and `LIMIT`.")])
        .keys(&[key_at(1, RW | DELETE)])
        .args(&[key("key", 0), TRIM]),
];
