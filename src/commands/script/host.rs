//! The server as a running script sees it: its commands are looked up, checked, and run under the locks of the call.

use std::borrow::Cow;
use std::sync::Arc;

use smallvec::SmallVec;

use super::find::{is_read_only, known_reach};
use super::run::{is_memory_full, note_reach};
use crate::acl::log::Context;
use crate::base::clock::{self, Ticks};
use crate::base::key_slot::SlotId;
use crate::commands::access;
use crate::commands::account;
use crate::commands::admission::{LOADING_DATA_SET, READ_ONLY_REPLICA, check_replicas, is_stale_replica};
use crate::commands::context::Cx;
use crate::commands::dispatch::run_handler;
use crate::commands::keys::{self, KeyRefs, KeyShape};
use crate::commands::listeners;
use crate::commands::registry::Command;
use crate::commands::spec::{
    ADMIN, ALL_SLOTS, DENYOOM, LOADING, MAY_REPLICATE, NOSCRIPT, PUBSUB, STALE, WALKS_SLOTS, WRITE,
};
use crate::engine::effect::{Effect, bytes_for_request};
use crate::engine::persistence::obstacle;
use crate::engine::script::flags::{ALLOW_OOM, NO_WRITES, ScriptFlags, UNDECLARED};
use crate::engine::script::{Called, Overrun, Runnable, ScriptHost, Stop};
use crate::resp::{Protocol, Reply};

/// How often a late script lets its worker's other clients be served.
const MEANWHILE_PERIOD_NS: u64 = 1_000_000;

const BEYOND_REACH: &str = "ERR Script attempted to access a key that it was not called with, after it had written, and \
                            the key's slot is in use. Name all keys in the call, or call the script again.";

pub struct Host<'c, 'a> {
    cx: &'c mut Cx<'a>,
    runnable: &'c Runnable,
    args: &'c [&'c [u8]],
    /// The keys that the call names.
    keys: &'c [&'c [u8]],
    /// Slots of the keys that the call names; looked at when every slot is held.
    declared: SmallVec<[SlotId; 8]>,
    /// It touched another slot.
    beyond: bool,
    /// It wrote, or did something else that must not be done twice.
    acted: bool,
    wrote: bool,
    may_write: bool,
    memory_full: bool,
    /// Whether the call can be run again from its beginning.
    can_restart: bool,
    client_protocol: Protocol,
    /// The protocol of replies to the script.
    protocol: Protocol,
    started: Ticks,
    overrun: Option<Arc<Overrun>>,
    served: Ticks,
}

