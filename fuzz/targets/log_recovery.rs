//! Fuzz target: the files of a log, of any bytes that may lie on a disk: journal segments, the manifest, the tablespace.
//!
//! What must hold of every input:
//! - no panic, and no allocation that the files at hand could not fill;
//! - looking at a log changes nothing, and opening it finds what looking did;
//! - what is accepted stays so: opened again, the journal has the same records, without anything that is cut;
//! - a slot log that was read once reads the same again.
//!
//! Checksums are right where the input asks for it, since no input would guess them.
#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use libfuzzer_sys::fuzz_target;
use memmap2::{MmapOptions, MmapRaw};

// The log's own files rather than the whole crate: its dependencies would take minutes to build with these flags.
#[path = "../../src"]
#[allow(dead_code)]
mod base {
    #[path = "base/clock.rs"]
    pub mod clock;
    #[path = "base/hash.rs"]
    pub mod hash;
    #[path = "base/key_slot.rs"]
    pub mod key_slot;
    /// Whose memory a thread's is: nobody asks here, and counting takes the server's allocator.
    pub mod memory {
        pub fn work_aside() {}
    }
    #[path = "base/process.rs"]
    pub mod process;
    #[path = "base/random.rs"]
    pub mod random;
}
#[path = "../../src/log/mod.rs"]
#[allow(dead_code, unused_imports)]
mod log;

use base::key_slot::SlotId;
use log::extents::Extent;
use log::follow::Follower;
use log::manifest::{self, JournalMark, SlotLog};
use log::record::{self, Kind, Record};
use log::scan::{self, Expected, Purpose, Scan};
use log::segment;
use log::storage::{Access, Mapping, Storage, StorageFile};
use log::tables::{self, Tables, Version};

/// Files have so much memory, none of it taken where nothing is written; the tablespace's are mapped at their longest.
const FILE_BYTES: usize = 1 << 20;
const TABLE_FILE_BYTES: usize = 4 << 30;
/// Nothing that is allocated at once is longer: all files together, and tables of all slots.
const ALLOCATION_BYTES_MAX: usize = 8 << 20;

/// Ends the process at an allocation that no input stands for.
struct Bounded;

// SAFETY: the system's allocator, unless there is an end of it.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > ALLOCATION_BYTES_MAX {
            std::process::abort();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

// ---- files in memory ---------------------------------------------------------------------------------------------

#[derive(Default)]
struct Memory(Mutex<BTreeMap<String, Arc<Inode>>>);

struct Inode {
    bytes: MmapRaw,
    len: Mutex<usize>,
}

struct MemoryFile(Arc<Inode>);

impl Memory {
    fn put(&self, name: &str, bytes: &[u8]) {
        let capacity = if name.starts_with("slots-") { TABLE_FILE_BYTES } else { FILE_BYTES };
        let memory = MmapOptions::new().len(capacity).no_reserve_swap().map_anon().unwrap();
        let inode = Inode { bytes: memory.into(), len: Mutex::default() };
        let file = MemoryFile(Arc::new(inode));
        file.write_at(bytes, 0).unwrap();
        self.0.lock().unwrap().insert(name.to_owned(), file.0);
    }

    /// All there is.
    fn content(&self) -> BTreeMap<String, Vec<u8>> {
        let files = self.0.lock().unwrap();
        let bytes = |inode: &Arc<Inode>| {
            let mut bytes = vec![0; *inode.len.lock().unwrap()];
            MemoryFile(inode.clone()).read_at(&mut bytes, 0).unwrap();
            bytes
        };
        files.iter().map(|(name, inode)| (name.clone(), bytes(inode))).collect()
    }
}

impl Storage for Memory {
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let files = self.0.lock().unwrap();
        let inode = files.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(MemoryFile(inode.clone())))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.put(name, &[]);
        self.open(name)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.0.lock().unwrap();
        let inode = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), inode);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().unwrap().remove(name).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

