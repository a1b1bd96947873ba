"""``dkrepl verify``: are the copies equal?"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
import msgspec

from dkrepl.api import client, requests
from dkrepl.api.answers import Verification, Verified, VerifyProgress
from dkrepl.api.failure import Failure
from dkrepl.cli import parameters
from dkrepl.cli.context import Session
from dkrepl.cli.render.output import clean, console, print_json, print_text
from dkrepl.config.units import format_count, format_size
from dkrepl.errors import CopiesDiffer

SILENCE = 45.0
"""Seconds without a sign of life: a daemon of an older version gives a target 30 for a range without any."""
_FEW = 10
"""Ranges that are listed for people; --json has them all."""


@click.command()
@parameters.mirror
@parameters.targets
@parameters.as_json
@click.pass_obj
def command(session: Session, mirror: str | None, targets: tuple[str, ...], as_json: bool) -> int:
    """Compare the copies of targets with the source's, by hash, while the device stays in use.

    To be sure: after repairs, from time to time, before an old copy is given up. Targets must be InSync. Both sides
    hash the same position of the stream, so a write meanwhile does not count as a difference. Runs on the source.

    \b
    Examples:
      dkrepl verify r0
      dkrepl verify r0 --json gamma | jq '.targets[].ranges'

    Exit codes: 0 equal, 4 the daemon is not running, 5 a target is not InSync, 6 no such mirror or target, 7 a store or
    a target did not answer in time, 8 they differ (the ranges are listed; `dkrepl resync --full` repairs the copy).
    """
    name = session.mirror(mirror)
    with _shown_progress(as_json) as show:
        answer = session.ask(name, requests.Verify(targets=targets), show, silence=SILENCE)
    results = client.read(answer, Verification, name).targets
    wrong = [result for result in results if not result.equal]
    if as_json:
        print_json({**answer, "error": Failure.of(_difference(name, wrong))} if wrong else answer)
        return CopiesDiffer.exit_code if wrong else 0
    for result in results:
        if result.equal:
            print_text(f"{clean(result.name)}: equal, {format_size(result.compared_bytes)} compared")
    if wrong:
        raise _difference(name, wrong)
    return 0


def _difference(mirror: str, wrong: list[Verified]) -> CopiesDiffer:
    clauses = []
    for result in wrong:
        places = [f"{format_count(r.length, 'byte')} at {r.offset}" for r in result.ranges[:_FEW]]
        if len(result.ranges) > _FEW:
            places.append(f"{format_count(len(result.ranges) - _FEW, 'more range')}")
        clauses.append(f"{clean(result.name)} ({', '.join(places) or 'where is not known'})")
    names = " ".join(clean(result.name) for result in wrong)
    return CopiesDiffer(
        f"copies of mirror {mirror} differ from the source: {'; '.join(clauses)}: "
        f"repair with `dkrepl resync {mirror} --full {names}`"
    )


@contextmanager
def _shown_progress(as_json: bool) -> Iterator[Callable[[Any], None] | None]:
    """Give what to call with each progress of the daemon: bars on a terminal, nothing without one."""
    if as_json or not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TimeRemainingColumn(),
    )
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console(sys.stderr), transient=True) as bars:

        def show(progress: Any) -> None:
            try:
                found = msgspec.convert(progress, VerifyProgress)
            except msgspec.ValidationError:  # only the answer counts
                return
            name, total = clean(found.target), max(0, found.total_bytes)
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], total=total, completed=min(max(0, found.done_bytes), total))

        yield show
