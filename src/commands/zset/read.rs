//! Commands that read members and scores: ZCARD, ZSCORE, ZMSCORE, ZRANK, ZREVRANK, ZRANDMEMBER, ZSCAN.

use std::collections::BTreeSet;

use super::replies::{self, read};
use crate::base::number::double_text;
use crate::base::random;
use crate::commands::arguments::{Arguments, negatable};
use crate::commands::context::{Cx, Outcome};
use crate::commands::scan_options::{Extra, ScanOptions, read_cursor, reply_page};
use crate::resp::{Reply, ReplyError};
use crate::store::ValueType;
use crate::store::zset::ZsetRef;

/// ZCARD key
pub fn zcard(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let len = read(cx, args[1])?.map_or(0, ZsetRef::len);
    cx.reply.integer(len as i64);
    Ok(())
}

fn score_or_null(reply: &mut Reply<'_>, score: Option<f64>) {
    match score {
        Some(score) => reply.double(score),
        None => reply.null(),
    }
}

/// ZSCORE key member
pub fn zscore(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let score = read(cx, args[1])?.and_then(|zset| zset.score(args[2]));
    score_or_null(&mut cx.reply, score);
    Ok(())
}

/// ZMSCORE key member [member ...]
pub fn zmscore(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let scores: Vec<Option<f64>> = match read(cx, args[1])? {
        Some(zset) => args[2..].iter().map(|member| zset.score(member)).collect(),
        None => vec![None; args.len() - 2],
    };
    cx.reply.array(scores.len());
    scores.into_iter().for_each(|score| score_or_null(&mut cx.reply, score));
    Ok(())
}

/// ZRANK key member [WITHSCORE]
pub fn zrank(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    rank(cx, args, false)
}

/// ZREVRANK key member [WITHSCORE]
pub fn zrevrank(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    rank(cx, args, true)
}

fn rank(cx: &mut Cx<'_>, args: &[&[u8]], reversed: bool) -> Outcome {
    if args.len() > 4 {
        return Err(ReplyError::wrong_arity(&cx.command.full_name));
    }
    let mut options = Arguments::from(args, 3);
    let with_score = options.word("WITHSCORE");
    options.finish()?;
    let found = read(cx, args[1])?.and_then(|zset| {
        let (rank, score) = zset.rank(args[2])?;
        Some((if reversed { zset.len() - 1 - rank } else { rank }, score))
    });
    match found {
        Some((rank, score)) if with_score => {
            cx.reply.array(2);
            cx.reply.integer(rank as i64);
            cx.reply.double(score);
        }
        Some((rank, _)) => cx.reply.integer(rank as i64),
        None if with_score => cx.reply.null_array(),
        None => cx.reply.null(),
    }
    Ok(())
}

// ---- random members -----------------------------------------------------------------------------------------------

/// ZRANDMEMBER key [count [WITHSCORES]]
pub fn zrandmember(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let Some(count) = args.get(2) else {
        return one_random_member(cx, args[1]);
    };
    let count = negatable(count)?;
    let mut options = Arguments::from(args, 3);
    let with_scores = options.word("WITHSCORES");
    options.finish()?;
    if with_scores && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(ReplyError::OutOfRange);
    }
    let reply_bytes_max = cx.reply_bytes_max();
    if count < 0 {
        cx.check_draws(count.unsigned_abs())?;
    }
    let zset = cx.space.read_collection(args[1], ValueType::Zset)?.map(ZsetRef::of);
    let Some(zset) = zset.filter(|_| count != 0) else {
        cx.reply.array(0);
        return Ok(());
    };
    let (len, wanted) = (zset.len(), count.unsigned_abs());
    let reply = &mut cx.reply;
    let tell = |reply: &mut Reply<'_>, rank: u64| {
        for (member, score) in zset.range(rank..rank + 1, false) {
            replies::member(reply, &member, score, with_scores);
        }
    };
    if count < 0 {
        replies::members(reply, usize::try_from(wanted).unwrap_or(usize::MAX), with_scores);
        for _ in 0..wanted {
            if reply.len() > reply_bytes_max {
                break;
            }
            tell(reply, random::below(len));
        }
        return Ok(());
    }
    let ranks = distinct_ranks(wanted.min(len), len);
    replies::members(reply, ranks.len(), with_scores);
    ranks.into_iter().for_each(|rank| tell(reply, rank));
    Ok(())
}

/// So many ranks below `len`, each set of them as likely as any other (Floyd's method).
fn distinct_ranks(count: u64, len: u64) -> Vec<u64> {
    if count == len {
        return (0..len).collect();
    }
    let mut drawn = BTreeSet::new();
    for last in len - count..len {
        let rank = random::below(last + 1);
        if !drawn.insert(rank) {
            drawn.insert(last);
        }
    }
    drawn.into_iter().collect()
}

fn one_random_member(cx: &mut Cx<'_>, key: &[u8]) -> Outcome {
    let Some(zset) = cx.space.read_collection(key, ValueType::Zset)?.map(ZsetRef::of) else {
        cx.reply.null();
        return Ok(());
    };
    let rank = random::below(zset.len());
    for (member, _) in zset.range(rank..rank + 1, false) {
        cx.reply.bulk(&member);
    }
    Ok(())
}

// ---- ZSCAN --------------------------------------------------------------------------------------------------------

/// ZSCAN key cursor [MATCH pattern] [COUNT count]
pub fn zscan(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let cursor = read_cursor(args[2])?;
    let zset = cx.space.read_collection(args[1], ValueType::Zset)?.map(ZsetRef::of);
    let (mut next, mut found, mut items) = (0, 0, Vec::new());
    if let Some(zset) = zset {
        let options = ScanOptions::read(&args[3..], Extra::Nothing)?;
        let mut bulks = Reply::new(&mut items, cx.reply.protocol);
        next = zset.scan(cursor, options.count, |member, score| {
            if options.wants(member) {
                found += 1;
                bulks.bulk(member);
                bulks.bulk_text(&double_text(score));
            }
        });
    }
    reply_page(&mut cx.reply, next, 2 * found, &items);
    Ok(())
}
