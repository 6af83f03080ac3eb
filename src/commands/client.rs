//! Handlers of CLIENT: what is known of connections, and what can be done to them.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::command::write_help;
use super::context::{Cx, Outcome};
use super::registry::{self, CommandId};
use crate::acl::Users;
use crate::base::number::{Decimal, parse_i64};
use crate::engine::clients::{ClientHandle, NO_COMMAND, flag};
use crate::engine::session::{Fate, ReplyMode};
use crate::engine::state::PauseKind;
use crate::resp::ReplyError;

// ---- names -------------------------------------------------------------------------------------------------------

/// A word that can stand in a line of CLIENT LIST.
fn plain_word(text: &[u8]) -> Option<&str> {
    text.iter().all(u8::is_ascii_graphic).then(|| std::str::from_utf8(text).unwrap_or_default())
}

/// The name that a client wants, if it can have it.
pub fn check_name(name: &[u8]) -> Result<&str, ReplyError> {
    plain_word(name).ok_or(ReplyError::of("ERR Client names cannot contain spaces, newlines or special characters."))
}

/// Names the connection; an empty name takes the name away.
pub fn set_name(cx: &mut Cx<'_>, name: &str) {
    name.clone_into(&mut cx.session.handle.names.lock().name);
}

/// CLIENT SETNAME connection-name
pub fn setname(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    set_name(cx, check_name(args[2])?);
    cx.reply.ok();
    Ok(())
}

/// CLIENT GETNAME
pub fn getname(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    let names = cx.session.handle.names.lock();
    cx.reply.bulk_or_null(Some(names.name.as_bytes()).filter(|name| !name.is_empty()));
    Ok(())
}

/// CLIENT SETINFO LIB-NAME name | LIB-VER version
pub fn setinfo(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let attribute = String::from_utf8_lossy(args[2]);
    let is_name = args[2].eq_ignore_ascii_case(b"lib-name");
    if !is_name && !args[2].eq_ignore_ascii_case(b"lib-ver") {
        return Err(ReplyError::quoting("ERR Unrecognized option '", args[2], "'"));
    }
    let Some(value) = plain_word(args[3]) else {
        let text = format!("ERR {attribute} cannot contain spaces, newlines or special characters.");
        return Err(ReplyError::Text(text.into()));
    };
    let mut names = cx.session.handle.names.lock();
    value.clone_into(if is_name { &mut names.library_name } else { &mut names.library_version });
    drop(names);
    cx.reply.ok();
    Ok(())
}

/// CLIENT ID
pub fn id(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    cx.reply.integer(cx.session.handle.id as i64);
    Ok(())
}

// ---- describing --------------------------------------------------------------------------------------------------

/// The classes that clients are told apart by. There is no primary.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Normal,
    Replica,
    PubSub,
    Primary,
}

impl Class {
    fn read(name: &[u8]) -> Result<Class, ReplyError> {
        match name.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(Class::Normal),
            b"slave" | b"replica" => Ok(Class::Replica),
            b"pubsub" => Ok(Class::PubSub),
            b"master" => Ok(Class::Primary),
            _ => Err(ReplyError::quoting("ERR Unknown client type '", name, "'")),
        }
    }

    fn of(client: &ClientHandle) -> Class {
        match () {
            () if client.has_flag(flag::REPLICA) => Class::Replica,
            () if client.has_flag(flag::PRIMARY) => Class::Primary,
            () if client.has_flag(flag::PUBSUB) => Class::PubSub,
            () => Class::Normal,
        }
    }
}

/// CLIENT INFO
pub fn info(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let mut text = String::new();
    let own = &cx.session.handle;
    describe(own, args, cx.space.now_ms, own, &mut text);
    cx.reply.verbatim("txt", &text);
    Ok(())
}

/// CLIENT LIST [TYPE type] [ID id ...]
pub fn list(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let clients = &cx.engine().clients;
    let listed: Vec<Arc<ClientHandle>> = match &args[2..] {
        [] => clients.all(),
        [option, name] if option.eq_ignore_ascii_case(b"type") => {
            let class = Class::read(name)?;
            clients.all().into_iter().filter(|client| Class::of(client) == class).collect()
        }
        [option, ids @ ..] if option.eq_ignore_ascii_case(b"id") && !ids.is_empty() => {
            let invalid = ReplyError::of("ERR Invalid client ID");
            let ids: Option<Vec<i64>> = ids.iter().map(|id| parse_i64(id)).collect();
            let ids = ids.ok_or(invalid)?;
            ids.into_iter().filter_map(|id| clients.get(u64::try_from(id).ok()?)).collect()
        }
        _ => return Err(ReplyError::Syntax),
    };
    let mut text = String::with_capacity(listed.len() * 320);
    // One that was closed is gone for everybody else, though its connection may not know yet.
    let listed = listed.iter().filter(|client| !client.has_flag(flag::CLOSE_ASAP));
    let own = &cx.session.handle;
    listed.for_each(|client| describe(own, args, cx.space.now_ms, client, &mut text));
    cx.reply.verbatim("txt", &text);
    Ok(())
}

