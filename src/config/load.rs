//! Reads configuration text: a file and what it includes, standard input, the command line, in this order; later lines
//! win. Stops at the first line that is wrong. Reads files, writes none, changes nothing of the process: the working
//! directory that `dir` names is only remembered, and relative includes after it count from there.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::arguments::Arguments;
use super::row::{FILE_ONLY, MULTI, Reading, Row, Status};
use super::table::{Config, IGNORED, ROWS, find};
use super::{include, text};
use crate::base::quoting::split_arguments;

/// How deep files may include files; a file that includes itself would never end.
const INCLUDE_DEPTH_MAX: usize = 16;

/// A configuration as read, not yet in force.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    /// The absolute path of the file given, which CONFIG REWRITE writes to.
    pub file: Option<PathBuf>,
    /// For the log, once there is one.
    pub warnings: Vec<String>,
}

/// Where a line stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    File(PathBuf),
    StandardInput,
    CommandLine,
}

/// Why the server cannot start with this configuration. Displays as the text to print before exit code 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    /// Where: the source, the number of the line counted from 1, and the line. None where no line is at fault.
    pub place: Option<(Source, usize, String)>,
    pub reason: String,
}

impl LoadError {
    /// For a fault found after reading, such as a log file that cannot be opened.
    pub fn general(reason: impl Into<String>) -> LoadError {
        LoadError { place: None, reason: reason.into() }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "\n*** FATAL CONFIG FILE ERROR (Cairn {}) ***", env!("CARGO_PKG_VERSION"))?;
        if let Some((source, number, line)) = &self.place {
            match source {
                Source::File(path) => {
                    writeln!(out, "Reading the configuration file '{}', at line {number}", path.display())?;
                }
                Source::StandardInput => writeln!(out, "Reading standard input, at line {number}")?,
                Source::CommandLine => writeln!(out, "Reading the command line, at directive {number}")?,
            }
            writeln!(out, ">>> '{line}'")?;
        }
        write!(out, "{}", self.reason)
    }
}

impl std::error::Error for LoadError {}

/// Reads everything that the command line names.
pub fn load(arguments: &Arguments, stdin: &mut dyn Read) -> Result<Loaded, LoadError> {
    let directory = std::env::current_dir().map_err(|error| LoadError::general(text::system_reason(&error)))?;
    let file = arguments.file.as_ref().map(|file| directory.join(file));
    let mut loader = Loader::new(directory);
    if let Some(file) = &file {
        loader.read_file(file, 0)?;
    }
    if arguments.from_stdin {
        let mut content = Vec::new();
        let reason = |error| format!("Can't read standard input: {}", text::system_reason(&error));
        stdin.read_to_end(&mut content).map_err(|error| LoadError::general(reason(error)))?;
        loader.read_text(&Source::StandardInput, &content, 0)?;
    }
    loader.read_text(&Source::CommandLine, &arguments.directives, 0)?;
    let (config, warnings) = loader.finish()?;
    Ok(Loaded { config, file, warnings })
}

/// Reads configuration text that is no file, for tests and tools.
pub fn load_text(content: &str) -> Result<Config, LoadError> {
    load(&Arguments { from_stdin: true, ..Arguments::default() }, &mut content.as_bytes()).map(|loaded| loaded.config)
}

/// The directives that differ from their defaults and have no effect, with the reason: worth a warning at start.
pub fn without_effect(config: &Config) -> Vec<(&'static Row, &'static str)> {
    let default = Config::default();
    let reason = |row: &'static Row| match row.status {
        Status::Accepted(reason) if row.differs(config, &default) => Some((row, reason)),
        _ => None,
    };
    ROWS.iter().filter_map(reason).collect()
}

impl Config {
    /// Brings what is only a wish into the range that works.
    pub(super) fn clamp(&mut self) {
        self.hz = self.hz.clamp(1, 500);
    }
}

struct Loader {
    config: Config,
    reading: Reading,
    /// The first directive of a module; an error unless some line loads a module.
    module_directive: Option<LoadError>,
}

impl Loader {
    fn new(directory: PathBuf) -> Loader {
        let config = Config { dir: directory.clone(), ..Config::default() };
        let reading = Reading { from_file: true, save_seen: false, directory };
        Loader { config, reading, module_directive: None }
    }

