"""Threads for what may block: flushes, commits, discards, and reads of blocks that are not in memory.

Each kind of work has threads of its own, so that a long flush of the store does not keep a new extent, and with
it the writes that wait for it, from being recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from dkrepl.daemon.outside import Done, Loop, Result
from dkrepl.errors import DkreplError


class Workers:
    """Runs blocking calls in threads; results come back in the loop."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._pools = {
            "flush": ThreadPoolExecutor(1, "flush"),
            "commit": ThreadPoolExecutor(1, "commit"),
            "read": ThreadPoolExecutor(2, "read"),
            "empty": ThreadPoolExecutor(1, "empty"),
            "command": ThreadPoolExecutor(4, "command"),
        }

    def run(self, kind: str, work: Callable[[], Result], done: Done[Result]) -> None:
        """Call ``work`` in a thread of ``kind``, then ``done(result, error)`` in the loop."""

        def finished(future: Future[Result]) -> None:
            error = future.exception()
            if error is None:
                self._loop.post(lambda: done(future.result(), None))
                return
            known = error if isinstance(error, DkreplError) else DkreplError(f"unexpected: {error!r}")
            self._loop.post(lambda: done(None, known))

        self._pools[kind].submit(work).add_done_callback(finished)

    def close(self) -> None:
        """Wait for what is running; drop what has not begun."""
        for pool in self._pools.values():
            pool.shutdown(wait=True, cancel_futures=True)