/// Bytes of a request on the wire: those of its arguments and of the lines before them.
fn request_bytes(args: &[&[u8]]) -> usize {
    let line_bytes = |number: usize| Decimal::new(number as i64).as_bytes().len() + 3;
    line_bytes(args.len()) + args.iter().map(|argument| line_bytes(argument.len()) + argument.len() + 2).sum::<usize>()
}

/// Appends a client's line. `args` is the command under way of the client `own`: no other has arguments now.
pub fn describe(own: &ClientHandle, args: &[&[u8]], now_ms: u64, client: &ClientHandle, line: &mut String) {
    let names = client.names.lock().clone();
    let is_self = client.id == own.id;
    let seconds_since = |ms: u64| now_ms.saturating_sub(ms) / 1000;
    let idle_seconds = if is_self { 0 } else { seconds_since(client.last_active_ms.load(Ordering::Relaxed)) };
    let argument_bytes: usize = if is_self { args.iter().map(|argument| argument.len()).sum() } else { 0 };
    let request_bytes = if is_self { request_bytes(args) } else { 0 };
    let output_bytes = client.output_bytes.load(Ordering::Relaxed) + client.mailbox_bytes();
    let command = match client.last_command.load(Ordering::Relaxed) {
        NO_COMMAND => "NULL",
        id => &registry::by_id(CommandId(id)).full_name,
    };
    let subscriptions = client.subscriptions.each_ref().map(|count| count.load(Ordering::Relaxed));
    let redirect = match client.has_flag(flag::TRACKING) {
        true => client.redirect.load(Ordering::Relaxed) as i64,
        false => -1,
    };
    line.push_str(&format!(
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} multi={} qbuf={} \
         qbuf-free={} argv-mem={} multi-mem={} rbs=0 rbp=0 obl=0 oll={} omem={} tot-mem={} events={} cmd={} user={} \
         redir={} resp={} lib-name={} lib-ver={}\n",
        client.id,
        client.peer.address(),
        client.peer.local_address(),
        client.file_descriptor,
        names.name,
        seconds_since(client.connected_ms),
        idle_seconds,
        flag::letters(client.flags.load(Ordering::Relaxed)),
        client.db.load(Ordering::Relaxed),
        subscriptions[0],
        subscriptions[1],
        subscriptions[2],
        client.queued.load(Ordering::Relaxed),
        client.query_buffer_bytes.load(Ordering::Relaxed).max(request_bytes),
        client.query_buffer_free_bytes.load(Ordering::Relaxed),
        argument_bytes,
        client.queue_bytes.load(Ordering::Relaxed),
        usize::from(output_bytes > 0),
        output_bytes,
        client.memory_bytes() + argument_bytes,
        if output_bytes > 0 { "rw" } else { "r" },
        command,
        names.user,
        redirect,
        client.protocol.load(Ordering::Relaxed),
        names.library_name,
        names.library_version,
    ));
}

// ---- closing and holding back ------------------------------------------------------------------------------------

/// Which clients CLIENT KILL closes: those that all given conditions fit.
struct Victims<'a> {
    address: Option<&'a [u8]>,
    local_address: Option<&'a [u8]>,
    class: Option<Class>,
    id: Option<u64>,
    user: Option<Cow<'a, str>>,
    spare_self: bool,
}

