"""What can be asked of a running daemon over its control socket, one function a command.

Runs in a client's thread; whatever touches the core's state is done in the loop (``in_loop``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeVar, assert_never

import msgspec

from dkrepl.api import requests
from dkrepl.api.answers import (
    MOST_RANGES,
    Adopted,
    Cleared,
    DirtyBlocks,
    Intent,
    Range,
    Reloaded,
    RoleChange,
    Targets,
    TargetState,
)
from dkrepl.api.status import Status
from dkrepl.config.terms import sync_nodes
from dkrepl.core.node import Change, Demotion, GivingWay, HandingOver, Promotion
from dkrepl.daemon.control import descriptions, promote, status
from dkrepl.daemon.events import EventLog
from dkrepl.daemon.outside import Event, Loop
from dkrepl.daemon.peers.arbitration_runtime import ArbitrationRuntime
from dkrepl.daemon.source import verify
from dkrepl.daemon.source.runtime import SourceRuntime
from dkrepl.daemon.target.runtime import TargetRuntime
from dkrepl.errors import DaemonNotRunning, MetadataError, NotFound, Refused, TimedOut, UsageError

Answer = Iterator[tuple[str, Any]]
Result = TypeVar("Result")


class Commands:
    """Carries out commands on a runtime; ``order``, in the loop, changes the role, or says that it cannot now."""

    def __init__(
        self,
        runtime: SourceRuntime | TargetRuntime | ArbitrationRuntime,
        reactor: Loop,
        events: EventLog,
        order: Callable[[Change], bool],
        reload: Callable[[], None] = lambda: None,
    ) -> None:
        self._runtime = runtime
        self._outside = runtime.outside
        self._clock = runtime.outside.clock
        self._limits = runtime.limits
        self._reactor = reactor
        self._events = events
        self._order = order
        self._read_keys = reload

    def carry_out(self, command: str, arguments: dict[str, Any]) -> Answer:
        """Yield ("progress", ...) any number of times, then ("ok", ...). Raises ``DkreplError``."""
        yield from self._answer(requests.of(command, arguments))

    def _answer(self, request: requests.AnyRequest) -> Answer:
        match request:
            case requests.Status():
                return self._status()
            case requests.Events():
                return self._events_since(request)
            case requests.Pause():
                return self._each(request.targets, lambda runtime, name, now: runtime.source.pause(name, now))
            case requests.Resume():
                return self._each(request.targets, lambda runtime, name, now: runtime.source.resume(name, now))
            case requests.Resync():
                full = request.full
                return self._each(request.targets, lambda runtime, name, now: runtime.source.resync(name, full, now))
            case requests.Verify():
                return self._verify(request)
            case requests.Intent():
                return self._intent(request)
            case requests.Promote():
                return self._promote(request)
            case requests.Demote():
                return self._demote()
            case requests.Switchover():
                return self._switchover(request)
            case requests.Resolve():
                return self._resolve(request)
            case requests.Reload():
                return self._reload()
            case requests.Clear():
                return self._clear(request)
            case requests.Adopt():
                return self._adopt(request)
            case requests.Descriptions():
                return self._descriptions()
            case _:
                assert_never(request)

    def in_loop(self, work: Callable[[], Result]) -> Result:
        """Run ``work`` in the loop and return its result.

        Raises ``TimedOut`` if the loop does not get to it, ``DaemonNotRunning`` if it never will.
        """
        finished = self._outside.event()
        outcome: list[Any] = [None, None]

        def run() -> None:
            try:
                outcome[0] = work()
            except Exception as error:
                outcome[1] = error
            finished.set()

        self._reactor.post(run)
        deadline = self._clock.monotonic() + self._limits.command_seconds
        while not finished.wait(self._limits.command_look_seconds):
            if self._reactor.ended and not finished.is_set():
                mirror = self._runtime.description.name
                raise DaemonNotRunning(
                    f"the daemon of mirror {mirror} stops or changes its role; ask again in a moment"
                )
            if self._clock.monotonic() < deadline:
                continue
            seconds = self._limits.command_seconds
            raise TimedOut(f"the daemon's loop did not answer within {seconds:g} s; {self._why()}")
        if outcome[1] is not None:
            raise outcome[1]
        result: Result = outcome[0]
        return result

    def _why(self) -> str:
        stall = getattr(self._runtime, "stall", None)
        seconds = stall.loop_seconds if stall is not None else 0.0
        return f"it has waited for its store for {seconds:.0f} s" if seconds else "its store may be stuck"

    def _status(self) -> Answer:
        runtime = self._runtime
        found: Status
        if isinstance(runtime, ArbitrationRuntime):
            found = self.in_loop(lambda: status.of_arbitration(runtime))
        elif isinstance(runtime, SourceRuntime):
            found = self.in_loop(lambda: status.of_source(runtime))
        else:
            found = self.in_loop(lambda: status.of_target(runtime))
        process, host = self._outside.figures()
        yield "ok", msgspec.structs.replace(found, process=process, host=host)

    def _events_since(self, request: requests.Events) -> Answer:
        found, position = self._events.since(request.since)
        for event in found:
            yield "progress", event
        while request.follow:
            new, position = self._events.wait(position, 5.0)
            for event in new:
                yield "progress", event
            if not new:
                yield "progress", {}
        yield "ok", {}

    def _verify(self, request: requests.Verify) -> Answer:
        runtime = self._source("verify")
        return verify.verify(runtime, self._names(runtime, request.targets), self.in_loop)

    def _intent(self, request: requests.Intent) -> Answer:
        runtime = self._source("show the intent log")
        names = self._names(runtime, (request.target,) if request.target else ())

        def collect() -> list[DirtyBlocks]:
            block, size = runtime.description.block, runtime.description.size
            rows = []
            for target in names:
                bitmap = runtime.source.views[target].bitmap
                dirty = bitmap.count()
                rows.append(
                    DirtyBlocks(
                        name=target,
                        block=block,
                        blocks=bitmap.blocks,
                        dirty_blocks=dirty,
                        dirty_bytes=min(dirty * block, size),
                        ranges=[
                            Range(first * block, min(end * block, size) - first * block)
                            for first, end in bitmap.runs(MOST_RANGES)
                        ],
                        active_extents=len(runtime.source.activity_log.active),
                    )
                )
            return rows

        yield "ok", Intent(self.in_loop(collect))

    def _promote(self, request: requests.Promote) -> Answer:
        runtime = self._runtime
        if isinstance(runtime, SourceRuntime):
            raise Refused(f"{runtime.node.name} is already the source of {runtime.description.name}")
        fenced = self._nodes(request.fenced)
        if request.dry_run:
            yield "ok", promote.dry_run(runtime, self.in_loop, fenced)
            return
        elected = promote.elect(runtime, request.force, self.in_loop, fenced)
        if isinstance(runtime, ArbitrationRuntime):
            if not self.in_loop(lambda: runtime.promote(elected.codes, self._clock.wall(), elected.ballot)):
                raise Refused(
                    f"{runtime.arbitration.reason}, so this node follows it as a target now; see dkrepl status"
                )
            yield "ok", RoleChange(runtime.description.name, runtime.node.name, "source")
            return

        change = Promotion(
            ballot=elected.ballot,
            until=elected.until,
            overruled=elected.codes,
            at=self._clock.wall(),
            mirror_id=self._outside.randomness.mirror_id(),
        )
        yield from self._change_role(change)

    def _demote(self) -> Answer:
        runtime = self._source("be demoted")
        self._unused(runtime)
        return self._change_role(Demotion())

    def _switchover(self, request: requests.Switchover) -> Answer:
        """Hand the mirror over to a target that has everything; the caller looks at what becomes of it."""
        runtime = self._source("hand the mirror over")
        [heir] = self._names(runtime, (request.to,))

        def check() -> None:
            view = runtime.source.views[heir]
            if view.state != "InSync":
                raise Refused(
                    f"{heir} is {view.state} and may lack writes; wait until it is InSync (dkrepl wait insync {heir})"
                )

        self.in_loop(check)
        self._unused(runtime)
        return self._change_role(HandingOver(heir))

    def _resolve(self, request: requests.Resolve) -> Answer:
        """Give way to another node's data: what this node alone has may be replaced, and is saved aside before (R7)."""
        runtime = self._runtime
        keep = request.keep
        mirror, here = runtime.description.name, runtime.node.name
        if keep == here:
            raise UsageError(f"{here} is the node that this runs on; run it on the node that is to give way to {here}")
        if keep not in [peer.name for peer in runtime.description.peers(here)]:
            raise NotFound(f"{keep} is not a node of {mirror}")
        mode: Literal["keep", "discard"] = "discard" if request.discard else "keep"
        if isinstance(runtime, TargetRuntime):
            self.in_loop(lambda: runtime.yield_to(keep, mode))
            yield "ok", RoleChange(mirror, here, "target", keep)
            return
        if isinstance(runtime, SourceRuntime):
            self._unused(runtime)
        yield from self._change_role(GivingWay(keep, mode))

    @staticmethod
    def _unused(runtime: SourceRuntime) -> None:
        users = runtime.device.users()
        if users:
            raise Refused(f"{runtime.device.link} is in use ({'; '.join(users)}); stop that first")

    def _reload(self) -> Answer:
        """Take up new keys of the peers."""
        runtime = self._runtime
        self._read_keys()
        self.in_loop(runtime.renew_keys)
        self._events.report("keys_reloaded")
        yield "ok", Reloaded(runtime.description.name, runtime.node.name)

    def _clear(self, request: requests.Clear) -> Answer:
        """The administrator lifts a verdict on this node's copy (R15)."""
        runtime, verdict = self._source("clear a verdict"), request.verdict
        clear = {"store-failed": runtime.source.clear_store_failed, "forced-promotion": runtime.source.clear_forced}
        recorded = self._outside.event()

        def work() -> None:
            if verdict == "store-failed":
                runtime.store.begin()
            clear[verdict]()
            runtime.when_recorded(recorded.set)

        self.in_loop(work)
        self._when(recorded, runtime)
        self._events.report("verdict_cleared", "warning", {"verdict": verdict})
        yield "ok", Cleared(runtime.description.name, runtime.node.name, verdict)

    def _adopt(self, request: requests.Adopt) -> Answer:
        """Stop applying the old description: the nodes ``fenced`` are declared never to use it again (R14)."""
        runtime = self._source("adopt a description")
        fenced = self._nodes(request.fenced)
        recorded = self._outside.event()

        def work() -> list[str]:
            missing = runtime.source.known_terms.missing(*fenced)
            if not missing:
                runtime.source.known_terms.known_by(*fenced)
                runtime.when_recorded(recorded.set)
            return missing

        if missing := self.in_loop(work):
            raise Refused(
                f"{', '.join(missing)} may still use the old description, and could be promoted by it, so nothing was "
                "changed: start them with the new one, or, if they are off for good, declare so many of them fenced "
                "that the rest are too few (--fenced NODE)"
            )
        self._when(recorded, runtime)
        yield "ok", Adopted(runtime.description.name, runtime.node.name, fenced)

    def _descriptions(self) -> Answer:
        """Ask the peers for their descriptions, and name the keys that differ (R14)."""
        yield "ok", descriptions.compare(self._runtime, self.in_loop)

    def _nodes(self, names: Sequence[str]) -> list[str]:
        """Return the names of other nodes that a command was given. Raises ``NotFound``."""
        runtime = self._runtime
        known = {peer.name for peer in runtime.description.peers(runtime.node.name)}
        if isinstance(runtime, SourceRuntime):
            known.update(name for terms in runtime.source.metadata.former for name in sync_nodes(terms))
        for name in names:
            if name not in known - {runtime.node.name}:
                raise NotFound(
                    f"{name} is not another node of {runtime.description.name}: they are {', '.join(sorted(known))}"
                )
        return list(names)

    def _when(self, recorded: Event, runtime: SourceRuntime) -> None:
        seconds = self._limits.command_seconds
        if not recorded.wait(seconds):
            raise TimedOut(
                f"it is done, but was not recorded durably within {seconds:g} s, so a restart may undo it; "
                "look at the file system of the state directory"
            )
        if runtime.source.record.error:
            raise MetadataError(f"it is done, but could not be recorded: {runtime.source.record.error}")

    def _change_role(self, change: Change) -> Answer:
        runtime = self._runtime
        mirror, here = runtime.description.name, runtime.node.name
        if not self.in_loop(lambda: self._order(change)):
            raise Refused(f"{here} is changing its role in {mirror} already, or stops; see dkrepl status {mirror}")
        role: Literal["source", "target"] = "source" if isinstance(change, Promotion) else "target"
        yield "ok", RoleChange(mirror, here, role)

    def _each(self, targets: Sequence[str], act: Callable[[SourceRuntime, str, float], object]) -> Answer:
        runtime = self._source("do that")
        names = self._names(runtime, targets)
        recorded = self._outside.event()

        def work() -> list[TargetState]:
            now = self._clock.monotonic()
            for name in names:
                act(runtime, name, now)
            runtime.when_recorded(recorded.set)
            return [TargetState(name, runtime.source.views[name].state) for name in names]

        done = self.in_loop(work)
        self._when(recorded, runtime)
        yield "ok", Targets(done)

    def _source(self, what: str) -> SourceRuntime:
        runtime = self._runtime
        if isinstance(runtime, SourceRuntime):
            return runtime
        if isinstance(runtime, ArbitrationRuntime):
            raise Refused(f"{runtime.node.name} cannot {what} yet: {runtime.arbitration.reason}")
        where = runtime.target.source or "not known now"
        raise Refused(f"{runtime.node.name} is a target and cannot {what}; ask the source ({where})")

    @staticmethod
    def _names(runtime: SourceRuntime, names: Sequence[str]) -> list[str]:
        for name in names:
            if name not in runtime.source.views:
                raise NotFound(
                    f"{name} is not a target of this mirror; its targets are {', '.join(runtime.source.views)}"
                )
        return list(names) or list(runtime.source.views)
