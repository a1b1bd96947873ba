"""``dkrepl key``: the node's own key pair."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dkrepl.cli.context import JsonOption, paths_of
from dkrepl.cli.render.output import print_done

if TYPE_CHECKING:
    from dkrepl.io.state.node_keys import NodeKeys

app = typer.Typer(
    help="The key by which this node's peers know it: make, show, replace.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
NextOption = Annotated[
    bool, typer.Option("--next", help="The key that is to replace the present one, see `dkrepl key replace`.")
]


@app.command("generate")
def generate(context: typer.Context, next_: NextOption = False, as_json: JsonOption = False) -> None:
    """Make this node's key pair and print the public key.

    Needed once on every node, before the mirrors are described: each [[node]] has the public key of its node. The
    secret key is kept in /etc/dkrepl/keys, readable by root alone, and serves all mirrors of the node. It is never
    printed, and never to be copied. A key that is there already is refused, not replaced.

    \b
    Examples:
      dkrepl key generate
      dkrepl key generate --next      # first step of a rotation

    Exit codes: 0 made, 5 there is a key already, 13 it cannot be written.
    """
    from dkrepl.io.state import node_keys

    _print(node_keys.generate(paths_of(context), node_keys.NEXT if next_ else node_keys.CURRENT), next_, as_json)


@app.command("show")
def show(context: typer.Context, next_: NextOption = False, as_json: JsonOption = False) -> None:
    """Print this node's public key, as the descriptions need it.

    \b
    Examples:
      dkrepl key show
      echo "public_key = \\"$(dkrepl key show)\\""

    Exit codes: 0 shown, 13 there is no key, or it cannot be read.
    """
    from dkrepl.io.state import node_keys

    _print(node_keys.read(paths_of(context), node_keys.NEXT if next_ else node_keys.CURRENT), next_, as_json)


@app.command("replace")
def replace(context: typer.Context, as_json: JsonOption = False) -> None:
    """Put the next key in the place of the present one, which is gone then.

    Needed in a rotation, once the descriptions on all nodes name the next key as next_public_key and their daemons
    have taken that up (`dkrepl reload`). The daemons of this node use the new key when they are restarted.
    ansible/rotate-keys.yml does all of it; docs/security.md has the steps by hand.

    \b
    Example:
      dkrepl key replace && systemctl restart dkrepl@r0

    Exit codes: 0 replaced, 13 there is no next key, or it cannot be put in place.
    """
    from dkrepl.io.state import node_keys

    _print(node_keys.replace(paths_of(context)), False, as_json)


def _print(keys: NodeKeys, is_next: bool, as_json: bool) -> None:
    name = "next_public_key" if is_next else "public_key"
    print_done({name: keys.public_text}, as_json, keys.public_text)