impl<'c, 'a> Host<'c, 'a> {
    pub fn new(
        cx: &'c mut Cx<'a>,
        runnable: &'c Runnable,
        flags: ScriptFlags,
        args: &'c [&'c [u8]],
        keys: &'c [&'c [u8]],
        can_restart: bool,
    ) -> Host<'c, 'a> {
        let declares = flags & UNDECLARED == 0;
        let started = clock::ticks();
        // Redis lets what declared that it may run out of memory run anything, and what declared nothing be refused
        // write by write, as things stood when it began.
        let memory_full = is_memory_full(cx) && !(declares && flags & ALLOW_OOM != 0);
        let declared = match cx.space.holds_all() {
            true => keys.iter().map(|key| SlotId::of_key(key)).collect(),
            false => SmallVec::new(),
        };
        Host {
            runnable,
            args,
            keys,
            declared,
            beyond: false,
            acted: false,
            wrote: false,
            may_write: !(is_read_only(cx.command) || declares && flags & NO_WRITES != 0),
            memory_full,
            can_restart,
            client_protocol: cx.reply.protocol,
            protocol: Protocol::Resp2,
            started,
            overrun: None,
            served: started,
            cx,
        }
    }

    /// Ends the run.
    pub fn finish(self) {
        if let Some(overrun) = &self.overrun {
            let engine = self.cx.engine();
            engine.running.end(overrun, &engine.persistence);
        }
        note_reach(self.runnable, self.beyond);
    }

    /// Refuses a command; it and its error are counted.
    fn refuse(&self, command: Option<&Command>, text: impl Into<Cow<'static, str>>) -> Called {
        let text = text.into();
        let engine = self.cx.engine();
        engine.count_error(text.split(' ').next().unwrap_or_default());
        if let Some(command) = command {
            self.cx.worker.stats.commands[command.id.index()].rejected_calls.add(1);
        }
        Called::Refused(text)
    }

    /// Why the command may not run, if so.
    #[inline]
    fn obstacle(&mut self, command: &'static Command, args: &[&[u8]]) -> Option<Cow<'static, str>> {
        if !command.spec.accepts(args.len()) {
            return Some("ERR Wrong number of args calling Redis command from script".into());
        }
        let looked_at = command.has(NOSCRIPT | WRITE | MAY_REPLICATE | DENYOOM)
            || self.cx.session.is_restricted()
            || self.cx.engine().persistence.obstacles() != 0;
        if looked_at { self.rare_obstacle(command, args) } else { None }
    }

    fn rare_obstacle(&mut self, command: &'static Command, args: &[&[u8]]) -> Option<Cow<'static, str>> {
        let engine = self.cx.engine();
        if command.has(NOSCRIPT) && !engine.scripts_run_anything.load(std::sync::atomic::Ordering::Relaxed) {
            return Some("ERR This Redis command is not allowed from script".into());
        }
        if self.cx.session.is_restricted() {
            let (session, now_ms) = (&*self.cx.session, self.cx.space.now_ms);
            let checked = access::check_session(engine, session, command, args, Context::Script, now_ms);
            if let Err(denial) = checked {
                return Some(format!("ERR {}", denial.text_in_script()).into());
            }
        }
        if command.has(WRITE | MAY_REPLICATE) && !self.may_write {
            return Some("ERR Write commands are not allowed from read-only scripts.".into());
        }
        let obstacles = engine.persistence.obstacles();
        if obstacles & obstacle::LOADING != 0 && !command.has(LOADING) && !self.cx.session.loads {
            return Some(LOADING_DATA_SET.into());
        }
        let obeys = self.cx.session.must_obey();
        if !obeys && !command.has(STALE) && is_stale_replica(self.cx.worker) {
            return Some("ERR Can not execute the command on a stale replica".into());
        }
        // What has begun to write is not stopped half way by how the server does.
        if self.wrote {
            return None;
        }
        if command.has(WRITE) && !obeys && obstacles & obstacle::FOLLOWS != 0 && self.cx.config().replica_read_only {
            return Some(READ_ONLY_REPLICA.into());
        }
        if command.has(WRITE) && obstacles & obstacle::SAVE_FAILED != 0 {
            return Some(
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. \
                 Commands that may modify the data set are disabled, because this instance is configured to report \
                 errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the \
                 Redis logs for details about the RDB error."
                    .into(),
            );
        }
        if command.has(WRITE)
            && let Err(error) = check_replicas(self.cx.worker)
        {
            return Some(error.text().into_owned().into());
        }
        (command.has(DENYOOM) && self.memory_full)
            .then(|| "OOM command not allowed when used memory > 'maxmemory'.".into())
    }

    /// Brings the slots of a command's keys in reach.
    #[inline]
    fn reach(&mut self, command: &'static Command, args: &[&[u8]]) -> Result<(), Called> {
        match command.shape {
            _ if command.has(ALL_SLOTS | WALKS_SLOTS) => self.reach_everything(command),
            KeyShape::None => Ok(()),
            KeyShape::One(at) => self.reach_slot(command, SlotId::of_key(args[usize::from(at)])),
            KeyShape::Special => {
                let mut found = KeyRefs::new();
                // A call whose keys make no sense touches none: its handler answers the error.
                if keys::keys(command, args, &mut found).is_err() {
                    return Ok(());
                }
                found.iter().try_for_each(|key| self.reach_slot(command, SlotId::of_key(args[key.index as usize])))
            }
            shape => shape.indexes(args.len()).try_for_each(|at| self.reach_slot(command, SlotId::of_key(args[at]))),
        }
    }

    #[inline]
    fn reach_slot(&mut self, command: &'static Command, slot: SlotId) -> Result<(), Called> {
        if self.cx.space.holds_all() {
            if !self.beyond && !self.declared.contains(&slot) {
                self.go_beyond();
            }
            return self.check_refused(command, slot);
        }
        if self.cx.space.holds(slot) {
            return self.check_refused(command, slot);
        }
        self.go_beyond();
        if self.can_restart && !self.acted {
            return Err(Called::Stopped(Stop::Abandoned));
        }
        if self.cx.space.extend(slot) {
            return self.check_refused(command, slot);
        }
        Err(self.refuse(Some(command), BEYOND_REACH))
    }

    /// Slots that could not be loaded are refused.
    #[inline]
    fn check_refused(&self, command: &'static Command, slot: SlotId) -> Result<(), Called> {
        let persistence = &self.cx.engine().persistence;
        if persistence.obstacles() & obstacle::REFUSED_SLOTS == 0 {
            return Ok(());
        }
        match persistence.refusal(slot) {
            None => Ok(()),
            Some(reason) => {
                let text = format!("MISCONF Slot {} could not be loaded and is refused: {reason}", slot.number());
                Err(self.refuse(Some(command), text))
            }
        }
    }

    fn reach_everything(&mut self, command: &'static Command) -> Result<(), Called> {
        self.go_beyond();
        if self.cx.space.holds_all() {
            return Ok(());
        }
        if self.can_restart && !self.acted {
            return Err(Called::Stopped(Stop::Abandoned));
        }
        Err(self.refuse(Some(command), BEYOND_REACH))
    }

    fn go_beyond(&mut self) {
        self.beyond = true;
        known_reach(self.runnable).reached_beyond();
    }

    /// Makes ready for a command that does something; an error is why it may not.
    fn prepare_to_act(&mut self, command: &'static Command, args: &[&[u8]]) -> Result<(), Called> {
        self.acted = true;
        if !command.has(WRITE) {
            return Ok(());
        }
        if self.overrun.as_ref().is_some_and(|overrun| !overrun.may_write()) {
            return Err(Called::Stopped(Stop::Killed));
        }
        let bytes = bytes_for_request(args.iter().map(|one| one.len()).sum(), args.len());
        if self.cx.space.reserve(bytes).is_err() {
            let error = account::stopped_log(self.cx);
            return Err(self.refuse(Some(command), error.text().into_owned()));
        }
        self.wrote = true;
        Ok(())
    }
}

impl ScriptHost for Host<'_, '_> {
    fn call(&mut self, args: &[&[u8]], show: &mut dyn FnMut(&[u8])) -> Called {
        let Ok(command) = self.cx.lookup.resolve(args) else {
            return self.refuse(None, "ERR Unknown Redis command called from script");
        };
        if let Some(text) = self.obstacle(command, args) {
            return self.refuse(Some(command), text);
        }
        if let Err(called) = self.reach(command, args) {
            return called;
        }
        if command.has(WRITE | MAY_REPLICATE | PUBSUB | ADMIN)
            && let Err(called) = self.prepare_to_act(command, args)
        {
            return called;
        }
        let cx = &mut *self.cx;
        let start = cx.reply.len();
        cx.command = command;
        cx.space.effect = Effect::default();
        cx.reply.protocol = self.protocol;
        let started = clock::ticks();
        let failed = run_handler(cx, args);
        if cx.session.tracking.is_some() {
            listeners::note_script_reads(cx, self.keys);
        }
        let took_ns = clock::ticks().nanos_since(started);
        account::record(cx.worker, cx.session, command, args, took_ns, failed);
        cx.reply.protocol = self.client_protocol;
        show(cx.reply.written(start));
        cx.reply.truncate(start);
        Called::Replied
    }

    fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    fn protocol(&self) -> Protocol {
        self.protocol
    }

    fn set_replicated(&mut self, replicated: bool) {
        self.cx.space.unreplicated = !replicated;
    }

    fn may_call(&mut self, args: &[&[u8]]) -> Option<bool> {
        let command = self.cx.lookup.resolve(args).ok()?;
        let allowed = self.cx.session.user().is_none_or(|user| access::check(user, command, args).is_ok());
        Some(allowed)
    }

    fn interrupt(&mut self) -> Option<Stop> {
        let engine = self.cx.engine();
        let Some(overrun) = &self.overrun else {
            let threshold_ms = self.cx.config().busy_reply_threshold;
            let took_ms = clock::ticks().nanos_since(self.started) / 1_000_000;
            if threshold_ms > 0 && took_ms >= threshold_ms as u64 {
                self.begin_overrun(took_ms);
            }
            return None;
        };
        let now = clock::ticks();
        if now.nanos_since(self.served) >= MEANWHILE_PERIOD_NS {
            if let Some(meanwhile) = engine.running.meanwhile.get() {
                meanwhile();
            }
            self.served = now;
        }
        overrun.is_killed().then_some(Stop::Killed)
    }

    fn answer(&mut self, write: &mut dyn FnMut(&mut Reply<'_>)) {
        write(&mut self.cx.reply);
    }
}

impl Host<'_, '_> {
    #[cold]
    fn begin_overrun(&mut self, took_ms: u64) {
        let (name, is_function) = match self.runnable {
            Runnable::Script(script) => (script.sha.clone(), false),
            Runnable::Function(function) => (function.name.clone(), true),
        };
        tracing::warn!(
            "Slow script detected: still in execution after {took_ms} milliseconds. You can try killing the script \
             using the {} command. Script name is: {name}.",
            if is_function { "FUNCTION KILL" } else { "SCRIPT KILL" }
        );
        let command = self.args.iter().map(|argument| argument.to_vec()).collect();
        let client = self.cx.session.handle.id;
        let overrun = Arc::new(Overrun::new(name, is_function, command, self.started, client, self.wrote));
        let engine = self.cx.engine();
        engine.running.begin(overrun.clone(), &engine.persistence);
        self.overrun = Some(overrun);
    }
}
