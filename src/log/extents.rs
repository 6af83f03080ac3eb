//! Extents: which parts of the tablespace are free, and how long a slot's next extent is.
//!
//! The unit is 4,096 bytes. Nothing of this is on the disk: what no extent of the manifest names is free, so the free
//! space is worked out when the tablespace is opened. The writer of the tablespace owns it; no locks.
//!
//! Invariants:
//! - Free ranges of a file do not overlap and do not touch: neighbours are joined.
//! - The header's unit of a file is never free.
//! - Stale ranges are those free ones that may take space on the disk. They are punched once they are long enough.

use std::collections::{BTreeMap, BTreeSet};

pub const UNIT_BYTES: u64 = 4096;
/// Longest extent: 64 MiB.
pub const EXTENT_UNITS_MAX: u32 = 16_384;
/// Longest file of the tablespace: 4 GiB.
pub const FILE_UNITS_MAX: u32 = 1 << 20;
/// Units of a file's header.
pub const HEADER_UNITS: u32 = 1;
/// Shorter runs of stale space are left until their neighbours are free as well.
const PUNCH_UNITS_MIN: u32 = 16;
/// Free ranges are found by the power of two below their length.
const CLASSES: usize = 21;

const _: () = assert!(EXTENT_UNITS_MAX.is_power_of_two() && EXTENT_UNITS_MAX < FILE_UNITS_MAX - HEADER_UNITS);
const _: () = assert!(FILE_UNITS_MAX < 1 << CLASSES, "every length has a class");

/// A part of a tablespace file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extent {
    pub file: u32,
    pub start_units: u32,
    pub units: u32,
}

impl Extent {
    pub fn offset_bytes(self) -> u64 {
        u64::from(self.start_units) * UNIT_BYTES
    }

    pub fn bytes(self) -> u64 {
        u64::from(self.units) * UNIT_BYTES
    }

    pub fn end_units(self) -> u32 {
        self.start_units + self.units
    }
}

/// Lengths of the extents that a log of `capacity_units` is lengthened by, to take `needed_bytes` more: each as long
/// as the log before it, so that a log has few extents and at most half of them is unused.
pub fn growth(mut capacity_units: u64, needed_bytes: u64) -> impl Iterator<Item = u32> {
    let mut needed_units = needed_bytes.div_ceil(UNIT_BYTES);
    std::iter::from_fn(move || {
        if needed_units == 0 {
            return None;
        }
        let wanted = capacity_units.max(needed_units).min(u64::from(EXTENT_UNITS_MAX));
        let units = wanted.next_power_of_two();
        needed_units = needed_units.saturating_sub(units);
        capacity_units += units;
        Some(units as u32)
    })
}

/// Lengths of the extents for a log of known length, longest first: powers of two, and less than a unit unused.
pub fn exact(bytes: u64) -> impl Iterator<Item = u32> {
    let mut needed_units = bytes.div_ceil(UNIT_BYTES);
    std::iter::from_fn(move || {
        let units = match needed_units {
            0 => return None,
            _ => (1 << needed_units.ilog2()).min(u64::from(EXTENT_UNITS_MAX)),
        };
        needed_units -= units;
        Some(units as u32)
    })
}

/// Ranges of units of all files, neighbours joined.
#[derive(Default)]
struct Ranges {
    /// (file, start) to length.
    starts: BTreeMap<(u32, u32), u32>,
}

impl Ranges {
    /// Adds a range and returns it as joined, with the ranges that it took in by their start.
    fn insert(&mut self, extent: Extent, mut absorbed: impl FnMut(Extent)) -> Extent {
        let mut joined = extent;
        if let Some((&(file, start), &units)) = self.starts.range(..(extent.file, extent.start_units)).next_back()
            && file == extent.file
            && start + units >= extent.start_units
        {
            debug_assert_eq!(start + units, extent.start_units, "given back twice");
            absorbed(Extent { file, start_units: start, units });
            joined = Extent { file, start_units: start, units: units + extent.units };
        }
        if let Some(&units) = self.starts.get(&(extent.file, extent.end_units())) {
            absorbed(Extent { file: extent.file, start_units: extent.end_units(), units });
            self.starts.remove(&(extent.file, extent.end_units()));
            joined.units += units;
        }
        self.starts.insert((joined.file, joined.start_units), joined.units);
        joined
    }

