"""What other clients wait while one collection of millions of members grows, shrinks and goes.

One client changes the collection, by variadic commands in short pipelines. Another process sends GET and SET on keys of
other slots, one at a time, in turn on a connection of another worker and on one of the same worker. What a probe
waited while its worker or the probe itself was ready but had no core is told apart: the machine's doing. Beside the
waits stands the server's own account: its longest command of each phase.

Two phases are the baseline: the probes alone, and commands like those of the growth that change nothing.
"""

import gc
import multiprocessing
import os
import socket
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from .server import HarnessError, Server

# Makes a request of a range of numbers; gives with it how many lines its reply has.
Request = Callable[[range], tuple[bytes, int]]

MEMBERS = 10_000_000
QUICK_MEMBERS = 1_000_000
# Members of one command, and commands of one pipeline.
VARIADIC = 100
PIPELINE = 4
BASELINE_S = 5.0
# A phase goes on for so long after the server has freed everything.
AFTERMATH_S = 0.5
FREED_LIMIT_S = 120.0
PROBED_KEYS = 64
PROBES_PER_LOOK = 64
# Exchanged to see which worker serves a connection.
PINGS = 500
# The limit.
LIMIT_S = 0.002
# The probes' connections.
PROBES = ("other_worker", "same_worker")
BASELINES = ("idle", "no growth")
LONG_COMMAND = "COPY"
KEY, COPY, SMALL = "{c}:grown", "{c}:copy", "{c}:small"


def _words(*words: bytes) -> bytes:
    return b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def _request(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + _words(*words)


@dataclass(frozen=True)
class Kind:
    """How a collection of one type is filled and emptied."""

    name: str
    add: Request
    remove: Request
    # Whether adding what is there changes nothing.
    repeats: bool


def _variadic(command: bytes, words: int, part: Callable[[int], bytes]) -> Request:
    """A command that is answered in one line; `part` makes a member's words of its number."""

    def request(numbers: range) -> tuple[bytes, int]:
        head = b"*%d\r\n" % (2 + words * len(numbers)) + _words(command, KEY.encode())
        return head + b"".join(map(part, numbers)), 1

    return request


def _pop(command: bytes, words: int) -> Request:
    """A command that takes so many members, each answered by so many words."""

    def request(numbers: range) -> tuple[bytes, int]:
        return _request(command, KEY.encode(), b"%d" % len(numbers)), 1 + 2 * words * len(numbers)

    return request


def _each(part: Callable[[int], bytes], lines: int) -> Request:
    """A command for each member."""

    def request(numbers: range) -> tuple[bytes, int]:
        return b"".join(map(part, numbers)), lines * len(numbers)

    return request


def _member(number: int) -> bytes:
    return b"$15\r\nmember:%08d\r\n" % number


def _field(number: int) -> bytes:
    return b"$15\r\nmember:%08d\r\n$8\r\n%08d\r\n" % (number, number)


def _scored(number: int) -> bytes:
    # Scores in no order, so that a tree grows in all its places.
    return b"$10\r\n%010d\r\n$15\r\nmember:%08d\r\n" % (number * 2654435761 % (1 << 32), number)


def _entry(number: int) -> bytes:
    return _request(b"XADD", KEY.encode(), b"%d-1" % (number + 1), b"field", b"%08d" % number)


def _entry_id(number: int) -> bytes:
    return _words(b"%d-1" % (number + 1))


KINDS = (
    Kind("list", _variadic(b"RPUSH", 1, _member), _pop(b"LPOP", 1), False),
    Kind("set", _variadic(b"SADD", 1, _member), _pop(b"SPOP", 1), True),
    Kind("hash", _variadic(b"HSET", 2, _field), _variadic(b"HDEL", 1, _member), True),
    Kind("zset", _variadic(b"ZADD", 2, _scored), _pop(b"ZPOPMIN", 2), True),
    Kind("stream", _each(_entry, 2), _variadic(b"XDEL", 1, _entry_id), False),
)
# How a copy of the collection goes.
ENDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "UNLINK": (("UNLINK", COPY),),
    "DEL": (("DEL", COPY),),
    "SET over it": (("SET", COPY, "x"), ("DEL", COPY)),
    "RENAME onto it": (("SET", SMALL, "x"), ("RENAME", SMALL, COPY), ("DEL", COPY)),
    "expiry": (("PEXPIRE", COPY, "1"),),
    "FLUSHDB ASYNC": (("SELECT", "1"), ("FLUSHDB", "ASYNC"), ("SELECT", "0")),
    "FLUSHDB SYNC": (("SELECT", "1"), ("FLUSHDB", "SYNC"), ("SELECT", "0")),
}


