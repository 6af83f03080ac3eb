//! What is answered while a script overruns its time, and what ends it: SCRIPT KILL, FUNCTION KILL.

use crate::commands::context::{Cx, Outcome};
use crate::commands::registry::Command;
use crate::commands::spec::ALLOW_BUSY;
use crate::engine::script::running::KillError;
use crate::engine::{Engine, Session};
use crate::resp::ReplyError;

const BUSY_SCRIPT: ReplyError =
    ReplyError::of("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.");
const BUSY_FUNCTION: ReplyError =
    ReplyError::of("BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.");

/// Whether a command is served while a script overruns. What would wait for slots is not: the script may hold them.
pub fn may_run_beside_script(session: &Session, command: &Command, args: &[&[u8]]) -> bool {
    match command.spec.name {
        "shutdown" => args[1..].iter().any(|word| word.eq_ignore_ascii_case(b"nosave")),
        "watch" => false,
        _ => command.has(ALLOW_BUSY) && session.watched().len() == 0,
    }
}

/// What all other commands are answered.
#[cold]
pub fn busy_error(engine: &Engine) -> ReplyError {
    match engine.running.first() {
        Some(overrun) if overrun.is_function => BUSY_FUNCTION,
        _ => BUSY_SCRIPT,
    }
}

/// SCRIPT KILL
pub fn kill_script(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    kill(cx, false)
}

/// FUNCTION KILL
pub fn kill_function(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    kill(cx, true)
}

fn kill(cx: &mut Cx<'_>, functions: bool) -> Outcome {
    cx.engine().running.kill(functions).map_err(|error| match error {
        KillError::NothingRuns => ReplyError::of("NOTBUSY No scripts in execution right now."),
        KillError::HasWritten => ReplyError::of(
            "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the \
             script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
        ),
        KillError::OtherKind => busy_error(cx.engine()),
    })?;
    cx.reply.ok();
    Ok(())
}
