//! INFO: the server's state as lines of `name:value`, in sections.
//!
//! Exporters and clients read these names, so every name of Redis is there, with zero where Cairn has nothing of the
//! kind. Sections come in a fixed order whatever order they are asked for.

use std::fmt::{Display, Write};
use std::sync::atomic::Ordering;

use super::context::{Cx, Outcome};
use super::latency;
use super::memory::Overview;
use super::registry;
use crate::base::key_slot::SlotId;
use crate::base::process::{self, CpuTime, CpuUser};
use crate::base::version::{CAIRN_VERSION, REDIS_VERSION};
use crate::base::{clock, memory};
use crate::config::choices::{Choice, Supervised};
use crate::engine::clients::flag;
use crate::engine::following::{Stage, Status};
use crate::engine::persistence::JobKind;
use crate::engine::pubsub::Kind;
use crate::engine::replicas::Phase;
use crate::metrics::rates::Rate;
use crate::store::access::AccessClock;
use crate::store::keyspace::DbCounts;
use crate::store::reclaim::RECLAIMER;

/// Slots that could not be loaded are listed up to this number.
const REFUSED_SLOTS_SHOWN_MAX: usize = 32;

/// A section: its name as it is asked for, the other name it answers to, whether it is shown by default, its lines.
struct Section {
    name: &'static str,
    alias: Option<&'static str>,
    by_default: bool,
    write: fn(&mut Cx<'_>, &mut Text),
}

const fn section(name: &'static str, by_default: bool, write: fn(&mut Cx<'_>, &mut Text)) -> Section {
    Section { name, alias: None, by_default, write }
}

static SECTIONS: &[Section] = &[
    section("server", true, server),
    section("clients", true, clients),
    section("memory", true, memory),
    section("persistence", true, persistence),
    section("stats", true, stats),
    section("replication", true, replication),
    section("cpu", true, cpu),
    Section { name: "modules", alias: Some("module_list"), by_default: true, write: modules },
    section("commandstats", false, command_stats),
    section("errorstats", true, error_stats),
    section("latencystats", false, latency_stats),
    section("cluster", true, cluster),
    section("keyspace", true, keyspace),
    section("debug", false, debug),
];

/// INFO [section ...]
pub fn info(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let used_bytes = crate::base::memory::used_bytes();
    let mut text = Text { lines: String::with_capacity(8 * 1024), counts: None, used_bytes };
    for section in SECTIONS.iter().filter(|section| is_wanted(section, &args[1..])) {
        if !text.lines.is_empty() {
            text.lines.push_str("\r\n");
        }
        (section.write)(cx, &mut text);
    }
    cx.reply.verbatim("txt", &text.lines);
    Ok(())
}

fn is_wanted(section: &Section, asked: &[&[u8]]) -> bool {
    let is_asked = |name: &str| asked.iter().any(|word| word.eq_ignore_ascii_case(name.as_bytes()));
    let is_all = (is_asked("all") || is_asked("everything")) && section.name != "debug";
    let is_default = asked.is_empty() || is_asked("default");
    is_all || is_default && section.by_default || is_asked(section.name) || section.alias.is_some_and(is_asked)
}

/// The text under way. Writing to a string cannot fail, so results are dropped.
struct Text {
    lines: String,
    /// What several sections tell of; a walk over all slots, so it is made once.
    counts: Option<Vec<DbCounts>>,
    /// What the process used before the text took its part.
    used_bytes: u64,
}

impl Text {
    fn heading(&mut self, name: &str) {
        let _ = write!(self.lines, "# {name}\r\n");
    }

    fn field(&mut self, name: &str, value: impl Display) {
        let _ = write!(self.lines, "{name}:{value}\r\n");
    }

    fn zeros(&mut self, names: &[&str]) {
        names.iter().for_each(|name| self.field(name, 0));
    }

    fn ratio(&mut self, name: &str, value: f64) {
        let _ = write!(self.lines, "{name}:{value:.2}\r\n");
    }

    /// Bytes, and once more for people to read.
    fn bytes(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        let _ = write!(self.lines, "{name}_human:{}\r\n", human(bytes));
    }
}

