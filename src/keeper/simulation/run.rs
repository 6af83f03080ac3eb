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
use crate::base::random::Rng;
use crate::log::health::State;
use crate::log::simulated_disk::{Operation, SimulatedDisk};

/// Seeds that every test run takes.
const SEEDS: u64 = 300;
/// Much of a run is waiting, so several go side by side.
const THREADS: u64 = 4;

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Crash,
    Kill,
    Shutdown,
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
    /// A server on the disk, which may fail when it is started, and be started again then; whether the last start may
    /// have met a fault.
    fn start(&mut self) -> (Server, bool) {
        use Operation::{Create, Rename, Sync, SyncDirectory, Write};
        loop {
            let fails = self.rng.below(6) == 0;
            if fails {
                let operation = [Create, Rename, Sync, SyncDirectory, Write][self.rng.below(5) as usize];
                self.disk.fail(operation, self.rng.below(8), 1, [libc::EIO, libc::ENOSPC][self.rng.below(2) as usize]);
            }
            let started = Server::start(&self.disk, &self.directory, &self.past, &mut self.rng);
            self.disk.heal();
            match started {
                Ok(server) => return (server, fails),
                Err(error) => assert!(fails, "the start is refused: {error}"),
            }
            self.disk = if self.rng.below(2) == 0 { self.disk.killed() } else { self.disk.crash(self.rng.next_u64()) };
        }
    }

    /// One life on the disk, and what it left; `floor` is durable when it begins.
    fn live(&mut self, server: &Server, has_faults: bool, floor: Positions) -> (Positions, Positions) {
        let mut life = Life::new(server, &self.disk, &self.past, has_faults, floor);
        life.live(&mut self.oracle, &mut self.rng);
        let mut end = [End::Crash, End::Crash, End::Kill, End::Shutdown][self.rng.below(4) as usize];
        let given = self.past.lock().taken();
        let mut floor = life.floor();
        self.disk.heal();
        let is_failed = matches!(server.log.journal.state(), State::Failed(_));
        if end == End::Shutdown {
            let closed = server.log.journal.close();
            assert_eq!(closed.is_err(), is_failed, "{:?}", server.log.journal.state());
            if closed.is_ok() {
                floor.clone_from(&given);
            } else {
                end = End::Crash;
            }
        }
        let images = life.images.into_inner();
        let after = match end {
            End::Kill => self.disk.killed(),
            End::Crash | End::Shutdown => self.disk.crash(self.rng.next_u64()),
        };
        if end == End::Kill {
            floor.clone_from(&given);
        }
        self.disk = after;
        for image in images {
            self.check_image(image.disk, &image.floor, &image.given);
        }
        (floor, given)
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
    let (mut server, mut has_faults) = world.start();
    let mut floor = Positions::new();
    for _ in 0..2 + world.rng.below(3) {
        let (least, given) = world.live(&server, has_faults, floor);
        drop(server);
        (server, has_faults) = world.start();
        floor = server.check(&mut world.oracle, &world.past.lock(), &least, &given);
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
    let next = AtomicU64::new(seeds.start);
    let failed = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let directory = root.join(thread.to_string());
            fs::create_dir_all(&directory).expect("a directory");
            let (next, failed, seeds) = (&next, &failed, &seeds);
            scope.spawn(move || {
                while failed.load(Ordering::Relaxed) == 0 {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    if panic::catch_unwind(AssertUnwindSafe(|| run(seed, &directory))).is_err() {
                        failed.fetch_add(1, Ordering::Relaxed);
                        eprintln!("seed {seed} failed: CAIRN_SIM_SEED={seed} runs it alone");
                    }
                }
            });
        }
    });
    fs::remove_dir_all(&root).expect("a directory");
    assert_eq!(failed.into_inner(), 0, "see the seeds above");
}
