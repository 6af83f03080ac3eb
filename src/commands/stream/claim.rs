//! Handlers that pass pending entries from one consumer to another.

use super::groups::seen_ms;
use super::parse;
use super::tell::{Position, Told};
use super::write::{write_id, write_item};
use crate::base::number::parse_i64;
use crate::commands::account::reserve;
use crate::commands::{Cx, Outcome};
use crate::engine::notify;
use crate::resp::{Reply, ReplyError};
use crate::store::ValueType;
use crate::store::stream::{Claim, Claimed, ConsumerId, Entries, Group, Stream, StreamId};

/// How many pending entries XAUTOCLAIM looks at for each that it may claim.
const TRIES_PER_CLAIM: usize = 10;
/// The most that XAUTOCLAIM may be asked for, in Redis's reckoning.
const CLAIMS_MAX: i64 = i64::MAX / 16;
const CLAIMS_DEFAULT: usize = 100;

/// What claiming did, to be told.
#[derive(Default)]
struct Outcomes {
    consumer_made: bool,
    claims: Vec<(StreamId, u64)>,
    gone: Vec<StreamId>,
    moved: Option<Position>,
    last_id: StreamId,
}

impl Outcomes {
    fn changes(&self) -> u64 {
        let entries = self.claims.len() + self.gone.len();
        entries as u64 + u64::from(self.consumer_made) + u64::from(self.moved.is_some())
    }

    fn note(&mut self, id: StreamId, claimed: Claimed) {
        match claimed {
            Claimed::Taken(pending) => self.claims.push((id, pending.delivery_count)),
            Claimed::Gone => self.gone.push(id),
            Claimed::Left => {}
        }
    }

    fn tell(&self, cx: &mut Cx<'_>, told: &Told<'_>, time_ms: u64) {
        if self.consumer_made {
            cx.space.notify(notify::STREAM, "xgroup-createconsumer", told.key);
            if self.claims.is_empty() {
                told.consumer_made(cx);
            }
        }
        if !self.claims.is_empty() {
            told.claimed(cx, &self.claims, time_ms, self.last_id);
        } else if let Some(position) = self.moved {
            told.moved(cx, position);
        }
        told.gone(cx, &self.gone);
    }
}

/// The consumer that claims, made if need be and seen now.
fn claimant(group: &mut Group, name: &[u8], seen_ms: u64, outcomes: &mut Outcomes) -> ConsumerId {
    let (consumer, made) = group.find_or_add_consumer(name, seen_ms);
    outcomes.consumer_made = made;
    if let Some(consumer) = group.consumer_mut(consumer) {
        consumer.seen_time_ms = seen_ms;
    }
    consumer
}

fn write_claimed(reply: &mut Reply<'_>, entries: &Entries, id: StreamId, just_id: bool) {
    match entries.get(id) {
        Some(item) if !just_id => write_item(reply, &item),
        _ => write_id(reply, id),
    }
}

/// Refuses a call whose key or group is not there.
fn check_group(cx: &mut Cx<'_>, key: &[u8], group: &[u8]) -> Result<(), ReplyError> {
    let entry = cx.space.collection(key, ValueType::Stream)?;
    let found = entry.and_then(|entry| entry.large::<Stream>().group(group));
    found.map(|_| ()).ok_or_else(|| parse::no_group(key, group, "'"))
}

fn read_min_idle(text: &[u8], error: &'static str) -> Result<u64, ReplyError> {
    Ok(u64::try_from(parse_i64(text).ok_or(ReplyError::of(error))?).unwrap_or(0))
}

/// The words behind the ids of XCLAIM.
struct Options {
    delivery_time_ms: Option<i64>,
    delivery_count: Option<u64>,
    force: bool,
    just_id: bool,
    last_id: StreamId,
}

impl Options {
    fn read(mut rest: &[&[u8]], now_ms: u64) -> Result<Options, ReplyError> {
        let mut options = Options {
            delivery_time_ms: None,
            delivery_count: None,
            force: false,
            just_id: false,
            last_id: StreamId::MIN,
        };
        let number = |text: &[u8], error| parse_i64(text).ok_or(ReplyError::of(error));
        while let [word, more @ ..] = rest {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            rest = match more {
                more if is("FORCE") => {
                    options.force = true;
                    more
                }
                more if is("JUSTID") => {
                    options.just_id = true;
                    more
                }
                [value, more @ ..] if is("IDLE") => {
                    let idle_ms = number(value, "ERR Invalid IDLE option argument for XCLAIM")?;
                    options.delivery_time_ms = Some((now_ms as i64).wrapping_sub(idle_ms));
                    more
                }
                [value, more @ ..] if is("TIME") => {
                    options.delivery_time_ms = Some(number(value, "ERR Invalid TIME option argument for XCLAIM")?);
                    more
                }
                [value, more @ ..] if is("RETRYCOUNT") => {
                    let count = number(value, "ERR Invalid RETRYCOUNT option argument for XCLAIM")?;
                    options.delivery_count = u64::try_from(count).ok();
                    more
                }
                [value, more @ ..] if is("LASTID") => {
                    options.last_id = parse::id(value)?;
                    more
                }
                _ => return Err(ReplyError::quoting("ERR Unrecognized XCLAIM option '", word, "'")),
            };
        }
        Ok(options)
    }

