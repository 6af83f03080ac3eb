//! Rows: what a connection says to a node of a cluster. A server on its own answers none of it.

use crate::commands::cluster;
use crate::commands::spec::*;
use category::CONNECTION;

const fn connection_row(name: &'static str, flags: Flags) -> CommandSpec {
    CommandSpec::new(Group::Cluster, name, 1, flags, CONNECTION, cluster::disabled)
}

const fn row(name: &'static str, arity: i16, flags: Flags) -> CommandSpec {
    CommandSpec::new(Group::Cluster, name, arity, flags | STALE, 0, cluster::disabled)
}

/// A subcommand that changes the node or its view of the cluster.
const fn change(name: &'static str, arity: i16) -> CommandSpec {
    row(name, arity, ADMIN | NO_ASYNC_LOADING)
}

const NONDETERMINISTIC: &[&str] = &["nondeterministic_output"];
const NODE_ID: &[ArgSpec] = &[string("node-id")];
const SLOTS: &[ArgSpec] = &[integer("slot").multiple()];
const SLOT_RANGES: &[ArgSpec] = &[block("range", &[integer("start-slot"), integer("end-slot")]).multiple()];

pub static ROWS: &[CommandSpec] = &[
    connection_row("asking", FAST).doc("3.0.0", "Follows an ASK redirection with the next command.", "O(1)"),
    CommandSpec::container(Group::Cluster, "cluster")
        .doc("3.0.0", "Commands about a cluster and its nodes.", "Depends on the subcommand")
        .subcommands(&[
            change("addslots", -3).doc("3.0.0", "Gives slots to this node.", "O(N), N: slots").args(SLOTS),
            change("addslotsrange", -4)
                .doc("7.0.0", "Gives ranges of slots to this node.", "O(N), N: slots in the ranges")
                .args(SLOT_RANGES),
            change("bumpepoch", 2).doc("3.0.0", "Raises the configuration epoch.", "O(1)").tips(NONDETERMINISTIC),
            row("count-failure-reports", 3, ADMIN)
                .doc("3.0.0", "Counts who reports a node as failing.", "O(N), N: reports")
                .tips(NONDETERMINISTIC)
                .args(NODE_ID),
            row("countkeysinslot", 3, 0).doc("3.0.0", "Counts the keys in a slot.", "O(1)").args(&[integer("slot")]),
            change("delslots", -3).doc("3.0.0", "Takes slots from whoever has them.", "O(N), N: slots").args(SLOTS),
            change("delslotsrange", -4)
                .doc("7.0.0", "Takes ranges of slots from whoever has them.", "O(N), N: slots in the ranges")
                .args(SLOT_RANGES),
            change("failover", -2).doc("3.0.0", "Makes a replica the primary.", "O(1)").args(&[one_of(
                "options",
                &[word("force", "FORCE"), word("takeover", "TAKEOVER")],
            )
            .optional()]),
            change("flushslots", 2).doc("3.0.0", "Gives up all slots of this node.", "O(1)"),
            change("forget", 3).doc("3.0.0", "Takes a node off the list of known nodes.", "O(1)").args(NODE_ID),
            row("getkeysinslot", 4, 0)
                .doc("3.0.0", "Lists keys in a slot.", "O(N), N: keys asked for")
                .tips(NONDETERMINISTIC)
                .args(&[integer("slot"), integer("count")]),
            row("help", 2, LOADING).doc("5.0.0", "Lists the subcommands.", "O(1)"),
            row("info", 2, 0).doc("3.0.0", "Tells the state of the cluster.", "O(1)").tips(NONDETERMINISTIC),
            row("keyslot", 3, 0)
                .doc("3.0.0", "Tells the slot of a key.", "O(N), N: bytes of the key")
                .args(&[string("key")]),
            row("links", 2, 0)
                .doc("7.0.0", "Lists the connections to other nodes.", "O(N), N: nodes")
                .tips(NONDETERMINISTIC),
            change("meet", -4).doc("3.0.0", "Introduces a node to this one.", "O(1)").args(&[
                string("ip"),
                integer("port"),
                integer("cluster-bus-port").since("4.0.0").optional(),
            ]),
            row("myid", 2, 0).doc("3.0.0", "Tells the id of this node.", "O(1)"),
            row("myshardid", 2, 0).doc("7.2.0", "Tells the id of this node's shard.", "O(1)").tips(NONDETERMINISTIC),
            row("nodes", 2, 0)
                .doc("3.0.0", "Lists the nodes as this one sees them.", "O(N), N: nodes")
                .tips(NONDETERMINISTIC),
            row("replicas", 3, ADMIN)
                .doc("5.0.0", "Lists the replicas of a node.", "O(N), N: replicas")
                .tips(NONDETERMINISTIC)
                .args(NODE_ID),
            change("replicate", 3).doc("3.0.0", "Makes this node a replica of another.", "O(1)").args(NODE_ID),
            row("reset", -2, ADMIN | NOSCRIPT)
                .doc("3.0.0", "Forgets the cluster, and the keys of a replica.", "O(N), N: nodes")
                .args(&[one_of("reset-type", &[word("hard", "HARD"), word("soft", "SOFT")]).optional()]),
            change("saveconfig", 2).doc("3.0.0", "Writes the state of the cluster to the disk.", "O(1)"),
            change("set-config-epoch", 3)
                .doc("3.0.0", "Sets the configuration epoch of a new node.", "O(1)")
                .args(&[integer("config-epoch")]),
            change("setslot", -4).doc("3.0.0", "Sets the owner or the migration of a slot.", "O(1)").args(&[
                integer("slot"),
                one_of(
                    "subcommand",
                    &[
                        string("importing").token("IMPORTING").display("node-id"),
                        string("migrating").token("MIGRATING").display("node-id"),
                        string("node").token("NODE").display("node-id"),
                        word("stable", "STABLE"),
                    ],
                ),
            ]),
            row("shards", 2, 0)
                .doc("7.0.0", "Lists the shards with their slots and nodes.", "O(N), N: nodes")
                .tips(NONDETERMINISTIC),
            row("slaves", 3, ADMIN)
                .doc("3.0.0", "Lists the replicas of a node.", "O(N), N: replicas")
                .deprecated("5.0.0", "`CLUSTER REPLICAS`")
                .tips(NONDETERMINISTIC)
                .args(NODE_ID),
            row("slots", 2, 0)
                .doc("3.0.0", "Lists ranges of slots with their nodes.", "O(N), N: nodes")
                .deprecated("7.0.0", "`CLUSTER SHARDS`")
                .tips(NONDETERMINISTIC),
        ]),
    connection_row("readonly", LOADING | STALE | FAST).doc(
        "3.0.0",
        "Reads from a replica, which may be behind.",
        "O(1)",
    ),
    connection_row("readwrite", LOADING | STALE | FAST).doc("3.0.0", "Takes READONLY back.", "O(1)"),
];
