//! From the command line to a serving process, and to its end.
//!
//! Order: configuration, directory, background, log, sockets, threads, pid file, "Ready". Whatever fails before "Ready"
//! ends the process with exit code 1 and the reason.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::arguments::{self, Request};
use super::daemon::{self, PidFile};
use super::oom_score::OomScore;
use super::title::Title;
use super::{cron, logging};
use crate::base::hash::KeyHasher;
use crate::base::version::CAIRN_VERSION;
use crate::base::{memory, process};
use crate::commands::{Lookup, access, registry};
use crate::config::special::ShutdownFlags;
use crate::config::text::cpu_list;
use crate::config::{Config, Live, Loaded, without_effect};
use crate::engine::Engine;
use crate::engine::following::Primary;
use crate::engine::shutdown::ShutdownKind;
use crate::keeper::{self, Service};
use crate::net::listener::{self, Acceptor, TcpListening};
use crate::net::{primary_link, worker};
use crate::scripting::LuaEngine;

/// Descriptors beside those of clients: listeners, logs, runtimes.
const SPARE_DESCRIPTORS: u64 = 128;
/// How often a scheduled end is looked at while nothing acts on it.
const SCHEDULED_POLL: Duration = Duration::from_millis(10);

/// Runs cairn-server with the arguments that follow the program's name; gives the exit code.
pub fn main(arguments: &[OsString]) -> i32 {
    let (arguments, check_only) = match arguments::read(arguments) {
        Request::Help => return say(arguments::HELP),
        Request::Version => return say(&format!("{}\n", arguments::version())),
        Request::CheckConfig(arguments) => (arguments, true),
        Request::Serve(arguments) => (arguments, false),
    };
    let started = crate::config::load(&arguments, &mut std::io::stdin().lock())
        .map_err(|error| error.to_string())
        .and_then(|loaded| {
            let lookup = renamed_lookup(&loaded.config)?;
            if check_only { Ok(say("Configuration is sound.\n")) } else { serve(loaded, lookup) }
        });
    match started {
        Ok(code) => code,
        Err(reason) => {
            eprintln!("{reason}");
            1
        }
    }
}

fn say(text: &str) -> i32 {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

/// The names that `rename-command` leaves.
fn renamed_lookup(config: &Config) -> Result<Lookup, String> {
    let renames: Vec<(&[u8], &[u8])> =
        config.rename_command.iter().map(|pair| (pair[0].as_bytes(), pair[1].as_bytes())).collect();
    Lookup::renamed(&renames).map_err(|error| format!("rename-command: {error:?}"))
}

#[allow(unsafe_code)]
fn serve(loaded: Loaded, lookup: Lookup) -> Result<i32, String> {
    let config = &loaded.config;
    std::env::set_current_dir(&config.dir)
        .map_err(|error| format!("Can't chdir to '{}': {error}", config.dir.display()))?;
    daemon::detach_if_asked(config).map_err(|error| format!("Can't go to the background: {error}"))?;
    logging::start(config).map_err(|error| format!("Can't open the log file '{}': {error}", config.logfile))?;
    tracing::info!("oO0OoO0OoO0Oo Cairn is starting oO0OoO0OoO0Oo");
    tracing::info!("Cairn version={}, bits={}, pid={}", CAIRN_VERSION, usize::BITS, std::process::id());
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    for (row, reason) in without_effect(config) {
        tracing::debug!("Directive '{}' has no effect: {reason}", row.name);
    }
    // SAFETY: threads begin below.
    let title = unsafe { Title::claim(config, loaded.file.as_deref()) };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("Can't start the runtime: {error}"))?;
    runtime.block_on(run(loaded, lookup, title))
}

