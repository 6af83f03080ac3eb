//! Settling: sealed segments of the journal become part of the slot logs.
//!
//! ```text
//! segments of a cut -> SlotIndex -> slot by slot, ascending --> thinned, appended ----> Batch --> next version, then
//!                                                     \-> with its whole log, compacted ->/         the segments are free
//! ```
//! One pass at a time, on a thread of its own. It holds no lock that a worker takes. Between slots, and between bounded
//! steps of everything else, it calls the pacer, which sleeps when the burst is over.
//!
//! - A segment is synced before anything of it is published, so a later record is never durable without an earlier one.
//! - A slot's records are taken from the one behind the last that is settled, each one above the one before. A hole ends
//!   the settling of that slot, and nothing else: it is reported, and the segments that hold its records stay.
//! - A pass that fails has changed nothing but what it published before. The next one begins with the same segments, and
//!   what is settled by then is passed over.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::fold::{Census, Folder, Interpreter, RawRecord, Rebuilder};
use super::journal::{Heads, Journal};
use super::manifest::{JournalMark, SlotLog};
use super::segment::Segment;
use super::slot_index::{Position, SlotIndex};
use super::slot_reader::SlotFault;
use super::table_writer::{Batch, Change, ChangeError};
use super::tables::Tables;
use crate::base::hash::KeyHasher;
use crate::base::key_slot::SlotId;

/// A slot's log is compacted when it is half as long again as its base, and this.
const SLACK_BYTES: u64 = 4096;
/// And when one in so many of its records is dead.
const DEAD_SHARE: u64 = 3;
/// So much is written anew before it is published, so that what it replaces can be freed.
const PUBLISH_BYTES: u64 = 64 << 20;

/// A disk that needs longer to sync has a problem that settling would make worse.
const SYNC_PATIENCE: Duration = Duration::from_secs(60);
/// Kept from one slot to the next.
const BUFFER_BYTES: usize = 4 << 20;
/// Records of the slot to come that are prefetched.
const PREFETCH_RECORDS: usize = 64;

/// Decides how much of a processor settling takes.
pub trait Pacer {
    /// Called between steps of a few microseconds, some 200 at most. Sleeps when it is time to.
    fn pause(&mut self);
}

/// Never sleeps: for tools and tests.
pub struct Unpaced;

impl Pacer for Unpaced {
    fn pause(&mut self) {}
}

/// The journal as settling sees it.
pub trait Source {
    /// Makes the sealed segments durable.
    fn sync(&self) -> io::Result<()>;
    /// What the manifest is to say once `settled` are taken out of the journal; without them, what it is to say now.
    fn mark(&self, settled: &[Arc<Segment>]) -> JournalMark;
}

impl Source for Journal {
    fn sync(&self) -> io::Result<()> {
        match self.wait(self.ticket(), SYNC_PATIENCE) {
            Ok(true) => Ok(()),
            Ok(false) => Err(io::ErrorKind::TimedOut.into()),
            Err(_) => Err(io::Error::other("the journal has failed")),
        }
    }

    fn mark(&self, settled: &[Arc<Segment>]) -> JournalMark {
        let Heads { numbers: heads, last_number } = self.heads(settled);
        JournalMark { last_number, heads }
    }
}

/// What a pass is to do.
pub struct Pass<'a> {
    /// Sealed segments, all of a cut.
    pub segments: &'a [Arc<Segment>],
    /// Every slot log is compacted, also those that nothing is added to.
    pub compact_all: bool,
    /// Records of this Unix time and later are kept one by one. `u64::MAX` to keep none.
    pub keep_from_ms: u64,
}

/// What a pass did.
#[derive(Default)]
pub struct Outcome {
    /// No manifest names these any more, and all their records are settled: the caller releases them.
    pub settled: Vec<Arc<Segment>>,
    /// Records that were taken in, superseded ones included.
    pub records: u64,
    /// Records of them that a later one superseded, so that they were not written.
    pub superseded: u64,
    /// Bytes that were added to slot logs, by appending and by compaction.
    pub appended_bytes: u64,
    pub compacted_bytes: u64,
    /// Bytes of the logs that compaction replaced.
    pub replaced_bytes: u64,
    pub appended_slots: u64,
    pub compacted_slots: u64,
    /// What is wrong with single slots. Their records stay in the journal, or were appended where only compaction failed.
    pub problems: Vec<Problem>,
}

