//! Handlers of ACL: users, their rules, and what was refused.

use super::arguments::integer;
use std::collections::BTreeSet;

use super::access::{self, rules};
use super::command::write_help;
use super::context::{Cx, Outcome};
use super::registry;
use super::spec::category;
use crate::acl::log::Reason;
use crate::acl::rule::has_spaces;
use crate::acl::user::{DEFAULT_NAME, SharedUser};
use crate::acl::{Selector, User};
use crate::base::random;
use crate::engine::clients::ClientHandle;
use crate::engine::pubsub::Kind;
use crate::engine::session::Fate;
use crate::resp::{Reply, ReplyError};

/// Bits of a password that GENPASS makes unless told otherwise, and at most.
const PASSWORD_BITS: i64 = 256;
const PASSWORD_BITS_MAX: i64 = 4096;
const LOG_ENTRIES: i64 = 10;

/// ACL CAT [category]
pub fn cat(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    match args {
        [_, _] => {
            cx.reply.array(category::NAMES.len());
            category::NAMES.iter().for_each(|(_, name)| cx.reply.bulk_text(name));
        }
        [_, _, name] => {
            let Some(bit) = category::by_name(name) else {
                return Err(ReplyError::quoting("ERR Unknown category '", &name[..name.len().min(128)], "'"));
            };
            let members: Vec<_> = registry::all().iter().filter(|command| command.categories & bit != 0).collect();
            cx.reply.array(members.len());
            members.iter().for_each(|command| cx.reply.bulk_text(&command.full_name));
        }
        _ => return Err(cx.unknown_subcommand(args)),
    }
    Ok(())
}

/// ACL SETUSER username [rule ...]
pub fn setuser(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    (2..args.len()).for_each(|index| cx.redact(index));
    let name = args[2];
    if has_spaces(name) {
        return Err(ReplyError::of("ERR Usernames can't contain spaces or null characters"));
    }
    let engine = cx.engine();
    let rules = rules(&engine.config.load());
    let mut changed = None;
    let change = |before: Option<&User>| {
        let fresh = || User::new(name, engine.users.next_id(), rules);
        let after = before.cloned().unwrap_or_else(fresh).changed_by(&args[3..], rules)?;
        changed = Some(after.clone());
        Ok(after)
    };
    let before = engine
        .users
        .change(name, change)
        .map_err(|error| ReplyError::Quoting([b"ERR ", &access::set_error_text(&error)[..]].concat()))?;
    if let (Some(_), Some(after)) = (before, changed) {
        close_subscribers(cx, &after);
    }
    cx.reply.ok();
    Ok(())
}

/// Closes the connections of a user that are subscribed to what it may no longer have.
fn close_subscribers(cx: &mut Cx<'_>, user: &User) {
    if user.selectors().any(Selector::allows_all_channels) {
        return;
    }
    let name = String::from_utf8_lossy(&user.name);
    let mut closed = BTreeSet::new();
    cx.engine().pubsub.visit(|kind, channel, client| {
        if !user.allows_channel(channel, kind == Kind::Pattern) && client.names.lock().user == name {
            closed.insert(client.id);
        }
    });
    if !closed.is_empty() {
        close_clients(cx, |client| closed.contains(&client.id));
    }
}

/// ACL DELUSER username [username ...]
pub fn deluser(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    if args[2..].contains(&DEFAULT_NAME) {
        return Err(ReplyError::of("ERR The 'default' user cannot be removed"));
    }
    let mut removed = 0;
    for name in &args[2..] {
        if cx.engine().users.remove(name) {
            removed += 1;
            let name = String::from_utf8_lossy(name);
            close_clients(cx, |client| client.names.lock().user == name);
        }
    }
    cx.reply.integer(removed);
    Ok(())
}

/// Closes these connections; the asking one after its reply.
fn close_clients(cx: &mut Cx<'_>, mut is_closed: impl FnMut(&ClientHandle) -> bool) {
    let own_id = cx.session.handle.id;
    let mut own = false;
    cx.engine().clients.visit(|client| {
        if is_closed(client) {
            if client.id == own_id {
                own = true;
            } else {
                client.kill();
            }
        }
    });
    if own {
        cx.session.fate = Fate::CloseAfterReply;
    }
}

