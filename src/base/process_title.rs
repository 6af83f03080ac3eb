//! What the process list shows as this process's command line.
//!
//! The kernel shows the memory in which it put arguments and environment when the process began: the arguments, and beyond
//! them what follows if their last byte is no longer zero. [`ProcessTitle::claim`] moves the environment elsewhere and
//! remembers where that memory is; titles are written into it by way of /proc, where the kernel checks every byte.
//! The last byte stays zero, so that whoever still holds a pointer to an argument finds the end of a text.

#![allow(unsafe_code)]

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

pub struct ProcessTitle {
    start: u64,
    length: usize,
}

impl ProcessTitle {
    /// Takes the memory for titles.
    ///
    /// # Safety
    /// No other thread runs yet.
    pub unsafe fn claim() -> io::Result<ProcessTitle> {
        let (start, end) = arguments_and_environment(&fs::read_to_string("/proc/self/stat")?)
            .ok_or_else(|| io::Error::other("the system does not tell where the command line is"))?;
        for (name, value) in std::env::vars_os() {
            // SAFETY: there is no other thread that could read the environment. A variable that is set gets memory of its own.
            unsafe { std::env::set_var(name, value) };
        }
        Ok(ProcessTitle { start, length: (end - start) as usize })
    }

    /// Shows this, as far as there is room.
    pub fn show(&self, title: &str) -> io::Result<()> {
        let mut bytes = vec![0; self.length];
        let shown = title.len().min(self.length - 1);
        bytes[..shown].copy_from_slice(&title.as_bytes()[..shown]);
        File::options().write(true).open("/proc/self/mem")?.write_all_at(&bytes, self.start)
    }
}

/// Where arguments and environment stand, which is one piece of memory, by the text of /proc/self/stat.
fn arguments_and_environment(stat: &str) -> Option<(u64, u64)> {
    /// Fields behind the program's name in parentheses, which is the second field and may hold anything.
    const ARGUMENTS_START: usize = 45;
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    let at = |index: usize| fields.get(ARGUMENTS_START + index)?.parse::<u64>().ok();
    let (start, end, environment, environment_end) = (at(0)?, at(1)?, at(2)?, at(3)?);
    (0 < start && start < end && end == environment && environment <= environment_end)
        .then_some((start, environment_end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_read_behind_the_name() {
        let numbers = |last: &str| format!("1 (a) b) R {} {last}", "7 ".repeat(44).trim_end());
        assert_eq!(arguments_and_environment(&numbers("100 120 120 150 0")), Some((100, 150)));
        assert_eq!(arguments_and_environment(&numbers("100 120 120 120 0")), Some((100, 120)));
        for other in ["0 0 0 0 0", "100 120 130 150 0", "100 120", "100 x 120 150 0"] {
            assert_eq!(arguments_and_environment(&numbers(other)), None, "{other}");
        }
        assert!(arguments_and_environment(&fs::read_to_string("/proc/self/stat").unwrap()).is_some());
    }
}
