//! What runs scripts, and what scripts run on.

use std::borrow::Cow;
use std::sync::Arc;

use super::library::{Function, LibraryCode};
use super::registry::Script;
use crate::resp::{Protocol, Reply};

/// Something that can be called.
#[derive(Clone, Debug)]
pub enum Runnable {
    Script(Arc<Script>),
    Function(Arc<Function>),
}

/// Why a run is stopped from outside; the script cannot catch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It reached beyond the slots that are held and has changed nothing: it is to be run again with all of them.
    Abandoned,
    Killed,
}

/// What became of a script's command.
pub enum Called {
    /// It ran; its reply, which may be an error, was shown.
    Replied,
    /// It was not run. The text has its code word, and the error was counted.
    Refused(Cow<'static, str>),
    Stopped(Stop),
}

/// How a run ended.
pub enum Ended {
    /// What it returned was answered.
    Answered,
    /// With an error, or by returning one. `counted`: it is that of a command and was counted there.
    Failed {
        text: Vec<u8>,
        counted: bool,
    },
    Stopped(Stop),
}

/// What a script sees of the server while it runs.
pub trait ScriptHost {
    /// Runs a command and shows its reply, in the protocol that the script chose.
    fn call(&mut self, args: &[&[u8]], show: &mut dyn FnMut(&[u8])) -> Called;
    /// The protocol of the replies that the script sees.
    fn set_protocol(&mut self, protocol: Protocol);
    fn protocol(&self) -> Protocol;
    /// Whether the user may run a command; `None` when there is none of that name.
    fn may_call(&mut self, args: &[&[u8]]) -> Option<bool>;
    /// Whether replicas are told of the writes that follow.
    fn set_replicated(&mut self, replicated: bool);
    /// Called every now and then while the script runs; whether it is to end.
    fn interrupt(&mut self) -> Option<Stop>;
    /// Writes the client's reply.
    fn answer(&mut self, write: &mut dyn FnMut(&mut Reply<'_>));
}

/// A function as its library registered it.
#[derive(Debug)]
pub struct Registered {
    pub name: String,
    pub description: Option<Vec<u8>>,
    pub flags: super::flags::ScriptFlags,
}

/// Runs scripts on the calling thread, with a state of its own for each thread.
pub trait ScriptEngine: Send + Sync {
    /// Compiles a script; the error is for its author.
    fn compile(&self, script: &Arc<Script>) -> Result<(), Vec<u8>>;
    /// Runs a library's code, so that it registers its functions, for so long at the most; 0 is without end.
    fn load(&self, library: &Arc<LibraryCode>, timeout_ms: u64) -> Result<Vec<Registered>, Vec<u8>>;
    fn run(&self, runnable: &Runnable, keys: &[&[u8]], args: &[&[u8]], host: &mut dyn ScriptHost) -> Ended;
    /// Bytes that the largest of the threads' states takes, and all of them.
    fn memory_bytes(&self) -> (u64, u64);
}
