//! Folding: what of a slot's records is still needed.
//!
//! The log knows no commands. What an effect means for its key comes from above, by [`Interpreter`]; what a history adds
//! up to, by [`Rebuilder`].
//!
//! **Thinning** is for a run of new records on its way to the slot log: a record of a key goes when a later one of the run
//! sets or removes that key whatever it was. Removals stay, since the slot log may hold older records of their keys. A
//! record that may read any key of the slot ([`Meaning::Whole`]) is a wall: nothing before it goes because of what is
//! behind it.
//!
//! **Compaction** is for all records of a slot. Each (database, key) has a chain: what follows the last record that set or
//! removed the key.
//!
//! | chain | what is left of it |
//! |---|---|
//! | ends in a removal | nothing |
//! | one record that sets, or few records | they, verbatim |
//! | longer | what the rebuilder makes of them, with the last one's sequence number and time |
//!
//! With a wall anywhere among them, the rebuilder gets all records. Both keep the order of sequence numbers.

use super::record::{self, Effect, Header, Record};
use crate::base::hash::KeyHasher;
use crate::base::key_slot::SlotId;

/// What an effect means for the keys of its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning<'a> {
    /// Sets this key whatever was there.
    Replaces(&'a [u8]),
    /// There is no such key any more, whatever was there.
    Removes(&'a [u8]),
    /// Depends on what was there, and changes this key only.
    Changes(&'a [u8]),
    /// Anything else: it may read and change every key of the slot, in every database.
    Whole,
}

/// Knows what effects mean.
pub trait Interpreter: Send + Sync {
    fn meaning<'a>(&self, effect: Effect<'a>) -> Meaning<'a>;
}

/// Replays records in a scratch slot and gives the commands that make what is then there.
pub trait Rebuilder: Send {
    /// `emit` takes a database and a command of it.
    fn rebuild(
        &mut self,
        slot: SlotId,
        records: &mut dyn Iterator<Item = Record<'_>>,
        emit: &mut dyn FnMut(u16, &[&[u8]]),
    ) -> Result<(), String>;
}

/// How many keys a slot holds now, if known: the live share of its log.
pub trait Census: Send + Sync {
    fn live_keys(&self, slot: SlotId) -> Option<u64>;
}

/// Chains of so many records are kept verbatim: a rebuilt one would hardly be smaller.
const VERBATIM_RECORDS: u32 = 3;
/// Longer ones are rebuilt, however few records they have.
const VERBATIM_BYTES: u64 = 1024;
const NONE: u32 = u32::MAX;

/// Records of one slot as bytes, each with the epoch of its checksum.
pub type RawRecord<'a> = (&'a [u8], u64);

/// What folding made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// Records that were written out.
    pub records: u64,
    /// Moments before this one can no longer be rebuilt, as far as this folding goes.
    pub history_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Replaces,
    Removes,
    Changes,
    Whole,
}

/// A record while it is folded.
#[derive(Clone, Copy)]
struct Entry<'a> {
    raw: &'a [u8],
    epoch: u64,
    key: &'a [u8],
    hash: u32,
    database: u16,
    form: Form,
    kept: bool,
    /// In thinning not used. In compaction the chain that it belongs to.
    chain: u32,
    /// The next record of its chain.
    next: u32,
}

/// The history of a key since it was last set or removed.
#[derive(Clone, Copy)]
struct Chain {
    first: u32,
    last: u32,
    records: u32,
    bytes: u64,
}

/// Folds records, one slot at a time. Holds what it allocates for the next one.
pub struct Folder {
    hasher: KeyHasher,
    cells: Vec<Cell>,
    generation: u32,
    chains: Vec<Chain>,
}

#[derive(Clone, Copy, Default)]
struct Cell {
    generation: u32,
    hash: u32,
    /// Of an entry or a chain.
    index: u32,
}

impl Folder {
    pub fn new(hasher: KeyHasher) -> Folder {
        Folder { hasher, cells: Vec::new(), generation: 0, chains: Vec::new() }
    }

