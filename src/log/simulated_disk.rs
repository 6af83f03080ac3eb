//! A disk in memory that crashes, fails and fills up on command, for tests.
//!
//! A file has three contents: `cache`, what every reader sees; `durable`, what is on the disk; and `believed`, what the
//! system takes to be on the disk. A sync writes the sectors in which cache and believed differ. A failed one leaves
//! some of them unwritten and believes it wrote them all, as real systems do.
//!
//! A crash gives another disk: sectors that differ hold the old or the new content at random, lengths too, and of the
//! changes of the directory that were not synced a random number of the first ones happened.
//!
//! The cache is the mapping's memory. It has its full length from the start and never moves.

#![allow(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use memmap2::{MmapMut, MmapRaw};
use parking_lot::Mutex;

use super::storage::{Access, Mapping, Storage, StorageFile};
use crate::base::random::Rng;

const SECTOR_BYTES: usize = 512;
const PAGE_BYTES: usize = 4096;

/// What can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Rename,
    Write,
    Sync,
    SyncDirectory,
}

/// A failure that is to come.
struct Fault {
    operation: Operation,
    /// Operations of the kind that still succeed before it.
    skip: u64,
    /// Operations that fail then.
    count: u64,
    error_number: i32,
}

/// A disk; clones are the same disk.
#[derive(Clone)]
pub(crate) struct SimulatedDisk(Arc<Shared>);

struct Shared {
    file_bytes_max: usize,
    state: Mutex<State>,
}

struct State {
    names: BTreeMap<String, Arc<Inode>>,
    durable_names: BTreeMap<String, Arc<Inode>>,
    /// Changes of the names since they were last synced, oldest first.
    changes: Vec<Change>,
    faults: Vec<Fault>,
    capacity_bytes: u64,
    used_pages: u64,
    sync_delay: Duration,
    syncs: u64,
    rng: Rng,
}

enum Change {
    Create(String, Arc<Inode>),
    Rename(String, String),
    Remove(String),
}

/// Memory that mappings share with the disk: it takes none where nothing was written.
struct Cache(MmapRaw);

struct Inode {
    cache: Arc<Cache>,
    content: Mutex<Content>,
}

struct Content {
    len: usize,
    /// As long as the file ever was: behind that all contents are zeros.
    durable: Vec<u8>,
    durable_len: usize,
    believed: Vec<u8>,
    /// Pages that have space.
    pages: BTreeSet<usize>,
}

impl Cache {
    fn new(len: usize) -> Arc<Cache> {
        Arc::new(Cache(MmapMut::map_anon(len).expect("memory").into()))
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn address(&self) -> *mut u8 {
        self.0.as_mut_ptr()
    }

    fn read(&self, into: &mut [u8], at: usize) {
        assert!(at + into.len() <= self.len());
        let (words, rest) = into.as_chunks_mut::<8>();
        let rest_at = at + words.len() * 8;
        for (index, word) in words.iter_mut().enumerate() {
            // SAFETY: within the memory by the check above, which lives as long as `self`. An array has no alignment.
            *word = unsafe { self.address().add(at + index * 8).cast::<[u8; 8]>().read_volatile() };
        }
        for (index, byte) in rest.iter_mut().enumerate() {
            // SAFETY: as above.
            *byte = unsafe { self.address().add(rest_at + index).read_volatile() };
        }
    }

    fn write(&self, bytes: &[u8], at: usize) {
        assert!(at + bytes.len() <= self.len(), "a file of the simulated disk grows beyond its largest size");
        let (words, rest) = bytes.as_chunks::<8>();
        let rest_at = at + words.len() * 8;
        for (index, word) in words.iter().enumerate() {
            // SAFETY: within the memory by the check above, which lives as long as `self`. An array has no alignment.
            unsafe { self.address().add(at + index * 8).cast::<[u8; 8]>().write_volatile(*word) };
        }
        for (index, byte) in rest.iter().enumerate() {
            // SAFETY: as above.
            unsafe { self.address().add(rest_at + index).write_volatile(*byte) };
        }
    }
}

impl Content {
    /// The file is so long from now on.
    fn reach(&mut self, len: usize) {
        self.len = len;
        if self.durable.len() < len {
            self.durable.resize(len, 0);
            self.believed.resize(len, 0);
        }
    }
}

impl Inode {
    /// A file of these bytes, all of them durable, that grows to `bytes_max` at most.
    fn new(bytes: &[u8], bytes_max: usize, pages: BTreeSet<usize>) -> Arc<Inode> {
        let cache = Cache::new(bytes_max);
        cache.write(bytes, 0);
        let (len, durable) = (bytes.len(), bytes.to_vec());
        let content = Content { len, believed: durable.clone(), durable, durable_len: len, pages };
        Arc::new(Inode { cache, content: Mutex::new(content) })
    }

