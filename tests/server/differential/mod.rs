//! The same random commands to the server under test and to redis-server, reply by reply, byte by byte.
//!
//! CAIRN_DIFF_FAMILIES names the families of commands, CAIRN_DIFF_SEED replays a run, CAIRN_DIFF_SECONDS says how long to
//! go on, CAIRN_DIFF_ORACLE names another oracle than /usr/bin/redis-server. A difference is cut down to the few commands
//! that show it before it is reported.

mod alike;
mod commands;
mod coverage;
mod listening;
mod programs;
mod server_templates;
mod templates;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use crate::support::{
    Client, PATIENCE, Protocol, Random, Reply, Server, encode_command, escape, seed_from_environment,
};

use alike::{Queued, alike, made_consumers, unwrapped};
pub use commands::any_command;
use commands::{listening_command, random_command};
use listening::Listener;

/// Commands between two comparisons of everything.
const SEQUENCE: usize = 400;
/// Connections a sequence uses; the highest of them speaks RESP3.
const CONNECTIONS: usize = 3;
/// Connections behind those that listen to channels; the higher of them speaks RESP3.
const LISTENERS: usize = 2;
/// How many different differences to collect before giving up.
const ENOUGH: usize = 12;
/// Both sides bound values alike, so that no random offset makes a huge one, and DUMP without compression, which is free
/// to choose among many forms. The oracle looks `hz` times a second who has waited long enough, and when an error of its
/// own ends it, it ends at once.
const SHARED_OPTIONS: &[&str] =
    &["--proto-max-bulk-len", "1mb", "--rdbcompression", "no", "--hz", "500", "--crash-memcheck-enabled", "no"];

/// How each sequence begins.
const RESET: &[&str] = &[
    "FLUSHALL",
    "CONFIG SET list-max-listpack-size -2 hash-max-listpack-entries 128 zset-max-listpack-entries 128 \
     set-max-intset-entries 512 stream-node-max-entries 100 stream-node-max-bytes 4096 hll-sparse-max-bytes 3000",
    "CONFIG SET slowlog-max-len 128 list-compress-depth 0 lfu-log-factor 10 lfu-decay-time 1 acllog-max-len 128",
    "FUNCTION FLUSH",
    "SCRIPT FLUSH",
    "ACL DELUSER tester",
    "ACL SETUSER limited reset on ~a* %R~b %W~c &news -@all +@read +set +config|get -get +@scripting +@transaction",
    // The oracle knows no packed sets but those of integers, nor this directive.
    "CONFIG SET set-max-listpack-entries 0",
];
/// How each goes on that is sorting.
const RESET_SORTING: &str = "CONFIG SET zset-max-listpack-entries 0";

fn seconds(default: u64) -> Duration {
    let text = std::env::var("CAIRN_DIFF_SECONDS");
    Duration::from_secs(text.map_or(default, |text| text.parse().expect("CAIRN_DIFF_SECONDS is a number")))
}

/// One step of a sequence: who says what.
#[derive(Clone)]
struct Step {
    connection: usize,
    command: Vec<Vec<u8>>,
}

struct Difference {
    /// The step that answered differently; None when only the data differed at the end.
    step: Option<usize>,
    report: String,
}

/// A connection to each side, and what is queued in their transaction.
struct Pair {
    tested: Client,
    oracle: Client,
    queued: Queued,
    protocol: Protocol,
}

struct Sides {
    tested: Server,
    oracle: Server,
}

impl Sides {
    fn connect(&self, protocol: Protocol) -> Pair {
        let (mut tested, mut oracle) = (self.tested.client(), self.oracle.client());
        if protocol == Protocol::Resp3 {
            tested.hello(protocol);
            oracle.hello(protocol);
        }
        Pair { tested, oracle, queued: Queued::default(), protocol }
    }

