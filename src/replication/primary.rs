//! The primary's side of replication: what a replica that comes is answered, what it is sent next, and what time asks for.
//!
//! ```text
//! SYNC, PSYNC --too old--> AwaitsCut --cut--> AwaitsBulk --> Sends --length--> Online
//!      |                    "\n" ...  +FULLRESYNC   $...      |                  ^
//!      |                                                      +--mark--> AwaitsAck
//!      +--what is missing is kept: +CONTINUE-------------------------------------+
//! ```
//! A copy of known length may be sent once it is whole; one that ends with a mark as it grows, but what follows the mark
//! only once the replica has acknowledged it: it could not tell the two apart.

use crate::config::Config;
use crate::engine::replicas::copy::Progress;

/// Bytes of a copy that are sent at once.
pub const CHUNK_BYTES: u64 = 64 << 10;
/// Those who wait for a copy are sent a sign of life so often.
const SIGN_OF_LIFE_MS: u64 = 1000;

/// How far the link to a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    AwaitsCut,
    AwaitsBulk,
    Sends { sent: u64 },
    AwaitsAck,
    Online,
}

/// The link to one replica.
#[derive(Debug)]
pub struct Link {
    state: State,
    /// It asked with PSYNC, so it is told where the stream begins.
    told_offset: bool,
    /// Ends the copy, if it is not sent by length.
    mark: Option<String>,
    /// It wants the copy and no stream.
    copy_only: bool,
    /// When it was last sent anything while it waits.
    signed_ms: u64,
}

/// What is to be done for a replica now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Say(Vec<u8>),
    /// Send so many bytes of the copy from this one on.
    Copy {
        from: u64,
        bytes: u64,
    },
    /// The copy is through: the replica follows the stream.
    GoOnline,
    /// Send what is next in the stream.
    Stream,
    /// Nothing before this Unix time in milliseconds, unless something changes.
    Wait {
        until_ms: u64,
    },
    /// End the link.
    Close,
}

/// What a step goes by.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The id of this history.
    pub id: &'a str,
    pub copy: Progress,
    /// Whether the replica has acknowledged anything since its copy was sent.
    pub acknowledged: bool,
    pub now_ms: u64,
}

impl Link {
    /// A link that begins with a full copy.
    pub fn with_copy(told_offset: bool, mark: Option<String>, copy_only: bool, now_ms: u64) -> Link {
        Link { state: State::AwaitsCut, told_offset, mark, copy_only, signed_ms: now_ms }
    }

    /// A link that goes on where an earlier one ended.
    pub fn continued() -> Link {
        Link { state: State::Online, told_offset: true, mark: None, copy_only: false, signed_ms: 0 }
    }

    /// Whether the copy is on its way.
    pub fn is_sending(&self) -> bool {
        matches!(self.state, State::Sends { .. } | State::AwaitsAck)
    }

    /// What to do next. Each answer is carried out before the next question.
    pub fn step(&mut self, seen: Seen<'_>) -> Action {
        let copy = seen.copy;
        match self.state {
            State::Online => Action::Stream,
            _ if copy.failed => Action::Close,
            State::AwaitsCut => match copy.offset {
                None => self.wait(seen.now_ms),
                Some(offset) => {
                    self.state = State::AwaitsBulk;
                    if !self.told_offset {
                        return self.step(seen);
                    }
                    Action::Say(format!("+FULLRESYNC {} {offset}\r\n", seen.id).into_bytes())
                }
            },
            State::AwaitsBulk if self.mark.is_none() && !copy.whole => self.wait(seen.now_ms),
            State::AwaitsBulk => {
                self.state = State::Sends { sent: 0 };
                Action::Say(match &self.mark {
                    Some(mark) => format!("$EOF:{mark}\r\n").into_bytes(),
                    None => format!("${}\r\n", copy.bytes).into_bytes(),
                })
            }
            State::Sends { sent } if sent < copy.bytes => {
                let bytes = (copy.bytes - sent).min(CHUNK_BYTES);
                self.state = State::Sends { sent: sent + bytes };
                Action::Copy { from: sent, bytes }
            }
            // It is woken when there is more.
            State::Sends { .. } if !copy.whole => Action::Wait { until_ms: seen.now_ms + SIGN_OF_LIFE_MS },
            State::Sends { .. } => match self.mark.take() {
                Some(mark) => {
                    self.state = State::AwaitsAck;
                    Action::Say(mark.into_bytes())
                }
                None => self.end_copy(),
            },
            State::AwaitsAck if seen.acknowledged || self.copy_only => self.end_copy(),
            State::AwaitsAck => Action::Wait { until_ms: seen.now_ms + SIGN_OF_LIFE_MS },
        }
    }

    fn end_copy(&mut self) -> Action {
        self.state = State::Online;
        if self.copy_only { Action::Close } else { Action::GoOnline }
    }

