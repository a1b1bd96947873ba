"""``dkrepl config``: an example of a description, and whether one is valid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dkrepl.cli import parameters
from dkrepl.cli.commands.config_peers import adopt, diff
from dkrepl.cli.context import Session
from dkrepl.cli.groups import Ordered
from dkrepl.cli.render.output import print_json, print_text
from dkrepl.config.units import format_size
from dkrepl.errors import DkreplError, NotFound, UsageError

if TYPE_CHECKING:
    from dkrepl.config.description import Description


@click.group(cls=Ordered)
def command() -> None:
    """Descriptions of mirrors: an example, a check, and whether the nodes agree."""


@command.command()
@parameters.as_json
def example(as_json: bool) -> None:
    """Print a description of a mirror of three nodes, every key explained.

    To begin with: edit it and put it, the same on every node, into /etc/dkrepl under the mirror's name.

    \b
    Example:
      dkrepl config example > /etc/dkrepl/r0.toml

    Exit code: 0.
    """
    from dkrepl.config.example import render_example

    if as_json:
        print_json({"example": render_example()})
    else:
        print(render_example(), end="")


@command.command()
@click.argument(
    "subject",
    metavar="[MIRROR|FILE]",
    required=False,
    shell_complete=parameters.complete_mirrors,
    help="A mirror or a file (default: all mirrors of this node).",
)
@click.option(
    "--as",
    "as_name",
    metavar="MIRROR",
    shell_complete=parameters.complete_mirrors,
    help="Check FILE as if it were MIRROR.toml.",
)
@click.option("--node", metavar="NODE", help="Which node this host is; refused if there is no such node.")
@parameters.as_json
@click.pass_obj
def check(session: Session, subject: str | None, as_name: str | None, node: str | None, as_json: bool) -> None:
    """Check the description of a mirror and say what it means.

    Run it before a description is put in place, and before `dkrepl init`. The first mistake is shown in one sentence:
    the key, the value found, what is expected. Nothing is changed.

    \b
    Examples:
      dkrepl config check r0
      dkrepl config check ./r0.toml
      dkrepl config check --as r0 /tmp/upload.tmp

    Exit codes: 0 valid, 3 invalid, 6 no such mirror, file or node.
    """
    from dkrepl.config.description import require_keys
    from dkrepl.io.state.description_file import load_file, which_node

    results: list[dict[str, Any]] = []
    for file in _files(session, subject, as_name):
        description = load_file(file, name=as_name)
        require_keys(description)
        try:
            here = which_node(description, node).name
        except DkreplError as error:
            if node is not None or not isinstance(error, NotFound):
                raise
            here = None
        results.append({"mirror": description.name, "file": str(file), "here": here, "description": description})
        if not as_json:
            print_text(_summary(description, here))
    if as_json:
        print_json({"mirrors": results})


command.add_command(diff)
command.add_command(adopt)


def _files(session: Session, subject: str | None, as_name: str | None) -> list[Path]:
    from dkrepl.io.state.description_file import list_mirrors

    paths = session.paths
    if as_name is not None:
        session.mirror(as_name)
        if subject is None:
            raise UsageError("--as needs a FILE to check")
        return [Path(subject)]
    if subject is None:
        return [paths.description(name) for name in list_mirrors(paths) or [session.mirror(None)]]
    is_file = "/" in subject or subject.endswith(".toml")
    return [Path(subject) if is_file else paths.description(session.mirror(subject))]


def _summary(mirror: Description, here: str | None) -> str:
    targets = ", ".join(f"{peer.name} ({peer.mode})" for peer in mirror.peers(mirror.source))
    place = f"this host is {here}" if here else "this host is not one of its nodes"
    return f"{mirror.name}: OK, {format_size(mirror.size)}, from {mirror.source} to {targets}; {place}"
