"""How long a server needs to be back with its keys: from the start of the process until it answers PING and counts all.

Once from the log as writing left it, once after a rewrite; the directory is in the page cache both times, as after a
restart of the server alone.
"""

from collections.abc import Callable
from statistics import median

from .load import Load, Shape
from .server import HarnessError, Server


def one_round(load: Load, keys: int, start: Callable[[bool], Server]) -> dict:
    """`start` starts the server; on an empty directory where told so."""
    found = {}
    with start(True) as server:
        load.fill(server, Shape(value_bytes=64), keys)
        server.wait_until_quiet()
    found["written_s"] = _restart(keys, start)
    with start(False) as server:
        rewrite(server)
    found["rewritten_s"] = _restart(keys, start)
    return found


def rewrite(server: Server) -> None:
    server.wait_until_quiet()
    server.command("BGREWRITEAOF")
    server.wait_for("persistence", "aof_rewrite_in_progress", "0")
    server.wait_until_quiet()


def summary(rounds: list[dict]) -> dict:
    result: dict = {name: median(one[name] for one in rounds) for name in rounds[0]}
    return result | {"rounds": rounds}


def _restart(keys: int, start: Callable[[bool], Server]) -> float:
    with start(False) as server:
        if server.key_count() != keys:
            raise HarnessError(f"{server.program.name} is back with {server.key_count()} of {keys} keys")
        return server.ready_s
