"""``dkrepl diverged``: blocks that only this node had, saved when another node's data replaced them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dkrepl.cli import parameters
from dkrepl.cli.context import Session
from dkrepl.cli.groups import Ordered
from dkrepl.cli.render.output import print_done, print_json, print_text
from dkrepl.config.units import format_count, format_size, format_time
from dkrepl.io.store import diverged as kept_blocks
from dkrepl.io.store import diverged_copy

_name = click.argument("name", help="As `dkrepl diverged list` shows it.")
_mirror = click.option(
    "--mirror", metavar="MIRROR", shell_complete=parameters.complete_mirrors, help="The mirror, if there are several."
)


@click.group(cls=Ordered)
def command() -> None:
    """Blocks that only this node had, saved when they were replaced."""


@command.command("list")
@parameters.mirror
@parameters.as_json
@click.pass_obj
def show(session: Session, mirror: str | None, as_json: bool) -> None:
    """Show what is saved on this node: when, how much, and by whose data it was replaced.

    After a split-brain, or when an old source had writes that the new one lacks, the blocks that only this node had
    are saved before they are replaced. Those that turn out to be equal are removed when the resync has ended.

    \b
    Examples:
      dkrepl diverged list r0

    Exit codes: 0 shown, 6 no such mirror, 10 a file cannot be understood.
    """
    name, directory = session.state_dir(mirror)
    found = kept_blocks.found(directory)
    if as_json:
        print_json({"mirror": name, "diverged": [_shown(kept) for kept in found]})
        return
    if not found:
        print_text(f"{name}: nothing is saved on this node")
    for kept in found:
        when = format_time(kept.at)
        state = "" if kept.settled else ", not compared with the new data yet"
        print_text(
            f"{kept.name}: {format_size(kept.length)} in {format_count(len(kept.ranges), 'range')}, "
            f"replaced by the data of {kept.replaced_by}, {when}{state}"
        )


@command.command()
@_name
@click.argument("file", type=click.Path(path_type=Path), help="A new file.")
@_mirror
@parameters.as_json
@click.pass_obj
def export(session: Session, name: str, file: Path, mirror: str | None, as_json: bool) -> None:
    """Copy saved blocks to FILE: sparse, as long as the mirror, each block at its own offset.

    To look at them with other tools, for example through a loop device.

    \b
    Examples:
      dkrepl diverged export 20261123T101500Z-8f2c41d09a77b310 /srv/lost.img
      dkrepl diverged list --json | jq '.diverged[0].ranges'      # which ranges are in it

    Exit codes: 0 copied, 5 FILE exists, 6 no such mirror, or nothing of that name, 9 FILE cannot be written.
    """
    found, directory = session.state_dir(mirror)
    kept = diverged_copy.export(directory, name, file)
    answer = {"mirror": found, "name": name, "file": str(file), "bytes": kept.length}
    print_done(answer, as_json, f"{found}: {format_size(kept.length)} of {name} are in {file}")


@command.command()
@_name
@_mirror
@parameters.as_json
@click.pass_obj
def drop(session: Session, name: str, mirror: str | None, as_json: bool) -> None:
    """Delete saved blocks that are no longer needed. They cannot be recovered.

    \b
    Examples:
      dkrepl diverged drop 20261123T101500Z-8f2c41d09a77b310

    Exit codes: 0 deleted, 6 no such mirror, or nothing of that name.
    """
    found, directory = session.state_dir(mirror)
    kept_blocks.drop(directory, name)
    print_done({"mirror": found, "name": name}, as_json, f"{found}: {name} is deleted")


def _shown(kept: kept_blocks.Saved) -> dict[str, Any]:
    return kept.shown() | {"ranges": [{"offset": offset, "length": length} for offset, length in kept.ranges]}