/// Bytes in the largest unit that leaves something before the point.
fn human(bytes: u64) -> String {
    const UNITS: [char; 5] = ['K', 'M', 'G', 'T', 'P'];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let power = (bytes.ilog2() / 10).min(UNITS.len() as u32);
    format!("{:.2}{}", bytes as f64 / (1u64 << (10 * power)) as f64, UNITS[power as usize - 1])
}

// ---- sections, in their order ------------------------------------------------------------------------------------

fn server(cx: &mut Cx<'_>, text: &mut Text) {
    let (engine, config) = (cx.engine(), cx.config());
    let uptime_seconds = cx.space.now_ms.saturating_sub(engine.started_ms) / 1000;
    let supervised = if config.supervised == Supervised::No { "no" } else { config.supervised.word() };
    text.heading("Server");
    text.field("redis_version", REDIS_VERSION);
    text.field("cairn_version", CAIRN_VERSION);
    text.field("redis_git_sha1", "00000000");
    text.field("redis_git_dirty", 0);
    text.field("redis_build_id", "0000000000000000");
    text.field("redis_mode", if config.cluster_enabled { "cluster" } else { "standalone" });
    text.field("os", process::system_name());
    text.field("arch_bits", usize::BITS);
    text.field("monotonic_clock", "TSC or clock_gettime");
    text.field("multiplexing_api", "epoll");
    text.field("atomicvar_api", "rust-core");
    text.field("gcc_version", "0.0.0");
    text.field("process_id", std::process::id());
    text.field("process_supervised", supervised);
    text.field("run_id", &engine.run_id);
    text.field("tcp_port", config.port);
    text.field("server_time_usec", clock::unix_us());
    text.field("uptime_in_seconds", uptime_seconds);
    text.field("uptime_in_days", uptime_seconds / 86_400);
    text.field("hz", config.hz);
    text.field("configured_hz", config.hz);
    text.field("lru_clock", AccessClock::at(cx.space.now_ms, None).fresh());
    text.field("executable", process::executable());
    text.field("config_file", engine.config.file().map_or(String::new(), |path| path.to_string_lossy().into_owned()));
    text.field("io_threads_active", u8::from(engine.workers.len() > 1));
    text.field("workers", engine.workers.len());
    if config.port != 0 && !config.bind.is_empty() {
        text.field("listener0", format!("name=tcp,bind={},port={}", config.bind.join(",bind="), config.port));
    }
    if !config.unixsocket.is_empty() {
        text.field("listener1", format!("name=unix,bind={}", config.unixsocket));
    }
}

fn clients(cx: &mut Cx<'_>, text: &mut Text) {
    let engine = cx.engine();
    let (mut input_bytes_max, mut output_bytes_max, mut blocked) = (0, 0, 0);
    engine.clients.visit(|client| {
        input_bytes_max = input_bytes_max.max(client.query_buffer_bytes.load(Ordering::Relaxed));
        output_bytes_max = output_bytes_max.max(client.output_bytes.load(Ordering::Relaxed));
        blocked += u32::from(client.has_flag(flag::BLOCKED));
    });
    text.heading("Clients");
    text.field("connected_clients", engine.clients.count());
    text.field("cluster_connections", 0);
    text.field("maxclients", cx.config().maxclients);
    text.field("client_recent_max_input_buffer", input_bytes_max);
    text.field("client_recent_max_output_buffer", output_bytes_max);
    text.field("blocked_clients", blocked);
    let waits = Waits::count(cx, blocked > 0);
    text.field("tracking_clients", cx.engine().tracking.client_count());
    text.field("clients_in_timeout_table", waits.with_timeout);
    text.field("total_blocking_keys", waits.keys);
    text.field("total_blocking_keys_on_nokey", waits.keys_minded);
}

/// What clients wait for.
#[derive(Default)]
struct Waits {
    /// Clients that do not wait for ever.
    with_timeout: usize,
    keys: usize,
    /// Keys whose end would end a wait.
    keys_minded: usize,
}

