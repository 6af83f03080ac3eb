//! Rows: hashes, except the expiry of their fields.

use crate::commands::keys::*;
use crate::commands::spec::*;
use crate::commands::{Handler, hash, hash_walk};
use category::HASH;

const fn row(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> CommandSpec {
    CommandSpec::new(Group::Hash, name, arity, flags, HASH, handler)
}

const DATA: ArgSpec = block("data", &[string("field"), string("value")]).multiple();

pub static ROWS: &[CommandSpec] = &[
    row("hdel", -3, WRITE | FAST, hash::hdel)
        .doc("2.0.0", "Deletes fields of a hash, and the hash with its last one.", "O(N), N: fields named")
        .keys(&[key_at(1, RW | DELETE)])
        .history(&[("2.4.0", "Takes several `field` arguments.")])
        .args(&[key("key", 0), string("field").multiple()]),
    row("hexists", 3, READONLY | FAST, hash::hexists)
        .doc("2.0.0", "Tells whether a hash has a field.", "O(1)")
        .keys(&[key_at(1, RO)])
        .args(&[key("key", 0), string("field")]),
    row("hget", 3, READONLY | FAST, hash::hget)
        .doc("2.0.0", "Reads a field of a hash.", "O(1)")
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[key("key", 0), string("field")]),
    row("hgetall", 2, READONLY, hash::hgetall)
        .doc("2.0.0", "Reads all fields of a hash with their values.", "O(N), N: fields of the hash")
        .tips(&["nondeterministic_output_order"])
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[key("key", 0)]),
    row("hincrby", 4, WRITE | DENYOOM | FAST, hash::hincrby)
        .doc("2.0.0", "Adds a number to the integer in a field, which starts from 0.", "O(1)")
        .keys(&[key_at(1, RW | ACCESS | UPDATE)])
        .args(&[key("key", 0), string("field"), integer("increment")]),
    row("hincrbyfloat", 4, WRITE | DENYOOM | FAST, hash::hincrbyfloat)
        .doc("2.6.0", "Adds a number to the floating-point one in a field, which starts from 0.", "O(1)")
        .keys(&[key_at(1, RW | ACCESS | UPDATE)])
        .args(&[key("key", 0), string("field"), double("increment")]),
    row("hkeys", 2, READONLY, hash::hkeys)
        .doc("2.0.0", "Lists the fields of a hash.", "O(N), N: fields of the hash")
        .tips(&["nondeterministic_output_order"])
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[key("key", 0)]),
    row("hlen", 2, READONLY | FAST, hash::hlen)
        .doc("2.0.0", "Counts the fields of a hash.", "O(1)")
        .keys(&[key_at(1, RO)])
        .args(&[key("key", 0)]),
    row("hmget", -3, READONLY | FAST, hash::hmget)
        .doc("2.0.0", "Reads several fields of a hash.", "O(N), N: fields named")
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[key("key", 0), string("field").multiple()]),
    row("hmset", -4, WRITE | DENYOOM | FAST, hash::hmset)
        .doc("2.0.0", "Sets fields of a hash.", "O(N), N: fields named")
        .deprecated("4.0.0", "`HSET` with several fields and values")
        .keys(&[key_at(1, RW | UPDATE)])
        .args(&[key("key", 0), DATA]),
    row("hrandfield", -2, READONLY, hash_walk::hrandfield)
        .doc("6.2.0", "Draws fields of a hash at random.", "O(N), N: fields told")
        .tips(&["nondeterministic_output"])
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[
            key("key", 0),
            block("options", &[integer("count"), word("withvalues", "WITHVALUES").optional()]).optional(),
        ]),
    row("hscan", -3, READONLY, hash_walk::hscan)
        .doc(
            "2.8.0",
            "Goes over the fields of a hash, a few with each call.",
            "O(1) for each call, O(N) for all; N: fields of the hash",
        )
        .tips(&["nondeterministic_output"])
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[
            key("key", 0),
            integer("cursor"),
            pattern("pattern").token("MATCH").optional(),
            integer("count").token("COUNT").optional(),
            word("novalues", "NOVALUES").since("7.4.0").optional(),
        ]),
    row("hset", -4, WRITE | DENYOOM | FAST, hash::hset)
        .doc("2.0.0", "Sets fields of a hash, which is created if there is none.", "O(N), N: fields named")
        .keys(&[key_at(1, RW | UPDATE)])
        .history(&[("4.0.0", "Takes several `field` and `value` arguments.")])
        .args(&[key("key", 0), DATA]),
    row("hsetnx", 4, WRITE | DENYOOM | FAST, hash::hsetnx)
        .doc("2.0.0", "Sets a field of a hash unless it is there.", "O(1)")
        .keys(&[key_at(1, RW | INSERT)])
        .args(&[key("key", 0), string("field"), string("value")]),
    row("hstrlen", 3, READONLY | FAST, hash::hstrlen)
        .doc("3.2.0", "Tells the length of a field's value.", "O(1)")
        .keys(&[key_at(1, RO)])
        .args(&[key("key", 0), string("field")]),
    row("hvals", 2, READONLY, hash::hvals)
        .doc("2.0.0", "Lists the values of a hash.", "O(N), N: fields of the hash")
        .tips(&["nondeterministic_output_order"])
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[key("key", 0)]),
];
