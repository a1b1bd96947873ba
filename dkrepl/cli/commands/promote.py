"""``dkrepl promote``: make this node the source, or say what that would lose."""

from __future__ import annotations

import click

from dkrepl.api import client, requests
from dkrepl.cli import parameters
from dkrepl.cli.context import Session
from dkrepl.cli.render.output import print_done, print_json
from dkrepl.cli.role_change import wait_for_role
from dkrepl.errors import UsageError

_NO_TOKEN = ""
"""What ``--force`` is if it is given without a token."""


@click.command()
@parameters.mirror
@click.option("--dry-run", is_flag=True, help="Change nothing: show what would be lost, and print the token.")
@click.option(
    "--force",
    metavar="TOKEN",
    is_flag=False,
    flag_value=_NO_TOKEN,
    help="Go on although data may be lost; the token of a dry run shows that it was looked at.",
)
@click.option(
    "--fenced",
    metavar="NODE",
    multiple=True,
    shell_complete=parameters.complete_nodes,
    help="NODE was off, or cut off from its applications, before it could acknowledge a write without this node. "
    "May be given several times.",
)
@parameters.as_json
@click.pass_obj
def command(
    session: Session, mirror: str | None, dry_run: bool, force: str | None, fenced: tuple[str, ...], as_json: bool
) -> None:
    """Make this node the source, so that its applications can open the device.

    Run it when the old source is dead (failover), or after `dkrepl demote` on it. Without --force it is done only if
    nothing that was acknowledged can be lost: of the N sync nodes N - min_copies + 1 answer, this one among them (with
    min_copies = 1 every node, including those that are async), and none of them has more than this one. It is refused,
    even with --force, while a source is reachable from here. A former source that waits for its peers' answers serves
    at once when it is promoted.

    --fenced NODE replaces the answer of a silent node. Give it only for a node that you, or a fencing device, turned
    off in time: the dry run says since when it may have acknowledged writes without this
    node.

    --dry-run asks the peers, waits a second for their answers, and shows for each node when it was last in sync, the
    seconds and bytes that would be lost if it were promoted, and what would be overwritten there later; and which
    nodes did not answer. Amounts mean "at least": no node here knows what an unreachable source acknowledged on its
    own.
    So make sure that it is really down: two sources are a split-brain. The token is valid until the situation changes.

    \b
    Examples:
      dkrepl promote r0 --dry-run
      dkrepl promote r0
      dkrepl promote r0 --fenced alpha
      dkrepl promote r0 --force 1a2b3c4d

    Exit codes: 0 this node is the source, or the dry run was shown; 2 --force without a token; 4 the daemon is not
    running; 5 refused; 6 no such mirror or node; 7 accepted, but this node is not the source after 30 s.
    """
    if force == _NO_TOKEN:
        raise UsageError(
            "--force takes a token: `dkrepl promote MIRROR --dry-run` shows what would be lost, and prints it"
        )
    if dry_run and force is not None:
        raise UsageError("--dry-run changes nothing and takes no token: leave out --force")
    name = session.mirror(mirror)
    answer = session.ask(name, requests.Promote(dry_run=dry_run, force=force, fenced=fenced))
    if not dry_run:
        device = wait_for_role(session, name, "source") or session.paths.device(name)
        print_done(answer, as_json, f"{name}: this node is the source, the device is {device}")
        return
    from dkrepl.core.election.promotion import Assessment

    found = client.read(answer, Assessment, name)
    if as_json:
        print_json(answer)
    else:
        from dkrepl.cli.render.promote_view import draw

        draw(found)
