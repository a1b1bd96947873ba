"""Applications in the simulated backend."""

from __future__ import annotations

from collections.abc import Callable

from dkrepl.io.fuse import SYNC, WRITE
from tests.lab.node import Node
from tests.lab.pages import pattern
from tests.lab.waiting import LONG, wait_for
from tests.lab.workload import Account, Area, Missing
from tests.simulation.device import Asked
from tests.simulation.process import Process
from tests.simulation.settings import BLOCK
from tests.simulation.story import Story
from tests.simulation.world import World

_DEPTH = 2  # writes of an application on their way at once
_PACE = 0.02  # mean seconds between two writes
_FLUSH_EVERY = 25  # writes


class VirtualTime:
    """The time of the simulated world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> float:
        return self._world.now

    def rest(self, seconds: float) -> None:
        self._world.run_until(self._world.now + seconds)


class SimulatedWrites:
    """What an application has written."""

    def __init__(self, story: Story) -> None:
        self.account = Account(BLOCK)
        self._story = story

    def written(self, unit: int) -> int:
        return self.account.written(unit)

    def missing_on(self, node: Node) -> list[Missing]:
        store = self._story.store(node.name)
        return self.account.missing(lambda place: bytes(store[place : place + BLOCK]))

    def missing_aside(self, node: Node) -> list[Missing]:
        aside = self._story.machine(node.name).kept
        found = {block: content for blocks in aside.values() for block, content in blocks.items()}
        return self.account.missing(lambda place: found.get(place // BLOCK, bytes(BLOCK)))


class SimulatedLoad(SimulatedWrites):
    """Writes single blocks at random places of a node's device, whenever the node serves one."""

    def __init__(self, story: Story, name: str, area: Area, seed: str, number: int) -> None:
        super().__init__(story)
        self.errors = 0
        self._name, self._area, self._number = name, area, number
        self._dice = story.world.random(seed)
        self._running = True
        self._on_way: list[tuple[Asked, int, int]] = []  # (request, number of the write, place)
        self._next()

    def wait_for_more(self, writes: int) -> None:
        goal = self.account.count + writes
        self._wait(lambda: self.account.count >= goal, f"{writes} more writes are answered")

    def stop(self) -> None:
        self._running = False
        self._wait(lambda: not self._on_way, "the last writes are answered")

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        def look() -> bool:
            self._collect()
            return done()

        wait_for(look, bool, what, LONG, 0.05, VirtualTime(self._story.world))

    def _next(self) -> None:
        self._collect()
        if not self._running:
            return
        self._story.world.after(self._dice.expovariate(1 / _PACE), self._next)
        process = self._story.machine(self._name).process
        if process is not None and process.is_source and process.runtime.state == "Serving":
            self._write(process)

    def _write(self, process: Process) -> None:
        application = self._story.cluster.application
        place = self._area.first + self._dice.randrange(self._area.length // BLOCK) * BLOCK
        if len(self._on_way) >= _DEPTH or place in [one[2] for one in self._on_way]:
            return
        self._number += 1
        if self._number % _FLUSH_EVERY == 0:
            application.ask(process, SYNC)
        self.account.begins([place])
        data = pattern(self._number, place, BLOCK)
        self._on_way.append((application.ask(process, WRITE, place, BLOCK, data), self._number, place))

    def _collect(self) -> None:
        """Note what was answered since; what nobody will answer any more has failed."""
        unanswered = self._story.cluster.application.asked
        still = []
        for asked, number, place in self._on_way:
            if asked.code == 0:
                self.account.answers(number, [place])
            elif asked.code is not None or asked.original.unique not in unanswered:
                self.errors += 1
            else:
                still.append((asked, number, place))
        self._on_way = still
