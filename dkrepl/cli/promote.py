"""``dkrepl promote``: make this node the source."""

from __future__ import annotations

from typing import Annotated

import typer

from dkrepl.cli.context import JsonOption, MirrorArgument, paths_of, resolve_mirror
from dkrepl.cli.control_client import ask
from dkrepl.cli.output import print_done
from dkrepl.cli.role_change import wait_for_role


def command(
    context: typer.Context,
    mirror: MirrorArgument = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also where data may be lost or the copy is in the middle of a resync."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make this node the source, so that its applications can open the device.

    Needed after `dkrepl demote` on the old source (switchover), or when the old source is dead (failover).
    Refused while a living source is connected; demote or stop that first. Where writes that the source has
    answered may be missing here (this node is asynchronous, was not in sync, or is in the middle of a resync)
    it takes --force. A node that was source and waits for its peers' answers is let go by --force as well.
    Make sure first that a source which cannot be reached is really down: two sources are a split-brain.

    \b
    Examples:
      dkrepl promote r0
      dkrepl promote r0 --force

    Exit codes: 0 this node is the source, 4 the daemon is not running, 5 refused, 6 no such mirror,
    7 told so, but not the source after 30 s.
    """
    paths = paths_of(context)
    name = resolve_mirror(paths, mirror)
    answer = ask(paths, name, "promote", {"force": force})
    device = wait_for_role(paths, name, "source").device or paths.device(name)
    print_done(answer, as_json, f"{name}: this node is the source, the device is {device}")
