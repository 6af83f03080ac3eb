//! Rows: transactions.

use crate::commands::keys::*;
use crate::commands::spec::*;
use crate::commands::{Handler, transactions};
use category::TRANSACTION;

const fn row(name: &'static str, arity: i16, flags: Flags, categories: Categories, handler: Handler) -> CommandSpec {
    CommandSpec::new(Group::Transactions, name, arity, flags, categories, handler)
}

pub static ROWS: &[CommandSpec] = &[
    row(
        "discard",
        1,
        NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY | NEVER_QUEUED,
        TRANSACTION,
        transactions::discard,
    )
    .doc("2.0.0", "Drops the queued commands and ends the transaction.", "O(N), N: commands queued"),
    row(
        "exec",
        1,
        NOSCRIPT | LOADING | STALE | SKIP_SLOWLOG | NEVER_QUEUED | RUNS_QUEUE,
        TRANSACTION,
        transactions::exec,
    )
    .doc("1.2.0", "Runs the queued commands as one.", "Depends on the commands queued"),
    row("multi", 1, NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY | NEVER_QUEUED, TRANSACTION, transactions::multi)
        .doc("1.2.0", "Begins a transaction: commands are queued until EXEC.", "O(1)"),
    row("unwatch", 1, NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY, TRANSACTION, transactions::unwatch).doc(
        "2.2.0",
        "Forgets the keys watched.",
        "O(1)",
    ),
    row("watch", -2, NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY | NEVER_QUEUED, TRANSACTION, transactions::watch)
        .doc("2.2.0", "Makes the next EXEC depend on these keys staying as they are.", "O(1) for each key")
        .keys(&[keys_from(1, 1, RO)])
        .args(&[key("key", 0).multiple()]),
];
