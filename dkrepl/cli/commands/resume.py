"""``dkrepl resume``: copy to paused targets again."""

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
    """Copy to paused targets again, beginning with what they missed.

    Needed after `dkrepl pause`. Only the blocks that the intent log names are sent, new writes go first.
    Returns at once: `dkrepl wait insync` waits for the end. Runs on the source.

    \b
    Examples:
      dkrepl resume r0 gamma && dkrepl wait insync r0 gamma
      dkrepl resume r0          # all targets

    Exit codes: 0 resumed (or was not paused), 4 the daemon is not running, 5 this node is not the source,
    6 no such mirror or target.
    """
    paths = paths_of(context)
    name = resolve_mirror(paths, mirror)
    answer = ask(paths, name, "resume", {"targets": targets or []})
    print_done(answer, as_json, f"{name}: resumed {', '.join(targets or ['all targets'])}")
