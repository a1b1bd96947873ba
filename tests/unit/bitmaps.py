"""An intent bitmap in plain memory, as many tests begin with it."""

from __future__ import annotations

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.intent.bitmap import IntentBitmap


def bitmap_of(blocks: int, extent_blocks: int, limits: Limits = DEFAULT) -> IntentBitmap:
    """Return a bitmap of so many blocks, in extents of so many, of which none is dirty and none is sealed."""
    bits = bytearray(IntentBitmap.bits_bytes(blocks, extent_blocks))
    seals = bytearray(IntentBitmap.seals_bytes(blocks, extent_blocks))
    return IntentBitmap(bits, seals, blocks, extent_blocks, limits=limits)
