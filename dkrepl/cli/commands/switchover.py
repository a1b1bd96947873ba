"""``dkrepl switchover``: hand a mirror over to another node, without losing or copying anything."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from dkrepl.cli.context import JsonOption, MirrorArgument, paths_of, resolve_mirror
from dkrepl.cli.control_client import ask
from dkrepl.cli.render.output import print_done
from dkrepl.cli.render.status_shapes import Status, read_status
from dkrepl.config.units import format_duration, parse_duration
from dkrepl.errors import DaemonNotRunning, Refused, TimedOut, UsageError
from dkrepl.io.state.paths import Paths

INTERVAL = 0.2
"""Seconds between two looks."""


def command(
    context: typer.Context,
    mirror: MirrorArgument = None,
    to: Annotated[str, typer.Option("--to", metavar="NODE", help="The node that is to be source.")] = "",
    timeout: Annotated[str, typer.Option("--timeout", metavar="TIME", help="As 500ms, 60s, 10m.")] = "60s",
    as_json: JsonOption = False,
) -> None:
    """Make another node the source; run it on the node that is source now.

    Nothing is lost and nothing need be copied: it is refused while the device is in use here and while NODE is not
    InSync; then what is on its way is confirmed by the targets, the device goes away here, NODE becomes source, and
    this node and the other targets follow it. Start the applications on NODE afterwards. If NODE does not confirm the
    last writes in time, this node stays source. If NODE already is the source, nothing is done.

    \b
    Examples:
      umount /srv && dkrepl switchover r0 --to beta

    Exit codes: 0 NODE is the source and this node follows it, 2 no NODE given, 4 the daemon is not running,
    5 refused (the device is in use, NODE is not InSync or did not confirm), 6 no such mirror or node,
    7 handed over, but not followed within the timeout.
    """
    paths = paths_of(context)
    name = resolve_mirror(paths, mirror)
    if not to:
        raise UsageError("name the node that is to be source: dkrepl switchover --to NODE")
    try:
        seconds = parse_duration(timeout)
    except ValueError as error:
        raise UsageError(f"--timeout is {timeout!r}, but {error}") from None
    status = read_status(ask(paths, name, "status"), name)
    answer = {"mirror": name, "node": status.node, "source": to, "changed": False}
    if _done(status, to):
        print_done(answer, as_json, f"{name}: {to} is the source already")
        return
    ask(paths, name, "switchover", {"to": to})
    _wait(paths, name, to, seconds)
    print_done(answer | {"changed": True}, as_json, f"{name}: {to} is the source, {status.node} follows it")


def _done(status: Status, to: str) -> bool:
    if status.role == "source":
        return status.node == to
    return status.source == to and status.state == "InSync"


def _wait(paths: Paths, mirror: str, to: str, seconds: float) -> None:
    """Return when this node follows ``to``. Raises ``Refused`` if it is source again, ``TimedOut``."""
    deadline = time.monotonic() + seconds
    known = "the daemon changes its role"
    changed = False
    while True:
        try:
            status = read_status(ask(paths, mirror, "status", silence=5.0), mirror)
        except (DaemonNotRunning, TimedOut) as error:
            known, changed = str(error), True
        else:
            if status.role == "target":
                changed = True
                if _done(status, to):
                    return
                known = f"{status.node} is {status.state} ({status.reason})"
            elif changed and status.state == "Serving":
                raise Refused(f"{to} did not confirm the last writes in time, so {status.node} is still the source")
        if time.monotonic() > deadline:
            raise TimedOut(
                f"{mirror} was handed over, but this node does not follow {to} after {format_duration(seconds)}: "
                f"{known}; look at dkrepl status on {to}, and promote it there if it is not the source"
            )
        time.sleep(INTERVAL)
