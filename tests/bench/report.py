"""The measurements as Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from tests.bench.contender import Contender
from tests.bench.floors import FLOORS, RSS_LIMIT_MIB
from tests.bench.footprint import Footprint
from tests.bench.jobs import JOBS, Job
from tests.bench.measure import Measured

REFERENCES = {"passthrough": "FUSE pass-through", "quorum1": "qemu quorum with 1 remote"}


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines] + [""]


def _figure(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"  # noqa: RUF001


def _head(job: Job) -> str:
    return f"{job.title}, {job.unit}"


def _ratios(measured: Measured, contenders: Sequence[Contender], reference: str) -> list[list[str]]:
    rows = []
    for contender in contenders:
        cells = [contender.title]
        for job in JOBS:
            ours, theirs = measured.median(contender.name, job.name), measured.median(reference, job.name)
            cells.append(_figure(ours / theirs if ours is not None and theirs else None, 2))
        rows.append(cells)
    return rows


def _floors(measured: Measured, memory: Footprint | None) -> list[list[str]]:
    titles = {job.name: job.title for job in JOBS}
    rows = []
    for floor in FLOORS:
        reached = floor.reached(measured)
        verdict = "not measured" if reached is None else "met" if reached >= floor.ratio else "**missed**"
        what = f"{floor.contender} against {floor.reference}, {titles[floor.job]}"
        rows.append([what, f"≥ {floor.ratio}", _figure(reached, 2), verdict])
    if memory is not None:
        verdict = "met" if memory.peak_mib <= RSS_LIMIT_MIB else "**missed**"
        what = "resident memory of the source, 3 targets, 1 TiB, MiB"
        rows.append([what, f"≤ {RSS_LIMIT_MIB}", _figure(memory.peak_mib), verdict])
    return rows


def markdown(
    measured: Measured,
    contenders: Sequence[Contender],
    machine: dict[str, str],
    memory: Footprint | None,
    how: str,
) -> str:
    """Return the report; ``how`` says in a sentence what was run."""
    names = [job.title for job in JOBS]
    lines = [*(f"- {what}: {value}" for what, value in machine.items()), "", how, ""]
    lines += ["## Medians", ""]
    rows = [[c.title, *(_figure(measured.median(c.name, job.name)) for job in JOBS)] for c in contenders]
    lines += _table(["", *(_head(job) for job in JOBS)], rows)
    for reference, title in REFERENCES.items():
        if reference in measured.samples:
            lines += [f"## Ratios to {title}", ""]
            lines += _table(["", *names], _ratios(measured, contenders, reference))
    lines += ["## Floors", ""]
    lines += _table(["what", "floor", "reached", ""], _floors(measured, memory))
    lines += ["## Latency, 99th percentile, ms", ""]
    rows = [[c.title, *(_figure(measured.p99_ms(c.name, job.name), 2) for job in JOBS)] for c in contenders]
    lines += _table(["", *names], rows)
    lines += ["## CPU seconds of the process that serves the device, for each GB", ""]
    rows = [
        [c.title, *(_figure(measured.cpu_per_gigabyte(c.name, job.name), 2) for job in JOBS)]
        for c in contenders
        if measured.cpu_per_gigabyte(c.name, JOBS[0].name) is not None
    ]
    lines += _table(["", *names], rows)
    if memory is not None:
        lines += [
            f"Resident memory of the source with three targets and a sparse volume of 1 TiB: {memory.idle_mib:.0f} "
            f"MiB when everything is in sync, {memory.peak_mib:.0f} MiB at most during the jobs.",
            "",
        ]
    if measured.failures:
        lines += ["## Not measured", "", *(f"- {failure}" for failure in measured.failures), ""]
    return "\n".join(lines)


def as_json(measured: Measured, machine: dict[str, str], memory: Footprint | None) -> str:
    """Return every sample."""
    return json.dumps(
        {
            "machine": machine,
            "units": {job.name: job.unit for job in JOBS},
            "samples": {
                name: {job: [asdict(sample) for sample in samples] for job, samples in of_jobs.items()}
                for name, of_jobs in measured.samples.items()
            },
            "floors": [{**asdict(floor), "reached": floor.reached(measured)} for floor in FLOORS],
            "footprint": None if memory is None else asdict(memory),
            "failures": measured.failures,
        },
        indent=1,
    )