    /// Takes out all that lies in `extent`.
    fn remove(&mut self, extent: Extent) {
        let Extent { file, start_units: from, .. } = extent;
        let to = extent.end_units();
        if let Some((&(before, start), units)) = self.starts.range_mut(..(file, from)).next_back()
            && before == file
            && start + *units > from
        {
            let behind = start + *units - from;
            *units = from - start;
            self.starts.insert((file, from), behind);
        }
        while let Some((&(_, start), &units)) = self.starts.range((file, from)..(file, to)).next() {
            self.starts.remove(&(file, start));
            if start + units > to {
                self.starts.insert((file, to), start + units - to);
            }
        }
    }
}

/// The free space of the tablespace.
pub struct FreeSpace {
    file_units: u32,
    free: Ranges,
    /// Starts of the free ranges by the power of two below their length.
    classes: [BTreeSet<(u32, u32)>; CLASSES],
    stale: Ranges,
}

impl FreeSpace {
    /// Files are at most `file_units` long, header included.
    pub fn new(file_units: u32) -> FreeSpace {
        assert!(file_units > EXTENT_UNITS_MAX.min(64) && file_units <= FILE_UNITS_MAX, "{file_units}");
        FreeSpace { file_units, free: Ranges::default(), classes: Default::default(), stale: Ranges::default() }
    }

    /// All of a file but its header is free. Its first `written_units` may take space on the disk.
    pub fn add_file(&mut self, file: u32, written_units: u32) {
        let whole =
            Extent { file, start_units: HEADER_UNITS, units: self.file_units.max(written_units) - HEADER_UNITS };
        self.insert(whole);
        if written_units > HEADER_UNITS {
            self.stale.insert(Extent { units: written_units - HEADER_UNITS, ..whole }, drop);
        }
    }

    /// Takes an extent that is in use out of the free space, where it must be: when the tablespace is opened.
    pub fn claim(&mut self, extent: Extent) {
        let key = self.free.starts.range(..=(extent.file, extent.start_units)).next_back();
        let (&(file, start), &units) = key.expect("an extent in bounds that overlaps no other");
        debug_assert!(file == extent.file && start + units >= extent.end_units());
        self.take(Extent { file, start_units: start, units }, extent);
    }

    /// An extent of `units`, a power of two, as low as there is one. `None` where a new file is needed.
    pub fn allocate(&mut self, units: u32) -> Option<Extent> {
        debug_assert!(units.is_power_of_two());
        let class = units.ilog2() as usize;
        // Whatever is in this class or above is long enough, since `units` is a power of two.
        let lowest = self.classes[class..].iter().filter_map(|starts| starts.first()).min().copied()?;
        let whole = Extent { file: lowest.0, start_units: lowest.1, units: self.free.starts[&lowest] };
        let extent = Extent { units, ..whole };
        self.take(whole, extent);
        Some(extent)
    }

    /// Gives an extent back. It is stale: its space on the disk is still taken.
    pub fn release(&mut self, extent: Extent) {
        self.insert(extent);
        self.stale.insert(extent, drop);
    }

    /// Takes the long stale ranges, those behind the first `kept_units` of stale space: the caller punches them, and may
    /// use [`FreeSpace::allocate`] at any time after.
    pub fn take_stale(&mut self, kept_units: u64) -> Vec<Extent> {
        let (mut taken, mut seen_units) = (Vec::new(), 0);
        self.stale.starts.retain(|&(file, start_units), &mut units| {
            seen_units += u64::from(units);
            let goes = units >= PUNCH_UNITS_MIN && seen_units > kept_units;
            if goes {
                taken.push(Extent { file, start_units, units });
            }
            !goes
        });
        taken
    }

    /// Puts back a range that could not be punched.
    pub fn still_stale(&mut self, extent: Extent) {
        self.stale.insert(extent, drop);
    }

    /// Removes `part` from the free range `whole`.
    fn take(&mut self, whole: Extent, part: Extent) {
        self.free.starts.remove(&(whole.file, whole.start_units));
        self.classes[class_of(whole)].remove(&(whole.file, whole.start_units));
        let before = Extent { units: part.start_units - whole.start_units, ..whole };
        let behind =
            Extent { file: whole.file, start_units: part.end_units(), units: whole.end_units() - part.end_units() };
        for rest in [before, behind] {
            if rest.units > 0 {
                self.free.starts.insert((rest.file, rest.start_units), rest.units);
                self.classes[class_of(rest)].insert((rest.file, rest.start_units));
            }
        }
        self.stale.remove(part);
    }

    fn insert(&mut self, extent: Extent) {
        let FreeSpace { free, classes, .. } = self;
        let joined = free.insert(extent, |absorbed| {
            classes[class_of(absorbed)].remove(&(absorbed.file, absorbed.start_units));
        });
        classes[class_of(joined)].insert((joined.file, joined.start_units));
    }
}

