//! Handlers of the commands on streams.

mod add;
mod claim;
mod groups;
mod info;
mod parse;
mod pending;
mod range;
mod read;
mod tell;
mod write;

#[cfg(test)]
mod tests;

pub use add::{xadd, xdel, xsetid, xtrim};
pub use claim::{xautoclaim, xclaim};
pub use groups::{create, create_consumer, delete_consumer, destroy, help as xgroup_help, set_id};
pub use info::{consumers, groups, help as xinfo_help, stream};
pub use pending::{xack, xpending};
pub use range::{xlen, xrange, xrevrange};
pub use read::{xread, xreadgroup};
