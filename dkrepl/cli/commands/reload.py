"""``dkrepl reload``: let the daemon take up the peers' keys from the description."""

from __future__ import annotations

import typer

from dkrepl.cli.context import JsonOption, MirrorArgument, paths_of, resolve_mirror
from dkrepl.cli.control_client import ask
from dkrepl.cli.render.output import print_done


def command(context: typer.Context, mirror: MirrorArgument = None, as_json: JsonOption = False) -> None:
    """Let the daemon take up the public keys in the description as it is now.

    Needed on every node when a key of another node was added, replaced or taken out. Nothing is interrupted, but for
    the connections of those whose key is no longer there. If more than keys has changed it is refused: all else is
    taken up by a restart. `systemctl reload dkrepl@r0` does the same.

    \b
    Example:
      dkrepl reload r0

    Exit codes: 0 taken up, 3 the description is wrong, 4 the daemon is not running, 5 more than keys has changed,
    13 the description does not name this node's own key.
    """
    paths = paths_of(context)
    name = resolve_mirror(paths, mirror)
    print_done(ask(paths, name, "reload", {}), as_json, f"{name}: the keys in the description are in use")
