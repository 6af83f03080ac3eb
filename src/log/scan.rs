//! Recovery of the journal: what is found on the disk, and what of it counts.
//!
//! A segment is *live* if the manifest names it as a head, if a live segment's `sealed` record or its own header links it
//! to one, or if its number is above all that there were when the manifest was written. Others were released; a crash
//! may have brought their names back. A byte is *covered* if it stands before the offset that a `synced` record names, or
//! in a segment of the same lane before the named one: it was durable, with everything that came before it in any lane.
//!
//! The cases, and what is done:
//!
//! | case | what is found | what is done, and why |
//! |---|---|---|
//! | clean end | zeros, or the file's end, and nothing whole behind | nothing |
//! | torn tail | no whole record, not covered, and nothing whole behind | cut there: it was being written |
//! | hole | the same, with whole records behind | cut there: the disk wrote pages in any order, and none was promised. What is dropped is counted |
//! | damaged record | covered, its header passes, and where it says it ends a whole record begins that goes on with it | the slot is refused: a change of it is lost that was durable. Others serve |
//! | damaged header | covered, and the slot is not known | the start is refused: any slot may be the one |
//! | lost end | an end before what is covered | the same |
//! | senseless record | its sum is right, its fields are not | the same: another version wrote it, and what it says must not be dropped |
//! | missing segment | a head, or what a `sealed` record or a header names, is not there | the same: it was there, durably, before it was named |
//! | tangled links | live segments that no lane leads to: two follow one, or they follow each other | the same: some would be passed over |
//! | foreign file | the name of a segment, and another content | the same: somebody put it there |
//! | newer version | a whole header that says so | the same |
//! | damaged segment header | records that are whole by the name's number | they count; it is reported. The header is only a help |
//! | unused segment | no records, nobody names it | removed: it was made ready for later |
//! | cut transaction | parts before the end or a cut, and not the last one | cut before it: all or nothing |
//! | gap in a slot | a number missing in the slot's records, the next one not covered | dropped from there, with transactions: see history.rs. Another lane's tail was lost |
//! | broken slot | the same, the next one covered | the slot is refused: something durable is gone |
//!
//! What was cut or dropped must not come back when later records have the same sequence numbers. Cut files are made
//! shorter, durably. Records that were dropped between others stay where they are; then `needs_settling` asks that all
//! live segments are settled and released before anything is appended.
//!
//! Nothing is changed when the disk is only to be looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::Arc;

use super::history::History;
use super::record::Fault;
use super::segment::{self, Found, HEADER_BYTES, Header, HeaderReading, Segment, Verdict, file_name};
use super::slot_index::{SlotIndex, Sorted};
use super::storage::Storage;
use super::walk::{self, Walk};
use crate::base::key_slot::{SLOT_COUNT, SlotId};

/// The lane of segments whose lane is not known.
pub const NO_LANE: u32 = u32::MAX;

/// What the manifest says of the journal. Without a manifest: nothing, and 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected<'a> {
    /// Segments that must be there.
    pub heads: &'a [u64],
    /// No segment had a number above this when the manifest was written.
    pub last_number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To go on: tails are cut, what counts is made durable, what does not is removed.
    Open,
    /// To look only.
    Check,
    /// To look, and to cut tails.
    Repair,
}

/// What was found.
pub struct Scan {
    /// The live segments, older ones of a lane first: for `journal::Options::recovered`.
    pub segments: Vec<Arc<Segment>>,
    /// Of every slot the records above what is settled, without a gap if the slot is not refused.
    pub index: SlotIndex,
    /// No segment has a number above this, nor had one.
    pub last_number: u64,
    pub cuts: Vec<Cut>,
    /// Slots that must not be served, and why.
    pub damage: Vec<Damage>,
    /// Segments whose headers are damaged and whose records are not.
    pub damaged_headers: Vec<u64>,
    /// Records that were dropped because of a gap in their slot, or with the rest of their transaction.
    pub dropped_records: usize,
    /// All segments must be settled and released before the first append.
    pub needs_settling: bool,
    /// Bytes of live segments.
    pub bytes: u64,
}

