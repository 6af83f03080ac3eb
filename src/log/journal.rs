//! The journal: where every change goes first, in the order of appending, a sequential segment per lane.
//!
//! ```text
//!   worker --slot's lock--> append --lane's lock--> segment (mapping) ... sealed --cut--> settling --release--> spare
//!                                      ^                    ^
//!                     filler: space ahead, next segment     sync thread: rounds over all lanes
//! ```
//! Locks, in the order of taking: slots (the caller's), a lane, then `live` or `spares` or a segment's `filling`. A cut
//! takes the lanes one after the other.
//!
//! **Cut.** A cut seals segments such that, of every slot, they and older ones hold a prefix of the history, and of a
//! transaction all or nothing. It stops nobody. There is one number, the generation. A cut adds one to it, then locks
//! each lane in turn and seals its segment, unless that was begun in the new generation already. An append, under its
//! lane's lock, compares the lane's generation with the number and goes over to a new segment first if they differ.
//! - Take two changes of one slot, the first before the second. The slot's lock orders them, so what the first one read
//!   of the generation is not newer than what the second one read: that is coherence, of which relaxed loads have
//!   enough. If the second is in a segment of the old generation, so is the first.
//! - A change of the old generation was appended under its lane's lock before the cut took that lock, or it would have
//!   found the lane gone over. So the segment that the cut seals holds it.
//! - A transaction reads the generation once, while all its slots are locked, and stands in one segment.
//!
//! A lane that cannot begin a segment because the disk is full goes on in the old one while there is room, and remembers
//! the generation that it read. The cut that made it then fails and names no segments; the next one will do.
//!
//! **Space.** An append asks the disk for nothing when it was reserved: the filler is ahead of it. When it must ask after
//! all and gets an error, memory is ahead of the log, and the journal has failed.
//!
//! **Release.** A settled segment loses its name as soon as the one before it in its lane has: what recovery finds of a
//! lane then has no gaps. Its file is used again when nobody holds the segment any more.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

use super::core::{Core, Live};
use super::filler::{self, Signal};
use super::health::{Health, State, Stopped};
use super::lane::{self, Lane, OVERHEAD_BYTES, Padded};
use super::record::{self, EFFECT_BYTES_MAX};
use super::segment::{HEADER_BYTES, Segment, Writer};
use super::storage::Storage;
use super::sync::{self, Policy, Rounds, SyncCounts};
use super::transaction::{Change, Parts};
use crate::base::{clock, memory};

/// The generation of segments that the server found when it started.
pub const RECOVERED_GENERATION: u64 = 0;

/// How a journal is made.
pub struct Options {
    /// One for each thread that appends.
    pub lanes: usize,
    /// A segment is larger only for a transaction that needs it.
    pub segment_bytes: usize,
    /// Above every number that a segment ever had.
    pub first_number: u64,
    /// Released segments that are kept to be used again.
    pub spares: usize,
    /// How far ahead of each lane's end space is kept.
    pub fill_ahead_bytes: usize,
    pub policy: Policy,
    /// Between two rounds that nobody asked for, and between two marks in a lane.
    pub period_ms: u64,
    /// What recovery found: not released, and in the first cut.
    pub recovered: Vec<Arc<Segment>>,
}

impl Options {
    pub fn new(lanes: usize) -> Options {
        Options {
            lanes,
            segment_bytes: 64 << 20,
            first_number: 1,
            spares: 4,
            fill_ahead_bytes: 4 << 20,
            policy: Policy::EverySecond,
            period_ms: 1000,
            recovered: Vec::new(),
        }
    }
}

/// What a manifest says of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Segments that must be there: those that are not released and have none before them that is not.
    pub numbers: Vec<u64>,
    /// No segment has a number above this.
    pub last_number: u64,
}

pub struct Journal {
    core: Arc<Core>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// One cut at a time.
    cutting: Mutex<()>,
}

