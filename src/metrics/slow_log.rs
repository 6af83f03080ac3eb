//! The slow log: the commands that took longest lately, newest first. One per process, behind a lock that only slow
//! commands and SLOWLOG take.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// Most arguments kept of a command; what follows is told as a count.
const ARGUMENTS_MAX: usize = 32;
/// Longest argument kept whole, in bytes.
const ARGUMENT_BYTES_MAX: usize = 128;

#[derive(Clone, Debug)]
pub struct SlowEntry {
    pub id: u64,
    pub unix_seconds: u64,
    pub duration_us: u64,
    pub arguments: Vec<Vec<u8>>,
    pub peer: String,
    pub client_name: String,
}

#[derive(Default)]
pub struct SlowLog(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    newest_first: VecDeque<SlowEntry>,
    next_id: u64,
}

impl SlowLog {
    /// Remembers a command, forgetting the oldest ones past `entries_max`.
    pub fn record(
        &self,
        arguments: &[&[u8]],
        duration_us: u64,
        unix_seconds: u64,
        peer: String,
        client_name: String,
        entries_max: usize,
    ) {
        let mut entries = self.0.lock();
        let id = entries.next_id;
        entries.next_id += 1;
        let arguments = shortened(arguments);
        entries.newest_first.push_front(SlowEntry { id, unix_seconds, duration_us, arguments, peer, client_name });
        entries.newest_first.truncate(entries_max);
    }

    /// The newest `count` entries.
    pub fn newest(&self, count: usize) -> Vec<SlowEntry> {
        self.0.lock().newest_first.iter().take(count).cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.0.lock().newest_first.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets the oldest entries past `entries_max`.
    pub fn truncate(&self, entries_max: usize) {
        self.0.lock().newest_first.truncate(entries_max);
    }

    pub fn clear(&self) {
        self.0.lock().newest_first.clear();
    }
}

fn shortened(arguments: &[&[u8]]) -> Vec<Vec<u8>> {
    let kept = if arguments.len() > ARGUMENTS_MAX { ARGUMENTS_MAX - 1 } else { arguments.len() };
    let mut shortened: Vec<Vec<u8>> = arguments[..kept].iter().map(|argument| short_argument(argument)).collect();
    if kept < arguments.len() {
        shortened.push(format!("... ({} more arguments)", arguments.len() - kept).into_bytes());
    }
    shortened
}

fn short_argument(argument: &[u8]) -> Vec<u8> {
    if argument.len() <= ARGUMENT_BYTES_MAX {
        return argument.to_vec();
    }
    let mut kept = argument[..ARGUMENT_BYTES_MAX].to_vec();
    kept.extend_from_slice(format!("... ({} more bytes)", argument.len() - ARGUMENT_BYTES_MAX).as_bytes());
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest_and_shortens_what_is_long() {
        let log = SlowLog::default();
        let long = [b'x'; 200];
        let many: Vec<&[u8]> = (0..40).map(|_| b"a".as_slice()).collect();
        log.record(&[b"SET", b"k", &long], 5, 1, "peer".into(), String::new(), 2);
        log.record(&many, 6, 2, "peer".into(), String::new(), 2);
        let newest = log.newest(10);
        assert_eq!((newest[0].id, newest[1].id), (1, 0));
        assert_eq!(newest[0].arguments.len(), 32);
        assert_eq!(newest[0].arguments[31], b"... (9 more arguments)");
        assert!(newest[1].arguments[2].ends_with(b"... (72 more bytes)"));
        log.record(&[b"PING"], 7, 3, "peer".into(), String::new(), 2);
        assert_eq!(log.len(), 2);
        log.clear();
        assert!(log.is_empty());
    }
}
