//! Handlers of EVAL, EVALSHA, FCALL and their read-only variants.
//!
//! A script's commands run like those of EXEC's queue: under locks that are held to the end, their effects gathered and
//! handed on as one transaction. What the script selects or chooses for itself ends with it.

use std::sync::Arc;

use super::find::{self, Naming, is_read_only, known_reach, naming};
use super::host::Host;
use crate::base::number::parse_i64;
use crate::commands::account;
use crate::commands::admission::{READ_ONLY_REPLICA, STALE_REPLICA, check_replicas, is_stale_replica};
use crate::commands::context::{Cx, Outcome};
use crate::engine::effect::Effect;
use crate::engine::persistence::obstacle;
use crate::engine::script::flags::{ALLOW_OOM, ALLOW_STALE, NO_CLUSTER, NO_WRITES, ScriptFlags, UNDECLARED};
use crate::engine::script::{Ended, Runnable, Script, ScriptEngine, Stop};
use crate::resp::ReplyError;

const NO_SCRIPT: ReplyError = ReplyError::of("NOSCRIPT No matching script. Please use EVAL.");
const SHA_DIGITS: usize = 40;

/// EVAL script numkeys [key ...] [arg ...], EVALSHA sha1 ..., FCALL function ..., and those that may not write.
pub fn run(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    if cx.engine().clients.has_monitors() && !cx.session.in_script {
        // Ahead of the script's commands.
        account::feed_monitors(cx.engine(), cx.session, args);
    }
    let runnable = match naming(cx.command) {
        Naming::Body => {
            let key_count = key_count(args, ReplyError::NotAnInteger)?;
            (runnable(cx, args)?, key_count)
        }
        Naming::Sha if args[1].len() != SHA_DIGITS => return Err(NO_SCRIPT),
        Naming::Sha => {
            let key_count = key_count(args, ReplyError::NotAnInteger)?;
            (runnable(cx, args)?, key_count)
        }
        Naming::Function => (runnable(cx, args)?, key_count(args, ReplyError::of("ERR Bad number of keys provided"))?),
    };
    let (runnable, key_count) = runnable;
    check_declared(cx, flags_of(&runnable))?;
    let (keys, arguments) = args[3..].split_at(key_count);
    call(cx, &runnable, args, keys, arguments)
}

/// The third argument.
fn key_count(args: &[&[u8]], unreadable: ReplyError) -> Result<usize, ReplyError> {
    let count = parse_i64(args[2]).ok_or(unreadable)?;
    if count > args.len() as i64 - 3 {
        return Err(ReplyError::of("ERR Number of keys can't be greater than number of args"));
    }
    usize::try_from(count).map_err(|_| ReplyError::of("ERR Number of keys can't be negative"))
}

/// What the call runs; a body that was never seen is registered.
fn runnable(cx: &mut Cx<'_>, args: &[&[u8]]) -> Result<Runnable, ReplyError> {
    let found = cx.script.take().or_else(|| find::find(cx.worker, cx.command, args));
    match (found, naming(cx.command)) {
        (Some(found), _) => Ok(found),
        (None, Naming::Body) => register(cx, args[1]).map(Runnable::Script),
        (None, Naming::Sha) => Err(NO_SCRIPT),
        (None, Naming::Function) => Err(ReplyError::of("ERR Function not found")),
    }
}

/// The script with this body, registered and compiled.
pub fn register(cx: &Cx<'_>, body: &[u8]) -> Result<Arc<Script>, ReplyError> {
    let (engine, text) = (cx.engine(), |text: String| ReplyError::Quoting(text.into_bytes()));
    let script = Arc::new(Script::new(body).map_err(text)?);
    let script = match engine.scripts.get(script.sha.as_bytes()) {
        Some(known) => known,
        None => {
            let compiled = script_engine(cx)?.compile(&script);
            compiled.map_err(|said| {
                ReplyError::Quoting([&b"ERR Error compiling script (new function): "[..], &said].concat())
            })?;
            engine.scripts.add(script)
        }
    };
    cx.worker.scripts.borrow_mut().keep_body(engine.keyspace.hasher(), &script);
    Ok(script)
}

pub fn script_engine<'e>(cx: &Cx<'e>) -> Result<&'e dyn ScriptEngine, ReplyError> {
    let installed = cx.engine().script_engine.get();
    installed.map(|engine| &**engine).ok_or(ReplyError::of("ERR Scripts cannot be run here"))
}

