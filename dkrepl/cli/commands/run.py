"""``dkrepl run``: the daemon of a mirror, in the foreground."""

from __future__ import annotations

import click

from dkrepl.cli import parameters
from dkrepl.cli.context import Session


@click.command()
@parameters.mirror
@parameters.node
@click.pass_obj
def command(session: Session, mirror: str | None, node: str | None) -> int:
    """Run the daemon of a mirror in the foreground, until SIGTERM.

    systemd does this (`systemctl start dkrepl@r0`). By hand it is good for a first try or for debugging: on a terminal
    events are readable, elsewhere they are JSON.

    \b
    Example:
      dkrepl run r0

    Exit codes: 0 stopped as asked, 3 the description is invalid, 6 no such mirror or node, or it is not initialised
    here (`dkrepl init`), 9 the store or 10 the metadata cannot be used, 12 the host lacks something (root, /dev/fuse, a
    free port), 13 the node's key is missing or not the one in the description (`dkrepl key generate`), 14 the state
    directory cannot be read or written.
    """
    from dkrepl.daemon.main import main
    from dkrepl.io.state.description_file import load, which_node

    name = session.mirror(mirror)
    return main(session.paths, name, which_node(load(name, session.paths.etc), node).name)
