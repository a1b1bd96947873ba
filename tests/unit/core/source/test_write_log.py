"""Clearing bits (R2): only on a durable ack, and not where a later write or a resync is outstanding."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkrepl.config.limits import DEFAULT
from dkrepl.core.intent.bitmap import IntentBitmap
from dkrepl.core.source.resync_state import Resync
from dkrepl.core.source.write_log import WriteLog
from tests.unit.bitmaps import bitmap_of

BLOCKS = 10000


def bitmap() -> IntentBitmap:
    return bitmap_of(BLOCKS, 8)


ranges = st.tuples(st.integers(0, BLOCKS - 1), st.integers(1, 90) | st.integers(1, 9000)).map(
    lambda r: (r[0], min(BLOCKS, r[0] + r[1]))
)


@given(
    st.lists(st.one_of(ranges, st.just((0, 0))), max_size=30),
    st.lists(st.integers(0, 30), max_size=6),
    st.sets(st.integers(0, BLOCKS - 1), max_size=20),
)
def test_a_bit_is_cleared_when_its_newest_write_is_durable(
    writes: list[tuple[int, int]], acks: list[int], resyncing: set[int]
) -> None:
    confirm(writes, acks, resyncing)


@pytest.mark.parametrize("longest", [1, 90, 9000])
@pytest.mark.parametrize("seed", range(6))
def test_that_is_so_for_the_same_writes_each_time(seed: int, longest: int) -> None:
    rng = random.Random(seed)
    firsts = [rng.randrange(BLOCKS) for _ in range(30)]
    writes = [(first, min(BLOCKS, first + rng.randint(1, longest))) for first in firsts]
    writes[::7] = [(0, 0)] * len(writes[::7])  # flushes
    confirm(writes, sorted(rng.choices(range(31), k=6)), set(firsts[:3]) if seed % 2 else set())


def test_a_block_that_was_written_again_stays_named_until_that_is_durable_as_well() -> None:
    confirm([(3, 4), (3, 4)], [1, 2], set())


def confirm(writes: list[tuple[int, int]], acks: list[int], resyncing: set[int]) -> None:
    """Acknowledge ``writes`` up to each of ``acks``, and see which bits stay; ``resyncing``: blocks to be copied."""
    log, named = WriteLog(), bitmap()
    for block in resyncing:
        named.mark(block, block + 1)
    resync = Resync(named, 4096, 0.0) if resyncing else None
    newest: dict[int, int] = {}
    for first, end in writes:
        seq = log.append(first, end, 0)
        if resync is not None and end > first:
            resync.before_write(first, end)
        named.mark(first, end)
        newest.update(dict.fromkeys(range(first, end), seq))
    durable = 0
    for upto in sorted(min(c, len(writes)) for c in acks):
        log.clear_confirmed(named, durable, upto, resync)
        log.trim(upto)
        durable = upto
        expected = {block for block, seq in newest.items() if seq > durable} | resyncing
        assert {block for block in range(BLOCKS) if named.bits[block]} == expected
        assert named.count() == len(expected)


def test_no_ack_clears_a_block_of_a_discard_that_is_under_way() -> None:
    log, named = WriteLog(), bitmap()
    log.begin(4, 6)
    named.mark(3, 6)
    seq = log.append(3, 5, 0)
    log.clear_confirmed(named, 0, seq, None)
    assert list(named.runs()) == [(4, 6)]


def test_the_ack_of_a_later_write_clears_no_block_of_a_failed_one() -> None:
    log, named = WriteLog(), bitmap()
    bits = named.bits
    log.append(3, 5, 0)
    seq = log.append(4, 6, 0)
    bits[3:6] = 1
    log.forget(seq)
    log.clear_confirmed(named, 0, seq, None)
    assert list(bits[3:7]) == [0, 0, 1, 0]


def test_bytes_on_the_way_are_counted_between_any_two_seqs() -> None:
    log = WriteLog()
    for length in (10, 0, 30):
        log.append(0, 1, length)
    assert log.bytes_between(0, 3) == 40
    assert log.bytes_between(1, 2) == 0
    assert log.bytes_between(2, 3) == 30


def test_it_is_bounded_and_overflows_with_an_error() -> None:
    log = WriteLog()
    for _ in range(DEFAULT.logged_writes - 1):
        log.append(0, 1, 0)
    with pytest.raises(OverflowError, match="full"):
        log.append(0, 1, 0)
    log.trim(1)
    log.append(0, 1, 0)


def test_writes_that_every_target_has_are_forgotten() -> None:
    log = WriteLog()
    log.append(1, 2, 0)
    log.append(10, 100, 0)
    log.trim(2)
    assert log.last == {}
    named = bitmap()
    named.mark(0, BLOCKS)
    log.clear_ranges(named, [(0, BLOCKS)], 0, None)
    assert not named.any()
