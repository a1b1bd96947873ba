"""Whether a change of the device may be made now: its extents are active (R1), and its generation is durable (R7)."""

from __future__ import annotations

from dkrepl.core.intent.activity_log import ActivityLog
from dkrepl.core.source.new_generation import NewGeneration
from dkrepl.core.source.stream import Stream
from dkrepl.core.source.write_quorum import WriteQuorum


class WriteAdmission:
    """Admits changes, and notes in the activity log what stands against one. ``extent``: in bytes, a power of two."""

    def __init__(
        self,
        extent: int,
        *,
        activity_log: ActivityLog,
        stream: Stream,
        quorum: WriteQuorum,
        new_generation: NewGeneration,
    ) -> None:
        self._extent_shift = extent.bit_length() - 1
        self._activity_log = activity_log
        self._stream = stream
        self._quorum = quorum
        self._new_generation = new_generation

    def admit(self, offset: int, length: int) -> bool:
        """Whether a change of ``length`` bytes at ``offset`` may be made now (R1, R7).

        If not, the caller keeps the request and asks again after the next commit; what it needs is noted.
        """
        first = offset >> self._extent_shift
        end = ((offset + length - 1) >> self._extent_shift) + 1
        active = self._activity_log.active
        if end - first == 1 and first in active and not self._new_generation.needed:
            active[first] = self._stream.log.seq + 1
            return True
        if self._quorum.lost:
            return False
        if self._new_generation.needed or not self._activity_log.covers(first, end):
            self._activity_log.want(first, end)
            return False
        for extent in range(first, end):
            active[extent] = self._stream.log.seq + 1
        return True

    def touched(self, offset: int, length: int, seq: int) -> None:
        """The change ``seq`` was admitted earlier and is published now; its extents have been pinned meanwhile (R1)."""
        active = self._activity_log.active
        for extent in range(offset >> self._extent_shift, ((offset + length - 1) >> self._extent_shift) + 1):
            active[extent] = seq
