"""Copying to one target the blocks that its intent bitmap names: what is next, how fast, how far.

``stale`` holds the blocks still to be sent; a block that was sent is *on the way* until the target has
confirmed it durable; ``unsynced`` holds both. Live writes go to the target all the while and never make a block stale
again: a resync block is read and published at one place of the stream, so it can only arrive before them or hold them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from bitarray import bitarray

WINDOW = 8 << 20  # bytes of resync data on the way to one target
WINDOW_RUNS = 64  # messages on the way to one target
RUN_BYTES = 256 << 10  # data bytes in one resync message
ZERO_EXTENTS = 64  # extents in one message that only says "zeros"
_RATE_SECONDS = 3.0  # the rate shown is that of about the last few seconds


class RateLimit:
    """A token bucket: ``rate`` bytes a second (0: no limit), half a second's worth of burst."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._tokens = 0.0
        self._at: float | None = None

    def delay(self, now: float) -> float:
        """Seconds until more may be sent; 0 now."""
        if not self.rate:
            return 0.0
        burst = max(self.rate / 2, 1.0)
        if self._at is None:
            self._tokens = burst
        else:
            self._tokens = min(burst, self._tokens + max(0.0, now - self._at) * self.rate)
        self._at = now
        return 0.0 if self._tokens > 0 else -self._tokens / self.rate + 1e-3

    def spend(self, size: int) -> None:
        """Count ``size`` bytes as sent; may go into debt, which the next delay pays."""
        if self.rate:
            self._tokens -= size


@dataclass
class Run:
    """Blocks ``first`` to ``end`` - 1 on their way to the target as message ``rseq``, after the write ``position``."""

    rseq: int
    first: int
    end: int
    position: int


@dataclass
class Resync:
    """The state of one resync; ``kind`` is "full" if at its start the bitmap named every block."""

    stale: bitarray
    block: int
    started: float
    kind: str = "partial"
    total: int = 0  # blocks
    done: int = 0  # blocks confirmed durable
    sent_bytes: int = 0  # data bytes sent (holes and zeros are not data)
    rseq: int = 0
    bytes_on_way: int = 0
    finishing: int = 0  # rseq of the SYNCED mark, once sent
    finishing_position: int | None = None  # the newest write some time after that
    on_way: deque[Run] = field(default_factory=deque)
    unsynced: bitarray = field(init=False)
    _cursor: int = 0
    _sizes: dict[int, int] = field(default_factory=dict)
    _rate: float = 0.0
    _rate_at: float = 0.0
    _rate_done: int = 0

    def __post_init__(self) -> None:
        self.total = self.stale.count()
        self.unsynced = self.stale.copy()
        if self.total == len(self.stale):
            self.kind = "full"
        self._rate_at = self.started

    def next_run(self) -> tuple[int, int] | None:
        """The next (first, end) of stale blocks, or None: nothing is left, or enough is on the way."""
        if self.bytes_on_way >= WINDOW or len(self.on_way) >= WINDOW_RUNS:
            return None
        first = self.stale.find(1, self._cursor)
        if first < 0:
            return None
        self._cursor = first
        end = self.stale.find(0, first)
        return first, end if end >= 0 else len(self.stale)

    @property
    def all_sent(self) -> bool:
        """Whether no block is left to be sent."""
        return self.stale.find(1, self._cursor) < 0

    def sent(self, first: int, end: int, data_bytes: int, position: int) -> int:
        """Blocks ``first`` to ``end`` - 1 are published now, after write ``position``; return the message's rseq."""
        self.rseq += 1
        self.stale[first:end] = 0
        self._cursor = end
        self.on_way.append(Run(self.rseq, first, end, position))
        self._sizes[self.rseq] = data_bytes
        self.bytes_on_way += data_bytes
        self.sent_bytes += data_bytes
        return self.rseq

    def lost(self, applied: int, rseq: int) -> bool:
        """Whether a message after ``rseq`` can arrive no more, for the target has applied a write that came after it.

        The target sees a gap by the next message of the resync, but the last ones that may be on the way have no next.
        """
        index = rseq + 1 - self.on_way[0].rseq if self.on_way else 0
        if 0 <= index < len(self.on_way):
            return self.on_way[index].position < applied
        return bool(self.finishing > rseq and self.finishing_position is not None and self.finishing_position < applied)

    def confirmed(self, rseq: int) -> list[Run]:
        """The target has everything up to ``rseq`` durable; return the runs that this frees."""
        freed = []
        while self.on_way and self.on_way[0].rseq <= rseq:
            run = self.on_way.popleft()
            self.bytes_on_way -= self._sizes.pop(run.rseq)
            self.done += run.end - run.first
            self.unsynced[run.first : run.end] = 0
            freed.append(run)
        return freed

    def percent(self) -> float:
        """Progress, 0.0 to 100.0; never falls."""
        return 100.0 if not self.total else min(100.0, 100.0 * self.done / self.total)

    def rate(self, now: float) -> float:
        """Bytes of the device confirmed per second, over about the last few seconds."""
        passed = now - self._rate_at
        if passed >= 0.5:
            current = (self.done - self._rate_done) * self.block / passed
            weight = min(1.0, passed / _RATE_SECONDS)
            self._rate = current if not self._rate else self._rate + weight * (current - self._rate)
            self._rate_at, self._rate_done = now, self.done
        return self._rate

    def eta(self, now: float) -> float | None:
        """Seconds left at the present rate, or None while it is not known."""
        rate = self.rate(now)
        return (self.total - self.done) * self.block / rate if rate > 0 else None
