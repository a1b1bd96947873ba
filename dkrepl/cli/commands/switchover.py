"""``dkrepl switchover``: hand a mirror over to another node, without losing or copying anything."""

from __future__ import annotations

import time

import click

from dkrepl.api import requests
from dkrepl.api.status import Status, TargetStatus
from dkrepl.cli import parameters
from dkrepl.cli.context import Session
from dkrepl.cli.render.output import print_done
from dkrepl.config.units import format_duration
from dkrepl.errors import DaemonNotRunning, Refused, TimedOut

INTERVAL = 0.2
"""Seconds between two polls."""


@click.command()
@parameters.mirror
@click.option(
    "--to",
    metavar="NODE",
    required=True,
    shell_complete=parameters.complete_nodes,
    help="The node that is to be source.",
)
@parameters.timeout
@parameters.as_json
@click.pass_obj
def command(session: Session, mirror: str | None, to: str, timeout: float, as_json: bool) -> None:
    """Make another node the source; run it on the node that is source now.

    Nothing is lost and nothing needs to be copied: it is refused while the device is in use here and while NODE is not
    InSync. Then the targets confirm the writes on their way, the device goes away here, NODE becomes
    source, and this node and the other targets follow it. Start the applications on NODE afterwards. If NODE does not
    confirm the last writes in time, this node stays source. If NODE already is the source, nothing is done.

    \b
    Examples:
      umount /srv && dkrepl switchover r0 --to beta

    Exit codes: 0 NODE is the source and this node follows it, 2 no NODE given, 4 the daemon is not running, 5 refused
    (the device is in use, NODE is not InSync or did not confirm), 6 no such mirror or node, 7 handed over, but not
    followed within the timeout.
    """
    name = session.mirror(mirror)
    status = session.status(name)
    answer = {"mirror": name, "node": status.node, "source": to, "changed": False}
    if _done(status, to):
        print_done(answer, as_json, f"{name}: {to} is the source already")
        return
    session.ask(name, requests.Switchover(to=to))
    _wait(session, name, to, timeout)
    print_done(answer | {"changed": True}, as_json, f"{name}: {to} is the source, {status.node} follows it")


def _done(status: Status, to: str) -> bool:
    if isinstance(status, TargetStatus):
        return status.source == to and status.state == "InSync"
    return status.node == to


def _wait(session: Session, mirror: str, to: str, seconds: float) -> None:
    """Return when this node follows ``to``. Raises ``Refused`` if it is source again, ``TimedOut``."""
    deadline = time.monotonic() + seconds
    known = "the daemon changes its role"
    changed = False
    while True:
        try:
            status = session.status(mirror, silence=5.0)
        except (DaemonNotRunning, TimedOut) as error:
            known, changed = str(error), True
        else:
            if isinstance(status, TargetStatus):
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
