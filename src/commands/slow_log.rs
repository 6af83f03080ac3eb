//! Handlers of SLOWLOG.

use super::command::write_help;
use super::context::{Cx, Outcome};
use crate::base::number::parse_i64;
use crate::resp::ReplyError;

/// Entries that GET shows unless told otherwise.
const COUNT_DEFAULT: i64 = 10;

/// SLOWLOG GET [count]
pub fn get(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let count = match &args[2..] {
        [] => COUNT_DEFAULT,
        [count] => parse_i64(count)
            .filter(|count| *count >= -1)
            .ok_or(ReplyError::of("ERR count should be greater than or equal to -1"))?,
        _ => return Err(cx.unknown_subcommand(args)),
    };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let entries = cx.engine().slow_log.newest(count);
    let reply = &mut cx.reply;
    reply.array(entries.len());
    for entry in &entries {
        reply.array(6);
        reply.integer(entry.id as i64);
        reply.integer(entry.unix_seconds as i64);
        reply.integer(entry.duration_us as i64);
        reply.array(entry.arguments.len());
        entry.arguments.iter().for_each(|argument| reply.bulk(argument));
        reply.bulk_text(&entry.peer);
        reply.bulk_text(&entry.client_name);
    }
    Ok(())
}

/// SLOWLOG LEN
pub fn len(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    cx.reply.integer(cx.engine().slow_log.len() as i64);
    Ok(())
}

/// SLOWLOG RESET
pub fn reset(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    cx.engine().slow_log.clear();
    cx.reply.ok();
    Ok(())
}

/// SLOWLOG HELP
pub fn help(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    write_help(
        &mut cx.reply,
        "SLOWLOG",
        &[
            "GET [<count>]",
            "    List the newest entries, 10 unless given, all with -1. An entry has: id, time, microseconds,",
            "    arguments, the client's address, the client's name.",
            "LEN",
            "    Count the entries.",
            "RESET",
            "    Forget all entries.",
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::TestServer;

    #[test]
    fn entries_and_their_limits() {
        let mut server = TestServer::with_config(|config| config.slowlog_log_slower_than = 0);
        server.run("CLIENT SETNAME me");
        server.run("SLOWLOG RESET");
        server.run("SET key value");
        let log = server.run("SLOWLOG GET 1");
        assert!(log.starts_with("*1\r\n*6\r\n:2\r\n:"), "{log}");
        assert!(
            log.ends_with("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n$11\r\n127.0.0.1:1\r\n$2\r\nme\r\n"),
            "{log}"
        );
        let refused = "-ERR count should be greater than or equal to -1\r\n";
        server.expect(&[
            ("SLOWLOG GET -2", refused),
            ("SLOWLOG GET x", refused),
            ("SLOWLOG GET 0", "*0\r\n"),
            ("SLOWLOG LEN", ":6\r\n"),
            ("CONFIG SET slowlog-log-slower-than -1", "+OK\r\n"),
            ("SLOWLOG RESET", "+OK\r\n"),
            ("PING", "+PONG\r\n"),
            ("SLOWLOG GET -1", "*0\r\n"),
        ]);
        assert!(
            server.run("SLOWLOG GET 1 2").starts_with("-ERR unknown subcommand or wrong number of arguments for 'GET'")
        );
        assert!(server.run("SLOWLOG HELP").starts_with("*10\r\n+SLOWLOG "));
    }
}
