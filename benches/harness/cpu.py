"""CPU time of a process, from the scheduler's own accounting.

The total is the sum of /proc/PID/task/*/schedstat (nanoseconds on a core). How it splits into user and system time
is only known in clock ticks, so ticks give the ratio and never the amount.
"""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CpuTime:
    """Amounts since the process started, or between two samples."""

    total_ns: int
    waited_ns: int  # ready to run, but without a core
    user_ticks: int
    system_ticks: int

    def __sub__(self, earlier: "CpuTime") -> "CpuTime":
        return CpuTime(
            self.total_ns - earlier.total_ns,
            self.waited_ns - earlier.waited_ns,
            self.user_ticks - earlier.user_ticks,
            self.system_ticks - earlier.system_ticks,
        )


def sample(pid: int) -> CpuTime:
    """The CPU time of all tasks of `pid` so far."""
    total_ns = waited_ns = user_ticks = system_ticks = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            ran, waited, _ = (task / "schedstat").read_text().split()
            # The command name may hold spaces, so count fields after its closing bracket.
            fields = (task / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # a task that ended while we looked
        total_ns += int(ran)
        waited_ns += int(waited)
        user_ticks += int(fields[11])
        system_ticks += int(fields[12])
    return CpuTime(total_ns, waited_ns, user_ticks, system_ticks)


def stolen_ms() -> float:
    """Time that the hypervisor kept from this machine's cores since it started, where the kernel is told."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()
    return int(fields[8]) * 1000 / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """VmRSS of `pid`."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no VmRSS")
