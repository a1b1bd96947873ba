"""``dkrepl verify``: are the copies equal?"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import typer

from dkrepl.cli.context import JsonOption, MirrorArgument, TargetsArgument, paths_of, resolve_mirror
from dkrepl.cli.control_client import ask, not_understood
from dkrepl.cli.render.output import clean, console, error_as_dict, print_json, print_text
from dkrepl.config.units import format_size
from dkrepl.errors import CopiesDiffer

SILENCE = 45.0
"""Seconds without progress; the daemon itself gives a target 30 for a range, and then names it."""
_FEW = 10
"""Ranges that are listed for people; --json has them all."""


class Range(msgspec.Struct):
    """Bytes of the device."""

    offset: int
    length: int


class Verified(msgspec.Struct):
    """What the comparison of one target found."""

    name: str
    equal: bool
    compared_bytes: int = 0
    ranges: list[Range] = msgspec.field(default_factory=list)


def command(
    context: typer.Context,
    mirror: MirrorArgument = None,
    targets: TargetsArgument = None,
    as_json: JsonOption = False,
) -> int:
    """Compare the copies of targets with the source's, by hash, while the device stays in use.

    Needed to be sure: after repairs, from time to time, before an old copy is given up. Targets must be
    InSync. Both sides look at the same place of the stream, so a write meanwhile is no difference. Runs on the
    source.

    \b
    Examples:
      dkrepl verify r0
      dkrepl verify r0 --json gamma | jq '.targets[].ranges'

    Exit codes: 0 equal, 8 they differ (the ranges are listed), 4 the daemon is not running, 5 a target is
    not InSync, 6 no such mirror or target. `dkrepl resync --full` mends a copy that differs.
    """
    paths = paths_of(context)
    name = resolve_mirror(paths, mirror)
    with _shown_progress(as_json) as show:
        answer = ask(paths, name, "verify", {"targets": targets or []}, show, silence=SILENCE)
    try:
        results = msgspec.convert(answer["targets"], list[Verified])
    except (msgspec.ValidationError, KeyError, TypeError) as error:
        raise not_understood(name, str(error)) from None
    wrong = [result for result in results if not result.equal]
    if as_json:
        failure = error_as_dict(_difference(name, wrong)) if wrong else {}
        print_json({**answer, **failure})
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
        places = [f"{r.length} bytes at {r.offset}" for r in result.ranges[:_FEW]]
        if len(result.ranges) > _FEW:
            places.append(f"{len(result.ranges) - _FEW} ranges more")
        clauses.append(f"{clean(result.name)} ({', '.join(places) or 'where is not known'})")
    names = " ".join(clean(result.name) for result in wrong)
    return CopiesDiffer(
        f"copies of mirror {mirror} differ from the source: {'; '.join(clauses)}: "
        f"mend with `dkrepl resync {mirror} --full {names}`"
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
            if not isinstance(progress, dict):
                return
            name = clean(progress.get("target", ""))
            total, done = _count(progress.get("total_bytes")), _count(progress.get("done_bytes"))
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], total=total, completed=min(done, total))

        yield show


def _count(value: object) -> int:
    return max(0, value) if isinstance(value, int) else 0
