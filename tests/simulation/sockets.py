"""A simulated node's connections to its peers: DEALER to each, and SUB at the source."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tests.simulation.listener import Fd, SourceSockets
from tests.simulation.network import Connection, Frame
from tests.simulation.world import RuleBroken

if TYPE_CHECKING:
    from tests.simulation.process import Process


class Dealer:
    """A target's control socket to one peer: connects again and again; without a connection it sends nothing.

    What it sends while a connection is replaced by a new one is lost, and neither side is told.
    """

    def __init__(self, process: Process, peer: str, identity: bytes) -> None:
        self._process = process
        self._peer = peer
        self._identity = identity
        self._connection: Connection | None = None
        self._closed = False
        self.replacing_until = 0.0
        self.inbox: deque[bytes] = deque()
        self.fd = Fd(f"dealer {peer}")
        self._connect()

    def send(self, frame: bytes) -> None:
        if self._process.world.now < self.replacing_until:
            self._process.world.count("control frames lost in a reconnection")
        elif self._connection is not None:
            self._connection.up.put((frame, None))

    def close(self) -> None:
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.reset()

    def _connect(self) -> None:
        process = self._process
        if not process.alive or self._closed:
            return
        switch = process.cluster.switch
        server = switch.listening.get(self._peer)
        cut = switch.wires(process.name, self._peer).cut
        if server is None or not server.reachable or cut:
            process.world.after(0.1 + 0.2 * process.world.rng.random(), self._connect)
            return
        found = server
        connection = self._connection = Connection(
            switch,
            process,
            found,
            self._arrived,
            lambda frame, _: found.arrived(self._identity, frame[0]),
            self._reset,
        )
        found.attach(self._identity, connection)

    def _arrived(self, frame: Frame, damaged: bool) -> None:
        if self._closed:
            return
        self.inbox.append(frame[0])
        self._process.ready(self.fd)

    def _reset(self, connection: Connection) -> None:
        connection.listener.detach(self._identity, connection)
        if self._connection is connection:
            self._connection = None
            self._process.world.after(0.1 + 0.3 * self._process.world.rng.random(), self._connect)


class Subscription:
    """A SUB socket: subscribes anew after each reset; what was published meanwhile is missing."""

    def __init__(self, process: Process, peer: str, topics: Iterable[bytes]) -> None:
        self._process = process
        self._peer = peer
        self._topics = frozenset(topics)
        self._connection: Connection | None = None
        self.inbox: deque[tuple[Frame, bool]] = deque()
        self.lost = False
        self.closed = False
        self.fds = [Fd("stream"), Fd("monitor")]
        process.world.after(0.003 * process.world.rng.random(), self._connect)

    def close(self) -> None:
        self.closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.reset()

    def _connect(self) -> None:
        process = self._process
        if not process.alive or self.closed:
            return
        switch = process.cluster.switch
        server = switch.listening.get(self._peer)
        cut = switch.wires(process.name, self._peer).cut
        if not isinstance(server, SourceSockets) or not server.reachable or cut:
            process.world.after(0.1 + 0.2 * process.world.rng.random(), self._connect)
            return
        connection = self._connection = Connection(
            switch, process, server, self._arrived, lambda frame, _: None, self._reset
        )
        sockets = server
        process.world.after(
            0.001 * process.world.rng.random(),
            lambda: sockets.subscribe(self._topics, connection, self) if connection.down.open else None,
        )

    def _arrived(self, frame: Frame, damaged: bool) -> None:
        if not self.closed:
            self.inbox.append((frame, damaged))
            self._process.ready(self.fds[0])

    def _reset(self, connection: Connection) -> None:
        listener = connection.listener
        if isinstance(listener, SourceSockets):
            listener.unsubscribe(connection)
        if self._connection is connection:
            self._connection = None
            world = self._process.world
            world.after(0.01 * world.rng.random(), self._notice)
            world.after(0.1 + 0.2 * world.rng.random(), self._connect)

    def _notice(self) -> None:
        if self._process.alive and not self.closed:
            self.lost = True
            self._process.ready(self.fds[1])


class TargetSockets:
    """A DEALER to each peer and one SUB."""

    def __init__(self, process: Process) -> None:
        self._process = process
        identity = f"{process.name}/{process.world.rng.getrandbits(32):08x}".encode()
        peers = process.description.peers(process.name)
        self.control = {peer.name: Dealer(process, peer.name, identity) for peer in peers}
        self.fds = [dealer.fd for dealer in self.control.values()]
        self.subscription: Subscription | None = None
        self._damaged: int | None = None

    def renew(self) -> None:
        """There are no keys here."""

    def send(self, peer: str, frame: bytes) -> None:
        self.control[peer].send(frame)

    def receive(self, peer: str) -> bytes | None:
        inbox = self.control[peer].inbox
        return inbox.popleft() if inbox else None

    def subscribe(self, peer: str, topics: Iterable[bytes]) -> list[int]:
        self.unsubscribe()
        self.subscription = Subscription(self._process, peer, topics)
        return list(self.subscription.fds)

    def unsubscribe(self) -> None:
        if self.subscription is not None:
            self.subscription.close()
        self.subscription = None

    def broken(self) -> bool:
        subscription = self.subscription
        if subscription is None or not subscription.lost:
            return False
        subscription.lost = False
        return True

    def next_message(self) -> tuple[bytes, memoryview | None] | None:
        self.check_refused()
        subscription = self.subscription
        if subscription is None or not subscription.inbox:
            return None
        (head, data), damaged = subscription.inbox.popleft()
        if damaged:
            self._damaged = self._process.runtime.frames_refused
        return head, None if data is None else memoryview(data)

    def check_refused(self) -> None:
        """Rule R9: a damaged frame that was taken must have been refused."""
        if self._damaged is not None and self._process.runtime.frames_refused == self._damaged:
            raise RuleBroken("R9", f"{self._process.name} took a damaged frame of the stream for a good one")
        self._damaged = None

    def close(self) -> None:
        self.unsubscribe()
        for dealer in self.control.values():
            dealer.close()
