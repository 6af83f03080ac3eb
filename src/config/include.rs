//! Which files the name in an `include` line means: one, or every one that fits a pattern. Only reads directories.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::base::glob;

/// The files that `name` stands for, relative to `directory`. A name without `*`, `?` or `[` stands for itself, whether
/// it exists or not; a pattern for the files that fit, sorted, perhaps none. As in a shell, a pattern fits a file whose
/// name begins with a dot only if it begins with one itself.
pub fn expand(name: &Path, directory: &Path) -> Vec<PathBuf> {
    let whole = directory.join(name);
    if !glob::is_pattern(whole.as_os_str().as_bytes()) {
        return vec![whole];
    }
    let mut found = vec![PathBuf::new()];
    for component in whole.components() {
        found = match component {
            Component::Normal(part) if glob::is_pattern(part.as_bytes()) => {
                found.iter().flat_map(|parent| fitting(parent, part)).collect()
            }
            other => found.iter().map(|parent| parent.join(other)).collect(),
        };
    }
    found.retain(|path| path.exists());
    found.sort();
    found
}

fn fitting(parent: &Path, pattern: &OsStr) -> Vec<PathBuf> {
    let hidden_wanted = pattern.as_bytes().starts_with(b".");
    let fits = |name: &OsString| {
        let name = name.as_bytes();
        (hidden_wanted || !name.starts_with(b".")) && glob::matches(pattern.as_bytes(), name, false)
    };
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    names.filter(fits).map(|name| parent.join(name)).collect()
}
