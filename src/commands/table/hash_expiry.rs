//! Rows: the expiry of single fields of hashes.

use crate::commands::keys::*;
use crate::commands::spec::*;
use crate::commands::{Handler, hash_expiry};
use category::HASH;

const PER_FIELD: &str = "O(N), N: fields named";

const fn row(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> CommandSpec {
    CommandSpec::new(Group::Hash, name, arity, flags, HASH, handler)
}

const NAMES: ArgSpec = block("fields", &[integer("numfields"), string("field").multiple()]).token("FIELDS");

const CONDITION: ArgSpec =
    one_of("condition", &[word("nx", "NX"), word("xx", "XX"), word("gt", "GT"), word("lt", "LT")]).optional();

const SECONDS: ArgSpec = integer("seconds").token("EX");
const MILLISECONDS: ArgSpec = integer("milliseconds").token("PX");
const UNIX_SECONDS: ArgSpec = unix_time("unix-time-seconds").token("EXAT");
const UNIX_MILLISECONDS: ArgSpec = unix_time("unix-time-milliseconds").token("PXAT");

static CHANGED_KEY: [KeySpec; 1] = [key_at(1, RW | UPDATE)];
static READ_KEY: [KeySpec; 1] = [key_at(1, RO | ACCESS)];
static KEY_AND_NAMES: [ArgSpec; 2] = [key("key", 0), NAMES];

/// Of a command that sets an expiry.
const fn setting(spec: CommandSpec, summary: &'static str, args: &'static [ArgSpec]) -> CommandSpec {
    spec.doc("7.4.0", summary, PER_FIELD).keys(&CHANGED_KEY).args(args)
}

/// Of a command that tells an expiry.
const fn telling(spec: CommandSpec, summary: &'static str) -> CommandSpec {
    spec.doc("7.4.0", summary, PER_FIELD).keys(&READ_KEY).args(&KEY_AND_NAMES)
}

pub static ROWS: &[CommandSpec] = &[
    setting(
        row("hexpire", -6, WRITE | DENYOOM | FAST, hash_expiry::hexpire),
        "Has fields of a hash expire after some seconds.",
        &[key("key", 0), integer("seconds"), CONDITION, NAMES],
    ),
    setting(
        row("hexpireat", -6, WRITE | DENYOOM | FAST, hash_expiry::hexpireat),
        "Has fields of a hash expire at a Unix time in seconds.",
        &[key("key", 0), unix_time("unix-time-seconds"), CONDITION, NAMES],
    ),
    telling(
        row("hexpiretime", -5, READONLY | FAST, hash_expiry::hexpiretime),
        "Tells when fields of a hash expire, as Unix times in seconds.",
    ),
    row("hgetdel", -5, WRITE | FAST, hash_expiry::hgetdel)
        .doc("8.0.0", "Reads fields of a hash and deletes them.", PER_FIELD)
        .keys(&[key_at(1, RW | ACCESS | DELETE)])
        .args(&[key("key", 0), NAMES]),
    row("hgetex", -5, WRITE | FAST, hash_expiry::hgetex)
        .doc("8.0.0", "Reads fields of a hash and changes when they expire.", PER_FIELD)
        .keys(&[key_at(1, RW | ACCESS | UPDATE).notes("A write, since it changes when fields expire")])
        .args(&[
            key("key", 0),
            one_of("expiration", &[SECONDS, MILLISECONDS, UNIX_SECONDS, UNIX_MILLISECONDS, word("persist", "PERSIST")])
                .optional(),
            NAMES,
        ]),
    setting(
        row("hpersist", -5, WRITE | FAST, hash_expiry::hpersist),
        "Has fields of a hash no longer expire.",
        &[key("key", 0), NAMES],
    ),
    setting(
        row("hpexpire", -6, WRITE | DENYOOM | FAST, hash_expiry::hpexpire),
        "Has fields of a hash expire after some milliseconds.",
        &[key("key", 0), integer("milliseconds"), CONDITION, NAMES],
    ),
    setting(
        row("hpexpireat", -6, WRITE | DENYOOM | FAST, hash_expiry::hpexpireat),
        "Has fields of a hash expire at a Unix time in milliseconds.",
        &[key("key", 0), unix_time("unix-time-milliseconds"), CONDITION, NAMES],
    ),
    telling(
        row("hpexpiretime", -5, READONLY | FAST, hash_expiry::hpexpiretime),
        "Tells when fields of a hash expire, as Unix times in milliseconds.",
    ),
    telling(
        row("hpttl", -5, READONLY | FAST, hash_expiry::hpttl),
        "Tells how long fields of a hash are going to live, in milliseconds.",
    )
    .tips(&["nondeterministic_output"]),
    row("hsetex", -6, WRITE | DENYOOM | FAST, hash_expiry::hsetex)
        .doc("8.0.0", "Sets fields of a hash and when they expire.", PER_FIELD)
        .keys(&[key_at(1, RW | UPDATE)])
        .args(&[
            key("key", 0),
            one_of("condition", &[word("fnx", "FNX"), word("fxx", "FXX")]).optional(),
            one_of("expiration", &[SECONDS, MILLISECONDS, UNIX_SECONDS, UNIX_MILLISECONDS, word("keepttl", "KEEPTTL")])
                .optional(),
            block("fields", &[integer("numfields"), block("data", &[string("field"), string("value")]).multiple()])
                .token("FIELDS"),
        ]),
    telling(
        row("httl", -5, READONLY | FAST, hash_expiry::httl),
        "Tells how long fields of a hash are going to live, in seconds.",
    )
    .tips(&["nondeterministic_output"]),
];
