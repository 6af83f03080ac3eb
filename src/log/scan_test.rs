//! Every case of the table in scan.rs, made by hand; and every bit of a small journal, flipped.

use std::sync::Arc;

use super::*;
use crate::log::journal::{Journal, Options};
use crate::log::record::{self, Kind, Reading};
use crate::log::simulated_disk::SimulatedDisk;
use crate::log::sync::Policy;
use crate::log::transaction::{Change, Parts};

const FILE_BYTES: usize = 64 << 10;

fn slot(number: u16) -> SlotId {
    SlotId::new(number).unwrap()
}

/// The bytes of a segment.
struct Image {
    number: u64,
    bytes: Vec<u8>,
}

impl Image {
    fn new(number: u64, lane: u32, previous: u64) -> Image {
        let mut bytes = vec![0; HEADER_BYTES];
        Header { lane, number, previous, time_ms: 1 }.write(&mut bytes);
        Image { number, bytes }
    }

    fn record(&mut self, kind: Kind, slot: Option<SlotId>, sequence: u64, following: u32, arguments: &[&[u8]]) {
        let at = self.bytes.len();
        let effect_bytes = record::effect_bytes(arguments);
        self.bytes.resize(at + record::record_bytes(effect_bytes), 0);
        let header = record::Header { kind, slot, database: 0, sequence, time_ms: 7, following };
        record::write(&mut self.bytes[at..], header, arguments, effect_bytes, self.number);
    }

    /// A part of a transaction; gives its offset.
    fn part(&mut self, number: u16, sequence: u64, following: u32) -> usize {
        let at = self.bytes.len();
        self.record(Kind::Effect, Some(slot(number)), sequence, following, &[b"SET", b"key", b"value"]);
        at
    }

    fn change(&mut self, number: u16, sequence: u64) -> usize {
        self.part(number, sequence, 0)
    }

    /// Says that everything so far is durable.
    fn mark(&mut self) {
        self.mark_of(self.number, self.bytes.len());
    }

    fn mark_of(&mut self, segment: u64, offset: usize) {
        self.record(Kind::Synced, None, offset as u64, 0, &[format!("{segment:016x}").as_bytes()]);
    }

    fn seal(&mut self, next: u64) -> usize {
        let at = self.bytes.len();
        self.record(Kind::Sealed, None, next, 0, &[b""]);
        at
    }

    /// Puts it on the disk, with zeros behind it.
    fn put(&self, disk: &SimulatedDisk) {
        let mut bytes = self.bytes.clone();
        bytes.resize(bytes.len() + 1000, 0);
        disk.put(&file_name(self.number), &bytes);
    }
}

fn disk() -> SimulatedDisk {
    SimulatedDisk::new(1, FILE_BYTES)
}

fn open_with(disk: &SimulatedDisk, heads: &[u64], last_number: u64) -> Result<Scan, ScanError> {
    let checked = scan(disk, Expected { heads, last_number }, &|_| 0, Purpose::Check);
    let opened = scan(disk, Expected { heads, last_number }, &|_| 0, Purpose::Open);
    if let (Ok(checked), Ok(opened)) = (&checked, &opened) {
        assert_eq!((&checked.cuts, &checked.damage), (&opened.cuts, &opened.damage));
        assert_eq!(checked.index.len(), opened.index.len());
    }
    assert_eq!(checked.is_ok(), opened.is_ok());
    opened
}

fn open(disk: &SimulatedDisk) -> Result<Scan, ScanError> {
    open_with(disk, &[], 0)
}

fn sequences(scan: &Scan, number: u16) -> Vec<u64> {
    scan.index.records(slot(number)).map(|record| record.header.sequence).collect()
}

/// Nothing was cut, dropped or refused.
fn assert_clean(scan: &Scan) {
    assert!(scan.cuts.is_empty() && scan.damage.is_empty() && scan.damaged_headers.is_empty());
    assert!(!scan.needs_settling && scan.dropped_records == 0);
}

