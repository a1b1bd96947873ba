"""How a resync begins, with the target's entry into the stream, and how it ends, with the SYNCED marker.

The states of a target on this way: Connecting -> Resyncing (``begin``) -> InSync (``confirmed``, the last time).
"""

from __future__ import annotations

from collections.abc import Callable

from dkrepl.config.description import Description
from dkrepl.config.limits import Limits
from dkrepl.core.actions import PublishMarker, SourceAction
from dkrepl.core.lineage import peer_records
from dkrepl.core.outbox import Outbox
from dkrepl.core.protocol import frames
from dkrepl.core.source.known_terms import KnownTerms
from dkrepl.core.source.member import Member
from dkrepl.core.source.new_generation import NewGeneration
from dkrepl.core.source.record import SourceRecord
from dkrepl.core.source.resync_order import ResyncOrder
from dkrepl.core.source.resync_state import Resync
from dkrepl.core.source.stream import Stream
from dkrepl.core.source.target_view import TargetView
from dkrepl.core.source.targets import Targets


class ResyncLifecycle:
    """Begins and ends the resyncs of all targets.

    ``in_sync(view, now)`` is called when a target is InSync, and that is being recorded.
    """

    def __init__(
        self,
        *,
        description: Description,
        targets: Targets,
        stream: Stream,
        resync_order: ResyncOrder,
        record: SourceRecord,
        new_generation: NewGeneration,
        known_terms: KnownTerms,
        in_sync: Callable[[TargetView, float], None],
        out: Outbox[SourceAction],
        limits: Limits,
    ) -> None:
        self._block = description.block
        self._targets = targets
        self._stream = stream
        self._resync_order = resync_order
        self._record = record
        self._new_generation = new_generation
        self._known_terms = known_terms
        self._in_sync = in_sync
        self._out = out
        self._limits = limits

    def begin(self, view: TargetView, now: float) -> None:
        """The target has recorded its epoch: it enters the stream, and what its bitmap names is copied to it."""
        view.entry = None
        self._targets.fire(view, "entered", None)
        member = view.member = self._stream.enter(view.settings, view.epoch, now)
        self._known_terms.known_by(view.name)  # it has recorded the present description with the epoch
        resync = Resync(view.bitmap, self._block, now, limits=self._limits)
        self._stream.copying(member, resync)
        if resync.total:
            self._targets.copying(view)
        written = self._stream.log.written
        self._out.add(PublishMarker(peer=view.name, op=frames.START, number=resync.total, length=0, offset=written))
        self._end_if_all_sent(member)

    def sent(self, member: Member) -> None:
        """A message of the resync of ``member`` is sent: end it with a marker if that was the last one."""
        if member in self._stream.members:
            self._end_if_all_sent(member)

    def cannot_copy(self, name: str, why: str, now: float) -> None:
        """Blocks for a resync cannot be read here: the target waits, and tries again later."""
        view = self._targets.views[name]
        view.retry = self._limits.rejoin_last_seconds
        self._targets.evict(view, "SourceStoreError", why, now)

    def _end_if_all_sent(self, member: Member) -> None:
        resync = member.resync
        if resync is None or not resync.all_sent or resync.finishing:
            return
        resync.rseq += 1
        resync.finishing = resync.rseq
        generation = member.synced_as = self._new_generation.current
        self._record.metadata = peer_records.may_know(self._record.metadata, member.name, generation)
        self._out.add(
            PublishMarker(
                peer=member.name, op=frames.SYNCED, number=resync.finishing, length=0, offset=int(generation or "0", 16)
            )
        )

    def confirmed(self, view: TargetView, member: Member, resync: Resync, durable: int, now: float) -> None:
        """The target has the messages of its resync up to ``durable`` on stable storage; the marker is the last."""
        freed = member.advance_resync(durable, self._stream.log)
        for first, end in freed:
            self._resync_order.unpin(first, end)
        if freed:
            member.excuse(now)
        if resync.finishing and durable >= resync.finishing:
            self._stream.copying(member, None)
            view.last_resync = _summary(resync, self._block, now)
            member.in_sync_at = now
            view.dropped_at = None
            self._targets.fire(view, "copied", None)
            generations = (member.synced_as, self._new_generation.current)
            metadata = self._record.metadata
            self._record.set(peer_records.based(metadata, view.name, generations, view.mode == "sync"))
            self._in_sync(view, now)


def _summary(resync: Resync, block: int, now: float) -> dict[str, object]:
    """Return what status shows about a resync that has ended; ``block`` in bytes."""
    return {
        "kind": resync.kind,
        "seconds": round(now - resync.started, 3),
        "copied_bytes": resync.total * block,
        "sent_bytes": resync.sent_bytes,
    }
