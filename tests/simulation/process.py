"""One life of a daemon: the real runtime of a source or target, on a simulated loop, threads, files and sockets."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dkrepl.core.errors import DkreplError
from dkrepl.daemon.source_runtime import SourceRuntime
from dkrepl.daemon.target_runtime import TargetRuntime
from tests.simulation.files import MetadataFile, Paths, Store

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

_TICK = 0.1  # seconds
_THREADS = {"flush": 1, "commit": 1, "read": 2}


class Died(BaseException):
    """The process has ended in the middle of what it was doing."""

    def __init__(self, process: Process) -> None:
        super().__init__(process.name)
        self.process = process


class Reactor:
    """The loop: descriptors are any objects, made ready by ``Process.ready``."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.handlers: dict[object, Callable[[], None]] = {}
        self.posted: deque[Callable[[], None]] = deque()
        self.stopping = False
        self.busy = False
        self.moved = 0

    def watch(self, fd: object, handler: Callable[[], None]) -> None:
        self.handlers[fd] = handler
        self._process.wake()

    def ignore(self, fd: object) -> None:
        self.handlers.pop(fd, None)

    def post(self, work: Callable[[], None]) -> None:
        self.posted.append(work)
        self._process.wake()


class Workers:
    """Threads: what they run takes time, and other events happen in the middle of it."""

    def __init__(self, reactor: Reactor) -> None:
        self._process: Process = reactor._process
        self._reactor = reactor
        self._waiting: dict[str, deque[tuple[Callable[[], Any], Callable[..., None]]]] = {}
        self._running = dict.fromkeys(_THREADS, 0)

    def run(self, kind: str, work: Callable[[], Any], done: Callable[..., None]) -> None:
        self._waiting.setdefault(kind, deque()).append((work, done))
        self._start(kind)

    def _start(self, kind: str) -> None:
        process = self._process
        if self._running[kind] < _THREADS[kind] and self._waiting.get(kind):
            self._running[kind] += 1
            work, done = self._waiting[kind].popleft()
            process.world.after(
                process.machine.work_delay(), lambda: process.guarded(lambda: self._do(kind, work, done))
            )

    def _do(self, kind: str, work: Callable[[], Any], done: Callable[..., None]) -> None:
        process = self._process
        result, failure = None, None
        process.working = True
        try:
            result = work()
        except DkreplError as error:
            failure = error
        finally:
            process.working = False
        self._running[kind] -= 1
        self._start(kind)
        process.world.after(
            process.world.rng.random() * 0.002,
            lambda: self._reactor.post(lambda: done(result, failure)) if process.alive else None,
        )

    def close(self) -> None:
        self._waiting.clear()


class Events:
    """The event log."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def tell(self, name: str, level: str = "info", fields: dict[str, Any] | None = None) -> None:
        shown = " ".join(f"{key}={value}" for key, value in (fields or {}).items() if value is not None)
        self._process.world.note(self._process.name, f"{name} {shown}")
        self._process.cluster.checks.event(self._process, name, fields or {})
        self._process.world.count(f"event {name}")


class Process:
    """A running daemon; ``alive`` until it is killed or ends."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.world: World = machine.world
        self.name: str = machine.name
        self.cluster: Cluster = machine.cluster
        self.alive = True
        self.working = False
        self.reactor = Reactor(self)
        self.runtime: Any = None
        self._ready: list[object] = []
        self._round_due = False
        self._operations_left: int | None = None
        self._kind = "kill"

    def start(self) -> None:
        """Open everything and begin to serve; it may die on the way."""
        try:
            self.guarded(self._start)
        except DkreplError as error:
            self.end(f"cannot start: {error}")
            self.world.after(0.5, self.machine.start)

    def _start(self) -> None:
        machine = self.machine
        record = machine.disk.metadata()
        MetadataFile.settle(self)
        kind: Any = SourceRuntime if record.role == "source" else TargetRuntime
        cluster = machine.cluster
        cluster.starting = self
        node = cluster.description.node(self.name)
        self.runtime = kind(Paths(self), cluster.description, node, record, Store(self), self.reactor, Events(self))
        self.runtime.start(threading.Event())
        self.world.note(self.name, f"starts as {record.role}")
        cluster.started(self)
        self.world.after(0.0, self._tick)

    @property
    def is_source(self) -> bool:
        """Whether it runs as source."""
        return isinstance(self.runtime, SourceRuntime)

    # --- the loop ------------------------------------------------------------------------------------

    def ready(self, fd: object) -> None:
        """Something can be read from ``fd``."""
        if fd not in self._ready:
            self._ready.append(fd)
        self.wake()

    def wake(self) -> None:
        """A round of the loop is due."""
        if not self._round_due and self.alive:
            self._round_due = True
            self.world.after(self.machine.loop_delay(), lambda: self.guarded(self._round))

    def _tick(self) -> None:
        if self.alive:
            self.world.after(_TICK, self._tick)
            self.guarded(self._ticked)

    def _ticked(self) -> None:
        if self.machine.stuck:
            return
        self.runtime.tick()
        self.cluster.after_round(self)

    def _round(self) -> None:
        self._round_due = False
        if self.machine.stuck:
            self.world.after(0.05, self.wake)
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
            self.end("has stopped")

    # --- dying ---------------------------------------------------------------------------------------

    def io(self, what: str) -> None:
        """An operation on a file begins or has ended: the process may die here, or be slow."""
        if not self.alive:
            raise Died(self)
        if self._operations_left is not None:
            self._operations_left -= 1
            if self._operations_left <= 0:
                self.world.note(self.name, f"dies at: {what}")
                self.machine.crash(self._kind)
                raise Died(self)
        if self.working:
            self.working = False
            self.world.interrupt()
            self.working = True
            if not self.alive:
                raise Died(self)

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
