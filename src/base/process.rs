//! What the operating system and the allocator tell about this process.
//!
//! Readings come from /proc and from the allocator's counters. A reading that the system does not offer is zero or
//! empty: it is there for people and monitors to look at, and nothing depends on it.

use std::fs;
use std::io::Read;

use tikv_jemalloc_ctl::{Access, AsName, arenas, epoch, stats, stats_print, version};

/// Bytes in a page of memory: what /proc counts in on the machines that Cairn is built for.
const PAGE_BYTES: u64 = 4096;
/// /proc gives processor time in hundredths of a second.
const CPU_TICKS_PER_SECOND: u64 = 100;

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

/// Asks the allocator anew. Takes some ten microseconds.
pub fn allocator_use() -> AllocatorUse {
    // Statistics stand still until the epoch moves.
    if epoch::advance().is_err() {
        return AllocatorUse::default();
    }
    let bytes = |reading: Result<usize, _>| reading.map_or(0, |bytes: usize| bytes as u64);
    AllocatorUse {
        allocated_bytes: bytes(stats::allocated::read().map_err(drop)),
        active_bytes: bytes(stats::active::read().map_err(drop)),
        resident_bytes: bytes(stats::resident::read().map_err(drop)),
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

/// Memory of this process that is backed by the machine's.
pub fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * PAGE_BYTES
}

/// Anonymous memory of this process that stands in huge pages.
pub fn huge_page_bytes() -> u64 {
    kilobytes_of("/proc/self/smaps_rollup", "AnonHugePages:")
}

/// The machine's memory.
pub fn system_memory_bytes() -> u64 {
    kilobytes_of("/proc/meminfo", "MemTotal:")
}

fn kilobytes_of(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Processor time, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    pub system_us: u64,
    pub user_us: u64,
    /// Of child processes that ended.
    pub children_system_us: u64,
    pub children_user_us: u64,
}

/// What this process used so far.
pub fn process_cpu() -> CpuTime {
    cpu_of("/proc/self/stat")
}

/// What the calling thread used so far.
pub fn thread_cpu() -> CpuTime {
    cpu_of("/proc/thread-self/stat")
}

fn cpu_of(path: &str) -> CpuTime {
    cpu_in(&fs::read_to_string(path).unwrap_or_default())
}

/// Reads a line of /proc/.../stat: the second field is a name in parentheses that may hold anything.
fn cpu_in(stat: &str) -> CpuTime {
    let Some((_, fields)) = stat.rsplit_once(") ") else { return CpuTime::default() };
    let fields: Vec<&str> = fields.split(' ').collect();
    // proc(5) counts from 1 and starts with the process id: utime is field 14, and the third is first here.
    let time_us = |field: usize| {
        let ticks: u64 = fields.get(field - 3).and_then(|ticks| ticks.parse().ok()).unwrap_or(0);
        ticks * (1_000_000 / CPU_TICKS_PER_SECOND)
    };
    CpuTime {
        user_us: time_us(14),
        system_us: time_us(15),
        children_user_us: time_us(16),
        children_system_us: time_us(17),
    }
}

/// The operating system as `uname` names it: system, release, machine.
pub fn system_name() -> String {
    let kernel = |name: &str| {
        let mut text = String::new();
        // An unreadable name stays empty.
        let _ = fs::File::open(format!("/proc/sys/kernel/{name}")).and_then(|mut file| file.read_to_string(&mut text));
        text.trim().to_owned()
    };
    format!("{} {} {}", kernel("ostype"), kernel("osrelease"), std::env::consts::ARCH)
}

/// The path of the running program.
pub fn executable() -> String {
    std::env::current_exe().map_or_else(|_| String::new(), |path| path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_about_this_process() {
        assert!(resident_bytes() > 100_000);
        assert!(system_memory_bytes() > resident_bytes());
        assert!(system_name().starts_with("Linux "));
        assert!(!executable().is_empty());
        assert!(allocator_name().starts_with("jemalloc-5."));
        assert!(allocator_use().resident_bytes > 0);
        assert!(allocator_report().contains("jemalloc"));
        assert_eq!(purge_allocator(), Ok(()));
    }

    #[test]
    fn a_process_name_does_not_shift_the_fields() {
        let stat = "12 (a) b (c)) S 1 12 12 0 -1 4194560 1 2 3 4 150 25 3 4 20 0 5 0";
        let expected =
            CpuTime { system_us: 250_000, user_us: 1_500_000, children_system_us: 40_000, children_user_us: 30_000 };
        assert_eq!(cpu_in(stat), expected);
    }
}
