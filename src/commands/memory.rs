//! Handlers of MEMORY: where memory goes.

use std::sync::atomic::Ordering;

use super::arguments::Arguments;
use super::command::write_help;
use super::context::{Cx, Outcome};
use crate::base::memory::{self, AllocatorUse};
use crate::base::process;
use crate::engine::clients::flag;
use crate::resp::ReplyError;
use crate::store::keyspace::DbCounts;

/// What a key takes in its table, on average, in bytes: its word, and its share of empty words.
const TABLE_BYTES_PER_KEY: usize = 12;
/// Use below which a diagnosis makes no sense.
const DIAGNOSIS_BYTES_MIN: u64 = 5 << 20;
/// Waste below which nothing is said about it.
const WASTE_BYTES_MIN: i64 = 10 << 20;
/// Buffers of the average client above which that is told.
const CLIENT_BYTES_MAX: u64 = 200 << 10;

/// Memory at one moment: what INFO and MEMORY STATS tell.
pub struct Overview {
    pub used_bytes: u64,
    pub allocator: AllocatorUse,
    pub resident_bytes: u64,
    pub peak_bytes: u64,
    pub startup_bytes: u64,
    /// Buffers of clients that are no replicas.
    pub clients_bytes: u64,
    /// Those of replicas, with what the stream keeps for them beyond the backlog.
    pub replicas_bytes: u64,
    /// The replication stream, and its part that is the backlog.
    pub stream_bytes: u64,
    pub backlog_bytes: u64,
    /// The databases that hold keys, by number.
    pub dbs: Vec<(usize, DbCounts)>,
}

impl Overview {
    /// Looks at the allocator and the clients. `counts` is what [`crate::engine::Space::counts`] gave; `used_bytes` is
    /// from before the command took memory to tell of it.
    pub fn take(cx: &Cx<'_>, counts: &[DbCounts], used_bytes: u64) -> Overview {
        let engine = cx.engine();
        let allocator = memory::allocator_use();
        engine.note_used_memory(used_bytes);
        let (mut clients_bytes, surplus_bytes) = (0, engine.stream.surplus_bytes());
        let mut replicas_bytes = surplus_bytes;
        engine.clients.visit(|client| {
            let of_class = if client.has_flag(flag::REPLICA) { &mut replicas_bytes } else { &mut clients_bytes };
            *of_class += client.memory_bytes() as u64;
        });
        let stream_bytes = engine.stream.extent().map_or(0, |extent| extent.bytes);
        let dbs = counts.iter().copied().enumerate().filter(|(_, counts)| counts.keys > 0).collect();
        Overview {
            used_bytes,
            allocator,
            resident_bytes: process::resident_bytes(),
            peak_bytes: engine.stats.used_memory_peak_bytes.get(),
            startup_bytes: engine.startup_memory_bytes.load(Ordering::Relaxed),
            clients_bytes,
            replicas_bytes,
            stream_bytes,
            backlog_bytes: stream_bytes - surplus_bytes.min(stream_bytes),
            dbs,
        }
    }

    pub fn key_count(&self) -> u64 {
        self.dbs.iter().map(|(_, counts)| counts.keys).sum()
    }

    /// What is not data: the process itself, tables, clients, the replication stream.
    pub fn overhead_bytes(&self) -> u64 {
        let tables: u64 = self.dbs.iter().map(|(_, counts)| counts.table_bytes).sum();
        self.startup_bytes + self.clients_bytes + self.replicas_bytes + self.backlog_bytes + tables
    }

    pub fn dataset_bytes(&self) -> u64 {
        self.used_bytes.saturating_sub(self.overhead_bytes())
    }

    /// Use beyond what the process started with, never zero.
    fn net_bytes(&self) -> u64 {
        self.used_bytes.saturating_sub(self.startup_bytes).max(1)
    }

    pub fn dataset_percent(&self) -> f64 {
        self.dataset_bytes() as f64 * 100.0 / self.net_bytes() as f64
    }

    pub fn peak_percent(&self) -> f64 {
        self.used_bytes as f64 * 100.0 / self.peak_bytes.max(1) as f64
    }

    /// Active against allocated.
    pub fn fragmentation(&self) -> Excess {
        Excess::of(self.allocator.active_bytes, self.allocator.allocated_bytes)
    }

    /// Resident, as the allocator knows it, against active.
    pub fn allocator_excess(&self) -> Excess {
        Excess::of(self.allocator.resident_bytes, self.allocator.active_bytes)
    }

    /// Resident, as the system knows it, against what the allocator knows.
    pub fn process_excess(&self) -> Excess {
        Excess::of(self.resident_bytes, self.allocator.resident_bytes)
    }

    /// Resident against allocated.
    pub fn total_excess(&self) -> Excess {
        Excess::of(self.resident_bytes, self.used_bytes)
    }
}

/// One reading against another that it should not much exceed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Excess {
    pub ratio: f64,
    pub bytes: i64,
}

