//! Seeds, and the lives of each.

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use parking_lot::Mutex;

use super::life::Life;
use super::past::{Oracle, Past, Positions};
use super::server::{FILE_BYTES, Server, engine};
use crate::base::clock;
use crate::base::random::Rng;
use crate::log::simulated_disk::{Operation, SimulatedDisk};

/// Seeds that every test run takes.
const SEEDS: u64 = 200;

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Crash,
    Kill,
    Shutdown,
}

/// What a life left.
struct Left {
    /// Would survive the end of the machine.
    durable: Positions,
    /// All that the log took.
    given: Positions,
    end: End,
}

struct Started {
    server: Server,
    /// It may have met a fault.
    has_faults: bool,
    /// The machine ended while it was tried.
    has_crashed: bool,
}

/// Everything of one seed.
struct World {
    rng: Rng,
    disk: SimulatedDisk,
    past: Arc<Mutex<Past>>,
    oracle: Oracle,
    directory: PathBuf,
}

impl World {
    /// A server on the disk. The start may fail, and is tried again then on what another end of the process, or of the
    /// machine, leaves.
    fn start(&mut self) -> Started {
        use Operation::{Create, Rename, Sync, SyncDirectory, Write};
        let mut has_crashed = false;
        loop {
            let has_faults = self.rng.below(6) == 0;
            if has_faults {
                let operation = [Create, Rename, Sync, SyncDirectory, Write][self.rng.below(5) as usize];
                self.disk.fail(operation, self.rng.below(8), 1, [libc::EIO, libc::ENOSPC][self.rng.below(2) as usize]);
            }
            let started = Server::start(&self.disk, &self.directory, &self.past, &mut self.rng);
            self.disk.heal();
            match started {
                Ok(server) => return Started { server, has_faults, has_crashed },
                Err(error) => assert!(has_faults, "the start is refused: {error}"),
            }
            let crashes = self.rng.below(2) == 0;
            has_crashed |= crashes;
            self.disk = if crashes { self.disk.crash(self.rng.next_u64()) } else { self.disk.killed() };
        }
    }

    /// One life on the disk, and what it left; `floor` is durable when it begins.
    fn live(&mut self, started: &Started, floor: Positions) -> Left {
        let Started { server, has_faults, .. } = started;
        let mut life = Life::new(server, &self.disk, &self.past, *has_faults, floor);
        life.live(&mut self.oracle, &mut self.rng);
        let end = [End::Crash, End::Crash, End::Kill, End::Shutdown][self.rng.below(4) as usize];
        let given = self.past.lock().taken();
        let mut durable = life.floor();
        self.disk.heal();
        if end == End::Shutdown {
            let closed = server.log.journal.close();
            assert!(closed.is_ok() || life.may_fail(), "{:?}", server.log.journal.state());
            if closed.is_ok() {
                durable.clone_from(&given);
            }
        }
        let images = life.images.into_inner();
        self.disk = match end {
            End::Kill => self.disk.killed(),
            End::Crash | End::Shutdown => self.disk.crash(self.rng.next_u64()),
        };
        for image in images {
            self.check_image(image.disk, &image.floor, &image.given);
        }
        Left { durable, given, end }
    }

    /// A server is started on an image, and once more on what is left when it crashes at once.
    fn check_image(&mut self, disk: SimulatedDisk, floor: &Positions, given: &Positions) {
        let directory = self.directory.join("image");
        fs::create_dir_all(&directory).expect("a directory");
        let server = Server::start(&disk, &directory, &self.past, &mut self.rng).expect("a start");
        let found = server.check(&mut self.oracle, &self.past.lock(), floor, given);
        if self.rng.below(2) == 0 {
            let disk = disk.crash(self.rng.next_u64());
            drop(server);
            let server = Server::start(&disk, &directory, &self.past, &mut self.rng).expect("a start");
            server.check(&mut self.oracle, &self.past.lock(), &found, &found);
        }
    }
}

fn run(seed: u64, directory: &Path) {
    let mut rng = Rng::from_seed(seed);
    let disk = SimulatedDisk::new(rng.next_u64(), FILE_BYTES);
    let oracle = Oracle::new(engine());
    let mut world = World { rng, disk, past: Arc::default(), oracle, directory: directory.to_path_buf() };
    let mut started = world.start();
    let mut floor = Positions::new();
    for _ in 0..2 + world.rng.below(3) {
        let left = world.live(&started, floor);
        drop(started);
        started = world.start();
        // A process that ends leaves everything, unless the machine ends before that is durable.
        let keeps_all = left.end == End::Kill && !started.has_crashed;
        let least = if keeps_all { &left.given } else { &left.durable };
        floor = started.server.check(&mut world.oracle, &world.past.lock(), least, &left.given);
        world.past.lock().cut(&floor);
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn nothing_promised_is_lost() {
    let root = std::env::temp_dir().join(format!("cairn-simulation-{}", std::process::id()));
    let seeds = match number("CAIRN_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("CAIRN_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let (began, seconds_max) = (clock::ticks(), number("CAIRN_SIM_SECONDS").unwrap_or(u64::MAX));
    let is_over = || clock::ticks().nanos_since(began) / 1_000_000_000 >= seconds_max;
    let next = AtomicU64::new(seeds.start);
    let (done, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    // Much of a run is waiting, so several go side by side.
    let threads = 2 * thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for thread in 0..threads {
            let directory = root.join(thread.to_string());
            fs::create_dir_all(&directory).expect("a directory");
            let (next, done, failed, seeds) = (&next, &done, &failed, &seeds);
            scope.spawn(move || {
                while failed.load(Ordering::Relaxed) == 0 && !is_over() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                    if panic::catch_unwind(AssertUnwindSafe(|| run(seed, &directory))).is_err() {
                        failed.fetch_add(1, Ordering::Relaxed);
                        eprintln!("seed {seed} failed: CAIRN_SIM_SEED={seed} runs it alone");
                    }
                }
            });
        }
    });
    fs::remove_dir_all(&root).expect("a directory");
    println!("{} seeds", done.into_inner());
    assert_eq!(failed.into_inner(), 0, "see the seeds above");
}
