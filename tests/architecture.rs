//! The source keeps its own rules: rooms import downwards only, time and randomness enter in one room, unsafe code
//! stands in named files with an argument, files say what they are for and stay readable.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms from the deepest up. A file imports its own room and those of lower rank.
const RANKS: &[&[&str]] = &[
    &["base"],
    &["config"],
    &["metrics"],
    &["resp"],
    &["store"],
    &["log"],
    &["rdb"],
    &["acl"],
    &["engine"],
    &["commands"],
    &["keeper"],
    &["scripting"],
    &["replication", "cluster"],
    &["net"],
    &["server", "tool"],
    &["bin"],
];

/// What reads the clock or randomness of the operating system.
const TIME_AND_ENTROPY: &[&str] = &[
    "SystemTime",
    "std::time::Instant",
    "time::Instant",
    "Instant::now",
    "clock_gettime",
    "quanta::",
    "rand::",
    "getrandom",
    "/dev/urandom",
    "/dev/random",
    "RandomState",
];

/// Where unsafe code may stand: a prefix of the path below src/.
const UNSAFE_FILES: &[&str] = &[
    "base/",
    "store/",
    "log/disk.rs",
    "log/segment.rs",
    "log/simulated_disk.rs",
    "log/storage.rs",
    "engine/gate.rs",
    "scripting/c_interface.rs",
    "scripting/lend.rs",
    "server/boot.rs",
    "server/title.rs",
];

const LONGEST_FILE: usize = 900;
const LONGEST_MAIN_FILE: usize = 60;

struct Source {
    /// Path below src/, with forward slashes.
    path: String,
    lines: Vec<String>,
}

impl Source {
    /// The room, or None for lib.rs.
    fn room(&self) -> Option<&str> {
        self.path.split_once('/').map(|(room, _)| room)
    }

    /// Lines of code with their numbers: without comments, and without string literals' contents.
    fn code(&self) -> impl Iterator<Item = (usize, String)> + '_ {
        self.lines.iter().enumerate().map(|(index, line)| (index + 1, strip(line)))
    }
}

/// The line without its comment and without what stands in quotes.
fn strip(line: &str) -> String {
    let mut code = String::new();
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if quoted => {
                characters.next();
            }
            '"' => {
                quoted = !quoted;
                code.push('"');
            }
            '/' if !quoted && characters.peek() == Some(&'/') => break,
            _ if !quoted => code.push(character),
            _ => {}
        }
    }
    code
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let below = path.strip_prefix(&root).expect("below src").to_str().expect("UTF-8").replace('\\', "/");
        Source { path: below, lines: text.lines().map(str::to_owned).collect() }
    };
    let sources: Vec<Source> = paths.into_iter().map(read).collect();
    assert!(sources.len() > 3, "no sources found in {}", root.display());
    sources
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

fn rank(room: &str) -> Option<usize> {
    RANKS.iter().position(|rooms| rooms.contains(&room))
}

fn report(what: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

/// The rooms that a line names as `crate::room`, also inside `crate::{room, other::thing}`.
fn imported_rooms(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for crate_name in ["crate::", "cairn::"] {
        for (at, _) in code.match_indices(crate_name) {
            let preceded = code[..at]
                .chars()
                .next_back()
                .is_some_and(|character| character.is_alphanumeric() || character == '_' || character == ':');
            if preceded {
                continue;
            }
            let rest = &code[at + crate_name.len()..];
            let word = |text: &str| {
                text.chars()
                    .take_while(|character| character.is_alphanumeric() || *character == '_')
                    .collect::<String>()
            };
            match rest.strip_prefix('{') {
                Some(list) => {
                    let mut depth = 0;
                    let mut fresh = true;
                    for (offset, character) in list.char_indices() {
                        match character {
                            '{' => depth += 1,
                            '}' if depth == 0 => break,
                            '}' => depth -= 1,
                            ',' if depth == 0 => fresh = true,
                            ' ' => {}
                            _ if fresh && depth == 0 => {
                                rooms.push(word(&list[offset..]));
                                fresh = false;
                            }
                            _ => {}
                        }
                    }
                }
                None => rooms.push(word(rest)),
            }
        }
    }
    rooms
}

#[test]
fn every_room_has_a_rank() {
    let unknown = sources()
        .iter()
        .filter_map(|source| source.room().filter(|room| rank(room).is_none()).map(|_| source.path.clone()))
        .collect();
    report("in a room that has no rank", unknown);
}

#[test]
fn rooms_import_downwards_only() {
    let mut found = Vec::new();
    for source in sources() {
        let Some(own) = source.room().and_then(rank) else {
            continue;
        };
        // An import list may span lines: joined, up to its semicolon, it is one line of code.
        let mut statement = String::new();
        let mut begun = 0;
        for (number, code) in source.code() {
            if statement.is_empty() {
                begun = number;
            }
            statement.push_str(&code);
            let open = statement.contains("crate::{") && !statement.contains(';');
            if open {
                continue;
            }
            for room in imported_rooms(&statement) {
                let own_room = source.room() == Some(room.as_str());
                if !own_room && rank(&room).is_some_and(|other| other >= own) {
                    found.push(format!("src/{}:{begun} imports {room}", source.path));
                }
            }
            statement.clear();
        }
    }
    report("imports that go upwards", found);
}

#[test]
fn time_and_entropy_enter_in_one_room() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| source.room() != Some("base")) {
        for (number, code) in source.code() {
            for call in TIME_AND_ENTROPY.iter().filter(|call| code.contains(*call)) {
                // tokio's Instant is virtual time for its own timers.
                if code.contains("tokio::time::Instant") && call.contains("Instant") {
                    continue;
                }
                found.push(format!("src/{}:{number} uses {call}", source.path));
            }
        }
    }
    report("time or randomness outside base/", found);
}