fn flags_of(runnable: &Runnable) -> ScriptFlags {
    match runnable {
        Runnable::Script(script) => script.flags,
        Runnable::Function(function) => function.flags,
    }
}

/// Whether what a script declares lets it run now. One that declares nothing is looked at command by command.
fn check_declared(cx: &Cx<'_>, flags: ScriptFlags) -> Outcome {
    let config = cx.config();
    let obeys = cx.session.must_obey();
    if !obeys && (flags & ALLOW_STALE == 0 || flags & UNDECLARED != 0) && is_stale_replica(cx.worker) {
        return Err(ReplyError::of(STALE_REPLICA));
    }
    if flags & UNDECLARED != 0 {
        return Ok(());
    }
    if flags & NO_CLUSTER != 0 && config.cluster_enabled {
        return Err(ReplyError::of("ERR Can not run script on cluster, 'no-cluster' flag is set."));
    }
    if flags & NO_WRITES != 0 {
        return Ok(());
    }
    if !obeys && cx.engine().is_replica() && config.replica_read_only {
        return Err(ReplyError::of(READ_ONLY_REPLICA));
    }
    if is_memory_full(cx) && flags & ALLOW_OOM == 0 {
        return Err(ReplyError::of("OOM command not allowed when used memory > 'maxmemory'."));
    }
    if !obeys && cx.engine().persistence.obstacles() & obstacle::SAVE_FAILED != 0 {
        return Err(ReplyError::of(
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Writable \
             scripts are blocked. Use 'no-writes' flag for read only scripts.",
        ));
    }
    check_replicas(cx.worker)?;
    if is_read_only(cx.command) {
        return Err(ReplyError::of("ERR Can not execute a script with write flag using *_ro command."));
    }
    Ok(())
}

pub(super) fn is_memory_full(cx: &Cx<'_>) -> bool {
    cx.config().maxmemory > 0 && !cx.session.must_obey() && cx.worker.is_out_of_memory()
}

fn call(cx: &mut Cx<'_>, runnable: &Runnable, args: &[&[u8]], keys: &[&[u8]], arguments: &[&[u8]]) -> Outcome {
    let engine = script_engine(cx)?;
    let (command, in_exec, db, protocol) = (cx.command, cx.in_exec, cx.space.db, cx.reply.protocol);
    let changes_before = cx.space.changes;
    cx.in_exec = true;
    cx.session.in_script = true;
    let mut host = Host::new(cx, runnable, flags_of(runnable), args, keys, !in_exec);
    let ended = engine.run(runnable, keys, arguments, &mut host);
    host.finish();
    cx.session.in_script = false;
    if cx.session.db != db {
        cx.session.select(db);
    }
    (cx.command, cx.in_exec, cx.space.db, cx.reply.protocol) = (command, in_exec, db, protocol);
    // The script's commands were counted and their effects told; the call itself changed nothing.
    cx.space.effect = Effect::default();
    cx.space.changes = changes_before;
    cx.space.unreplicated = false;
    if matches!(ended, Ended::Stopped(Stop::Abandoned)) {
        cx.wants_everything = true;
        return Ok(());
    }
    if !in_exec && cx.space.has_told() {
        cx.worker.note_change();
        cx.space.hand_on().map_err(|_| account::stopped_log(cx))?;
    }
    match ended {
        Ended::Answered => Ok(()),
        Ended::Failed { text, counted: true } => Err(ReplyError::Counted(text)),
        Ended::Failed { text, counted: false } => Err(ReplyError::Quoting(text)),
        Ended::Stopped(_) => {
            let (name, what) = match runnable {
                Runnable::Script(script) => (&script.sha, "SCRIPT"),
                Runnable::Function(function) => (&function.name, "FUNCTION"),
            };
            tracing::warn!("Script {name} was ended by {what} KILL.");
            let place = if what == "SCRIPT" { "@user_script" } else { "@user_function" };
            let text = format!(
                "ERR Error running script: Script killed by user with {what} KILL... script: {name}, on {place}."
            );
            Err(ReplyError::Text(text.into()))
        }
    }
}

/// Told that a run ended which kept to its declared keys.
pub(super) fn note_reach(runnable: &Runnable, beyond: bool) {
    if !beyond {
        known_reach(runnable).kept_to_declared();
    }
}
