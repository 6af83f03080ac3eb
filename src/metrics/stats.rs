//! The counters behind INFO: those that each worker keeps for itself, and the few that all share.

use std::sync::OnceLock;

use super::counter::{Counter, SharedCounter};
use super::histogram::Histogram;

/// One worker's counters. Only that worker writes them.
pub struct WorkerStats {
    pub commands_processed: Counter,
    pub net_input_bytes: Counter,
    pub net_output_bytes: Counter,
    pub keyspace_hits: Counter,
    pub keyspace_misses: Counter,
    pub expired_keys: Counter,
    pub expired_fields: Counter,
    /// Changes to the data set.
    pub dirty: Counter,
    pub reads_processed: Counter,
    pub writes_processed: Counter,
    /// By command id.
    pub commands: Box<[CommandStats]>,
}

/// One command's counters on one worker.
#[derive(Default)]
pub struct CommandStats {
    pub calls: Counter,
    pub nanos: Counter,
    /// Refused before it ran.
    pub rejected_calls: Counter,
    /// Ran and answered an error.
    pub failed_calls: Counter,
    histogram: OnceLock<Histogram>,
}

impl WorkerStats {
    pub fn new(command_count: usize) -> WorkerStats {
        WorkerStats {
            commands_processed: Counter::zero(),
            net_input_bytes: Counter::zero(),
            net_output_bytes: Counter::zero(),
            keyspace_hits: Counter::zero(),
            keyspace_misses: Counter::zero(),
            expired_keys: Counter::zero(),
            expired_fields: Counter::zero(),
            dirty: Counter::zero(),
            reads_processed: Counter::zero(),
            writes_processed: Counter::zero(),
            commands: (0..command_count).map(|_| CommandStats::default()).collect(),
        }
    }

    /// Zeroes everything that CONFIG RESETSTAT zeroes. The worker must be still.
    pub fn reset(&self) {
        for counter in [
            &self.commands_processed,
            &self.net_input_bytes,
            &self.net_output_bytes,
            &self.keyspace_hits,
            &self.keyspace_misses,
            &self.expired_keys,
            &self.expired_fields,
            &self.reads_processed,
            &self.writes_processed,
        ] {
            counter.reset();
        }
        self.commands.iter().for_each(CommandStats::reset);
    }
}

impl CommandStats {
    #[inline]
    pub fn record(&self, nanos: u64, with_histogram: bool) {
        self.calls.add(1);
        self.nanos.add(nanos);
        if with_histogram {
            self.histogram.get_or_init(Histogram::default).record(nanos);
        }
    }

    pub fn histogram(&self) -> Option<&Histogram> {
        self.histogram.get()
    }

    pub fn reset(&self) {
        for counter in [&self.calls, &self.nanos, &self.rejected_calls, &self.failed_calls] {
            counter.reset();
        }
        if let Some(histogram) = self.histogram.get() {
            histogram.reset();
        }
    }
}

/// Counters that any thread bumps, none of them on the path of an ordinary command.
#[derive(Default)]
pub struct SharedStats {
    pub connections_received: SharedCounter,
    pub rejected_connections: SharedCounter,
    /// Keys that the background cycle expired, beside those that workers met.
    pub actively_expired_keys: SharedCounter,
    /// The same of fields of hashes.
    pub actively_expired_fields: SharedCounter,
    pub expire_cycle_us: SharedCounter,
    pub time_limited_expire_cycles: SharedCounter,
    pub query_buffer_limit_disconnections: SharedCounter,
    pub output_buffer_limit_disconnections: SharedCounter,
    pub unexpected_error_replies: SharedCounter,
    pub total_error_replies: SharedCounter,
    pub used_memory_peak_bytes: SharedCounter,
    pub evicted_keys: SharedCounter,
    pub evicted_clients: SharedCounter,
    /// Time spent above the memory limit, without the time since it was passed last.
    pub eviction_exceeded_us: SharedCounter,
    pub full_syncs: SharedCounter,
    pub partial_syncs: SharedCounter,
    /// Replicas that asked to go on, and could not.
    pub refused_partial_syncs: SharedCounter,
    pub acl_denied_auth: SharedCounter,
    pub acl_denied_commands: SharedCounter,
    pub acl_denied_keys: SharedCounter,
    pub acl_denied_channels: SharedCounter,
}

impl SharedStats {
    pub fn reset(&self) {
        for counter in [
            &self.connections_received,
            &self.rejected_connections,
            &self.actively_expired_keys,
            &self.actively_expired_fields,
            &self.expire_cycle_us,
            &self.time_limited_expire_cycles,
            &self.query_buffer_limit_disconnections,
            &self.output_buffer_limit_disconnections,
            &self.unexpected_error_replies,
            &self.total_error_replies,
            &self.evicted_keys,
            &self.evicted_clients,
            &self.eviction_exceeded_us,
            &self.full_syncs,
            &self.partial_syncs,
            &self.refused_partial_syncs,
            &self.acl_denied_auth,
            &self.acl_denied_commands,
            &self.acl_denied_keys,
            &self.acl_denied_channels,
        ] {
            counter.reset();
        }
    }
}