    /// An empty line now and then says that the wait goes on.
    fn wait(&mut self, now_ms: u64) -> Action {
        if now_ms < self.signed_ms + SIGN_OF_LIFE_MS {
            return Action::Wait { until_ms: self.signed_ms + SIGN_OF_LIFE_MS };
        }
        self.signed_ms = now_ms;
        Action::Say(b"\n".to_vec())
    }
}

/// What time asks of the primary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Every replica is to hear from it.
    pub ping: bool,
    /// No replica came back: the backlog can go.
    pub end_stream: bool,
}

/// The primary as time finds it.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now_ms: u64,
    pub pinged_ms: u64,
    pub replicas: usize,
    /// When the last replica left.
    pub left_ms: u64,
    pub is_on: bool,
}

pub fn due(moment: Moment, config: &Config) -> Due {
    let since_ms = |then_ms: u64| moment.now_ms.saturating_sub(then_ms);
    let ttl_ms = config.repl_backlog_ttl.saturating_mul(1000);
    Due {
        ping: moment.replicas > 0 && since_ms(moment.pinged_ms) >= u64::from(config.repl_ping_replica_period) * 1000,
        end_stream: moment.is_on && moment.replicas == 0 && ttl_ms > 0 && since_ms(moment.left_ms) > ttl_ms,
    }
}

/// Whether a replica that acknowledges has been silent for too long.
pub fn is_lost(silent_ms: u64, config: &Config) -> bool {
    silent_ms > u64::from(config.repl_timeout) * 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps a link through a copy of 100,000 bytes; gives what it was sent, bytes of the copy as their number.
    fn story(mut link: Link) -> Vec<String> {
        let mut told = Vec::new();
        let none = Progress::default();
        let cut = Progress { offset: Some(7), ..none };
        let growing = Progress { bytes: 30_000, ..cut };
        let whole = Progress { bytes: 100_000, whole: true, ..cut };
        let mut now_ms = 5000;
        for (copy, acknowledged) in [(none, false), (cut, false), (growing, false), (whole, false), (whole, true)] {
            now_ms += SIGN_OF_LIFE_MS;
            loop {
                told.push(match link.step(Seen { id: "abc", copy, acknowledged, now_ms }) {
                    Action::Say(bytes) => String::from_utf8(bytes).unwrap(),
                    Action::Copy { from, bytes } => format!("{from}+{bytes}"),
                    Action::GoOnline => "online".into(),
                    Action::Close => return [told, vec!["close".into()]].concat(),
                    Action::Stream | Action::Wait { .. } => break,
                });
            }
        }
        told
    }

    #[test]
    fn a_copy_by_length_is_sent_once_it_is_whole() {
        assert_eq!(
            story(Link::with_copy(true, None, false, 5000)),
            ["\n", "+FULLRESYNC abc 7\r\n", "\n", "\n", "$100000\r\n", "0+65536", "65536+34464", "online"]
        );
        assert_eq!(
            story(Link::with_copy(false, None, true, 5000)),
            ["\n", "\n", "\n", "$100000\r\n", "0+65536", "65536+34464", "close"]
        );
    }

    #[test]
    fn a_copy_with_a_mark_is_sent_as_it_grows_and_acknowledged() {
        assert_eq!(
            story(Link::with_copy(true, Some("mark".into()), false, 5000)),
            ["\n", "+FULLRESYNC abc 7\r\n", "$EOF:mark\r\n", "0+30000", "30000+65536", "95536+4464", "mark", "online"]
        );
    }

    #[test]
    fn a_failed_copy_ends_the_link_and_a_continued_one_needs_none() {
        let failed =
            Seen { id: "abc", copy: Progress { failed: true, ..Progress::default() }, acknowledged: false, now_ms: 0 };
        assert_eq!(Link::with_copy(true, None, false, 0).step(failed), Action::Close);
        assert_eq!(Link::continued().step(failed), Action::Stream);
    }

    #[test]
    fn time_asks_for_pings_and_for_an_end() {
        let config = Config { repl_ping_replica_period: 10, repl_backlog_ttl: 60, ..Config::default() };
        let moment = Moment { now_ms: 100_000, pinged_ms: 95_000, replicas: 1, left_ms: 0, is_on: true };
        assert_eq!(due(moment, &config), Due::default());
        assert_eq!(due(Moment { pinged_ms: 90_000, ..moment }, &config), Due { ping: true, end_stream: false });
        let alone = Moment { replicas: 0, pinged_ms: 0, ..moment };
        assert_eq!(due(alone, &config), Due { ping: false, end_stream: true });
        assert_eq!(due(Moment { left_ms: 50_000, ..alone }, &config), Due::default());
        assert_eq!(due(alone, &Config { repl_backlog_ttl: 0, ..config.clone() }), Due::default());
        assert!(is_lost(60_001, &config) && !is_lost(60_000, &config));
    }
}
