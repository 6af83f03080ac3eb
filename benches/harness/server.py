"""A server under test: started pinned, spoken to over one plain socket, and always ended.

Every started process is in `_running` until it is reaped; `stop_all` runs at exit and on signals, and the kernel is
asked to kill a server whose harness died (setpriv --pdeathsig), so no run leaves a server behind.
"""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from . import cpu, priority

START_TIMEOUT_S = 120.0
START_POLL_S = 0.002
STOP_TIMEOUT_S = 20.0
REPLY_TIMEOUT_S = 120.0
LOG_TAIL_LINES = 25
# Quiet is less than this share of one core over so long.
QUIET_SHARE = 0.03
QUIET_S = 0.5
QUIET_LIMIT_S = 180.0

_running: list["Server"] = []


class HarnessError(Exception):
    """Something that ends the run with a message and no traceback."""


@dataclass(frozen=True)
class Program:
    """What to start: a name for the report, the binary, and the arguments only it gets."""

    name: str
    binary: str
    extra: tuple[str, ...] = ()

    def version(self) -> str:
        done = subprocess.run([self.binary, "--version"], capture_output=True, text=True, timeout=20)
        return (done.stdout or done.stderr).strip().splitlines()[0]


class Server:
    """One running instance, listening on loopback: in memory only, or with a log that is synced by a policy.

    An instance that is not fresh goes on with what its directory holds.
    """

    def __init__(
        self,
        program: Program,
        port: int,
        cpus: str,
        directory: Path,
        workers: int = 1,
        preferred: bool = False,
        policy: str | None = None,
        fresh: bool = True,
    ):
        self.program = program
        self.port = port
        self.directory = directory
        if fresh:
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
        self.log_path = directory / "server.log"
        self._socket: socket.socket | None = None
        command = ["taskset", "-c", cpus, program.binary]
        if shutil.which("setpriv"):
            command = ["setpriv", "--pdeathsig", "KILL", *command]
        command += ["--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--appendonly", "yes", "--appendfsync", policy] if policy else ["--appendonly", "no"]
        command += ["--io-threads", str(workers), "--dir", str(directory), *program.extra]
        if preferred:
            command = [*priority.prefix(), *command]
        _refuse_taken_port(port)
        with self.log_path.open("wb") as log:
            started = time.monotonic()
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        _running.append(self)
        if preferred:
            priority.raise_group(self.pid)
        self._wait_until_it_answers()
        # How long it took to load what its directory held.
        self.ready_s = time.monotonic() - started

    @property
    def pid(self) -> int:
        return self.process.pid

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def check_alive(self) -> None:
        """Raises with the end of the log if the process is gone."""
        code = self.process.poll()
        if code is not None:
            raise HarnessError(f"{self.program.name} on port {self.port} ended with {code}; {self.log_tail()}")

    def log_tail(self) -> str:
        lines = self.log_path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return "the end of its log:\n" + "\n".join("    " + line for line in lines)

    def command(self, *words: str) -> str | int | None:
        """One command, one reply (simple string, integer or bulk; enough for INFO and the like)."""
        try:
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self.port), timeout=REPLY_TIMEOUT_S)
                self._reader = self._socket.makefile("rb")
            parts = [f"*{len(words)}\r\n"] + [f"${len(word)}\r\n{word}\r\n" for word in words]
            self._socket.sendall("".join(parts).encode())
            line = self._reader.readline()
            if not line.endswith(b"\r\n"):
                raise OSError("connection closed")
            kind, rest = line[:1], line[1:-2].decode()
            if kind == b"$":
                length = int(rest)
                return None if length < 0 else self._reader.read(length + 2)[:-2].decode()
        except OSError as error:
            self._socket = None
            self.check_alive()
            raise HarnessError(f"{self.program.name}: {words[0]} failed: {error}; {self.log_tail()}") from error
        if kind == b"-":
            raise HarnessError(f"{self.program.name}: {' '.join(words)} answered: {rest}")
        return int(rest) if kind == b":" else rest

    def info(self, section: str) -> dict[str, str]:
        text = str(self.command("INFO", section))
        pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
        return {name: value.strip() for name, value in pairs}

    def key_count(self) -> int:
        return int(self.command("DBSIZE") or 0)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL; returns when the process is reaped. Safe to call twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self in _running:
            _running.remove(self)

    def wait_for(self, section: str, field: str, value: str, limit_s: float = 300.0) -> None:
        """Polls INFO until a field has a value."""
        limit = time.monotonic() + limit_s
        while self.info(section).get(field) != value:
            if time.monotonic() > limit:
                raise HarnessError(f"{self.program.name}: {field} is not {value} after {limit_s:.0f} s; {self.log_tail()}")
            time.sleep(0.02)

    def wait_until_quiet(self) -> None:
        """Waits until it does nothing any more: no background work is left, in threads or in children."""
        limit = time.monotonic() + QUIET_LIMIT_S
        while time.monotonic() < limit:
            before = cpu.sample(self.pid)
            time.sleep(QUIET_S)
            used = cpu.sample(self.pid) - before
            if not cpu.children(self.pid) and used.total_ns + used.children_ns < QUIET_SHARE * QUIET_S * 1e9:
                return
        raise HarnessError(f"{self.program.name} is still busy after {QUIET_LIMIT_S:.0f} s; {self.log_tail()}")

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            self.check_alive()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                if self.command("PING") == "PONG":
                    return
            except OSError:
                pass
            except HarnessError as error:
                if "LOADING" not in str(error):
                    raise
            if time.monotonic() > deadline:
                raise HarnessError(f"{self.program.name} on port {self.port} is not ready; {self.log_tail()}")
            time.sleep(START_POLL_S)


def stop_all() -> None:
    """Ends every server that is still up."""
    for server in list(_running):
        server.stop()


def stop_all_at_exit() -> None:
    """Called once by the main program."""
    atexit.register(stop_all)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))


def pin_self(cpus: str) -> None:
    """The harness and the load that it starts share the load's core."""
    os.sched_setaffinity(0, parse_cpus(cpus))


def parse_cpus(cpus: str) -> set[int]:
    """`0-1,3` as taskset reads it."""
    found: set[int] = set()
    for part in cpus.split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def _refuse_taken_port(port: int) -> None:
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise HarnessError(f"port {port} is taken by another process")
