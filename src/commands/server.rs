//! Handlers of what concerns the process as a whole: TIME, SHUTDOWN, FAILOVER, MONITOR.

use super::arguments::Arguments;
use super::context::{Cx, Outcome};
use crate::base::clock;
use crate::engine::session::Waiting;
use crate::engine::shutdown::ShutdownKind;
use crate::resp::ReplyError;

/// TIME
pub fn time(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    let now_us = clock::unix_us();
    cx.reply.array(2);
    cx.reply.bulk_integer((now_us / 1_000_000) as i64);
    cx.reply.bulk_integer((now_us % 1_000_000) as i64);
    Ok(())
}

/// SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]. There is no answer: the connection ends with the process.
pub fn shutdown(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (mut save, mut no_save, mut hurry, mut abort) = (false, false, false, false);
    for option in &args[1..] {
        match option.to_ascii_lowercase().as_slice() {
            b"save" => save = true,
            b"nosave" => no_save = true,
            b"now" | b"force" => hurry = true,
            b"abort" => abort = true,
            _ => return Err(ReplyError::Syntax),
        }
    }
    if save && no_save || abort && (save || no_save || hurry) {
        return Err(ReplyError::Syntax);
    }
    if abort {
        if !cx.engine().shutdown.abort() {
            return Err(ReplyError::of("ERR No shutdown in progress."));
        }
        tracing::warn!("Shutdown manually aborted");
        cx.reply.ok();
        return Ok(());
    }
    let saves = save || !no_save && !cx.config().save.is_empty();
    let kind = if saves { ShutdownKind::Save } else { ShutdownKind::NoSave };
    let failure = cx.engine().shutdown.ask(kind, &cx.session.handle);
    // There is no reply unless it fails.
    cx.session.waiting = Some(Waiting::ProcessEnd(failure));
    Ok(())
}

/// FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds]. It hands over to nobody, and says how to do that by hand.
pub fn failover(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    if cx.config().cluster_enabled {
        return Err(ReplyError::of("ERR FAILOVER not allowed in cluster mode. Use CLUSTER FAILOVER command instead."));
    }
    if args.len() == 2 && args[1].eq_ignore_ascii_case(b"abort") {
        return Err(ReplyError::of("ERR No failover in progress."));
    }
    let mut arguments = Arguments::from(args, 1);
    while !arguments.is_done() {
        if arguments.option("timeout") {
            if arguments.integer() <= 0 {
                arguments.fail(ReplyError::of("ERR FAILOVER timeout must be greater than 0"));
            }
        } else if arguments.option("to") {
            arguments.next_bytes();
            arguments.integer();
        } else if !arguments.word("force") {
            arguments.fail(ReplyError::Syntax);
        }
    }
    arguments.finish()?;
    Err(ReplyError::of(match (cx.engine().is_replica(), cx.engine().replicas.count()) {
        (true, _) => "ERR FAILOVER is not valid when server is a replica.",
        (false, 0) => "ERR FAILOVER requires connected replicas.",
        (false, _) => {
            "ERR FAILOVER is not there yet. By hand: CLIENT PAUSE with WRITE, WAIT for the replica, REPLICAOF NO ONE there, \
             REPLICAOF its address here."
        }
    }))
}

/// MONITOR
pub fn monitor(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    if cx.in_exec {
        return Err(ReplyError::of("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    // Whoever monitors already gets no second answer.
    if cx.session.monitor {
        return Ok(());
    }
    cx.session.monitor = true;
    cx.engine().clients.add_monitor(cx.session.handle.clone());
    cx.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::TestServer;

    #[test]
    fn time() {
        let mut server = TestServer::new();
        assert!(server.run("TIME").starts_with("*2\r\n$10\r\n"));
    }

    #[test]
    fn shutdown_reads_its_options() {
        let mut server = TestServer::new();
        server.expect(&[
            ("SHUTDOWN BOGUS", "-ERR syntax error\r\n"),
            ("SHUTDOWN SAVE NOSAVE", "-ERR syntax error\r\n"),
            ("SHUTDOWN ABORT NOW", "-ERR syntax error\r\n"),
            ("SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n"),
            ("MULTI", "+OK\r\n"),
            ("SHUTDOWN", "-ERR Command not allowed inside a transaction\r\n"),
            ("EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n"),
        ]);
        assert!(server.session(0).waiting.is_none());
        assert_eq!(server.run("SHUTDOWN NOSAVE NOW FORCE"), "");
        assert!(matches!(server.session(0).waiting, Some(Waiting::ProcessEnd(_))));
    }

    #[test]
    fn there_is_nobody_to_hand_over_to() {
        TestServer::new().expect(&[
            ("FAILOVER", "-ERR FAILOVER requires connected replicas.\r\n"),
            ("FAILOVER TO a 1 FORCE TIMEOUT 5", "-ERR FAILOVER requires connected replicas.\r\n"),
            ("FAILOVER TIMEOUT 0", "-ERR FAILOVER timeout must be greater than 0\r\n"),
            ("FAILOVER TO a", "-ERR syntax error\r\n"),
            ("FAILOVER ABORT", "-ERR No failover in progress.\r\n"),
        ]);
    }

    #[test]
    fn monitors_see_what_ran() {
        let mut server = TestServer::with_config(|config| config.requirepass = "secret".into());
        (0..2).for_each(|client| assert_eq!(server.run_as(client, "AUTH secret"), "+OK\r\n"));
        assert_eq!(server.run_as(1, "MONITOR"), "+OK\r\n");
        assert_eq!(server.run_as(1, "MONITOR"), "");
        let commands = [
            "SET k \"a\\\"\\r\\n\\x01\"",
            "SELECT 9",
            "AUTH secret",
            "CONFIG GET hz",
            "NOSUCH",
            "MULTI",
            "GET k",
            "MONITOR",
            "EXEC",
        ];
        for line in commands {
            server.run(line);
        }
        let lines: Vec<String> = server.mail(1).lines().map(str::to_owned).collect();
        let ends = [
            r#" [0 127.0.0.1:1] "SET" "k" "a\"\r\n\x01""#,
            r#" [9 127.0.0.1:1] "SELECT" "9""#,
            r#"] "AUTH" "(redacted)""#,
            r#"] "MULTI""#,
            r#"] "GET" "k""#,
            r#"] "EXEC""#,
        ];
        assert_eq!(lines.len(), ends.len(), "{lines:#?}");
        for (line, end) in lines.iter().zip(ends) {
            assert!(line.starts_with('+') && line.ends_with(end), "{line}");
        }
    }
}
