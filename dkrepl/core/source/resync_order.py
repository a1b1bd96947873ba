"""Which blocks are copied next, and to whom: targets in turn, within their limits, in extents that are active.

Rule R1 holds for a resync as well: bits change only while their extent is active, so an extent is made active before
its first block is copied, and kept so (*pinned*) until the copy is confirmed durable.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from dkrepl.config.description import Description
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.intent.activity_log import ActivityLog
from dkrepl.core.source.member import Member
from dkrepl.core.source.resync_state import Resync
from dkrepl.core.source.stream import Stream
from dkrepl.core.source.target_view import TargetView


class ResyncOrder:
    """Says which blocks of which member of ``stream`` are copied next. ``views``: every target, by name."""

    def __init__(
        self,
        description: Description,
        stream: Stream,
        activity_log: ActivityLog,
        views: Mapping[str, TargetView],
        *,
        limits: Limits = DEFAULT,
    ) -> None:
        self._stream = stream
        self._activity_log = activity_log
        self._views = views
        self._per = description.extent // description.block  # blocks in an extent
        self._ahead = limits.resync_extents_ahead
        # The limits of a message and of a record.
        self._most = max(1, min(limits.zero_extents * self._per, limits.zero_record_bytes // description.block))

    def next(self, now: float, skip: Container[str] = ()) -> tuple[Member, int, int] | None:
        """Return (target, first, end): stale blocks to copy next, or None. Their extents are active (R1).

        Targets take turns; those named in ``skip`` are left out.
        """
        active, per = self._activity_log.active, self._per
        for member in self._stream.members:
            resync = member.resync
            if resync is None or resync.finishing or member.name in skip:
                continue
            if self._views[member.name].rate_limit.delay(now):
                continue
            found = resync.next_run(self._most)
            if found is None:
                continue
            first, end = found
            low = first // per
            if low not in active:
                self._activate_for(resync, low)
                continue
            high = low + 1
            while high * per < end and high in active:
                high += 1
            self._stream.members = (*(m for m in self._stream.members if m is not member), member)  # in turn
            return member, first, min(end, high * per)
        return None

    def pin(self, first: int, end: int) -> None:
        """Keep the extents of blocks ``first`` to ``end`` - 1 active, which they are, until ``unpin`` of the same."""
        self._activity_log.pin(first // self._per, (end - 1) // self._per + 1)

    def unpin(self, first: int, end: int) -> None:
        """Undo one ``pin``."""
        self._activity_log.unpin(first // self._per, (end - 1) // self._per + 1)

    def sent(self, member: Member, first: int, end: int, *, data_bytes: int) -> int:
        """Blocks ``first`` to ``end`` - 1 are published to ``member`` at this place of the stream; return the rseq.

        Rule R3: the caller has read them after the last write and publishes them before the next.
        """
        assert member.resync is not None
        self.pin(first, end)
        view = self._views[member.name]
        view.rate_limit.spend(data_bytes)
        view.resent_bytes += data_bytes
        return member.resync.sent(first, end, data_bytes=data_bytes, position=self._stream.log.seq)

    def _activate_for(self, resync: Resync, extent: int) -> None:
        wanted = extent
        for _ in range(self._ahead):
            self._activity_log.want_later(wanted)
            block = resync.find((wanted + 1) * self._per)
            if block < 0:
                return
            wanted = block // self._per
