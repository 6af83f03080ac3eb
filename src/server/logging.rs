//! The log: redis-server's line format by default, because tools read it; JSON on request.
//!
//! `12:M 22 Nov 2026 23:00:00.123 * Ready to accept connections tcp`: process, role, local time, a mark for the level
//! (`.` debug, `-` verbose, `*` notice, `#` warning), message. The log file is opened for each line, so that it may be
//! renamed or removed under a running server.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use crate::base::clock;
use crate::config::Config;
use crate::config::choices::{Choice, LogFormat, LogLevel};

/// Whether lines are JSON.
static JSON: AtomicBool = AtomicBool::new(false);
/// Whether lines are those of a replica.
static IS_REPLICA: AtomicBool = AtomicBool::new(false);
static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::TRACE,
        LogLevel::Verbose => LevelFilter::DEBUG,
        LogLevel::Notice => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Nothing => LevelFilter::OFF,
    }
}

/// Starts logging as the configuration says. Called once, before threads start.
pub fn start(config: &Config) -> io::Result<()> {
    let target = SharedTarget(Arc::new(Target::open(config)?));
    let (level, handle) = reload::Layer::new(filter(config.loglevel));
    set_format(config.log_format);
    let line = tracing_subscriber::fmt::layer().event_format(RedisLine).with_writer(target.clone());
    let json = tracing_subscriber::fmt::layer().json().with_writer(target);
    let registry = Registry::default().with(level);
    registry.with(line.with_filter(when_json(false))).with(json.with_filter(when_json(true))).init();
    // A panic ends one connection or one thread; where it was belongs in the log with everything else.
    std::panic::set_hook(Box::new(|panic| tracing::error!("Panic: {panic}")));
    // Set once: `init` above would have failed on a second call.
    let _ = LEVEL.set(handle);
    Ok(())
}

/// Lets lines through while they are to be JSON, or while they are not.
fn when_json<S: Subscriber>(wanted: bool) -> impl Filter<S> {
    dynamic_filter_fn(move |_, _: &Context<'_, S>| JSON.load(Ordering::Relaxed) == wanted)
}

/// Changes the level of a running server.
pub fn set_level(level: LogLevel) {
    if let Some(handle) = LEVEL.get() {
        // The subscriber lives as long as the process.
        let _ = handle.modify(|current| *current = filter(level));
    }
}

/// Changes the format of the lines to come.
pub fn set_format(format: LogFormat) {
    JSON.store(format == LogFormat::Json, Ordering::Relaxed);
}

/// Says whether the lines to come are a replica's.
pub fn set_replica(is_replica: bool) {
    IS_REPLICA.store(is_replica, Ordering::Relaxed);
}

struct RedisLine;

impl<S, N> FormatEvent<S, N> for RedisLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, cx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mark = match *event.metadata().level() {
            Level::TRACE => '.',
            Level::DEBUG => '-',
            Level::INFO => '*',
            Level::WARN | Level::ERROR => '#',
        };
        let role = if IS_REPLICA.load(Ordering::Relaxed) { 'S' } else { 'M' };
        write!(writer, "{}:{role} {} {mark} ", std::process::id(), clock::log_stamp())?;
        cx.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// Where lines go.
struct Target {
    file: Option<PathBuf>,
    syslog: Option<Syslog>,
    silent: bool,
}

impl Target {
    fn open(config: &Config) -> io::Result<Target> {
        let file = (!config.logfile.is_empty()).then(|| PathBuf::from(&config.logfile));
        if let Some(path) = &file {
            OpenOptions::new().append(true).create(true).open(path)?;
        }
        let syslog = if config.syslog_enabled { Some(Syslog::open(config)?) } else { None };
        Ok(Target { silent: file.is_none() && config.daemonize, file, syslog })
    }
}

/// The same, for the layers of both formats.
#[derive(Clone)]
struct SharedTarget(Arc<Target>);

impl<'a> MakeWriter<'a> for SharedTarget {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter(&self.0)
    }
}

/// Writes one line to each target. A line that cannot be written is lost: there is nowhere to say so.
struct LineWriter<'a>(&'a Target);

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(syslog) = &self.0.syslog {
            syslog.send(line);
        }
        match &self.0.file {
            Some(path) => OpenOptions::new().append(true).create(true).open(path)?.write_all(line)?,
            None if self.0.silent => {}
            None => io::stdout().lock().write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The system logger, by the datagram protocol of RFC 3164.
struct Syslog {
    socket: UnixDatagram,
    facility: u8,
    ident: String,
}

impl Syslog {
    fn open(config: &Config) -> io::Result<Syslog> {
        let socket = UnixDatagram::unbound()?;
        let facility = match config.syslog_facility.word() {
            "user" => 1,
            local => 16 + local.trim_start_matches("local").parse::<u8>().unwrap_or(0),
        };
        Ok(Syslog { socket, facility, ident: config.syslog_ident.clone() })
    }

    fn send(&self, line: &[u8]) {
        const NOTICE: u8 = 5;
        let mut message =
            format!("<{}>{}[{}]: ", self.facility * 8 + NOTICE, self.ident, std::process::id()).into_bytes();
        message.extend_from_slice(line.trim_ascii_end());
        // A logger that is away must not stop the server.
        let _ = self.socket.send_to(&message, "/dev/log");
    }
}
