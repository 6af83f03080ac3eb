//! Directives with a form of their own: save points, output buffer limits, event classes, addresses and so on.

use super::row::{Kind, Reading, Row, Written};
use super::text;
use super::value::{Value, not_a_word, one_line};
use crate::base::number::parse_i64;

/// `save`: after so many seconds, if there were so many changes.
impl Value for Vec<(u64, u64)> {
    fn assign(&mut self, _row: &Row, arguments: &[&str], reading: &mut Reading) -> Result<(), String> {
        let arguments = if arguments == [""] { &[] } else { arguments };
        let points: Option<Vec<(u64, u64)>> = arguments.chunks(2).map(save_point).collect();
        let points = points.ok_or("Invalid save parameters")?;
        // In files the first `save` replaces the defaults and the next ones add to it; an empty one starts over.
        if !reading.from_file || !reading.save_seen || arguments.is_empty() {
            self.clear();
        }
        reading.save_seen = true;
        self.extend(points);
        Ok(())
    }

    fn show(&self, _row: &Row) -> String {
        let points: Vec<String> = self.iter().map(|(seconds, changes)| format!("{seconds} {changes}")).collect();
        points.join(" ")
    }

    fn written(&self, default: &Self, row: &Row) -> Written {
        if self.is_empty() {
            return one_line(row, "\"\"", self != default);
        }
        let lines = self.iter().map(|(seconds, changes)| format!("{} {seconds} {changes}", row.name));
        Written::Together(lines.collect(), self != default)
    }
}

fn save_point(pair: &[&str]) -> Option<(u64, u64)> {
    let [seconds, changes] = pair else {
        return None;
    };
    let seconds = u64::try_from(text::lenient_integer(seconds)?).ok().filter(|seconds| *seconds >= 1)?;
    let changes = u64::try_from(text::lenient_integer(changes)?).ok()?;
    Some((seconds, changes))
}

/// How much unsent output one class of clients may have before it is disconnected; 0 means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutputLimit {
    pub hard_bytes: u64,
    pub soft_bytes: u64,
    pub soft_seconds: u64,
}

/// `client-output-buffer-limit`, by class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimits {
    pub normal: OutputLimit,
    pub replica: OutputLimit,
    pub pubsub: OutputLimit,
}

impl OutputLimits {
    pub const DEFAULT: OutputLimits = OutputLimits {
        normal: OutputLimit { hard_bytes: 0, soft_bytes: 0, soft_seconds: 0 },
        replica: OutputLimit { hard_bytes: 256 << 20, soft_bytes: 64 << 20, soft_seconds: 60 },
        pubsub: OutputLimit { hard_bytes: 32 << 20, soft_bytes: 8 << 20, soft_seconds: 60 },
    };
}

impl Value for OutputLimits {
    fn assign(&mut self, _row: &Row, arguments: &[&str], _reading: &mut Reading) -> Result<(), String> {
        if !arguments.len().is_multiple_of(4) {
            return Err("Wrong number of arguments in buffer limit configuration.".to_string());
        }
        let mut changed = *self;
        for group in arguments.chunks(4) {
            let class = match group[0].to_ascii_lowercase().as_str() {
                "normal" => &mut changed.normal,
                "replica" | "slave" => &mut changed.replica,
                "pubsub" => &mut changed.pubsub,
                _ => {
                    return Err("Invalid client class specified in buffer limit configuration.".to_string());
                }
            };
            let seconds = text::lenient_integer(group[3]).and_then(|seconds| u64::try_from(seconds).ok());
            let (Some(hard_bytes), Some(soft_bytes), Some(soft_seconds)) =
                (text::memory(group[1]), text::memory(group[2]), seconds)
            else {
                return Err("Error in hard, soft or soft_seconds setting in buffer limit configuration.".to_string());
            };
            *class = OutputLimit { hard_bytes, soft_bytes, soft_seconds };
        }
        *self = changed;
        Ok(())
    }

