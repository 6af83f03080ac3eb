"""What the numbers were measured on and with."""

import datetime
import os
import platform
import subprocess
from pathlib import Path


def describe() -> dict:
    cpu_info = Path("/proc/cpuinfo").read_text()
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": next((line.split(":")[1].strip() for line in cpu_info.splitlines() if "model name" in line), "unknown"),
        "cpu_model": _cpu_model(cpu_info),
        "cores": os.cpu_count(),
        "virtual": "hypervisor" in cpu_info,
        "memory_gib": round(int(memory.split()[1]) / 2**20),
        "kernel": platform.release().split("-")[0],
        "rustc": _line(["rustc", "--version"]),
        "commit": _line(["git", "describe", "--always", "--dirty"]),
        "load_average": os.getloadavg()[0],
    }


def _cpu_model(cpu_info: str) -> str:
    wanted = ("cpu family", "model", "stepping")
    found = {}
    for line in cpu_info.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in wanted:
            found.setdefault(name.strip(), value.strip())
    return ", ".join(f"{name} {found[name]}" for name in wanted if name in found)


def _line(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
