//! Background work, `hz` times a second: the expiry cycle, idle clients, silent replicas, the look at memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::{clock, memory, turns};
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::clients::flag;
use crate::engine::eviction::{self, Evictor};
use crate::engine::expiry::{self, ExpiryCycle};
use crate::engine::replicas::Phase;
use crate::replication::primary::{self, Moment};
use crate::store::reclaim::RECLAIMER;

/// Share of a period that the expiry cycle may take at `active-expire-effort` 1, in percent; more effort adds 2 each.
const EXPIRY_PERCENT: u64 = 25;
/// How often clients that do nothing are looked at.
const CLIENT_CHECK_MS: u64 = 1000;

/// Runs until the process ends, on a thread of its own: a long sweep must not delay accepting or signals.
pub fn run(engine: Arc<Engine>) {
    let mut cycle = ExpiryCycle::default();
    let mut evictor = Evictor::default();
    let mut clients_checked_ms = 0;
    loop {
        let period_ms = 1000 / u64::from(engine.config.load().hz.max(1));
        std::thread::sleep(Duration::from_millis(period_ms));
        // As it is by then.
        let config = engine.config.load();
        let is_paused = engine.pause.now(clock::unix_ms()).is_some();
        let expires = engine.active_expiry.load(Ordering::Relaxed) && !engine.is_replica();
        // Whoever loads a data set has the background for itself.
        if let Some(_background) = engine.background.try_lock()
            && !engine.persistence.is_loading()
        {
            if expires && !is_paused {
                let percent = (EXPIRY_PERCENT + 2 * (u64::from(config.active_expire_effort) - 1)).min(90);
                cycle.run(&engine, period_ms * 10 * percent);
            }
            expiry::expire_own(&engine);
            eviction::run_in_background(&engine, &mut evictor);
        }
        attend_to_replicas(&engine, &config);
        engine.sample();
        let now_ms = clock::unix_ms();
        if now_ms >= clients_checked_ms + CLIENT_CHECK_MS {
            clients_checked_ms = now_ms;
            engine.courier.get().inspect(|courier| courier.close_idle());
            check_clients(&engine, now_ms, u64::from(config.timeout) * 1000);
        }
    }
}

/// Closes idle clients, and wakes those with unsent output, or with a stream that may be: only their own task can judge their output limits, and a
/// client that reads nothing gives it no occasion.
fn check_clients(engine: &Engine, now_ms: u64, timeout_ms: u64) {
    for client in engine.clients.all() {
        let idle_ms = now_ms.saturating_sub(client.last_active_ms.load(Ordering::Relaxed));
        if timeout_ms > 0
            && idle_ms > timeout_ms
            && !client.has_flag(flag::MONITOR | flag::BLOCKED | flag::REPLICA | flag::PRIMARY)
        {
            tracing::debug!("Closing idle client id={}", client.id);
            client.kill();
        } else if client.output_bytes.load(Ordering::Relaxed) > 0 || client.has_flag(flag::REPLICA) {
            client.wake();
        }
    }
}

/// Does what time asks of a primary.
fn attend_to_replicas(engine: &Engine, config: &Config) {
    let (replicas, stream, now_ms) = (&engine.replicas, &engine.stream, clock::unix_ms());
    stream.set_backlog(config.repl_backlog_size);
    let moment = Moment {
        now_ms,
        pinged_ms: replicas.pinged_ms.load(Ordering::Relaxed),
        replicas: replicas.count(),
        left_ms: replicas.left_ms(),
        is_on: stream.is_on(),
    };
    let due = primary::due(moment, config);
    if due.ping && engine.pause.now(now_ms).is_none() {
        stream.append_aside(&[b"PING"]);
        replicas.pinged_ms.store(now_ms, Ordering::Relaxed);
    }
    if due.end_stream {
        tracing::info!(
            "Replication backlog freed after {} seconds without connected replicas.",
            config.repl_backlog_ttl
        );
        engine.end_stream();
    }
    for replica in replicas.all() {
        let may_be_lost = replica.acknowledges() && replica.phase() == Phase::Online;
        if may_be_lost && primary::is_lost(replica.silent_ms(now_ms), config) {
            tracing::warn!("Disconnecting timedout replica {}", replica.client.peer.address());
            replica.client.kill();
        }
    }
}

/// Starts the threads for background work.
pub fn start(engine: &Arc<Engine>) -> std::io::Result<()> {
    if engine.config.load().jemalloc_bg_thread
        && let Err(error) = memory::set_background_purging(true)
    {
        tracing::warn!("The allocator purges in the foreground: {error}");
    }
    let engine = engine.clone();
    start_thread("background", move || run(engine))?;
    start_thread("reclaim", || RECLAIMER.run())
}

fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(name.into()).spawn(move || {
        if let Err(error) = turns::take_short_turns() {
            tracing::warn!("A background thread takes long turns: {error}");
        }
        work();
    })?;
    Ok(())
}
