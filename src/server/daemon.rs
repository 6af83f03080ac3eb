//! The process among others: background, pid file, supervisor.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use crate::base::process;
use crate::config::Config;
use crate::config::choices::Supervised;

/// The pid file of a daemon that names none.
const DEFAULT_PID_FILE: &str = "/var/run/redis.pid";

/// Goes to the background if asked. Must be called before any thread starts.
pub fn detach_if_asked(config: &Config) -> io::Result<()> {
    if config.daemonize && config.supervised == Supervised::No { process::detach() } else { Ok(()) }
}

/// The pid file, removed when the value is dropped.
pub struct PidFile(PathBuf);

impl PidFile {
    /// Writes the pid file if the configuration wants one. That it cannot be written is worth a warning, no more.
    pub fn write(config: &Config) -> Option<PidFile> {
        let path = match (config.pidfile.is_empty(), config.daemonize) {
            (false, _) => PathBuf::from(&config.pidfile),
            (true, true) => PathBuf::from(DEFAULT_PID_FILE),
            (true, false) => return None,
        };
        match std::fs::write(&path, format!("{}\n", std::process::id())) {
            Ok(()) => Some(PidFile(path)),
            Err(error) => {
                tracing::debug!("Failed to write PID file {}: {error}", path.display());
                None
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Whoever removed it before us wanted it gone too.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Tells a supervisor that the server serves, or ends.
pub fn notify_supervisor(config: &Config, state: &str) {
    if !matches!(config.supervised, Supervised::Systemd | Supervised::Auto) {
        return;
    }
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let sent = UnixDatagram::unbound().and_then(|socket| socket.send_to(state.as_bytes(), path));
    if let Err(error) = sent {
        tracing::warn!("systemd supervision error: {error}");
    }
}
