"""How far a target is in the stream: what is applied and durable, when the store is flushed, when that is acknowledged.

A flush in the stream is a barrier here too (R3): nothing after it is applied until everything before it is on stable
storage. Without flushes the store is flushed all the same, every so often, so that the source's bitmap clears.

An async target acknowledges in batches: nobody waits for it while its window is far from full, and each ack wakes the
source.
"""

from __future__ import annotations

from typing import NamedTuple

from dkrepl.config.description import Description, Node
from dkrepl.config.limits import Limits
from dkrepl.core.actions import FlushStore, SendAck, TargetAction
from dkrepl.core.outbox import Outbox
from dkrepl.core.protocol.frames import Ack
from dkrepl.core.target.source_view import Entry, Place, Position
from dkrepl.errors import LocalProtocolError


class _Flush(NamedTuple):
    number: int
    place: Place | None  # None: the target was in no stream
    is_barrier: bool


class Progress:
    """Counts what is applied and durable; begins the flushes of the store and sends the acks that follow from it."""

    def __init__(self, *, description: Description, node: Node, out: Outbox[TargetAction], limits: Limits) -> None:
        self._limits = limits
        self._window = description.window // limits.ack_window_part  # bytes
        self._resend = description.peer_timeout / 5
        self._is_async = node.mode == "async"
        self._limit = node.async_limit // limits.ack_window_part  # writes
        self._out = out
        self._position: Position | None = None
        self.barrier = False
        """Whether a flush of the stream is on its way: nothing is applied until it has ended."""
        self._durable_seq = self._durable_resync = 0
        self._acked = (0, 0, 0, 0)
        self._acked_at = 0.0
        self._flushing: _Flush | None = None
        self._flushed_at = 0.0
        self._unflushed = self._unacked = 0  # bytes
        self._number = 0

    def begin(self, position: Position) -> None:
        """The target enters a stream, at ``position``."""
        self._position = position
        self._durable_seq, self._durable_resync = position.applied, 0

    def leave(self) -> None:
        """The target has left the stream."""
        self._position = None
        self.barrier = False

    def subscribed(self) -> None:
        """A new entry begins: what was acknowledged in another one says nothing."""
        self._acked = (0, 0, 0, 0)

    @property
    def durable_seq(self) -> int:
        """The newest seq that is on stable storage here."""
        return self._durable_seq

    @property
    def flushing(self) -> bool:
        """Whether a flush of the store is on its way."""
        return self._flushing is not None

    # --- flushes ---------------------------------------------------------------------------------------

    def applied(self, size: int, is_barrier: bool) -> None:
        """``size`` bytes were applied; ``is_barrier``: their message ended with a flush."""
        self._unflushed += size
        self._unacked += size
        if is_barrier:
            self.barrier = True
            if self._flushing is None:
                self.flush()

    def flush_due(self, now: float) -> bool:
        """Whether enough is not flushed, or has not been for long enough; never while a flush is on its way."""
        position, limits = self._position, self._limits
        if position is None or self._flushing is not None:
            return False
        if self._durable_seq == position.applied and self._durable_resync == position.resync_applied:
            return False
        return (
            self._unflushed >= limits.flush_bytes
            or position.resync_applied - self._durable_resync >= limits.flush_resync_messages
            or now - self._flushed_at >= limits.flush_seconds
        )

    def flush(self) -> int:
        """Begin a flush; return its number."""
        self._number += 1
        self._flushing = _Flush(self._number, self.place(), self.barrier)
        self._unflushed = 0
        self._out.add(FlushStore(self._number))
        return self._number

    def flushed(self, number: int, now: float) -> None:
        """The flush of that number has ended well. Raises ``LocalProtocolError`` if there was none."""
        flush = self._ended(number, now)
        same = self.reached(flush.place)
        if self.barrier and not (same and flush.is_barrier):
            self.flush()  # the barrier came while this flush was running
        else:
            self.barrier = False

    def flush_failed(self, number: int, now: float) -> None:
        """The flush of that number has failed. Raises ``LocalProtocolError`` if there was none."""
        self._ended(number, now)

    def place(self) -> Place | None:
        """Return where the target is in the stream, None if in none; for ``reached``."""
        position = self._position
        return None if position is None else Place(position, position.applied, position.resync_applied)

    def reached(self, place: Place | None) -> bool:
        """Everything up to ``place`` is durable; return whether the target is still in that stream.

        What began later may have ended before.
        """
        if place is None or place.position is not self._position:
            return False
        self._durable_seq = max(self._durable_seq, place.seq)
        self._durable_resync = max(self._durable_resync, place.resync)
        return True

    def _ended(self, number: int, now: float) -> _Flush:
        flush = self._flushing
        if flush is None or flush.number != number:
            raise LocalProtocolError(f"flush {number} of a target has ended, and none of that number is on its way")
        self._flushing, self._flushed_at = None, now
        return flush

    # --- acks ------------------------------------------------------------------------------------------

    def acknowledge(self, source: str, entry: Entry, now: float) -> None:
        """Tell the source what is applied and durable, if that has changed."""
        position = self._position
        if position is None:
            return
        state = (position.applied, self._durable_seq, position.resync_applied, self._durable_resync)
        if state == self._acked or (self._is_async and self._may_wait(state, now)):
            return
        self._acked, self._acked_at, self._unacked = state, now, 0
        self._out.add(SendAck(source, Ack(entry.epoch, entry.session, *state)))

    def repeat_if_due(self, now: float) -> None:
        """Say it again now and then: the last ack may have been lost while its connection was renewed."""
        if self._position is not None and now - self._acked_at > self._resend:
            self._acked = (0, 0, 0, 0)

    def _may_wait(self, state: tuple[int, int, int, int], now: float) -> bool:
        return (
            state[1:] == self._acked[1:]
            and state[0] - self._acked[0] < self._limit
            and self._unacked < self._window
            and now - self._acked_at < self._limits.ack_seconds
        )
