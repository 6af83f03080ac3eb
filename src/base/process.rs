//! What the operating system tells of this process, and lets it change about itself.
//!
//! A reading that the system does not offer is zero or empty: readings are for people and monitors to look at, and
//! nothing depends on them.

#![allow(unsafe_code)]

use std::fs;
use std::io;

/// Bytes in a page of memory: what /proc counts in on the machines that Cairn is built for.
const PAGE_BYTES: u64 = 4096;

/// Has the calling thread run on one CPU only.
pub fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    // SAFETY: the set is plain data, zeroed and then filled by the macro's function within its bounds.
    let outcome = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if cpu >= libc::CPU_SETSIZE as usize {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Asks for turns of this length when the calling thread and others share a core. Kernels before 6.12 take no notice.
pub fn set_turn(nanos: u64) -> io::Result<()> {
    const THIS_THREAD: libc::pid_t = 0;
    const NO_FLAGS: libc::c_uint = 0;
    let bytes = size_of::<libc::sched_attr>() as libc::c_uint;
    // SAFETY: the attributes are plain data, alive and writable, and the kernel is told how long they are.
    let outcome = unsafe {
        let mut attributes: libc::sched_attr = std::mem::zeroed();
        if libc::syscall(libc::SYS_sched_getattr, THIS_THREAD, &mut attributes, bytes, NO_FLAGS) != 0 {
            return Err(io::Error::last_os_error());
        }
        attributes.sched_runtime = nanos;
        libc::syscall(libc::SYS_sched_setattr, THIS_THREAD, &attributes, NO_FLAGS)
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Raises the limit of open files to `wanted` if the system allows; gives the limit in force.
pub fn raise_open_files_limit(wanted: u64) -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live, writable rlimit.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur >= wanted {
        return Ok(limit.rlim_cur);
    }
    let raised = libc::rlimit { rlim_cur: wanted, rlim_max: limit.rlim_max.max(wanted) };
    // SAFETY: the pointer is to a live rlimit.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) } == 0 {
        return Ok(wanted);
    }
    let raised = libc::rlimit { rlim_cur: wanted.min(limit.rlim_max), rlim_max: limit.rlim_max };
    // SAFETY: as above.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) } == 0 { Ok(raised.rlim_cur) } else { Ok(limit.rlim_cur) }
}

/// Goes to the background: a child without a terminal lives on, the caller's process ends. Threads do not follow, so
/// this must come before the first one.
pub fn detach() -> io::Result<()> {
    // SAFETY: called before any thread is started, so the child is a whole process.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {}
        _ => std::process::exit(0),
    }
    // SAFETY: plain system calls on valid arguments; the descriptors replaced are the standard ones.
    unsafe {
        libc::setsid();
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        if null >= 0 {
            for descriptor in 0..3 {
                libc::dup2(null, descriptor);
            }
            if null > 2 {
                libc::close(null);
            }
        }
    }
    Ok(())
}

// ---- readings ----------------------------------------------------------------------------------------------------

/// Memory of this process that is backed by the machine's.
pub fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * PAGE_BYTES
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

/// Processor time used, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    pub system_us: u64,
    pub user_us: u64,
}

/// Whose processor time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuUser {
    Process,
    /// Child processes that ended.
    Children,
    Thread,
}

pub fn cpu_time(user: CpuUser) -> CpuTime {
    let who = match user {
        CpuUser::Process => libc::RUSAGE_SELF,
        CpuUser::Children => libc::RUSAGE_CHILDREN,
        CpuUser::Thread => libc::RUSAGE_THREAD,
    };
    // SAFETY: the structure is plain data, and the pointer is to a live, writable one.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        if libc::getrusage(who, &mut usage) != 0 {
            return CpuTime::default();
        }
        usage
    };
    let time_us = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    CpuTime { system_us: time_us(usage.ru_stime), user_us: time_us(usage.ru_utime) }
}

/// The operating system as `uname` names it: system, release, machine.
pub fn system_name() -> String {
    let kernel =
        |name: &str| fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default().trim().to_owned();
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
        let busy_us = |user| {
            let time = cpu_time(user);
            time.user_us + time.system_us
        };
        // The kernel counts both in ticks of its own, so the one that is read first must be the smaller one.
        let thread_us = busy_us(CpuUser::Thread);
        assert!(busy_us(CpuUser::Process) + 20_000 >= thread_us);
    }
}
