"""The administrator: commands to running daemons, carried out by the code that ships, at any moment.

A command runs in a thread of its own, as a client's does in the daemon, and blocks: it waits for the loop, for a
record, for a target's answer. Here only one thread runs at any time: a command runs until it waits for something, and
goes on when the simulated time has come. So a seed still gives the same run every time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from dkrepl.daemon.control.commands import Commands
from dkrepl.errors import DkreplError
from tests.simulation.loop import Events
from tests.simulation.world import Died, RuleBroken

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

Done = Callable[["dict[str, Any] | DkreplError"], None]
LONGEST = 60.0  # seconds that a command may take: the longest wait of verify, and a little


class Abandoned(BaseException):
    """The daemon has died under the command."""


class Command:
    """A command on its way; ``done(answer or error)`` is called in the end, unless the daemon dies first."""

    running: Command | None = None  # the one whose thread runs now

    def __init__(self, process: Process, name: str, arguments: dict[str, Any], done: Done) -> None:
        self.process = process
        self.name = name
        self._arguments = arguments
        self._done = done
        self._over = False
        self._crash: BaseException | None = None
        self._mine, self._main = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        process.commands.append(self)
        process.world.after(0.0, self.go_on)
        process.world.after(LONGEST, self._late)

    def go_on(self) -> None:
        """Let its thread run until it waits again."""
        world, machine = self.process.world, self.process.machine
        if self._over:
            return
        if Command.running is not None:  # other events happen in the middle of what that one does
            world.after(0.0001, self.go_on)
            return
        if machine.suspended and self.process.alive:
            machine.deferred.append(self.go_on)
            return
        Command.running = self
        self._mine.release()
        self._main.acquire()
        Command.running = None
        if self._over:
            self._thread.join()
            if self in self.process.commands:
                self.process.commands.remove(self)
            if self._crash is not None:
                raise self._crash

    def abandon(self) -> None:
        """The simulation ends."""
        self.process.alive = False
        self.go_on()

    def wait(self) -> None:
        """Give the turn back until ``go_on``; in its own thread."""
        self._main.release()
        self._mine.acquire()
        if not self.process.alive:
            raise Abandoned

    def _late(self) -> None:
        if not self._over and self.process.alive and not self.process.machine.late:
            raise RuleBroken("liveness", f"{self.name} on {self.process.name} has no outcome after {LONGEST:g} s")

    def _run(self) -> None:
        self._mine.acquire()
        process = self.process
        try:
            if not process.alive or process.runtime is None:
                return
            events: Any = Events(process)
            loop: Any = process.reactor
            runtime = process.runtime
            commands = Commands(runtime, loop, events, process.roles.order)
            answer: dict[str, Any] = {}
            for kind, body in commands.carry_out(self.name, self._arguments):
                answer = msgspec.to_builtins(body) if kind == "ok" else answer
            self._done(answer)
        except DkreplError as error:
            self._done(error)
        except (Abandoned, Died):
            return
        except BaseException as error:
            self._crash = error
        finally:
            self._over = True
            self._main.release()


class Event:
    """As threading.Event, on virtual time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._set = False
        self._waiting: list[Command] = []

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        self._wake()

    def wait(self, timeout: float) -> bool:
        command = Command.running
        assert command is not None, "only a command waits"
        if not self._set:
            self._waiting.append(command)
            self._world.after(timeout, lambda: command.go_on() if command in self._waiting else None)
            command.wait()
            if command in self._waiting:
                self._waiting.remove(command)
        return self._set

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for command in waiting:
            self._world.after(0.0, command.go_on)


class Condition(Event):
    """As threading.Condition: one thread runs at a time, so the lock is none."""

    def __enter__(self) -> Condition:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def notify_all(self) -> None:
        self._wake()

    def wait_for(self, predicate: Callable[[], bool], timeout: float) -> bool:
        until = self._world.now + timeout
        while not predicate():
            if self._world.now >= until:
                return False
            self.wait(until - self._world.now)
        return True