impl Waits {
    /// `any`: whether there is anything to count.
    fn count(cx: &mut Cx<'_>, any: bool) -> Waits {
        let mut waits = Waits::default();
        if !any {
            return waits;
        }
        cx.engine().clients.visit(|client| {
            let waiter = client.waiter.lock();
            waits.with_timeout += usize::from(waiter.as_ref().is_some_and(|waiter| waiter.wait.until_ms.is_some()));
        });
        for id in SlotId::all() {
            cx.space.look_at_slot(id, |slot| {
                for (_, _, minded) in slot.waiters().into_iter().flat_map(|waiters| waiters.keys()) {
                    waits.keys += 1;
                    waits.keys_minded += usize::from(minded);
                }
            });
        }
        waits
    }
}

/// What scripts and functions take. They share a state on each worker: the largest is told of, and the sum.
fn write_scripts(text: &mut Text, engine: &crate::engine::Engine) {
    let (states_bytes, all_bytes) = engine.script_engine.get().map_or((0, 0), |scripts| scripts.memory_bytes());
    let (scripts, scripts_bytes) = engine.scripts.size();
    let libraries = engine.libraries.current();
    let functions_bytes: usize = libraries.libraries().map(|library| library.code.code.len()).sum();
    text.field("used_memory_lua", states_bytes);
    text.field("used_memory_vm_eval", states_bytes);
    text.field("used_memory_lua_human", human(states_bytes));
    text.field("used_memory_scripts_eval", scripts_bytes);
    text.field("number_of_cached_scripts", scripts);
    text.field("number_of_functions", libraries.function_count());
    text.field("number_of_libraries", libraries.libraries().len());
    text.field("used_memory_vm_functions", 0);
    text.bytes("used_memory_vm_total", all_bytes);
    text.field("used_memory_functions", functions_bytes);
    text.bytes("used_memory_scripts", (scripts_bytes + functions_bytes) as u64);
}

fn memory(cx: &mut Cx<'_>, text: &mut Text) {
    let counts = text.counts.get_or_insert_with(|| cx.space.counts());
    let overview = Overview::take(cx, counts, text.used_bytes);
    let config = cx.config();
    text.heading("Memory");
    text.bytes("used_memory", overview.used_bytes);
    text.bytes("used_memory_rss", overview.resident_bytes);
    text.bytes("used_memory_peak", overview.peak_bytes);
    text.field("used_memory_peak_perc", format_args!("{:.2}%", overview.peak_percent()));
    text.field("used_memory_overhead", overview.overhead_bytes());
    text.field("used_memory_startup", overview.startup_bytes);
    text.field("used_memory_dataset", overview.dataset_bytes());
    text.field("used_memory_dataset_perc", format_args!("{:.2}%", overview.dataset_percent()));
    text.field("allocator_allocated", overview.allocator.allocated_bytes);
    text.field("allocator_active", overview.allocator.active_bytes);
    text.field("allocator_resident", overview.allocator.resident_bytes);
    text.bytes("total_system_memory", process::system_memory_bytes());
    write_scripts(text, cx.engine());
    text.bytes("maxmemory", config.maxmemory);
    text.field("maxmemory_policy", config.maxmemory_policy.word());
    for (ratio_name, bytes_name, excess) in [
        ("allocator_frag_ratio", "allocator_frag_bytes", overview.fragmentation()),
        ("allocator_rss_ratio", "allocator_rss_bytes", overview.allocator_excess()),
        ("rss_overhead_ratio", "rss_overhead_bytes", overview.process_excess()),
        ("mem_fragmentation_ratio", "mem_fragmentation_bytes", overview.total_excess()),
    ] {
        text.ratio(ratio_name, excess.ratio);
        text.field(bytes_name, excess.bytes);
    }
    text.field("mem_not_counted_for_evict", cx.engine().replicas_bytes());
    text.field("mem_replication_backlog", overview.backlog_bytes);
    text.field("mem_total_replication_buffers", overview.stream_bytes);
    text.field("mem_clients_slaves", overview.replicas_bytes);
    text.field("mem_clients_normal", overview.clients_bytes);
    text.zeros(&["mem_cluster_links", "mem_aof_buffer"]);
    // What the threads of log and snapshots hold: beside used_memory, as a forked child's would be.
    text.field("mem_background", memory::aside_bytes());
    text.field("mem_allocator", memory::allocator_name());
    text.field("active_defrag_running", 0);
    text.field("lazyfree_pending_objects", RECLAIMER.pending_count());
    text.field("lazyfreed_objects", RECLAIMER.freed_count());
}

