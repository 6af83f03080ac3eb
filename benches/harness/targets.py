"""The project's performance targets: what is held against what, and whether a run met it.

A target that the run did not measure is left out of the table, never counted as met.
"""

from collections.abc import Callable
from dataclasses import dataclass


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
    if "stall" in results:
        redis, cairn = (results["stall"][side]["growth"]["longest_us"] / 1e3 for side in ("first", "second"))
        measure = "longest stall of any client while one slot grows to 5M keys"
        found.append(Verdict(measure, f"{redis:.2f} ms", f"{cairn:.2f} ms", "under 2 ms", f"{cairn:.2f} ms", cairn < 2))
    return found


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