impl Journal {
    /// A journal that goes on behind what recovery found.
    pub fn create(storage: Arc<dyn Storage>, mut options: Options) -> io::Result<Arc<Journal>> {
        // Pages are what mappings and the filler count in.
        options.segment_bytes = options.segment_bytes.max(OVERHEAD_BYTES).next_multiple_of(4096);
        let recovered = std::mem::take(&mut options.recovered);
        let generation = RECOVERED_GENERATION + 1;
        let mut core = Core {
            health: Health::default(),
            lanes: Box::default(),
            generation: AtomicU64::new(generation),
            filler: Signal::default(),
            rounds: Rounds::new(options.policy),
            last_number: AtomicU64::new(options.first_number.max(1) - 1),
            free_bytes: AtomicU64::new(storage.free_bytes()?),
            live: Mutex::default(),
            spares: Mutex::default(),
            storage,
            options,
        };
        let past_bytes = recovered.iter().map(|segment| segment.end() as u64).sum::<u64>();
        *core.live.get_mut() = Live { segments: recovered, settled: Vec::new(), past_bytes: past_bytes.wrapping_neg() };
        let mut lanes = Vec::new();
        for number in 0..core.options.lanes as u32 {
            let space = core.prepare(0)?;
            space.fill(OVERHEAD_BYTES.max(core.options.fill_ahead_bytes), core.fill_step_bytes())?;
            let writer = Writer::begin(space, number, 0, generation, clock::unix_ms());
            core.add_live(Arc::clone(writer.segment()));
            lanes.push(Padded::new(Lane::new(number, writer, generation)));
        }
        core.lanes = lanes.into();
        let core = Arc::new(core);
        let filler = Arc::clone(&core);
        let syncer = Arc::clone(&core);
        let threads =
            vec![aside("log-filler", move || filler::run(&filler))?, aside("log-sync", move || sync::run(&syncer))?];
        Ok(Arc::new(Journal { core, threads: Mutex::new(threads), cutting: Mutex::new(()) }))
    }

    // ---- appending -----------------------------------------------------------------------------------------------

    /// Appends a change, under the lock of its slot. After a [`Journal::reserve`] that covers it, it does not fail unless
    /// the journal has.
    #[inline]
    pub fn append(&self, lane: usize, change: &Change<'_>) -> Result<(), Stopped> {
        let effect_bytes = record::effect_bytes(change.arguments);
        self.append_bytes(lane, record::record_bytes(effect_bytes), |into, epoch| {
            record::write(into, change.header(0), change.arguments, effect_bytes, epoch);
        })
    }

    /// Appends the changes of one transaction, all or none of which will be there after a crash. The caller holds the
    /// locks of all their slots.
    pub fn append_all(&self, lane: usize, parts: &Parts) -> Result<(), Stopped> {
        self.append_bytes(lane, parts.bytes(), |into, epoch| parts.write(into, epoch))
    }

    #[inline]
    fn append_bytes(&self, lane: usize, bytes: usize, write: impl FnOnce(&mut [u8], u64)) -> Result<(), Stopped> {
        let core = &*self.core;
        if core.health.has_failed() {
            return Err(Stopped::Failed);
        }
        let appended = core.lanes[lane].0.lock().append(core, bytes, write);
        appended.map_err(|error| {
            let stopped = core.health.fail(&lane::describe(&error));
            core.rounds.wake_all();
            stopped
        })
    }

    /// Makes sure that so many bytes of records can be appended to this lane without asking the disk for space; to be
    /// called before the change is made in memory. Takes the place of what was reserved before. Costs hardly anything where
    /// the filler keeps up and the change is not large. A record takes
    /// `record::record_bytes(record::effect_bytes(arguments))`; more than a record can hold is refused.
    #[inline]
    pub fn reserve(&self, lane: usize, bytes: usize) -> Result<(), Stopped> {
        let core = &*self.core;
        core.health.check()?;
        if bytes > EFFECT_BYTES_MAX {
            return Err(Stopped::TooLarge);
        }
        let lane = &core.lanes[lane];
        if lane.is_ample() && bytes <= lane::ample_bytes(core) {
            return Ok(());
        }
        let reserved = lane.0.lock().reserve(core, bytes);
        reserved.map_err(|error| core.health.note("making room in the journal", &error))
    }

    // ---- segments ------------------------------------------------------------------------------------------------

    /// Seals what was appended so far; gives all sealed segments up to here that are not released. With older ones they
    /// hold a prefix of every slot's history. Fails without harm when the disk is full.
    pub fn cut(&self) -> io::Result<Vec<Arc<Segment>>> {
        let _cutting = self.cutting.lock();
        let core = &*self.core;
        let generation = core.generation.fetch_add(1, Ordering::Relaxed) + 1;
        for lane in &core.lanes {
            let cut = lane.0.lock().cut(core, generation);
            cut.inspect_err(|error| {
                core.health.note("sealing the journal's segments", error);
            })?;
        }
        let mut segments = Vec::new();
        core.for_live(|segment| {
            if segment.is_sealed() && segment.generation() < generation {
                segments.push(Arc::clone(segment));
            }
        });
        Ok(segments)
    }

