"""``dkrepl init``: make this node's store and metadata."""

from __future__ import annotations

from typing import Annotated

import typer

from dkrepl.cli.context import JsonOption, MirrorArgument, NodeOption, paths_of, resolve_mirror
from dkrepl.cli.render.output import print_done
from dkrepl.errors import UsageError


def command(
    context: typer.Context,
    mirror: MirrorArgument = None,
    node: NodeOption = None,
    keep_data: Annotated[
        bool,
        typer.Option("--keep-data", help="On the source: what the store holds becomes the mirror's data."),
    ] = False,
    overwrite_data: Annotated[
        bool, typer.Option("--overwrite-data", help="On a target: what the store holds may be overwritten.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make this node's backing store and metadata for a mirror.

    Needed once on every node, before the daemon starts first. A store that is a file is created, sparse; one
    that exists must be large enough. A store that holds something is refused with what was found, unless an
    option says what is to become of it: --keep-data on the source, --overwrite-data on a target. A node that
    is initialised already is refused.

    \b
    Examples:
      dkrepl init r0
      dkrepl init r0 --keep-data         # /dev/vg/data holds a file system: replicate it

    Exit codes: 0 made, 3 the description is wrong, 5 refused (the store holds something, or the node is
    initialised already), 6 no such mirror or node, 9 the store and 10 the metadata cannot be made.
    """
    from dkrepl.io.state.description_file import load, which_node

    if keep_data and overwrite_data:
        raise UsageError("--keep-data and --overwrite-data contradict each other: give one of them")
    paths = paths_of(context)
    name = resolve_mirror(paths, mirror)
    here = which_node(load(name, paths.etc), node)
    from dkrepl.daemon.initialise import initialise

    answer = initialise(paths, name, here.name, keep_data, overwrite_data)
    made = "created" if answer.get("created") else "taken as it is"
    role = answer.get("role", "node")
    print_done(
        answer,
        as_json,
        f"{name}: {here.name} is ready as {role}, store {here.store} {made}; "
        f"next: systemctl enable --now dkrepl@{name}",
    )
