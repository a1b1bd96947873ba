"""``dkrepl resync``: copy again what may differ, or everything."""

from __future__ import annotations

import click

from dkrepl.api import requests
from dkrepl.cli import parameters
from dkrepl.cli.context import Session
from dkrepl.cli.render.output import print_states


@click.command()
@parameters.mirror
@parameters.targets
@click.option("--full", is_flag=True, help="Mark every block dirty first, so that all are copied.")
@parameters.as_json
@click.pass_obj
def command(session: Session, mirror: str | None, targets: tuple[str, ...], full: bool, as_json: bool) -> None:
    """Copy to targets the blocks that the intent log marks, or with --full all blocks.

    Seldom needed: targets resync by themselves when they come back. --full is for a target whose store was changed
    behind dkrepl's back, or that a verify found to differ. It is safe while the device is in use. Returns at once:
    `dkrepl wait insync` waits for the end. A target that is not connected now is resynced when it comes back. Runs on
    the source.

    \b
    Examples:
      dkrepl resync r0 --full gamma && dkrepl wait insync r0 --timeout 2h gamma

    Exit codes: 0 begun, 4 the daemon is not running, 5 this node is not the source, 6 no such mirror or target, 7 not
    recorded in time, 14 it could not be recorded.
    """
    name = session.mirror(mirror)
    answer = session.ask(name, requests.Resync(targets=targets, full=full))
    kind = "full resync" if full else "resync"
    print_states(answer, name, as_json, f"{name}: {kind} of {', '.join(targets or ['all targets'])} begun")
