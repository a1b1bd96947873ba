"""What every command starts from: the node's paths, and the mirror that is meant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

import typer

from dkrepl.errors import UsageError
from dkrepl.io.state.paths import Paths

_MIRROR = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)


@dataclass(frozen=True)
class Session:
    """The global options of one run."""

    paths: Paths
    debug: bool = False


def paths_of(context: typer.Context) -> Paths:
    """Return the directories that the global options name."""
    session: Session = context.find_object(Session) or Session(Paths.from_environment())
    return session.paths


def resolve_mirror(paths: Paths, mirror: str | None) -> str:
    """Return the mirror named, or the only one described here.

    Raises UsageError for what can be no mirror's name or if there are several, NotFound if there is none.
    """
    if mirror is None:
        from dkrepl.io.state.description_file import only_mirror

        return only_mirror(paths)
    if _MIRROR.fullmatch(mirror) is None:
        raise UsageError(f"{mirror!r} is no name of a mirror: a small letter, then small letters, digits or hyphens")
    return mirror


def _mirrors_for_completion(incomplete: str) -> list[str]:
    from dkrepl.io.state.description_file import list_mirrors

    return [name for name in list_mirrors(Paths.from_environment()) if name.startswith(incomplete)]


MirrorArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="MIRROR",
        help="The mirror; may be left out where only one is described.",
        autocompletion=_mirrors_for_completion,
        show_default=False,
    ),
]
TargetsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="TARGET", help="The targets that are meant; all without.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
NodeOption = Annotated[
    str | None,
    typer.Option(
        "--node",
        metavar="NODE",
        help="Which node this host is; else its host name tells.",
        show_default=False,
    ),
]
