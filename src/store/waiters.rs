//! Who waits for keys of one slot, first come first served. Guarded by the slot's lock.
//!
//! The store keeps waiters in line and knows nothing else of them: a waiter is an opaque value with a ticket. Tickets
//! grow with time, so every line is sorted by them, and a waiter is found in it without a walk.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::slot::DbIndex;

/// Someone who waits.
pub type WaiterHandle = Arc<dyn Any + Send + Sync>;

/// A waiter's place in the line of one key.
#[derive(Clone)]
pub struct InLine {
    /// Larger than that of everyone who came before, and never given out again.
    pub ticket: u64,
    /// It wants to know, too, when the key is removed or becomes another type.
    pub minds_end: bool,
    pub waiter: WaiterHandle,
}

/// Who waits for one key.
#[derive(Default)]
struct Line {
    waiters: VecDeque<InLine>,
    mind_end: usize,
}

#[derive(Default)]
pub struct Waiters {
    lines: HashMap<(DbIndex, Box<[u8]>), Line>,
}

/// A key that somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitedKey {
    pub db: DbIndex,
    pub key: Box<[u8]>,
}

impl Waiters {
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn line(&self, db: DbIndex, key: &[u8]) -> Option<&Line> {
        self.lines.get(&(db, Box::from(key)))
    }

    pub fn is_waited_for(&self, db: DbIndex, key: &[u8]) -> bool {
        self.line(db, key).is_some()
    }

    /// Whether any waiter of the key minds its end.
    pub fn mind_end(&self, db: DbIndex, key: &[u8]) -> bool {
        self.line(db, key).is_some_and(|line| line.mind_end > 0)
    }

    /// Puts a waiter at the end of a key's line, unless it stands there.
    pub fn join(&mut self, db: DbIndex, key: &[u8], waiter: InLine) {
        let line = self.lines.entry((db, key.into())).or_default();
        if line.waiters.back().is_some_and(|last| last.ticket == waiter.ticket) {
            return;
        }
        line.mind_end += usize::from(waiter.minds_end);
        line.waiters.push_back(waiter);
    }

    /// Takes a waiter out of a key's line.
    pub fn leave(&mut self, db: DbIndex, key: &[u8], ticket: u64) {
        let place = (db, Box::from(key));
        let Some(line) = self.lines.get_mut(&place) else { return };
        if let Ok(at) = line.waiters.binary_search_by_key(&ticket, |waiter| waiter.ticket)
            && let Some(left) = line.waiters.remove(at)
        {
            line.mind_end -= usize::from(left.minds_end);
        }
        if line.waiters.is_empty() {
            self.lines.remove(&place);
        }
    }

    /// The first waiter in a key's line with a ticket above `after`.
    pub fn next(&self, db: DbIndex, key: &[u8], after: u64) -> Option<&InLine> {
        let line = self.line(db, key)?;
        line.waiters.get(line.waiters.partition_point(|waiter| waiter.ticket <= after))
    }

    /// Every key that is waited for, and whether somebody minds its end.
    pub fn keys(&self) -> impl Iterator<Item = (DbIndex, &[u8], bool)> {
        self.lines.iter().map(|((db, key), line)| (*db, &key[..], line.mind_end > 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter(ticket: u64, minds_end: bool) -> InLine {
        InLine { ticket, minds_end, waiter: Arc::new(ticket) }
    }

    #[test]
    fn lines_keep_their_order_and_end() {
        let mut waiters = Waiters::default();
        for ticket in [3, 5, 9] {
            waiters.join(0, b"k", waiter(ticket, ticket == 5));
        }
        waiters.join(0, b"k", waiter(9, false));
        waiters.join(1, b"k", waiter(10, false));
        let next = |waiters: &Waiters, after| waiters.next(0, b"k", after).map(|waiter| waiter.ticket);
        assert_eq!([0, 3, 5, 9].map(|after| next(&waiters, after)), [Some(3), Some(5), Some(9), None]);
        assert!(waiters.mind_end(0, b"k") && !waiters.mind_end(1, b"k"));
        waiters.leave(0, b"k", 5);
        waiters.leave(0, b"k", 5);
        assert_eq!(next(&waiters, 3), Some(9));
        assert!(!waiters.mind_end(0, b"k"));
        waiters.leave(0, b"k", 3);
        waiters.leave(0, b"k", 9);
        assert!(!waiters.is_waited_for(0, b"k") && waiters.is_waited_for(1, b"k"));
        waiters.leave(1, b"k", 10);
        assert!(waiters.is_empty());
    }
}