#[test]
fn clean_ends_and_several_lanes() {
    let disk = disk();
    let mut first = Image::new(1, 0, 0);
    first.change(5, 1);
    first.change(6, 1);
    first.mark();
    first.seal(3);
    first.put(&disk);
    let mut second = Image::new(2, 1, 0);
    second.change(5, 2);
    second.change(5, 4);
    second.put(&disk);
    let mut third = Image::new(3, 0, 1);
    third.change(5, 3);
    third.put(&disk);
    let found = open(&disk).unwrap();
    assert_clean(&found);
    assert_eq!((sequences(&found, 5), sequences(&found, 6)), (vec![1, 2, 3, 4], vec![1]));
    assert_eq!(found.segments.iter().map(|segment| segment.number()).collect::<Vec<_>>(), [1, 3, 2]);
    assert_eq!((found.segments[1].previous(), found.segments[1].lane(), found.last_number), (1, 0, 3));
    // What is settled is left out.
    let found = scan(&disk, Expected::default(), &|slot| if slot.number() == 5 { 2 } else { 0 }, Purpose::Open);
    let found = found.unwrap();
    assert_eq!((sequences(&found, 5), sequences(&found, 6)), (vec![3, 4], vec![1]));
}

#[test]
fn a_torn_tail_is_cut_and_does_not_come_back() {
    let disk = disk();
    let mut image = Image::new(1, 0, 0);
    image.change(5, 1);
    image.mark();
    let torn = image.change(5, 2);
    let end = image.bytes.len();
    image.bytes[end - 10] ^= 1;
    image.put(&disk);
    let found = open(&disk).unwrap();
    let fault = Some(Fault::Checksum(Some(slot(5))));
    // The last three bytes of the record are zeros.
    let bytes = end - torn - image.bytes.iter().rev().take_while(|byte| **byte == 0).count();
    assert_eq!(found.cuts, [Cut { lane: 0, segment: 1, offset: torn, fault, bytes, records: 0 }]);
    assert_eq!((sequences(&found, 5), found.needs_settling), (vec![1], false));
    assert!(found.cuts[0].to_string().contains("bad checksum"));
    assert_eq!(disk.crash(3).contents(&file_name(1)).len(), torn);
    assert_clean(&open(&disk).unwrap());
}

#[test]
fn a_hole_that_nothing_covers_is_cut() {
    let disk = disk();
    let mut image = Image::new(1, 0, 0);
    image.change(5, 1);
    let hole = image.change(5, 2);
    let behind = image.change(5, 3);
    image.change(6, 1);
    image.bytes[hole..behind].fill(0);
    image.put(&disk);
    let found = open(&disk).unwrap();
    assert_eq!((found.cuts.len(), found.cuts[0].offset, found.cuts[0].records), (1, hole, 2));
    assert_eq!((sequences(&found, 5), sequences(&found, 6)), (vec![1], vec![]));
    assert_clean(&open(&disk).unwrap());
}

#[test]
fn damage_in_synced_bytes_refuses_the_slot() {
    let disk = disk();
    let mut image = Image::new(1, 0, 0);
    image.change(5, 1);
    let damaged = image.change(5, 2);
    let also_damaged = image.change(7, 1);
    image.change(6, 1);
    image.mark();
    image.change(5, 3);
    image.bytes[damaged + 40] ^= 1;
    image.bytes[also_damaged + 40] ^= 1;
    image.put(&disk);
    let found = open(&disk).unwrap();
    let refused: Vec<_> = found.damage.iter().map(|damage| (damage.slot.number(), damage.offset)).collect();
    assert_eq!(refused, [(5, damaged), (7, also_damaged)]);
    assert!(found.cuts.is_empty() && !found.needs_settling);
    assert_eq!(sequences(&found, 6), [1]);
    assert!(found.damage[0].to_string().starts_with("slot 5: journal-0000000000000001 at offset 112: bad checksum"));
    // A damaged record that is settled is not read any more.
    let found = scan(&disk, Expected::default(), &|_| 2, Purpose::Open).unwrap();
    assert!(found.damage.is_empty());
    assert_eq!(sequences(&found, 5), [3]);
}

#[test]
fn damage_of_an_unknown_slot_refuses_the_start() {
    for offset_in_record in [0, 10, 20, 30] {
        let disk = disk();
        let mut image = Image::new(1, 0, 0);
        image.change(5, 1);
        let damaged = image.change(5, 2);
        image.change(6, 1);
        image.mark();
        image.bytes[damaged + offset_in_record] ^= 1;
        image.put(&disk);
        let error = open(&disk).err().unwrap();
        assert!(
            matches!(error, ScanError::Damaged { segment: 1, offset, fault: Some(Fault::Header) } if offset == damaged)
        );
        assert!(error.to_string().contains("journal-0000000000000001 is damaged at offset 112"), "{error}");
    }
}

