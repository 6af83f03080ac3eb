"""Bytes per key: how much an empty server grows by when it is given keys, counted by the kernel and by itself."""

import time

from . import cpu
from .load import Load, Shape
from .server import Server

KEYS = 3_000_000
STEADY_S = 3.0
SETTLE_LIMIT_S = 30.0
POLL_S = 0.25
# Less movement than this over STEADY_S counts as settled.
TOLERANCE = 0.001


def bytes_per_key(load: Load, server: Server, value_bytes: int) -> dict:
    """Fills the (fresh) server and waits until rehashing and the allocator's clean-up are over."""
    empty = amounts(server)
    load.fill(server, Shape(value_bytes=value_bytes), KEYS)
    full = settled(server)
    return {
        "value_bytes": value_bytes,
        "keys": KEYS,
        "rss": (full[0] - empty[0]) / KEYS,
        "used_memory": (full[1] - empty[1]) / KEYS,
    }


def amounts(server: Server) -> tuple[int, int]:
    used = int(server.info("memory")["used_memory"])
    return cpu.resident_bytes(server.pid), used


def settled(server: Server) -> tuple[int, int]:
    limit = time.monotonic() + SETTLE_LIMIT_S
    reference, since = amounts(server), time.monotonic()
    while time.monotonic() < limit:
        time.sleep(POLL_S)
        now = amounts(server)
        if any(abs(new - old) > old * TOLERANCE for new, old in zip(now, reference)):
            reference, since = now, time.monotonic()
        elif time.monotonic() - since >= STEADY_S:
            return now
    return amounts(server)
