//! Rows: strings and the numbers kept in them.

use crate::commands::keys::*;
use crate::commands::spec::*;
use crate::commands::{Handler, string};
use category::STRING;

const fn row(name: &'static str, arity: i16, flags: Flags, categories: Categories, handler: Handler) -> CommandSpec {
    CommandSpec::new(Group::String, name, arity, flags, categories, handler)
}

pub static ROWS: &[CommandSpec] = &[
    row("append", 3, WRITE | DENYOOM | FAST, STRING, string::append)
        .doc(
            "2.0.0",
            "Appends to a string, which is created if there is none.",
            "O(1) amortized, for an appended value that is small",
        )
        .keys(&[key_at(1, RW | INSERT)])
        .args(&[key("key", 0), string("value")]),
    row("decr", 2, WRITE | DENYOOM | FAST, STRING, string::decr)
        .doc("1.0.0", "Subtracts one from the integer at a key, which starts from 0.", "O(1)")
        .keys(&[key_at(1, RW | ACCESS | UPDATE)])
        .args(&[key("key", 0)]),
    row("decrby", 3, WRITE | DENYOOM | FAST, STRING, string::decrby)
        .doc("1.0.0", "Subtracts a number from the integer at a key, which starts from 0.", "O(1)")
        .keys(&[key_at(1, RW | ACCESS | UPDATE)])
        .args(&[key("key", 0), integer("decrement")]),
    row("get", 2, READONLY | FAST, STRING, string::get)
        .doc("1.0.0", "Reads a string.", "O(1)")
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[key("key", 0)]),
    row("getdel", 2, WRITE | FAST, STRING, string::getdel)
        .doc("6.2.0", "Reads a string and deletes its key.", "O(1)")
        .keys(&[key_at(1, RW | ACCESS | DELETE)])
        .args(&[key("key", 0)]),
    row("getex", -2, WRITE | FAST, STRING, string::getex)
        .doc("6.2.0", "Reads a string and changes when its key expires.", "O(1)")
        .keys(&[key_at(1, RW | ACCESS | UPDATE).notes("A write, since it changes when the key expires")])
        .args(&[
            key("key", 0),
            one_of(
                "expiration",
                &[
                    integer("seconds").token("EX"),
                    integer("milliseconds").token("PX"),
                    unix_time("unix-time-seconds").token("EXAT"),
                    unix_time("unix-time-milliseconds").token("PXAT"),
                    word("persist", "PERSIST"),
                ],
            )
            .optional(),
        ]),
    row("getrange", 4, READONLY, STRING, string::getrange)
        .doc("2.4.0", "Reads a part of a string.", "O(N), N: bytes returned")
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[key("key", 0), integer("start"), integer("end")]),
    row("getset", 3, WRITE | DENYOOM | FAST, STRING, string::getset)
        .doc("1.0.0", "Sets a string and returns the former one.", "O(1)")
        .deprecated("6.2.0", "`SET` with the `!GET` argument")
        .keys(&[key_at(1, RW | ACCESS | UPDATE)])
        .args(&[key("key", 0), string("value")]),
    row("incr", 2, WRITE | DENYOOM | FAST, STRING, string::incr)
        .doc("1.0.0", "Adds one to the integer at a key, which starts from 0.", "O(1)")
        .keys(&[key_at(1, RW | ACCESS | UPDATE)])
        .args(&[key("key", 0)]),
    row("incrby", 3, WRITE | DENYOOM | FAST, STRING, string::incrby)
        .doc("1.0.0", "Adds a number to the integer at a key, which starts from 0.", "O(1)")
        .keys(&[key_at(1, RW | ACCESS | UPDATE)])
        .args(&[key("key", 0), integer("increment")]),
    row("incrbyfloat", 3, WRITE | DENYOOM | FAST, STRING, string::incrbyfloat)
        .doc("2.6.0", "Adds a number to the floating-point one at a key, which starts from 0.", "O(1)")
        .keys(&[key_at(1, RW | ACCESS | UPDATE)])
        .args(&[key("key", 0), double("increment")]),
    row("lcs", -3, READONLY, STRING, string::lcs)
        .doc("7.0.0", "Finds the longest common subsequence of two strings.", "O(N*M), N and M: their lengths")
        .keys(&[keys_at(1, 2, RO | ACCESS)])
        .args(&[
            key("key1", 0),
            key("key2", 0),
            word("len", "LEN").optional(),
            word("idx", "IDX").optional(),
            integer("min-match-len").token("MINMATCHLEN").optional(),
            word("withmatchlen", "WITHMATCHLEN").optional(),
        ]),
    row("mget", -2, READONLY | FAST, STRING, string::mget)
        .doc("1.0.0", "Reads several strings at one moment.", "O(N), N: keys")
        .tips(&["request_policy:multi_shard"])
        .keys(&[keys_from(1, 1, RO | ACCESS)])
        .args(&[key("key", 0).multiple()]),
    row("mset", -3, WRITE | DENYOOM, STRING, string::mset)
        .doc("1.0.1", "Sets several strings at one moment.", "O(N), N: keys")
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
        .keys(&[keys_from(1, 2, OW | UPDATE)])
        .args(&[block("data", &[key("key", 0), string("value")]).multiple()]),
    row("msetnx", -3, WRITE | DENYOOM, STRING, string::msetnx)
        .doc("1.0.1", "Sets several strings at one moment, unless any of the keys exists.", "O(N), N: keys")
        .keys(&[keys_from(1, 2, OW | INSERT)])
        .args(&[block("data", &[key("key", 0), string("value")]).multiple()]),
    row("psetex", 4, WRITE | DENYOOM, STRING, string::psetex)
        .doc("2.6.0", "Sets a string and how many milliseconds it has to live.", "O(1)")
        .deprecated("2.6.12", "`SET` with the `PX` argument")
        .keys(&[key_at(1, OW | UPDATE)])
        .args(&[key("key", 0), integer("milliseconds"), string("value")]),
    row("set", -3, WRITE | DENYOOM, STRING, string::set)
        .doc("1.0.0", "Sets a string, whatever the key held before.", "O(1)")
        .history(&[
            ("2.6.12", "Options `EX`, `PX`, `NX`, `XX`."),
            ("6.0.0", "Option `KEEPTTL`."),
            ("6.2.0", "Options `GET`, `EXAT`, `PXAT`."),
            ("7.0.0", "`NX` and `GET` go together."),
        ])
        .keys(&[key_at(1, RW | ACCESS | UPDATE | VARIABLE_FLAGS).notes("Reads the old value only with `GET`")])
        .find_keys_with(set_keys)
        .args(&[
            key("key", 0),
            string("value"),
            one_of("condition", &[word("nx", "NX"), word("xx", "XX")]).since("2.6.12").optional(),
            word("get", "GET").since("6.2.0").optional(),
            one_of(
                "expiration",
                &[
                    integer("seconds").token("EX").since("2.6.12"),
                    integer("milliseconds").token("PX").since("2.6.12"),
                    unix_time("unix-time-seconds").token("EXAT").since("6.2.0"),
                    unix_time("unix-time-milliseconds").token("PXAT").since("6.2.0"),
                    word("keepttl", "KEEPTTL").since("6.0.0"),
                ],
            )
            .optional(),
        ]),
    row("setex", 4, WRITE | DENYOOM, STRING, string::setex)
        .doc("2.0.0", "Sets a string and how many seconds it has to live.", "O(1)")
        .deprecated("2.6.12", "`SET` with the `EX` argument")
        .keys(&[key_at(1, OW | UPDATE)])
        .args(&[key("key", 0), integer("seconds"), string("value")]),
    row("setnx", 3, WRITE | DENYOOM | FAST, STRING, string::setnx)
        .doc("1.0.0", "Sets a string unless the key exists.", "O(1)")
        .deprecated("2.6.12", "`SET` with the `NX` argument")
        .keys(&[key_at(1, OW | INSERT)])
        .args(&[key("key", 0), string("value")]),
    row("setrange", 4, WRITE | DENYOOM, STRING, string::setrange)
        .doc(
            "2.2.0",
            "Overwrites a part of a string, growing it as needed.",
            "O(1) for a small value, else O(M), M: bytes of the value",
        )
        .keys(&[key_at(1, RW | UPDATE)])
        .args(&[key("key", 0), integer("offset"), string("value")]),
    row("strlen", 2, READONLY | FAST, STRING, string::strlen)
        .doc("2.2.0", "Tells the length of a string.", "O(1)")
        .keys(&[key_at(1, RO)])
        .args(&[key("key", 0)]),
    row("substr", 4, READONLY, STRING, string::substr)
        .doc("1.0.0", "Reads a part of a string.", "O(N), N: bytes returned")
        .deprecated("2.0.0", "`GETRANGE`")
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[key("key", 0), integer("start"), integer("end")]),
];
