//! The journal against a disk that crashes: seeded histories of appends, transactions, cuts, syncs, releases and faults
//! over several lives of a server, each ended by a loss of power or a kill.
//!
//! After each crash must hold: of every slot a gapless prefix is there, and it reaches as far as was durable; of a
//! transaction all parts are there or none; no crash looks like damage.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::health::{State, Stopped};
use super::journal::{Heads, Journal, Options};
use super::scan::{Expected, Purpose, Scan, scan};
use super::segment::{HEADER_BYTES, Segment};
use super::simulated_disk::{Operation, SimulatedDisk};
use super::storage::Storage;
use super::sync::Policy;
use super::transaction::{Change, Parts};
use crate::base::key_slot::SlotId;
use crate::base::random::Rng;

const SLOTS: usize = 6;
const LANES: usize = 3;
const SEGMENT_BYTES: usize = 8 << 10;

/// A transaction: its slots and the sequence numbers of its parts.
type Transaction = Vec<(usize, u64)>;

/// What the server and its clients know.
#[derive(Default)]
struct Known {
    /// The last sequence number that each slot gave out, under the slot's lock.
    slots: [Mutex<u64>; SLOTS],
    /// The last one of each slot that is durable, as far as anybody was told.
    durable: Mutex<[u64; SLOTS]>,
    transactions: Mutex<Vec<Transaction>>,
    manifest: Mutex<Manifest>,
}

/// What a manifest would hold.
#[derive(Clone, Default)]
struct Manifest {
    heads: Vec<u64>,
    last_number: u64,
    settled: BTreeMap<usize, u64>,
}

fn slot(number: usize) -> SlotId {
    SlotId::new(number as u16).unwrap()
}

impl Known {
    fn settle(&self, journal: &Journal, segments: &[Arc<Segment>]) {
        let Heads { numbers, last_number } = journal.heads(segments);
        let mut manifest = self.manifest.lock();
        for (_, record) in segments.iter().flat_map(|segment| segment.records()) {
            if let Some(slot) = record.header.slot {
                let settled = manifest.settled.entry(slot.index()).or_default();
                *settled = record.header.sequence.max(*settled);
            }
        }
        (manifest.heads, manifest.last_number) = (numbers, last_number);
        drop(manifest);
        journal.release(segments);
    }

    /// A worker's life.
    fn work(&self, journal: &Journal, lane: usize, seed: u64) {
        let mut rng = Rng::from_seed(seed);
        let mut parts = Parts::default();
        for _ in 0..rng.below(300) {
            match journal.reserve(lane, 4096) {
                Ok(()) => {}
                Err(Stopped::Failed | Stopped::TooLarge) => return,
                Err(Stopped::Full) => {
                    thread::sleep(Duration::from_millis(1));
                    continue;
                }
            }
            let longest = if rng.below(20) == 0 { 900 } else { 90 };
            let value = vec![b'v'; rng.below(longest) as usize];
            let arguments: &[&[u8]] = &[b"SET", b"k", &value];
            let change = |number, sequence| Change { slot: slot(number), database: 0, sequence, time_ms: 1, arguments };
            let mut touched: Vec<usize> = (0..SLOTS).filter(|_| rng.below(4) == 0).collect();
            if touched.is_empty() || rng.below(3) > 0 {
                touched = vec![rng.below(SLOTS as u64) as usize];
            }
            let mut guards: Vec<_> = touched.iter().map(|number| (*number, self.slots[*number].lock())).collect();
            let appended = if let [(number, sequence)] = &guards[..] {
                journal.append(lane, &change(*number, **sequence + 1))
            } else {
                parts.clear();
                guards.iter().for_each(|(number, sequence)| parts.push(&change(*number, **sequence + 1)));
                journal.append_all(lane, &parts)
            };
            // Memory would be ahead of the log: this server ends here.
            if appended.is_err() {
                return;
            }
            guards.iter_mut().for_each(|(_, sequence)| **sequence += 1);
            if guards.len() > 1 {
                let transaction = guards.iter().map(|(number, sequence)| (*number, **sequence)).collect();
                self.transactions.lock().push(transaction);
            }
            let last: Vec<(usize, u64)> = guards.iter().map(|(number, sequence)| (*number, **sequence)).collect();
            drop(guards);
            if rng.below(10) == 0 && journal.wait(journal.ticket(), Duration::from_secs(10)) == Ok(true) {
                let mut durable = self.durable.lock();
                last.iter().for_each(|(number, sequence)| durable[*number] = durable[*number].max(*sequence));
            }
            if rng.below(40) == 0
                && let Ok(segments) = journal.cut()
                && rng.below(2) == 0
                && lane == 0
            {
                self.settle(journal, &segments);
            }
        }
    }

