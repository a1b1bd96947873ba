"""Sockets to peers that are not there: what is sent stays to be looked at, and what they say is put in by the test."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, cast

from dkrepl.core.protocol import messages
from dkrepl.daemon.connections import TargetSockets
from dkrepl.daemon.outside import Loop


class FakeSockets:
    """To ``peers``."""

    def __init__(self, *peers: str) -> None:
        self.control = list(peers)
        self.fds = [10 + number for number in range(len(peers))]
        self.sent: list[tuple[str, messages.AnyMessage | Any]] = []
        self.renewed = self.closed = False
        self._waiting: dict[str, deque[bytes]] = {peer: deque() for peer in peers}

    def put(self, peer: str, *said: messages.Message | bytes) -> None:
        """``peer`` says something, or sends a frame that may make no sense."""
        self._waiting[peer] += [one if isinstance(one, bytes) else messages.encode(one) for one in said]

    def receive(self, peer: str) -> bytes | None:
        return self._waiting[peer].popleft() if self._waiting[peer] else None

    def send(self, peer: str, frame: bytes) -> None:
        self.sent.append((peer, messages.decode(frame)))

    def renew(self) -> None:
        self.renewed = True
        self.fds = [fd + 100 for fd in self.fds]

    def close(self) -> None:
        self.closed = True

    @property
    def as_sockets(self) -> TargetSockets:
        return cast(TargetSockets, self)


class FakeLoop:
    """What is watched, and what is to be done after how many seconds."""

    def __init__(self) -> None:
        self.watched: dict[int, Callable[[], None]] = {}
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def watch(self, fd: int, handler: Callable[[], None]) -> None:
        self.watched[fd] = handler

    def ignore(self, fd: int) -> None:
        self.watched.pop(fd, None)

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        self.timers.append((seconds, work))

    def pass_time(self) -> Iterable[float]:
        """Do what is due next, one after the other; yields for how long each has waited."""
        while self.timers:
            self.timers.sort(key=lambda timer: timer[0])
            seconds, work = self.timers.pop(0)
            self.timers = [(left - seconds, other) for left, other in self.timers]
            work()
            yield seconds

    @property
    def as_loop(self) -> Loop:
        return cast(Loop, self)