    fn show(&self, _row: &Row) -> String {
        let classes = [("normal", self.normal), ("slave", self.replica), ("pubsub", self.pubsub)];
        let parts = classes
            .map(|(name, limit)| format!("{name} {} {} {}", limit.hard_bytes, limit.soft_bytes, limit.soft_seconds));
        parts.join(" ")
    }

    fn written(&self, default: &Self, row: &Row) -> Written {
        let classes = [
            ("normal", self.normal, default.normal),
            ("replica", self.replica, default.replica),
            ("pubsub", self.pubsub, default.pubsub),
        ];
        let line = |(class, limit, default): (&str, OutputLimit, OutputLimit)| {
            let hard = text::format_memory(limit.hard_bytes);
            let soft = text::format_memory(limit.soft_bytes);
            (format!("{} {class} {hard} {soft} {}", row.name, limit.soft_seconds), limit != default)
        };
        Written::Lines(classes.map(line).to_vec())
    }
}

/// Addresses to listen on. `bind ""` means none.
impl Value for Vec<String> {
    fn assign(&mut self, _row: &Row, arguments: &[&str], _reading: &mut Reading) -> Result<(), String> {
        const ADDRESSES_MAX: usize = 16;
        if arguments.len() > ADDRESSES_MAX {
            return Err("Too many bind addresses specified.".to_string());
        }
        let arguments = if arguments == [""] { &[] } else { arguments };
        *self = arguments.iter().map(|address| address.to_string()).collect();
        Ok(())
    }

    fn show(&self, _row: &Row) -> String {
        self.join(" ")
    }

    fn written(&self, default: &Self, row: &Row) -> Written {
        if self == default {
            return Written::Absent;
        }
        let value = if self.is_empty() { "\"\"".to_string() } else { self.join(" ") };
        one_line(row, &value, true)
    }
}

/// `replicaof`: host and port of the primary.
impl Value for Option<(String, u16)> {
    fn assign(&mut self, _row: &Row, arguments: &[&str], _reading: &mut Reading) -> Result<(), String> {
        let [host, port] = arguments else {
            return Err("wrong number of arguments".to_string());
        };
        if host.eq_ignore_ascii_case("no") && port.eq_ignore_ascii_case("one") {
            *self = None;
            return Ok(());
        }
        let port = text::lenient_integer(port).and_then(|port| u16::try_from(port).ok());
        *self = Some((host.to_string(), port.ok_or("Invalid master port")?));
        Ok(())
    }

    fn show(&self, _row: &Row) -> String {
        self.as_ref().map_or_else(String::new, |(host, port)| format!("{host} {port}"))
    }

    fn written(&self, _default: &Self, row: &Row) -> Written {
        if self.is_none() {
            return Written::Absent;
        }
        one_line(row, &self.show(row), true)
    }
}

/// `oom-score-adj-values`: for a primary, a replica, a background child.
impl Value for [i32; 3] {
    fn assign(&mut self, _row: &Row, arguments: &[&str], _reading: &mut Reading) -> Result<(), String> {
        if arguments.len() != 3 {
            return Err("wrong number of arguments".to_string());
        }
        let mut values = [0; 3];
        for (value, argument) in values.iter_mut().zip(arguments) {
            let number = text::lenient_integer(argument).and_then(|number| i32::try_from(number).ok());
            *value = number
                .filter(|number| (-2000..=2000).contains(number))
                .ok_or("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")?;
        }
        *self = values;
        Ok(())
    }

    fn show(&self, _row: &Row) -> String {
        self.map(|value| value.to_string()).join(" ")
    }
}

/// `latency-tracking-info-percentiles`.
impl Value for Vec<f64> {
    fn assign(&mut self, _row: &Row, arguments: &[&str], _reading: &mut Reading) -> Result<(), String> {
        let arguments = if arguments == [""] { &[] } else { arguments };
        let mut percentiles = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let value: f64 = argument.parse().map_err(|_| "Invalid latency-tracking-info-percentiles parameters")?;
            if !(0.0..=100.0).contains(&value) {
                return Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".to_string());
            }
            percentiles.push(value);
        }
        *self = percentiles;
        Ok(())
    }

    fn show(&self, _row: &Row) -> String {
        let one = |value: &f64| {
            let digits = format!("{value:.6}");
            digits.trim_end_matches('0').trim_end_matches('.').to_string()
        };
        self.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    fn written(&self, default: &Self, row: &Row) -> Written {
        let value = if self.is_empty() { "\"\"".to_string() } else { self.show(row) };
        one_line(row, &value, self != default)
    }
}