/// A segment that was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub lane: u32,
    pub segment: u64,
    pub offset: usize,
    /// What stands there; `None` for zeros.
    pub fault: Option<Fault>,
    pub bytes: usize,
    /// Whole records that were dropped.
    pub records: usize,
}

/// Why a slot must not be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub slot: SlotId,
    pub segment: u64,
    pub offset: usize,
    pub fault: DamageFault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageFault {
    /// The record there is damaged.
    Record(Fault),
    /// Before the record there, the one of this number is missing.
    Missing(u64),
}

/// Why the journal cannot be opened.
#[derive(Debug)]
pub enum ScanError {
    Io {
        name: String,
        error: io::Error,
    },
    /// A record is damaged that was durable, and nobody knows whose it is.
    Damaged {
        segment: u64,
        offset: usize,
        fault: Option<Fault>,
    },
    /// A segment is not there that the manifest or another segment names.
    Missing {
        segment: u64,
        named_by: Option<u64>,
    },
    Foreign {
        name: String,
    },
    Version {
        name: String,
        version: u32,
    },
}

impl fmt::Display for Cut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ends at offset {}", file_name(self.segment), self.offset)?;
        match self.fault {
            Some(fault) => write!(formatter, ", where {fault}")?,
            None => write!(formatter, ", where nothing was written")?,
        }
        write!(formatter, ": {} bytes and {} whole records dropped", self.bytes, self.records)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (slot, name, offset) = (self.slot.number(), file_name(self.segment), self.offset);
        match self.fault {
            DamageFault::Record(fault) => write!(formatter, "slot {slot}: {name} at offset {offset}: {fault}"),
            DamageFault::Missing(sequence) => {
                write!(formatter, "slot {slot}: record {sequence} is missing before {name} at offset {offset}")
            }
        }
    }
}

impl fmt::Display for ScanError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScanError::Io { name, error } => write!(formatter, "{name}: {error}"),
            ScanError::Damaged { segment, offset, fault } => {
                write!(formatter, "{} is damaged at offset {offset}, of an unknown slot: ", file_name(*segment))?;
                match fault {
                    Some(fault) => write!(formatter, "{fault}"),
                    None => write!(formatter, "nothing is there"),
                }
            }
            ScanError::Missing { segment, named_by: None } => {
                write!(formatter, "{} is missing, which the manifest names", file_name(*segment))
            }
            ScanError::Missing { segment, named_by: Some(other) } => {
                write!(formatter, "{} is missing, which {} names", file_name(*segment), file_name(*other))
            }
            ScanError::Foreign { name } => write!(formatter, "{name} is no segment of the journal"),
            ScanError::Version { name, version } => {
                write!(formatter, "{name} is of format version {version}, known is {}", segment::VERSION)
            }
        }
    }
}

impl std::error::Error for ScanError {}

/// Looks at all segments. `settled` gives the last sequence number of a slot that is in its slot log.
pub fn scan(
    storage: &dyn Storage,
    expected: Expected<'_>,
    settled: &dyn Fn(SlotId) -> u64,
    purpose: Purpose,
) -> Result<Scan, ScanError> {
    let mut files = Files::list(storage)?;
    files.find_live(expected)?;
    files.check_links()?;
    let covered = files.covered();
    let settled: Vec<u64> = SlotId::all().map(settled).collect();
    let mut judged = Judged { refused: vec![false; SLOT_COUNT], ..Judged::default() };
    for number in files.ordered() {
        judged.judge(&files, number, covered[&number], &settled)?;
    }
    let last_number = files.files.keys().copied().max().unwrap_or(0).max(expected.last_number);
    let removed = files.unused();
    let mut segments = files.into_segments(&judged, purpose)?;

    let covered: Vec<usize> = segments.iter().map(|segment| covered[&segment.number()]).collect();
    let sorted = Sorted::build(segments.iter(), &settled, &mut || ());
    let history = History::find(&segments, &sorted, &settled, &covered, judged.refused);
    let mut damage = judged.damage;
    damage.extend(history.breaks.iter().map(|broken| Damage {
        slot: broken.slot,
        segment: segments[broken.position.segment()].number(),
        offset: broken.position.offset(),
        fault: DamageFault::Missing(broken.expected),
    }));
    for position in &history.dropped {
        segments[position.segment()].skip(position.offset());
    }
    if purpose == Purpose::Open {
        clean(storage, &removed)?;
    }
    let segments: Vec<Arc<Segment>> = segments.into_iter().map(Arc::new).collect();
    Ok(Scan {
        bytes: segments.iter().map(|segment| segment.end() as u64).sum(),
        index: SlotIndex::new(segments.clone(), &sorted, |slot, part| history.kept(slot, part)),
        segments,
        last_number,
        cuts: judged.cuts,
        damage,
        damaged_headers: judged.damaged_headers,
        dropped_records: history.dropped.len(),
        needs_settling: !history.dropped.is_empty(),
    })
}

