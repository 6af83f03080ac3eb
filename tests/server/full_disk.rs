//! A disk that is really full: an ext4 file system of its own, in a file. Needs root and a loop device; where there is
//! neither, the test says loudly that it did not run.

use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Client, DataDirectory, Reply, Server, check, wait_until};

const IMAGE_BYTES: u64 = 96 << 20;
const WRITERS: usize = 2;
/// More than fit, whatever the log does to save space.
const WRITES_MAX: usize = 20_000;

/// A mounted file system, unmounted when dropped.
struct SmallDisk {
    /// Holds the image and the place where it is mounted; removed after the unmounting.
    directory: DataDirectory,
}

impl SmallDisk {
    fn mount() -> Result<SmallDisk, String> {
        let directory = DataDirectory::new();
        let (image, place) = (directory.path("image"), directory.path("mounted"));
        let file = fs::File::create(&image).and_then(|file| file.set_len(IMAGE_BYTES));
        file.and_then(|()| fs::create_dir(&place)).map_err(|error| error.to_string())?;
        // No blocks are kept back for root, which is who runs this.
        run("mkfs.ext4", &["-q".as_ref(), "-m".as_ref(), "0".as_ref(), image.as_os_str()])?;
        run("mount", &["-o".as_ref(), "loop".as_ref(), image.as_os_str(), place.as_os_str()])?;
        Ok(SmallDisk { directory })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path("mounted").join(name)
    }

    fn free_bytes(&self) -> u64 {
        let output = Command::new("stat").args(["-f", "-c", "%a %S"]).arg(self.path("")).output().expect("stat");
        let text = String::from_utf8(output.stdout).expect("numbers");
        let mut numbers = text.split_whitespace().map(|number| number.parse::<u64>().expect("a number"));
        numbers.next().expect("blocks") * numbers.next().expect("their size")
    }

    /// Takes space until no more than so much is free. The server may take some meanwhile.
    fn fill_up_to(&self, free_bytes: u64) {
        const STEP_BYTES: u64 = 1 << 20;
        let mut filler = fs::File::options().create(true).append(true).open(self.path("filler")).expect("a file");
        while self.free_bytes() > free_bytes + STEP_BYTES {
            match filler.write_all(&vec![1; STEP_BYTES as usize]).and_then(|()| filler.sync_all()) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("fill the disk: {error}"),
            }
        }
    }

    fn empty(&self) {
        fs::remove_file(self.path("filler")).expect("remove the filler");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let place = self.path("");
        wait_until("the small disk is unmounted", || run("umount", &[place.as_os_str()]).is_ok());
    }
}

fn run(program: &str, arguments: &[&OsStr]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

fn value_of(writer: usize, number: usize) -> String {
    format!("{writer}:{number} ").repeat(1_000)
}

fn assert_refusal(error: &str) {
    assert!(error.starts_with("MISCONF Errors writing to the AOF file: "), "{error}");
    assert!(error.contains("No space left on device"), "{error}");
}

/// Writes new keys until one is refused; gives how many were not.
fn write_until_refused(client: &mut Client, writer: usize, first: usize, stopped: &AtomicBool) -> usize {
    for number in first..first + WRITES_MAX {
        let key = format!("{writer}:{number}");
        match client.command(&["SET", &key, &value_of(writer, number)]) {
            Reply::Error(text) => {
                assert_refusal(&String::from_utf8_lossy(&text));
                stopped.store(true, Ordering::Relaxed);
                return number;
            }
            reply => assert_eq!(reply, Reply::ok()),
        }
    }
    panic!("{WRITES_MAX} writes found room on a disk of {IMAGE_BYTES} bytes");
}

/// Fills the disk with keys from all writers at once; `counts` has how many keys each has.
fn write_until_full(server: &Server, counts: &mut [usize; WRITERS]) {
    let stopped = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (writer, count) in counts.iter_mut().enumerate() {
            let (mut client, stopped) = (server.client(), &stopped);
            scope.spawn(move || *count = write_until_refused(&mut client, writer, *count, stopped));
        }
    });
    assert!(stopped.load(Ordering::Relaxed));
}

