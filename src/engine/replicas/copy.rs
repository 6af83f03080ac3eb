//! A full copy of the data set on its way to replicas: an RDB file without a name, written once and read by all who joined.
//!
//! ```text
//! asked for --cut--> growing --> whole | failed
//! ```
//! The keeper's thread cuts and writes; connections of replicas read what is there. The bytes in the file are what a
//! replica gets, whether it is told their number first or a mark that ends them: only with a mark it need not wait for the
//! whole. So a slow replica holds up neither the writer nor the slots that it reads.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::stream::Cursor;
use crate::base::random;
use crate::engine::Engine;
use crate::engine::clients::ClientHandle;

/// How far a copy is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Where the stream goes on behind it, once that is known.
    pub offset: Option<u64>,
    /// Bytes that can be read.
    pub bytes: u64,
    pub whole: bool,
    pub failed: bool,
}

struct Cut {
    file: File,
    /// Keeps what follows for those who join.
    cursor: Cursor,
    offset: u64,
}

pub struct FullCopy {
    /// It is sent as it grows, and this ends it.
    pub mark: Option<String>,
    /// Others may join until this Unix time in milliseconds before it begins.
    pub begins_ms: u64,
    /// It begins at once when so many have joined; 0 is no such number.
    pub joined_max: usize,
    cut: OnceLock<Cut>,
    bytes: AtomicU64,
    /// [`UNDER_WAY`], [`WHOLE`] or [`FAILED`].
    outcome: AtomicUsize,
    joined: Mutex<Vec<Arc<ClientHandle>>>,
    /// Its writer has taken it on.
    begun: AtomicBool,
    /// The server ends.
    abandoned: AtomicBool,
}

/// A file for a copy: it goes with the last who has it open.
pub fn nameless_file(path: &Path) -> std::io::Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

const UNDER_WAY: usize = 0;
const WHOLE: usize = 1;
const FAILED: usize = 2;

impl FullCopy {
    /// `marked`: sent as it grows.
    fn new(marked: bool, begins_ms: u64, joined_max: usize) -> FullCopy {
        FullCopy {
            mark: marked.then(|| random::hex_id(20)),
            begins_ms,
            joined_max,
            cut: OnceLock::new(),
            bytes: AtomicU64::new(0),
            outcome: AtomicUsize::new(UNDER_WAY),
            joined: Mutex::default(),
            begun: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
        }
    }

    /// Whether it is time to begin.
    fn is_due(&self, now_ms: u64) -> bool {
        now_ms >= self.begins_ms || self.joined_max > 0 && self.joined.lock().len() >= self.joined_max
    }

    // ---- the writer's side --------------------------------------------------------------------------------------

    /// Told of the cut: the file that grows, and the stream from there on.
    pub fn begin(&self, file: File, cursor: Cursor) {
        // Where the stream has begun elsewhere since, nobody waits for the copy any more.
        let Some(offset) = cursor.offset() else { return };
        // There is one writer, which cuts once.
        let _ = self.cut.set(Cut { file, cursor, offset });
        self.wake_joined();
    }

    /// Told that so many bytes are in the file.
    pub fn grow(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Release);
        if self.mark.is_some() {
            self.wake_joined();
        }
    }

    fn end(&self, whole: bool) {
        self.outcome.store(if whole { WHOLE } else { FAILED }, Ordering::Release);
        self.wake_joined();
    }

    /// Whether anyone still wants it.
    pub fn is_wanted(&self) -> bool {
        !self.abandoned.load(Ordering::Relaxed) && !self.joined.lock().is_empty()
    }

    fn wake_joined(&self) {
        self.joined.lock().iter().for_each(|client| client.wake());
    }

    // ---- the replicas' side -------------------------------------------------------------------------------------

    fn join(&self, client: &Arc<ClientHandle>) {
        self.joined.lock().push(client.clone());
    }

    pub fn leave(&self, client: &ClientHandle) {
        self.joined.lock().retain(|joined| joined.id != client.id);
    }

    pub fn progress(&self) -> Progress {
        let outcome = self.outcome.load(Ordering::Acquire);
        Progress {
            offset: self.cut.get().map(|cut| cut.offset),
            bytes: self.bytes.load(Ordering::Acquire),
            whole: outcome == WHOLE,
            failed: outcome == FAILED,
        }
    }

    /// Reads bytes that are there.
    pub fn read(&self, to: &mut Vec<u8>, from: u64, count: usize) -> std::io::Result<()> {
        let cut = self.cut.get().ok_or(std::io::ErrorKind::NotFound)?;
        let start = to.len();
        to.resize(start + count, 0);
        cut.file.read_exact_at(&mut to[start..], from)
    }

    /// The stream behind the copy, once it was cut.
    pub fn cursor(&self, client: &Arc<ClientHandle>) -> Option<Cursor> {
        self.cut.get().and_then(|cut| cut.cursor.again(client))
    }
}