impl Excess {
    fn of(larger: u64, smaller: u64) -> Excess {
        Excess { ratio: larger as f64 / smaller.max(1) as f64, bytes: larger as i64 - smaller as i64 }
    }

    fn is_notable(self, ratio: f64) -> bool {
        self.ratio > ratio && self.bytes > WASTE_BYTES_MIN
    }
}

/// MEMORY USAGE key [SAMPLES count]
pub fn usage(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let mut arguments = Arguments::from(args, 3);
    while !arguments.is_done() {
        if !arguments.option("samples") || arguments.integer() < 0 {
            arguments.fail(ReplyError::Syntax);
        }
    }
    arguments.finish()?;
    match cx.space.look(args[2]) {
        Some(entry) => cx.reply.integer((entry.memory_bytes() + TABLE_BYTES_PER_KEY) as i64),
        None => cx.reply.null(),
    }
    Ok(())
}

/// MEMORY STATS
pub fn stats(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    let used_bytes = memory::used_bytes();
    let counts = cx.space.counts();
    let overview = Overview::take(cx, &counts, used_bytes);
    let keys = overview.key_count();
    let reply = &mut cx.reply;
    reply.map(27 + overview.dbs.len());
    let mut number = |name: &str, value: u64| {
        reply.bulk_text(name);
        reply.integer(value as i64);
    };
    number("peak.allocated", overview.peak_bytes);
    number("total.allocated", overview.used_bytes);
    number("startup.allocated", overview.startup_bytes);
    number("replication.backlog", overview.backlog_bytes);
    number("clients.slaves", overview.replicas_bytes);
    number("clients.normal", overview.clients_bytes);
    number("cluster.links", 0);
    number("aof.buffer", 0);
    number("lua.caches", 0);
    number("functions.caches", 0);
    for (index, counts) in &overview.dbs {
        reply.bulk_text(&format!("db.{index}"));
        reply.map(3);
        // Expiries stand in the entries, and slots are how keys are kept, so neither takes a table of its own.
        for (name, bytes) in [("main", counts.table_bytes), ("expires", 0), ("slot-to-keys", 0)] {
            reply.bulk_text(&format!("overhead.hashtable.{name}"));
            reply.integer(bytes as i64);
        }
    }
    for (name, value) in [
        ("overhead.total", overview.overhead_bytes()),
        ("keys.count", keys),
        ("keys.bytes-per-key", overview.net_bytes().checked_div(keys).unwrap_or(0)),
        ("dataset.bytes", overview.dataset_bytes()),
    ] {
        reply.bulk_text(name);
        reply.integer(value as i64);
    }
    for (name, value) in
        [("dataset.percentage", overview.dataset_percent()), ("peak.percentage", overview.peak_percent())]
    {
        reply.bulk_text(name);
        reply.double(value);
    }
    for (name, value) in [
        ("allocator.allocated", overview.allocator.allocated_bytes),
        ("allocator.active", overview.allocator.active_bytes),
        ("allocator.resident", overview.allocator.resident_bytes),
    ] {
        reply.bulk_text(name);
        reply.integer(value as i64);
    }
    for (ratio_name, bytes_name, excess) in [
        ("allocator-fragmentation.ratio", "allocator-fragmentation.bytes", overview.fragmentation()),
        ("allocator-rss.ratio", "allocator-rss.bytes", overview.allocator_excess()),
        ("rss-overhead.ratio", "rss-overhead.bytes", overview.process_excess()),
        ("fragmentation", "fragmentation.bytes", overview.total_excess()),
    ] {
        reply.bulk_text(ratio_name);
        reply.double(excess.ratio);
        reply.bulk_text(bytes_name);
        reply.integer(excess.bytes);
    }
    Ok(())
}

/// MEMORY DOCTOR
pub fn doctor(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    let used_bytes = memory::used_bytes();
    let counts = cx.space.counts();
    let overview = Overview::take(cx, &counts, used_bytes);
    let clients = cx.engine().clients.count() as u64;
    cx.reply.verbatim("txt", diagnose(&overview, clients));
    Ok(())
}

fn diagnose(overview: &Overview, clients: u64) -> String {
    if overview.used_bytes < DIAGNOSIS_BYTES_MIN {
        return "The server holds next to nothing, so nothing can be said about its memory.\n".to_owned();
    }
    let findings: Vec<&str> = [
        (
            overview.peak_bytes as f64 / overview.used_bytes as f64 > 1.5,
            "Peak: memory use was more than half as large again as it is now. What was freed may stay with the allocator \
             and is used again first; MEMORY PURGE returns unused pages.",
        ),
        (
            overview.total_excess().is_notable(1.4),
            "Resident memory is far above what is in use: after a peak, or because values of changing sizes leave holes.",
        ),
        (
            overview.fragmentation().is_notable(1.1),
            "The allocator's pages are poorly filled: values of changing sizes leave holes.",
        ),
        (
            overview.allocator_excess().is_notable(1.1),
            "The allocator keeps unused pages, as it does for a while after a peak: MEMORY PURGE returns them.",
        ),
        (
            overview.process_excess().is_notable(1.1),
            "The process has much memory that did not come from the allocator.",
        ),
        (
            overview.clients_bytes / clients.max(1) > CLIENT_BYTES_MAX,
            "Client buffers are large: CLIENT LIST shows whose, in the fields qbuf, multi-mem and omem.",
        ),
    ]
    .into_iter()
    .filter_map(|(found, text)| found.then_some(text))
    .collect();
    if findings.is_empty() {
        return "Nothing about the server's memory looks wrong.\n".to_owned();
    }
    findings.iter().map(|text| format!("* {text}\n")).collect()
}