impl StorageFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(*self.0.len.lock().unwrap() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        *self.0.len.lock().unwrap() = len as usize;
        Ok(())
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<()> {
        let end = at.checked_add(into.len() as u64).filter(|end| *end <= *self.0.len.lock().unwrap() as u64);
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        // SAFETY: within the file, by the check above; one thread does everything.
        unsafe { self.0.bytes.as_mut_ptr().add(at as usize).copy_to(into.as_mut_ptr(), into.len()) };
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let end = at as usize + bytes.len();
        assert!(end <= self.0.bytes.len(), "nothing is written that long");
        // SAFETY: within the memory, by the check above; one thread does everything.
        unsafe { self.0.bytes.as_mut_ptr().add(at as usize).copy_from(bytes.as_ptr(), bytes.len()) };
        let mut len = self.0.len.lock().unwrap();
        *len = end.max(*len);
        Ok(())
    }

    fn write_back(&self, _: Range<u64>) {}

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn punch(&self, _: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    fn disk_bytes(&self) -> io::Result<u64> {
        self.len()
    }

    fn map(&self, len: usize) -> io::Result<Mapping> {
        fn populate(_: *mut u8, _: usize, _: Access) -> io::Result<()> {
            Ok(())
        }
        if len > self.0.bytes.len() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        // SAFETY: the memory is that long and stays as long as the inode, which the mapping owns a share of.
        Ok(unsafe { Mapping::new(self.0.bytes.as_mut_ptr(), len, populate, Box::new(self.0.clone())) })
    }
}

// ---- files out of the input --------------------------------------------------------------------------------------

/// Takes the input from the front; behind its end there are zeros.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A small number mostly, and now and then any.
    fn number(&mut self) -> u64 {
        match self.byte() {
            255 => u64::MAX - u64::from(self.byte()),
            254 => u64::from_le_bytes(std::array::from_fn(|_| self.byte())),
            small => u64::from(small),
        }
    }

    fn slot(&mut self) -> SlotId {
        SlotId::new(u16::from(self.byte() % 3) * 7000).unwrap()
    }
}

/// A record with right checksums.
fn put_record(input: &mut Input<'_>, kind: Kind, epoch: u64, out: &mut Vec<u8>) {
    let slot = (kind == Kind::Effect).then(|| input.slot());
    let (sequence, following) = (input.number(), input.number() as u32);
    let segment = format!("{:016x}", input.byte());
    let arguments: &[&[u8]] = match kind {
        Kind::Effect => &[b"SET", input.bytes(1), {
            let len = input.byte();
            input.bytes(usize::from(len))
        }],
        Kind::Synced => &[segment.as_bytes()],
        Kind::Sealed => &[b""],
    };
    let header = record::Header { kind, slot, database: 0, sequence, time_ms: 1, following };
    let effect_bytes = record::effect_bytes(arguments);
    let at = out.len();
    out.resize(at + record::record_bytes(effect_bytes), 0);
    record::write(&mut out[at..], header, arguments, effect_bytes, epoch);
}

/// Records, and what may stand between them.
fn records(input: &mut Input<'_>, epoch: u64, out: &mut Vec<u8>) {
    for _ in 0..input.byte() % 24 {
        match input.byte() % 12 {
            0..=5 => put_record(input, Kind::Effect, epoch, out),
            6 => put_record(input, Kind::Synced, epoch, out),
            7 => put_record(input, Kind::Sealed, epoch, out),
            8 => out.resize(out.len() + usize::from(input.byte()) * 8, 0),
            9 => {
                let len = usize::from(input.byte());
                out.extend_from_slice(input.bytes(len));
            }
            10 => put_record(input, Kind::Effect, epoch ^ 1, out),
            _ => {
                // A flipped bit of what is there.
                let (back, bit) = (usize::from(input.byte()), input.byte() % 8);
                if let Some(at) = out.len().checked_sub(back + 1) {
                    out[at] ^= 1 << bit;
                }
            }
        }
    }
}

