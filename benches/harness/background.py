"""What clients feel, and what memory it takes, while a server saves or rewrites its log.

Few connections with short batches load the server, as for the stalls of a growing slot; one more sends PING and GET one
at a time. A run has three phases: the load alone, the load beside the job, the load alone again.
"""

import threading
import time
from collections.abc import Callable

from . import cpu
from .load import Load, Shape
from .server import Server

LEAD_S = 3.0
TAIL_S = 2.0
SERIES_MS = 100
SAMPLE_S = 0.02
# The kernel walks a child's pages for each look.
CHILD_SAMPLE_S = 0.2
LONGEST_RUN_S = 300.0
JOBS = {
    "BGSAVE": ("rdb_bgsave_in_progress", "rdb_last_bgsave_status"),
    "BGREWRITEAOF": ("aof_rewrite_in_progress", "aof_last_bgrewrite_status"),
}


def one_job(load: Load, server: Server, job: str, keys: int) -> dict:
    """One job of a server that holds `keys` keys, under load."""
    shape = Shape(
        mix="get,set", clients=4, pipeline=16, keys=keys, probe=True, phases=3, series_ms=SERIES_MS, seconds=LONGEST_RUN_S
    )
    server.wait_until_quiet()
    times: dict = {}
    memory = Memory(server)

    def meanwhile(end_phase: Callable[[], None]) -> None:
        began = time.monotonic()
        time.sleep(LEAD_S)
        with memory:
            end_phase()
            times["from_s"] = time.monotonic() - began
            server.command(job)
            field, status = JOBS[job]
            server.wait_for("persistence", field, "0")
            end_phase()
            times["to_s"] = time.monotonic() - began
        times["status"] = server.info("persistence")[status]
        time.sleep(TAIL_S)
        end_phase()

    run = load.run(server, shape, meanwhile=meanwhile)
    before, beside, _ = (_waits(phase) for phase in run.phases)
    return {"job": job, "before": before, "beside": beside, "series": run.series, **times, **memory.growth()}


class Memory:
    """Watches how much a server, with its children, grows over what it had."""

    def __init__(self, server: Server):
        self.pid = server.pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._before = self._amounts()
        self._peaks = dict.fromkeys(self._before, 0)
        self._children_peak = 0

    def __enter__(self) -> "Memory":
        self._before = self._amounts()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def growth(self) -> dict:
        """In bytes, and as shares of what the server had. The children's own pages count with the server's."""
        grown = {name: max(self._peaks[name] - amount, 0) for name, amount in self._before.items()}
        had = self._before["VmRSS"]
        extra, anonymous = (grown[name] + self._children_peak for name in ("VmRSS", "RssAnon"))
        return {
            "had_bytes": had,
            "extra_bytes": extra,
            "extra_anonymous_bytes": anonymous,
            "children_bytes": self._children_peak,
            "extra_share": extra / had,
            "extra_anonymous_share": anonymous / had,
        }

    def _amounts(self) -> dict[str, int]:
        return {name: cpu.resident_bytes(self.pid, name) for name in ("VmRSS", "RssAnon")}

    def _watch(self) -> None:
        look_at_children = 0.0
        while not self._over.wait(SAMPLE_S):
            for name, amount in self._amounts().items():
                self._peaks[name] = max(self._peaks[name], amount)
            if time.monotonic() >= look_at_children:
                own = sum(cpu.own_bytes(child) for child in cpu.children(self.pid))
                self._children_peak = max(self._children_peak, own)
                look_at_children = time.monotonic() + CHILD_SAMPLE_S


def _waits(phase: dict) -> dict:
    loaders, probe = phase["loaders"], phase["probe"]
    return {"longest_us": max(loaders["max"], probe["max"]), "p99_us": loaders["p99"], "probe_p99_us": probe["p99"]}
