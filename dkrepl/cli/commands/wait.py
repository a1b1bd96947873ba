"""``dkrepl wait``: return when a state is reached, or say who has not reached it and why."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from dkrepl.cli.context import JsonOption, MirrorArgument, TargetsArgument, paths_of, resolve_mirror
from dkrepl.cli.control_client import ask
from dkrepl.cli.render.output import clean, print_json, print_text
from dkrepl.cli.render.status_shapes import Resync, Status, read_status
from dkrepl.config.units import format_duration, parse_duration
from dkrepl.errors import DaemonNotRunning, NotFound, TimedOut, UsageError
from dkrepl.io.state.paths import Paths

INTERVAL = 0.2
"""Seconds between two looks."""

app = typer.Typer(help="Wait until a mirror has reached a state.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def group() -> None:
    """Wait until a mirror has reached a state."""


@app.command("insync")
def insync(
    context: typer.Context,
    mirror: MirrorArgument = None,
    targets: TargetsArgument = None,
    timeout: Annotated[str, typer.Option("--timeout", metavar="TIME", help="As 500ms, 60s, 10m, 2h.")] = "60s",
    as_json: JsonOption = False,
) -> None:
    """Wait until targets are InSync: all of them, or those named.

    Needed in scripts, after start, repair or before a switchover. On a target it waits for that target. A
    daemon that is not running yet is waited for as well.

    \b
    Examples:
      dkrepl wait insync r0
      dkrepl wait insync r0 --timeout 10m gamma

    Exit codes: 0 they are InSync, 7 not within the timeout (the sentence says who is in what state, and why),
    6 no such mirror or target.
    """
    paths = paths_of(context)
    name = resolve_mirror(paths, mirror)
    try:
        seconds = parse_duration(timeout)
    except ValueError as error:
        raise UsageError(f"--timeout is {timeout!r}, but {error}") from None
    started = time.monotonic()
    reached = wait_insync(paths, name, targets or [], seconds)
    waited = time.monotonic() - started
    if as_json:
        print_json({"mirror": name, "in_sync": reached, "waited_seconds": round(waited, 3)})
    else:
        print_text(f"{name}: {', '.join(map(clean, reached))} in sync after {format_duration(waited)}")


def wait_insync(paths: Paths, mirror: str, targets: list[str], seconds: float) -> list[str]:
    """Return the names that are InSync once all that are meant are; raises TimedOut after ``seconds``."""
    deadline = time.monotonic() + seconds
    found: list[str] = []
    while True:
        left = max(0.0, deadline - time.monotonic())
        try:
            status = read_status(ask(paths, mirror, "status", silence=max(1.0, min(10.0, left))), mirror)
        except (DaemonNotRunning, TimedOut) as error:
            missing = [str(error)]
        else:
            found, missing = _sorted_out(status, targets)
        if not missing:
            return found
        if time.monotonic() >= deadline:
            raise TimedOut(f"mirror {mirror} is not in sync after {format_duration(seconds)}: {'; '.join(missing)}")
        time.sleep(min(INTERVAL, max(0.0, deadline - time.monotonic())))


def _sorted_out(status: Status, targets: list[str]) -> tuple[list[str], list[str]]:
    """Return who of those that are meant is in sync, and a clause for each who is not."""
    if status.role == "source":
        states = {target.name: (target.state, target.reason, target.resync) for target in status.targets}
    else:
        states = {status.node: (status.state, status.reason, status.resync)}
    for name in targets:
        if name not in states:
            raise NotFound(
                f"mirror {status.mirror} has no target {name!r} that {status.node} can speak for: "
                f"it can for {', '.join(map(clean, states)) or 'none'}"
            )
    meant = {name: states[name] for name in targets or states}
    found = [name for name, (state, *_) in meant.items() if state == "InSync"]
    missing = [_clause(name, *known) for name, known in meant.items() if name not in found]
    return found, missing if meant else ["it has no targets"]


def _clause(name: str, state: str, reason: str | None, resync: Resync | None) -> str:
    words = [reason] if reason else []
    if resync is not None:
        words.append(f"{min(100.0, max(0.0, resync.percent)):.0f} %")
        if resync.eta_seconds is not None:
            words.append(f"{format_duration(resync.eta_seconds)} left")
    return clean(f"{name} is {state}" + (f" ({', '.join(words)})" if words else ""))
