//! DEBUG: for those who test or debug the server. Guarded by `enable-debug-command`.
//!
//! Nothing here ends the process on purpose: what other servers offer to crash themselves is refused. DEBUG names no
//! key in its row, so it locks each slot that it looks at for itself.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::command::write_help;
use super::config::rewrite_file;
use super::context::{Cx, Outcome};
use super::debug_data as data;
use crate::base::glob;
use crate::base::memory;
use crate::base::number::parse_i64;
use crate::config::text;
use crate::engine::persistence::{Busy, JobKind};
use crate::engine::replicas::history::History;
use crate::engine::session::Waiting;
use crate::resp::{Protocol, ReplyError};
use crate::store::list::set_plain_threshold;

/// Not meant for pi.
#[allow(clippy::approx_constant)]
const SAMPLE_DOUBLE: f64 = 3.141;
const BIG_NUMBER: &str = "1234567999999999999999999999999999999";
/// Largest size that lists can be told to keep in one piece.
const PACKED_THRESHOLD_BYTES_MAX: u64 = 1 << 32;

/// DEBUG subcommand [argument ...]
pub fn debug(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
        (b"help", []) => help(cx),
        (b"sleep", [seconds]) => sleep(cx, seconds),
        (b"set-active-expire", [switch]) => {
            cx.engine().active_expiry.store(is_on(switch), Ordering::Relaxed);
            cx.reply.ok();
            Ok(())
        }
        (b"object", [key]) => data::object(cx, key),
        (b"sdslen", [key]) => data::string_lengths(cx, key),
        (b"digest", []) => data::digest(cx),
        (b"digest-value", keys) => data::digest_value(cx, keys),
        (b"populate", [count, rest @ ..]) if rest.len() <= 2 => data::populate(cx, count, rest),
        (b"htstats", [db, ..]) => data::table_stats(cx, db),
        (b"htstats-key", [key, ..]) => data::collection_stats(cx, key),
        (b"listpack", [key]) => data::layout(cx, key, "listpack", "Listpack"),
        (b"quicklist", [key] | [key, _]) => data::layout(cx, key, "quicklist", "Quicklist"),
        (b"protocol", [kind]) => protocol(cx, kind),
        (b"error", [text]) => Err(ReplyError::Quoting(text.to_vec())),
        (b"log", [text]) => {
            tracing::warn!("DEBUG LOG: {}", String::from_utf8_lossy(text));
            cx.reply.ok();
            Ok(())
        }
        (b"stringmatch-len", [pattern, text]) => {
            cx.reply.integer(i64::from(glob::matches(pattern, text, false)));
            Ok(())
        }
        (b"change-repl-id", []) => {
            tracing::info!("Changing the replication id, as DEBUG CHANGE-REPL-ID asks.");
            *cx.engine().history.lock() = History::default();
            cx.reply.ok();
            Ok(())
        }
        (b"mallctl", [name]) => {
            let number = memory::allocator_number(name);
            let number = number.ok_or(ReplyError::of("ERR mallctl: no such name, or not one that is known here"))?;
            cx.reply.integer(number as i64);
            Ok(())
        }
        (b"mallctl-str", [b"thread.tcache.flush", b"VOID"]) => {
            memory::flush_thread_cache();
            cx.reply.ok();
            Ok(())
        }
        (b"config-rewrite-force-all", []) => rewrite_file(cx, true),
        (b"quicklist-packed-threshold", [size]) => packed_threshold(cx, size),
        (b"replybuffer", [what, value]) => reply_buffer(cx, args, what, value),
        (b"set-disable-deny-scripts", [switch]) => {
            cx.engine().scripts_run_anything.store(is_on(switch), Ordering::Relaxed);
            cx.reply.ok();
            Ok(())
        }
        (b"set-skip-checksum-validation", [switch]) => {
            cx.engine().skips_checksums.store(is_on(switch), Ordering::Relaxed);
            cx.reply.ok();
            Ok(())
        }
        (b"pause-cron", [switch]) => {
            cx.engine().shutdown.paused.store(is_on(switch), Ordering::Relaxed);
            cx.reply.ok();
            Ok(())
        }
        // Knobs for machinery that Cairn does not have: turning them changes nothing.
        (b"aof-flush-sleep" | b"drop-cluster-packet-filter" | b"leak", [_]) => {
            cx.reply.ok();
            Ok(())
        }
        (b"client-eviction", []) => Err(ReplyError::of("ERR maxmemory-clients is disabled.")),
        (b"reload" | b"loadaof", options) => {
            let given = |word: &[u8]| options.iter().any(|option| option.eq_ignore_ascii_case(word));
            // What is kept would be there twice, unless it may take the place of what is there.
            if given(b"noflush") && !given(b"merge") && cx.engine().libraries.current().function_count() > 0 {
                return Err(ReplyError::of("ERR Error trying to load the RDB dump, check server logs."));
            }
            let asked = cx.engine().persistence.ask_and_wait(JobKind::Reload, &cx.session.handle);
            let outcome = asked.map_err(|Busy| ReplyError::of("ERR the data set is being loaded again already"))?;
            cx.session.waiting = Some(Waiting::Job(outcome));
            Ok(())
        }
        (b"jmap", _) => Err(ReplyError::of("ERR there is no Java here to map")),
        (b"segfault" | b"panic" | b"assert" | b"oom" | b"restart" | b"crash-and-recover", _) => {
            Err(ReplyError::of("ERR ending or crashing the server through DEBUG is not supported"))
        }
        _ => Err(cx.unknown_subcommand(args)),
    }
}