def one_type(server: Server, kind: Kind, members: int, say: Callable[[str], None]) -> list[dict]:
    """The phases of one type on a fresh server, whose only connection is the harness's own."""
    server.command("CONFIG", "SET", "latency-tracking-info-percentiles", "100")
    client = Client(server)
    phases: list[dict] = []
    with Probes(server, client.worker) as probes:

        def phase(name: str, work: Callable[[], None]) -> None:
            server.command("CONFIG", "RESETSTAT")
            began = time.monotonic()
            work()
            ended = time.monotonic()
            _wait_until_freed(server)
            time.sleep(AFTERMATH_S)
            found = {"type": kind.name, "phase": name, "took_s": ended - began, **_longest_command(server)}
            phases.append(found | {"from": began, "to": time.monotonic()})

        phase(BASELINES[0], lambda: time.sleep(BASELINE_S))
        few = range(VARIADIC * PIPELINE * 10)
        client.run(kind.add, few)
        if kind.repeats:
            phase(BASELINES[1], lambda: client.run_for(BASELINE_S, kind.add, few))
        client.command("DEL", KEY)
        phase("growth", lambda: client.run(kind.add, range(members)))
        for name, commands in ENDS.items():
            copy = ("COPY", KEY, COPY, "DB", "1" if name.startswith("FLUSHDB") else "0")
            phase(LONG_COMMAND, lambda: client.command(*copy))
            phase(name, lambda: [client.command(*words) for words in commands])
        phase("shrinking", lambda: client.run(kind.remove, range(members)))
        if client.command("EXISTS", KEY) != b":0" and kind.name != "stream":
            raise HarnessError(f"{server.program.name}: some of the {kind.name} is left after all was removed")
    client.close()
    for found in phases:
        found |= probes.longest(found.pop("from"), found.pop("to"))
        waits = [f"{name} {found[name]['net_us'] / 1e3:.2f} ms ({found[name]['wait_us'] / 1e3:.2f})" for name in PROBES if name in found]
        longest = f"longest command {found['command']} {found['command_us'] / 1e3:.2f} ms"
        say(f"{kind.name}, {found['phase']}: {found['took_s']:.1f} s, {', '.join(waits)}, {longest}")
    return phases


def _longest_command(server: Server) -> dict:
    """The server's own account of the commands that came from the clients here."""
    found = {}
    for name, text in server.info("latencystats").items():
        command = name.removeprefix("latency_percentiles_usec_")
        if command.split("|")[0] not in ("config", "info"):
            found[command] = float(text.split("=")[1])
    command = max(found, key=lambda name: found[name], default="")
    return {"command": command.upper(), "command_us": found.get(command, 0.0)}


def _wait_until_freed(server: Server) -> None:
    limit = time.monotonic() + FREED_LIMIT_S
    # A key that expires is gone once the cycle has met it: looking for it would remove it.
    while server.info("memory")["lazyfree_pending_objects"] != "0" or server.info("keyspace").get("db0", "").count("expires=1"):
        if time.monotonic() > limit:
            raise HarnessError(f"{server.program.name} has not freed everything after {FREED_LIMIT_S:.0f} s")
        time.sleep(0.05)


class Client:
    """The connection that changes the collection."""

    def __init__(self, server: Server):
        self._server = server
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=FREED_LIMIT_S)
        self.worker = _worker_of(self._socket, server.pid)

    def close(self) -> None:
        self._socket.close()

    def command(self, *words: str) -> bytes:
        """One command with a reply of one line."""
        return self._exchange(_request(*(word.encode() for word in words)), 1).rstrip()

    def run(self, make: Request, numbers: range) -> None:
        for start in range(numbers.start, numbers.stop, VARIADIC * PIPELINE):
            stop = min(start + VARIADIC * PIPELINE, numbers.stop)
            parts = [make(range(at, min(at + VARIADIC, stop))) for at in range(start, stop, VARIADIC)]
            self._exchange(b"".join(text for text, _ in parts), sum(lines for _, lines in parts))

    def run_for(self, seconds: float, make: Request, numbers: range) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.run(make, numbers)

    def _exchange(self, request: bytes, lines: int) -> bytes:
        self._socket.sendall(request)
        reply, seen = [], 0
        while seen < lines:
            part = self._socket.recv(1 << 16)
            # No member holds any of these bytes.
            if not part or b"-ERR" in part or b"-OOM" in part:
                raise HarnessError(f"{self._server.program.name} answered {part[:80]!r}; {self._server.log_tail()}")
            seen += part.count(b"\n")
            reply.append(part)
        return b"".join(reply)


