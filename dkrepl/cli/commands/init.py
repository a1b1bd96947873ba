"""``dkrepl init``: make this node's store and metadata."""

from __future__ import annotations

import click

from dkrepl.cli import parameters
from dkrepl.cli.context import Session
from dkrepl.cli.render.output import print_done
from dkrepl.errors import UsageError


@click.command()
@parameters.mirror
@parameters.node
@click.option("--keep-data", is_flag=True, help="On the source: what the store holds becomes the mirror's data.")
@click.option("--overwrite-data", is_flag=True, help="On a target: what the store holds may be overwritten.")
@parameters.as_json
@click.pass_obj
def command(
    session: Session, mirror: str | None, node: str | None, keep_data: bool, overwrite_data: bool, as_json: bool
) -> None:
    """Create this node's backing store and metadata for a mirror.

    Run it once on every node, before its daemon starts for the first time. A store that is a file is created, sparse;
    one that exists must be large enough. A store that holds something is refused, with what was found, unless an option
    says what is to become of it: --keep-data on the source, --overwrite-data on a target. A node that is initialised
    already is refused.

    \b
    Examples:
      dkrepl init r0
      dkrepl init r0 --keep-data         # /dev/vg/data holds a file system: replicate it

    Exit codes: 0 done, 3 the description is invalid, 5 refused (the store holds something, or the node is initialised
    already), 6 no such mirror or node, 9 the store cannot be used, or made, 14 the metadata cannot be written.
    """
    from dkrepl.io.state.description_file import load, which_node

    if keep_data and overwrite_data:
        raise UsageError("--keep-data and --overwrite-data contradict each other: give one of them")
    name = session.mirror(mirror)
    here = which_node(load(name, session.paths.etc), node)
    from dkrepl.daemon.initialise import initialise

    answer = initialise(session.paths, name, here.name, keep_data, overwrite_data)
    made = "created" if answer.get("created") else "taken as it is"
    role = answer.get("role", "node")
    print_done(
        answer,
        as_json,
        f"{name}: {here.name} is ready as {role}, store {here.store} {made}; "
        f"next: systemctl enable --now dkrepl@{name}",
    )
