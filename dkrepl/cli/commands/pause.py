"""``dkrepl pause``: stop copying to targets for a while."""

from __future__ import annotations

import typer

from dkrepl.cli.context import JsonOption, MirrorArgument, TargetsArgument, paths_of, resolve_mirror
from dkrepl.cli.control_client import ask
from dkrepl.cli.render.output import print_done


def command(
    context: typer.Context,
    mirror: MirrorArgument = None,
    targets: TargetsArgument = None,
    as_json: JsonOption = False,
) -> None:
    """Stop copying to targets; what they miss is noted in the intent log.

    Needed for maintenance of a target or of the link. Writes on the source go on, also where a target is
    synchronous: while it is paused it does not protect. `dkrepl resume` brings it up to date again, with a
    partial resync. A pause outlives a restart of the daemon. Runs on the source.

    \b
    Examples:
      dkrepl pause r0 gamma
      dkrepl pause r0          # all targets

    Exit codes: 0 paused (or was already), 4 the daemon is not running, 5 this node is not the source,
    6 no such mirror or target.
    """
    paths = paths_of(context)
    name = resolve_mirror(paths, mirror)
    answer = ask(paths, name, "pause", {"targets": targets or []})
    print_done(answer, as_json, f"{name}: paused {', '.join(targets or ['all targets'])}")
