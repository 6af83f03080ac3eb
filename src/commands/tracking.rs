//! Handlers of client-side caching: CLIENT TRACKING, TRACKINGINFO, CACHING, GETREDIR.

use super::arguments::Arguments;
use super::client::on_or_off;
use super::context::{Cx, Outcome};
use crate::engine::clients::flag;
use crate::engine::tracking::{Options, OwnTracking};
use crate::resp::ReplyError;

/// CLIENT TRACKING ON | OFF [REDIRECT client-id] [PREFIX prefix] ... [BCAST] [OPTIN] [OPTOUT] [NOLOOP]
pub fn tracking(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (options, prefixes) = read(cx, args)?;
    let engine = cx.engine();
    if on_or_off(args[2])? {
        check(options, &prefixes, cx.session.tracking.as_deref())?;
        let session = &mut *cx.session;
        engine.tracking.enable(&engine.keyspace, &session.handle, &mut session.tracking, options, &prefixes);
    } else {
        engine.tracking.disable(&engine.keyspace, &cx.session.handle, &mut cx.session.tracking);
    }
    cx.reply.ok();
    Ok(())
}

fn read<'a>(cx: &Cx<'_>, args: &'a [&'a [u8]]) -> Result<(Options, Vec<&'a [u8]>), ReplyError> {
    let mut arguments = Arguments::from(args, 3);
    let (mut options, mut prefixes) = (Options::default(), Vec::new());
    while !arguments.is_done() {
        if arguments.option("redirect") {
            if options.redirect != 0 {
                arguments.fail(ReplyError::of("ERR A client can only redirect to a single other client"));
            }
            let id = arguments.integer();
            let known = u64::try_from(id).ok().filter(|id| cx.engine().clients.get(*id).is_some());
            match known {
                Some(id) => options.redirect = id,
                None => arguments.fail(ReplyError::of("ERR The client ID you want redirect to does not exist")),
            }
        } else if arguments.word("bcast") {
            options.broadcast = true;
        } else if arguments.word("optin") {
            options.opt_in = true;
        } else if arguments.word("optout") {
            options.opt_out = true;
        } else if arguments.word("noloop") {
            options.no_loop = true;
        } else if arguments.option("prefix") {
            prefixes.push(arguments.next_bytes());
        } else {
            arguments.fail(ReplyError::Syntax);
        }
    }
    arguments.finish()?;
    Ok((options, prefixes))
}

/// Whether the options go together, and with what the client has asked for before.
fn check(options: Options, prefixes: &[&[u8]], own: Option<&OwnTracking>) -> Outcome {
    let before = own.map_or(options, |own| own.options);
    let conflict = if !prefixes.is_empty() && !options.broadcast {
        "ERR PREFIX option requires BCAST mode to be enabled"
    } else if options.broadcast != before.broadcast {
        "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with \
         a different mode."
    } else if options.broadcast && (options.opt_in || options.opt_out) {
        "ERR OPTIN and OPTOUT are not compatible with BCAST"
    } else if options.opt_in && options.opt_out {
        "ERR You can't specify both OPTIN mode and OPTOUT mode"
    } else if options.opt_in && before.opt_out || options.opt_out && before.opt_in {
        "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a \
         different mode."
    } else {
        return check_prefixes(prefixes, own);
    };
    Err(ReplyError::of(conflict))
}

/// A key must not match two prefixes of one client: it would be told of it twice.
fn check_prefixes(prefixes: &[&[u8]], own: Option<&OwnTracking>) -> Outcome {
    let overlap = |one: &[u8], other: &[u8]| one.starts_with(other) || other.starts_with(one);
    let collision = |prefix: &[u8], kind: &str, other: &[u8]| {
        let parts = [
            b"ERR Prefix '",
            prefix,
            b"' overlaps with ",
            kind.as_bytes(),
            b" prefix '",
            other,
            b"'. Prefixes for a single client must not overlap.",
        ];
        Err(ReplyError::Quoting(parts.concat()))
    };
    for (index, prefix) in prefixes.iter().enumerate() {
        let mut existing = own.iter().flat_map(|own| &own.prefixes);
        if let Some(other) = existing.find(|other| overlap(prefix, other)) {
            return collision(prefix, "an existing", other);
        }
        if let Some(other) = prefixes[index + 1..].iter().find(|other| overlap(prefix, other)) {
            return collision(prefix, "another provided", other);
        }
    }
    Ok(())
}

