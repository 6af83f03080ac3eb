//! A worker's own way to the scripts: by a quick hash of the body, or by SHA-1, without the registry's lock and without
//! a SHA-1 for every EVAL.

use std::collections::HashMap;
use std::sync::Arc;

use super::registry::{Script, Scripts};
use crate::base::hash::KeyHasher;

/// Scripts kept at the most; clients that make up a new one for every call must not fill the memory twice.
const SCRIPTS_MAX: usize = 4096;

#[derive(Default)]
pub struct ScriptCache {
    generation: u64,
    /// By the hash of a body or of a SHA-1: they cannot be confused, since the found script is compared.
    by_hash: HashMap<u64, Arc<Script>, foldhash::fast::FixedState>,
}

impl ScriptCache {
    /// The script with this body, if it is registered.
    pub fn with_body(&mut self, scripts: &Scripts, hasher: &KeyHasher, body: &[u8]) -> Option<Arc<Script>> {
        self.refresh(scripts);
        let found = self.by_hash.get(&hasher.hash(body))?;
        (*found.body == *body).then(|| found.clone())
    }

    /// The script with this SHA-1, if it is registered.
    pub fn with_sha(&mut self, scripts: &Scripts, hasher: &KeyHasher, sha: &[u8]) -> Option<Arc<Script>> {
        self.refresh(scripts);
        let hash = hasher.hash(sha);
        if let Some(found) = self.by_hash.get(&hash).filter(|found| found.sha.as_bytes() == sha) {
            return Some(found.clone());
        }
        let found = scripts.get(sha)?;
        self.keep(hash, &found);
        Some(found)
    }

    /// Keeps a registered script under its body.
    pub fn keep_body(&mut self, hasher: &KeyHasher, script: &Arc<Script>) {
        self.keep(hasher.hash(&script.body), script);
    }

    fn keep(&mut self, hash: u64, script: &Arc<Script>) {
        if self.by_hash.len() >= SCRIPTS_MAX {
            self.by_hash.clear();
        }
        self.by_hash.insert(hash, script.clone());
    }

    /// Forgets what the registry has forgotten.
    fn refresh(&mut self, scripts: &Scripts) {
        let generation = scripts.generation();
        if generation != self.generation {
            self.generation = generation;
            self.by_hash.clear();
        }
    }
}