async fn run(loaded: Loaded, lookup: Lookup, title: Title) -> Result<i32, String> {
    // Before anybody can know that the server is there.
    let mut signals = Signals::watch()?;
    let config = loaded.config.clone();
    let maxclients = fit_maxclients(&config);
    let unix = listener::bind_unix(&config).map_err(|error| {
        tracing::warn!("Failed opening Unix socket: bind: {error}");
        format!("Failed opening Unix socket {}: {error}", config.unixsocket)
    })?;
    let live = Live::new(Config { maxclients, ..loaded.config }, loaded.file);
    let workers = worker_count(&config);
    let engine = Arc::new(Engine::new(live, workers, registry::count(), KeyHasher::from_entropy()));
    access::load_users(&engine)?;
    // Nobody else installs one.
    let _ = engine.script_engine.set(Box::new(LuaEngine::new(config.lua_enable_deprecated_api)));
    if let Some((host, port)) = config.replicaof.clone() {
        let _alone = engine.gate.close();
        engine.follow_primary(Primary { host, port });
    }
    // Clients are let in at once, and told that the data set is being loaded, unless there is nothing to load.
    engine.persistence.begin_loading(0);
    let directory = std::env::current_dir().map_err(|error| format!("The working directory is gone: {error}"))?;
    let cpus = cpu_list(&config.server_cpulist).unwrap_or_default();
    let lookup = Arc::new(lookup);
    let mut handles = Vec::new();
    for index in 0..workers {
        let cpu = (!cpus.is_empty()).then(|| cpus[index % cpus.len()]);
        let handle = worker::start(engine.clone(), lookup.clone(), index, cpu);
        handles.push(handle.map_err(|error| format!("Can't start worker {index}: {error}"))?);
    }
    cron::start(&engine).map_err(|error| format!("Can't start the background threads: {error}"))?;

    let acceptor = Arc::new(Acceptor { engine: engine.clone(), workers: handles });
    let listening = Arc::new(TcpListening::new(tokio::runtime::Handle::current()));
    let tcp_count = listening.change(&config, &acceptor).map_err(|reason| {
        tracing::warn!("Warning: {reason}");
        tracing::warn!("Failed listening on port {} (TCP), aborting.", config.port);
        format!("Failed listening on port {} (TCP), aborting: {reason}", config.port)
    })?;
    if tcp_count == 0 && unix.is_none() {
        tracing::warn!("Configured to not listen anywhere, exiting.");
        return Err("Configured to not listen anywhere, exiting.".into());
    }
    // The listeners are bound, and nobody is let in before this function waits for something.
    let load = {
        let (engine, directory) = (engine.clone(), directory.clone());
        move || {
            let loaded = Service::load(&engine, &directory);
            loaded.inspect_err(|reason| tracing::error!("The data set cannot be loaded: {reason}"))
        }
    };
    let loaded = if Service::finds_data(&directory, &config) { None } else { Some(load()?) };
    install_config_hook(&engine, listening.clone(), acceptor.clone(), title);
    let pid_file = PidFile::write(&config);
    if config.always_show_logo {
        show_banner(&config);
    }
    let used_bytes = memory::used_bytes();
    engine.startup_memory_bytes.store(used_bytes, Ordering::Relaxed);
    engine.used_memory_bytes.store(used_bytes, Ordering::Relaxed);
    tracing::info!("Server initialized, workers={workers}");
    let socket_path = unix.map(|listener| {
        let path = config.unixsocket.clone();
        tokio::spawn(acceptor.clone().serve_unix(listener, path.clone()));
        PathBuf::from(path)
    });
    let service = match loaded {
        Some(service) => service,
        None => tokio::select! {
            loaded = tokio::task::spawn_blocking(load) => {
                loaded.map_err(|panic| format!("Loading the data set ended in a panic: {panic}"))??
            }
            _ = signals.wait_for_end(&engine) => {
                tracing::warn!("The end was asked for while loading. Nothing has changed on disk.");
                std::process::exit(0)
            }
        },
    };
    service.start().map_err(|error| format!("Can't start the keeper's thread: {error}"))?;
    primary_link::start(acceptor.clone(), service.clone())
        .map_err(|error| format!("Can't start the thread that follows a primary: {error}"))?;
    if tcp_count > 0 {
        tracing::info!("Ready to accept connections tcp");
    }
    if socket_path.is_some() {
        tracing::info!("Ready to accept connections unix");
    }
    daemon::notify_supervisor(&config, "STATUS=Ready to accept connections\nREADY=1\n");

    loop {
        let kind = signals.wait_for_end(&engine).await;
        daemon::notify_supervisor(&config, "STOPPING=1\n");
        tracing::warn!("User requested shutdown...");
        let service = service.clone();
        let mut ending = tokio::task::spawn_blocking(move || service.end(kind == ShutdownKind::Save));
        let ended = tokio::select! {
            ended = &mut ending => ended,
            () = signals.insist() => {
                tracing::warn!("You insist... exiting now.");
                keeper::snapshot::remove_temporary(&engine.config.load());
                std::process::exit(1);
            }
        };
        match ended {
            Ok(Ok(())) => break,
            Ok(Err(reason)) => {
                tracing::error!("Error trying to save the DB, can't exit: {reason}");
                engine.shutdown.fail();
            }
            Err(panic) => return Err(format!("The end of the server ended in a panic: {panic}")),
        }
    }
    if let Some(path) = socket_path {
        tracing::info!("Removing the unix socket file.");
        // Somebody may have removed it before.
        let _ = std::fs::remove_file(path);
    }
    // Ahead of its clients' connections: who sees one end finds nobody there.
    listening.close();
    tokio::task::yield_now().await;
    drop(pid_file);
    tracing::warn!("Cairn is now ready to exit, bye bye...");
    // Workers are in the middle of whatever they do; the process ends under them.
    std::process::exit(0)
}

