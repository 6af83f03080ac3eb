//! Rows: counters of distinct elements.

use crate::commands::keys::*;
use crate::commands::spec::*;
use crate::commands::{Handler, hyperloglog};
use category::HYPERLOGLOG;

const fn row(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> CommandSpec {
    CommandSpec::new(Group::HyperLogLog, name, arity, flags, HYPERLOGLOG, handler)
}

pub static ROWS: &[CommandSpec] = &[
    row("pfadd", -2, WRITE | DENYOOM | FAST, hyperloglog::pfadd)
        .doc("2.8.9", "Has a HyperLogLog see elements, making it if there is none.", "O(1) for each element")
        .keys(&[key_at(1, RW | INSERT)])
        .args(&[key("key", 0), string("element").optional().multiple()]),
    row("pfcount", -2, READONLY | MAY_REPLICATE, hyperloglog::pfcount)
        .doc(
            "2.8.9",
            "Tells about how many distinct elements HyperLogLogs have seen together.",
            "O(1) for one key, O(N) for N keys",
        )
        .keys(&[keys_from(1, 1, RW | ACCESS).notes("RW because the count is kept in the value, and told to replicas")])
        .args(&[key("key", 0).multiple()]),
    row("pfdebug", 3, WRITE | DENYOOM | ADMIN, hyperloglog::pfdebug)
        .doc("2.8.9", "Shows the inside of a HyperLogLog.", "")
        .keys(&[key_at(2, RW | ACCESS)])
        .system()
        .args(&[string("subcommand"), key("key", 0)]),
    row("pfmerge", -2, WRITE | DENYOOM, hyperloglog::pfmerge)
        .doc("2.8.9", "Merges HyperLogLogs into one.", "O(N), with N HyperLogLogs")
        .keys(&[key_at(1, RW | ACCESS | INSERT), keys_from(2, 1, RO | ACCESS)])
        .args(&[key("destkey", 0), key("sourcekey", 1).optional().multiple()]),
    row("pfselftest", 1, ADMIN, hyperloglog::pfselftest)
        .doc("2.8.9", "Checks the HyperLogLogs' implementation.", "")
        .system(),
];