    fn live(&self, disk: &SimulatedDisk, found: Option<Scan>, seed: u64) -> Option<Arc<Journal>> {
        let mut rng = Rng::from_seed(seed);
        let mut options = Options {
            segment_bytes: SEGMENT_BYTES,
            fill_ahead_bytes: [1024, SEGMENT_BYTES][rng.below(2) as usize],
            policy: [Policy::Always, Policy::EverySecond, Policy::No][rng.below(3) as usize],
            spares: rng.below(4) as usize,
            period_ms: 1 + rng.below(3),
            ..Options::new(LANES)
        };
        let mut needs_settling = false;
        if let Some(found) = found {
            options.first_number = found.last_number + 1;
            options.recovered = found.segments;
            needs_settling = found.needs_settling;
        }
        let recovered = options.recovered.clone();
        let journal = Journal::create(Arc::new(disk.clone()), options).ok()?;
        if needs_settling {
            self.settle(&journal, &recovered);
        }
        drop(recovered);
        match rng.below(6) {
            0 => disk.fail(Operation::Sync, rng.below(20), 1, libc::EIO),
            1 => disk.fail(Operation::Write, rng.below(30), 1 + rng.below(9), libc::ENOSPC),
            2 => disk.fail(Operation::Write, rng.below(30), 1, libc::EIO),
            3 => disk.set_capacity(100 << 10),
            _ => {}
        }
        thread::scope(|scope| {
            for lane in 0..LANES {
                let (seed, journal) = (rng.next_u64(), &journal);
                scope.spawn(move || self.work(journal, lane, seed));
            }
        });
        if rng.below(3) == 0 && journal.close().is_ok() {
            let slots = self.slots.each_ref().map(|sequence| *sequence.lock());
            *self.durable.lock() = slots;
        }
        Some(journal)
    }

    /// Checks what is found, and makes it what is known.
    fn check(&self, disk: &SimulatedDisk, seed: u64) -> Scan {
        let manifest = self.manifest.lock().clone();
        let expected = Expected { heads: &manifest.heads, last_number: manifest.last_number };
        let settled = |slot: SlotId| manifest.settled.get(&slot.index()).copied().unwrap_or(0);
        let before = scan(disk, expected, &settled, Purpose::Check);
        let before = before.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let found = scan(disk, expected, &settled, Purpose::Open);
        let found = found.unwrap_or_else(|error| panic!("seed {seed}, after a check: {error}"));
        assert_eq!((before.index.len(), &before.cuts), (found.index.len(), &found.cuts), "seed {seed}");
        assert!(found.damage.is_empty(), "seed {seed}: {:?}", found.damage);
        let mut last = [0; SLOTS];
        for (number, last) in last.iter_mut().enumerate() {
            *last = settled(slot(number));
            for record in found.index.records(slot(number)) {
                *last += 1;
                assert_eq!(record.header.sequence, *last, "seed {seed}, slot {number}");
            }
            let given = *self.slots[number].lock();
            let durable = self.durable.lock()[number];
            assert!(*last <= given, "seed {seed}, slot {number}: {last} of {given}");
            assert!(*last >= durable, "seed {seed}, slot {number}: {last} found, {durable} was durable");
        }
        let mut transactions = self.transactions.lock();
        transactions.retain(|transaction| {
            let there = transaction.iter().filter(|(number, sequence)| last[*number] >= *sequence).count();
            assert!(there == 0 || there == transaction.len(), "seed {seed}: {there} of {transaction:?}");
            there > 0
        });
        for (number, last) in last.into_iter().enumerate() {
            *self.slots[number].lock() = last;
        }
        found
    }
}

