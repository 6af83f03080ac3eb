//! `cairn log`: a slot's history as commands that people can read, and run.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Status;
use super::command_line::parse_moment;
use crate::base::key_slot::SlotId;
use crate::base::moment;
use crate::commands::account::push_quoted;
use crate::commands::replay::CommandInterpreter;
use crate::keeper::archive::log_directory;
use crate::log::disk::Disk;
use crate::log::follow::{Follower, Seen};

/// How often a log that is followed is looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// Print a slot's history as commands, one a line
///
/// Each line has the time, the sequence number in the slot, the database, the part of a
/// transaction, and the command in quotes, as redis-cli takes it:
///
///   2026-11-22T23:00:00.123+01:00 17 db0 1/2 "SET" "greeting" "hello"
///
/// A dash in the place of the part means no transaction, or one whose parts are not known any
/// more: slot logs do not keep them. They also leave out what later commands superseded, unless
/// log-retention says how long to keep it.
///
/// Only reads, and works beside a running server.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["slot", "key"])))]
pub struct Arguments {
    /// The data directory, or the directory cairn-log in it
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The slot, 0 to 16383
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(..16384))]
    slot: Option<u16>,
    /// Only commands that name this key, in any database, and those that concern its whole slot, such as FLUSHDB
    #[arg(long, value_name = "KEY")]
    key: Option<OsString>,
    /// Only from this moment on: RFC 3339, "YYYY-MM-DD HH:MM:SS" in local time, or Unix seconds
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    from: Option<u64>,
    /// Go on printing as a server appends, until interrupted
    #[arg(long)]
    follow: bool,
}

/// Which records are printed.
#[derive(Default)]
struct Filter<'a> {
    key: Option<&'a [u8]>,
    from_ms: u64,
    interpreter: CommandInterpreter,
}

impl Filter<'_> {
    fn takes(&self, seen: &Seen) -> bool {
        seen.header.time_ms >= self.from_ms && self.key.is_none_or(|key| self.interpreter.concerns(seen.effect(), key))
    }
}

pub fn run(arguments: &Arguments) -> Result<Status, String> {
    let path = log_directory(&arguments.directory).map_err(|error| error.to_string())?;
    let key = arguments.key.as_deref().map(OsStrExt::as_bytes);
    let slot = match (key, arguments.slot.and_then(SlotId::new)) {
        (Some(key), _) => SlotId::of_key(key),
        (None, Some(slot)) => slot,
        (None, None) => return Err("--slot or --key is needed".into()),
    };
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let disk = Disk::read_only(&path).map_err(|error| failed(&error))?;
    let mut follower = Follower::new(Arc::new(disk), slot);
    let filter = Filter { key, from_ms: arguments.from.unwrap_or(0), ..Filter::default() };
    loop {
        let found = follower.read().map_err(|error| failed(&error))?;
        match print(&found, &filter) {
            Ok(()) => {}
            // Whoever read this has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Status::Sound),
            Err(error) => return Err(format!("standard output: {error}")),
        }
        if !arguments.follow {
            break;
        }
        std::thread::sleep(LOOK_PERIOD);
    }
    let obstacles = follower.obstacles();
    for obstacle in &obstacles {
        eprintln!("cairn: what stands behind is not shown: {obstacle}");
    }
    Ok(if obstacles.is_empty() { Status::Sound } else { Status::Partial })
}

fn print(found: &[Seen], filter: &Filter<'_>) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for seen in found.iter().filter(|seen| filter.takes(seen)) {
        writeln!(out, "{}", line(seen))?;
    }
    out.flush()
}

fn line(seen: &Seen) -> String {
    let header = &seen.header;
    let mut line = format!("{} {} db{} ", moment::show(header.time_ms), header.sequence, header.database);
    match seen.part {
        // Writing to a string cannot fail.
        Some((part, parts)) => drop(write!(line, "{part}/{parts}")),
        None => line.push('-'),
    }
    for argument in seen.effect().arguments() {
        line.push(' ');
        push_quoted(&mut line, argument);
    }
    line
}
