"""What every command has at hand: the runtime that serves now, the loop, the clock; and who may be asked for what.

A command is called in the loop and must not block (R13): what may block runs in a worker, what takes time goes on in a
callback. It answers by its ``Reply``, now or later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from dkrepl.api.answers import RoleChange, Targets, TargetState
from dkrepl.config.terms import sync_nodes
from dkrepl.core.node import Change, Promotion
from dkrepl.daemon.control.reply import Reply, answering
from dkrepl.daemon.outside import Events, Loop
from dkrepl.daemon.peers.arbitration_runtime import ArbitrationRuntime
from dkrepl.daemon.roles import Runtime
from dkrepl.daemon.source.runtime import SourceRuntime
from dkrepl.errors import DkreplError, NotFound, Refused, StateDirectoryError, StoreError, TimedOut

Result = TypeVar("Result")


class Desk:
    """``order`` changes the role, or says that it cannot now; ``read_keys`` reads the peers' keys, and may block."""

    def __init__(
        self,
        runtime: Runtime,
        loop: Loop,
        events: Events,
        order: Callable[[Change], bool],
        read_keys: Callable[[], None],
    ) -> None:
        self.runtime = runtime
        self.limits = runtime.here.limits
        self.loop = loop
        self.events = events
        self.order = order
        self.read_keys = read_keys

    @property
    def mirror(self) -> str:
        """The mirror."""
        return self.runtime.here.description.name

    @property
    def node(self) -> str:
        """The node that this is."""
        return self.runtime.here.node.name

    def source(self, what: str) -> SourceRuntime:
        """Return the runtime of a source. Raises ``Refused``, with ``what`` only a source can do, if this is none."""
        runtime = self.runtime
        if isinstance(runtime, SourceRuntime):
            return runtime
        if isinstance(runtime, ArbitrationRuntime):
            raise Refused(f"{self.node} cannot {what} yet: {runtime.arbitration.reason}")
        where = runtime.target.source or "not known now"
        raise Refused(f"{self.node} is a target and cannot {what}; ask the source ({where})")

    def targets(self, runtime: SourceRuntime, names: Sequence[str]) -> list[str]:
        """Return the targets named, all of them if none is. Raises ``NotFound``."""
        known = runtime.source.views
        for name in names:
            if name not in known:
                raise NotFound(f"{name} is not a target of this mirror; its targets are {', '.join(known)}")
        return list(names or known)

    def other_nodes(self, names: Sequence[str]) -> list[str]:
        """Return the nodes named, if all are others of the mirror, now or formerly. Raises ``NotFound``."""
        runtime = self.runtime
        known = set(runtime.here.peers)
        if isinstance(runtime, SourceRuntime):
            known.update(name for terms in runtime.source.metadata.former for name in sync_nodes(terms))
        for name in names:
            if name not in known - {self.node}:
                raise NotFound(f"{name} is not another node of {self.mirror}: they are {', '.join(sorted(known))}")
        return list(names)

    def in_worker(self, reply: Reply, work: Callable[[], Result], then: Callable[[Result], None]) -> None:
        """Call ``work`` where it may block, then ``then`` with its result in the loop; an error is the answer."""

        def done(result: Result | None, error: DkreplError | None) -> None:
            with answering(reply):
                if error is not None:
                    raise error
                if reply.open:  # a client that was told that it failed must be able to rely on that
                    then(result)  # type: ignore[arg-type]  # there is a result, as there is no error

        self.runtime.workers.run("command", work, done)

    def later(self, reply: Reply, seconds: float, work: Callable[[], None]) -> None:
        """Call ``work`` in the loop after so many seconds, unless nobody waits for the answer by then."""

        def due() -> None:
            with answering(reply):
                if reply.open:
                    work()

        self.loop.later(seconds, due)

    def when_recorded(self, reply: Reply, commit: int | None, then: Callable[[], None]) -> None:
        """Call ``then`` once this commit of a source is durable, None: at once.

        What fails, or takes too long, is the answer.
        """
        runtime = self.source("record that")
        seconds = self.limits.command_seconds

        def ended(error: DkreplError | None) -> None:
            with answering(reply):
                if error is not None:
                    kind = StoreError if isinstance(error, StoreError) else StateDirectoryError
                    raise kind(f"it is done, but could not be recorded: {error}")
                if reply.open:
                    then()

        def late() -> None:
            reply.fail(
                TimedOut(
                    f"it is done, but was not recorded durably within {seconds:g} s, so a restart may undo it; "
                    "look at the file system of the state directory"
                )
            )

        if commit is None:
            then()
            return
        runtime.when_committed(commit, ended)
        self.loop.later(seconds, late)

    def each_target(
        self, reply: Reply, names: Sequence[str], act: Callable[[SourceRuntime, str, float], int | None]
    ) -> None:
        """Do ``act(runtime, target, now)``, which returns a commit, to each target; answer with their states."""
        runtime = self.source("do that")
        names, now = self.targets(runtime, names), runtime.here.outside.clock.monotonic()
        commits = [number for name in names if (number := act(runtime, name, now)) is not None]
        states = Targets([TargetState(name, runtime.source.views[name].state) for name in names])
        # Commits are carried out one after the other: when the last is durable, all are.
        self.when_recorded(reply, max(commits, default=None), lambda: reply.done(states))

    def if_unused(self, reply: Reply, runtime: SourceRuntime, then: Callable[[], None]) -> None:
        """Call ``then`` if nobody uses the device; else that is the answer."""

        def found(users: list[str]) -> None:
            if users:
                raise Refused(f"{runtime.device.link} is in use ({'; '.join(users)}); stop that first")
            then()

        self.in_worker(reply, runtime.device.users, found)

    def change_role(self, reply: Reply, change: Change) -> None:
        """Have the daemon go on in another role, and answer that this was ordered. Raises ``Refused``."""
        if not self.order(change):
            raise Refused(
                f"{self.node} is changing its role in {self.mirror} already, or stops; see dkrepl status {self.mirror}"
            )
        reply.done(RoleChange(self.mirror, self.node, "source" if isinstance(change, Promotion) else "target"))
