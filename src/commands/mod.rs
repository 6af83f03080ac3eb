//! The commands: one declarative table, what follows from it, and the handlers.

pub mod account;
pub mod command;
pub mod context;
pub mod dispatch;
pub mod keys;
pub mod lookup;
pub mod registry;
pub mod spec;
mod stubs;
mod table;
#[cfg(test)]
pub mod testing;

pub use context::{Cx, Handler, Outcome};
pub use dispatch::{Batch, Executor};
pub use lookup::Lookup;
use stubs::*;
