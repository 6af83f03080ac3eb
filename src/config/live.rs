//! The configuration in force, as an immutable value that is replaced whole.
//!
//! Readers take the `Arc` and keep it: nobody sees half a change. Changes go one at a time, each made on a copy, checked,
//! offered to the server to act on, and only then published; a change that fails anywhere leaves nothing behind.
//!
//! Locks: `changing` is held for the length of a change, the server's hook included, so a hook must not change the
//! configuration itself. `current` is held only to copy or replace the pointer. The generation is counted up while
//! `current` is held for writing: whoever sees a new generation and then loads gets that configuration or a later one,
//! which is why relaxed ordering is enough.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::rewrite::{RewriteError, RewriteOptions, rewrite_file};
use super::row::{FILE_ONLY, HIDDEN, MULTI, NOT_WHILE_LOADING, PROTECTED, REAPPLY, Reading, Row};
use super::table::{Config, ROWS, find};
use crate::base::glob;

/// The configuration of one server.
pub struct Live {
    current: RwLock<Arc<Config>>,
    generation: AtomicU64,
    changing: Mutex<()>,
    file: Option<PathBuf>,
}

/// Who asks for a change, and when.
#[derive(Debug, Clone, Copy, Default)]
pub struct SetContext {
    /// The client is on this machine, which may matter for guarded directives.
    pub is_local: bool,
    /// The data set is being loaded.
    pub is_loading: bool,
}

/// Why CONFIG SET changed nothing. Displays as the error's text without its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetError {
    UnknownDirective(String),
    Failed {
        directive: String,
        reason: String,
    },
    /// Not while the data set loads: answer with the error that says so.
    Loading,
}

impl SetError {
    fn failed(directive: &str, reason: impl Into<String>) -> SetError {
        SetError::Failed { directive: directive.to_string(), reason: reason.into() }
    }
}

impl fmt::Display for SetError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetError::UnknownDirective(name) => {
                write!(out, "Unknown option or number of arguments for CONFIG SET - '{name}'")
            }
            SetError::Failed { directive, reason } => {
                write!(out, "CONFIG SET failed (possibly related to argument '{directive}') - {reason}")
            }
            SetError::Loading => write!(out, "Redis is loading the dataset in memory"),
        }
    }
}

impl std::error::Error for SetError {}

impl Live {
    pub fn new(config: Config, file: Option<PathBuf>) -> Live {
        Live { current: RwLock::new(Arc::new(config)), generation: AtomicU64::new(1), changing: Mutex::new(()), file }
    }

    /// The configuration in force.
    pub fn load(&self) -> Arc<Config> {
        self.current.read().clone()
    }

    /// A number that grows with every change, never 0: cheap to compare before loading again.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// The file that the server was started with.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// CONFIG SET: all of the pairs or none. `apply` is called once with the old and the new configuration before the
    /// new one is published; it acts on what differs, or undoes what it did and names the directive at fault and the
    /// reason. Gives the rows that changed.
    pub fn set(
        &self,
        pairs: &[(&[u8], &[u8])],
        context: SetContext,
        apply: impl FnOnce(&Config, &Config) -> Result<(), (String, String)>,
    ) -> Result<Vec<&'static Row>, SetError> {
        let _changing = self.changing.lock();
        let old = self.load();
        let rows = settable(&old, pairs, context)?;
        let mut new = Config::clone(&old);
        let mut reading = Reading { from_file: false, save_seen: false, directory: old.dir.clone() };
        for ((row, spelling), (_, value)) in rows.iter().zip(pairs) {
            assign(row, &mut new, value, &mut reading).map_err(|reason| SetError::failed(spelling, reason))?;
        }
        new.clamp();
        let mut changed: Vec<&'static Row> = Vec::new();
        for (row, _) in rows {
            if (row.has(REAPPLY) || row.differs(&old, &new)) && !changed.contains(&row) {
                changed.push(row);
            }
        }
        apply(&old, &new).map_err(|(directive, reason)| SetError::failed(&directive, reason))?;
        self.publish(new);
        Ok(changed)
    }

    /// A change by the server itself, such as the primary that REPLICAOF names.
    pub fn update(&self, change: impl FnOnce(&mut Config)) {
        let _changing = self.changing.lock();
        let mut new = Config::clone(&self.load());
        change(&mut new);
        self.publish(new);
    }

    /// CONFIG REWRITE.
    pub fn rewrite(&self, options: RewriteOptions<'_>) -> Result<(), RewriteError> {
        let _changing = self.changing.lock();
        let file = self.file().ok_or(RewriteError::NoFile)?;
        rewrite_file(file, &self.load(), options)
    }

    fn publish(&self, config: Config) {
        let mut current = self.current.write();
        *current = Arc::new(config);
        self.generation.fetch_add(1, Ordering::Relaxed);
    }
}

