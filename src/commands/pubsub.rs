//! Handlers: publish and subscribe.

use super::command::write_help;
use super::context::{Cx, Outcome};
use crate::engine::pubsub::Kind;
use crate::engine::session::ReplyMode;
use crate::resp::{Reply, ReplyError};

// ---- subscribing --------------------------------------------------------------------------------------------------

/// Writes confirmations. They are messages rather than replies: CLIENT REPLY silences none of them.
fn confirm(cx: &mut Cx<'_>, word: &str, name: Option<&[u8]>, count: usize) {
    let write = |reply: &mut Reply<'_>| {
        reply.push(3);
        reply.bulk_text(word);
        reply.bulk_or_null(name);
        reply.integer(count as i64);
    };
    match cx.session.reply_mode {
        ReplyMode::On => write(&mut cx.reply),
        _ => write(&mut Reply::new(&mut cx.session.pushes, cx.session.protocol)),
    }
}

/// Messages that came before a subscription ended are written ahead of the confirmation that it did.
fn write_mail(cx: &mut Cx<'_>) {
    let mut mail = Vec::new();
    cx.session.write_mail(&mut mail);
    match cx.session.reply_mode {
        ReplyMode::On => cx.reply.raw(&mail),
        _ => cx.session.pushes.append(&mut mail),
    }
}

fn subscribe_to(cx: &mut Cx<'_>, names: &[&[u8]], kind: Kind, word: &str) -> Outcome {
    let registry = &cx.engine().pubsub;
    for name in names {
        let count = cx.session.change_subscriptions(|own, client| {
            registry.subscribe(own, client, kind, name);
            own.count(kind)
        });
        confirm(cx, word, Some(name), count);
    }
    Ok(())
}

/// Ends the subscriptions to `names`, or all of the kind.
fn unsubscribe_from(cx: &mut Cx<'_>, names: &[&[u8]], kind: Kind, word: &str) -> Outcome {
    let registry = &cx.engine().pubsub;
    let own = cx.session.subscriptions();
    let all: Vec<Box<[u8]>> = own.map(|own| own.of(kind).iter().cloned().collect()).unwrap_or_default();
    let all: Vec<&[u8]> = all.iter().map(|name| &name[..]).collect();
    let names = if names.is_empty() { &all[..] } else { names };
    let mut ended = Vec::with_capacity(names.len());
    for name in names {
        let count = cx.session.change_subscriptions(|own, client| {
            registry.unsubscribe(own, client, kind, name);
            own.count(kind)
        });
        ended.push((*name, count));
    }
    write_mail(cx);
    for (name, count) in &ended {
        confirm(cx, word, Some(name), *count);
    }
    if ended.is_empty() {
        let count = cx.session.subscriptions().map_or(0, |own| own.count(kind));
        confirm(cx, word, None, count);
    }
    Ok(())
}

/// SUBSCRIBE channel [channel ...]
pub fn subscribe(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    subscribe_to(cx, &args[1..], Kind::Channel, "subscribe")
}

/// PSUBSCRIBE pattern [pattern ...]
pub fn psubscribe(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    subscribe_to(cx, &args[1..], Kind::Pattern, "psubscribe")
}

/// SSUBSCRIBE shardchannel [shardchannel ...]
pub fn ssubscribe(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    subscribe_to(cx, &args[1..], Kind::Shard, "ssubscribe")
}

/// UNSUBSCRIBE [channel ...]
pub fn unsubscribe(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    unsubscribe_from(cx, &args[1..], Kind::Channel, "unsubscribe")
}

/// PUNSUBSCRIBE [pattern ...]
pub fn punsubscribe(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    unsubscribe_from(cx, &args[1..], Kind::Pattern, "punsubscribe")
}

/// SUNSUBSCRIBE [shardchannel ...]
pub fn sunsubscribe(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    unsubscribe_from(cx, &args[1..], Kind::Shard, "sunsubscribe")
}

// ---- publishing ---------------------------------------------------------------------------------------------------

/// PUBLISH channel message
pub fn publish(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let receivers = cx.engine().pubsub.publish(args[1], args[2], &mut cx.worker.wakes.borrow_mut());
    cx.space.tell_replicas(cx.space.db, args);
    cx.reply.integer(receivers as i64);
    Ok(())
}

/// SPUBLISH shardchannel message
pub fn spublish(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let receivers = cx.engine().pubsub.publish_to_shard(args[1], args[2], &mut cx.worker.wakes.borrow_mut());
    cx.space.tell_replicas(cx.space.db, args);
    cx.reply.integer(receivers as i64);
    Ok(())
}

// ---- PUBSUB -------------------------------------------------------------------------------------------------------

fn list(cx: &mut Cx<'_>, args: &[&[u8]], kind: Kind) -> Outcome {
    if args.len() > 3 {
        return Err(unknown(cx, args));
    }
    let names = cx.engine().pubsub.active_channels(kind, args.get(2).copied());
    cx.reply.array(names.len());
    names.iter().for_each(|name| cx.reply.bulk(name));
    Ok(())
}

fn count(cx: &mut Cx<'_>, args: &[&[u8]], kind: Kind) -> Outcome {
    cx.reply.array(2 * (args.len() - 2));
    for name in &args[2..] {
        let count = cx.engine().pubsub.subscriber_count(kind, name);
        cx.reply.bulk(name);
        cx.reply.integer(count as i64);
    }
    Ok(())
}

