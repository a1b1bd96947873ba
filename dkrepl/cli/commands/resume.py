"""``dkrepl resume``: copy to paused targets again."""

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
    """Copy to paused targets again, beginning with what they missed.

    After `dkrepl pause`. Only the blocks that the intent log marks are copied; new writes take precedence. Returns at
    once: `dkrepl wait insync` waits for the end. Runs on the source.

    \b
    Examples:
      dkrepl resume r0 gamma && dkrepl wait insync r0 gamma
      dkrepl resume r0          # all targets

    Exit codes: 0 resumed (or was not paused), 4 the daemon is not running, 5 this node is not the source, 6 no such
    mirror or target, 7 not recorded in time, 14 it could not be recorded.
    """
    name = session.mirror(mirror)
    answer = session.ask(name, requests.Resume(targets=targets))
    print_states(answer, name, as_json, f"{name}: resumed {', '.join(targets or ['all targets'])}")