impl<'a> Victims<'a> {
    fn read(args: &'a [&'a [u8]], users: &Users) -> Result<Victims<'a>, ReplyError> {
        let mut victims =
            Victims { user: None, address: None, local_address: None, class: None, id: None, spare_self: true };
        if let [address] = args {
            return Ok(Victims { address: Some(address), spare_self: false, ..victims });
        }
        for pair in args.chunks(2) {
            let [option, value] = pair else { return Err(ReplyError::Syntax) };
            match option.to_ascii_lowercase().as_slice() {
                b"id" => {
                    let id = parse_i64(value).filter(|id| *id > 0);
                    let id = id.ok_or(ReplyError::of("ERR client-id should be greater than 0"))?;
                    victims.id = Some(id as u64);
                }
                b"type" => victims.class = Some(Class::read(value)?),
                b"addr" => victims.address = Some(value),
                b"laddr" => victims.local_address = Some(value),
                b"user" if users.get(value).is_none() => {
                    return Err(ReplyError::quoting("ERR No such user '", value, "'"));
                }
                b"user" => victims.user = Some(String::from_utf8_lossy(value)),
                b"skipme" if value.eq_ignore_ascii_case(b"yes") => victims.spare_self = true,
                b"skipme" if value.eq_ignore_ascii_case(b"no") => victims.spare_self = false,
                _ => return Err(ReplyError::Syntax),
            }
        }
        Ok(victims)
    }

    fn include(&self, client: &ClientHandle, own_id: u64) -> bool {
        self.address.is_none_or(|address| client.peer.address().as_bytes() == address)
            && self.local_address.is_none_or(|address| client.peer.local_address().as_bytes() == address)
            && self.class.is_none_or(|class| Class::of(client) == class)
            && self.id.is_none_or(|id| client.id == id)
            && self.user.as_ref().is_none_or(|user| client.names.lock().user == *user)
            && !(self.spare_self && client.id == own_id)
    }
}

/// CLIENT KILL ip:port | [ID id] [TYPE type] [USER user] [ADDR ip:port] [LADDR ip:port] [SKIPME yes|no] ...
pub fn kill(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let victims = Victims::read(&args[2..], &cx.engine().users)?;
    let own_id = cx.session.handle.id;
    let mut killed = 0;
    for client in cx.engine().clients.all() {
        if client.has_flag(flag::CLOSE_ASAP) || !victims.include(&client, own_id) {
            continue;
        }
        killed += 1;
        if client.id == own_id {
            // The reply is still owed.
            cx.session.fate = Fate::CloseAfterReply;
        } else {
            client.kill();
        }
    }
    match (args.len(), killed) {
        (3, 0) => return Err(ReplyError::of("ERR No such client")),
        (3, _) => cx.reply.ok(),
        _ => cx.reply.integer(killed),
    }
    Ok(())
}

/// CLIENT PAUSE timeout [WRITE | ALL]
pub fn pause(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let kind = match &args[3..] {
        [] => PauseKind::All,
        [mode] if mode.eq_ignore_ascii_case(b"write") => PauseKind::Write,
        [mode] if mode.eq_ignore_ascii_case(b"all") => PauseKind::All,
        [_] => return Err(ReplyError::of("ERR CLIENT PAUSE mode must be WRITE or ALL")),
        _ => return Err(cx.unknown_subcommand(args)),
    };
    let timeout_ms = parse_i64(args[2]).ok_or(ReplyError::of("ERR timeout is not an integer or out of range"))?;
    if timeout_ms < 0 {
        return Err(ReplyError::of("ERR timeout is negative"));
    }
    let until_ms = timeout_ms as u64 + cx.space.now_ms;
    if until_ms > i64::MAX as u64 {
        return Err(ReplyError::of("ERR timeout is out of range"));
    }
    cx.engine().pause.set(kind, until_ms);
    cx.reply.ok();
    Ok(())
}

/// CLIENT UNPAUSE
pub fn unpause(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    cx.engine().unpause();
    cx.engine().clients.visit(|client| {
        if client.has_flag(flag::BLOCKED) {
            client.wake();
        }
    });
    cx.reply.ok();
    Ok(())
}