/// CLIENT TRACKINGINFO
pub fn trackinginfo(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    let own = cx.session.tracking.as_deref();
    let options = own.map(|own| own.options).unwrap_or_default();
    let caching = own.is_some_and(|own| own.caching_given);
    let broken = cx.session.handle.has_flag(flag::TRACKING_BROKEN);
    let flags = [
        (own.is_some(), "on"),
        (own.is_none(), "off"),
        (options.broadcast, "bcast"),
        (options.opt_in, "optin"),
        (options.opt_in && caching, "caching-yes"),
        (options.opt_out, "optout"),
        (options.opt_out && caching, "caching-no"),
        (options.no_loop, "noloop"),
        (broken, "broken_redirect"),
    ];
    let reply = &mut cx.reply;
    reply.map(3);
    reply.bulk_text("flags");
    reply.set(flags.iter().filter(|(set, _)| *set).count());
    flags.iter().filter(|(set, _)| *set).for_each(|(_, name)| reply.bulk_text(name));
    reply.bulk_text("redirect");
    reply.integer(own.map_or(-1, |own| own.options.redirect as i64));
    reply.bulk_text("prefixes");
    let prefixes = || own.iter().flat_map(|own| &own.prefixes);
    reply.array(prefixes().count());
    prefixes().for_each(|prefix| reply.bulk(prefix));
    Ok(())
}

/// CLIENT CACHING YES | NO
pub fn caching(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let Some(own) = cx.session.tracking.as_deref_mut() else {
        return Err(ReplyError::of(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        ));
    };
    let (fits, otherwise) = match args[2].to_ascii_lowercase().as_slice() {
        b"yes" => (own.options.opt_in, "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode."),
        b"no" => (own.options.opt_out, "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode."),
        _ => return Err(ReplyError::Syntax),
    };
    if !fits {
        return Err(ReplyError::of(otherwise));
    }
    own.caching_given = true;
    cx.reply.ok();
    Ok(())
}

