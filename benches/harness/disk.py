"""What a log takes on the disk after its keys were overwritten many times."""

from pathlib import Path

from .load import Load, Shape
from .server import Server

OVERWRITES = 10
KEY_BYTES = 16
VALUE_BYTES = 64
BLOCK_BYTES = 512


def after_overwrites(load: Load, server: Server, keys: int) -> dict:
    """Fills the (fresh) server and overwrites each key some ten times, at random."""
    shape = Shape(mix="set", value_bytes=VALUE_BYTES, keys=keys)
    load.fill(server, shape, keys)
    operations = OVERWRITES * keys
    load.run(server, Shape(mix="set", value_bytes=VALUE_BYTES, keys=keys, operations=operations, seconds=600))
    server.wait_until_quiet()
    live = server.info("persistence").get("log_live_bytes")
    return {
        "keys": keys,
        "disk_bytes": disk_bytes(server.directory),
        "data_bytes": keys * (KEY_BYTES + VALUE_BYTES),
        # As the server counts it: with what a record needs beside key and value.
        "live_bytes": int(live) if live else None,
    }


def disk_bytes(directory: Path) -> int:
    """Blocks of all files, as du counts them."""
    return sum(path.lstat().st_blocks for path in directory.rglob("*")) * BLOCK_BYTES
