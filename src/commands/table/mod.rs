//! The command table: one row per command, one file per group. The only source for arity, flags, access groups, key
//! positions and documentation; `registry` reads it, nothing else does.

mod acl;
mod bitmap;
mod cluster;
mod connection;
mod generic;
mod geo;
mod hash;
mod hash_expiry;
mod hyperloglog;
mod list;
mod pubsub;
mod scripting;
mod server;
mod set;
mod sorted_set;
mod stream;
mod string;
mod transactions;

use super::spec::CommandSpec;

pub static GROUPS: &[&[CommandSpec]] = &[
    acl::ROWS,
    bitmap::ROWS,
    cluster::ROWS,
    connection::ROWS,
    generic::ROWS,
    geo::ROWS,
    hash::ROWS,
    hash_expiry::ROWS,
    hyperloglog::ROWS,
    list::ROWS,
    pubsub::ROWS,
    scripting::ROWS,
    server::ROWS,
    set::ROWS,
    sorted_set::ROWS,
    stream::ROWS,
    string::ROWS,
    transactions::ROWS,
];