fn put_segment(input: &mut Input<'_>, memory: &Memory) {
    let number = u64::from(input.byte() % 8);
    let mut bytes = vec![0; segment::HEADER_BYTES];
    match input.byte() % 8 {
        0 => {}
        1 => bytes = input.bytes(segment::HEADER_BYTES).to_vec(),
        choice => {
            let (lane, previous) = (u32::from(input.byte() % 3), u64::from(input.byte() % 8));
            let named = if choice == 2 { input.number() } else { number };
            segment::Header { lane, number: named, previous, time_ms: 1 }.write(&mut bytes);
        }
    }
    records(input, number, &mut bytes);
    memory.put(&segment::file_name(number), &bytes);
}

/// The header of a tablespace file, as the format document has it.
fn table_header(number: u32) -> Vec<u8> {
    let mut header = vec![0; 4096];
    header[..8].copy_from_slice(b"CAIRNTBL");
    header[8..12].copy_from_slice(&1u32.to_le_bytes());
    header[12..16].copy_from_slice(&number.to_le_bytes());
    let sum = crc32(&header[..60]);
    header[60..64].copy_from_slice(&sum.to_le_bytes());
    header
}

fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

fn put_table(input: &mut Input<'_>, memory: &Memory) {
    let number = u32::from(input.byte() % 2);
    let mut bytes = table_header(number);
    if input.byte() % 8 == 0 {
        bytes[usize::from(input.byte() % 64)] ^= 1;
    }
    records(input, 0, &mut bytes);
    if input.byte() % 2 == 0 {
        bytes.resize(bytes.len().next_multiple_of(4096), 0);
    }
    memory.put(&tables::file_name(number), &bytes);
}

fn put_manifest(input: &mut Input<'_>, memory: &Memory) {
    let journal = JournalMark {
        last_number: u64::from(input.byte() % 9),
        heads: (0..input.byte() % 3).map(|_| u64::from(input.byte() % 8)).collect(),
    };
    let mut slots = BTreeMap::new();
    for _ in 0..input.byte() % 4 {
        let extents = (0..input.byte() % 3).map(|_| Extent {
            file: u32::from(input.byte() % 3),
            start_units: input.number() as u32,
            units: input.number() as u32,
        });
        let extents = extents.collect();
        let log = SlotLog {
            extents,
            digest: input.number() as u32,
            sequence: input.number(),
            bytes: input.number().wrapping_mul(8),
            records: input.number(),
            base_bytes: input.number().wrapping_mul(8),
            history_ms: 0,
        };
        slots.insert(input.slot(), log);
    }
    let entries = slots.iter().map(|(slot, log)| (*slot, log));
    let mut bytes = manifest::encode(input.number(), &journal, entries, &mut || ());
    for _ in 0..input.byte() % 4 {
        let (at, value) = (usize::from(input.byte()) * 2 % bytes.len(), input.byte());
        bytes[at] = value;
    }
    if input.byte() % 8 > 0
        && let Some(at) = bytes.len().checked_sub(4)
    {
        let sum = crc32(&bytes[..at]);
        bytes[at..].copy_from_slice(&sum.to_le_bytes());
    }
    memory.put(manifest::NAME, &bytes);
}

// ---- what must hold ----------------------------------------------------------------------------------------------

fn of_record(record: &Record<'_>) -> (u64, Vec<Vec<u8>>) {
    let arguments: Vec<Vec<u8>> = record.effect.arguments().map(<[u8]>::to_vec).collect();
    assert_eq!(arguments.len(), record.effect.count());
    (record.header.sequence, arguments)
}

