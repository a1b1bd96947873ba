"""The simulated backend: whole nodes in this process on virtual time, whose every step comes from a seed.

The rules of the project are checked all the while (``tests/simulation/checks.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from dkrepl.api import requests
from dkrepl.api.status import Status
from dkrepl.errors import DaemonNotRunning, DkreplError, TimedOut
from dkrepl.io.fuse import SYNC, WRITE
from tests.lab.mirror import Mirror, Wanted
from tests.lab.node import Node
from tests.lab.pages import pattern
from tests.lab.status import status_by
from tests.lab.waiting import LONG, wait_for
from tests.lab.workload import Account, Area, Missing
from tests.simulation.commands import give
from tests.simulation.device import Asked
from tests.simulation.machine import Machine
from tests.simulation.process import Process
from tests.simulation.settings import BLOCK, EXTENT_BLOCKS
from tests.simulation.story import Story, telling
from tests.simulation.world import World

_BLOCKS = 96
_ANSWER = 20.0  # seconds that a daemon may take to answer a command
_RESTARTS = 0.2  # seconds after which the service manager starts a daemon that has died
_RUN = 4 * BLOCK  # bytes of one write that fills an area
_DEPTH = 2  # writes of an application on their way at once
_PACE = 0.02  # mean seconds between two writes
_FLUSH_EVERY = 25  # writes


class SimulatedLab:
    """Makes mirrors that behave as the seed says."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    @contextmanager
    def mirror(self, wanted: Wanted) -> Iterator[SimulatedMirror]:
        """Return a mirror in sync, in which nothing happens but what the story does."""
        size = _BLOCKS * BLOCK
        rate = int(size / wanted.resync_seconds) if wanted.resync_seconds else 0
        with telling(
            self._seed,
            modes={"gamma": wanted.gamma},
            min_copies=wanted.min_copies,
            size=size,
            resync_rate=rate,
            kept=True,
        ) as story:
            story.quiet()
            yield SimulatedMirror(story)


class SimulatedMirror(Mirror):
    """A mirror of a story."""

    block = BLOCK
    extent = EXTENT_BLOCKS * BLOCK
    pause = 0.1

    def __init__(self, story: Story) -> None:
        self.story = story
        self.size = story.cluster.description.size
        self.clock = VirtualTime(story.world)
        self.nodes = {name: SimulatedNode(story, name) for name in story.cluster.machines}
        self._loads = 0

    def cut(self, node: Node, *others: Node) -> None:
        self.story.cut(node.name, *(other.name for other in others))

    def heal(self) -> None:
        for _, wires in self.story.cluster.switch.all_wires():
            wires.heal()

    def load(self, node: Node, area: Area, seed: int) -> SimulatedLoad:
        self._loads += 1
        return SimulatedLoad(self.story, node.name, area, f"load {self._loads} {seed}", self._loads << 32)

    def fill(self, node: Node, area: Area) -> SimulatedWrites:
        self._loads += 1
        writes = SimulatedWrites(self.story)
        for run in range(area.first, area.end, _RUN):
            places = range(run, min(run + _RUN, area.end), BLOCK)
            data = b"".join(pattern(self._loads << 32, place, BLOCK) for place in places)
            assert self.story.write(run, data).code == 0
        assert self.story.flush().code == 0
        writes.account.fills(self._loads << 32, area)
        return writes

    def wait_quiet(self, source: Node) -> None:
        super().wait_quiet(source)
        self.story.until(lambda: not any(map(self._marks_blocks, self.nodes)), "every node knows that nothing is open")

    def _marks_blocks(self, name: str) -> bool:
        """Whether a target has blocks marked for another node: the simulated ones clear few at a time."""
        process = self.story.process(name)
        return process.is_target and any(
            bitmap.any() for bitmap in process.runtime.target.peer_bitmaps.bitmaps.values()
        )

    @contextmanager
    def used(self, node: Node) -> Iterator[None]:
        if node is not None:
            raise NotImplementedError("the simulated device does not know who has it open")
        yield


class VirtualTime:
    """The time of the simulated world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> float:
        return self._world.now

    def rest(self, seconds: float) -> None:
        self._world.run_until(self._world.now + seconds)


class SimulatedNode:
    """A machine of a story, with the daemon that ships on it."""

    def __init__(self, story: Story, name: str) -> None:
        self.name = name
        self._story = story
        self._machine: Machine = story.machine(name)

    def start(self) -> None:
        self._story.start(self.name)

    def stop(self) -> None:
        self._story.stop(self.name)

    def restart(self) -> None:
        self.stop()
        self.start()

    def kill(self) -> None:
        self._story.crash("kill", self.name)
        self._story.run(_RESTARTS)
        self.start()

    def power_off(self) -> None:
        self._story.crash("power", self.name)

    def power_on(self) -> None:
        self.start()

    def status(self) -> Status | None:
        return status_by(self.ask)

    def ask(self, request: requests.Request) -> dict[str, Any]:
        command, arguments = requests.command_of(request), msgspec.to_builtins(request)
        del arguments["command"]
        process, world = self._machine.process, self._story.world
        if process is None or process.runtime is None:
            raise DaemonNotRunning(f"no daemon runs on {self.name}")
        answers: list[dict[str, Any] | DkreplError] = []
        # What may be lost is for the checks to know, as the administrator does.
        self._machine.forced = self._machine.forced or "force" in arguments
        give(process, command, arguments, answers.append)
        world.run_until(world.now + _ANSWER, lambda: bool(answers) or not process.alive)
        if not answers:
            raise DaemonNotRunning(f"{self.name} went away") if not process.alive else TimedOut(f"{command} hangs")
        if isinstance(answers[0], DkreplError):
            if "force" in arguments:
                self._machine.forced = False
            raise answers[0]
        if command == "promote" and not arguments.get("dry_run"):
            self._story.cluster.official = self.name
        return answers[0]

    def digest(self) -> str:
        return hashlib.sha256(self._story.store(self.name)).hexdigest()


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