/// CONFIG GET: name and value of every directive that one of the patterns names, each once. A name without pattern
/// characters is shown as it was spelled, and finds hidden directives too.
pub fn get(config: &Config, patterns: &[&[u8]]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, row: &Row| {
        if !found.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            found.push((name.to_string(), row.show(config)));
        }
    };
    for pattern in patterns {
        if !glob::is_pattern(pattern) {
            let name = String::from_utf8_lossy(pattern);
            if let Some((row, _)) = find(&name).filter(|(row, _)| !row.has(FILE_ONLY)) {
                add(&name, row);
            }
            continue;
        }
        for row in ROWS.iter().filter(|row| !row.has(FILE_ONLY | HIDDEN)) {
            for spelling in std::iter::once(&row.name).chain(row.aliases) {
                if glob::matches(pattern, spelling.as_bytes(), true) {
                    add(spelling, row);
                }
            }
        }
    }
    found
}

/// Whether the value of this directive must be kept out of logs, slow log and MONITOR.
pub fn is_sensitive(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(|name| find(name).is_some_and(|(row, _)| row.is_sensitive()))
}

type Found = (&'static Row, &'static str);

/// The rows of the names given, or the first objection to any of them.
fn settable(config: &Config, pairs: &[(&[u8], &[u8])], context: SetContext) -> Result<Vec<Found>, SetError> {
    let mut rows: Vec<Found> = Vec::with_capacity(pairs.len());
    for (name, _) in pairs {
        let name = String::from_utf8_lossy(name);
        let Some((row, spelling)) = find(&name).filter(|(row, _)| !row.has(FILE_ONLY)) else {
            return Err(SetError::UnknownDirective(name.into_owned()));
        };
        if !row.is_mutable() {
            return Err(SetError::failed(&name, "can't set immutable config"));
        }
        if row.has(PROTECTED) && !config.enable_protected_configs.allows(context.is_local) {
            return Err(SetError::failed(&name, "can't set protected config"));
        }
        if row.has(NOT_WHILE_LOADING) && context.is_loading {
            return Err(SetError::Loading);
        }
        if rows.iter().any(|(_, known)| *known == spelling) {
            return Err(SetError::failed(&name, "duplicate parameter"));
        }
        rows.push((row, spelling));
    }
    Ok(rows)
}