#[test]
fn what_a_later_segment_covers_must_be_there() {
    for lost in ["seal", "all", "record"] {
        let disk = disk();
        let mut first = Image::new(1, 0, 0);
        let record = first.change(5, 1);
        let seal = first.seal(2);
        match lost {
            "seal" => first.bytes[seal..].fill(0),
            "all" => first.bytes[record..].fill(0),
            _ => first.bytes[record + 20] ^= 1,
        }
        first.put(&disk);
        let mut second = Image::new(2, 0, 1);
        second.change(5, 2);
        second.mark();
        second.put(&disk);
        assert!(matches!(open(&disk), Err(ScanError::Damaged { segment: 1, .. })), "{lost}");
    }
    // The mark of another segment says so too.
    let disk = disk();
    let mut first = Image::new(1, 0, 0);
    first.change(5, 1);
    first.put(&disk);
    let mut second = Image::new(2, 1, 0);
    second.mark_of(1, first.bytes.len() + 40);
    second.put(&disk);
    assert!(matches!(open(&disk), Err(ScanError::Damaged { segment: 1, fault: None, .. })));
}

#[test]
fn a_sealed_segment_that_was_not_synced_may_lose_its_end() {
    let disk = disk();
    let mut first = Image::new(1, 0, 0);
    first.change(5, 1);
    let lost = first.change(6, 1);
    first.seal(2);
    first.bytes[lost..].fill(0);
    first.put(&disk);
    let mut second = Image::new(2, 0, 1);
    second.change(5, 2);
    second.change(6, 2);
    second.change(5, 3);
    second.put(&disk);
    let found = open(&disk).unwrap();
    assert_eq!((found.cuts.len(), found.cuts[0].offset), (1, lost));
    assert_eq!((sequences(&found, 5), sequences(&found, 6)), (vec![1, 2, 3], vec![]));
    // It stands between others, so it stays in the file and must be settled away; readers do not see it.
    assert!(found.needs_settling && found.dropped_records == 1);
    assert_eq!(found.segments[1].records().count(), 2);
    assert_eq!(SlotIndex::build(&found.segments, &mut || ()).len(), 3);
}

#[test]
fn missing_segments_refuse_the_start() {
    let disk = disk();
    let mut image = Image::new(1, 0, 0);
    image.change(5, 1);
    image.seal(9);
    image.put(&disk);
    let error = open(&disk).err().unwrap();
    assert!(matches!(error, ScanError::Missing { segment: 9, named_by: Some(1) }));
    assert!(error.to_string().contains("journal-0000000000000009 is missing, which journal-0000000000000001 names"));
    let error = open_with(&disk, &[4], 9).err().unwrap();
    assert!(matches!(error, ScanError::Missing { segment: 4, named_by: None }), "{error}");
    disk.remove(&file_name(1)).unwrap();
    let mut image = Image::new(9, 0, 1);
    image.change(5, 2);
    image.put(&disk);
    assert!(matches!(open(&disk), Err(ScanError::Missing { segment: 1, named_by: Some(9) })));
    // When the manifest was written, segment 1 had been released.
    assert_eq!(open_with(&disk, &[9], 9).unwrap().dropped_records, 1);
}

#[test]
fn foreign_files_and_newer_versions_refuse_the_start() {
    let disk = disk();
    disk.put(&file_name(7), b"#!/bin/sh\necho nothing to see here, and long enough to be a header, is it not?\n");
    let error = open(&disk).err().unwrap();
    assert_eq!(error.to_string(), "journal-0000000000000007 is no segment of the journal");
    let mut image = Image::new(7, 0, 0);
    image.bytes[8] = 2;
    let sum = crc32fast::hash(&image.bytes[..60]).to_le_bytes();
    image.bytes[60..64].copy_from_slice(&sum);
    image.put(&disk);
    let error = open(&disk).err().unwrap();
    assert_eq!(error.to_string(), "journal-0000000000000007 is of format version 2, known is 1");
}

