//! Handlers of replication: what replicas ask and tell, SYNC, PSYNC and REPLCONF; REPLICAOF, which makes this server one;
//! ROLE.

use std::sync::Arc;

use super::admission::LOADING_DATA_SET;
use super::context::{Cx, Outcome};
use crate::base::number::parse_i64;
use crate::engine::following::{Primary, Stage};
use crate::engine::persistence::obstacle;
use crate::engine::replicas::{Phase, Replica};
use crate::engine::session::{StreamRequest, Waiting};
use crate::resp::ReplyError;

/// Longest address that a replica may want to be known by: a name, or an IPv6 address.
const ADDRESS_BYTES_MAX: usize = 255;

/// SYNC: a full copy, then the stream.
pub fn sync(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    ask(cx, StreamRequest { id: Vec::new(), offset: None, told_offset: false })
}

/// PSYNC replicationid offset [FAILOVER]: the stream from there on, or a full copy first.
pub fn psync(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    if args.len() > 3 {
        return Err(ReplyError::of("ERR PSYNC FAILOVER can't be sent to a master."));
    }
    // The replica names the first byte that it misses, and counts from 1.
    let offset = parse_i64(args[2]).and_then(|first| u64::try_from(first.checked_sub(1)?).ok());
    ask(cx, StreamRequest { id: args[1].to_vec(), offset, told_offset: true })
}

/// The connection answers, and serves the stream from then on.
fn ask(cx: &mut Cx<'_>, request: StreamRequest) -> Outcome {
    if cx.in_exec {
        return Err(ReplyError::of("ERR Replication cannot begin inside a transaction"));
    }
    if cx.engine().persistence.obstacles() & obstacle::UNLINKED != 0 {
        return Err(ReplyError::of("NOMASTERLINK Can't SYNC while not connected with my master"));
    }
    // Who follows already gets no second answer.
    if cx.session.replica_is_linked() {
        return Ok(());
    }
    cx.session.waiting = Some(Waiting::Stream(request));
    Ok(())
}

fn number(text: &[u8]) -> Result<u64, ReplyError> {
    parse_i64(text).and_then(|number| u64::try_from(number).ok()).ok_or(ReplyError::NotAnInteger)
}

/// REPLCONF option value [option value ...]. Acknowledgements get no answer.
pub fn replconf(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    if args.len().is_multiple_of(2) {
        return Err(ReplyError::Syntax);
    }
    for pair in args[1..].chunks_exact(2) {
        let [option, value] = pair else { continue };
        match option.to_ascii_lowercase().as_slice() {
            b"ack" => return acknowledge(cx, &args[1..]),
            b"getack" => {
                if cx.session.relay.is_some() {
                    let acknowledgement = cx.engine().acknowledgement();
                    cx.session.pushes.extend(acknowledgement);
                }
                return Ok(());
            }
            option => note(cx, option, value)?,
        }
    }
    cx.reply.ok();
    Ok(())
}

/// Takes what a replica says about itself.
fn note(cx: &mut Cx<'_>, option: &[u8], value: &[u8]) -> Outcome {
    let handle = cx.session.handle.clone();
    let replica = cx.session.replica.get_or_insert_with(|| Arc::new(Replica::new(handle)));
    let mut wants = replica.wants.lock();
    match option {
        b"listening-port" => {
            wants.listening_port = u16::try_from(number(value)?).map_err(|_| ReplyError::NotAnInteger)?;
        }
        b"ip-address" if value.len() > ADDRESS_BYTES_MAX => {
            let text =
                format!("ERR REPLCONF ip-address provided by replica instance is too long: {} bytes", value.len());
            return Err(ReplyError::Text(text.into()));
        }
        b"ip-address" => {
            wants.address = Some(String::from_utf8_lossy(value).into_owned()).filter(|address| !address.is_empty());
        }
        b"capa" => match value.to_ascii_lowercase().as_slice() {
            b"eof" => wants.reads_marks = true,
            b"psync2" => wants.follows_ids = true,
            // Whatever else it can do, nobody here needs.
            _ => {}
        },
        b"rdb-only" => wants.copy_only = number(value)? == 1,
        _ => return Err(ReplyError::quoting("ERR Unrecognized REPLCONF option: ", option, "")),
    }
    Ok(())
}

/// ACK offset [FACK durable-offset]
fn acknowledge(cx: &mut Cx<'_>, words: &[&[u8]]) -> Outcome {
    if !cx.session.replica_is_linked() {
        return Ok(());
    }
    let Some(replica) = &cx.session.replica else { return Ok(()) };
    let durable = match words {
        [_, _, option, durable] if option.eq_ignore_ascii_case(b"fack") => number(durable).ok(),
        _ => None,
    };
    if let Ok(offset) = number(words[1]) {
        replica.note_acked(offset, durable, cx.worker.now_ms);
        cx.worker.engine.replicas.wake_waiting();
    }
    Ok(())
}

