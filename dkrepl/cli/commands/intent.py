"""``dkrepl intent``: which blocks may differ from a target."""

from __future__ import annotations

import click

from dkrepl.api import answers, client, requests
from dkrepl.cli import parameters
from dkrepl.cli.context import Session
from dkrepl.cli.groups import Ordered
from dkrepl.cli.render.output import clean, print_json, print_text
from dkrepl.config.units import exact_size, format_count, format_size

_FEW = 20
"""Ranges that are listed for people without --all."""


@click.group(cls=Ordered)
def command() -> None:
    """The intent log: which blocks may differ from a target."""


@command.command()
@parameters.mirror
@click.argument(
    "target", required=False, shell_complete=parameters.complete_nodes, help="The target to show (default: all)."
)
@click.option("--all", "all_ranges", is_flag=True, help=f"List more than {_FEW} ranges.")
@parameters.as_json
@click.pass_obj
def show(session: Session, mirror: str | None, target: str | None, all_ranges: bool, as_json: bool) -> None:
    """Show which blocks may differ from a target, and so what a resync would copy.

    To judge a resync before it begins, or what a crash would cost. The daemon lists the first 1000 ranges. Runs on the
    source.

    \b
    Examples:
      dkrepl intent show r0
      dkrepl intent show r0 gamma --json | jq '.targets[0].dirty_bytes'

    Exit codes: 0 shown, 4 the daemon is not running, 5 this node is not the source, 6 no such mirror or target.
    """
    name = session.mirror(mirror)
    answer = session.ask(name, requests.Intent(target=target))
    found = client.read(answer, answers.Intent, name)
    if as_json:
        print_json(answer)
        return
    for intent in found.targets:
        print_text(
            f"{clean(intent.name)}: {intent.dirty_blocks} of {intent.blocks} blocks of {exact_size(intent.block)} "
            f"may differ ({format_size(intent.dirty_bytes)}), {format_count(intent.active_extents, 'active extent')}"
        )
        shown = intent.ranges if all_ranges else intent.ranges[:_FEW]
        for place in shown:
            print_text(f"  {place.offset:>16}  {exact_size(place.length)}")
        if len(shown) < len(intent.ranges):
            print_text(f"  {format_count(len(intent.ranges) - len(shown), 'more range')} (--all)")