fn persistence(cx: &mut Cx<'_>, text: &mut Text) {
    let engine = cx.engine();
    let persistence = &engine.persistence;
    let log = persistence.log_report();
    let status = |ok: bool| if ok { "ok" } else { "err" };
    let seconds_since = |since_ms: Option<u64>| match since_ms {
        Some(since_ms) => (clock::unix_ms().saturating_sub(since_ms) / 1000) as i64,
        None => -1,
    };
    let loads = persistence.is_loading();
    text.heading("Persistence");
    text.field("loading", u8::from(loads));
    // No process is copied for a snapshot, so nothing is copied on write.
    text.zeros(&["async_loading", "current_cow_peak", "current_cow_size", "current_cow_size_age"]);
    text.ratio("current_fork_perc", 0.0);
    text.zeros(&["current_save_keys_processed", "current_save_keys_total"]);
    let changes = engine.total(|stats| stats.dirty.get());
    let saved = persistence.changes_saved.load(Ordering::Relaxed);
    text.field("rdb_changes_since_last_save", changes.saturating_sub(saved));
    persistence.with_report(JobKind::Save, |save| {
        text.field("rdb_bgsave_in_progress", u8::from(save.started_ms.is_some()));
        text.field("rdb_last_save_time", engine.last_save_seconds.load(Ordering::Relaxed));
        text.field("rdb_last_bgsave_status", status(save.last_ok));
        text.field("rdb_last_bgsave_time_sec", save.last_took_s);
        text.field("rdb_current_bgsave_time_sec", seconds_since(save.started_ms));
        text.field("rdb_saves", save.done_count);
    });
    text.zeros(&["rdb_last_cow_size"]);
    text.field("rdb_last_load_keys_expired", persistence.loading.expired_keys.load(Ordering::Relaxed));
    text.field("rdb_last_load_keys_loaded", persistence.loading.loaded_keys.load(Ordering::Relaxed));
    text.field("aof_enabled", u8::from(log.is_on));
    let scheduled = persistence.is_rewrite_scheduled();
    persistence.with_report(JobKind::Rewrite, |rewrite| {
        text.field("aof_rewrite_in_progress", u8::from(rewrite.started_ms.is_some() && !scheduled));
        text.field("aof_rewrite_scheduled", u8::from(scheduled));
        text.field("aof_last_rewrite_time_sec", rewrite.last_took_s);
        text.field("aof_current_rewrite_time_sec", seconds_since(rewrite.started_ms));
        text.field("aof_last_bgrewrite_status", status(rewrite.last_ok));
        text.field("aof_rewrites", rewrite.done_count);
        text.field("aof_rewrites_consecutive_failures", rewrite.failures_in_row);
    });
    text.field("aof_last_write_status", status(log.stopped.is_none()));
    text.zeros(&["aof_last_cow_size", "module_fork_in_progress", "module_fork_last_cow_size"]);
    if log.is_on {
        text.field("aof_current_size", log.journal_bytes + log.settled_bytes);
        text.field("aof_base_size", log.live_bytes);
        text.zeros(&["aof_pending_rewrite", "aof_buffer_length", "aof_pending_bio_fsync"]);
        text.field("aof_delayed_fsync", log.delayed_syncs);
        text.field("log_journal_bytes", log.journal_bytes);
        text.field("log_settled_bytes", log.settled_bytes);
        text.field("log_live_bytes", log.live_bytes);
        text.field("log_disk_bytes", log.disk_bytes);
        text.field("log_disk_free_bytes", log.free_bytes);
        text.field("log_settle_passes", log.settle_passes);
        text.field("log_syncs", log.syncs);
        text.field("log_writer_delay_ms", log.writer_delay_ms);
        text.field("log_stopped", log.stopped.as_deref().unwrap_or("no"));
        text.field("log_settle_error", log.settle_error.as_deref().unwrap_or("none"));
    }
    let refused = persistence.refused_slots();
    text.field("log_refused_slots", refused.len());
    for (slot, reason) in refused.iter().take(REFUSED_SLOTS_SHOWN_MAX) {
        text.field(&format!("log_refused_slot_{}", slot.number()), reason);
    }
    if loads {
        let load = |value: &std::sync::atomic::AtomicU64| value.load(Ordering::Relaxed);
        let (total, loaded) = (load(&persistence.loading.total_bytes), load(&persistence.loading.loaded_bytes));
        let started_ms = load(&persistence.loading.started_ms);
        let elapsed_ms = clock::unix_ms().saturating_sub(started_ms);
        let left_ms = (elapsed_ms * total.saturating_sub(loaded)).checked_div(loaded).unwrap_or(0);
        text.field("loading_start_time", started_ms / 1000);
        text.field("loading_total_bytes", total);
        text.field("loading_rdb_used_mem", 0);
        text.field("loading_loaded_bytes", loaded);
        text.ratio("loading_loaded_perc", loaded as f64 * 100.0 / total.max(1) as f64);
        text.field("loading_eta_seconds", left_ms / 1000);
    }
}

