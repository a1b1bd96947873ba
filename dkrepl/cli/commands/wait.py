"""``dkrepl wait``: return when a state is reached, or say who has not reached it and why."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from dkrepl.api.status import Resync, Status, TargetAtSource, TargetStatus
from dkrepl.cli import parameters
from dkrepl.cli.context import Session
from dkrepl.cli.groups import Ordered
from dkrepl.cli.render.output import clean, print_json, print_text
from dkrepl.config.units import format_duration
from dkrepl.errors import DaemonNotRunning, NotFound, TimedOut

INTERVAL = 0.2
"""Seconds between two polls."""


@click.group(cls=Ordered)
def command() -> None:
    """Wait until a mirror has reached a state."""


@command.command()
@parameters.mirror
@parameters.targets
@parameters.timeout
@parameters.as_json
@click.pass_obj
def insync(session: Session, mirror: str | None, targets: tuple[str, ...], timeout: float, as_json: bool) -> None:
    """Wait until targets are InSync: all of them, or those named.

    For scripts: after a start, after a repair, before a switchover. On a target it waits for that target. A daemon
    that is not running yet is waited for as well.

    \b
    Examples:
      dkrepl wait insync r0
      dkrepl wait insync r0 --timeout 10m gamma

    Exit codes: 0 they are InSync, 6 no such mirror or target, 7 not within the timeout (the sentence says which target
    is in what state, and why).
    """
    name = session.mirror(mirror)
    started = time.monotonic()
    reached = wait_insync(session, name, targets, timeout)
    waited = time.monotonic() - started
    if as_json:
        print_json({"mirror": name, "in_sync": reached, "waited_seconds": round(waited, 3)})
    else:
        print_text(f"{name}: {', '.join(map(clean, reached))} in sync after {format_duration(waited)}")


def wait_insync(session: Session, mirror: str, targets: Sequence[str], seconds: float) -> list[str]:
    """Return the names of the targets once all that were asked for are InSync; raises TimedOut after ``seconds``."""
    deadline = time.monotonic() + seconds
    found: list[str] = []
    while True:
        left = max(0.0, deadline - time.monotonic())
        try:
            status = session.status(mirror, silence=max(1.0, min(10.0, left)))
        except (DaemonNotRunning, TimedOut) as error:
            missing = [str(error)]
        else:
            found, missing = _compare(status, targets)
        if not missing:
            return found
        if time.monotonic() >= deadline:
            raise TimedOut(f"mirror {mirror} is not in sync after {format_duration(seconds)}: {'; '.join(missing)}")
        time.sleep(min(INTERVAL, max(0.0, deadline - time.monotonic())))


def _compare(status: Status, targets: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return which of the targets asked for are in sync, and a clause for each that is not."""
    states: dict[str, tuple[str, str | None, Resync | None]]
    if isinstance(status, TargetStatus):
        states = {status.node: (status.state, status.reason, status.resync)}
    else:
        states = {
            target.name: (target.state, target.reason, target.resync if isinstance(target, TargetAtSource) else None)
            for target in status.targets
        }
    for name in targets:
        if name not in states:
            raise NotFound(
                f"{status.node} knows no target {name!r} of mirror {status.mirror}; it knows "
                f"{', '.join(map(clean, states)) or 'none'}"
            )
    asked_for = {name: states[name] for name in targets or states}
    found = [name for name, (state, *_) in asked_for.items() if state == "InSync"]
    missing = [_clause(name, *known) for name, known in asked_for.items() if name not in found]
    return found, missing if asked_for else ["it has no targets"]


def _clause(name: str, state: str, reason: str | None, resync: Resync | None) -> str:
    words = [reason] if reason else []
    if resync is not None:
        words.append(f"{min(100.0, max(0.0, resync.percent)):.0f} %")
        if resync.eta_seconds is not None:
            words.append(f"{format_duration(resync.eta_seconds)} left")
    return clean(f"{name} is {state}" + (f" ({', '.join(words)})" if words else ""))