    /// Runs a whole sequence from empty servers and stops at the first difference.
    fn run(&self, steps: &[Step], sorting: bool) -> Option<Difference> {
        let mut control = self.connect(Protocol::Resp2);
        for line in RESET.iter().chain(sorting.then_some(&RESET_SORTING)) {
            control.ask(&line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>());
        }
        let protocols = [Protocol::Resp2, Protocol::Resp2, Protocol::Resp3];
        let mut pairs: Vec<Pair> = (0..CONNECTIONS).map(|index| self.connect(protocols[index])).collect();
        let mut listeners: Vec<Listener> = (1..=LISTENERS).map(|index| Listener::new(self, protocols[index])).collect();
        let mut outcome = None;
        for (index, step) in steps.iter().enumerate() {
            let report = match step.connection.checked_sub(CONNECTIONS) {
                None => pairs[step.connection].compare(&step.command),
                Some(listener) => listeners[listener].compare(&step.command),
            };
            if let Some(report) = report {
                outcome = Some(Difference { step: Some(index), report });
                break;
            }
        }
        let heard = listeners.iter_mut().find_map(Listener::finish);
        let report = |report| Difference { step: None, report };
        outcome.or(heard.map(report)).or_else(|| control.compare_data().map(report))
    }

    /// Drops steps as long as a difference remains.
    fn shrink(&self, steps: &[Step], sorting: bool, first: Difference) -> (Vec<Step>, Difference) {
        let (mut kept, mut shown) = (steps.to_vec(), first);
        if let Some(last) = shown.step {
            kept.truncate(last + 1);
        }
        let mut piece = kept.len() / 2;
        while piece > 0 {
            let mut start = 0;
            while start < kept.len() {
                let end = (start + piece).min(kept.len());
                let shorter = [&kept[..start], &kept[end..]].concat();
                match self.run(&shorter, sorting) {
                    Some(difference) if !shorter.is_empty() => {
                        kept = shorter;
                        shown = difference;
                        if let Some(last) = shown.step {
                            kept.truncate(last + 1);
                        }
                    }
                    _ => start = end,
                }
            }
            piece /= 2;
        }
        (kept, shown)
    }
}

impl Pair {
    /// Both connections decode replies so from here on.
    fn decode_as(&mut self, protocol: Protocol) {
        self.tested.decode_as(protocol);
        self.oracle.decode_as(protocol);
    }

    fn ask(&mut self, command: &[Vec<u8>]) -> [(Reply, Vec<u8>); 2] {
        let request = encode_command(command);
        self.tested.send(&request);
        self.oracle.send(&request);
        [("tested", &mut self.tested), ("oracle", &mut self.oracle)].map(|(side, client)| {
            loop {
                let reply = client.reply_within(PATIENCE).unwrap_or_else(|| {
                    panic!("the {side} server does not answer {}; queued before: {}", shown(command), self.queued)
                });
                // A shortened CLIENT TRACKING can begin what it should only refuse.
                if !is_invalidation(&reply.0) {
                    return reply;
                }
            }
        })
    }

    /// Sends the command to both; a report when the replies are not alike.
    fn compare(&mut self, command: &[Vec<u8>]) -> Option<String> {
        let name = command[0].to_ascii_uppercase();
        // Inside a transaction the sides cannot be brought to the same state again, nor is it known how to decode. What
        // is configured there holds for the rest of it with the oracle only.
        let is_apart = reads_for_consumer(&unwrapped(command)[0]) || name == b"HELLO" || name == b"CONFIG";
        if self.queued.is_open() && is_apart {
            return None;
        }
        if name == b"HELLO" {
            // Reads errors and arrays of the other protocol as well.
            self.decode_as(Protocol::Resp3);
        }
        let [tested, oracle] = self.ask(command);
        match (name.as_slice(), &oracle.0) {
            (b"HELLO", Reply::Map(_)) => self.protocol = Protocol::Resp3,
            (b"HELLO", Reply::Array(_)) => self.protocol = Protocol::Resp2,
            (b"RESET", Reply::Status(_)) => self.protocol = Protocol::Resp2,
            _ => {}
        }
        self.decode_as(self.protocol);
        let same = tested.1 == oracle.1
            || alike(command, &tested.0, &oracle.0, &self.queued)
            || self.equally_far(command, &tested.0, &oracle.0);
        self.queued.note(command, &oracle.0);
        if !oracle.0.is_error() {
            // 7.0 makes a consumer when it gets its first entry, 7.2 at once.
            made_consumers(command).iter().for_each(|command| drop(self.oracle.command(command)));
        }
        (!same)
            .then(|| format!("{}\n    tested {}\n    oracle {}", shown(command), escape(&tested.1), escape(&oracle.1)))
    }

