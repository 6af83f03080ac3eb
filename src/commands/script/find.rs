//! Which script or function a call runs, and which slots it may touch. Dispatch asks before anything is locked.

use crate::commands::registry::Command;
use crate::engine::Worker;
use crate::engine::script::flags::{self, ScriptFlags};
use crate::engine::script::registry::KnownReach;
use crate::engine::script::{Reach, Runnable};

/// How a command names what it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    Body,
    Sha,
    Function,
}

/// What tells the commands that run scripts apart.
pub fn naming(command: &Command) -> Naming {
    let name = command.spec.name;
    if name.starts_with("evalsha") {
        Naming::Sha
    } else if name.starts_with("eval") {
        Naming::Body
    } else {
        Naming::Function
    }
}

/// Whether the command may not write.
pub fn is_read_only(command: &Command) -> bool {
    command.spec.name.ends_with("_ro")
}

/// What the call runs, if it is known.
pub fn find(worker: &Worker, command: &Command, args: &[&[u8]]) -> Option<Runnable> {
    let (scripts, hasher) = (&worker.engine.scripts, worker.engine.keyspace.hasher());
    let mut cache = worker.scripts.borrow_mut();
    match naming(command) {
        Naming::Body => cache.with_body(scripts, hasher, args[1]).map(Runnable::Script),
        Naming::Sha => cache.with_sha(scripts, hasher, args[1]).map(Runnable::Script),
        Naming::Function => worker.engine.libraries.function(args[1]).map(Runnable::Function),
    }
}

/// Whether the call may change something, as far as what it runs says.
pub fn may_write(worker: &Worker, command: &Command, args: &[&[u8]]) -> bool {
    !is_read_only(command) && flags_of_call(worker, command, args).is_some_and(|flags| flags & flags::NO_WRITES == 0)
}

/// Whether what the call runs says itself that it may change something.
pub fn declares_writes(worker: &Worker, command: &Command, args: &[&[u8]]) -> bool {
    let flags = flags_of_call(worker, command, args);
    !is_read_only(command) && flags.is_some_and(|flags| flags & (flags::NO_WRITES | flags::UNDECLARED) == 0)
}

/// What the call runs says about itself, if it runs anything.
fn flags_of_call(worker: &Worker, command: &Command, args: &[&[u8]]) -> Option<ScriptFlags> {
    match find(worker, command, args) {
        Some(Runnable::Script(script)) => Some(script.flags),
        Some(Runnable::Function(function)) => Some(function.flags),
        // What is not well-formed runs nothing.
        None if naming(command) == Naming::Body => flags::of_script(args[1]).ok().map(|(flags, _)| flags),
        None => None,
    }
}

/// Which slots a run needs.
pub fn reach(found: Option<&Runnable>, command: &Command, args: &[&[u8]]) -> Reach {
    match found {
        Some(runnable) => known_reach(runnable).get(),
        None if naming(command) == Naming::Body => KnownReach::of_code(args[1]).get(),
        // There is nothing to run.
        None => Reach::Declared,
    }
}

pub fn known_reach(runnable: &Runnable) -> &KnownReach {
    match runnable {
        Runnable::Script(script) => &script.reach,
        Runnable::Function(function) => &function.reach,
    }
}
