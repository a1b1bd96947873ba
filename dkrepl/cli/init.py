"""``dkrepl init``: make this node's store and metadata."""

from __future__ import annotations

from typing import Annotated

import typer

from dkrepl.cli.context import JsonOption, MirrorArgument, NodeOption, paths_of, resolve_mirror
from dkrepl.cli.output import print_done
from dkrepl.core.errors import UsageError


def command(
    context: typer.Context,
    mirror: MirrorArgument = None,
    node: NodeOption = None,
    keep_data: Annotated[
        bool,
        typer.Option("--keep-data", help="The store holds data that is wanted: take it as this node's copy."),
    ] = False,
    overwrite_data: Annotated[
        bool, typer.Option("--overwrite-data", help="The store holds data that is not wanted: give it up.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make this node's backing store and metadata for a mirror.

    Needed once on every node, before the daemon starts first. A store that is a file is created, sparse; one
    that exists must be large enough. A store that holds something is refused with what was found, unless
    --keep-data or --overwrite-data says what to do with it: on the source of existing data, --keep-data; on
    its targets, --overwrite-data. Metadata that exists is never overwritten.

    \b
    Examples:
      dkrepl init r0
      dkrepl init r0 --keep-data         # /dev/vg/data holds a file system: replicate it

    \b
    Exit codes: 0 made, 3 the description is wrong, 6 no such mirror or node, 9 the store holds something
    or cannot be used, 10 there is metadata already.
    """
    from dkrepl.io.description_file import load, which_node

    if keep_data and overwrite_data:
        raise UsageError("--keep-data and --overwrite-data contradict each other: give one of them")
    paths = paths_of(context)
    name = resolve_mirror(paths, mirror)
    here = which_node(load(name, paths.etc), node)
    from dkrepl.daemon.initialise import initialise

    answer = initialise(paths, name, here.name, keep_data, overwrite_data)
    print_done(answer, as_json, f"{name}: {here.name} is ready ({here.store}): `systemctl start dkrepl@{name}`")
