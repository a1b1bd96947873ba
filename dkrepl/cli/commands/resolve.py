"""``dkrepl resolve``: end a split-brain, by giving way to another node's data."""

from __future__ import annotations

from typing import Annotated

import typer

from dkrepl.cli.context import JsonOption, MirrorArgument, paths_of, resolve_mirror
from dkrepl.cli.control_client import ask
from dkrepl.cli.render.output import print_done
from dkrepl.cli.role_change import wait_for_role
from dkrepl.errors import UsageError


def command(
    context: typer.Context,
    mirror: MirrorArgument = None,
    keep: Annotated[str, typer.Option("--keep", metavar="NODE", help="The node whose data is right.")] = "",
    discard: Annotated[
        bool, typer.Option("--discard", help="Do not save aside what this node alone has; it is lost.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """End a split-brain: the data of NODE is kept, that of this node gives way.

    Run it on the node that is to give way, when `dkrepl status` there or on NODE reports a split-brain. If this node
    is source, its device must not be in use; it becomes a target. The blocks that this node alone has written are
    copied to a file first (`dkrepl diverged list`), then replaced by those of NODE.

    \b
    Examples:
      dkrepl resolve r0 --keep beta
      dkrepl diverged list r0

    Exit codes: 0 this node gives way (the resync follows), 2 no NODE given, 4 the daemon is not running,
    5 refused (the device is in use), 6 no such mirror or node.
    """
    paths = paths_of(context)
    name = resolve_mirror(paths, mirror)
    if not keep:
        raise UsageError("name the node whose data is right: dkrepl resolve --keep NODE")
    answer = ask(paths, name, "resolve", {"keep": keep, "discard": discard})
    wait_for_role(paths, name, "target")
    print_done(answer, as_json, f"{name}: this node gives way to {keep} and will follow it")
