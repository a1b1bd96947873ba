"""The writes of the stream that some target has not yet confirmed durable: a ring of block ranges by seq.

It answers the two questions on which clearing an intent bit depends (rule R2): which blocks did the writes up
to a seq touch, and was a block written again after it. Its length is bounded (rule R5): the source stops
completing writes, or drops the slow target from the stream, long before the ring is full.

Rule R13: a range of many blocks is noted in *cells*, aligned groups: small ones of ``1 << cell_shift``
blocks, and large ones of as many small ones. Only at its ends are blocks noted one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bitarray import bitarray

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.intent.bitmap import IntentBitmap
from dkrepl.core.source.resync_state import Resync


class WriteLog:
    """The ring. ``seq`` is that of the newest write; writes up to ``base`` are forgotten."""

    __slots__ = ("_bytes", "_large", "_mask", "_ranges", "_shift", "_small", "_under_way", "base", "last", "seq")

    def __init__(self, *, limits: Limits = DEFAULT) -> None:
        self._mask = limits.logged_writes - 1
        self._shift = limits.cell_shift
        self.seq = 0
        self.base = 0
        self.last: dict[int, int] = {}  # block -> seq of the newest write that noted it
        self._small: dict[int, int] = {}  # the same for cells: all of their blocks were written
        self._large: dict[int, int] = {}
        self._under_way = (0, 0)  # (first, end) of a change that has no seq yet
        self._ranges: list[tuple[int, int]] = [(0, 0)] * limits.logged_writes
        self._bytes: list[int] = [0] * limits.logged_writes  # bytes of data written up to a seq

    def begin(self, first: int, end: int) -> None:
        """Blocks ``first`` to ``end`` - 1 change from now on: no bit of theirs is cleared until ``end_of`` (R2)."""
        self._under_way = (first, end)

    def end_of(self, first: int, end: int) -> None:
        """Undo one ``begin`` of the same range: the change has its seq now."""
        assert self._under_way == (first, end)
        self._under_way = (0, 0)

    def append(self, first: int, end: int, length: int) -> int:
        """Note a write of ``length`` data bytes to blocks ``first`` to ``end`` - 1; return its seq.

        ``first`` == ``end`` for what touches no block (a flush). Raises ``OverflowError`` when the ring is full, which
        the limits of a target's window and of unconfirmed writes exclude (R5).
        """
        seq, mask = self.seq + 1, self._mask
        if seq - self.base > mask:
            raise OverflowError("the write log is full")
        self.seq = seq
        slot = seq & mask
        self._ranges[slot] = (first, end)
        self._bytes[slot] = self._bytes[(seq - 1) & mask] + length
        if end - first == 1:
            self.last[first] = seq
        else:
            for notes, cells in self._cells(first, end):
                notes.update(dict.fromkeys(cells, seq))
        return seq

    @property
    def newest_change(self) -> int:
        """The newest write that changed data, of those that are not forgotten; 0 if all are."""
        for seq in range(self.seq, self.base, -1):
            first, end = self._ranges[seq & self._mask]
            if first < end:
                return seq
        return 0

    @property
    def written(self) -> int:
        """Data bytes of all writes so far."""
        return self._bytes[self.seq & self._mask]

    def bytes_between(self, older: int, newer: int) -> int:
        """Data bytes of the writes after ``older`` up to ``newer``; neither may be before ``base``."""
        return self._bytes[newer & self._mask] - self._bytes[older & self._mask]

    def clear_confirmed(self, bitmap: IntentBitmap, older: int, durable: int, resync: Resync | None) -> None:
        """Clear in ``bitmap`` the blocks of the writes after ``older`` up to ``durable``.

        Rule R2: a block with a write after ``durable`` keeps its bit, and so does one that ``resync`` has not yet
        brought to the target. No bit that stays is ever seen cleared, for the process may be killed at any moment.
        """
        ranges, last, mask = self._ranges, self.last, self._mask
        bits, touched, shift = bitmap.bits, bitmap.touched, bitmap.piece_shift
        simple = not self._small and not self._large and resync is None and not self._under_way[1]
        others = []
        for seq in range(older + 1, durable + 1):
            first, end = ranges[seq & mask]
            if end - first == 1 and simple:
                if last.get(first, 0) <= durable:
                    bits[first] = 0
                    touched[first >> shift] = 1  # CHANGED
            elif end > first:
                others.append((first, end))
        if others:
            self.clear_ranges(bitmap, others, durable, resync)

    def clear_ranges(
        self, bitmap: IntentBitmap, ranges: Sequence[tuple[int, int]], durable: int, resync: Resync | None
    ) -> None:
        """Clear the blocks of each range, (first, end), in ``bitmap``; what stays is as for ``clear_confirmed``."""
        newer: set[int] | None = None
        wide = 1 << self._shift
        for first, end in ranges:
            stay = None
            if durable < self.seq:
                if end - first <= wide:
                    stay = self._written_later(first, end, durable)
                else:
                    if newer is None:
                        newer = self._small_cells_after(durable)
                    stay = self._written_later_in_cells(first, end, durable, newer)
            unsynced = None if resync is None else resync.unsynced(first, end)
            if unsynced is not None:
                stay = unsynced if stay is None else stay | unsynced
            low, high = max(self._under_way[0], first), min(self._under_way[1], end)
            if low < high:
                stay = bitarray(end - first, "little") if stay is None else stay
                stay[low - first : high - first] = 1
            if stay is None:
                bitmap.clear(first, end)
            else:
                bitmap.keep_only(first, stay)

    def forget(self, seq: int) -> None:
        """The write ``seq`` failed here: no ack of it may clear a bit."""
        self._drop(seq)
        self._ranges[seq & self._mask] = (0, 0)

    def trim(self, upto: int) -> None:
        """Forget the writes up to ``upto``: every target in the stream has confirmed them durable."""
        ranges, last, mask = self._ranges, self.last, self._mask
        for seq in range(self.base + 1, upto + 1):
            first, end = ranges[seq & mask]
            if end - first == 1:
                if last.get(first) == seq:
                    del last[first]
            elif end > first:
                self._drop(seq)
        self.base = max(self.base, upto)

    def _drop(self, seq: int) -> None:
        for notes, cells in self._cells(*self._ranges[seq & self._mask]):
            for cell in cells:
                if notes.get(cell) == seq:
                    del notes[cell]

    def _cells(self, first: int, end: int) -> Iterator[tuple[dict[int, int], range]]:
        """Yield the notes in which a range is kept, and its keys in them: cells as large as fit, blocks at the ends."""
        cell = 1 << self._shift  # blocks; a longer range is noted in cells
        if end - first <= cell:
            yield self.last, range(first, end)
            return
        low, high = -(-first // cell), end // cell  # small cells that lie within
        yield self.last, range(first, min(low * cell, end))
        yield self.last, range(max(low, high) * cell, end)
        first, end = low, high
        low, high = -(-first // cell), end // cell  # the same for the large ones
        if low >= high:
            yield self._small, range(first, end)
        else:
            yield self._small, range(first, low * cell)
            yield self._small, range(high * cell, end)
            yield self._large, range(low, high)

    def _written_later(self, first: int, end: int, durable: int) -> bitarray | None:
        """Return which of a few blocks were written after ``durable``, or None."""
        last, small, large = self.last, self._small, self._large
        shift = self._shift
        stay = None
        for block in range(first, end):
            if (
                last.get(block, 0) > durable
                or small.get(block >> shift, 0) > durable
                or large.get(block >> 2 * shift, 0) > durable
            ):
                stay = bitarray(end - first, "little") if stay is None else stay
                stay[block - first] = 1
        return stay

    def _written_later_in_cells(self, first: int, end: int, durable: int, newer: set[int]) -> bitarray | None:
        """Return which of many blocks were written after ``durable``, or None; ``newer`` as ``_small_cells_after``."""
        small, large = self._small, self._large
        shift = self._shift
        stay = None
        at = first
        while at < end:
            cell = at >> shift
            stop = min((cell + 1) << shift, end)
            whole = small.get(cell, 0) > durable or large.get(cell >> shift, 0) > durable
            if whole or cell in newer:
                part = None if whole else self._written_later(at, stop, durable)
                if whole or part is not None:
                    stay = bitarray(end - first, "little") if stay is None else stay
                    stay[at - first : stop - first] = 1 if part is None else part
            at = stop
        return stay

    def _small_cells_after(self, durable: int) -> set[int]:
        """Return the small cells in which blocks were noted one by one by a write after ``durable``."""
        cells = set()
        for seq in range(durable + 1, self.seq + 1):
            first, end = self._ranges[seq & self._mask]
            if first < end:
                cells.add(first >> self._shift)
                cells.add((end - 1) >> self._shift)
        return cells
