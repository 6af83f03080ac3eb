#!/usr/bin/env python3
"""`make bench`: cairn-server beside redis-server in one run, and docs/benchmarks.md from what was seen.

    python3 benches/compare.py --server target/release/cairn-server

Servers are started here, pinned, and ended here; nothing else on the machine is touched. Results also go to
benches/.work/last.json, from which `--report-only` writes the page again.
"""

import argparse
import importlib.util
import json
import os
import re
import sys
import time
from pathlib import Path

from harness import background, collections, disk, families, machine, memory, restart, rows, stall
from harness.load import Load, Shape
from harness.server import HarnessError, Program, Server, pin_self, stop_all_at_exit

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WORK = HERE / ".work"
SECTIONS = ("rows", "control", "workers", "large", "memory", "families", "sizes", "log", "always", "restart", "disk", "background", "stall", "collections")
LARGE_KEYS = 5_000_000
QUICK_LARGE_KEYS = 1_000_000
SYSTEM_PYTHON = "/usr/bin/python3"


def main() -> int:
    _need_matplotlib()
    from harness import report

    arguments = _arguments()
    findings = HERE / "findings.md"
    stem = "quick" if arguments.quick or arguments.only or arguments.match else "last"
    results_path = WORK / f"{stem}.json"
    if stem == "last":
        page, plots = ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "plots"
    else:
        # A part of the measurements never replaces the committed page.
        page, plots = WORK / "quick.md", WORK / "plots"
    try:
        if arguments.report_only:
            results = json.loads(results_path.read_text())
        else:
            WORK.mkdir(exist_ok=True)
            stop_all_at_exit()
            results = Comparison(arguments).run()
            results_path.write_text(json.dumps(results, indent=1) + "\n")
        report.write(results, page, plots, findings)
    except (HarnessError, FileNotFoundError) as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return 1
    print(f"wrote {os.path.relpath(page)} and {os.path.relpath(results_path)}")
    return 0


