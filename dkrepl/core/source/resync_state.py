"""The state of the resync of one target: which blocks are left, which are on the way, and how fast it goes.

A block that the bitmap named at the start is *stale* until it has been sent; then it is *on the way* until the target
has confirmed it durable. Live writes go to the target all the while and never make a block stale again: a resync block
is read and published at one place of the stream, so it can only arrive before them or hold them.

Rule R13: blocks are sent in order, so the stale ones are those that the bitmap names from the *cursor* on, less those
that were set by a live write since. Only the pieces of the bitmap that are written to are copied before, so that the
two can be told apart.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from bitarray import bitarray

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.intent.bitmap import IntentBitmap


@dataclass(kw_only=True)
class Run:
    """Blocks ``first`` to ``end`` - 1 on their way to the target as message ``rseq``, after the write ``position``."""

    rseq: int
    first: int
    end: int
    position: int


@dataclass
class Resync:
    """The state of one resync; ``kind`` is "full" if at its start the bitmap named every block.

    Whatever sets bits in ``bitmap`` calls ``before_write`` first.
    """

    bitmap: IntentBitmap
    block: int
    started: float
    limits: Limits = field(default=DEFAULT, kw_only=True)
    kind: str = "partial"
    total: int = 0  # blocks
    done: int = 0  # blocks confirmed durable
    sent_bytes: int = 0  # data bytes sent (holes and zeros are not data)
    rseq: int = 0
    bytes_on_way: int = 0
    finishing: int = 0  # rseq of the SYNCED marker, once sent
    finishing_position: int | None = None  # the newest write some time after that
    on_way: deque[Run] = field(default_factory=deque)
    _cursor: int = 0  # no block before it is stale
    _stale: dict[int, bitarray] = field(default_factory=dict)  # of pieces that were written to, as they were before
    _sizes: dict[int, int] = field(default_factory=dict)
    _rate: float = 0.0
    _rate_at: float = 0.0
    _rate_done: int = 0

    def __post_init__(self) -> None:
        self.total = self.bitmap.count()
        if self.total == self.bitmap.blocks:
            self.kind = "full"
        self._rate_at = self.started

    def before_write(self, first: int, end: int) -> None:
        """Blocks ``first`` to ``end`` - 1 are about to be marked for a live write, which makes none of them stale."""
        shift = self.bitmap.piece_shift
        for piece in range(max(first, self._cursor) >> shift, ((end - 1) >> shift) + 1):
            if piece not in self._stale:
                self._stale[piece] = self.bitmap.bits[piece << shift : (piece + 1) << shift]

    def next_run(self, most: int | None = None) -> tuple[int, int] | None:
        """The next (first, end) of stale blocks, ``most`` at most; None: nothing is left, or enough is on the way."""
        limits = self.limits
        full = self.bytes_on_way >= limits.resync_window_bytes or len(self.on_way) >= limits.resync_window_messages
        if full or self.all_sent:
            return None
        limit = self.bitmap.blocks if most is None else min(self._cursor + most, self.bitmap.blocks)
        return self._cursor, self._end_of_run(self._cursor, limit)

    def find(self, at: int) -> int:
        """Return the first stale block from ``at`` on, or -1."""
        shift = self.bitmap.piece_shift
        at = max(at, self._cursor)
        piece = at >> shift
        while (piece := self.bitmap.dirty_piece(piece)) >= 0:
            begin = piece << shift
            copied = self._stale.get(piece)
            if copied is None:
                found = self.bitmap.bits.find(1, max(at, begin), begin + (1 << shift))
            elif (found := copied.find(1, max(at - begin, 0))) >= 0:
                found += begin
            if found >= 0:
                return found
            piece += 1
        return -1

    @property
    def all_sent(self) -> bool:
        """Whether no block is left to be sent."""
        found = self.find(self._cursor)
        self._move(found if found >= 0 else self.bitmap.blocks)
        return found < 0

    def unsynced(self, first: int, end: int) -> bitarray | None:
        """Return which of blocks ``first`` to ``end`` - 1 are stale or on the way; None if none is (R2)."""
        shift = self.bitmap.piece_shift
        out = None
        if self.on_way and self.on_way[0].first < end:
            for run in self.on_way:
                if run.first < end and first < run.end:
                    out = bitarray(end - first, "little") if out is None else out
                    out[max(run.first, first) - first : min(run.end, end) - first] = 1
        at = max(first, self._cursor)
        while at < end:
            piece = at >> shift
            begin = piece << shift
            stop = min(begin + (1 << shift), end)
            copied = self._stale.get(piece)
            part = self.bitmap.bits[at:stop] if copied is None else copied[at - begin : stop - begin]
            if part.any():
                out = bitarray(end - first, "little") if out is None else out
                out[at - first : stop - first] = part
            at = stop
        return out

    def sent(self, first: int, end: int, *, data_bytes: int, position: int) -> int:
        """Blocks ``first`` to ``end`` - 1 are published now, after write ``position``; return the message's rseq."""
        self.rseq += 1
        self._move(end)
        self.on_way.append(Run(rseq=self.rseq, first=first, end=end, position=position))
        self._sizes[self.rseq] = data_bytes
        self.bytes_on_way += data_bytes
        self.sent_bytes += data_bytes
        return self.rseq

    def gap(self, applied: int, rseq: int) -> bool:
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
            weight = min(1.0, passed / self.limits.resync_rate_seconds)
            self._rate = current if not self._rate else self._rate + weight * (current - self._rate)
            self._rate_at, self._rate_done = now, self.done
        return self._rate

    def eta(self, now: float) -> float | None:
        """Seconds left at the present rate, or None while it is not known."""
        rate = self.rate(now)
        return (self.total - self.done) * self.block / rate if rate > 0 else None

    def _end_of_run(self, first: int, limit: int) -> int:
        shift = self.bitmap.piece_shift
        at = first
        while at < limit:
            piece = at >> shift
            begin = piece << shift
            copied = self._stale.get(piece)
            if copied is None:
                end = min(begin + (1 << shift), limit)
                found = self.bitmap.find_clean(at, end)
            else:
                end = min(begin + len(copied), limit)
                found = copied.find(0, at - begin, end - begin)
                found = begin + found if found >= 0 else end
            if found < end:
                return found
            at = end
        return limit

    def _move(self, cursor: int) -> None:
        """Move the cursor; what was copied of the pieces before it is needed no more."""
        shift = self.bitmap.piece_shift
        old, new = self._cursor >> shift, cursor >> shift
        self._cursor = cursor
        if old < new and self._stale:
            if new - old < len(self._stale):
                for piece in range(old, new):
                    self._stale.pop(piece, None)
            else:
                self._stale = {piece: bits for piece, bits in self._stale.items() if piece >= new}
