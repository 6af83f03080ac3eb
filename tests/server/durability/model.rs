//! What one writer's part of the data set must be: maps of byte strings with the times between which each expires.

use std::collections::BTreeMap;

use crate::support::{Dataset, escape};

/// How far the server's idea of the present may be from ours.
const CLOCK_SLACK_MS: i64 = 50;

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub value: Vec<u8>,
    /// The earliest and the latest that it may expire, in milliseconds since 1970: a relative expiry counts from when
    /// the server ran the command.
    pub expiry: Option<(i64, i64)>,
}

pub type Database = BTreeMap<Vec<u8>, Entry>;

/// By number of the database; only those that the writer uses.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub databases: BTreeMap<usize, Database>,
}

/// One command, and the database it runs in.
pub struct Step {
    pub database: usize,
    pub arguments: Vec<Vec<u8>>,
}

impl Model {
    pub fn database(&mut self, number: usize) -> &mut Database {
        self.databases.entry(number).or_default()
    }

    /// Moves the model along. The command ran between the two times. Only commands that succeed are asked for.
    pub fn apply(&mut self, step: &Step, between_ms: (i64, i64)) {
        let name = std::str::from_utf8(&step.arguments[0]).expect("a command's name");
        let argument = |index: usize| step.arguments[index].as_slice();
        let number = |index: usize| {
            let text = std::str::from_utf8(argument(index)).expect("a number");
            text.parse::<i64>().unwrap_or_else(|_| panic!("not a number: {text}"))
        };
        let here = step.database;
        match name {
            "SET" => {
                let expiry = match step.arguments.get(3).map(Vec::as_slice) {
                    None => None,
                    Some(b"PX") => Some((between_ms.0 + number(4), between_ms.1 + number(4))),
                    Some(b"PXAT") => Some((number(4), number(4))),
                    Some(other) => panic!("SET with {}", escape(other)),
                };
                self.put(here, argument(1), argument(2).to_vec(), expiry);
            }
            "MSET" => step.arguments[1..].chunks(2).for_each(|pair| self.put(here, &pair[0], pair[1].clone(), None)),
            "APPEND" => self.modify(here, argument(1), |value| value.extend_from_slice(argument(2))),
            "INCRBY" => self.modify(here, argument(1), |value| {
                let old: i64 = std::str::from_utf8(value).expect("digits").parse().unwrap_or(0);
                *value = (old + number(2)).to_string().into_bytes();
            }),
            "SETRANGE" => self.modify(here, argument(1), |value| {
                let (offset, patch) = (number(2) as usize, argument(3));
                value.resize(value.len().max(offset + patch.len()), 0);
                value[offset..offset + patch.len()].copy_from_slice(patch);
            }),
            "SETBIT" => self.modify(here, argument(1), |value| {
                let (byte, shift) = (number(2) as usize / 8, 7 - number(2) as usize % 8);
                value.resize(value.len().max(byte + 1), 0);
                value[byte] = value[byte] & !(1 << shift) | (number(3) as u8) << shift;
            }),
            "BITOP" => self.combine(step),
            "DEL" | "UNLINK" | "GETDEL" => step.arguments[1..].iter().for_each(|key| {
                self.database(here).remove(key);
            }),
            "PEXPIRE" => self.expire(here, argument(1), Some((between_ms.0 + number(2), between_ms.1 + number(2)))),
            "PEXPIREAT" => self.expire(here, argument(1), Some((number(2), number(2)))),
            "PERSIST" => self.expire(here, argument(1), None),
            "RENAME" => {
                let entry = self.database(here).remove(argument(1)).expect("a key to rename");
                self.database(here).insert(argument(2).to_vec(), entry);
            }
            "COPY" => {
                let entry = self.database(here)[argument(1)].clone();
                self.database(number(4) as usize).insert(argument(2).to_vec(), entry);
            }
            "MOVE" => {
                let target = number(2) as usize;
                if !self.database(target).contains_key(argument(1)) {
                    let entry = self.database(here).remove(argument(1)).expect("a key to move");
                    self.database(target).insert(argument(1).to_vec(), entry);
                }
            }
            "FLUSHDB" => self.database(here).clear(),
            "SWAPDB" => {
                let (one, other) = (number(1) as usize, number(2) as usize);
                let taken = std::mem::take(self.database(one));
                let moved = std::mem::replace(self.database(other), taken);
                *self.database(one) = moved;
            }
            other => panic!("the model does not know {other}"),
        }
    }

