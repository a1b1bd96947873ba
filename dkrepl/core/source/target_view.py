"""The source's view of one target: its epoch, what it has confirmed, and whether writes must wait for it."""

from __future__ import annotations

from dkrepl.core.intent.bitmap import IntentBitmap
from dkrepl.core.source.resync import RateLimit, Resync
from dkrepl.core.source.write_log import DURABLE_LIMIT, WriteLog
from dkrepl.core.stall import Stall
from dkrepl.core.states import IN_STREAM, TargetState


class TargetView:
    """``limit`` is in writes, ``window`` in bytes; both bound what is sent and not yet confirmed (rule R5)."""

    def __init__(
        self,
        name: str,
        mode: str,
        on_full: str,
        limit: int,
        window: int,
        index: int,
        slots: int,
        bitmap: IntentBitmap,
        store_timeout: float = 30.0,
    ) -> None:
        self.name = name
        self.mode = mode
        self.on_full = on_full
        self.limit = limit
        self.window = window
        self.group, self.slot = divmod(index, slots)
        self.bitmap = bitmap
        self.state: TargetState = "Disconnected"
        self.reason: str | None = None
        self.epoch = 0
        self.applied = 0
        self.durable = 0
        self.resync: Resync | None = None
        self.rate_limit = RateLimit(0)
        self.heard = 0.0
        self.stall = Stall(store_timeout)
        self.applied_at = 0.0
        self.durable_at = 0.0
        self.dropped_at: float | None = None
        self.in_sync_at: float | None = None
        self.retry = 0.0
        self.probe_at = 0.0
        self.probe_wait = 0.0
        self.deadline = 0.0
        self.generation_seq = 0
        self.bits_received = 0  # blocks that it has named in this epoch as its own
        self.bitmaps_lost = 0  # epochs in a row in which some of those were lost
        self.positions_sent: dict[str, tuple[int, int, bool]] = {}  # what it was told last of the other targets
        self.synced_as = ""  # the generation that the mark at the end of its resync named
        self.advisory_differs = False  # its description differs in something that need not be equal
        self.resent_bytes = 0
        self.last_resync: dict[str, object] | None = None

    @property
    def in_stream(self) -> bool:
        """Whether live writes are published to it."""
        return self.state in IN_STREAM

    @property
    def bit(self) -> int:
        """Its bit in the mask of its group."""
        return 1 << self.slot

    def holds(self, seq: int, log: WriteLog) -> bool:
        """Whether the answer to write ``seq`` must wait for this target (it is in the stream).

        Rule R4: a sync target holds a write until it has applied it. Rule R5: under ``on_full = "block"`` an async
        one holds it while more than its window is unconfirmed. ``log`` still has every write after ``durable``.
        """
        if self.mode == "sync":
            return seq > self.applied or seq - self.durable > DURABLE_LIMIT
        return self.on_full == "block" and seq > self.durable and self.over(seq, log)

    def over(self, seq: int, log: WriteLog) -> bool:
        """Whether the writes up to ``seq`` overfill its window."""
        return (
            seq - self.applied > self.limit
            or seq - self.durable > DURABLE_LIMIT
            or log.bytes_between(self.applied, seq) > self.window
        )

    def without_progress(self, seq: int, now: float) -> float:
        """Seconds since it confirmed something, or had nothing to confirm; ``seq``: the newest of the stream."""
        resync = self.resync
        if resync is not None and resync.finishing and resync.finishing_position is None:
            resync.finishing_position = seq  # not before the mark has been published
        copying = resync is not None and bool(resync.on_way or resync.finishing)
        if self.applied == seq and not copying:
            self.applied_at = now
        if self.durable == seq and not copying:
            self.durable_at = now
        return now - min(self.applied_at, self.durable_at)

    def advance(self, applied: int, durable: int, log: WriteLog, now: float) -> None:
        """Take a confirmation of live writes; clears what rule R2 allows. Both are at most ``log.seq``."""
        if applied > self.applied:
            self.applied, self.applied_at = applied, now
        if durable > self.durable:
            older, self.durable, self.durable_at = self.durable, durable, now
            log.clear_confirmed(self.bitmap, older, durable, self.resync)

    def advance_resync(self, durable: int, log: WriteLog) -> list[tuple[int, int]]:
        """Take a confirmation of resync messages up to ``durable``; return the block ranges that it frees."""
        resync = self.resync
        if resync is None:
            return []
        freed = resync.confirmed(durable)
        # Rule R2: a block written live since keeps its bit until that write is durable as well.
        ranges = [(run.first, run.end) for run in freed]
        log.clear_ranges(self.bitmap, ranges, self.durable, resync)
        return ranges
