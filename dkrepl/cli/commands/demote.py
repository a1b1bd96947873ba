"""``dkrepl demote``: make this source a target."""

from __future__ import annotations

import click

from dkrepl.api import requests
from dkrepl.cli import parameters
from dkrepl.cli.context import Session
from dkrepl.cli.render.output import print_done
from dkrepl.cli.role_change import wait_for_role


@click.command()
@parameters.mirror
@parameters.as_json
@click.pass_obj
def command(session: Session, mirror: str | None, as_json: bool) -> None:
    """Make this node a target: the first half of a switchover.

    The device goes away, so unmount it first: while it is in use demote is refused, and says by what. Then run
    `dkrepl promote` on the node that takes over.

    \b
    Examples:
      umount /srv/data && dkrepl demote r0       # here
      dkrepl promote r0                          # on the other node

    Exit codes: 0 this node is a target, 4 the daemon is not running, 5 refused (the device is in use), 6 no such
    mirror, 7 accepted, but this node is not a target after 30 s.
    """
    name = session.mirror(mirror)
    answer = session.ask(name, requests.Demote())
    wait_for_role(session, name, "target")
    print_done(answer, as_json, f"{name}: this node is a target")