/// A memory size, or a share of maxmemory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryOrPercent {
    Bytes(u64),
    Percent(u8),
}

impl MemoryOrPercent {
    /// The limit in bytes, given maxmemory; 0 means no limit.
    pub fn bytes(self, maxmemory_bytes: u64) -> u64 {
        match self {
            MemoryOrPercent::Bytes(bytes) => bytes,
            MemoryOrPercent::Percent(percent) => (u128::from(maxmemory_bytes) * u128::from(percent) / 100) as u64,
        }
    }
}

impl Value for MemoryOrPercent {
    fn assign(&mut self, row: &Row, arguments: &[&str], _reading: &mut Reading) -> Result<(), String> {
        let (Kind::MemoryOrPercent(percent_max), [argument]) = (row.kind, arguments) else {
            return Err("wrong number of arguments".to_string());
        };
        if let Some(bytes) = text::memory(argument) {
            if bytes > i64::MAX as u64 {
                return Err(format!("argument must be between -{percent_max} and {} inclusive", i64::MAX));
            }
            *self = MemoryOrPercent::Bytes(bytes);
            return Ok(());
        }
        let percent =
            argument.strip_suffix('%').and_then(|number| parse_i64(number.as_bytes())).filter(|percent| *percent >= 0);
        let percent = percent.ok_or("argument must be a memory or percent value")?;
        if i128::from(percent) > percent_max {
            return Err(format!("percentage argument must be less or equal to {percent_max}"));
        }
        *self = match percent {
            0 => MemoryOrPercent::Bytes(0),
            percent => MemoryOrPercent::Percent(percent as u8),
        };
        Ok(())
    }

    fn show(&self, _row: &Row) -> String {
        match self {
            MemoryOrPercent::Bytes(bytes) => bytes.to_string(),
            MemoryOrPercent::Percent(percent) => format!("{percent}%"),
        }
    }

    fn written(&self, default: &Self, row: &Row) -> Written {
        let value = match self {
            MemoryOrPercent::Bytes(bytes) => text::format_memory(*bytes),
            MemoryOrPercent::Percent(_) => self.show(row),
        };
        one_line(row, &value, self != default)
    }
}

/// `shutdown-on-sigint` and `shutdown-on-sigterm`. None set means the default behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShutdownFlags {
    pub save: bool,
    pub nosave: bool,
    pub now: bool,
    pub force: bool,
}

impl ShutdownFlags {
    pub const NAMES: &'static [&'static str] = &["default", "save", "nosave", "now", "force"];
}

impl Value for ShutdownFlags {
    fn assign(&mut self, _row: &Row, arguments: &[&str], _reading: &mut Reading) -> Result<(), String> {
        let mut flags = ShutdownFlags::default();
        for argument in arguments {
            match argument.to_ascii_lowercase().as_str() {
                "default" => {}
                "save" => flags.save = true,
                "nosave" => flags.nosave = true,
                "now" => flags.now = true,
                "force" => flags.force = true,
                _ => return Err(not_a_word(Self::NAMES)),
            }
        }
        if arguments.is_empty() {
            return Err(not_a_word(Self::NAMES));
        }
        if flags.save && flags.nosave {
            return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".to_string());
        }
        *self = flags;
        Ok(())
    }

    fn show(&self, _row: &Row) -> String {
        let named = [(self.save, "save"), (self.nosave, "nosave"), (self.now, "now"), (self.force, "force")];
        let set: Vec<&str> = named.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
        if set.is_empty() { "default".to_string() } else { set.join(" ") }
    }
}

/// `notify-keyspace-events`: which classes of events are published, and under which channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyspaceEvents(pub u32);

