//! Unions, intersections and differences of sorted sets and sets, told or stored.

use super::replies::{self, limits};
use crate::base::double::parse_double;
use crate::commands::account::reserve;
use crate::commands::arguments::{Arguments, integer};
use crate::commands::context::{Cx, Outcome};
use crate::commands::creation::{creation_bytes, tell_made};
use crate::engine::notify;
use crate::resp::ReplyError;
use crate::store::listpack::Element;
use crate::store::reclaim;
use crate::store::set::SetRef;
use crate::store::zset::{Gathering, Sorted, ZsetRef};
use crate::store::{EntryRef, ValueType};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// What becomes of a member's scores.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, one: f64, other: f64) -> f64 {
        match self {
            // Infinities of both signs make nothing.
            Aggregate::Sum => number_or_zero(one + other),
            // What is no better does not count: other zeros, and infinity weighed by zero.
            Aggregate::Min if other < one => other,
            Aggregate::Max if other > one => other,
            Aggregate::Min | Aggregate::Max => one,
        }
    }
}

fn number_or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// A call of one of these commands.
struct Combination<'a> {
    operation: Operation,
    keys: &'a [&'a [u8]],
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
    /// Members to count at most; 0 is no limit.
    limit: i64,
}

/// What follows the keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Tell,
    Store,
    Count,
}

