"""One run of the load generator against one server, with the server's CPU time read exactly around it.

The generator connects and warms up first, then says READY; the counters are read, it is told to go, and they are
read again before its connections close.
"""

import json
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import cpu, priority
from .server import HarnessError, Server

GRACE_S = 60.0


@dataclass(frozen=True)
class Shape:
    """What is sent; the defaults are those of the targets."""

    mix: str = "get"
    pipeline: int = 32
    value_bytes: int = 64
    value_kind: str = "text"
    clients: int = 50
    keys: int = 1_000_000
    prefix: str = "key:"
    order: str = "random"
    operations: int = 0
    seconds: float = 60.0
    warmup_operations: int = 0
    subscribers: int = 0
    probe: bool = False
    phases: int = 1
    series_ms: int = 0

    def arguments(self) -> list[str]:
        words = ["--mix", self.mix, "--prefix", self.prefix, "--order", self.order, "--value-kind", self.value_kind]
        for name in ("pipeline", "value_bytes", "clients", "keys", "operations", "seconds", "warmup_operations", "phases", "series_ms",
                     "subscribers"):
            words += ["--" + name.replace("_", "-"), str(getattr(self, name))]
        return words + (["--probe"] if self.probe else [])


@dataclass
class Measurement:
    """What one run showed."""

    operations: int
    seconds: float
    cpu_us: float
    children_cpu_us: float
    user_ticks: int
    system_ticks: int
    waited_ms: float
    load_cpu_us: float
    throughput: float
    latency_us: dict = field(default_factory=dict)
    probe_us: dict | None = None
    phases: list[dict] = field(default_factory=list)
    series: dict | None = None


class Load:
    """Knows the generator's binary and which cores it may use."""

    def __init__(self, binary: Path, cpus: str):
        self.binary = binary
        self.cpus = cpus
        self.preferred = False
        self._seed = 0

    def run(
        self,
        server: Server,
        shape: Shape,
        cpus: str | None = None,
        to_the_end: bool = False,
        meanwhile: Callable[[Callable[[], None]], None] | None = None,
    ) -> Measurement:
        """`to_the_end` counts what the server still does after the last reply. `meanwhile` is called while the load
        runs, with a function that ends a phase of it; the end of the last one ends the run.
        """
        self._seed += 1
        command = ["taskset", "-c", cpus or self.cpus, str(self.binary), "--port", str(server.port)]
        command += ["--seed", str(self._seed), *shape.arguments()]
        if self.preferred:
            command = [*priority.prefix(), *command]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        if self.preferred:
            priority.raise_group(process.pid)
        # A server that stops answering would leave the generator waiting for a reply for ever.
        watchdog = threading.Timer(shape.seconds + GRACE_S, process.kill)
        watchdog.start()
        try:
            return self._converse(process, server, shape, to_the_end, meanwhile)
        finally:
            watchdog.cancel()
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                try:
                    stream.close()
                except BrokenPipeError:
                    pass

    def fill(self, server: Server, shape: Shape, keys: int) -> Measurement:
        """Stores each of `keys` keys once and checks that they are there."""
        before = server.key_count()
        measurement = self.run(server, replace(shape, mix="set", keys=keys, operations=keys, order="sequential"))
        stored = server.key_count() - before
        if stored != keys:
            raise HarnessError(f"{server.program.name} holds {stored} of {keys} keys after the preload")
        return measurement

    def _converse(
        self,
        process: subprocess.Popen,
        server: Server,
        shape: Shape,
        to_the_end: bool,
        meanwhile: Callable[[Callable[[], None]], None] | None,
    ) -> Measurement:
        if process.stdout.readline() != "READY\n":
            self._fail(process, server, shape)
        before, load_before = cpu.sample(server.pid), cpu.sample(process.pid)
        try:
            self._tell(process)
            if meanwhile:
                meanwhile(lambda: self._tell(process))
        except BrokenPipeError:
            self._fail(process, server, shape)
        line = process.stdout.readline()
        if not line:
            self._fail(process, server, shape)
        if to_the_end:
            server.wait_until_quiet()
        used, load_used = cpu.sample(server.pid) - before, cpu.sample(process.pid) - load_before
        process.stdin.close()
        process.wait()
        result = json.loads(line)
        if result["errors"]:
            raise HarnessError(
                f"{server.program.name} answered {result['errors']} errors to {shape.mix}: {result['first_error']}"
            )
        if shape.operations and result["operations"] != shape.operations:
            raise HarnessError(
                f"{server.program.name} did {result['operations']} of {shape.operations} operations of {shape.mix} "
                f"in {result['seconds']:.0f} s; {server.log_tail()}"
            )
        if result["misses"]:
            raise HarnessError(f"{server.program.name} missed {result['misses']} keys that were loaded ({shape.mix})")
        operations = max(result["operations"], 1)
        return Measurement(
            operations=result["operations"],
            seconds=result["seconds"],
            cpu_us=used.total_ns / 1e3 / operations,
            children_cpu_us=used.children_ns / 1e3 / operations,
            user_ticks=used.user_ticks,
            system_ticks=used.system_ticks,
            waited_ms=used.waited_ns / 1e6,
            load_cpu_us=load_used.total_ns / 1e3 / operations,
            throughput=result["throughput"],
            latency_us=result["latency_us"],
            probe_us=result["probe_us"],
            phases=result["phases"],
            series=result["series"],
        )

    @staticmethod
    def _tell(process: subprocess.Popen) -> None:
        process.stdin.write("GO\n")
        process.stdin.flush()

    def _fail(self, process: subprocess.Popen, server: Server, shape: Shape) -> None:
        if process.poll() is None:
            process.kill()
        message = process.communicate()[1].strip()
        server.check_alive()
        raise HarnessError(f"the load {shape.mix} against {server.program.name} failed: {message}; {server.log_tail()}")
