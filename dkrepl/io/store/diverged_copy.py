"""Copying diverged blocks aside, leaving out what was equal after all, and copying them out again.

The records of all mirrors are on this file system too, unless the directory is a mount point or a link to another
one. So a part of it always stays free, and what would not fit is refused before anything is written.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from dkrepl.config.units import format_size
from dkrepl.errors import MetadataError, Refused, StoreError
from dkrepl.io.state import durable_file
from dkrepl.io.store import diverged
from dkrepl.io.store.sparse_file import create_sparse
from dkrepl.io.store.store import BackingStore

_PIECE = 1 << 20  # bytes copied or compared at once
_FREE_SHARE = 0.05  # of the file system, that stays free
_FREE_BYTES = 64 << 20  # and at least so much


class Readable(Protocol):
    """A store, as far as it is read here."""

    def read(self, offset: int, length: int) -> bytes:
        """Read; may wait for the disk. Raises ``StoreError``."""

    def data_ranges(self, offset: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield (offset, length) of what is not known to be zeroes."""


def save(
    state_dir: Path,
    store: Readable,
    mirror: str,
    size: int,
    generation: str,
    peer: str,
    runs: Iterable[tuple[int, int]],
) -> diverged.Saved:
    """Copy the ``runs`` (offset, length) of the store aside, durably. Raises ``StoreError``, ``MetadataError``.

    Holes stay holes. If the file system has no room nothing is left behind.
    """
    where = diverged.directory(state_dir)
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
    kept = diverged.Saved(
        name=name, mirror=mirror, generation=generation, replaced_by=peer, at=now, size=size, ranges=[]
    )
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
        diverged.record(where, kept)
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
            f"the blocks that only this node has cannot be saved: they take {format_size(needed)}, {where} has "
            f"room for {format_size(room)} beside {format_size(reserve)} that stay free for the mirrors' metadata; "
            "make room, mount or link another file system there, or give the blocks up with dkrepl resolve --discard"
        )


def settle(state_dir: Path, store: Readable) -> list[diverged.Saved]:
    """Leave out what is equal in the store now, so that only what was replaced stays; return what stays.

    Raises ``StoreError``, ``MetadataError``.
    """
    for kept in diverged.found(state_dir):
        if not kept.settled:
            image = BackingStore(diverged.directory(state_dir) / f"{kept.name}.img")
            try:
                differing = [part for run in kept.ranges for part in _differing(image, store, *run)]
            finally:
                image.close()
            if differing:
                kept.ranges, kept.settled = differing, True
                diverged.record(diverged.directory(state_dir), kept)
            else:
                diverged.drop(state_dir, kept.name)
    return diverged.found(state_dir)


def export(state_dir: Path, name: str, to: Path) -> diverged.Saved:
    """Copy the image to the new file ``to``, sparse. Raises ``NotFound``, ``Refused``, ``StoreError``."""
    kept = diverged.one(state_dir, name)
    if to.exists():
        raise Refused(f"{to} exists already; it was left as it is")
    create_sparse(to, kept.size)
    source, copy = BackingStore(diverged.directory(state_dir) / f"{name}.img"), BackingStore(to)
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


def _differing(image: BackingStore, store: Readable, offset: int, length: int) -> list[tuple[int, int]]:
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
