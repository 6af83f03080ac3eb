//! The effects of what consumers are given: who has which entry, how often and since when.
//!
//! Reading and claiming depend on the clock and on what is there, so both are told as claims by force. A claim needs its
//! entry, so an entry that is pending no more because it is gone is told as acknowledged.

use crate::base::number::Decimal;
use crate::commands::Cx;
use crate::store::stream::{Group, IdText, StreamId};

/// Ids in one effect.
const IDS_MAX: usize = 500;
/// Bytes of an id in an effect, at the most.
const ID_BYTES: usize = 48;
/// Bytes of the rest of an effect, names left out.
const EFFECT_BYTES: usize = 320;

/// A group, where it stands and how it is named.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    pub key: &'a [u8],
    pub group: &'a [u8],
    pub consumer: &'a [u8],
}

/// How far a group has read.
#[derive(Clone, Copy)]
pub struct Position {
    pub last_id: StreamId,
    pub entries_read: Option<u64>,
}

impl Position {
    pub fn of(group: &Group) -> Position {
        Position { last_id: group.last_id, entries_read: group.entries_read }
    }
}

impl Told<'_> {
    /// What telling of so many entries may take in the log. In the worst case each has an effect of its own.
    pub fn bytes(&self, entries: usize, apart: bool) -> usize {
        let effects = if apart { entries } else { entries / IDS_MAX } + 3;
        let names = self.key.len() + self.group.len() + self.consumer.len();
        entries * ID_BYTES + effects * (EFFECT_BYTES + names)
    }

    /// These entries, each with its number of deliveries, are the consumer's since then.
    pub fn claimed(&self, cx: &mut Cx<'_>, claims: &[(StreamId, u64)], time_ms: u64, last_id: StreamId) {
        let (time, last_id) = (Decimal::new(time_ms as i64), last_id.to_text());
        for alike in claims.chunk_by(|one, other| one.1 == other.1).flat_map(|alike| alike.chunks(IDS_MAX)) {
            let ids: Vec<IdText> = alike.iter().map(|(id, _)| id.to_text()).collect();
            let count = Decimal::new(alike[0].1 as i64);
            let mut effect = vec![&b"XCLAIM"[..], self.key, self.group, self.consumer, b"0"];
            effect.extend(ids.iter().map(IdText::as_bytes));
            effect.extend([&b"TIME"[..], time.as_bytes(), b"RETRYCOUNT", count.as_bytes()]);
            effect.extend([&b"FORCE"[..], b"JUSTID", b"LASTID", last_id.as_bytes()]);
            cx.space.effect.add(cx.space.db, &effect);
        }
    }

    /// These entries are nobody's.
    pub fn gone(&self, cx: &mut Cx<'_>, ids: &[StreamId]) {
        for ids in ids.chunks(IDS_MAX) {
            let ids: Vec<IdText> = ids.iter().map(|id| id.to_text()).collect();
            let mut effect = vec![&b"XACK"[..], self.key, self.group];
            effect.extend(ids.iter().map(IdText::as_bytes));
            cx.space.effect.add(cx.space.db, &effect);
        }
    }

    pub fn consumer_made(&self, cx: &mut Cx<'_>) {
        let effect = [&b"XGROUP"[..], b"CREATECONSUMER", self.key, self.group, self.consumer];
        cx.space.effect.add_keyed(cx.space.db, 2, &effect);
    }

    pub fn moved(&self, cx: &mut Cx<'_>, position: Position) {
        let read = Decimal::new(position.entries_read.map_or(-1, |read| read as i64));
        let last_id = position.last_id.to_text();
        let effect =
            [&b"XGROUP"[..], b"SETID", self.key, self.group, last_id.as_bytes(), b"ENTRIESREAD", read.as_bytes()];
        cx.space.effect.add_keyed(cx.space.db, 2, &effect);
    }
}
