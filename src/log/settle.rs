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

use super::fold::{Census, Folder, Interpreter, RawRecord, Rebuilder};
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
        let folder = Folder::new(hasher);
        Settler { tables, interpreter, rebuilder, census, folder, read_buffer: Vec::new() }
    }

    /// Settles. After an error what was published before it stays, and the pass can be run again.
    pub fn run(&mut self, pass: &Pass<'_>, source: &dyn Source, pacer: &mut dyn Pacer) -> io::Result<Outcome> {
        let index = SlotIndex::build(pass.segments);
        source.sync()?;
        let tables = self.tables.clone();
        let mut batch = tables.batch();
        let mut outcome = Outcome::default();
        let mut held: BTreeSet<u64> = BTreeSet::new();
        for slot in SlotId::all() {
            let positions = index.positions(slot);
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
            if batch.added_bytes() >= PUBLISH_BYTES {
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
        let stored = version.read(slot, &mut self.read_buffer).map_err(Problem::Log)?;
        let mut all: Vec<RawRecord<'_>> = Vec::with_capacity(log.records as usize + run.positions.len());
        for stored in stored {
            all.push((stored.map_err(Problem::Log)?.raw, 0));
        }
        all.extend(run.records());
        let from = batch.buffer().len();
        let folded = self
            .folder
            .compact(
                &*self.interpreter,
                &mut *self.rebuilder,
                slot,
                all.iter().copied(),
                pass.keep_from_ms,
                batch.buffer(),
            )
            .map_err(|error| Problem::Rebuild { slot, error })?;
        let bytes = (batch.buffer().len() - from) as u64;
        let history_ms = log.history_ms.max(folded.history_ms);
        batch.replace(slot, Change { from, sequence: run.last, history_ms })?;
        outcome.records += run.positions.len() as u64;
        outcome.superseded += (all.len() as u64).saturating_sub(folded.records);
        outcome.compacted_bytes += bytes;
        outcome.replaced_bytes += log.bytes;
        outcome.compacted_slots += 1;
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
        positions.iter().for_each(|position| index.prefetch(*position));
        let mut last = settled;
        let mut passed_over = 0;
        for position in positions {
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
