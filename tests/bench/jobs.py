"""The fio jobs, and what is kept of their results."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

FILL_SECONDS = 120


@dataclass(frozen=True)
class Job:
    """One fio job. ``unit`` is what its result counts: "IOPS" or "MB/s"."""

    name: str
    title: str
    kind: str
    block: str
    depth: int
    unit: str


JOBS = (
    Job("write_4k_qd1", "4 KiB random write, QD1", "randwrite", "4k", 1, "IOPS"),
    Job("write_4k_qd32", "4 KiB random write, QD32", "randwrite", "4k", 32, "IOPS"),
    Job("read_4k_qd32", "4 KiB random read, QD32", "randread", "4k", 32, "IOPS"),
    Job("write_1m_qd8", "1 MiB write, QD8", "write", "1m", 8, "MB/s"),
)


@dataclass(frozen=True)
class Result:
    """``value`` in the job's unit, ``p99_ms`` the 99th percentile of completion latency, ``gigabytes`` moved."""

    value: float
    p99_ms: float
    gigabytes: float


def _fio(device: Path, *options: str, timeout: float) -> str:
    command = ["fio", f"--filename={device}", "--direct=1", "--ioengine=libaio", "--output-format=json", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise RuntimeError(f"fio failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def fill(device: Path) -> None:
    """Write the whole device once, so that no job pays for the first touch of a store."""
    _fio(device, "--name=fill", "--rw=write", "--bs=1m", "--iodepth=8", "--end_fsync=1", timeout=FILL_SECONDS)


def run(job: Job, device: Path, seconds: float) -> Result:
    """Run ``job`` on ``device`` for ``seconds`` seconds."""
    out = _fio(
        device,
        *(f"--name={job.name}", f"--rw={job.kind}", f"--bs={job.block}", f"--iodepth={job.depth}"),
        *("--time_based", f"--runtime={seconds}s", "--randrepeat=0"),
        timeout=seconds + 60,
    )
    figures = json.loads(out[out.index("{") :])["jobs"][0]["read" if "read" in job.kind else "write"]
    value = figures["iops"] if job.unit == "IOPS" else figures["bw_bytes"] / 1e6
    return Result(
        value=value,
        p99_ms=figures["clat_ns"]["percentile"]["99.000000"] / 1e6,
        gigabytes=figures["io_bytes"] / 1e9,
    )
