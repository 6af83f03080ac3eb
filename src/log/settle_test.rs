//! The whole log against a disk that crashes: seeded histories of appends, syncs, settling, compaction and faults over
//! several lives of a server, each ended by a loss of power or a kill, often in the middle of settling.
//!
//! After each end must hold: slot log and journal together give every slot a state that it had, and none older than what
//! was durable; nothing looks like damage.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::fold::Census;
use super::journal::{Journal, Options};
use super::record;
use super::scan::{Expected, Purpose, Scan, scan};
use super::settle::{Pacer, Pass, Settler, Unpaced};
use super::simulated_disk::{Operation, SimulatedDisk};
use super::sync::Policy;
use super::tables::Tables;
use super::toy::{self, State, Toy};
use super::transaction::Change;
use crate::base::hash::KeyHasher;
use crate::base::key_slot::SlotId;
use crate::base::random::Rng;

const LANES: usize = 2;
const FILE_UNITS: u32 = 66;
const FILE_BYTES: usize = FILE_UNITS as usize * 4096;
const SLOTS: [u16; 4] = [0, 77, 8000, 16_383];

/// The states that a slot had, one for each sequence number, and how many of them were durable for certain.
#[derive(Default)]
struct Past {
    states: Vec<State>,
    durable: usize,
}

type Model = BTreeMap<SlotId, Past>;

struct Alive;

impl Census for Alive {
    fn live_keys(&self, slot: SlotId) -> Option<u64> {
        (slot.number() > 100).then_some(5)
    }
}

/// Takes a crashed disk at some pause.
struct Crash<'a> {
    disk: &'a SimulatedDisk,
    rng: Rng,
    one_in: u64,
    found: Option<SimulatedDisk>,
}

impl Pacer for Crash<'_> {
    fn pause(&mut self) {
        if self.found.is_none() && self.rng.below(self.one_in) == 0 {
            self.found = Some(self.disk.crash(self.rng.next_u64()));
        }
    }
}

fn settle(journal: &Journal, tables: &Tables, settler: &mut Settler, rng: &mut Rng, pacer: &mut dyn Pacer) {
    let Ok(segments) = journal.cut() else { return };
    let keep_from_ms = if rng.below(3) == 0 { 500 } else { u64::MAX };
    let pass = Pass { segments: &segments, compact_all: rng.below(3) == 0, keep_from_ms };
    if let Ok(outcome) = settler.run(&pass, journal, pacer) {
        assert_eq!(outcome.problems, []);
        assert_eq!(outcome.settled.len(), segments.len());
        journal.release(&outcome.settled);
        tables.reclaim(0, &mut || pacer.pause());
    }
}

/// Reads what there is, and forgets of the model what was lost, which must not have been durable.
fn recover(disk: &SimulatedDisk, model: &mut Model, context: &str) -> (Arc<Tables>, Scan) {
    let opened = Tables::open_with(Arc::new(disk.clone()), FILE_UNITS).unwrap();
    let version = opened.tables.current();
    let expected = Expected { heads: &opened.journal.heads, last_number: opened.journal.last_number };
    let found = scan(disk, expected, &|slot| version.slot(slot).sequence, Purpose::Open).unwrap();
    assert_eq!(found.damage, [], "{context}");
    let mut buffer = Vec::new();
    for (slot, past) in model {
        let mut state = State::new();
        for stored in version.read(*slot, &mut buffer).unwrap() {
            toy::apply(&mut state, stored.unwrap().record);
        }
        let mut sequence = version.slot(*slot).sequence;
        for record in found.index.records(*slot) {
            sequence += 1;
            assert_eq!(record.header.sequence, sequence, "{context}");
            toy::apply(&mut state, record);
        }
        let sequence = sequence as usize;
        assert!(
            sequence >= past.durable,
            "{context}: slot {slot:?} lost {} of {}",
            past.durable - sequence,
            past.durable
        );
        let nothing = State::new();
        let expected = if sequence == 0 { &nothing } else { &past.states[sequence - 1] };
        assert_eq!(state, *expected, "{context}: slot {slot:?} at {sequence}");
        past.states.truncate(sequence);
        past.durable = sequence;
    }
    (Arc::new(opened.tables), found)
}

/// One life of a server, and the disk that it leaves.
fn live(disk: &SimulatedDisk, rng: &mut Rng, model: &mut Model, context: &str) -> SimulatedDisk {
    let (tables, found) = recover(disk, model, context);
    let options = Options {
        segment_bytes: 8 << 10,
        fill_ahead_bytes: 1024,
        policy: [Policy::EverySecond, Policy::No][rng.below(2) as usize],
        spares: rng.below(3) as usize,
        first_number: found.last_number + 1,
        recovered: found.segments,
        ..Options::new(LANES)
    };
    let hasher = KeyHasher::from_seed(1, 1);
    let mut settler = Settler::new(tables.clone(), Arc::new(Toy), Box::new(Toy), Arc::new(Alive), hasher);
    let journal = Journal::create(Arc::new(disk.clone()), options).unwrap();
    if found.needs_settling {
        settle(&journal, &tables, &mut settler, rng, &mut Unpaced);
    }
    let whole_share = rng.below(2) * 50;
    for _ in 0..5 + rng.below(15) {
        for _ in 0..rng.below(40) {
            let slot = SlotId::new(SLOTS[rng.below(SLOTS.len() as u64) as usize]).unwrap();
            let past = model.entry(slot).or_default();
            let command = toy::command(rng, whole_share);
            let arguments: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
            let sequence = past.states.len() as u64 + 1;
            let change = Change { slot, database: 0, sequence, time_ms: sequence, arguments: &arguments };
            let lane = rng.below(LANES as u64) as usize;
            if journal.reserve(lane, 4096).is_err() || journal.append(lane, &change).is_err() {
                return disk.killed();
            }
            let encoded = toy::encoded(toy::header(slot, 0, sequence, sequence), &arguments, 0);
            let mut state = past.states.last().cloned().unwrap_or_default();
            toy::apply(&mut state, record::read_trusted(&encoded).0);
            past.states.push(state);
        }
        if rng.below(4) == 0 && journal.wait(journal.ticket(), Duration::from_secs(10)) == Ok(true) {
            model.values_mut().for_each(|past| past.durable = past.states.len());
        }
        if rng.below(12) == 0 {
            let operation = [Operation::Write, Operation::Sync, Operation::Rename][rng.below(3) as usize];
            disk.fail(operation, rng.below(4), 1, [libc::EIO, libc::ENOSPC][rng.below(2) as usize]);
        }
        if rng.below(2) == 0 {
            let mut pacer = Crash { disk, rng: Rng::from_seed(rng.next_u64()), one_in: 100, found: None };
            settle(&journal, &tables, &mut settler, rng, &mut pacer);
            if let Some(crashed) = pacer.found {
                return crashed;
            }
        }
        disk.heal();
    }
    if rng.below(3) == 0 { disk.killed() } else { disk.crash(rng.next_u64()) }
}

#[test]
fn several_lives_lose_nothing_that_was_durable() {
    let mut settled = 0;
    for seed in 0..25 {
        let mut rng = Rng::from_seed(seed);
        let mut disk = SimulatedDisk::new(seed, FILE_BYTES);
        let mut model = Model::new();
        for life in 0..6 {
            disk = live(&disk, &mut rng, &mut model, &format!("seed {seed}, life {life}"));
        }
        let (tables, _) = recover(&disk, &mut model, &format!("seed {seed}, the end"));
        settled += tables.current().slots().map(|(_, log)| log.sequence).sum::<u64>();
    }
    assert!(settled > 1000, "{settled}");
}