/// What is wrong with one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Records are missing between the last that is settled and the journal's, or in the journal.
    Hole { slot: SlotId, expected: u64, found: u64 },
    /// The slot's log cannot be read or lengthened.
    Log(SlotFault),
    /// The slot's history could not be replayed.
    Rebuild { slot: SlotId, error: String },
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Hole { slot, expected, found } => {
                let slot = slot.number();
                write!(formatter, "slot {slot}: record {expected} is missing, the next in the journal is {found}")
            }
            Problem::Log(fault) => write!(formatter, "{fault}"),
            Problem::Rebuild { slot, error } => {
                write!(formatter, "slot {}: its log cannot be compacted: {error}", slot.number())
            }
        }
    }
}

/// Runs passes.
pub struct Settler {
    tables: Arc<Tables>,
    interpreter: Arc<dyn Interpreter>,
    rebuilder: Box<dyn Rebuilder>,
    census: Arc<dyn Census>,
    folder: Folder,
    publish_bytes: u64,
    /// A slot log that is not one piece on the disk.
    read_buffer: Vec<u8>,
}

impl Settler {
    pub fn new(
        tables: Arc<Tables>,
        interpreter: Arc<dyn Interpreter>,
        rebuilder: Box<dyn Rebuilder>,
        census: Arc<dyn Census>,
        hasher: KeyHasher,
    ) -> Settler {
        Settler {
            tables,
            interpreter,
            rebuilder,
            census,
            folder: Folder::new(hasher),
            publish_bytes: PUBLISH_BYTES,
            read_buffer: Vec::new(),
        }
    }

    /// Settles. The caller then releases the segments of the outcome and calls [`Tables::reclaim`]. After an error what was published before it stays, and the pass can be run again.
    pub fn run(&mut self, pass: &Pass<'_>, source: &dyn Source, pacer: &mut dyn Pacer) -> io::Result<Outcome> {
        let index = SlotIndex::build(pass.segments, &mut || pacer.pause());
        source.sync()?;
        let tables = self.tables.clone();
        let mut batch = tables.batch();
        let mut outcome = Outcome::default();
        let mut held: BTreeSet<u64> = BTreeSet::new();
        for slot in SlotId::all() {
            let positions = index.positions(slot);
            if let Some(next) = SlotId::new(slot.number() + 1) {
                index.positions(next).iter().take(PREFETCH_RECORDS).for_each(|position| index.prefetch(*position));
            }
            if positions.is_empty() && !(pass.compact_all && batch.base().slot(slot).records > 0) {
                continue;
            }
            match self.settle_slot(pass, &index, slot, &mut batch, &mut outcome) {
                Ok(()) => {}
                Err(SlotError::Io(error)) => return Err(error),
                Err(SlotError::Problem(problem)) => {
                    outcome.problems.push(problem);
                    held.extend(positions.iter().map(|position| index.bytes(*position).1));
                }
            }
            pacer.pause();
            batch.flush_if_long(&mut || pacer.pause())?;
            if batch.added_bytes() >= self.publish_bytes {
                batch.publish(source.mark(&[]), &mut || pacer.pause())?;
            }
        }
        let settled: Vec<Arc<Segment>> =
            pass.segments.iter().filter(|segment| !held.contains(&segment.number())).cloned().collect();
        batch.publish(source.mark(&settled), &mut || pacer.pause())?;
        outcome.settled = settled;
        Ok(outcome)
    }

