"""Reads the blocks that a resync needs and publishes them between the live writes, which come first.

Rule R3: a block is published at the place of the stream at which it was read. If the read had to wait in a worker
thread, a write may have come in between; then the block, now in memory, is read again at once.
"""

from __future__ import annotations

from collections.abc import Callable

from dkrepl.config.description import Description
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.source.member import Member
from dkrepl.core.source.resync_publisher import ResyncPublisher
from dkrepl.daemon.outside import Clock, Workers
from dkrepl.daemon.storage import Store
from dkrepl.errors import DkreplError


class ResyncReader:
    """Reads a few blocks in each round of the loop while some target resyncs, and has them published."""

    def __init__(
        self,
        publisher: ResyncPublisher,
        store: Store,
        description: Description,
        workers: Workers,
        failed: Callable[[Member, DkreplError], None],
        clock: Clock,
        *,
        limits: Limits = DEFAULT,
    ) -> None:
        self._limits = limits
        self._now = clock.monotonic
        self._publisher = publisher
        self._store = store
        self._workers = workers
        self._failed = failed
        self._block = description.block
        self._size = description.size
        self._cold: set[str] = set()

    def step(self, busy: bool) -> bool:
        """Publish what comes next; returns whether there is more to do at once."""
        skip = set(self._cold)
        limits = self._limits
        for _ in range(limits.resync_messages_busy if busy else limits.resync_messages_idle):
            found = self._publisher.next(self._now(), skip)
            if found is None:
                return False
            member, first, end = found
            if end > first:
                self._copy(member, first, end)
            if end == first or member.name in self._cold:
                skip.add(member.name)
        return True

    def _copy(self, member: Member, first: int, end: int) -> None:
        offset, limit = first * self._block, min(end * self._block, self._size)
        calls = self._store.calls
        began = calls.loop = self._now()
        try:
            start = next((start for start, _ in self._store.data_ranges(offset, limit)), limit)
            if start >= limit or start - offset >= self._block:
                hole_end = end if start >= limit else start // self._block
                self._publisher.send(member, first, hole_end, None)
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
            self._publisher.send(member, first, end, data)
        else:
            self._read_cold(member, first, end, offset=offset, length=length)

    def _read_cold(self, member: Member, first: int, end: int, *, offset: int, length: int) -> None:
        resync, watch = member.resync, self._publisher.begin_read(first, end)
        self._cold.add(member.name)

        def done(data: bytes | None, error: DkreplError | None) -> None:
            unchanged = self._publisher.end_read(watch)
            self._cold.discard(member.name)
            if member.resync is not resync or resync is None:
                return  # it left the stream meanwhile
            if data is None:
                self._failed(member, error or DkreplError("a read gave nothing"))
                return
            if unchanged:
                self._publisher.send(member, first, end, data)
            # Else its turn comes again, and from memory then: the loop waits for no disk (R13).

        self._workers.run("read", lambda: self._store.read(offset, length), done)
