"""The memory of a source with three targets and a huge sparse volume."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from tests.bench import jobs
from tests.bench.measure import scratch
from tests.bench.mirror import mirror

SIZE = 1 << 40
_MIB = 1 << 20


@dataclass(frozen=True)
class Footprint:
    """Resident memory of the source in MiB: with everything in sync, and after ``seconds`` of each job."""

    idle_mib: float
    after_mib: float


def footprint(seconds: float) -> Footprint:
    """Run a mirror of 1 TiB with two async targets and a sync one; write to all of it at random."""
    with scratch() as directory, mirror(directory, SIZE, ["async", "async", "sync"]) as running:
        assert running.pid is not None
        source = psutil.Process(running.pid)
        idle = source.memory_info().rss
        most = idle
        for job in jobs.JOBS:
            jobs.run(job, running.device, seconds)
            most = max(most, source.memory_info().rss)
            running.settle()
        return Footprint(idle / _MIB, most / _MIB)
