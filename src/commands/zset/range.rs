//! Ranges of ranks, scores and members: counted, told, stored, removed.

use std::ops::Range;

use super::combine::store;
use super::replies::{self, limits, read};
use crate::commands::arguments::{Arguments, integer};
use crate::commands::context::{Cx, Outcome};
use crate::engine::notify;
use crate::resp::ReplyError;
use crate::store::ValueType;
use crate::store::zset::{Gathering, LexRange, ScoreRange, ZsetMut, ZsetRef};

const NOT_SCORES: ReplyError = ReplyError::of("ERR min or max is not a float");
const NOT_MEMBERS: ReplyError = ReplyError::of("ERR min or max not valid string range item");
const LIMIT_OF_RANKS: ReplyError =
    ReplyError::of("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX");
const SCORES_OF_MEMBERS: ReplyError =
    ReplyError::of("ERR syntax error, WITHSCORES not supported in combination with BYLEX");

/// What the bounds of a range mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// A range as it was asked for.
enum Bounds<'a> {
    Ranks(i64, i64),
    Scores(ScoreRange),
    Members(LexRange<'a>),
}

impl<'a> Bounds<'a> {
    fn read(by: By, min: &'a [u8], max: &'a [u8]) -> Result<Bounds<'a>, ReplyError> {
        match by {
            By::Rank => Ok(Bounds::Ranks(integer(min)?, integer(max)?)),
            By::Score => ScoreRange::parse(min, max).map(Bounds::Scores).ok_or(NOT_SCORES),
            By::Lex => LexRange::parse(min, max).map(Bounds::Members).ok_or(NOT_MEMBERS),
        }
    }

    /// The ranks that the bounds enclose. Those of ranks count from the end if `reversed`.
    fn ranks(&self, zset: ZsetRef<'_>, reversed: bool) -> Range<u64> {
        match self {
            Bounds::Ranks(start, end) => {
                let ranks = clipped(*start, *end, zset.len());
                if reversed { zset.len() - ranks.end..zset.len() - ranks.start } else { ranks }
            }
            Bounds::Scores(range) => zset.ranks_of_scores(range),
            Bounds::Members(range) => zset.ranks_of_members(range),
        }
    }
}

/// The ranks from `start` to `end`, both included and counted from the end where negative, that there are.
fn clipped(start: i64, end: i64, len: u64) -> Range<u64> {
    let len = len as i64;
    let from_front = |rank: i64| if rank < 0 { rank.saturating_add(len) } else { rank };
    let (start, end) = (from_front(start).max(0), from_front(end).min(len - 1));
    if start > end { 0..0 } else { start as u64..end as u64 + 1 }
}

/// A call of ZRANGE or one of its kin.
struct Query<'a> {
    bounds: Bounds<'a>,
    reversed: bool,
    with_scores: bool,
    offset: i64,
    /// Negative is all.
    limit: i64,
}

/// What the command's name says of the range.
#[derive(Clone, Copy)]
struct Fixed {
    by: Option<By>,
    reversed: Option<bool>,
    /// WITHSCORES makes no sense.
    stores: bool,
}

impl<'a> Query<'a> {
    /// Reads the bounds at `first` and what follows them.
    fn read(args: &'a [&'a [u8]], first: usize, fixed: Fixed) -> Result<Query<'a>, ReplyError> {
        let (mut by, mut reversed) = (fixed.by, fixed.reversed);
        let (mut with_scores, mut offset, mut limit) = (false, 0, -1);
        let mut reader = Arguments::from(args, first + 2);
        while !reader.is_done() {
            if !fixed.stores && reader.word("WITHSCORES") {
                with_scores = true;
            } else if reader.option_of("LIMIT", 2) {
                (offset, limit) = (reader.integer(), reader.integer());
            } else if reversed.is_none() && reader.word("REV") {
                reversed = Some(true);
            } else if by.is_none() && reader.word("BYLEX") {
                by = Some(By::Lex);
            } else if by.is_none() && reader.word("BYSCORE") {
                by = Some(By::Score);
            } else {
                reader.fail(ReplyError::Syntax);
            }
        }
        reader.finish()?;
        let (by, reversed) = (by.unwrap_or(By::Rank), reversed.unwrap_or(false));
        if by == By::Rank {
            if limit != -1 {
                return Err(LIMIT_OF_RANKS);
            }
            offset = 0;
        }
        if with_scores && by == By::Lex {
            return Err(SCORES_OF_MEMBERS);
        }
        let (min, max) = match reversed && by != By::Rank {
            true => (args[first + 1], args[first]),
            false => (args[first], args[first + 1]),
        };
        Ok(Query { bounds: Bounds::read(by, min, max)?, reversed, with_scores, offset, limit })
    }

    /// The ranks that the call is about.
    fn ranks(&self, zset: ZsetRef<'_>) -> Range<u64> {
        let all = self.bounds.ranks(zset, self.reversed);
        let Ok(offset) = u64::try_from(self.offset) else { return 0..0 };
        let left = (all.end - all.start).saturating_sub(offset);
        let count = u64::try_from(self.limit).map_or(left, |limit| limit.min(left));
        if count == 0 {
            0..0
        } else if self.reversed {
            all.end - offset - count..all.end - offset
        } else {
            all.start + offset..all.start + offset + count
        }
    }
}

