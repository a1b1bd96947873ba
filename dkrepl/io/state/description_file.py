"""Where descriptions are read from, and which of a mirror's nodes this host is."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from dkrepl.config.description import Description, Node, parse
from dkrepl.config.schema import shown
from dkrepl.errors import DescriptionError, NotFound, UsageError
from dkrepl.io.state.paths import Paths

LARGEST_FILE = 1 << 20
"""Bytes; 32 nodes with every key take less than 10 KiB."""


def load(mirror: str, etc: str | Path = "/etc/dkrepl", environ: Mapping[str, str] = os.environ) -> Description:
    """Return the description of a mirror; raises NotFound (no file) or DescriptionError (a wrong one)."""
    return load_file(Path(etc) / f"{mirror}.toml", environ)


def load_file(path: Path, environ: Mapping[str, str] = os.environ, name: str | None = None) -> Description:
    """Return the description in a file named ``<mirror>.toml``, or in any if its mirror's name is given.

    Raises as ``load`` does.
    """
    if name is None and path.suffix != ".toml":
        raise DescriptionError(f"{path}: a description file is named after its mirror: <mirror>.toml")
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise NotFound(_no_such(path)) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DescriptionError(f"{shown(str(path))} cannot be read: {reason}") from None
    if len(data) > LARGEST_FILE:
        raise DescriptionError(f"{path} is larger than 1 MiB, which no description file is")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = f"byte {error.start} is {data[error.start]:#04x}"
        raise DescriptionError(f"{path}: not UTF-8 text: {byte}") from None
    return parse(text, name or path.stem, environ)


def which_node(description: Description, asked: str | None = None, hostname: str | None = None) -> Node:
    """Return the node that this host is: the one asked for, else the one named as the host.

    The full host name is tried first, then the short one, case ignored. Raises NotFound, which lists the
    nodes there are.
    """
    if asked is not None:
        return description.node(asked)
    host = (hostname or socket.gethostname()).lower().rstrip(".")
    short = host.partition(".")[0]
    named = {node.name.lower(): node for node in description.nodes}
    for name in (host, short):
        if name in named:
            return named[name]
    longer = [node for name, node in named.items() if name.partition(".")[0] == host]
    if len(longer) == 1:
        return longer[0]
    known = ", ".join(node.name for node in description.nodes)
    raise NotFound(
        f"mirror {description.name} has no node named like this host ({shown(host)}): "
        f"its nodes are {known}; name one with --node"
    )


def list_mirrors(paths: Paths) -> list[str]:
    """Return the mirrors that have a description file here, by name; none if the directory is missing."""
    try:
        return sorted(path.stem for path in paths.etc.glob("*.toml") if not path.name.startswith("."))
    except OSError:
        return []


def only_mirror(paths: Paths) -> str:
    """Return the one mirror there is; raises NotFound if there is none, UsageError if there are several."""
    mirrors = list_mirrors(paths)
    if len(mirrors) == 1:
        return mirrors[0]
    if mirrors:
        raise UsageError(f"several mirrors are described here, name one: {', '.join(mirrors)}")
    raise NotFound(f"no mirror is described in {paths.etc}: begin with `dkrepl config example > {paths.etc}/r0.toml`")


def _no_such(path: Path) -> str:
    there = sorted(other.stem for other in path.parent.glob("*.toml")) if path.parent.is_dir() else []
    known = f"the mirrors there are {', '.join(there)}" if there else "no mirror is described there"
    return f"there is no description {path}: {known}"
