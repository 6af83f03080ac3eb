//! The configuration files in the repository, and the configuration room held against the redis-server of this machine.
//!
//! `UPDATE=1 cargo test --test config_files` writes the rendered files anew.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cairn::config::choices::{MaxmemoryPolicy, ProtectedAction};
use cairn::config::row::{HIDDEN, Status};
use cairn::config::{self, Arguments, Config, Live, Loaded, RewriteOptions, SetContext};

fn in_repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn load_file(path: &Path) -> Loaded {
    let arguments = Arguments { file: Some(path.to_path_buf()), ..Arguments::default() };
    config::load(&arguments, &mut std::io::empty()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn assert_fresh(name: &str, rendered: &str) {
    let path = in_repository(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, rendered).expect("write the rendered file");
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == rendered, "{name} is stale: UPDATE=1 cargo test --test config_files");
}

#[test]
fn the_default_file_is_fresh_and_changes_nothing() {
    assert_fresh("config/cairn.conf", &config::render_default_conf());
    let loaded = load_file(&in_repository("config/cairn.conf"));
    let default = Config { dir: loaded.config.dir.clone(), ..Config::default() };
    assert_eq!(loaded.config, default);
    assert!(config::without_effect(&loaded.config).is_empty());
}

#[test]
fn the_page_of_directives_is_fresh() {
    assert_fresh("docs/directives.md", &config::render_directives_page());
}

#[test]
fn the_files_for_special_uses_load() {
    let cache = load_file(&in_repository("config/cache.conf")).config;
    assert!(!cache.appendonly && cache.save.is_empty());
    assert_eq!((cache.maxmemory, cache.maxmemory_policy), (1 << 30, MaxmemoryPolicy::AllkeysLru));
    let node = load_file(&in_repository("config/cluster-node.conf")).config;
    assert!(node.cluster_enabled && node.appendonly);
    assert_eq!((node.port, node.databases), (7000, 1));
}

#[test]
fn every_row_is_sound() {
    let default = Config::default();
    let mut names: Vec<&str> = Vec::new();
    for row in config::ROWS {
        names.push(row.name);
        names.extend(row.aliases);
        assert!(!row.documentation.is_empty() && row.documentation.len() <= 4, "{row:?}");
        if let Status::Accepted(reason) = row.status {
            assert!(reason.ends_with('.') && !reason.contains("  "), "{row:?}: {reason}");
        }
        for spelling in std::iter::once(&row.name).chain(row.aliases) {
            assert_eq!(config::find(&spelling.to_uppercase()).map(|found| found.0), Some(row));
        }
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a name is given twice");

    // Every default, as it is shown, can be set again.
    let live = Live::new(Config { enable_protected_configs: ProtectedAction::Yes, ..default.clone() }, None);
    for row in config::ROWS.iter().filter(|row| row.is_mutable()) {
        let value = row.show(&default);
        let result = live.set(&[(row.name.as_bytes(), value.as_bytes())], SetContext::default(), |_, _| Ok(()));
        assert!(result.is_ok(), "{row:?} does not take its default {value:?}: {result:?}");
    }
}

#[test]
fn debians_own_file_loads() {
    let path = Path::new("/etc/redis/redis.conf");
    let content = fs::read(path).unwrap_or_else(|error| {
        panic!("{} cannot be read ({error}): apt-get install redis-server, and run as root", path.display())
    });
    // Its directory exists only where the package's own user was set up completely; the rest must load anywhere.
    let text = String::from_utf8(content).expect("UTF-8").replace("\ndir /var/lib/redis\n", "\ndir /\n");
    let config = config::load_text(&text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.bind, ["127.0.0.1", "-::1"]);
    assert!(config.daemonize);
    assert_eq!(config.client_output_buffer_limit.pubsub.soft_bytes, 8 << 20);
}

#[test]
fn defaults_agree_with_redis_server() {
    // Named here because they differ on purpose or because the test sets them.
    const DIFFERENT: [&str; 8] = [
        "appendonly",
        "io-threads",
        "dir",
        "port",
        "unixsocket",
        "save",
        "aof-disable-auto-gc",
        "latency-tracking-info-percentiles",
    ];
    let mut oracle = Oracle::start("defaults");
    let pairs = oracle.call(&["CONFIG", "GET", "*"]).unwrap();
    assert!(pairs.len() > 300, "{} strings", pairs.len());
    let default = Config::default();
    for pair in pairs.chunks(2) {
        let found = config::get(&default, &[pair[0].as_bytes()]);
        let [(_, value)] = &found[..] else {
            panic!("{} is not in the table", pair[0]);
        };
        if !DIFFERENT.contains(&pair[0].as_str()) {
            assert_eq!(value, &pair[1], "{}", pair[0]);
        }
    }
    // And nothing is in the table that redis-server 7.0 does not know, but for what 7.2 and Cairn added.
    let newer = [
        "log-format",
        "log-retention",
        "log-settle-bytes",
        "locale-collate",
        "cluster-announce-human-nodename",
        "set-max-listpack-entries",
        "set-max-listpack-value",
    ];
    for (name, _) in config::get(&default, &[b"*"]) {
        assert!(newer.contains(&name.as_str()) || pairs.chunks(2).any(|pair| pair[0] == name), "{name}");
    }
    assert!(config::ROWS.iter().any(|row| row.has(HIDDEN)));
}

#[test]
fn config_set_answers_as_redis_server_does() {
    let changes: &[&[&str]] = &[
        &["maxmemory", "1k"],
        &["maxmemory", "1KB", "maxmemory-policy", "ALLKEYS-LRU"],
        &["maxmemory", "1x"],
        &["maxmemory", "-1"],
        &["maxmemory", ""],
        &["maxmemory-clients", "5%"],
        &["maxmemory-clients", "0%"],
        &["maxmemory-clients", "101%"],
        &["maxmemory-clients", "x%"],
        &["maxmemory-clients", "99999999999999999"],
        &["hz", "0"],
        &["hz", "1000"],
        &["hz", "-1"],
        &["hz", "007"],
        &["hz", " 7"],
        &["hz", "10", "HZ", "11"],
        &["timeout", "2147483648"],
        &["timeout", "99999999999999999999"],
        &["maxclients", "0"],
        &["port", "65536"],
        &["nosuch", "1"],
        &["hz", "10", "nosuch", "1"],
        &["nosuch", "1", "daemonize", "yes"],
        &["daemonize", "yes"],
        &["DAEMONIZE", "yes", "nosuch", "1"],
        &["dir", "/tmp"],
        &["DbFileName", "x"],
        &["appendfsync", "never"],
        &["appendfsync", "ALWAYS"],
        &["Appendonly", "maybe"],
        &["slave-read-only", "NO"],
        &["Slave-Read-Only", "nope"],
        &["slave-read-only", "no", "replica-read-only", "yes"],
        &["save", "1 2 3"],
        &["save", "1 2 30 40"],
        &["save", "1  2"],
        &["save", "0 1"],
        &["save", "1 -1"],
        &["save", "a b"],
        &["save", ""],
        &["save", "3600 1"],
        &["client-output-buffer-limit", "normal 1 2 3"],
        &["client-output-buffer-limit", "NORMAL 1mb 2kb 3 slave 4 5 6"],
        &["client-output-buffer-limit", "normal 1"],
        &["client-output-buffer-limit", "master 1 2 3"],
        &["client-output-buffer-limit", "normal 1 2 x"],
        &["client-output-buffer-limit", "normal -1 2 3"],
        &["client-output-buffer-limit", ""],
        &["notify-keyspace-events", "KEA"],
        &["notify-keyspace-events", "Exge$"],
        &["notify-keyspace-events", "q"],
        &["notify-keyspace-events", "g$lshzxetdm"],
        &["notify-keyspace-events", ""],
        &["oom-score-adj-values", "1 2"],
        &["oom-score-adj-values", "1 2 3000"],
        &["oom-score-adj-values", "1 2 3"],
        &["oom-score-adj", "maybe"],
        &["latency-tracking-info-percentiles", "50 99.9 100.0"],
        &["latency-tracking-info-percentiles", "50 101"],
        &["latency-tracking-info-percentiles", "50 x"],
        &["latency-tracking-info-percentiles", ""],
        &["shutdown-on-sigint", "nosave now"],
        &["shutdown-on-sigint", "now force default"],
        &["shutdown-on-sigint", "save nosave"],
        &["shutdown-on-sigint", "save foo"],
        &["shutdown-on-sigint", ""],
        &["proc-title-template", "{nope}"],
        &["proc-title-template", "{title} {{x"],
        &["proc-title-template", ""],
        &["cluster-announce-hostname", "a_b"],
        &["cluster-announce-hostname", "a-b.c"],
        &["requirepass", "a b \u{e9}"],
        &["requirepass", ""],
        &["client-query-buffer-limit", "10"],
        &["proto-max-bulk-len", "1gb"],
        &["unixsocketperm", "700"],
        &["replicaof", "a 1"],
        &["slaveof", "a 1"],
        &["list-max-listpack-size", "-5"],
        &["slowlog-log-slower-than", "-2"],
        &["slowlog-max-len", "-1"],
        &["acl-pubsub-default", "allchannels"],
        &["watchdog-period", "x"],
        &["tls-port", "x"],
        &["include", "x"],
        &["user", "x"],
        &["busy-reply-threshold", "1", "lua-time-limit", "2"],
        &["repl-backlog-size", "0"],
        &["tracking-table-max-keys", "1k"],
    ];
    let mut oracle = Oracle::start("set");
    let live = Live::new(Config::default(), None);
    for change in changes {
        let pairs: Vec<(&[u8], &[u8])> =
            change.chunks(2).map(|pair| (pair[0].as_bytes(), pair[1].as_bytes())).collect();
        let ours = live.set(&pairs, SetContext::default(), |_, _| Ok(()));
        let ours = ours.map(|_| ()).map_err(|error| format!("ERR {error}"));
        let theirs = oracle.call(&[&["CONFIG", "SET"], *change].concat()).map(|_| ());
        assert_eq!(ours, theirs, "CONFIG SET {change:?}");
        if ours.is_ok() {
            for pair in change.chunks(2) {
                let ours = config::get(&live.load(), &[pair[0].as_bytes()]).into_iter().map(|(_, value)| value);
                let theirs = oracle.call(&["CONFIG", "GET", pair[0]]).unwrap();
                assert_eq!(ours.collect::<Vec<_>>(), theirs[1..], "after CONFIG SET {change:?}");
            }
        }
    }
}

#[test]
fn config_rewrite_writes_what_redis_server_does() {
    let mut oracle = Oracle::start("rewrite");
    let changes: &[&[&str]] = &[
        &["maxmemory", "3mb"],
        &["timeout", "9"],
        &["save", "10 20"],
        &["client-output-buffer-limit", "pubsub 1mb 2kb 3"],
        &["shutdown-on-sigterm", "nosave now"],
        &["requirepass", ""],
        &["maxmemory-clients", "7%"],
        &["notify-keyspace-events", "KEA"],
        &["oom-score-adj-values", "1 2 3"],
        &["replica-announce-ip", "a b"],
        &["masteruser", "x\"y"],
    ];
    let before = fs::read(&oracle.file).unwrap();
    let live = Live::new(load_file(&oracle.file).config, None);
    for change in changes {
        oracle.call(&[&["CONFIG", "SET"], *change].concat()).unwrap();
        let pair = (change[0].as_bytes(), change[1].as_bytes());
        live.set(&[pair], SetContext::default(), |_, _| Ok(())).unwrap();
    }
    oracle.call(&["CONFIG", "REWRITE"]).unwrap();
    let theirs = fs::read_to_string(&oracle.file).unwrap();
    let users: Vec<String> = oracle.call(&["ACL", "LIST"]).unwrap();
    let users: Vec<String> = users.iter().map(|user| user.trim_start_matches("user ").to_string()).collect();
    let options = RewriteOptions { users: Some(&users), everything: false };
    let ours = String::from_utf8(config::rewritten(&before, &live.load(), options)).unwrap();

    // What is appended comes in another order, as redis-server's follows a hash table.
    let split = |content: &str| -> (String, Vec<String>) {
        let (kept, appended) = content.split_once("# Generated by CONFIG REWRITE\n").expect("a header");
        let mut appended: Vec<String> = appended.lines().map(str::to_string).collect();
        appended.sort();
        (kept.to_string(), appended)
    };
    assert_eq!(split(&ours), split(&theirs));
    fs::write(&oracle.file, &ours).unwrap();
    let again = Config { user: Vec::new(), ..load_file(&oracle.file).config };
    assert!(again == *live.load());
}

/// A redis-server of this machine behind a unix socket, with a file of its own.
struct Oracle {
    process: Child,
    stream: BufReader<UnixStream>,
    directory: PathBuf,
    file: PathBuf,
}

impl Oracle {
    fn start(purpose: &str) -> Oracle {
        let directory = std::env::temp_dir().join(format!("cairn-oracle-{purpose}-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("create a directory for redis-server");
        let directory = directory.canonicalize().expect("the directory just created");
        let (socket, file) = (directory.join("socket"), directory.join("redis.conf"));
        let content = format!(
            "# A comment stays\n\n\n  port 0\nunixsocket {}\ndir {}\nsave 100 1000000\nsave 200 1000000\n\
             SLAVE-priority 100\n# another\ntimeout 5\ntimeout 6\nmaxmemory 2000kb\n\
             client-output-buffer-limit replica 256mb 64mb 60\nlatency-tracking-info-percentiles 50 99 99.9\n\
             list-max-ziplist-value 3\nhash-max-ziplist-entries 512\nlogfile /dev/null\n",
            socket.display(),
            directory.display(),
        );
        // Only the rewriting test needs more than the socket.
        let content = if purpose == "rewrite" {
            content
        } else {
            format!("port 0\nunixsocket {}\ndir {}\nsave \"\"\n", socket.display(), directory.display())
        };
        fs::write(&file, content).expect("write redis-server's file");
        let process = Command::new("redis-server")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server does not start ({error}): apt-get install redis-server"));
        let give_up = Instant::now() + Duration::from_secs(30);
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > give_up => {
                    panic!("redis-server does not listen: {error}")
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        Oracle { process, stream: BufReader::new(stream), directory, file }
    }

    /// Sends a command; gives the strings of the reply, or the error.
    fn call(&mut self, words: &[&str]) -> Result<Vec<String>, String> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.stream.get_mut().write_all(request.as_bytes()).expect("send to redis-server");
        let mut strings = Vec::new();
        self.reply(&mut strings).map(|()| strings)
    }

    fn reply(&mut self, strings: &mut Vec<String>) -> Result<(), String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("an answer of redis-server");
        let line = line.trim_end();
        let (kind, rest) = line.split_at(1);
        match kind {
            "-" => return Err(rest.to_string()),
            "*" => {
                for _ in 0..rest.parse::<usize>().expect("a count") {
                    self.reply(strings)?;
                }
            }
            "$" => {
                let mut bytes = vec![0; rest.parse::<usize>().expect("a length") + 2];
                self.stream.read_exact(&mut bytes).expect("a bulk string");
                bytes.truncate(bytes.len() - 2);
                strings.push(String::from_utf8_lossy(&bytes).into_owned());
            }
            _ => strings.push(rest.to_string()),
        }
        Ok(())
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