    /// Gives up segments whose changes are settled, in a manifest that is durable and does not name them.
    pub fn release(&self, segments: &[Arc<Segment>]) {
        let gone = self.core.live.lock().release(segments);
        gone.into_iter().for_each(|segment| self.core.retire(segment));
        self.core.filler.wake();
    }

    /// Gives the files of released segments back to the file system, while nothing is written that they would serve.
    pub fn drop_spares(&self) {
        self.core.drop_spares();
    }

    /// What the next manifest is to say: called after settling, with the segments that will be released once it is
    /// durable.
    pub fn heads(&self, settled: &[Arc<Segment>]) -> Heads {
        let live = self.core.live.lock();
        Heads { numbers: live.heads(settled), last_number: self.core.last_number.load(Ordering::Relaxed) }
    }

    /// Bytes in segments that are not released.
    pub fn unsettled_bytes(&self) -> u64 {
        let mut bytes = 0;
        self.core.for_live(|segment| bytes += (segment.end() - HEADER_BYTES) as u64);
        bytes
    }

    /// Bytes appended since the start, headers of segments included.
    pub fn appended_bytes(&self) -> u64 {
        let live = self.core.live.lock();
        live.segments.iter().fold(live.past_bytes, |bytes, segment| bytes.wrapping_add(segment.end() as u64))
    }

    /// Bytes that the disk had left when it was last looked at, about a second ago.
    pub fn free_bytes(&self) -> u64 {
        self.core.free_bytes.load(Ordering::Relaxed)
    }

    // ---- health --------------------------------------------------------------------------------------------------

    #[inline]
    pub fn is_running(&self) -> bool {
        self.core.health.is_running()
    }

    /// `Ok` if changes may be made; otherwise what to answer.
    #[inline]
    pub fn check(&self) -> Result<(), Stopped> {
        self.core.health.check()
    }

    pub fn state(&self) -> State {
        self.core.health.state()
    }

    /// Takes nothing more: for a caller that found memory and log apart.
    pub fn fail(&self, why: &str) {
        self.core.health.fail(why);
        self.core.rounds.wake_all();
    }

    // ---- durability ----------------------------------------------------------------------------------------------

    pub fn policy(&self) -> Policy {
        self.core.rounds.policy()
    }

    pub fn set_policy(&self, policy: Policy) {
        self.core.rounds.set_policy(policy);
    }

    /// The round that makes durable what this thread has appended so far.
    #[inline]
    pub fn ticket(&self) -> u64 {
        self.core.rounds.ticket()
    }

    /// The last round that succeeded. With it, all before it did.
    #[inline]
    pub fn durable_round(&self) -> u64 {
        self.core.rounds.durable()
    }

    /// Asks for a round that begins after this call.
    pub fn request(&self) {
        self.core.rounds.request();
    }

    /// Asks for nothing, and wakes the task when the round has succeeded, or the journal has failed: look at
    /// [`Journal::durable_round`] and [`Journal::state`] then. It may be woken at once.
    pub fn on_durable(&self, ticket: u64, waker: &Waker) {
        self.core.rounds.on_durable(&self.core.health, ticket, waker);
    }

    /// Asks for a round and blocks until round `ticket` has succeeded; false if the time ran out.
    pub fn wait(&self, ticket: u64, timeout: Duration) -> Result<bool, Stopped> {
        self.core.rounds.wait(&self.core.health, ticket, timeout)
    }

    pub fn sync_counts(&self) -> SyncCounts {
        self.core.rounds.counts()
    }

    /// Makes everything durable and ends the threads. Nobody appends any more.
    pub fn close(&self) -> Result<(), Stopped> {
        self.core.rounds.close();
        self.core.filler.stop();
        self.join();
        if self.core.health.has_failed() { Err(Stopped::Failed) } else { Ok(()) }
    }

    fn join(&self) {
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                self.core.health.fail("a thread of the journal has panicked");
            }
        }
    }
}

