//! A walk over one segment's bytes as they are found on the disk: which records are whole, and what stands between and
//! behind them. It decides nothing: whether something is damage or a torn tail depends on what other segments say.

use super::record::{self, Fault, Header, Kind, Reading};
use super::segment::HEADER_BYTES;
use crate::base::key_slot::SlotId;

/// Records begin at multiples of this.
const ALIGNMENT: usize = 8;
/// So many zeros in a row, and what was torn has ended.
const QUIET_BYTES: usize = 512;

/// What a walk found.
#[derive(Debug, Default)]
pub struct Walk {
    /// Behind the last whole record.
    pub end: usize,
    pub records: usize,
    /// Places before the end that hold no whole record.
    pub gaps: Vec<Gap>,
    /// What stands at the end; `None` for zeros, or the file's end.
    pub tail: Option<Fault>,
    /// Bytes at the end that are not zero.
    pub tail_bytes: usize,
    /// Where a transaction began that is not complete at the end, and how many parts of it there are.
    pub open: Option<(usize, usize)>,
    /// What `synced` records say: segment and offset.
    pub marks: Vec<(u64, usize)>,
    /// The segment that the `sealed` record names.
    pub next: Option<u64>,
}

/// Bytes that are no whole record, with a whole one behind them.
#[derive(Debug)]
pub struct Gap {
    pub from: usize,
    pub to: usize,
    /// `None`: zeros.
    pub fault: Option<Fault>,
    /// The damaged records, if all of the gap are such, whose headers can be believed: each one's end is where the next one
    /// begins, and the last one's is where a whole record does.
    pub damaged: Vec<(usize, Header)>,
    /// The transaction that was not complete before it: where it began and its parts.
    pub open: Option<(usize, usize)>,
    /// Whole records before it.
    pub records_before: usize,
}

/// A record whose sum is right and which makes no sense.
#[derive(Debug)]
pub struct Senseless {
    pub offset: usize,
}

/// A transaction that is being read.
#[derive(Clone, Copy)]
struct Open {
    start: usize,
    parts: usize,
    /// Parts that are still to come.
    left: u32,
}

/// Damaged records with their offsets, where the whole one behind them is, and the transaction that is open there.
type Damaged = (Vec<(usize, Header)>, usize, Option<Open>);

/// Walks over the bytes of a segment.
pub fn walk(bytes: &[u8], number: u64) -> Result<Walk, Senseless> {
    let mut found = Walk { end: HEADER_BYTES, ..Walk::default() };
    let mut open: Option<Open> = None;
    let mut at = HEADER_BYTES;
    while at < bytes.len() {
        let fault = match record::read(&bytes[at..], number) {
            Reading::Whole(whole, total) => {
                let header = whole.header;
                open = follow(open, at, &header)?;
                found.records += 1;
                at += total;
                found.end = at;
                match header.kind {
                    Kind::Effect => {}
                    Kind::Synced => {
                        let digits = whole.effect.arguments().next().and_then(|text| std::str::from_utf8(text).ok());
                        let segment = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
                        let senseless = Senseless { offset: at - total };
                        found.marks.push((segment.ok_or(senseless)?, header.sequence as usize));
                    }
                    Kind::Sealed => {
                        found.next = Some(header.sequence);
                        return Ok(found);
                    }
                }
                continue;
            }
            Reading::Broken(Fault::Meaning) => return Err(Senseless { offset: at }),
            Reading::Broken(fault) => Some(fault),
            Reading::Empty => None,
        };
        let open_before = open.map(|open| (open.start, open.parts));
        let (damaged, to, open_behind) = match damaged_records(bytes, at, number, open) {
            Some((records, to, open)) => (records, Some(to), open),
            None => (Vec::new(), next_whole(bytes, at + ALIGNMENT, number), None),
        };
        let Some(to) = to else {
            found.tail = fault;
            found.tail_bytes = loud_bytes(&bytes[at..]);
            break;
        };
        let records_before = found.records;
        found.gaps.push(Gap { from: at, to, fault, damaged, open: open_before, records_before });
        open = open_behind;
        at = to;
    }
    found.open = open.map(|open| (open.start, open.parts));
    Ok(found)
}

/// Goes on in a transaction, or begins one.
fn follow(open: Option<Open>, at: usize, header: &Header) -> Result<Option<Open>, Senseless> {
    match open {
        Some(open) if header.following.checked_add(1) == Some(open.left) && header.kind == Kind::Effect => {
            Ok((header.following > 0).then_some(Open { parts: open.parts + 1, left: header.following, ..open }))
        }
        Some(_) => Err(Senseless { offset: at }),
        None => Ok((header.following > 0).then_some(Open { start: at, parts: 1, left: header.following })),
    }
}

/// Records from `at` on that are damaged behind their headers, up to a whole one, where that is, and the transaction that
/// is open there. `None` if the headers cannot be believed. Also what an earlier use of the file left has headers that
/// pass their check, and may end where a whole record begins; but it need not go on with the transaction before it, nor
/// the whole record with its.
fn damaged_records(bytes: &[u8], mut at: usize, number: u64, mut open: Option<Open>) -> Option<Damaged> {
    let mut records = Vec::new();
    loop {
        match record::read(bytes.get(at..)?, number) {
            Reading::Broken(Fault::Checksum(_)) => {
                let (header, total) = record::read_header(&bytes[at..])?;
                open = follow(open, at, &header).ok()?;
                records.push((at, header));
                at += total;
            }
            Reading::Whole(whole, _) => {
                follow(open, at, &whole.header).ok()?;
                return Some((records, at, open));
            }
            _ => return None,
        }
    }
}

/// The first whole record of this segment from `from` on, wherever records can begin.
fn next_whole(bytes: &[u8], from: usize, number: u64) -> Option<usize> {
    let mut at = from;
    while at + record::HEADER_BYTES <= bytes.len() {
        // No effect is empty, so no record begins with zeros.
        let is_candidate = bytes[at..at + 4] != [0; 4]
            && record::read_header(&bytes[at..]).is_some_and(|(_, total)| total <= bytes.len() - at);
        if is_candidate && matches!(record::read(&bytes[at..], number), Reading::Whole(..)) {
            return Some(at);
        }
        at += ALIGNMENT;
    }
    None
}

/// Bytes from the front up to where there are only zeros for a while.
fn loud_bytes(bytes: &[u8]) -> usize {
    let mut end = 0;
    for (chunk, at) in bytes.chunks(QUIET_BYTES).zip((0..).step_by(QUIET_BYTES)) {
        match chunk.iter().rposition(|byte| *byte != 0) {
            Some(last) => end = at + last + 1,
            None => break,
        }
    }
    end
}

/// The slot of a damaged record, if its header tells.
pub fn slot_of(header: &Header) -> Option<SlotId> {
    header.slot.filter(|_| header.kind == Kind::Effect)
}
