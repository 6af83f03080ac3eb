//! What the handlers of sorted sets share: finding one, and replying with members and scores.

use crate::commands::context::Cx;
use crate::resp::{Protocol, Reply, ReplyError};
use crate::store::ValueType;
use crate::store::limits::{Limits, PackedLimits};
use crate::store::zset::ZsetRef;

/// The sorted set that a reading command is after.
#[inline]
pub fn read<'s>(cx: &'s mut Cx<'_>, key: &[u8]) -> Result<Option<ZsetRef<'s>>, ReplyError> {
    Ok(cx.space.read_collection(key, ValueType::Zset)?.map(ZsetRef::of))
}

/// How large a sorted set may be while it is packed.
#[inline]
pub fn limits(cx: &Cx<'_>) -> PackedLimits {
    Limits::of(cx.config()).zset
}

/// Announces members, perhaps with their scores: in pairs where the protocol allows them, else one after the other.
pub fn members(reply: &mut Reply<'_>, count: usize, with_scores: bool) {
    let flat = with_scores && reply.protocol == Protocol::Resp2;
    reply.array(if flat { 2 * count } else { count });
}

/// One of the members announced.
#[inline]
pub fn member(reply: &mut Reply<'_>, member: &[u8], score: f64, with_scores: bool) {
    if !with_scores {
        return reply.bulk(member);
    }
    if reply.protocol == Protocol::Resp3 {
        reply.array(2);
    }
    reply.bulk(member);
    reply.double(score);
}