fn stats(cx: &mut Cx<'_>, text: &mut Text) {
    let engine = cx.engine();
    let shared = &engine.stats;
    let per_second = |rate| engine.rates.per_second(rate);
    let kilobytes_per_second = |rate| per_second(rate) as f64 / 1024.0;
    let reads = engine.total(|stats| stats.reads_processed.get());
    let cpu = process::cpu_time(CpuUser::Process);
    text.heading("Stats");
    text.field("total_connections_received", shared.connections_received.get());
    text.field("total_commands_processed", engine.total(|stats| stats.commands_processed.get()));
    text.field("instantaneous_ops_per_sec", per_second(Rate::Commands));
    text.field("total_net_input_bytes", engine.total(|stats| stats.net_input_bytes.get()));
    text.field("total_net_output_bytes", engine.total(|stats| stats.net_output_bytes.get()));
    text.zeros(&["total_net_repl_input_bytes", "total_net_repl_output_bytes"]);
    text.ratio("instantaneous_input_kbps", kilobytes_per_second(Rate::InputBytes));
    text.ratio("instantaneous_output_kbps", kilobytes_per_second(Rate::OutputBytes));
    text.ratio("instantaneous_input_repl_kbps", 0.0);
    text.ratio("instantaneous_output_repl_kbps", 0.0);
    text.field("rejected_connections", shared.rejected_connections.get());
    text.field("sync_full", shared.full_syncs.get());
    text.field("sync_partial_ok", shared.partial_syncs.get());
    text.field("sync_partial_err", shared.refused_partial_syncs.get());
    let expired = engine.total(|stats| stats.expired_keys.get()) + shared.actively_expired_keys.get();
    text.field("expired_keys", expired);
    let expired = engine.total(|stats| stats.expired_fields.get()) + shared.actively_expired_fields.get();
    text.field("expired_subkeys", expired);
    text.ratio("expired_stale_perc", 0.0);
    text.field("expired_time_cap_reached_count", shared.time_limited_expire_cycles.get());
    text.field("expire_cycle_cpu_milliseconds", shared.expire_cycle_us.get() / 1000);
    let exceeded_us = engine.eviction_pressure.current_us();
    text.field("evicted_keys", shared.evicted_keys.get());
    text.field("evicted_clients", shared.evicted_clients.get());
    text.field("total_eviction_exceeded_time", (shared.eviction_exceeded_us.get() + exceeded_us) / 1000);
    text.field("current_eviction_exceeded_time", exceeded_us / 1000);
    text.field("keyspace_hits", engine.total(|stats| stats.keyspace_hits.get()));
    text.field("keyspace_misses", engine.total(|stats| stats.keyspace_misses.get()));
    text.field("pubsub_channels", engine.pubsub.name_count(Kind::Channel));
    text.field("pubsub_patterns", engine.pubsub.name_count(Kind::Pattern));
    text.field("pubsubshard_channels", engine.pubsub.name_count(Kind::Shard));
    text.zeros(&["latest_fork_usec", "total_forks"]);
    text.field("migrate_cached_sockets", engine.courier.get().map_or(0, |courier| courier.kept_connections()));
    text.zeros(&[
        "slave_expires_tracked_keys",
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "total_active_defrag_time",
        "current_active_defrag_time",
    ]);
    text.field("tracking_total_keys", engine.tracking.key_count());
    text.field("tracking_total_items", engine.tracking.item_count());
    text.field("tracking_total_prefixes", engine.tracking.prefix_count());
    text.field("unexpected_error_replies", shared.unexpected_error_replies.get());
    text.field("total_error_replies", shared.total_error_replies.get());
    text.field("dump_payload_sanitizations", 0);
    text.field("total_reads_processed", reads);
    text.field("total_writes_processed", engine.total(|stats| stats.writes_processed.get()));
    text.zeros(&[
        "io_threaded_reads_processed",
        "io_threaded_writes_processed",
        "reply_buffer_shrinks",
        "reply_buffer_expands",
    ]);
    text.field("client_query_buffer_limit_disconnections", shared.query_buffer_limit_disconnections.get());
    text.field("client_output_buffer_limit_disconnections", shared.output_buffer_limit_disconnections.get());
    // What comes closest to turns of an event loop: reads, and the processor time that went into everything.
    let command_us = engine.total(|stats| stats.commands.iter().map(|command| command.nanos.get()).sum::<u64>()) / 1000;
    text.field("eventloop_cycles", reads);
    text.field("eventloop_duration_sum", cpu.system_us + cpu.user_us);
    text.field("eventloop_duration_cmd_sum", command_us);
    text.field("instantaneous_eventloop_cycles_per_sec", per_second(Rate::Batches));
    text.field("instantaneous_eventloop_duration_usec", (cpu.system_us + cpu.user_us) / reads.max(1));
    text.field("acl_access_denied_auth", shared.acl_denied_auth.get());
    text.field("acl_access_denied_cmd", shared.acl_denied_commands.get());
    text.field("acl_access_denied_key", shared.acl_denied_keys.get());
    text.field("acl_access_denied_channel", shared.acl_denied_channels.get());
}

