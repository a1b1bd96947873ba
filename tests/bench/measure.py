"""Rounds: every contender in turn, set up fresh, every job on it. Drift of the machine hits all alike."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.bench import jobs
from tests.bench.contender import Contender
from tests.bench.jobs import JOBS, Job, Result
from tests.bench.processes import check


@dataclass
class Sample:
    """One run of one job: its result, and the CPU seconds that the process serving the device took."""

    result: Result
    cpu_seconds: float | None


@dataclass
class Measured:
    """All samples, by contender and job name; ``failures`` are sentences."""

    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def median(self, contender: str, job: str) -> float | None:
        """The median result in the job's unit."""
        samples = self.samples.get(contender, {}).get(job, [])
        return statistics.median(sample.result.value for sample in samples) if samples else None

    def p99_ms(self, contender: str, job: str) -> float | None:
        """The median of the 99th percentiles of latency, milliseconds."""
        samples = self.samples.get(contender, {}).get(job, [])
        return statistics.median(sample.result.p99_ms for sample in samples) if samples else None

    def cpu_per_gigabyte(self, contender: str, job: str) -> float | None:
        """The median of CPU seconds of the serving process for each 10^9 bytes."""
        samples = self.samples.get(contender, {}).get(job, [])
        figures = [s.cpu_seconds / s.result.gigabytes for s in samples if s.cpu_seconds and s.result.gigabytes]
        return statistics.median(figures) if figures else None


def _cpu(pid: int | None) -> float | None:
    if pid is None:
        return None
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def _sample(job: Job, device: Path, pid: int | None, seconds: float) -> Sample:
    before = _cpu(pid)
    result = jobs.run(job, device, seconds)
    after = _cpu(pid)
    return Sample(result, None if before is None or after is None else after - before)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """An empty directory that is a tmpfs of its own: the disk is not what is measured."""
    with tempfile.TemporaryDirectory(prefix="dkrepl-bench-") as name:
        check(["mount", "-t", "tmpfs", "-o", "size=90%,mode=0700", "dkrepl-bench", name])
        try:
            yield Path(name)
        finally:
            check(["umount", "--lazy", name])


def measure(
    contenders: Sequence[Contender], rounds: int, seconds: float, size: int, say: Callable[[str], None]
) -> Measured:
    """Run all jobs on all contenders ``rounds`` times, each job for ``seconds`` s on a device of ``size`` bytes.

    A contender that cannot be measured is told in ``failures`` and does not end the rest.
    """
    measured = Measured()
    for number in range(rounds):
        turn = number % max(1, len(contenders))
        for contender in [*contenders[turn:], *contenders[:turn]]:
            try:
                _one_round(contender, seconds, size, measured, say, f"round {number + 1} of {rounds}")
            except Exception as error:
                measured.failures.append(f"{contender.name}, round {number + 1}: {str(error).splitlines()[0]}")
                say(f"FAILED {contender.name}: {error}")
    return measured


def _one_round(
    contender: Contender,
    seconds: float,
    size: int,
    measured: Measured,
    say: Callable[[str], None],
    which: str,
) -> None:
    with scratch() as directory, contender.start(directory, size) as running:
        jobs.fill(running.device)
        for job in JOBS:
            running.settle()
            sample = _sample(job, running.device, running.pid, seconds)
            of_contender = measured.samples.setdefault(contender.name, {})
            of_contender.setdefault(job.name, []).append(sample)
            cpu = f", {sample.cpu_seconds:.1f} CPU s" if sample.cpu_seconds is not None else ""
            say(f"{which}: {contender.name:12} {job.name:14} {sample.result.value:10,.0f} {job.unit}{cpu}")
        running.settle()