fn io_error(name: &str, error: io::Error) -> ScanError {
    ScanError::Io { name: name.to_owned(), error }
}

/// Removes what has no use.
fn clean(storage: &dyn Storage, removed: &[u64]) -> Result<(), ScanError> {
    let names = storage.names().map_err(|error| io_error("the log's directory", error))?;
    let spares = names.into_iter().filter(|name| segment::is_spare(name));
    for name in removed.iter().map(|number| file_name(*number)).chain(spares) {
        storage.remove(&name).map_err(|error| io_error(&name, error))?;
    }
    storage.sync_directory().map_err(|error| io_error("the log's directory", error))
}

// ---- files -------------------------------------------------------------------------------------------------------

struct File {
    found: Found,
    header: HeaderReading,
    /// Of files that were looked at: all that may be live.
    walk: Option<Walk>,
    /// Somebody says that it is there: the manifest, or the record that seals the segment before it.
    is_named: bool,
    previous: u64,
    next: u64,
}

impl File {
    /// The header, if it is that of the segment whose name the file has.
    fn own_header(&self) -> Option<Header> {
        match self.header {
            HeaderReading::Whole(header) if header.number == self.found.number() => Some(header),
            _ => None,
        }
    }

    fn walked(&self) -> &Walk {
        self.walk.as_ref().expect("live files were walked over")
    }
}

/// All files that have names of segments.
struct Files {
    files: BTreeMap<u64, File>,
    live: BTreeSet<u64>,
}

impl Files {
    fn list(storage: &dyn Storage) -> Result<Files, ScanError> {
        let names = storage.names().map_err(|error| io_error("the log's directory", error))?;
        let mut files = BTreeMap::new();
        for (name, number) in names.iter().filter_map(|name| Some((name, segment::number_of(name)?))) {
            let found = Found::open(storage, number).map_err(|error| io_error(name, error))?;
            let header = Header::read(found.bytes());
            if let HeaderReading::Version(version) = header {
                return Err(ScanError::Version { name: name.clone(), version });
            }
            files.insert(number, File { found, header, walk: None, is_named: false, previous: 0, next: 0 });
        }
        Ok(Files { files, live: BTreeSet::new() })
    }

