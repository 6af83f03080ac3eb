//! Renders the table for people: the default configuration file, and the page that lists every directive's standing.

use super::row::{EMPTY_IS_UNSET, FILE_ONLY, HIDDEN, Kind, MUTABLE, PROTECTED, Row, Status, TextForm, Written};
use super::table::{Config, IGNORED, ROWS};

/// The text of `config/cairn.conf`: every directive with its documentation. Those with an effect are active lines with
/// their default values; those without an effect, or not set by default, are comments.
pub fn render_default_conf() -> String {
    let mut out = String::from(
        "# Cairn's configuration, complete and with every value at its default. Rendered from the table of directives:\n\
         # edit a copy.\n\
         #\n\
         # Start the server with this file's path as its first argument; --directive value after it wins over the file.\n\
         # Memory sizes: 1k is 1000 bytes, 1kb is 1024; likewise m, mb, g, gb. Quote values with spaces: \"...\" knows\n\
         # \\n, \\t, \\\" and \\xHH, '...' only \\'.\n\
         #\n\
         # A line that is a comment names a directive that is not set, or one that Cairn accepts without effect and why.\n",
    );
    let default = Config::default();
    let mut section = "";
    for row in ROWS.iter().filter(|row| !row.has(HIDDEN)) {
        if row.section != section {
            section = row.section;
            out.push_str(&format!("\n{}\n# {section}\n", "#".repeat(80)));
        }
        out.push('\n');
        for line in row.documentation {
            push_comment(&mut out, line.trim());
        }
        push_comment(&mut out, &format!("({})", summary(row)));
        if let Status::Accepted(reason) = row.status {
            push_comment(&mut out, &format!("No effect: {reason}"));
        }
        for (line, is_set) in default_lines(row, &default) {
            let active = is_set && row.status == Status::Honoured;
            out.push_str(if active { "" } else { "# " });
            out.push_str(&line);
            out.push('\n');
        }
    }
    out
}

/// Adds a comment, folded at the width of the page.
fn push_comment(out: &mut String, text: &str) {
    const WIDTH: usize = 118;
    let mut line = String::from("#");
    for word in text.split(' ') {
        if line.len() + 1 + word.len() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line.truncate(1);
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
}

/// A directive's lines for the default file, and whether they set anything.
fn default_lines(row: &Row, default: &Config) -> Vec<(String, bool)> {
    if let Kind::Repeated(_, _, arguments) = row.kind {
        return vec![(format!("{} {arguments}", row.name), false)];
    }
    // The default directory is wherever the server was started.
    if row.name == "dir" {
        return vec![("dir .".to_string(), true)];
    }
    if row.name == "replicaof" {
        return vec![("replicaof host port".to_string(), false)];
    }
    match (row.written)(default, default, row) {
        Written::Lines(lines) => lines.into_iter().map(|(line, _)| (line, true)).collect(),
        _ if row.has(EMPTY_IS_UNSET) => vec![(format!("{} \"\"", row.name), false)],
        _ => vec![(format!("{} {}", row.name, row.show(default)), true)],
    }
}

/// The values a directive takes, when it may change, and its older names.
fn summary(row: &Row) -> String {
    let mut parts = vec![values(row)];
    parts.push(if row.has(FILE_ONLY) {
        "only in files".to_string()
    } else if row.has(PROTECTED) {
        "changeable at run time if enable-protected-configs allows".to_string()
    } else if row.has(MUTABLE) {
        "changeable at run time".to_string()
    } else {
        "fixed at start".to_string()
    });
    if !row.aliases.is_empty() {
        parts.push(format!("also called {}", row.aliases.join(", ")));
    }
    parts.join("; ")
}

fn values(row: &Row) -> String {
    match row.kind {
        Kind::Bool => "yes or no".to_string(),
        Kind::Integer(low, high) => format!("integer {}", bounds(low, high)),
        Kind::Memory(low, high) => format!("memory size {}", bounds(low, high)),
        Kind::MemoryOrPercent(high) => format!("memory size, or up to {high}%"),
        Kind::Octal(low, high) => format!("octal {low:o} to {high:o}"),
        Kind::Enum(words) => words.join(", "),
        Kind::EnumSet(words) => format!("one or more of {}", words.join(", ")),
        Kind::Special(form) => form.to_string(),
        Kind::Repeated(_, _, arguments) => arguments.to_string(),
        Kind::Text(form) => match form {
            TextForm::Any => "text",
            TextForm::BaseName | TextForm::RequiredBaseName(_) => "name without a directory",
            TextForm::Hostname => "host name",
            TextForm::NodeName => "plain name",
            TextForm::TitleTemplate => "template",
            TextForm::CpuList => "list of CPUs",
        }
        .to_string(),
    }
}

fn bounds(low: i128, high: i128) -> String {
    let widest = [i128::from(i32::MAX), i128::from(u32::MAX), i128::from(i64::MAX), i128::from(u64::MAX)];
    let from = if low == -i128::from(i32::MAX) - 1 { None } else { Some(low) };
    match (from, widest.contains(&high)) {
        (None, _) => "of 32 bits".to_string(),
        (Some(low), true) => format!("from {low}"),
        (Some(low), false) => format!("{low} to {high}"),
    }
}

/// The text of `docs/directives.md`: what Redis 7 knows and Cairn accepts without effect, and where values differ.
pub fn render_directives_page() -> String {
    let honoured = ROWS.iter().filter(|row| row.status == Status::Honoured).count();
    let accepted: Vec<(&Row, &str)> = ROWS
        .iter()
        .filter_map(|row| match row.status {
            Status::Accepted(reason) => Some((row, reason)),
            Status::Honoured => None,
        })
        .collect();
    let mut out = format!(
        "# Directives\n\n\
         Rendered from the table in `src/config/table.rs`. Cairn reads every directive of Redis 7.2, so such a file \
         starts it.\n\
         {honoured} directives have their effect; `config/cairn.conf` documents each. The {} below are accepted, \
         remembered and shown by\n\
         CONFIG GET, but have no effect for the reason given. The server warns at start about each one that is set.\n\n\
         | directive | reason |\n|---|---|\n",
        accepted.len(),
    );
    for (row, reason) in accepted {
        out.push_str(&format!("| `{}` | {reason} |\n", row.name));
    }
    out.push_str("\nRead and dropped, as in Redis, because they have long had no effect: ");
    out.push_str(&IGNORED.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "));
    out.push_str(
        ".\n\n## Differences from Redis\n\n\
         | directive | difference |\n|---|---|\n\
         | `io-threads` | The number of workers, each of which runs commands. 0, the default, means one per core. |\n\
         | `server_cpulist` | Each worker is pinned to one CPU of the list; a malformed list is an error. |\n\
         | `log-format` | Cairn's own. |\n\
         | `notify-keyspace-events` | `A` together with `n` is shown as `An`; Redis drops the `n`. |\n\
         | `sentinel` | There is no Sentinel mode. |\n\
         | all | Values must be UTF-8. Files may include one another 16 levels deep. |\n\n\
         CONFIG REWRITE differs in three ways: the file keeps its permissions, a symbolic link to it stays one, and \
         `save` and\n\
         `latency-tracking-info-percentiles` are appended only if they differ from their defaults.\n",
    );
    out
}
