"""Blocks that only this node had, kept in a file before another node's data replaced them.

One sparse file a time, as long as the mirror, with each block at its own offset, and beside it a JSON file that says
which ranges are in it, of which generation, and for which node they gave way:

    /var/lib/dkrepl/<mirror>/diverged/<time>-<generation>.img    and .json

The JSON file is written last: without it the other file is part of an unfinished copy, and the next copy removes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from dkrepl.errors import MetadataError, NotFound
from dkrepl.io.state import durable_file


class Saved(msgspec.Struct, kw_only=True):
    """``ranges``: (offset, length) in bytes; ``settled``: those that were equal after all have been left out."""

    name: str
    mirror: str
    generation: str
    replaced_by: str
    at: float
    size: int
    ranges: list[tuple[int, int]]
    settled: bool = False

    @property
    def length(self) -> int:
        """Bytes that are kept."""
        return sum(length for _, length in self.ranges)

    def shown(self) -> dict[str, Any]:
        """Return what every ``--json`` shows of it, but for the ranges."""
        return {
            "name": self.name,
            "at": self.at,
            "generation": self.generation,
            "replaced_by": self.replaced_by,
            "bytes": self.length,
            "settled": self.settled,
        }


def directory(state_dir: Path) -> Path:
    """Where they are kept."""
    return state_dir / "diverged"


def found(state_dir: Path) -> list[Saved]:
    """Return what is kept, the oldest first. Raises ``MetadataError`` if a file says nonsense."""
    all_kept = []
    for path in sorted(directory(state_dir).glob("*.json")):
        try:
            all_kept.append(msgspec.json.decode(path.read_bytes(), type=Saved))
        except (OSError, msgspec.DecodeError) as error:
            raise MetadataError(f"{path} cannot be understood ({error}); look at it, and at its .img") from error
    return all_kept


def one(state_dir: Path, name: str) -> Saved:
    """Return what is kept under ``name``. Raises ``NotFound``."""
    for kept in found(state_dir):
        if kept.name == name:
            return kept
    names = ", ".join(kept.name for kept in found(state_dir)) or "none"
    raise NotFound(f"no diverged blocks are saved under the name {name!r}; the names are: {names}")


def drop(state_dir: Path, name: str) -> None:
    """Remove what is kept under ``name``. Raises ``NotFound``, ``MetadataError``."""
    one(state_dir, name)
    where = directory(state_dir)
    try:
        (where / f"{name}.json").unlink()
        (where / f"{name}.img").unlink(missing_ok=True)
        durable_file.sync_directory(where)
    except OSError as error:
        raise MetadataError(f"cannot remove {name} in {where} ({error.strerror})") from error


def record(where: Path, kept: Saved) -> None:
    """Write down what is in ``kept``, durably. Raises ``MetadataError``."""
    durable_file.replace(where / f"{kept.name}.json", msgspec.json.encode(kept))