impl<'a> Combination<'a> {
    /// Reads numkeys key [key ...] and options from index `first` on. The keys are looked at before the options are.
    fn read(
        cx: &mut Cx<'_>,
        args: &'a [&'a [u8]],
        first: usize,
        operation: Operation,
        purpose: Purpose,
    ) -> Result<Combination<'a>, ReplyError> {
        let count = integer(args[first])?;
        if count < 1 {
            let name = &cx.command.full_name;
            return Err(ReplyError::Text(format!("ERR at least 1 input key is needed for '{name}' command").into()));
        }
        let rest = &args[first + 1..];
        let keys = usize::try_from(count).ok().and_then(|count| rest.get(..count)).ok_or(ReplyError::Syntax)?;
        for key in keys {
            if let Some(entry) = cx.space.read(key) {
                Source::of(entry)?;
            }
        }
        let mut this = Combination {
            operation,
            keys,
            weights: vec![1.0; keys.len()],
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: 0,
        };
        let mut reader = Arguments::from(rest, keys.len());
        while !reader.is_done() {
            this.read_option(&mut reader, purpose);
        }
        reader.finish().map(|()| this)
    }

    fn read_option(&mut self, reader: &mut Arguments<'_>, purpose: Purpose) {
        let weighs = self.operation != Operation::Difference && purpose != Purpose::Count;
        if weighs && reader.option_of("WEIGHTS", self.keys.len()) {
            for weight in &mut self.weights {
                *weight = parse_double(reader.next_bytes()).unwrap_or_else(|| {
                    reader.fail(ReplyError::of("ERR weight value is not a float"));
                    0.0
                });
            }
        } else if weighs && reader.option("AGGREGATE") {
            self.aggregate = if reader.word("SUM") {
                Aggregate::Sum
            } else if reader.word("MIN") {
                Aggregate::Min
            } else if reader.word("MAX") {
                Aggregate::Max
            } else {
                return reader.fail(ReplyError::Syntax);
            };
        } else if purpose == Purpose::Tell && reader.word("WITHSCORES") {
            self.with_scores = true;
        } else if purpose == Purpose::Count && reader.option("LIMIT") {
            let error = ReplyError::of("ERR LIMIT can't be negative");
            self.limit = reader.integer_or(error.clone());
            if self.limit < 0 {
                reader.fail(error);
            }
        } else {
            reader.fail(ReplyError::Syntax);
        }
    }

    /// The sources with their weights, in the order in which they are combined.
    fn sources<'s>(&self, cx: &'s Cx<'_>) -> Result<Vec<(Source<'s>, f64)>, ReplyError> {
        let source = |key: &&[u8]| cx.space.at_hand(key).map_or(Ok(Source::Nothing), Source::of);
        let sources = self.keys.iter().map(source).collect::<Result<Vec<_>, _>>()?;
        let mut weighted: Vec<_> = sources.into_iter().zip(self.weights.iter().copied()).collect();
        if self.operation != Operation::Difference {
            weighted.sort_by_key(|(source, _)| source.len());
        }
        Ok(weighted)
    }

    fn run(&self, cx: &Cx<'_>) -> Result<Sorted, ReplyError> {
        let sources = self.sources(cx)?;
        let mut gathering = Gathering::default();
        match self.operation {
            Operation::Union => {
                for (source, weight) in &sources {
                    source.visit(|member, score| {
                        let score = number_or_zero(weight * score);
                        gathering.add(score, member, |one, other| self.aggregate.of(one, other));
                        true
                    });
                }
            }
            Operation::Intersection => self.intersect(&sources, |member, score| {
                gathering.add(score, member, |_, score| score);
                true
            }),
            Operation::Difference => {
                let (first, others) = (&sources[0], &sources[1..]);
                if !self.keys[1..].contains(&self.keys[0]) {
                    first.0.visit(|member, score| {
                        if !others.iter().any(|(other, _)| other.score(member).is_some()) {
                            gathering.add(score, member, |_, score| score);
                        }
                        true
                    });
                }
            }
        }
        Ok(gathering.finish())
    }

    /// Visits the members that are in all sources, with their scores, as long as `visit` wants more.
    fn intersect(&self, sources: &[(Source<'_>, f64)], mut visit: impl FnMut(&[u8], f64) -> bool) {
        let Some(((first, weight), others)) = sources.split_first() else { return };
        first.visit(|member, score| {
            let mut sum = number_or_zero(weight * score);
            for (other, weight) in others {
                let Some(score) = other.score(member) else { return true };
                sum = self.aggregate.of(sum, weight * score);
            }
            visit(member, sum)
        });
    }
}

/// Something that may be combined.
enum Source<'a> {
    Nothing,
    Set(SetRef<'a>),
    Zset(ZsetRef<'a>),
}

impl<'a> Source<'a> {
    fn of(entry: EntryRef<'a>) -> Result<Source<'a>, ReplyError> {
        match entry.value_type() {
            ValueType::Set => Ok(Source::Set(SetRef::of(entry))),
            ValueType::Zset => Ok(Source::Zset(ZsetRef::of(entry))),
            _ => Err(ReplyError::WrongType),
        }
    }

    fn len(&self) -> u64 {
        match self {
            Source::Nothing => 0,
            Source::Set(set) => set.len() as u64,
            Source::Zset(zset) => zset.len(),
        }
    }

    /// A member's score; that of a set's member is one.
    fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            Source::Nothing => None,
            Source::Set(set) => set.contains(Element::of(member)).then_some(1.0),
            Source::Zset(zset) => zset.score(member),
        }
    }

    /// Visits members and scores as long as `visit` wants more.
    fn visit(&self, mut visit: impl FnMut(&[u8], f64) -> bool) {
        match self {
            Source::Nothing => {}
            Source::Set(set) => {
                set.iter().all(|member| visit(&member.text(), 1.0));
            }
            Source::Zset(zset) => {
                zset.iter().all(|(member, score)| visit(&member, score));
            }
        }
    }
}

// ---- telling ------------------------------------------------------------------------------------------------------

/// ZUNION numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM | MIN | MAX] [WITHSCORES]
pub fn zunion(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    tell(cx, args, Operation::Union)
}

/// ZINTER, with the arguments of ZUNION.
pub fn zinter(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    tell(cx, args, Operation::Intersection)
}

/// ZDIFF numkeys key [key ...] [WITHSCORES]
pub fn zdiff(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    tell(cx, args, Operation::Difference)
}

fn tell(cx: &mut Cx<'_>, args: &[&[u8]], operation: Operation) -> Outcome {
    let combination = Combination::read(cx, args, 1, operation, Purpose::Tell)?;
    let result = combination.run(cx)?;
    replies::members(&mut cx.reply, result.len(), combination.with_scores);
    for (score, member) in result.iter() {
        replies::member(&mut cx.reply, member, score, combination.with_scores);
    }
    Ok(())
}

/// ZINTERCARD numkeys key [key ...] [LIMIT limit]
pub fn zintercard(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let combination = Combination::read(cx, args, 1, Operation::Intersection, Purpose::Count)?;
    let (mut count, limit) = (0, combination.limit);
    combination.intersect(&combination.sources(cx)?, |_, _| {
        count += 1;
        count != limit
    });
    cx.reply.integer(count);
    Ok(())
}

// ---- storing ------------------------------------------------------------------------------------------------------

/// ZUNIONSTORE destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM | MIN | MAX]
pub fn zunionstore(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    combine_and_store(cx, args, Operation::Union, "zunionstore")
}

/// ZINTERSTORE, with the arguments of ZUNIONSTORE.
pub fn zinterstore(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    combine_and_store(cx, args, Operation::Intersection, "zinterstore")
}

/// ZDIFFSTORE destination numkeys key [key ...]
pub fn zdiffstore(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    combine_and_store(cx, args, Operation::Difference, "zdiffstore")
}

fn combine_and_store(cx: &mut Cx<'_>, args: &[&[u8]], operation: Operation, event: &'static str) -> Outcome {
    let result = Combination::read(cx, args, 2, operation, Purpose::Store)?.run(cx)?;
    store(cx, args, result, event)
}

/// Puts a result under the destination, the first argument, whatever that held; an empty one leaves nothing there.
pub fn store(cx: &mut Cx<'_>, args: &[&[u8]], result: Sorted, event: &'static str) -> Outcome {
    let (key, db, len) = (args[1], cx.space.db, result.len());
    if result.is_empty() {
        let removed = cx.space.remove(key);
        if removed.is_some() {
            cx.space.notify(notify::GENERIC, "del", key);
            cx.space.effect.set(db, &[b"DEL", key]);
        }
        reclaim::discard(removed);
    } else {
        let entry = result.into_detached(limits(cx)).with_key(key, None, cx.space.access_now);
        reserve(cx, args, creation_bytes(entry.view(), key))?;
        reclaim::discard(cx.space.put(entry));
        cx.space.notify(notify::ZSET, event, key);
        tell_made(cx, db, key);
    }
    cx.reply.integer(len as i64);
    Ok(())
}
