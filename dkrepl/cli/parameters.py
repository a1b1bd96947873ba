"""Arguments and options that several commands have."""

from __future__ import annotations

import contextlib
from typing import Any

import click

from dkrepl.config.units import parse_duration
from dkrepl.errors import DkreplError, UsageError
from dkrepl.io.state.paths import Paths


class Duration(click.ParamType[float]):
    """A time as 500ms, 60s, 10m or 2h, in seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds. Raises ``UsageError``."""
        try:
            return parse_duration(value)
        except ValueError as error:
            option = param.opts[0] if param is not None else "the time"
            raise UsageError(f"{option} is {value!r}, but {error}") from None


def paths_of(ctx: click.Context) -> Paths:
    """Return the directories that the global options name; also while a command line is only completed."""
    given = {key: value for key in ("etc", "state", "run") if (value := ctx.find_root().params.get(key)) is not None}
    paths = Paths.from_environment()
    return Paths(**{"etc": paths.etc, "state": paths.state, "run": paths.run, "dev": paths.dev} | given)


def complete_mirrors(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the mirrors described here that begin so."""
    from dkrepl.io.state.description_file import list_mirrors

    with contextlib.suppress(DkreplError):
        return [name for name in list_mirrors(paths_of(ctx)) if name.startswith(incomplete)]
    return []


def complete_nodes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the nodes of the mirror named before that begin so."""
    from dkrepl.io.state.description_file import load, only_mirror

    with contextlib.suppress(DkreplError):
        paths = paths_of(ctx)
        nodes = load(ctx.params.get("mirror") or only_mirror(paths), paths.etc).nodes
        return [node.name for node in nodes if node.name.startswith(incomplete)]
    return []


mirror = click.argument(
    "mirror",
    required=False,
    shell_complete=complete_mirrors,
    help="The mirror; may be left out if this node describes only one.",
)
mirror_or_all = click.argument(
    "mirror", required=False, shell_complete=complete_mirrors, help="The mirror (default: all that are described here)."
)
targets = click.argument(
    "targets",
    metavar="[TARGET]...",
    nargs=-1,
    shell_complete=complete_nodes,
    help="Targets to act on (default: all).",
)
node = click.option(
    "--node", metavar="NODE", shell_complete=complete_nodes, help="Which node this host is. Default: this host's name."
)
timeout = click.option(
    "--timeout",
    metavar="TIME",
    type=Duration(),
    default="60s",
    show_default=True,
    help="How long to wait, such as 500ms, 60s, 10m or 2h.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