    fn settle_slot(
        &mut self,
        pass: &Pass<'_>,
        index: &SlotIndex,
        slot: SlotId,
        batch: &mut Batch<'_>,
        outcome: &mut Outcome,
    ) -> Result<(), SlotError> {
        let version = batch.base().clone();
        let log = version.slot(slot);
        let run = Run::find(index, slot, log.sequence)?;
        if run.positions.is_empty() && !pass.compact_all {
            return Ok(());
        }
        if pass.compact_all || self.is_due(slot, log, &run) {
            match self.compact(pass, &run, slot, batch, outcome) {
                Ok(()) => return Ok(()),
                Err(SlotError::Io(error)) => return Err(SlotError::Io(error)),
                // Appending needs nothing of what is there, and lets go of the segments.
                Err(SlotError::Problem(problem)) => outcome.problems.push(problem),
            }
        }
        if run.positions.is_empty() {
            return Ok(());
        }
        let from = batch.buffer().len();
        let folded = self.folder.thin(&*self.interpreter, run.records(), pass.keep_from_ms, batch.buffer());
        let bytes = (batch.buffer().len() - from) as u64;
        batch.append(slot, Change { from, sequence: run.last, history_ms: folded.history_ms })?;
        let records = run.positions.len() as u64;
        outcome.records += records;
        outcome.superseded += records - folded.records;
        outcome.appended_bytes += bytes;
        outcome.appended_slots += 1;
        Ok(())
    }

    /// True when compaction is worth what it costs.
    fn is_due(&self, slot: SlotId, log: &SlotLog, run: &Run<'_>) -> bool {
        let bytes = log.bytes + run.records().map(|(raw, _)| raw.len() as u64).sum::<u64>();
        if bytes < log.base_bytes + log.base_bytes / 2 + SLACK_BYTES {
            return false;
        }
        let records = log.records + run.positions.len() as u64;
        self.census.live_keys(slot).is_none_or(|live| records.saturating_sub(live) >= records.div_ceil(DEAD_SHARE))
    }

    fn compact(
        &mut self,
        pass: &Pass<'_>,
        run: &Run<'_>,
        slot: SlotId,
        batch: &mut Batch<'_>,
        outcome: &mut Outcome,
    ) -> Result<(), SlotError> {
        let version = batch.base().clone();
        let log = version.slot(slot);
        let mut stored = version.read(slot, &mut self.read_buffer).map_err(Problem::Log)?;
        let (mut fault, mut taken) = (None, 0);
        let checked = stored.by_ref().map_while(|stored| {
            taken += 1;
            stored.map(|stored| (stored.raw, 0)).map_err(|found| fault = Some(found)).ok()
        });
        let from = batch.buffer().len();
        let folded = self.folder.compact(
            &*self.interpreter,
            &mut *self.rebuilder,
            slot,
            checked.chain(run.records()),
            pass.keep_from_ms,
            batch.buffer(),
        );
        if let Some(fault) = fault {
            batch.buffer().truncate(from);
            return Err(Problem::Log(fault).into());
        }
        let folded = folded.map_err(|error| Problem::Rebuild { slot, error })?;
        let bytes = (batch.buffer().len() - from) as u64;
        let history_ms = log.history_ms.max(folded.history_ms);
        batch.replace(slot, Change { from, sequence: run.last, history_ms })?;
        outcome.records += run.positions.len() as u64;
        outcome.superseded += (taken + run.positions.len() as u64).saturating_sub(folded.records);
        outcome.compacted_bytes += bytes;
        outcome.replaced_bytes += log.bytes;
        outcome.compacted_slots += 1;
        // A large slot is rare: what it needed is not kept for it.
        self.read_buffer.clear();
        self.read_buffer.shrink_to(BUFFER_BYTES);
        Ok(())
    }
}

/// The records of a slot that are not settled yet.
struct Run<'a> {
    index: &'a SlotIndex,
    positions: &'a [Position],
    /// The number of the last one, or of the last that is settled.
    last: u64,
}

