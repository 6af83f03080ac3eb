//! The server under test as a process: started on a free port in its own directory, killed with its test. When the test
//! fails, its log is printed. A [`DataDirectory`] outlives the servers that are started on it one after the other.
//!
//! CAIRN_TEST_SERVER names another binary to drive, for instance redis-server, to check the tests themselves.

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;

use super::client::Client;
use super::reply::Reply;
use super::{PATIENCE, wait_until};

pub struct Server {
    child: Child,
    directory: DataDirectory,
    port: u16,
    /// Where this process's part of the log begins: those before it on the same directory wrote there too.
    log_start: u64,
}

/// A directory that is removed with its last holder. Clones are the same directory.
#[derive(Clone)]
pub struct DataDirectory {
    owned: Arc<Owned>,
}

struct Owned(PathBuf);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl DataDirectory {
    /// A fresh, empty directory.
    pub fn new() -> DataDirectory {
        DataDirectory { owned: Arc::new(Owned(temporary_directory())) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.owned.0.join(name)
    }

    /// The files of the log whose names begin so, in order of their names.
    pub fn log_files(&self, prefix: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("cairn-log")).expect("the log's directory");
        let mut found: Vec<PathBuf> = entries
            .map(|entry| entry.expect("an entry of the log's directory").path())
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)))
            .collect();
        found.sort();
        found
    }
}

/// What became of a process that was expected to end by itself.
pub struct Exit {
    pub code: Option<i32>,
    /// Standard output and standard error, one after the other.
    pub output: String,
}

/// The binary that the tests drive.
pub fn server_binary() -> PathBuf {
    std::env::var_os("CAIRN_TEST_SERVER")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_cairn-server")), PathBuf::from)
}

/// The redis-server that tests compare with, which must be there. CAIRN_DIFF_ORACLE names another than Debian's.
fn oracle() -> Command {
    let binary =
        std::env::var_os("CAIRN_DIFF_ORACLE").map_or_else(|| PathBuf::from("/usr/bin/redis-server"), PathBuf::from);
    assert!(binary.exists(), "the oracle {} is missing; install redis-server", binary.display());
    let mut command = Command::new(binary);
    // With Debian's jemalloc, 7.0.15 now and then damages its memory under commands on streams. It does not with the C
    // library's allocator.
    command.env("LD_PRELOAD", "libc.so.6");
    command
}

impl Server {
    /// A server with defaults.
    pub fn start() -> Server {
        Server::with(&[])
    }

    /// A server with these arguments after the usual ones.
    pub fn with(arguments: &[&str]) -> Server {
        Server::of_command(Command::new(server_binary()), None, arguments)
    }

    /// A server that reads this configuration file; the usual arguments follow it.
    pub fn with_file(text: &str, arguments: &[&str]) -> Server {
        Server::of_command(Command::new(server_binary()), Some(text), arguments)
    }

    /// A redis-server to compare with, which must be there.
    pub fn of_oracle(arguments: &[&str]) -> Server {
        Server::of_command(oracle(), None, arguments)
    }

    fn of_command(command: Command, file: Option<&str>, arguments: &[&str]) -> Server {
        let directory = DataDirectory::new();
        let configuration = file.map(|text| {
            let path = directory.path("test.conf");
            fs::write(&path, text).expect("write the configuration");
            path
        });
        let mut words = vec!["--save", "", "--appendonly", "no"];
        let bound = arguments.contains(&"--bind") || file.is_some_and(|text| text.contains("bind "));
        if !bound {
            words.extend(["--bind", "127.0.0.1"]);
        }
        words.extend(arguments);
        let mut server = Server::spawn(command, &directory, configuration.as_deref(), &words);
        server.wait_ready();
        server
    }

    /// A server that keeps its log in this directory, once what it found there is loaded.
    pub fn on(directory: &DataDirectory, arguments: &[&str]) -> Server {
        let mut server = Server::loading_on(directory, arguments);
        server.wait_loaded();
        server
    }

    /// Kills the server and starts it again on its log. The server's own digest of the data set must be what it was.
    pub fn killed_and_back(mut self, directory: &DataDirectory, arguments: &[&str]) -> Server {
        let digest = self.client().run("DEBUG DIGEST");
        self.kill();
        let server = Server::on(directory, arguments);
        assert_eq!(server.client().run("DEBUG DIGEST"), digest);
        server
    }

    /// The same as soon as the process is there.
    pub fn loading_on(directory: &DataDirectory, arguments: &[&str]) -> Server {
        let usual = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"];
        Server::spawn(Command::new(server_binary()), directory, None, &[&usual, arguments].concat())
    }

    /// A redis-server on this directory, once its data is loaded.
    pub fn oracle_on(directory: &DataDirectory, arguments: &[&str]) -> Server {
        let usual = ["--bind", "127.0.0.1", "--save", ""];
        let mut server = Server::spawn(oracle(), directory, None, &[&usual, arguments].concat());
        server.wait_loaded();
        server
    }