fn unknown(cx: &Cx<'_>, args: &[&[u8]]) -> ReplyError {
    cx.unknown_subcommand(args)
}

/// PUBSUB CHANNELS [pattern]
pub fn channels(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    list(cx, args, Kind::Channel)
}

/// PUBSUB SHARDCHANNELS [pattern]
pub fn shardchannels(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    list(cx, args, Kind::Shard)
}

/// PUBSUB NUMSUB [channel ...]
pub fn numsub(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    count(cx, args, Kind::Channel)
}

/// PUBSUB SHARDNUMSUB [shardchannel ...]
pub fn shardnumsub(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    count(cx, args, Kind::Shard)
}

/// PUBSUB NUMPAT
pub fn numpat(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    let count = cx.engine().pubsub.name_count(Kind::Pattern);
    cx.reply.integer(count as i64);
    Ok(())
}

/// PUBSUB HELP
pub fn help(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    write_help(
        &mut cx.reply,
        "PUBSUB",
        &[
            "CHANNELS [<pattern>]",
            "    List the channels that have subscribers, or those of them that match.",
            "NUMPAT",
            "    Count the patterns that anyone is subscribed to.",
            "NUMSUB [<channel> ...]",
            "    Count the subscribers of these channels; those of patterns are left out.",
            "SHARDCHANNELS [<pattern>]",
            "    List the shard channels that have subscribers, or those of them that match.",
            "SHARDNUMSUB [<shardchannel> ...]",
            "    Count the subscribers of these shard channels.",
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::TestServer;

    fn spaced(reply: &str) -> String {
        reply.replace("\r\n", " ")
    }

    #[test]
    fn subscribing_publishing_and_counting() {
        let mut server = TestServer::new();
        server.run_as(1, "HELLO 3");
        for (client, line, reply) in [
            (0, "SUBSCRIBE a b a", "*3 $9 subscribe $1 a :1 *3 $9 subscribe $1 b :2 *3 $9 subscribe $1 a :2 "),
            (0, "PSUBSCRIBE a*", "*3 $10 psubscribe $2 a* :3 "),
            (0, "SSUBSCRIBE s", "*3 $10 ssubscribe $1 s :1 "),
            (1, "SUBSCRIBE a", ">3 $9 subscribe $1 a :1 "),
            (1, "PUBLISH a x", ":3 "),
            (1, "SPUBLISH s y", ":1 "),
            (1, "PUBSUB NUMSUB a none", "*4 $1 a :2 $4 none :0 "),
            (1, "PUBSUB NUMPAT", ":1 "),
            (1, "PUBSUB SHARDNUMSUB s", "*2 $1 s :1 "),
            (1, "PUBSUB CHANNELS b*", "*1 $1 b "),
            (1, "PUBSUB SHARDCHANNELS", "*1 $1 s "),
            (
                1,
                "PUBSUB CHANNELS a b",
                "-ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP. ",
            ),
            (0, "PING", "*2 $4 pong $0  "),
            (0, "PING hi", "*2 $4 pong $2 hi "),
            (
                0,
                "GET k",
                "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
                 context ",
            ),
            // What came before stands before the end.
            (
                0,
                "UNSUBSCRIBE a none",
                "*3 $7 message $1 a $1 x *4 $8 pmessage $2 a* $1 a $1 x *3 $8 smessage $1 s $1 y \
                 *3 $11 unsubscribe $1 a :2 *3 $11 unsubscribe $4 none :2 ",
            ),
            (0, "UNSUBSCRIBE", "*3 $11 unsubscribe $1 b :1 "),
            (0, "UNSUBSCRIBE", "*3 $11 unsubscribe $-1 :1 "),
            (0, "PUNSUBSCRIBE", "*3 $12 punsubscribe $2 a* :0 "),
            (0, "SUNSUBSCRIBE", "*3 $12 sunsubscribe $1 s :0 "),
            (0, "GET k", "$-1 "),
            (1, "GET k", "_ "),
            (1, "UNSUBSCRIBE", ">3 $7 message $1 a $1 x >3 $11 unsubscribe $1 a :0 "),
            (1, "UNSUBSCRIBE", ">3 $11 unsubscribe _ :0 "),
        ] {
            assert_eq!(spaced(&server.run_as(client, line)), reply, "{line}");
        }
    }

    #[test]
    fn in_a_transaction_and_with_replies_off() {
        let mut server = TestServer::new();
        server.run("HELLO 3");
        for (line, reply) in [
            ("MULTI", "+OK "),
            ("SUBSCRIBE a", "+QUEUED "),
            ("PUBLISH a x", "+QUEUED "),
            ("EXEC", "*2 >3 $9 subscribe $1 a :1 :1 "),
            ("CLIENT REPLY OFF", ""),
            ("PING", ""),
            ("SUBSCRIBE b", ">3 $9 subscribe $1 b :2 "),
            ("UNSUBSCRIBE a", ">3 $7 message $1 a $1 x >3 $11 unsubscribe $1 a :1 "),
            ("RESET", "+RESET "),
            ("PUBLISH b x", ":0 "),
        ] {
            assert_eq!(spaced(&server.run(line)), reply, "{line}");
        }
    }
}
