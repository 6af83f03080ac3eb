//! The server under test as a process: started on a free port in its own directory, killed with its test. When the test
//! fails, its log is printed.
//!
//! CAIRN_TEST_SERVER names another binary to drive, for instance redis-server, to check the tests themselves.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::client::Client;
use super::{PATIENCE, wait_until};

pub struct Server {
    child: Child,
    directory: PathBuf,
    port: u16,
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

impl Server {
    /// A server with defaults.
    pub fn start() -> Server {
        Server::with(&[])
    }

    /// A server with these arguments after the usual ones.
    pub fn with(arguments: &[&str]) -> Server {
        Server::of_binary(&server_binary(), None, arguments)
    }

    /// A server that reads this configuration file; the usual arguments follow it.
    pub fn with_file(text: &str, arguments: &[&str]) -> Server {
        Server::of_binary(&server_binary(), Some(text), arguments)
    }

    /// A redis-server to compare with, which must be there. CAIRN_DIFF_ORACLE names another than Debian's.
    pub fn of_oracle(arguments: &[&str]) -> Server {
        let binary =
            std::env::var_os("CAIRN_DIFF_ORACLE").map_or_else(|| PathBuf::from("/usr/bin/redis-server"), PathBuf::from);
        assert!(binary.exists(), "the oracle {} is missing; install redis-server", binary.display());
        Server::of_binary(&binary, None, arguments)
    }

    /// A server from any binary.
    pub fn of_binary(binary: &Path, file: Option<&str>, arguments: &[&str]) -> Server {
        let directory = temporary_directory();
        let port = free_port();
        let mut command = Command::new(binary);
        if let Some(text) = file {
            fs::write(directory.join("test.conf"), text).expect("write the configuration");
            command.arg(directory.join("test.conf"));
        }
        let port_text = port.to_string();
        let directory_text = directory.to_str().expect("a UTF-8 path").to_owned();
        let usual = ["--port", &port_text, "--dir", &directory_text, "--save", "", "--appendonly", "no"];
        let bound = arguments.contains(&"--bind") || file.is_some_and(|text| text.contains("bind "));
        command.args(usual).args(["--enable-debug-command", "yes"]);
        if !bound {
            command.args(["--bind", "127.0.0.1"]);
        }
        let log = File::create(directory.join("log")).expect("create the log");
        let child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("starting {}: {error}", binary.display()));
        let mut server = Server { child, directory, port };
        server.wait_ready();
        server
    }

    fn wait_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("ask after the server") {
                panic!("the server ended at start: {status}\n{}", self.log());
            }
            let answers =
                Client::connect(("127.0.0.1", self.port)).or_else(|_| Client::connect(("::1", self.port))).is_ok();
            if answers {
                return;
            }
            assert!(Instant::now() < deadline, "the server does not accept connections");
            std::thread::sleep(Duration::from_millis(3));
        }
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
        self.directory.join(name)
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.directory.join("log")).unwrap_or_default()).into_owned()
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
        let _ = fs::remove_dir_all(&self.directory);
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

/// A port nobody listens on, below the range that outgoing connections take theirs from.
pub fn free_port() -> u16 {
    const FIRST: u32 = 22_000;
    const COUNT: u32 = 1_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id() * 61;
    for _ in 0..COUNT {
        let port = (FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT) as u16;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
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
