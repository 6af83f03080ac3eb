//! Real files: a directory on a Linux file system, mapped with memmap2.

#![allow(unsafe_code)]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::{MmapOptions, MmapRaw};

use super::storage::{Access, Mapping, Storage, StorageFile};

const PAGE_BYTES: usize = 4096;
/// What `st_blocks` counts in, whatever the file system's blocks are.
const STAT_BLOCK_BYTES: u64 = 512;

/// A directory of the file system.
pub struct Disk {
    path: PathBuf,
    is_writable: bool,
}

impl Disk {
    /// The directory at `path`, made if it is not there.
    pub fn open(path: &Path) -> io::Result<Disk> {
        fs::create_dir_all(path)?;
        Ok(Disk { path: path.to_path_buf(), is_writable: true })
    }

    /// The directory at `path`, which must be there. Nothing in it can be changed through this.
    pub fn read_only(path: &Path) -> io::Result<Disk> {
        if !fs::metadata(path)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Disk { path: path.to_path_buf(), is_writable: false })
    }

    fn opened(&self, name: &str, options: &OpenOptions) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(DiskFile { file: options.open(self.path.join(name))?, is_writable: self.is_writable }))
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.is_writable { Ok(()) } else { Err(io::ErrorKind::ReadOnlyFilesystem.into()) }
    }
}

impl Storage for Disk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.opened(name, OpenOptions::new().read(true).write(self.is_writable))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.check_writable()?;
        self.opened(name, OpenOptions::new().read(true).write(true).create(true).truncate(true))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            // A name that is not UTF-8 is none of ours.
            if let (true, Ok(name)) = (entry.file_type()?.is_file(), entry.file_name().into_string()) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.check_writable()?;
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.check_writable()?;
        fs::remove_file(self.path.join(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let directory = File::open(&self.path)?;
        // SAFETY: plain data, filled by the call; the descriptor is open.
        let status = unsafe {
            let mut status: libc::statvfs = std::mem::zeroed();
            if libc::fstatvfs(directory.as_raw_fd(), &mut status) != 0 {
                return Err(io::Error::last_os_error());
            }
            status
        };
        Ok(status.f_bavail * status.f_frsize)
    }
}

struct DiskFile {
    file: File,
    is_writable: bool,
}

impl DiskFile {
    fn offsets(range: &Range<u64>) -> (libc::off_t, libc::off_t) {
        (range.start as libc::off_t, range.end.saturating_sub(range.start) as libc::off_t)
    }
}

impl StorageFile for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(into, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    fn write_back(&self, range: Range<u64>) {
        let (start, len) = DiskFile::offsets(&range);
        let flags = libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
        // SAFETY: a system call on numbers and an open descriptor. Its failure shows in the `sync` that follows.
        unsafe { libc::sync_file_range(self.file.as_raw_fd(), start, len, flags) };
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn punch(&self, range: Range<u64>) -> io::Result<()> {
        let (start, len) = DiskFile::offsets(&range);
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: a system call on numbers and an open descriptor.
        match unsafe { libc::fallocate(self.file.as_raw_fd(), mode, start, len) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn disk_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.blocks() * STAT_BLOCK_BYTES)
    }

    fn map(&self, len: usize) -> io::Result<Mapping> {
        let mut options = MmapOptions::new();
        options.len(len);
        let map = if self.is_writable { options.map_raw(&self.file) } else { options.map_raw_read_only(&self.file) }?;
        // Appends and replays go front to back: read far ahead, and keep nothing behind for them.
        map.advise(memmap2::Advice::Sequential)?;
        let address = map.as_mut_ptr();
        // SAFETY: the map stands where it is until its owner, this box, is dropped.
        Ok(unsafe { Mapping::new(address, len, populate, Box::new(map) as Box<MmapRaw>) })
    }
}

/// Reads pages in, and makes them ready for stores if that is asked. An unreadable page is an error here, where a touch
/// would be a signal.
fn populate(address: *mut u8, len: usize, access: Access) -> io::Result<()> {
    let advice = match access {
        Access::Read => libc::MADV_POPULATE_READ,
        Access::Write => libc::MADV_POPULATE_WRITE,
    };
    let misaligned = address as usize % PAGE_BYTES;
    // SAFETY: the range lies in a live mapping, whose first byte is at a page's start; the call reads pages in and
    // changes no byte of them.
    let outcome = unsafe { libc::madvise(address.sub(misaligned).cast(), len + misaligned, advice) };
    match outcome {
        0 => Ok(()),
        // An older kernel: the pages come when they are touched.
        _ if io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_the_file() {
        let path = std::env::temp_dir().join(format!("cairn-disk-{}", std::process::id()));
        let disk = Disk::open(&path).unwrap();
        let file = disk.create("one").unwrap();
        file.write_at(&[0; 8192], 0).unwrap();
        let mapping = file.map(1 << 20).unwrap();
        // SAFETY: written above, and nobody else has the file.
        unsafe { mapping.bytes_mut(10..13) }.copy_from_slice(b"abc");
        let mut read = [0; 3];
        file.read_at(&mut read, 10).unwrap();
        assert_eq!(&read, b"abc");
        file.write_at(b"x", 11).unwrap();
        mapping.populate(0..8192).unwrap();
        mapping.populate_for_write(4096..8192).unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { mapping.bytes(10..13) }, b"axc");
        // Behind the file's end there is nothing to read, and that is an error.
        assert!(mapping.populate(8192..16384).is_err());
        file.sync().unwrap();
        assert_eq!(disk.names().unwrap(), ["one"]);
        assert!(file.disk_bytes().unwrap() >= 8192 && disk.free_bytes().unwrap() > 0);
        file.punch(0..4096).unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { mapping.bytes(10..13) }, [0; 3]);
        disk.rename("one", "two").unwrap();
        disk.sync_directory().unwrap();
        let only = Disk::read_only(&path).unwrap();
        let looked_at = only.open("two").unwrap();
        let mapping = looked_at.map(8192).unwrap();
        // SAFETY: written above, and nobody stores into it.
        assert_eq!(unsafe { mapping.bytes(8191..8192) }, [0]);
        assert!(looked_at.write_at(b"x", 0).is_err() && looked_at.set_len(0).is_err());
        assert!(only.create("new").is_err() && only.remove("two").is_err() && only.rename("two", "one").is_err());
        disk.remove("two").unwrap();
        fs::remove_dir(&path).unwrap();
    }
}
