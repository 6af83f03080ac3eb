//! Handlers of what concerns the disk: SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE, WAITAOF. The work is done by background
//! threads; a client that waits for it holds up nobody else.

use std::sync::atomic::Ordering;

use super::arguments::Arguments;
use super::context::{Cx, Outcome};
use crate::engine::persistence::{Busy, JobKind};
use crate::engine::session::Waiting;
use crate::resp::ReplyError;

const SAVING: ReplyError = ReplyError::of("ERR Background save already in progress");

/// SAVE
pub fn save(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    let asked = cx.engine().persistence.ask_and_wait(JobKind::Save, &cx.session.handle);
    let outcome = asked.map_err(|Busy| SAVING)?;
    cx.session.waiting = Some(Waiting::Job(outcome));
    Ok(())
}

/// BGSAVE [SCHEDULE]
pub fn bgsave(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let mut reader = Arguments::from(args, 1);
    // Nothing ever keeps a snapshot from starting, so there is nothing to wait for.
    reader.word("SCHEDULE");
    reader.finish()?;
    cx.engine().persistence.ask(JobKind::Save).map_err(|Busy| SAVING)?;
    cx.reply.simple("Background saving started");
    Ok(())
}

/// BGREWRITEAOF
pub fn bgrewriteaof(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    let persistence = &cx.engine().persistence;
    let asked = persistence.ask(JobKind::Rewrite);
    let scheduled = persistence.is_rewrite_scheduled();
    if asked.is_err() && !scheduled {
        return Err(ReplyError::of("ERR Background append only file rewriting already in progress"));
    }
    let state = if scheduled { "scheduled" } else { "started" };
    cx.reply.simple(&format!("Background append only file rewriting {state}"));
    Ok(())
}

/// LASTSAVE
pub fn lastsave(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    cx.reply.integer(cx.engine().last_save_seconds.load(Ordering::Relaxed));
    Ok(())
}

/// WAITAOF numlocal numreplicas timeout
pub fn waitaof(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let mut reader = Arguments::from(args, 1);
    let locally = reader.integer();
    let locally = match locally {
        0 | 1 => locally == 1,
        _ => {
            reader.fail(ReplyError::of("ERR value is out of range, value must between 0 and 1"));
            false
        }
    };
    let replicas = reader.integer();
    if replicas < 0 {
        reader.fail(ReplyError::of("ERR value is out of range, must be positive"));
    }
    let timeout_ms = reader.integer_or(ReplyError::of("ERR timeout is not an integer or out of range"));
    if timeout_ms < 0 {
        reader.fail(ReplyError::of("ERR timeout is negative"));
    }
    reader.finish()?;
    if cx.engine().is_replica() {
        return Err(ReplyError::of(
            "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local \
             and are not propagated.",
        ));
    }
    let Some(sink) = cx.worker.effects() else {
        if locally {
            return Err(ReplyError::of("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."));
        }
        return wait(cx, 0, false, replicas as usize, timeout_ms);
    };
    let ticket = sink.ticket();
    wait(cx, ticket, locally, replicas as usize, timeout_ms)
}

/// WAIT numreplicas timeout. What others wrote meanwhile counts as well: it came before, or at the same time.
pub fn wait_for_replicas(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let mut reader = Arguments::from(args, 1);
    let replicas = reader.integer();
    let timeout_ms = reader.integer_or(ReplyError::of("ERR timeout is not an integer or out of range"));
    if timeout_ms < 0 {
        reader.fail(ReplyError::of("ERR timeout is negative"));
    }
    reader.finish()?;
    if cx.engine().is_replica() {
        return Err(ReplyError::of(
            "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is \
             configured to be writable (which is not the default) writes to replicas are just local and are not propagated.",
        ));
    }
    let offset = cx.engine().stream.end();
    let found = cx.engine().replicas.count_with(offset);
    if replicas <= found as i64 || cx.may_not_wait() {
        cx.reply.integer(found as i64);
        return Ok(());
    }
    let until_ms = (timeout_ms > 0).then(|| cx.worker.now_ms.saturating_add(timeout_ms as u64));
    cx.session.waiting = Some(Waiting::Replicas { wanted: replicas as usize, offset, until_ms });
    ask_replicas(cx);
    cx.session.handle.patience.begin();
    Ok(())
}