impl<'a> Run<'a> {
    fn find(index: &'a SlotIndex, slot: SlotId, settled: u64) -> Result<Run<'a>, Problem> {
        let positions = index.positions(slot);
        let mut last = settled;
        let mut passed_over = 0;
        for (at, position) in positions.iter().enumerate() {
            if let Some(soon) = positions.get(at + PREFETCH_RECORDS) {
                index.prefetch(*soon);
            }
            let found = index.record(*position).header.sequence;
            if found <= settled {
                passed_over += 1;
            } else if found == last + 1 {
                last = found;
            } else {
                return Err(Problem::Hole { slot, expected: last + 1, found });
            }
        }
        Ok(Run { index, positions: &positions[passed_over..], last })
    }

    fn records(&self) -> impl Iterator<Item = RawRecord<'a>> + use<'a> {
        let index = self.index;
        self.positions.iter().map(move |position| index.bytes(*position))
    }
}

enum SlotError {
    Problem(Problem),
    Io(io::Error),
}

impl From<Problem> for SlotError {
    fn from(problem: Problem) -> SlotError {
        SlotError::Problem(problem)
    }
}

impl From<ChangeError> for SlotError {
    fn from(error: ChangeError) -> SlotError {
        match error {
            ChangeError::Refused(fault) => SlotError::Problem(Problem::Log(fault)),
            ChangeError::Io(error) => SlotError::Io(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::extents::UNIT_BYTES;
    use super::super::fold::Meaning;
    use super::super::record::{self, Effect, Record};
    use super::super::segment::{Space, Writer};
    use super::super::simulated_disk::{Operation, SimulatedDisk};
    use super::super::storage::Storage;
    use super::super::tables::{Version, file_name};
    use super::super::toy::{self, State, Toy};
    use super::*;
    use crate::base::random::Rng;

    const FILE_UNITS: u32 = 128;
    const FILE_BYTES: usize = FILE_UNITS as usize * UNIT_BYTES as usize;
    const SLOTS: [u16; 5] = [0, 1, 700, 9000, 16_383];

    fn slot(number: u16) -> SlotId {
        SlotId::new(number).unwrap()
    }

    /// A server without its server: what was written, and the segments that are not released.
    struct Scene {
        rng: Rng,
        disk: SimulatedDisk,
        tables: Arc<Tables>,
        settler: Settler,
        segments: Vec<Arc<Segment>>,
        last_number: u64,
        model: BTreeMap<SlotId, (State, u64)>,
        whole_share: u64,
    }

    /// The journal: the segments that are not released.
    struct Unreleased(Vec<Arc<Segment>>);

    impl Source for Unreleased {
        fn sync(&self) -> io::Result<()> {
            Ok(())
        }

        fn mark(&self, settled: &[Arc<Segment>]) -> JournalMark {
            let left = self.0.iter().map(|segment| segment.number());
            let settled: Vec<u64> = settled.iter().map(|segment| segment.number()).collect();
            let last_number = left.clone().max().unwrap_or(0);
            JournalMark { last_number, heads: left.filter(|number| !settled.contains(number)).collect() }
        }
    }

    /// Takes crashed disks at random.
    struct Crashes<'a>(&'a SimulatedDisk, &'a mut Rng, Vec<SimulatedDisk>);

    impl Pacer for Crashes<'_> {
        fn pause(&mut self) {
            if self.1.below(4) == 0 {
                self.2.push(self.0.crash(self.1.next_u64()));
            }
        }
    }

    struct Alive(Option<u64>);

    impl Census for Alive {
        fn live_keys(&self, _slot: SlotId) -> Option<u64> {
            self.0
        }
    }

    /// Publishes several times in a pass.
    fn settler(tables: &Arc<Tables>, alive: Option<u64>) -> Settler {
        let hasher = KeyHasher::from_seed(3, 4);
        let settler = Settler::new(tables.clone(), Arc::new(Toy), Box::new(Toy), Arc::new(Alive(alive)), hasher);
        Settler { publish_bytes: 3000, ..settler }
    }

    fn open(disk: &SimulatedDisk) -> Arc<Tables> {
        Arc::new(Tables::open_with(Arc::new(disk.clone()), FILE_UNITS).unwrap().tables)
    }

    impl Scene {
        fn new(seed: u64) -> Scene {
            let disk = SimulatedDisk::new(seed, FILE_BYTES);
            let tables = open(&disk);
            Scene {
                rng: Rng::from_seed(seed),
                settler: settler(&tables, None),
                disk,
                tables,
                segments: Vec::new(),
                last_number: 0,
                model: BTreeMap::new(),
                whole_share: 40,
            }
        }

        /// Appends a segment with these commands; each has its slot.
        fn write(&mut self, commands: &[(SlotId, Vec<Vec<u8>>)]) {
            self.last_number += 1;
            // On a disk of its own, which does not crash: what the journal holds is not at stake here.
            let disk = SimulatedDisk::new(0, 1 << 18);
            let space = Space::create(&disk, self.last_number, 1 << 18).unwrap();
            space.fill(1 << 18).unwrap();
            let mut writer = Writer::begin(space, 0, 0, 0, 0);
            for (slot, command) in commands {
                let arguments: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
                let (state, sequence) = self.model.entry(*slot).or_default();
                *sequence += 1;
                let header = toy::header(*slot, self.rng.below(2) as u16, *sequence, 1000 + *sequence);
                let bytes = toy::encoded(header, &arguments, self.last_number);
                toy::apply(state, record::read_trusted(&bytes).0);
                writer.append(bytes.len(), |into, _| into.copy_from_slice(&bytes));
            }
            self.segments.push(writer.seal());
        }

        fn write_some(&mut self) {
            let count = 20 + self.rng.below(150);
            let share = self.whole_share;
            let commands: Vec<_> = (0..count)
                .map(|_| {
                    let slot = slot(SLOTS[self.rng.below(SLOTS.len() as u64) as usize]);
                    (slot, toy::command(&mut self.rng, share))
                })
                .collect();
            self.write(&commands);
        }

        fn settle(&mut self, compact_all: bool, keep_from_ms: u64, pacer: &mut dyn Pacer) -> io::Result<Outcome> {
            let segments = self.segments.clone();
            let pass = Pass { segments: &segments, compact_all, keep_from_ms };
            let outcome = self.settler.run(&pass, &Unreleased(segments.clone()), pacer)?;
            self.segments.retain(|segment| outcome.settled.iter().all(|other| other.number() != segment.number()));
            Ok(outcome)
        }

        fn settle_all(&mut self) -> Outcome {
            self.settle(false, u64::MAX, &mut Unpaced).unwrap()
        }

        /// Slot logs and journal together give what was written.
        fn check(&self, version: &Version) {
            check(version, &self.segments, &self.model);
        }
    }

    fn check(version: &Version, segments: &[Arc<Segment>], model: &BTreeMap<SlotId, (State, u64)>) {
        let index = SlotIndex::build(segments, &mut || ());
        for (slot, (expected, last)) in model {
            let mut state = State::new();
            let mut buffer = Vec::new();
            for stored in version.read(*slot, &mut buffer).unwrap() {
                toy::apply(&mut state, stored.unwrap().record);
            }
            let mut sequence = version.slot(*slot).sequence;
            for position in index.positions(*slot) {
                let record = index.record(*position);
                if record.header.sequence > sequence {
                    assert_eq!(record.header.sequence, sequence + 1);
                    sequence += 1;
                    toy::apply(&mut state, record);
                }
            }
            assert_eq!(sequence, *last);
            assert_eq!(state, *expected);
        }
    }

    #[test]
    fn what_is_settled_is_what_was_written() {
        for seed in 0..20 {
            let mut scene = Scene::new(seed);
            scene.whole_share = seed % 3 * 40;
            let mut compacted = 0;
            for _ in 0..12 {
                (0..1 + scene.rng.below(3)).for_each(|_| scene.write_some());
                let compact_all = scene.rng.below(5) == 0;
                let keep_from_ms = if scene.rng.below(3) == 0 { 1000 + scene.rng.below(300) } else { u64::MAX };
                let outcome = scene.settle(compact_all, keep_from_ms, &mut Unpaced).unwrap();
                assert_eq!(outcome.problems, []);
                assert!(scene.segments.is_empty());
                compacted += outcome.compacted_slots;
                scene.check(&scene.tables.current());
            }
            scene.check(&open(&scene.disk.crash(seed)).current());
            assert!(compacted > 0);
        }
    }

    #[test]
    fn a_crash_at_any_step_loses_nothing() {
        let mut crashes = 0;
        for seed in 0..12 {
            let mut scene = Scene::new(seed);
            for round in 0..5 {
                scene.write_some();
                let (disk, segments) = (scene.disk.clone(), scene.segments.clone());
                let mut rng = Rng::from_seed(seed * 100 + round);
                let mut pacer = Crashes(&disk, &mut rng, Vec::new());
                scene.settle(round % 2 == 1, u64::MAX, &mut pacer).unwrap();
                for crashed in pacer.2 {
                    crashes += 1;
                    let tables = open(&crashed);
                    check(&tables.current(), &segments, &scene.model);
                    let pass = Pass { segments: &segments, compact_all: rng.below(2) == 0, keep_from_ms: u64::MAX };
                    settler(&tables, None).run(&pass, &Unreleased(segments.clone()), &mut Unpaced).unwrap();
                    check(&tables.current(), &[], &scene.model);
                    check(&open(&crashed.crash(seed)).current(), &[], &scene.model);
                }
            }
        }
        assert!(crashes > 50, "{crashes}");
    }

    #[test]
    fn a_failure_of_any_operation_is_made_good_later() {
        use Operation::{Create, Rename, Sync, SyncDirectory, Write};
        let mut failures = 0;
        for operation in [Create, Rename, Sync, SyncDirectory, Write] {
            for skip in 0..5 {
                let mut scene = Scene::new(skip);
                for round in 0..4 {
                    scene.write_some();
                    let error = if round % 2 == 0 { libc::EIO } else { libc::ENOSPC };
                    scene.disk.fail(operation, skip, 1, error);
                    let outcome = scene.settle(round == 2, u64::MAX, &mut Unpaced);
                    scene.disk.heal();
                    scene.check(&scene.tables.current());
                    scene.check(&open(&scene.disk.crash(skip)).current());
                    if outcome.is_err() {
                        failures += 1;
                        assert!(!scene.segments.is_empty());
                        if round == 1 {
                            scene.write_some();
                        }
                        scene.settle_all();
                        assert!(scene.segments.is_empty());
                        scene.check(&open(&scene.disk.crash(skip + 1)).current());
                    }
                }
            }
        }
        assert!(failures > 20, "{failures}");
    }

    #[test]
    fn a_hole_stops_its_slot_and_holds_its_segments() {
        let mut scene = Scene::new(1);
        let set = |number: u16| (slot(number), vec![b"SET".to_vec(), b"a".to_vec(), b"1".to_vec()]);
        scene.write(&[set(1), set(2)]);
        scene.write(&[set(2), set(2)]);
        scene.write(&[set(1), set(2)]);
        let missing = scene.segments.remove(1);
        let outcome = scene.settle_all();
        let hole = Problem::Hole { slot: slot(2), expected: 2, found: 4 };
        assert_eq!(outcome.problems, std::slice::from_ref(&hole));
        assert_eq!(hole.to_string(), "slot 2: record 2 is missing, the next in the journal is 4");
        assert_eq!(scene.segments.len(), 2);
        let version = scene.tables.current();
        assert_eq!((version.slot(slot(1)).sequence, version.slot(slot(2)).sequence), (2, 0));
        scene.segments.insert(1, missing);
        assert_eq!(scene.settle_all().problems, []);
        assert!(scene.segments.is_empty());
        scene.check(&scene.tables.current());
    }

    #[test]
    fn superseded_records_are_counted_and_left_out() {
        let mut scene = Scene::new(1);
        let set = |key: &[u8]| (slot(1), vec![b"SET".to_vec(), key.to_vec(), b"1".to_vec()]);
        scene.write(&[set(b"a"), set(b"b"), set(b"a"), set(b"a")]);
        // Both databases may hold the keys, so count by what is left.
        let outcome = scene.settle_all();
        let left = scene.tables.current().slot(slot(1)).records;
        assert_eq!((outcome.records, outcome.superseded), (4, 4 - left));
        assert_eq!(scene.tables.current().slot(slot(1)).sequence, 4);
    }

    #[test]
    fn compaction_waits_until_enough_is_dead() {
        let value = vec![b'v'; 900];
        let set = |key: u64| (slot(1), vec![b"SET".to_vec(), key.to_string().into_bytes(), value.clone()]);
        for (alive, expected) in [(Some(20), 0), (Some(13), 1), (None, 1)] {
            let mut scene = Scene::new(1);
            scene.settler = settler(&scene.tables, alive);
            scene.write(&(0..4).map(set).collect::<Vec<_>>());
            assert_eq!(scene.settle_all().compacted_slots, 0);
            scene.write(&(4..20).map(set).collect::<Vec<_>>());
            assert_eq!(scene.settle_all().compacted_slots, expected, "{alive:?}");
            let log = scene.tables.current().slot(slot(1)).clone();
            assert_eq!(log.base_bytes, if expected == 1 { log.bytes } else { 0 });
            scene.check(&scene.tables.current());
        }
    }

    /// Its slot log stays as damaged as it was, but the journal can go on.
    #[test]
    fn a_damaged_log_is_lengthened_and_reported() {
        let mut scene = Scene::new(1);
        let set = |key: u8| (slot(1), vec![b"SET".to_vec(), vec![key], vec![b'v'; 100]]);
        scene.write(&[set(1)]);
        scene.settle_all();
        let mut bytes = scene.disk.contents(&file_name(0));
        bytes[4096 + 50] ^= 1;
        scene.disk.put(&file_name(0), &bytes);
        scene.tables = open(&scene.disk);
        scene.settler = settler(&scene.tables, None);
        scene.write(&[set(2)]);
        let outcome = scene.settle(true, u64::MAX, &mut Unpaced).unwrap();
        assert!(
            matches!(&outcome.problems[..], [Problem::Log(fault)] if fault.slot == slot(1)),
            "{:?}",
            outcome.problems
        );
        assert_eq!((outcome.appended_slots, scene.segments.len()), (1, 0));
        let version = scene.tables.current();
        assert_eq!((version.slot(slot(1)).records, version.slot(slot(1)).sequence), (2, 2));
        assert!(version.read(slot(1), &mut Vec::new()).unwrap().check().is_err());
    }

    /// Knows one command that its rebuilder does not.
    struct Newer;

    impl Interpreter for Newer {
        fn meaning<'a>(&self, _: Effect<'a>) -> Meaning<'a> {
            Meaning::Whole
        }
    }

