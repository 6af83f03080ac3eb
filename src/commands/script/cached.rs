//! Handlers of SCRIPT: the scripts that the server keeps.

use super::run::register;
use crate::commands::command::write_help;
use crate::commands::context::{Cx, Outcome};
use crate::resp::ReplyError;

/// SCRIPT LOAD script
pub fn load(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let script = register(cx, args[2])?;
    cx.reply.bulk_text(&script.sha);
    Ok(())
}

/// SCRIPT EXISTS sha1 [sha1 ...]
pub fn exists(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    cx.reply.array(args.len() - 2);
    for sha in &args[2..] {
        let known = cx.engine().scripts.get(sha).is_some();
        cx.reply.integer(i64::from(known));
    }
    Ok(())
}

/// SCRIPT FLUSH [ASYNC | SYNC]
pub fn flush(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    if args.len() > 3 || args.get(2).is_some_and(|word| !is_flush_mode(word)) {
        return Err(ReplyError::of("ERR SCRIPT FLUSH only support SYNC|ASYNC option"));
    }
    cx.engine().scripts.flush();
    cx.reply.ok();
    Ok(())
}

/// Whether a word says how to flush. Either way it takes no time.
pub fn is_flush_mode(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"sync") || word.eq_ignore_ascii_case(b"async")
}

/// SCRIPT DEBUG YES | SYNC | NO. There is no debugger: scripts run as ever.
pub fn debug(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    if !["yes", "sync", "no"].iter().any(|mode| args[2].eq_ignore_ascii_case(mode.as_bytes())) {
        return Err(ReplyError::of("ERR Use SCRIPT DEBUG YES/SYNC/NO"));
    }
    cx.reply.ok();
    Ok(())
}

/// SCRIPT HELP
pub fn help(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    write_help(
        &mut cx.reply,
        "SCRIPT",
        &[
            "DEBUG (YES|SYNC|NO)",
            "    Accepted and without effect: there is no debugger.",
            "EXISTS <sha1> [<sha1> ...]",
            "    Tell which of these scripts are kept.",
            "FLUSH [ASYNC|SYNC]",
            "    Forget every script.",
            "KILL",
            "    End the script that overruns its time, unless it has written.",
            "LOAD <script>",
            "    Keep a script without running it, and tell its SHA1.",
        ],
    );
    Ok(())
}
