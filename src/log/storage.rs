//! The seam between the log and the disk: everything that the log asks of files goes through these two traits.
//!
//! Two implementations: [`super::disk::Disk`], a directory of real files, and for tests a simulated disk that loses
//! what was not synced, tears sectors and fails on command. What the seam promises, and the simulated disk holds to:
//! - A store into a mapping and a `write_at` are seen by every reader at once, and survive the end of the process.
//! - They survive the end of the machine only once a later `sync` of that file has returned. Until then any part of
//!   them may be on the disk, in any order, in units of a sector.
//! - After a failed `sync` nothing is known of what was written since the last good one, and trying again tells nothing.
//! - A created, renamed or removed name survives the end of the machine once `sync_directory` has returned.

use std::any::Any;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// A directory of files without subdirectories.
pub trait Storage: Send + Sync {
    /// An existing file, to read and write.
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;
    /// A new file, or an existing one emptied.
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;
    /// The names of all files.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Gives a file another name, replacing the file that has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals so far durable.
    fn sync_directory(&self) -> io::Result<()>;
    /// Bytes that may still be written before the disk is full.
    fn free_bytes(&self) -> io::Result<u64>;
}

// A length is asked of the disk and may fail; nobody asks whether it is zero.
#[allow(clippy::len_without_is_empty)]
pub trait StorageFile: Send + Sync {
    fn len(&self) -> io::Result<u64>;
    /// Cuts the file, or lengthens it by a hole that reads as zeros and has no space on the disk.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Fills `into` from offset `at`; an early end of the file is an error.
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<()>;
    /// Writes all of `bytes` at offset `at`, lengthening the file if need be. When it has returned, the space is taken:
    /// stores into a mapping of that range cannot fail for want of it.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Has the bytes of `range` written to the disk and waits for it, as a head start for `sync`. Promises nothing.
    fn write_back(&self, range: Range<u64>);
    /// Makes all that was written so far, and the file's length, durable.
    fn sync(&self) -> io::Result<()>;
    /// Gives the space of `range` back to the file system; it then reads as zeros.
    fn punch(&self, range: Range<u64>) -> io::Result<()>;
    /// Bytes that the file takes on the disk, holes left out.
    fn disk_bytes(&self) -> io::Result<u64>;
    /// The first `len` bytes of the file in memory. The file may be shorter; what lies behind its end must not be
    /// touched.
    fn map(&self, len: usize) -> io::Result<Mapping>;
}

/// What pages are brought into memory for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// Brings the pages of so many bytes at an address into memory.
pub type Populate = fn(*mut u8, usize, Access) -> io::Result<()>;

/// Bytes of a file in memory, shared with the file.
///
/// The mapping itself keeps no account of who may touch what: see the contracts of its methods.
pub struct Mapping {
    address: *mut u8,
    len: usize,
    populate: Populate,
    /// Unmaps, or frees, when dropped.
    _owner: Box<dyn Any + Send + Sync>,
}

// SAFETY: an address without thread-bound state; what may be done with it is each method's contract.
#[allow(unsafe_code)]
unsafe impl Send for Mapping {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Mapping {}

#[allow(unsafe_code)]
impl Mapping {
    /// A mapping of `len` bytes at `address`.
    ///
    /// # Safety
    /// The bytes stay where they are, readable, for as long as `owner` lives, and writable where the file's `write_at`
    /// succeeds. `populate` gets a part of them and must touch nothing else.
    pub unsafe fn new(address: *mut u8, len: usize, populate: Populate, owner: Box<dyn Any + Send + Sync>) -> Mapping {
        Mapping { address, len, populate, _owner: owner }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where byte `offset` stands, to prefetch it.
    pub fn address_of(&self, offset: usize) -> *const u8 {
        self.address.wrapping_add(offset)
    }

    /// Bytes of the mapping, to read.
    ///
    /// # Safety
    /// The range lies within the file, and nobody stores into it for as long as the result lives.
    pub unsafe fn bytes(&self, range: Range<usize>) -> &[u8] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
        // SAFETY: within the mapping by the check above; not written by the caller's promise.
        unsafe { std::slice::from_raw_parts(self.address.add(range.start), range.end - range.start) }
    }

    /// Bytes of the mapping, to write.
    ///
    /// # Safety
    /// The range was given space by `write_at`, and nobody else reads or stores into it for as long as the result
    /// lives.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn bytes_mut(&self, range: Range<usize>) -> &mut [u8] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
        // SAFETY: within the mapping by the check above; the caller's alone by its promise.
        unsafe { std::slice::from_raw_parts_mut(self.address.add(range.start), range.end - range.start) }
    }

    /// Brings the pages of `range` into memory. Where the disk cannot deliver them this is an error, while touching
    /// them would end the process.
    pub fn populate(&self, range: Range<usize>) -> io::Result<()> {
        self.populate_for(range, Access::Read)
    }

    /// The same for pages that will be stored to: the first store to each then costs no fault.
    pub fn populate_for_write(&self, range: Range<usize>) -> io::Result<()> {
        self.populate_for(range, Access::Write)
    }

    fn populate_for(&self, range: Range<usize>, access: Access) -> io::Result<()> {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
        // SAFETY: within the mapping by the check above.
        (self.populate)(unsafe { self.address.add(range.start) }, range.end - range.start, access)
    }
}
