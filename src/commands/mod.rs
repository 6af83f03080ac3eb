//! The commands: one declarative table, what follows from it, and the handlers.

pub mod account;
pub mod client;
pub mod command;
pub mod config;
pub mod connection;
pub mod context;
pub mod debug;
pub mod dispatch;
pub mod info;
pub mod keys;
pub mod latency;
pub mod lolwut;
pub mod lookup;
pub mod memory;
pub mod registry;
pub mod server;
pub mod slow_log;
pub mod spec;
mod stubs;
mod table;

pub use context::{Cx, Handler, Outcome};
pub use dispatch::{Batch, Executor};
pub use lookup::Lookup;
use stubs::*;
