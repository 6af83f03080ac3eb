//! One life of a server: what its clients and its background do, and what goes wrong meanwhile.
//!
//! In a calm life all of it happens on one thread, clients' batches between the steps of settling as well, so that what
//! memory holds is known after every batch. In a busy life every worker has a thread of its own.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::clients::{Clients, Promised, note_digests};
use super::commands;
use super::past::{Oracle, Past, Positions, digest_of, raise};
use super::server::{Server, WORKERS};
use crate::base::clock;
use crate::base::digest::Digest;
use crate::base::key_slot::SlotId;
use crate::base::random::Rng;
use crate::commands::replay::Scratch;
use crate::engine::expiry::ExpiryCycle;
use crate::log::health::State;
use crate::log::settle::Pacer;
use crate::log::simulated_disk::{Operation, SimulatedDisk};
use crate::log::sync::Policy;
use crate::log::tables::Version;
use crate::store::digest;

/// Nothing that is waited for takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A disk as a crash at some moment would leave it, and what may be found on it.
pub struct Image {
    pub disk: SimulatedDisk,
    pub floor: Positions,
    pub given: Positions,
}

/// What goes on in a life, for all its threads.
pub struct Life<'a> {
    pub server: &'a Server,
    pub disk: &'a SimulatedDisk,
    pub past: &'a Arc<Mutex<Past>>,
    pub promised: Mutex<Promised>,
    pub images: Mutex<Vec<Image>>,
    /// Calls to the disk were made to fail.
    has_faults: bool,
}

/// What the background of a life has for its own.
struct Background<'l, 'a> {
    life: &'l Life<'a>,
    rng: Rng,
    pinned: Vec<Arc<Version>>,
    expiry: ExpiryCycle,
    /// Made when it is needed: a keyspace is large.
    scratch: Option<Scratch>,
    /// In a calm life.
    clients: Option<Vec<Clients>>,
}

impl<'a> Life<'a> {
    pub fn new(
        server: &'a Server,
        disk: &'a SimulatedDisk,
        past: &'a Arc<Mutex<Past>>,
        has_faults: bool,
        floor: Positions,
    ) -> Life<'a> {
        Life {
            server,
            disk,
            past,
            promised: Mutex::new(Promised { floor, waiting: Vec::new() }),
            images: Mutex::default(),
            has_faults,
        }
    }

    /// Lives for a while.
    pub fn live(&mut self, oracle: &mut Oracle, rng: &mut Rng) {
        self.plan_faults(rng);
        if rng.below(3) == 0 {
            self.disk.set_sync_delay(Duration::from_micros(rng.below(2000)));
        }
        if rng.below(4) == 0 {
            self.be_busy(rng);
        } else {
            self.be_calm(oracle, rng);
        }
        self.disk.set_sync_delay(Duration::ZERO);
        self.server.check_memory(oracle, &self.past.lock());
        let is_failed = matches!(self.server.log.journal.state(), State::Failed(_));
        assert!(!is_failed || self.has_faults, "{:?}", self.server.log.journal.state());
        if is_failed {
            self.check_failed(rng);
        }
    }

    fn plan_faults(&mut self, rng: &mut Rng) {
        use Operation::{Create, Rename, Sync, SyncDirectory, Write};
        if rng.below(3) == 0 {
            let operation = [Create, Rename, Sync, Sync, SyncDirectory, Write][rng.below(6) as usize];
            let error_number = [libc::EIO, libc::ENOSPC][rng.below(2) as usize];
            self.disk.fail(operation, rng.below(40), 1 + rng.below(3), error_number);
            self.has_faults = true;
        }
    }

    /// After a failure nothing is taken, and no round begins; one that is under way may succeed.
    fn check_failed(&self, rng: &mut Rng) {
        let journal = &self.server.log.journal;
        let ticket = journal.ticket();
        let taken = self.past.lock().taken();
        let mut clients = Clients::new(self.server, 0);
        let set = [b"SET".to_vec(), b"{a}:0".to_vec(), b"lost".to_vec()].to_vec();
        let (replies, _) = clients.run(self.server, rng, &[set]);
        assert!(replies.starts_with(b"-MISCONF "), "{}", String::from_utf8_lossy(&replies));
        assert!(journal.wait(ticket, PATIENCE).is_err() && journal.durable_round() < ticket);
        assert_eq!(self.past.lock().taken(), taken);
    }

    /// What is durable by now.
    pub fn floor(&self) -> Positions {
        let mut promised = self.promised.lock();
        promised.reached(self.server.log.journal.durable_round());
        promised.floor.clone()
    }

    /// Takes the disk as a crash now would leave it.
    fn take_image(&self, rng: &mut Rng) {
        let floor = self.floor();
        let disk = self.disk.crash(rng.next_u64());
        let given = self.past.lock().taken();
        self.images.lock().push(Image { disk, floor, given });
    }

    fn run_batch(&self, clients: &mut Clients, rng: &mut Rng, is_calm: bool) {
        let lines = commands::batch(rng);
        let (_, ticketed) = clients.run(self.server, rng, &lines);
        let Some((ticket, positions)) = ticketed else { return };
        if is_calm {
            note_digests(self.server, &mut self.past.lock(), &positions);
        }
        self.promised.lock().waiting.push((ticket, positions));
        let journal = &self.server.log.journal;
        match rng.below(20) {
            0 => drop(journal.wait(ticket, PATIENCE).inspect(|durable| assert!(durable, "a round takes too long"))),
            1..=4 => journal.request(),
            _ => {}
        }
    }

    fn be_calm(&mut self, oracle: &mut Oracle, rng: &mut Rng) {
        let steps = rng.below(160);
        let mut background = Background::new(self, rng.next_u64());
        background.clients = Some((0..WORKERS).map(|worker| Clients::new(self.server, worker)).collect());
        for _ in 0..steps {
            match rng.below(100) {
                0..=84 => background.run_batch(),
                85 if !self.has_faults => background.fill_the_disk(),
                _ => background.act(oracle),
            }
        }
    }

    fn be_busy(&mut self, rng: &mut Rng) {
        let life = &*self;
        let mut oracle = Oracle::new(super::server::engine());
        thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS)
                .map(|worker| {
                    let mut rng = Rng::from_seed(rng.next_u64());
                    scope.spawn(move || {
                        let mut clients = Clients::new(life.server, worker);
                        for _ in 0..rng.below(150) {
                            life.run_batch(&mut clients, &mut rng, false);
                        }
                    })
                })
                .collect();
            let mut background = Background::new(life, rng.next_u64());
            while workers.iter().any(|worker| !worker.is_finished()) {
                background.act(&mut oracle);
                thread::sleep(Duration::from_micros(background.rng.below(500)));
            }
        });
    }
}