/// CLIENT UNBLOCK client-id [TIMEOUT | ERROR]
pub fn unblock(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let with_error = match &args[3..] {
        [] => false,
        [reason] if reason.eq_ignore_ascii_case(b"timeout") => false,
        [reason] if reason.eq_ignore_ascii_case(b"error") => true,
        [_] => return Err(ReplyError::of("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
        _ => return Err(cx.unknown_subcommand(args)),
    };
    let id = parse_i64(args[2]).ok_or(ReplyError::NotAnInteger)?;
    let client = u64::try_from(id).ok().and_then(|id| cx.engine().clients.get(id));
    let ended = client.is_some_and(|client| {
        let waiter = client.waiter.lock().clone();
        if waiter.is_some_and(|waiter| waiter.unblock(with_error)) {
            return true;
        }
        let ended = client.patience.exhaust(with_error);
        if ended {
            client.wake();
        }
        ended
    });
    cx.reply.integer(i64::from(ended));
    Ok(())
}

// ---- switches ----------------------------------------------------------------------------------------------------

/// CLIENT REPLY ON | OFF | SKIP. Dispatch drops the replies, and what this one writes unless replies are on.
pub fn reply(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    match args[2].to_ascii_lowercase().as_slice() {
        b"on" => {
            cx.session.reply_mode = ReplyMode::On;
            cx.reply.ok();
        }
        b"off" => cx.session.reply_mode = ReplyMode::Off,
        b"skip" => {
            if cx.session.reply_mode != ReplyMode::Off {
                cx.session.reply_mode = ReplyMode::SkipNext;
            }
        }
        _ => return Err(ReplyError::Syntax),
    }
    Ok(())
}

pub(super) fn on_or_off(word: &[u8]) -> Result<bool, ReplyError> {
    match word.to_ascii_lowercase().as_slice() {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(ReplyError::Syntax),
    }
}

/// CLIENT NO-EVICT ON | OFF
pub fn no_evict(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let on = on_or_off(args[2])?;
    cx.session.handle.set_flag(flag::NO_EVICT, on);
    cx.engine().clients.count_memory(&cx.session.handle);
    cx.reply.ok();
    Ok(())
}

/// CLIENT NO-TOUCH ON | OFF
pub fn no_touch(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let on = on_or_off(args[2])?;
    cx.session.no_touch = on;
    cx.session.handle.set_flag(flag::NO_TOUCH, on);
    cx.reply.ok();
    Ok(())
}

/// CLIENT HELP
pub fn help(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    write_help(
        &mut cx.reply,
        "CLIENT",
        &[
            "CACHING (YES|NO)",
            "    Say whether the keys of the next command are tracked, in modes OPTIN and OPTOUT.",
            "GETNAME",
            "    Tell this connection's name.",
            "GETREDIR",
            "    Tell which client gets this one's invalidation messages.",
            "ID",
            "    Tell this connection's id.",
            "INFO",
            "    Describe this connection.",
            "KILL <ip:port>",
            "    Close the connection from this address.",
            "KILL <option> <value> [<option> <value> [...]]",
            "    Close the connections that fit all conditions:",
            "    * ADDR <ip:port>|<unixsocket>:0: made from this address",
            "    * ID <client-id>: the one with this id",
            "    * LADDR <ip:port>|<unixsocket>:0: made to this local address",
            "    * SKIPME (YES|NO): whether this connection is spared (yes unless given)",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB): of this type",
            "    * USER <username>: logged in as this user",
            "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID <client-id> [...]]",
            "    Describe the open connections, those of a type, or those with these ids.",
            "NO-EVICT (ON|OFF)",
            "    Exempt this connection from client eviction, or end that.",
            "NO-TOUCH (ON|OFF)",
            "    Keep this connection's reads from counting as use of a key, or end that.",
            "PAUSE <timeout> [WRITE|ALL]",
            "    Hold back all commands, or only those that write, for so many milliseconds.",
            "REPLY (ON|OFF|SKIP)",
            "    Send replies to this connection, send none, or skip the next one.",
            "SETINFO (LIB-NAME|LIB-VER) <value>",
            "    Record the client library's name or version.",
            "SETNAME <name>",
            "    Name this connection.",
            "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
            "         [OPTIN] [OPTOUT] [NOLOOP]",
            "    Turn messages about keys that were read and then changed on or off.",
            "TRACKINGINFO",
            "    Tell how this connection tracks keys.",
            "UNBLOCK <clientid> [TIMEOUT|ERROR]",
            "    End the wait of a client that blocks in a command.",
            "UNPAUSE",
            "    Let clients that PAUSE holds back go on.",
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::TestServer;
    use crate::engine::clients::flag;
    use crate::engine::mailbox::Mail;
    use crate::engine::session::Fate;

    #[test]
    fn lines_have_every_field_in_order() {
        let mut server = TestServer::new();
        server.run("CLIENT SETNAME me");
        let info = server.run("CLIENT INFO");
        let line = info.split_once("\r\n").unwrap().1;
        let names: Vec<&str> = line.split_whitespace().filter_map(|field| Some(field.split_once('=')?.0)).collect();
        assert_eq!(
            names.join(" "),
            "id addr laddr fd name age idle flags db sub psub ssub multi qbuf qbuf-free argv-mem multi-mem rbs rbp obl oll \
             omem tot-mem events cmd user redir resp lib-name lib-ver"
        );
        assert!(line.contains(" name=me ") && line.contains(" cmd=client|info user=default "), "{line}");
        server.run("MULTI");
        server.run_as(1, "CLIENT NO-TOUCH ON");
        let list = server.run_as(1, "CLIENT LIST ID 1 99 2");
        assert!(list.contains("id=1 ") && list.contains(" flags=x ") && list.contains(" multi=0 "), "{list}");
        assert!(list.contains(" cmd=multi ") && list.contains(" flags=T "), "{list}");
        for (line, reply) in [
            ("CLIENT LIST TYPE bogus", "-ERR Unknown client type 'bogus'\r\n"),
            ("CLIENT LIST TYPE", "-ERR syntax error\r\n"),
            ("CLIENT LIST ID", "-ERR syntax error\r\n"),
            ("CLIENT LIST ID x", "-ERR Invalid client ID\r\n"),
            ("CLIENT LIST ID -1", "$0\r\n\r\n"),
            ("CLIENT LIST TYPE pubsub", "$0\r\n\r\n"),
        ] {
            assert_eq!(server.run_as(1, line), reply, "{line}");
        }
    }

    #[test]
    fn killing() {
        let mut server = TestServer::new();
        server.session(3);
        server.expect(&[
            ("CLIENT KILL 9.9.9.9:1", "-ERR No such client\r\n"),
            ("CLIENT KILL ID 0", "-ERR client-id should be greater than 0\r\n"),
            ("CLIENT KILL USER nobody", "-ERR No such user 'nobody'\r\n"),
            ("CLIENT KILL ID 1 BOGUS", "-ERR syntax error\r\n"),
            ("CLIENT KILL ID 1", ":0\r\n"),
            ("CLIENT KILL ID 2 USER default TYPE normal", ":1\r\n"),
            ("CLIENT KILL ID 2", ":0\r\n"),
            ("CLIENT KILL TYPE replica", ":0\r\n"),
            ("CLIENT KILL LADDR 127.0.0.1:1", ":2\r\n"),
        ]);
        assert!(server.session(1).handle.take_mail(&mut Mail::default()).kill);
        assert_eq!(server.session(0).fate, Fate::Stay);
        assert_eq!(server.run("CLIENT KILL SKIPME no ID 1"), ":1\r\n");
        assert_eq!(server.session(0).fate, Fate::CloseAfterReply);
    }

    #[test]
    fn reply_modes() {
        let mut server = TestServer::new();
        server.expect(&[
            ("CLIENT REPLY SKIP", ""),
            ("PING", ""),
            ("PING", "+PONG\r\n"),
            ("CLIENT REPLY SKIP", ""),
            ("CLIENT REPLY SKIP", ""),
            ("PING", ""),
            ("PING", "+PONG\r\n"),
            ("CLIENT REPLY OFF", ""),
            ("PING", ""),
            ("CLIENT REPLY SKIP", ""),
            ("NOSUCH", ""),
            ("CLIENT REPLY ON", "+OK\r\n"),
            ("CLIENT REPLY SKIP", ""),
            ("CLIENT REPLY ON", "+OK\r\n"),
            ("CLIENT REPLY MAYBE", "-ERR syntax error\r\n"),
        ]);
    }

    #[test]
    fn switches_and_what_is_not_there() {
        let mut server = TestServer::new();
        server.expect(&[
            ("CLIENT NO-EVICT ON", "+OK\r\n"),
            ("CLIENT NO-EVICT MAYBE", "-ERR syntax error\r\n"),
            ("CLIENT GETREDIR", ":-1\r\n"),
            ("CLIENT UNBLOCK 1", ":0\r\n"),
            ("CLIENT UNBLOCK 1 BOGUS", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n"),
            (
                "CLIENT SETINFO lib-ver \"a b\"",
                "-ERR lib-ver cannot contain spaces, newlines or special characters.\r\n",
            ),
            ("CLIENT SETINFO x y", "-ERR Unrecognized option 'x'\r\n"),
        ]);
        assert!(server.session(0).handle.has_flag(flag::NO_EVICT));
        assert!(server.run("CLIENT HELP").contains("+CLIENT <subcommand>"));
    }

    #[test]
    fn pausing() {
        let mut server = TestServer::new();
        server.expect(&[
            ("CLIENT PAUSE x", "-ERR timeout is not an integer or out of range\r\n"),
            ("CLIENT PAUSE -1", "-ERR timeout is negative\r\n"),
            ("CLIENT PAUSE 9223372036854775807", "-ERR timeout is out of range\r\n"),
            ("CLIENT PAUSE 10 BOGUS", "-ERR CLIENT PAUSE mode must be WRITE or ALL\r\n"),
            (
                "CLIENT PAUSE 10 WRITE x",
                "-ERR unknown subcommand or wrong number of arguments for 'PAUSE'. Try CLIENT HELP.\r\n",
            ),
            ("CLIENT PAUSE 100000 WRITE", "+OK\r\n"),
            ("EXISTS k", ":0\r\n"),
            ("CLIENT UNPAUSE", "+OK\r\n"),
            ("DEL k", ":0\r\n"),
        ]);
    }
}
