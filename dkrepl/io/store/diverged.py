"""Blocks that only this node had, kept in a file before another node's data replaced them.

One sparse file a time, as long as the mirror, with each block at its own offset, and beside it a JSON file that says
which ranges are in it, of which generation, and for which node they gave way:

    /var/lib/dkrepl/<mirror>/diverged/<time>-<generation>.img    and .json

The JSON file is written last: without it the other file is part of an unfinished copy, and the next copy removes it.

The records of all mirrors are on this file system too, unless the directory is a mount point or a link to another
one. So a part of it always stays free, and what would not fit is refused before anything is written.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from dkrepl.config.units import format_size
from dkrepl.errors import MetadataError, NotFound, Refused, StoreError
from dkrepl.io.state import durable_file
from dkrepl.io.store.store import BackingStore, create_sparse

_PIECE = 1 << 20  # bytes copied or compared at once
_FREE_SHARE = 0.05  # of the file system, that stays free
_FREE_BYTES = 64 << 20  # and at least so much


class Saved(msgspec.Struct):
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


def save(
    state_dir: Path,
    store: BackingStore,
    mirror: str,
    size: int,
    generation: str,
    peer: str,
    runs: Iterable[tuple[int, int]],
) -> Saved:
    """Copy the ``runs`` (offset, length) of the store aside, durably. Raises ``StoreError``, ``MetadataError``.

    Holes stay holes. If the file system has no room nothing is left behind.
    """
    where = directory(state_dir)
    now = time.time()
    try:
        if not where.exists():
            where.mkdir(mode=0o700)
            durable_file.sync_directory(state_dir)
        for image in where.glob("*.img"):
            if not image.with_suffix(".json").exists():
                image.unlink()
    except OSError as error:
        raise MetadataError(f"cannot use {where} ({error.strerror}); check its file system") from error
    name = first_name = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}-{generation or 'none'}"
    others = itertools.count(2)
    while (where / f"{name}.json").exists():  # of the same second
        name = f"{first_name}-{next(others)}"
    runs = [(first, min(first + length, size) - first) for first, length in runs]
    _check_room(where, sum(there for first, length in runs for _, there in store.data_ranges(first, first + length)))
    image = where / f"{name}.img"
    create_sparse(image, size)
    kept = Saved(name, mirror, generation, peer, now, size, [])
    try:
        copy = BackingStore(image)
        try:
            for first, length in runs:
                end = first + length
                kept.ranges.append((first, length))
                for offset, there in store.data_ranges(first, end):
                    for at in range(offset, offset + there, _PIECE):
                        copy.write(at, store.read(at, min(_PIECE, offset + there - at)))
            copy.sync()
        finally:
            copy.close()
        _record(where, kept)
    except (StoreError, MetadataError) as error:
        image.unlink(missing_ok=True)
        raise StoreError(
            f"the blocks that only this node has cannot be saved ({error}); make room in {where}, or give them up "
            "with dkrepl resolve --discard"
        ) from error
    return kept


def _check_room(where: Path, needed: int) -> None:
    """Raise ``StoreError`` if ``needed`` bytes would leave the records of the mirrors too little room."""
    try:
        found = os.statvfs(where)
    except OSError as error:
        raise MetadataError(f"cannot use {where} ({error.strerror}); check its file system") from error
    reserve = max(int(found.f_blocks * found.f_frsize * _FREE_SHARE), _FREE_BYTES)
    room = max(found.f_bavail * found.f_frsize - reserve, 0)
    if needed > room:
        raise StoreError(
            f"the blocks that only this node has cannot be saved aside: they take {format_size(needed)}, {where} has "
            f"room for {format_size(room)} beside {format_size(reserve)} that stay free for the mirrors' records; make "
            "room, mount or link another file system there, or give the blocks up with dkrepl resolve --discard"
        )


def settle(state_dir: Path, store: BackingStore) -> list[Saved]:
    """Leave out what is equal in the store now, so that only what was replaced stays; return what stays.

    Raises ``StoreError``, ``MetadataError``.
    """
    for kept in found(state_dir):
        if not kept.settled:
            image = BackingStore(directory(state_dir) / f"{kept.name}.img")
            try:
                differing = [part for run in kept.ranges for part in _differing(image, store, *run)]
            finally:
                image.close()
            if differing:
                kept.ranges, kept.settled = differing, True
                _record(directory(state_dir), kept)
            else:
                drop(state_dir, kept.name)
    return found(state_dir)


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
    names = ", ".join(kept.name for kept in found(state_dir)) or "nothing is kept"
    raise NotFound(f"no diverged blocks are kept as {name!r}; there are: {names}")


def export(state_dir: Path, name: str, to: Path) -> Saved:
    """Copy the image to the new file ``to``, sparse. Raises ``NotFound``, ``Refused``, ``StoreError``."""
    kept = one(state_dir, name)
    if to.exists():
        raise Refused(f"{to} exists already; it was left as it is")
    create_sparse(to, kept.size)
    source, copy = BackingStore(directory(state_dir) / f"{name}.img"), BackingStore(to)
    try:
        for first, length in kept.ranges:
            for offset, there in source.data_ranges(first, first + length):
                for at in range(offset, offset + there, _PIECE):
                    copy.write(at, source.read(at, min(_PIECE, offset + there - at)))
        copy.sync()
    except StoreError:
        to.unlink(missing_ok=True)
        raise
    finally:
        source.close()
        copy.close()
    return kept


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


def _differing(image: BackingStore, store: BackingStore, offset: int, length: int) -> list[tuple[int, int]]:
    """Return the pages of a range that differ, as (offset, length), neighbours put together."""
    parts: list[tuple[int, int]] = []
    for at in range(offset, offset + length, _PIECE):
        size = min(_PIECE, offset + length - at)
        ours, theirs = image.read(at, size), store.read(at, size)
        if ours == theirs:
            continue
        for page in range(0, size, 4096):
            if ours[page : page + 4096] != theirs[page : page + 4096]:
                end = min(page + 4096, size)
                if parts and sum(parts[-1]) == at + page:
                    parts[-1] = (parts[-1][0], at + end - parts[-1][0])
                else:
                    parts.append((at + page, end - page))
    return parts


def _record(where: Path, kept: Saved) -> None:
    durable_file.replace(where / f"{kept.name}.json", msgspec.json.encode(kept))
