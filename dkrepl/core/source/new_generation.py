"""When a source begins a new generation of its data, and which targets are part of its beginning (R7).

After a start, and after a target left, one is needed before the next write completes: from then on the data has a past
which that target does not know. Until the generation is durable nothing completes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dkrepl.config.limits import Limits
from dkrepl.core.actions import PublishGeneration, SourceAction
from dkrepl.core.lineage import peer_records
from dkrepl.core.outbox import Outbox
from dkrepl.core.source.member import Member
from dkrepl.core.source.record import SourceRecord
from dkrepl.core.source.stream import Stream


class NewGeneration:
    """Begins one when it is needed, and is the only one to set ``Stream.hold``, which lets nothing complete meanwhile.

    ``identity()`` gives a new random identity (16 hex digits). ``needed``: nothing may complete before one.
    """

    def __init__(
        self,
        *,
        record: SourceRecord,
        stream: Stream,
        identity: Callable[[], str],
        out: Outbox[SourceAction],
        limits: Limits,
    ) -> None:
        self.needed = True
        self.current = record.metadata.generation
        """The durable one; that of the metadata may be on its way to stable storage."""
        self._record = record
        self._stream = stream
        self._identity = identity
        self._out = out
        self._keep = limits.generations
        self._in_sync: dict[str, bool] = {}  # targets in sync when the one on its way began; whether synchronous

    def require(self) -> None:
        """From now on the data has a past that some target does not know: complete nothing before a new generation."""
        self.needed = True
        self._stream.hold = True

    def begin(self, wall: float) -> None:
        """Begin a new generation; it counts once it is durable. ``wall``: Unix seconds."""
        members, record = self._stream.members, self._record
        self._in_sync = {member.name: member.mode == "sync" for member in members if member.in_sync_at is not None}
        record.metadata = peer_records.with_new_generation(
            record.metadata,
            self._identity(),
            told=[member.name for member in members],
            kept=self._in_sync,
            at=wall,
            keep=self._keep,
        )
        record.commit("generation")

    @property
    def on_its_way(self) -> bool:
        """Whether one is being recorded."""
        return self._record.waits_for("generation")

    def durable(self, quorum_lost: bool) -> None:
        """The generation on its way is durable: tell the targets, and who was in sync when it began, and still is.

        If one of those has left meanwhile it must not count, so what completes next needs yet another generation.
        """
        previous, self.current = self.current, self._record.metadata.generation
        members = {member.name: member for member in self._stream.members}
        still = {name: sync for name, sync in self._in_sync.items() if self._is_in_sync(members, name)}
        self.needed = quorum_lost or len(still) < len(self._in_sync)
        self._out.report("generation_began", generation=self.current, previous=previous)
        if members:
            seq = self._stream.control_record()
            for name, member in members.items():
                member.generation_seq = seq
                self._record.metadata = peer_records.may_know(self._record.metadata, name, self.current)
            self._out.add(PublishGeneration(seq, self.current, still))
        self.end_hold()

    @staticmethod
    def _is_in_sync(members: Mapping[str, Member], name: str) -> bool:
        return name in members and members[name].in_sync_at is not None

    def confirmed(self, member: Member) -> None:
        """A target has confirmed as durable all up to the record of the generation: what it knew before is gone."""
        member.generation_seq = 0
        metadata = peer_records.remembered(self._record.metadata, member.name, generations=(self.current,))
        if member.in_sync_at is not None:
            metadata = peer_records.based(metadata, member.name, (self.current,), member.mode == "sync")
        self._record.metadata = metadata
        self.end_hold()

    def end_hold(self) -> None:
        """Let writes complete, once every target that they rely on remembers that another one lacks them (R7).

        A sync target that has a held write, but not the generation, could be overwritten by one that lacks the write.
        """
        stream = self._stream
        unknowing = any(member.generation_seq and member.mode == "sync" for member in stream.members)
        stream.hold = stream.hold and (self.needed or unknowing)