#[test]
fn unsafe_code_stands_where_it_may_and_is_argued() {
    let mut found = Vec::new();
    for source in sources() {
        let allowed = UNSAFE_FILES.iter().any(|prefix| source.path.starts_with(prefix));
        for (number, code) in source.code() {
            let words: Vec<&str> =
                code.split(|character: char| !character.is_alphanumeric() && character != '_').collect();
            if !words.contains(&"unsafe") {
                continue;
            }
            if !allowed {
                found.push(format!("src/{}:{number} is not among the files that may", source.path));
            }
            if !argued(&source.lines, number) {
                found.push(format!("src/{}:{number} has no // SAFETY: comment before it", source.path));
            }
        }
    }
    report("unsafe code", found);
}

/// True when the comment just above the statement that holds this line, or on the line itself, says why it is sound. A
/// function that is unsafe to call says it under `# Safety`.
fn argued(lines: &[String], number: usize) -> bool {
    const FARTHEST: usize = 16;
    let mut comment_seen = false;
    for line in lines[..number].iter().rev().take(FARTHEST) {
        let text = line.trim();
        if text.contains("SAFETY:") || text.contains("# Safety") {
            return true;
        }
        let comment = text.starts_with("//") || text.starts_with("#[");
        // Above the comment begins another statement.
        if comment_seen && !comment {
            return false;
        }
        comment_seen |= comment;
        // A statement may begin some lines above its unsafe part; an empty line or the end of another one ends the search.
        let own = std::ptr::eq(line, &lines[number - 1]);
        if !own && !comment && (text.is_empty() || text.ends_with(';') || text == "}") {
            return false;
        }
    }
    false
}

#[test]
fn files_say_what_they_are_for() {
    let silent = |source: &Source| !source.lines.first().is_some_and(|line| line.starts_with("//!"));
    report(
        "files without a head comment",
        sources().iter().filter(|source| silent(source)).map(|source| source.path.clone()).collect(),
    );
}

#[test]
fn files_stay_readable() {
    let mut found = Vec::new();
    for source in sources() {
        let limit = if source.room() == Some("bin") { LONGEST_MAIN_FILE } else { LONGEST_FILE };
        if source.lines.len() > limit {
            found.push(format!("src/{} has {} lines, at most {limit} are wanted", source.path, source.lines.len()));
        }
    }
    report("files that grew too long", found);
}

/// The reader above must see what it is there to see.
#[test]
fn the_guard_itself_works() {
    assert_eq!(imported_rooms("use crate::net::listen;"), ["net"]);
    assert_eq!(imported_rooms("use crate::{base::clock, store::{slot, table}, resp};"), ["base", "store", "resp"]);
    assert_eq!(imported_rooms("let x = crate::engine::run(mycrate::thing());"), ["engine"]);
    assert_eq!(strip("let x = \"// no comment \\\" unsafe\"; // unsafe"), "let x = \"\"; ");
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(argued(&lines("// SAFETY: it is ours.\nunsafe { go() }"), 2));
    assert!(argued(&lines("// SAFETY: it is ours,\n// and nobody else's.\nlet x =\n    unsafe { go() };"), 4));
    assert!(argued(&lines("/// # Safety\n/// The caller owns it.\npub unsafe fn go() {}"), 3));
    assert!(!argued(&lines("// SAFETY: it is ours.\nunsafe { go() };\nunsafe { go() }"), 3));
    assert!(!argued(&lines("let x = 1;\nunsafe { go() }"), 2));
}