impl<'l, 'a> Background<'l, 'a> {
    fn new(life: &'l Life<'a>, seed: u64) -> Background<'l, 'a> {
        let (rng, expiry) = (Rng::from_seed(seed), ExpiryCycle::default());
        Background { life, rng, pinned: Vec::new(), expiry, scratch: None, clients: None }
    }

    fn run_batch(&mut self) {
        let Some(clients) = &mut self.clients else { return };
        let worker = self.rng.below(WORKERS as u64) as usize;
        self.life.run_batch(&mut clients[worker], &mut self.rng, true);
    }

    /// Something that the background does.
    fn act(&mut self, oracle: &mut Oracle) {
        let life = self.life;
        let log = &life.server.log;
        match self.rng.below(16) {
            0..=4 => self.settle(),
            5 | 6 => self.expire(),
            7 => log.tables.reclaim(0, &mut || {}),
            8 => drop(log.journal.cut().inspect_err(|error| assert!(life.may_fail(), "{error}"))),
            9 => life.take_image(&mut self.rng),
            10 => self.reload(),
            11 => log.journal.set_policy([Policy::Always, Policy::EverySecond, Policy::No][self.rng.below(3) as usize]),
            12 | 13 if !self.pinned.is_empty() => self.look_at_pinned(oracle),
            14 => thread::sleep(Duration::from_micros(self.rng.below(3000))),
            _ => drop(log.space()),
        }
    }

    fn settle(&mut self) {
        let log = self.life.server.log.clone();
        let compact_all = self.rng.below(3) == 0;
        let keep_from_ms = if self.rng.below(4) == 0 { clock::unix_ms() - self.rng.below(50) } else { u64::MAX };
        // Batches that are over are in it.
        let run = self.life.promised.lock().all();
        let outcome = log.settle(compact_all, keep_from_ms, self);
        match outcome {
            Ok(outcome) => {
                assert_eq!(outcome.problems, []);
                raise(&mut self.life.promised.lock().floor, &run);
                if self.rng.below(2) == 0 {
                    self.pinned.push(log.tables.current());
                }
            }
            Err(error) => assert!(self.life.may_fail(), "{error}"),
        }
    }