fn assign(row: &'static Row, config: &mut Config, value: &[u8], reading: &mut Reading) -> Result<(), String> {
    let value = std::str::from_utf8(value).map_err(|_| "argument is not valid UTF-8")?;
    let arguments: Vec<&str> = match value {
        value if !row.has(MULTI) => vec![value],
        "" => Vec::new(),
        value => value.split(' ').collect(),
    };
    (row.assign)(config, row, &arguments, reading)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> Live {
        Live::new(Config::default(), None)
    }

    fn set(live: &Live, pairs: &[(&str, &str)]) -> Result<Vec<&'static str>, String> {
        let pairs: Vec<(&[u8], &[u8])> =
            pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let changed = live.set(&pairs, SetContext::default(), |_, _| Ok(()));
        changed.map(|rows| rows.iter().map(|row| row.name).collect()).map_err(|error| error.to_string())
    }

    fn shown(live: &Live, patterns: &[&str]) -> Vec<(String, String)> {
        let patterns: Vec<&[u8]> = patterns.iter().map(|pattern| pattern.as_bytes()).collect();
        get(&live.load(), &patterns)
    }

    #[test]
    fn get_takes_patterns_names_and_aliases() {
        let live = fresh();
        let names: Vec<String> =
            shown(&live, &["slave-prio*", "maxmemory-po*", "nosuch"]).into_iter().map(|pair| pair.0).collect();
        assert_eq!(names, ["slave-priority", "maxmemory-policy"]);
        let pairs = shown(&live, &["PoRt", "port", "p?rt"]);
        assert_eq!(pairs, [("PoRt".to_string(), "6379".to_string())]);
        assert_eq!(shown(&live, &["use-exit-on-panic"]).len(), 1);
        assert_eq!(shown(&live, &["use-exit-on-pani*"]).len(), 0);
        assert_eq!(shown(&live, &["user", "include"]).len(), 0);
    }

    #[test]
    fn values_are_shown_in_the_usual_form() {
        let live = fresh();
        let value = |name: &str| shown(&live, &[name])[0].1.clone();
        assert_eq!(value("save"), "3600 1 300 100 60 10000");
        assert_eq!(
            value("client-output-buffer-limit"),
            "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"
        );
        assert_eq!(value("latency-tracking-info-percentiles"), "50 99 99.9");
        assert_eq!(value("bind"), "* -::*");
        assert_eq!(value("shutdown-on-sigterm"), "default");
        assert_eq!(value("oom-score-adj-values"), "0 200 800");
    }

    #[test]
    fn a_change_is_published_whole() {
        let live = fresh();
        let before = live.load();
        let generation = live.generation();
        let changed = set(&live, &[("maxmemory", "10mb"), ("HZ", "900"), ("timeout", "0")]).unwrap();
        assert_eq!(changed, ["maxmemory", "hz"]);
        assert_ne!(live.generation(), generation);
        assert_eq!((live.load().maxmemory, live.load().hz), (10 << 20, 500));
        assert_eq!(before.maxmemory, 0);
    }

    #[test]
    fn one_bad_value_changes_nothing() {
        let live = fresh();
        let error = set(&live, &[("maxmemory", "1mb"), ("maxmemory-clients", "200%")]).unwrap_err();
        assert_eq!(
            error,
            "CONFIG SET failed (possibly related to argument 'maxmemory-clients') - percentage argument must be less \
             or equal to 100"
        );
        assert_eq!(live.load().maxmemory, 0);
        assert_eq!(live.generation(), 1);
    }

    #[test]
    fn objections() {
        let live = fresh();
        let error = |pairs: &[(&str, &str)]| set(&live, pairs).unwrap_err();
        let failed =
            |name: &str, reason: &str| format!("CONFIG SET failed (possibly related to argument '{name}') - {reason}");
        assert_eq!(error(&[("nosuch", "1")]), "Unknown option or number of arguments for CONFIG SET - 'nosuch'");
        assert_eq!(error(&[("user", "x")]), "Unknown option or number of arguments for CONFIG SET - 'user'");
        assert_eq!(error(&[("Daemonize", "yes")]), failed("Daemonize", "can't set immutable config"));
        assert_eq!(error(&[("dir", "/")]), failed("dir", "can't set protected config"));
        assert_eq!(error(&[("hz", "1"), ("hz", "2")]), failed("hz", "duplicate parameter"));
        assert_eq!(error(&[("TIMEOUT", "x")]), failed("timeout", "argument couldn't be parsed into an integer"));
        assert_eq!(error(&[("slave-read-only", "x")]), failed("slave-read-only", "argument must be 'yes' or 'no'"));
        assert!(error(&[("activedefrag", "yes")]).contains("Active defragmentation cannot be enabled"));
        // Alias and name are separate parameters; the later one wins.
        assert!(set(&live, &[("slave-read-only", "no"), ("replica-read-only", "yes")]).is_ok());
    }

    #[test]
    fn multi_argument_values() {
        let live = fresh();
        set(&live, &[("save", "10 20 30 40"), ("bind", ""), ("shutdown-on-sigint", "nosave now")]).unwrap();
        let config = live.load();
        assert_eq!(config.save, [(10, 20), (30, 40)]);
        assert!(config.bind.is_empty());
        assert!(config.shutdown_on_sigint.nosave && config.shutdown_on_sigint.now);
        set(&live, &[("save", "")]).unwrap();
        assert!(live.load().save.is_empty());
        assert!(set(&live, &[("save", "1  2")]).is_err());
        assert!(set(&live, &[("shutdown-on-sigint", "")]).is_err());
        set(&live, &[("client-output-buffer-limit", "pubsub 1mb 2mb 3")]).unwrap();
        assert_eq!(live.load().client_output_buffer_limit.pubsub.hard_bytes, 1 << 20);
        assert_eq!(live.load().client_output_buffer_limit.replica.hard_bytes, 256 << 20);
    }

    #[test]
    fn the_server_may_veto() {
        let live = fresh();
        let result = live.set(&[(b"port", b"1")], SetContext::default(), |old, new| {
            assert_eq!((old.port, new.port), (6379, 1));
            Err(("port".to_string(), "Unable to listen on this port. Check server logs.".to_string()))
        });
        assert_eq!(
            result.unwrap_err().to_string(),
            "CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check server logs."
        );
        assert_eq!((live.load().port, live.generation()), (6379, 1));
    }

    #[test]
    fn guarded_directives_follow_their_switch() {
        let config =
            Config { enable_protected_configs: crate::config::choices::ProtectedAction::Local, ..Config::default() };
        let live = Live::new(config, None);
        let local = SetContext { is_local: true, ..SetContext::default() };
        let pair: [(&[u8], &[u8]); 1] = [(b"dbfilename", b"x.rdb")];
        assert!(live.set(&pair, SetContext::default(), |_, _| Ok(())).is_err());
        assert!(live.set(&pair, local, |_, _| Ok(())).is_ok());
        let loading = SetContext { is_loading: true, ..SetContext::default() };
        let result = live.set(&[(b"appendonly", b"yes")], loading, |_, _| Ok(()));
        assert_eq!(result, Err(SetError::Loading));
    }

    #[test]
    fn secrets() {
        assert!(is_sensitive(b"RequirePass"));
        assert!(!is_sensitive(b"port"));
        assert!(!is_sensitive(b"\xff"));
    }

    #[test]
    fn the_server_changes_it_too() {
        let live = fresh();
        live.update(|config| config.timeout = 5);
        assert_eq!((live.load().timeout, live.generation()), (5, 2));
    }
}