#[test]
fn a_record_without_sense_is_never_dropped() {
    let disk = disk();
    let mut image = Image::new(1, 0, 0);
    let senseless = image.change(5, 1);
    // A kind of a later version, under a header check and a sum that are right.
    image.bytes[senseless + 26] = 9;
    image.bytes[senseless + 27] ^= 9;
    let end = senseless + 32 + record::effect_bytes(&[b"SET", b"key", b"value"]);
    let sum = crc32fast::hash(&image.bytes[senseless + 8..end]) ^ 0x9e37_79b1;
    image.bytes[senseless + 4..senseless + 8].copy_from_slice(&sum.to_le_bytes());
    assert_eq!(record::read(&image.bytes[senseless..], 1), Reading::Broken(Fault::Meaning));
    image.put(&disk);
    assert!(matches!(open(&disk), Err(ScanError::Damaged { fault: Some(Fault::Meaning), .. })));
}

#[test]
fn a_damaged_segment_header_is_reported_and_does_no_harm() {
    let disk = disk();
    let mut first = Image::new(1, 3, 0);
    first.change(5, 1);
    first.seal(2);
    first.put(&disk);
    let mut second = Image::new(2, 3, 1);
    second.change(5, 2);
    second.bytes[17] ^= 1;
    second.put(&disk);
    let found = open(&disk).unwrap();
    assert_eq!((&found.damaged_headers[..], sequences(&found, 5)), (&[2][..], vec![1, 2]));
    assert_eq!((found.segments[1].lane(), found.segments[1].previous()), (3, 1));
}

#[test]
fn segments_that_do_not_count_are_removed() {
    let disk = disk();
    let mut released = Image::new(2, 0, 1);
    released.change(5, 1);
    released.seal(4);
    released.put(&disk);
    let mut head = Image::new(4, 0, 2);
    head.change(5, 2);
    head.put(&disk);
    // Made ready; one of a spare that was another segment before.
    disk.put(&file_name(5), &[0; 4096]);
    let mut again = Image::new(3, 0, 0);
    again.change(5, 1);
    again.number = 6;
    again.put(&disk);
    disk.put("spare-0000000000000001", &[1; 100]);
    let settled = |_| 1;
    let expected = Expected { heads: &[4], last_number: 5 };
    assert_clean(&scan(&disk, expected, &settled, Purpose::Check).unwrap());
    assert_eq!(disk.names().unwrap().len(), 5);
    let found = scan(&disk, expected, &settled, Purpose::Open).unwrap();
    assert_clean(&found);
    assert_eq!((sequences(&found, 5), found.last_number), (vec![2], 6));
    assert_eq!(disk.crash(1).names().unwrap(), [file_name(4)]);
    // A head stays even if it holds nothing yet: the manifest names it.
    disk.put(&file_name(4), &[]);
    assert_eq!(scan(&disk, expected, &settled, Purpose::Open).unwrap().segments.len(), 1);
}

#[test]
fn transactions_are_whole_or_absent() {
    let disk = disk();
    let mut image = Image::new(1, 0, 0);
    image.part(5, 1, 2);
    image.part(6, 1, 1);
    image.part(7, 1, 0);
    let second = image.part(5, 2, 2);
    image.part(6, 2, 1);
    image.put(&disk);
    let found = open(&disk).unwrap();
    assert_eq!((found.cuts.len(), found.cuts[0].offset, found.cuts[0].records), (1, second, 2));
    assert_eq!([5, 6, 7].map(|number| sequences(&found, number)), [[1], [1], [1]]);

    // The same with a hole behind, where the last part was.
    let torn = image.part(7, 2, 0);
    image.change(8, 1);
    image.bytes[torn + 33] ^= 1;
    image.put(&disk);
    let found = open(&disk).unwrap();
    assert_eq!((found.cuts[0].offset, found.cuts[0].records), (second, 3));
    assert_eq!([5, 6, 7].map(|number| sequences(&found, number)), [[1], [1], [1]]);
    assert!(sequences(&found, 8).is_empty());
}

