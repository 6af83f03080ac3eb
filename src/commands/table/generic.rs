//! Rows: commands on keys of any type.

use crate::commands::keys::*;
use crate::commands::spec::*;
use crate::commands::{Handler, dump, expire, generic, migrate, object, persistence, scan, sort};
use category::{CONNECTION, DANGEROUS, KEYSPACE, LIST, SET, SORTEDSET};

const fn row(name: &'static str, arity: i16, flags: Flags, categories: Categories, handler: Handler) -> CommandSpec {
    CommandSpec::new(Group::Generic, name, arity, flags, categories, handler)
}

const fn container(name: &'static str) -> CommandSpec {
    CommandSpec::container(Group::Generic, name)
}

const SORT_BY: ArgSpec =
    ArgSpec { key_spec: Some(1), ..pattern("by-pattern").display("pattern").token("BY").optional() };
const SORT_LIMIT: ArgSpec = block("limit", &[integer("offset"), integer("count")]).token("LIMIT").optional();
const SORT_GET: ArgSpec =
    ArgSpec { key_spec: Some(1), ..pattern("get-pattern").display("pattern").token("GET").optional().multiple_token() };
const SORT_ORDER: ArgSpec = one_of("order", &[word("asc", "ASC"), word("desc", "DESC")]).optional();

/// The keys of MIGRATE that are not at its key's place.
const MIGRATED: KeySpec = KeySpec {
    flags: RW | ACCESS | DELETE | INCOMPLETE,
    begin: BeginSearch::Keyword { word: "KEYS", start_from: -2 },
    find: FindKeys::Range { last: -1, step: 1, limit: 0 },
    notes: None,
};

/// What RESTORE takes, and its internal twin.
pub const RESTORE_ARGS: &[ArgSpec] = &[
    key("key", 0),
    integer("ttl"),
    string("serialized-value"),
    word("replace", "REPLACE").since("3.0.0").optional(),
    word("absttl", "ABSTTL").since("5.0.0").optional(),
    integer("seconds").token("IDLETIME").since("5.0.0").optional(),
    integer("frequency").token("FREQ").since("5.0.0").optional(),
];
pub const RESTORE_HISTORY: &[(&str, &str)] =
    &[("3.0.0", "Option `REPLACE`."), ("5.0.0", "Option `ABSTTL`."), ("5.0.0", "Options `IDLETIME` and `FREQ`.")];
pub const RESTORE_COMPLEXITY: &str =
    "O(N) for a collection, N: its elements, O(N*log(N)) for a sorted set; O(1) for a short string";