    /// Whether both found as many places as were asked for, at the same distances: which of those come first that are
    /// equally far depends on how the oracle sorts.
    fn equally_far(&mut self, command: &[Vec<u8>], tested: &Reply, oracle: &Reply) -> bool {
        let is_search = [&b"GEORADIUS"[..], b"GEOSEARCH"]
            .iter()
            .any(|name| command[0].len() >= name.len() && command[0][..name.len()].eq_ignore_ascii_case(name));
        let (Reply::Array(ours), Reply::Array(theirs)) = (tested, oracle) else { return false };
        if !is_search || ours.len() != theirs.len() || self.queued.is_open() {
            return false;
        }
        let distances = |reply: &Reply| -> Vec<String> {
            reply.items().iter().map(|found| format!("{:?}", found.items().get(1))).collect()
        };
        let [ours, theirs] = self.ask(&[command, &[b"WITHDIST".to_vec()]].concat());
        !ours.0.is_error() && !theirs.0.is_error() && distances(&ours.0) == distances(&theirs.0)
    }

    /// Compares every key of every database.
    fn compare_data(&mut self) -> Option<String> {
        for database in 0..16 {
            self.ask(&[b"SELECT".to_vec(), database.to_string().into_bytes()]);
            let everything = [b"KEYS".to_vec(), b"*".to_vec()];
            if let Some(report) = self.compare(&everything) {
                return Some(format!("at the end, database {database}: {report}"));
            }
            let names = self.oracle.command(&everything);
            for name in names.items() {
                let kind = self.oracle.command(&[b"TYPE".to_vec(), name.bytes().to_vec()]);
                let content = match kind {
                    Reply::Status(kind) => content_question(&kind),
                    other => panic!("TYPE answers {other:?}"),
                };
                for question in [content, "TYPE *", "PEXPIRETIME *", "OBJECT ENCODING *"] {
                    let word = |word: &str| if word == "*" { name.bytes().to_vec() } else { word.as_bytes().to_vec() };
                    let command: Vec<Vec<u8>> = question.split(' ').map(word).collect();
                    if let Some(report) = self.compare(&command) {
                        return Some(format!("at the end, database {database}: {report}"));
                    }
                }
            }
        }
        None
    }
}

/// Whether a connection is told, at any time, what changed of the keys that it tracks.
fn is_invalidation(reply: &Reply) -> bool {
    matches!(reply, Reply::Push(items) if items.first() == Some(&Reply::bulk("invalidate")))
}

/// What shows all of a value; `*` stands for its key.
fn content_question(kind: &[u8]) -> &'static str {
    match kind {
        b"list" => "LRANGE * 0 -1",
        b"set" => "SMEMBERS *",
        b"zset" => "ZRANGE * 0 -1 WITHSCORES",
        b"hash" => "HGETALL *",
        b"stream" => "XRANGE * - +",
        _ => "GET *",
    }
}

/// Whether the command works in the name of a consumer, which it makes.
fn reads_for_consumer(name: &[u8]) -> bool {
    [&b"XREADGROUP"[..], b"XCLAIM", b"XAUTOCLAIM"].contains(&name.to_ascii_uppercase().as_slice())
}

fn shown(command: &[Vec<u8>]) -> String {
    command.iter().map(|part| format!("\"{}\"", escape(part))).collect::<Vec<_>>().join(" ")
}

/// What makes two differences the same one: the command's name and what each side answered, roughly.
fn kind_of(steps: &[Step], difference: &Difference) -> String {
    let command = steps.last().map(|step| step.command[0].to_ascii_uppercase()).unwrap_or_default();
    let answers: String =
        difference.report.lines().skip(1).map(|line| line.chars().take(26).collect::<String>()).collect();
    format!("{}{answers}", escape(&command))
}

