//! What a command handler works with.

use std::sync::Arc;

use super::lookup::Lookup;
use super::registry::Command;
use crate::config::Config;
use crate::engine::script::Runnable;
use crate::engine::{Engine, Session, Space, Worker};
use crate::resp::{Reply, ReplyError};

/// What a command that finds nothing and would have its client wait can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    Allowed,
    /// It answers as if the time was over: nobody waits inside a transaction, a script or a replay.
    Denied,
    /// It runs for a client that waits already.
    Again,
    /// The same, and there was nothing again.
    InVain,
}

/// One command's surroundings. The fields are separate so that a handler can hold a value borrowed from `space` while
/// it writes it to `reply`.
pub struct Cx<'a> {
    pub worker: &'a Worker,
    pub lookup: &'a Lookup,
    pub session: &'a mut Session,
    pub space: Space<'a>,
    pub reply: Reply<'a>,
    pub command: &'static Command,
    /// Whether EXEC or a script runs the command.
    pub in_exec: bool,
    /// The script that the command runs, where it was looked up already.
    pub script: Option<Runnable>,
    /// Set by a handler that changed nothing and wrote nothing: it is to run again, with every slot in reach.
    pub wants_everything: bool,
    pub waits: Waits,
}

/// What a handler gives back: `Ok` when it wrote its whole reply. With an error, what it wrote is taken back.
pub type Outcome = Result<(), ReplyError>;

/// Runs one well-formed call (`args[0]` is the command's name) and writes its reply.
pub type Handler = fn(&mut Cx<'_>, &[&[u8]]) -> Outcome;

impl<'a> Cx<'a> {
    pub fn engine(&self) -> &'a Engine {
        &self.worker.engine
    }

    pub fn config(&self) -> &'a Arc<Config> {
        self.worker.config()
    }

    /// With a longer reply the client is closed, so nobody needs the rest of it.
    pub fn reply_bytes_max(&self) -> usize {
        match self.config().client_output_buffer_limit.normal.hard_bytes {
            0 => usize::MAX,
            hard_bytes => hard_bytes as usize,
        }
    }

    /// Refuses to draw so many times with repetition that no memory would hold the reply. A limit of the client's output
    /// ends it, too.
    pub fn check_draws(&self, draws: u64) -> Result<(), ReplyError> {
        /// All of them go into one reply.
        const DRAWS_MAX: u64 = 1 << 24;
        if draws > DRAWS_MAX && self.reply_bytes_max() == usize::MAX { Err(ReplyError::OutOfRange) } else { Ok(()) }
    }

    /// Keeps an argument out of slow log and MONITOR.
    pub fn redact(&mut self, index: usize) {
        self.session.redacted.push(index);
    }

    /// A syntax error's usual cause, an unknown subcommand or a wrong number of its arguments.
    pub fn unknown_subcommand(&self, args: &[&[u8]]) -> ReplyError {
        let name = self.command.full_name.split('|').next().unwrap_or_default().to_uppercase();
        let given = args.get(1).copied().unwrap_or_default();
        let given = &given[..given.len().min(128)];
        let before = "ERR unknown subcommand or wrong number of arguments for '";
        ReplyError::quoting(before, given, &format!("'. Try {name} HELP."))
    }
}
