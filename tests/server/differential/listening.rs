//! Connections that listen to channels: what comes by itself is told apart from replies, and compared at the end of a
//! sequence, since it may arrive a moment later from one side than from the other.

use std::time::{Duration, Instant};

use super::{Pair, Sides, shown};
use crate::support::{Protocol, Reply, encode_command, escape};

/// How long messages may be on their way.
const DELAY_MAX: Duration = Duration::from_secs(5);
/// What PING brings back behind the replies to a command, however many those are.
const END: &[u8] = b"the end of the replies";

pub struct Listener {
    pair: Pair,
    /// The messages that came from each side.
    heard: [Vec<Reply>; 2],
}

impl Listener {
    pub fn new(sides: &Sides, protocol: Protocol) -> Listener {
        Listener { pair: sides.connect(protocol), heard: Default::default() }
    }

    /// Sends the command to both; a report when what they answer differs.
    pub fn compare(&mut self, command: &[Vec<u8>]) -> Option<String> {
        let request = [encode_command(command), encode_command(&[b"PING", END])].concat();
        self.pair.tested.send(&request);
        self.pair.oracle.send(&request);
        let resets = command.len() == 1 && command[0].eq_ignore_ascii_case(b"RESET");
        let mut replies: [Vec<Reply>; 2] = Default::default();
        for (side, client) in [&mut self.pair.tested, &mut self.pair.oracle].into_iter().enumerate() {
            loop {
                let reply = client.reply();
                if resets && matches!(reply, Reply::Status(_)) {
                    client.decode_as(Protocol::Resp2);
                }
                match reply {
                    reply if is_end(&reply) => break,
                    reply if is_message(&reply) => self.heard[side].push(reply),
                    reply => replies[side].push(reply),
                }
            }
        }
        let [ours, theirs] = replies;
        let same = ours == theirs || (unsubscribes_from_all(command) && parts(&ours) == parts(&theirs)) || {
            let is_list = command[0].eq_ignore_ascii_case(b"PUBSUB");
            is_list && in_order(&ours) == in_order(&theirs)
        };
        (!same).then(|| format!("{}\n    tested {ours:?}\n    oracle {theirs:?}", shown(command)))
    }

    /// Ends all subscriptions; a report when one side had other messages than the other.
    pub fn finish(&mut self) -> Option<String> {
        let deadline = Instant::now() + DELAY_MAX;
        while self.heard[0].len() != self.heard[1].len() && Instant::now() < deadline {
            self.compare(&[b"PING".to_vec()]);
        }
        self.compare(&[b"RESET".to_vec()]);
        // Patterns that fit the same message bring it in the order of a table.
        let [ours, theirs] = [0, 1].map(|side| in_order(&self.heard[side]));
        (ours != theirs).then(|| format!("messages\n    tested {ours:?}\n    oracle {theirs:?}"))
    }
}

fn is_end(reply: &Reply) -> bool {
    match reply {
        Reply::Bulk(bytes) => bytes == END,
        Reply::Array(items) => matches!(&items[..], [_, Reply::Bulk(bytes)] if bytes == END),
        _ => false,
    }
}

fn is_message(reply: &Reply) -> bool {
    match reply {
        Reply::Array(items) | Reply::Push(items) => {
            matches!(&items[..], [Reply::Bulk(kind), ..] if kind.ends_with(b"message"))
        }
        _ => false,
    }
}

/// Whether the channels that it leaves come in the order of a table.
fn unsubscribes_from_all(command: &[Vec<u8>]) -> bool {
    command.len() == 1 && command[0].to_ascii_uppercase().ends_with(b"UNSUBSCRIBE")
}

/// The items of the replies, at each place in an order of their own.
fn parts(replies: &[Reply]) -> Vec<Vec<String>> {
    let part = |place: usize| {
        let mut items: Vec<String> = replies
            .iter()
            .filter(|reply| matches!(reply, Reply::Array(_) | Reply::Push(_)))
            .map(|reply| format!("{:?}", reply.items().get(place)))
            .collect();
        items.sort();
        items
    };
    (0..3).map(part).collect()
}

fn in_order(replies: &[Reply]) -> Vec<String> {
    let mut told: Vec<String> = replies
        .iter()
        .map(|reply| match reply {
            Reply::Array(items) if !is_message(reply) => {
                let mut items: Vec<String> = items.iter().map(|item| format!("{item:?}")).collect();
                items.sort();
                items.join(" ")
            }
            Reply::Array(items) | Reply::Push(items) => {
                items.iter().map(|item| escape(item.bytes())).collect::<Vec<_>>().join(" ")
            }
            other => format!("{other:?}"),
        })
        .collect();
    told.sort();
    told
}
