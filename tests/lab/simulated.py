"""The simulated backend: whole nodes in this process on virtual time, whose every step comes from a seed.

The rules of the project are checked all the while (``tests/simulation/checks.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from dkrepl.api import requests
from dkrepl.api.status import Status
from dkrepl.errors import DaemonNotRunning, DkreplError, TimedOut
from tests.lab.mirror import Mirror, Wanted
from tests.lab.node import Node
from tests.lab.pages import pattern
from tests.lab.simulated_load import SimulatedLoad, SimulatedWrites, VirtualTime
from tests.lab.status import status_by
from tests.lab.workload import Area
from tests.simulation.commands import give
from tests.simulation.machine import Machine
from tests.simulation.settings import BLOCK, EXTENT_BLOCKS
from tests.simulation.story import Story, telling

_BLOCKS = 96
_ANSWER = 20.0  # seconds that a daemon may take to answer a command
_RESTARTS = 0.2  # seconds after which the service manager starts a daemon that has died
_RUN = 4 * BLOCK  # bytes of one write that fills an area


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