fn is_on(switch: &[u8]) -> bool {
    parse_i64(switch).is_some_and(|number| number != 0)
}

/// Holds this worker, and so the clients that it serves, for a while.
fn sleep(cx: &mut Cx<'_>, seconds: &[u8]) -> Outcome {
    let seconds: f64 = std::str::from_utf8(seconds).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    if let Ok(duration) = Duration::try_from_secs_f64(seconds) {
        std::thread::sleep(duration);
    }
    cx.reply.ok();
    Ok(())
}

fn packed_threshold(cx: &mut Cx<'_>, size: &[u8]) -> Outcome {
    let size = std::str::from_utf8(size).ok().and_then(text::memory);
    if size.is_none_or(|bytes| bytes >= PACKED_THRESHOLD_BYTES_MAX) {
        return Err(ReplyError::of("ERR argument must be a memory value bigger than 1 and smaller than 4gb"));
    }
    set_plain_threshold(size.unwrap_or(0) as usize);
    cx.reply.ok();
    Ok(())
}

/// Workers share their reply buffers, so there is nothing to resize; the arguments are checked all the same.
fn reply_buffer(cx: &mut Cx<'_>, args: &[&[u8]], what: &[u8], value: &[u8]) -> Outcome {
    match what.to_ascii_lowercase().as_slice() {
        b"peak-reset-time" => {
            let is_word = value.eq_ignore_ascii_case(b"never") || value.eq_ignore_ascii_case(b"reset");
            if !is_word && parse_i64(value).is_none() {
                return Err(ReplyError::NotAnInteger);
            }
        }
        b"resizing" => {}
        _ => return Err(cx.unknown_subcommand(args)),
    }
    cx.reply.ok();
    Ok(())
}