    impl Rebuilder for Newer {
        fn rebuild(
            &mut self,
            _: SlotId,
            _: &mut dyn Iterator<Item = Record<'_>>,
            _: &mut dyn FnMut(u16, &[&[u8]]),
        ) -> Result<(), String> {
            Err("no such command".to_owned())
        }
    }

    #[test]
    fn what_cannot_be_rebuilt_is_appended_and_reported() {
        let mut scene = Scene::new(1);
        let hasher = KeyHasher::from_seed(3, 4);
        let alive = Arc::new(Alive(None));
        scene.settler = Settler::new(scene.tables.clone(), Arc::new(Newer), Box::new(Newer), alive, hasher);
        scene.write(&[(slot(5), vec![b"SET".to_vec(), b"a".to_vec(), b"1".to_vec()])]);
        let outcome = scene.settle(true, u64::MAX, &mut Unpaced).unwrap();
        assert_eq!(outcome.problems[0].to_string(), "slot 5: its log cannot be compacted: no such command");
        assert!(scene.segments.is_empty());
        scene.check(&scene.tables.current());
    }

    #[test]
    fn slots_of_a_missing_file_hold_their_segments() {
        let mut scene = Scene::new(1);
        let set = |number: u16| (slot(number), vec![b"SET".to_vec(), b"a".to_vec(), b"1".to_vec()]);
        scene.write(&[set(1)]);
        scene.settle_all();
        scene.disk.remove(&file_name(0)).unwrap();
        scene.tables = open(&scene.disk);
        scene.settler = settler(&scene.tables, None);
        scene.write(&[set(1), set(2)]);
        scene.write(&[set(2)]);
        let outcome = scene.settle_all();
        assert!(matches!(outcome.problems[..], [Problem::Log(_)]));
        assert_eq!(scene.segments.len(), 1);
        assert_eq!(scene.tables.current().slot(slot(2)).sequence, 2);
    }
}
