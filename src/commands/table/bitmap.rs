//! Rows: strings used as arrays of bits.

use crate::commands::keys::*;
use crate::commands::spec::*;
use crate::commands::{Handler, bitmap};
use category::BITMAP;

const fn row(name: &'static str, arity: i16, flags: Flags, categories: Categories, handler: Handler) -> CommandSpec {
    CommandSpec::new(Group::Bitmap, name, arity, flags, categories, handler)
}

pub static ROWS: &[CommandSpec] = &[
    row("bitcount", -2, READONLY, BITMAP, bitmap::bitcount)
        .doc("2.6.0", "Counts the bits that are set in a string, or in a part of it.", "O(N)")
        .history(&[("7.0.0", "The unit `BYTE|BIT` can be given.")])
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[
            key("key", 0),
            block(
                "range",
                &[
                    integer("start"),
                    integer("end"),
                    one_of("unit", &[word("byte", "BYTE"), word("bit", "BIT")]).since("7.0.0").optional(),
                ],
            )
            .optional(),
        ]),
    row("bitfield", -2, WRITE | DENYOOM, BITMAP, bitmap::bitfield)
        .doc("3.2.0", "Reads, sets and increments integers of any width inside a string.", "O(1) for each operation")
        .keys(&[key_at(1, RW | UPDATE | ACCESS | VARIABLE_FLAGS).notes("Reads, writes or both, as its operations do")])
        .find_keys_with(bitfield_keys)
        .args(&[
            key("key", 0),
            one_of(
                "operation",
                &[
                    block("get-block", &[string("encoding"), integer("offset")]).token("GET"),
                    block(
                        "write",
                        &[
                            one_of("overflow-block", &[word("wrap", "WRAP"), word("sat", "SAT"), word("fail", "FAIL")])
                                .token("OVERFLOW")
                                .optional(),
                            one_of(
                                "write-operation",
                                &[
                                    block("set-block", &[string("encoding"), integer("offset"), integer("value")])
                                        .token("SET"),
                                    block(
                                        "incrby-block",
                                        &[string("encoding"), integer("offset"), integer("increment")],
                                    )
                                    .token("INCRBY"),
                                ],
                            ),
                        ],
                    ),
                ],
            )
            .optional()
            .multiple(),
        ]),
    row("bitfield_ro", -2, READONLY | FAST, BITMAP, bitmap::bitfield_ro)
        .doc("6.0.0", "Reads integers of any width inside a string.", "O(1) for each operation")
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[
            key("key", 0),
            block("get-block", &[string("encoding"), integer("offset")]).token("GET").optional().multiple_token(),
        ]),
    row("bitop", -4, WRITE | DENYOOM, BITMAP, bitmap::bitop)
        .doc("2.6.0", "Combines strings bit by bit and stores the result.", "O(N)")
        .keys(&[key_at(2, OW | UPDATE), keys_from(3, 1, RO | ACCESS)])
        .args(&[
            one_of("operation", &[word("and", "AND"), word("or", "OR"), word("xor", "XOR"), word("not", "NOT")]),
            key("destkey", 0),
            key("key", 1).multiple(),
        ]),
    row("bitpos", -3, READONLY, BITMAP, bitmap::bitpos)
        .doc("2.8.7", "Finds the first bit of a string that is set, or clear.", "O(N)")
        .history(&[("7.0.0", "The unit `BYTE|BIT` can be given.")])
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[
            key("key", 0),
            integer("bit"),
            block(
                "range",
                &[
                    integer("start"),
                    block(
                        "end-unit-block",
                        &[
                            integer("end"),
                            one_of("unit", &[word("byte", "BYTE"), word("bit", "BIT")]).since("7.0.0").optional(),
                        ],
                    )
                    .optional(),
                ],
            )
            .optional(),
        ]),
    row("getbit", 3, READONLY | FAST, BITMAP, bitmap::getbit)
        .doc("2.2.0", "Reads one bit of a string.", "O(1)")
        .keys(&[key_at(1, RO | ACCESS)])
        .args(&[key("key", 0), integer("offset")]),
    row("setbit", 4, WRITE | DENYOOM, BITMAP, bitmap::setbit)
        .doc("2.2.0", "Sets or clears one bit of a string, growing it as needed.", "O(1)")
        .keys(&[key_at(1, RW | ACCESS | UPDATE)])
        .args(&[key("key", 0), integer("offset"), integer("value")]),
];
