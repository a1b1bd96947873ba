"""The intent bitmap of one target: one bit a block, set while the block may differ from the target's.

The bits lie in memory that the caller gives, so they outlive the process. Each extent has a *seal*, a CRC of its bits
and of its number, which is right whenever the extent is not active: bits change only while their extent is active.
That is how damage is told from the traces of a crash without a write per bit (rule R9).

Rule R13: a bitmap of 2^30 blocks has 128 MiB, so nothing that the loop calls walks over it. It is divided into
*pieces* of ``1 << piece_shift`` blocks, and for each of them the number of its dirty blocks is kept. What changes bits
notes the piece as touched, and its blocks are counted again when a number is asked for. To fill a bitmap takes several
steps.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from bitarray import bitarray

from dkrepl.config.limits import DEFAULT, Limits

Buffer = bytearray | memoryview

SEALS_SHIFT = 10  # a piece of the seals is 1 << 10 of them: 4096 bytes
# A byte of ``touched``. Only the loop sets CHANGED, after it has changed the bits; only the thread that writes the
# memory out sets SAVED, before it copies. So neither can erase work that the other still has to do.
CHANGED, COUNTED, SAVED = 1, 2, 3  # to be saved and counted; counted, to be saved; saved, to be counted
# What is known of a piece: none of its blocks is dirty, some are, or all are.
_CLEAN, _MIXED, _FULL = 0, 1, 2


class IntentBitmap:
    """Bits over ``bits_memory`` and seals over ``seals_memory`` (4 bytes an extent, little-endian).

    ``blocks`` is the number of blocks of the mirror, ``extent_blocks`` (a multiple of 8 that divides a piece) those of
    an extent. ``touched`` has a byte for each piece of the bits, ``touched_seals`` one for each of the seals: what has
    changed and is not yet saved. Code that changes ``bits`` itself sets the byte to ``CHANGED`` afterwards.
    """

    __slots__ = (
        "_counts",
        "_cursor",
        "_fill_pieces",
        "_known",
        "_memory",
        "_patterns",
        "_seals",
        "_total",
        "_value",
        "bits",
        "blocks",
        "extent_blocks",
        "extents",
        "piece_shift",
        "touched",
        "touched_seals",
    )

    def __init__(
        self,
        bits_memory: Buffer,
        seals_memory: Buffer,
        blocks: int,
        extent_blocks: int,
        *,
        limits: Limits = DEFAULT,
    ) -> None:
        self.piece_shift = limits.piece_shift
        self._fill_pieces = limits.fill_pieces
        if extent_blocks % 8 or (1 << self.piece_shift) % extent_blocks:
            raise ValueError("an extent is a multiple of 8 blocks and divides a piece")
        self.blocks = blocks
        self.extent_blocks = extent_blocks
        self.extents = -(-blocks // extent_blocks)
        length = self.bits_bytes(blocks, extent_blocks)
        self._memory = memoryview(bits_memory)[:length]
        self._seals = memoryview(seals_memory)[: 4 * self.extents].cast("B").cast("I")
        self.bits = bitarray(buffer=self._memory, endian="little")
        pieces = -(-blocks // (1 << self.piece_shift))
        self.touched = bytearray(pieces)
        self.touched_seals = bytearray(-(-self.extents // (1 << SEALS_SHIFT)))
        self._counts = [0] * pieces
        self._known = bytearray(pieces)
        self._total = 0
        self._cursor = pieces  # the next piece to be filled with ``_value``
        self._value = 0
        self._patterns = _Patterns(extent_blocks, (1 << self.piece_shift) // extent_blocks)
        self._count_all()

    @staticmethod
    def bits_bytes(blocks: int, extent_blocks: int) -> int:
        """Bytes of memory that the bits take: whole extents."""
        return -(-blocks // extent_blocks) * extent_blocks // 8

    @staticmethod
    def seals_bytes(blocks: int, extent_blocks: int) -> int:
        """Bytes of memory that the seals take."""
        return -(-blocks // extent_blocks) * 4

    # --- what is dirty -------------------------------------------------------------------------------

    def count(self) -> int:
        """Number of dirty blocks."""
        self._recount()
        return self._total

    def any(self) -> bool:
        """Whether any block is dirty."""
        return self.count() > 0

    def find(self, at: int) -> int:
        """Return the first dirty block from ``at`` on, or -1."""
        piece = at >> self.piece_shift
        while (piece := self.dirty_piece(piece)) >= 0:
            found = self.bits.find(1, max(at, piece << self.piece_shift), (piece + 1) << self.piece_shift)
            if found >= 0:
                return found
            piece += 1
        return -1

    def find_clean(self, at: int, limit: int) -> int:
        """Return the first clean block from ``at`` on, at most ``limit``."""
        self._recount()
        while at < limit:
            piece = _either(self._known, _CLEAN, _MIXED, at >> self.piece_shift)
            if piece < 0:
                break
            end = min((piece + 1) << self.piece_shift, limit)
            found = self.bits.find(0, max(at, piece << self.piece_shift), end) if end > at else -1
            if found >= 0:
                return found
            at = (piece + 1) << self.piece_shift
        return limit

    def dirty_piece(self, piece: int) -> int:
        """Return the first piece from ``piece`` on that has a dirty block, or -1."""
        self._recount()
        return _either(self._known, _MIXED, _FULL, piece)

    def dirty_pieces(self, piece: int, most: int) -> list[int]:
        """Return the first ``most`` pieces from ``piece`` on that have a dirty block."""
        found: list[int] = []
        at = self.dirty_piece(piece)
        while at >= 0 and len(found) < most:
            found.append(at)
            at = _either(self._known, _MIXED, _FULL, at + 1)
        return found

    def runs(self, limit: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield (first, end) of each run of dirty blocks, at most ``limit`` of them."""
        first = self.find(0)
        while first >= 0 and (limit is None or limit > 0):
            end = self.find_clean(first, self.blocks)
            yield first, end
            if limit is not None:
                limit -= 1
            first = self.find(end)

    def chunks(self, length: int) -> Iterator[tuple[int, bytes]]:
        """Yield (first block, bits) of each part of ``length`` bytes that names a dirty block."""
        block = self.find(0)
        while block >= 0:
            at = block // 8 // length * length
            yield at * 8, bytes(self._memory[at : at + length])
            block = self.find((at + length) * 8)

    # --- changes -------------------------------------------------------------------------------------

    def mark(self, first: int, end: int) -> None:
        """Set the bits of blocks ``first`` to ``end`` - 1."""
        self.bits[first:end] = 1
        self.touch(first, end)

    def clear(self, first: int, end: int) -> None:
        """Clear the bits of blocks ``first`` to ``end`` - 1."""
        self.bits[first:end] = 0
        self.touch(first, end)

    def keep_only(self, first: int, stay: bitarray) -> None:
        """Clear the bits from block ``first`` on that are not set in ``stay``, as many as it is long.

        Rule R2: no bit that stays is ever seen cleared, for the process may be killed at any moment. Bits at byte
        boundaries are stored byte by byte; those at both ends one by one.
        """
        bits, end = self.bits, first + len(stay)
        low, high = min(-(-first // 8) * 8, end), max(end // 8 * 8, first)
        if not stay.any():
            bits[first:end] = 0
        else:
            for block in (*range(first, min(low, end)), *range(max(low, high), end)):
                if not stay[block - first]:
                    bits[block] = 0
            if low < high:
                bits[low:high] &= stay[low - first : high - first]
        self.touch(first, end)

    def touch(self, first: int, end: int) -> None:
        """The bits of blocks ``first`` to ``end`` - 1 have been changed."""
        low, high = first >> self.piece_shift, (end - 1) >> self.piece_shift
        if low == high:
            self.touched[low] = CHANGED
        elif low < high:
            high = min(high + 1, len(self.touched))
            self.touched[low:high] = b"\x01" * (high - low)

    def mark_extents(self, extents: Iterable[int]) -> None:
        """Set every bit of each extent (after a crash: any of its blocks may differ)."""
        for extent in extents:
            first = extent * self.extent_blocks
            self.mark(first, min(first + self.extent_blocks, self.blocks))
            if first + self.extent_blocks > self.blocks:
                # There are no blocks behind these bits; damage to them must not look like dirty blocks.
                self.bits[self.blocks :] = 0

    def merge(self, first: int, bits: bytes) -> int:
        """Set the bits that a part of another bitmap names, and seal; return how many it names.

        Raises ``ValueError`` if the part reaches outside.
        """
        at = first // 8
        if first % 8 or at + len(bits) > len(self._memory):
            raise ValueError("a piece of a bitmap reaches outside it")
        named = bitarray(endian="little")
        named.frombytes(bits)
        if first + len(named) > self.blocks and named[self.blocks - first :].any():
            raise ValueError("a piece of a bitmap names blocks behind the last one")
        self.bits[first : first + len(named)] |= named
        self.touch(first, min(first + len(named), self.blocks))
        per = self.extent_blocks
        self.seal(range(first // per, -(-(first + len(named)) // per)))
        return named.count()

    # --- all of it -----------------------------------------------------------------------------------

    def fill(self, value: int) -> None:
        """Set every bit to ``value`` and seal every extent, at once: takes long, so it is not for the loop (R13)."""
        self._cursor = len(self.touched)
        for piece in range(len(self.touched)):
            self._fill(piece, value)

    def begin_fill(self, value: int) -> None:
        """From now on ``fill_step`` sets every bit to ``value``, and seals what it changes."""
        self._cursor, self._value = 0, value

    def end_fill(self) -> None:
        """Leave the bits as they are now."""
        self._cursor = len(self.touched)

    @property
    def filling(self) -> bool:
        """Whether ``fill_step`` has more to do."""
        return self._cursor < len(self.touched)

    def fill_step(self) -> None:
        """Fill some pieces: about a millisecond's work."""
        self._recount()
        undone = _CLEAN if self._value else _FULL
        for _ in range(self._fill_pieces):
            piece = _either(self._known, undone, _MIXED, self._cursor)
            if piece < 0:
                self.end_fill()
                return
            self._fill(piece, self._value)
            self._cursor = piece + 1

    def _fill(self, piece: int, value: int) -> None:
        first, end = self._range(piece)
        self.bits[first:end] = value
        self.bits[end : (piece + 1) << self.piece_shift] = 0  # behind the last block
        self._seal_piece(piece, _FULL if value else _CLEAN)
        self._note(piece, value * (end - first), end - first)
        self.touched[piece] = COUNTED

    # --- seals ---------------------------------------------------------------------------------------

    def seal(self, extents: Iterable[int]) -> None:
        """Write the seals of ``extents``, just before they stop being active."""
        for extent in extents:
            self._seals[extent] = self._seal(extent)
            self.touched_seals[extent >> SEALS_SHIFT] = CHANGED

    def seal_all(self) -> None:
        """Write every seal: takes long, so it is not for the loop (R13)."""
        self._count_all()
        for piece, known in enumerate(self._known):
            self._seal_piece(piece, known)

    def damaged(self, active: Iterable[int]) -> list[int]:
        """Return the extents whose seal is wrong, the ``active`` ones left out (theirs may be old).

        Takes long, so it is not for the loop (R13).
        """
        self._count_all()
        skip, wrong = set(active), []
        for piece, known in enumerate(self._known):
            low, high = self._extents_of(piece)
            found, right = bytes(self._seals[low:high]), self._seals_of(piece, known)
            if found != right:
                wrong += [
                    e
                    for at, e in enumerate(range(low, high))
                    if found[4 * at : 4 * at + 4] != right[4 * at : 4 * at + 4] and e not in skip
                ]
        return wrong

    def _seal_piece(self, piece: int, known: int) -> None:
        """Seal the extents of a piece; ``known``: what is known of its blocks."""
        low, high = self._extents_of(piece)
        self._seals[low:high] = memoryview(self._seals_of(piece, known)).cast("I")
        for at in range(low >> SEALS_SHIFT, ((high - 1) >> SEALS_SHIFT) + 1):
            self.touched_seals[at] = CHANGED

    def _seals_of(self, piece: int, known: int) -> bytes:
        """Return the right seals of a piece: computed one by one only for extents that have a dirty block."""
        low, high = self._extents_of(piece)
        if known == _FULL and (piece + 1) << self.piece_shift <= self.blocks:
            return self._patterns.seals(low, 1)
        seals = bytearray(self._patterns.seals(low, 0))
        end = high * self.extent_blocks
        at = self.bits.find(1, low * self.extent_blocks, end)
        while at >= 0:
            extent = at // self.extent_blocks
            seals[4 * (extent - low) : 4 * (extent - low) + 4] = self._seal(extent).to_bytes(4, "little")
            at = self.bits.find(1, (extent + 1) * self.extent_blocks, end)
        return bytes(seals[: 4 * (high - low)])

    def _seal(self, extent: int) -> int:
        width = self.extent_blocks // 8
        # The extent's number is part of it, so that zeroed or shifted memory does not pass.
        return zlib.crc32(self._memory[extent * width : (extent + 1) * width]) ^ _place(extent)

    # --- to be saved ---------------------------------------------------------------------------------

    def take_touched(self) -> list[int]:
        """Return the pieces of the bits to be saved; from now on they count as saved. The caller copies them next."""
        return _take(self.touched, SAVED)

    def take_touched_seals(self) -> list[int]:
        """Return the pieces of the seals to be saved; from now on they count as saved. The caller copies them next."""
        return _take(self.touched_seals, 0)

    # --- the inside ----------------------------------------------------------------------------------

    def _range(self, piece: int) -> tuple[int, int]:
        return piece << self.piece_shift, min((piece + 1) << self.piece_shift, self.blocks)

    def _extents_of(self, piece: int) -> tuple[int, int]:
        per = (1 << self.piece_shift) // self.extent_blocks
        return piece * per, min((piece + 1) * per, self.extents)

    def _recount(self) -> None:
        touched = self.touched
        for value, counted in ((CHANGED, COUNTED), (SAVED, 0)):
            piece = touched.find(value)
            while piece >= 0:
                touched[piece] = counted
                self._count_piece(piece)
                piece = touched.find(value, piece + 1)

    def _count_all(self) -> None:
        for piece in range(len(self.touched)):
            self._count_piece(piece)

    def _count_piece(self, piece: int) -> None:
        first, end = self._range(piece)
        self._note(piece, self.bits.count(1, first, end), end - first)

    def _note(self, piece: int, count: int, blocks: int) -> None:
        self._total += count - self._counts[piece]
        self._counts[piece] = count
        self._known[piece] = _CLEAN if not count else _FULL if count == blocks else _MIXED


class _Patterns:
    """The seals of pieces whose blocks are all clean or all dirty, without a CRC for each extent.

    A CRC is linear: the seals of two such pieces differ, in every extent, by the same bits.
    """

    __slots__ = ("_blank", "_length", "_ones")

    def __init__(self, extent_blocks: int, per: int) -> None:
        """``per``: extents in a piece."""
        self._length = 4 * per
        self._ones = int.from_bytes(b"\x01\x00\x00\x00" * per, "little")
        places = int.from_bytes(b"".join(_place(e).to_bytes(4, "little") for e in range(per)), "little")
        self._blank = [
            places ^ self._ones * (zlib.crc32(content * (extent_blocks // 8)) ^ _place(0))
            for content in (b"\x00", b"\xff")
        ]

    def seals(self, first: int, value: int) -> bytes:
        """Return the seals of the piece whose first extent is ``first`` and whose bits are all ``value``."""
        return (self._blank[value] ^ self._ones * _place(first)).to_bytes(self._length, "little")


def _place(extent: int) -> int:
    return zlib.crc32(extent.to_bytes(8, "little"))


def _either(values: bytearray, one: int, other: int, at: int) -> int:
    """Return where the first of two values is from ``at`` on, or -1."""
    found = values.find(one, at)
    also = values.find(other, at, found if found >= 0 else len(values))
    return also if also >= 0 else found


def _take(touched: bytearray, value: int) -> list[int]:
    pieces = []
    piece = _either(touched, CHANGED, COUNTED, 0)
    while piece >= 0:
        touched[piece] = value
        pieces.append(piece)
        piece = _either(touched, CHANGED, COUNTED, piece + 1)
    return pieces
