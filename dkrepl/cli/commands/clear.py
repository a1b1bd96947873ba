"""``dkrepl clear``: lift a verdict that stands against this node's copy."""

from __future__ import annotations

from typing import get_args

import click

from dkrepl.api import requests
from dkrepl.cli import parameters
from dkrepl.cli.context import Session
from dkrepl.cli.render.output import print_done


@click.command()
@click.argument("mirror", shell_complete=parameters.complete_mirrors, help="The mirror.")
@click.argument(
    "verdict",
    metavar="VERDICT",
    type=click.Choice(get_args(requests.Verdict)),
    help="The verdict to lift: store-failed or forced-promotion.",
)
@parameters.as_json
@click.pass_obj
def command(session: Session, mirror: str, verdict: requests.Verdict, as_json: bool) -> None:
    """Lift a verdict that stands against the copy of this node; run it on the source.

    A verdict records that this copy is not to be trusted as others are. It outlives restarts, until it is cleared;
    `dkrepl status` shows it as a warning.

    store-failed: a flush of this node's store failed, so writes may be missing here that a target has. Nothing is
    copied to the targets, and every flush fails, until this is cleared; then what this store holds NOW replaces what
    the targets have in the blocks concerned. If a target has the better copy, do not clear it: demote this node and
    promote the target.

    forced-promotion: this node was promoted by force, although data could be lost. Clearing it only ends the warning.

    \b
    Examples:
      dkrepl clear r0 store-failed
      dkrepl clear r0 forced-promotion

    Exit codes: 0 cleared and recorded, 2 no such verdict, 4 the daemon is not running, 5 this node is not the source,
    6 no such mirror, 7 not recorded in time, 14 it could not be recorded.
    """
    name = session.mirror(mirror)
    answer = session.ask(name, requests.Clear(verdict=verdict))
    print_done(answer, as_json, f"{name}: {verdict} is cleared")
