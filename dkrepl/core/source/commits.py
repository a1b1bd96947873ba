"""Which commits a source begins of its own accord, and what follows when a commit has ended, well or not.

Of its own accord: a verdict on its store that is not on record yet (R15); a new generation (R7), once nothing stands
against it; and a new set of active extents (R1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from dkrepl.config.limits import Limits
from dkrepl.core.actions import SourceAction
from dkrepl.core.intent.activity_log import ActivityLog
from dkrepl.core.outbox import Outbox
from dkrepl.core.source.awaited import Awaited
from dkrepl.core.source.backpressure import BackPressure
from dkrepl.core.source.entering import Entering
from dkrepl.core.source.new_generation import NewGeneration
from dkrepl.core.source.record import Admission, Offer, SourceRecord
from dkrepl.core.source.store_verdict import StoreVerdict
from dkrepl.core.source.stream import Stream
from dkrepl.core.source.targets import Targets
from dkrepl.core.source.write_quorum import WriteQuorum


class Commits:
    """Plans commits, and hands the end of each to the part that waits for it.

    ``leaving()``: whether the source leaves, so that only its ending records anything; ``wall``: Unix time now.
    """

    def __init__(
        self,
        *,
        record: SourceRecord,
        targets: Targets,
        stream: Stream,
        activity_log: ActivityLog,
        quorum: WriteQuorum,
        awaited: Awaited,
        new_generation: NewGeneration,
        entering: Entering,
        store_verdict: StoreVerdict,
        leaving: Callable[[], bool],
        out: Outbox[SourceAction],
        wall: float,
        limits: Limits,
    ) -> None:
        self._record = record
        self._views = targets.views
        self._stream = stream
        self._activity_log = activity_log
        self._quorum = quorum
        self._awaited = awaited
        self._new_generation = new_generation
        self._entering = entering
        self._store_verdict = store_verdict
        self._leaving = leaving
        self._backpressure = BackPressure(targets, stream, out, limits=limits)
        self._out = out
        self._wall = wall  # of the newest tick; recorded, and never reckoned with
        self._retry_seconds = limits.commit_retry_seconds
        self._retry_at = 0.0

    def tick(self, now: float, wall: float) -> None:
        """Let time pass: begin what is due. ``wall``: Unix time."""
        self._wall = wall
        self.plan(now)

    def plan(self, now: float, everything: bool = False) -> None:
        """Begin the commits that are needed.

        ``everything``: the last ones, which let every extent go that may; then only the ending records anything.
        """
        if now < self._retry_at or (self._leaving() and not everything):
            return
        self._store_verdict.record_again()
        new, activity_log = self._new_generation, self._activity_log
        if self._awaited.over(self._views, now):
            new.end_hold()
        may_begin = not new.on_its_way and not self._quorum.lost and not self._awaited.names
        if new.needed and may_begin and (activity_log.wanted or self._stream.waiting):
            new.begin(self._wall)
        planned = activity_log.plan(self._stream.confirmed, now, everything)
        if planned is not None:
            active, leaving = planned
            for view in self._views.values():
                view.bitmap.seal(leaving)
            durable, serial = bool(leaving), activity_log.serial
            self._record.commit("activity", sync_store=durable, sync_bitmaps=durable, active=(serial, active))
        if activity_log.short:
            self._backpressure.make_room(now)
        else:
            self._backpressure.enough()

    def committed(self, number: int, now: float) -> None:
        """A commit is durable. Raises ``LocalProtocolError`` if none of that number is on its way."""
        purpose = self._record.committed(number)
        match purpose:
            case "activity":
                self._activity_log.committed(self._stream.log.seq)
            case "generation":
                self._new_generation.durable(self._quorum.lost)
            case Offer() | Admission():
                self._entering.recorded(purpose, now)
            case "facts" | "store verdict":
                return
            case _:
                assert_never(purpose)

    def failed(self, number: int, why: str, now: float) -> bool:
        """A commit could not be made durable; return whether writes were waiting for it, which must fail now.

        Raises ``LocalProtocolError`` if none of that number is on its way.
        """
        purpose = self._record.failed(number, why)
        self._retry_at = now + self._retry_seconds
        self._out.report("commit_failed", "error", reason=why)
        match purpose:
            case "activity":
                self._activity_log.failed()
                return True
            case "generation":
                return True
            case Offer() | Admission():
                self._entering.not_recorded(purpose, why, now)
            case "facts" | "store verdict":
                # The application hears of a failed flush all the same; ``plan`` records it again (R15).
                return False
            case _:
                assert_never(purpose)
        return False
