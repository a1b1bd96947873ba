"""``dkrepl status``: the state of every copy of a mirror, once or live."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from dkrepl.api import client, requests
from dkrepl.api.failure import Failure
from dkrepl.api.status import Status
from dkrepl.cli import parameters
from dkrepl.cli.context import Session
from dkrepl.cli.render.output import console, print_error, print_json
from dkrepl.errors import DkreplError

INTERVAL = 1.0
"""Seconds between two polls of --watch."""


@click.command()
@parameters.mirror_or_all
@click.option("--watch", "-w", is_flag=True, help="Show it live until Ctrl-C.")
@parameters.as_json
@click.pass_obj
def command(session: Session, mirror: str | None, watch: bool, as_json: bool) -> int:
    """Show the state of a mirror: role, targets, lag, dirty blocks, resync.

    On the source it shows every target: its state, mode, window (writes sent and not yet confirmed), lag in
    seconds and bytes, dirty bytes (blocks that may differ) and the resync in progress. On a target it shows that
    target. Without MIRROR all mirrors described here are shown. InSync means: connected, and no block dirty but those
    of writes that the target has not yet confirmed as durable.

    \b
    Examples:
      dkrepl status
      dkrepl status r0 --watch
      dkrepl status r0 --json | jq -r '.targets[] | [.name, .state] | @tsv'

    Exit codes: 0 shown, 4 the daemon is not running, 6 no such mirror, 7 the daemon does not answer, 11 its answer
    makes no sense; of several mirrors, that of the first which could not be shown.
    """
    if mirror is not None:
        mirrors = [session.mirror(mirror)]
    else:
        from dkrepl.io.state.description_file import list_mirrors

        mirrors = list_mirrors(session.paths) or [session.mirror(None)]
    if watch:
        return _watch(session, mirrors, as_json)
    if len(mirrors) == 1:
        _show({mirrors[0]: _ask(session, mirrors[0])}, as_json)
        return 0
    found = _ask_all(session, mirrors)
    _show(found, as_json)
    return next((one.exit_code for one in found.values() if isinstance(one, DkreplError)), 0)


@dataclass(frozen=True)
class _Answer:
    """``status``: what the answer says; ``whole``: the answer itself, with fields that only a newer daemon has."""

    status: Status
    whole: Any


def _ask(session: Session, mirror: str) -> _Answer:
    whole = session.ask(mirror, requests.Status())
    return _Answer(client.read_status(whole, mirror), whole)


def _ask_all(session: Session, mirrors: list[str]) -> dict[str, _Answer | DkreplError]:
    """Return for each mirror the daemon's answer, or the error that there was instead."""
    found: dict[str, _Answer | DkreplError] = {}
    for mirror in mirrors:
        try:
            found[mirror] = _ask(session, mirror)
        except DkreplError as error:
            found[mirror] = error
    return found


def _show(found: Mapping[str, _Answer | DkreplError], as_json: bool) -> None:
    if as_json:
        print_json(_as_json(found))
        return
    from dkrepl.cli.render.status_view import draw

    out = console()
    for one in found.values():
        if isinstance(one, DkreplError):
            print_error(one, as_json=False)
        else:
            out.print(draw(one.status, out))


def _as_json(found: Mapping[str, _Answer | DkreplError]) -> Any:
    """Return the one status as it was answered, or several in a list."""
    shown = [
        {"mirror": mirror, "error": Failure.of(one)} if isinstance(one, DkreplError) else one.whole
        for mirror, one in found.items()
    ]
    return shown[0] if len(shown) == 1 else {"mirrors": shown}


def _watch(session: Session, mirrors: list[str], as_json: bool) -> int:
    """Show the mirrors each second until Ctrl-C, also while a daemon is away."""
    try:
        if as_json or not sys.stdout.isatty():
            while True:
                _show(_ask_all(session, mirrors), as_json)
                time.sleep(INTERVAL)
        _live(session, mirrors)
    except KeyboardInterrupt:  # the way to end it
        pass
    return 0


def _live(session: Session, mirrors: list[str]) -> None:
    from rich.console import Group, RenderableType
    from rich.live import Live
    from rich.text import Text

    from dkrepl.cli.render.status_view import draw

    out = console()

    def look() -> RenderableType:
        parts: list[RenderableType] = []
        for one in _ask_all(session, mirrors).values():
            parts.append(Text(str(one), "red") if isinstance(one, DkreplError) else draw(one.status, out))
        return Group(*parts, Text("every second, Ctrl-C ends", "dim"))

    with Live(look(), console=out, auto_refresh=False, vertical_overflow="visible") as live:
        while True:
            time.sleep(INTERVAL)
            live.update(look(), refresh=True)