impl KeyspaceEvents {
    pub const KEYSPACE: u32 = 1;
    pub const KEYEVENT: u32 = 1 << 1;
    pub const GENERIC: u32 = 1 << 2;
    pub const STRING: u32 = 1 << 3;
    pub const LIST: u32 = 1 << 4;
    pub const SET: u32 = 1 << 5;
    pub const HASH: u32 = 1 << 6;
    pub const SORTED_SET: u32 = 1 << 7;
    pub const EXPIRED: u32 = 1 << 8;
    pub const EVICTED: u32 = 1 << 9;
    pub const STREAM: u32 = 1 << 10;
    pub const KEY_MISS: u32 = 1 << 11;
    pub const MODULE: u32 = 1 << 13;
    pub const NEW_KEY: u32 = 1 << 14;
    /// What the letter A stands for; misses and new keys are left out of it on purpose.
    pub const ALL: u32 = Self::GENERIC
        | Self::STRING
        | Self::LIST
        | Self::SET
        | Self::HASH
        | Self::SORTED_SET
        | Self::EXPIRED
        | Self::EVICTED
        | Self::STREAM
        | Self::MODULE;

    /// The letters, in the order in which they are shown.
    const LETTERS: [(char, u32); 14] = [
        ('g', Self::GENERIC),
        ('$', Self::STRING),
        ('l', Self::LIST),
        ('s', Self::SET),
        ('h', Self::HASH),
        ('z', Self::SORTED_SET),
        ('x', Self::EXPIRED),
        ('e', Self::EVICTED),
        ('t', Self::STREAM),
        ('d', Self::MODULE),
        ('n', Self::NEW_KEY),
        ('K', Self::KEYSPACE),
        ('E', Self::KEYEVENT),
        ('m', Self::KEY_MISS),
    ];

    pub fn has(self, class: u32) -> bool {
        self.0 & class != 0
    }
}

impl Value for KeyspaceEvents {
    fn assign(&mut self, _row: &Row, arguments: &[&str], _reading: &mut Reading) -> Result<(), String> {
        let [letters] = arguments else {
            return Err("wrong number of arguments".to_string());
        };
        let mut classes = 0;
        for letter in letters.chars() {
            let known = Self::LETTERS.iter().find(|(name, _)| *name == letter);
            classes |= match known {
                Some((_, class)) => *class,
                None if letter == 'A' => Self::ALL,
                None => {
                    return Err("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".to_string());
                }
            };
        }
        *self = KeyspaceEvents(classes);
        Ok(())
    }

    fn show(&self, _row: &Row) -> String {
        let all = self.0 & Self::ALL == Self::ALL;
        // "A" stands for the first letters of the list; a new-key class beside it would be lost in that form, so it is
        // named after it.
        let mut shown = if all { "A".to_string() } else { String::new() };
        let letters = Self::LETTERS.iter().filter(|(_, class)| self.has(*class));
        shown.extend(letters.filter(|(_, class)| !all || class & Self::ALL == 0).map(|(letter, _)| *letter));
        shown
    }

    fn written(&self, default: &Self, row: &Row) -> Written {
        one_line(row, &text::quote(self.show(row).as_bytes()), self != default)
    }
}

/// Directives that only files know: every line with its arguments.
impl Value for Vec<Vec<String>> {
    fn assign(&mut self, row: &Row, arguments: &[&str], _reading: &mut Reading) -> Result<(), String> {
        let Kind::Repeated(least, most, _) = row.kind else {
            return Err("wrong number of arguments".to_string());
        };
        if !(least..=most).contains(&arguments.len()) {
            return Err("Bad directive or wrong number of arguments".to_string());
        }
        self.push(arguments.iter().map(|argument| argument.to_string()).collect());
        Ok(())
    }

    fn show(&self, _row: &Row) -> String {
        self.iter().map(|line| line.join(" ")).collect::<Vec<_>>().join("\n")
    }

    fn written(&self, _default: &Self, _row: &Row) -> Written {
        Written::Untouched
    }
}
