"""Rows and sizes beyond strings: one command or pair of commands of each family on data loaded for it, and the bytes
that a collection takes.
"""

from dataclasses import dataclass

from . import memory, rows
from .load import Load, Shape
from .server import Server

PIPELINE = 32
MEMBERS = 1_000_000


@dataclass(frozen=True)
class Fill:
    """Loads a data set: `operations` commands that count up."""

    mix: str
    keys: int
    operations: int
    value_bytes: int = 8


@dataclass(frozen=True)
class Family:
    """A measured mix, what is loaded before, and how its CPU time is to compare."""

    mix: str
    name: str
    keys: int
    operations: int
    limit: float
    fills: tuple[Fill, ...] = ()
    value_bytes: int = 8
    subscribers: int = 0

    @property
    def key(self) -> str:
        return self.mix

    def shape(self) -> Shape:
        return Shape(
            mix=self.mix,
            pipeline=PIPELINE,
            value_bytes=self.value_bytes,
            keys=self.keys,
            operations=self.operations,
            warmup_operations=self.operations // 10,
            subscribers=self.subscribers,
        )


SORTED_SET = Fill("zfill", MEMBERS, MEMBERS)
FAMILIES = (
    Family("lpush,lpop", "LPUSH and LPOP, 1,000 lists", 1000, 1_500_000, 0.5, (Fill("lpush", 1000, 600_000, 64),), 64),
    Family("sadd", "SADD, 1M members", MEMBERS, 1_000_000, 0.5, (Fill("sadd", MEMBERS, MEMBERS),)),
    Family("hset,hget", "HSET and HGET, 100,000 hashes", 100_000, 1_500_000, 0.5, (Fill("hset3", 100_000, 100_000), Fill("hset", 100_000, 100_000))),
    Family("zadd", "ZADD that moves one of 1M members", MEMBERS, 1_000_000, 0.5, (SORTED_SET,)),
    Family("zrange10", "ZRANGE of 10 of 1M members", MEMBERS, 600_000, 0.5, (SORTED_SET,)),
    Family("xadd", "XADD, 1,000 streams", 1000, 1_000_000, 0.5, (), 16),
    Family("eval", "EVAL with two calls", 100_000, 300_000, 0.7),
    Family("publish", "PUBLISH to 100 subscribers", 1, 30_000, 0.7, (), 16, 100),
)  # fmt: skip


def compare(load: Load, family: Family, first: Server, second: Server, rounds: int) -> dict:
    for server in (first, second):
        server.command("FLUSHALL")
        for fill in family.fills:
            _fill(load, server, fill)
    return rows.compare_shapes(load, family.key, family.name, family.shape(), first, second, rounds)


def _fill(load: Load, server: Server, fill: Fill) -> None:
    shape = Shape(
        mix=fill.mix, keys=fill.keys, operations=fill.operations, value_bytes=fill.value_bytes, order="sequential"
    )
    load.run(server, shape)


# What is loaded, what a unit of it is, how many there are, and how the bytes of one are to compare.
SIZES = (
    ("hset3", "hash of 3 fields", MEMBERS, 0.6),
    ("zfill", "member of a sorted set", MEMBERS, 0.6),
    ("sadd", "member of a set", MEMBERS, 0.6),
    ("rpush1", "element of a list", MEMBERS, 0.6),
)


def bytes_each(load: Load, server: Server, mix: str, count: int) -> dict:
    """Fills the (fresh) server and waits until it has come to rest."""
    empty = memory.amounts(server)
    _fill(load, server, Fill(mix, count, count))
    full = memory.settled(server)
    return {"rss": (full[0] - empty[0]) / count, "used_memory": (full[1] - empty[1]) / count}