    fn read_file(&mut self, path: &Path, depth: usize) -> Result<(), LoadError> {
        let content = std::fs::read(path).map_err(|error| {
            let reason = text::system_reason(&error);
            LoadError::general(format!("Fatal error, can't open config file '{}': {reason}", path.display()))
        })?;
        self.read_text(&Source::File(path.to_path_buf()), &content, depth)
    }

    fn read_text(&mut self, source: &Source, content: &[u8], depth: usize) -> Result<(), LoadError> {
        for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let fault = |reason: String| LoadError {
                place: Some((source.clone(), index + 1, String::from_utf8_lossy(line).into_owned())),
                reason,
            };
            let words = split_words(line).map_err(fault)?;
            let Some((name, arguments)) = words.split_first() else {
                continue;
            };
            let name = name.to_ascii_lowercase();
            if name == "include" && arguments.len() == 1 {
                self.include(&arguments[0], depth).map_err(|error| match error {
                    IncludeError::Here(reason) => fault(reason),
                    IncludeError::Inside(error) => error,
                })?;
            } else if name.contains('.') && find(&name).is_none() {
                if arguments.is_empty() {
                    return Err(fault("Module config specified without value".to_string()));
                }
                self.module_directive.get_or_insert_with(|| {
                    fault(
                        "Module Configuration detected without loadmodule directive or no ApplyConfig call: aborting"
                            .to_string(),
                    )
                });
            } else {
                self.directive(&name, arguments).map_err(fault)?;
            }
        }
        Ok(())
    }

    fn include(&mut self, name: &str, depth: usize) -> Result<(), IncludeError> {
        if depth >= INCLUDE_DEPTH_MAX {
            return Err(IncludeError::Here(format!("include files are nested deeper than {INCLUDE_DEPTH_MAX} levels")));
        }
        for path in include::expand(Path::new(name), &self.reading.directory) {
            self.read_file(&path, depth + 1).map_err(IncludeError::Inside)?;
        }
        self.config.include.push(vec![name.to_string()]);
        Ok(())
    }

    fn directive(&mut self, name: &str, arguments: &[String]) -> Result<(), String> {
        let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let Some((row, _)) = find(name) else {
            let is_ignored = IGNORED.contains(&name) && arguments.len() == 1;
            return match name {
                _ if is_ignored => Ok(()),
                "sentinel" if !arguments.is_empty() => Err("sentinel directive while not in sentinel mode".to_string()),
                _ => Err("Bad directive or wrong number of arguments".to_string()),
            };
        };
        if !row.has(MULTI) && !row.has(FILE_ONLY) && arguments.len() != 1 {
            return Err("wrong number of arguments".to_string());
        }
        // Several arguments may come quoted as one, as from a command line.
        let inner;
        if row.has(MULTI)
            && let [only] = arguments[..]
            && !only.is_empty()
        {
            inner = split_words(only.as_bytes())?;
            arguments = inner.iter().map(String::as_str).collect();
        }
        (row.assign)(&mut self.config, row, &arguments, &mut self.reading)
    }

    /// Checks what no single line can be blamed for.
    fn finish(mut self) -> Result<(Config, Vec<String>), LoadError> {
        if let Some(fault) = self.module_directive
            && self.config.loadmodule.is_empty()
        {
            return Err(fault);
        }
        let mut warnings = Vec::new();
        if self.config.cluster_enabled && self.config.replicaof.is_some() {
            return Err(LoadError::general("replicaof directive not allowed in cluster mode"));
        }
        if self.config.cluster_enabled && self.config.databases > 1 {
            warnings.push(format!(
                "WARNING: Changing databases number from {} to 1 since we are in cluster mode",
                self.config.databases
            ));
            self.config.databases = 1;
        }
        self.config.clamp();
        Ok((self.config, warnings))
    }
}

enum IncludeError {
    Here(String),
    Inside(LoadError),
}

