"""``dkrepl resync``: copy again what may differ, or everything."""

from __future__ import annotations

from typing import Annotated

import typer

from dkrepl.cli.context import JsonOption, MirrorArgument, TargetsArgument, paths_of, resolve_mirror
from dkrepl.cli.control_client import ask
from dkrepl.cli.render.output import print_done


def command(
    context: typer.Context,
    mirror: MirrorArgument = None,
    targets: TargetsArgument = None,
    full: Annotated[bool, typer.Option("--full", help="Mark every block as dirty first: all is copied.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Copy to targets what the intent log names, or with --full everything.

    Seldom needed: targets resync by themselves when they come back. --full is for a target whose store was
    changed behind dkrepl's back, or that a verify found to differ. It is safe while the device is in use.
    Returns at once: `dkrepl wait insync` waits for the end. Runs on the source.

    \b
    Examples:
      dkrepl resync r0 --full gamma && dkrepl wait insync r0 --timeout 2h gamma

    A target that is not connected now is resynced when it comes back.

    Exit codes: 0 begun, 4 the daemon is not running, 5 this node is not the source, 6 no such mirror or target.
    """
    paths = paths_of(context)
    name = resolve_mirror(paths, mirror)
    answer = ask(paths, name, "resync", {"full": full, "targets": targets or []})
    kind = "full resync" if full else "resync"
    print_done(answer, as_json, f"{name}: {kind} of {', '.join(targets or ['all targets'])} begun")
