"""What follows from an ack of a target: bits are cleared (R2), its resync goes on or ends, the log is trimmed."""

from __future__ import annotations

from dkrepl.core.actions import SourceAction
from dkrepl.core.outbox import Outbox
from dkrepl.core.protocol.frames import Ack
from dkrepl.core.source.new_generation import NewGeneration
from dkrepl.core.source.resync_lifecycle import ResyncLifecycle
from dkrepl.core.source.stream import Stream
from dkrepl.core.source.targets import Targets


class Acks:
    """Takes the acks of the targets that are in the stream. ``session``: an ack of another one is dropped."""

    def __init__(
        self,
        *,
        session: int,
        targets: Targets,
        stream: Stream,
        resyncs: ResyncLifecycle,
        new_generation: NewGeneration,
        out: Outbox[SourceAction],
    ) -> None:
        self._session = session
        self._targets = targets
        self._views = targets.views
        self._stream = stream
        self._resyncs = resyncs
        self._new_generation = new_generation
        self._out = out

    def on_ack(self, peer: str, ack: Ack, now: float) -> None:
        """Take an ack. One that cannot be true evicts the target."""
        view = self._views.get(peer)
        member = view.member if view is not None else None
        if view is None or member is None or ack.epoch != view.epoch or ack.session != self._session:
            return
        view.heard = now
        stream, resync = self._stream, member.resync
        sent = resync.rseq if resync else ack.resync_durable
        live = member.durable <= ack.durable <= ack.applied <= stream.log.seq and member.applied <= ack.applied
        if not live or not ack.resync_durable <= ack.resync_applied <= sent:
            text = "it confirmed what was never sent"
            self._out.report("target_trouble", "error", target=peer, code="BadAck", reason=text)
            self._targets.evict(view, "BadAck", "an ack names writes that were never sent", now)
            return
        if resync is not None and resync.gap(ack.applied, ack.resync_applied):
            self._targets.evict(view, "Gap", "a message of the resync was lost on its way", now)
            return
        oldest = stream.confirmed
        member.advance(ack.applied, ack.durable, stream.log, now)
        if resync is not None:
            self._resyncs.confirmed(view, member, resync, ack.resync_durable, now)
        if member.generation_seq and ack.durable >= member.generation_seq:
            self._new_generation.confirmed(member)
        if stream.confirmed > oldest:
            stream.log.trim(stream.confirmed)
