"""The report's pictures: small SVG files with text left as text, the same bytes for the same numbers."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import StrMethodFormatter  # noqa: E402

from .rows import COMMANDS  # noqa: E402

matplotlib.rcParams.update(
    {
        "svg.fonttype": "none",
        "svg.hashsalt": "cairn",
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "grid.color": "#dddddd",
        "axes.axisbelow": True,
        "figure.facecolor": "white",
    }
)

REDIS, CAIRN = "#b0483f", "#2f6f8f"
REDIS_LIGHT, CAIRN_LIGHT = "#dfa9a4", "#9cc3d5"
BAR = 0.38
ORDER = list(COMMANDS.values())


def draw(results: dict, directory: Path) -> list[tuple[str, str]]:
    """Writes what the results allow; returns (file name, caption) in the order of the report."""
    directory.mkdir(parents=True, exist_ok=True)
    names = (results["first_name"], results["second_name"])
    drawn: list[tuple[str, str]] = []
    for pipeline in (32, 1):
        rows = [row for row in results.get("rows", []) if row["pipeline"] == pipeline and row["value_bytes"] in (8, 64)]
        rows = [row for row in rows if row["value_bytes"] == 64 or row["command"] == "INCR"]
        rows.sort(key=lambda row: ORDER.index(row["command"]))
        if rows:
            file = f"cpu-pipeline-{pipeline}.svg"
            _cpu(rows, names, f"Server CPU per command, pipeline {pipeline}, 64-byte values", directory / file)
            drawn.append((file, f"Server CPU per command at pipeline {pipeline}"))
            file = f"latency-pipeline-{pipeline}.svg"
            _latency(rows, names, f"Latency of a batch, pipeline {pipeline}, 50 connections", directory / file)
            drawn.append((file, f"Latency at pipeline {pipeline}"))
    if results.get("rows"):
        _ratios(results["rows"], directory / "cpu-ratio.svg")
        drawn.append(("cpu-ratio.svg", "CPU ratio of every row"))
    if results.get("memory"):
        _memory(results["memory"], names, directory / "memory.svg")
        drawn.append(("memory.svg", "Bytes per key"))
    if results.get("log"):
        _log_cpu(results["log"], names, directory / "log-cpu.svg")
        drawn.append(("log-cpu.svg", "Server CPU per SET with a log that is synced every second"))
    if results.get("always"):
        _always(results["always"], names, directory / "log-always.svg")
        drawn.append(("log-always.svg", "SETs a second, each on the disk before its reply"))
    if results.get("restart"):
        _restart(results["restart"], names, directory / "restart.svg")
        drawn.append(("restart.svg", "Time to restart"))
    if results.get("background"):
        for index, job in enumerate(one["job"] for one in results["background"]["second"]):
            file = f"latency-during-{job.lower()}.svg"
            _over_time([results["background"][side][index] for side in ("first", "second")], names, directory / file)
            drawn.append((file, f"Latency over time around a {job}"))
    if results.get("stall"):
        _stall(results["stall"], names, directory / "stall.svg")
        drawn.append(("stall.svg", "Longest stall"))
    return drawn


def _cpu(rows: list[dict], names: tuple[str, str], title: str, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(7, 3.6))
    colours = {"first": (REDIS, REDIS_LIGHT), "second": (CAIRN, CAIRN_LIGHT)}
    for side, shift, name in (("first", -BAR / 2, names[0]), ("second", BAR / 2, names[1])):
        at = [index + shift for index in range(len(rows))]
        user = [row[side]["user_us"] for row in rows]
        system = [row[side]["system_us"] for row in rows]
        axes.bar(at, user, BAR, color=colours[side][0], label=f"{name}, user")
        axes.bar(at, system, BAR, bottom=user, color=colours[side][1], label=f"{name}, system")
        for x, row in zip(at, rows):
            axes.annotate(f"{row[side]['cpu_us']:.2f}", (x, row[side]["cpu_us"]), ha="center", va="bottom", fontsize=7)
    _finish(figure, axes, rows, title, "us", path)


def _latency(rows: list[dict], names: tuple[str, str], title: str, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(7, 3.6))
    marks = {"p50_us": "o", "p99_us": "s", "p999_us": "^"}
    for side, shift, colour, name in (("first", -0.12, REDIS, names[0]), ("second", 0.12, CAIRN, names[1])):
        at = [index + shift for index in range(len(rows))]
        for quantile, mark in marks.items():
            values = [row[side][quantile] / 1e3 for row in rows]
            text = quantile.removesuffix("_us").replace("p999", "p99.9")
            axes.plot(at, values, mark, color=colour, markersize=5, label=f"{name}, {text}")
        low, high = ([row[side][key] / 1e3 for row in rows] for key in ("p50_us", "p999_us"))
        axes.vlines(at, low, high, color=colour, linewidth=1)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    _finish(figure, axes, rows, title, "ms", path)


def _ratios(rows: list[dict], path: Path) -> None:
    ordered = sorted(rows, key=lambda row: (-row["pipeline"], row["command"], row["value_bytes"]), reverse=True)
    figure, axes = plt.subplots(figsize=(7, 0.21 * len(ordered) + 1))
    at = range(len(ordered))
    axes.hlines(at, [row["cpu_ratio_low"] for row in ordered], [row["cpu_ratio_high"] for row in ordered], color=CAIRN)
    axes.plot([row["cpu_ratio"] for row in ordered], at, "o", color=CAIRN, markersize=4)
    axes.axvline(1, color=REDIS, linewidth=1)
    labels = [f"{row['command']}, {row['value_bytes']} B, P={row['pipeline']}" for row in ordered]
    axes.set_yticks(list(at), labels, fontsize=7)
    axes.set_xlim(left=0)
    axes.grid(axis="x", color="#dddddd")
    axes.set_title("Server CPU per command as a ratio to redis-server: median and range of rounds", fontsize=9)
    _save(figure, path)


def _memory(rows: list[dict], names: tuple[str, str], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(6, 3.3))
    labels = []
    for index, (row, count) in enumerate((row, count) for row in rows for count in ("rss", "used_memory")):
        labels.append(f"{row['value_bytes']}-byte value\n{'RSS' if count == 'rss' else count}")
        for side, shift, colour, name in (("first", -BAR / 2, REDIS, names[0]), ("second", BAR / 2, CAIRN, names[1])):
            value = row[side][count]
            axes.bar(index + shift, value, BAR, color=colour, label=name if index == 0 else None)
            axes.annotate(f"{value:.0f}", (index + shift, value), ha="center", va="bottom", fontsize=7)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_title("Bytes per key at 3 million keys, 16-byte keys", fontsize=9)
    _legend(axes)
    _save(figure, path)


def _log_cpu(rows: list[dict], names: tuple[str, str], path: Path) -> None:
    figure, many = plt.subplots(1, len(rows), figsize=(6, 3.3), squeeze=False)
    for axes, row in zip(many[0], rows):
        for side, at, colours in (("first", 0, (REDIS, REDIS_LIGHT)), ("second", 1, (CAIRN, CAIRN_LIGHT))):
            own, children = row[side]["cpu_us"], row[side]["children_cpu_us"]
            axes.bar(at, own, 0.6, color=colours[0])
            axes.bar(at, children, 0.6, bottom=own, color=colours[1])
            axes.annotate(f"{own:.2f}", (at, own), ha="center", va="top", fontsize=7, color="white")
        axes.set_xticks([0, 1], names, fontsize=7)
        axes.set_ylabel("us")
        axes.set_title(f"pipeline {row['pipeline']}", fontsize=9)
    figure.suptitle("Server CPU per SET, log synced every second (pale: child processes)", fontsize=9)
    _save(figure, path)


def _always(rows: list[dict], names: tuple[str, str], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(6, 3.3))
    for side, shift, colour, name in (("first", -BAR / 2, REDIS, names[0]), ("second", BAR / 2, CAIRN, names[1])):
        for index, row in enumerate(rows):
            value = row[side]["throughput"] / 1e3
            axes.bar(index + shift, value, BAR, color=colour, label=name if index == 0 else None)
            axes.annotate(f"{value:.0f}", (index + shift, value), ha="center", va="bottom", fontsize=7)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_xticks(range(len(rows)), [f"pipeline {row['pipeline']}" for row in rows])
    axes.set_ylabel("thousand SETs a second")
    axes.set_title("Each write on the disk before its reply, 50 connections", fontsize=9)
    _legend(axes)
    _save(figure, path)


def _restart(restart: dict, names: tuple[str, str], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(6, 3.3))
    kinds = {"written_s": "as written", "rewritten_s": "rewritten"}
    for side, shift, colour, name in (("first", -BAR / 2, REDIS, names[0]), ("second", BAR / 2, CAIRN, names[1])):
        for index, kind in enumerate(kinds):
            value = restart[side][kind]
            axes.bar(index + shift, value, BAR, color=colour, label=name if index == 0 else None)
            axes.annotate(f"{value:.2f}", (index + shift, value), ha="center", va="bottom", fontsize=7)
    axes.set_xticks(range(len(kinds)), list(kinds.values()))
    axes.set_ylabel("s")
    axes.set_title(f"From start to all of {restart['keys'] / 1e6:.0f} million keys", fontsize=9)
    _legend(axes)
    _save(figure, path)


def _over_time(sides: list[dict], names: tuple[str, str], path: Path) -> None:
    """The p99 and the longest latency of every short period, with the job's time shaded."""
    figure, many = plt.subplots(2, 1, figsize=(7, 4.6), sharey=True)
    for axes, one, name, colour in zip(many, sides, names, (REDIS, CAIRN)):
        length_s = one["series"]["period_ms"] / 1e3
        periods = [(index * length_s, *row) for index, row in enumerate(one["series"]["periods"]) if row[0] > 0]
        at = [period[0] for period in periods]
        axes.plot(at, [period[3] / 1e3 for period in periods], color=colour, linewidth=1, label=f"{name}, longest")
        axes.plot(at, [period[2] / 1e3 for period in periods], color=colour, linewidth=1, linestyle=":", label="p99")
        axes.axvspan(one["from_s"], one["to_s"], color="#eeeeee", zorder=0)
        axes.axhline(5, color="#888888", linewidth=1, linestyle="--")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.set_ylabel("ms")
        axes.set_xlim(0, max(at, default=1))
        axes.legend(fontsize=7, frameon=False, loc="upper right")
    period_ms = sides[1]["series"]["period_ms"]
    many[0].set_title(f"Latencies of every {period_ms} ms around a {sides[1]['job']} (shaded; dashed: the target)", fontsize=9)
    many[1].set_xlabel("s")
    _save(figure, path)


