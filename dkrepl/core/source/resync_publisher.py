"""Publishes blocks of a resync at the place of the stream at which they were read (R3).

A block that has to be read in a worker may be written meanwhile; then what was read belongs to no place of the stream.
It is not published, and its turn comes again.
"""

from __future__ import annotations

from collections.abc import Container

from dkrepl.core.protocol import frames
from dkrepl.core.protocol.frames import pack_record
from dkrepl.core.source.member import Member
from dkrepl.core.source.publisher import Publisher
from dkrepl.core.source.source import Source
from dkrepl.core.source.stream import Watch

_ZEROES = bytes(1 << 20)


class ResyncPublisher:
    """Makes one message of blocks that were read, and publishes it. Blocks are given as ``first`` to ``end`` - 1."""

    def __init__(self, source: Source, publisher: Publisher) -> None:
        self._source = source
        self._publisher = publisher
        self._block = source.description.block
        self._size = source.description.size

    def next(self, now: float, skip: Container[str] = ()) -> tuple[Member, int, int] | None:
        """Return (target, first, end): the blocks to copy next, or None; ``end`` is ``first`` if they must wait.

        They wait for a discard that is under way. Targets named in ``skip`` are left out.
        """
        found = self._source.resync_order.next(now, skip)
        if found is None:
            return None
        member, first, end = found
        changing = self._source.stream.under_way
        if changing is not None and first * self._block < changing[1] and changing[0] < end * self._block:
            end = max(first, changing[0] // self._block)
        return member, first, end

    def begin_read(self, first: int, end: int) -> Watch:
        """Note writes of these blocks until ``end_read``: they are being read in a worker."""
        watch = self._source.stream.watch(first, end)
        self._source.resync_order.pin(first, end)  # a commit during the read must not let the extents go
        return watch

    def end_read(self, watch: Watch) -> bool:
        """Return whether what was read is what the blocks hold at this place of the stream."""
        self._source.stream.unwatch(watch)
        self._source.resync_order.unpin(watch.first, watch.end)
        return not watch.touched

    def send(self, member: Member, first: int, end: int, data: bytes | bytearray | None) -> None:
        """Publish what the blocks hold, read since the last write; None: zeroes. Ends the resync if nothing is left."""
        if data is not None and data == _ZEROES[: len(data)]:
            data = None
        size = len(data) if data is not None else 0
        rseq = self._source.resync_order.sent(member, first, end, data_bytes=size)
        length = min(end * self._block, self._size) - first * self._block
        record = pack_record(frames.DISCARD if data is None else frames.WRITE, length, first * self._block)
        self._publisher.single(
            frames.RESYNC, member.settings, member.epoch, rseq, record, memoryview(data) if data is not None else b""
        )
        self._source.resyncs.sent(member)
