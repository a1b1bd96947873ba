"""The memory of a source with three targets and a huge sparse volume."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.bench import jobs
from tests.bench.measure import scratch
from tests.bench.mirror import mirror

SIZE = 1 << 40
_MIB = 1 << 20


@dataclass(frozen=True)
class Footprint:
    """Resident memory of the source in MiB: with everything in sync, and the most there was in any job."""

    idle_mib: float
    peak_mib: float


def _peak(pid: int) -> float:
    """The most that was resident at any time, MiB: proc(5), VmHWM."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"the kernel does not tell the peak memory of process {pid}")


def footprint(seconds: float) -> Footprint:
    """Run a mirror of 1 TiB with two async targets and a sync one; write to all of it at random."""
    with scratch() as directory, mirror(directory, SIZE, ["async", "async", "sync"]) as running:
        assert running.pid is not None
        idle = psutil.Process(running.pid).memory_info().rss / _MIB
        for job in jobs.JOBS:
            jobs.run(job, running.device, seconds)
            running.settle()
        return Footprint(idle, _peak(running.pid))
