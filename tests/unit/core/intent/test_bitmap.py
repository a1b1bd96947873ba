"""The intent bitmap: bits, seals, and what damage to them looks like (R9)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkrepl.core.intent.bitmap import CHANGED, IntentBitmap

BLOCKS, PER = 100, 16  # the last extent has 4 blocks
PIECE = 4096  # bytes


def memories() -> tuple[bytearray, bytearray]:
    return bytearray(IntentBitmap.bits_bytes(BLOCKS, PER)), bytearray(IntentBitmap.seals_bytes(BLOCKS, PER))


def fresh() -> tuple[IntentBitmap, bytearray, bytearray]:
    bits, seals = memories()
    bitmap = IntentBitmap(bits, seals, BLOCKS, PER)
    bitmap.fill(0)
    return bitmap, bits, seals


@given(st.lists(st.tuples(st.booleans(), st.integers(0, BLOCKS), st.integers(0, BLOCKS)), max_size=20))
def test_it_says_what_was_marked_and_not_cleared(steps: list[tuple[bool, int, int]]) -> None:
    bitmap, _, _ = fresh()
    expected: set[int] = set()
    for mark, one, other in steps:
        first, end = sorted((one, other))
        if mark:
            bitmap.mark(first, end)
            expected |= set(range(first, end))
        else:
            bitmap.clear(first, end)
            expected -= set(range(first, end))
    found = [block for first, end in bitmap.runs() for block in range(first, end)]
    assert found == sorted(expected)
    assert bitmap.count() == len(expected)
    assert bitmap.any() == bool(expected)


def test_the_bits_are_in_the_memory_given() -> None:
    bitmap, bits, _ = fresh()
    bitmap.mark(9, 10)
    assert bits[1] == 0b10
    assert IntentBitmap(bits, memories()[1], BLOCKS, PER).count() == 1


@given(st.sets(st.integers(0, 6)), st.integers(0, BLOCKS - 1))
def test_a_flipped_bit_is_found_in_every_extent_but_the_active_ones(active: set[int], block: int) -> None:
    bitmap, bits, _ = fresh()
    bits[block // 8] ^= 1 << block % 8
    damaged = bitmap.damaged(active)
    assert damaged == ([] if block // PER in active else [block // PER])


def test_a_flipped_bit_of_a_seal_is_found() -> None:
    bitmap, _, seals = fresh()
    seals[5] ^= 4
    assert bitmap.damaged(()) == [1]


def test_memory_of_zeros_or_of_a_neighbour_passes_no_check() -> None:
    bits, seals = memories()
    assert IntentBitmap(bits, seals, BLOCKS, PER).damaged(()) == list(range(7))
    bitmap, bits, seals = fresh()
    bitmap.mark(0, PER)
    bitmap.seal([0])
    bits[2:4], seals[4:8] = bits[0:2], seals[0:4]
    assert bitmap.damaged(()) == [1]


def test_what_is_sealed_is_right_again() -> None:
    bitmap, _, _ = fresh()
    bitmap.mark(20, 21)
    assert bitmap.damaged(()) == [1]
    bitmap.seal([1])
    assert bitmap.damaged(()) == []


def test_no_block_lies_behind_the_last() -> None:
    bitmap, bits, _ = fresh()
    bitmap.fill(1)
    assert bitmap.count() == BLOCKS
    bitmap.fill(0)
    bits[-1] = 0x80  # damage in an active extent, whose bits are set anew
    bitmap.mark_extents([6])
    assert list(bitmap.runs()) == [(96, 100)]


def test_to_mark_nothing_leaves_nothing_to_be_saved() -> None:
    bitmap, _, _ = fresh()
    bitmap.take_touched()
    bitmap.mark(0, 0)
    assert not bitmap.take_touched()


def test_of_many_dirty_runs_only_as_many_are_told_as_are_asked_for() -> None:
    bitmap, _, _ = fresh()
    for block in (1, 5, 9):
        bitmap.mark(block, block + 1)
    assert list(bitmap.runs(2)) == [(1, 2), (5, 6)]


def test_what_another_bitmap_names_is_added_and_is_no_damage() -> None:
    bitmap, _, _ = fresh()
    bitmap.mark(17, 18)
    assert bitmap.merge(16, bytes((0b0000_0110, 0b1000_0000))) == 3
    assert list(bitmap.runs()) == [(17, 19), (31, 32)]
    assert bitmap.damaged(()) == []


@pytest.mark.parametrize(
    ("first", "bits", "error"),
    [
        (4, b"\1", "reaches outside"),
        (104, b"\1\1", "reaches outside"),
        (96, b"\x10", "behind the last"),
    ],
)
def test_a_part_of_a_bitmap_that_is_not_of_this_mirror_changes_nothing(first: int, bits: bytes, error: str) -> None:
    bitmap, _, _ = fresh()
    with pytest.raises(ValueError, match=error):
        bitmap.merge(first, bits)
    assert not bitmap.any()


@pytest.mark.parametrize("extent_blocks", [12, 48])
def test_extents_that_would_share_a_byte_or_straddle_a_piece_are_refused(extent_blocks: int) -> None:
    with pytest.raises(ValueError, match="divides a piece"):
        IntentBitmap(bytearray(1024), bytearray(1024), BLOCKS, extent_blocks)


@given(st.binary(min_size=14, max_size=14), st.binary(min_size=28, max_size=28), st.sets(st.integers(0, 6)))
def test_any_bytes_are_a_bitmap_that_says_which_extents_are_damaged(
    bits: bytes, seals: bytes, active: set[int]
) -> None:
    bitmap = IntentBitmap(bytearray(bits), bytearray(seals), BLOCKS, PER)
    assert set(bitmap.damaged(active)) <= set(range(7)) - active
    bitmap.fill(1)
    assert bitmap.damaged(()) == []


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1 << 18), st.integers(0, 70000)), max_size=8), st.booleans())
def test_what_is_saved_piece_by_piece_is_all_that_was_changed(steps: list[tuple[bool, int, int]], fails: bool) -> None:
    blocks, per = 1 << 18, 8
    bits, seals = bytearray(IntentBitmap.bits_bytes(blocks, per)), bytearray(IntentBitmap.seals_bytes(blocks, per))
    bitmap = IntentBitmap(bits, seals, blocks, per)
    saved, saved_seals = bytearray(bits), bytearray(seals)
    for mark, first, length in steps:
        end = min(first + length, blocks)
        (bitmap.mark if mark else bitmap.clear)(first, end)
        bitmap.seal(range(first // per, -(-end // per)))
        for piece in bitmap.take_touched():
            if fails and piece % 2:
                bitmap.touched[piece] = CHANGED
            else:
                saved[piece * PIECE : (piece + 1) * PIECE] = bits[piece * PIECE : (piece + 1) * PIECE]
        for piece in bitmap.take_touched_seals():
            saved_seals[piece * PIECE : (piece + 1) * PIECE] = seals[piece * PIECE : (piece + 1) * PIECE]
    for piece in bitmap.take_touched():
        saved[piece * PIECE : (piece + 1) * PIECE] = bits[piece * PIECE : (piece + 1) * PIECE]
    assert saved == bits
    assert saved_seals == seals
    assert not bitmap.take_touched()
