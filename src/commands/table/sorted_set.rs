//! Rows: sorted sets.

use crate::commands::keys::*;
use crate::commands::spec::*;
use crate::commands::{Handler, zset};
use category::SORTEDSET;

const fn row(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> CommandSpec {
    CommandSpec::new(Group::SortedSet, name, arity, flags, SORTEDSET, handler)
}

const NUMKEYS: ArgSpec = integer("numkeys");
const WEIGHTS: ArgSpec = integer("weight").token("WEIGHTS").optional().multiple();
const AGGREGATE: ArgSpec =
    one_of("aggregate", &[word("sum", "SUM"), word("min", "MIN"), word("max", "MAX")]).token("AGGREGATE").optional();
const WITHSCORES: ArgSpec = word("withscores", "WITHSCORES").optional();
const END: ArgSpec = one_of("where", &[word("min", "MIN"), word("max", "MAX")]);
const COUNT: ArgSpec = integer("count").token("COUNT").optional();
const LIMIT: ArgSpec = block("limit", &[integer("offset"), integer("count")]).token("LIMIT").optional();
const SORT_BY: ArgSpec =
    one_of("sortby", &[word("byscore", "BYSCORE"), word("bylex", "BYLEX")]).optional().since("6.2.0");
const REV: ArgSpec = word("rev", "REV").optional().since("6.2.0");
const RANGE_LIMIT: ArgSpec =
    block("limit", &[integer("offset"), integer("count")]).token("LIMIT").optional().since("6.2.0");

/// The arguments of ZUNIONSTORE and ZINTERSTORE.
const STORED_COMBINATION: &[ArgSpec] = &[key("destination", 0), NUMKEYS, key("key", 1).multiple(), WEIGHTS, AGGREGATE];
/// Those of ZUNION and ZINTER.
const COMBINATION: &[ArgSpec] = &[NUMKEYS, key("key", 0).multiple(), WEIGHTS, AGGREGATE, WITHSCORES];
const DESTINATION_AND_SOURCES: &[KeySpec] = &[key_at(1, OW | UPDATE), counted_keys_at(2, RO | ACCESS)];
const SOURCES: &[KeySpec] = &[counted_keys_at(1, RO | ACCESS)];
const POPPED: &[KeySpec] = &[key_at(1, RW | ACCESS | DELETE)];
const WAITED_FOR: &[KeySpec] = &[keys_before_last(1, RW | ACCESS | DELETE)];
const READ: &[KeySpec] = &[key_at(1, RO | ACCESS)];
const TRIMMED: &[KeySpec] = &[key_at(1, RW | DELETE)];

pub static ROWS: &[CommandSpec] = &[
    row("bzmpop", -5, WRITE | BLOCKING, zset::bzmpop)
        .doc(
            "7.0.0",
            "Takes members from an end of the first sorted set that is not empty, or waits for one.",
            "O(K) + O(M*log(N)), K: keys, N: members of the sorted set, M: members taken",
        )
        .keys(&[counted_keys_at(2, RW | ACCESS | DELETE)])
        .args(&[double("timeout"), NUMKEYS, key("key", 0).multiple(), END, COUNT]),
    row("bzpopmax", -3, WRITE | NOSCRIPT | FAST | BLOCKING, zset::bzpopmax)
        .doc(
            "5.0.0",
            "Takes the member with the highest score from the first sorted set that is not empty, or waits for one.",
            "O(log(N)), N: members of the sorted set",
        )
        .history(&[("6.0.0", "`timeout` may have a fraction.")])
        .keys(WAITED_FOR)
        .args(&[key("key", 0).multiple(), double("timeout")]),
    row("bzpopmin", -3, WRITE | NOSCRIPT | FAST | BLOCKING, zset::bzpopmin)
        .doc(
            "5.0.0",
            "Takes the member with the lowest score from the first sorted set that is not empty, or waits for one.",
            "O(log(N)), N: members of the sorted set",
        )
        .history(&[("6.0.0", "`timeout` may have a fraction.")])
        .keys(WAITED_FOR)
        .args(&[key("key", 0).multiple(), double("timeout")]),
    row("zadd", -4, WRITE | DENYOOM | FAST, zset::zadd)
        .doc(
            "1.2.0",
            "Adds members to a sorted set, which is created if there is none, or gives them other scores.",
            "O(log(N)) for each member, N: members of the sorted set",
        )
        .history(&[
            ("2.4.0", "Takes several members."),
            ("3.0.2", "Takes `XX`, `NX`, `CH` and `INCR`."),
            ("6.2.0", "Takes `GT` and `LT`."),
        ])
        .keys(&[key_at(1, RW | UPDATE)])
        .args(&[
            key("key", 0),
            one_of("condition", &[word("nx", "NX"), word("xx", "XX")]).optional().since("3.0.2"),
            one_of("comparison", &[word("gt", "GT"), word("lt", "LT")]).optional().since("6.2.0"),
            word("change", "CH").optional().since("3.0.2"),
            word("increment", "INCR").optional().since("3.0.2"),
            block("data", &[double("score"), string("member")]).multiple(),
        ]),
    row("zcard", 2, READONLY | FAST, zset::zcard)
        .doc("1.2.0", "Counts the members of a sorted set.", "O(1)")
        .keys(&[key_at(1, RO)])
        .args(&[key("key", 0)]),
    row("zcount", 4, READONLY | FAST, zset::zcount)
        .doc("2.0.0", "Counts the members whose scores are in a range.", "O(log(N)), N: members of the sorted set")
        .keys(READ)
        .args(&[key("key", 0), double("min"), double("max")]),
    row("zdiff", -3, READONLY, zset::zdiff)
        .doc(
            "6.2.0",
            "Reads the members of the first sorted set that are in none of the others.",
            "O(N*K + M*log(M)), N: members of the first, K: keys, M: members returned",
        )
        .keys(SOURCES)
        .args(&[NUMKEYS, key("key", 0).multiple(), WITHSCORES]),
    row("zdiffstore", -4, WRITE | DENYOOM, zset::zdiffstore)
        .doc(
            "6.2.0",
            "Stores the members of the first sorted set that are in none of the others.",
            "O(N*K + M*log(M)), N: members of the first, K: keys, M: members stored",
        )
        .keys(DESTINATION_AND_SOURCES)
        .args(&[key("destination", 0), NUMKEYS, key("key", 1).multiple()]),
    row("zincrby", 4, WRITE | DENYOOM | FAST, zset::zincrby)
        .doc("1.2.0", "Adds a number to the score of a member.", "O(log(N)), N: members of the sorted set")
        .keys(&[key_at(1, RW | ACCESS | UPDATE)])
        .args(&[key("key", 0), integer("increment"), string("member")]),
    row("zinter", -3, READONLY, zset::zinter)
        .doc(
            "6.2.0",
            "Reads the members that are in all of several sorted sets.",
            "O(N*K + M*log(M)), N: members of the smallest, K: keys, M: members returned",
        )
        .keys(SOURCES)
        .args(COMBINATION),
    row("zintercard", -3, READONLY, zset::zintercard)
        .doc(
            "7.0.0",
            "Counts the members that are in all of several sorted sets.",
            "O(N*K), N: members of the smallest, K: keys",
        )
        .keys(SOURCES)
        .args(&[NUMKEYS, key("key", 0).multiple(), integer("limit").token("LIMIT").optional()]),
    row("zinterstore", -4, WRITE | DENYOOM, zset::zinterstore)
        .doc(
            "2.0.0",
            "Stores the members that are in all of several sorted sets.",
            "O(N*K + M*log(M)), N: members of the smallest, K: keys, M: members stored",
        )
        .keys(DESTINATION_AND_SOURCES)
        .args(STORED_COMBINATION),
    row("zlexcount", 4, READONLY | FAST, zset::zlexcount)
        .doc(
            "2.8.9",
            "Counts the members in a range of members, where all have the same score.",
            "O(log(N)), N: members of the sorted set",
        )
        .keys(READ)
        .args(&[key("key", 0), string("min"), string("max")]),
    row("zmpop", -4, WRITE, zset::zmpop)
        .doc(
            "7.0.0",
            "Takes members from an end of the first sorted set that is not empty.",
            "O(K) + O(M*log(N)), K: keys, N: members of the sorted set, M: members taken",
        )
        .keys(&[counted_keys_at(1, RW | ACCESS | DELETE)])
        .args(&[NUMKEYS, key("key", 0).multiple(), END, COUNT]),
    row("zmscore", -3, READONLY | FAST, zset::zmscore)
        .doc("6.2.0", "Reads the scores of several members.", "O(N), N: members asked for")
        .keys(READ)
        .args(&[key("key", 0), string("member").multiple()]),
    row("zpopmax", -2, WRITE | FAST, zset::zpopmax)
        .doc(
            "5.0.0",
            "Takes the members with the highest scores.",
            "O(M*log(N)), N: members of the sorted set, M: members taken",
        )
        .keys(POPPED)
        .args(&[key("key", 0), integer("count").optional()]),
    row("zpopmin", -2, WRITE | FAST, zset::zpopmin)
        .doc(
            "5.0.0",
            "Takes the members with the lowest scores.",
            "O(M*log(N)), N: members of the sorted set, M: members taken",
        )
        .keys(POPPED)
        .args(&[key("key", 0), integer("count").optional()]),
    row("zrandmember", -2, READONLY, zset::zrandmember)
        .doc(
            "6.2.0",
            "Reads members drawn at random.",
            "O(M*log(N)), N: members of the sorted set, M: members returned",
        )
        .tips(&["nondeterministic_output"])
        .keys(READ)
        .args(&[key("key", 0), block("options", &[integer("count"), WITHSCORES]).optional()]),
    row("zrange", -4, READONLY | BY_RANK, zset::zrange)
        .doc(
            "1.2.0",
            "Reads the members in a range of ranks, scores or members.",
            "O(log(N)+M), N: members of the sorted set, M: members returned",
        )
        .history(&[("6.2.0", "Takes `REV`, `BYSCORE`, `BYLEX` and `LIMIT`.")])
        .keys(READ)
        .args(&[key("key", 0), string("start"), string("stop"), SORT_BY, REV, RANGE_LIMIT, WITHSCORES]),
    row("zrangebylex", -4, READONLY, zset::zrangebylex)
        .doc(
            "2.8.9",
            "Reads the members in a range of members, where all have the same score.",
            "O(log(N)+M), N: members of the sorted set, M: members returned",
        )
        .deprecated("6.2.0", "`ZRANGE` with the `BYLEX` argument")
        .keys(READ)
        .args(&[key("key", 0), string("min"), string("max"), LIMIT]),
    row("zrangebyscore", -4, READONLY, zset::zrangebyscore)
        .doc(
            "1.0.5",
            "Reads the members whose scores are in a range.",
            "O(log(N)+M), N: members of the sorted set, M: members returned",
        )
        .deprecated("6.2.0", "`ZRANGE` with the `BYSCORE` argument")
        .history(&[("2.0.0", "Takes `WITHSCORES`.")])
        .keys(READ)
        .args(&[
            key("key", 0),
            double("min"),
            double("max"),
            word("withscores", "WITHSCORES").optional().since("2.0.0"),
            LIMIT,
        ]),
    row("zrangestore", -5, WRITE | DENYOOM, zset::zrangestore)
        .doc(
            "6.2.0",
            "Stores the members in a range of ranks, scores or members.",
            "O(log(N)+M), N: members of the source, M: members stored",
        )
        .keys(&[key_at(1, OW | UPDATE), key_at(2, RO | ACCESS)])
        .args(&[
            key("dst", 0),
            key("src", 1),
            string("min"),
            string("max"),
            one_of("sortby", &[word("byscore", "BYSCORE"), word("bylex", "BYLEX")]).optional(),
            word("rev", "REV").optional(),
            LIMIT,
        ]),
    row("zrank", -3, READONLY | FAST, zset::zrank)
        .doc(
            "2.0.0",
            "Finds the rank of a member, counted from the lowest score.",
            "O(log(N)), N: members of the sorted set",
        )
        .history(&[("7.2.0", "Takes `WITHSCORE`.")])
        .keys(READ)
        .args(&[key("key", 0), string("member"), word("withscore", "WITHSCORE").optional()]),
    row("zrem", -3, WRITE | FAST, zset::zrem)
        .doc(
            "1.2.0",
            "Removes members from a sorted set.",
            "O(M*log(N)), N: members of the sorted set, M: members removed",
        )
        .history(&[("2.4.0", "Takes several members.")])
        .keys(TRIMMED)
        .args(&[key("key", 0), string("member").multiple()]),
    row("zremrangebylex", 4, WRITE, zset::zremrangebylex)
        .doc(
            "2.8.9",
            "Removes the members in a range of members, where all have the same score.",
            "O(M*log(N)), N: members of the sorted set, M: members removed",
        )
        .keys(TRIMMED)
        .args(&[key("key", 0), string("min"), string("max")]),
    row("zremrangebyrank", 4, WRITE, zset::zremrangebyrank)
        .doc(
            "2.0.0",
            "Removes the members in a range of ranks.",
            "O(M*log(N)), N: members of the sorted set, M: members removed",
        )
        .keys(TRIMMED)
        .args(&[key("key", 0), integer("start"), integer("stop")]),
    row("zremrangebyscore", 4, WRITE, zset::zremrangebyscore)
        .doc(
            "1.2.0",
            "Removes the members whose scores are in a range.",
            "O(M*log(N)), N: members of the sorted set, M: members removed",
        )
        .keys(TRIMMED)
        .args(&[key("key", 0), double("min"), double("max")]),
    row("zrevrange", -4, READONLY, zset::zrevrange)
        .doc(
            "1.2.0",
            "Reads the members in a range of ranks, from the highest score down.",
            "O(log(N)+M), N: members of the sorted set, M: members returned",
        )
        .deprecated("6.2.0", "`ZRANGE` with the `REV` argument")
        .keys(READ)
        .args(&[key("key", 0), integer("start"), integer("stop"), WITHSCORES]),
    row("zrevrangebylex", -4, READONLY, zset::zrevrangebylex)
        .doc(
            "2.8.9",
            "Reads the members in a range of members from its end, where all have the same score.",
            "O(log(N)+M), N: members of the sorted set, M: members returned",
        )
        .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments")
        .keys(READ)
        .args(&[key("key", 0), string("max"), string("min"), LIMIT]),
    row("zrevrangebyscore", -4, READONLY, zset::zrevrangebyscore)
        .doc(
            "2.2.0",
            "Reads the members whose scores are in a range, from the highest score down.",
            "O(log(N)+M), N: members of the sorted set, M: members returned",
        )
        .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments")
        .history(&[("2.1.6", "`min` and `max` may be excluded.")])
        .keys(READ)
        .args(&[key("key", 0), double("max"), double("min"), WITHSCORES, LIMIT]),
    row("zrevrank", -3, READONLY | FAST, zset::zrevrank)
        .doc(
            "2.0.0",
            "Finds the rank of a member, counted from the highest score.",
            "O(log(N)), N: members of the sorted set",
        )
        .history(&[("7.2.0", "Takes `WITHSCORE`.")])
        .keys(READ)
        .args(&[key("key", 0), string("member"), word("withscore", "WITHSCORE").optional()]),
    row("zscan", -3, READONLY, zset::zscan)
        .doc(
            "2.8.0",
            "Walks the members of a sorted set and their scores step by step.",
            "O(1) for a step, O(N) for a whole walk, N: members of the sorted set",
        )
        .tips(&["nondeterministic_output"])
        .keys(READ)
        .args(&[
            key("key", 0),
            integer("cursor"),
            pattern("pattern").token("MATCH").optional(),
            integer("count").token("COUNT").optional(),
        ]),
    row("zscore", 3, READONLY | FAST, zset::zscore)
        .doc("1.2.0", "Reads the score of a member.", "O(1)")
        .keys(READ)
        .args(&[key("key", 0), string("member")]),
    row("zunion", -3, READONLY, zset::zunion)
        .doc(
            "6.2.0",
            "Reads the members that are in any of several sorted sets.",
            "O(N + M*log(M)), N: members of all, M: members returned",
        )
        .keys(SOURCES)
        .args(COMBINATION),
    row("zunionstore", -4, WRITE | DENYOOM, zset::zunionstore)
        .doc(
            "2.0.0",
            "Stores the members that are in any of several sorted sets.",
            "O(N + M*log(M)), N: members of all, M: members stored",
        )
        .keys(DESTINATION_AND_SOURCES)
        .args(STORED_COMBINATION),
];
