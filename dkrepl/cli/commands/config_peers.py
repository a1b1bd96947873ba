"""``dkrepl config diff`` and ``adopt``: whether all nodes use the same description, and adopting a changed one."""

from __future__ import annotations

import click

from dkrepl.api import client, requests
from dkrepl.api.answers import Descriptions, PeerDescription
from dkrepl.cli import parameters
from dkrepl.cli.context import Session
from dkrepl.cli.render.output import print_done, print_json, print_text
from dkrepl.errors import Refused


@click.command()
@parameters.mirror
@parameters.as_json
@click.pass_obj
def diff(session: Session, mirror: str | None, as_json: bool) -> int:
    """Ask the other nodes what their descriptions say, and name the keys that differ from this node's.

    What counts is the description that each daemon read when it started. Nodes that differ in a required key (size,
    block, extent, peer_timeout, min_copies, the names of the nodes and their modes) do not follow each other. The other
    keys need not be equal, but usually should be.

    \b
    Example:
      dkrepl config diff r0

    Exit codes: 0 all agree, 4 the daemon is not running, 5 they differ or a node did not answer, 6 no such mirror.
    """
    name = session.mirror(mirror)
    answer = session.ask(name, requests.Descriptions())
    found = client.read(answer, Descriptions, name)
    if as_json:
        print_json(answer)
        return 0 if found.agree else Refused.exit_code
    for node in found.nodes:
        print_text(_lines(node))
    if not found.agree:
        names = ", ".join(node.node for node in found.nodes if not node.same)
        raise Refused(f"the descriptions of {name} do not all agree with {found.node}'s: see {names}")
    return 0


@click.command()
@parameters.mirror
@click.option(
    "--fenced",
    metavar="NODE",
    multiple=True,
    shell_complete=parameters.complete_nodes,
    help="NODE is off, or cut off, for good. May be given several times.",
)
@parameters.as_json
@click.pass_obj
def adopt(session: Session, mirror: str | None, fenced: tuple[str, ...], as_json: bool) -> None:
    """Adopt a changed description although too few nodes of the old one know it; run it on the source.

    After nodes, modes or min_copies change, writes must satisfy the old description too, until enough of its nodes
    follow under the new one. Otherwise they could promote one of themselves by the old rules, without the newest
    writes. If they are gone for good, declare that with --fenced, once for each. NODE must never come back with its
    old description: initialise it anew.

    \b
    Example:
      dkrepl config adopt r0 --fenced beta --fenced gamma

    Exit codes: 0 done and recorded, or there was nothing to do; 4 the daemon is not running; 5 this node is not the
    source, or more nodes have to be named; 6 no such mirror or node; 7 not recorded in time; 10 it could not be
    recorded.
    """
    name = session.mirror(mirror)
    answer = session.ask(name, requests.Adopt(fenced=fenced))
    print_done(answer, as_json, f"{name}: only the present description applies now")


def _lines(node: PeerDescription) -> str:
    if not node.answered:
        return f"{node.node}: no answer"
    if node.same:
        return f"{node.node}: the same"
    lines = [f"{node.node}: differs"]
    for kind, keys in (("required", node.required), ("advisory", node.advisory)):
        lines += [f"  {kind}: {one.key}: {one.here or '-'} here, {one.there or '-'} there" for one in keys]
    return "\n".join(lines)