/// Has replicas say how far they are.
fn ask_replicas(cx: &Cx<'_>) {
    if cx.engine().replicas.count() > 0 {
        cx.engine().stream.append_aside(&[b"REPLCONF", b"GETACK", b"*"]);
    }
}

fn wait(cx: &mut Cx<'_>, ticket: u64, locally: bool, replicas: usize, timeout_ms: i64) -> Outcome {
    let offset = cx.engine().stream.end();
    if cx.in_exec {
        // A transaction does not wait: it tells how things are.
        let durable = cx.worker.effects().is_some_and(|sink| sink.is_durable(ticket));
        cx.reply.array(2);
        cx.reply.integer(i64::from(durable));
        cx.reply.integer(cx.engine().replicas.count_durable(offset) as i64);
        return Ok(());
    }
    let until_ms = (timeout_ms > 0).then(|| cx.worker.now_ms.saturating_add(timeout_ms as u64));
    cx.session.waiting = Some(Waiting::Durable { ticket, locally, replicas, offset, until_ms });
    if replicas > 0 {
        ask_replicas(cx);
    }
    cx.session.handle.patience.begin();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::TestServer;

    #[test]
    fn jobs_are_asked_for_one_at_a_time() {
        let mut server = TestServer::new();
        server.expect(&[
            ("BGSAVE NOW", "-ERR syntax error\r\n"),
            ("BGSAVE SCHEDULE", "+Background saving started\r\n"),
            ("BGSAVE", "-ERR Background save already in progress\r\n"),
            ("SAVE", "-ERR Background save already in progress\r\n"),
            ("BGREWRITEAOF", "+Background append only file rewriting scheduled\r\n"),
            ("BGREWRITEAOF", "+Background append only file rewriting scheduled\r\n"),
        ]);
        assert_eq!(server.run("LASTSAVE"), format!(":{}\r\n", server.engine.started_ms / 1000));
        server.engine.persistence.finish(JobKind::Save, true);
        server.expect(&[("BGREWRITEAOF", "-ERR Background append only file rewriting already in progress\r\n")]);
        assert_eq!(server.run("SAVE"), "");
        assert!(matches!(server.session(0).waiting, Some(Waiting::Job(_))));
    }

    #[test]
    fn waiting_for_replicas_that_are_not_there() {
        let mut server = TestServer::new();
        server.expect(&[
            ("WAIT x 0", "-ERR value is not an integer or out of range\r\n"),
            ("WAIT 1 x", "-ERR timeout is not an integer or out of range\r\n"),
            ("WAIT 1 -1", "-ERR timeout is negative\r\n"),
            ("WAIT 0 0", ":0\r\n"),
            ("MULTI", "+OK\r\n"),
            ("WAIT 1 0", "+QUEUED\r\n"),
            ("EXEC", "*1\r\n:0\r\n"),
            ("WAIT 1 1000", ""),
        ]);
        assert!(matches!(
            server.session(0).waiting,
            Some(Waiting::Replicas { wanted: 1, offset: 0, until_ms: Some(_) })
        ));
    }

    #[test]
    fn waiting_for_the_disk_reads_its_numbers() {
        let mut server = TestServer::new();
        server.expect(&[
            ("WAITAOF 2 0 0", "-ERR value is out of range, value must between 0 and 1\r\n"),
            ("WAITAOF x 0 0", "-ERR value is not an integer or out of range\r\n"),
            ("WAITAOF 0 -1 0", "-ERR value is out of range, must be positive\r\n"),
            ("WAITAOF 0 0 x", "-ERR timeout is not an integer or out of range\r\n"),
            ("WAITAOF 0 0 -1", "-ERR timeout is negative\r\n"),
            ("MULTI", "+OK\r\n"),
            ("WAITAOF 1 0 0", "+QUEUED\r\n"),
            ("EXEC", "*1\r\n*2\r\n:1\r\n:0\r\n"),
        ]);
    }
}