/// CLIENT GETREDIR
pub fn getredir(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    let redirect = cx.session.tracking.as_deref().map_or(-1, |own| own.options.redirect as i64);
    cx.reply.integer(redirect);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::TestServer;

    fn spaced(mail: &str) -> String {
        mail.replace("\r\n", " ")
    }

    fn pushed(key: &str) -> String {
        format!(">2 $10 invalidate *1 ${} {key} ", key.len())
    }

    #[test]
    fn keys_that_were_read() {
        let mut server = TestServer::new();
        server.run("HELLO 3");
        server.run("CLIENT TRACKING ON");
        for (own, other, expected) in [
            ("GET a", "SET a 1", pushed("a")),
            ("PING", "SET a 2", String::new()),
            ("GET b", "DEL b", String::new()),
            ("PING", "SET b 1", pushed("b")),
            ("MGET a b", "DEL a b", pushed("a") + &pushed("b")),
            ("SET a 1", "SET a 2", String::new()),
            ("EXISTS a", "PEXPIRE a 100000", pushed("a")),
            ("GET a", "RENAME a c", pushed("a")),
            ("GET a", "PING", String::new()),
            ("SET a 1", "PING", pushed("a")),
            ("GET a", "FLUSHALL", ">2 $10 invalidate _ ".into()),
        ] {
            server.run(own);
            server.run_as(1, other);
            assert_eq!(spaced(&server.mail(0)), expected, "{own}, {other}");
        }
        server.run("GET old");
        server.plant_expired(0, "old");
        server.run_as(1, "EXISTS old");
        assert_eq!(spaced(&server.mail(0)), pushed("old"));
        server.run("GET a");
        server.run("CLIENT TRACKING OFF");
        server.run_as(1, "SET a 1");
        assert_eq!(spaced(&server.mail(0)), "");
        assert_eq!(server.engine.tracking.key_count(), 0);
    }

    #[test]
    fn modes() {
        let mut server = TestServer::new();
        for (mode, before, own, expected) in [
            ("OPTIN", "PING", "GET a", false),
            ("OPTIN", "CLIENT CACHING YES", "GET a", true),
            ("OPTOUT", "PING", "GET a", true),
            ("OPTOUT", "CLIENT CACHING NO", "GET a", false),
            ("NOLOOP", "PING", "GET a", true),
            ("BCAST", "PING", "PING", true),
            ("BCAST PREFIX b", "PING", "GET a", false),
        ] {
            server.run("HELLO 3");
            assert_eq!(server.run(&format!("CLIENT TRACKING ON {mode}")), "+OK\r\n");
            server.run(before);
            server.run(own);
            server.run_as(1, "SET a 1");
            let expected = if expected { pushed("a") } else { String::new() };
            assert_eq!(spaced(&server.mail(0)), expected, "{mode} {before}");
            server.run("GET a");
            server.run("SET a 2");
            let told = !matches!(mode, "OPTIN" | "NOLOOP" | "BCAST PREFIX b");
            assert_eq!(spaced(&server.mail(0)), if told { pushed("a") } else { String::new() }, "{mode}: itself");
            server.run("RESET");
        }
    }

    #[test]
    fn redirection() {
        let mut server = TestServer::new();
        server.run_as(1, "SUBSCRIBE __redis__:invalidate");
        server.run("CLIENT TRACKING ON REDIRECT 2");
        server.run("GET a");
        server.run_as(2, "SET a 1");
        assert_eq!(spaced(&server.mail(1)), "*3 $7 message $20 __redis__:invalidate *1 $1 a ");
        assert_eq!(server.run("CLIENT GETREDIR"), ":2\r\n");
        assert!(server.run("CLIENT INFO").contains(" redir=2 "));
        let gone = server.session(1).handle.clone();
        server.engine.clients.remove(&gone);
        server.run("HELLO 3");
        server.run("GET a");
        server.run_as(2, "SET a 1");
        assert_eq!(spaced(&server.mail(0)), ">2 $21 tracking-redir-broken :2 ");
        assert!(server.run("CLIENT TRACKINGINFO").contains("broken_redirect"));
        assert!(server.run("CLIENT INFO").contains(" flags=tR "));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut server = TestServer::with_config(|config| config.tracking_table_max_keys = 2);
        server.run("HELLO 3");
        server.run("CLIENT TRACKING ON");
        server.run("MGET a b c d");
        assert_eq!(server.engine.tracking.key_count(), 2);
        assert_eq!(spaced(&server.mail(0)).matches("invalidate").count(), 2);
    }

    #[test]
    fn what_does_not_go_together() {
        let mut server = TestServer::new();
        server.expect(&[
            ("CLIENT TRACKING OFF", "+OK\r\n"),
            ("CLIENT TRACKING MAYBE", "-ERR syntax error\r\n"),
            ("CLIENT TRACKING ON REDIRECT 99", "-ERR The client ID you want redirect to does not exist\r\n"),
            ("CLIENT TRACKING ON REDIRECT x", "-ERR value is not an integer or out of range\r\n"),
            ("CLIENT TRACKING ON PREFIX a", "-ERR PREFIX option requires BCAST mode to be enabled\r\n"),
            ("CLIENT TRACKING ON BCAST OPTIN", "-ERR OPTIN and OPTOUT are not compatible with BCAST\r\n"),
            (
                "CLIENT TRACKING ON BCAST PREFIX ab PREFIX a",
                "-ERR Prefix 'ab' overlaps with another provided prefix 'a'. Prefixes for a single client must not \
                 overlap.\r\n",
            ),
            ("CLIENT TRACKING ON BCAST PREFIX ab", "+OK\r\n"),
            (
                "CLIENT TRACKING ON BCAST PREFIX abc",
                "-ERR Prefix 'abc' overlaps with an existing prefix 'ab'. Prefixes for a single client must not overlap.\r\n",
            ),
            ("CLIENT TRACKING ON BCAST PREFIX c", "+OK\r\n"),
            (
                "CLIENT TRACKINGINFO",
                "*6\r\n$5\r\nflags\r\n*2\r\n$2\r\non\r\n$5\r\nbcast\r\n$8\r\nredirect\r\n:0\r\n$8\r\nprefixes\r\n*2\r\n$2\r\nab\r\n$1\r\nc\r\n",
            ),
            ("CLIENT CACHING YES", "-ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.\r\n"),
        ]);
        assert!(server.run("CLIENT TRACKING ON").starts_with("-ERR You can't switch BCAST mode on/off"));
        assert!(server.run_as(1, "CLIENT CACHING YES").starts_with("-ERR CLIENT CACHING can be called only when"));
    }
}
