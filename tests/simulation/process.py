"""One life of a daemon: the real runtimes, one after the other, on a simulated loop, threads, files and sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dkrepl.config.description import Description
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.node import Begin
from dkrepl.daemon import outside
from dkrepl.daemon.peers.arbitration_runtime import ArbitrationRuntime
from dkrepl.daemon.roles import Roles
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
        self.outside: outside.Outside = Outside(self)
        self.roles = _Roles(self)
        self.commands: list[Command] = []
        self._ready: list[int] = []
        self._round_due = False
        self._operations_left: int | None = None
        self._kind = "kill"

    def start(self) -> None:
        """Open everything and begin to serve, or to ask; it may die on the way."""
        self._or_fails(self._start)

    def _start(self) -> None:
        self._tick_later()
        self.roles.start()

    @property
    def runtime(self) -> Any:
        """That of the present role; None while there is none."""
        return self.roles.runtime

    @property
    def reactor(self) -> Reactor:
        """The loop of the present role."""
        return self.roles.reactor

    def stop(self) -> None:
        """End the daemon, cleanly."""
        if self.runtime is not None:
            self.roles.stop()

    def _next(self) -> None:
        """The loop of a role has ended: the daemon ends, or goes on in another role."""
        self.roles.ended()
        if self.runtime is None:
            self.end("has stopped")

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


class _Roles(Roles):
    """The roles of a process, and what the cluster is told of them."""

    def __init__(self, process: Process) -> None:
        self._process = process
        node, events = process.description.node(process.name), Events(process)
        self.reactor = Reactor(process)
        super().__init__(
            outside=process.outside,
            description=process.description,
            node=node,
            events=events,
            access=Access(process.description, node, None, events.report),  # the simulated sockets know no keys
            age=process.machine.handed_over(),
            check=lambda _: None,
            make_loop=self._make_loop,
            limits=process.limits,
        )
        self._before: Any = None  # the runtime that ended last

    def _make_loop(self) -> Reactor:
        self.reactor = Reactor(self._process)
        return self.reactor

    def _begin(self, action: Begin) -> None:
        process = self._process
        super()._begin(action)
        assert self.runtime is not None
        self.runtime.start(lambda: None)
        if action.role == "arbitrating":
            process.world.note(process.name, "asks its peers")
        else:
            process.world.note(process.name, f"starts as {action.role}")
            process.cluster.started(process)

    def _decided(self, runtime: Any) -> None:
        self._before = runtime
        serves = any(isinstance(action, Begin) and action.role == "source" for action in self.node.actions)
        if isinstance(runtime, ArbitrationRuntime) and serves:
            self._process.cluster.serves_again(self._process, runtime.arbitration)

    def _write(self, metadata: NodeMetadata) -> None:
        super()._write(metadata)
        if metadata.role == "target" or not isinstance(self._before, ArbitrationRuntime):
            self._process.cluster.role_taken(self._process, self._before, metadata)
