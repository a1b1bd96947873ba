"""The loop, the threads and the event log of a simulated daemon."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dkrepl.errors import DkreplError

if TYPE_CHECKING:
    from tests.simulation.process import Process

_THREADS = {"flush": 1, "commit": 1, "read": 2, "empty": 1, "command": 4}


class Reactor:
    """The loop: descriptors are any objects, made ready by ``Process.ready``."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.handlers: dict[int, Callable[[], None]] = {}
        self.posted: deque[Callable[[], None]] = deque()
        self.stopping = False
        self.busy = False
        self.ended = False
        self.moved = 0
        self.workers: Workers | None = None

    def watch(self, fd: int, handler: Callable[[], None]) -> None:
        self.handlers[fd] = handler
        self._process.wake()

    def ignore(self, fd: int) -> None:
        self.handlers.pop(fd, None)

    def post(self, work: Callable[[], None]) -> None:
        if not self.ended:
            self.posted.append(work)
            self._process.wake()

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        self._process.world.after(seconds, lambda: self.post(work))


class Workers:
    """Threads: what they run takes time, and other events happen in the middle of it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._reactor = process.reactor
        self._waiting: dict[str, deque[tuple[Callable[[], Any], Callable[..., None]]]] = {}
        self._running = dict.fromkeys(_THREADS, 0)
        self._told: dict[str, float] = {}  # when the loop is told the newest result of a kind
        self._reactor.workers = self

    @property
    def idle(self) -> bool:
        """Whether nothing runs."""
        return not any(self._running.values())

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
        now, delay = process.world.now, process.world.rng.random() * 0.002
        if _THREADS[kind] == 1:  # what one thread has done is told in that order
            self._told[kind] = max(now + delay, self._told.get(kind, 0.0))
            delay = self._told[kind] - now
        process.world.after(delay, lambda: self._reactor.post(lambda: done(result, failure)) if process.alive else None)

    def close(self) -> None:
        self._waiting.clear()


class Events:
    """The event log."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def report(self, name: str, level: str = "info", fields: Mapping[str, Any] | None = None) -> None:
        shown = " ".join(f"{key}={value}" for key, value in (fields or {}).items() if value is not None)
        self._process.world.note(self._process.name, f"{name} {shown}")
        self._process.cluster.checks.event(self._process, name, fields or {})
        self._process.world.count(f"event {name}")
