"""Going before the machine's other work, so that a wait that is seen is the server's and not the scheduler's.

A process is started under nice, and since a session of its own is a scheduling group of its own (autogroup), that
group is raised as well. Without the right to do so (not root) things run as usual.
"""

import contextlib
from pathlib import Path

NICE = "-20"


def prefix() -> list[str]:
    """What to put before a command."""
    return ["nice", "-n", NICE]


def raise_group(pid: int) -> None:
    """For a process that was started in a session of its own."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(NICE)
