"""Reads the blocks that a resync needs and publishes them between the live writes, which come first.

Rule R3: a block is published at the place of the stream at which it was read. If the read had to wait in a worker
thread, a write may have come in between; then the block, now in memory, is read again at once.
"""

from __future__ import annotations

from collections.abc import Callable

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.frames import pack_record
from dkrepl.core.source.member import Member
from dkrepl.core.source.source import Source
from dkrepl.core.source.stream import Watch
from dkrepl.daemon.outside import Clock, Workers
from dkrepl.daemon.source.publisher import Publisher
from dkrepl.daemon.storage import Store
from dkrepl.errors import DkreplError

_ZEROS = bytes(1 << 20)


class ResyncPump:
    """``step`` is called in every round of the loop while some target resyncs."""

    def __init__(
        self,
        source: Source,
        store: Store,
        publisher: Publisher,
        workers: Workers,
        failed: Callable[[Member, DkreplError], None],
        clock: Clock,
        *,
        limits: Limits = DEFAULT,
    ) -> None:
        self._limits = limits
        self._now = clock.monotonic
        self._source = source
        self._store = store
        self._publisher = publisher
        self._workers = workers
        self._failed = failed
        self._block = source.description.block
        self._size = source.description.size
        self._cold: set[str] = set()

    def step(self, busy: bool) -> bool:
        """Publish what comes next; returns whether there is more to do at once."""
        skip = set(self._cold)
        limits = self._limits
        for _ in range(limits.resync_messages_busy if busy else limits.resync_messages_idle):
            found = self._source.queue.next(self._now(), skip)
            if found is None:
                return False
            member, first, end = found
            end = self._settled(first, end)
            if end > first:
                self._copy(member, first, end)
            if end == first or member.name in self._cold:
                skip.add(member.name)
        return True

    def _settled(self, first: int, end: int) -> int:
        """Return the end of the blocks from ``first`` on that no discard under way touches.

        What is read of a block that is being emptied belongs to no place of the stream (R3).
        """
        changing = self._source.stream.under_way
        if changing is None or changing[1] <= first * self._block or changing[0] >= end * self._block:
            return end
        return max(first, changing[0] // self._block)

    def _copy(self, member: Member, first: int, end: int) -> None:
        offset, limit = first * self._block, min(end * self._block, self._size)
        calls = self._store.calls
        began = calls.loop = self._now()
        try:
            start = next((start for start, _ in self._store.data_ranges(offset, limit)), limit)
            if start >= limit or start - offset >= self._block:
                hole_end = end if start >= limit else start // self._block
                self._send_zeros(member, first, hole_end)
                return
            end = min(end, first + max(1, self._limits.resync_message_bytes // self._block))
            length = min(end * self._block, self._size) - offset
            data = self._store.read_nowait(offset, length)
        except DkreplError as error:
            self._failed(member, error)
            return
        finally:
            calls.loop = -began
        if data is not None:
            self._send(member, first, end, data)
        else:
            self._read_cold(member, first, end, offset=offset, length=length)

    def _read_cold(self, member: Member, first: int, end: int, *, offset: int, length: int) -> None:
        stream, resync = self._source.stream, member.resync
        watch = Watch(first, end)
        stream.watches.append(watch)
        self._source.queue.pin(first, end)  # a commit during the read must not let the extents go
        self._cold.add(member.name)

        def done(data: bytes | None, error: DkreplError | None) -> None:
            stream.watches.remove(watch)
            self._cold.discard(member.name)
            self._source.queue.unpin(first, end)
            if member.resync is not resync or resync is None:
                return  # it left the stream meanwhile
            if data is None:
                self._failed(member, error or DkreplError("a read gave nothing"))
                return
            if not watch.touched:
                self._send(member, first, end, data)
            # Else its turn comes again, and from memory then: the loop waits for no disk (R13).

        self._workers.run("read", lambda: self._store.read(offset, length), done)

    def _send(self, member: Member, first: int, end: int, data: bytes | bytearray) -> None:
        length = len(data)
        if data == _ZEROS[:length]:
            self._send_zeros(member, first, end)
            return
        rseq = self._source.queue.sent(member, first, end, data_bytes=length)
        record = pack_record(frames.WRITE, length, first * self._block)
        self._publisher.single(frames.RESYNC, member.settings, member.epoch, rseq, record, memoryview(data))
        self._source.resync_step_done(member)

    def _send_zeros(self, member: Member, first: int, end: int) -> None:
        rseq = self._source.queue.sent(member, first, end, data_bytes=0)
        length = min(end * self._block, self._size) - first * self._block
        record = pack_record(frames.DISCARD, length, first * self._block)
        self._publisher.single(frames.RESYNC, member.settings, member.epoch, rseq, record)
        self._source.resync_step_done(member)
