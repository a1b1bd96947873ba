"""How a target applies one stream message: writes at once, discards and zeroes in a worker, in the records' order.

Where a disk cannot zero by itself the kernel writes the zeroes, and the loop must not wait for that (R13). Such a
record is a barrier: the caller takes no further message until ``under_way`` is false (R3).
"""

from __future__ import annotations

from collections.abc import Callable

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.intent.peer_bitmaps import PeerBitmaps
from dkrepl.core.protocol import frames
from dkrepl.daemon.outside import Clock, Workers
from dkrepl.daemon.storage import Store
from dkrepl.errors import DkreplError


class Applying:
    """``done`` is called in the loop when a message whose records had to wait is applied, or has failed."""

    def __init__(
        self,
        store: Store,
        marks: PeerBitmaps,
        workers: Workers,
        done: Callable[[frames.StreamMessage, DkreplError | None], None],
        clock: Clock,
        *,
        limits: Limits = DEFAULT,
    ) -> None:
        self._now = clock.monotonic
        self._piece = limits.zero_call_bytes
        self._store = store
        self._marks = marks
        self._workers = workers
        self._done = done
        self.under_way = False
        """Whether a worker changes the store; it goes on when the target leaves the stream meanwhile."""
        self._left = False

    def apply(self, message: frames.StreamMessage) -> bool:
        """Apply ``message``; False if it takes longer, and ``done`` follows. Raises ``StoreError``."""
        self._left = False
        return self._go_on(message, 0, 0)

    def leave(self) -> None:
        """The target has left the stream: nothing of the message is applied behind what is under way."""
        self._left = True

    def _go_on(self, message: frames.StreamMessage, index: int, at: int) -> bool:
        calls = self._store.calls
        began = calls.loop = self._now()
        try:
            return self._go_on_from(message, index, at)
        finally:
            calls.loop = -began

    def _go_on_from(self, message: frames.StreamMessage, index: int, at: int) -> bool:
        store, data = self._store, message.data
        marks = self._marks if self._marks.active else None
        records = message.records
        for number in range(index, len(records)):
            op, length, offset = records[number]
            if marks is not None and op <= frames.ZERO:
                marks.mark(offset, length)  # R8: before the block is written, as the process may die in between
            if op == frames.WRITE:
                store.write(offset, data[at : at + length])
                at += length
            elif op in (frames.DISCARD, frames.ZERO):
                self._empty(message, number, at)
                return False
        return True

    def _empty(self, message: frames.StreamMessage, number: int, at: int) -> None:
        op, length, offset = message.records[number]
        change = self._store.discard if op == frames.DISCARD else self._store.zero

        def work() -> None:
            for start in range(offset, offset + length, self._piece):
                if self._left:
                    return
                change(start, min(self._piece, offset + length - start))

        def done(_: object, error: DkreplError | None) -> None:
            self.under_way = False
            if error is None and not self._left:
                try:
                    if not self._go_on(message, number + 1, at):
                        return
                except DkreplError as failure:
                    error = failure
            self._done(message, error)

        self.under_way = True
        self._workers.run("empty", work, done)
