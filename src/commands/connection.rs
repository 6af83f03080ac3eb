//! Handlers of what a connection does for itself: PING, ECHO, SELECT, QUIT, RESET, AUTH, HELLO.

use super::access::{self, Refused};
use super::client::set_name;
use super::context::{Cx, Outcome};
use crate::acl::log::{Context, Reason};
use crate::acl::user::DEFAULT_NAME;
use crate::base::number::parse_i64;
use crate::base::version::REDIS_VERSION;
use crate::commands::arguments::Arguments;
use crate::engine::clients::flag;
use crate::engine::session::{Fate, ReplyMode};
use crate::resp::{Protocol, ReplyError};

/// PING [message]
pub fn ping(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    if args.len() > 2 {
        return Err(ReplyError::wrong_arity(&cx.command.full_name));
    }
    // Among messages it looks like one.
    if cx.session.only_listens {
        cx.reply.array(2);
        cx.reply.bulk(b"pong");
        cx.reply.bulk(args.get(1).copied().unwrap_or_default());
        return Ok(());
    }
    match args {
        [_] => cx.reply.simple("PONG"),
        _ => cx.reply.bulk(args[1]),
    }
    Ok(())
}

/// ECHO message
pub fn echo(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    cx.reply.bulk(args[1]);
    Ok(())
}

/// SELECT index
pub fn select(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let mut arguments = Arguments::from(args, 1);
    let number = arguments.small_integer();
    if cx.config().cluster_enabled && number != 0 {
        arguments.fail(ReplyError::of("ERR SELECT is not allowed in cluster mode"));
    }
    let db = arguments.check_database(number, cx.engine().keyspace.databases());
    arguments.finish()?;
    cx.session.select(db);
    // Inside EXEC, for the commands that follow.
    cx.space.db = db;
    cx.reply.ok();
    Ok(())
}

/// QUIT
pub fn quit(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    cx.reply.ok();
    cx.session.fate = Fate::CloseAfterReply;
    Ok(())
}

/// RESET: back to how the connection was when it came. What the library called itself stays.
pub fn reset(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    let session = &mut *cx.session;
    if session.monitor {
        cx.worker.engine.clients.remove_monitor(session.handle.id);
        session.monitor = false;
    }
    session.stop_listening(&cx.worker.engine);
    session.take_transaction();
    let space = &mut cx.space;
    session.unwatch(|id, work| space.with_slot(id, |slot| work(slot)));
    session.select(0);
    session.set_protocol(Protocol::Resp2);
    cx.reply.protocol = Protocol::Resp2;
    session.log_out(&cx.worker.engine.users);
    session.no_touch = false;
    if session.reply_mode == ReplyMode::Off {
        session.reply_mode = ReplyMode::On;
    }
    session.handle.set_flag(flag::MONITOR | flag::NO_TOUCH | flag::NO_EVICT, false);
    session.handle.names.lock().name.clear();
    cx.reply.simple("RESET");
    Ok(())
}

/// AUTH [username] password
pub fn auth(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    if args.len() > 3 {
        return Err(ReplyError::Syntax);
    }
    (1..args.len()).for_each(|index| cx.redact(index));
    let (user, password) = match args {
        [_, user, password] => (*user, *password),
        _ if cx.engine().users.default_user().is_without_password() => {
            return Err(ReplyError::of(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?",
            ));
        }
        _ => (DEFAULT_NAME, args[1]),
    };
    log_in(cx, user, password, args)?;
    cx.reply.ok();
    Ok(())
}

/// HELLO [protover [AUTH username password] [SETNAME clientname]]
pub fn hello(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let protocol = match args.get(1).map(|version| parse_i64(version)) {
        None => None,
        Some(Some(2)) => Some(Protocol::Resp2),
        Some(Some(3)) => Some(Protocol::Resp3),
        Some(Some(_)) => return Err(ReplyError::of("NOPROTO unsupported protocol version")),
        Some(None) => {
            return Err(ReplyError::of("ERR Protocol version is not an integer or out of range"));
        }
    };
    let (mut login, mut name) = (None, None);
    let mut at = 2;
    while at < args.len() {
        let option = args[at];
        if option.eq_ignore_ascii_case(b"auth") && at + 2 < args.len() {
            cx.redact(at + 1);
            cx.redact(at + 2);
            login = Some((args[at + 1], args[at + 2]));
            at += 3;
        } else if option.eq_ignore_ascii_case(b"setname") && at + 1 < args.len() {
            name = Some(super::client::check_name(args[at + 1])?);
            at += 2;
        } else {
            return Err(ReplyError::quoting("ERR Syntax error in HELLO option '", option, "'"));
        }
    }
    if let Some((user, password)) = login {
        log_in(cx, user, password, args)?;
    }
    if cx.session.must_log_in() {
        return Err(ReplyError::of(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
             <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the \
             same time",
        ));
    }
    if let Some(name) = name {
        set_name(cx, name);
    }
    if let Some(protocol) = protocol {
        cx.session.set_protocol(protocol);
        cx.reply.protocol = protocol;
    }
    describe(cx);
    Ok(())
}

/// The reply of HELLO.
fn describe(cx: &mut Cx<'_>) {
    let mode = if cx.config().cluster_enabled { "cluster" } else { "standalone" };
    let id = cx.session.handle.id;
    let proto = cx.session.protocol.number();
    let role = if cx.engine().is_replica() { "replica" } else { "master" };
    let reply = &mut cx.reply;
    reply.map(7);
    for (name, text) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk_text(name);
        reply.bulk_text(text);
    }
    for (name, number) in [("proto", proto), ("id", id as i64)] {
        reply.bulk_text(name);
        reply.integer(number);
    }
    for (name, text) in [("mode", mode), ("role", role)] {
        reply.bulk_text(name);
        reply.bulk_text(text);
    }
    reply.bulk_text("modules");
    reply.array(0);
}