    fn spawn(mut command: Command, directory: &DataDirectory, file: Option<&Path>, arguments: &[&str]) -> Server {
        let port = free_port();
        let log = File::options().create(true).append(true).open(directory.path("log")).expect("open the log");
        let log_start = log.metadata().expect("the log's length").len();
        let child = command
            .args(file)
            .args(["--port", &port.to_string(), "--enable-debug-command", "yes", "--dir"])
            .arg(directory.path(""))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("starting {}: {error}", command.get_program().display()));
        Server { child, directory: directory.clone(), port, log_start }
    }

    fn wait_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.try_client().is_none() {
            assert!(Instant::now() < deadline, "the server does not accept connections");
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    fn wait_loaded(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.try_client().and_then(|mut client| client.try_command(&["PING"])) {
                Some(Reply::Status(text)) if text == b"PONG" => return,
                Some(Reply::Error(text)) if text.starts_with(b"LOADING") => {}
                Some(reply) => panic!("PING => {reply:?}"),
                None => {}
            }
            assert!(Instant::now() < deadline, "the server loads for too long");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until the server answers (true) or has ended by itself (false).
    pub fn serves_or_ends(&mut self) -> bool {
        let mut serves = false;
        wait_until("the server serves or ends", || {
            if self.child.try_wait().expect("ask after the server").is_some() {
                return true;
            }
            let reply =
                Client::connect(("127.0.0.1", self.port)).ok().and_then(|mut client| client.try_command(&["PING"]));
            serves = reply == Some(Reply::Status(b"PONG".to_vec()));
            serves
        });
        serves
    }

    /// A connection, or None while the server does not listen. Panics when it has ended.
    pub fn try_client(&mut self) -> Option<Client> {
        if let Some(status) = self.child.try_wait().expect("ask after the server") {
            panic!("the server ended at start: {status}\n{}", self.log());
        }
        Client::connect(("127.0.0.1", self.port)).or_else(|_| Client::connect(("::1", self.port))).ok()
    }

    pub fn client(&self) -> Client {
        Client::connect(("127.0.0.1", self.port)).expect("connect to the server under test")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path(name)
    }

    /// What this process has logged.
    pub fn log(&self) -> String {
        let log = fs::read(self.directory.path("log")).unwrap_or_default();
        String::from_utf8_lossy(log.get(self.log_start as usize..).unwrap_or_default()).into_owned()
    }

    /// Ends the process as a crash does, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill the server");
        self.child.wait().expect("wait for the server");
    }

    /// Waits until the process ends by itself and gives its exit code.
    pub fn wait_exit(&mut self) -> Option<i32> {
        let mut code = None;
        wait_until("the server ends", || match self.child.try_wait().expect("ask after the server") {
            Some(status) => {
                code = status.code();
                true
            }
            None => false,
        });
        code
    }

    /// Whether the process ends by itself before patience does.
    pub fn ends_in_time(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().expect("ask after the server").is_none() {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        true
    }

    /// Sends a signal by name, as `kill` spells it.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill").success(), "kill -{name} failed");
    }

    /// Resident memory in bytes, as the kernel counts it.
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the server's status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.child.try_wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            println!("--- server {} (ended by itself: {ended:?}), end of its log:", self.child.id());
            tail.iter().rev().for_each(|line| println!("{line}"));
        }
    }
}

/// Runs the binary until it ends by itself, with something on its standard input.
pub fn run_to_exit(arguments: &[&str], input: &str) -> Exit {
    let mut child = Command::new(server_binary())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start the server");
    // The process may end before it reads anything.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("ask after the process").is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("still running: {arguments:?}");
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    let output = child.wait_with_output().expect("collect its output");
    let text = [output.stdout, output.stderr].concat();
    Exit { code: output.status.code(), output: String::from_utf8_lossy(&text).into_owned() }
}

/// A port nobody listens on, below the range that outgoing connections take theirs from. Asks by binding it, never by
/// listening: a process that another test is just starting holds a copy of the socket for a moment, and whoever connected
/// to that would take it for the server.
pub fn free_port() -> u16 {
    const FIRST: u32 = 22_000;
    const COUNT: u32 = 1_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id() * 61;
    for _ in 0..COUNT {
        let port = (FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT) as u16;
        let probe = TcpSocket::new_v4().expect("a socket");
        // So that the copy is not in the way of the server either.
        probe.set_reuseaddr(true).expect("set SO_REUSEADDR");
        if probe.bind(SocketAddr::from(([0, 0, 0, 0], port))).is_ok() {
            return port;
        }
    }
    panic!("no free port from {FIRST} on");
}

/// A fresh directory that the caller removes.
pub fn temporary_directory() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("cairn-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let directory = std::env::temp_dir().join(name);
    fs::create_dir_all(&directory).expect("create a temporary directory");
    directory
}

/// Lets this process, and servers started after, hold `count` open files; panics when the hard limit forbids it.
#[allow(unsafe_code)]
pub fn raise_file_limit(count: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live rlimit, which both calls use only while they run.
    let (read, write) = unsafe {
        let read = libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        assert!(limit.rlim_max >= count, "the hard limit of open files is {}, this test needs {count}", limit.rlim_max);
        limit.rlim_cur = limit.rlim_cur.max(count);
        (read, libc::setrlimit(libc::RLIMIT_NOFILE, &limit))
    };
    assert!(read == 0 && write == 0, "cannot raise the limit of open files");
}
