//! One connection's stream of random changes, with what was acknowledged and what is in flight.
//!
//! Every writer has keys of its own in a database that all share, and two databases of its own, so that its part of the
//! data set depends on nobody else, while slots, journal and snapshots are shared. On one connection commands run in
//! order, so after a crash the writer's part must be as after some number of its commands: no fewer than were
//! acknowledged, and none by half.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use super::model::{Model, Step};
use crate::support::{Client, Dataset, Random, Reply, encode_command, escape};

pub const WRITERS: usize = 4;
const SHARED_DATABASE: usize = 0;
const KEYS: usize = 30;
const BRIEF_KEYS: usize = 5;
const LONGEST_VALUE: usize = 20_000;
const LARGEST_BATCH: usize = 64;

/// Commands that take effect together, as they go over the wire.
struct Operation {
    request: Vec<u8>,
    replies: usize,
    steps: Vec<Step>,
    sent_ms: i64,
}

pub struct Writer {
    number: usize,
    random: Random,
    acknowledged: Model,
    in_flight: VecDeque<Operation>,
    /// The acknowledged state and all that is in flight: what the next command will find.
    projected: Model,
    /// The connection's database.
    selected: usize,
    pub acknowledged_count: u64,
}

pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

fn words(text: &str) -> Vec<Vec<u8>> {
    text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

impl Writer {
    pub fn new(number: usize, seed: u64) -> Writer {
        Writer {
            number,
            random: Random::new(seed),
            acknowledged: Model::default(),
            in_flight: VecDeque::new(),
            projected: Model::default(),
            selected: 0,
            acknowledged_count: 0,
        }
    }

    /// The two databases that nobody else uses.
    fn own_databases(&self) -> [usize; 2] {
        [1 + 2 * self.number, 2 + 2 * self.number]
    }

    /// Sends batches and takes their replies until the connection ends.
    pub fn run(&mut self, client: &mut Client) {
        self.selected = 0;
        loop {
            let mut request = Vec::new();
            for _ in 0..1 + self.random.below(LARGEST_BATCH) {
                let operation = self.next_operation();
                request.extend_from_slice(&operation.request);
                self.in_flight.push_back(operation);
            }
            if client.try_send(&request).is_err() {
                // What the server answered before it ended may still be there to read.
                self.take_replies(client);
                return;
            }
            if !self.take_replies(client) {
                return;
            }
        }
    }

    /// Takes replies to all that is in flight; false when the connection ended before.
    fn take_replies(&mut self, client: &mut Client) -> bool {
        while let Some(operation) = self.in_flight.front() {
            for _ in 0..operation.replies {
                let Some(reply) = client.try_reply() else {
                    return false;
                };
                let failed = match &reply {
                    Reply::Array(items) => items.iter().any(Reply::is_error),
                    other => other.is_error(),
                };
                assert!(!failed, "{} => {reply:?}", escape(&operation.request));
            }
            let operation = self.in_flight.pop_front().expect("the one just answered");
            let between_ms = (operation.sent_ms, now_ms());
            operation.steps.iter().for_each(|step| self.acknowledged.apply(step, between_ms));
            self.acknowledged_count += 1;
        }
        true
    }

    /// Whether a key is this writer's.
    fn owns(&self, database: usize, key: &[u8]) -> bool {
        let own = self.own_databases().contains(&database);
        let named = format!("w{}:", self.number);
        own || database == SHARED_DATABASE && key.windows(named.len()).any(|window| window == named.as_bytes())
    }

    /// Finds how many of the commands in flight took effect before the server ended at `ended_ms`, and goes on from
    /// what was found. The data set was read between the two times.
    pub fn settle(&mut self, all: &Dataset, ended_ms: i64, between_ms: (i64, i64)) -> Result<usize, String> {
        let of_writer = all.iter().filter(|((database, key), _)| self.owns(*database, key));
        let found: Dataset = of_writer.map(|(place, stored)| (place.clone(), stored.clone())).collect();
        let mut state = self.acknowledged.clone();
        let mut closest = state.differences(&found, between_ms);
        let mut closest_at = 0;
        for taken in 0..=self.in_flight.len() {
            if taken > 0 {
                let operation = &self.in_flight[taken - 1];
                operation.steps.iter().for_each(|step| state.apply(step, (operation.sent_ms, ended_ms)));
            }
            let wrong = state.differences(&found, between_ms);
            if wrong.is_empty() {
                self.in_flight.clear();
                self.acknowledged = Model::of(&found);
                self.projected = self.acknowledged.clone();
                return Ok(taken);
            }
            if wrong.len() < closest.len() {
                (closest, closest_at) = (wrong, taken);
            }
        }
        let show = |operation: &Operation| format!("    {}", escape(&operation.request));
        let sent: Vec<String> = self.in_flight.iter().map(show).collect();
        closest.truncate(8);
        Err(format!(
            "writer {}: the data set is that after none of the {} commands in flight; closest after {closest_at}:\n  {}\n  in flight:\n{}",
            self.number,
            self.in_flight.len(),
            closest.join("\n  "),
            sent.join("\n")
        ))
    }

    fn next_operation(&mut self) -> Operation {
        let mut operation = Operation { request: Vec::new(), replies: 0, steps: Vec::new(), sent_ms: now_ms() };
        if self.random.chance(10) {
            self.add(&mut operation, &words("MULTI"));
            for _ in 0..1 + self.random.below(6) {
                self.add_change(&mut operation);
            }
            self.add(&mut operation, &words("EXEC"));
        } else {
            self.add_change(&mut operation);
        }
        operation
    }

    fn add(&mut self, operation: &mut Operation, arguments: &[Vec<u8>]) {
        operation.request.extend_from_slice(&encode_command(arguments));
        operation.replies += 1;
    }

    fn add_change(&mut self, operation: &mut Operation) {
        let [first, second] = self.own_databases();
        let database = self.random.pick(&[SHARED_DATABASE, SHARED_DATABASE, first, second]);
        if self.selected != database {
            self.selected = database;
            self.add(operation, &words(&format!("SELECT {database}")));
        }
        let step = Step { database, arguments: self.change(database) };
        self.add(operation, &step.arguments);
        let now = now_ms();
        self.projected.apply(&step, (now, now));
        operation.steps.push(step);
    }

    /// A third of the keys share one slot with those of all other writers.
    fn key(&mut self) -> Vec<u8> {
        let number = self.random.below(KEYS);
        let tag = if number.is_multiple_of(3) { "{all}" } else { "" };
        format!("{tag}w{}:{number}", self.number).into_bytes()
    }

    fn value(&mut self) -> Vec<u8> {
        let length = match self.random.below(100) {
            0..2 => 0,
            2..50 => self.random.below(20),
            50..93 => 20 + self.random.below(200),
            93..99 => 200 + self.random.below(5_000),
            _ => self.random.below(LONGEST_VALUE),
        };
        let mut value = Vec::with_capacity(length + 8);
        while value.len() < length {
            value.extend_from_slice(&self.random.next().to_le_bytes());
        }
        value.truncate(length);
        value
    }

    /// A command that succeeds on what it will find in this database.
    fn change(&mut self, database: usize) -> Vec<Vec<u8>> {
        let [first, second] = self.own_databases();
        let own = database != SHARED_DATABASE;
        let key = self.key();
        let held = self.projected.database(database).get(&key).cloned();
        let length = held.as_ref().map_or(0, |entry| entry.value.len());
        let far_ms = now_ms() + self.random.between(10_000_000, 90_000_000);
        let command = |name: &str, arguments: &[&[u8]]| {
            let mut all = vec![name.as_bytes().to_vec()];
            all.extend(arguments.iter().map(|argument| argument.to_vec()));
            all
        };
        let number = |value: i64| value.to_string().into_bytes();
        match self.random.below(100) {
            0..5 => {
                // Keys that soon expire are only ever set, so that no other command's outcome hangs on the moment.
                let brief = format!("w{}:brief:{}", self.number, self.random.below(BRIEF_KEYS));
                let (value, life) = (self.value(), number(self.random.between(1, 400)));
                command("SET", &[brief.as_bytes(), &value, b"PX", &life])
            }
            5..10 => command("SET", &[&key, &self.value(), b"PXAT", &number(far_ms)]),
            10..25 if length < LONGEST_VALUE => command("APPEND", &[&key, &self.value()]),
            25..33 => {
                let counter = format!("w{}:count:{}", self.number, self.random.below(4));
                command("INCRBY", &[counter.as_bytes(), &number(self.random.between(-1_000, 1_000))])
            }
            33..38 => command("DEL", &[&key, &self.key(), &self.key()]),
            38..40 => command("UNLINK", &[&key]),
            40..42 => command("GETDEL", &[&key]),
            42..47 => command("PEXPIRE", &[&key, &number(self.random.between(10_000_000, 90_000_000))]),
            47..50 => command("PEXPIREAT", &[&key, &number(far_ms)]),
            50..53 => command("PERSIST", &[&key]),
            53..60 if held.is_some() => command("RENAME", &[&key, &self.key()]),
            60..65 if held.is_some() => {
                let target = self.random.pick(&[SHARED_DATABASE, first, second]);
                let mut other = self.key();
                while target == database && other == key {
                    other = self.key();
                }
                command("COPY", &[&key, &other, b"DB", &number(target as i64), b"REPLACE"])
            }
            65..68 if held.is_some() => {
                let target = self.random.pick(&[SHARED_DATABASE, first, second]);
                if target == database {
                    return command("SET", &[&key, &self.value()]);
                }
                command("MOVE", &[&key, &number(target as i64)])
            }
            68..75 => {
                let (second_key, third_key) = (self.key(), self.key());
                command("MSET", &[&key, &self.value(), &second_key, &self.value(), &third_key, &self.value()])
            }
            75..80 => command("SETRANGE", &[&key, &number(self.random.between(0, 2_000)), b"a patch"]),
            80..83 => {
                let bit = number(self.random.between(0, 1));
                command("SETBIT", &[&key, &number(self.random.between(0, 9_000)), &bit])
            }
            83..87 => {
                let operator = self.random.pick(&["AND", "OR", "XOR"]);
                command("BITOP", &[operator.as_bytes(), &key, &self.key(), &self.key()])
            }
            87 if own => command("FLUSHDB", &[]),
            88..90 if own => command("SWAPDB", &[&number(first as i64), &number(second as i64)]),
            _ => command("SET", &[&key, &self.value()]),
        }
    }
}
