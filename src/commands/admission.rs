//! What may refuse a command before it runs or is queued: rights, memory, the log, replicas, and the state of the server.

use smallvec::SmallVec;

use super::access;
use super::keys;
use super::lookup::Unknown;
use super::registry::{self, Command, CommandId};
use super::script;
use super::spec::{
    ALL_SLOTS, DENYOOM, LISTENERS_MAY, LOADING, NEVER_QUEUED, NO_AUTH, NO_MULTI, PROTECTED, RUNS_QUEUE, RUNS_SCRIPT,
    STALE, WRITE,
};
use crate::acl::log::Context;
use crate::engine::effect::{EffectSink, bytes_for_request, removal_bytes};
use crate::engine::persistence::obstacle;
use crate::engine::session::Transaction;
use crate::engine::{Session, Worker};
use crate::resp::ReplyError;

pub(super) const LOADING_DATA_SET: &str = "LOADING Redis is loading the dataset in memory";
pub(super) const READ_ONLY_REPLICA: &str = "READONLY You can't write against a read only replica.";
pub(super) const STALE_REPLICA: &str =
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";

/// Where commands are let in: a worker, inside the gate.
#[derive(Clone, Copy)]
pub struct Admission<'e> {
    pub worker: &'e Worker,
}

impl Admission<'_> {
    /// Everything that may refuse a command before it runs or is queued.
    #[inline]
    pub fn admit(
        self,
        session: &mut Session,
        command: &Result<&'static Command, Unknown>,
        args: &[&[u8]],
    ) -> Result<&'static Command, ReplyError> {
        let command = match command {
            Ok(command) => *command,
            Err(unknown) => return Err(unknown.error(args)),
        };
        if !command.spec.accepts(args.len()) {
            return Err(ReplyError::wrong_arity(&command.full_name));
        }
        if command.has(PROTECTED) {
            self.admit_protected(session, command)?;
        }
        let restricted = session.is_restricted();
        if restricted && session.must_log_in() && !command.has(NO_AUTH) {
            return Err(ReplyError::NotAuthenticated);
        }
        if command.has(NO_MULTI) && session.transaction.is_some() {
            return Err(ReplyError::of("ERR Command not allowed inside a transaction"));
        }
        if restricted {
            let context = if session.transaction.is_some() { Context::Multi } else { Context::TopLevel };
            access::check_session(&self.worker.engine, session, command, args, context, self.worker.now_ms)
                .map_err(|denial| denial.error(command))?;
        }
        if self.worker.config().maxmemory > 0 && !session.must_obey() {
            self.admit_memory(session, command)?;
        }
        if command.has(WRITE | RUNS_QUEUE)
            && let Some(sink) = self.worker.effects()
        {
            self.admit_change(sink, session, command, args)?;
        }
        if self.worker.config().min_replicas_to_write > 0 && command.has(WRITE | RUNS_QUEUE) && writes(session, command)
        {
            check_replicas(self.worker)?;
        }
        if self.worker.engine.persistence.obstacles() & !obstacle::HOLDING != 0 {
            self.admit_past_obstacles(session, command, args)?;
        }
        if session.only_listens && !command.has(LISTENERS_MAY) {
            let name = command.full_name.as_str();
            let text = format!(
                "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed \
                 in this context"
            );
            return Err(ReplyError::Text(text.into()));
        }
        Ok(command)
    }

    /// Nothing changes that the log would not take: there is space for what the request's effects can be.
    #[inline]
    fn admit_change(
        self,
        sink: &dyn EffectSink,
        session: &Session,
        command: &Command,
        args: &[&[u8]],
    ) -> Result<(), ReplyError> {
        if !writes(session, command) {
            return Ok(());
        }
        let bytes = if command.has(RUNS_QUEUE) {
            session.transaction.as_ref().map_or(0, |transaction| bytes_for_transaction(session, transaction))
        } else {
            bytes_for_request(args.iter().map(|argument| argument.len()).sum(), args.len())
        };
        let reserved = sink.reserve(self.worker.index, bytes);
        reserved.map_err(|_| ReplyError::log_stopped(sink.stopped()))
    }

    /// What may be done while the data set is loaded, while saving fails, and while slots are refused.
    #[cold]
    fn admit_past_obstacles(self, session: &Session, command: &Command, args: &[&[u8]]) -> Result<(), ReplyError> {
        let persistence = &self.worker.engine.persistence;
        let obstacles = persistence.obstacles();
        if obstacles & obstacle::BUSY_SCRIPT != 0 && !script::may_run_beside_script(session, command, args) {
            return Err(script::busy_error(&self.worker.engine));
        }
        if obstacles & obstacle::LOADING != 0 && !command.has(LOADING) && !session.loads {
            return Err(ReplyError::of(LOADING_DATA_SET));
        }
        if obstacles & obstacle::FOLLOWS != 0 && !session.must_obey() {
            self.admit_on_replica(session, command, args)?;
        }
        if obstacles & obstacle::SAVE_FAILED != 0 && !session.must_obey() && writes(session, command) {
            return Err(ReplyError::of(
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. \
                 Commands that may modify the data set are disabled, because this instance is configured to report \
                 errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check \
                 the Redis logs for details about the RDB error.",
            ));
        }
        if obstacles & obstacle::REFUSED_SLOTS != 0 {
            if command.has(ALL_SLOTS) && command.has(WRITE) {
                return Err(ReplyError::of(
                    "MISCONF Some slots could not be loaded and are refused; flushing or swapping databases would lose \
                     them. INFO persistence lists them.",
                ));
            }
            let mut slots = SmallVec::new();
            keys::add_slots(command, args, &mut slots);
            if let Some((slot, reason)) = slots.iter().find_map(|slot| Some((slot, persistence.refusal(*slot)?))) {
                let text = format!("MISCONF Slot {} could not be loaded and is refused: {reason}", slot.number());
                return Err(ReplyError::Text(text.into()));
            }
        }
        Ok(())
    }

    /// What a client may do on a replica.
    fn admit_on_replica(self, session: &Session, command: &Command, args: &[&[u8]]) -> Result<(), ReplyError> {
        let (is_read_only, is_stale) = (self.worker.config().replica_read_only, is_stale_replica(self.worker));
        let admit = |command: &Command, args: &[&[u8]]| {
            let says_so = || command.has(RUNS_SCRIPT) && script::declares_writes(self.worker, command, args);
            if is_read_only && (command.has(WRITE) || says_so()) {
                return Err(ReplyError::of(READ_ONLY_REPLICA));
            }
            if is_stale && !command.has(STALE) { Err(ReplyError::of(STALE_REPLICA)) } else { Ok(()) }
        };
        if command.spec.accepts(args.len()) {
            admit(command, args)?;
        }
        let queue = session.transaction.iter().flat_map(|transaction| &transaction.queue);
        queue.filter(|_| command.has(RUNS_QUEUE)).try_for_each(|queued| {
            let args: Vec<&[u8]> = queued.arguments.iter().map(Vec::as_slice).collect();
            admit(registry::by_id(CommandId(queued.command)), &args)
        })
    }

    #[cold]
    fn admit_protected(&self, session: &Session, command: &Command) -> Result<(), ReplyError> {
        let config = self.worker.config();
        let (name, option, allowed) = match command.full_name.starts_with("module") {
            true => ("MODULE", "enable-module-command", config.enable_module_command),
            false => ("DEBUG", "enable-debug-command", config.enable_debug_command),
        };
        if allowed.allows(session.handle.peer.is_local()) {
            return Ok(());
        }
        let text = format!(
            "ERR {name} command not allowed. If the {option} option is set to \"local\", you can run it from a local \
             connection, otherwise you need to set this option in the configuration file, and then restart the server."
        );
        Err(ReplyError::Text(text.into()))
    }

    /// Evicts what is beyond the limit of memory. Where that cannot be done, commands that need more are refused.
    fn admit_memory(self, session: &Session, command: &Command) -> Result<(), ReplyError> {
        self.worker.evict();
        if self.worker.is_out_of_memory() && needs_memory(session, command) {
            return Err(ReplyError::of("OOM command not allowed when used memory > 'maxmemory'."));
        }
        Ok(())
    }
}

