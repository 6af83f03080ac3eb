//! Handlers of CONFIG: the directives, their file, the counters.

use super::command::write_help;
use super::context::{Cx, Outcome};
use crate::config::{self, RewriteOptions, SetContext, SetError};
use crate::engine::eviction;
use crate::metrics::WorkerStats;
use crate::resp::ReplyError;
use crate::store::reclaim::RECLAIMER;

/// CONFIG GET pattern [pattern ...]
pub fn get(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let found = config::get(&cx.engine().config.load(), &args[2..]);
    cx.reply.map(found.len());
    for (name, value) in &found {
        cx.reply.bulk_text(name);
        cx.reply.bulk_text(value);
    }
    Ok(())
}

/// CONFIG SET directive value [directive value ...]
pub fn set(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    if !args.len().is_multiple_of(2) {
        return Err(ReplyError::Syntax);
    }
    let pairs: Vec<(&[u8], &[u8])> = args[2..].chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    for (index, (name, _)) in pairs.iter().enumerate() {
        if config::is_sensitive(name) {
            cx.redact(3 + 2 * index);
        }
    }
    let engine = cx.engine();
    let context =
        SetContext { is_local: cx.session.handle.peer.is_local(), is_loading: engine.persistence.is_loading() };
    let changed = engine.config.set(&pairs, context, |old, new| {
        if let Some(hook) = engine.config_hook.get() {
            hook(old, new)?;
        }
        if old.requirepass != new.requirepass {
            engine.users.set_required_password(new.requirepass.as_bytes());
        }
        engine.keyspace.set_frequency(eviction::frequency_of(new));
        Ok(())
    });
    changed.map_err(|error| {
        let code = if error == SetError::Loading { "LOADING" } else { "ERR" };
        ReplyError::Text(format!("{code} {error}").into())
    })?;
    engine.clients.keep_within(&engine.config.load(), &engine.stats);
    engine.slow_log.truncate(engine.config.load().slowlog_max_len as usize);
    cx.reply.ok();
    Ok(())
}

/// CONFIG REWRITE
pub fn rewrite(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    rewrite_file(cx, false)
}

/// `everything`: directives that have their default value too.
pub fn rewrite_file(cx: &mut Cx<'_>, everything: bool) -> Outcome {
    let users = cx.engine().users.all();
    let users: Vec<String> = users.iter().map(|user| String::from_utf8_lossy(&user.describe()).into_owned()).collect();
    let options = RewriteOptions { users: Some(&users), everything };
    cx.engine().config.rewrite(options).map_err(|error| {
        tracing::warn!("CONFIG REWRITE failed: {error}");
        ReplyError::Text(format!("ERR {error}").into())
    })?;
    tracing::info!("CONFIG REWRITE executed with success.");
    cx.reply.ok();
    Ok(())
}

/// CONFIG RESETSTAT. Its row asks for the gate, so the workers are still.
pub fn resetstat(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    let engine = cx.engine();
    engine.workers.iter().for_each(|worker| WorkerStats::reset(worker));
    engine.stats.reset();
    engine.error_codes.lock().clear();
    engine.rates.reset();
    RECLAIMER.reset_freed_count();
    cx.reply.ok();
    Ok(())
}

/// CONFIG HELP
pub fn help(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    write_help(
        &mut cx.reply,
        "CONFIG",
        &[
            "GET <pattern> [<pattern> ...]",
            "    Show the directives whose names fit any of the patterns.",
            "RESETSTAT",
            "    Set the counters that INFO shows back to zero.",
            "REWRITE",
            "    Write the configuration in force to the file it came from.",
            "SET <directive> <value> [<directive> <value> ...]",
            "    Change directives: all of them, or none if any cannot be changed.",
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::TestServer;

    #[test]
    fn directives_are_read_and_changed() {
        let mut server = TestServer::new();
        server.expect(&[
            ("CONFIG GET timeout nosuch", "*2\r\n$7\r\ntimeout\r\n$1\r\n0\r\n"),
            ("CONFIG SET timeout 7 hz 20", "+OK\r\n"),
            ("CONFIG GET TIMEOUT", "*2\r\n$7\r\nTIMEOUT\r\n$1\r\n7\r\n"),
            ("CONFIG SET timeout 7 hz", "-ERR syntax error\r\n"),
            ("CONFIG SET nosuch 1", "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'\r\n"),
            (
                "CONFIG SET timeout 8 hz abc",
                "-ERR CONFIG SET failed (possibly related to argument 'hz') - argument couldn't be parsed into an integer\r\n",
            ),
            (
                "CONFIG SET databases 8",
                "-ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config\r\n",
            ),
            ("CONFIG GET timeout", "*2\r\n$7\r\ntimeout\r\n$1\r\n7\r\n"),
            ("CONFIG REWRITE", "-ERR The server is running without a config file\r\n"),
        ]);
        server.run("HELLO 3");
        assert_eq!(server.run("CONFIG GET hz"), "%1\r\n$2\r\nhz\r\n$2\r\n20\r\n");
        assert!(server.run("CONFIG HELP").starts_with("*11\r\n+CONFIG <subcommand>"));
    }

    #[test]
    fn the_server_may_refuse_a_change() {
        let mut server = TestServer::new();
        let hook = |old: &crate::config::Config, new: &crate::config::Config| {
            if old.port == new.port { Ok(()) } else { Err(("port".to_owned(), "Unable to listen".to_owned())) }
        };
        assert!(server.engine.config_hook.set(Box::new(hook)).is_ok());
        server.expect(&[
            (
                "CONFIG SET timeout 5 port 1",
                "-ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen\r\n",
            ),
            ("CONFIG GET timeout", "*2\r\n$7\r\ntimeout\r\n$1\r\n0\r\n"),
            ("CONFIG SET timeout 5", "+OK\r\n"),
        ]);
    }

    #[test]
    fn counters_start_over() {
        let mut server = TestServer::new();
        for line in ["SET k v", "GET k", "GET none", "NOSUCH"] {
            server.run(line);
        }
        assert!(server.run("INFO errorstats").contains("errorstat_ERR:count=1\r\n"));
        assert_eq!(server.run("CONFIG RESETSTAT"), "+OK\r\n");
        let info = server.run("INFO everything");
        assert!(info.contains("keyspace_hits:0\r\n") && info.contains("keyspace_misses:0\r\n"), "{info}");
        assert!(!info.contains("errorstat_ERR") && !info.contains("cmdstat_get"), "{info}");
        assert!(info.contains("cmdstat_config|resetstat:calls=1,") && info.contains("db0:keys=1,"), "{info}");
    }

    #[test]
    fn secrets_stay_out_of_the_slow_log() {
        let mut server = TestServer::with_config(|config| config.slowlog_log_slower_than = 0);
        server.run("CONFIG SET timeout 0 requirepass verysecret masterauth verysecret");
        server.run("AUTH verysecret");
        server.run("HELLO 2 AUTH default verysecret");
        let log = server.run("SLOWLOG GET");
        assert!(!log.contains("verysecret") && log.matches("(redacted)").count() == 5, "{log}");
        assert!(log.contains("requirepass\r\n$10\r\n(redacted)\r\n$10\r\nmasterauth\r\n"), "{log}");
        assert_eq!(server.run("CONFIG SET slowlog-max-len 1"), "+OK\r\n");
        assert_eq!(server.run("SLOWLOG LEN"), ":1\r\n");
    }
}
