"""How a target applies one message of the stream: its records in their order; what takes long is a barrier (R3).

Writes are done at once. Where a disk cannot zero by itself the kernel writes the zeroes, and the loop must not wait for
that (R13): a discard or write-zeroes is asked for by ``ZeroRange``, and no other message is taken until it is done.
"""

from __future__ import annotations

from dkrepl.core.actions import TargetAction, ZeroRange
from dkrepl.core.intent.peer_bitmaps import PeerBitmaps
from dkrepl.core.local_store import LocalStore
from dkrepl.core.outbox import Outbox
from dkrepl.core.protocol import frames


class Applier:
    """Carries out the records of one stream message after the other, and waits where a range must be zeroed first.

    ``peer_bitmaps`` get the blocks that change, for the other targets (R8).
    """

    def __init__(self, store: LocalStore, peer_bitmaps: PeerBitmaps, out: Outbox[TargetAction]) -> None:
        self._store = store
        self._peer_bitmaps = peer_bitmaps
        self._out = out
        self.message: frames.StreamMessage | None = None
        """The message of which a range is being zeroed; that goes on if the target leaves the stream meanwhile."""
        self._next = (0, 0)  # in that message: the record behind the range, and the place of its data

    def apply(self, message: frames.StreamMessage) -> bool:
        """Apply ``message``; False if a range has to be zeroed first: ``zeroed`` follows. Raises ``StoreError``."""
        return self._from(message, 0, 0)

    def zeroed(self) -> bool:
        """The range is zeroed: go on with what follows it, as ``apply`` does."""
        message, self.message = self.message, None
        assert message is not None
        return self._from(message, *self._next)

    def drop(self) -> None:
        """The range is done, or not; the rest of the message is not applied."""
        self.message = None

    def _from(self, message: frames.StreamMessage, index: int, at: int) -> bool:
        store, data, records = self._store, message.data, message.records
        marked = self._peer_bitmaps if self._peer_bitmaps.active else None
        for number in range(index, len(records)):
            op, length, offset = records[number]
            if marked is not None and op <= frames.ZERO:
                marked.mark(offset, length)  # R8: before the block is written, as the process may die in between
            if op == frames.WRITE:
                store.write(offset, data[at : at + length])
                at += length
            elif op in (frames.DISCARD, frames.ZERO):
                self.message, self._next = message, (number + 1, at)
                self._out.add(ZeroRange(discard=op == frames.DISCARD, offset=offset, length=length))
                return False
        return True