/// What a scan leaves of each slot.
fn story(scan: &Scan) -> Vec<(u16, u64, Vec<Vec<u8>>)> {
    let slots = scan.index.slots();
    let of_slot = |slot: SlotId| {
        let records: Vec<_> = scan.index.records(slot).map(|record| of_record(&record)).collect();
        let is_refused = scan.damage.iter().any(|damage| damage.slot == slot);
        assert!(is_refused || records.is_sorted_by(|(one, _), (next, _)| one + 1 == *next), "a gap in {slot:?}");
        records.into_iter().map(move |(sequence, arguments)| (slot.number(), sequence, arguments))
    };
    slots.flat_map(of_slot).collect()
}

/// The records of a slot's log, up to the first fault.
fn slot_story(version: &Version, slot: SlotId) -> (Vec<(u64, Vec<Vec<u8>>)>, Option<String>) {
    let mut buffer = Vec::new();
    let records = match version.read(slot, &mut buffer) {
        Ok(records) => records,
        Err(fault) => return (Vec::new(), Some(fault.to_string())),
    };
    let mut read = Vec::new();
    for stored in records {
        match stored {
            Ok(stored) => read.push(of_record(&stored.record)),
            Err(fault) => return (read, Some(fault.to_string())),
        }
    }
    (read, None)
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let memory = Arc::new(Memory::default());
    put_manifest(&mut input, &memory);
    for _ in 0..input.byte() % 3 {
        put_table(&mut input, &memory);
    }
    for _ in 0..input.byte() % 6 {
        put_segment(&mut input, &memory);
    }
    let storage: Arc<dyn Storage> = memory.clone();
    let before = memory.content();

    for slot in [0, 7000, 14_000] {
        let mut follower = Follower::new(storage.clone(), SlotId::new(slot).unwrap());
        match follower.read() {
            Ok(seen) => drop(seen.iter().map(|seen| seen.effect().arguments().count()).sum::<usize>()),
            Err(error) => drop(error.to_string()),
        }
        drop(follower.obstacles());
    }
    match Version::look(&*storage) {
        Ok(Some((version, _))) => version.slots().for_each(|(slot, _)| drop(slot_story(&version, slot))),
        Ok(None) => {}
        Err(error) => drop(error.to_string()),
    }
    let looked = match manifest::read(&*storage) {
        Ok(Some(found)) => {
            let settled: BTreeMap<SlotId, u64> = found.slots.iter().map(|(slot, log)| (*slot, log.sequence)).collect();
            let expected = Expected { heads: &found.journal.heads, last_number: found.journal.last_number };
            let settled = |slot: SlotId| settled.get(&slot).copied().unwrap_or(0);
            scan::scan(&*storage, expected, &settled, Purpose::Check).map_err(|error| error.to_string())
        }
        _ => Err("no manifest".to_owned()),
    };
    assert!(memory.content() == before, "looking changes nothing");

    let Ok(opened) = Tables::open(storage.clone()) else { return };
    let version = opened.tables.current();
    for (slot, _) in version.slots() {
        assert_eq!(slot_story(&version, slot), slot_story(&version, slot));
    }
    let expected = Expected { heads: &opened.journal.heads, last_number: opened.journal.last_number };
    let settled = |slot: SlotId| version.slot(slot).sequence;
    let first = match scan::scan(&*storage, expected, &settled, Purpose::Open) {
        Ok(first) => first,
        Err(error) => {
            assert_eq!(looked.err(), Some(error.to_string()));
            return;
        }
    };
    let looked = looked.unwrap_or_else(|error| panic!("{error}, and it opens"));
    assert_eq!((story(&looked), &looked.cuts, &looked.damage), (story(&first), &first.cuts, &first.damage));
    drop(looked);
    let again = scan::scan(&*storage, expected, &settled, Purpose::Open);
    let again = again.unwrap_or_else(|error| panic!("what was opened is refused: {error}"));
    assert_eq!(story(&again), story(&first));
    let lost: usize = again.cuts.iter().map(|cut| cut.records + cut.bytes).sum();
    assert_eq!(lost, 0, "cut again: {:?}", again.cuts);
});
