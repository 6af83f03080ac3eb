//! Handlers of FUNCTION: the libraries that the server keeps, and their way in and out.

use super::cached::is_flush_mode;
use super::run::script_engine;
use crate::base::glob;
use crate::commands::command::write_help;
use crate::commands::context::{Cx, Outcome};
use crate::engine::script::flags;
use crate::engine::script::library::LibrarySet;
use crate::engine::script::{Function, Library};
use crate::rdb::libraries::{self, LibrariesError};
use crate::resp::{Reply, ReplyError};

/// How long a library's code may run while it registers its functions.
const LOAD_TIMEOUT_MS: u64 = 500;
const ENGINE: &str = "LUA";

fn text(error: String) -> ReplyError {
    ReplyError::Quoting(error.into_bytes())
}

/// Changes the libraries as `args` ask, and counts that as a change of the data set. They lie in no slot: replicas are
/// told, and the log is not.
fn change<R>(
    cx: &mut Cx<'_>,
    args: &[&[u8]],
    work: impl FnOnce(&mut LibrarySet) -> Result<R, String>,
) -> Result<R, ReplyError> {
    let result = cx.engine().libraries.change(work).map_err(text)?;
    cx.worker.stats.dirty.add(1);
    cx.space.tell_replicas(cx.space.db, args);
    Ok(result)
}

/// What is loaded from files and by replication takes the time it takes.
fn timeout_ms(cx: &Cx<'_>) -> u64 {
    if cx.session.loads { 0 } else { LOAD_TIMEOUT_MS }
}

/// FUNCTION LOAD [REPLACE] code
pub fn load(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let Some((code, options)) = args[2..].split_last() else { return Err(ReplyError::Syntax) };
    if let Some(unknown) = options.iter().find(|option| !option.eq_ignore_ascii_case(b"replace")) {
        return Err(ReplyError::quoting("ERR Unknown option given: ", unknown, ""));
    }
    let replaces = !options.is_empty();
    let already = |set: &LibrarySet, name: &str| match set.library(name) {
        Some(_) if !replaces => Err(format!("ERR Library '{name}' already exists")),
        _ => Ok(()),
    };
    let header = flags::of_library(code).map_err(text)?;
    already(&cx.engine().libraries.current(), &header.name).map_err(text)?;
    let library = Library::load(script_engine(cx)?, code, timeout_ms(cx)).map_err(ReplyError::Quoting)?;
    change(cx, args, |set| {
        already(set, &header.name)?;
        set.insert(library)
    })?;
    cx.reply.bulk_text(&header.name);
    Ok(())
}

/// FUNCTION DELETE library
pub fn delete(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    change(cx, args, |set| match std::str::from_utf8(args[2]) {
        Ok(name) if set.remove(name) => Ok(()),
        _ => Err("ERR Library not found".into()),
    })?;
    cx.reply.ok();
    Ok(())
}

/// FUNCTION FLUSH [ASYNC | SYNC]
pub fn flush(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    if args.len() > 3 {
        return Err(cx.unknown_subcommand(args));
    }
    if args.get(2).is_some_and(|word| !is_flush_mode(word)) {
        return Err(ReplyError::of("ERR FUNCTION FLUSH only supports SYNC|ASYNC option"));
    }
    change(cx, args, |set| {
        *set = LibrarySet::default();
        Ok(())
    })?;
    cx.reply.ok();
    Ok(())
}

/// FUNCTION LIST [LIBRARYNAME pattern] [WITHCODE]
pub fn list(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (mut pattern, mut with_code) = (None, false);
    let mut rest = args[2..].iter();
    while let Some(word) = rest.next() {
        if !with_code && word.eq_ignore_ascii_case(b"withcode") {
            with_code = true;
        } else if pattern.is_none() && word.eq_ignore_ascii_case(b"libraryname") {
            let given = rest.next().ok_or(ReplyError::of("ERR library name argument was not given"))?;
            pattern = Some(*given);
        } else {
            return Err(ReplyError::quoting("ERR Unknown argument ", word, ""));
        }
    }
    let set = cx.engine().libraries.current();
    let listed: Vec<&Library> = set
        .libraries()
        .filter(|library| pattern.is_none_or(|pattern| glob::matches(pattern, library.code.name.as_bytes(), true)))
        .collect();
    cx.reply.array(listed.len());
    for library in listed {
        cx.reply.map(if with_code { 4 } else { 3 });
        cx.reply.bulk_text("library_name");
        cx.reply.bulk_text(&library.code.name);
        cx.reply.bulk_text("engine");
        cx.reply.bulk_text(&library.code.engine);
        cx.reply.bulk_text("functions");
        cx.reply.array(library.functions.len());
        library.functions.iter().for_each(|function| write_function(&mut cx.reply, function));
        if with_code {
            cx.reply.bulk_text("library_code");
            cx.reply.bulk(&library.code.code);
        }
    }
    Ok(())
}

