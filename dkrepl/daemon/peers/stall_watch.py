"""Tells the peers that this node lives while its loop waits for the store, and can say nothing itself (R13).

The kernel makes a plain write wait when too much is dirty, or when the disk does not answer. A thread, with sockets of
its own, notices that the loop has made no round for a while and is in the store, and says so to every peer until the
loop goes on, or ``store_timeout`` has passed: then the node is silent, and counts as gone.
"""

from __future__ import annotations

import threading
import time

from dkrepl.config.description import Description, Node
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.protocol import messages
from dkrepl.daemon.outside import Loop, Report
from dkrepl.io.net.access import Access
from dkrepl.io.net.target_sockets import TargetSockets
from dkrepl.io.store.calls import StoreCalls


class StallWatch:
    """``report`` reports an event, from any thread. Times are monotonic seconds."""

    def __init__(
        self,
        description: Description,
        node: Node,
        access: Access,
        loop: Loop,
        calls: StoreCalls,
        report: Report,
        *,
        limits: Limits = DEFAULT,
    ) -> None:
        self._description = description
        self._node = node
        self._access = access
        self._loop = loop
        self._calls = calls
        self._report = report
        self._pause = description.peer_timeout / limits.stall_messages
        self._look = self._pause / limits.stall_looks
        self._stands_since = 0.0  # since when the loop waits for the store; 0: it does not
        self._told = False  # whether the event has been reported
        self._new_keys = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stall", daemon=True)

    def start(self) -> None:
        """Begin to watch, when the loop is about to run."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and its connections."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def renew_keys(self) -> None:
        """The peers' keys have changed."""
        self._new_keys = True

    @property
    def loop_seconds(self) -> float:
        """For how long the loop has waited for the store; 0 if it goes on."""
        since = self._stands_since
        return time.monotonic() - since if since else 0.0

    @property
    def excused(self) -> bool:
        """Whether the loop waits for the store, and has not done so for too long."""
        return 0 < self.loop_seconds <= self._description.store_timeout

    def worker_seconds(self, now: float) -> float:
        """Return for how long a worker has waited for the store; 0 if it has not done so for a peer timeout."""
        seconds = self._calls.worker_seconds(now)
        return seconds if seconds > self._description.peer_timeout else 0.0

    def _watch(self) -> None:
        sockets = TargetSockets(self._description, self._node, self._access)
        try:
            moved, since, say_at = -1, time.monotonic(), 0.0
            while not self._stop.wait(self._look):
                now = time.monotonic()
                if self._new_keys:
                    self._new_keys = False
                    sockets.renew()
                if self._loop.moved != moved or not self._in_store(now):
                    moved, since, self._stands_since = self._loop.moved, now, 0.0
                elif now - since >= self._pause:
                    self._stands_since = since
                    if now >= say_at and now - since <= self._description.store_timeout:
                        say_at = now + self._pause
                        self._say(sockets, now - since)
                self._note(now)
        finally:
            sockets.close()

    def _in_store(self, now: float) -> bool:
        """Whether the loop is in a call of the store, or has been until a moment ago: one slow write after another."""
        call = self._calls.loop
        return call > 0 or (call < 0 and now + call < self._pause)

    def _say(self, sockets: TargetSockets, seconds: float) -> None:
        frame = messages.encode(messages.Stalled(self._node.name, seconds))
        for peer in sockets.control:
            sockets.send(peer, frame)

    def _note(self, now: float) -> None:
        seconds = max(self.worker_seconds(now), self.loop_seconds)
        if seconds > self._description.peer_timeout and not self._told:
            self._told = True
            self._report("store_stalled", "warning", {"node": self._node.name, "seconds": round(seconds, 1)})
        elif self._told and not seconds:
            self._told = False
            self._report("store_moves_again", "info", {"node": self._node.name})
