"""The durable activity log: two slots of sectors, so that a torn write is told from damage.

A commit writes the slot that the last commit did not. Every 512-byte sector carries the commit's serial and
its own checksum. After a power loss the sectors of the slot being written are each either old or new, and
each passes its checksum: mixed serials mean a commit that never finished, under which nothing was written, and
the other slot holds. A sector that fails its checksum is damage: the caller must resync in full (rule R9).

    sector  mark 8 B, serial 8 B, count 4 B (extents of the whole record), index 4 B (of this sector),
            up to 120 extent numbers of 4 B, checksum 8 B (XXH3-64 of what precedes)
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import NamedTuple

from xxhash import xxh3_64_intdigest as checksum

from dkrepl.errors import MetadataError

SECTOR = 512
SECTORS = 16
SLOT_BYTES = SECTOR * SECTORS
FILE_BYTES = 2 * SLOT_BYTES
_PER_SECTOR = 120
CAPACITY = _PER_SECTOR * SECTORS
_MARK = int.from_bytes(b"dkactiv1", "little")
_SECTOR = struct.Struct(f"<QQII{_PER_SECTOR}IQ")


class ActivityRecord(NamedTuple):
    """The extents active at a commit.

    ``serial`` counts commits, and its parity is the slot's. The next commit is ``serial`` + 1: a number that no commit
    had before, not even a torn one, for the sectors of two commits of one number could not be told apart.
    """

    serial: int
    extents: frozenset[int]


def pack(serial: int, extents: Collection[int]) -> tuple[int, bytes]:
    """Return (offset in the file, bytes) of a commit of ``extents`` (at most ``CAPACITY``)."""
    if len(extents) > CAPACITY:
        raise ValueError(f"{len(extents)} active extents do not fit, {CAPACITY} do")
    ordered = sorted(extents)
    sectors = []
    for index in range(SECTORS):
        part = ordered[index * _PER_SECTOR : (index + 1) * _PER_SECTOR]
        part += [0] * (_PER_SECTOR - len(part))
        body = _SECTOR.pack(_MARK, serial, len(ordered), index, *part, 0)[:-8]
        sectors.append(body + checksum(body).to_bytes(8, "little"))
    return (serial % 2) * SLOT_BYTES, b"".join(s.ljust(SECTOR, b"\0") for s in sectors)


def empty_file() -> bytes:
    """Return the content of a new file: both slots whole, nothing active."""
    return pack(0, ())[1] + pack(1, ())[1]


def parse(content: bytes) -> ActivityRecord:
    """Return the newest finished commit. Raises ``MetadataError`` if the record is damaged."""
    if len(content) != FILE_BYTES:
        raise MetadataError("the activity log has the wrong length; a full resync is needed")
    slots = [_slot(content, slot) for slot in (0, 1)]
    whole = [slot for slot in slots if slot.extents is not None]
    if not whole:
        raise MetadataError("both slots of the activity log are torn; a full resync is needed")
    newest = max(whole, key=lambda slot: slot.serial)
    other = slots[1 - slots.index(newest)]
    return ActivityRecord(max(newest.serial, other.serial + 1), newest.extents or frozenset())


class _Slot(NamedTuple):
    serial: int  # the highest of any sector
    extents: frozenset[int] | None  # None: its last write was torn


def _slot(content: bytes, slot: int) -> _Slot:
    """Return what a slot holds. Raises ``MetadataError``."""
    serials = set()
    counts = set()
    extents: list[int] = []
    for index in range(SECTORS):
        start = slot * SLOT_BYTES + index * SECTOR
        sector = content[start : start + _SECTOR.size]
        mark, serial, count, number, *numbers, total = _SECTOR.unpack(sector)
        if checksum(sector[:-8]) != total or mark != _MARK or number != index or serial % 2 != slot:
            raise MetadataError("the activity log fails its checksum; a full resync is needed")
        serials.add(serial)
        counts.add(count)
        extents += numbers
    if len(serials) > 1:
        return _Slot(max(serials), None)
    if len(counts) > 1 or max(counts) > CAPACITY:
        raise MetadataError("the activity log contradicts itself; a full resync is needed")
    return _Slot(serials.pop(), frozenset(extents[: counts.pop()]))