    fn put(&mut self, database: usize, key: &[u8], value: Vec<u8>, expiry: Option<(i64, i64)>) {
        self.database(database).insert(key.to_vec(), Entry { value, expiry });
    }

    /// Changes a value, of a new key if need be, and keeps its expiry.
    fn modify(&mut self, database: usize, key: &[u8], change: impl FnOnce(&mut Vec<u8>)) {
        let entry = self.database(database).entry(key.to_vec());
        change(&mut entry.or_insert(Entry { value: Vec::new(), expiry: None }).value);
    }

    fn expire(&mut self, database: usize, key: &[u8], expiry: Option<(i64, i64)>) {
        if let Some(entry) = self.database(database).get_mut(key) {
            entry.expiry = expiry;
        }
    }

    /// BITOP AND|OR|XOR destination source source
    fn combine(&mut self, step: &Step) {
        let database = self.database(step.database);
        let source =
            |index: usize| database.get(&step.arguments[index]).map_or(Vec::new(), |entry| entry.value.clone());
        let (mut one, mut other) = (source(3), source(4));
        let length = one.len().max(other.len());
        one.resize(length, 0);
        other.resize(length, 0);
        for (byte, with) in one.iter_mut().zip(&other) {
            match step.arguments[1].as_slice() {
                b"AND" => *byte &= with,
                b"OR" => *byte |= with,
                b"XOR" => *byte ^= with,
                other => panic!("BITOP {}", escape(other)),
            }
        }
        if length == 0 {
            database.remove(&step.arguments[2]);
        } else {
            database.insert(step.arguments[2].clone(), Entry { value: one, expiry: None });
        }
    }

    /// What is wrong with the data set that was read between the two times; nothing if it can be this model's.
    pub fn differences(&self, found: &Dataset, between_ms: (i64, i64)) -> Vec<String> {
        let mut wrong = Vec::new();
        let entries = self
            .databases
            .iter()
            .flat_map(|(number, database)| database.iter().map(move |(key, entry)| ((*number, key.clone()), entry)));
        let mut known = 0;
        for (place, entry) in entries {
            let stored = found.get(&place);
            known += usize::from(stored.is_some());
            let (earliest, latest) = entry.expiry.unwrap_or((i64::MAX, i64::MAX));
            let named = || format!("database {}, {}", place.0, escape(&place.1));
            match stored {
                None if earliest.saturating_sub(CLOCK_SLACK_MS) > between_ms.1 => {
                    wrong.push(format!("{} is missing: \"{}\" {:?}", named(), escape(&entry.value), entry.expiry));
                }
                None => {}
                Some(stored) => {
                    let in_time = match (stored.expires_at_ms, entry.expiry) {
                        (None, None) => true,
                        (Some(at), Some(_)) => at >= earliest - CLOCK_SLACK_MS && at <= latest + CLOCK_SLACK_MS,
                        _ => false,
                    };
                    let overdue = stored.expires_at_ms.is_some_and(|at| at < between_ms.0);
                    if stored.value != entry.value || !in_time || overdue {
                        wrong.push(format!(
                            "{} is \"{}\" {:?}, not \"{}\" {:?}",
                            named(),
                            escape(&stored.value),
                            stored.expires_at_ms,
                            escape(&entry.value),
                            entry.expiry
                        ));
                    }
                }
            }
        }
        if known != found.len() {
            let held =
                |number: &usize, key: &Vec<u8>| self.databases.get(number).is_some_and(|map| map.contains_key(key));
            for ((number, key), stored) in found.iter().filter(|((number, key), _)| !held(number, key)) {
                wrong.push(format!(
                    "database {number}, {} should not be: \"{}\" {:?}",
                    escape(key),
                    escape(&stored.value),
                    stored.expires_at_ms
                ));
            }
        }
        wrong
    }

    /// The model of what was found: from here on every expiry is known exactly.
    pub fn of(found: &Dataset) -> Model {
        let mut model = Model::default();
        for ((database, key), stored) in found {
            let expiry = stored.expires_at_ms.map(|at| (at, at));
            model.database(*database).insert(key.clone(), Entry { value: stored.value.clone(), expiry });
        }
        model
    }
}
