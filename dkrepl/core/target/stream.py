"""What a target takes from the stream, and what follows from it (R3, R6, R9)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from dkrepl.config.limits import Limits
from dkrepl.core.actions import ReadDigest, TargetAction
from dkrepl.core.intent.bitmap import IntentBitmap
from dkrepl.core.intent.peer_bitmaps import PeerBitmaps
from dkrepl.core.lineage import peer_records
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.outbox import Outbox
from dkrepl.core.protocol import frames, members
from dkrepl.core.protocol.messages import Digest, Ready
from dkrepl.core.target.applier import Applier
from dkrepl.core.target.following import Following
from dkrepl.core.target.last_heard import LastHeard
from dkrepl.core.target.progress import Progress
from dkrepl.core.target.record import TargetRecord
from dkrepl.core.target.source_view import Entry, Position
from dkrepl.errors import StoreError


class TargetStream:
    """Decides on each stream message, and has the records of those that it admits applied."""

    def __init__(
        self,
        *,
        following: Following,
        record: TargetRecord,
        progress: Progress,
        peer_bitmaps: PeerBitmaps,
        last_heard: LastHeard,
        applier: Applier,
        out: Outbox[TargetAction],
        limits: Limits,
    ) -> None:
        self.applied_bytes = 0
        self.resync_bytes = 0
        """Of these, data of resyncs."""
        self._following = following
        self._record = record
        self._progress = progress
        self._peer_bitmaps = peer_bitmaps
        self._last_heard = last_heard
        self._applier = applier
        self._out = out
        self._limits = limits
        self._admitted: Position | None = None  # where the message was admitted that is being applied
        self._digest: ReadDigest | None = None  # being read, for a verify

    @property
    def blocked(self) -> bool:
        """Whether no stream message may be taken: a flush, a record, a discard or a checksum has to come first."""
        position = self._following.position  # looked at here, not by ``clearing``: this is asked for every message
        clearing = position is not None and position.synced is not None
        first = self._progress.barrier or self._applier.message is not None or clearing
        return first or self._record.waiting or self._digest is not None

    @property
    def applying(self) -> bool:
        """Whether a range is being zeroed for a message; it goes on if the target leaves the stream meanwhile."""
        return self._applier.message is not None

    @property
    def clearing(self) -> bool:
        """Whether the resync has ended, and the bitmap for the source is being cleared (R13)."""
        position = self._following.position
        return position is not None and position.synced is not None

    # --- messages --------------------------------------------------------------------------------------

    def take(self, message: frames.StreamMessage, now: float) -> None:
        """Take a checked stream message; to be called only while ``blocked`` is false (R3).

        One that is not for now, or not for this node, is ignored.
        """
        if self.admit(message, now):
            self._apply(message, self._applier.apply, now)

    def zeroed(self, why: str | None, now: float) -> None:
        """The range of ``ZeroRange`` reads as zeroes, or not, and why: go on with its message."""
        message = self._applier.message
        assert message is not None
        if why is not None:
            self._applier.drop()
            self._apply_failed(why, now)
        elif self._following.position is not self._admitted:
            self._applier.drop()  # it has left that stream meanwhile
        else:
            self._apply(message, lambda _: self._applier.zeroed(), now)

    def _apply(self, message: frames.StreamMessage, how: Callable[[frames.StreamMessage], bool], now: float) -> None:
        try:
            done = how(message)
        except StoreError as error:
            self._apply_failed(str(error), now)
            return
        if done:
            self._applied(message)

    def admit(self, message: frames.StreamMessage, now: float) -> bool:
        """Whether the records of a checked stream message are to be applied now."""
        following = self._following
        entry, position = following.entry, following.position
        if entry is None or message.session != entry.session:
            return False
        kind = message.kind
        if kind == frames.LIVE:
            if position is None:
                return False
            if message.first != position.applied + 1:
                if message.first + len(message.records) > position.applied + 1:
                    missing = f"writes {position.applied + 1} to {message.first - 1} of the stream are missing"
                    following.trouble("Gap", missing, now)
                return False
        elif message.epoch != entry.epoch:
            return False
        elif kind == frames.RESYNC:
            if position is None or not self._comes_next(message, position, now):
                return False
        else:
            following.source.heard = now
            self._on_marker(message, entry, now)
            return False
        following.source.heard = now
        self._admitted = position
        return True

    def _applied(self, message: frames.StreamMessage) -> None:
        """The records of the message that was admitted last are in the store."""
        position = self._following.position
        assert position is not None
        self.applied_bytes += len(message.data)
        if message.kind == frames.RESYNC:
            self.resync_bytes += len(message.data)
            position.resync_applied = message.first
            self._progress.applied(len(message.data), False)
            return
        position.applied += len(message.records)
        self._last_heard.applied_bytes += len(message.data)
        op, length, offset = message.records[-1]
        if op == frames.GENERATION:
            self._new_generation(f"{offset:016x}", message.data, length)
        # A new generation is recorded together with a flush, and is a barrier by that.
        self._progress.applied(len(message.data), op == frames.FLUSH)

    def _apply_failed(self, why: str, now: float) -> None:
        """The message that was admitted last could not be applied."""
        if self._following.position is not None and self._following.position is self._admitted:
            self.store_failed(why, now)
        else:
            self._out.report("store_failed", "error", reason=why)

    def bad_frame(self, why: str, now: float) -> None:
        """A frame failed its checks: nothing of it was applied, and the stream has a gap from here on (R9)."""
        if self._following.in_stream:
            self._following.trouble("BadFrame", why, now)

    def disconnected(self, now: float) -> None:
        """The connection of the stream has ended: a source that is restarted waits for its sync targets to return."""
        if self._following.in_stream:
            why = "the connection of the stream was lost"
            self._following.trouble("BadFrame", why, now, self._limits.hello_first_seconds)

    def store_failed(self, why: str, now: float, damaged: bool = True) -> None:
        """The store failed; ``damaged``: a write or a flush, so what it holds since the last flush is unknown.

        Such a copy is no state of the source's any more, and must not be promoted, restarts or not (R6, R15).
        """
        self._out.report("store_failed", "error", reason=why)
        if damaged and self._record.metadata.store_state == "Consistent":
            self._now_inconsistent()
        self._following.trouble("StoreError", why, now)

    def _comes_next(self, message: frames.StreamMessage, position: Position, now: float) -> bool:
        """Whether a message of the resync is the next one; if not, leave the stream."""
        if message.first == position.resync_applied + 1 and message.position == position.applied:
            return True
        self._following.trouble("Gap", "a message of the resync is missing or out of order", now)
        return False

    def _new_generation(self, generation: str, data: memoryview | bytes, length: int) -> None:
        metadata, source = self._record.metadata, self._following.source.name
        self._last_heard.applied_bytes -= length
        in_sync = members.parse(data[len(data) - length :])
        assert source is not None
        in_sync[source] = True  # the source holds every write that it answers
        metadata = metadata.with_generation(generation, keep=self._limits.generations)
        metadata = peer_records.with_base(metadata, in_sync, generation)
        if metadata.store_state == "Empty":
            metadata = msgspec.structs.replace(metadata, store_state="Consistent")
        self._record.commit("generation", metadata, self._progress.place())

    def _now_inconsistent(self) -> None:
        self._record.commit("inconsistent", msgspec.structs.replace(self._record.metadata, store_state="Inconsistent"))

    # --- markers ---------------------------------------------------------------------------------------

    def _on_marker(self, message: frames.StreamMessage, entry: Entry, now: float) -> None:
        op, _, offset = message.records[0]
        following = self._following
        position = following.position
        if op == frames.PROBE:
            if position is None and following.source.name and not entry.sending_bitmap:
                self._out.send(following.source.name, Ready(entry.epoch, entry.dirty_blocks_sent))
        elif op == frames.START:
            if position is None and following.fire("start seen", None):
                self._started(message, offset)
        elif position is None:
            return
        elif op == frames.SYNCED:
            if self._comes_next(message, position, now):
                position.resync_applied = message.first
                position.synced = f"{offset:016x}" if offset else ""
                self._bitmap_of_source().begin_fill(0)
                self.go_on()
        else:
            assert op == frames.DIGEST  # a frame with another one has not passed its checks
            self._on_digest(message, entry, now)

    def _on_digest(self, message: frames.StreamMessage, entry: Entry, now: float) -> None:
        """The source wants a checksum as of after the write that it names; of any other state it would differ (R10)."""
        position = self._following.position
        assert position is not None
        if message.position > position.applied:
            self._following.trouble("Gap", "writes before the question of a verify are missing", now)
        elif message.position == position.applied:  # else it has come twice
            _, length, offset = message.records[0]
            self._digest = ReadDigest(epoch=entry.epoch, number=message.first, offset=offset, length=length)
            self._out.add(self._digest)

    def _started(self, message: frames.StreamMessage, written: int) -> None:
        self._following.started(Position(message.position, 0))
        self._last_heard.began(message.session, message.position, written)
        if message.first:
            self._last_heard.resync_began()
            if self._record.metadata.store_state != "Inconsistent":
                self._now_inconsistent()  # R6: before the first block of a resync can be applied

    def digest_read(self, digest: ReadDigest, checksum: str | None, why: str, now: float) -> None:
        """The checksum that ``digest`` asked for, or None, and why it could not be had."""
        self._digest = None
        following = self._following
        if following.position is None or following.epoch != digest.epoch:
            return
        if checksum is None:
            self.store_failed(why, now, damaged=False)
        else:
            assert following.source.name is not None
            self._out.send(following.source.name, Digest(digest.epoch, digest.number, checksum))

    # --- the end of a resync ---------------------------------------------------------------------------

    def _bitmap_of_source(self) -> IntentBitmap:
        assert self._following.source.name is not None
        return self._peer_bitmaps.bitmaps[self._following.source.name]

    def go_on(self) -> None:
        """After SYNCED: clear some more of the bitmap for the source; to be called in each round (R13).

        It may be cut short: bits cleared so far are of blocks that are equal at the source, or that its bitmap names.
        """
        position = self._following.position
        if position is None or position.synced is None:
            return
        bitmap = self._bitmap_of_source()
        bitmap.fill_step()
        if not bitmap.filling:
            generation, position.synced = position.synced, None
            self._record.commit("synced", self._has_all(generation), self._progress.place())

    def _has_all(self, generation: str) -> NodeMetadata:
        """Return the record of a node that lacks nothing of the source's, and has nothing that the source lacks."""
        following, metadata = self._following, self._record.metadata
        source, entry = following.source.name, following.entry
        assert source is not None
        assert entry is not None
        if generation and generation != metadata.generation:
            metadata = metadata.with_generation(generation, keep=self._limits.generations)
        if generation or metadata.store_state == "Inconsistent":
            metadata = msgspec.structs.replace(metadata, store_state="Consistent")
        self._peer_bitmaps.in_sync(following.applied)
        facts = {"epoch": entry.source_epoch, "merged": True, "loose": False, "saved": False}
        metadata = peer_records.in_sync(metadata, source, metadata.generation, True, **facts)
        return msgspec.structs.replace(metadata, yields="", yields_to="", power_lost=False, store_failed="")
