"""A target that is in the stream: what it has confirmed, and whether writes must wait for it."""

from __future__ import annotations

from dkrepl.core.source.resync_state import Resync
from dkrepl.core.source.target_settings import TargetSettings
from dkrepl.core.source.write_log import WriteLog


class Member:
    """What a source knows of a target while that is Resyncing or InSync.

    It enters at seq ``at``, at ``now`` (monotonic seconds). ``undurable``: writes that it may leave without an ack that
    they are durable.
    """

    __slots__ = (
        "_undurable",
        "applied",
        "applied_at",
        "bitmap",
        "durable",
        "durable_at",
        "epoch",
        "generation_seq",
        "in_sync_at",
        "limit",
        "mode",
        "name",
        "on_full",
        "positions_sent",
        "resync",
        "settings",
        "synced_as",
        "window",
    )

    def __init__(self, settings: TargetSettings, *, epoch: int, at: int, now: float, undurable: int) -> None:
        self.settings = settings
        self.name = settings.name
        self.mode = settings.mode
        self.on_full = settings.on_full
        self.limit = settings.limit
        self.window = settings.window
        self.bitmap = settings.bitmap
        self.epoch = epoch
        self.applied = self.durable = at
        self.applied_at = self.durable_at = now
        self.resync: Resync | None = None
        self.in_sync_at: float | None = None
        self.synced_as = ""  # the generation that the SYNCED marker at the end of its resync named
        self.generation_seq = 0  # seq of a GENERATION record that it has not confirmed as durable yet; 0: none
        self.positions_sent: dict[str, tuple[int, int, bool]] = {}  # what it was sent last of the other targets
        self._undurable = undurable

    def holds(self, seq: int, log: WriteLog) -> bool:
        """Whether write ``seq`` must wait for this target before it completes.

        Rule R4: a sync target holds a write until it has applied it. Rule R5: under ``on_full = "block"`` an async
        one holds it while more than its window is not confirmed. ``log`` still has every write after ``durable``.
        """
        if self.mode == "sync":
            return seq > self.applied or seq - self.durable > self._undurable
        return self.on_full == "block" and seq > self.durable and self.over(seq, log)

    def over(self, seq: int, log: WriteLog) -> bool:
        """Whether the writes up to ``seq`` overfill its window."""
        return (
            seq - self.applied > self.limit
            or seq - self.durable > self._undurable
            or log.bytes_between(self.applied, seq) > self.window
        )

    def without_progress(self, seq: int, now: float) -> float:
        """Seconds since it confirmed something, or had nothing to; ``seq``: the newest of the stream."""
        resync = self.resync
        if resync is not None and resync.finishing and resync.finishing_position is None:
            resync.finishing_position = seq  # not before the marker has been published
        copying = resync is not None and bool(resync.on_way or resync.finishing)
        if self.applied == seq and not copying:
            self.applied_at = now
        if self.durable == seq and not copying:
            self.durable_at = now
        return now - min(self.applied_at, self.durable_at)

    def excuse(self, now: float) -> None:
        """What it did not confirm so far is not held against it: its store stood still (R13)."""
        self.applied_at = self.durable_at = now

    def advance(self, applied: int, durable: int, log: WriteLog, now: float) -> None:
        """Take an ack of live writes; clears what rule R2 allows. Both are at most ``log.seq``."""
        if applied > self.applied:
            self.applied, self.applied_at = applied, now
        if durable > self.durable:
            older, self.durable, self.durable_at = self.durable, durable, now
            log.clear_confirmed(self.bitmap, older, durable, self.resync)

    def advance_resync(self, durable: int, log: WriteLog) -> list[tuple[int, int]]:
        """Take an ack of resync messages up to ``durable``; return the block ranges that it frees."""
        resync = self.resync
        assert resync is not None
        freed = resync.confirmed(durable)
        # Rule R2: a block written live since keeps its bit until that write is durable as well.
        ranges = [(run.first, run.end) for run in freed]
        log.clear_ranges(self.bitmap, ranges, self.durable, resync)
        return ranges
