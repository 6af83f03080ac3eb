//! Handlers about what consumers have pending.

use super::parse;
use super::write::write_id;
use crate::commands::arguments::integer;
use crate::commands::{Cx, Outcome};
use crate::resp::{Reply, ReplyError};
use crate::store::ValueType;
use crate::store::stream::{Entries, Group, Stream, StreamId};

/// XACK key group id [id ...]
pub fn xack(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let (key, name) = (args[1], args[2]);
    let entry = cx.space.collection(key, ValueType::Stream)?;
    if entry.and_then(|entry| entry.large::<Stream>().group(name)).is_none() {
        cx.reply.integer(0);
        return Ok(());
    }
    // All are read before the first is acknowledged: an error leaves everything as it was.
    let ids = parse::ids(&args[3..])?;
    let count = cx.space.edit(key, ValueType::Stream, |entry| {
        let acknowledge =
            |_: &Entries, group: &mut Group| ids.iter().filter(|id| group.remove_pending(**id)).count() as u64;
        let count = entry.large_mut::<Stream>().with_group(name, acknowledge).unwrap_or(0);
        (count, count)
    })?;
    cx.reply.integer(count.unwrap_or(0) as i64);
    Ok(())
}

/// Which pending entries XPENDING lists.
struct Wanted<'a> {
    min_idle_ms: i64,
    start: StreamId,
    end: StreamId,
    count_max: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Wanted<'a> {
    /// `None` where only a summary is asked for.
    fn read(args: &'a [&'a [u8]]) -> Result<Option<Wanted<'a>>, ReplyError> {
        let (min_idle_ms, rest) = match &args[3..] {
            [] => return Ok(None),
            [_, _, _, ..] if args.len() > 9 => return Err(ReplyError::Syntax),
            [word, idle, rest @ ..] if args.len() >= 6 && word.eq_ignore_ascii_case(b"IDLE") => (integer(idle)?, rest),
            rest => (0, rest),
        };
        let [start, end, count, rest @ ..] = rest else { return Err(ReplyError::Syntax) };
        let count_max = parse::count(count)?;
        let (start, end) = (parse::start(start)?, parse::end(end)?);
        Ok(Some(Wanted { min_idle_ms, start, end, count_max, consumer: rest.first().copied() }))
    }

    fn write(&self, reply: &mut Reply<'_>, group: &Group, now_ms: u64) {
        let begin = reply.len();
        let consumer = self.consumer.map(|name| group.find_consumer(name));
        let mut count = 0;
        let mut write = |(id, pending): (StreamId, crate::store::stream::Pending)| {
            let idle_ms = (now_ms as i64).wrapping_sub(pending.delivery_time_ms as i64);
            if self.min_idle_ms != 0 && idle_ms < self.min_idle_ms {
                return true;
            }
            reply.array(4);
            write_id(reply, id);
            reply.bulk(group.name_of(pending.consumer));
            reply.integer(idle_ms.max(0));
            reply.integer(pending.delivery_count as i64);
            count += 1;
            count < self.count_max
        };
        if self.count_max > 0 && self.start <= self.end {
            match consumer {
                None => {
                    group.pending_in(self.start..=self.end).all(&mut write);
                }
                Some(Some(consumer)) => {
                    group.pending_of(consumer, self.start..=self.end).all(&mut write);
                }
                Some(None) => {}
            }
        }
        reply.array_from(begin, count);
    }
}

/// XPENDING key group [[IDLE min-idle-time] start end count [consumer]]
pub fn xpending(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let wanted = Wanted::read(args)?;
    let (key, name, now_ms) = (args[1], args[2], cx.space.now_ms);
    let entry = cx.space.read_collection(key, ValueType::Stream)?;
    let group = entry.and_then(|entry| entry.large::<Stream>().group(name));
    let group = group.ok_or_else(|| parse::no_group(key, name, "'"))?;
    match wanted {
        Some(wanted) => wanted.write(&mut cx.reply, group, now_ms),
        None => write_summary(&mut cx.reply, group),
    }
    Ok(())
}

/// How many entries are pending, the first and the last of them, and how many each consumer has.
fn write_summary(reply: &mut Reply<'_>, group: &Group) {
    reply.array(4);
    reply.integer(group.pending_count() as i64);
    let mut pending = group.pending_in(..).map(|(id, _)| id);
    let Some(first) = pending.next() else {
        reply.null();
        reply.null();
        return reply.null_array();
    };
    write_id(reply, first);
    write_id(reply, pending.next_back().unwrap_or(first));
    let begin = reply.len();
    let mut count = 0;
    for consumer in group.consumers().filter(|consumer| consumer.pending_count() > 0) {
        reply.array(2);
        reply.bulk(&consumer.name);
        reply.bulk_integer(consumer.pending_count() as i64);
        count += 1;
    }
    reply.array_from(begin, count);
}
