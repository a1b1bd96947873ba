"""Who owns the memory in which a large write arrived, and when it may be used again."""

from __future__ import annotations

import ctypes
import mmap
import weakref
from collections import deque


class _Loan(weakref.ref[ctypes.Array[ctypes.c_ubyte]]):
    """Watches one lent buffer; ``buffer`` is the memory behind it."""

    __slots__ = ("buffer",)
    buffer: mmap.mmap


class BufferPool:
    """Page-aligned buffers of one size that come back by themselves.

    A lent buffer is seen through a ``memoryview`` of an exporter object. Every slice of that view, and a
    ZeroMQ message made from it without copying, keeps the exporter alive; when the last of them is gone, in
    whatever thread, the memory returns here. So nobody can give a buffer back too early, or forget to.

    R5: at most ``limit`` buffers exist; with all of them lent ``take`` returns None and the caller copies.
    """

    def __init__(self, size: int, limit: int) -> None:
        self._size = size
        self._limit = limit
        self._made = 0
        self._free: deque[mmap.mmap] = deque()
        self._loans: dict[int, _Loan] = {}  # by id: a reference hashes as what it refers to
        self._exporter = ctypes.c_ubyte * size

    @property
    def lent(self) -> int:
        """Number of buffers that somebody still looks at."""
        return len(self._loans)

    def take(self) -> mmap.mmap | None:
        """Return an unused buffer, or None if ``limit`` of them are in use."""
        try:
            return self._free.popleft()
        except IndexError:
            pass
        if self._made >= self._limit:
            return None
        self._made += 1
        return mmap.mmap(-1, self._size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def lend(self, buffer: mmap.mmap, length: int) -> memoryview:
        """Return a view of the first ``length`` bytes; ``buffer`` comes back when no view of it is left."""
        exporter = self._exporter.from_buffer(buffer)
        loan = _Loan(exporter, self._came_back)
        loan.buffer = buffer
        self._loans[id(loan)] = loan
        return memoryview(exporter).cast("B")[:length]

    def _came_back(self, loan: weakref.ref[ctypes.Array[ctypes.c_ubyte]]) -> None:
        assert isinstance(loan, _Loan)
        del self._loans[id(loan)]
        self._free.append(loan.buffer)
