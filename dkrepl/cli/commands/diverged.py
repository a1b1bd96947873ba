"""``dkrepl diverged``: blocks that only this node had, kept when another node's data replaced them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dkrepl.cli.context import JsonOption, MirrorArgument, paths_of, resolve_mirror
from dkrepl.cli.render.output import print_done, print_json, print_text
from dkrepl.config.units import format_size, format_time
from dkrepl.io.store import diverged as kept_blocks
from dkrepl.io.store import diverged_copy

app = typer.Typer(
    help="Blocks that only this node had, kept when they were replaced.", no_args_is_help=True, rich_markup_mode=None
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="As `dkrepl diverged list` shows it.")]


@app.callback()
def group() -> None:
    """Blocks that only this node had, kept when they were replaced."""


@app.command("list")
def show(context: typer.Context, mirror: MirrorArgument = None, as_json: JsonOption = False) -> None:
    """Show what is kept on this node: when, how much, and by whose data it was replaced.

    After a split-brain, or when an old source had writes that the new one lacks, the blocks that this node alone had
    are kept before they are replaced. Blocks that turn out to be equal are let go when the resync is over.

    \b
    Examples:
      dkrepl diverged list r0

    Exit codes: 0 shown, 6 no such mirror, 10 a file cannot be understood.
    """
    paths = paths_of(context)
    name = resolve_mirror(paths, mirror)
    found = kept_blocks.found(paths.state_dir(name))
    if as_json:
        print_json({"mirror": name, "diverged": [_shown(kept) for kept in found]})
        return
    if not found:
        print_text(f"{name}: nothing is kept on this node")
    for kept in found:
        when = format_time(kept.at)
        state = "" if kept.settled else ", not compared with the new data yet"
        print_text(
            f"{kept.name}: {format_size(kept.length)} in {len(kept.ranges)} ranges, "
            f"replaced by the data of {kept.replaced_by}, {when}{state}"
        )


@app.command("export")
def export(
    context: typer.Context,
    name: NameArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
    mirror: Annotated[str | None, typer.Option("--mirror", help="The mirror, if there are several.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy kept blocks to FILE: sparse, as long as the mirror, each block at its own offset.

    \b
    Examples:
      dkrepl diverged export 20261123T101500Z-8f2c41d09a77b310 /srv/lost.img
      dkrepl diverged list --json | jq '.diverged[0].ranges'      # which ranges are in it

    Exit codes: 0 copied, 5 FILE exists, 6 nothing of that name, 9 FILE cannot be written.
    """
    paths = paths_of(context)
    found = resolve_mirror(paths, mirror)
    kept = diverged_copy.export(paths.state_dir(found), name, file)
    answer = {"mirror": found, "name": name, "file": str(file), "bytes": kept.length}
    print_done(answer, as_json, f"{found}: {format_size(kept.length)} of {name} are in {file}")


@app.command("drop")
def drop(
    context: typer.Context,
    name: NameArgument,
    mirror: Annotated[str | None, typer.Option("--mirror", help="The mirror, if there are several.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Remove kept blocks that nobody needs any more. They cannot be got back.

    \b
    Examples:
      dkrepl diverged drop 20261123T101500Z-8f2c41d09a77b310

    Exit codes: 0 removed, 6 nothing of that name.
    """
    paths = paths_of(context)
    found = resolve_mirror(paths, mirror)
    kept_blocks.drop(paths.state_dir(found), name)
    print_done({"mirror": found, "name": name}, as_json, f"{found}: {name} is removed")


def _shown(kept: kept_blocks.Saved) -> dict[str, Any]:
    return kept.shown() | {"ranges": [{"offset": offset, "length": length} for offset, length in kept.ranges]}
