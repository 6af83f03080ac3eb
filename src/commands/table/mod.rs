//! The command table: one row per command, one file per group. The only source for arity, flags, access groups, key
//! positions and documentation; `registry` reads it, nothing else does.

mod bitmap;
mod connection;
mod generic;
mod hash;
mod hash_expiry;
mod server;
mod string;
mod transactions;

use super::spec::CommandSpec;

pub static GROUPS: &[&[CommandSpec]] = &[
    bitmap::ROWS,
    connection::ROWS,
    generic::ROWS,
    hash::ROWS,
    hash_expiry::ROWS,
    server::ROWS,
    string::ROWS,
    transactions::ROWS,
];
