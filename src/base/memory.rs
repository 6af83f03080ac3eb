//! What the allocator has given out.

use tikv_jemalloc_ctl::{epoch, stats};

/// Bytes that the process has allocated and not freed. Adds the allocator's counters up, which takes microseconds.
pub fn allocated_bytes() -> u64 {
    // The keys exist in every build of the allocator; without statistics they read zero.
    let _ = epoch::advance();
    stats::allocated::read().unwrap_or(0) as u64
}
