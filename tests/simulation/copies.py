"""Whether the bitmaps of two nodes name every block in which their copies differ: the heart of R1, R2 and R8."""

from __future__ import annotations

import functools

from bitarray import bitarray

from dkrepl.core.intent import activity_record
from dkrepl.core.intent.bitmap import IntentBitmap
from dkrepl.core.lineage.generation import decide
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.lineage.peer_records import record_of, untracked
from dkrepl.core.target.join import hello_of
from dkrepl.errors import MetadataError
from tests.simulation.disk import Disk
from tests.simulation.settings import BLOCK


def unnamed(content: bytearray, bitmap: IntentBitmap, source: NodeMetadata, target: Disk) -> str:
    """Say which blocks of ``content`` differ from the target's and are in neither bitmap, or "".

    Only if the target would be trusted to need no more than the bitmaps name, were it to join now.
    """
    if target.spoiled:
        return ""  # it will find the damage when it is started, and name everything (R9)
    image = target.bitmaps.get(source.node)
    for record, copy, state, durably in (
        (target.metadata(), target.store.cache, "as it is", False),
        (target.durable_metadata(), target.store.durable, "after a power loss", True),
    ):
        if copy == content:
            continue
        found, exact = target.bits(source.node) if image is not None else (b"", record.boot == target.boot)
        lost = durably or not exact  # as it will find out when it is started
        if lost:
            record = _after_power_loss(record)
        own = _bits(image.bits.durable if image is not None and durably else found, bitmap)
        if lost and target.active is not None:  # it was source, and has not been started since
            for extent in named_active(target.active.durable if durably else target.active.cache):
                own[extent * bitmap.extent_blocks : min((extent + 1) * bitmap.extent_blocks, bitmap.blocks)] = 1
        hello = hello_of(record, source.node, own.count(), "simulated")
        if decide(source, hello, bitmap.any()).action not in ("Nothing", "Partial"):
            continue
        bits = bitmap.bits | own
        missing = [
            at // BLOCK
            for at in range(0, len(content), BLOCK)
            if not bits[at // BLOCK] and content[at : at + BLOCK] != copy[at : at + BLOCK]
        ]
        if missing:
            return f"blocks {missing}, in which its copy {state} differs"
    return ""


def _bits(content: bytes | bytearray, like: IntentBitmap) -> bitarray:
    bits = bitarray(len(like.bits), "little")
    bits.setall(0)
    found = bitarray(endian="little")
    found.frombytes(bytes(content))
    bits[: len(found)] = found[: len(bits)]
    return bits


def _after_power_loss(record: NodeMetadata) -> NodeMetadata:
    """The record as its owner would read it after a power loss: what was not made durable is not trusted."""
    return untracked(record, [name for name in record.peers if record_of(record, name).loose])


def named_active(content: bytearray | None) -> frozenset[int]:
    """Extents that any sector of a record names as active."""
    return _named(bytes(content)) if content else frozenset()


@functools.lru_cache(maxsize=64)
def _named(content: bytes) -> frozenset[int]:
    try:
        return activity_record.parse(content).extents
    except MetadataError:
        return frozenset()
