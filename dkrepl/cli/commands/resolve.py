"""``dkrepl resolve``: end a split-brain, by giving way to another node's data."""

from __future__ import annotations

import click

from dkrepl.api import requests
from dkrepl.cli import parameters
from dkrepl.cli.context import Session
from dkrepl.cli.render.output import print_done
from dkrepl.cli.role_change import wait_for_role


@click.command()
@parameters.mirror
@click.option(
    "--keep",
    metavar="NODE",
    required=True,
    shell_complete=parameters.complete_nodes,
    help="The node whose data is kept.",
)
@click.option("--discard", is_flag=True, help="Do not save the blocks that only this node has; they are lost.")
@parameters.as_json
@click.pass_obj
def command(session: Session, mirror: str | None, keep: str, discard: bool, as_json: bool) -> None:
    """End a split-brain: the data of NODE is kept, that of this node gives way.

    Run it on the node that is to give way, when `dkrepl status` there or on NODE reports a split-brain. If this node
    is source, its device must not be in use; it becomes a target. The blocks that only this node has written are
    copied to a file first (`dkrepl diverged list`), then replaced by those of NODE.

    \b
    Examples:
      dkrepl resolve r0 --keep beta
      dkrepl diverged list r0

    Exit codes: 0 this node gives way (the resync follows), 2 no NODE given, 4 the daemon is not running, 5 refused
    (the device is in use), 6 no such mirror or node, 7 accepted, but this node is not a target after 30 s.
    """
    name = session.mirror(mirror)
    answer = session.ask(name, requests.Resolve(keep=keep, discard=discard))
    wait_for_role(session, name, "target")
    print_done(answer, as_json, f"{name}: this node gives way to {keep} and will follow it")
