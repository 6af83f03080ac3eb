//! The commands: one declarative table, what follows from it, and the handlers.

pub mod account;
pub mod arguments;
mod bitfield;
mod bitmap;
pub mod command;
pub mod context;
pub mod dispatch;
mod expire;
mod generic;
pub mod keys;
pub mod lookup;
mod object;
pub mod registry;
mod scan;
pub mod spec;
mod string;
mod string_expiry;
#[cfg(test)]
mod string_tests;
mod stubs;
mod table;
#[cfg(test)]
pub(crate) mod testing;
mod transactions;

pub use context::{Cx, Handler, Outcome};
pub use dispatch::{Batch, Executor};
pub use lookup::Lookup;
use stubs::*;