fn split_words(line: &[u8]) -> Result<Vec<String>, String> {
    let words = split_arguments(line).ok_or("Unbalanced quotes in configuration line")?;
    let as_text = |word| String::from_utf8(word).map_err(|_| "argument is not valid UTF-8".to_string());
    words.into_iter().map(as_text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::choices::LogLevel;
    use crate::config::special::{MemoryOrPercent, OutputLimit};
    use crate::config::test_directory::TestDirectory;

    fn reason(content: &str) -> String {
        load_text(content).unwrap_err().reason
    }

    #[test]
    fn typed_fields() {
        let config = load_text(
            "# comment\n\n  PORT 7000\r\nbind 127.0.0.1 -::1\nLogLevel WARNING\nmaxmemory 1gb\nunixsocketperm 700\n\
             client-output-buffer-limit slave 1mb 2k 3\nmaxmemory-clients 5%\nslave-read-only no\n\
             replicaof 10.0.0.1 6379\nlua-time-limit 7\nrequirepass \"a\\x00b\"\nlist-max-ziplist-entries 3\n",
        )
        .unwrap();
        assert_eq!(config.port, 7000);
        assert_eq!(config.bind, ["127.0.0.1", "-::1"]);
        assert_eq!(config.loglevel, LogLevel::Warning);
        assert_eq!(config.maxmemory, 1 << 30);
        assert_eq!(config.unixsocketperm, 0o700);
        let replica = OutputLimit { hard_bytes: 1 << 20, soft_bytes: 2000, soft_seconds: 3 };
        assert_eq!(config.client_output_buffer_limit.replica, replica);
        assert_eq!(config.maxmemory_clients, MemoryOrPercent::Percent(5));
        assert!(!config.replica_read_only);
        assert_eq!(config.replicaof, Some(("10.0.0.1".to_string(), 6379)));
        assert_eq!(config.busy_reply_threshold, 7);
        assert_eq!(config.requirepass, "a\0b");
    }

    #[test]
    fn save_lines_add_up() {
        let save = |content: &str| load_text(content).unwrap().save;
        assert_eq!(save(""), [(3600, 1), (300, 100), (60, 10000)]);
        assert_eq!(save("save 1 2\nsave 3 4"), [(1, 2), (3, 4)]);
        assert_eq!(save("save \"1 2 3 4\""), [(1, 2), (3, 4)]);
        assert_eq!(save("save \"\""), []);
        assert_eq!(save("save 1 2\nsave \"\"\nsave 5 6"), [(5, 6)]);
    }

    #[test]
    fn bad_lines_say_why() {
        assert_eq!(reason("nosuch 1"), "Bad directive or wrong number of arguments");
        assert_eq!(reason("port"), "wrong number of arguments");
        assert_eq!(reason("port 1 2"), "wrong number of arguments");
        assert_eq!(reason("port 70000"), "argument must be between 0 and 65535 inclusive");
        assert_eq!(reason("port abc"), "argument couldn't be parsed into an integer");
        assert_eq!(reason("port \"1"), "Unbalanced quotes in configuration line");
        assert_eq!(reason("maxmemory 1x"), "argument must be a memory value");
        assert_eq!(reason("unixsocketperm 9"), "argument couldn't be parsed as an octal number");
        assert_eq!(reason("unixsocketperm 1000"), "argument must be between 0 and 777 inclusive");
        assert_eq!(reason("appendonly maybe"), "argument must be 'yes' or 'no'");
        assert_eq!(reason("appendfsync never"), "argument(s) must be one of the following: everysec, always, no");
        assert_eq!(reason("save 1"), "Invalid save parameters");
        assert_eq!(reason("save 0 1"), "Invalid save parameters");
        assert_eq!(reason("replicaof host"), "wrong number of arguments");
        assert_eq!(reason("replicaof host 70000"), "Invalid master port");
        assert_eq!(reason("dir /no/such/directory"), "No such file or directory");
        assert_eq!(reason("dir /dev/null"), "Not a directory");
        assert_eq!(reason("dbfilename a/b"), "dbfilename can't be a path, just a filename");
        assert_eq!(reason("appendfilename \"\""), "appendfilename can't be empty");
        assert_eq!(reason("appenddirname a/b"), "appenddirname can't be a path, just a dirname");
        assert_eq!(reason("rename-command one"), "Bad directive or wrong number of arguments");
        assert_eq!(reason("proc-title-template {nope}"), "template format is invalid or contains unknown variables");
        assert_eq!(reason("server_cpulist x"), "argument must be a list of CPUs such as 0-3 or 0,2");
        assert_eq!(
            reason("shutdown-on-sigint \"save nosave\""),
            "shutdown options SAVE and NOSAVE can't be used simultaneously"
        );
        assert_eq!(
            reason("client-output-buffer-limit normal 1"),
            "Wrong number of arguments in buffer limit configuration."
        );
        assert_eq!(
            reason("client-output-buffer-limit master 1 1 1"),
            "Invalid client class specified in buffer limit configuration."
        );
        assert_eq!(reason("notify-keyspace-events q"), "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
        assert_eq!(reason("sentinel monitor x"), "sentinel directive while not in sentinel mode");
        assert!(reason("mod.x 1").starts_with("Module Configuration detected"));
        assert!(load_text("mod.x 1\nloadmodule /x.so").is_ok());
    }

    #[test]
    fn faults_no_line_is_to_blame_for() {
        let error = load_text("cluster-enabled yes\nreplicaof a 1").unwrap_err();
        assert_eq!(error.place, None);
        assert_eq!(error.reason, "replicaof directive not allowed in cluster mode");
        assert_eq!(load_text("cluster-enabled yes").unwrap().databases, 1);
        assert_eq!(load_text("hz 0").unwrap().hz, 1);
        assert_eq!(load_text("hz 9999").unwrap().hz, 500);
    }

    #[test]
    fn the_error_names_source_line_and_reason() {
        let error = load_text("port 1\n  port x ").unwrap_err().to_string();
        let expected = format!(
            "\n*** FATAL CONFIG FILE ERROR (Cairn {}) ***\nReading standard input, at line 2\n>>> 'port x'\n\
             argument couldn't be parsed into an integer",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(error, expected);
    }

    #[test]
    fn files_include_files() {
        let directory = TestDirectory::new("include");
        directory.write("conf.d/b.conf", "port 2\n");
        directory.write("conf.d/a.conf", "port 1\nhz 20\n");
        directory.write("conf.d/.hidden.conf", "nosuch\n");
        directory.write("bad.conf", "\nport x\n");
        let main = directory.write(
            "main.conf",
            &format!("include {0}/conf.d/*.conf\ninclude {0}/none-*.conf\n", directory.path().display()),
        );
        let read = |file: &Path| load(&Arguments { file: Some(file.into()), ..Arguments::default() }, &mut &b""[..]);
        let loaded = read(&main).unwrap();
        assert_eq!((loaded.config.port, loaded.config.hz), (2, 20));
        assert_eq!(loaded.file, Some(main.clone()));

        let bad = directory.write("outer.conf", &format!("dir {}\ninclude bad.conf", directory.path().display()));
        let (source, line, _) = read(&bad).unwrap_err().place.unwrap();
        assert_eq!((source, line), (Source::File(directory.path().join("bad.conf")), 2));

        let looping = directory.write("loop.conf", "");
        directory.write("loop.conf", &format!("include {}", looping.display()));
        assert_eq!(read(&looping).unwrap_err().reason, "include files are nested deeper than 16 levels");

        let missing = directory.write("missing.conf", "include /no/such/file");
        assert_eq!(
            read(&missing).unwrap_err().reason,
            "Fatal error, can't open config file '/no/such/file': No such file or directory"
        );
    }

    #[test]
    fn the_command_line_wins() {
        let arguments = crate::config::parse_arguments(&["-".into(), "--port".into(), "3".into()]);
        let loaded = load(&arguments, &mut &b"port 1\nhz 30"[..]).unwrap();
        assert_eq!((loaded.config.port, loaded.config.hz), (3, 30));
        let arguments = crate::config::parse_arguments(&["--port".into(), "x".into()]);
        let (source, line, content) = load(&arguments, &mut &b""[..]).unwrap_err().place.unwrap();
        assert_eq!((source, line, content.as_str()), (Source::CommandLine, 1, "port \"x\""));
    }

    #[test]
    fn accepted_directives_are_reported_when_they_are_used() {
        let names = |content: &str| -> Vec<&str> {
            without_effect(&load_text(content).unwrap()).iter().map(|(row, _)| row.name).collect()
        };
        assert_eq!(names("port 1"), Vec::<&str>::new());
        assert_eq!(names("port 1\naof-disable-auto-gc yes"), ["aof-disable-auto-gc"]);
    }
}