/// REPLICAOF host port, REPLICAOF NO ONE
pub fn replicaof(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let engine = cx.engine();
    if cx.config().cluster_enabled {
        return Err(ReplyError::of("ERR REPLICAOF not allowed in cluster mode."));
    }
    // It was let in, and loading has begun since.
    if engine.persistence.is_loading() {
        return Err(ReplyError::of(LOADING_DATA_SET));
    }
    if args[1].eq_ignore_ascii_case(b"no") && args[2].eq_ignore_ascii_case(b"one") {
        if engine.is_replica() {
            engine.stop_following();
            tracing::warn!("Primary mode enabled (request from {})", cx.session.handle.peer.address());
        }
        cx.reply.ok();
        return Ok(());
    }
    if cx.session.replica_is_linked() {
        return Err(ReplyError::of("ERR Command is not valid when client is a replica."));
    }
    let port = parse_i64(args[2]).and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or(ReplyError::of("ERR Invalid master port"))?;
    let primary = Primary { host: String::from_utf8_lossy(args[1]).into_owned(), port };
    if engine.following.status().is_some_and(|status| status.primary == primary) {
        cx.reply.raw(b"+OK Already connected to specified master\r\n");
        return Ok(());
    }
    tracing::warn!("Following {}:{port} from now on (request from {})", primary.host, cx.session.handle.peer.address());
    engine.follow_primary(primary);
    cx.reply.ok();
    Ok(())
}

/// ROLE
pub fn role(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    if let Some(status) = cx.engine().following.status() {
        let offset = if status.stage == Stage::Linked { cx.engine().stream.end() as i64 } else { -1 };
        cx.reply.array(5);
        cx.reply.bulk_text("slave");
        cx.reply.bulk_text(&status.primary.host);
        cx.reply.integer(i64::from(status.primary.port));
        cx.reply.bulk_text(status.stage.word());
        cx.reply.integer(offset);
        return Ok(());
    }
    let online: Vec<_> =
        cx.engine().replicas.all().into_iter().filter(|replica| replica.phase() == Phase::Online).collect();
    cx.reply.array(3);
    cx.reply.bulk_text("master");
    cx.reply.integer(cx.engine().stream.end() as i64);
    cx.reply.array(online.len());
    for replica in online {
        let (address, port) = replica.address();
        cx.reply.array(3);
        for text in [address, port.to_string(), replica.acked().to_string()] {
            cx.reply.bulk_text(&text);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::TestServer;

    #[test]
    fn replicas_tell_about_themselves() {
        let mut server = TestServer::new();
        server.expect(&[
            ("REPLCONF listening-port", "-ERR syntax error\r\n"),
            ("REPLCONF listening-port x", "-ERR value is not an integer or out of range\r\n"),
            ("REPLCONF listening-port 70000", "-ERR value is not an integer or out of range\r\n"),
            ("REPLCONF listening-port 7001 ip-address host capa EOF capa psync2 capa other", "+OK\r\n"),
            ("REPLCONF what ever", "-ERR Unrecognized REPLCONF option: what\r\n"),
            ("REPLCONF ack 1", ""),
            ("REPLCONF getack *", ""),
            ("ROLE", "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"),
        ]);
        let wants = server.session(0).replica.as_ref().unwrap().wants.lock().clone();
        assert!(wants.reads_marks && wants.follows_ids && !wants.copy_only);
        assert_eq!((wants.listening_port, wants.address.as_deref()), (7001, Some("host")));
    }

    #[test]
    fn the_stream_is_asked_for() {
        let asked = |line: &str| {
            let mut server = TestServer::new();
            assert_eq!(server.run(line), "");
            match server.session(0).waiting.take() {
                Some(Waiting::Stream(request)) => (request.id, request.offset, request.told_offset),
                _ => panic!("{line}: no request"),
            }
        };
        assert_eq!(asked("SYNC"), (Vec::new(), None, false));
        assert_eq!(asked("PSYNC ? -1"), (b"?".to_vec(), None, true));
        assert_eq!(asked("PSYNC abc 1"), (b"abc".to_vec(), Some(0), true));
        let mut server = TestServer::new();
        server.expect(&[
            ("PSYNC abc 1 FAILOVER", "-ERR PSYNC FAILOVER can't be sent to a master.\r\n"),
            ("MULTI", "+OK\r\n"),
            ("SYNC", "-ERR Command not allowed inside a transaction\r\n"),
        ]);
    }

    /// The stream has the words of the calls where those say what happened, in one piece for each call.
    #[test]
    fn what_the_stream_says() {
        let mut server = TestServer::new();
        let cursor = server.engine.stream.cut(1 << 20);
        for (line, said) in [
            ("SET a 1 EX 100", "SELECT 0 SET a 1 PXAT *"),
            ("MSET a 1 b 2", "MSET a 1 b 2"),
            ("DEL a b c", "DEL a b c"),
            ("PUBLISH c m", "PUBLISH c m"),
            ("FLUSHALL ASYNC", "FLUSHALL ASYNC"),
            ("SWAPDB 0 1", "SWAPDB 0 1"),
            ("GET a", ""),
            ("MULTI", ""),
            ("SET a 1", ""),
            ("PUBLISH c m", ""),
            ("MSET b 1 c 2", ""),
            ("EXEC", "MULTI SET a 1 PUBLISH c m MSET b 1 c 2 EXEC"),
            ("SADD s x", "SADD s x"),
            ("SPOP s", "SREM s x"),
            ("RENAME a z", "*"),
        ] {
            server.run(line);
            let mut bytes = Vec::new();
            while cursor.read(&mut bytes).is_some_and(|count| count > 0) {}
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let words: Vec<&str> =
                text.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with(['*', '$'])).collect();
            let words = words.join(" ");
            match said.strip_suffix('*') {
                Some(start) => assert!(words.starts_with(start) && words.len() > start.len(), "{line}: {words}"),
                None => assert_eq!(words, said, "{line}"),
            }
        }
    }
}
