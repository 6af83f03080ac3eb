//! A lane: the writing end of the journal that one thread has for its own.
//!
//! All of a lane is under its lock, which is taken below the locks of slots, and hardly ever contended: its thread takes
//! it for each append, others for a cut, a mark, or to hand over the next segment.
//!
//! An append goes straight into the mapping of the lane's segment as long as its end stays below `fast_until`. That
//! leaves room for the `sealed` record, and space that the filler is not late with. Beyond it, and when a cut has begun
//! another generation, [`Lane::make_room`] looks closer.
//!
//! As long as the filler keeps up, half of what it keeps ahead is always there: the lane is *ample*, and changes of up to
//! that length need nothing reserved. Whoever is about to make a change looks at that without the lock. Only the lane's
//! own thread takes of the space; what a cut begins has as much again, or the cut fails.

use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::core::Core;
use super::health::is_full;
use super::record::{self, EFFECT_BYTES_MAX, Header, Kind};
use super::segment::{HEADER_BYTES, Segment, Space, Writer};
use crate::base::clock;

/// Room that every segment keeps for the record that seals it.
const SEAL_BYTES: usize = 40;
/// A `synced` record.
const MARK_BYTES: usize = 56;
/// What a segment has beside the changes in it.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + SEAL_BYTES + MARK_BYTES;

/// A lane on cache lines of its own; two, because processors fetch them in pairs.
#[repr(align(128))]
pub struct Padded(pub Mutex<Lane>, AtomicBool);

impl Padded {
    pub fn new(lane: Lane) -> Padded {
        Padded(Mutex::new(lane), AtomicBool::new(false))
    }

    /// Whether [`ample_bytes`] can be appended without asking the disk; asked by the lane's own thread.
    #[inline]
    pub fn is_ample(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }
}

/// What an ample lane has space for.
#[inline]
pub fn ample_bytes(core: &Core) -> usize {
    core.options.fill_ahead_bytes / 2
}

pub struct Lane {
    pub writer: Writer,
    number: u32,
    /// Appends that end here or before need no look at anything else.
    fast_until: usize,
    generation: u64,
    /// The highest generation of a change that was appended to a segment of a former one, because there was no space to
    /// begin another. The cut that began this generation must fail.
    stayed_generation: u64,
    /// The segment holds changes.
    changed: bool,
    /// There are changes that no `synced` record covers.
    pub unmarked: bool,
    /// Bytes that were promised and not appended yet.
    reserved_bytes: usize,
    /// The segment after this one, ready and filled some way.
    pub next: Option<Space>,
}

impl Lane {
    pub fn new(number: u32, writer: Writer, generation: u64) -> Lane {
        Lane {
            writer,
            number,
            fast_until: 0,
            generation,
            stayed_generation: 0,
            changed: false,
            unmarked: false,
            reserved_bytes: 0,
            next: None,
        }
    }

    /// Appends `bytes` bytes of changes. An error leaves nothing behind.
    #[inline]
    pub fn append(&mut self, core: &Core, bytes: usize, write: impl FnOnce(&mut [u8], u64)) -> io::Result<()> {
        if !self.is_fast(core, bytes) {
            self.make_room(core, bytes)?;
        }
        self.writer.append(bytes, write);
        self.changed = true;
        self.unmarked = true;
        self.reserved_bytes = self.reserved_bytes.saturating_sub(bytes);
        Ok(())
    }

    /// Has room for so many bytes, now and after a cut.
    #[inline]
    pub fn reserve(&mut self, core: &Core, bytes: usize) -> io::Result<()> {
        self.reserved_bytes = bytes;
        if self.is_fast(core, bytes) { Ok(()) } else { self.make_room(core, bytes) }
    }

    #[inline]
    fn is_fast(&self, core: &Core, bytes: usize) -> bool {
        // Relaxed is enough: see the head of journal.rs.
        self.generation == core.generation.load(Ordering::Relaxed) && self.writer.end() + bytes <= self.fast_until
    }

    #[cold]
    fn make_room(&mut self, core: &Core, bytes: usize) -> io::Result<()> {
        if bytes > EFFECT_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let generation = core.generation.load(Ordering::Relaxed);
        let mut moved = Ok(());
        if self.generation != generation {
            moved = self.enter(core, bytes, generation);
            if let Err(error) = &moved {
                core.health.note("beginning a segment", error);
            }
        }
        let needed = self.writer.end() + bytes + SEAL_BYTES;
        let space = self.writer.segment().space();
        if needed > space.capacity() {
            moved?;
            self.move_on(core, bytes, generation)?;
        } else if needed > space.filled_bytes() {
            space.fill(needed, core.fill_step_bytes())?;
        }
        if self.generation != generation {
            self.stayed_generation = generation;
        }
        self.look_ahead(core);
        Ok(())
    }

    /// Notes whether the space at hand is ample. A segment that is filled to its end is not looked at again before that,
    /// so the next one must be ready then.
    pub fn note_space(&mut self, core: &Core) {
        self.writer.refresh();
        let wanted = ample_bytes(core) + OVERHEAD_BYTES;
        let is_whole = self.writer.segment().space().filled_bytes() == self.writer.segment().space().capacity();
        let is_ample = match &self.next {
            Some(next) if is_whole => next.filled_bytes() >= wanted,
            None if is_whole => false,
            _ => self.writer.room() >= wanted,
        };
        core.lanes[self.number as usize].1.store(is_ample, Ordering::Relaxed);
    }

