"""``dkrepl key``: the node's own key pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dkrepl.cli import parameters
from dkrepl.cli.context import Session
from dkrepl.cli.groups import Ordered
from dkrepl.cli.render.output import print_done

if TYPE_CHECKING:
    from dkrepl.io.state.node_keys import NodeKeys

_next = click.option(
    "--next", "is_next", is_flag=True, help="The key that is to replace the present one, see `dkrepl key replace`."
)


@click.group(cls=Ordered)
def command() -> None:
    """The key by which this node's peers know it: generate, show, replace."""


@command.command()
@_next
@parameters.as_json
@click.pass_obj
def generate(session: Session, is_next: bool, as_json: bool) -> None:
    """Generate this node's key pair and print the public key.

    Run it once on every node, before the mirrors are described: each [[node]] has the public key of its node. The
    secret key is stored in /etc/dkrepl/keys, readable by root alone, and serves all mirrors of the node. It is never
    printed; never copy it. It is refused if there is a key already.

    \b
    Examples:
      dkrepl key generate
      dkrepl key generate --next      # first step of a rotation

    Exit codes: 0 generated, 5 there is a key already, 13 it cannot be written.
    """
    from dkrepl.io.state import node_keys

    _print(node_keys.generate(session.paths, node_keys.NEXT if is_next else node_keys.CURRENT), is_next, as_json)


@command.command()
@_next
@parameters.as_json
@click.pass_obj
def show(session: Session, is_next: bool, as_json: bool) -> None:
    """Print this node's public key, as the descriptions need it.

    \b
    Examples:
      dkrepl key show
      echo "public_key = \\"$(dkrepl key show)\\""

    Exit codes: 0 shown, 13 there is no key, or it cannot be read.
    """
    from dkrepl.io.state import node_keys

    _print(node_keys.read(session.paths, node_keys.NEXT if is_next else node_keys.CURRENT), is_next, as_json)


@command.command()
@parameters.as_json
@click.pass_obj
def replace(session: Session, as_json: bool) -> None:
    """Put the next key in the place of the present one, which is then gone.

    Part of a rotation: run it once the descriptions on all nodes name the next key as next_public_key and their daemons
    have taken that up (`dkrepl reload`). The daemons of this node use the new key from their next restart.
    ansible/rotate-keys.yml does all of it; docs/how-to/rotate-keys.md has the steps by hand.

    \b
    Example:
      dkrepl key replace && systemctl restart dkrepl@r0

    Exit codes: 0 replaced, 13 there is no next key, or it cannot be put in place.
    """
    from dkrepl.io.state import node_keys

    _print(node_keys.replace(session.paths), False, as_json)


def _print(keys: NodeKeys, is_next: bool, as_json: bool) -> None:
    name = "next_public_key" if is_next else "public_key"
    print_done({name: keys.public_text}, as_json, keys.public_text)
