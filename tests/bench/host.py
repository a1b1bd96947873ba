"""The machine on which something was measured, in a few words."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import psutil


def describe() -> dict[str, str]:
    """Return what a reader needs to judge the figures."""
    return {
        "processors": f"{os.cpu_count()} x {_processor()}",
        "memory": f"{psutil.virtual_memory().total / (1 << 30):.0f} GiB",
        "kernel": f"{platform.system()} {re.split(r'[-+]', platform.release())[0]}",
        "python": platform.python_version(),
        "fio": _version("fio", "--version"),
        "qemu": _version("qemu-storage-daemon", "--version"),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return " ".join(line.split(":", 1)[1].split())
    return platform.machine()


def _version(*command: str) -> str:
    if not shutil.which(command[0]):
        return "missing"
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    found = re.search(r"\d+\.\d+(\.\d+)?", done.stdout)
    return found.group() if found else "unknown"