    /// Walks over what may be live, and links it.
    fn find_live(&mut self, expected: Expected<'_>) -> Result<(), ScanError> {
        let mut pending: Vec<u64> = Vec::new();
        for head in expected.heads {
            let missing = ScanError::Missing { segment: *head, named_by: None };
            self.files.get_mut(head).ok_or(missing)?.is_named = true;
            pending.push(*head);
        }
        pending.extend(self.files.keys().filter(|number| **number > expected.last_number));
        while let Some(number) = pending.pop() {
            if !self.live.insert(number) {
                continue;
            }
            let next = self.walk_over(number)?;
            if let Some(next) = next {
                let missing = ScanError::Missing { segment: next, named_by: Some(number) };
                self.files.get_mut(&next).ok_or(missing)?.is_named = true;
                self.link(number, next);
                pending.push(next);
            }
            // Nothing is released before a manifest knows its number.
            let previous = self.files[&number].own_header().map_or(0, |header| header.previous);
            if previous > expected.last_number && !self.files.contains_key(&previous) {
                return Err(ScanError::Missing { segment: previous, named_by: Some(number) });
            }
            let followers =
                self.files.iter().filter(|(_, file)| file.own_header().is_some_and(|header| header.previous == number));
            let followers: Vec<u64> = followers.map(|(follower, _)| *follower).collect();
            for follower in followers {
                self.link(number, follower);
                pending.push(follower);
            }
        }
        // Without its header nobody can tell whose a segment is. Most likely it was released and never synced, so nothing
        // is linked to it: what others cover need not be in it. Its records say whether they count.
        let lost =
            self.files.iter().filter(|(number, file)| !self.live.contains(number) && file.own_header().is_none());
        for number in lost.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.live.insert(number);
            self.walk_over(number)?;
        }
        // What holds nothing and is named by nobody was made ready for later.
        let files = &self.files;
        self.live.retain(|number| {
            let file = &files[number];
            file.is_named || file.next != 0 || file.walked().end > HEADER_BYTES
        });
        Ok(())
    }

    /// Every live segment is in a lane, each in one place.
    fn check_links(&self) -> Result<(), ScanError> {
        let ordered = self.ordered();
        let tangled = self.live.iter().find(|number| !ordered.contains(number));
        tangled.map_or(Ok(()), |number| {
            Err(ScanError::Damaged { segment: *number, offset: 0, fault: Some(Fault::Meaning) })
        })
    }

    fn link(&mut self, previous: u64, next: u64) {
        if let Some(file) = self.files.get_mut(&previous) {
            file.next = next;
        }
        if let Some(file) = self.files.get_mut(&next) {
            file.previous = previous;
        }
    }

    /// Reads a segment; gives the number of the one behind it, if it is sealed.
    fn walk_over(&mut self, number: u64) -> Result<Option<u64>, ScanError> {
        let file = self.files.get_mut(&number).expect("listed");
        file.found.load().map_err(|error| io_error(&file_name(number), error))?;
        let walk = walk::walk(file.found.bytes(), number).map_err(|senseless| ScanError::Damaged {
            segment: number,
            offset: senseless.offset,
            fault: Some(Fault::Meaning),
        })?;
        if file.header == HeaderReading::Foreign && walk.end == HEADER_BYTES {
            return Err(ScanError::Foreign { name: file_name(number) });
        }
        let next = walk.next;
        file.walk = Some(walk);
        Ok(next)
    }

    /// For each live segment the offset before which all was durable.
    fn covered(&self) -> BTreeMap<u64, usize> {
        let mut covered: BTreeMap<u64, usize> = self.live.iter().map(|number| (*number, 0)).collect();
        let marks: Vec<(u64, usize)> =
            self.live.iter().flat_map(|number| self.files[number].walked().marks.iter().copied()).collect();
        for (number, offset) in marks {
            if let Some(known) = covered.get_mut(&number) {
                *known = offset.max(*known);
            }
            let mut before = self.files.get(&number).map_or(0, |file| file.previous);
            while let Some(known) = covered.get_mut(&before).filter(|known| **known < usize::MAX) {
                *known = usize::MAX;
                before = self.files[&before].previous;
            }
        }
        covered
    }

    /// The live segments, each behind the one before it in its lane.
    fn ordered(&self) -> Vec<u64> {
        let mut ordered = Vec::new();
        for first in self.live.iter().filter(|number| !self.live.contains(&self.files[number].previous)) {
            let mut number = *first;
            while self.live.contains(&number) && !ordered.contains(&number) {
                ordered.push(number);
                number = self.files[&number].next;
            }
        }
        ordered
    }

    fn unused(&self) -> Vec<u64> {
        self.files.keys().copied().filter(|number| !self.live.contains(number)).collect()
    }

    fn lane(&self, number: u64) -> u32 {
        let mut number = number;
        while let Some(file) = self.files.get(&number) {
            match file.own_header() {
                Some(header) => return header.lane,
                None => number = file.previous,
            }
        }
        NO_LANE
    }

    fn into_segments(mut self, judged: &Judged, purpose: Purpose) -> Result<Vec<Segment>, ScanError> {
        let mut segments = Vec::new();
        let covered = self.covered();
        let ordered: Vec<(u64, u32)> = self.ordered().into_iter().map(|number| (number, self.lane(number))).collect();
        for (number, lane) in ordered {
            let file = self.files.get_mut(&number).expect("live");
            let end = judged.ends[&number];
            let is_open = purpose == Purpose::Open;
            let is_cut = judged.cuts.iter().any(|cut| cut.segment == number);
            if is_open || purpose == Purpose::Repair && is_cut {
                // Without a record nobody would know a file again whose header is damaged: it ends before that.
                let is_unknown = end == HEADER_BYTES && file.header == HeaderReading::Foreign;
                let cut = if is_cut { file.found.cut(if is_unknown { 0 } else { end }) } else { Ok(()) };
                // A file that is shorter than a header has nothing to be written.
                let unsure = covered[&number].min(end).min(file.found.bytes().len())..end.min(file.found.bytes().len());
                let durable = cut.and_then(|()| file.found.make_durable(unsure));
                durable.map_err(|error| io_error(&file_name(number), error))?;
            }
            let previous = file.previous;
            let skipped = file.walked().gaps.iter().map(|gap| gap.from..gap.to).filter(|gap| gap.end <= end).collect();
            let found = self.files.remove(&number).expect("live").found;
            segments.push(found.into_segment(Verdict { lane, previous, end, skipped, is_synced: is_open }));
        }
        Ok(segments)
    }
}