class Comparison:
    """One run: which servers, on which cores, and the sections one after another."""

    def __init__(self, arguments: argparse.Namespace):
        self.arguments = arguments
        self.rounds = arguments.rounds or (3 if arguments.quick else 5)
        self.redis = Program("redis-server", _binary(arguments.redis, "apt-get install redis-server"))
        name = Path(arguments.server).name
        if name == self.redis.name:
            name += " (B)"
        build = "cargo build --release --bin cairn-server"
        self.cairn = Program(name, _binary(arguments.server, build), tuple(arguments.server_arg))
        build = "cargo build --release --example cairn-load"
        self.load = Load(Path(_binary(arguments.load, build)), arguments.load_cpus)
        self.load.preferred = arguments.prefer
        self.only = set(arguments.only.split(",")) if arguments.only else set(SECTIONS)
        if unknown := self.only - set(SECTIONS):
            raise HarnessError(f"no such section: {', '.join(sorted(unknown))} (there are {', '.join(SECTIONS)})")
        self.started = time.monotonic()
        self.port = arguments.port

    def run(self) -> dict:
        os.chdir(ROOT)
        results: dict = {
            "machine": machine.describe(),
            "first_name": self.redis.name,
            "first_version": self.redis.version(),
            "second_name": self.cairn.name,
            "second_version": self.cairn.version(),
            "settings": {
                "rounds": self.rounds,
                "clients": Shape().clients,
                "server_cpus": self.arguments.server_cpus,
                "load_cpus": self.arguments.load_cpus,
                "worker_cpus": self.arguments.worker_cpus,
            },
        }
        pin_self(self.arguments.load_cpus)
        for section in SECTIONS:
            if section in self.only and not (self.arguments.quick and section == "control"):
                self.say(f"== {section}")
                results[section] = getattr(self, "_" + section)()
        results["minutes"] = (time.monotonic() - self.started) / 60
        return results

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.started:5.0f} s] {text}", file=sys.stderr, flush=True)

    def _start(
        self,
        program: Program,
        label: str,
        workers: int = 1,
        cpus: str | None = None,
        policy: str | None = None,
        fresh: bool = True,
    ) -> Server:
        self.port += 1
        cpus = cpus or self.arguments.server_cpus
        return Server(program, self.port, cpus, WORK / label, workers, self.load.preferred, policy, fresh)

    def _large_keys(self) -> int:
        return QUICK_LARGE_KEYS if self.arguments.quick else LARGE_KEYS

    def _preload(self, servers: tuple[Server, Server], shape: Shape, keys: int) -> None:
        for server in servers:
            server.command("FLUSHALL")
            self.load.fill(server, shape, keys)

    def _measure(self, wanted: list[rows.Row], first: Server, second: Server, cpus: str | None = None) -> list[dict]:
        found = []
        for row in wanted:
            if not re.search(self.arguments.match, row.key):
                continue
            result = rows.compare(self.load, row, first, second, self.rounds, cpus)
            self._say_row(result)
            found.append(result)
        return found

    def _say_row(self, result: dict) -> None:
        one, two = result["first"], result["second"]
        self.say(
            f"{result['key']:16} {one['cpu_us']:7.3f} us {two['cpu_us']:7.3f} us   ratio {result['cpu_ratio']:.3f} "
            f"({result['cpu_ratio_low']:.3f} to {result['cpu_ratio_high']:.3f})   "
            f"{one['throughput']:,.0f} and {two['throughput']:,.0f} ops/s"
        )

    def _rows(self) -> list[dict]:
        if self.arguments.quick:
            groups = [(Shape(), rows.target_rows())]
        else:
            groups = [(Shape(value_bytes=size), rows.full_rows(size)) for size in rows.VALUE_SIZES]
            groups.append((Shape(value_bytes=8, value_kind="digits"), rows.incr_rows()))
        found = []
        with self._start(self.redis, "redis") as first, self._start(self.cairn, "cairn") as second:
            for shape, wanted in groups:
                if any(re.search(self.arguments.match, row.key) for row in wanted):
                    self._preload((first, second), shape, shape.keys)
                    found += self._measure(wanted, first, second)
        return found

    def _control(self) -> list[dict]:
        with self._start(self.cairn, "control-a") as first, self._start(self.cairn, "control-b") as second:
            self._preload((first, second), Shape(), Shape().keys)
            return self._measure(rows.target_rows(), first, second)

    def _workers(self) -> list[dict]:
        cpus = self.arguments.worker_cpus
        with (
            self._start(self.cairn, "workers-1", 1, cpus) as first,
            self._start(self.cairn, "workers-2", 2, cpus) as second,
        ):
            self._preload((first, second), Shape(), Shape().keys)
            wanted = [row for row in rows.target_rows() if row.pipeline > 1 or not self.arguments.quick]
            return self._measure(wanted, first, second, cpus)

    def _large(self) -> list[dict]:
        mixes = ("get",) if self.arguments.quick else ("get", "set")
        wanted = [rows.Row(mix, 32, 64, keys=LARGE_KEYS) for mix in mixes]
        with self._start(self.redis, "redis-large") as first, self._start(self.cairn, "cairn-large") as second:
            self._preload((first, second), Shape(), LARGE_KEYS)
            return self._measure(wanted, first, second)

    def _memory(self) -> list[dict]:
        found = []
        for size in (8, 64):
            result: dict = {"value_bytes": size}
            for side, program in (("first", self.redis), ("second", self.cairn)):
                with self._start(program, f"memory-{side}") as server:
                    result[side] = memory.bytes_per_key(self.load, server, size)
                one = result[side]
                self.say(f"{program.name}, {size} B: RSS {one['rss']:.1f}, used_memory {one['used_memory']:.1f} a key")
            found.append(result)
        return found

    def _families(self) -> list[dict]:
        found = []
        with self._start(self.redis, "redis-families") as first, self._start(self.cairn, "cairn-families") as second:
            for family in families.FAMILIES:
                if re.search(self.arguments.match, family.key):
                    found.append(families.compare(self.load, family, first, second, self.rounds))
                    self._say_row(found[-1])
        return found

    def _sizes(self) -> list[dict]:
        found = []
        for mix, unit, count, limit in families.SIZES:
            result: dict = {"unit": unit, "count": count, "limit": limit}
            for side, program in (("first", self.redis), ("second", self.cairn)):
                with self._start(program, f"sizes-{side}") as server:
                    result[side] = families.bytes_each(self.load, server, mix, count)
                one = result[side]
                self.say(f"{program.name}, {unit}: RSS {one['rss']:.1f}, used_memory {one['used_memory']:.1f} bytes")
            found.append(result)
        return found

    def _log(self) -> list[dict]:
        with (
            self._start(self.redis, "redis-log", policy="everysec") as first,
            self._start(self.cairn, "cairn-log", policy="everysec") as second,
        ):
            self._preload((first, second), Shape(), Shape().keys)
            return self._measure(rows.log_rows(self.arguments.quick), first, second)

    def _always(self) -> list[dict]:
        with (
            self._start(self.redis, "redis-always", policy="always") as first,
            self._start(self.cairn, "cairn-always", policy="always") as second,
        ):
            self._preload((first, second), Shape(), Shape().keys)
            return self._measure(rows.always_rows(), first, second)

    def _restart(self) -> dict:
        result: dict = {"keys": self._large_keys()}
        for side, program in (("first", self.redis), ("second", self.cairn)):

            def start(fresh: bool) -> Server:
                cpus = self.arguments.worker_cpus
                return self._start(program, f"restart-{side}", 2, cpus, "everysec", fresh)

            found = []
            for _ in range(min(self.rounds, 3)):
                found.append(restart.one_round(self.load, result["keys"], start))
                one = found[-1]
                self.say(f"{program.name}: back after {one['written_s']:.2f} s, rewritten {one['rewritten_s']:.2f} s")
            result[side] = restart.summary(found)
        return result

    def _disk(self) -> dict:
        result: dict = {}
        for side, program in (("first", self.redis), ("second", self.cairn)):
            with self._start(program, f"disk-{side}", policy="everysec") as server:
                one = disk.after_overwrites(self.load, server, self._large_keys())
            self.say(f"{program.name}: {one['disk_bytes'] / 1e6:,.0f} MB for {one['data_bytes'] / 1e6:,.0f} MB of data")
            result[side] = one
        return result

    def _background(self) -> dict:
        stall.touch_memory()
        preferred, self.load.preferred = self.load.preferred, True
        result: dict = {"keys": self._large_keys()}
        for side, program in (("first", self.redis), ("second", self.cairn)):
            with self._start(program, f"background-{side}", 1, self.arguments.worker_cpus, "everysec") as server:
                # Only the job that is looked at runs.
                server.command("CONFIG", "SET", "auto-aof-rewrite-percentage", "0")
                self.load.fill(server, Shape(), result["keys"])
                result[side] = []
                for job in background.JOBS:
                    one = background.one_job(self.load, server, job, result["keys"])
                    self.say(
                        f"{program.name}, {job}: {one['to_s'] - one['from_s']:.1f} s, longest wait "
                        f"{one['beside']['longest_us'] / 1e3:.2f} ms (before it {one['before']['longest_us'] / 1e3:.2f}), p99 "
                        f"{one['beside']['p99_us']:.0f} us ({one['before']['p99_us']:.0f}), memory +{one['extra_share']:.1%}"
                    )
                    result[side].append(one)
        self.load.preferred = preferred
        return result

    def _stall(self) -> dict:
        stall.touch_memory()
        self.load.preferred = True  # the section is the last one
        seen: dict[str, list[dict]] = {"first": [], "second": []}
        for number in range(min(self.rounds, 3)):
            for side, program in (("first", self.redis), ("second", self.cairn)):
                if self.arguments.quick and side == "first" and number > 0:
                    continue
                with self._start(program, f"stall-{side}") as server:
                    one = stall.one_round(self.load, server)
                seen[side].append(one)
                waits = ", ".join(f"{phase} {one[phase]['longest_us'] / 1e3:.2f} ms" for phase in ("idle", "steady", "growth"))
                self.say(f"{program.name}: longest wait {waits}")
        return {side: stall.summary(found) for side, found in seen.items()}

    def _collections(self) -> dict:
        members = collections.QUICK_MEMBERS if self.arguments.quick else collections.MEMBERS
        preferred, self.load.preferred = self.load.preferred, True
        result: dict = {"members": members}
        for side, program in (("first", self.redis), ("second", self.cairn)):
            result[side] = []
            for kind in collections.KINDS:
                if re.search(self.arguments.match, kind.name):
                    with self._start(program, f"collections-{side}", 2, self.arguments.worker_cpus) as server:
                        result[side] += collections.one_type(server, kind, members, self.say)
        self.load.preferred = preferred
        return result


