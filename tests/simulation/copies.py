"""Whether a bitmap names every block in which two copies differ: the heart of R1 and R2."""

from __future__ import annotations

from dkrepl.core import active_record
from dkrepl.core.bitmap import IntentBitmap
from dkrepl.core.errors import MetadataError
from dkrepl.core.generation import decide
from dkrepl.core.messages import Hello
from dkrepl.core.metadata import NodeMetadata
from tests.simulation.disk import Disk
from tests.simulation.settings import BLOCK


def hello_of(record: NodeMetadata) -> Hello:
    """What a node with this record would say to join."""
    return Hello(
        1,
        1,
        record.mirror,
        record.mirror_id,
        record.node,
        record.size,
        record.block,
        record.generation,
        list(record.history),
        record.store_state,
        record.join,
        "simulated",
        record.follows,
    )


def unnamed(content: bytearray, bitmap: IntentBitmap, source: NodeMetadata, target: Disk) -> str:
    """Say which blocks of ``content`` differ from the target's and are not in ``bitmap``, or "".

    Only if the target would be trusted to need no more than the bitmap names, were it to join now.
    """
    for record, copy, state in (
        (target.metadata(), target.store.cache, "as it is"),
        (target.durable_metadata(), target.store.durable, "after a power loss"),
    ):
        if copy == content:
            continue
        action = decide(source, hello_of(record), bitmap.any()).action
        if action not in ("Nothing", "Partial"):
            continue
        bits = bitmap.bits
        missing = [
            at // BLOCK
            for at in range(0, len(content), BLOCK)
            if not bits[at // BLOCK] and content[at : at + BLOCK] != copy[at : at + BLOCK]
        ]
        if missing:
            return f"blocks {missing}, in which its copy {state} differs"
    return ""


def named_active(content: bytearray | None) -> set[int]:
    """Extents that any sector of a record names as active."""
    try:
        return set(active_record.parse(bytes(content)).extents) if content else set()
    except MetadataError:
        return set()
