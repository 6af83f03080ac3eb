//! The command line of the server: an optional file, `-` for standard input, then `--directive value ...`.
//!
//! Directives given here become lines of configuration text, read after the file and standard input, so they win. A
//! directive takes every argument up to the next one that begins with `--`; its first argument is taken even if it
//! begins so (`--requirepass --secret`), except after `--save`, where nothing means an empty value. Name and value may
//! also share one argument (`"--port 6380"`).

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::text;
use crate::base::quoting::split_arguments;

/// What the command line asks to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    pub file: Option<PathBuf>,
    pub from_stdin: bool,
    /// The directives, a line each.
    pub directives: Vec<u8>,
}

/// Sorts the arguments that follow the program's name. Switches that are not directives (`--version`, `--help`,
/// `--check-config`) must be taken out before.
pub fn parse_arguments(arguments: &[OsString]) -> Arguments {
    let mut parsed = Arguments::default();
    let last = arguments.len().saturating_sub(1);
    // The directive begun last still waits for its first argument.
    let mut wants_value = false;
    for (index, argument) in arguments.iter().enumerate() {
        let bytes = argument.as_bytes();
        if index == 0 && !bytes.starts_with(b"-") {
            parsed.file = Some(PathBuf::from(argument));
        } else if bytes == b"-" && (index == 0 || index == last) {
            parsed.from_stdin = true;
        } else if !wants_value && bytes.starts_with(b"--") {
            if !parsed.directives.is_empty() {
                parsed.directives.push(b'\n');
            }
            parsed.directives.extend_from_slice(&bytes[2..]);
            parsed.directives.push(b' ');
            wants_value = split_arguments(bytes).is_some_and(|words| words.len() == 1);
            let next = arguments.get(index + 1);
            if wants_value
                && bytes.eq_ignore_ascii_case(b"--save")
                && next.is_none_or(|next| next.as_bytes().starts_with(b"--"))
            {
                parsed.directives.extend_from_slice(b"\"\"");
                wants_value = false;
            }
        } else {
            parsed.directives.extend_from_slice(text::quote(bytes).as_bytes());
            parsed.directives.push(b' ');
            wants_value = false;
        }
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Arguments {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        parse_arguments(&arguments)
    }

    fn directives(arguments: &[&str]) -> String {
        String::from_utf8(parse(arguments).directives).unwrap()
    }

    #[test]
    fn file_and_standard_input() {
        assert_eq!(parse(&[]), Arguments::default());
        let parsed = parse(&["/etc/cairn.conf", "--port", "1", "-"]);
        assert_eq!(parsed.file, Some(PathBuf::from("/etc/cairn.conf")));
        assert!(parsed.from_stdin);
        assert_eq!(parsed.directives, b"port \"1\" ");
        assert!(parse(&["-", "--port", "1"]).from_stdin);
        assert!(parse(&["-", "--port", "1"]).file.is_none());
    }

    #[test]
    fn directives_become_lines() {
        assert_eq!(directives(&["--port", "6379", "--port", "6380"]), "port \"6379\" \nport \"6380\" ");
        assert_eq!(directives(&["--save", "900", "1", "--port", "1"]), "save \"900\" \"1\" \nport \"1\" ");
        assert_eq!(directives(&["--port 6380", "--hz", "5"]), "port 6380 \nhz \"5\" ");
        assert_eq!(directives(&["--requirepass", "--x", "--hz", "5"]), "requirepass \"--x\" \nhz \"5\" ");
        assert_eq!(directives(&["--requirepass", "\"quoted\""]), "requirepass \"\\\"quoted\\\"\" ");
        assert_eq!(directives(&["-x"]), "\"-x\" ");
    }

    #[test]
    fn save_may_stand_alone() {
        assert_eq!(directives(&["--save", "--port", "1"]), "save \"\"\nport \"1\" ");
        assert_eq!(directives(&["--save"]), "save \"\"");
        assert_eq!(directives(&["--save", ""]), "save \"\" ");
    }
}
