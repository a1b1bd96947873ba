"""``dkrepl demote``: make this source a target."""

from __future__ import annotations

import typer

from dkrepl.cli.context import JsonOption, MirrorArgument, paths_of, resolve_mirror
from dkrepl.cli.control_client import ask
from dkrepl.cli.render.output import print_done
from dkrepl.cli.role_change import wait_for_role


def command(context: typer.Context, mirror: MirrorArgument = None, as_json: JsonOption = False) -> None:
    """Make this node a target: the first half of a switchover.

    The device goes away, so unmount first: while it is in use demote is refused, with who uses it. Then run
    `dkrepl promote` on the node that takes over.

    \b
    Examples:
      umount /srv/data && dkrepl demote r0       # here
      dkrepl promote r0                          # on the other node

    Exit codes: 0 this node is a target, 4 the daemon is not running, 5 refused (the device is in use),
    6 no such mirror, 7 told so, but no target after 30 s.
    """
    paths = paths_of(context)
    name = resolve_mirror(paths, mirror)
    answer = ask(paths, name, "demote")
    wait_for_role(paths, name, "target")
    print_done(answer, as_json, f"{name}: this node is a target")
