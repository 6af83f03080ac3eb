"""CPU time of a process, from the scheduler's own accounting.

The total is the process's CPU clock (nanoseconds on a core, all threads, those that have ended as well). How it splits
into user and system time is only known in clock ticks, so ticks give the ratio and never the amount. Child processes
are counted apart: those that live by their clocks, those that ended by the parent's ticks for them.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class CpuTime:
    """Amounts since the process started, or between two samples."""

    total_ns: int
    children_ns: int
    waited_ns: int  # ready to run, but without a core
    user_ticks: int
    system_ticks: int

    def __sub__(self, earlier: "CpuTime") -> "CpuTime":
        return CpuTime(
            self.total_ns - earlier.total_ns,
            self.children_ns - earlier.children_ns,
            self.waited_ns - earlier.waited_ns,
            self.user_ticks - earlier.user_ticks,
            self.system_ticks - earlier.system_ticks,
        )


def sample(pid: int) -> CpuTime:
    """The CPU time of `pid` so far."""
    children_ns = sum(_clock_ns(child) for child in children(pid))
    waited_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            waited_ns += int((task / "schedstat").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue  # a task that ended while we looked
    # The command name may hold spaces, so count fields after its closing bracket.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user_ticks, system_ticks, ended_user_ticks, ended_system_ticks = (int(field) for field in fields[11:15])
    children_ns += (ended_user_ticks + ended_system_ticks) * TICK_NS
    return CpuTime(_clock_ns(pid), children_ns, waited_ns, user_ticks, system_ticks)


def children(pid: int) -> list[int]:
    """The child processes that live now."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found += (int(child) for child in (task / "children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _clock_ns(pid: int) -> int:
    try:
        # The number of a process's CPU clock, as clock_getcpuclockid(3) makes it.
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        return 0  # it ended while we looked; the parent's ticks have it


def stolen_ms() -> float:
    """Time that the hypervisor kept from this machine's cores since it started, where the kernel is told."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()
    return int(fields[8]) * 1000 / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int, kind: str = "VmRSS") -> int:
    """VmRSS of `pid`, or one of its parts: RssAnon, RssFile."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(kind + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no {kind}")


def own_bytes(pid: int) -> int:
    """Memory that `pid` shares with nobody; 0 once it has ended. Slow: the kernel walks its pages."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Private_Clean:", "Private_Dirty:")))