class Probes:
    """A process that sends GET and SET in turn on each of its connections, and notes what every one waited."""

    def __init__(self, server: Server, worker: int):
        self._server = server
        self._worker = worker
        self._samples: dict[str, array] = {}

    def __enter__(self) -> "Probes":
        self._pipe, other = multiprocessing.Pipe()
        arguments = (self._server.port, self._server.pid, self._worker, other)
        self._process = multiprocessing.Process(target=_probe, args=arguments, daemon=True)
        self._process.start()
        other.close()
        if self._pipe.recv() != "READY":
            raise HarnessError("the probes could not connect")
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.send("STOP")
        self._samples = self._pipe.recv()
        self._process.join()

    def longest(self, begun: float, ended: float) -> dict:
        """Of each connection: the longest wait in a time, the longest but for what the machine withheld, and how many
        of those were over the limit.
        """
        found = {}
        for name, samples in self._samples.items():
            # Each is a start, a wait, and what of it the machine withheld, in seconds.
            within = [(wait, wait - withheld) for at, wait, withheld in zip(*[iter(samples)] * 3) if begun <= at <= ended]
            found[name] = {
                "samples": len(within),
                "wait_us": max((wait for wait, _ in within), default=0.0) * 1e6,
                "net_us": max((net for _, net in within), default=0.0) * 1e6,
                "over_limit": sum(net > LIMIT_S for _, net in within),
            }
        return found


def _probe(port: int, pid: int, worker: int, pipe: Connection) -> None:
    """The probing process."""
    gc.disable()
    sockets: dict[str, tuple[socket.socket, _Withheld]] = {}
    # A server of one thread has no other worker.
    wanted = PROBES if len(_workers(pid)) > 1 else PROBES[1:]
    opened_all = []
    while not all(name in sockets for name in wanted):
        opened = socket.create_connection(("127.0.0.1", port))
        # One that is not wanted stays open, so that the next goes elsewhere.
        opened_all.append(opened)
        found = _worker_of(opened, pid)
        sockets.setdefault(PROBES[found == worker], (opened, _Withheld(pid, found)))
    requests = []
    for number in range(PROBED_KEYS):
        key = b"probed:%d" % number
        requests += [_request(b"SET", key, b"value"), _request(b"GET", key)]
    samples = {name: array("d") for name in sockets}
    pipe.send("READY")
    turn = 0
    while turn % PROBES_PER_LOOK or not pipe.poll():
        request = requests[turn % len(requests)]
        turn += 1
        for (probe, withheld), own in zip(sockets.values(), samples.values()):
            before, began = withheld.ns(), time.monotonic()
            probe.sendall(request)
            probe.recv(64)
            wait = time.monotonic() - began
            own.extend((began, wait, min((withheld.ns() - before) / 1e9, wait)))
    pipe.recv()
    pipe.send(samples)


class _Withheld:
    """How long a worker of the server and this process were ready to run and had no core."""

    def __init__(self, pid: int, worker: int):
        self._files = [os.open(file, os.O_RDONLY) for file in ("/proc/self/schedstat", _schedstat(pid, worker))]

    def ns(self) -> int:
        return sum(int(os.pread(file, 64, 0).split()[1]) for file in self._files)


def _workers(pid: int) -> list[int]:
    """The threads that run commands: workers by their name, or the main thread of a server without any."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sorted(int(task.name) for task in tasks if (task / "comm").read_text().startswith("worker")) or [pid]


def _schedstat(pid: int, thread: int) -> str:
    return f"/proc/{pid}/task/{thread}/schedstat"


def _ran_ns(schedstat: int) -> int:
    return int(os.pread(schedstat, 64, 0).split()[0])


def _worker_of(connection: socket.socket, pid: int) -> int:
    """Which thread serves a connection to a server that does nothing else."""
    files = {worker: os.open(_schedstat(pid, worker), os.O_RDONLY) for worker in _workers(pid)}
    before = {worker: _ran_ns(file) for worker, file in files.items()}
    for _ in range(PINGS):
        connection.sendall(b"PING\r\n")
        connection.recv(64)
    ran = {worker: _ran_ns(file) - before[worker] for worker, file in files.items()}
    for file in files.values():
        os.close(file)
    return max(ran, key=lambda worker: ran[worker])
