//! What the allocator has given out. A reading that it does not offer is zero: nothing but memory limits and people's
//! curiosity depends on it.

use tikv_jemalloc_ctl::{Access, AsName, arenas, epoch, stats, stats_print, version};

/// Lets the allocator return memory to the system from threads of its own, or from those that allocate. Its threads
/// inherit the priority of the thread that calls this.
pub fn set_background_purging(on: bool) -> Result<(), String> {
    tikv_jemalloc_ctl::background_thread::write(on).map_err(|error| error.to_string())
}

/// Bytes that the process has allocated and not freed. Adds the allocator's counters up, which takes microseconds.
pub fn allocated_bytes() -> u64 {
    // The keys exist in every build of the allocator; without statistics they read zero.
    let _ = epoch::advance();
    stats::allocated::read().unwrap_or(0) as u64
}

/// The allocator's view of memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllocatorUse {
    /// Handed out and not given back.
    pub allocated_bytes: u64,
    /// In pages that hold anything handed out.
    pub active_bytes: u64,
    /// Mapped and, as far as the allocator knows, backed by memory.
    pub resident_bytes: u64,
}

/// All of the allocator's counters at one moment.
pub fn allocator_use() -> AllocatorUse {
    AllocatorUse {
        allocated_bytes: allocated_bytes(),
        active_bytes: stats::active::read().unwrap_or(0) as u64,
        resident_bytes: stats::resident::read().unwrap_or(0) as u64,
    }
}

/// The allocator's name and version, such as `jemalloc-5.3.0`.
pub fn allocator_name() -> String {
    let full = version::read().unwrap_or("unknown");
    format!("jemalloc-{}", full.split('-').next().unwrap_or_default())
}

/// The allocator's own report, for people.
pub fn allocator_report() -> String {
    let mut report = Vec::new();
    match stats_print::stats_print(&mut report, stats_print::Options::default()) {
        Ok(()) => String::from_utf8_lossy(&report).into_owned(),
        Err(error) => format!("The allocator gave no statistics: {error}\n"),
    }
}

/// Has the allocator give unused pages back to the system.
pub fn purge_allocator() -> Result<(), String> {
    let count: u32 = arenas::narenas::read().map_err(|error| error.to_string())?;
    for index in 0..count {
        let name = format!("arena.{index}.dirty_decay_ms\0");
        let name = name.as_str().name();
        // Arenas that were never used have no decay time. Setting it to zero purges at once.
        let Ok(before) = Access::<isize>::update(name, 0) else { continue };
        Access::<isize>::write(name, before).map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allocator_answers() {
        assert!(allocator_name().starts_with("jemalloc-5."));
        assert!(allocator_use().resident_bytes > 0);
        assert!(allocator_report().contains("jemalloc"));
        assert_eq!(purge_allocator(), Ok(()));
    }
}