    /// Thins new records and writes what is left of them to `out`, in epoch 0. Records with a time of `keep_from_ms` or
    /// above, and all behind them, stay.
    pub fn thin<'a>(
        &mut self,
        interpreter: &dyn Interpreter,
        run: impl Iterator<Item = RawRecord<'a>>,
        keep_from_ms: u64,
        out: &mut Vec<u8>,
    ) -> Folded {
        let mut entries = self.gather(interpreter, run);
        let thinned = split(&entries, keep_from_ms);
        self.begin(thinned);
        let mut dropped = false;
        for index in (0..thinned).rev() {
            let entry = entries[index];
            let kept = match entry.form {
                Form::Whole => {
                    self.forget();
                    true
                }
                Form::Changes => !self.is_known(&entries, &entry),
                Form::Replaces | Form::Removes => self.cell(&entries, &entry, index as u32, |index| index).is_none(),
            };
            entries[index].kept = kept;
            dropped |= !kept;
        }
        let mut records = 0;
        for entry in entries.iter().filter(|entry| entry.kept) {
            copy(entry, out);
            records += 1;
        }
        let last = if dropped { entries[..thinned].iter().map(Entry::time_ms).max() } else { None };
        Folded { records, history_ms: last.unwrap_or(0) }
    }

    /// Writes what all records of a slot add up to, in epoch 0, to `out`. Records with a time of `keep_from_ms` or above,
    /// and all behind them, stay as they are behind that. After an error `out` is as it was.
    pub fn compact<'a>(
        &mut self,
        interpreter: &dyn Interpreter,
        rebuilder: &mut dyn Rebuilder,
        slot: SlotId,
        all: impl Iterator<Item = RawRecord<'a>>,
        keep_from_ms: u64,
        out: &mut Vec<u8>,
    ) -> Result<Folded, String> {
        let mut entries = self.gather(interpreter, all);
        let folded = split(&entries, keep_from_ms);
        let (old, kept) = entries.split_at_mut(folded);
        let begin = out.len();
        let mut records = kept.len() as u64;
        let outcome = match old.last().map(|last| last.record().header) {
            Some(last) if old.iter().any(|entry| entry.form == Form::Whole) => {
                rebuild(rebuilder, slot, &mut old.iter().map(Entry::record), last, out)
            }
            _ => {
                self.link(old);
                self.compact_chains(rebuilder, slot, old, out)
            }
        };
        match outcome {
            Ok(written) => records += written,
            Err(error) => {
                out.truncate(begin);
                return Err(error);
            }
        }
        kept.iter().for_each(|entry| copy(entry, out));
        let history_ms = old.iter().map(Entry::time_ms).max().unwrap_or(0);
        Ok(Folded { records, history_ms })
    }

    fn gather<'a>(
        &self,
        interpreter: &dyn Interpreter,
        records: impl Iterator<Item = RawRecord<'a>>,
    ) -> Vec<Entry<'a>> {
        let (least, most) = records.size_hint();
        let mut entries = Vec::with_capacity(most.unwrap_or(least));
        for (raw, epoch) in records {
            let (Record { header, effect }, _) = record::read_trusted(raw);
            let (form, key) = match interpreter.meaning(effect) {
                Meaning::Replaces(key) => (Form::Replaces, key),
                Meaning::Removes(key) => (Form::Removes, key),
                Meaning::Changes(key) => (Form::Changes, key),
                Meaning::Whole => (Form::Whole, &[][..]),
            };
            let hash = self.hasher.hash(key) as u32 ^ u32::from(header.database);
            let database = header.database;
            entries.push(Entry { raw, epoch, key, hash, database, form, kept: true, chain: NONE, next: NONE });
        }
        entries
    }

    /// Strings each key's records together.
    fn link(&mut self, entries: &mut [Entry<'_>]) {
        self.begin(entries.len());
        self.chains.clear();
        for index in 0..entries.len() {
            let entry = entries[index];
            let new = self.chains.len() as u32;
            let known = self.cell_of_chain(entries, &entry, new);
            let bytes = entry.raw.len() as u64;
            let alone = Chain { first: index as u32, last: index as u32, records: 1, bytes };
            let number = known.unwrap_or(new);
            match known {
                None => self.chains.push(alone),
                Some(known) => {
                    let chain = &mut self.chains[known as usize];
                    // Whatever came before a record that sets or removes is superseded; before a change that follows a
                    // removal, that removal.
                    if entry.form != Form::Changes || entries[chain.last as usize].form == Form::Removes {
                        *chain = alone;
                    } else {
                        entries[chain.last as usize].next = index as u32;
                        *chain = Chain {
                            first: chain.first,
                            last: index as u32,
                            records: chain.records + 1,
                            bytes: chain.bytes + bytes,
                        };
                    }
                }
            }
            entries[index].chain = number;
        }
    }

    fn compact_chains(
        &self,
        rebuilder: &mut dyn Rebuilder,
        slot: SlotId,
        entries: &[Entry<'_>],
        out: &mut Vec<u8>,
    ) -> Result<u64, String> {
        let mut written = 0;
        for (index, entry) in entries.iter().enumerate() {
            let chain = self.chains[entry.chain as usize];
            let index = index as u32;
            if index < chain.first || entries[chain.last as usize].form == Form::Removes {
                continue;
            }
            let short = chain.records <= VERBATIM_RECORDS && chain.bytes <= VERBATIM_BYTES;
            if chain.records == 1 || short {
                copy(entry, out);
                written += 1;
            } else if index == chain.last {
                let mut at = chain.first;
                let mut links = std::iter::from_fn(|| {
                    let entry = entries.get(at as usize)?;
                    at = entry.next;
                    Some(entry.record())
                });
                written += rebuild(rebuilder, slot, &mut links, entry.record().header, out)?;
            }
        }
        Ok(written)
    }

    // ---- the table of keys ---------------------------------------------------------------------------------------

    /// Makes the table empty, and large enough for so many keys.
    fn begin(&mut self, keys: usize) {
        let cells = (keys * 2).next_power_of_two().max(64);
        if self.cells.len() < cells || self.cells.len() > cells.saturating_mul(1024) {
            self.cells = vec![Cell::default(); cells];
            self.generation = 0;
        }
        self.forget();
    }

    fn forget(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        if self.generation == 0 {
            self.cells.fill(Cell::default());
            self.generation = 1;
        }
    }

    /// The index at the entry's key, or where it would stand.
    #[inline]
    fn find(&self, entry: &Entry<'_>, same: impl Fn(u32) -> bool) -> Result<u32, usize> {
        let mask = self.cells.len() - 1;
        let mut at = entry.hash as usize & mask;
        loop {
            let cell = self.cells[at];
            if cell.generation != self.generation {
                return Err(at);
            }
            if cell.hash == entry.hash && same(cell.index) {
                return Ok(cell.index);
            }
            at = (at + 1) & mask;
        }
    }

    #[inline]
    fn is_known(&self, entries: &[Entry<'_>], entry: &Entry<'_>) -> bool {
        self.find(entry, |index| entries[index as usize].same_key(entry)).is_ok()
    }

    /// The index at the entry's key; if there is none, `new` is put there. `entry_of` gives the entry that an index
    /// stands for.
    #[inline]
    fn cell(
        &mut self,
        entries: &[Entry<'_>],
        entry: &Entry<'_>,
        new: u32,
        entry_of: impl Fn(u32) -> u32,
    ) -> Option<u32> {
        match self.find(entry, |index| entries[entry_of(index) as usize].same_key(entry)) {
            Ok(index) => Some(index),
            Err(at) => {
                self.cells[at] = Cell { generation: self.generation, hash: entry.hash, index: new };
                None
            }
        }
    }

    #[inline]
    fn cell_of_chain(&mut self, entries: &[Entry<'_>], entry: &Entry<'_>, new: u32) -> Option<u32> {
        let chains = std::mem::take(&mut self.chains);
        let found = self.cell(entries, entry, new, |chain| chains[chain as usize].last);
        self.chains = chains;
        found
    }
}

impl<'a> Entry<'a> {
    fn record(&self) -> Record<'a> {
        record::read_trusted(self.raw).0
    }

    fn time_ms(&self) -> u64 {
        self.record().header.time_ms
    }

    #[inline]
    fn same_key(&self, other: &Entry<'_>) -> bool {
        self.key == other.key && self.database == other.database
    }
}

/// How many of the records, from the front, may be folded.
fn split(entries: &[Entry<'_>], keep_from_ms: u64) -> usize {
    if keep_from_ms == u64::MAX {
        return entries.len();
    }
    entries.iter().position(|entry| entry.time_ms() >= keep_from_ms).unwrap_or(entries.len())
}

/// Copies a record into a slot log.
#[inline]
fn copy(entry: &Entry<'_>, out: &mut Vec<u8>) {
    let begin = out.len();
    let following = u32::from_le_bytes([entry.raw[28], entry.raw[29], entry.raw[30], entry.raw[31]]);
    if following == 0 {
        out.extend_from_slice(entry.raw);
        if entry.epoch != 0 {
            record::change_epoch(&mut out[begin..], entry.epoch, 0);
        }
    } else {
        let Record { header, effect } = entry.record();
        out.resize(begin + entry.raw.len(), 0);
        record::write_encoded(&mut out[begin..], Header { following: 0, ..header }, effect, 0);
    }
}

/// Writes what the rebuilder makes of records, with the sequence number and time of `last`, the last one.
fn rebuild(
    rebuilder: &mut dyn Rebuilder,
    slot: SlotId,
    records: &mut dyn Iterator<Item = Record<'_>>,
    last: Header,
    out: &mut Vec<u8>,
) -> Result<u64, String> {
    let (mut written, mut too_long) = (0, false);
    rebuilder.rebuild(slot, records, &mut |database, arguments| {
        let effect_bytes = record::effect_bytes(arguments);
        if effect_bytes > record::EFFECT_BYTES_MAX {
            too_long = true;
            return;
        }
        let at = out.len();
        out.resize(at + record::record_bytes(effect_bytes), 0);
        record::write(&mut out[at..], Header { database, following: 0, ..last }, arguments, effect_bytes, 0);
        written += 1;
    })?;
    if too_long { Err("a rebuilt command is longer than a record can be".to_owned()) } else { Ok(written) }
}

#[cfg(test)]
mod tests {
    use super::super::toy::{self, State, Toy};
    use super::*;
    use crate::base::random::Rng;

    fn slot() -> SlotId {
        SlotId::new(7).unwrap()
    }

    fn folder() -> Folder {
        Folder::new(KeyHasher::from_seed(1, 2))
    }

    /// Records of sequence 1 on, in epoch 9, with times that now and then go back.
    fn history(rng: &mut Rng, count: u64, whole_share: u64) -> Vec<Vec<u8>> {
        (1..=count)
            .map(|sequence| {
                let command = toy::command(rng, whole_share);
                let arguments: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
                let time_ms = 1000 + sequence * 10 - rng.below(30);
                let header = toy::header(slot(), rng.below(2) as u16, sequence, time_ms);
                toy::encoded(Header { following: rng.below(2) as u32, ..header }, &arguments, 9)
            })
            .collect()
    }

    fn raw(records: &[Vec<u8>]) -> impl Iterator<Item = RawRecord<'_>> {
        records.iter().map(|record| (record.as_slice(), 9))
    }

    fn trusted(records: &[Vec<u8>]) -> Vec<Record<'_>> {
        records.iter().map(|record| record::read_trusted(record).0).collect()
    }

    fn state_at<'a>(records: impl IntoIterator<Item = Record<'a>>, moment_ms: u64) -> State {
        let mut state = State::new();
        for record in records {
            if record.header.time_ms <= moment_ms {
                toy::apply(&mut state, record);
            }
        }
        state
    }

    fn state<'a>(records: impl IntoIterator<Item = Record<'a>>) -> State {
        state_at(records, u64::MAX)
    }

    fn one(sequence: u64, arguments: &[&[u8]]) -> Vec<u8> {
        toy::encoded(toy::header(slot(), 0, sequence, 1000 + sequence), arguments, 9)
    }

    fn thinned(records: &[Vec<u8>]) -> Vec<u64> {
        let mut out = Vec::new();
        let folded = folder().thin(&Toy, raw(records), u64::MAX, &mut out);
        let left = toy::records(&out);
        assert_eq!(folded.records, left.len() as u64);
        left.iter().map(|record| record.header.sequence).collect()
    }

    #[test]
    fn thinning_drops_what_is_superseded_in_the_run() {
        let run = [
            one(1, &[b"SET", b"a", b"1"]),
            one(2, &[b"APPEND", b"a", b"2"]),
            one(3, &[b"SET", b"b", b"1"]),
            one(4, &[b"DEL", b"a"]),
            one(5, &[b"APPEND", b"b", b"2"]),
            one(6, &[b"APPEND", b"a", b"3"]),
        ];
        assert_eq!(thinned(&run), [3, 4, 5, 6]);
    }

    #[test]
    fn nothing_is_dropped_across_a_record_that_may_read_it() {
        let run = [
            one(1, &[b"SET", b"a", b"0"]),
            one(2, &[b"SET", b"a", b"1"]),
            one(3, &[b"RENAME", b"a", b"b"]),
            one(4, &[b"SET", b"a", b"2"]),
            one(5, &[b"SET", b"a", b"3"]),
        ];
        assert_eq!(thinned(&run), [2, 3, 5]);
    }

    #[test]
    fn thinned_runs_lead_to_the_same_state() {
        let mut folder = folder();
        for seed in 0..600 {
            let mut rng = Rng::from_seed(seed);
            let records = history(&mut rng, 60, seed % 3 * 15);
            let (below, run) = records.split_at(rng.below(30) as usize);
            let mut out = Vec::new();
            let keep_from_ms = if seed % 2 == 0 { u64::MAX } else { 1000 + rng.below(700) };
            let folded = folder.thin(&Toy, raw(run), keep_from_ms, &mut out);
            let left = toy::records(&out);
            assert_eq!(folded.records, left.len() as u64);
            assert!(left.iter().all(|record| record.header.following == 0));
            let whole = || trusted(below).into_iter().chain(left.iter().copied());
            assert_eq!(state(whole()), state(trusted(&records)), "seed {seed}");
            assert!(whole().is_sorted_by_key(|record| record.header.sequence));
            check_moments(whole, &records, folded.history_ms, seed);
        }
    }

    /// Every moment from `history_ms` on can be rebuilt.
    fn check_moments<'a, I: Iterator<Item = Record<'a>>>(
        left: impl Fn() -> I,
        records: &[Vec<u8>],
        history_ms: u64,
        seed: u64,
    ) {
        for moment_ms in history_ms..1700 {
            let expected = state_at(trusted(records), moment_ms);
            assert_eq!(state_at(left(), moment_ms), expected, "seed {seed} at {moment_ms}");
        }
    }

    #[test]
    fn compacted_logs_lead_to_the_same_state() {
        let mut folder = folder();
        for seed in 0..600 {
            let mut rng = Rng::from_seed(seed);
            let records = history(&mut rng, 80, seed % 3 * 20);
            let mut out = b"before".to_vec();
            let keep_from_ms = if seed % 2 == 0 { 1000 + rng.below(700) } else { u64::MAX };
            let folded = folder.compact(&Toy, &mut Toy, slot(), raw(&records), keep_from_ms, &mut out).unwrap();
            let left = toy::records(&out[6..]);
            assert_eq!(folded.records, left.len() as u64);
            assert_eq!(state(left.iter().copied()), state(trusted(&records)), "seed {seed}");
            assert!(left.is_sorted_by_key(|record| record.header.sequence), "seed {seed}");
            if keep_from_ms == u64::MAX {
                let keys = state(trusted(&records)).len();
                assert!(left.len() <= keys * VERBATIM_RECORDS as usize, "{} for {keys}", left.len());
            }
            check_moments(|| left.iter().copied(), &records, folded.history_ms, seed);
        }
    }

    #[test]
    fn compaction_says_what_it_does_with_each_chain() {
        let long = vec![b'x'; 600];
        let records = [
            one(1, &[b"SET", b"gone", b"1"]),
            one(2, &[b"SET", b"alone", b"0"]),
            one(3, &[b"APPEND", b"short", b"1"]),
            one(4, &[b"APPEND", b"large", &long]),
            one(5, &[b"SET", b"alone", b"1"]),
            one(6, &[b"APPEND", b"short", b"2"]),
            one(7, &[b"APPEND", b"large", &long]),
            one(8, &[b"DEL", b"gone"]),
            one(9, &[b"DEL", b"again"]),
            one(10, &[b"APPEND", b"again", b"1"]),
        ];
        let mut out = Vec::new();
        folder().compact(&Toy, &mut Toy, slot(), raw(&records), u64::MAX, &mut out).unwrap();
        let left: Vec<(u64, u64)> =
            toy::records(&out).iter().map(|record| (record.header.sequence, record.header.time_ms)).collect();
        assert_eq!(left, [3, 5, 6, 7, 10].map(|sequence| (sequence, 1000 + sequence)));
    }

    #[test]
    fn what_cannot_be_rebuilt_leaves_nothing_behind() {
        let records = [one(1, &[b"SET", b"a", b"1"]), one(2, &[b"BROKEN"])];
        let mut out = b"before".to_vec();
        let outcome = folder().compact(&Toy, &mut Toy, slot(), raw(&records), u64::MAX, &mut out);
        assert_eq!(outcome, Err("an unknown command".to_owned()));
        assert_eq!(out, b"before");
    }
}