fn write_function(reply: &mut Reply<'_>, function: &Function) {
    reply.map(3);
    reply.bulk_text("name");
    reply.bulk_text(&function.name);
    reply.bulk_text("description");
    reply.bulk_or_null(function.description.as_deref());
    reply.bulk_text("flags");
    let named: Vec<&str> =
        flags::NAMES.iter().filter(|(flag, _)| function.flags & flag != 0).map(|(_, name)| *name).collect();
    reply.set(named.len());
    named.iter().for_each(|name| reply.simple(name));
}

/// FUNCTION STATS
pub fn stats(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    cx.reply.map(2);
    cx.reply.bulk_text("running_script");
    match cx.engine().running.first() {
        None => cx.reply.null(),
        Some(overrun) => {
            cx.reply.map(3);
            cx.reply.bulk_text("name");
            cx.reply.bulk_text(&overrun.name);
            cx.reply.bulk_text("command");
            cx.reply.array(overrun.command.len());
            overrun.command.iter().for_each(|argument| cx.reply.bulk(argument));
            cx.reply.bulk_text("duration_ms");
            cx.reply.integer(overrun.duration_ms() as i64);
        }
    }
    let set = cx.engine().libraries.current();
    cx.reply.bulk_text("engines");
    cx.reply.map(1);
    cx.reply.bulk_text(ENGINE);
    cx.reply.map(2);
    cx.reply.bulk_text("libraries_count");
    cx.reply.integer(set.libraries().len() as i64);
    cx.reply.bulk_text("functions_count");
    cx.reply.integer(set.function_count() as i64);
    Ok(())
}

/// FUNCTION DUMP
pub fn dump(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    let set = cx.engine().libraries.current();
    let codes = set.libraries().map(|library| &library.code.code[..]);
    let payload = libraries::encode(codes, cx.config().rdbcompression);
    cx.reply.bulk(&payload);
    Ok(())
}

/// What becomes of the libraries that are there when others are restored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    Flush,
    Append,
    Replace,
}

/// FUNCTION RESTORE payload [FLUSH | APPEND | REPLACE]
pub fn restore(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    if args.len() > 4 {
        return Err(cx.unknown_subcommand(args));
    }
    let policy = match args.get(3).map(|word| word.to_ascii_lowercase()).as_deref() {
        None | Some(b"append") => Policy::Append,
        Some(b"flush") => Policy::Flush,
        Some(b"replace") => Policy::Replace,
        _ => {
            return Err(ReplyError::of(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
    };
    let codes = libraries::decode(args[2]).map_err(|error| match error {
        LibrariesError::VersionOrChecksum => ReplyError::of("ERR DUMP payload version or checksum are wrong"),
        LibrariesError::NoLibrary => ReplyError::of("ERR given type is not a function"),
        LibrariesError::Format => ReplyError::of("ERR failed loading the given functions payload"),
    })?;
    let engine = script_engine(cx)?;
    let mut restored = LibrarySet::default();
    for code in codes {
        let library = Library::load(engine, &code, timeout_ms(cx)).map_err(ReplyError::Quoting)?;
        if restored.library(&library.code.name).is_some() {
            return Err(text(format!("ERR Library '{}' already exists", library.code.name)));
        }
        restored.insert(library).map_err(text)?;
    }
    change(cx, args, |set| {
        if policy == Policy::Flush {
            *set = LibrarySet::default();
        }
        if policy == Policy::Append
            && let Some(taken) = restored.libraries().find(|library| set.library(&library.code.name).is_some())
        {
            return Err(format!("ERR Library {} already exists", taken.code.name));
        }
        // All that are replaced make room first, so that functions may move from one library to another.
        restored.libraries().for_each(|library| {
            set.remove(&library.code.name);
        });
        restored.libraries().try_for_each(|library| set.insert(library.clone()))
    })?;
    cx.reply.ok();
    Ok(())
}

/// FUNCTION HELP
pub fn help(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    write_help(
        &mut cx.reply,
        "FUNCTION",
        &[
            "DELETE <LIBRARY NAME>",
            "    Forget a library and its functions.",
            "DUMP",
            "    Return all libraries as a payload for FUNCTION RESTORE.",
            "FLUSH [ASYNC|SYNC]",
            "    Forget all libraries.",
            "KILL",
            "    End the function that overruns its time, unless it has written.",
            "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
            "    Describe the libraries whose names match the pattern:",
            "    * Library name",
            "    * The engine that runs it",
            "    * Its functions",
            "    * Its code (with WITHCODE)",
            "LOAD [REPLACE] <FUNCTION CODE>",
            "    Keep a library, in the place of one of its name if asked.",
            "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
            "    Take the libraries of a payload, and do with those that are there:",
            "    * FLUSH: forget them.",
            "    * APPEND: keep them, and fail where a name is taken.",
            "    * REPLACE: keep those whose names are not in the payload.",
            "STATS",
            "    Describe the function that overruns its time, and the engines.",
        ],
    );
    Ok(())
}
