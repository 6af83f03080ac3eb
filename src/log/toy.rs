//! A small command set for tests of the log: what the rooms above teach it, in a few lines.
//!
//! `SET key value`, `DEL key`, `APPEND key value`, `RENAME from to`, `FLUSH`.

use std::collections::BTreeMap;

use super::fold::{Census, Interpreter, Meaning, Rebuilder};
use super::record::{self, Effect, Header, Kind, Reading, Record};
use crate::base::key_slot::SlotId;
use crate::base::random::Rng;

/// What a slot holds.
pub type State = BTreeMap<(u16, Vec<u8>), Vec<u8>>;

pub struct Toy;

impl Interpreter for Toy {
    fn meaning<'a>(&self, effect: Effect<'a>) -> Meaning<'a> {
        let mut arguments = effect.arguments();
        let (name, key) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
        match name {
            b"SET" => Meaning::Replaces(key),
            b"DEL" => Meaning::Removes(key),
            b"APPEND" => Meaning::Changes(key),
            _ => Meaning::Whole,
        }
    }
}

impl Rebuilder for Toy {
    fn rebuild(
        &mut self,
        _slot: SlotId,
        records: &mut dyn Iterator<Item = Record<'_>>,
        emit: &mut dyn FnMut(u16, &[&[u8]]),
    ) -> Result<(), String> {
        let mut state = State::new();
        for record in records {
            if record.effect.arguments().next() == Some(b"BROKEN") {
                return Err("an unknown command".to_owned());
            }
            apply(&mut state, record);
        }
        state.iter().for_each(|((database, key), value)| emit(*database, &[b"SET", key, value]));
        Ok(())
    }
}

impl Census for Toy {
    fn live_keys(&self, _slot: SlotId) -> Option<u64> {
        None
    }
}

pub fn apply(state: &mut State, record: Record<'_>) {
    let arguments: Vec<&[u8]> = record.effect.arguments().collect();
    let key = |index: usize| (record.header.database, arguments[index].to_vec());
    match arguments[0] {
        b"SET" => {
            state.insert(key(1), arguments[2].to_vec());
        }
        b"DEL" => {
            state.remove(&key(1));
        }
        b"APPEND" => state.entry(key(1)).or_default().extend_from_slice(arguments[2]),
        b"RENAME" => {
            if let Some(value) = state.remove(&key(1)) {
                state.insert(key(2), value);
            }
        }
        b"FLUSH" => state.retain(|(database, _), _| *database != record.header.database),
        other => panic!("{:?}", String::from_utf8_lossy(other)),
    }
}

/// A random command on few keys; one in `whole_share` may read any key, none if that is 0.
pub fn command(rng: &mut Rng, whole_share: u64) -> Vec<Vec<u8>> {
    let key = |rng: &mut Rng| format!("k{}", rng.below(6)).into_bytes();
    let value = |rng: &mut Rng| format!("v{}", rng.below(1000)).into_bytes();
    if whole_share > 0 && rng.below(whole_share) == 0 {
        return match rng.below(3) {
            0 => vec![b"FLUSH".to_vec()],
            _ => vec![b"RENAME".to_vec(), key(rng), key(rng)],
        };
    }
    match rng.below(5) {
        0 => vec![b"DEL".to_vec(), key(rng)],
        1 | 2 => vec![b"APPEND".to_vec(), key(rng), value(rng)],
        _ => vec![b"SET".to_vec(), key(rng), value(rng)],
    }
}

pub fn encoded(header: Header, arguments: &[&[u8]], epoch: u64) -> Vec<u8> {
    let effect_bytes = record::effect_bytes(arguments);
    let mut bytes = vec![0; record::record_bytes(effect_bytes)];
    record::write(&mut bytes, header, arguments, effect_bytes, epoch);
    bytes
}

/// A header of an effect.
pub fn header(slot: SlotId, database: u16, sequence: u64, time_ms: u64) -> Header {
    Header { kind: Kind::Effect, slot: Some(slot), database, sequence, time_ms, following: 0 }
}

/// The records in `bytes`, each checked.
pub fn records(mut bytes: &[u8]) -> Vec<Record<'_>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let Reading::Whole(record, total) = record::read(bytes, 0) else { panic!("{:?}", record::read(bytes, 0)) };
        records.push(record);
        bytes = &bytes[total..];
    }
    records
}
