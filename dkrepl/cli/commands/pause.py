"""``dkrepl pause``: stop copying to targets for a while."""

from __future__ import annotations

import click

from dkrepl.api import requests
from dkrepl.cli import parameters
from dkrepl.cli.context import Session
from dkrepl.cli.render.output import print_states


@click.command()
@parameters.mirror
@parameters.targets
@parameters.as_json
@click.pass_obj
def command(session: Session, mirror: str | None, targets: tuple[str, ...], as_json: bool) -> None:
    """Stop copying to targets; the blocks that they miss are marked in the intent log.

    For maintenance of a target or of the network. Writes on the source go on, even if a target is synchronous: while it
    is paused it does not protect. `dkrepl resume` brings it up to date again, with a partial resync. A pause outlives a
    restart of the daemon. Runs on the source.

    \b
    Examples:
      dkrepl pause r0 gamma
      dkrepl pause r0          # all targets

    Exit codes: 0 paused (or was already), 4 the daemon is not running, 5 this node is not the source, 6 no such mirror
    or target, 7 not recorded in time, 14 it could not be recorded.
    """
    name = session.mirror(mirror)
    answer = session.ask(name, requests.Pause(targets=targets))
    print_states(answer, name, as_json, f"{name}: paused {', '.join(targets or ['all targets'])}")
