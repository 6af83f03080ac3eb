//! Handlers of XREAD and XREADGROUP, which read several streams and may wait for entries to come.

use super::groups::seen_ms;
use super::parse;
use super::tell::{Position, Told};
use super::write::{write_id, write_item, write_items};
use crate::commands::account::reserve;
use crate::commands::blocking::{WaitFor, milliseconds_from};
use crate::commands::context::Waits;
use crate::commands::{Cx, Outcome};
use crate::engine::notify;
use crate::resp::{Protocol, Reply, ReplyError};
use crate::store::ValueType;
use crate::store::stream::{Entries, Group, Item, Stream, StreamId};

const NO_STREAM_LEFT: ReplyError = ReplyError::of("UNBLOCKED the stream key no longer exists");
const NO_GROUP_LEFT: ReplyError =
    ReplyError::of("NOGROUP the consumer group this client was blocked on no longer exists");
const MEANINGLESS: [&str; 3] = [
    "ERR The ",
    " ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a \
     proper ID, or use the > ID to get new messages. The ",
    " ID would just return an empty result set.",
];

/// How long a call waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    None,
    Until(u64),
    Endless,
}

/// What a call asks for.
struct Call<'a> {
    group: Option<(&'a [u8], &'a [u8])>,
    acknowledged: bool,
    /// 0 is no limit.
    count_max: usize,
    patience: Patience,
    keys: &'a [&'a [u8]],
    ids: &'a [&'a [u8]],
}

/// Where reading of one stream starts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    After(StreamId),
    /// Where the group is.
    Group,
    /// There is nothing to read: the stream is gone while its reader waited.
    Nowhere,
}