/// The copies that replicas can join: those that have not ended.
#[derive(Default)]
pub struct Copies(Mutex<Vec<Arc<FullCopy>>>);

impl Copies {
    /// Joins a copy that the client can read, or a new one that `make` makes. Tells whether it is new.
    fn join(
        &self,
        client: &Arc<ClientHandle>,
        reads_marks: bool,
        make: impl FnOnce() -> FullCopy,
    ) -> (Arc<FullCopy>, bool) {
        let mut open = self.0.lock();
        let fitting = open.iter().find(|copy| copy.mark.is_none() || reads_marks).cloned();
        let is_new = fitting.is_none();
        let copy = fitting.unwrap_or_else(|| {
            open.push(Arc::new(make()));
            open[open.len() - 1].clone()
        });
        copy.join(client);
        (copy, is_new)
    }

    /// A copy whose time has come, once each, for the thread that makes them.
    pub fn take_due(&self, now_ms: u64) -> Option<Arc<FullCopy>> {
        let open = self.0.lock();
        open.iter().find(|copy| copy.is_due(now_ms) && !copy.begun.swap(true, Ordering::Relaxed)).cloned()
    }

    /// Has the writers of copies give up.
    pub fn abandon(&self) {
        self.0.lock().iter().for_each(|copy| copy.abandoned.store(true, Ordering::Relaxed));
    }

    /// Ends a copy: nobody joins it any more.
    pub fn end(&self, copy: &Arc<FullCopy>, whole: bool) {
        self.0.lock().retain(|open| !Arc::ptr_eq(open, copy));
        copy.end(whole);
    }
}

impl Engine {
    /// Has a replica join a full copy that is under way, or begins one.
    pub fn join_copy(&self, client: &Arc<ClientHandle>, reads_marks: bool, now_ms: u64) -> Arc<FullCopy> {
        let config = self.config.load();
        let marked = config.repl_diskless_sync && reads_marks;
        let delay_ms = if marked { u64::from(config.repl_diskless_sync_delay) * 1000 } else { 0 };
        let make = || FullCopy::new(marked, now_ms + delay_ms, config.repl_diskless_sync_max_replicas as usize);
        let (copy, is_new) = self.replicas.copies.join(client, reads_marks, make);
        if is_new || copy.is_due(now_ms) {
            self.persistence.ask_copy();
        }
        copy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::replicas::stream::Stream;

    #[test]
    fn replicas_share_a_copy_that_they_can_read() {
        let copies = Copies::default();
        let clients: Vec<_> = (0..4).map(|_| Arc::new(ClientHandle::nobody())).collect();
        let (marked, is_new) = copies.join(&clients[0], true, || FullCopy::new(true, 100, 2));
        assert!(is_new && copies.take_due(99).is_none());
        let (same, is_new) = copies.join(&clients[1], true, || panic!("there is one"));
        assert!(!is_new && Arc::ptr_eq(&marked, &same) && copies.take_due(99).is_some(), "two are enough");
        let (plain, is_new) = copies.join(&clients[2], false, || FullCopy::new(false, 0, 0));
        assert!(is_new && plain.mark.is_none());
        assert!(Arc::ptr_eq(&copies.take_due(0).unwrap(), &plain) && copies.take_due(1000).is_none());
        let stream = Arc::new(Stream::default());
        let file = tempfile().unwrap();
        file.write_all_at(b"0123456789", 0).unwrap();
        plain.begin(file, stream.cut(100));
        plain.grow(10);
        copies.end(&plain, true);
        let mut piece = b"x".to_vec();
        plain.read(&mut piece, 3, 4).unwrap();
        assert_eq!(piece, b"x3456");
        assert_eq!(plain.progress(), Progress { offset: Some(0), bytes: 10, whole: true, failed: false });
        assert!(plain.cursor(&clients[2]).is_some() && plain.is_wanted());
        let (_, is_new) = copies.join(&clients[3], false, || FullCopy::new(false, 0, 0));
        assert!(is_new, "what has ended is not joined");
    }

    fn tempfile() -> std::io::Result<File> {
        nameless_file(&std::env::temp_dir().join(format!("cairn-copy-{}", std::process::id())))
    }
}