/// ACL GETUSER username
pub fn getuser(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let Some(user) = cx.engine().users.get(args[2]) else {
        cx.reply.null();
        return Ok(());
    };
    let reply = &mut cx.reply;
    reply.map(6);
    reply.bulk_text("flags");
    let flags = user.flags();
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk_text(flag));
    reply.bulk_text("passwords");
    reply.array(user.passwords().len());
    user.passwords().iter().for_each(|hash| reply.bulk_text(hash));
    write_selector(reply, user.first_selector());
    reply.bulk_text("selectors");
    reply.array(user.more_selectors().len());
    for selector in user.more_selectors() {
        reply.map(3);
        write_selector(reply, selector);
    }
    Ok(())
}

fn write_selector(reply: &mut Reply<'_>, selector: &Selector) {
    for (name, value) in [
        ("commands", selector.describe_commands()),
        ("keys", selector.describe_keys()),
        ("channels", selector.describe_channels()),
    ] {
        reply.bulk_text(name);
        reply.bulk(&value);
    }
}

/// ACL LIST
pub fn list(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    write_users(cx, |user| [b"user ", &user.describe()[..]].concat());
    Ok(())
}

/// ACL USERS
pub fn users(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    write_users(cx, |user| user.name.to_vec());
    Ok(())
}

fn write_users(cx: &mut Cx<'_>, show: impl Fn(&User) -> Vec<u8>) {
    let users: Vec<SharedUser> = cx.engine().users.all();
    cx.reply.array(users.len());
    users.iter().for_each(|user| cx.reply.bulk(&show(user)));
}

/// ACL WHOAMI
pub fn whoami(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    cx.reply.bulk_or_null(cx.session.user().map(|user| &user.name[..]));
    Ok(())
}

/// ACL GENPASS [bits]
pub fn genpass(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let bits = match &args[2..] {
        [] => PASSWORD_BITS,
        [bits] => integer(bits)?,
        _ => return Err(cx.unknown_subcommand(args)),
    };
    if !(1..=PASSWORD_BITS_MAX).contains(&bits) {
        return Err(ReplyError::of(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096",
        ));
    }
    let digits = (bits as usize).div_ceil(4);
    let password = random::hex_id(digits.div_ceil(2));
    cx.reply.bulk_text(&password[..digits]);
    Ok(())
}

fn need_file(cx: &Cx<'_>) -> Outcome {
    if cx.config().aclfile.is_empty() {
        return Err(ReplyError::of(
            "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL \
             SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order \
             to store users in the Redis configuration.",
        ));
    }
    Ok(())
}

/// ACL LOAD: clients of all users but the default one are closed, for their users are others.
pub fn load(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    need_file(cx)?;
    access::load_file(cx.engine(), cx.config())
        .map_err(|reason| ReplyError::Quoting(format!("ERR {reason}").into_bytes()))?;
    close_clients(cx, |client| client.names.lock().user.as_bytes() != DEFAULT_NAME);
    cx.reply.ok();
    Ok(())
}

/// ACL SAVE
pub fn save(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    need_file(cx)?;
    access::save_file(cx.engine(), cx.config()).map_err(|error| {
        tracing::warn!("ACL SAVE failed: {error}");
        ReplyError::of(
            "ERR There was an error trying to save the ACLs. Please check the server logs for more information",
        )
    })?;
    cx.reply.ok();
    Ok(())
}

