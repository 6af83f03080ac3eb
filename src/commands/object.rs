//! Handlers of OBJECT: how a value is kept and used.

use super::command::write_help;
use super::context::{Cx, Outcome};
use crate::base::number::parse_i64;
use crate::config::Config;
use crate::config::choices::MaxmemoryPolicy;
use crate::resp::ReplyError;
use crate::store::EntryRef;

/// Integers below this are kept once and shared, as clients of existing servers see it.
const SHARED_INTEGERS: i64 = 10_000;
/// The reference count that stands for shared.
const SHARED_REFERENCES: i64 = i32::MAX as i64;

/// Whether the policy compares how often values are used, so that their clocks hold a counter.
pub fn counts_frequency(policy: MaxmemoryPolicy) -> bool {
    matches!(policy, MaxmemoryPolicy::VolatileLfu | MaxmemoryPolicy::AllkeysLfu)
}

/// Whether the policy compares when values were used, so that each value needs a clock of its own.
fn counts_uses(policy: MaxmemoryPolicy) -> bool {
    counts_frequency(policy) || matches!(policy, MaxmemoryPolicy::VolatileLru | MaxmemoryPolicy::AllkeysLru)
}

/// Whether clients are told that the value is shared with others.
pub fn is_shared_integer(config: &Config, entry: EntryRef<'_>) -> bool {
    let sharing = config.maxmemory == 0 || !counts_uses(config.maxmemory_policy);
    sharing
        && entry.is_string()
        && entry.encoding() == "int"
        && parse_i64(entry.value()).is_some_and(|value| (0..SHARED_INTEGERS).contains(&value))
}

/// OBJECT ENCODING key
pub fn encoding(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    match cx.space.look(args[2]) {
        Some(entry) => cx.reply.bulk_text(entry.encoding()),
        None => cx.reply.null(),
    }
    Ok(())
}

/// OBJECT REFCOUNT key
pub fn refcount(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let config = cx.config();
    let Some(entry) = cx.space.look(args[2]) else {
        cx.reply.null();
        return Ok(());
    };
    let shared = is_shared_integer(config, entry);
    cx.reply.integer(if shared { SHARED_REFERENCES } else { 1 });
    Ok(())
}

/// OBJECT IDLETIME key
pub fn idletime(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let clock = cx.space.clock();
    let Some(entry) = cx.space.look(args[2]) else {
        cx.reply.null();
        return Ok(());
    };
    if counts_frequency(cx.worker.config().maxmemory_policy) {
        return Err(ReplyError::of(
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between \
             policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    cx.reply.integer(i64::from(clock.idle_seconds(entry.access())));
    Ok(())
}

/// OBJECT FREQ key
pub fn freq(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let clock = cx.space.clock();
    let Some(entry) = cx.space.look(args[2]) else {
        cx.reply.null();
        return Ok(());
    };
    if !counts_frequency(cx.worker.config().maxmemory_policy) {
        return Err(ReplyError::of(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
             switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    cx.reply.integer(i64::from(clock.decayed(entry.access())));
    Ok(())
}

/// OBJECT HELP
pub fn help(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    write_help(
        &mut cx.reply,
        "OBJECT",
        &[
            "ENCODING <key>",
            "    Name the representation that the key's value is kept in.",
            "FREQ <key>",
            "    Tell the logarithmic access counter of the key's value.",
            "IDLETIME <key>",
            "    Tell the seconds since the key's value was last used.",
            "REFCOUNT <key>",
            "    Tell how many references there are to the key's value.",
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::TestServer;
    use crate::config::choices::MaxmemoryPolicy;

    #[test]
    fn encodings_references_and_idle_times() {
        let mut server = TestServer::new();
        server.expect(&[
            ("SET int 9999", "+OK\r\n"),
            ("SET large 10000", "+OK\r\n"),
            ("SET text hello", "+OK\r\n"),
            ("OBJECT ENCODING int", "$3\r\nint\r\n"),
            ("OBJECT ENCODING text", "$6\r\nembstr\r\n"),
            ("OBJECT ENCODING none", "$-1\r\n"),
            ("OBJECT REFCOUNT int", ":2147483647\r\n"),
            ("OBJECT REFCOUNT large", ":1\r\n"),
            ("OBJECT REFCOUNT text", ":1\r\n"),
            ("OBJECT IDLETIME text", ":0\r\n"),
            ("OBJECT FREQ none", "$-1\r\n"),
        ]);
        assert!(server.run("OBJECT FREQ text").starts_with("-ERR An LFU maxmemory policy is not selected"));
        assert!(server.run("OBJECT HELP").starts_with("*11\r\n+OBJECT <subcommand>"));
        assert!(server.run("OBJECT NOSUCH x").starts_with("-ERR unknown subcommand 'NOSUCH'. Try OBJECT HELP."));
    }

    #[test]
    fn policies_decide_what_is_tracked() {
        let mut server = TestServer::with_config(|config| {
            config.maxmemory = 1 << 40;
            config.maxmemory_policy = MaxmemoryPolicy::AllkeysLfu;
        });
        server.expect(&[("SET int 7", "+OK\r\n"), ("OBJECT REFCOUNT int", ":1\r\n")]);
        assert!(server.run("OBJECT IDLETIME int").starts_with("-ERR An LFU maxmemory policy is selected"));
        assert!(server.run("OBJECT FREQ int").starts_with(':'));
    }
}