    /// Calls `each` with every sector that the system takes for unwritten, where it is and its content in the cache.
    fn for_dirty(&self, content: &mut Content, mut each: impl FnMut(&mut Content, Range<usize>, &[u8])) {
        let mut sector = [0; SECTOR_BYTES];
        for at in (0..content.believed.len()).step_by(SECTOR_BYTES) {
            let range = at..(at + SECTOR_BYTES).min(content.believed.len());
            let sector = &mut sector[..range.len()];
            self.cache.read(sector, at);
            if content.believed[range.clone()] != *sector {
                each(content, range, sector);
            }
        }
    }

    fn zero(&self, range: Range<usize>) {
        self.cache.write(&vec![0; range.len()], range.start);
    }
}

impl SimulatedDisk {
    /// An empty disk whose files grow to `file_bytes_max` at most.
    pub(crate) fn new(seed: u64, file_bytes_max: usize) -> SimulatedDisk {
        let state = State {
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            faults: Vec::new(),
            capacity_bytes: u64::MAX,
            used_pages: 0,
            sync_delay: Duration::ZERO,
            syncs: 0,
            rng: Rng::from_seed(seed),
        };
        SimulatedDisk(Arc::new(Shared { file_bytes_max, state: Mutex::new(state) }))
    }

    /// After `skip` more operations of this kind, `count` of them fail.
    pub(crate) fn fail(&self, operation: Operation, skip: u64, count: u64, error_number: i32) {
        self.0.state.lock().faults.push(Fault { operation, skip, count, error_number });
    }

    /// No more failures.
    pub(crate) fn heal(&self) {
        self.0.state.lock().faults.clear();
    }

    /// Bytes that files take.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.0.state.lock().used_pages * PAGE_BYTES as u64
    }

    pub(crate) fn set_capacity(&self, bytes: u64) {
        self.0.state.lock().capacity_bytes = bytes;
    }

    /// Every sync takes so long.
    pub(crate) fn set_sync_delay(&self, delay: Duration) {
        self.0.state.lock().sync_delay = delay;
    }

    /// Syncs of files so far.
    pub(crate) fn syncs(&self) -> u64 {
        self.0.state.lock().syncs
    }

    /// The disk as it is found after the machine lost its power at this moment. Of what is stored into mappings meanwhile
    /// it has some.
    pub(crate) fn crash(&self, seed: u64) -> SimulatedDisk {
        let mut rng = Rng::from_seed(seed);
        let state = self.0.state.lock();
        let mut names = state.durable_names.clone();
        let happened = rng.below(state.changes.len() as u64 + 1) as usize;
        for change in &state.changes[..happened] {
            match change {
                Change::Create(name, inode) => {
                    names.insert(name.clone(), Arc::clone(inode));
                }
                Change::Rename(from, to) => {
                    if let Some(inode) = names.remove(from) {
                        names.insert(to.clone(), inode);
                    }
                }
                Change::Remove(name) => {
                    names.remove(name);
                }
            }
        }
        // Some crashes lose nearly everything that was not synced, some nearly nothing.
        let kept_of_eight = rng.below(9);
        let after = |inode: &Inode, rng: &mut Rng| {
            let mut content = inode.content.lock();
            let mut bytes = content.durable.clone();
            inode.for_dirty(&mut content, |_, range, sector| {
                if rng.below(8) < kept_of_eight {
                    bytes[range].copy_from_slice(sector);
                }
            });
            let len = if rng.below(8) < kept_of_eight { content.len } else { content.durable_len };
            Inode::new(&bytes[..len], inode.cache.len(), content.pages.clone())
        };
        let names = names.iter().map(|(name, inode)| (name.clone(), after(inode, &mut rng))).collect();
        self.restarted(names, rng)
    }

