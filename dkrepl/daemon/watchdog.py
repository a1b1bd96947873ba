"""Tells systemd that the daemon is ready, and then that it is alive: only while the loop moves."""

from __future__ import annotations

import threading
from collections.abc import Callable

from dkrepl.daemon.reactor import Reactor
from dkrepl.io.systemd.notify import notify, watchdog_seconds


class Watchdog:
    """A thread that tells systemd that the daemon is alive, as long as the reactor's count of rounds grows.

    It also does so while ``excused()`` says that the loop waits for the store, and not yet for too long (R13): killing
    the daemon would not make the disk any faster.
    """

    def __init__(self, reactor: Reactor, excused: Callable[[], bool]) -> None:
        self._reactor = reactor
        self._excused = excused
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._ready = threading.Event()

    def start(self, ready: threading.Event) -> None:
        """Say READY=1 once ``ready`` is set, and WATCHDOG=1 a few times in each of systemd's intervals."""
        self._ready = ready
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ready.wait(0.05):
            if self._stop.is_set():
                return
        notify("READY=1")
        interval = watchdog_seconds()
        if interval is None:
            return
        moved = -1
        while not self._stop.wait(interval / 4):
            if self._reactor.moved != moved or self._excused():
                moved = self._reactor.moved
                notify("WATCHDOG=1")
