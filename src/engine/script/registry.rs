//! The scripts that clients gave, by SHA-1, and what is known of the slots each needs.
//!
//! ```text
//!   Untried --ran, touched declared keys only--> Declared --touched another key--> Everything
//!      +-------------------touched another key------------------------------------^
//! ```
//! What declares its keys runs under the locks of their slots. What was never run might touch anything, and what once
//! did so might again: such runs go behind the closed gate, with every slot in reach. Nothing leads back, so a script
//! costs at most one run that is begun twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use parking_lot::RwLock;

use super::flags::{self, ScriptFlags};
use crate::base::sha1;

/// Which slots runs need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reach {
    Untried,
    /// Those of the keys it is called with.
    Declared,
    Everything,
}

/// What is known of a script's or function's reach.
#[derive(Debug)]
pub struct KnownReach(AtomicU8);

impl KnownReach {
    /// Of code that was not run yet. Code that does not even name the API touches nothing.
    pub fn of_code(code: &[u8]) -> KnownReach {
        let pure = memchr::memmem::find(code, b"redis").is_none();
        KnownReach(AtomicU8::new(if pure { Reach::Declared } else { Reach::Untried } as u8))
    }

    pub fn get(&self) -> Reach {
        match self.0.load(Ordering::Relaxed) {
            0 => Reach::Untried,
            1 => Reach::Declared,
            _ => Reach::Everything,
        }
    }

    /// Told that a run ended which touched no key but those it declared.
    pub fn kept_to_declared(&self) {
        if self.get() == Reach::Untried {
            let _ = self.0.compare_exchange(
                Reach::Untried as u8,
                Reach::Declared as u8,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        }
    }

    /// Told that a run touched another key.
    pub fn reached_beyond(&self) {
        self.0.store(Reach::Everything as u8, Ordering::Relaxed);
    }
}

/// Numbers scripts and libraries in the order in which they came; none is given twice in a process.
pub fn next_id() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

#[derive(Debug)]
pub struct Script {
    pub id: u64,
    pub sha: String,
    pub body: Box<[u8]>,
    /// Where the code begins, behind a first line of declarations.
    pub code_at: usize,
    pub flags: ScriptFlags,
    pub reach: KnownReach,
}

impl Script {
    /// A script that is not registered yet; its declarations may be wrong.
    pub fn new(body: &[u8]) -> Result<Script, String> {
        let (flags, code_at) = flags::of_script(body)?;
        Ok(Script {
            id: next_id(),
            sha: sha1::hex(body),
            body: body.into(),
            code_at,
            flags,
            reach: KnownReach::of_code(body),
        })
    }

    pub fn code(&self) -> &[u8] {
        &self.body[self.code_at..]
    }
}

#[derive(Default)]
pub struct Scripts {
    by_sha: RwLock<HashMap<String, Arc<Script>>>,
    /// Changes when scripts are forgotten.
    generation: AtomicU64,
}

impl Scripts {
    /// By SHA-1, in any case.
    pub fn get(&self, sha: &[u8]) -> Option<Arc<Script>> {
        let sha = std::str::from_utf8(sha).ok()?.to_ascii_lowercase();
        self.by_sha.read().get(&sha).cloned()
    }

    /// Registers a script; one that is known stays, and is given back.
    pub fn add(&self, script: Arc<Script>) -> Arc<Script> {
        self.by_sha.write().entry(script.sha.clone()).or_insert(script).clone()
    }

    pub fn flush(&self) {
        self.by_sha.write().clear();
        self.generation.fetch_add(1, Ordering::Release);
    }

    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// How many there are, and the bytes that they take.
    pub fn size(&self) -> (usize, usize) {
        let scripts = self.by_sha.read();
        let bytes = |script: &Arc<Script>| size_of::<Script>() + 2 * script.sha.len() + script.body.len();
        (scripts.len(), scripts.values().map(bytes).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_script() {
        let scripts = Scripts::default();
        let script = scripts.add(Arc::new(Script::new(b"return redis.call('get', KEYS[1])").unwrap()));
        assert_eq!(script.reach.get(), Reach::Untried);
        script.reach.kept_to_declared();
        assert_eq!(script.reach.get(), Reach::Declared);
        script.reach.reached_beyond();
        script.reach.kept_to_declared();
        let again = scripts.add(Arc::new(Script::new(&script.body).unwrap()));
        assert_eq!((again.id, again.reach.get()), (script.id, Reach::Everything));
        assert_eq!(Script::new(b"return 1 + 1").unwrap().reach.get(), Reach::Declared);
        assert!(scripts.get(script.sha.to_uppercase().as_bytes()).is_some() && scripts.get(b"\xff").is_none());
        let before = scripts.generation();
        scripts.flush();
        assert!(scripts.get(script.sha.as_bytes()).is_none() && scripts.generation() > before);
    }
}