/// MEMORY MALLOC-STATS
pub fn malloc_stats(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    cx.reply.verbatim("txt", memory::allocator_report());
    Ok(())
}

/// MEMORY PURGE
pub fn purge(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    memory::purge_allocator().map_err(|reason| {
        tracing::warn!("MEMORY PURGE failed: {reason}");
        ReplyError::of("ERR Error purging dirty pages")
    })?;
    cx.reply.ok();
    Ok(())
}

/// MEMORY HELP
pub fn help(cx: &mut Cx<'_>, _: &[&[u8]]) -> Outcome {
    write_help(
        &mut cx.reply,
        "MEMORY",
        &[
            "DOCTOR",
            "    Point out problems with memory.",
            "MALLOC-STATS",
            "    Show the allocator's own statistics.",
            "PURGE",
            "    Have the allocator give unused pages back.",
            "STATS",
            "    Tell what memory is used for.",
            "USAGE <key> [SAMPLES <count>]",
            "    Tell the bytes that a key and its value take. Of nested values so many are looked at",
            "    (5 unless given, all with 0).",
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::TestServer;

    #[test]
    fn usage_of_a_key() {
        let mut server = TestServer::new();
        let big = "x".repeat(10_000);
        server.run(&format!("SET big {big}"));
        let usage = server.run("MEMORY USAGE big SAMPLES 0");
        let bytes: usize = usage.trim().trim_start_matches(':').parse().unwrap();
        assert!((10_000..11_000).contains(&bytes), "{usage}");
        server.expect(&[
            ("MEMORY USAGE none", "$-1\r\n"),
            ("MEMORY USAGE big SAMPLES -1", "-ERR syntax error\r\n"),
            ("MEMORY USAGE big SAMPLES x", "-ERR value is not an integer or out of range\r\n"),
            ("MEMORY USAGE big SAMPLES", "-ERR syntax error\r\n"),
            ("MEMORY USAGE big BOGUS 1", "-ERR syntax error\r\n"),
            ("MEMORY PURGE", "+OK\r\n"),
        ]);
    }

    #[test]
    fn stats_count_what_they_announce() {
        let mut server = TestServer::new();
        server.run("SET k v");
        server.run("SELECT 3");
        server.run("SET k v");
        let stats = server.run("MEMORY STATS");
        assert!(stats.starts_with("*58\r\n$14\r\npeak.allocated\r\n:"), "{stats}");
        assert!(stats.contains("$4\r\ndb.3\r\n*6\r\n") && stats.contains("keys.count\r\n:2\r\n"), "{stats}");
        // Two lines a name and a number, three a text; the maps of the databases open with one line each.
        let names = stats.lines().filter(|line| line.contains('.') || *line == "fragmentation").count();
        assert!(names >= 29, "{names}");
        assert!(server.run("MEMORY MALLOC-STATS").contains("jemalloc"));
        assert!(server.run("MEMORY HELP").starts_with("*14\r\n+MEMORY "));
    }

    #[test]
    fn findings() {
        let mib = 1 << 20;
        let allocator = AllocatorUse { allocated_bytes: 100 * mib, active_bytes: 105 * mib, resident_bytes: 110 * mib };
        let sound = || Overview {
            used_bytes: allocator.allocated_bytes,
            allocator,
            resident_bytes: 112 * mib,
            peak_bytes: 101 * mib,
            startup_bytes: mib,
            clients_bytes: 0,
            replicas_bytes: 0,
            stream_bytes: 0,
            backlog_bytes: 0,
            dbs: Vec::new(),
        };
        assert!(diagnose(&sound(), 1).contains("Nothing"));
        assert!(diagnose(&Overview { peak_bytes: 200 * mib, ..sound() }, 1).starts_with("* Peak"));
        let small = AllocatorUse { allocated_bytes: mib, ..allocator };
        assert!(diagnose(&Overview { used_bytes: mib, allocator: small, ..sound() }, 1).contains("next to nothing"));
        let wasteful = Overview { resident_bytes: 200 * mib, clients_bytes: 10 * mib, ..sound() };
        assert_eq!(diagnose(&wasteful, 10).lines().count(), 3);
    }
}
