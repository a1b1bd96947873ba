"""``dkrepl promote``: make this node the source, or say what that would lose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer
from typer.core import TyperCommand

from dkrepl.cli.context import JsonOption, MirrorArgument, paths_of, resolve_mirror
from dkrepl.cli.control_client import ask, not_understood
from dkrepl.cli.render.output import print_done, print_json
from dkrepl.cli.role_change import wait_for_role
from dkrepl.errors import UsageError


class Command(TyperCommand):
    """Says where the token is got, if ``--force`` comes without one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line. Raises ``UsageError``."""
        if _lacks_token(args):
            raise UsageError(
                "--force takes a token: `dkrepl promote MIRROR --dry-run` shows what would be lost, and prints it"
            )
        return super().parse_args(ctx, args)


def _lacks_token(args: Sequence[str]) -> bool:
    for index, word in enumerate(args):
        if word == "--force":
            return index + 1 == len(args) or args[index + 1].startswith("-")
    return False


def command(
    context: typer.Context,
    mirror: MirrorArgument = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing: show what would be lost, and print the token.")
    ] = False,
    force: Annotated[
        str | None,
        typer.Option(
            "--force",
            metavar="TOKEN",
            help="Go on although data may be lost; the token of a dry run says that it was looked at.",
            show_default=False,
        ),
    ] = None,
    fenced: Annotated[
        list[str] | None,
        typer.Option(
            "--fenced",
            metavar="NODE",
            help="NODE was off, or cut off from its applications, before it could answer a write without this node.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make this node the source, so that its applications can open the device.

    Needed when the old source is dead (failover), or after `dkrepl demote` on it. Without --force it is done only if
    nothing that was acknowledged can be lost: of the N sync nodes N - min_copies + 1 answer, this one among them (with
    min_copies = 1 every node, also those that are async), and none of them has more than this one. Refused, with
    --force as well, while a source is reachable from here. A node that was source, and waits for its peers' answers,
    then serves at once.

    --fenced NODE replaces the answer of a silent node. Give it only for a node that you, or a fencing device, turned
    off in time: the dry run says since when it may have answered writes without this node.

    --dry-run asks the peers, waits a second for their answers, and shows for each node as of when it is in sync, the
    seconds and bytes that would be lost if it were promoted, and what would be overwritten there later; and which
    nodes did not answer. Amounts mean "at least": nobody here knows what an unreachable source answered on its own.
    So make sure that it is really down: two sources are a split-brain. The token is valid until the situation changes.

    \b
    Examples:
      dkrepl promote r0 --dry-run
      dkrepl promote r0
      dkrepl promote r0 --fenced alpha
      dkrepl promote r0 --force 1a2b3c4d

    Exit codes: 0 this node is the source, or the dry run was shown; 2 --force without a token; 4 the daemon is not
    running; 5 refused; 6 no such mirror; 7 the promotion was ordered, but this node is not the source after 30 s.
    """
    paths = paths_of(context)
    if dry_run and force is not None:
        raise UsageError("--dry-run changes nothing and takes no token: leave out --force")
    name = resolve_mirror(paths, mirror)
    if dry_run:
        answer = ask(paths, name, "promote", {"dry_run": True, "fenced": fenced or []})
        _show(name, answer, as_json)
        return
    answer = ask(paths, name, "promote", {"force": force, "fenced": fenced or []})
    device = wait_for_role(paths, name, "source").device or paths.device(name)
    print_done(answer, as_json, f"{name}: this node is the source, the device is {device}")


def _show(mirror: str, answer: Any, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    from dkrepl.cli.render.promote_view import draw
    from dkrepl.core.election.promotion import Assessment

    try:
        found = msgspec.convert(answer, Assessment)
    except msgspec.ValidationError as error:
        raise not_understood(mirror, str(error)) from None
    draw(found)
