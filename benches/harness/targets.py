"""The project's performance targets: what is held against what, and whether a run met it.

A target that the run did not measure is left out of the table, never counted as met.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .collections import BASELINES, LONG_COMMAND, PROBES
from .families import FAMILIES


@dataclass(frozen=True)
class Verdict:
    """One line of the targets table."""

    measure: str
    redis: str
    cairn: str
    target: str
    measured: str
    met: bool


def verdicts(results: dict) -> list[Verdict]:
    found: list[Verdict] = []
    for rows, key, measure, limit in (
        ("rows", "get-p32-v64", "CPU per GET, pipeline 32", 0.34),
        ("rows", "set-p32-v64", "CPU per SET, pipeline 32", 0.36),
        ("rows", "get-p1-v64", "CPU per GET, pipeline 1", 0.92),
        ("rows", "set-p1-v64", "CPU per SET, pipeline 1", 0.92),
        ("large", "get-p32-v64", "CPU per GET at 5M keys, pipeline 32", 0.38),
    ):
        found += _of_rows(results.get(rows, []), key, measure, limit)
    for row in results.get("workers", []):
        measure = f"two workers against one, CPU per {row['command']}, pipeline {row['pipeline']}"
        one, two = (f"{row[side]['cpu_us']:.3f} us" for side in ("first", "second"))
        ratio = f"{row['cpu_ratio']:.2f} x"
        found.append(Verdict(measure, "", f"{one}, {two}", "at most 1.15 x", ratio, row["cpu_ratio"] <= 1.15))
    for row in results.get("memory", []):
        limit = {8: 0.45, 64: 0.66}[row["value_bytes"]]
        for count, name in (("rss", "RSS"), ("used_memory", "used_memory")):
            redis, cairn = row["first"][count], row["second"][count]
            measure = f"bytes per key by {name}, 16-byte key, {row['value_bytes']}-byte value"
            found.append(_ratio(measure, redis, cairn, cairn / redis, limit, lambda value: f"{value:.1f}"))
    for row in results.get("families", []):
        limit = next(family.limit for family in FAMILIES if family.key == row["key"])
        found += _of_rows([row], row["key"], f"CPU per command, pipeline 32: {row['command']}", limit)
    for row in results.get("sizes", []):
        redis, cairn = row["first"]["used_memory"], row["second"]["used_memory"]
        measure = f"bytes of a {row['unit']}, by used_memory"
        found.append(_ratio(measure, redis, cairn, cairn / redis, row["limit"], lambda value: f"{value:.1f}"))
    found += _of_log(results)
    if "stall" in results:
        redis, cairn = (results["stall"][side]["growth"]["longest_us"] / 1e3 for side in ("first", "second"))
        measure = "longest stall of any client while one slot grows to 5M keys"
        found.append(Verdict(measure, f"{redis:.2f} ms", f"{cairn:.2f} ms", "under 2 ms", f"{cairn:.2f} ms", cairn < 2))
    if "collections" in results:
        collections = results["collections"]
        redis, cairn = (_longest_wait(collections[side]) / 1e3 for side in ("first", "second"))
        measure = f"longest wait while collections of {collections['members'] / 1e6:.0f}M members grow, shrink and go"
        found.append(Verdict(measure, f"{redis:.2f} ms", f"{cairn:.2f} ms", "under 2 ms", f"{cairn:.2f} ms", cairn < 2))
    return found


def _longest_wait(phases: list[dict]) -> float:
    """Of any client, in microseconds; beside a command that is long by itself, of those of other workers."""
    waits = []
    for one in phases:
        counted = PROBES[:1] if one["phase"] == LONG_COMMAND else PROBES
        waits += [one[probe]["net_us"] for probe in counted if probe in one and one["phase"] not in BASELINES]
    return max(waits)


def _of_log(results: dict) -> list[Verdict]:
    found = _of_rows(results.get("log", []), "set-p32-v64", "CPU per SET, pipeline 32, log synced every second", 0.32)
    for row in results.get("log", []):
        if row["key"] == "set-p32-v64":
            redis, cairn = row["first"]["p99_us"], row["second"]["p99_us"]
            measure = "p99 latency of a SET batch, pipeline 32, log synced every second"
            found.append(_ratio(measure, redis, cairn, row["p99_ratio"], 0.2, lambda value: f"{value:,.0f} us"))
    for row in results.get("always", []):
        limit = {"set-p1-v64": 1.2, "set-p32-v64": 1.5}[row["key"]]
        redis, cairn = (f"{row[side]['throughput']:,.0f}/s" for side in ("first", "second"))
        measure = f"SETs a second, each on the disk before its reply, pipeline {row['pipeline']}"
        ratio = row["throughput_ratio"]
        met = round(ratio, 2) >= limit
        found.append(Verdict(measure, redis, cairn, f"at least {limit:.2f} x", f"{ratio:.2f} x", met))
    if "restart" in results:
        restart = results["restart"]
        # The shorter of the two of each, so that neither is judged by work that it had put off.
        redis, cairn = (min(restart[side][kind] for kind in ("written_s", "rewritten_s")) for side in ("first", "second"))
        measure = f"restart with {restart['keys'] / 1e6:.0f}M keys"
        found.append(_ratio(measure, redis, cairn, cairn / redis, 0.25, lambda value: f"{value:.2f} s"))
    if "disk" in results:
        disk = results["disk"]
        redis, cairn = (disk[side]["disk_bytes"] / _live_bytes(disk[side]) for side in ("first", "second"))
        measure = "disk used over live data, after ten overwrites of each key"
        found.append(Verdict(measure, f"{redis:.2f} x", f"{cairn:.2f} x", "at most 2.00 x", f"{cairn:.2f} x", cairn <= 2))
    background = results.get("background", {"first": [], "second": []})
    for redis, cairn in zip(background["first"], background["second"]):
        found += _of_job(redis, cairn)
    return found


def _live_bytes(side: dict) -> int:
    """As the server counts it, or keys and values."""
    return side["live_bytes"] or side["data_bytes"]


def _of_job(redis: dict, cairn: dict) -> list[Verdict]:
    job = cairn["job"]
    stalls = [side["beside"]["longest_us"] / 1e3 for side in (redis, cairn)]
    slower = [side["beside"]["p99_us"] / side["before"]["p99_us"] for side in (redis, cairn)]
    extra = [side["extra_anonymous_share"] for side in (redis, cairn)]
    return [
        Verdict(
            f"longest stall of any client during {job}",
            f"{stalls[0]:.2f} ms", f"{stalls[1]:.2f} ms", "under 5 ms", f"{stalls[1]:.2f} ms", stalls[1] < 5,
        ),
        Verdict(
            f"p99 latency during {job}, over that before it",
            f"{slower[0]:.2f} x", f"{slower[1]:.2f} x", "at most 1.30 x", f"{slower[1]:.2f} x", round(slower[1], 2) <= 1.3,
        ),
        Verdict(
            f"extra memory of the server's own (anonymous) during {job}",
            f"{extra[0]:.1%}", f"{extra[1]:.1%}", "under 5 %", f"{extra[1]:.1%}", extra[1] < 0.05,
        ),
    ]  # fmt: skip


def _of_rows(rows: list[dict], key: str, measure: str, limit: float) -> list[Verdict]:
    return [
        _ratio(
            measure,
            row["first"]["cpu_us"],
            row["second"]["cpu_us"],
            row["cpu_ratio"],
            limit,
            lambda value: f"{value:.3f} us",
        )
        for row in rows
        if row["key"] == key
    ]


def _ratio(
    measure: str, redis: float, cairn: float, ratio: float, limit: float, text: Callable[[float], str]
) -> Verdict:
    # Judged as printed, so that a reader sees the same comparison.
    met = round(ratio, 2) <= limit
    return Verdict(measure, text(redis), text(cairn), f"at most {limit:.2f} x", f"{ratio:.2f} x", met)