def _stall(stall: dict, names: tuple[str, str], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(6, 3.3))
    phases = {"idle": "idle server", "steady": "load, nothing grows", "growth": "one slot grows to 5M keys"}
    for side, shift, colour, name in (("first", -0.1, REDIS, names[0]), ("second", 0.1, CAIRN, names[1])):
        for index, phase in enumerate(phases):
            values = [value / 1e3 for value in stall[side][phase]["longest_each_us"]]
            label = name if index == 0 else None
            axes.plot([index + shift] * len(values), values, "o", color=colour, markersize=5, alpha=0.7, label=label)
    axes.axhline(2, color="#888888", linewidth=1, linestyle="--")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_xticks(range(len(phases)), list(phases.values()))
    axes.set_xlim(-0.5, len(phases) - 0.5)
    axes.set_ylabel("ms")
    axes.set_title("Longest wait of any client, each round (dashed: the target)", fontsize=9)
    _legend(axes)
    _save(figure, path)


def _finish(figure: plt.Figure, axes: plt.Axes, rows: list[dict], title: str, unit: str, path: Path) -> None:
    axes.set_xticks(range(len(rows)), [row["command"] for row in rows])
    axes.set_ylabel(unit)
    axes.set_title(title, fontsize=9)
    _legend(axes)
    _save(figure, path)


def _legend(axes: plt.Axes) -> None:
    """Below the picture, where it can hide nothing."""
    axes.legend(fontsize=7, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.19))


def _save(figure: plt.Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    # Matplotlib leaves blanks at line ends.
    lines = (line.rstrip() for line in path.read_text().splitlines())
    path.write_text("\n".join(lines) + "\n")
