"""``dkrepl clear``: lift a verdict that stands against this node's copy."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from dkrepl.cli.context import JsonOption, paths_of, resolve_mirror
from dkrepl.cli.control_client import ask
from dkrepl.cli.render.output import print_done


class Verdict(StrEnum):
    """What can be cleared."""

    STORE_FAILED = "store-failed"
    FORCED_PROMOTION = "forced-promotion"


def command(
    context: typer.Context,
    mirror: Annotated[str, typer.Argument(metavar="MIRROR", help="The mirror.", show_default=False)],
    verdict: Annotated[Verdict, typer.Argument(help="What is cleared.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
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
    6 no such mirror, 7 it was not recorded in time, 10 it could not be recorded.
    """
    paths = paths_of(context)
    name = resolve_mirror(paths, mirror)
    answer = ask(paths, name, "clear", {"verdict": verdict.value})
    print_done(answer, as_json, f"{name}: {verdict.value} is cleared")
