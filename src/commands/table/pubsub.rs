//! Rows: publish and subscribe.

use crate::commands::keys::*;
use crate::commands::spec::*;
use crate::commands::{Handler, pubsub};

const fn row(name: &'static str, arity: i16, flags: Flags, handler: Handler) -> CommandSpec {
    CommandSpec::new(Group::PubSub, name, arity, flags, 0, handler)
}

const SUBSCRIBES: Flags = PUBSUB | NOSCRIPT | LOADING | STALE | LISTENERS_MAY;
const PUBLISHES: Flags = PUBSUB | LOADING | STALE | FAST | MAY_REPLICATE;

pub static ROWS: &[CommandSpec] = &[
    row("psubscribe", -2, SUBSCRIBES, pubsub::psubscribe)
        .doc("2.0.0", "Listens to the channels that match patterns.", "O(N), N: patterns given")
        .args(&[pattern("pattern").multiple()]),
    row("publish", 3, PUBLISHES, pubsub::publish)
        .doc(
            "2.0.0",
            "Sends a message to a channel.",
            "O(N+M), N: subscribers of the channel, M: patterns of all clients",
        )
        .args(&[string("channel"), string("message")]),
    CommandSpec::container(Group::PubSub, "pubsub")
        .doc("2.8.0", "Commands about channels and their subscribers.", "Depends on the subcommand")
        .subcommands(&[
            row("channels", -2, PUBSUB | LOADING | STALE, pubsub::channels)
                .doc("2.8.0", "Lists the channels that have subscribers.", "O(N), N: channels with subscribers")
                .args(&[pattern("pattern").optional()]),
            row("help", 2, LOADING | STALE, pubsub::help).doc("6.2.0", "Lists the subcommands.", "O(1)"),
            row("numpat", 2, PUBSUB | LOADING | STALE, pubsub::numpat).doc(
                "2.8.0",
                "Counts the patterns that clients listen to.",
                "O(1)",
            ),
            row("numsub", -2, PUBSUB | LOADING | STALE, pubsub::numsub)
                .doc("2.8.0", "Counts the subscribers of channels.", "O(N), N: channels given")
                .args(&[string("channel").optional().multiple()]),
            row("shardchannels", -2, PUBSUB | LOADING | STALE, pubsub::shardchannels)
                .doc(
                    "7.0.0",
                    "Lists the shard channels that have subscribers.",
                    "O(N), N: shard channels with subscribers",
                )
                .args(&[pattern("pattern").optional()]),
            row("shardnumsub", -2, PUBSUB | LOADING | STALE, pubsub::shardnumsub)
                .doc("7.0.0", "Counts the subscribers of shard channels.", "O(N), N: shard channels given")
                .args(&[string("shardchannel").optional().multiple()]),
        ]),
    row("punsubscribe", -1, SUBSCRIBES, pubsub::punsubscribe)
        .doc("2.0.0", "Stops listening to patterns.", "O(N), N: patterns that end")
        .args(&[pattern("pattern").optional().multiple()]),
    row("spublish", 3, PUBLISHES, pubsub::spublish)
        .doc("7.0.0", "Sends a message to a shard channel.", "O(N), N: subscribers of the channel")
        .keys(&[key_at(1, NOT_KEY)])
        .args(&[string("shardchannel"), string("message")]),
    row("ssubscribe", -2, SUBSCRIBES, pubsub::ssubscribe)
        .doc("7.0.0", "Listens to shard channels.", "O(N), N: shard channels given")
        .keys(&[keys_from(1, 1, NOT_KEY)])
        .args(&[string("shardchannel").multiple()]),
    row("subscribe", -2, SUBSCRIBES, pubsub::subscribe)
        .doc("2.0.0", "Listens to channels.", "O(N), N: channels given")
        .args(&[string("channel").multiple()]),
    row("sunsubscribe", -1, SUBSCRIBES, pubsub::sunsubscribe)
        .doc("7.0.0", "Stops listening to shard channels.", "O(N), N: shard channels that end")
        .keys(&[keys_from(1, 1, NOT_KEY)])
        .args(&[string("shardchannel").optional().multiple()]),
    row("unsubscribe", -1, SUBSCRIBES, pubsub::unsubscribe)
        .doc("2.0.0", "Stops listening to channels.", "O(N), N: channels that end")
        .args(&[string("channel").optional().multiple()]),
];