impl<'a> Call<'a> {
    fn read(cx: &Cx<'_>, args: &'a [&'a [u8]], of_group: bool) -> Result<Call<'a>, ReplyError> {
        let mut call =
            Call { group: None, acknowledged: false, count_max: 0, patience: Patience::None, keys: &[], ids: &[] };
        let mut rest = &args[1..];
        loop {
            let [word, more @ ..] = rest else { return Err(ReplyError::Syntax) };
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            rest = match more {
                [timeout, rest @ ..] if is("BLOCK") => {
                    if cx.session.in_script {
                        let after = " command is not allowed with BLOCK option from scripts";
                        return Err(ReplyError::quoting("ERR ", args[0], after));
                    }
                    let until_ms = milliseconds_from(cx.space.now_ms, timeout)?;
                    call.patience = until_ms.map_or(Patience::Endless, Patience::Until);
                    rest
                }
                [count, rest @ ..] if is("COUNT") => {
                    call.count_max = parse::count(count)?;
                    rest
                }
                [_, ..] if is("STREAMS") => {
                    if more.len() % 2 == 1 {
                        return Err(ReplyError::of(
                            "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.",
                        ));
                    }
                    (call.keys, call.ids) = more.split_at(more.len() / 2);
                    break;
                }
                [group, consumer, rest @ ..] if is("GROUP") => {
                    if !of_group {
                        return Err(ReplyError::of(
                            "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
                        ));
                    }
                    call.group = Some((group, consumer));
                    rest
                }
                rest if is("NOACK") => {
                    if !of_group {
                        return Err(ReplyError::of(
                            "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
                        ));
                    }
                    call.acknowledged = true;
                    rest
                }
                _ => return Err(ReplyError::Syntax),
            };
        }
        if of_group && call.group.is_none() {
            return Err(ReplyError::of("ERR Missing GROUP option for XREADGROUP"));
        }
        Ok(call)
    }

    /// Where to start in each stream. Everything is looked at before anything is read.
    fn starts(&self, cx: &mut Cx<'_>) -> Result<Vec<From>, ReplyError> {
        self.keys.iter().zip(self.ids).map(|(key, id)| self.start(cx, key, id)).collect()
    }

    fn start(&self, cx: &mut Cx<'_>, key: &[u8], id: &[u8]) -> Result<From, ReplyError> {
        let again = cx.waits == Waits::Again;
        let entry = match (cx.space.read_collection(key, ValueType::Stream), self.group) {
            (Err(_), None) if again => return Ok(From::Nowhere),
            (Err(_) | Ok(None), Some(_)) if again => return Err(NO_STREAM_LEFT),
            (entry, _) => entry?,
        };
        let stream = entry.map(|entry| entry.large::<Stream>());
        if let Some((group, _)) = self.group
            && stream.and_then(|stream| stream.group(group)).is_none()
        {
            return Err(match again {
                true => NO_GROUP_LEFT,
                false => parse::no_group(key, group, "' in XREADGROUP with GROUP option"),
            });
        }
        let entries = stream.map(|stream| &stream.entries);
        Ok(match id {
            b"$" | b"+" if self.group.is_some() => {
                let sign = std::str::from_utf8(id).unwrap_or_default();
                return Err(ReplyError::Text(MEANINGLESS.join(sign).into()));
            }
            b"$" => From::After(entries.map_or(StreamId::MIN, |entries| entries.last_id)),
            b"+" => {
                let before_last = |entries: &Entries| match entries.last_present_id() {
                    Some(last) => last.previous().unwrap_or_default(),
                    None => entries.last_id,
                };
                From::After(entries.map_or(StreamId::MIN, before_last))
            }
            b">" if self.group.is_some() => From::Group,
            b">" => {
                return Err(ReplyError::of(
                    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> \
                     option.",
                ));
            }
            _ => From::After(parse::id(id)?),
        })
    }

    /// Ends a call that found nothing.
    fn wait(&self, cx: &mut Cx<'_>, args: &[&[u8]], starts: &[From]) -> Outcome {
        let until_ms = match self.patience {
            Patience::None => {
                cx.reply.null_array();
                return Ok(());
            }
            Patience::Until(until_ms) => Some(until_ms),
            Patience::Endless => None,
        };
        // What comes after the last entry means after what is the last one now.
        let mut call = args.to_vec();
        let texts: Vec<_> = starts
            .iter()
            .map(|from| match from {
                From::After(id) => Some(id.to_text()),
                From::Group | From::Nowhere => None,
            })
            .collect();
        let first = args.len() - self.ids.len();
        for (argument, text) in call[first..].iter_mut().zip(&texts) {
            if let Some(text) = text.as_ref().filter(|_| matches!(*argument, b"$" | b"+")) {
                *argument = text.as_bytes();
            }
        }
        let minds_end = self.group.is_some();
        cx.wait_for(&WaitFor { call: &call, keys: self.keys, wanted: ValueType::Stream, minds_end, until_ms })
    }
}

/// XREAD [COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]
pub fn xread(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let call = Call::read(cx, args, false)?;
    let starts = call.starts(cx)?;
    let (begin, mut served) = (cx.reply.len(), 0);
    for ((key, id), from) in call.keys.iter().zip(call.ids).zip(&starts) {
        let From::After(after) = *from else { continue };
        let Some(entry) = cx.space.peek(key) else { continue };
        let entries = &entry.large::<Stream>().entries;
        let Some(start) = after.next().filter(|start| entries.last_id >= *start) else { continue };
        // The last entry is one, whatever the limit says.
        let most = if call.count_max == 0 || *id == b"+" { usize::MAX } else { call.count_max };
        let mut items = entries.range(start, StreamId::MAX).take(most).peekable();
        if items.peek().is_some() {
            begin_stream(&mut cx.reply, key);
            write_items(&mut cx.reply, items);
            served += 1;
        }
    }
    if served == 0 {
        return call.wait(cx, args, &starts);
    }
    end_streams(&mut cx.reply, begin, served);
    Ok(())
}

fn begin_stream(reply: &mut Reply<'_>, key: &[u8]) {
    if reply.protocol == Protocol::Resp2 {
        reply.array(2);
    }
    reply.bulk(key);
}

fn end_streams(reply: &mut Reply<'_>, begin: usize, served: usize) {
    match reply.protocol {
        Protocol::Resp2 => reply.array_from(begin, served),
        Protocol::Resp3 => reply.map_from(begin, served),
    }
}

/// What reading one stream for a group did.
struct Given {
    served: bool,
    consumer_made: bool,
    /// Entries that the consumer has, each with its number of deliveries.
    claims: Vec<(StreamId, u64)>,
    /// Where the group is, if it moved.
    moved: Option<Position>,
}

/// XREADGROUP GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] id [id ...]
pub fn xreadgroup(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let call = Call::read(cx, args, true)?;
    let Some((group, consumer)) = call.group else { return Err(ReplyError::Syntax) };
    let starts = call.starts(cx)?;
    reserve_claims(cx, args, &call, &starts)?;
    let (begin, mut served) = (cx.reply.len(), 0);
    for (key, from) in call.keys.iter().zip(&starts) {
        let told = Told { key, group, consumer };
        let given = give(cx, &call, &told, *from)?;
        served += usize::from(given.served);
        if given.consumer_made {
            cx.space.notify(notify::STREAM, "xgroup-createconsumer", key);
            if given.claims.is_empty() {
                told.consumer_made(cx);
            }
        }
        if !given.claims.is_empty() {
            let now_ms = cx.space.now_ms;
            let last_id = given.moved.map_or(StreamId::MIN, |position| position.last_id);
            told.claimed(cx, &given.claims, now_ms, last_id);
        }
        if let Some(position) = given.moved {
            told.moved(cx, position);
        }
    }
    if served == 0 {
        return call.wait(cx, args, &starts);
    }
    end_streams(&mut cx.reply, begin, served);
    Ok(())
}

/// Reads one stream for a group.
fn give(cx: &mut Cx<'_>, call: &Call<'_>, told: &Told<'_>, from: From) -> Result<Given, ReplyError> {
    let (reply, seen_ms) = (&mut cx.reply, seen_ms(cx.space.now_ms));
    let now_ms = cx.space.now_ms;
    let work = |entries: &Entries, group: &mut Group| {
        let (consumer, consumer_made) = group.find_or_add_consumer(told.consumer, seen_ms);
        if let Some(consumer) = group.consumer_mut(consumer) {
            consumer.seen_time_ms = seen_ms;
        }
        let (begin, before) = (reply.len(), group.last_id);
        begin_stream(reply, told.key);
        let list = reply.len();
        let mut given = Given { served: true, consumer_made, claims: Vec::new(), moved: None };
        let count = match from {
            From::Group => {
                let emit = |item: &Item<'_>| write_item(reply, item);
                let ids = group.read_new(entries, consumer, call.count_max, call.acknowledged, now_ms, emit);
                given.served = !ids.is_empty();
                if group.last_id != before {
                    given.moved = Some(Position::of(group));
                }
                let count = ids.len();
                if !call.acknowledged {
                    given.claims = ids.into_iter().map(|id| (id, 1)).collect();
                }
                count
            }
            From::After(after) => {
                let (count, again) =
                    group.read_pending(entries, consumer, after, call.count_max, now_ms, |id, item| match item {
                        Some(item) => write_item(reply, item),
                        None => {
                            reply.array(2);
                            write_id(reply, id);
                            reply.null_array();
                        }
                    });
                given.claims = again.into_iter().map(|(id, pending)| (id, pending.delivery_count)).collect();
                count
            }
            From::Nowhere => 0,
        };
        match given.served {
            true => reply.array_from(list, count),
            false => reply.truncate(begin),
        }
        given
    };
    let nothing = Given { served: false, consumer_made: false, claims: Vec::new(), moved: None };
    let given = cx.space.edit(told.key, ValueType::Stream, |entry| {
        let given = entry.large_mut::<Stream>().with_group(told.group, work).unwrap_or(nothing);
        let changes = given.claims.len() as u64 + u64::from(given.consumer_made) + u64::from(given.moved.is_some());
        (changes, given)
    })?;
    given.ok_or(ReplyError::NoSuchKey)
}

/// Makes sure that the log takes what will be given.
fn reserve_claims(cx: &mut Cx<'_>, args: &[&[u8]], call: &Call<'_>, starts: &[From]) -> Result<(), ReplyError> {
    let Some((group, consumer)) = call.group.filter(|_| cx.space.is_followed()) else { return Ok(()) };
    let most = if call.count_max == 0 { usize::MAX } else { call.count_max };
    let mut bytes = 0;
    for (key, from) in call.keys.iter().zip(starts) {
        let told = Told { key, group, consumer };
        let Some(entry) = cx.space.peek(key) else { continue };
        let stream = entry.large::<Stream>();
        bytes += match from {
            From::Group => told.bytes(most.min(stream.entries.len() as usize), false),
            _ => {
                let pending = stream.group(group).and_then(|group| {
                    group.find_consumer(consumer).and_then(|id| group.consumer(id)).map(|one| one.pending_count())
                });
                told.bytes(most.min(pending.unwrap_or(0)), true)
            }
        };
    }
    reserve(cx, args, bytes)
}
