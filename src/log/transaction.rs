//! What is appended to the journal: a change of one slot, or the changes of one transaction.

use super::record::{self, Effect, Header, Kind, Record};
use crate::base::key_slot::SlotId;

/// One effect on one slot.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub slot: SlotId,
    pub database: u16,
    /// One above that of the slot's change before.
    pub sequence: u64,
    pub time_ms: u64,
    /// The effect: a command with its arguments.
    pub arguments: &'a [&'a [u8]],
}

impl Change<'_> {
    #[inline]
    pub(super) fn header(&self, following: u32) -> Header {
        Header {
            kind: Kind::Effect,
            slot: Some(self.slot),
            database: self.database,
            sequence: self.sequence,
            time_ms: self.time_ms,
            following,
        }
    }
}

/// The changes of one transaction, in the order of running, with their effects encoded. Meant to be used again and again.
#[derive(Debug, Default)]
pub struct Parts {
    /// Each part's header, and where its effect ends in `effects`. The next one begins there.
    parts: Vec<(Header, usize)>,
    effects: Vec<u8>,
    record_bytes: usize,
}

impl Parts {
    pub fn push(&mut self, change: &Change<'_>) {
        let start = self.effects.len();
        let effect_bytes = record::effect_bytes(change.arguments);
        self.effects.resize(start + effect_bytes, 0);
        record::write_effect(&mut self.effects[start..], change.arguments);
        self.parts.push((change.header(0), self.effects.len()));
        self.record_bytes += record::record_bytes(effect_bytes);
    }

    pub fn len(&self) -> usize {
        self.parts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Gives all of them this time.
    pub fn set_time(&mut self, time_ms: u64) {
        self.parts.iter_mut().for_each(|(header, _)| header.time_ms = time_ms);
    }

    /// Each of them as it will be read.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let mut start = 0;
        self.parts.iter().map(move |(header, end)| {
            let effect = Effect(&self.effects[start..*end]);
            start = *end;
            Record { header: *header, effect }
        })
    }

    /// Bytes that they take in the journal.
    pub fn bytes(&self) -> usize {
        self.record_bytes
    }

    pub fn clear(&mut self) {
        self.parts.clear();
        self.effects.clear();
        self.record_bytes = 0;
    }

    /// Writes all of them as records, `bytes()` in all.
    pub(super) fn write(&self, into: &mut [u8], epoch: u64) {
        let (mut at, mut start) = (0, 0);
        for (index, (header, end)) in self.parts.iter().enumerate() {
            let effect = Effect(&self.effects[start..*end]);
            let header = Header { following: (self.parts.len() - 1 - index) as u32, ..*header };
            record::write_encoded(&mut into[at..], header, effect, epoch);
            at += record::record_bytes(effect.bytes().len());
            start = *end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Reading;
    use super::*;

    #[test]
    fn parts_are_written_one_behind_the_other() {
        let mut parts = Parts::default();
        for _ in 0..2 {
            parts.clear();
            for number in 0..3u16 {
                let slot = SlotId::new(number * 7).unwrap();
                let value = vec![b'v'; usize::from(number) * 5];
                parts.push(&Change { slot, database: 1, sequence: 9, time_ms: 4, arguments: &[b"SET", b"k", &value] });
            }
        }
        let mut bytes = vec![0xee; parts.bytes()];
        parts.write(&mut bytes, 5);
        let mut rest = &bytes[..];
        for number in 0..3u16 {
            let Reading::Whole(record, total) = record::read(rest, 5) else { panic!("part {number}") };
            assert_eq!(record.header.following, u32::from(2 - number));
            assert_eq!(record.header.slot, SlotId::new(number * 7));
            assert_eq!(record.effect.arguments().nth(2).unwrap().len(), usize::from(number) * 5);
            rest = &rest[total..];
        }
        assert!(rest.is_empty() && parts.len() == 3);
    }
}