fn class_of(extent: Extent) -> usize {
    extent.units.ilog2() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Rng;

    #[test]
    fn a_log_grows_by_its_own_length() {
        let grown: Vec<u32> = (0..6)
            .scan(0u64, |capacity, _| {
                let next: Vec<u32> = growth(*capacity, 1).collect();
                *capacity += u64::from(next[0]);
                Some(next[0])
            })
            .collect();
        assert_eq!(grown, [1, 1, 2, 4, 8, 16]);
        assert_eq!(growth(0, 9000).collect::<Vec<_>>(), [4]);
        assert_eq!(growth(1 << 30, 1).collect::<Vec<_>>(), [EXTENT_UNITS_MAX]);
        assert_eq!(growth(0, 130 << 20).collect::<Vec<_>>(), [EXTENT_UNITS_MAX; 3]);
        assert_eq!(growth(7, 0).count(), 0);
    }

    #[test]
    fn a_base_of_known_length_wastes_less_than_a_unit() {
        assert_eq!(exact(0).count(), 0);
        assert_eq!(exact(1).collect::<Vec<_>>(), [1]);
        assert_eq!(exact(7 * UNIT_BYTES).collect::<Vec<_>>(), [4, 2, 1]);
        let long = (129 << 20) + 1;
        let units: Vec<u32> = exact(long).collect();
        assert_eq!(units[..2], [EXTENT_UNITS_MAX; 2]);
        assert_eq!(units.iter().map(|units| u64::from(*units)).sum::<u64>(), long.div_ceil(UNIT_BYTES));
    }

    #[test]
    fn allocation_is_low_and_what_is_freed_is_used_again() {
        let mut space = FreeSpace::new(100);
        assert_eq!(space.allocate(1), None);
        space.add_file(0, 0);
        let first: Vec<Extent> = (0..4).map(|_| space.allocate(1).unwrap()).collect();
        assert_eq!(first.iter().map(|extent| extent.start_units).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(space.allocate(64).unwrap().start_units, 5);
        assert_eq!(space.allocate(64), None);
        space.release(first[1]);
        space.release(first[2]);
        assert_eq!(space.allocate(2).unwrap().start_units, 2);
        space.add_file(1, 0);
        assert_eq!(space.allocate(64), Some(Extent { file: 1, start_units: 1, units: 64 }));
    }

    /// Against a model that marks every unit.
    #[test]
    fn no_unit_is_given_twice_or_lost() {
        for seed in 0..30 {
            let mut rng = Rng::from_seed(seed);
            let mut space = FreeSpace::new(512);
            space.add_file(0, 0);
            space.add_file(1, 300);
            let mut used = vec![vec![false; 512]; 2];
            let mut held: Vec<Extent> = Vec::new();
            let mut punched = 0u64;
            for _ in 0..2000 {
                if rng.below(2) == 0 {
                    if let Some(extent) = space.allocate(1 << rng.below(6)) {
                        for unit in extent.start_units..extent.end_units() {
                            let taken = &mut used[extent.file as usize][unit as usize];
                            assert!(unit >= HEADER_UNITS && !*taken, "{extent:?}, seed {seed}");
                            *taken = true;
                        }
                        held.push(extent);
                    }
                } else if !held.is_empty() {
                    let extent = held.swap_remove(rng.below(held.len() as u64) as usize);
                    used[extent.file as usize][extent.start_units as usize..extent.end_units() as usize].fill(false);
                    space.release(extent);
                }
                if rng.below(20) == 0 {
                    for extent in space.take_stale(0) {
                        let range = extent.start_units as usize..extent.end_units() as usize;
                        assert!(!used[extent.file as usize][range].contains(&true), "{extent:?}, seed {seed}");
                        punched += 1;
                    }
                }
            }
            assert!(punched > 0);
            held.drain(..).for_each(|extent| space.release(extent));
            let whole: Vec<_> = space.free.starts.clone().into_iter().collect();
            assert_eq!(whole, [((0, 1), 511), ((1, 1), 511)], "seed {seed}");
            let classes = space.classes.iter().map(BTreeSet::len).sum::<usize>();
            assert_eq!(classes, 2);
        }
    }

    #[test]
    fn claimed_extents_are_not_free() {
        let mut space = FreeSpace::new(128);
        space.add_file(3, 128);
        space.claim(Extent { file: 3, start_units: 10, units: 4 });
        space.claim(Extent { file: 3, start_units: 1, units: 8 });
        assert_eq!(space.allocate(1).unwrap().start_units, 9);
        assert_eq!(space.allocate(1).unwrap().start_units, 14);
        assert_eq!(space.take_stale(1000), []);
        assert_eq!(space.take_stale(0), [Extent { file: 3, start_units: 15, units: 113 }]);
    }
}
