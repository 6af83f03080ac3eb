//! ACL LOG: what was refused lately, newest first. Refusals that are alike and follow within a minute are one entry.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// Entries looked at for one that is alike.
const ALIKE_WITHIN_ENTRIES: usize = 10;
/// Refusals farther apart are told apart.
const ALIKE_WITHIN_MS: u64 = 60_000;

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Command,
    Key,
    Channel,
    Auth,
}

impl Reason {
    pub fn name(self) -> &'static str {
        match self {
            Reason::Command => "command",
            Reason::Key => "key",
            Reason::Channel => "channel",
            Reason::Auth => "auth",
        }
    }
}

/// Where a command came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    TopLevel,
    Multi,
    Script,
}

impl Context {
    pub fn name(self) -> &'static str {
        match self {
            Context::TopLevel => "toplevel",
            Context::Multi => "multi",
            Context::Script => "lua",
        }
    }
}

/// One refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    pub context: Context,
    /// The command, key or channel.
    pub object: Vec<u8>,
    pub username: Vec<u8>,
    /// The client's line in CLIENT LIST.
    pub client: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: u64,
    pub count: u64,
    pub refusal: Refusal,
    pub created_ms: u64,
    pub updated_ms: u64,
}

impl Entry {
    fn is_like(&self, other: &Refusal, now_ms: u64) -> bool {
        let own = &self.refusal;
        own.reason == other.reason
            && own.context == other.context
            && now_ms.abs_diff(self.updated_ms) <= ALIKE_WITHIN_MS
            && own.object == other.object
            && own.username == other.username
    }
}

#[derive(Default)]
pub struct DenialLog {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_id: u64,
    /// Newest first.
    entries: VecDeque<Entry>,
}

impl DenialLog {
    /// Adds a refusal, and forgets what is beyond `entries_max`.
    pub fn add(&self, refusal: Refusal, now_ms: u64, entries_max: usize) {
        let mut state = self.state.lock();
        let alike = state.entries.iter().take(ALIKE_WITHIN_ENTRIES).position(|entry| entry.is_like(&refusal, now_ms));
        if let Some(mut entry) = alike.and_then(|at| state.entries.remove(at)) {
            entry.count += 1;
            entry.updated_ms = now_ms;
            entry.refusal.client = refusal.client;
            state.entries.push_front(entry);
        } else {
            let id = state.next_id;
            state.next_id += 1;
            state.entries.push_front(Entry { id, count: 1, refusal, created_ms: now_ms, updated_ms: now_ms });
        }
        state.entries.truncate(entries_max);
    }

    pub fn newest(&self, count: usize) -> Vec<Entry> {
        self.state.lock().entries.iter().take(count).cloned().collect()
    }

    pub fn clear(&self) {
        self.state.lock().entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alike_refusals_are_one_entry() {
        let log = DenialLog::default();
        let refusal = |object: &str| Refusal {
            reason: Reason::Key,
            context: Context::TopLevel,
            object: object.into(),
            username: b"bob".to_vec(),
            client: String::new(),
        };
        for (object, now_ms) in [("a", 1), ("b", 2), ("a", 3), ("a", ALIKE_WITHIN_MS + 4)] {
            log.add(refusal(object), now_ms, 5);
        }
        let told: Vec<(u64, u64)> = log.newest(9).iter().map(|entry| (entry.id, entry.count)).collect();
        assert_eq!(told, [(2, 1), (0, 2), (1, 1)]);
        log.add(refusal("c"), 5, 2);
        assert_eq!(log.newest(9).len(), 2);
        log.clear();
        assert_eq!(log.newest(1), []);
    }
}