    /// Learns how far the filler has come, and wakes it if that is not far.
    fn look_ahead(&mut self, core: &Core) {
        self.note_space(core);
        let filled = self.writer.end() + self.writer.room();
        if filled == self.writer.segment().space().capacity() {
            self.fast_until = filled - SEAL_BYTES;
            return;
        }
        let low_water = filled.saturating_sub(core.options.fill_ahead_bytes / 2);
        self.fast_until = low_water.min(filled - SEAL_BYTES.min(filled));
        if self.writer.end() >= self.fast_until {
            core.filler.wake();
        }
    }

    /// Goes over to another generation: in a new segment, unless the segment holds nothing of a former one.
    fn enter(&mut self, core: &Core, bytes: usize, generation: u64) -> io::Result<()> {
        if self.changed {
            return self.move_on(core, bytes, generation);
        }
        self.writer.set_generation(generation);
        self.generation = generation;
        Ok(())
    }

    /// Space for another segment, filled for so many bytes.
    fn take_next(&mut self, core: &Core, bytes: usize) -> io::Result<Space> {
        let wanted = bytes + OVERHEAD_BYTES;
        let space = match self.next.take_if(|next| next.capacity() >= wanted) {
            Some(space) => space,
            None => core.prepare(wanted)?,
        };
        match space.fill(wanted, core.fill_step_bytes()) {
            Ok(()) => Ok(space),
            Err(error) => {
                match self.next {
                    None => self.next = Some(space),
                    Some(_) => core.put_aside(space),
                }
                Err(error)
            }
        }
    }

    /// Seals the segment and begins the next one, which has room for so many bytes and for what was promised. An error
    /// leaves all as it was.
    fn move_on(&mut self, core: &Core, bytes: usize, generation: u64) -> io::Result<()> {
        let promised = self.reserved_bytes.max(ample_bytes(core));
        let space = match self.take_next(core, bytes.max(promised)) {
            // What was promised was promised for these bytes, and it may have been more than they are.
            Err(_) if bytes > 0 && bytes < promised => self.take_next(core, bytes)?,
            taken => taken?,
        };
        let before = self.writer.segment().number();
        let writer = Writer::begin(space, self.number, before, generation, clock::unix_ms());
        let header = mark_header(Kind::Sealed, writer.segment().number());
        self.writer.refresh();
        self.writer.append(SEAL_BYTES, |into, epoch| record::write(into, header, &[b""], SEAL_EFFECT_BYTES, epoch));
        // Known to the sync thread before it can hold a change, and behind the seal: a round that sees the new segment
        // makes the old one durable to its end.
        core.add_live(Arc::clone(writer.segment()));
        mem::replace(&mut self.writer, writer).seal();
        self.generation = generation;
        self.changed = false;
        self.look_ahead(core);
        core.filler.wake();
        Ok(())
    }

    /// Makes sure that all changes of generations before this one are in sealed segments, and no others.
    pub fn cut(&mut self, core: &Core, generation: u64) -> io::Result<()> {
        if self.stayed_generation >= generation {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.generation < generation { self.enter(core, 0, generation) } else { Ok(()) }
    }

    /// Appends the record which says that the first `synced` bytes of segment `number`, the last one of this lane that
    /// was synced, are durable.
    pub fn mark(&mut self, number: u64, synced: usize) {
        self.writer.refresh();
        if self.writer.room() < MARK_BYTES + SEAL_BYTES {
            return;
        }
        self.unmarked = (self.writer.segment().number(), self.writer.end()) != (number, synced);
        let digits = format!("{number:016x}");
        let header = mark_header(Kind::Synced, synced as u64);
        let arguments = [digits.as_bytes()];
        let effect_bytes = record::effect_bytes(&arguments);
        debug_assert_eq!(record::record_bytes(effect_bytes), MARK_BYTES);
        self.writer.append(MARK_BYTES, |into, epoch| record::write(into, header, &arguments, effect_bytes, epoch));
    }

    /// What the filler works on: the segment, the next one if it must be filled further, and whether there is none.
    pub fn take_unfilled(&mut self, next_bytes: usize) -> (Arc<Segment>, Option<Space>, bool) {
        let unfilled = self.next.take_if(|next| next.filled_bytes() < next_bytes.min(next.capacity()));
        (Arc::clone(self.writer.segment()), unfilled, self.next.is_none())
    }
}

const SEAL_EFFECT_BYTES: usize = 2;
const _: () = assert!((record::HEADER_BYTES + SEAL_EFFECT_BYTES).next_multiple_of(8) == SEAL_BYTES);
const _: () = assert!((record::HEADER_BYTES + 2 + 16).next_multiple_of(8) == MARK_BYTES);

fn mark_header(kind: Kind, sequence: u64) -> Header {
    Header { kind, slot: None, database: 0, sequence, time_ms: clock::unix_ms(), following: 0 }
}

/// What an append that found no space is to be reported as.
pub fn describe(error: &io::Error) -> String {
    let cause = if is_full(error) { "the disk is full" } else { "the disk gave an error" };
    format!("a change is in memory and not in the log, {cause}: {error}")
}
