"""docs/benchmarks.md from one run's results; every word that judges them is in benches/findings.md, by hand."""

import os
from pathlib import Path

from . import plots
from .collections import PROBES
from .targets import verdicts

METHOD = """\
- Both servers run at the same time, in memory only (`--save "" --appendonly no`) where nothing else is said, on core {server_cpus}; one load generator
  (`benches/generator`) runs on core {load_cpus}: {clients} connections, closed loop, 16-byte keys drawn uniformly, all of them loaded first.
- CPU per command is the scheduler's run time of all the server's threads (the process's CPU clock), read just before and
  after the measured operations; clock ticks only give the split into user and system time. Child processes are not in it:
  where a server has any, they stand in a column of their own, and ratios are taken without them.
- Each run warms up on its own connections, then does a fixed number of operations; rounds go A B, B A, A B, ...
- Amounts are medians of {rounds} rounds; a ratio is the median of the rounds' own ratios, with their range beside it.
- Where the server's core is less than fully busy, the load generator is the limit and throughput is a lower bound.
- Latency is that of a whole batch: from before its first byte is sent until its last reply is read.
"""


def write(results: dict, path: Path, plots_directory: Path, findings: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = plots.draw(results, plots_directory)
    parts = [_head(results), _targets(results), _pictures(pictures, path, plots_directory)]
    parts += [_rows(results), _large(results), _workers(results), _memory(results)]
    parts += [_families(results), _sizes(results)]
    parts += [_log(results), _always(results), _restart(results), _disk(results), _background(results), _stall(results)]
    parts.append(_collections(results))
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


def _pair_table(rows: list[dict], names: dict, more: tuple[str, str] | None = None) -> list[str]:
    """Both servers for each row; `more` is one more column: its head, and the name of the amount in microseconds."""
    lines = _table_head(
        "command", "value", "server", "CPU us", "user", "system", *([more[0]] if more else []), "ops/s", "p50 us", "p99 us",
        "p99.9 us", "core busy", "load CPU us", "CPU ratio (range)",
    )  # fmt: skip
    for row in rows:
        for side in ("first", "second"):
            one = row[side]
            ratio = ""
            if side == "second":
                ratio = f"**{row['cpu_ratio']:.2f}** ({row['cpu_ratio_low']:.2f} to {row['cpu_ratio_high']:.2f})"
            head = (row["command"], f"{row['value_bytes']} B") if side == "first" else ("", "")
            amounts = [f"{one[name]:.3f}" for name in ("cpu_us", "user_us", "system_us", *(more[1:] if more else ()))]
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


def _families(results: dict) -> str:
    rows = results.get("families", [])
    if not rows:
        return ""
    text = ["## Commands of other families, pipeline 32"]
    text.append("An operation of a pair is one of the two commands; each PUBLISH is delivered 100 times.\n")
    return "\n".join(text + _pair_table(rows, results))


def _sizes(results: dict) -> str:
    rows = results.get("sizes", [])
    if not rows:
        return ""
    lines = ["## Bytes of collections"]
    lines.append("Growth of a fresh server, divided by the number of units.\n")
    lines += _table_head("unit", "how many", "counted by", results["first_name"], results["second_name"], "ratio")
    for row in rows:
        for count, name in (("rss", "RSS"), ("used_memory", "used_memory")):
            redis, cairn = row["first"][count], row["second"][count]
            lines.append(
                f"| {row['unit']} | {row['count']:,} | {name} | {redis:.1f} | {cairn:.1f} | **{cairn / redis:.2f}** |"
            )
    return "\n".join(lines) + "\n"


def _log(results: dict) -> str:
    rows = results.get("log", [])
    if not rows:
        return ""
    text = ["## A log that is synced every second (`--appendfsync everysec`)"]
    text.append(
        "1 million keys. A round writes several times what has a log settled or rewritten, and its CPU time is counted until "
        "both servers have nothing left to do. redis-server rewrites its log in child processes.\n"
    )
    return "\n".join(text + _pair_table(rows, results, ("children", "children_cpu_us")) + _waits_table(rows, results))


def _always(results: dict) -> str:
    rows = results.get("always", [])
    if not rows:
        return ""
    text = ["## Each write on the disk before its reply (`--appendfsync always`)"]
    return "\n".join(text + _pair_table(rows, results, ("children", "children_cpu_us")) + _waits_table(rows, results))


def _waits_table(rows: list[dict], names: dict) -> list[str]:
    lines = _table_head("command", "pipeline", "throughput, ratio", f"p99, {names['second_name']} to {names['first_name']}")
    for row in rows:
        lines.append(
            f"| {row['command']} | {row['pipeline']} | **{row['throughput_ratio']:.2f}** | **{row['p99_ratio']:.2f}** |"
        )
    return [*lines, ""]


def _restart(results: dict) -> str:
    restart = results.get("restart")
    if not restart:
        return ""
    lines = [f"## Restart with {restart['keys'] / 1e6:.0f} million keys, 64-byte values"]
    lines.append(
        "From the start of the process until PING is answered and DBSIZE is right, with the directory in the page cache, on "
        f"cores {results['settings']['worker_cpus']}: as writing left the log, and after a rewrite. Medians, and every round.\n"
    )
    lines += _table_head("server", "as written", "each round", "rewritten", "each round")
    for side in ("first", "second"):
        one = restart[side]
        each = [", ".join(f"{each[kind]:.2f}" for each in one["rounds"]) for kind in ("written_s", "rewritten_s")]
        lines.append(
            f"| {results[side + '_name']} | {one['written_s']:.2f} s | {each[0]} s | {one['rewritten_s']:.2f} s | {each[1]} s |"
        )
    return "\n".join(lines) + "\n"


def _disk(results: dict) -> str:
    disk = results.get("disk")
    if not disk:
        return ""
    lines = [f"## Disk after ten overwrites of each of {disk['second']['keys'] / 1e6:.0f} million keys"]
    lines.append(
        "Blocks of all files of the data directory once the server is quiet. Live data is what the server itself counts "
        "(`log_live_bytes`), with what a record needs beside key and value; for redis-server it is keys and values.\n"
    )
    lines += _table_head("server", "disk", "keys and values", "live data", "disk over keys and values", "disk over live data")
    for side in ("first", "second"):
        one = disk[side]
        live = one["live_bytes"] or one["data_bytes"]
        sizes = " | ".join(f"{value / 1e6:,.0f} MB" for value in (one["disk_bytes"], one["data_bytes"], live))
        shares = " | ".join(f"{one['disk_bytes'] / value:.2f}" for value in (one["data_bytes"], live))
        lines.append(f"| {results[side + '_name']} | {sizes} | {shares} |")
    return "\n".join(lines) + "\n"


def _background(results: dict) -> str:
    background = results.get("background")
    if not background:
        return ""
    lines = [f"## Saving and rewriting {background['keys'] / 1e6:.0f} million keys under load"]
    lines.append(
        "Four connections with batches of 16 GETs and SETs and one that sends PING and GET one at a time; the longest of all "
        "their waits, and the batches' p99. The server may use cores "
        f"{results['settings']['worker_cpus']} and has one worker. Extra memory is the peak of the resident set over what it was, with the "
        "pages that children have to themselves; mapped files are in it, the anonymous part is what is left without them.\n"
    )
    lines += _table_head(
        "job", "server", "took", "longest before", "longest during", "p99 before", "p99 during", "memory before", "extra",
        "extra, anonymous",
    )
    for redis, cairn in zip(background["first"], background["second"]):
        for name, one in ((results["first_name"], redis), (results["second_name"], cairn)):
            waits = [f"{one[phase]['longest_us'] / 1e3:.2f} ms" for phase in ("before", "beside")]
            waits += [f"{one[phase]['p99_us']:,.0f} us" for phase in ("before", "beside")]
            memory = [f"{one['had_bytes'] / 1e6:,.0f} MB", f"{one['extra_share']:.1%}", f"{one['extra_anonymous_share']:.1%}"]
            took = f"{one['to_s'] - one['from_s']:.1f} s"
            lines.append("| " + " | ".join([one["job"], name, took, *waits, *memory]) + " |")
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


def _collections(results: dict) -> str:
    collections = results.get("collections")
    if not collections:
        return ""
    lines = [f"## Waits while a collection of {collections['members'] / 1e6:.0f} million members grows, shrinks and goes"]
    lines.append(
        "One client changes the collection, 100 members a command and 4 commands a pipeline; GET and SET are sent one at a time on "
        "keys of other slots, by a connection of another worker and by one of the same. In each field: the longest wait on the other "
        "worker, on the same one, and the server's own longest command, in ms. What workers and probes waited for a core "
        "is not in the waits. Idle and no growth are the baseline; COPY is long by itself.\n"
    )
    for side in ("first", "second"):
        found = collections[side]
        types = list(dict.fromkeys(one["type"] for one in found))
        lines += [f"### {results[side + '_name']}", *_table_head("phase", *types)]
        orders = [dict.fromkeys(one["phase"] for one in found if one["type"] == name) for name in types]
        # Not every type has every phase.
        for phase in max(orders, key=len):
            fields = []
            for name in types:
                seen = [one for one in found if (one["type"], one["phase"]) == (name, phase)]
                waits = [max((one[probe]["net_us"] for one in seen if probe in one), default=None) for probe in PROBES]
                waits = ["-" if wait is None else f"{wait / 1e3:.2f}" for wait in waits]
                longest = max(seen, key=lambda one: one["command_us"], default=None)
                fields.append(f"{', '.join(waits)}; {longest['command']} {longest['command_us'] / 1e3:.2f}" if longest else "")
            lines.append("| " + " | ".join([phase, *fields]) + " |")
        lines.append("")
    return "\n".join(lines)


def _findings(findings: Path) -> str:
    text = findings.read_text().strip() if findings.exists() else "None written yet."
    return f"## Findings\n{text}\n"


def _table_head(*names: str) -> list[str]:
    return ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
