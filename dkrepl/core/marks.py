"""What a target has written and the other nodes may lack: the bitmaps that it keeps, one for each of them (rule R8).

Should the source die, what two survivors differ in is what both have marked for the other. A bit is set before its
block is written. It is cleared when the source has told that the other node is in sync and durable beyond the write;
until then the writes are held in *epochs*, bitmaps of what was written between two such messages.

The bitmap for the source stays as it is: all that is written here comes from there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from bitarray import bitarray

from dkrepl.core.bitmap import IntentBitmap

_EPOCHS = 4  # kept while some node lags; then the oldest two become one


class Marks:
    """``bitmaps``: one for each other node; ``shift``: a block is of ``1 << shift`` bytes."""

    def __init__(self, bitmaps: Mapping[str, IntentBitmap], shift: int) -> None:
        self.bitmaps = dict(bitmaps)
        self.active = False  # whether anything is to be marked
        self._shift = shift
        self._set: list[IntentBitmap] = []
        self._epochs: list[tuple[int, bitarray]] = []  # (seq at its begin, blocks written since), the newest last

    def enter(self, source: str, tracked: Collection[str]) -> None:
        """From now on data of ``source`` is written; mark it for the nodes in ``tracked``."""
        self._set = [bitmap for name, bitmap in self.bitmaps.items() if name in tracked and name != source]
        self._epochs = []
        self.active = bool(self._set)

    def in_sync(self, seq: int) -> None:
        """This node holds the source's state at ``seq``; who is durable beyond it lacks only what is marked since."""
        self._epochs = []
        if len(self.bitmaps) > 1:
            self._begin(seq)
            self.active = True

    def end(self) -> None:
        """Leave the bitmaps as they are from now on."""
        self._set, self._epochs, self.active = [], [], False

    def mark(self, offset: int, length: int) -> None:
        """``length`` bytes at ``offset`` will be written now."""
        first = offset >> self._shift
        end = ((offset + length - 1) >> self._shift) + 1
        for bitmap in self._set:
            bitmap.mark(first, end)
        if self._epochs:
            self._epochs[-1][1][first:end] = 1

    def told(self, durable: Mapping[str, int], applied: int) -> list[str]:
        """Take what the source says: the seq up to which each node that is in sync is durable.

        ``applied``: the newest seq applied here. Returns the nodes whose bitmap is right now, and was set anew.
        """
        if not self._epochs:
            return []
        if applied != self._epochs[-1][0]:
            self._begin(applied)
        right, oldest = [], len(self._epochs) - 1
        for name, seq in durable.items():
            bitmap = self.bitmaps.get(name)
            since = [at for at, (begin, _) in enumerate(self._epochs) if begin <= seq]
            if bitmap is None or not since:
                continue
            oldest = min(oldest, since[-1])
            named = self._epochs[since[-1]][1].copy()
            for _, blocks in self._epochs[since[-1] + 1 :]:
                named |= blocks
            bitmap.bits[:] = named
            bitmap.touch(0, len(named))
            right.append(name)
            if bitmap not in self._set:
                self._set.append(bitmap)
        del self._epochs[:oldest]
        while len(self._epochs) > _EPOCHS:
            begin, blocks = self._epochs.pop(0)
            self._epochs[0] = (begin, self._epochs[0][1] | blocks)
        return right

    def _begin(self, seq: int) -> None:
        """Begin an epoch: what is written from now on comes after ``seq``."""
        blocks = bitarray(len(next(iter(self.bitmaps.values())).bits), "little")
        self._epochs.append((seq, blocks))