fn assert_complete(server: &Server, counts: &[usize; WRITERS]) {
    let mut client = server.client();
    for (writer, count) in counts.iter().enumerate() {
        for number in 0..*count {
            let reply = client.command(&["GET", &format!("{writer}:{number}")]);
            assert!(reply == Reply::bulk(&value_of(writer, number)), "key {writer}:{number} => {reply:?}");
        }
    }
}

/// The server on the small disk; its own messages go elsewhere.
fn arguments(path: &Path) -> [String; 6] {
    let words = ["--dir", path.to_str().expect("UTF-8"), "--log-settle-bytes", "1mb", "--io-threads", "2"];
    words.map(str::to_owned)
}

#[test]
fn a_full_disk_refuses_writes_and_nothing_else() {
    let disk = match SmallDisk::mount() {
        Ok(disk) => disk,
        Err(reason) => {
            eprintln!("NOT RUN: a_full_disk_refuses_writes_and_nothing_else needs a small disk to fill: {reason}");
            return;
        }
    };
    let messages = DataDirectory::new();
    let arguments = arguments(&disk.path(""));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut server = Server::on(&messages, &arguments);
    let mut counts = [0; WRITERS];
    for round in 0..3 {
        disk.fill_up_to(8 << 20);
        write_until_full(&server, &mut counts);
        let mut client = server.client();
        wait_until("INFO tells why", || client.info("persistence", "log_stopped").contains("No space left on device"));
        for command in ["SET key value", "DEL 0:0", "APPEND 0:0 x", "MSET a 1 b 2", "EXPIRE 0:0 1000", "FLUSHALL"] {
            assert_refusal(&client.run(command).error());
        }
        check(&mut client, "PING => +PONG\nGET key => nil\nTTL 0:0 => :-1\nEXISTS a b => :0");
        assert_complete(&server, &counts);
        match round {
            // As soon as there is space again, writes go on by themselves.
            0 => disk.empty(),
            // Space comes while no server is up.
            1 => {
                server.kill();
                disk.empty();
                server = Server::on(&messages, &arguments);
            }
            // A start on the full disk either serves what there is, or ends with the reason.
            _ => {
                server.kill();
                let mut full = Server::loading_on(&messages, &arguments);
                if full.serves_or_ends() {
                    assert_complete(&full, &counts);
                    full.kill();
                } else {
                    assert_eq!(full.wait_exit(), Some(1), "{}", full.log());
                    assert!(full.log().contains("No space left on device"), "{}", full.log());
                }
                disk.empty();
                server = Server::on(&messages, &arguments);
            }
        }
        let mut client = server.client();
        wait_until("writes go on", || client.command(&["SET", "resumed", &round.to_string()]) == Reply::ok());
        wait_until("INFO tells that it is over", || client.info("persistence", "log_stopped") == "no");
        assert_complete(&server, &counts);
        // The write that found no room may have been seen; from here on it is there for good, or it is not there.
        let refused = counts.iter().enumerate().map(|(writer, count)| format!("{writer}:{count}"));
        let refused: Vec<String> = ["EXISTS".to_owned()].into_iter().chain(refused).collect();
        let seen = client.command(&refused);
        for number in 0..20 {
            assert_eq!(client.command(&["SET", &format!("again:{number}"), &value_of(round, number)]), Reply::ok());
        }
        let digest = client.run("DEBUG DIGEST");
        server.kill();
        server = Server::on(&messages, &arguments);
        assert_complete(&server, &counts);
        assert_eq!(server.client().command(&refused), seen, "keys whose writes were refused");
        assert_eq!(server.client().run("DEBUG DIGEST"), digest);
        assert_eq!(server.client().run("GET resumed"), Reply::bulk(&round.to_string()));
        // Room for the next round.
        let mut client = server.client();
        assert_eq!(client.run("FLUSHALL"), Reply::ok());
        counts = [0; WRITERS];
        assert!(!client.run("BGREWRITEAOF").is_error());
        wait_until("the rewrite ends", || client.info("persistence", "aof_rewrite_in_progress") == "0");
    }
}
