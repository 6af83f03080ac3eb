//! `cairn check`: reads everything that a log consists of and tells what is wrong.
//!
//! Manifest, headers of the tablespace's files, every record of every slot log with the log's digest, the journal with
//! the judgement that recovery would pass on it, and whether each slot's history can be run.

use std::path::{Path, PathBuf};

use super::Status;
use super::progress::Progress;
use crate::base::key_slot::SlotId;
use crate::commands::replay::Scratch;
use crate::keeper::archive::{Archive, ArchiveError, about_slot, lenient_config, log_directory};
use crate::log::record::record_bytes;
use crate::log::scan::{Purpose, Scan};
use crate::log::segment;

/// Check a log: every record, every checksum, every slot's history
///
/// Prints a line for each problem with the slot, the file, the offset and the cause, and a summary. Changes nothing.
///
/// A torn tail is what a crash leaves of records that were being written: nothing that was durable is in it, and a
/// server cuts it when it starts. Damage is anything else: the slots that it names would be refused by a server, while
/// the others serve; where no slot can be named the server would not start.
///
/// Exit status: 0 sound, 1 a torn tail and nothing else, 2 damaged, unusable or in use, 3 wrong usage.
#[derive(clap::Args)]
pub struct Arguments {
    /// The data directory, or the directory cairn-log in it
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Cut torn tails, as a server would when it starts, and nothing else
    #[arg(long)]
    repair: bool,
}

/// What is wrong, and how bad that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub status: Status,
    pub text: String,
}

/// What a check found.
#[derive(Debug, Default)]
pub struct Report {
    pub problems: Vec<Problem>,
    pub slots: u64,
    /// Whole records, in slot logs and in the journal behind them.
    pub settled_records: u64,
    pub journal_records: u64,
    pub bytes: u64,
    pub torn_tails: u64,
    /// Tails that were cut by this check.
    pub cut_tails: u64,
    pub damaged_slots: u64,
}

impl Report {
    pub fn status(&self) -> Status {
        self.problems.iter().map(|problem| problem.status).max().unwrap_or(Status::Sound)
    }

    pub fn summary(&self) -> String {
        let judgement = match self.status() {
            Status::Sound => "sound",
            Status::Partial => "sound but for what a crash left",
            Status::Damaged => "damaged",
        };
        format!(
            "{} slots, {} records ({} settled, {} in the journal), {} bytes, {} torn tails{}, {} damaged slots: {judgement}",
            self.slots,
            self.settled_records + self.journal_records,
            self.settled_records,
            self.journal_records,
            self.bytes,
            self.torn_tails,
            if self.cut_tails > 0 { format!(" ({} cut)", self.cut_tails) } else { String::new() },
            self.damaged_slots
        )
    }

    fn add(&mut self, status: Status, text: String) {
        self.problems.push(Problem { status, text });
    }
}

pub fn run(arguments: &Arguments) -> Result<Status, String> {
    let path = log_directory(&arguments.directory).map_err(|error| error.to_string())?;
    let report =
        check(&path, arguments.repair, &mut Progress::new("Checking", 0)).map_err(|error| error.to_string())?;
    for problem in &report.problems {
        println!("{}", problem.text);
    }
    println!("{}", report.summary());
    if report.status() == Status::Partial && !arguments.repair {
        println!("A server cuts torn tails when it starts; --repair does it now.");
    }
    Ok(report.status())
}

/// Checks the log in `path`, its directory.
pub fn check(path: &Path, repair: bool, progress: &mut Progress) -> Result<Report, ArchiveError> {
    let archive = Archive::open(path, if repair { Purpose::Repair } else { Purpose::Check })?;
    let mut report = Report::default();
    match &archive.journal {
        Ok(scan) => judge_journal(scan, repair, &mut report),
        Err(error) => report.add(Status::Damaged, format!("damage: the journal cannot be read: {error}")),
    }
    let settled_bytes: u64 = archive.version.slots().map(|(_, log)| log.bytes).sum();
    progress.set_total(settled_bytes + archive.journal.as_ref().map_or(0, |scan| scan.bytes));
    let mut scratch = Scratch::new(&lenient_config());
    let mut buffer = Vec::new();
    for slot in archive.slots() {
        report.slots += 1;
        if let Err(reason) = check_slot(&archive, slot, &mut scratch, &mut buffer, &mut report, progress) {
            report.damaged_slots += 1;
            report.add(Status::Damaged, format!("damage: {reason}"));
        }
    }
    Ok(report)
}

fn judge_journal(scan: &Scan, repair: bool, report: &mut Report) {
    // Where nothing stands behind the end there is nothing to cut.
    for cut in scan.cuts.iter().filter(|cut| cut.bytes > 0) {
        report.torn_tails += 1;
        if repair {
            report.cut_tails += 1;
            report.add(Status::Sound, format!("cut: {cut}"));
        } else {
            report.add(Status::Partial, format!("torn tail: {cut}"));
        }
    }
    if scan.dropped_records > 0 {
        let text = format!(
            "{} records behind a torn tail of another lane do not count: a server takes them away when it starts",
            scan.dropped_records
        );
        report.add(Status::Partial, text);
    }
    for number in &scan.damaged_headers {
        let name = segment::file_name(*number);
        report.add(Status::Damaged, format!("damage: {name} at offset 0: its header; the records are whole"));
    }
}

/// Reads and runs a slot's history; an error says where it is damaged.
fn check_slot(
    archive: &Archive,
    slot: SlotId,
    scratch: &mut Scratch,
    buffer: &mut Vec<u8>,
    report: &mut Report,
    progress: &mut Progress,
) -> Result<(), String> {
    if let Some(damage) = archive.damage(slot) {
        return Err(damage);
    }
    let settled = archive.version.slot(slot).sequence;
    let mut records = archive.history(slot, buffer).map_err(|fault| fault.to_string())?.map(|record| {
        let record = record.map_err(|fault| fault.to_string())?;
        let bytes = record_bytes(record.effect.bytes().len()) as u64;
        let counter =
            if record.header.sequence > settled { &mut report.journal_records } else { &mut report.settled_records };
        *counter += 1;
        report.bytes += bytes;
        progress.advance(bytes);
        Ok(record)
    });
    scratch.replay(slot, &mut records, &mut |_, _| ()).map_err(|error| about_slot(slot, error.to_string()))
}