    fn expire(&mut self) {
        self.expiry.run(&self.life.server.engine, 1_000_000);
        let touched = self.life.server.recorder.take_touched(WORKERS);
        if !touched.is_empty() {
            if self.clients.is_some() {
                note_digests(self.life.server, &mut self.life.past.lock(), &touched);
            }
            let ticket = self.life.server.log.journal.ticket();
            self.life.promised.lock().waiting.push((ticket, touched));
        }
    }

    /// What the log holds is what memory does.
    fn reload(&mut self) {
        let Server { engine, log, .. } = self.life.server;
        let alone = engine.gate.close();
        if !self.life.past.lock().is_refused() {
            let slots = self.life.past.lock().slots();
            let all = || -> Vec<(SlotId, Digest, u64)> {
                let one = |slot: &SlotId| (*slot, digest_of(engine, *slot), engine.keyspace.lock(*slot).sequence());
                slots.iter().map(one).collect()
            };
            let before = all();
            match log.reload(engine, 1) {
                Ok(()) => assert_eq!(all(), before),
                Err(error) => assert!(self.life.may_fail(), "{error}"),
            }
        }
        drop(alone);
    }

    /// A version that is held shows what it always did, whatever was settled since; and so do the moments that it keeps.
    fn look_at_pinned(&mut self, oracle: &mut Oracle) {
        let version = self.pinned.swap_remove(self.rng.below(self.pinned.len() as u64) as usize);
        let past = self.life.past.lock();
        let scratch = self.scratch.get_or_insert_with(|| Scratch::new(&self.life.server.engine.config.load()));
        let mut positions = Positions::new();
        for (slot, log) in version.slots() {
            positions.insert(slot, log.sequence);
            let whole = digest_until(&version, slot, u64::MAX, scratch);
            let (number, expected) = (slot.number(), oracle.digest(&past, slot, log.sequence));
            assert_eq!(whole, expected, "slot {number} at {}\n{}", log.sequence, past.tell(slot));
            let (moment_ms, last) = past.at_some_moment(slot, &mut self.rng);
            if moment_ms >= log.history_ms {
                let then = digest_until(&version, slot, moment_ms, scratch);
                let expected = oracle.digest(&past, slot, last.min(log.sequence));
                assert_eq!(then, expected, "slot {number} at the moment {moment_ms}\n{}", past.tell(slot));
            }
        }
        past.check_transactions(&positions);
    }

    /// The disk is full for a while: writes are refused, and then taken again.
    fn fill_the_disk(&mut self) {
        let life = self.life;
        let journal = &life.server.log.journal;
        life.disk.set_capacity(life.disk.used_bytes() + self.rng.below(100 << 10));
        for _ in 0..self.rng.below(60) {
            self.run_batch();
            if self.rng.below(20) == 0 {
                let _ = life.server.log.settle(false, u64::MAX, self);
            }
        }
        life.disk.set_capacity(u64::MAX);
        let began = clock::ticks();
        while !journal.is_running() {
            let state = journal.state();
            let passed = Duration::from_nanos(clock::ticks().nanos_since(began));
            assert!(state == State::Full && passed < PATIENCE, "a full disk is for ever: {state:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What a version has of a slot, up to the first record that is later than a moment.
fn digest_until(version: &Version, slot: SlotId, moment_ms: u64, scratch: &mut Scratch) -> Digest {
    let mut buffer = Vec::new();
    let stored = version.read(slot, &mut buffer).expect("a sound log").map(|stored| stored.expect("a sound record"));
    let mut records =
        stored.map(|stored| stored.record).take_while(|record| record.header.time_ms <= moment_ms).map(Ok);
    let mut whole = Digest::default();
    let replayed = scratch.replay(slot, &mut records, &mut |db, entry| whole.combine(digest::of_entry(db, entry)));
    replayed.expect("a sound history");
    whole
}

impl Life<'_> {
    /// Whether the disk gives a reason for failures.
    pub fn may_fail(&self) -> bool {
        self.has_faults
    }
}

impl Pacer for Background<'_, '_> {
    fn pause(&mut self) {
        match self.rng.below(40) {
            0..=3 => self.run_batch(),
            4 if self.rng.below(3) == 0 => self.life.take_image(&mut self.rng),
            _ => {}
        }
    }
}
