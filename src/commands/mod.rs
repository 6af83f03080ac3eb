//! The commands: one declarative table, what follows from it, and the handlers.

pub mod command;
pub mod keys;
pub mod lookup;
pub mod registry;
pub mod spec;
mod stubs;
mod table;

use crate::resp::{Reply, ReplyError};
use stubs::*;

/// What a handler works with.
pub struct Cx<'a> {
    pub lookup: &'a lookup::Lookup,
    pub reply: Reply<'a>,
}

pub type Fail = ReplyError;

/// Runs one well-formed call (`args[0]` is the command's name) and writes its reply.
pub type Handler = fn(&mut Cx<'_>, &[&[u8]]) -> Result<(), Fail>;
