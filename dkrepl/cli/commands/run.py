"""``dkrepl run``: the daemon of a mirror, in the foreground."""

from __future__ import annotations

import typer

from dkrepl.cli.context import MirrorArgument, NodeOption, paths_of, resolve_mirror


def command(context: typer.Context, mirror: MirrorArgument = None, node: NodeOption = None) -> int:
    """Run the daemon of a mirror in the foreground, until SIGTERM.

    systemd does this (`systemctl start dkrepl@r0`); by hand it is good for a first try or a hunt: events are
    readable on a terminal, JSON otherwise.

    \b
    Example:
      dkrepl run r0

    Exit codes: 0 ended as asked, 3 the description is wrong, 6 no such mirror or node, 9 the store and
    10 the metadata cannot be used (`dkrepl init` comes first), 12 the host lacks something (root, /dev/fuse,
    a free port), 13 the node's key is missing or not the one described (`dkrepl key generate`).
    """
    from dkrepl.daemon.main import main
    from dkrepl.io.state.description_file import load, which_node

    paths = paths_of(context)
    name = resolve_mirror(paths, mirror)
    return main(paths, name, which_node(load(name, paths.etc), node).name)