    /// The disk as it is found after the process ended: nothing is lost, and nothing more is synced than was.
    pub(crate) fn killed(&self) -> SimulatedDisk {
        let state = self.0.state.lock();
        let mut copies = Vec::<(*const Inode, Arc<Inode>)>::new();
        let mut copied = |inode: &Arc<Inode>| {
            if let Some((_, copy)) = copies.iter().find(|(of, _)| std::ptr::eq(*of, &**inode)) {
                return Arc::clone(copy);
            }
            let content = inode.content.lock();
            let cache = Cache::new(inode.cache.len());
            let mut bytes = vec![0; content.durable.len()];
            inode.cache.read(&mut bytes, 0);
            cache.write(&bytes, 0);
            let content = Content {
                len: content.len,
                durable: content.durable.clone(),
                durable_len: content.durable_len,
                believed: content.believed.clone(),
                pages: content.pages.clone(),
            };
            let copy = Arc::new(Inode { cache, content: Mutex::new(content) });
            copies.push((&raw const **inode, Arc::clone(&copy)));
            copy
        };
        let names = state.names.iter().map(|(name, inode)| (name.clone(), copied(inode))).collect();
        let durable_names = state.durable_names.iter().map(|(name, inode)| (name.clone(), copied(inode))).collect();
        let changes = state
            .changes
            .iter()
            .map(|change| match change {
                Change::Create(name, inode) => Change::Create(name.clone(), copied(inode)),
                Change::Rename(from, to) => Change::Rename(from.clone(), to.clone()),
                Change::Remove(name) => Change::Remove(name.clone()),
            })
            .collect();
        let disk = self.restarted(names, state.rng.clone());
        let mut other = disk.0.state.lock();
        (other.durable_names, other.changes) = (durable_names, changes);
        drop(other);
        disk
    }

    fn restarted(&self, names: BTreeMap<String, Arc<Inode>>, mut rng: Rng) -> SimulatedDisk {
        let disk = SimulatedDisk::new(rng.next_u64(), self.0.file_bytes_max);
        let mut state = disk.0.state.lock();
        state.used_pages = names.values().map(|inode| inode.content.lock().pages.len() as u64).sum();
        state.durable_names = names.clone();
        state.names = names;
        drop(state);
        disk
    }

    /// All bytes of a file.
    pub(crate) fn contents(&self, name: &str) -> Vec<u8> {
        let inode = Arc::clone(&self.0.state.lock().names[name]);
        let mut bytes = vec![0; inode.content.lock().len];
        inode.cache.read(&mut bytes, 0);
        bytes
    }

    /// Replaces a file by one of these bytes, all of it durable.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        let pages: BTreeSet<usize> = (0..bytes.len().div_ceil(PAGE_BYTES)).collect();
        let mut state = self.0.state.lock();
        state.used_pages += pages.len() as u64;
        let inode = Inode::new(bytes, self.0.file_bytes_max, pages);
        state.durable_names.insert(name.to_owned(), Arc::clone(&inode));
        if let Some(replaced) = state.names.insert(name.to_owned(), inode) {
            state.used_pages -= replaced.content.lock().pages.len() as u64;
        }
    }

    fn file(&self, inode: Arc<Inode>) -> Arc<dyn StorageFile> {
        Arc::new(SimulatedFile { disk: self.clone(), inode })
    }
}