#[test]
fn what_follows_a_lost_tail_goes_and_takes_its_transactions_along() {
    let disk = disk();
    // Lane 0 lost record 2 of slot 5, and shows nothing of it.
    let mut first = Image::new(1, 0, 0);
    first.change(5, 1);
    first.change(9, 3);
    first.put(&disk);
    let mut second = Image::new(2, 1, 0);
    second.change(6, 1);
    second.part(5, 3, 1);
    second.part(6, 2, 0);
    second.part(6, 3, 1);
    second.part(7, 1, 0);
    second.change(8, 1);
    second.change(7, 2);
    second.change(9, 1);
    second.put(&disk);
    let found = open(&disk).unwrap();
    let kept = [5, 6, 7, 8, 9].map(|number| sequences(&found, number));
    assert_eq!(kept, [vec![1], vec![1], vec![], vec![1], vec![1]]);
    assert!(found.needs_settling && found.damage.is_empty());
    assert_eq!((found.dropped_records, found.cuts.len()), (6, 0));
    // Until it is settled, the same is found again.
    assert_eq!(open(&disk).unwrap().dropped_records, 6);
}

#[test]
fn a_gap_before_something_synced_is_damage() {
    let disk = disk();
    let mut image = Image::new(1, 0, 0);
    image.change(5, 1);
    let next = image.change(5, 3);
    image.change(6, 1);
    image.change(6, 1);
    image.mark();
    image.change(5, 4);
    image.put(&disk);
    let found = open(&disk).unwrap();
    let broken: Vec<_> = found.damage.iter().map(|damage| (damage.slot.number(), damage.fault)).collect();
    assert_eq!(broken, [(5, DamageFault::Missing(2)), (6, DamageFault::Missing(2))]);
    assert_eq!(found.damage[0].offset, next);
    assert!(!found.needs_settling);
}

#[test]
fn a_disk_that_does_not_give_its_bytes_is_an_error() {
    let disk = disk();
    disk.put("journal-000000000000000x", b"not ours");
    disk.put("journal-1", b"not ours");
    assert_clean(&open(&disk).unwrap());
    let mut image = Image::new(1, 0, 0);
    image.change(5, 1);
    image.put(&disk);
    disk.fail(crate::log::simulated_disk::Operation::Sync, 0, 1, libc::EIO);
    let error = scan(&disk, Expected::default(), &|_| 0, Purpose::Open).err().unwrap();
    assert!(matches!(error, ScanError::Io { name, .. } if name == file_name(1)));
}

#[test]
fn a_real_disk_is_read_as_it_was_written() {
    let path = std::env::temp_dir().join(format!("cairn-scan-{}", std::process::id()));
    let disk = Arc::new(crate::log::disk::Disk::open(&path).unwrap());
    let mut recovered = Vec::new();
    let (mut first_number, mut last) = (1, 0);
    for life in 0..3 {
        let options = Options { segment_bytes: 64 << 10, first_number, recovered, ..Options::new(2) };
        let journal = Journal::create(Arc::clone(&disk) as Arc<dyn Storage>, options).unwrap();
        for sequence in last + 1..=last + 3000 {
            let arguments: &[&[u8]] = &[b"SET", b"key", &[b'v'; 50]];
            let change = Change { slot: slot(5), database: 0, sequence, time_ms: 1, arguments };
            journal.append((sequence % 2) as usize, &change).unwrap();
        }
        if life == 1 {
            journal.close().unwrap();
        }
        drop(journal);
        let found = scan(&*disk, Expected::default(), &|_| 0, Purpose::Open).unwrap();
        assert_clean(&found);
        last += 3000;
        assert_eq!(sequences(&found, 5), (1..=last).collect::<Vec<_>>());
        (recovered, first_number) = (found.segments, found.last_number + 1);
    }
    drop(recovered);
    std::fs::remove_dir_all(&path).unwrap();
}

/// A journal as a server leaves it that was shut down in good order.
fn closed_journal() -> SimulatedDisk {
    let disk = SimulatedDisk::new(1, 8 << 10);
    let options = Options { segment_bytes: 4096, policy: Policy::No, fill_ahead_bytes: 4096, ..Options::new(2) };
    let journal = Journal::create(Arc::new(disk.clone()), options).unwrap();
    let mut given = [0u64; 3];
    let mut parts = Parts::default();
    for number in 0..12u16 {
        let of = usize::from(number % 3);
        let arguments: &[&[u8]] = &[b"SET", b"key", &[b'v'; 21]];
        given[of] += 1;
        let change = Change { slot: slot(of as u16), database: 0, sequence: given[of], time_ms: 1, arguments };
        if number == 6 {
            journal.cut().unwrap();
        }
        if number % 4 == 3 {
            parts.clear();
            parts.push(&change);
            let other = (of + 1) % 3;
            given[other] += 1;
            parts.push(&Change { slot: slot(other as u16), sequence: given[other], ..change });
            journal.append_all(usize::from(number % 2), &parts).unwrap();
        } else {
            journal.append(usize::from(number % 2), &change).unwrap();
        }
    }
    journal.close().unwrap();
    disk
}

