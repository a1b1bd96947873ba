"""The ports of a simulated node: a ROUTER, which answers questions where no source serves; at a source also PUB."""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING, Self

from tests.simulation.network import Connection, Frame

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.sockets import Subscription


_numbers = itertools.count(3)


class Fd(int):
    """A descriptor."""

    def __new__(cls, name: str) -> Self:
        return super().__new__(cls, next(_numbers))

    def __init__(self, name: str) -> None:
        self.name = name
        self.waiting = False


class Listener:
    """The control port of a process, until it is closed."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.fd = Fd("control")
        self.open = True
        self._inbox: deque[tuple[bytes, bytes]] = deque()
        self._routes: dict[bytes, Connection] = {}
        process.cluster.switch.listening[process.name] = self

    @property
    def reachable(self) -> bool:
        """Whether anybody would answer a connection."""
        return self.open and self.process.alive and not self.process.machine.suspended

    def receive(self) -> tuple[bytes, bytes] | None:
        return self._inbox.popleft() if self._inbox else None

    def send(self, identity: bytes, frame: bytes) -> bool:
        route = self._routes.get(identity)
        if route is None:
            return False
        route.down.put((frame, None))
        return True

    def close(self) -> None:
        """The port is given back, and its connections end."""
        self.open = False
        self.process.cluster.switch.listener_closed(self)

    # --- what the network does -----------------------------------------------------------------------

    def identity_of(self, connection: Connection) -> bytes:
        """Under which identity a connection is known here."""
        return next(identity for identity, one in self._routes.items() if one is connection)

    def attach(self, identity: bytes, connection: Connection) -> None:
        self._routes[identity] = connection

    def detach(self, identity: bytes, connection: Connection) -> None:
        if self._routes.get(identity) is connection:
            del self._routes[identity]

    def arrived(self, identity: bytes, frame: bytes) -> None:
        if self.process.alive and self.open:
            self._inbox.append((identity, frame))
            self.process.ready(self.fd)


class ControlPortSocket(Listener):
    """The control port of a node that is not serving as source."""


class SourceSockets(Listener):
    """PUB and ROUTER of a source."""

    def __init__(self, process: Process, copy_below: int) -> None:
        super().__init__(process)
        self.unasked = True
        self._copy_below = copy_below
        self._subscribers: list[tuple[frozenset[bytes], Connection, Subscription]] = []

    def receive(self) -> tuple[bytes, bytes] | None:
        self.unasked = bool(self._inbox)
        return super().receive()

    def send(self, identity: bytes, frame: bytes) -> bool:
        self.unasked = True
        return super().send(identity, frame)

    def tend(self) -> None:
        return

    def publish(self, head: bytes, data: bytes | memoryview) -> None:
        wanted = head[:2]
        frame: Frame = (head, bytes(data)) if len(data) >= self._copy_below else (head + bytes(data), None)
        for topics, connection, subscription in self._subscribers:
            if wanted in topics:
                if len(connection.down) + len(subscription.inbox) >= self.process.cluster.hwm:
                    self.process.world.count("messages dropped at the high-water mark")
                else:
                    connection.down.put(frame)

    def subscribe(self, topics: frozenset[bytes], connection: Connection, subscription: Subscription) -> None:
        self._subscribers.append((topics, connection, subscription))

    def unsubscribe(self, connection: Connection) -> None:
        self._subscribers = [entry for entry in self._subscribers if entry[1] is not connection]
