"""``dkrepl config diff`` and ``adopt``: whether all nodes use the same description, and adopting a changed one."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from dkrepl.cli.context import JsonOption, MirrorArgument, paths_of, resolve_mirror
from dkrepl.cli.control_client import ask
from dkrepl.cli.render.output import print_done, print_json, print_text
from dkrepl.errors import Refused


def diff(context: typer.Context, mirror: MirrorArgument = None, as_json: JsonOption = False) -> None:
    """Ask the other nodes what their descriptions say, and name the keys that differ from this node's.

    What counts is the description that each daemon read when it started. Nodes that differ in a required key (size,
    block, extent, peer_timeout, min_copies, the names of the nodes and their modes) do not follow each other. The other
    keys need not be equal, but usually should be.

    \b
    Example:
      dkrepl config diff r0

    Exit codes: 0 all agree, 4 the daemon is not running, 5 they differ or a node did not answer, 6 no such mirror.
    """
    paths = paths_of(context)
    name = resolve_mirror(paths, mirror)
    found = ask(paths, name, "descriptions")
    if as_json:
        print_json(found)
    else:
        for row in found["nodes"]:
            print_text(_line(row))
    if not found["agree"]:
        names = ", ".join(row["node"] for row in found["nodes"] if not _agrees(row))
        sentence = f"the descriptions of {name} do not all agree with {found['node']}'s: see {names}"
        if as_json:
            raise typer.Exit(Refused.exit_code)
        raise Refused(sentence)


def adopt(
    context: typer.Context,
    mirror: MirrorArgument = None,
    fenced: Annotated[
        list[str] | None,
        typer.Option("--fenced", metavar="NODE", help="NODE is off, or cut off, for good.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Adopt a changed description although too few nodes of the old one know it; run it on the source.

    After nodes, modes or min_copies change, writes must satisfy the old description too, until enough of its nodes
    follow under the new one. Otherwise they could promote one of themselves by the old rules, without the newest
    writes. If they are gone for good, declare that with --fenced, once for each. NODE must never come back with its
    old description: initialise it anew.

    \b
    Example:
      dkrepl config adopt r0 --fenced beta --fenced gamma

    Exit codes: 0 done and recorded, or nothing was to be done; 4 the daemon is not running; 5 this node is not the
    source, or more nodes have to be named; 6 no such mirror or node; 7 not recorded in time; 10 it could not be
    recorded.
    """
    paths = paths_of(context)
    name = resolve_mirror(paths, mirror)
    answer = ask(paths, name, "adopt", {"fenced": fenced or []})
    print_done(answer, as_json, f"{name}: only the present description applies now")


def _agrees(row: dict[str, Any]) -> bool:
    return bool(row["answered"] and not row["required"] and not row["advisory"])


def _line(row: dict[str, Any]) -> str:
    if not row["answered"]:
        return f"{row['node']}: no answer"
    if _agrees(row):
        return f"{row['node']}: the same"
    lines = [f"{row['node']}: differs"]
    for kind in ("required", "advisory"):
        for one in row[kind]:
            lines.append(f"  {kind}: {one['key']}: {one['here'] or '-'} here, {one['there'] or '-'} there")
    return "\n".join(lines)
