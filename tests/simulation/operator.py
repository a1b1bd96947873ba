"""The administrator: commands to running daemons, carried out by the code that ships, at any moment.

A command is the reply to itself, and what the thread of a client does in the daemon happens at its times: now and then
it looks whether the loop still goes round.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from dkrepl.api import requests
from dkrepl.daemon.control.desk import Desk
from dkrepl.daemon.control.dispatcher import Dispatcher
from dkrepl.daemon.control.reply import Rest
from dkrepl.errors import DkreplError
from tests.simulation.loop import Events
from tests.simulation.world import RuleBroken

if TYPE_CHECKING:
    from tests.simulation.process import Process

Done = Callable[["dict[str, Any] | DkreplError"], None]
LONGEST = 60.0  # seconds that a command may take: the longest wait of verify, and a little


class Command:
    """A command on its way; ``done(answer or error)`` is called in the end, unless the daemon dies first."""

    def __init__(self, process: Process, name: str, arguments: dict[str, Any], done: Done) -> None:
        self.process = process
        self.name = name
        self.open = True
        self._arguments = arguments
        self._done = done
        self._watch: Callable[[], None] = lambda: None
        process.commands.append(self)
        process.world.after(0.0, lambda: process.guarded(self._begin))
        process.world.after(LONGEST, self._late)

    def abandon(self) -> None:
        """The daemon has died under the command."""
        self.open = False
        if self in self.process.commands:
            self.process.commands.remove(self)

    # --- the reply -----------------------------------------------------------------------------------

    def progress(self, body: object) -> None:
        pass

    def done(self, body: object) -> None:
        self._end(msgspec.to_builtins(body))

    def fail(self, error: DkreplError) -> None:
        if error.__cause__ is not None:
            raise error.__cause__  # a bug, or a rule that is broken
        self._end(error)

    def finish(self, rest: Rest) -> None:
        *_, last = rest()
        self.done(last.ok)

    def _end(self, outcome: dict[str, Any] | DkreplError) -> None:
        if self.open:
            self.open = False
            self.process.world.after(0.0, lambda: self._tell(outcome))

    def _tell(self, outcome: dict[str, Any] | DkreplError) -> None:
        if self in self.process.commands:
            self.process.commands.remove(self)
            self._done(outcome)

    # --- the client's thread -------------------------------------------------------------------------

    def _begin(self) -> None:
        process = self.process
        if process.runtime is None:
            self.abandon()
            return
        log: Any = Events(process)
        desk = Desk(process.runtime, process.reactor, log, process.roles.order, lambda: None)
        try:
            self._watch = Dispatcher(desk, log).begin(requests.of(self.name, self._arguments), self)
        except DkreplError as error:
            self.fail(error)
        self._look()

    def _look(self) -> None:
        if not self.open:
            return
        try:
            self._watch()
        except DkreplError as error:
            self.fail(error)
        process = self.process
        process.world.after(process.limits.command_look_seconds, lambda: process.guarded(self._look))

    def _late(self) -> None:
        if self.open and self.process.alive and not self.process.machine.late:
            raise RuleBroken("liveness", f"{self.name} on {self.process.name} has no outcome after {LONGEST:g} s")
