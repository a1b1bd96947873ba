"""Which role a node has, and which one next: start, arbitration, promotion, demotion, switchover, resolve, stop.

    Starting      the record is read
    Arbitrating   it was source: it asks its peers whether another was promoted (R7, R11)
    Source        it serves the device
    Target        it follows a source, or looks for one
    Leaving       the role is being ended, because another follows, or because the daemon stops
    Ended

Between two roles everything is closed, and what the next role begins with is made durable first (R15). The daemon and
the simulator carry out the same actions; this is the only place that knows all roles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, assert_never

import msgspec

from dkrepl.core.actions import Event
from dkrepl.core.election.arbitration import Verdict
from dkrepl.core.election.vote import next_number
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.lineage.role_records import as_follower, as_source, as_target
from dkrepl.core.protocol.ballot import Ballot
from dkrepl.errors import LocalProtocolError

NodeState = Literal["Starting", "Arbitrating", "Source", "Target", "Leaving", "Ended"]
Role = Literal["arbitrating", "source", "target"]


# --- changes of role that were ordered ---------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A target is to be source. ``until``: when the votes for it may end, by the clock that goes on in a suspend.

    ``ballot``: under which it was elected; None: by force, and it could not be recorded. ``overruled``: codes of the
    reasons against it that an administrator overruled, at Unix time ``at``. ``mirror_id`` is used if it has none.
    """

    ballot: Ballot | None
    until: float
    overruled: tuple[str, ...]
    at: float
    mirror_id: str


@dataclass(frozen=True)
class Inheritance:
    """A target is to be source, for the former source, ``former``, has handed the mirror over to it."""

    former: str


@dataclass(frozen=True)
class Demotion:
    """A source is to be a target."""


@dataclass(frozen=True)
class HandingOver:
    """A source is to be a target, and ``next_source`` source in its place, if that has everything."""

    next_source: str


@dataclass(frozen=True)
class GivingWay:
    """What this node alone has may be replaced by what ``to`` has; ``mode``: whether it is saved before."""

    to: str
    mode: Literal["keep", "discard"]


Change = Promotion | Inheritance | Demotion | HandingOver | GivingWay


# --- what is to be done ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Begin:
    """Open what the role needs, and run it, with this record; at its end call ``role_ended``, or ``arbitrated``."""

    role: Role
    metadata: NodeMetadata


@dataclass(frozen=True)
class EndRole:
    """End the role that runs, cleanly."""


@dataclass(frozen=True)
class Write:
    """Make the node's record durable, before anything that follows."""

    metadata: NodeMetadata


@dataclass(frozen=True)
class AbandonDevice:
    """Give up the device that a predecessor left: its users get errors, not silence."""


@dataclass(frozen=True)
class Exit:
    """End the daemon."""


NodeAction = Begin | EndRole | Write | AbandonDevice | Exit | Event


