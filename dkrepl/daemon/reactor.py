"""The one loop of a daemon: waits for descriptors and for time, and takes work that other threads hand in.

Everything that touches the core or a ZeroMQ socket runs here. Threads (flushes, commits, cold reads, the control
socket) give their results back with ``post``.

By hand, because all that a round of the loop has brought is handled before its writes are published together
(``step``), which an event loop that calls back one by one, as asyncio's does, has no place for.
"""

from __future__ import annotations

import heapq
import itertools
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

from dkrepl.config.limits import DEFAULT, Limits


class Reactor:
    """Handlers are called with no arguments; one that raises ends the daemon, for its state is then unknown."""

    def __init__(self, *, limits: Limits = DEFAULT) -> None:
        self._tick = limits.tick_seconds
        self._timers: list[tuple[float, int, Callable[[], None]]] = []  # when, in which order, and what
        self._numbers = itertools.count()
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._posted: deque[Callable[[], None]] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._handlers[self._wake] = self._run_posted
        self.stopping = False
        self.busy = False
        """Whether a step has more to do at once, so that the loop must not wait."""
        self.ended = False
        """Whether the loop has run and runs no more: what is posted now is never done."""
        self._closing = threading.RLock()  # a signal's handler may post in the middle of a post
        self._closed = False
        self.moved = 0
        """Rounds of the loop: a watchdog sees by it that the loop moves."""

    def watch(self, fd: int, handler: Callable[[], None]) -> None:
        """Call ``handler`` whenever ``fd`` is readable."""
        self._handlers[fd] = handler
        self._epoll.register(fd, select.EPOLLIN)

    def ignore(self, fd: int) -> None:
        """Undo ``watch``; a descriptor that was not watched, or is closed, is no error."""
        if self._handlers.pop(fd, None) is not None:
            try:
                self._epoll.unregister(fd)
            except OSError:
                return

    def post(self, work: Callable[[], None]) -> None:
        """From any thread: run ``work`` in the loop, soon; never, if the loop has ended."""
        with self._closing:
            # Once closed, the descriptor's number may be another file's, and the count would be written into that.
            if not self._closed:
                self._posted.append(work)
                os.eventfd_write(self._wake, 1)

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        """From the loop: run ``work`` in the loop after so many seconds; never, if the loop has ended before."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), work))

    def run(self, step: Callable[[], None], tick: Callable[[], None]) -> None:
        """Loop until ``stopping``: wait, call the handlers, then ``step``; and ``tick`` every ``tick_seconds``."""
        try:
            self._run(step, tick)
        finally:
            self.ended = True

    def _run(self, step: Callable[[], None], tick: Callable[[], None]) -> None:
        poll, handlers, timers, monotonic = self._epoll.poll, self._handlers, self._timers, time.monotonic
        next_tick = 0.0
        while not self.stopping:
            for fd, _ in poll(0 if self.busy else self._pause()):
                handler = handlers.get(fd)
                if handler is not None:
                    handler()
            step()
            self.moved += 1
            now = monotonic()
            if now >= next_tick:
                next_tick = now + self._tick
                tick()
            while timers and timers[0][0] <= now:
                heapq.heappop(timers)[2]()

    def _pause(self) -> float:
        """Seconds to wait for a descriptor: no longer than until the next tick, or the first timer."""
        if not self._timers:
            return self._tick
        return min(self._tick, max(0.0, self._timers[0][0] - time.monotonic()))

    def close(self) -> None:
        """Give the descriptors back."""
        self.ended = True
        with self._closing:
            self._closed = True
            self._epoll.close()
            os.close(self._wake)

    def _run_posted(self) -> None:
        os.eventfd_read(self._wake)
        for _ in range(len(self._posted)):
            self._posted.popleft()()
