"""Rows of the report: one kind of load, measured on two servers in turn.

Rounds go A B, B A, A B ... so that a drift of the machine falls on both alike; a ratio is the median of the ratios of
each round's pair, an amount is the median over the rounds.
"""

from dataclasses import dataclass
from statistics import median

from .load import Load, Measurement, Shape
from .server import Server

WARMUP_SHARE = 0.1
COMMANDS = {"get": "GET", "set": "SET", "incr": "INCR", "mget10": "MGET of 10", "get:4,set:1": "GET:SET 4:1"}
VALUE_SIZES = (8, 64, 1024)
# Operations in one round: a second or more on the slower server, so that clock ticks can split it.
OPERATIONS = {1: 100_000, 32: 1_500_000}
MGET_SHARE = {1: 0.4, 32: 0.1}


@dataclass(frozen=True)
class Row:
    mix: str
    pipeline: int
    value_bytes: int
    keys: int = 1_000_000
    value_kind: str = "text"
    operations: int | None = None
    # Whether a round ends only when the server is quiet again.
    to_the_end: bool = False

    @property
    def key(self) -> str:
        name = {"get:4,set:1": "mix"}.get(self.mix, self.mix)
        return f"{name}-p{self.pipeline}-v{self.value_bytes}"

    def shape(self) -> Shape:
        operations = self.operations or OPERATIONS[self.pipeline]
        if self.mix == "mget10":
            operations = int(operations * MGET_SHARE[self.pipeline])
        return Shape(
            mix=self.mix,
            pipeline=self.pipeline,
            value_bytes=self.value_bytes,
            value_kind=self.value_kind,
            keys=self.keys,
            operations=operations,
            warmup_operations=int(operations * WARMUP_SHARE),
        )


def full_rows(value_bytes: int) -> list[Row]:
    """Every row of one value size on 1M keys, INCR apart: it needs a data set of numbers."""
    mixes = [mix for mix in COMMANDS if mix != "incr"]
    return [Row(mix, pipeline, value_bytes) for pipeline in (1, 32) for mix in mixes]


def incr_rows() -> list[Row]:
    return [Row("incr", pipeline, 8, value_kind="digits") for pipeline in (1, 32)]


def target_rows() -> list[Row]:
    """The four rows at 64 bytes that the targets name, also those of the control and of two workers."""
    return [Row(mix, pipeline, 64) for pipeline in (32, 1) for mix in ("get", "set")]


def log_rows(quick: bool) -> list[Row]:
    """SETs into a log that is synced every second. A round writes several times what makes a log settle or be
    rewritten, and its CPU time goes on until that work is done.
    """
    share = 0.5 if quick else 1
    return [
        Row("set", 32, 64, operations=int(6_000_000 * share), to_the_end=True),
        Row("set", 1, 64, operations=int(300_000 * share), to_the_end=True),
    ]


def always_rows() -> list[Row]:
    """SETs that are acknowledged once they are on the disk."""
    return [Row("set", 1, 64, operations=40_000), Row("set", 32, 64, operations=500_000)]


def compare(load: Load, row: Row, first: Server, second: Server, rounds: int, load_cpus: str | None = None) -> dict:
    """The row's result: amounts of both servers, and ratios of the second to the first."""
    command = COMMANDS[row.mix]
    return compare_shapes(load, row.key, command, row.shape(), first, second, rounds, load_cpus, row.to_the_end)


def compare_shapes(
    load: Load,
    key: str,
    command: str,
    shape: Shape,
    first: Server,
    second: Server,
    rounds: int,
    load_cpus: str | None = None,
    to_the_end: bool = False,
) -> dict:
    """The same of any load."""
    pairs: list[tuple[Measurement, Measurement]] = []
    for number in range(rounds):
        if number % 2 == 0:
            one = load.run(first, shape, load_cpus, to_the_end)
            two = load.run(second, shape, load_cpus, to_the_end)
        else:
            two = load.run(second, shape, load_cpus, to_the_end)
            one = load.run(first, shape, load_cpus, to_the_end)
        pairs.append((one, two))
    cpu_ratios = [two.cpu_us / one.cpu_us for one, two in pairs]
    return {
        "key": key,
        "command": command,
        "pipeline": shape.pipeline,
        "value_bytes": shape.value_bytes,
        "keys": shape.keys,
        "rounds": rounds,
        "first": _amounts([one for one, _ in pairs]),
        "second": _amounts([two for _, two in pairs]),
        "cpu_ratio": median(cpu_ratios),
        "cpu_ratio_low": min(cpu_ratios),
        "cpu_ratio_high": max(cpu_ratios),
        "throughput_ratio": median(two.throughput / one.throughput for one, two in pairs),
        "p99_ratio": median(two.latency_us["p99"] / one.latency_us["p99"] for one, two in pairs),
    }


def _amounts(runs: list[Measurement]) -> dict:
    cpu_us = median(run.cpu_us for run in runs)
    # Ticks are coarse, so the split is taken over all rounds together.
    user, system = sum(run.user_ticks for run in runs), sum(run.system_ticks for run in runs)
    user_share = user / max(user + system, 1)
    amounts = {
        "cpu_us": cpu_us,
        "user_us": cpu_us * user_share,
        "system_us": cpu_us * (1 - user_share),
        "children_cpu_us": median(run.children_cpu_us for run in runs),
        "cpu_us_each": [round(run.cpu_us, 4) for run in runs],
        "load_cpu_us": median(run.load_cpu_us for run in runs),
        "throughput": median(run.throughput for run in runs),
        "busy": median(run.cpu_us * run.operations / 1e6 / run.seconds for run in runs),
    }
    for name in ("p50", "p99", "p999"):
        amounts[name + "_us"] = median(run.latency_us[name] for run in runs)
    return amounts