def _arguments() -> argparse.Namespace:
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", default=str(target / "cairn-server"), help="the server to judge")
    parser.add_argument("--server-arg", action="append", default=[], help="one more argument for it; may be repeated")
    parser.add_argument("--redis", default="/usr/bin/redis-server", help="the server to judge by")
    parser.add_argument("--load", default=str(target / "examples" / "cairn-load"), help="the load generator")
    parser.add_argument("--port", type=int, default=21200, help="ports from the one after this are used")
    parser.add_argument("--server-cpus", default="0")
    parser.add_argument("--load-cpus", default="1")
    parser.add_argument("--worker-cpus", default="0-1", help="for server and load where two workers are compared")
    parser.add_argument("--quick", action="store_true", help="3 rounds, what the targets need; docs/ stays as it is")
    parser.add_argument("--rounds", type=int, help="rounds of each row (5, or 3 when quick)")
    parser.add_argument("--prefer", action="store_true", help="run all before the machine's other work, not stalls only")
    parser.add_argument("--only", help=f"some sections, by comma: {','.join(SECTIONS)}; docs/ stays as it is")
    parser.add_argument("--match", default="", help="only rows whose key fits this pattern, like get-p32-v64")
    parser.add_argument("--report-only", action="store_true", help="write the page from the last results again")
    return parser.parse_args()


def _binary(path: str, hint: str) -> str:
    if not os.access(path, os.X_OK):
        raise HarnessError(f"{path} is missing: {hint}")
    return str(Path(path).absolute())  # not resolved: some binaries act by the name they are called


def _need_matplotlib() -> None:
    if importlib.util.find_spec("matplotlib"):
        return
    # A Python of another origin may stand first on the path while Debian's has the package.
    if os.path.exists(SYSTEM_PYTHON) and sys.executable != SYSTEM_PYTHON and "CAIRN_BENCH_PYTHON" not in os.environ:
        os.environ["CAIRN_BENCH_PYTHON"] = "system"
        os.execv(SYSTEM_PYTHON, [SYSTEM_PYTHON, *sys.argv])
    print("compare.py: matplotlib is missing: apt-get install python3-matplotlib", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
