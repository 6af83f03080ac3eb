//! Scripts and functions: the handlers, what dispatch asks about them, and the server as a script sees it.

pub mod busy;
pub mod cached;
pub mod find;
pub mod function;
mod host;
pub mod run;

pub use busy::{busy_error, may_run_beside_script};
pub use find::{declares_writes, find, may_write, reach};
