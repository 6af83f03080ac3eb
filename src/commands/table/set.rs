//! Rows: sets.

use crate::commands::keys::*;
use crate::commands::spec::*;
use crate::commands::{Handler, set};
use category::SET;

const fn row(name: &'static str, arity: i16, flags: Flags, categories: Categories, handler: Handler) -> CommandSpec {
    CommandSpec::new(Group::Set, name, arity, flags, categories, handler)
}

const SMALLEST_TIMES_SETS: &str = "O(N*M) at worst, with N members in the smallest set and M sets";
const ALL_MEMBERS: &str = "O(N), with N members in all sets together";
const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];
const MANY_KEYS: &[ArgSpec] = &[key("key", 0).multiple()];
const STORE_ARGS: &[ArgSpec] = &[key("destination", 0), key("key", 1).multiple()];

pub static ROWS: &[CommandSpec] = &[
    row("sadd", -3, WRITE | DENYOOM | FAST, SET, set::sadd)
        .doc("1.0.0", "Adds members to a set, making it if there is none.", "O(N), with N members given")
        .history(&[("2.4.0", "Several members can be given.")])
        .keys(&[key_at(1, RW | INSERT)])
        .args(&[key("key", 0), string("member").multiple()]),
    row("scard", 2, READONLY | FAST, SET, set::scard)
        .doc("1.0.0", "Tells how many members a set has.", "O(1)")
        .keys(&[key_at(1, RO)])
        .args(&[key("key", 0)]),
    row("sdiff", -2, READONLY, SET, set::sdiff)
        .doc("1.0.0", "Tells the members of a set that none of the other sets has.", ALL_MEMBERS)
        .keys(&[keys_from(1, 1, RO | ACCESS)])
        .tips(ANY_ORDER)
        .args(MANY_KEYS),
    row("sdiffstore", -3, WRITE | DENYOOM, SET, set::sdiffstore)
        .doc("1.0.0", "Stores the members of a set that none of the other sets has.", ALL_MEMBERS)
        .keys(&[key_at(1, OW | UPDATE), keys_from(2, 1, RO | ACCESS)])
        .args(STORE_ARGS),
    row("sinter", -2, READONLY, SET, set::sinter)
        .doc("1.0.0", "Tells the members that all sets have.", SMALLEST_TIMES_SETS)
        .keys(&[keys_from(1, 1, RO | ACCESS)])
        .tips(ANY_ORDER)
        .args(MANY_KEYS),
    row("sintercard", -3, READONLY, SET, set::sintercard)
        .doc("7.0.0", "Tells how many members all sets have, up to a limit.", SMALLEST_TIMES_SETS)
        .keys(&[counted_keys_at(1, RO | ACCESS)])
        .args(&[integer("numkeys"), key("key", 0).multiple(), integer("limit").token("LIMIT").optional()]),
    row("sinterstore", -3, WRITE | DENYOOM, SET, set::sinterstore)
        .doc("1.0.0", "Stores the members that all sets have.", SMALLEST_TIMES_SETS)
        .keys(&[key_at(1, RW | UPDATE), keys_from(2, 1, RO | ACCESS)])
        .args(STORE_ARGS),
    row("sismember", 3, READONLY | FAST, SET, set::sismember)
        .doc("1.0.0", "Tells whether a set has a member.", "O(1)")
        .keys(&[key_at(1, RO)])
        .args(&[key("key", 0), string("member")]),
    row("smembers", 2, READONLY, SET, set::smembers)
        .doc("1.0.0", "Tells all members of a set.", "O(N), with N members")
        .keys(&[key_at(1, RO | ACCESS)])
        .tips(ANY_ORDER)
        .args(&[key("key", 0)]),
    row("smismember", -3, READONLY | FAST, SET, set::smismember)
        .doc("6.2.0", "Tells of several members whether a set has them.", "O(N), with N members asked for")
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[key("key", 0), string("member").multiple()]),
    row("smove", 4, WRITE | FAST, SET, set::smove)
        .doc("1.0.0", "Moves a member from one set to another.", "O(1)")
        .keys(&[key_at(1, RW | ACCESS | DELETE), key_at(2, RW | INSERT)])
        .args(&[key("source", 0), key("destination", 1), string("member")]),
    row("spop", -2, WRITE | FAST, SET, set::spop)
        .doc(
            "1.0.0",
            "Takes members, chosen by chance, out of a set and tells them.",
            "O(1) without a count, O(N) with a count of N",
        )
        .history(&[("3.2.0", "A count can be given.")])
        .keys(&[key_at(1, RW | ACCESS | DELETE)])
        .tips(&["nondeterministic_output"])
        .args(&[key("key", 0), integer("count").since("3.2.0").optional()]),
    row("srandmember", -2, READONLY, SET, set::srandmember)
        .doc("1.0.0", "Tells members of a set, chosen by chance.", "O(1) without a count, O(N) with a count of N or -N")
        .history(&[("2.6.0", "A count can be given.")])
        .keys(&[key_at(1, RO | ACCESS)])
        .tips(&["nondeterministic_output"])
        .args(&[key("key", 0), integer("count").since("2.6.0").optional()]),
    row("srem", -3, WRITE | FAST, SET, set::srem)
        .doc("1.0.0", "Takes members out of a set, and removes the set with its last.", "O(N), with N members given")
        .history(&[("2.4.0", "Several members can be given.")])
        .keys(&[key_at(1, RW | DELETE)])
        .args(&[key("key", 0), string("member").multiple()]),
    row("sscan", -3, READONLY, SET, set::sscan)
        .doc(
            "2.8.0",
            "Goes through the members of a set, a few with each call.",
            "O(1) for each call, O(N) for all of N members",
        )
        .keys(&[key_at(1, RO | ACCESS)])
        .tips(&["nondeterministic_output"])
        .args(&[
            key("key", 0),
            integer("cursor"),
            pattern("pattern").token("MATCH").optional(),
            integer("count").token("COUNT").optional(),
        ]),
    row("sunion", -2, READONLY, SET, set::sunion)
        .doc("1.0.0", "Tells the members that any of the sets has.", ALL_MEMBERS)
        .keys(&[keys_from(1, 1, RO | ACCESS)])
        .tips(ANY_ORDER)
        .args(MANY_KEYS),
    row("sunionstore", -3, WRITE | DENYOOM, SET, set::sunionstore)
        .doc("1.0.0", "Stores the members that any of the sets has.", ALL_MEMBERS)
        .keys(&[key_at(1, OW | UPDATE), keys_from(2, 1, RO | ACCESS)])
        .args(STORE_ARGS),
];
