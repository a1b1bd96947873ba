"""The writes of the stream that some target has not yet confirmed durable: a ring of block ranges by seq.

It answers the two questions on which clearing an intent bit depends (rule R2): which blocks did the writes up
to a seq touch, and was a block written again after it. Its length is bounded (rule R5): the source stops
answering writes, or drops the slow target from the stream, long before the ring is full.
"""

from __future__ import annotations

from bitarray import bitarray

CAPACITY = 1 << 16  # writes kept; a power of two
DURABLE_LIMIT = CAPACITY // 2  # writes that a target may leave without durable confirmation
LOG_LIMIT = CAPACITY - 4096  # what one round of the loop adds stays well below the rest
_MASK = CAPACITY - 1
_WIDE = 64  # blocks; ranges longer than this (big discards) are kept as ranges, not block by block
_UNDER_WAY = 1 << 63  # in place of the seq of a change that has none yet


class WriteLog:
    """``seq`` is that of the newest write; writes up to ``base`` are forgotten."""

    __slots__ = ("_bytes", "_ranges", "_wide", "base", "last", "seq")

    def __init__(self) -> None:
        self.seq = 0
        self.base = 0
        self.last: dict[int, int] = {}  # block -> seq of its newest write
        self._wide: list[tuple[int, int, int]] = []  # (first, end, seq)
        self._ranges: list[tuple[int, int]] = [(0, 0)] * CAPACITY
        self._bytes: list[int] = [0] * CAPACITY  # bytes of data written up to a seq

    def begin(self, first: int, end: int) -> None:
        """Blocks ``first`` to ``end`` - 1 change from now on: no bit of theirs is cleared until ``end_of`` (R2)."""
        self._wide.append((first, end, _UNDER_WAY))

    def end_of(self, first: int, end: int) -> None:
        """Undo one ``begin`` of the same range: the change has its seq now."""
        self._wide.remove((first, end, _UNDER_WAY))

    def append(self, first: int, end: int, length: int) -> int:
        """Note a write of ``length`` data bytes to blocks ``first`` to ``end`` - 1; return its seq.

        ``first`` == ``end`` for what touches no block (a flush). Raises ``OverflowError`` when the ring is
        full, which the limits above exclude.
        """
        seq = self.seq + 1
        if seq - self.base >= CAPACITY:
            raise OverflowError("the write log is full")
        self.seq = seq
        slot = seq & _MASK
        self._ranges[slot] = (first, end)
        self._bytes[slot] = self._bytes[(seq - 1) & _MASK] + length
        if end - first == 1:
            self.last[first] = seq
        elif end - first <= _WIDE:
            for block in range(first, end):
                self.last[block] = seq
        else:
            self._wide.append((first, end, seq))
        return seq

    @property
    def newest_change(self) -> int:
        """The newest write that changed data, of those that are not forgotten; 0 if all are."""
        wide = (entry[2] for entry in self._wide if entry[2] != _UNDER_WAY)
        return max(max(self.last.values(), default=0), max(wide, default=0))

    @property
    def written(self) -> int:
        """Data bytes of all writes so far."""
        return self._bytes[self.seq & _MASK]

    def bytes_between(self, older: int, newer: int) -> int:
        """Data bytes of the writes after ``older`` up to ``newer``; neither may be before ``base``."""
        return self._bytes[newer & _MASK] - self._bytes[older & _MASK]

    def clear_confirmed(self, bits: bitarray, older: int, durable: int, keep: bitarray | None) -> None:
        """Clear in ``bits`` the blocks of the writes after ``older`` up to ``durable``.

        Rule R2: a block with a write after ``durable`` keeps its bit, and so does one set in ``keep`` (not
        yet resynced). No bit that stays is ever seen cleared, for the process may be killed at any moment.
        """
        ranges, last = self._ranges, self.last
        simple = not self._wide and keep is None
        for seq in range(older + 1, durable + 1):
            first, end = ranges[seq & _MASK]
            if end - first == 1 and simple:
                if last.get(first, 0) <= durable:
                    bits[first] = 0
            elif end > first:
                self.clear_range(bits, first, end, durable, keep)

    def clear_range(self, bits: bitarray, first: int, end: int, durable: int, keep: bitarray | None) -> None:
        """Clear blocks ``first`` to ``end`` - 1 in ``bits``, but for those written after ``durable`` or in ``keep``."""
        stay = bitarray(end - first, "little")
        last = self.last
        if end - first <= len(last):
            for block in range(first, end):
                if last.get(block, 0) > durable:
                    stay[block - first] = 1
        else:
            for block, seq in last.items():
                if seq > durable and first <= block < end:
                    stay[block - first] = 1
        for start, stop, seq in self._wide:
            if seq > durable and start < end and first < stop:
                stay[max(start, first) - first : min(stop, end) - first] = 1
        if keep is not None:
            stay |= keep[first:end]
        bits[first:end] = stay

    def written_after(self, first: int, end: int, seq: int) -> bool:
        """Whether any of the blocks has a write newer than ``seq``."""
        last = self.last
        return any(last.get(block, 0) > seq for block in range(first, end)) or any(
            newer > seq and start < end and first < stop for start, stop, newer in self._wide
        )

    def forget(self, seq: int) -> None:
        """The write ``seq`` failed here: no confirmation of it may clear a bit."""
        first, end = self._ranges[seq & _MASK]
        self._ranges[seq & _MASK] = (0, 0)
        for block in range(first, end):
            if self.last.get(block) == seq:
                del self.last[block]
        self._wide = [entry for entry in self._wide if entry[2] != seq]

    def trim(self, upto: int) -> None:
        """Forget the writes up to ``upto``: every target in the stream has confirmed them durable."""
        ranges, last = self._ranges, self.last
        for seq in range(self.base + 1, upto + 1):
            first, end = ranges[seq & _MASK]
            if end - first == 1:
                if last.get(first) == seq:
                    del last[first]
            elif end - first <= _WIDE:
                for block in range(first, end):
                    if last.get(block) == seq:
                        del last[block]
        self.base = max(self.base, upto)
        if self._wide:
            self._wide = [entry for entry in self._wide if entry[2] > upto]