/// What CONFIG SET changes outside the configuration itself. Whatever may fail comes first.
fn install_config_hook(engine: &Engine, listening: Arc<TcpListening>, acceptor: Arc<Acceptor>, title: Title) {
    if let Err(error) = title.follow(&engine.config.load()) {
        tracing::warn!("The process title cannot be set: {error}");
    }
    logging::set_replica(engine.is_replica());
    let oom_score = OomScore::default();
    if let Err(reason) = oom_score.follow(&Config::default(), &engine.config.load()) {
        tracing::warn!("Unable to set the out-of-memory score: {reason}");
    }
    let hook = move |old: &Config, new: &Config| {
        let because = |directive: &str, reason: &str| (directive.to_owned(), reason.to_owned());
        if old.port != new.port || old.bind != new.bind {
            let (directive, reason) = if old.port != new.port {
                ("port", "Unable to listen on this port. Check server logs.")
            } else {
                ("bind", "Failed to bind to specified addresses.")
            };
            listening.change(new, &acceptor).map_err(|error| {
                tracing::warn!("{error}");
                because(directive, reason)
            })?;
        }
        if old.maxclients < new.maxclients {
            let fitting = fit_maxclients(new);
            if fitting < new.maxclients {
                let reason = format!(
                    "The operating system is not able to handle the specified number of clients, try with {fitting}"
                );
                return Err(because("maxclients", &reason));
            }
        }
        oom_score.follow(old, new).map_err(|error| {
            tracing::warn!("Unable to set the out-of-memory score: {error}");
            because("oom-score-adj", "Failed to apply new oom_score_adj configuration, check server logs.")
        })?;
        if old.dir != new.dir {
            std::env::set_current_dir(&new.dir).map_err(|error| because("dir", &error.to_string()))?;
        }
        if old.jemalloc_bg_thread != new.jemalloc_bg_thread {
            memory::set_background_purging(new.jemalloc_bg_thread)
                .map_err(|error| because("jemalloc-bg-thread", &error))?;
        }
        if old.appendonly != new.appendonly {
            acceptor.engine.persistence.ask_log(new.appendonly);
        }
        title.follow(new).map_err(|error| {
            tracing::warn!("{error}");
            because("proc-title-template", "failed to set process title")
        })?;
        logging::set_replica(new.replicaof.is_some());
        if old.loglevel != new.loglevel {
            logging::set_level(new.loglevel);
        }
        if old.log_format != new.log_format {
            logging::set_format(new.log_format);
        }
        Ok(())
    };
    // Nobody else installs one.
    let _ = engine.config_hook.set(Box::new(hook));
}

fn worker_count(config: &Config) -> usize {
    match config.io_threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        count => count,
    }
}

/// As many clients as the limit of open files allows.
fn fit_maxclients(config: &Config) -> u32 {
    let wanted = u64::from(config.maxclients) + SPARE_DESCRIPTORS;
    match process::raise_open_files_limit(wanted) {
        Ok(limit) if limit < wanted => {
            let fitting = limit.saturating_sub(SPARE_DESCRIPTORS).max(1) as u32;
            tracing::warn!("Current maximum open files is {limit}. maxclients has been reduced to {fitting}.");
            fitting
        }
        Ok(_) => config.maxclients,
        Err(error) => {
            tracing::warn!("Unable to obtain the current NOFILE limit ({error}).");
            config.maxclients
        }
    }
}

fn show_banner(config: &Config) {
    let banner = format!(
        "\n        /\\\n       /  \\        Cairn {} ({} bit)\n      /____\\\n     (______)      Running in standalone mode\n    \
         (________)     Port: {}\n   (__________)    PID: {}\n\n",
        CAIRN_VERSION,
        usize::BITS,
        config.port,
        std::process::id()
    );
    tracing::info!("{banner}");
}

/// The signals that end the server, and the one that must not.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// A terminal that closes sends it.
    _hangup: Signal,
}

impl Signals {
    fn watch() -> Result<Signals, String> {
        let watch = |kind| signal(kind).map_err(|error| format!("Can't watch for signals: {error}"));
        Ok(Signals {
            terminate: watch(SignalKind::terminate())?,
            interrupt: watch(SignalKind::interrupt())?,
            _hangup: watch(SignalKind::hangup())?,
        })
    }

    /// Waits for SHUTDOWN or a signal.
    async fn wait_for_end(&mut self, engine: &Engine) -> ShutdownKind {
        tokio::select! {
        kind = engine.shutdown.wait() => kind,
            kind = self.signalled(engine) => kind,
        }
    }

    /// Waits for a signal that nobody takes back.
    async fn signalled(&mut self, engine: &Engine) -> ShutdownKind {
        loop {
            let kind = tokio::select! {
                _ = self.terminate.recv() => {
                    tracing::warn!("Received SIGTERM scheduling shutdown...");
                    let config = engine.config.load();
                    kind_of(&config.shutdown_on_sigterm, &config)
                }
                _ = self.interrupt.recv() => {
                    tracing::warn!("Received SIGINT scheduling shutdown...");
                    let config = engine.config.load();
                    kind_of(&config.shutdown_on_sigint, &config)
                }
            };
            engine.shutdown.schedule();
            while engine.shutdown.paused.load(Ordering::Relaxed) && engine.shutdown.is_scheduled() {
                tokio::time::sleep(SCHEDULED_POLL).await;
            }
            if engine.shutdown.is_scheduled() {
                return kind;
            }
        }
    }

    /// Waits for one more signal.
    async fn insist(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Whether a signal's shutdown saves: as its directive says, else if there are save points.
fn kind_of(flags: &ShutdownFlags, config: &Config) -> ShutdownKind {
    if flags.save || !flags.nosave && !config.save.is_empty() { ShutdownKind::Save } else { ShutdownKind::NoSave }
}