fn run(seed: u64) -> (usize, usize) {
    let mut rng = Rng::from_seed(seed);
    let known = Known::default();
    let mut disk = SimulatedDisk::new(seed, 32 << 10);
    let mut found = None;
    let mut counts = (0, 0);
    for _ in 0..3 {
        let journal = known.live(&disk, found.take(), rng.next_u64());
        let is_kill = rng.below(4) == 0;
        let failed = journal.as_ref().is_some_and(|journal| matches!(journal.state(), State::Failed(_)));
        // The journal's own threads are at work still, as they are when a machine loses its power.
        disk = if is_kill { disk.killed() } else { disk.crash(rng.next_u64()) };
        drop(journal);
        let scanned = known.check(&disk, seed);
        if is_kill && !failed {
            // Where a former crash cut a segment, that shows again.
            let lost: usize = scanned.cuts.iter().map(|cut| cut.bytes + cut.records).sum();
            assert_eq!((lost, scanned.dropped_records), (0, 0), "seed {seed}: {:?}", scanned.cuts);
        }
        counts.0 += scanned.cuts.len();
        counts.1 += scanned.dropped_records;
        found = Some(scanned);
    }
    // Nothing is left that is of no use.
    let names = disk.names().unwrap();
    assert!(!names.iter().any(|name| name.starts_with("spare-")), "{names:?}");
    counts
}

#[test]
fn no_crash_takes_what_was_durable() {
    let first = std::env::var("CAIRN_SEED").ok().and_then(|seed| seed.parse().ok());
    if let Some(seed) = first {
        run(seed);
        return;
    }
    // Most of a run is waiting, so several go side by side.
    const THREADS: u64 = 16;
    const SEEDS: u64 = 400;
    let (mut cuts, mut dropped) = (0, 0);
    thread::scope(|scope| {
        let runs = |from| (from..SEEDS).step_by(THREADS as usize).map(run).collect::<Vec<_>>();
        let threads: Vec<_> = (0..THREADS).map(|from| scope.spawn(move || runs(from))).collect();
        for (run_cuts, run_dropped) in threads.into_iter().flat_map(|thread| thread.join().expect("a run")) {
            cuts += run_cuts;
            dropped += run_dropped;
        }
    });
    assert!(cuts > 100 && dropped > 10, "{cuts} cuts, {dropped} records dropped");
}

/// A file that is used again holds records of its former use wherever nothing of the present one has reached the disk:
/// also in front of what has.
#[test]
fn what_a_file_held_before_looks_like_no_damage() {
    let mut stale_fronts = 0;
    for seed in 0..60 {
        let mut rng = Rng::from_seed(seed);
        let disk = SimulatedDisk::new(seed, 16 << 10);
        let options =
            Options { segment_bytes: 4096, fill_ahead_bytes: 1024, policy: Policy::No, spares: 4, ..Options::new(1) };
        let journal = Journal::create(Arc::new(disk.clone()), options).unwrap();
        let mut sequence = 0;
        let mut append = || {
            for _ in 0..12 {
                let mut parts = Parts::default();
                for _ in 0..1 + rng.below(4) {
                    sequence += 1;
                    let arguments: &[&[u8]] = &[b"SET", b"k", &[b'v'; 60][..rng.below(60) as usize]];
                    parts.push(&Change { slot: slot(0), database: 0, sequence, time_ms: 1, arguments });
                }
                journal.append_all(0, &parts).unwrap();
            }
            sequence
        };
        let (mut heads, mut settled) = (journal.heads(&[]), 0);
        for _ in 0..8 {
            settled = append();
            assert_eq!(journal.wait(journal.ticket(), Duration::from_secs(60)), Ok(true), "seed {seed}");
            let segments = journal.cut().unwrap();
            heads = journal.heads(&segments);
            journal.release(&segments);
        }
        let given = append();
        let expected = Expected { heads: &heads.numbers, last_number: heads.last_number };
        for crash in 0..20 {
            let found = scan(&disk.crash(crash), expected, &|_| settled, Purpose::Open);
            let found = found.unwrap_or_else(|error| panic!("seed {seed}, crash {crash}: {error}"));
            assert!(found.damage.is_empty(), "seed {seed}, crash {crash}: {:?}", found.damage);
            let kept = found.index.records(slot(0)).count() as u64;
            assert!(settled + kept <= given, "seed {seed}, crash {crash}: {kept} records");
            stale_fronts += found.cuts.iter().filter(|cut| cut.offset == HEADER_BYTES && cut.fault.is_some()).count();
        }
    }
    assert!(stale_fronts > 50, "{stale_fronts}");
}
