//! Rows: what a connection says to a node of a cluster.

use crate::commands::spec::*;
use crate::commands::{Handler, cluster};
use category::CONNECTION;

const fn row(name: &'static str, flags: Flags, handler: Handler) -> CommandSpec {
    CommandSpec::new(Group::Cluster, name, 1, flags, CONNECTION, handler)
}

pub static ROWS: &[CommandSpec] = &[
    row("asking", FAST, cluster::disabled).doc("3.0.0", "Follows an ASK redirection with the next command.", "O(1)"),
    row("readonly", LOADING | STALE | FAST, cluster::disabled).doc(
        "3.0.0",
        "Reads from a replica, which may be behind.",
        "O(1)",
    ),
    row("readwrite", LOADING | STALE | FAST, cluster::disabled).doc("3.0.0", "Takes READONLY back.", "O(1)"),
];
