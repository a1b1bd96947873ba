"""A story: a calm cluster of a few nodes, to which one thing happens after the other, told in a few words each."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec

from dkrepl.config.description import Description
from dkrepl.errors import DkreplError
from dkrepl.io.fuse import SYNC, WRITE
from tests.simulation import settings
from tests.simulation.cluster import Cluster
from tests.simulation.commands import give
from tests.simulation.device import Asked
from tests.simulation.disk import SECTOR
from tests.simulation.machine import Machine
from tests.simulation.process import Process
from tests.simulation.roles import promote
from tests.simulation.settings import Settings

SEEDS = range(1, 9)


def calm(nodes: int = 3, modes: dict[str, str] | None = None, **changes: Any) -> Callable[[random.Random], Settings]:
    """Return what draws the settings of a story: ``nodes`` nodes, sync but for those that ``modes``
    names; ``changes``: of these settings, or of the description that they hold."""
    described = {key: changes.pop(key) for key in list(changes) if key in Description.__struct_fields__}

    def draw(rng: random.Random) -> Settings:
        drawn = settings.draw(rng)
        while len(drawn.description.nodes) != nodes:
            drawn = settings.draw(rng)
        found = tuple(
            msgspec.structs.replace(node, mode=(modes or {}).get(node.name, "sync"), on_full="block", async_limit=16)
            for node in drawn.description.nodes
        )
        plain: dict[str, Any] = {"nodes": found, "resync_rate": 0, "start_alone": None, "min_copies": 1}
        description = msgspec.structs.replace(drawn.description, **(plain | described))
        quiet = replace(
            drawn, description=description, hwm=200, cold=0.0, depth=2, pace=0.02, kept=False, never_waits=False
        )
        return replace(quiet, **changes)

    return draw


class Story:
    """A cluster of alpha (source), beta and gamma (and delta), all in sync."""

    def __init__(self, seed: int, drawn: Callable[[random.Random], Settings]) -> None:
        self.cluster = Cluster(seed, settings=drawn)
        self.world = self.cluster.world

    def begin(self) -> None:
        """Let them come in sync, and write for a while."""
        self.cluster.start()
        self.until(self.in_sync, "all are in sync")
        self.run(3.0)

    def run(self, seconds: float) -> None:
        self.world.run_until(self.world.now + seconds)

    def until(self, done: Callable[[], bool], what: str) -> None:
        assert self.world.run_until(self.world.now + 30.0, done), f"seed {self.world.seed}: never: {what}"

    def machine(self, name: str) -> Machine:
        return self.cluster.machines[name]

    def process(self, name: str) -> Process:
        """The daemon of a machine, which runs."""
        process = self.machine(name).process
        assert process is not None, f"seed {self.world.seed}: no daemon runs on {name}"
        return process

    def store(self, name: str) -> bytearray:
        """What a node's copy holds."""
        return self.machine(name).disk.store.cache

    # --- who is what ---------------------------------------------------------------------------------

    @property
    def source(self) -> Process:
        """The daemon that serves as source."""
        found = self.cluster.source
        assert found is not None, f"seed {self.world.seed}: no node is source"
        return found

    def is_source(self, name: str) -> bool:
        return any(process.name == name for process in self.cluster.sources)

    def in_sync(self, but: str = "") -> bool:
        source = self.cluster.source
        if source is None or len(self.cluster.sources) != 1:
            return False
        return all(view.state == "InSync" for view in source.runtime.source.views.values() if view.name != but)

    def follows(self, name: str) -> bool:
        """Whether a target is in sync with the source."""
        source = self.cluster.source
        return source is not None and source.runtime.source.views[name].state == "InSync"

    # --- what is done to them ------------------------------------------------------------------------

    def crash(self, kind: str, *names: str) -> None:
        """Kill daemons, or cut the power of machines, at once."""
        for name in names:
            self.machine(name).crash(kind)

    def start(self, *names: str) -> None:
        for name in names:
            self.machine(name).start()

    def stop(self, name: str) -> None:
        """Stop a daemon cleanly."""
        process = self.machine(name).process
        assert process is not None
        process.stop()
        self.until(lambda: self.machine(name).process is None, f"{name} has stopped")

    def restart(self, *names: str) -> None:
        """Kill daemons; as soon as the service manager starts them they read their descriptions anew."""
        self.crash("kill", *names)
        self.run(0.2)
        self.start(*names)

    def cut(self, name: str, *others: str) -> None:
        """Nothing passes between a node and others, either way, until ``join``."""
        for other in others:
            self.cluster.switch.wires(name, other).cut |= {(name, other), (other, name)}

    def join(self, name: str, *others: str) -> None:
        for other in others:
            self.cluster.switch.wires(name, other).heal()

    def reconnect(self, name: str, seconds: float) -> None:
        """A node's control connections are replaced by new ones, which takes that long."""
        process = self.machine(name).process
        assert process is not None
        for dealer in process.runtime.channel.sockets.control.values():
            dealer.replacing_until = self.world.now + seconds

    def slow(self, seconds: float) -> None:
        """Every frame between any two nodes takes this long."""
        names = list(self.cluster.machines)
        for one in names:
            for other in names:
                if one != other:
                    wires = self.cluster.switch.wires(one, other)
                    wires.delay, wires.least = seconds, seconds

    def describe(self, description: Description, *names: str) -> None:
        """Edit the description file of these machines; their daemons read it when they are started again."""
        for name in names:
            self.machine(name).described = description

    def nodes(self, *names: str) -> Description:
        """Return the description with these nodes, in this order."""
        description = self.cluster.description
        return msgspec.structs.replace(description, nodes=tuple(description.node(name) for name in names))

    def modes(self, **modes: str) -> Description:
        """Return the description with these nodes' modes changed."""
        description = self.cluster.description
        nodes = (msgspec.structs.replace(n, mode=modes.get(n.name, n.mode)) for n in description.nodes)
        return msgspec.structs.replace(description, nodes=tuple(nodes))

    # --- the application -----------------------------------------------------------------------------

    def quiet(self) -> None:
        """The application asks for nothing more, everything is answered, and every target has had time to flush."""
        self.cluster.application.running = False
        self.until(lambda: not self.cluster.application.asked, "all is answered")
        self.run(2.0)

    def ask(self, op: int, offset: int = 0, data: bytes = b"") -> Asked:
        """Ask the source for a write or a flush, and do not wait for it."""
        return self.cluster.application.ask(self.source, op, offset, len(data), data)

    def write(self, offset: int, data: bytes) -> Asked:
        """Write, and wait for the answer."""
        return self._answered(self.ask(WRITE, offset, data))

    def flush(self) -> Asked:
        """Flush, and wait for the answer."""
        return self._answered(self.ask(SYNC))

    def _answered(self, asked: Asked) -> Asked:
        self.until(lambda: asked.code is not None, "an answer of the device")
        return asked

    def write_a_little(self, seed: bytes = b"A", count: int = 4) -> None:
        """Write to a few places, flush, and see all of it answered."""
        for number in range(count):
            data = seed * (SECTOR - 8) + b"%08x" % number
            assert self.write(number * 10 * SECTOR, data).code == 0
        assert self.flush().code == 0

    def missing(self, name: str) -> list[str]:
        """What was answered, by any source, and a node's copy lacks."""
        return [str(promise) for promise in self.cluster.answers.missing(self.store(name))]

    # --- the administrator ---------------------------------------------------------------------------

    def command(self, node: str, what: str, **arguments: Any) -> dict[str, Any]:
        """Give a command, which must not be refused."""
        answer = self.ask_for(node, what, **arguments)
        assert not isinstance(answer, DkreplError), f"seed {self.world.seed}: {what}: {answer}"
        return answer

    def ask_for(self, node: str, what: str, **arguments: Any) -> dict[str, Any] | DkreplError:
        """Give a command; it may be refused."""
        answers: list[dict[str, Any] | DkreplError] = []
        process = self.machine(node).process
        assert process is not None
        give(process, what, arguments, answers.append)
        self.until(lambda: bool(answers), f"an answer to {what}")
        return answers[0]

    def safe(self, node: str) -> bool:
        """Whether a dry run calls the promotion of a node safe."""
        return bool(self.command(node, "promote", dry_run=True)["safe"])

    def promote(self, node: str, force: bool = False) -> None:
        """Promote a node, and see it serve."""
        promote(self.machine(node), force)
        self.until(lambda: self.cluster.source is not None and self.source.name == node, f"{node} is source")

    def switch_over(self, old: str, new: str) -> None:
        """Hand the mirror over, and see the other node serve."""
        self.command(old, "switchover", to=new)
        self.until(lambda: self.is_source(new), f"{new} is source")
        self.cluster.official = new

    # --- what became of it ---------------------------------------------------------------------------

    def copied(self, target: str) -> int:
        """Blocks that the source's last resync of a target had to copy."""
        last = self.source.runtime.source.views[target].last_resync
        return int(last["copied_bytes"]) // self.cluster.description.block

    def written_since(self, moment: float) -> set[int]:
        """Blocks of every change that was not answered by then, or was asked for later."""
        changes = self.cluster.application.changes
        late = (asked for asked in changes if asked.answered_at is None or asked.answered_at >= moment)
        return {block for asked in late for block in asked.blocks}

    def equal(self) -> None:
        """Nothing asks any more, and the copies are the same."""
        self.cluster.application.running = False
        self.until(lambda: not self.cluster.application.asked and self.in_sync(), "all are quiet and in sync")
        self.run(2.0)
        stores = {bytes(machine.disk.store.cache) for machine in self.cluster.machines.values()}
        assert len(stores) == 1, f"seed {self.world.seed}: the copies differ"


@contextlib.contextmanager
def telling(seed: int, **changes: Any) -> Iterator[Story]:
    """Tell a story; see ``calm`` for what may be changed."""
    told = Story(seed, calm(**changes))
    told.begin()
    yield told
