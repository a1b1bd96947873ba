"""What the description says of one target, its place in the stream's topics, and its bitmap."""

from __future__ import annotations

from dataclasses import dataclass

from dkrepl.config.description import Description, Node
from dkrepl.core.intent.bitmap import IntentBitmap
from dkrepl.core.protocol.frames import SLOTS


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetSettings:
    """What is fixed for one target.

    ``limit`` is in writes, ``window`` in bytes; both bound what is sent and not yet confirmed (R5).
    """

    name: str
    mode: str
    on_full: str
    limit: int
    window: int
    group: int
    slot: int
    bitmap: IntentBitmap

    @classmethod
    def of(cls, description: Description, peer: Node, index: int, bitmap: IntentBitmap) -> TargetSettings:
        """Return the settings of ``peer``, which is number ``index`` of the source's peers."""
        group, slot = divmod(index, SLOTS)
        return cls(
            name=peer.name,
            mode=peer.mode,
            on_full=peer.on_full,
            limit=peer.async_limit,
            window=description.window,
            group=group,
            slot=slot,
            bitmap=bitmap,
        )

    @property
    def bit(self) -> int:
        """Its bit in the mask of its group."""
        return 1 << self.slot

    @property
    def may_delay(self) -> bool:
        """Whether the application may have to wait for it when it is slow (R5)."""
        return self.mode == "sync" or self.on_full == "block"