// ---- judgement ---------------------------------------------------------------------------------------------------

/// What is decided about the segments.
#[derive(Default)]
struct Judged {
    ends: BTreeMap<u64, usize>,
    cuts: Vec<Cut>,
    damage: Vec<Damage>,
    refused: Vec<bool>,
    damaged_headers: Vec<u64>,
}

impl Judged {
    fn judge(&mut self, files: &Files, number: u64, covered: usize, settled: &[u64]) -> Result<(), ScanError> {
        let file = &files.files[&number];
        let walk = file.walked();
        if file.own_header().is_none() && walk.end > HEADER_BYTES {
            self.damaged_headers.push(number);
        }
        let lane = files.lane(number);
        for gap in &walk.gaps {
            if gap.from >= covered {
                let (offset, parts) = gap.open.unwrap_or((gap.from, 0));
                let records = walk.records - gap.records_before + parts;
                let bytes = walk.end + walk.tail_bytes - offset;
                self.cuts.push(Cut { lane, segment: number, offset, fault: gap.fault, bytes, records });
                self.ends.insert(number, offset);
                return Ok(());
            }
            self.refuse(number, gap, settled)?;
        }
        let is_whole = covered <= walk.end || (covered == usize::MAX && walk.next.is_some());
        if !is_whole {
            return Err(ScanError::Damaged { segment: number, offset: walk.end, fault: walk.tail });
        }
        // A successor without a seal before it: the end of this segment did not get to the disk.
        let is_unsealed = walk.next.is_none() && files.live.contains(&file.next);
        let (offset, parts) = walk.open.unwrap_or((walk.end, 0));
        if walk.open.is_some() || walk.tail.is_some() || is_unsealed {
            let bytes = walk.end + walk.tail_bytes - offset;
            self.cuts.push(Cut { lane, segment: number, offset, fault: walk.tail, bytes, records: parts });
        }
        self.ends.insert(number, offset);
        Ok(())
    }

    /// Refuses the slots of damaged records.
    fn refuse(&mut self, segment: u64, gap: &walk::Gap, settled: &[u64]) -> Result<(), ScanError> {
        let unknown = |offset| ScanError::Damaged { segment, offset, fault: gap.fault };
        if gap.damaged.is_empty() {
            return Err(unknown(gap.from));
        }
        for (offset, header) in &gap.damaged {
            let slot = walk::slot_of(header).ok_or(unknown(*offset))?;
            // What is settled is not read here any more.
            if header.sequence > settled[slot.index()] {
                self.refused[slot.index()] = true;
                let fault = DamageFault::Record(Fault::Checksum(Some(slot)));
                self.damage.push(Damage { slot, segment, offset: *offset, fault });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "scan_test.rs"]
mod tests;
