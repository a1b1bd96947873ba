"""Writes wait for room in the activity log: the targets are asked to flush what keeps extents active (rule R5).

One that may not delay the application, and has not confirmed that flush after ``backpressure_seconds``, has to leave
the stream.
"""

from __future__ import annotations

from dkrepl.config.limits import Limits
from dkrepl.core.actions import PublishFlush, SourceAction
from dkrepl.core.outbox import Outbox
from dkrepl.core.source.member import Member
from dkrepl.core.source.stream import Stream
from dkrepl.core.source.targets import Targets


class BackPressure:
    """Asks for flushes, one at a time, and evicts targets that are too slow with them."""

    def __init__(self, targets: Targets, stream: Stream, out: Outbox[SourceAction], *, limits: Limits) -> None:
        self._targets = targets
        self._stream = stream
        self._out = out
        self._patience = limits.backpressure_seconds
        self._asked: tuple[int, float] | None = None  # seq and time of the flush that is to make room

    def enough(self) -> None:
        """No write waits for room."""
        self._asked = None

    def make_room(self, now: float) -> None:
        """Writes wait for room: have the targets flush what keeps extents active."""
        for member in self._delayers(now):
            text = "it keeps the activity log full; it will catch up from the bitmap"
            self._targets.evict(self._targets.views[member.name], "ActivityLogFull", text, now)
        if self._must_ask():
            seq = self._stream.control_record()
            self._out.add(PublishFlush(seq))
            self._asked = (seq, now)

    def _delayers(self, now: float) -> list[Member]:
        """Return who has had its time and may not delay the application."""
        if self._asked is None or now - self._asked[1] <= self._patience:
            return []
        return [member for member in self._slow() if not member.settings.may_delay]

    def _must_ask(self) -> bool:
        """Whether the targets are to be asked to flush: nobody has a flush before it any more."""
        if self._slow():
            return False
        waited, self._asked = self._asked is not None, None
        return bool(self._stream.members) and not waited

    def _slow(self) -> list[Member]:
        if self._asked is None:
            return []
        seq, _ = self._asked
        return [member for member in self._stream.members if member.durable < seq]
