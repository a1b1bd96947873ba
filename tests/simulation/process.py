"""One life of a daemon: the real runtimes, one after the other, on a simulated loop, threads, files and sockets."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dkrepl.config.description import Description
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.daemon import lifecycle, outside
from dkrepl.daemon.peers.arbitration_runtime import ArbitrationRuntime
from dkrepl.daemon.source.runtime import SourceRuntime
from dkrepl.daemon.target.runtime import TargetRuntime
from dkrepl.errors import DkreplError
from dkrepl.io.net.access import Access
from tests.simulation.loop import Events, Reactor
from tests.simulation.operator import Command, Done
from tests.simulation.outside import Outside
from tests.simulation.world import Died

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

_TICK = 0.1  # seconds


class Process:
    """A running daemon; ``alive`` until it is killed or ends."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.world: World = machine.world
        self.name: str = machine.name
        self.cluster: Cluster = machine.cluster
        self.description: Description = machine.described
        self.limits = machine.cluster.settings.limits
        self.alive = True
        self.working = False
        self.reactor: Reactor = Reactor(self)
        self.outside: outside.Outside = Outside(self)
        self.runtime: Any = None
        self.commands: list[Command] = []
        self._stopping = False
        self._first = True  # no runtime has served yet
        self._ready: list[int] = []
        self._round_due = False
        self._operations_left: int | None = None
        self._kind = "kill"

    def start(self) -> None:
        """Open everything and begin to serve, or to ask; it may die on the way."""
        self._or_fails(self._start)

    def _start(self) -> None:
        record = self.outside.state.read_metadata()
        self.outside.state.settle_metadata()
        self._tick_later()
        if lifecycle.asks_first(record):
            self._open(ArbitrationRuntime, record, self.machine.handed_over())
            self.world.note(self.name, "asks its peers")
        else:
            self._serve()

    def _serve(self) -> None:
        record = lifecycle.served_with(self.machine.disk.metadata(), self._first)
        self._first = False
        self.outside.state.settle_metadata()
        self.outside.store.begin()
        self._open(SourceRuntime if record.role == "source" else TargetRuntime, record)
        self.world.note(self.name, f"starts as {record.role}")
        self.cluster.started(self)

    def _open(self, kind: Any, record: NodeMetadata, *more: Any) -> None:
        self.reactor = Reactor(self)
        self._stopping = False
        node, events = self.description.node(self.name), Events(self)
        access = Access(self.description, node, None, events.report)  # the simulated sockets know no keys
        self.runtime = kind(
            self.outside, self.description, node, record, self.reactor, events, access, *more, limits=self.limits
        )
        self.runtime.start(threading.Event())

    def _next(self) -> None:
        """The runtime has stopped: the daemon ends, or goes on in another role."""
        runtime, self.runtime = self.runtime, None
        runtime.close()
        if runtime.error is not None:
            raise runtime.error
        record = self.machine.disk.metadata()
        if isinstance(runtime, ArbitrationRuntime):
            arbitration = runtime.arbitration
            step = lifecycle.after_arbitration(
                record, arbitration.verdict, runtime.becomes, runtime.overruled, arbitration.with_outcome
            )
            if step.serves and not step.abandons:
                self.cluster.serves_again(self, runtime.arbitration)
        else:
            step = lifecycle.after_serving(record, runtime.becomes)
        if step.record is not None:
            self.outside.state.write_metadata(step.record)
            if step.abandons or not isinstance(runtime, ArbitrationRuntime):
                self.cluster.role_taken(self, runtime, step.record)
        if not step.serves:
            self.end("has stopped")
            return
        self._serve()

    def stop(self) -> None:
        """End the runtime that serves now, cleanly; once at the most."""
        if not self._stopping and self.runtime is not None:
            self._stopping = True
            self.reactor.post(self.runtime.stop)

    def command(self, name: str, arguments: dict[str, Any], done: Done = lambda _: None) -> None:
        """The administrator's command, as over the control socket; ``done`` with its outcome, if it has one."""
        if self.alive and self.runtime is not None:
            Command(self, name, arguments, done)

    def _or_fails(self, work: Callable[[], None]) -> None:
        """Run ``work``; what fails at a start ends the daemon, and the service manager starts it again."""

        def attempt() -> None:
            try:
                work()
            except DkreplError as error:
                self.end(f"cannot start: {error}")
                self.world.after(0.5, self.machine.start)

        self.guarded(attempt)

    @property
    def is_source(self) -> bool:
        """Whether it serves as source."""
        return isinstance(self.runtime, SourceRuntime)

    @property
    def is_target(self) -> bool:
        """Whether it serves as target."""
        return isinstance(self.runtime, TargetRuntime)

    # --- the loop ------------------------------------------------------------------------------------

    def ready(self, fd: int) -> None:
        """Something can be read from ``fd``."""
        if fd not in self._ready:
            self._ready.append(fd)
        self.wake()

    def wake(self) -> None:
        """A round of the loop is due."""
        if not self._round_due and self.alive:
            self._round_due = True
            self.world.after(self.machine.loop_delay(), lambda: self.guarded(self._round))

    def _tick_later(self) -> None:
        self.world.after(_TICK, lambda: self.guarded(self._ticked))

    def _ticked(self) -> None:
        self._tick_later()
        if self.machine.stuck or self.runtime is None or self.reactor.ended:
            return
        self.runtime.tick()
        if self.reactor.stopping:
            self.wake()  # the loop looks at that after each of its turns, whatever began it
        if self.is_source:
            self.machine.showed_life = self.machine.monotonic()
        self.cluster.after_round(self)

    def _round(self) -> None:
        self._round_due = False
        if self.machine.stuck:
            self.world.after(0.05, self.wake)
            return
        if self.runtime is None or self.reactor.ended:
            return
        reactor = self.reactor
        for _ in range(len(reactor.posted)):
            reactor.posted.popleft()()
        ready, self._ready = self._ready, []
        for fd in ready:
            handler = reactor.handlers.get(fd)
            if handler is not None:
                handler()
        self.runtime.step()
        reactor.moved += 1
        for fd in ready:
            if getattr(fd, "waiting", False):
                self.ready(fd)
        if reactor.busy:
            self.wake()
        self.cluster.after_round(self)
        if reactor.stopping:
            reactor.ended = True
            if reactor.workers is not None:
                reactor.workers.close()
            self._when_idle()

    def _when_idle(self) -> None:
        """What threads are doing is done before the runtime is closed."""
        workers = self.reactor.workers
        if workers is None or workers.idle:
            self._or_fails(self._next)
        else:
            self.world.after(0.001, lambda: self.guarded(self._when_idle))

    # --- dying ---------------------------------------------------------------------------------------

    def _tear(self, what: str) -> None:
        if what == "bitmap write" and self.machine.power_lost:
            # Blocks that a target had marked were just added outside the active extents: this looks like damage.
            self.machine.excused = True

    def io(self, what: str) -> None:
        """An operation on a file begins or has ended: the process may die here, or be slow."""
        if not self.alive:
            raise Died(self, self.name)
        if self._operations_left is not None:
            self._operations_left -= 1
            if self._operations_left <= 0:
                self.world.note(self.name, f"dies at: {what}")
                self.machine.crash(self._kind)
                self._tear(what)
                raise Died(self, self.name)
        if self.working:
            self.working = False
            self.world.interrupt()
            self.working = True
            if not self.alive:
                self._tear(what)
                raise Died(self, self.name)

    def fails(self, what: str) -> bool:
        """Whether the disk fails an operation now."""
        probability = self.machine.disk_faults.get(what, 0.0)
        return probability > 0 and self.world.chance(probability)

    def die_soon(self, operations: int, kind: str) -> None:
        """Die at one of the next operations on a file."""
        self._operations_left, self._kind = operations, kind

    def die_never(self) -> None:
        """Undo ``die_soon``."""
        self._operations_left = None

    def guarded(self, work: Callable[[], None]) -> None:
        """Run something of this process, if it lives, and let it die quietly in the middle."""
        if not self.alive:
            return
        if self.machine.suspended:
            self.machine.deferred.append(lambda: self.guarded(work))
            return
        try:
            work()
        except Died as death:
            if death.process is not self:
                raise

    def end(self, why: str, quietly: bool = False) -> None:
        """The process is gone, however that came; ``quietly``: its peers' kernels are not told."""
        if self.alive:
            self.alive = False
            self.world.note(self.name, why)
            self.cluster.ended(self, quietly)
