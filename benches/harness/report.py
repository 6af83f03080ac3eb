"""docs/benchmarks.md from one run's results; every word that judges them is in benches/findings.md, by hand."""

import os
from pathlib import Path

from . import plots
from .targets import verdicts

METHOD = """\
- Both servers run at the same time in memory only (`--save "" --appendonly no`), on core {server_cpus}; one load generator
  (`benches/generator`) runs on core {load_cpus}: {clients} connections, closed loop, 16-byte keys drawn uniformly, all of them loaded first.
- CPU per command is the scheduler's run time of all the server's threads (`/proc/PID/task/*/schedstat`), read just before and
  after the measured operations; clock ticks only give the split into user and system time.
- Each run warms up on its own connections, then does a fixed number of operations; rounds go A B, B A, A B, ...
- Amounts are medians of {rounds} rounds; a ratio is the median of the rounds' own ratios, with their range beside it.
- Where the server's core is less than fully busy, the load generator is the limit and throughput is a lower bound.
- Latency is that of a whole batch: from before its first byte is sent until its last reply is read.
"""


def write(results: dict, path: Path, plots_directory: Path, findings: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = plots.draw(results, plots_directory)
    parts = [_head(results), _targets(results), _pictures(pictures, path, plots_directory)]
    parts += [_rows(results), _large(results), _workers(results), _memory(results), _stall(results)]
    parts += [_control(results), _findings(findings)]
    path.write_text("\n".join(part for part in parts if part))


def _head(results: dict) -> str:
    machine = results["machine"]
    virtual = "virtual" if machine["virtual"] else "physical"
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; do not edit. The words under Findings come from `benches/findings.md`.",
        "",
        f"- Machine: {virtual}, {machine['cores']} cores of {machine['cpu']} ({machine['cpu_model']}), "
        f"{machine['memory_gib']} GiB, Linux {machine['kernel']}",
        f"- {results['first_name']}: {results['first_version']}",
        f"- {results['second_name']}: {results['second_version']}, commit {machine['commit']}, {machine['rustc']}",
        f"- Run on {machine['date']}, {results['minutes']:.0f} minutes, load average before it {machine['load_average']:.2f}",
        "",
        "## Method",
        METHOD.format(**results["settings"]).rstrip(),
        "",
    ]
    return "\n".join(lines)


def _targets(results: dict) -> str:
    lines = ["## Targets"]
    lines += _table_head("measure", results["first_name"], results["second_name"], "target", "measured", "verdict")
    for one in verdicts(results):
        verdict = "met" if one.met else "**missed**"
        lines.append(f"| {one.measure} | {one.redis} | {one.cairn} | {one.target} | {one.measured} | {verdict} |")
    return "\n".join(lines) + "\n"


def _pictures(pictures: list[tuple[str, str]], path: Path, directory: Path) -> str:
    if not pictures:
        return ""
    base = os.path.relpath(directory, path.parent)
    return "## Plots\n" + "\n".join(f"![{caption}]({base}/{file})\n" for file, caption in pictures)


def _rows(results: dict) -> str:
    rows = results.get("rows", [])
    if not rows:
        return ""
    text = ["## All rows: 1 million keys, one worker"]
    text.append("An operation is one command, so one MGET counts once.\n")
    for pipeline in sorted({row["pipeline"] for row in rows}, reverse=True):
        text.append(f"### Pipeline {pipeline}")
        text += _pair_table([row for row in rows if row["pipeline"] == pipeline], results)
    return "\n".join(text)


def _large(results: dict) -> str:
    rows = results.get("large", [])
    return "\n".join(["## 5 million keys, 64-byte values, pipeline 32", *_pair_table(rows, results)]) if rows else ""


def _workers(results: dict) -> str:
    rows = results.get("workers", [])
    if not rows:
        return ""
    settings = results["settings"]
    text = [f"## Two workers against one ({results['second_name']})"]
    text.append(
        f"Both instances and the load may use cores {settings['worker_cpus']}: with two workers, load and server share the "
        "cores, so throughput says little and CPU per command is what counts.\n"
    )
    return "\n".join(text + _pair_table(rows, {"first_name": "one worker", "second_name": "two workers"}))


