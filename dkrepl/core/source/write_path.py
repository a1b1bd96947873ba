"""The way of a change of the device through the source, in one order that no caller can get wrong.

    write     admitted (its extent is active), bits set (R1), local store, stream (R3), parked until it completes (R4)
    discard   the same in two calls, for the store needs long in between; it gets its place in the stream at its end
    flush     a record in the stream, and a flush of the local store by the caller; parked until both are durable

The store and the publisher are passed in. A change that fails here leaves a flush at its place in the stream, and the
targets copy its blocks anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from dkrepl.core.local_store import LocalStore
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.frames import pack_record
from dkrepl.core.source.publisher import Publisher
from dkrepl.core.source.source import Source
from dkrepl.core.source.stream import Token
from dkrepl.errors import StoreError

Flush = Literal["parked", "local only", "refused", "store failed"]
"""What is done for a flush: see ``WritePath.flush``."""


class WritePath:
    """Takes the changes and flushes of the device, each in one call that keeps the order of its steps.

    ``clock`` gives monotonic seconds. A *token* is what the caller needs to complete a request; see ``Stream``.
    """

    def __init__(self, source: Source, store: LocalStore, publisher: Publisher, clock: Callable[[], float]) -> None:
        self._source = source
        self._stream = source.stream
        self._admit = source.write_admission.admit
        self._store_write = store.write
        self._publisher = publisher
        self._now = clock

    # --- writes ----------------------------------------------------------------------------------------

    def write(self, offset: int, data: bytes | memoryview, token: Token) -> bool:
        """Write ``data`` at ``offset`` (bytes); ``token`` comes out of ``Stream.release`` when it completes.

        Returns False, with nothing done, if the write has to wait: for a commit or a discard. Raises ``StoreError`` if
        the local store fails it: then the request fails.
        """
        length, stream = len(data), self._stream
        if (stream.under_way is not None and stream.changing(offset, length)) or not self._admit(offset, length):
            return False
        seq = stream.intend(offset, length, length)
        try:
            self._store_write(offset, data)
        except StoreError:
            self._failed(seq)
            raise
        self._publisher.add(seq, pack_record(frames.WRITE, length, offset), data)
        stream.park(seq, token)
        return True

    def _failed(self, seq: int) -> None:
        # The seq is taken: a flush goes out in its place, and the targets copy the blocks anew.
        self._publisher.flush_record(seq)
        self._source.local_error(seq, self._now())

    # --- discards and write-zeroes ---------------------------------------------------------------------

    def begin_slow(self, offset: int, length: int) -> bool:
        """Begin a change that takes long: its bits are set (R1), and its extents stay active until ``end_slow``.

        One at a time. Returns False, with nothing done, if it has to wait for another one, or for a commit.
        """
        if self._stream.under_way is not None or not self._admit(offset, length):
            return False
        self._source.resync_order.pin(*self._blocks(offset, length))
        self._stream.begin_slow(offset, length)
        return True

    def end_slow(self, op: int, *, failed: bool) -> int:
        """The change has ended: publish it as ``op`` (DISCARD or ZERO). Returns its seq."""
        assert self._stream.under_way is not None
        offset, end = self._stream.under_way
        length = end - offset
        seq = self._stream.end_slow()
        self._source.write_admission.touched(offset, length, seq)
        self._source.resync_order.unpin(*self._blocks(offset, length))
        if failed:
            self._failed(seq)
        else:
            self._publisher.add(seq, pack_record(op, length, offset), None)
        return seq

    def _blocks(self, offset: int, length: int) -> tuple[int, int]:
        block = self._source.description.block
        return offset // block, (offset + length - 1) // block + 1

    # --- flushes ---------------------------------------------------------------------------------------

    def flush(self, token: Token, *, attached: bool) -> Flush:
        """Take a flush of the device; ``attached``: whether the loop device is there, and applications ask.

        "parked": the local store is to be flushed, and ``Stream.store_synced`` called; ``token`` comes out of
        ``Stream.release``. "local only": a flush of the local store completes it. "refused": it fails (R4). "store
        failed": it fails once that is on record, for one flush failed, so a later success proves nothing (R15).
        """
        source, quorum = self._source, self._source.quorum
        if source.metadata.store_failed:
            return "store failed"
        holding = quorum.lost or bool(source.awaited.names)
        if (quorum.lost and quorum.flushed) or (holding and not attached):
            # What enough targets hold durably need not wait for copies. If it waited, the kernel's loop device would
            # let nothing follow it, not even a read.
            return "local only"
        if quorum.refusing:
            return "refused"
        seq = self._stream.control_record()
        self._publisher.flush_record(seq)
        self._stream.park_flush(seq, token)
        return "parked"
