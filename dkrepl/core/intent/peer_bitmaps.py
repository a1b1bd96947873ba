"""What a target has written and the other nodes may lack: its bitmaps, one for each of them (rule R8).

Should the source die, two survivors differ in what each has marked for the other. A bit is set before its
block is written. It is cleared when the source has reported the other node as in sync and durable beyond the write;
until then the writes are held in *spans*: what was written between two such messages, by piece of the bitmap.

Rule R13: a bitmap is brought up to date piece by piece, some at each message. What is not yet cleared names too much,
never too little.

The bitmap for the source stays as it is: all that is written here comes from there.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Collection, Mapping, Sequence

from bitarray import bitarray

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.intent.bitmap import IntentBitmap

Span = dict[int, bitarray]  # piece -> its blocks that were written


class PeerBitmaps:
    """``bitmaps``: one for each other node; ``shift``: a block is of ``1 << shift`` bytes."""

    def __init__(self, bitmaps: Mapping[str, IntentBitmap], shift: int, *, limits: Limits = DEFAULT) -> None:
        self.bitmaps = dict(bitmaps)
        self.active = False  # whether anything is to be marked
        self._shift = shift
        self._piece_shift = limits.piece_shift
        assert all(bitmap.piece_shift == self._piece_shift for bitmap in bitmaps.values())
        self._most_spans = limits.peer_bitmap_spans
        self._pieces = limits.peer_bitmap_pieces
        self._set: list[IntentBitmap] = []
        self._spans: list[tuple[int, Span]] = []  # (seq at its begin, what was written since), the newest last
        # node -> (begin of the span since which it may lack writes, as the pass over its bitmap began; the next piece)
        self._passes: dict[str, tuple[int, int]] = {}

    def enter(self, source: str, tracked: Collection[str]) -> None:
        """From now on data of ``source`` is written; mark it for the nodes in ``tracked``."""
        self._forget()
        self._set = [bitmap for name, bitmap in self.bitmaps.items() if name in tracked and name != source]
        self.active = bool(self._set)

    def in_sync(self, seq: int) -> None:
        """This node holds the source's state at ``seq``; who is durable beyond it lacks only what is marked since."""
        self._forget()
        if len(self.bitmaps) > 1:
            self._spans.append((seq, {}))
            self.active = True

    def mark(self, offset: int, length: int) -> None:
        """``length`` bytes at ``offset`` will be written now."""
        first = offset >> self._shift
        end = ((offset + length - 1) >> self._shift) + 1
        for bitmap in self._set:
            bitmap.mark(first, end)
        if self._spans:
            _mark(self._spans[-1][1], first, end, self._piece_shift)

    def update(self, durable: Mapping[str, int], applied: int) -> list[str]:
        """Take a report of the source: the seq up to which each node that is in sync is durable.

        ``applied``: the newest seq applied here. Returns the nodes whose bitmap names all that they may lack.
        """
        spans = self._spans
        if not spans:
            return []
        if applied != spans[-1][0]:
            spans.append((applied, {}))
        right, oldest = [], len(spans) - 1
        for name, seq in durable.items():
            bitmap = self.bitmaps.get(name)
            since = [at for at, (begin, _) in enumerate(spans) if begin <= seq]
            if bitmap is None or not since:
                continue
            oldest = min(oldest, since[-1])
            lacking = [blocks for _, blocks in spans[since[-1] :]]
            if bitmap not in self._set:
                for blocks in lacking:
                    _add(bitmap, blocks)
                self._set.append(bitmap)
            self._clear(name, bitmap, lacking, spans[since[-1]][0])
            right.append(name)
        del spans[:oldest]
        while len(spans) > self._most_spans:
            begin, blocks = spans.pop(0)
            _join(blocks, spans[0][1])
            spans[0] = (begin, blocks)
        return right

    def _clear(self, name: str, bitmap: IntentBitmap, lacking: Sequence[Span], since: int) -> None:
        """Clear what none of ``lacking`` names, in some pieces of the bitmap of ``name``."""
        started, piece = self._passes.get(name, (-1, -1))
        if piece < 0:
            if started == since:
                return
            started, piece = since, 0
        pieces = bitmap.dirty_pieces(piece, self._pieces)
        for piece in pieces:
            first = piece << bitmap.piece_shift
            end = min(first + (1 << bitmap.piece_shift), bitmap.blocks)
            stay = [blocks[piece] for blocks in lacking if piece in blocks]
            if stay:
                bitmap.keep_only(first, functools.reduce(operator.or_, stay)[: end - first])
            else:
                bitmap.clear(first, end)
        self._passes[name] = (started, pieces[-1] + 1 if len(pieces) == self._pieces else -1)

    def _forget(self) -> None:
        self._spans, self._passes = [], {}


def _mark(span: Span, first: int, end: int, shift: int) -> None:
    for piece in range(first >> shift, ((end - 1) >> shift) + 1):
        blocks = span.get(piece)
        if blocks is None:
            blocks = span[piece] = bitarray(1 << shift, "little")
        begin = piece << shift
        blocks[max(first - begin, 0) : min(end - begin, 1 << shift)] = 1


def _add(bitmap: IntentBitmap, span: Span) -> None:
    for piece, blocks in span.items():
        first = piece << bitmap.piece_shift
        end = min(first + (1 << bitmap.piece_shift), bitmap.blocks)
        bitmap.bits[first:end] |= blocks[: end - first]
        bitmap.touch(first, end)


def _join(span: Span, later: Span) -> None:
    for piece, blocks in later.items():
        if piece in span:
            span[piece] |= blocks
        else:
            span[piece] = blocks