# --- how a role ended --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RoleEnded:
    """``metadata``: the record as it is on stable storage; ``boot``: seconds of the clock that goes on in a suspend.

    ``drained``: of a source: the targets that had everything at its end, and their epochs. ``store_failed``: why a
    flush of a source's store failed, if that could not be recorded. ``unsound``: of a target: its last flush failed.
    """

    metadata: NodeMetadata
    boot: float
    drained: Mapping[str, int] = field(default_factory=dict)
    store_failed: str = ""
    unsound: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an arbitration came to. ``verdict`` None: it was ended before.

    ``ballot``: under which the node is to serve; None: under the one that it has. ``overruled``, ``at``: as in
    ``Promotion``, if it serves because it was promoted by force.
    """

    verdict: Verdict | None
    ballot: Ballot | None = None
    overruled: tuple[str, ...] = ()
    at: float = 0.0


class Node:
    """Decides on the roles of one node; ``actions`` are carried out in this order."""

    def __init__(self) -> None:
        self.state: NodeState = "Starting"
        self.change: Change | None = None
        """The change of role that was ordered, and is being carried out."""
        self.actions: list[NodeAction] = []
        self.stopping = False

    def start(self, metadata: NodeMetadata) -> None:
        """The daemon has started, and read its record."""
        self._expect("Starting")
        if metadata.role == "source":
            self.state = "Arbitrating"  # R7: another node may have been promoted
            self.actions.append(Begin("arbitrating", metadata))
        else:
            self._serve(metadata, first=True)

    def order(self, change: Change) -> bool:
        """An administrator, or the core, wants another role; False if one is under way already, or the end is."""
        if self.state not in ("Arbitrating", "Source", "Target"):
            return False
        match change:
            case Promotion() | Inheritance():
                self._expect("Target")
            case Demotion() | HandingOver():
                self._expect("Source")
            case GivingWay():
                self._expect("Source", "Arbitrating")
            case _:
                assert_never(change)
        self.change = change
        self._leave()
        return True

    def stop(self) -> None:
        """The daemon is to end."""
        self.stopping = True
        if self.state in ("Arbitrating", "Source", "Target"):
            self._leave()

    def _leave(self) -> None:
        self.state = "Leaving"
        self.actions.append(EndRole())

    def arbitrated(self, metadata: NodeMetadata, outcome: Outcome) -> None:
        """An arbitration has ended; ``metadata``: the record as it is on stable storage."""
        self._expect("Arbitrating", "Leaving")
        if isinstance(self.change, GivingWay):
            self._abandon_for(as_target(metadata, yields=self.change.mode, yields_to=self.change.to))
        elif outcome.verdict is None:
            self._exit()
        elif outcome.verdict == "follow":
            self._abandon_for(as_follower(metadata))
        else:
            self._serve_as_source(metadata, outcome)

    def _abandon_for(self, metadata: NodeMetadata) -> None:
        self.actions += [Write(metadata), AbandonDevice()]
        self._serve(metadata, first=True)

    def _serve_as_source(self, found: NodeMetadata, outcome: Outcome) -> None:
        metadata = found
        if outcome.ballot is not None:
            metadata = msgspec.structs.replace(metadata, ballot=outcome.ballot)
        if outcome.overruled:
            # R15: together with what was overruled earlier and not cleared.
            codes = tuple(dict.fromkeys((*metadata.forced, *outcome.overruled)))
            metadata = msgspec.structs.replace(metadata, forced=codes, forced_at=outcome.at)
        if metadata != found:
            self.actions.append(Write(metadata))
        self._serve(metadata, first=True)

    def role_ended(self, ended: RoleEnded) -> None:
        """A source or a target has ended."""
        self._expect("Source", "Target", "Leaving")
        if self.change is None:
            self._exit()
            return
        found = ended.metadata
        if ended.store_failed:
            found = msgspec.structs.replace(found, store_failed=ended.store_failed)
        metadata = found if ended.unsound else self._changed(self.change, found, ended)
        self.actions.append(Write(metadata))
        self._serve(metadata, first=False)

    def _changed(self, change: Change, metadata: NodeMetadata, ended: RoleEnded) -> NodeMetadata:
        match change:
            case Promotion():
                if ended.boot > change.until:
                    late = "it took so long to stop as a target that the votes for it may have ended; promote it again"
                    self._report("promotion_failed", reason=late)
                    return metadata
                ballot = change.ballot or Ballot(next_number(metadata), metadata.node)
                return as_source(metadata, change.mirror_id, ballot, change.overruled, change.at)
            case Inheritance():
                return as_source(metadata, metadata.mirror_id, metadata.ballot)
            case Demotion():
                return as_target(metadata)
            case HandingOver():
                if change.next_source in ended.drained:
                    return as_target(metadata, change.next_source, ended.drained[change.next_source])
                reason = f"{change.next_source} did not confirm the last writes in time; this node stays source"
                self._report("switchover_failed", to=change.next_source, reason=reason)
                return metadata
            case GivingWay():
                return as_target(metadata, yields=change.mode, yields_to=change.to)
            case _:
                assert_never(change)

    def _serve(self, metadata: NodeMetadata, *, first: bool) -> None:
        self.change = None
        if self.stopping:
            self._exit()
            return
        if first:
            # A handover ends with the daemon: after a restart another node may have been promoted instead (R7).
            metadata = msgspec.structs.replace(metadata, next_source="", next_source_epoch=0)
        self.state = "Source" if metadata.role == "source" else "Target"
        self.actions.append(Begin(metadata.role, metadata))

    def _exit(self) -> None:
        self.state = "Ended"
        self.actions.append(Exit())

    def _report(self, name: str, **fields: object) -> None:
        self.actions.append(Event(name, "error", fields))

    def _expect(self, *states: NodeState) -> None:
        if self.state not in states:
            known = " or ".join(states)
            raise LocalProtocolError(f"the node is {self.state}, and only one that is {known} can do this")
