"""``dkrepl config``: an example of a description, and whether one is right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dkrepl.cli.context import JsonOption, paths_of, resolve_mirror
from dkrepl.cli.render.output import print_json, print_text
from dkrepl.config.units import format_size
from dkrepl.errors import DkreplError, NotFound, UsageError

if TYPE_CHECKING:
    from dkrepl.config.description import Description

app = typer.Typer(
    help="Descriptions of mirrors: an example, a check, and whether the nodes agree.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("example")
def example(as_json: JsonOption = False) -> None:
    """Print a description of a mirror of three nodes, every key explained.

    Needed to begin: change it and put it, the same on every node, into /etc/dkrepl under the mirror's name.

    \b
    Example:
      dkrepl config example > /etc/dkrepl/r0.toml
    """
    from dkrepl.config.example import render_example

    if as_json:
        print_json({"example": render_example()})
    else:
        print(render_example(), end="")


@app.command("check")
def check(
    context: typer.Context,
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="MIRROR|FILE", help="A mirror, or a file; all mirrors here without.", show_default=False
        ),
    ] = None,
    as_name: Annotated[
        str | None,
        typer.Option("--as", metavar="MIRROR", help="Check FILE as if it were MIRROR.toml.", show_default=False),
    ] = None,
    node: Annotated[
        str | None,
        typer.Option(
            "--node",
            metavar="NODE",
            help="Which node this host is; refused if there is none.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check the description of a mirror and say what it means.

    Needed before it is put into place, and before `dkrepl init`. The first mistake is shown in one sentence:
    the key, the value found, what is expected. Nothing is changed.

    \b
    Examples:
      dkrepl config check r0
      dkrepl config check ./r0.toml
      dkrepl config check --as r0 /tmp/upload.tmp

    Exit codes: 0 right, 3 wrong, 6 no such mirror, file or node.
    """
    from dkrepl.config.description import require_keys
    from dkrepl.io.state.description_file import list_mirrors, load_file, which_node

    paths = paths_of(context)
    if as_name is not None:
        resolve_mirror(paths, as_name)
        if subject is None:
            raise UsageError("--as needs a FILE to check")
        files = [Path(subject)]
    elif subject is not None:
        is_file = "/" in subject or subject.endswith(".toml")
        files = [Path(subject) if is_file else paths.description(resolve_mirror(paths, subject))]
    else:
        files = [paths.description(name) for name in list_mirrors(paths) or [resolve_mirror(paths, None)]]
    results: list[dict[str, Any]] = []
    for file in files:
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
            print_text(_words(description, here))
    if as_json:
        print_json({"mirrors": results})


def _words(mirror: Description, here: str | None) -> str:
    targets = ", ".join(f"{peer.name} ({peer.mode})" for peer in mirror.peers(mirror.source))
    place = f"this host is {here}" if here else "this host is none of its nodes"
    return f"{mirror.name}: right, {format_size(mirror.size)}, from {mirror.source} to {targets}; {place}"