def _control(results: dict) -> str:
    rows = results.get("control", [])
    if not rows:
        return ""
    name = results["second_name"]
    text = [f"## Control: {name} against a second instance of itself", "How far from 1.00 noise alone takes a ratio.\n"]
    return "\n".join(text + _pair_table(rows, {"first_name": f"{name} A", "second_name": f"{name} B"}))


def _pair_table(rows: list[dict], names: dict) -> list[str]:
    lines = _table_head(
        "command", "value", "server", "CPU us", "user", "system", "ops/s", "p50 us", "p99 us", "p99.9 us", "core busy",
        "load CPU us", "CPU ratio (range)",
    )  # fmt: skip
    for row in rows:
        for side in ("first", "second"):
            one = row[side]
            ratio = ""
            if side == "second":
                ratio = f"**{row['cpu_ratio']:.2f}** ({row['cpu_ratio_low']:.2f} to {row['cpu_ratio_high']:.2f})"
            head = (row["command"], f"{row['value_bytes']} B") if side == "first" else ("", "")
            amounts = [f"{one[name]:.3f}" for name in ("cpu_us", "user_us", "system_us")]
            amounts.append(f"{one['throughput']:,.0f}")
            amounts += [f"{one[name]:,.0f}" for name in ("p50_us", "p99_us", "p999_us")]
            amounts += [f"{one['busy']:.0%}", f"{one['load_cpu_us']:.3f}"]
            lines.append("| " + " | ".join([*head, names[side + "_name"], *amounts, ratio]) + " |")
    return [*lines, ""]


def _memory(results: dict) -> str:
    rows = results.get("memory", [])
    if not rows:
        return ""
    lines = [f"## Bytes per key at {rows[0]['first']['keys'] // 1_000_000} million keys"]
    lines.append("Growth of a fresh server, after rehashing and the allocator's clean-up came to rest; 16-byte keys.\n")
    lines += _table_head("value", "counted by", results["first_name"], results["second_name"], "ratio")
    for row in rows:
        for count, name in (("rss", "RSS"), ("used_memory", "used_memory")):
            redis, cairn = row["first"][count], row["second"][count]
            lines.append(f"| {row['value_bytes']} B | {name} | {redis:.1f} | {cairn:.1f} | **{cairn / redis:.2f}** |")
    return "\n".join(lines) + "\n"


def _stall(results: dict) -> str:
    stall = results.get("stall")
    if not stall:
        return ""
    lines = ["## Longest stall while one slot grows to 5 million keys"]
    lines.append(
        "Four connections with batches of 16 SETs and one that sends PING and GET one at a time, all keys in one slot; the "
        "longest of all their waits. The first two rows of each server are what the machine adds: the probe on an idle server, "
        "and the same load where nothing grows.\n"
    )
    lines += _table_head(
        "server", "phase", "longest, median", "longest of each round", "p99.99", "waits over 1 ms a round",
        "server kept off its core",
    )
    phases = {"idle": "idle", "steady": "load, no growth", "growth": "growth"}
    for side in ("first", "second"):
        for phase, name in phases.items():
            one = stall[side][phase]
            each = ", ".join(f"{value / 1e3:.2f}" for value in one["longest_each_us"])
            lines.append(
                f"| {results[side + '_name']} | {name} | {one['longest_us'] / 1e3:.2f} ms | {each} ms "
                f"| {one['p9999_us'] / 1e3:.2f} ms | {one['over_1ms']:.0f} "
                f"| {one['server_waited_ms']:.1f} ms |"
            )
    return "\n".join(lines) + "\n"


def _findings(findings: Path) -> str:
    text = findings.read_text().strip() if findings.exists() else "None written yet."
    return f"## Findings\n{text}\n"


def _table_head(*names: str) -> list[str]:
    return ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