    /// The moment that entries count as given at: one that makes no sense is now, since clocks of clients may be wrong.
    fn delivery_time_ms(&self, now_ms: u64) -> u64 {
        let given =
            self.delivery_time_ms.filter(|time_ms| *time_ms != -1).and_then(|time_ms| u64::try_from(time_ms).ok());
        given.filter(|time_ms| *time_ms <= now_ms || parse::is_replay(now_ms)).unwrap_or(now_ms)
    }
}

/// XCLAIM key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-ms] [RETRYCOUNT count] [FORCE] [JUSTID]
/// [LASTID last-id]
pub fn xclaim(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let told = Told { key: args[1], group: args[2], consumer: args[3] };
    check_group(cx, told.key, told.group)?;
    let min_idle_ms = read_min_idle(args[4], "ERR Invalid min-idle-time argument for XCLAIM")?;
    let ids: Vec<StreamId> = args[5..].iter().map_while(|text| parse::id(text).ok()).collect();
    let now_ms = cx.space.now_ms;
    let options = Options::read(&args[5 + ids.len()..], now_ms)?;
    reserve(cx, args, told.bytes(ids.len(), true))?;

    let claim = Claim {
        now_ms: seen_ms(now_ms),
        min_idle_ms,
        delivery_time_ms: options.delivery_time_ms(now_ms),
        delivery_count: options.delivery_count,
        just_id: options.just_id,
        force: options.force,
    };
    let (begin, reply) = (cx.reply.len(), &mut cx.reply);
    let work = |entries: &Entries, group: &mut Group| {
        let mut outcomes = Outcomes::default();
        if options.last_id > group.last_id {
            group.last_id = options.last_id;
            outcomes.moved = Some(Position::of(group));
        }
        outcomes.last_id = group.last_id;
        let consumer = claimant(group, told.consumer, claim.now_ms, &mut outcomes);
        for id in &ids {
            let claimed = group.claim(entries, *id, consumer, &claim);
            outcomes.note(*id, claimed);
            if let Claimed::Taken(_) = claimed {
                write_claimed(reply, entries, *id, claim.just_id);
            }
        }
        outcomes
    };
    let outcomes = cx.space.edit(told.key, ValueType::Stream, |entry| {
        let outcomes = entry.large_mut::<Stream>().with_group(told.group, work).unwrap_or_default();
        (outcomes.changes(), outcomes)
    })?;
    let outcomes = outcomes.unwrap_or_default();
    cx.reply.array_from(begin, outcomes.claims.len());
    outcomes.tell(cx, &told, claim.delivery_time_ms);
    Ok(())
}

/// XAUTOCLAIM key group consumer min-idle-time start [COUNT count] [JUSTID]
pub fn xautoclaim(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let told = Told { key: args[1], group: args[2], consumer: args[3] };
    let min_idle_ms = read_min_idle(args[4], "ERR Invalid min-idle-time argument for XAUTOCLAIM")?;
    let start = parse::start(args[5])?;
    let (mut count_max, mut just_id) = (CLAIMS_DEFAULT, false);
    let mut rest = &args[6..];
    while let [word, more @ ..] = rest {
        rest = match more {
            [count, more @ ..] if word.eq_ignore_ascii_case(b"COUNT") => {
                let count = parse_i64(count).filter(|count| (1..=CLAIMS_MAX).contains(count));
                count_max = count.ok_or(ReplyError::of("ERR COUNT must be > 0"))? as usize;
                more
            }
            more if word.eq_ignore_ascii_case(b"JUSTID") => {
                just_id = true;
                more
            }
            _ => return Err(ReplyError::Syntax),
        };
    }
    check_group(cx, told.key, told.group)?;
    let pending = cx.space.collection(told.key, ValueType::Stream)?;
    let pending = pending.and_then(|entry| entry.large::<Stream>().group(told.group)).map_or(0, Group::pending_count);
    reserve(cx, args, told.bytes(count_max.min(pending), true))?;

    let now_ms = cx.space.now_ms;
    let claim = Claim { now_ms, min_idle_ms, delivery_time_ms: now_ms, delivery_count: None, just_id, force: false };
    cx.reply.array(3);
    let (begin, reply) = (cx.reply.len(), &mut cx.reply);
    let work = |entries: &Entries, group: &mut Group| {
        let mut outcomes = Outcomes { last_id: group.last_id, ..Outcomes::default() };
        let consumer = claimant(group, told.consumer, now_ms, &mut outcomes);
        let most = (count_max.saturating_mul(TRIES_PER_CLAIM), count_max);
        let next = group.claim_from(entries, start, most, consumer, &claim, |id, claimed| {
            outcomes.note(id, claimed);
            if let Claimed::Taken(_) = claimed {
                write_claimed(reply, entries, id, just_id);
            }
        });
        (next, outcomes)
    };
    let claimed = cx.space.edit(told.key, ValueType::Stream, |entry| {
        let (next, outcomes) = entry.large_mut::<Stream>().with_group(told.group, work).unwrap_or_default();
        (outcomes.changes(), (next, outcomes))
    })?;
    let (next, outcomes) = claimed.unwrap_or_default();
    cx.reply.array_from(begin, outcomes.claims.len());
    cx.reply.bulk_from(begin, next.unwrap_or_default().to_text().as_bytes());
    cx.reply.array(outcomes.gone.len());
    outcomes.gone.iter().for_each(|id| write_id(&mut cx.reply, *id));
    outcomes.tell(cx, &told, now_ms);
    Ok(())
}