#[test]
fn random_commands_are_answered_alike() {
    let seed = seed_from_environment("CAIRN_DIFF_SEED");
    println!("CAIRN_DIFF_SEED={seed}");
    let mut sides = Sides { tested: Server::with(SHARED_OPTIONS), oracle: Server::of_oracle(SHARED_OPTIONS) };
    let deadline = Instant::now() + seconds(60);
    let mut random = Random::new(seed);
    let mut found: Vec<(String, String)> = Vec::new();
    let mut compared = 0;
    while Instant::now() < deadline && found.len() < ENOUGH {
        let sorting = random.chance(50);
        let steps: Vec<Step> = (0..SEQUENCE)
            .map(|_| {
                let all = if templates::is_chosen("server") { CONNECTIONS + LISTENERS } else { CONNECTIONS };
                let connection = random.below(all);
                let command = match connection < CONNECTIONS {
                    true => random_command(&mut random, sorting),
                    false => listening_command(&mut random),
                };
                Step { connection, command }
            })
            .collect();
        let difference = match catch_unwind(AssertUnwindSafe(|| sides.run(&steps, sorting))) {
            Ok(None) => {
                compared += steps.len();
                continue;
            }
            Ok(Some(difference)) => difference,
            // What ends the oracle by an error of its own shows nothing.
            Err(_) if !sides.oracle.serves_or_ends() => {
                println!("the oracle ended by itself; another one goes on");
                sides.oracle = Server::of_oracle(SHARED_OPTIONS);
                continue;
            }
            Err(failure) => resume_unwind(failure),
        };
        compared += steps.len();
        let (steps, difference) = sides.shrink(&steps, sorting, difference);
        let kind = kind_of(&steps, &difference);
        if found.iter().all(|(known, _)| *known != kind) {
            let mut report = String::new();
            for step in &steps {
                report += &format!("  {}: {}\n", step.connection, shown(&step.command));
            }
            found.push((kind, format!("{report}  differs: {}", difference.report)));
        }
    }
    println!("{compared} commands compared");
    let reports: Vec<String> = found.into_iter().map(|(_, report)| report).collect();
    assert!(reports.is_empty(), "CAIRN_DIFF_SEED={seed}: {} differences\n{}", reports.len(), reports.join("\n\n"));
}

/// Requests with damaged bytes draw the same bytes from both, protocol errors and closing included.
#[test]
fn damaged_requests_are_answered_alike() {
    let seed = seed_from_environment("CAIRN_DIFF_SEED");
    println!("CAIRN_DIFF_SEED={seed}");
    let mut random = Random::new(seed);
    let sides = Sides { tested: Server::with(SHARED_OPTIONS), oracle: Server::of_oracle(SHARED_OPTIONS) };
    // Words that no single changed byte turns into another command that only the oracle has.
    let valid = [
        encode_command(&["SET", "key", "value"]),
        b"GET key\r\nECHO \"quoted \\x41\"\r\n".to_vec(),
        encode_command(&["EXISTS", "key", "other"]),
        b"*0\r\n\r\n".to_vec(),
        encode_command(&["STRLEN", "key"]),
    ]
    .concat();
    let deadline = Instant::now() + seconds(60) / 15;
    while Instant::now() < deadline {
        let mut bytes = valid.clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len());
            // No zero bytes: to the oracle they end a line of an inline request, which is nothing to imitate.
            match random.below(4) {
                0 => bytes[at] = (random.next() as u8).max(1),
                1 => bytes[at] = random.pick(b"*$0123456789-+\r\n\"'\\ "),
                2 => bytes.insert(at, random.pick(b"*$0123456789-+\r\n\"'\\ ")),
                _ => {
                    bytes.remove(at);
                }
            }
        }
        let answers = [&sides.tested, &sides.oracle].map(|server| {
            let mut client = server.client();
            client.run("FLUSHALL");
            client.send(&bytes);
            client.finish_sending();
            client.until_closed()
        });
        let [tested, oracle] = answers;
        assert_eq!(escape(&tested), escape(&oracle), "CAIRN_DIFF_SEED={seed}: after {}", escape(&bytes));
    }
}
