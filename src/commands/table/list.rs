//! Rows: lists.

use crate::commands::keys::*;
use crate::commands::spec::*;
use crate::commands::{Handler, list, list_move};
use category::LIST;

const fn row(name: &'static str, arity: i16, flags: Flags, categories: Categories, handler: Handler) -> CommandSpec {
    CommandSpec::new(Group::List, name, arity, flags, categories, handler)
}

const SIDES: &[ArgSpec] = &[word("left", "LEFT"), word("right", "RIGHT")];
const FRACTIONAL_TIMEOUT: &[(&str, &str)] = &[("6.0.0", "`timeout` may have a fraction.")];
const SEVERAL_ELEMENTS: &str = "Takes several elements.";

pub static ROWS: &[CommandSpec] = &[
    row("blmove", 6, WRITE | DENYOOM | NOSCRIPT | BLOCKING, LIST, list_move::blmove)
        .doc("6.2.0", "Moves an element from one list to another, waiting for one if need be.", "O(1)")
        .keys(&[key_at(1, RW | ACCESS | DELETE), key_at(2, RW | INSERT)])
        .args(&[
            key("source", 0),
            key("destination", 1),
            one_of("wherefrom", SIDES),
            one_of("whereto", SIDES),
            double("timeout"),
        ]),
    row("blmpop", -5, WRITE | BLOCKING, LIST, list_move::blmpop)
        .doc(
            "7.0.0",
            "Takes elements off the first list that has any, waiting for one if need be.",
            "O(N+M), N: keys, M: elements returned",
        )
        .keys(&[counted_keys_at(2, RW | ACCESS | DELETE)])
        .args(&[
            double("timeout"),
            integer("numkeys"),
            key("key", 0).multiple(),
            one_of("where", SIDES),
            integer("count").token("COUNT").optional(),
        ]),
    row("blpop", -3, WRITE | NOSCRIPT | BLOCKING, LIST, list_move::blpop)
        .doc(
            "2.0.0",
            "Takes the first element of the first list that has any, waiting for one if need be.",
            "O(N), N: keys",
        )
        .history(FRACTIONAL_TIMEOUT)
        .keys(&[keys_before_last(1, RW | ACCESS | DELETE)])
        .args(&[key("key", 0).multiple(), double("timeout")]),
    row("brpop", -3, WRITE | NOSCRIPT | BLOCKING, LIST, list_move::brpop)
        .doc(
            "2.0.0",
            "Takes the last element of the first list that has any, waiting for one if need be.",
            "O(N), N: keys",
        )
        .history(FRACTIONAL_TIMEOUT)
        .keys(&[keys_before_last(1, RW | ACCESS | DELETE)])
        .args(&[key("key", 0).multiple(), double("timeout")]),
    row("brpoplpush", 4, WRITE | DENYOOM | NOSCRIPT | BLOCKING, LIST, list_move::brpoplpush)
        .doc("2.2.0", "Moves the last element of a list to the head of another, waiting for one if need be.", "O(1)")
        .deprecated("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")
        .history(FRACTIONAL_TIMEOUT)
        .keys(&[key_at(1, RW | ACCESS | DELETE), key_at(2, RW | INSERT)])
        .args(&[key("source", 0), key("destination", 1), double("timeout")]),
    row("lindex", 3, READONLY, LIST, list::lindex)
        .doc("1.0.0", "Reads an element by its index.", "O(N), N: nodes or elements passed from the nearer end")
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[key("key", 0), integer("index")]),
    row("linsert", 5, WRITE | DENYOOM, LIST, list::linsert)
        .doc("2.2.0", "Puts an element before or after another one.", "O(N), N: elements up to the other one")
        .keys(&[key_at(1, RW | INSERT)])
        .args(&[
            key("key", 0),
            one_of("where", &[word("before", "BEFORE"), word("after", "AFTER")]),
            string("pivot"),
            string("element"),
        ]),
    row("llen", 2, READONLY | FAST, LIST, list::llen)
        .doc("1.0.0", "Tells a list's length.", "O(1)")
        .keys(&[key_at(1, RO)])
        .args(&[key("key", 0)]),
    row("lmove", 5, WRITE | DENYOOM, LIST, list_move::lmove)
        .doc("6.2.0", "Moves an element from one list to another.", "O(1)")
        .keys(&[key_at(1, RW | ACCESS | DELETE), key_at(2, RW | INSERT)])
        .args(&[key("source", 0), key("destination", 1), one_of("wherefrom", SIDES), one_of("whereto", SIDES)]),
    row("lmpop", -4, WRITE, LIST, list_move::lmpop)
        .doc("7.0.0", "Takes elements off the first list that has any.", "O(N+M), N: keys, M: elements returned")
        .keys(&[counted_keys_at(1, RW | ACCESS | DELETE)])
        .args(&[
            integer("numkeys"),
            key("key", 0).multiple(),
            one_of("where", SIDES),
            integer("count").token("COUNT").optional(),
        ]),
    row("lpop", -2, WRITE | FAST | AT_HEAD, LIST, list::lpop)
        .doc("1.0.0", "Takes elements off the head of a list.", "O(N), N: elements returned")
        .history(&[("6.2.0", "Takes `count`.")])
        .keys(&[key_at(1, RW | ACCESS | DELETE)])
        .args(&[key("key", 0), integer("count").since("6.2.0").optional()]),
    row("lpos", -3, READONLY, LIST, list::lpos)
        .doc("6.0.6", "Finds the indexes of an element.", "O(N), N: elements compared")
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[
            key("key", 0),
            string("element"),
            integer("rank").token("RANK").optional(),
            integer("num-matches").token("COUNT").optional(),
            integer("len").token("MAXLEN").optional(),
        ]),
    row("lpush", -3, WRITE | DENYOOM | FAST | AT_HEAD, LIST, list::lpush)
        .doc("1.0.0", "Puts elements before the head of a list, one after the other.", "O(N), N: elements")
        .history(&[("2.4.0", SEVERAL_ELEMENTS)])
        .keys(&[key_at(1, RW | INSERT)])
        .args(&[key("key", 0), string("element").multiple()]),
    row("lpushx", -3, WRITE | DENYOOM | FAST | AT_HEAD, LIST, list::lpushx)
        .doc("2.2.0", "Puts elements before the head of a list that exists.", "O(N), N: elements")
        .history(&[("4.0.0", SEVERAL_ELEMENTS)])
        .keys(&[key_at(1, RW | INSERT)])
        .args(&[key("key", 0), string("element").multiple()]),
    row("lrange", 4, READONLY, LIST, list::lrange)
        .doc("1.0.0", "Reads a part of a list.", "O(S+N), S: nodes passed from the nearer end, N: elements returned")
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[key("key", 0), integer("start"), integer("stop")]),
    row("lrem", 4, WRITE, LIST, list::lrem)
        .doc("1.0.0", "Removes elements of one value from a list.", "O(N), N: elements compared")
        .keys(&[key_at(1, RW | DELETE)])
        .args(&[key("key", 0), integer("count"), string("element")]),
    row("lset", 4, WRITE | DENYOOM, LIST, list::lset)
        .doc("1.0.0", "Replaces an element by its index.", "O(N), N: nodes or elements passed from the nearer end")
        .keys(&[key_at(1, RW | UPDATE)])
        .args(&[key("key", 0), integer("index"), string("element")]),
    row("ltrim", 4, WRITE, LIST, list::ltrim)
        .doc("1.0.0", "Removes all but a part of a list.", "O(N), N: nodes removed")
        .keys(&[key_at(1, RW | DELETE)])
        .args(&[key("key", 0), integer("start"), integer("stop")]),
    row("rpop", -2, WRITE | FAST | AT_TAIL, LIST, list::rpop)
        .doc("1.0.0", "Takes elements off the tail of a list.", "O(N), N: elements returned")
        .history(&[("6.2.0", "Takes `count`.")])
        .keys(&[key_at(1, RW | ACCESS | DELETE)])
        .args(&[key("key", 0), integer("count").since("6.2.0").optional()]),
    row("rpoplpush", 3, WRITE | DENYOOM, LIST, list_move::rpoplpush)
        .doc("1.2.0", "Moves the last element of a list to the head of another.", "O(1)")
        .deprecated("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments")
        .keys(&[key_at(1, RW | ACCESS | DELETE), key_at(2, RW | INSERT)])
        .args(&[key("source", 0), key("destination", 1)]),
    row("rpush", -3, WRITE | DENYOOM | FAST | AT_TAIL, LIST, list::rpush)
        .doc("1.0.0", "Puts elements behind the tail of a list, one after the other.", "O(N), N: elements")
        .history(&[("2.4.0", SEVERAL_ELEMENTS)])
        .keys(&[key_at(1, RW | INSERT)])
        .args(&[key("key", 0), string("element").multiple()]),
    row("rpushx", -3, WRITE | DENYOOM | FAST | AT_TAIL, LIST, list::rpushx)
        .doc("2.2.0", "Puts elements behind the tail of a list that exists.", "O(N), N: elements")
        .history(&[("4.0.0", SEVERAL_ELEMENTS)])
        .keys(&[key_at(1, RW | INSERT)])
        .args(&[key("key", 0), string("element").multiple()]),
];