#[test]
fn no_flipped_bit_loses_anything_silently() {
    let whole = closed_journal();
    let found = open(&whole).unwrap();
    assert_clean(&found);
    let names: Vec<String> = whole.names().unwrap();
    let numbers: Vec<u64> = found.segments.iter().map(|segment| segment.number()).collect();
    let expected = [0, 1, 2].map(|number| sequences(&found, number));
    assert_eq!(expected.iter().map(Vec::len).sum::<usize>(), 15);
    assert_eq!(numbers.len(), 4);
    let (mut refused_slots, mut refused_starts, mut reported) = (0, 0, 0);
    for name in names.iter().filter(|name| segment::number_of(name).is_some_and(|number| numbers.contains(&number))) {
        let bytes = whole.contents(name);
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 64;
        for at in 0..used {
            let disk = SimulatedDisk::new(1, 8 << 10);
            names.iter().for_each(|name| disk.put(name, &whole.contents(name)));
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            disk.put(name, &flipped);
            // The heads are those of a manifest from before the cut.
            let outcome = scan(&disk, Expected::default(), &|_| 0, Purpose::Check);
            let Ok(found) = outcome else {
                refused_starts += 1;
                continue;
            };
            for number in 0..3u16 {
                let is_refused = found.damage.iter().any(|damage| damage.slot == slot(number));
                let is_whole = sequences(&found, number) == expected[usize::from(number)];
                assert!(is_refused || is_whole, "{name} at {at}: slot {number} lost something");
            }
            refused_slots += usize::from(!found.damage.is_empty());
            reported += usize::from(!found.cuts.is_empty() || !found.damaged_headers.is_empty());
        }
    }
    assert!(
        refused_slots > 300 && refused_starts > 300 && reported > 100,
        "{refused_slots} {refused_starts} {reported}"
    );
}

#[test]
fn links_that_tangle_are_refused() {
    // Two follow one.
    let disk = disk();
    Image::new(1, 0, 0).put(&disk);
    for number in [2, 3] {
        let mut image = Image::new(number, 0, 1);
        image.change(5, number - 1);
        image.put(&disk);
    }
    assert!(matches!(open(&disk), Err(ScanError::Damaged { segment: 2 | 3, .. })));
    // They follow each other.
    let disk = self::disk();
    for (number, next) in [(1, 2), (2, 1)] {
        let mut image = Image::new(number, 0, next);
        image.bytes[..HEADER_BYTES].fill(0);
        image.change(5, number);
        image.seal(next);
        image.put(&disk);
    }
    assert!(matches!(open(&disk), Err(ScanError::Damaged { .. })));
}

#[test]
fn a_file_without_header_that_is_cut_whole_is_opened_again() {
    let disk = disk();
    let mut image = Image::new(1, 0, 0);
    image.bytes[..HEADER_BYTES].fill(7);
    image.part(5, 1, 1);
    image.put(&disk);
    assert_eq!(open(&disk).unwrap().cuts.len(), 1);
    assert_clean(&open(&disk).unwrap());
}

/// The first sector is still that of an earlier use of the file, the second one is of this use: where the old records
/// end, by their headers, a whole one begins.
#[test]
fn what_an_earlier_use_left_begins_no_transaction() {
    for (open_before, following) in [(0, 1), (0, 3), (2, 1), (2, 2), (2, 0)] {
        let disk = disk();
        let mut image = Image::new(1, 0, 0);
        let first = image.part(4, 1, open_before);
        let stale = image.bytes.len();
        image.number = 7;
        image.part(5, 1, following);
        image.number = 1;
        image.change(6, 1);
        image.part(7, 1, 1);
        image.part(8, 1, 0);
        image.put(&disk);
        let found = open(&disk).unwrap();
        let offset = if open_before > 0 { first } else { stale };
        assert_eq!((found.cuts.len(), found.cuts[0].offset), (1, offset), "{open_before} {following}");
        assert!(sequences(&found, 6).is_empty());
    }
}
