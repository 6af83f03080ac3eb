//! The libraries of functions, where the data set is kept: in the file beside the log, and in snapshots.

use std::path::Path;

use crate::engine::Engine;
use crate::engine::script::library::LibrarySet;
use crate::engine::script::{Library, kept};

/// Takes the libraries that the file in a log's directory keeps, and keeps them there from now on.
pub fn recover(engine: &Engine, log_path: &Path) -> Result<(), String> {
    let path = log_path.join(kept::FILE_NAME);
    for code in kept::read(&path)? {
        take(engine, &code).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    keep(engine, Some(log_path))
}

/// Keeps the libraries in a log's directory from now on, or nowhere.
pub fn keep(engine: &Engine, log_path: Option<&Path>) -> Result<(), String> {
    engine.libraries.keep_at(log_path.map(|path| path.join(kept::FILE_NAME)))
}

/// Takes a library, in the place of one of its name.
pub fn take(engine: &Engine, code: &[u8]) -> Result<(), String> {
    let runs = engine.script_engine.get().ok_or("there are functions, and nothing here runs them")?;
    let library = Library::load(&**runs, code, 0).map_err(|said| String::from_utf8_lossy(&said).into_owned())?;
    engine.libraries.change(|set| set.insert(library))
}

/// Makes every library anew of its code.
pub fn reload(engine: &Engine) -> Result<(), String> {
    codes(&engine.libraries.current()).try_for_each(|code| take(engine, code))
}

/// The code of each library of a set.
pub fn codes(set: &LibrarySet) -> impl Iterator<Item = &[u8]> {
    set.libraries().map(|library| &library.code.code[..])
}