/// Whether this is a replica without a link, where nothing may be read.
pub(super) fn is_stale_replica(worker: &Worker) -> bool {
    worker.engine.persistence.obstacles() & obstacle::UNLINKED != 0 && !worker.config().replica_serve_stale_data
}

/// Writes are refused while too few replicas follow closely enough.
pub(super) fn check_replicas(worker: &Worker) -> Result<(), ReplyError> {
    if worker.engine.is_replica() {
        return Ok(());
    }
    let config = worker.config();
    let (wanted, lag_max_s) = (config.min_replicas_to_write as usize, u64::from(config.min_replicas_max_lag));
    if wanted > 0 && lag_max_s > 0 && worker.engine.replicas.count_good(worker.now_ms, lag_max_s) < wanted {
        return Err(ReplyError::of("NOREPLICAS Not enough good replicas to write."));
    }
    Ok(())
}

/// Whether a command is refused while memory is full. Queueing takes memory too, whatever is queued.
fn needs_memory(session: &Session, command: &Command) -> bool {
    let Some(transaction) = &session.transaction else { return command.has(DENYOOM) };
    if command.has(RUNS_QUEUE) {
        let mut queue = transaction.queue.iter().map(|queued| registry::by_id(CommandId(queued.command)));
        return queue.any(|queued| queued.has(DENYOOM));
    }
    !command.has(NEVER_QUEUED)
}

/// What the effects of a client's transaction take in the log; watched keys may expire with it.
pub(super) fn bytes_for_transaction(session: &Session, transaction: &Transaction) -> usize {
    let watched: usize = session.watched().map(|(_, key)| removal_bytes(key)).sum();
    bytes_for_request(transaction.queue_bytes, transaction.queue.len()) + watched
}

/// Whether running this command may change the data set now.
pub(super) fn writes(session: &Session, command: &Command) -> bool {
    if command.has(RUNS_QUEUE) {
        let mut queue = session.transaction.iter().flat_map(|transaction| &transaction.queue);
        return queue.any(|queued| registry::by_id(CommandId(queued.command)).has(WRITE));
    }
    command.has(WRITE)
}
