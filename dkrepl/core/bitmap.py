"""The intent bitmap of one target: one bit a block, set while the block may differ from the target's.

The bits lie in memory that the caller gives (a memory-mapped file), so they outlive the process. Each extent
has a *seal*, a CRC of its bits, which is right whenever the extent is not active: bits change only while their
extent is active. That is how damage is told from the traces of a crash without a write per bit (rule R9).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator

from bitarray import bitarray

Buffer = bytearray | memoryview

PIECE = 4096  # bytes of memory that one byte of ``touched`` stands for
PIECE_SHIFT = 15  # a piece of the bits is 1 << 15 blocks
# A byte of ``touched``. Only the loop sets CHANGED, after it has changed the bits; only the thread that writes the
# memory out sets SAVED, before it copies. So neither can lose what the other has to do.
CHANGED, COUNTED, SAVED = 1, 2, 3  # to be saved and counted; counted, to be saved; saved, to be counted
_TO_SAVE = re.compile(rb"[\x01\x02]")


class IntentBitmap:
    """Bits over ``bits_memory`` and seals over ``seals_memory`` (4 bytes an extent, little-endian).

    ``blocks`` is the number of blocks of the mirror, ``extent_blocks`` (a multiple of 8) those of an extent.
    ``touched`` has a byte for each piece of ``PIECE`` bytes of the bits, ``touched_seals`` one for each of the seals:
    what has changed and is not yet saved. Code that changes ``bits`` itself sets the byte to ``CHANGED`` afterwards.
    """

    __slots__ = ("_memory", "_seals", "bits", "blocks", "extent_blocks", "extents", "touched", "touched_seals")

    def __init__(self, bits_memory: Buffer, seals_memory: Buffer, blocks: int, extent_blocks: int) -> None:
        if extent_blocks % 8:
            raise ValueError("an extent is a multiple of 8 blocks")
        self.blocks = blocks
        self.extent_blocks = extent_blocks
        self.extents = -(-blocks // extent_blocks)
        length = self.bits_bytes(blocks, extent_blocks)
        self._memory = memoryview(bits_memory)[:length]
        self._seals = memoryview(seals_memory)[: 4 * self.extents].cast("B").cast("I")
        self.bits = bitarray(buffer=self._memory, endian="little")
        self.touched = bytearray(-(-length // PIECE))
        self.touched_seals = bytearray(-(-4 * self.extents // PIECE))

    @staticmethod
    def bits_bytes(blocks: int, extent_blocks: int) -> int:
        """Bytes of memory that the bits take: whole extents."""
        return -(-blocks // extent_blocks) * extent_blocks // 8

    @staticmethod
    def seals_bytes(blocks: int, extent_blocks: int) -> int:
        """Bytes of memory that the seals take."""
        return -(-blocks // extent_blocks) * 4

    def count(self) -> int:
        """Number of dirty blocks."""
        return self.bits.count()

    def any(self) -> bool:
        """Whether any block is dirty."""
        return self.bits.any()

    def mark(self, first: int, end: int) -> None:
        """Set the bits of blocks ``first`` to ``end`` - 1."""
        self.bits[first:end] = 1
        self.touch(first, end)

    def clear(self, first: int, end: int) -> None:
        """Clear the bits of blocks ``first`` to ``end`` - 1."""
        self.bits[first:end] = 0
        self.touch(first, end)

    def touch(self, first: int, end: int) -> None:
        """The bits of blocks ``first`` to ``end`` - 1 have been changed."""
        if end > first:
            low, high = first >> PIECE_SHIFT, ((end - 1) >> PIECE_SHIFT) + 1
            self.touched[low:high] = b"\x01" * (high - low)

    def take_touched(self) -> list[int]:
        """Return the pieces of the bits to be saved; from now on they count as saved. The caller copies them next."""
        return _take(self.touched, SAVED)

    def take_touched_seals(self) -> list[int]:
        """Return the pieces of the seals to be saved; from now on they count as saved. The caller copies them next."""
        return _take(self.touched_seals, 0)

    def mark_extents(self, extents: Iterable[int]) -> None:
        """Set every bit of each extent (after a crash: any of its blocks may differ)."""
        for extent in extents:
            first = extent * self.extent_blocks
            self.mark(first, min(first + self.extent_blocks, self.blocks))
            if first + self.extent_blocks > self.blocks:
                self.clear(
                    self.blocks, len(self.bits)
                )  # no block is behind these; damage to them must not look like one

    def fill(self, value: int) -> None:
        """Set every bit to ``value`` and seal every extent."""
        self.bits[: self.blocks] = value
        self.bits[self.blocks :] = 0
        self.touch(0, len(self.bits))
        self.seal(range(self.extents))

    def seal(self, extents: Iterable[int]) -> None:
        """Write the seals of ``extents``, just before they stop being active."""
        for extent in extents:
            self._seals[extent] = self._crc(extent)
            self.touched_seals[extent >> 10] = CHANGED

    def damaged(self, active: Iterable[int]) -> list[int]:
        """Return the extents whose seal is wrong, the ``active`` ones left out (theirs may be old)."""
        skip = set(active)
        seals = self._seals
        return [e for e in range(self.extents) if seals[e] != self._crc(e) and e not in skip]

    def runs(self, limit: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield (first, end) of each run of dirty blocks, at most ``limit`` of them."""
        yield from runs_of(self.bits, limit)

    def chunks(self, length: int) -> Iterator[tuple[int, bytes]]:
        """Yield (first block, bits) of each piece of ``length`` bytes that names a dirty block."""
        for at in range(0, len(self._memory), length):
            piece = bytes(self._memory[at : at + length])
            if any(piece):
                yield at * 8, piece

    def merge(self, first: int, bits: bytes) -> int:
        """Set the bits that a piece of another bitmap names, and seal; return how many it names.

        Raises ``ValueError`` if the piece reaches outside.
        """
        at = first // 8
        if first % 8 or at + len(bits) > len(self._memory):
            raise ValueError("a piece of a bitmap reaches outside it")
        named = bitarray(endian="little")
        named.frombytes(bits)
        if first + len(named) > self.blocks and named[self.blocks - first :].any():
            raise ValueError("a piece of a bitmap names blocks behind the last one")
        self.bits[first : first + len(named)] |= named
        self.touch(first, first + len(named))
        per = self.extent_blocks
        self.seal(range(first // per, -(-(first + len(named)) // per)))
        return named.count()

    def _crc(self, extent: int) -> int:
        width = self.extent_blocks // 8
        # The extent's number is the CRC's start value, so that zeroed or shifted memory does not pass.
        return zlib.crc32(self._memory[extent * width : (extent + 1) * width], extent + 1)


def _take(touched: bytearray, value: int) -> list[int]:
    pieces = [found.start() for found in _TO_SAVE.finditer(touched)]
    for piece in pieces:
        touched[piece] = value
    return pieces


def runs_of(bits: bitarray, limit: int | None = None) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of each run of ones in ``bits``, at most ``limit`` of them."""
    first = bits.find(1)
    while first >= 0 and (limit is None or limit > 0):
        end = bits.find(0, first)
        if end < 0:
            end = len(bits)
        yield first, end
        if limit is not None:
            limit -= 1
        first = bits.find(1, end)