fn replication(cx: &mut Cx<'_>, text: &mut Text) {
    let config = cx.config();
    let (engine, now_ms) = (cx.engine(), cx.space.now_ms);
    text.heading("Replication");
    match engine.following.status() {
        Some(status) => followed(cx, &status, text),
        None => text.field("role", "master"),
    }
    let replicas = engine.replicas.all();
    text.field("connected_slaves", replicas.len());
    if config.min_replicas_to_write > 0 && config.min_replicas_max_lag > 0 {
        let good = engine.replicas.count_good(now_ms, u64::from(config.min_replicas_max_lag));
        text.field("min_slaves_good_slaves", good);
    }
    for (number, replica) in replicas.iter().enumerate() {
        let (address, port) = replica.address();
        let (state, offset) = (replica.phase().word(), replica.acked());
        let lag_s = if replica.phase() == Phase::Online { replica.silent_ms(now_ms) / 1000 } else { 0 };
        let line = format!("ip={address},port={port},state={state},offset={offset},lag={lag_s}");
        text.field(&format!("slave{number}"), line);
    }
    text.field("master_failover_state", "no-failover");
    text.field("master_replid", &engine.history.lock().id);
    let former = engine.history.lock().former.clone();
    text.field("master_replid2", former.as_ref().map_or("0".repeat(40), |(id, _)| id.clone()));
    text.field("master_repl_offset", engine.stream.end());
    text.field("second_repl_offset", former.map_or(-1, |(_, until)| until as i64 + 1));
    let extent = engine.stream.extent();
    text.field("repl_backlog_active", u8::from(extent.is_some()));
    text.field("repl_backlog_size", config.repl_backlog_size);
    text.field("repl_backlog_first_byte_offset", extent.map_or(0, |extent| extent.start + 1));
    text.field("repl_backlog_histlen", extent.map_or(0, |extent| extent.end - extent.start));
}

