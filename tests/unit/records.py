"""The record, the bitmaps and the store of a node as many tests begin with them."""

from __future__ import annotations

from typing import Any

from dkrepl.config.description import Description
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.intent.bitmap import IntentBitmap
from dkrepl.core.lineage.metadata import FORMAT, NodeMetadata
from dkrepl.errors import StoreError
from tests.unit.bitmaps import bitmap_of


def record(**fields: Any) -> NodeMetadata:
    """Return the record of alpha, which is source and has data; ``fields`` are set otherwise."""
    plain: dict[str, Any] = {
        "format": FORMAT,
        "mirror": "r0",
        "mirror_id": "m1",
        "node": "alpha",
        "role": "source",
        "size": 1 << 20,
        "block": 4096,
        "extent": 32768,
        "generation": "g3",
        "store_state": "Consistent",
    }
    return NodeMetadata(**plain | fields)


def bitmap(description: Description, limits: Limits = DEFAULT) -> IntentBitmap:
    """Return a bitmap of the mirror, all clean."""
    return bitmap_of(description.blocks, description.extent // description.block, limits)


class MemoryStore:
    """A store that notes what is written to it; each write fails while ``fails`` is set."""

    def __init__(self) -> None:
        self.writes: list[tuple[int, bytes]] = []
        self.fails = ""

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write ``data`` at ``offset``. Raises ``StoreError``."""
        if self.fails:
            raise StoreError(self.fails)
        self.writes.append((offset, bytes(data)))
