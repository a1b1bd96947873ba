"""``dkrepl exit-codes``: what the exit codes mean."""

from __future__ import annotations

import click

from dkrepl.cli import parameters
from dkrepl.cli.render.output import print_json, print_text
from dkrepl.errors import table


@click.command("exit-codes")
@parameters.as_json
def command(as_json: bool) -> None:
    """List the exit codes and what each means.

    With --json an error has the same code and name: {"error": {"code": 4, "name": "DaemonNotRunning",
    "message": "..."}}.

    \b
    Example:
      dkrepl exit-codes --json | jq -r '.exit_codes[] | select(.code == 5) | .meaning'

    Exit code: 0.
    """
    rows = [(0, "", "Done."), *table()]
    if as_json:
        print_json({"exit_codes": [{"code": c, "name": n, "meaning": m} for c, n, m in rows]})
        return
    for code, name, meaning in rows:
        print_text(f"{code:>3}  {name:<17} {meaning}")