/// What a replica tells of its primary.
fn followed(cx: &Cx<'_>, status: &Status, text: &mut Text) {
    let (config, now_ms, offset) = (cx.config(), cx.space.now_ms, cx.engine().stream.end());
    let since_s = |then_ms: u64| now_ms.saturating_sub(then_ms) / 1000;
    let is_linked = status.stage == Stage::Linked;
    text.field("role", "slave");
    text.field("master_host", &status.primary.host);
    text.field("master_port", status.primary.port);
    text.field("master_link_status", if is_linked { "up" } else { "down" });
    text.field("master_last_io_seconds_ago", if is_linked { since_s(status.heard_ms) as i64 } else { -1 });
    text.field("master_sync_in_progress", u8::from(status.stage == Stage::Copies));
    text.field("slave_read_repl_offset", offset + status.waiting_bytes);
    text.field("slave_repl_offset", offset);
    if status.stage == Stage::Copies {
        let copy = status.copy;
        let (total, left) = match copy.total_bytes {
            Some(total) => (total, total.saturating_sub(copy.read_bytes) as i64),
            None => (0, -1),
        };
        text.field("master_sync_total_bytes", total);
        text.field("master_sync_read_bytes", copy.read_bytes);
        text.field("master_sync_left_bytes", left);
        let percent = if total > 0 { copy.read_bytes as f64 * 100.0 / total as f64 } else { 0.0 };
        text.field("master_sync_perc", format!("{percent:.2}"));
        text.field("master_sync_last_io_seconds_ago", since_s(copy.last_read_ms));
    }
    if !is_linked {
        text.field("master_link_down_since_seconds", since_s(status.down_since_ms));
    }
    text.field("slave_priority", config.replica_priority);
    text.field("slave_read_only", u8::from(config.replica_read_only));
    text.field("replica_announced", u8::from(config.replica_announced));
}

fn cpu(_: &mut Cx<'_>, text: &mut Text) {
    text.heading("CPU");
    for (suffix, user) in [("", CpuUser::Process), ("_children", CpuUser::Children), ("_main_thread", CpuUser::Thread)]
    {
        let CpuTime { system_us, user_us } = process::cpu_time(user);
        for (kind, time_us) in [("sys", system_us), ("user", user_us)] {
            let seconds = format_args!("{}.{:06}", time_us / 1_000_000, time_us % 1_000_000);
            text.field(&format!("used_cpu_{kind}{suffix}"), seconds);
        }
    }
}

fn modules(_: &mut Cx<'_>, text: &mut Text) {
    text.heading("Modules");
}

fn command_stats(cx: &mut Cx<'_>, text: &mut Text) {
    let engine = cx.engine();
    text.heading("Commandstats");
    for command in registry::all() {
        let index = command.id.index();
        let calls = engine.total(|stats| stats.commands[index].calls.get());
        let rejected = engine.total(|stats| stats.commands[index].rejected_calls.get());
        let failed = engine.total(|stats| stats.commands[index].failed_calls.get());
        if calls == 0 && rejected == 0 && failed == 0 {
            continue;
        }
        let us = engine.total(|stats| stats.commands[index].nanos.get()) / 1000;
        let us_per_call = us as f64 / calls.max(1) as f64;
        text.field(
            &format!("cmdstat_{}", command.full_name),
            format_args!(
                "calls={calls},usec={us},usec_per_call={us_per_call:.2},rejected_calls={rejected},failed_calls={failed}"
            ),
        );
    }
}