impl State {
    fn attempt(&mut self, operation: Operation) -> io::Result<()> {
        for fault in self.faults.iter_mut().filter(|fault| fault.operation == operation && fault.count > 0) {
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            fault.count -= 1;
            return Err(io::Error::from_raw_os_error(fault.error_number));
        }
        Ok(())
    }

    fn found(&self, name: &str) -> io::Result<Arc<Inode>> {
        self.names.get(name).cloned().ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }
}

impl Storage for SimulatedDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let inode = self.0.state.lock().found(name)?;
        Ok(self.file(inode))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let mut state = self.0.state.lock();
        state.attempt(Operation::Create)?;
        if let Ok(inode) = state.found(name) {
            drop(state);
            let file = self.file(inode);
            file.set_len(0)?;
            return Ok(file);
        }
        let inode = Inode::new(&[], self.0.file_bytes_max, BTreeSet::new());
        state.changes.push(Change::Create(name.to_owned(), Arc::clone(&inode)));
        state.names.insert(name.to_owned(), Arc::clone(&inode));
        Ok(self.file(inode))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.0.state.lock().names.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.state.lock();
        state.attempt(Operation::Rename)?;
        let inode = state.found(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), inode);
        state.changes.push(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.state.lock();
        let inode = state.found(name)?;
        state.names.remove(name);
        state.used_pages -= inode.content.lock().pages.len() as u64;
        state.changes.push(Change::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.0.state.lock();
        state.attempt(Operation::SyncDirectory)?;
        state.durable_names = state.names.clone();
        state.changes.clear();
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.0.state.lock();
        Ok(state.capacity_bytes.saturating_sub(state.used_pages * PAGE_BYTES as u64))
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    inode: Arc<Inode>,
}

impl StorageFile for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.inode.content.lock().len as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = len as usize;
        let mut state = self.disk.0.state.lock();
        let mut content = self.inode.content.lock();
        if len < content.len {
            self.inode.zero(len..content.len);
            let kept = content.pages.iter().copied().filter(|page| page * PAGE_BYTES < len).collect::<BTreeSet<_>>();
            state.used_pages -= (content.pages.len() - kept.len()) as u64;
            content.pages = kept;
        }
        content.reach(len);
        Ok(())
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<()> {
        let content = self.inode.content.lock();
        if at as usize + into.len() > content.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.inode.cache.read(into, at as usize);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let range = at as usize..at as usize + bytes.len();
        let mut state = self.disk.0.state.lock();
        state.attempt(Operation::Write)?;
        let mut content = self.inode.content.lock();
        for page in range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES) {
            if content.pages.contains(&page) {
                continue;
            }
            if (state.used_pages + 1) * PAGE_BYTES as u64 > state.capacity_bytes {
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
            state.used_pages += 1;
            content.pages.insert(page);
        }
        let len = content.len.max(range.end);
        content.reach(len);
        self.inode.cache.write(bytes, range.start);
        // Written anew, whatever the system believes of it.
        for at in (range.start / SECTOR_BYTES * SECTOR_BYTES..range.end).step_by(SECTOR_BYTES) {
            let mut byte = [0];
            self.inode.cache.read(&mut byte, at);
            content.believed[at] = !byte[0];
        }
        Ok(())
    }

    fn write_back(&self, range: Range<u64>) {
        let mut state = self.disk.0.state.lock();
        let mut content = self.inode.content.lock();
        self.inode.for_dirty(&mut content, |content, sector, bytes| {
            if (sector.start as u64) < range.end && (sector.end as u64) > range.start && state.rng.below(4) > 0 {
                content.durable[sector.clone()].copy_from_slice(bytes);
                content.believed[sector].copy_from_slice(bytes);
            }
        });
    }

    fn sync(&self) -> io::Result<()> {
        let (outcome, delay, mut rng) = {
            let mut state = self.disk.0.state.lock();
            state.syncs += 1;
            let seed = state.rng.next_u64();
            (state.attempt(Operation::Sync), state.sync_delay, Rng::from_seed(seed))
        };
        std::thread::sleep(delay);
        // A crash under way has not seen it: nobody may be told that it has succeeded before that is over.
        let _state = self.disk.0.state.lock();
        let mut content = self.inode.content.lock();
        let failed = outcome.is_err();
        self.inode.for_dirty(&mut content, |content, sector, bytes| {
            if !failed || rng.below(2) == 0 {
                content.durable[sector.clone()].copy_from_slice(bytes);
            }
            content.believed[sector].copy_from_slice(bytes);
        });
        content.durable_len = content.len;
        outcome
    }

    fn punch(&self, range: Range<u64>) -> io::Result<()> {
        let mut state = self.disk.0.state.lock();
        let mut content = self.inode.content.lock();
        let range = range.start as usize..range.end as usize;
        for page in range.start.div_ceil(PAGE_BYTES)..range.end / PAGE_BYTES {
            state.used_pages -= u64::from(content.pages.remove(&page));
        }
        self.inode.zero(range.start.min(content.len)..range.end.min(content.len));
        Ok(())
    }

    fn disk_bytes(&self) -> io::Result<u64> {
        Ok((self.inode.content.lock().pages.len() * PAGE_BYTES) as u64)
    }

    fn map(&self, len: usize) -> io::Result<Mapping> {
        fn populate(_: *mut u8, _: usize, _: Access) -> io::Result<()> {
            Ok(())
        }
        if len > self.inode.cache.len() {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        let cache = Arc::clone(&self.inode.cache);
        // SAFETY: the memory is as long as `len` at least, by the check above, and stays where it is while the owner, a
        // share of it, lives.
        Ok(unsafe { Mapping::new(cache.address(), len, populate, Box::new(cache)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_keeps_what_was_synced_and_some_of_the_rest() {
        let (mut kept, mut lost) = (0, 0);
        for seed in 0..100 {
            let disk = SimulatedDisk::new(seed, 64 << 10);
            let file = disk.create("one").unwrap();
            file.write_at(&[1; 4096], 0).unwrap();
            file.sync().unwrap();
            disk.sync_directory().unwrap();
            let mapping = file.map(8192).unwrap();
            // SAFETY: nobody else has the file.
            unsafe { mapping.bytes_mut(512..1024) }.fill(2);
            disk.create("two").unwrap();
            let after = disk.crash(seed);
            let bytes = after.contents("one");
            assert!(bytes[..512] == [1; 512] && bytes[1024..] == [1; 3072]);
            match bytes[512..1024] {
                [2, ..] => kept += 1,
                _ => lost += 1,
            }
            assert_eq!(disk.killed().contents("one")[512..1024], [2; 512]);
        }
        assert!(kept > 10 && lost > 10, "{kept} {lost}");
    }

    #[test]
    fn a_failed_sync_is_made_good_by_writing_anew_only() {
        let disk = SimulatedDisk::new(7, 64 << 10);
        let file = disk.create("one").unwrap();
        disk.sync_directory().unwrap();
        file.write_at(&[1; 32 << 10], 0).unwrap();
        disk.fail(Operation::Sync, 0, 1, libc::EIO);
        assert!(file.sync().is_err());
        file.sync().unwrap();
        assert!(disk.crash(1).contents("one").contains(&0));
        file.write_at(&[1; 32 << 10], 0).unwrap();
        file.sync().unwrap();
        assert!(!disk.crash(1).contents("one").contains(&0));
        disk.set_capacity(32 << 10);
        assert_eq!(file.write_at(&[1], 40 << 10).unwrap_err().raw_os_error(), Some(libc::ENOSPC));
        file.punch(0..4096).unwrap();
        file.write_at(&[1], 40 << 10).unwrap();
    }
}
