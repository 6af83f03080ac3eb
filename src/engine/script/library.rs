//! Libraries of functions, by name, and the functions by theirs. A function's name is the same in any
//! case.
//!
//! The whole set is replaced at once: who runs a function keeps what it found, and a load, deletion or restore that fails
//! leaves nothing behind. Where a log keeps the data, a file beside it keeps the set (`kept`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::flags::{self, ScriptFlags};
use super::kept;
use super::registry::{KnownReach, next_id};
use super::seam::ScriptEngine;

#[derive(Debug)]
pub struct Function {
    pub name: String,
    pub description: Option<Vec<u8>>,
    pub flags: ScriptFlags,
    pub library: Arc<LibraryCode>,
    pub reach: KnownReach,
}

/// A library's code, which its functions share.
#[derive(Debug)]
pub struct LibraryCode {
    pub id: u64,
    pub name: String,
    pub engine: String,
    /// First line and all.
    pub code: Vec<u8>,
    pub code_at: usize,
}

#[derive(Clone, Debug)]
pub struct Library {
    pub code: Arc<LibraryCode>,
    /// By name.
    pub functions: Vec<Arc<Function>>,
}

/// An immutable set of libraries without two functions of one name.
#[derive(Clone, Debug, Default)]
pub struct LibrarySet {
    libraries: BTreeMap<String, Library>,
    functions: BTreeMap<String, Arc<Function>>,
}

impl LibrarySet {
    pub fn libraries(&self) -> impl ExactSizeIterator<Item = &Library> {
        self.libraries.values()
    }

    pub fn library(&self, name: &str) -> Option<&Library> {
        self.libraries.get(name)
    }

    pub fn function_count(&self) -> usize {
        self.functions.len()
    }

    /// Puts a library in, in the place of one of its name. The error names a function that another library has.
    pub fn insert(&mut self, library: Library) -> Result<(), String> {
        self.remove(&library.code.name);
        if let Some(taken) = library.functions.iter().find(|one| self.functions.contains_key(&folded(&one.name))) {
            return Err(format!("ERR Function {} already exists", taken.name));
        }
        self.functions.extend(library.functions.iter().map(|function| (folded(&function.name), function.clone())));
        self.libraries.insert(library.code.name.clone(), library);
        Ok(())
    }

    pub fn remove(&mut self, name: &str) -> bool {
        let removed = self.libraries.remove(name);
        for function in removed.iter().flat_map(|library| &library.functions) {
            self.functions.remove(&folded(&function.name));
        }
        removed.is_some()
    }
}

fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}

#[derive(Default)]
pub struct Libraries {
    current: RwLock<Arc<LibrarySet>>,
    /// Held while the set is changed; where it is kept, if it is.
    changing: Mutex<Option<PathBuf>>,
}

impl Libraries {
    pub fn current(&self) -> Arc<LibrarySet> {
        self.current.read().clone()
    }

    pub fn function(&self, name: &[u8]) -> Option<Arc<Function>> {
        let name = std::str::from_utf8(name).ok()?;
        let set = self.current.read();
        match set.functions.get(name) {
            Some(found) => Some(found.clone()),
            None => set.functions.get(&folded(name)).cloned(),
        }
    }

    /// Changes the set. `change` works on a copy, which is made durable first where the set is kept; with an error
    /// nothing has changed.
    pub fn change<R>(&self, change: impl FnOnce(&mut LibrarySet) -> Result<R, String>) -> Result<R, String> {
        let kept_at = self.changing.lock();
        let mut set = (*self.current()).clone();
        let result = change(&mut set)?;
        if let Some(path) = &*kept_at {
            kept::write(&set, path)?;
        }
        *self.current.write() = Arc::new(set);
        Ok(result)
    }

    /// Says where the set is kept from now on, and keeps it there.
    pub fn keep_at(&self, path: Option<PathBuf>) -> Result<(), String> {
        let mut kept_at = self.changing.lock();
        if let Some(path) = &path {
            kept::write(&self.current(), path)?;
        }
        *kept_at = path;
        Ok(())
    }
}

impl Library {
    /// Makes a library of its code, which runs for so long at the most.
    pub fn load(engine: &dyn ScriptEngine, code: &[u8], timeout_ms: u64) -> Result<Library, Vec<u8>> {
        let header = flags::of_library(code).map_err(String::into_bytes)?;
        let code = Arc::new(LibraryCode {
            id: next_id(),
            name: header.name,
            engine: header.engine,
            code: code.to_vec(),
            code_at: header.code_at,
        });
        let registered = engine.load(&code, timeout_ms)?;
        if registered.is_empty() {
            return Err("ERR No functions registered".into());
        }
        let functions = registered.into_iter().map(|one| {
            Arc::new(Function {
                name: one.name,
                description: one.description,
                flags: one.flags,
                library: code.clone(),
                reach: KnownReach::of_code(&code.code[code.code_at..]),
            })
        });
        Ok(Library { functions: functions.collect(), code })
    }
}
