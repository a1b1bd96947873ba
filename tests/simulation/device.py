"""The device of a source and the application that uses it: writes, reads, flushes, discards, all at once."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dkrepl.errors import DkreplError
from dkrepl.io.fuse import DISCARD, READ, SYNC, WRITE, ZERO, Request
from tests.simulation.disk import SECTOR
from tests.simulation.listener import Fd
from tests.simulation.settings import BLOCK
from tests.simulation.world import RuleBroken

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster
    from tests.simulation.process import Process

NAMES = {DISCARD: "discard", READ: "read", SYNC: "flush", WRITE: "write", ZERO: "zero"}


class Device:
    """The FUSE session and the loop device of one source process."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.session = self
        self.fd = Fd("device")
        self.link = "device"
        self.kept = False
        self.loop = None
        self.pending: deque[Request] = deque(process.cluster.application.taken_over(process))
        self.taken_over = self.fd.waiting = bool(self.pending)
        process.ready(self.fd)
        process.device = self  # type: ignore[attr-defined]

    # --- as Device -----------------------------------------------------------------------------------

    def attach(self, done: Callable[[DkreplError | None], None]) -> None:
        """As in a thread: rounds of the loop come before it, in which pending requests are served."""
        world, process = self._process.world, self._process
        seconds = world.random(f"attach {world.now}").choice((0.002, 0.002, 0.02, 0.3)) * min(process.machine.slow, 5.0)
        world.after(seconds, lambda: process.guarded(lambda: done(None)))

    def users(self) -> list[str]:
        return []

    def detach(self, done: Callable[[bool], None]) -> None:
        self._process.cluster.application.device_is_going()
        done(True)

    def leave(self, drained: bool) -> None:
        """There is no service manager: a successor finds what was asked with the application."""

    def close(self) -> None:
        return

    # --- as FuseSession ------------------------------------------------------------------------------

    def receive(self) -> Request | None:
        request = self.pending.popleft() if self.pending else None
        self.fd.waiting = bool(self.pending)
        return request

    def reply_written(self, unique: int, size: int) -> None:
        self._process.cluster.application.answered(unique, 0)

    def reply_ok(self, unique: int) -> None:
        self._process.cluster.application.answered(unique, 0)

    def reply_error(self, unique: int, code: int) -> None:
        self._process.cluster.application.answered(unique, code)

    def reply_data(self, unique: int, data: bytes | bytearray | memoryview) -> None:
        self._process.cluster.application.answered(unique, 0)

    def ask(self, request: Request) -> None:
        """The application asks for something."""
        self.pending.append(request)
        self.fd.waiting = True
        self._process.ready(self.fd)


@dataclass
class Asked:
    """A request without an answer yet."""

    op: int
    at: float
    process: Process
    request: Request
    original: Request
    seq: int = 0
    after: int = 0  # answers that were given before it was asked for
    code: int | None = None  # of its answer: 0, or the error that the application gets
    answered_at: float | None = None

    @property
    def sectors(self) -> range:
        """What it changes."""
        first = self.original.offset // SECTOR
        return range(first, first + self.original.length // SECTOR)

    @property
    def blocks(self) -> range:
        """The blocks of the bitmaps that it changes."""
        first, end = self.original.offset, self.original.offset + self.original.length
        return range(first // BLOCK, (end - 1) // BLOCK + 1)


class Application:
    """Uses the device of the node that is source; ``depth`` requests at once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._world = cluster.world
        self._rng = cluster.world.random("application")
        self._unique = 0
        self.asked: dict[int, Asked] = {}
        self.running = True
        self.longest = 0.0
        self.changes: list[Asked] = []  # what was asked for, apart from reads and flushes

    def start(self) -> None:
        self._world.after(0.01, self._next)

    def device_is_going(self) -> None:
        """A clean stop: nothing is asked any more, and nothing is on the way."""

    def source_ended(self, process: Process, kept: bool) -> None:
        """A source is gone: if the device is ``kept`` its successor is asked again, else nobody ever answers."""
        if not kept:
            self.source_is_no_more(process.name)

    def source_is_no_more(self, name: str) -> None:
        """A node is demoted: what was asked of its device fails."""
        self.asked = {unique: asked for unique, asked in self.asked.items() if asked.process.name != name}

    def taken_over(self, process: Process) -> list[Request]:
        """What a source's predecessor has not answered, in any order."""
        found = [asked for asked in self.asked.values() if asked.process.name == process.name]
        for asked in found:
            asked.process, asked.seq = process, 0
            first = asked.original
            asked.request = Request(first.op, first.unique, first.offset, first.length, first.data)
        self._world.rng.shuffle(found)
        if found:
            self._world.count("requests asked again", len(found))
        return [asked.request for asked in found]

    def _next(self) -> None:
        world, settings = self._world, self._cluster.settings
        if not self.running:
            return
        world.after(self._rng.expovariate(1.0 / settings.pace), self._next)
        sources = self._cluster.sources
        process = self._rng.choice(sources) if sources else None
        if process is None or process.runtime.state != "Serving" or len(self.asked) >= settings.depth:
            return
        self._ask_anything(process)

    def _ask_anything(self, process: Process) -> None:
        rng, size = self._rng, self._cluster.description.size
        op = rng.choices((WRITE, SYNC, DISCARD, ZERO, READ), (70, 10, 4, 3, 2))[0]
        offset = length = 0
        data = b""
        if op != SYNC:
            sectors = size // SECTOR
            hot = rng.random() < 0.5
            first = rng.randrange(min(sectors, 24) if hot else sectors)
            most = {DISCARD: 200, ZERO: 60}.get(op, 10)
            count = min(sectors - first, rng.randrange(1, most + 1))
            offset, length = first * SECTOR, count * SECTOR
        if op == WRITE:
            zeros = rng.random() < 0.05
            data = b"".join(
                bytes(SECTOR) if zeros else b"%08x%08x" % (self._unique + 1, offset // SECTOR + n)
                for n in range(length // SECTOR)
            )
        self.ask(process, op, offset, length, data)

    def ask(self, process: Process, op: int, offset: int = 0, length: int = 0, data: bytes = b"") -> Asked:
        """Ask a source for something; the outcome is in what is returned."""
        self._unique += 1
        request = Request(op, self._unique, offset, length, data)
        original = Request(op, self._unique, offset, length, data)  # the daemon changes the one that it is given
        asked = Asked(op, self._world.now, process, request, original, after=self._cluster.answers.count)
        self.asked[self._unique] = asked
        if length and op != READ:
            self.changes.append(asked)
        self._world.note("app", f"{NAMES[op]} {offset}+{length} as {self._unique}")
        self._world.count("requests")
        process.device.ask(request)  # type: ignore[attr-defined]
        return asked

    def answered(self, unique: int, code: int) -> None:
        """A request has its answer."""
        asked = self.asked.pop(unique, None)
        if asked is None:
            return
        asked.code, asked.answered_at = code, self._world.now
        self.longest = max(self.longest, self._world.now - asked.at)
        self._world.note("app", f"{unique} answered, code {code}, seq {asked.seq}")
        if code == 0:
            self._cluster.checks.answered(asked)
            self._cluster.checks.in_time(asked)
        else:
            if code not in (errno.EIO, errno.ENOSPC):
                raise RuleBroken("R10", f"request {unique} fails with {code}, and no disk gave that error")
            self._world.count("requests failed")