/// ACL LOG [count | RESET]
pub fn log(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let count = match &args[2..] {
        [] => LOG_ENTRIES,
        [word] if word.eq_ignore_ascii_case(b"reset") => {
            cx.engine().denials.clear();
            cx.reply.ok();
            return Ok(());
        }
        [count] => integer(count)?,
        _ => return Err(cx.unknown_subcommand(args)),
    };
    let entries = cx.engine().denials.newest(usize::try_from(count).unwrap_or(0));
    let (now_ms, reply) = (cx.space.now_ms, &mut cx.reply);
    reply.array(entries.len());
    for entry in &entries {
        let refusal = &entry.refusal;
        reply.map(10);
        reply.bulk_text("count");
        reply.integer(entry.count as i64);
        for (name, value) in [
            ("reason", refusal.reason.name().as_bytes()),
            ("context", refusal.context.name().as_bytes()),
            ("object", &refusal.object),
            ("username", &refusal.username),
        ] {
            reply.bulk_text(name);
            reply.bulk(value);
        }
        reply.bulk_text("age-seconds");
        reply.double(now_ms.saturating_sub(entry.updated_ms) as f64 / 1000.0);
        reply.bulk_text("client-info");
        reply.bulk_text(&refusal.client);
        for (name, value) in [
            ("entry-id", entry.id),
            ("timestamp-created", entry.created_ms),
            ("timestamp-last-updated", entry.updated_ms),
        ] {
            reply.bulk_text(name);
            reply.integer(value as i64);
        }
    }
    Ok(())
}

/// ACL DRYRUN username command [arg ...]
pub fn dryrun(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (name, call) = (args[2], &args[3..]);
    let user = cx.engine().users.get(name).ok_or_else(|| ReplyError::quoting("ERR User '", name, "' not found"))?;
    let command = cx.lookup.resolve(call).map_err(|_| ReplyError::quoting("ERR Command '", call[0], "' not found"))?;
    if !command.spec.accepts(call.len()) {
        return Err(ReplyError::wrong_arity(&command.full_name));
    }
    let Err(denial) = access::check(&user, command, call) else {
        cx.reply.ok();
        return Ok(());
    };
    let (verb, object, kind): (_, _, &[u8]) = match denial.reason {
        Reason::Command => (&b"run"[..], command.full_name.as_bytes(), b"command"),
        Reason::Channel => (b"access", call[denial.at], b"channel"),
        Reason::Key | Reason::Auth => (b"access", call[denial.at], b"key"),
    };
    let text = [b"This user has no permissions to ", verb, b" the '", object, b"' ", kind].concat();
    cx.reply.bulk(&text);
    Ok(())
}