// ---- telling ------------------------------------------------------------------------------------------------------

/// ZRANGE key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]
pub fn zrange(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    tell(cx, args, Fixed { by: None, reversed: None, stores: false })
}

/// ZREVRANGE key start stop [WITHSCORES]
pub fn zrevrange(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    tell(cx, args, Fixed { by: Some(By::Rank), reversed: Some(true), stores: false })
}

/// ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]
pub fn zrangebyscore(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    tell(cx, args, Fixed { by: Some(By::Score), reversed: Some(false), stores: false })
}

/// ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]
pub fn zrevrangebyscore(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    tell(cx, args, Fixed { by: Some(By::Score), reversed: Some(true), stores: false })
}

/// ZRANGEBYLEX key min max [LIMIT offset count]
pub fn zrangebylex(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    tell(cx, args, Fixed { by: Some(By::Lex), reversed: Some(false), stores: false })
}

/// ZREVRANGEBYLEX key max min [LIMIT offset count]
pub fn zrevrangebylex(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    tell(cx, args, Fixed { by: Some(By::Lex), reversed: Some(true), stores: false })
}

fn tell(cx: &mut Cx<'_>, args: &[&[u8]], fixed: Fixed) -> Outcome {
    let query = Query::read(args, 2, fixed)?;
    let Some(zset) = cx.space.read_collection(args[1], ValueType::Zset)?.map(ZsetRef::of) else {
        cx.reply.array(0);
        return Ok(());
    };
    let ranks = query.ranks(zset);
    replies::members(&mut cx.reply, (ranks.end - ranks.start) as usize, query.with_scores);
    for (member, score) in zset.range(ranks, query.reversed) {
        replies::member(&mut cx.reply, &member, score, query.with_scores);
    }
    Ok(())
}

/// ZRANGESTORE destination source start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count]
pub fn zrangestore(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let query = Query::read(args, 3, Fixed { by: None, reversed: None, stores: true })?;
    let mut gathering = Gathering::default();
    if let Some(zset) = read(cx, args[2])? {
        for (member, score) in zset.range(query.ranks(zset), false) {
            gathering.add(score, &member, |_, score| score);
        }
    }
    store(cx, args, gathering.finish(), "zrangestore")
}

// ---- counting -----------------------------------------------------------------------------------------------------

/// ZCOUNT key min max
pub fn zcount(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    count(cx, args, By::Score)
}

/// ZLEXCOUNT key min max
pub fn zlexcount(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    count(cx, args, By::Lex)
}

fn count(cx: &mut Cx<'_>, args: &[&[u8]], by: By) -> Outcome {
    let bounds = Bounds::read(by, args[2], args[3])?;
    let ranks = read(cx, args[1])?.map_or(0..0, |zset| bounds.ranks(zset, false));
    cx.reply.integer((ranks.end - ranks.start) as i64);
    Ok(())
}

// ---- removing -----------------------------------------------------------------------------------------------------

/// ZREMRANGEBYRANK key start stop
pub fn zremrangebyrank(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    remove(cx, args, By::Rank, "zremrangebyrank")
}

/// ZREMRANGEBYSCORE key min max
pub fn zremrangebyscore(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    remove(cx, args, By::Score, "zremrangebyscore")
}

/// ZREMRANGEBYLEX key min max
pub fn zremrangebylex(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    remove(cx, args, By::Lex, "zremrangebylex")
}

fn remove(cx: &mut Cx<'_>, args: &[&[u8]], by: By, event: &'static str) -> Outcome {
    let bounds = Bounds::read(by, args[2], args[3])?;
    let (key, limits) = (args[1], limits(cx));
    let removed = cx.space.edit(key, ValueType::Zset, |entry| {
        let mut zset = ZsetMut::of(entry, limits);
        let ranks = bounds.ranks(zset.view(), false);
        let count = ranks.end - ranks.start;
        zset.remove_ranks(ranks);
        (count, count)
    })?;
    let removed = removed.unwrap_or(0);
    if removed > 0 {
        cx.space.notify_edit(notify::ZSET, event, key);
    }
    cx.reply.integer(removed as i64);
    Ok(())
}
