//! Micro-benchmarks of the hot path's parts: request parser, command lookup, hash and slot of a key, table,
//! journal. `cargo bench --bench micro` prints them; what a server costs end to end is `make bench`'s matter.

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;

use cairn::base::hash::KeyHasher;
use cairn::base::key_slot::{SLOT_COUNT, SlotId};
use cairn::base::random::Rng;
use cairn::commands::Lookup;
use cairn::log::disk::Disk;
use cairn::log::journal::{Journal, Options};
use cairn::log::scan::{Expected, Purpose, scan};
use cairn::log::slot_index::SlotIndex;
use cairn::log::sync::Policy;
use cairn::log::transaction::Change;
use cairn::resp::parser::{Limits, Parsed, parse};
use cairn::store::table::Table;
use cairn::store::{Entry, StringForm};
use divan::Bencher;

const LIMITS: Limits = Limits { bulk_bytes_max: 512 << 20, authenticated: true };
const GET: &[u8] = b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n";
const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000001\r\n$16\r\nvalue:0000000001\r\n";

fn main() {
    divan::main();
}

#[divan::bench(args = [GET, SET])]
fn parse_request(bencher: Bencher, request: &[u8]) {
    let mut arguments = Vec::with_capacity(8);
    bencher.bench_local(|| {
        arguments.clear();
        let parsed = parse(black_box(request), LIMITS, &mut arguments);
        assert!(matches!(parsed, Parsed::Complete { consumed } if consumed == request.len()));
        arguments.len()
    });
}

#[divan::bench(args = ["get", "INCRBYFLOAT", "bitfield_ro", "nosuchcommand"])]
fn look_a_command_up(bencher: Bencher, name: &str) {
    let lookup = Lookup::plain();
    bencher.bench_local(|| lookup.top_level(black_box(name.as_bytes())).is_some());
}

#[divan::bench(args = ["key:000000000001", "user:{1000}:name"])]
fn slot_of_a_key(key: &str) -> SlotId {
    SlotId::of_key(black_box(key.as_bytes()))
}

#[divan::bench]
fn hash_of_a_key(bencher: Bencher) {
    let hasher = KeyHasher::from_seed(1, 2);
    bencher.bench_local(|| hasher.hash(black_box(b"key:000000000001")));
}

fn key(number: u64) -> Vec<u8> {
    format!("key:{number:012}").into_bytes()
}

fn filled(count: u64, hasher: &KeyHasher) -> Table {
    let mut table = Table::default();
    for number in 0..count {
        let key = key(number);
        table.insert(hasher.hash(&key), Entry::new(&key, &[b'v'; 64], None, StringForm::Auto, 0), hasher);
    }
    table
}

/// One slot's table as it is with a million keys in all, and one that a hash tag made huge.
#[divan::bench(args = [61, 1_000_000])]
fn find_in_a_table(bencher: Bencher, count: u64) {
    let hasher = KeyHasher::from_seed(3, 4);
    let table = filled(count, &hasher);
    let mut rng = Rng::from_seed(5);
    let keys: Vec<Vec<u8>> = (0..4096).map(|_| key(rng.below(count))).collect();
    let mut next = 0;
    bencher.bench_local(|| {
        next = (next + 1) % keys.len();
        let key = &keys[next];
        table.find(hasher.hash(key), key).map(|at| table.entry(at).value().len())
    });
}

#[divan::bench(args = [61, 100_000], sample_count = 20)]
fn fill_a_table(bencher: Bencher, count: u64) {
    let hasher = KeyHasher::from_seed(6, 7);
    bencher.bench_local(|| filled(black_box(count), &hasher).len());
}

/// A journal in a directory of its own, which goes with it.
struct Scratch {
    path: PathBuf,
    disk: Arc<Disk>,
    journal: Arc<Journal>,
}

impl Scratch {
    fn new(name: &str, lanes: usize) -> Scratch {
        let path = std::env::temp_dir().join(format!("cairn-micro-{name}-{}", std::process::id()));
        let disk = Arc::new(Disk::open(&path).expect("a directory for the journal"));
        let options = Options { policy: Policy::No, ..Options::new(lanes) };
        let journal = Journal::create(disk.clone(), options).expect("a journal");
        Scratch { path, disk, journal }
    }

    /// A SET of a 16-byte key and a 64-byte value: an effect of 87 bytes.
    fn append(&self, lane: usize, slot: SlotId, sequence: u64) {
        let arguments: &[&[u8]] = &[b"SET", b"key:000000000001", &[b'v'; 64]];
        let change = Change { slot, database: 0, sequence, time_ms: 1, arguments: black_box(arguments) };
        self.journal.append(lane, &change).expect("space");
    }

    /// So many changes, in turns in all slots and both lanes.
    fn filled(name: &str, count: u64) -> Scratch {
        let scratch = Scratch::new(name, 2);
        for number in 0..count {
            let slot = SlotId::new((number * 7919 % SLOT_COUNT as u64) as u16).expect("a slot");
            scratch.append((number >> 3 & 1) as usize, slot, number / SLOT_COUNT as u64 + 1);
        }
        scratch
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.path).expect("the journal's directory");
    }
}

#[divan::bench(sample_size = 10_000)]
fn append(bencher: Bencher) {
    /// Appends after which what is there is given up, or the disk would fill.
    const RELEASE_EVERY: u64 = 1 << 20;
    let scratch = Scratch::new("append", 1);
    let slot = SlotId::of_key(b"key:000000000001");
    let mut sequence = 0;
    bencher.bench_local(|| {
        sequence += 1;
        scratch.append(0, slot, sequence);
        if sequence % RELEASE_EVERY == 0 {
            scratch.journal.release(&scratch.journal.cut().expect("a cut"));
        }
    });
}

/// A million appends at full speed, faster than the filler may be.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn append_a_million(bencher: Bencher) {
    bencher.with_inputs(|| Scratch::new("million", 1)).bench_local_values(|scratch| {
        let slot = SlotId::of_key(b"key:000000000001");
        (1..=1_000_000).for_each(|sequence| scratch.append(0, slot, sequence));
        scratch
    });
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn index_a_million_records(bencher: Bencher) {
    let scratch = Scratch::filled("index", 1_000_000);
    let segments = scratch.journal.cut().expect("a cut");
    bencher.bench_local(|| SlotIndex::build(black_box(&segments), &mut || ()).len());
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn scan_a_million_records(bencher: Bencher) {
    let scratch = Scratch::filled("scan", 1_000_000);
    scratch.journal.close().expect("a good end");
    bencher.bench_local(|| {
        let found = scan(&*scratch.disk, Expected::default(), &|_| 0, Purpose::Check).expect("a sound journal");
        assert_eq!(found.index.len(), 1_000_000);
    });
}
