"""The network: connections that deliver in order, late, or not at all, and that are reset with all that is in them.

As with TCP under ZeroMQ: a partition delays, a reset loses what is on the way, a peer that lost its power is missed
only when somebody hears nothing from it, and a full queue to a subscriber drops silently.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.listener import Listener
    from tests.simulation.process import Process
    from tests.simulation.world import World

Frame = tuple[bytes, bytes | None]  # head, and data if that travels as a frame of its own


class Wires:
    """What lies between two machines: delay, speed, and whether it is cut, for each direction."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.delay = 0.0005  # seconds, at most
        self.least = 0.0  # seconds, at least
        self.rate = 0.0  # bytes per second; 0 is fast
        self.cut: set[tuple[str, str]] = set()
        self.corrupt = 0.0  # probability for each frame
        self.repeat = 0.0  # probability that a frame of an older connection comes again
        self.twice = 0.0  # probability that a frame of this connection comes again
        self.stalled: list[Pipe] = []
        self.old: dict[tuple[str, str], list[Frame]] = {}  # of connections that are gone

    def heal(self) -> None:
        """Nothing is cut any more."""
        self.cut.clear()
        stalled, self.stalled = self.stalled, []
        for pipe in stalled:
            pipe.go_on()


class Pipe:
    """One direction of a connection: delivers frames in order, unless it is closed first."""

    def __init__(self, wires: Wires, src: str, dst: str, deliver: Callable[[Frame, bool], None]) -> None:
        self._wires = wires
        self._ends = (src, dst)
        self._deliver = deliver
        self._queue: deque[Frame] = deque()
        self._free_at = 0.0
        self._moving = False
        self.open = True
        self._seen: list[Frame] = []

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, frame: Frame) -> None:
        """Send a frame."""
        if self.open:
            self._queue.append(frame)
            self.go_on()

    def close(self) -> None:
        """What is on the way is lost."""
        self.open = False
        self._queue.clear()
        if self._seen:
            self._wires.old.setdefault(self._ends, []).extend(self._seen)
            self._seen = []

    def hold(self) -> None:
        """What is sent from here on stays on its way, until ``let_go``."""
        self._moving = True

    def let_go(self) -> None:
        """Deliver what was held."""
        self._moving = False
        self.go_on()

    @property
    def on_the_way(self) -> list[Frame]:
        """What was sent and has not arrived, the oldest first."""
        return list(self._queue)

    def go_on(self) -> None:
        """Deliver what waits, as fast as the wires allow."""
        if self._moving or not self._queue or not self.open:
            return
        wires = self._wires
        if self._ends in wires.cut:
            if self not in wires.stalled:
                wires.stalled.append(self)
            return
        self._moving = True
        world = wires.world
        head, data = self._queue[0]
        size = len(head) + len(data or b"")
        begin = max(self._free_at, world.now)
        self._free_at = begin + (size / wires.rate if wires.rate else 0.0)
        world.after(self._free_at - world.now + max(wires.least, wires.delay * world.rng.random()), self._arrive)

    def _arrive(self) -> None:
        self._moving = False
        wires = self._wires
        if not self.open or not self._queue:
            return
        if self._ends in wires.cut:
            self.go_on()
            return
        frame = self._queue.popleft()
        world = wires.world
        old = wires.old.get(self._ends)
        if wires.repeat and old and world.chance(wires.repeat):
            world.count("frames repeated")
            self._deliver(world.rng.choice(old), False)
        if wires.twice and self._seen and world.chance(wires.twice):
            world.count("frames repeated")
            self._deliver(world.rng.choice((frame, self._seen[-1], world.rng.choice(self._seen))), False)
        if wires.corrupt and world.chance(wires.corrupt):
            world.count("frames corrupted")
            self._deliver(_damaged(world, frame), True)
        else:
            if len(self._seen) < 50:
                self._seen.append(frame)
            self._deliver(frame, False)
        self.go_on()


def _damaged(world: World, frame: Frame) -> Frame:
    """Return the frame with a bit flipped, or cut short."""
    head, data = frame
    victim = bytearray(data if data and world.chance(0.5) else head)
    if world.chance(0.3):
        del victim[world.rng.randrange(len(victim)) :]
    else:
        victim[world.rng.randrange(len(victim))] ^= 1 << world.rng.randrange(8)
    return (head, bytes(victim)) if data and len(victim) == len(data) else (bytes(victim), data)


class Switch:
    """Connects processes: who listens where, and all connections."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.listening: dict[str, Listener] = {}
        self.connections: list[Connection] = []
        self._wires: dict[frozenset[str], Wires] = {}

    def wires(self, one: str, other: str) -> Wires:
        """What lies between two machines."""
        pair = frozenset((one, other))
        if pair not in self._wires:
            self._wires[pair] = Wires(self.world)
        return self._wires[pair]

    def all_wires(self) -> list[tuple[list[str], Wires]]:
        """Every pair of machines that ever spoke, and what lies between."""
        return [(sorted(pair), wires) for pair, wires in self._wires.items()]

    def process_ended(self, process: Process, quietly: bool) -> None:
        """Its connections are reset at once; or stay half open, if its machine is gone."""
        listener = self.listening.get(process.name)
        if listener is not None and listener.process is process:
            del self.listening[process.name]
        for connection in list(self.connections):
            if process in (connection.client, connection.server):
                if quietly:
                    connection.freeze()
                else:
                    connection.reset()

    def listener_closed(self, listener: Listener) -> None:
        """A process gave its ports back, and lives on."""
        if self.listening.get(listener.process.name) is listener:
            del self.listening[listener.process.name]
        for connection in list(self.connections):
            if connection.listener is listener:
                connection.reset()

    def machine_is_back(self, name: str) -> None:
        """Its kernel knows nothing of the connections of before and says so."""
        for connection in list(self.connections):
            if connection.frozen and name in (connection.client.name, connection.server.name):
                connection.reset()


class Connection:
    """From a client (a target, or who asks) to a server's port."""

    def __init__(
        self,
        switch: Switch,
        client: Process,
        listener: Listener,
        to_client: Callable[[Frame, bool], None],
        to_server: Callable[[Frame, bool], None],
        on_reset: Callable[[Connection], None],
    ) -> None:
        server = listener.process
        wires = switch.wires(client.name, server.name)
        self.client = client
        self.server = server
        self.listener = listener
        self.frozen = False
        self.down = Pipe(wires, server.name, client.name, to_client)
        self.up = Pipe(wires, client.name, server.name, to_server)
        self._on_reset = on_reset
        self._switch = switch
        switch.connections.append(self)

    def freeze(self) -> None:
        """One end is gone without a word: nothing arrives any more, and nobody is told."""
        self.frozen = True
        self.down.close()
        self.up.close()

    def reset(self) -> None:
        """Lose what is on the way, and tell the processes that live."""
        if self in self._switch.connections:
            self._switch.connections.remove(self)
            self.down.close()
            self.up.close()
            self._on_reset(self)