/// Logs the session in, or says that name or password are wrong. A failure leaves the session as it was.
fn log_in(cx: &mut Cx<'_>, name: &[u8], password: &[u8], args: &[&[u8]]) -> Outcome {
    let engine = cx.engine();
    let Some(user) = engine.users.get(name).filter(|user| user.accepts(password)) else {
        let context = if cx.in_exec { Context::Multi } else { Context::TopLevel };
        let refused = Refused { reason: Reason::Auth, object: args[0], username: name, args };
        access::refuse(engine, cx.session, refused, context, cx.space.now_ms);
        return Err(ReplyError::of("WRONGPASS invalid username-password pair or user is disabled."));
    };
    cx.session.log_in(user, &engine.users);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::TestServer;

    #[test]
    fn simple_ones() {
        let mut server = TestServer::new();
        server.expect(&[
            ("PING", "+PONG\r\n"),
            ("PING hi", "$2\r\nhi\r\n"),
            ("PING a b", "-ERR wrong number of arguments for 'ping' command\r\n"),
            ("ECHO x", "$1\r\nx\r\n"),
            ("SELECT 3", "+OK\r\n"),
            ("SELECT 16", "-ERR DB index is out of range\r\n"),
            ("SELECT -1", "-ERR DB index is out of range\r\n"),
            ("SELECT x", "-ERR value is not an integer or out of range\r\n"),
            ("MULTI", "+OK\r\n"),
            ("SELECT 5", "+QUEUED\r\n"),
            ("EXEC", "*1\r\n+OK\r\n"),
            ("QUIT", "+OK\r\n"),
        ]);
        assert_eq!(server.session(0).db, 5);
        assert_eq!(server.session(0).fate, Fate::CloseAfterReply);
    }

    #[test]
    fn logging_in() {
        let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
        let mut server = TestServer::with_config(|config| config.requirepass = "secret".into());
        server.expect(&[
            ("GET x", "-NOAUTH Authentication required.\r\n"),
            ("AUTH wrong", wrong),
            ("AUTH nobody secret", wrong),
            ("AUTH default wrong", wrong),
            ("AUTH a b c", "-ERR syntax error\r\n"),
            ("HELLO 3 AUTH default wrong", wrong),
            ("HELLO 4", "-NOPROTO unsupported protocol version\r\n"),
            ("RESET", "+RESET\r\n"),
            ("AUTH secret", "+OK\r\n"),
            ("AUTH wrong", wrong),
            ("EXISTS x", ":0\r\n"),
            ("RESET", "+RESET\r\n"),
        ]);
        assert!(server.run("HELLO 3").starts_with("-NOAUTH HELLO must be called"));
        assert!(server.run("HELLO 3 AUTH default secret SETNAME me").starts_with("%7\r\n"));
        assert_eq!(server.run("CLIENT GETNAME"), "$2\r\nme\r\n");
        assert_eq!(server.engine.stats.acl_denied_auth.get(), 5);
        server.expect(&[("CONFIG SET requirepass \"\"", "+OK\r\n"), ("RESET", "+RESET\r\n")]);
        assert!(server.run("AUTH secret").starts_with("-ERR AUTH <password> called without any password configured"));
        assert_eq!(server.run("AUTH default whatever"), "+OK\r\n");
    }

    #[test]
    fn hello_describes_the_server() {
        let mut server = TestServer::new();
        let reply = server.run("HELLO");
        assert_eq!(
            reply.replace("\r\n", " "),
            format!(
                "*14 $6 server $5 redis $7 version ${} {REDIS_VERSION} $5 proto :2 $2 id :1 $4 mode $10 standalone $4 role \
                 $6 master $7 modules *0 ",
                REDIS_VERSION.len()
            )
        );
        server.expect(&[
            ("HELLO x", "-ERR Protocol version is not an integer or out of range\r\n"),
            ("HELLO 3 BOGUS", "-ERR Syntax error in HELLO option 'BOGUS'\r\n"),
            ("HELLO 3 SETNAME \"a b\"", "-ERR Client names cannot contain spaces, newlines or special characters.\r\n"),
            ("CLIENT GETNAME", "$-1\r\n"),
        ]);
        assert!(server.run("HELLO 3").contains("proto\r\n:3\r\n"));
        assert_eq!(server.run("CLIENT GETNAME"), "_\r\n");
    }

    #[test]
    fn reset_undoes_everything() {
        let mut server = TestServer::new();
        server.run("HELLO 3 SETNAME me");
        for line in ["CLIENT SETINFO lib-name lib", "CLIENT NO-TOUCH ON", "SELECT 4", "WATCH k", "MULTI", "RESET"] {
            assert!(server.run(line).starts_with('+'), "{line}");
        }
        let info = server.run("CLIENT INFO");
        assert!(
            info.contains(" name= ") && info.contains(" flags=N db=0 ") && info.contains(" lib-name=lib "),
            "{info}"
        );
        assert!(server.session(0).watched().len() == 0 && !server.session(0).no_touch);
        server.expect(&[("EXEC", "-ERR EXEC without MULTI\r\n"), ("CLIENT REPLY OFF", ""), ("PING", "")]);
        server.expect(&[
            ("RESET", "+RESET\r\n"),
            ("MONITOR", "+OK\r\n"),
            ("RESET", "+RESET\r\n"),
            ("PING", "+PONG\r\n"),
        ]);
        assert!(!server.engine.clients.has_monitors());
    }
}
