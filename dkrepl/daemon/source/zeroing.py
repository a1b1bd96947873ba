"""How a source makes a range read as zeroes without waiting for it: one piece at a time, in a worker (R13).

Where a disk cannot zero by itself the kernel writes the zeroes, at the disk's pace. So a discard is cut into pieces
that take a fraction of a second each. A piece has its bits set and its extents kept active before it begins (R1), and
gets its place in the stream when it is done. Until then no other change of its range begins, so that the order here is
the order at the targets (R3); all else goes on.
"""

from __future__ import annotations

from collections.abc import Callable

from dkrepl.config.description import Description
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.protocol import frames
from dkrepl.core.source.write_path import WritePath
from dkrepl.daemon.outside import Clock, Workers
from dkrepl.daemon.storage import Store
from dkrepl.errors import DkreplError
from dkrepl.io.fuse import DISCARD, Request

Done = Callable[[Request, int, DkreplError | None], None]


class Zeroing:
    """Carries out discards and write-zeroes, piece by piece.

    ``done`` gets what is left of the request, the seq of the piece, and the error if it failed.
    """

    def __init__(
        self,
        store: Store,
        path: WritePath,
        description: Description,
        workers: Workers,
        done: Done,
        clock: Clock,
        *,
        limits: Limits = DEFAULT,
    ) -> None:
        self._now = clock.monotonic
        self._limits = limits
        self._store = store
        self._path = path
        self._workers = workers
        self._done = done
        self._most = min(limits.zero_most_bytes, limits.zero_extents * description.extent)
        self._size = min(limits.zero_first_bytes, self._most)

    def begin(self, request: Request) -> bool:
        """Begin the next piece of ``request``; False if it has to wait: for another piece, or to be admitted."""
        offset, length = request.offset, min(request.length, self._size - request.offset % self._size)
        if not self._path.begin_slow(offset, length):
            return False
        op, change = (frames.DISCARD, self._store.discard) if request.op == DISCARD else (frames.ZERO, self._store.zero)

        def work() -> float:
            began = self._now()
            change(offset, length)
            return self._now() - began

        def done(seconds: float | None, error: DkreplError | None) -> None:
            seq = self._path.end_slow(op, failed=error is not None)
            if seconds is not None:
                self._adapt(seconds, length)
            request.offset += length
            request.length -= length
            self._done(request, seq, error)

        self._workers.run("empty", work, done)
        return True

    def _adapt(self, seconds: float, length: int) -> None:
        if seconds > self._limits.zero_long_seconds:
            self._size = max(self._size // 2, min(self._limits.zero_least_bytes, self._most))
        elif seconds < self._limits.zero_short_seconds and length * 2 > self._size:
            self._size = min(self._size * 2, self._most)
