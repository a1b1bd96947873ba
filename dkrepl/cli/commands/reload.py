"""``dkrepl reload``: let the daemon take up the peers' keys from the description."""

from __future__ import annotations

import click

from dkrepl.api import requests
from dkrepl.cli import parameters
from dkrepl.cli.context import Session
from dkrepl.cli.render.output import print_done


@click.command()
@parameters.mirror
@parameters.as_json
@click.pass_obj
def command(session: Session, mirror: str | None, as_json: bool) -> None:
    """Let the daemon take up the public keys in the description as it is now.

    Run it on every node when the key of another node was added, replaced or removed. Nothing is interrupted except the
    connections of nodes whose key is no longer there. It is refused if more than keys has changed: anything else needs
    a restart. `systemctl reload dkrepl@r0` does the same.

    \b
    Example:
      dkrepl reload r0

    Exit codes: 0 taken up, 3 the description is invalid, 4 the daemon is not running, 5 more than keys has changed,
    6 no such mirror, 13 the description does not name this node's own key.
    """
    name = session.mirror(mirror)
    print_done(session.ask(name, requests.Reload()), as_json, f"{name}: the keys in the description are in use")