impl Drop for Journal {
    /// Ends the threads without a sync: what is not durable stays so.
    fn drop(&mut self) {
        self.core.rounds.stop();
        self.core.filler.stop();
        self.join();
    }
}

/// Starts a thread whose memory is not the data set's.
fn aside(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(move || {
        memory::work_aside();
        work();
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::atomic::AtomicUsize;

    use super::super::record::Kind;
    use super::super::segment::file_name;
    use super::super::simulated_disk::{Operation, SimulatedDisk};
    use super::super::slot_index::SlotIndex;
    use super::*;
    use crate::base::key_slot::SlotId;

    const FILE_BYTES: usize = 64 << 10;

    fn journal(disk: &SimulatedDisk, change: impl FnOnce(&mut Options)) -> Arc<Journal> {
        let mut options = Options {
            segment_bytes: 16 << 10,
            fill_ahead_bytes: 4 << 10,
            policy: Policy::No,
            spares: 2,
            ..Options::new(2)
        };
        change(&mut options);
        Journal::create(Arc::new(disk.clone()), options).unwrap()
    }

    fn slot(number: u16) -> SlotId {
        SlotId::new(number).unwrap()
    }

    fn append(journal: &Journal, lane: usize, number: u16, sequence: u64) -> Result<(), Stopped> {
        let arguments: &[&[u8]] = &[b"SET", b"key", &[b'v'; 50]];
        journal.append(lane, &Change { slot: slot(number), database: 0, sequence, time_ms: 1, arguments })
    }

    fn effects(segments: &[Arc<Segment>]) -> Vec<(u16, u64)> {
        let records = segments.iter().flat_map(|segment| segment.records());
        let effects = records.filter(|(_, record)| record.header.kind == Kind::Effect);
        effects.map(|(_, record)| (record.header.slot.unwrap().number(), record.header.sequence)).collect()
    }

    #[test]
    fn a_cut_has_what_was_appended_before_and_nothing_else() {
        let disk = SimulatedDisk::new(1, FILE_BYTES);
        let journal = journal(&disk, |_| {});
        assert!(journal.cut().unwrap().is_empty());
        append(&journal, 0, 5, 1).unwrap();
        append(&journal, 1, 5, 2).unwrap();
        append(&journal, 0, 6, 1).unwrap();
        let first = journal.cut().unwrap();
        assert_eq!(effects(&first), [(5, 1), (6, 1), (5, 2)]);
        append(&journal, 1, 5, 3).unwrap();
        assert_eq!(effects(&first), [(5, 1), (6, 1), (5, 2)]);
        // Nobody touched lane 0 since, so its segment stays.
        let second = journal.cut().unwrap();
        assert_eq!((second.len(), effects(&second).len()), (3, 4));
        let index = SlotIndex::build(&second, &mut || ());
        let sequences: Vec<_> = index.records(slot(5)).map(|record| record.header.sequence).collect();
        assert_eq!((sequences, index.len()), (vec![1, 2, 3], 4));
        assert_eq!(index.slots().collect::<Vec<_>>(), [slot(5), slot(6)]);
        let (bytes, epoch) = index.bytes(index.positions(slot(6))[0]);
        assert!(matches!(record::read(bytes, epoch), record::Reading::Whole(_, total) if total == bytes.len()));

        let heads = journal.heads(&[]);
        assert_eq!(heads.numbers.len(), 2);
        let after = journal.heads(&second);
        assert!(after.numbers.len() == 2 && !after.numbers.iter().any(|number| heads.numbers.contains(number)));
        assert!(after.last_number >= *after.numbers.iter().max().unwrap());
        assert!(journal.unsettled_bytes() > 0);
        // The second one of a lane waits for the first.
        let of_lane_1: Vec<_> = second.iter().filter(|segment| segment.lane() == 1).cloned().collect();
        journal.release(&of_lane_1[1..]);
        assert!(disk.names().unwrap().contains(&file_name(of_lane_1[1].number())));
        journal.release(&second);
        let names = disk.names().unwrap();
        assert!(!second.iter().any(|segment| names.contains(&file_name(segment.number()))), "{names:?}");
        assert_eq!(journal.heads(&[]), Heads { last_number: journal.heads(&[]).last_number, ..after });
        assert!(journal.cut().unwrap().is_empty());
    }

    #[test]
    fn files_are_used_again_when_nobody_reads_them() {
        let disk = SimulatedDisk::new(2, FILE_BYTES);
        let journal = journal(&disk, |options| options.lanes = 1);
        for round in 0..20 {
            for sequence in 0..300 {
                append(&journal, 0, 9, round * 300 + sequence + 1).unwrap();
            }
            let cut = journal.cut().unwrap();
            let got: Vec<_> = effects(&cut).into_iter().map(|(_, sequence)| sequence).collect();
            assert_eq!(got, (round * 300 + 1..=round * 300 + 300).collect::<Vec<_>>());
            journal.release(&cut);
        }
        assert!(disk.names().unwrap().len() < 8, "{:?}", disk.names());
        let appended = 20 * 300 * 96;
        assert!(journal.appended_bytes() >= appended && journal.appended_bytes() < appended + 20 * 3 * 400);
        journal.close().unwrap();
    }

    #[test]
    fn what_is_larger_than_a_segment_gets_one_of_its_own() {
        let disk = SimulatedDisk::new(3, FILE_BYTES);
        let journal = journal(&disk, |_| {});
        let mut parts = Parts::default();
        let value = vec![b'x'; 10_000];
        for number in 1..4 {
            let arguments: &[&[u8]] = &[b"SET", b"k", &value];
            parts.push(&Change { slot: slot(number), database: 0, sequence: 1, time_ms: 1, arguments });
        }
        append(&journal, 0, 1, 1).unwrap();
        journal.reserve(0, parts.bytes()).unwrap();
        journal.append_all(0, &parts).unwrap();
        append(&journal, 0, 1, 2).unwrap();
        let cut = journal.cut().unwrap();
        assert_eq!(effects(&cut), [(1, 1), (1, 1), (2, 1), (3, 1), (1, 2)]);
        assert_eq!(cut[1].previous(), cut[0].number());
        assert_eq!(journal.reserve(0, 5 << 30), Err(Stopped::TooLarge));
        assert!(journal.is_running());
    }

    #[test]
    fn a_full_disk_is_an_answer_and_ends() {
        let disk = SimulatedDisk::new(4, FILE_BYTES);
        let journal = journal(&disk, |options| options.lanes = 1);
        disk.set_capacity(40 << 10);
        let mut sequence = 0;
        while journal.reserve(0, 96).is_ok() {
            sequence += 1;
            append(&journal, 0, 1, sequence).unwrap();
            assert!(sequence < 10_000);
        }
        assert_eq!(journal.state(), State::Full);
        // What was asked for before is taken even now, and a cut fails without harm or has all.
        disk.set_capacity(u64::MAX);
        let began = clock::ticks();
        while !journal.is_running() {
            assert!(clock::ticks().nanos_since(began) < 5_000_000_000);
            thread::sleep(Duration::from_millis(10));
        }
        journal.reserve(0, 96).unwrap();
        append(&journal, 0, 1, sequence + 1).unwrap();
        assert_eq!(effects(&journal.cut().unwrap()).len() as u64, sequence + 1);
    }

    #[test]
    fn an_append_that_finds_no_space_fails_the_journal() {
        let disk = SimulatedDisk::new(5, FILE_BYTES);
        let journal = journal(&disk, |options| options.lanes = 1);
        disk.set_capacity(0);
        let mut sequence = 0;
        while append(&journal, 0, 1, sequence + 1).is_ok() {
            sequence += 1;
        }
        assert!(matches!(journal.state(), State::Failed(why) if why.contains("in memory and not in the log")));
        disk.set_capacity(u64::MAX);
        assert_eq!(append(&journal, 0, 1, sequence + 1), Err(Stopped::Failed));
        assert_eq!(journal.close(), Err(Stopped::Failed));
    }

    #[test]
    fn a_lane_without_space_fails_the_cut_that_passed_it() {
        let disk = SimulatedDisk::new(6, FILE_BYTES);
        let journal = journal(&disk, |options| options.fill_ahead_bytes = 16 << 10);
        let began = clock::ticks();
        // Both lanes' next segments are ready.
        while disk.names().unwrap().len() < 4 {
            assert!(clock::ticks().nanos_since(began) < 5_000_000_000);
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(20));
        disk.fail(Operation::Write, 0, u64::MAX, libc::ENOSPC);
        for sequence in 1..=3 {
            append(&journal, 0, 1, sequence).unwrap();
            if sequence < 3 {
                journal.cut().unwrap_or_default();
            }
        }
        assert!(journal.cut().is_err());
        disk.heal();
        while !journal.is_running() {
            assert!(clock::ticks().nanos_since(began) < 5_000_000_000);
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(effects(&journal.cut().unwrap()), [(1, 1), (1, 2), (1, 3)]);
    }

    #[test]
    fn a_failed_sync_is_the_end() {
        let disk = SimulatedDisk::new(7, FILE_BYTES);
        let journal = journal(&disk, |options| options.policy = Policy::Always);
        append(&journal, 0, 1, 1).unwrap();
        assert_eq!(journal.wait(journal.ticket(), Duration::from_secs(5)), Ok(true));
        disk.fail(Operation::Sync, 0, 1, libc::EIO);
        append(&journal, 0, 1, 2).unwrap();
        assert_eq!(journal.wait(journal.ticket(), Duration::from_secs(5)), Err(Stopped::Failed));
        assert_eq!(append(&journal, 0, 1, 3), Err(Stopped::Failed));
        assert_eq!(journal.reserve(0, 8), Err(Stopped::Failed));
        assert_eq!(journal.close(), Err(Stopped::Failed));
    }

    /// Counts how often it is woken.
    struct Count(AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn one_round_serves_all_who_wait() {
        let disk = SimulatedDisk::new(8, FILE_BYTES);
        let journal = journal(&disk, |options| options.policy = Policy::Always);
        disk.set_sync_delay(Duration::from_millis(30));
        append(&journal, 0, 1, 1).unwrap();
        let first = journal.ticket();
        journal.request();
        let count = Arc::new(Count(AtomicUsize::new(0)));
        for sequence in 2..50 {
            append(&journal, 1, 1, sequence).unwrap();
            journal.on_durable(journal.ticket(), &Waker::from(Arc::clone(&count)));
            journal.request();
        }
        assert_eq!(journal.wait(first + 1, Duration::from_secs(5)), Ok(true));
        assert_eq!(count.0.load(Ordering::SeqCst), 48);
        assert!(journal.sync_counts().rounds <= 3, "{:?}", journal.sync_counts());
        journal.on_durable(first, &Waker::from(Arc::clone(&count)));
        assert_eq!(count.0.load(Ordering::SeqCst), 49);
        assert_eq!(journal.wait(journal.ticket(), Duration::from_secs(5)), Ok(true));
        // Nothing new, so nothing is synced.
        let syncs = disk.syncs();
        assert_eq!(journal.wait(journal.ticket(), Duration::from_secs(5)), Ok(true));
        assert_eq!(disk.syncs(), syncs);
    }

    #[test]
    fn cuts_beside_appends_are_prefixes() {
        const SLOTS: usize = 8;
        let disk = SimulatedDisk::new(9, FILE_BYTES);
        let journal = journal(&disk, |options| options.spares = 8);
        let sequences: Vec<Mutex<u64>> = (0..SLOTS).map(|_| Mutex::new(0)).collect();
        let is_done = std::sync::atomic::AtomicBool::new(false);
        let mut seen: HashMap<u16, u64> = HashMap::new();
        thread::scope(|scope| {
            for lane in 0..2 {
                let (journal, sequences, is_done) = (&journal, &sequences, &is_done);
                scope.spawn(move || {
                    let mut rng = crate::base::random::Rng::from_seed(lane as u64);
                    while !is_done.load(Ordering::Relaxed) {
                        let number = rng.below(SLOTS as u64) as usize;
                        let mut sequence = sequences[number].lock();
                        *sequence += 1;
                        append(journal, lane, number as u16, *sequence).unwrap();
                    }
                });
            }
            for _ in 0..200 {
                let cut = journal.cut().unwrap();
                let index = SlotIndex::build(&cut, &mut || ());
                for slot in index.slots() {
                    for record in index.records(slot) {
                        let last = seen.entry(slot.number()).or_default();
                        assert_eq!(record.header.sequence, *last + 1, "slot {}", slot.number());
                        *last += 1;
                    }
                }
                drop(index);
                journal.release(&cut);
            }
            is_done.store(true, Ordering::Relaxed);
        });
        assert!(seen.values().sum::<u64>() > 200);
    }
}
