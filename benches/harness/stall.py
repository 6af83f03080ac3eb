"""The longest that any client waits while one slot grows to 5 million keys.

Few connections with short batches load the slot, so that a batch's own queueing stays far below the stall that we
look for; one more connection sends PING and GET one at a time. The longest of all these latencies is the stall.
Two baselines show what the machine itself adds: the probe alone on an idle server, and the same load on keys that
exist, where nothing grows.
"""

from dataclasses import replace
from statistics import median

from . import cpu
from .load import Load, Measurement, Shape
from .server import Server

KEYS = 5_000_000
STEADY_KEYS = 1_000
STEADY_S = 2.0
FRESH_MEMORY_BYTES = 1 << 30
SHAPE = Shape(mix="set", prefix="{s}:", clients=4, pipeline=16, value_bytes=8, probe=True)


def touch_memory() -> None:
    """Makes the host back the pages that a server is about to ask for: on a virtual machine the first touch is slow."""
    block = b"\1" * FRESH_MEMORY_BYTES
    del block


def one_round(load: Load, server: Server) -> dict:
    """The three phases on a fresh server."""
    steady = replace(SHAPE, keys=STEADY_KEYS, seconds=STEADY_S)
    idle = load.run(server, replace(steady, clients=0))
    flat = load.run(server, steady)
    server.command("FLUSHALL")
    stolen_before = cpu.stolen_ms()
    growth = load.fill(server, SHAPE, KEYS)
    return {
        "idle": _waits(idle),
        "steady": _waits(flat),
        "growth": _waits(growth),
        "growth_seconds": growth.seconds,
        "stolen_ms": cpu.stolen_ms() - stolen_before,
    }


def summary(rounds: list[dict]) -> dict:
    """Medians over the rounds, with every round's longest beside them."""
    result: dict = {"keys": KEYS, "rounds": rounds}
    for phase in ("idle", "steady", "growth"):
        waits = [one[phase] for one in rounds]
        result[phase] = {name: median(wait[name] for wait in waits) for name in waits[0]}
        result[phase]["longest_each_us"] = [wait["longest_us"] for wait in waits]
    return result


def _waits(run: Measurement) -> dict:
    loaders, probe = run.latency_us, run.probe_us or {}
    seen = [kind for kind in (loaders, probe) if kind.get("samples")]
    return {
        "longest_us": max(kind["max"] for kind in seen),
        "p9999_us": max(kind["p9999"] for kind in seen),
        "over_1ms": sum(kind["over_1ms"] for kind in seen),
        "loader_max_us": loaders["max"],
        "probe_max_us": probe.get("max", 0.0),
        # Ready to run while something else had its core: none of the server's doing.
        "server_waited_ms": run.waited_ms,
    }
