//! The process's title, as `proc-title-template` wants it.

use std::path::Path;

use crate::base::process_title::ProcessTitle;
use crate::config::Config;
use crate::config::text::expand_template;

pub struct Title {
    /// None where `set-proc-title` says no, or the system does not let us.
    shown: Option<ProcessTitle>,
    program: String,
    file: String,
}

impl Title {
    /// Takes the place for titles, unless the configuration says no.
    ///
    /// # Safety
    /// No other thread runs yet.
    #[allow(unsafe_code)]
    pub unsafe fn claim(config: &Config, file: Option<&Path>) -> Title {
        let program = std::env::args().next().unwrap_or_default();
        let file = file.map_or_else(|| "-".to_owned(), |file| file.to_string_lossy().into_owned());
        // SAFETY: the caller says so.
        let claim = || unsafe { ProcessTitle::claim() };
        let shown = config.set_proc_title.then(claim).transpose();
        let shown = shown.inspect_err(|error| tracing::warn!("The process title cannot be set: {error}"));
        Title { shown: shown.unwrap_or_default(), program, file }
    }

    /// Shows what the configuration says.
    pub fn follow(&self, config: &Config) -> std::io::Result<()> {
        let Some(shown) = &self.shown else { return Ok(()) };
        let port = if config.port != 0 { config.port } else { config.tls_port };
        let value = |name: &str| {
            Some(match name {
                "title" => self.program.clone(),
                "listen-addr" if port == 0 => format!("unixsocket:{}", config.unixsocket),
                "listen-addr" => format!("{}:{port}", config.bind.first().map_or("*", String::as_str)),
                "server-mode" if config.cluster_enabled => "[cluster]".to_owned(),
                "server-mode" => String::new(),
                "config-file" => self.file.clone(),
                "port" => config.port.to_string(),
                "tls-port" => config.tls_port.to_string(),
                "unixsocket" => config.unixsocket.clone(),
                _ => return None,
            })
        };
        expand_template(&config.proc_title_template, value).map_or(Ok(()), |title| shown.show(&title))
    }
}