/// ACL HELP
pub fn help(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    write_help(
        &mut cx.reply,
        "ACL",
        &[
            "CAT [<category>]",
            "    List the groups of commands, or the commands of a group.",
            "DELUSER <username> [<username> ...]",
            "    Remove users and close their connections.",
            "DRYRUN <username> <command> [<arg> ...]",
            "    Tell whether the user could run the command, without running it.",
            "GENPASS [<bits>]",
            "    Make a random password of that many bits, 256 unless given.",
            "GETUSER <username>",
            "    Describe a user.",
            "LIST",
            "    Describe all users, each as a line of the users' file.",
            "LOAD",
            "    Replace all users by those of the users' file.",
            "LOG [<count> | RESET]",
            "    Show what was refused lately, or forget it.",
            "SAVE",
            "    Write all users into the users' file.",
            "SETUSER <username> [<rule> ...]",
            "    Make a user, or apply rules to it.",
            "USERS",
            "    List the names of the users.",
            "WHOAMI",
            "    Name the user of this connection.",
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::TestServer;

    const NO_KEY: &str = "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n";

    fn no_command(name: &str) -> String {
        format!("-NOPERM this user has no permissions to run the '{name}' command\r\n")
    }

    #[test]
    fn users_are_made_changed_and_shown() {
        let mut server = TestServer::new();
        server.expect(&[
            ("ACL WHOAMI", "$7\r\ndefault\r\n"),
            ("ACL SETUSER bob on >x ~k* +get +client|id (+set ~s*)", "+OK\r\n"),
            ("ACL USERS", "*2\r\n$3\r\nbob\r\n$7\r\ndefault\r\n"),
            ("ACL SETUSER \"a b\"", "-ERR Usernames can't contain spaces or null characters\r\n"),
            (
                "ACL SETUSER bob +nosuch",
                "-ERR Error in ACL SETUSER modifier '+nosuch': Unknown command or category name in ACL\r\n",
            ),
            ("ACL SETUSER bob (+get", "-ERR Unmatched parenthesis in acl selector starting at '(+get'.\r\n"),
            ("ACL GETUSER none", "$-1\r\n"),
            ("ACL DELUSER none default", "-ERR The 'default' user cannot be removed\r\n"),
            ("ACL DELUSER none", ":0\r\n"),
            ("ACL CAT nosuch", "-ERR Unknown category 'nosuch'\r\n"),
        ]);
        let shown = server.run("ACL GETUSER bob");
        assert!(shown.contains("-@all +get +client|id") && shown.contains("~k*") && shown.contains("~s*"), "{shown}");
        assert!(server.run("ACL LIST").contains("user default on nopass ~* &* +@all\r\n"));
        assert_eq!(server.run("ACL GENPASS 5").len(), "$2\r\nab\r\n".len());
        assert!(server.run("ACL LOAD").starts_with("-ERR This Redis instance is not configured to use an ACL file."));
        assert!(server.run("ACL CAT transaction").contains("\r\nmulti\r\n"));
    }

    #[test]
    fn what_a_restricted_user_may_do() {
        let mut server = TestServer::new();
        server.run("ACL SETUSER bob on nopass +@all -@dangerous -client|setname %R~r* %W~w* ~b*");
        assert_eq!(server.run_as(1, "AUTH bob any"), "+OK\r\n");
        for (line, expected) in [
            ("PING", "+PONG\r\n".to_owned()),
            ("GET r1", "$-1\r\n".to_owned()),
            ("GET w1", NO_KEY.to_owned()),
            ("SET w1 x", "+OK\r\n".to_owned()),
            ("SET w1 x GET", NO_KEY.to_owned()),
            ("SET r1 x", NO_KEY.to_owned()),
            ("COPY r1 w1", ":0\r\n".to_owned()),
            ("COPY w1 r1", NO_KEY.to_owned()),
            ("MGET b1 r1 x", NO_KEY.to_owned()),
            ("EXISTS w1 r1", ":1\r\n".to_owned()),
            ("EXISTS x", NO_KEY.to_owned()),
            ("FLUSHALL", no_command("flushall")),
            ("CLIENT SETNAME me", no_command("client|setname")),
            ("CLIENT GETNAME", "$-1\r\n".to_owned()),
        ] {
            assert_eq!(server.run_as(1, line), expected, "{line}");
        }
        assert!(server.run("INFO stats").contains("acl_access_denied_key:6\r\n"));
    }

    #[test]
    fn changes_hold_at_once() {
        let mut server = TestServer::new();
        server.run("ACL SETUSER bob on nopass ~* +@all");
        server.run_as(1, "AUTH bob any");
        server.run_as(1, "MULTI");
        assert_eq!(server.run_as(1, "INCR x"), "+QUEUED\r\n");
        server.run("ACL SETUSER bob -incr");
        assert!(server.run_as(1, "EXEC").contains("-NOPERM ACLs rules changed between"));
        assert_eq!(server.run_as(1, "INCR x"), no_command("incr"));
        let log = server.run("ACL LOG");
        assert!(log.contains("multi") && log.contains("toplevel") && log.starts_with("*2\r\n*20\r\n"), "{log}");
        // One of the same name that comes later is another user.
        server.run("ACL DELUSER bob");
        server.run("ACL SETUSER bob on nopass ~* +@all");
        server.run("CONFIG SET requirepass secret");
        assert!(server.run_as(1, "GET x").starts_with("-NOAUTH"));
        server.run("ACL SETUSER default -get +get");
        assert!(server.run("GET x").starts_with('$'));
    }

    #[test]
    fn trying_out() {
        let mut server = TestServer::new();
        server.run("ACL SETUSER bob +@all -set ~k");
        server.expect(&[
            ("ACL DRYRUN bob get k", "+OK\r\n"),
            ("ACL DRYRUN bob get x", "$50\r\nThis user has no permissions to access the 'x' key\r\n"),
            ("ACL DRYRUN bob set k v", "$53\r\nThis user has no permissions to run the 'set' command\r\n"),
            ("ACL DRYRUN bob set k", "-ERR wrong number of arguments for 'set' command\r\n"),
            ("ACL DRYRUN bob nosuch k", "-ERR Command 'nosuch' not found\r\n"),
            ("ACL DRYRUN eve get k", "-ERR User 'eve' not found\r\n"),
        ]);
    }
}
