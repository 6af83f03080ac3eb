//! Fuzz target: RDB files, append-only files and their manifests, of any bytes that may lie on a disk.
//!
//! What must hold of every input:
//! - no panic, and no string that is larger than the bytes at hand could stand for;
//! - an error says an offset within the input;
//! - bytes that come one at a time tell the same story as all at once;
//! - what was read and is written again reads as the same, compressed or not.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;

use cairn::rdb::append_only::{AppendOnlyEvent, AppendOnlyReader, Manifest, StreamError, StreamFault};
use cairn::rdb::{Event, Fault, RdbError, RdbReader, RdbWriter, ReadOptions, SavedKey, Value, WriteOptions};

/// What one compressed byte may stand for, at most.
const GROWTH_MAX: usize = 88;

/// Gives one byte at a call.
struct Slowly<'a>(&'a [u8]);

impl Read for Slowly<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let len = out.len().min(1);
        self.0.read(&mut out[..len])
    }
}

#[derive(Debug, Default, PartialEq)]
struct Story {
    keys: Vec<(Vec<u8>, Vec<u8>, Option<u64>, Option<u64>, Option<u8>)>,
    lines: Vec<String>,
}

impl Story {
    fn add(&mut self, event: Event<'_>, bytes: usize) {
        match event {
            Event::Key(SavedKey { key, value: Value::String(value), expiry_ms, idle_seconds, frequency }) => {
                assert!(key.len().max(value.len()) <= bytes * GROWTH_MAX);
                self.keys.push((key.to_vec(), value.to_vec(), expiry_ms, idle_seconds, frequency));
            }
            other => self.lines.push(format!("{other:?}")),
        }
    }

    /// The keys as a file.
    fn written(&self, compression: bool) -> Vec<u8> {
        let mut writer = RdbWriter::new(Vec::new(), WriteOptions { compression, checksum: true }).unwrap();
        for (key, value, expiry_ms, idle_seconds, frequency) in &self.keys {
            let (expiry_ms, idle_seconds, frequency) = (*expiry_ms, *idle_seconds, *frequency);
            writer.key(&SavedKey { key, value: Value::String(value), expiry_ms, idle_seconds, frequency }).unwrap();
        }
        writer.finish().unwrap()
    }
}

fn check_offset(offset: u64, bytes: usize, text: &str) {
    assert!(offset <= bytes as u64, "{text} in {bytes} bytes");
}

fn read_file(from: impl Read, bytes: usize, options: ReadOptions) -> Story {
    let mut story = Story::default();
    let read = || -> Result<(), RdbError> {
        let mut reader = RdbReader::new(from, options)?;
        while !reader.is_done() {
            story.add(reader.next()?, bytes);
        }
        Ok(())
    };
    if let Err(error) = read() {
        check_offset(error.offset, bytes, &error.to_string());
        assert!(!matches!(error.fault, Fault::Io(_)));
        story.lines.push(error.to_string());
    }
    story
}

fn read_commands(from: impl Read, bytes: usize, options: ReadOptions) -> Story {
    let mut story = Story::default();
    let read = || -> Result<(), StreamError> {
        let mut reader = AppendOnlyReader::new(from, options)?;
        while !reader.is_done() {
            match reader.next()? {
                AppendOnlyEvent::Snapshot(event) => story.add(event, bytes),
                AppendOnlyEvent::Command(command) => {
                    assert!(command.arguments().map(<[u8]>::len).sum::<usize>() <= bytes);
                    story.lines.push(format!("{:?}", command.arguments().collect::<Vec<_>>()));
                }
                AppendOnlyEvent::Torn { whole_bytes, bytes: end } => {
                    assert!(whole_bytes <= end && end == bytes as u64);
                    story.lines.push(format!("torn at {whole_bytes}"));
                }
                other => story.lines.push(format!("{other:?}")),
            }
        }
        Ok(())
    };
    if let Err(error) = read() {
        check_offset(error.offset, bytes, &error.to_string());
        assert!(!matches!(error.fault, StreamFault::Io(_)));
        story.lines.push(error.to_string());
    }
    story
}

fuzz_target!(|data: &[u8]| {
    // The first byte says what the rest is.
    let Some((&choice, input)) = data.split_first() else { return };
    // A random checksum is never right: it is looked at only now and then.
    let options = ReadOptions { checksum: choice & 0x80 != 0, string_bytes_max: 1 << 20, ..ReadOptions::default() };
    let headed;
    let input = match choice & 0x40 {
        0 => input,
        _ => {
            headed = [b"REDIS0012", input].concat();
            &headed
        }
    };
    match choice & 3 {
        0 => drop(Manifest::parse(input)),
        1 => {
            let story = read_commands(input, input.len(), options);
            assert_eq!(story, read_commands(Slowly(input), input.len(), options));
        }
        _ => {
            let story = read_file(input, input.len(), options);
            assert_eq!(story, read_file(Slowly(input), input.len(), options));
            for compression in [false, true] {
                let file = story.written(compression);
                let again = read_file(&file[..], file.len(), ReadOptions { checksum: true, ..options });
                assert_eq!(again.lines, ["End"]);
                assert_eq!(again.keys, story.keys);
            }
        }
    }
});
