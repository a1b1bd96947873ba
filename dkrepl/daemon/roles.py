"""Carries out what the node's role machine asks (core/node.py): opens a runtime for each role, and closes it again.

The caller that runs the loop calls ``ended`` when it has ended, until there is no runtime any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from dkrepl.config.description import Description, Node
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core import node as core
from dkrepl.core.actions import Event
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.daemon.outside import Events, Loop, Outside
from dkrepl.daemon.peers.arbitration_runtime import ArbitrationRuntime
from dkrepl.daemon.source.runtime import SourceRuntime
from dkrepl.daemon.surroundings import Surroundings
from dkrepl.daemon.target.runtime import TargetRuntime
from dkrepl.io.net.access import Access

Runtime = SourceRuntime | TargetRuntime | ArbitrationRuntime


class Roles:
    """``runtime``: that of the present role, in ``loop``; None before ``start`` and when the daemon is to end.

    ``age``: seconds since the daemon that handed over the device gave a sign of life; None: there was none.
    ``check`` raises ``DkreplError`` if a role cannot begin with a record; ``make_loop`` makes a loop for a role.
    """

    def __init__(
        self,
        *,
        outside: Outside,
        description: Description,
        node: Node,
        events: Events,
        access: Access,
        age: float | None,
        check: Callable[[NodeMetadata], None],
        make_loop: Callable[[], Loop],
        limits: Limits = DEFAULT,
    ) -> None:
        self.node = core.Node()
        self.runtime: Runtime | None = None
        self.loop: Loop | None = None
        self.outside = outside
        self._description = description
        self._me = node
        self._events = events
        self._access = access
        self._age = age
        self._check = check
        self._make_loop = make_loop
        self._limits = limits

    def start(self) -> None:
        """Read the record, and begin the first role. Raises ``DkreplError``."""
        self.node.start(self.outside.state.read_metadata())
        self._perform()

    def order(self, change: core.Change) -> bool:
        """From the loop: change the role; False if that is under way already, or the daemon ends."""
        taken = self.node.order(change)
        if taken:
            role = "source" if isinstance(change, core.Promotion | core.Inheritance) else "target"
            self._events.report("role_changes", fields={"role": role} | _why(change))
        self._perform()
        return taken

    def stop(self) -> None:
        """From the loop, or where none runs: end the daemon, after the present role."""
        self.node.stop()
        self._perform()

    def ended(self) -> None:
        """The loop of the present role has ended: close it, and begin the next one, if there is one.

        Raises ``DkreplError`` if the role ended with an error, or the next one cannot begin.
        """
        runtime, self.runtime = self.runtime, None
        assert runtime is not None
        runtime.close()
        if runtime.error is not None:
            raise runtime.error
        metadata = self.outside.state.read_metadata()
        if isinstance(runtime, ArbitrationRuntime):
            self.node.arbitrated(metadata, runtime.outcome)
        else:
            self.node.role_ended(_how(runtime, metadata, self.outside.clock.boot()))
        self._decided(runtime)
        self._perform()

    def _decided(self, runtime: Runtime) -> None:
        """What follows ``runtime`` is decided, and not yet carried out."""

    def _perform(self) -> None:
        todo = self.node.actions
        while todo:
            self._carry_out(todo.pop(0))

    def _carry_out(self, action: core.NodeAction) -> None:
        match action:
            case core.Begin():
                self._begin(action)
            case core.EndRole():
                self._end_role()
            case core.Write():
                self._write(action.metadata)
            case core.AbandonDevice():
                self.outside.abandon_device()
            case core.Exit():
                self.loop = None
            case Event():
                self._events.report(action.name, action.level, action.fields)
            case _:
                assert_never(action)

    def _begin(self, action: core.Begin) -> None:
        metadata = action.metadata
        self.outside.state.settle_metadata()
        self._check(metadata)
        loop = self.loop = self._make_loop()
        here = Surroundings(
            outside=self.outside,
            description=self._description,
            node=self._me,
            loop=loop,
            events=self._events,
            access=self._access,
            limits=self._limits,
        )
        if action.role != "arbitrating":
            here.check_store()
            self.outside.store.begin()
        match action.role:
            case "arbitrating":
                self.runtime = ArbitrationRuntime(here, metadata, self._age)
            case "source":
                self.runtime = SourceRuntime(here, metadata)
            case "target":
                self.runtime = TargetRuntime(here, metadata, self.order)
            case _:
                assert_never(action.role)

    def _end_role(self) -> None:
        runtime, changes = self.runtime, self.node.change is not None
        if runtime is not None and self.loop is not None:
            self.loop.post(lambda: runtime.stop(changes))

    def _write(self, metadata: NodeMetadata) -> None:
        self.outside.state.write_metadata(metadata)


def _why(change: core.Change) -> dict[str, str]:
    return {"reason": f"{change.former} has handed over"} if isinstance(change, core.Inheritance) else {}


def _how(runtime: SourceRuntime | TargetRuntime, metadata: NodeMetadata, boot: float) -> core.RoleEnded:
    if isinstance(runtime, TargetRuntime):
        return core.RoleEnded(metadata=metadata, boot=boot, unsound=runtime.unsound)
    return core.RoleEnded(metadata=metadata, boot=boot, drained=runtime.drained, store_failed=runtime.unrecorded)