fn error_stats(cx: &mut Cx<'_>, text: &mut Text) {
    text.heading("Errorstats");
    for (code, count) in cx.engine().error_codes.lock().iter() {
        // A script may make codes up; these would break the line.
        let code = code.replace(['#', ':', '\n', '\r'], "_");
        text.field(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

fn latency_stats(cx: &mut Cx<'_>, text: &mut Text) {
    text.heading("Latencystats");
    let config = cx.config();
    if !config.latency_tracking {
        return;
    }
    for command in registry::all() {
        let summary = latency::summary(&cx.engine().workers, command);
        if summary.total() == 0 {
            continue;
        }
        let percentiles: Vec<String> = config
            .latency_tracking_info_percentiles
            .iter()
            .map(|percent| format!("p{percent}={:.3}", summary.percentile_ns(*percent) as f64 / 1000.0))
            .collect();
        text.field(&format!("latency_percentiles_usec_{}", command.full_name), percentiles.join(","));
    }
}

fn cluster(cx: &mut Cx<'_>, text: &mut Text) {
    text.heading("Cluster");
    text.field("cluster_enabled", u8::from(cx.config().cluster_enabled));
}

fn keyspace(cx: &mut Cx<'_>, text: &mut Text) {
    text.heading("Keyspace");
    let counts = text.counts.take().unwrap_or_else(|| cx.space.counts());
    for (index, counts) in counts.iter().enumerate().filter(|(_, counts)| counts.keys > 0) {
        let ttl_ms = counts.sampled_ttl_ms / counts.sampled.max(1);
        text.field(
            &format!("db{index}"),
            format_args!("keys={},expires={},avg_ttl={ttl_ms}", counts.keys, counts.expiring),
        );
    }
}

fn debug(_: &mut Cx<'_>, text: &mut Text) {
    text.heading("Debug");
    text.zeros(&[
        "eventloop_duration_aof_sum",
        "eventloop_duration_cron_sum",
        "eventloop_duration_max",
        "eventloop_cmd_per_cycle_max",
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::TestServer;

    fn headings(server: &mut TestServer, line: &str) -> String {
        let text = server.run(line);
        text.lines().filter_map(|line| line.strip_prefix("# ")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn sections_are_chosen_by_name() {
        let mut server = TestServer::new();
        let usual = "Server Clients Memory Persistence Stats Replication CPU Modules Errorstats Cluster Keyspace";
        let all = "Server Clients Memory Persistence Stats Replication CPU Modules Commandstats Errorstats Latencystats \
                   Cluster Keyspace";
        for (line, expected) in [
            ("INFO", usual),
            ("INFO default", usual),
            ("INFO ALL", all),
            ("INFO everything", all),
            ("INFO keyspace server CLIENTS", "Server Clients Keyspace"),
            (
                "INFO commandstats default",
                "Server Clients Memory Persistence Stats Replication CPU Modules Commandstats \
                                           Errorstats Cluster Keyspace",
            ),
            ("INFO module_list", "Modules"),
            ("INFO debug", "Debug"),
            ("INFO nonsense", ""),
        ] {
            assert_eq!(headings(&mut server, line), expected, "{line}");
        }
        assert_eq!(server.run("INFO nonsense"), "$0\r\n\r\n");
        server.run("HELLO 3");
        assert_eq!(server.run("INFO cluster"), "=34\r\ntxt:# Cluster\r\ncluster_enabled:0\r\n\r\n");
    }

    #[test]
    fn every_line_is_a_field() {
        let mut server = TestServer::new();
        for line in ["SET k v EX 1000", "SET j v", "GET k", "NOSUCH", "SELECT 4", "SET a 1", "GET"] {
            server.run(line);
        }
        let text = server.run("INFO everything");
        let body = text.split_once("\r\n").unwrap().1.trim_end();
        let mut names = std::collections::BTreeSet::new();
        for line in body.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, _) = line.split_once(':').unwrap_or_else(|| panic!("{line}"));
            assert!(names.insert(name), "{name} twice");
        }
        for expected in [
            "\r\ndb4:keys=1,expires=0,avg_ttl=0\r\n",
            "\r\nerrorstat_ERR:count=2\r\n",
            "\r\nkeyspace_hits:1\r\n",
            "cmdstat_get:calls=1,",
            ",rejected_calls=1,failed_calls=0\r\n",
            "\r\nlatency_percentiles_usec_set:p50=",
            ",p99.9=",
            "\r\nrole:master\r\n",
            "\r\nrdb_changes_since_last_save:3\r\n",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        let ttl: u64 =
            text.split("db0:keys=2,expires=1,avg_ttl=").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
        assert!((990_000..=1_000_000).contains(&ttl), "{ttl}");
    }

    #[test]
    fn bytes_for_people() {
        let shown =
            [(0, "0B"), (1023, "1023B"), (1024, "1.00K"), (1_572_864, "1.50M"), (1 << 30, "1.00G"), (1 << 40, "1.00T")];
        for (bytes, expected) in shown {
            assert_eq!(human(bytes), expected);
        }
    }
}
