//! What a script or function declares about itself, and the line that a body begins with.

use crate::base::quoting::split_arguments;

pub type ScriptFlags = u32;

pub const NO_WRITES: ScriptFlags = 1 << 0;
pub const ALLOW_OOM: ScriptFlags = 1 << 1;
pub const ALLOW_STALE: ScriptFlags = 1 << 2;
pub const NO_CLUSTER: ScriptFlags = 1 << 3;
pub const ALLOW_CROSS_SLOT: ScriptFlags = 1 << 4;
/// A script that declares nothing: what its commands may do is looked at one by one.
pub const UNDECLARED: ScriptFlags = 1 << 5;

/// The flags by name, in the order in which they are listed.
pub const NAMES: &[(ScriptFlags, &str)] = &[
    (NO_WRITES, "no-writes"),
    (ALLOW_OOM, "allow-oom"),
    (ALLOW_STALE, "allow-stale"),
    (NO_CLUSTER, "no-cluster"),
    (ALLOW_CROSS_SLOT, "allow-cross-slot-keys"),
];

/// The words of a body's first line, which begins with `#!`, and where the rest begins: at the line's end, so that
/// lines keep their numbers. `None` where the line does not end, or its quotes do not balance.
fn first_line(body: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let end = memchr::memchr(b'\n', body)?;
    let words = split_arguments(&body[..end]).filter(|words| !words.is_empty())?;
    Some((words, end))
}

/// What a script's body declares, and where its code begins.
pub fn of_script(body: &[u8]) -> Result<(ScriptFlags, usize), String> {
    if !body.starts_with(b"#!") {
        return Ok((UNDECLARED, 0));
    }
    if !body.contains(&b'\n') {
        return Err("ERR Invalid script shebang".into());
    }
    let (words, end) = first_line(body).ok_or("ERR Invalid engine in script shebang")?;
    let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    if words[0] != b"#!lua" {
        return Err(format!("ERR Unexpected engine in script shebang: {}", text(&words[0])));
    }
    let mut flags = 0;
    for word in &words[1..] {
        let Some(names) = word.strip_prefix(b"flags=") else {
            return Err(format!("ERR Unknown lua shebang option: {}", text(word)));
        };
        for name in names.split(|byte| *byte == b',').filter(|_| !names.is_empty()) {
            let known = NAMES.iter().find(|(_, known)| known.as_bytes() == name);
            flags |= known.ok_or_else(|| format!("ERR Unexpected flag in script shebang: {}", text(name)))?.0;
        }
    }
    Ok((flags, end))
}

/// What a library's first line says.
#[derive(Debug, PartialEq, Eq)]
pub struct LibraryHeader {
    pub name: String,
    pub engine: String,
    /// Where the code begins.
    pub code_at: usize,
}

/// Reads the first line of a library's code.
pub fn of_library(code: &[u8]) -> Result<LibraryHeader, String> {
    if !code.starts_with(b"#!") {
        return Err("ERR Missing library metadata".into());
    }
    let (words, code_at) = first_line(code).ok_or("ERR Invalid library metadata")?;
    let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    let engine = text(&words[0][2..]);
    let mut name = None;
    for word in &words[1..] {
        match word.split_at_checked(b"name=".len()) {
            Some((key, value)) if key.eq_ignore_ascii_case(b"name=") => {
                if name.replace(text(value)).is_some() {
                    return Err("ERR Invalid metadata value, name argument was given multiple times".into());
                }
            }
            _ => return Err(format!("ERR Invalid metadata value given: {}", text(word))),
        }
    }
    let name = name.ok_or("ERR Library name was not given")?;
    if !is_name(name.as_bytes()) {
        return Err(BAD_NAME.into());
    }
    if !engine.eq_ignore_ascii_case("lua") {
        return Err(format!("ERR Engine '{engine}' not found"));
    }
    Ok(LibraryHeader { name, engine: "LUA".into(), code_at })
}

pub const BAD_NAME: &str =
    "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";

/// Whether libraries and functions may be named so.
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines_of_scripts() {
        for (body, expected) in [
            (&b"return 1"[..], Ok((UNDECLARED, 0))),
            (b"#!lua\nreturn 1", Ok((0, 5))),
            (b"#!lua flags=no-writes,allow-oom\nx", Ok((NO_WRITES | ALLOW_OOM, 31))),
            (b"#!lua flags=\nx", Ok((0, 12))),
            (b"#!lua", Err("ERR Invalid script shebang")),
            (b"#!\"lua\nx", Err("ERR Invalid engine in script shebang")),
            (b"#!python\nx", Err("ERR Unexpected engine in script shebang: #!python")),
            (b"#!lua badger=data\nx", Err("ERR Unknown lua shebang option: badger=data")),
            (b"#!lua flags=bad\nx", Err("ERR Unexpected flag in script shebang: bad")),
        ] {
            assert_eq!(of_script(body), expected.map_err(str::to_owned), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn first_lines_of_libraries() {
        let header = of_library(b"#!lua name=\"foo\"\ncode").unwrap();
        assert_eq!((header.name.as_str(), header.engine.as_str(), header.code_at), ("foo", "LUA", 16));
        for (code, error) in [
            (&b"code"[..], "ERR Missing library metadata"),
            (b"#!lua name=x", "ERR Invalid library metadata"),
            (b"#! name=test\nx", "ERR Engine '' not found"),
            (b"#!bad name=test\nx", "ERR Engine 'bad' not found"),
            (b"#!lua\nx", "ERR Library name was not given"),
            (b"#!lua name=a name=b\nx", "ERR Invalid metadata value, name argument was given multiple times"),
            (b"#!lua name=a foo=bar\nx", "ERR Invalid metadata value given: foo=bar"),
            (b"#!lua name=a-b\nx", BAD_NAME),
        ] {
            assert_eq!(of_library(code), Err(error.to_owned()));
        }
    }
}
