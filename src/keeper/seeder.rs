//! Turning the log on while the server serves: each slot is written into the new log as it is, before anything changes it,
//! by whoever comes to it first.

use std::sync::Arc;

use super::live_snapshot::Seen;
use crate::base::clock;
use crate::base::key_slot::SlotId;
use crate::commands::creation::create;
use crate::engine::Engine;
use crate::engine::effect::EffectSink;
use crate::log::transaction::Change;
use crate::store::SlotGuard;
use crate::store::keyspace::SlotObserver;
use crate::store::table::CURSOR_END;

/// Writes each slot as it is into a new log, before anything changes it.
pub struct Seeder {
    engine: Arc<Engine>,
    sink: Arc<dyn EffectSink>,
    seen: Seen,
}

impl Seeder {
    pub fn new(engine: &Arc<Engine>, sink: &Arc<dyn EffectSink>) -> Seeder {
        Seeder { engine: engine.clone(), sink: sink.clone(), seen: Seen::default() }
    }
}

impl SlotObserver for Seeder {
    fn see(&self, id: SlotId, slot: &mut SlotGuard<'_>) {
        if !self.seen.is_first(id) {
            return;
        }
        let (lane, now_ms) = (self.engine.background_lane(), clock::unix_ms());
        let mut commands = Vec::new();
        for (index, db) in slot.dbs() {
            let mut cursor = 0;
            while !db.is_empty() && cursor < CURSOR_END {
                cursor = db.table().scan(cursor as u32, self.engine.keyspace.hasher(), |entry| {
                    create(entry, entry.key(), |command| {
                        let command: Vec<Vec<u8>> = command.iter().map(|argument| argument.to_vec()).collect();
                        commands.push((index, command));
                    });
                });
            }
        }
        for (index, command) in commands {
            let command: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
            let sequence = slot.next_sequence();
            let change = Change { slot: id, database: index, sequence, time_ms: now_ms, arguments: &command };
            // A log that stops is not taken on: whoever began it sees that.
            let _ = self.sink.append(lane, &change);
        }
    }
}
