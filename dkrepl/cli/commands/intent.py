"""``dkrepl intent``: which blocks may differ from a target."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from dkrepl.cli.commands.verify import Range
from dkrepl.cli.context import JsonOption, MirrorArgument, paths_of, resolve_mirror
from dkrepl.cli.control_client import ask, not_understood
from dkrepl.cli.render.output import clean, print_json, print_text
from dkrepl.config.units import exact_size, format_size

_FEW = 20
"""Ranges that are listed for people without --all."""

app = typer.Typer(
    help="The intent log: which blocks may differ from a target.", no_args_is_help=True, rich_markup_mode=None
)


class Intent(msgspec.Struct):
    """The intent log of one target."""

    name: str
    block: int
    blocks: int
    dirty_blocks: int
    dirty_bytes: int
    ranges: list[Range] = msgspec.field(default_factory=list)
    active_extents: int = 0


@app.callback()
def group() -> None:
    """The intent log: which blocks may differ from a target."""


@app.command("show")
def show(
    context: typer.Context,
    mirror: MirrorArgument = None,
    target: Annotated[
        str | None,
        typer.Argument(metavar="TARGET", help="The target that is meant; all without.", show_default=False),
    ] = None,
    all_ranges: Annotated[bool, typer.Option("--all", help=f"List more than {_FEW} ranges.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show which blocks may differ from a target, and so what a resync would send.

    Needed to judge a resync before it begins, or what a crash would cost. The daemon names the first 1000
    ranges. Runs on the source.

    \b
    Examples:
      dkrepl intent show r0
      dkrepl intent show r0 gamma --json | jq '.targets[0].dirty_bytes'

    Exit codes: 0 shown, 4 the daemon is not running, 5 this node is not the source, 6 no such mirror or
    target.
    """
    paths = paths_of(context)
    name = resolve_mirror(paths, mirror)
    answer = ask(paths, name, "intent", {"target": target})
    if as_json:
        print_json(answer)
        return
    try:
        intents = msgspec.convert(answer["targets"], list[Intent])
    except (msgspec.ValidationError, KeyError, TypeError) as error:
        raise not_understood(name, str(error)) from None
    for intent in intents:
        print_text(
            f"{clean(intent.name)}: {intent.dirty_blocks} of {intent.blocks} blocks of {exact_size(intent.block)} "
            f"may differ ({format_size(intent.dirty_bytes)}), {intent.active_extents} extents active"
        )
        shown = intent.ranges if all_ranges else intent.ranges[:_FEW]
        for place in shown:
            print_text(f"  {place.offset:>16}  {exact_size(place.length)}")
        if len(shown) < len(intent.ranges):
            print_text(f"  {len(intent.ranges) - len(shown)} ranges more (--all)")