/// A sample of each kind of reply.
fn protocol(cx: &mut Cx<'_>, kind: &[u8]) -> Outcome {
    let is_resp3 = cx.reply.protocol == Protocol::Resp3;
    let reply = &mut cx.reply;
    match kind.to_ascii_lowercase().as_slice() {
        b"string" => reply.bulk_text("Hello World"),
        b"integer" => reply.integer(12345),
        b"double" => reply.double(SAMPLE_DOUBLE),
        b"bignum" => reply.big_number(BIG_NUMBER),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|number| reply.integer(number));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|number| reply.integer(number));
        }
        b"map" => {
            reply.map(3);
            for number in 0..3 {
                reply.integer(number);
                reply.boolean(number == 1);
            }
        }
        b"attrib" => {
            if is_resp3 {
                reply.raw(b"|1\r\n");
                reply.bulk_text("key-popularity");
                reply.array(2);
                reply.bulk_text("key:123");
                reply.integer(90);
            }
            // Attributes go with a reply and are none themselves.
            reply.bulk_text("Some real reply following the attribute");
        }
        b"push" => {
            if !is_resp3 {
                return Err(ReplyError::of("ERR RESP2 is not supported by this command"));
            }
            // A push answers nothing: who asked still waits for this, and gets it first.
            reply.bulk_text("Some real reply following the push reply");
            reply.push(2);
            reply.bulk_text("server-cpu-usage");
            reply.integer(42);
        }
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        b"verbatim" => reply.verbatim("txt", "This is a verbatim\nstring"),
        _ => {
            return Err(ReplyError::of(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}

fn help(cx: &mut Cx<'_>) -> Outcome {
    write_help(
        &mut cx.reply,
        "DEBUG",
        &[
            "CHANGE-REPL-ID",
            "    Give the data set's history a new name. Replicas will need a full copy.",
            "CONFIG-REWRITE-FORCE-ALL",
            "    Like CONFIG REWRITE, with every directive written out.",
            "DIGEST",
            "    A digest of all keys, values and expiries; equal data sets have equal ones.",
            "DIGEST-VALUE <key> [<key> ...]",
            "    A digest of each value.",
            "ERROR <text>",
            "    Answer with this error.",
            "HTSTATS <dbid>",
            "    Describe the tables of a database.",
            "LOG <text>",
            "    Write this to the server's log.",
            "OBJECT <key>",
            "    Tell how a key and its value are kept.",
            "POPULATE <count> [<prefix> [<size>]]",
            "    Create so many string keys, named key:<number> or with another prefix.",
            "PROTOCOL <type>",
            "    Answer with a sample of a reply type: string, integer, double, bignum, null, array, set, map, attrib,",
            "    push, verbatim, true, false.",
            "QUICKLIST-PACKED-THRESHOLD <size>",
            "REPLYBUFFER (PEAK-RESET-TIME <NEVER|RESET|milliseconds>|RESIZING <0|1>)",
            "    Accepted without effect.",
            "SDSLEN <key>",
            "    Tell the lengths of a key and its string value.",
            "SET-ACTIVE-EXPIRE (0|1)",
            "    Stop or resume removing expired keys that nobody asks for.",
            "SLEEP <seconds>",
            "    Hold the worker that serves this connection for so long.",
            "STRINGMATCH-LEN <pattern> <string>",
            "    Tell whether a glob pattern fits a string.",
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::TestServer;
    use crate::config::choices::ProtectedAction;
    use std::sync::atomic::Ordering;

    fn server() -> TestServer {
        TestServer::with_config(|config| config.enable_debug_command = ProtectedAction::Local)
    }

    #[test]
    fn debug_is_guarded() {
        assert!(TestServer::new().run("DEBUG SLEEP 0").starts_with("-ERR DEBUG command not allowed."));
    }

    #[test]
    fn samples_of_every_reply_type() {
        let mut server = server();
        server.expect(&[
            ("DEBUG PROTOCOL string", "$11\r\nHello World\r\n"),
            ("DEBUG PROTOCOL double", "$5\r\n3.141\r\n"),
            ("DEBUG PROTOCOL bignum", "$37\r\n1234567999999999999999999999999999999\r\n"),
            ("DEBUG PROTOCOL map", "*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n"),
            ("DEBUG PROTOCOL push", "-ERR RESP2 is not supported by this command\r\n"),
            ("DEBUG PROTOCOL attrib", "$39\r\nSome real reply following the attribute\r\n"),
        ]);
        server.run("HELLO 3");
        server.expect(&[
            ("DEBUG PROTOCOL double", ",3.141\r\n"),
            ("DEBUG PROTOCOL bignum", "(1234567999999999999999999999999999999\r\n"),
            ("DEBUG PROTOCOL set", "~3\r\n:0\r\n:1\r\n:2\r\n"),
            ("DEBUG PROTOCOL map", "%3\r\n:0\r\n#f\r\n:1\r\n#t\r\n:2\r\n#f\r\n"),
            (
                "DEBUG PROTOCOL attrib",
                "|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n$39\r\nSome real reply following the attribute\r\n",
            ),
            (
                "DEBUG PROTOCOL push",
                "$40\r\nSome real reply following the push reply\r\n>2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n",
            ),
            ("DEBUG PROTOCOL true", "#t\r\n"),
            ("DEBUG PROTOCOL verbatim", "=29\r\ntxt:This is a verbatim\nstring\r\n"),
        ]);
        assert!(server.run("DEBUG PROTOCOL bogus").starts_with("-ERR Wrong protocol type name."));
    }

    #[test]
    fn switches_and_refusals() {
        let mut server = server();
        server.expect(&[
            ("DEBUG SLEEP 0.001", "+OK\r\n"),
            ("DEBUG SET-ACTIVE-EXPIRE 0", "+OK\r\n"),
            ("DEBUG ERROR \"MINE of my own\"", "-MINE of my own\r\n"),
            ("DEBUG STRINGMATCH-LEN a*c abc", ":1\r\n"),
            ("DEBUG STRINGMATCH-LEN a*c abd", ":0\r\n"),
            ("DEBUG QUICKLIST-PACKED-THRESHOLD 0", "+OK\r\n"),
            ("DEBUG REPLYBUFFER PEAK-RESET-TIME never", "+OK\r\n"),
            ("DEBUG REPLYBUFFER RESIZING 0", "+OK\r\n"),
            ("DEBUG JMAP", "-ERR there is no Java here to map\r\n"),
            ("DEBUG BOGUS", "-ERR unknown subcommand or wrong number of arguments for 'BOGUS'. Try DEBUG HELP.\r\n"),
            ("DEBUG SLEEP", "-ERR unknown subcommand or wrong number of arguments for 'SLEEP'. Try DEBUG HELP.\r\n"),
        ]);
        for line in ["DEBUG SEGFAULT", "DEBUG PANIC"] {
            assert!(server.run(line).starts_with("-ERR "), "{line}");
        }
        assert!(!server.engine.active_expiry.load(Ordering::Relaxed));
        assert!(server.run("INFO errorstats").contains("errorstat_MINE:count=1"));
        let before = server.engine.history.lock().clone();
        assert_eq!(server.run("DEBUG CHANGE-REPL-ID"), "+OK\r\n");
        assert_ne!(*server.engine.history.lock(), before);
        assert!(server.run("DEBUG HELP").starts_with('*'));
    }
}