pub static ROWS: &[CommandSpec] = &[
    row("copy", -3, WRITE | DENYOOM, KEYSPACE, generic::copy)
        .doc("6.2.0", "Copies a value to another key.", "O(N) for a collection, N: its elements; O(1) for a string")
        .keys(&[key_at(1, RO | ACCESS), key_at(2, OW | UPDATE)])
        .args(&[
            key("source", 0),
            key("destination", 1),
            integer("destination-db").token("DB").optional(),
            word("replace", "REPLACE").optional(),
        ]),
    row("del", -2, WRITE, KEYSPACE, generic::del)
        .doc("1.0.0", "Deletes keys.", "O(N), N: keys; for one that holds a collection O(M), M: its elements")
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .keys(&[keys_from(1, 1, RM | DELETE)])
        .args(&[key("key", 0).multiple()]),
    row("dump", 2, READONLY, KEYSPACE, dump::dump)
        .doc(
            "2.6.0",
            "Takes a value out as bytes for RESTORE.",
            "O(N) for a collection, N: its elements; O(1) for a short string",
        )
        .tips(&["nondeterministic_output"])
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[key("key", 0)]),
    row("exists", -2, READONLY | FAST, KEYSPACE, generic::exists)
        .doc("1.0.0", "Counts how many of the keys exist.", "O(N), N: keys")
        .history(&[("3.0.3", "Takes several keys.")])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .keys(&[keys_from(1, 1, RO)])
        .args(&[key("key", 0).multiple()]),
    row("expire", -3, WRITE | FAST, KEYSPACE, expire::expire)
        .doc("1.0.0", "Sets how many seconds a key has left to live.", "O(1)")
        .history(&[("7.0.0", "Conditions `NX`, `XX`, `GT`, `LT`.")])
        .keys(&[key_at(1, RW | UPDATE)])
        .args(&[
            key("key", 0),
            integer("seconds"),
            one_of("condition", &[word("nx", "NX"), word("xx", "XX"), word("gt", "GT"), word("lt", "LT")])
                .since("7.0.0")
                .optional(),
        ]),
    row("expireat", -3, WRITE | FAST, KEYSPACE, expire::expireat)
        .doc("1.2.0", "Sets the second at which a key expires, as a Unix time.", "O(1)")
        .history(&[("7.0.0", "Conditions `NX`, `XX`, `GT`, `LT`.")])
        .keys(&[key_at(1, RW | UPDATE)])
        .args(&[
            key("key", 0),
            unix_time("unix-time-seconds"),
            one_of("condition", &[word("nx", "NX"), word("xx", "XX"), word("gt", "GT"), word("lt", "LT")])
                .since("7.0.0")
                .optional(),
        ]),
    row("expiretime", 2, READONLY | FAST, KEYSPACE, expire::expiretime)
        .doc("7.0.0", "Tells the second at which a key expires, as a Unix time.", "O(1)")
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[key("key", 0)]),
    row("keys", 2, READONLY | WALKS_SLOTS, KEYSPACE | DANGEROUS, scan::keys)
        .doc("1.0.0", "Lists the keys whose names match a pattern.", "O(N), N: keys in the database")
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
        .args(&[pattern("pattern")]),
    row("migrate", -6, WRITE, KEYSPACE | DANGEROUS, migrate::migrate)
        .doc(
            "2.6.0",
            "Moves keys to another server.",
            "For each key: a DUMP and a DEL here, a RESTORE there, and the time that the network takes",
        )
        .tips(&["nondeterministic_output"])
        .history(&[
            ("3.0.0", "Options `COPY` and `REPLACE`."),
            ("3.0.6", "Option `KEYS`."),
            ("4.0.7", "Option `AUTH`."),
            ("6.0.0", "Option `AUTH2`."),
        ])
        .keys(&[key_at(3, RW | ACCESS | DELETE), MIGRATED])
        .find_keys_with(migrate_keys)
        .args(&[
            string("host"),
            integer("port"),
            one_of("key-selector", &[key("key", 0), word("empty-string", "")]),
            integer("destination-db"),
            integer("timeout"),
            word("copy", "COPY").since("3.0.0").optional(),
            word("replace", "REPLACE").since("3.0.0").optional(),
            one_of(
                "authentication",
                &[
                    string("auth").display("password").token("AUTH").since("4.0.7"),
                    block("auth2", &[string("username"), string("password")]).token("AUTH2").since("6.0.0"),
                ],
            )
            .optional(),
            key("keys", 1).display("key").token("KEYS").since("3.0.6").optional().multiple(),
        ]),
    row("move", 3, WRITE | FAST, KEYSPACE, generic::move_key)
        .doc("1.0.0", "Moves a key to another database.", "O(1)")
        .keys(&[key_at(1, RW | ACCESS | UPDATE)])
        .args(&[key("key", 0), integer("db")]),
    container("object").doc("2.2.3", "Commands that look inside values.", "Depends on the subcommand").subcommands(&[
        row("encoding", 3, READONLY, KEYSPACE, object::encoding)
            .doc("2.2.3", "Names the representation that a value is kept in.", "O(1)")
            .tips(&["nondeterministic_output"])
            .keys(&[key_at(2, RO)])
            .args(&[key("key", 0)]),
        row("freq", 3, READONLY, KEYSPACE, object::freq)
            .doc("4.0.0", "Tells the logarithmic access counter of a value.", "O(1)")
            .tips(&["nondeterministic_output"])
            .keys(&[key_at(2, RO)])
            .args(&[key("key", 0)]),
        row("help", 2, LOADING | STALE, KEYSPACE, object::help).doc("6.2.0", "Lists the subcommands.", "O(1)"),
        row("idletime", 3, READONLY, KEYSPACE, object::idletime)
            .doc("2.2.3", "Tells the seconds since a value was last used.", "O(1)")
            .tips(&["nondeterministic_output"])
            .keys(&[key_at(2, RO)])
            .args(&[key("key", 0)]),
        row("refcount", 3, READONLY, KEYSPACE, object::refcount)
            .doc("2.2.3", "Tells the reference count of a value.", "O(1)")
            .tips(&["nondeterministic_output"])
            .keys(&[key_at(2, RO)])
            .args(&[key("key", 0)]),
    ]),
    row("persist", 2, WRITE | FAST, KEYSPACE, expire::persist)
        .doc("2.2.0", "Makes a key that would expire stay.", "O(1)")
        .keys(&[key_at(1, RW | UPDATE)])
        .args(&[key("key", 0)]),
    row("pexpire", -3, WRITE | FAST, KEYSPACE, expire::pexpire)
        .doc("2.6.0", "Sets how many milliseconds a key has left to live.", "O(1)")
        .history(&[("7.0.0", "Conditions `NX`, `XX`, `GT`, `LT`.")])
        .keys(&[key_at(1, RW | UPDATE)])
        .args(&[
            key("key", 0),
            integer("milliseconds"),
            one_of("condition", &[word("nx", "NX"), word("xx", "XX"), word("gt", "GT"), word("lt", "LT")])
                .since("7.0.0")
                .optional(),
        ]),
    row("pexpireat", -3, WRITE | FAST, KEYSPACE, expire::pexpireat)
        .doc("2.6.0", "Sets the millisecond at which a key expires, as a Unix time.", "O(1)")
        .history(&[("7.0.0", "Conditions `NX`, `XX`, `GT`, `LT`.")])
        .keys(&[key_at(1, RW | UPDATE)])
        .args(&[
            key("key", 0),
            unix_time("unix-time-milliseconds"),
            one_of("condition", &[word("nx", "NX"), word("xx", "XX"), word("gt", "GT"), word("lt", "LT")])
                .since("7.0.0")
                .optional(),
        ]),
    row("pexpiretime", 2, READONLY | FAST, KEYSPACE, expire::pexpiretime)
        .doc("7.0.0", "Tells the millisecond at which a key expires, as a Unix time.", "O(1)")
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[key("key", 0)]),
    row("pttl", 2, READONLY | FAST, KEYSPACE, expire::pttl)
        .doc("2.6.0", "Tells how many milliseconds a key has left to live.", "O(1)")
        .history(&[("2.8.0", "-2 for a key that does not exist.")])
        .tips(&["nondeterministic_output"])
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[key("key", 0)]),
    row("randomkey", 1, READONLY | TOUCHES_ARBITRARY_KEYS | WALKS_SLOTS, KEYSPACE, scan::randomkey)
        .doc("1.0.0", "Picks a key at random.", "O(1)")
        .tips(&["request_policy:all_shards", "response_policy:special", "nondeterministic_output"]),
    row("rename", 3, WRITE, KEYSPACE, generic::rename)
        .doc("1.0.0", "Renames a key, replacing any that has the new name.", "O(1)")
        .keys(&[key_at(1, RW | ACCESS | DELETE), key_at(2, OW | UPDATE)])
        .args(&[key("key", 0), key("newkey", 1)]),
    row("renamenx", 3, WRITE | FAST, KEYSPACE, generic::renamenx)
        .doc("1.0.0", "Renames a key unless the new name is taken.", "O(1)")
        .history(&[("3.2.0", "Equal names are no error.")])
        .keys(&[key_at(1, RW | ACCESS | DELETE), key_at(2, OW | INSERT)])
        .args(&[key("key", 0), key("newkey", 1)]),
    row("restore", -4, WRITE | DENYOOM, KEYSPACE | DANGEROUS, dump::restore)
        .doc("2.6.0", "Makes a key of what DUMP gave.", RESTORE_COMPLEXITY)
        .history(RESTORE_HISTORY)
        .keys(&[key_at(1, OW | UPDATE)])
        .args(RESTORE_ARGS),
    row("scan", -2, READONLY | TOUCHES_ARBITRARY_KEYS | WALKS_SLOTS, KEYSPACE, scan::scan)
        .doc(
            "2.8.0",
            "Walks through the keys of the database, some at each call.",
            "O(1) for each call, O(N) for a whole walk, N: keys",
        )
        .history(&[("6.0.0", "Filter by `TYPE`.")])
        .tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"])
        .args(&[
            integer("cursor"),
            pattern("pattern").token("MATCH").optional(),
            integer("count").token("COUNT").optional(),
            string("type").token("TYPE").since("6.0.0").optional(),
        ]),
    row("sort", -2, WRITE | DENYOOM, SET | SORTEDSET | LIST | DANGEROUS, sort::sort)
        .doc(
            "1.0.0",
            "Sorts a list, a set or a sorted set, and tells or stores what comes out.",
            "O(N+M*log(M)), with N items of which M are told; O(N) without sorting",
        )
        .keys(&[
            key_at(1, RO | ACCESS),
            unknown_keys(RO | ACCESS).notes("What BY and GET lead to depends on the items"),
            unknown_keys(OW | UPDATE).notes("STORE may stand anywhere"),
        ])
        .find_keys_with(sort::sort_keys)
        .reaches_beyond_keys_if(sort::reaches_beyond)
        .args(&[
            key("key", 0),
            SORT_BY,
            SORT_LIMIT,
            SORT_GET,
            SORT_ORDER,
            word("sorting", "ALPHA").optional(),
            key("destination", 2).token("STORE").optional(),
        ]),
    row("sort_ro", -2, READONLY, SET | SORTEDSET | LIST | DANGEROUS, sort::sort_ro)
        .doc(
            "7.0.0",
            "Sorts a list, a set or a sorted set, and tells what comes out.",
            "O(N+M*log(M)), with N items of which M are told; O(N) without sorting",
        )
        .keys(&[
            key_at(1, RO | ACCESS),
            unknown_keys(RO | ACCESS).notes("What BY and GET lead to depends on the items"),
        ])
        .find_keys_with(sort::sort_ro_keys)
        .reaches_beyond_keys_if(sort::reaches_beyond)
        .args(&[key("key", 0), SORT_BY, SORT_LIMIT, SORT_GET, SORT_ORDER, word("sorting", "ALPHA").optional()]),
    row("touch", -2, READONLY | FAST, KEYSPACE, generic::touch)
        .doc("3.2.1", "Marks keys as just used and counts those that exist.", "O(N), N: keys")
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .keys(&[keys_from(1, 1, RO)])
        .args(&[key("key", 0).multiple()]),
    row("ttl", 2, READONLY | FAST, KEYSPACE, expire::ttl)
        .doc("1.0.0", "Tells how many seconds a key has left to live.", "O(1)")
        .history(&[("2.8.0", "-2 for a key that does not exist.")])
        .tips(&["nondeterministic_output"])
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[key("key", 0)]),
    row("type", 2, READONLY | FAST, KEYSPACE, generic::type_of)
        .doc("1.0.0", "Names the type of the value at a key.", "O(1)")
        .keys(&[key_at(1, RO)])
        .args(&[key("key", 0)]),
    row("unlink", -2, WRITE | FAST, KEYSPACE, generic::unlink)
        .doc(
            "4.0.0",
            "Deletes keys and frees large values in the background.",
            "O(1) for each key; then O(N) in the background, N: allocations freed",
        )
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .keys(&[keys_from(1, 1, RM | DELETE)])
        .args(&[key("key", 0).multiple()]),
    row("wait", 3, NOSCRIPT | BLOCKING, CONNECTION, persistence::wait_for_replicas)
        .doc("3.0.0", "Waits until what the client wrote has reached so many replicas.", "O(1)")
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .args(&[integer("numreplicas"), integer("timeout")]),
    row("waitaof", 4, NOSCRIPT | BLOCKING, CONNECTION, persistence::waitaof)
        .doc("7.2.0", "Waits until what the client wrote is durable here and on so many replicas.", "O(1)")
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .args(&[integer("numlocal"), integer("numreplicas"), integer("timeout")]),
];
