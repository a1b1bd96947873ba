"""Since when calls of the store have been under way: by this a store that stands still is noticed (R13)."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator


class StoreCalls:
    """Written by the threads that call the store, read by the one that watches them; each step is atomic."""

    __slots__ = ("_workers", "loop")

    def __init__(self) -> None:
        self.loop = 0.0
        """When the loop's newest call began, in monotonic seconds; negative once it has ended."""
        self._workers: dict[int, float] = {}

    @contextlib.contextmanager
    def of_worker(self) -> Iterator[None]:
        """A call of the store by a thread other than the loop's."""
        thread = threading.get_ident()
        self._workers[thread] = time.monotonic()
        try:
            yield
        finally:
            self._workers.pop(thread, None)

    def worker_seconds(self, now: float) -> float:
        """Return for how long the oldest call of a worker has been under way; 0 if there is none."""
        began = list(self._workers.values())
        return max(0.0, now - min(began)) if began else 0.0
