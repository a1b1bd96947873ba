"""The sockets of the daemon over the simulated network: ROUTER and DEALER, PUB and SUB, as it uses them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dkrepl.core import frames
from dkrepl.core.description import Description, Node
from tests.simulation.network import Connection, Frame
from tests.simulation.world import RuleBroken

if TYPE_CHECKING:
    from tests.simulation.process import Process

COPY_BELOW = 100  # bytes


class Fd:
    """A descriptor: an object with an identity."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.waiting = False


class SourceSockets:
    """PUB and ROUTER of a source."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.fd = Fd("control")
        self.unasked = True
        self._inbox: deque[tuple[bytes, bytes]] = deque()
        self._routes: dict[bytes, Connection] = {}
        self._subscribers: list[tuple[frozenset[bytes], Connection, Subscription]] = []
        process.cluster.switch.listening[process.name] = process
        process.sockets = self  # type: ignore[attr-defined]

    def receive(self) -> tuple[bytes, bytes] | None:
        self.unasked = bool(self._inbox)
        return self._inbox.popleft() if self._inbox else None

    def send(self, identity: bytes, frame: bytes) -> bool:
        self.unasked = True
        route = self._routes.get(identity)
        if route is None:
            return False
        route.down.put((frame, None))
        return True

    def publish(self, head: bytes, data: bytes | memoryview) -> None:
        wanted = head[:2]
        frame: Frame = (head, bytes(data)) if len(data) >= COPY_BELOW else (head + bytes(data), None)
        for topics, connection, subscription in self._subscribers:
            if wanted in topics:
                if len(connection.down) + len(subscription.inbox) >= self._process.cluster.hwm:
                    self._process.world.count("messages dropped at the high-water mark")
                else:
                    connection.down.put(frame)

    def close(self) -> None:
        return

    # --- what the network does -----------------------------------------------------------------------

    def attach(self, identity: bytes, connection: Connection) -> None:
        self._routes[identity] = connection

    def detach(self, identity: bytes, connection: Connection) -> None:
        if self._routes.get(identity) is connection:
            del self._routes[identity]

    def arrived(self, identity: bytes, frame: bytes) -> None:
        if self._process.alive:
            self._inbox.append((identity, frame))
            self._process.ready(self.fd)

    def subscribe(self, topics: frozenset[bytes], connection: Connection, subscription: Subscription) -> None:
        self._subscribers.append((topics, connection, subscription))

    def unsubscribe(self, connection: Connection) -> None:
        self._subscribers = [entry for entry in self._subscribers if entry[1] is not connection]


class Dealer:
    """A target's control socket to one peer: connects again and again; without a connection it sends nothing."""

    def __init__(self, process: Process, peer: str, identity: bytes) -> None:
        self._process = process
        self._peer = peer
        self._identity = identity
        self._connection: Connection | None = None
        self.inbox: deque[bytes] = deque()
        self.fd = Fd(f"dealer {peer}")
        self._connect()

    def send(self, frame: bytes) -> None:
        if self._connection is not None:
            self._connection.up.put((frame, None))

    def _connect(self) -> None:
        process = self._process
        if not process.alive:
            return
        switch = process.cluster.switch
        server = switch.listening.get(self._peer)
        cut = switch.wires(process.name, self._peer).cut
        if server is None or not server.alive or cut:
            process.world.after(0.1 + 0.2 * process.world.rng.random(), self._connect)
            return
        sockets: SourceSockets = server.sockets  # type: ignore[attr-defined]
        connection = self._connection = Connection(
            switch,
            process,
            server,
            self._arrived,
            lambda frame, _: sockets.arrived(self._identity, frame[0]),
            self._reset,
        )
        sockets.attach(self._identity, connection)

    def _arrived(self, frame: Frame, damaged: bool) -> None:
        self.inbox.append(frame[0])
        self._process.ready(self.fd)

    def _reset(self, connection: Connection) -> None:
        connection.server.sockets.detach(self._identity, connection)  # type: ignore[attr-defined]
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
        if server is None or not server.alive or cut:
            process.world.after(0.1 + 0.2 * process.world.rng.random(), self._connect)
            return
        connection = self._connection = Connection(
            switch, process, server, self._arrived, lambda frame, _: None, self._reset
        )
        sockets: SourceSockets = server.sockets  # type: ignore[attr-defined]
        process.world.after(
            0.001 * process.world.rng.random(),
            lambda: sockets.subscribe(self._topics, connection, self) if connection.down.open else None,
        )

    def _arrived(self, frame: Frame, damaged: bool) -> None:
        if not self.closed:
            self.inbox.append((frame, damaged))
            self._process.ready(self.fds[0])

    def _reset(self, connection: Connection) -> None:
        connection.server.sockets.unsubscribe(connection)  # type: ignore[attr-defined]
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

    def __init__(self, process: Process, description: Description, node: Node) -> None:
        self._process = process
        world = process.world
        identity = f"{node.name}/{world.rng.getrandbits(32):08x}".encode()
        self.control = {peer.name: Dealer(process, peer.name, identity) for peer in description.peers(node.name)}
        self.fds = {dealer.fd: name for name, dealer in self.control.items()}
        self.subscription: Subscription | None = None
        self._damaged: int | None = None

    def send(self, peer: str, frame: bytes) -> None:
        self.control[peer].send(frame)

    def receive(self, peer: str) -> bytes | None:
        inbox = self.control[peer].inbox
        return inbox.popleft() if inbox else None

    def subscribe(self, peer: str, topics: Iterable[bytes]) -> list[Fd]:
        self.unsubscribe()
        self.subscription = Subscription(self._process, peer, topics)
        return self.subscription.fds

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


MAX_CONTROL = frames.MAX_CONTROL
