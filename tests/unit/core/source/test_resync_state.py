"""A resync: what is sent and when it counts, and progress that never falls."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.source.resync_state import Resync
from tests.unit.bitmaps import bitmap_of

BLOCK = 4096


def of(blocks: set[int], limits: Limits = DEFAULT, size: int = 64) -> Resync:
    bitmap = bitmap_of(size, 8)
    for block in blocks:
        bitmap.mark(block, block + 1)
    return Resync(bitmap, BLOCK, 0.0, limits=limits)


def unsynced(resync: Resync, size: int = 64) -> set[int]:
    found = resync.unsynced(0, size)
    return set() if found is None else set(found.search(1))


@given(st.sets(st.integers(0, 63)), st.lists(st.integers(1, 5), min_size=1, max_size=10))
def test_every_block_is_sent_once_and_counts_when_confirmed(blocks: set[int], steps: list[int]) -> None:
    resync = of(blocks)
    sent: list[int] = []
    shown = [resync.percent()]
    for step in steps * 64:
        found = resync.next_run()
        if found is not None:
            first, end = found[0], min(found[1], found[0] + step)
            resync.sent(first, end, data_bytes=(end - first) * BLOCK, position=0)
            sent += range(first, end)
        elif resync.on_way:
            resync.confirmed(resync.on_way[0].rseq)
        shown.append(resync.percent())
        assert resync.bytes_on_way == sum(run.end - run.first for run in resync.on_way) * BLOCK
        assert len(unsynced(resync)) == len(blocks) - resync.done
        if resync.all_sent and not resync.on_way:
            break
    assert sent == sorted(blocks)
    assert shown == sorted(shown)
    assert 0.0 <= shown[0] <= shown[-1] == 100.0


def test_a_bounded_part_is_on_the_way() -> None:
    resync = of({0, 2, 4}, Limits(resync_window_messages=2))
    for _ in range(2):
        found = resync.next_run()
        assert found is not None
        resync.sent(*found, data_bytes=BLOCK, position=0)
    assert resync.next_run() is None
    assert not resync.all_sent
    assert [(run.first, run.end) for run in resync.confirmed(1)] == [(0, 1)]
    assert resync.next_run() == (4, 5)


def test_a_message_is_lost_if_a_write_that_came_after_it_was_applied_without_it() -> None:
    resync = of({0, 2, 4})
    for position in (10, 10, 12):
        found = resync.next_run()
        assert found is not None
        resync.sent(*found, data_bytes=BLOCK, position=position)
    assert not resync.gap(9, 0), "the target has not come to it yet"
    assert not resync.gap(10, 0), "nor is it known to be past it"
    assert resync.gap(11, 1)
    assert not resync.gap(12, 2)
    assert resync.gap(13, 2), "nothing more is sent before it is confirmed, so the target cannot see the gap"
    resync.confirmed(1)
    assert resync.gap(13, 2)
    assert not resync.gap(13, 3)


def test_the_mark_at_the_end_can_be_lost_too() -> None:
    resync = of(set())
    resync.finishing = 1
    assert not resync.gap(5, 0), "it may not have been published yet"
    resync.finishing_position = 4
    assert not resync.gap(4, 0)
    assert resync.gap(5, 0)
    assert not resync.gap(5, 1)


def test_it_is_full_if_every_block_is_to_be_copied() -> None:
    assert of(set(range(64))).kind == "full"
    assert of(set(range(63))).kind == "partial"


def test_rate_and_time_left_are_shown_once_something_was_confirmed() -> None:
    resync = of(set(range(10)))
    assert resync.eta(1.0) is None
    resync.sent(0, 5, data_bytes=5 * BLOCK, position=0)
    resync.confirmed(1)
    assert resync.eta(2.0) == pytest.approx(5 * BLOCK / resync.rate(2.0))
