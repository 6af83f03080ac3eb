//! The tool's command line, from arguments to an exit status.

use std::ffi::OsString;
use std::io;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use super::{Status, check, export, import, log, restore};
use crate::base::moment;

const FAILED: i32 = 2;
const MISUSED: i32 = 3;

/// Looks after the data of Cairn servers.
///
/// DIR is a server's data directory, or the directory cairn-log inside it. Only `log` works beside a running server; the
/// others refuse a directory that is in use.
///
/// Exit status: 0 all is well, 1 something was left out or a tail is torn, 2 damaged or not done, 3 wrong usage.
#[derive(Parser)]
#[command(name = "cairn", version, arg_required_else_help = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(check::Arguments),
    Log(log::Arguments),
    Restore(restore::Arguments),
    Import(import::Arguments),
    Export(export::Arguments),
}

/// Runs the tool with the process's arguments; gives its exit status.
pub fn main(arguments: impl Iterator<Item = OsString>) -> i32 {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Where standard error is closed nobody can be told.
            let _ = error.print();
            return exit_code(error.kind());
        }
    };
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_writer(io::stderr)
        .with_target(false)
        .without_time()
        .init();
    let status = match &arguments.command {
        Command::Check(arguments) => check::run(arguments),
        Command::Log(arguments) => log::run(arguments),
        Command::Restore(arguments) => restore::run(arguments),
        Command::Import(arguments) => import::run(arguments),
        Command::Export(arguments) => export::run(arguments),
    };
    status.map_or_else(
        |reason| {
            eprintln!("cairn: {reason}");
            FAILED
        },
        Status::exit_code,
    )
}

/// The exit status where the arguments lead to no subcommand.
fn exit_code(kind: ErrorKind) -> i32 {
    match kind {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
        _ => MISUSED,
    }
}

/// A moment on the command line.
pub(super) fn parse_moment(text: &str) -> Result<u64, String> {
    moment::parse(text)
        .ok_or_else(|| "a moment is RFC 3339, \"YYYY-MM-DD HH:MM:SS\" in local time, or Unix seconds".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn run(line: &str) -> Option<i32> {
        Arguments::try_parse_from(line.split(' ')).err().map(|error| exit_code(error.kind()))
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn misuse_has_its_own_status() {
        for line in [
            "cairn",
            "cairn mend x",
            "cairn check",
            "cairn check x --mend",
            "cairn log x",
            "cairn log x --slot 16384",
            "cairn log x --slot 1 --key a",
            "cairn log x --slot 1 --from yesterday",
            "cairn restore x --to 5",
            "cairn import --into x",
            "cairn import --rdb a --aof b",
            "cairn export x",
        ] {
            assert_eq!(run(line), Some(MISUSED), "{line}");
        }
        for line in ["cairn --help", "cairn --version", "cairn log --help"] {
            assert_eq!(run(line), Some(0), "{line}");
        }
        for line in ["cairn check x", "cairn log x --slot 16383 --follow", "cairn restore x --to 5 --into y"] {
            assert_eq!(run(line), None, "{line}");
        }
    }
}
