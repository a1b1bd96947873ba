"""The activity log (R1): what may be written, what leaves when, and what a failed commit changes."""

from __future__ import annotations

from dkrepl.config.limits import Limits
from dkrepl.core.intent.activity_log import ActivityLog

FEW = Limits(active_extents=4)
IDLE = FEW.extent_idle_seconds


def committed(log: ActivityLog, confirmed: int = 0, now: float = 0.0, seq: int = 0) -> tuple[set[int], set[int]]:
    planned = log.plan(confirmed, now)
    assert planned is not None
    log.committed(seq)
    return set(planned[0]), set(planned[1])


def test_nothing_is_covered_before_its_commit_has_ended() -> None:
    log = ActivityLog(100, (), 7, limits=FEW)
    log.want(5, 7)
    assert not log.covers(5, 7)
    assert log.plan(0, 0.0) == (frozenset({5, 6}), frozenset())
    assert not log.covers(5, 7)
    assert log.plan(0, 0.0) is None, "one commit at a time"
    log.committed(3)
    assert log.covers(5, 7)
    assert log.serial == 8


def test_an_extent_stays_while_a_write_of_it_is_not_durable_everywhere() -> None:
    log = ActivityLog(100, range(4), 1, limits=FEW)
    log.active[0], log.active[1] = 10, 5
    log.pin(2, 3)
    log.want(50, 51)
    active, leaving = committed(log, confirmed=5)
    assert leaving <= {1, 3}, "0 has an unconfirmed write, 2 a resync on its way"
    assert 50 in active
    assert {0, 2} <= active


def test_an_extent_stays_until_the_last_resync_block_of_it_has_arrived() -> None:
    log = ActivityLog(100, (2,), 1, limits=FEW)
    log.pin(2, 3)
    log.pin(2, 3)
    log.unpin(2, 3)
    assert log.plan(0, 0.0, everything=True) is None
    log.unpin(2, 3)
    assert log.plan(0, 0.0, everything=True) == (frozenset(), frozenset({2}))


def test_room_is_made_for_writes_before_a_resync() -> None:
    log = ActivityLog(100, range(3), 1, limits=FEW)
    for extent in range(3):
        log.active[extent] = 10
    log.want_later(7)
    log.want(90, 91)
    active, _ = committed(log, confirmed=5)
    assert 90 in active
    assert 7 not in active


def test_it_says_for_how_many_extents_writes_wait_in_vain() -> None:
    log = ActivityLog(100, range(4), 1, limits=FEW)
    for extent in range(4):
        log.active[extent] = 10
    log.want(50, 52)
    assert log.plan(5, 0.0) is None
    assert log.short == 2
    assert log.plan(10, 0.0) is not None
    assert log.short == 0


def test_a_write_that_found_no_room_comes_before_those_that_asked_later() -> None:
    """Otherwise a write could wait for ever, while a few new ones came during each commit (R5)."""
    log = ActivityLog(100, range(4), 1, limits=FEW)
    log.active.update({0: 1, 1: 2, 2: 3, 3: 4})
    log.want(50, 51)
    log.want(60, 61)
    planned = log.plan(1, 0.0)
    assert planned == (frozenset({1, 2, 3, 50}), frozenset({0})), "there is room for one of the two"
    log.want(70, 71)
    log.committed(5)
    log.want(60, 61)  # what waits asks again after each commit
    active, _ = committed(log, confirmed=2)
    assert 60 in active
    assert 70 not in active


def test_idle_extents_leave_and_used_ones_stay() -> None:
    log = ActivityLog(100, (1, 2), 1, limits=FEW)
    assert log.plan(0, 0.0) is None
    log.active[2] = 1
    assert log.plan(1, IDLE / 2) is None
    assert log.plan(1, IDLE) == (frozenset({2}), frozenset({1}))


def test_a_clean_stop_lets_all_go_that_may() -> None:
    log = ActivityLog(100, (1, 2), 1, limits=FEW)
    log.active[2] = 9
    assert log.plan(5, 0.0, everything=True) == (frozenset({2}), frozenset({1}))


def test_what_a_failed_commit_left_out_is_named_by_the_next_and_covers_nothing_until_then() -> None:
    log = ActivityLog(100, range(4), 1, limits=FEW)
    log.want(50, 51)
    planned = log.plan(0, 0.0)
    assert planned is not None
    leaving = planned[1]
    assert leaving
    log.failed()
    assert not any(log.covers(extent, extent + 1) for extent in (*leaving, 50))
    log.want(50, 51)
    again = log.plan(0, 0.0)
    assert again is not None
    assert leaving <= again[0]
    assert log.serial == 4, "the slot of the failed commit, under a number of its own"
    log.committed(0)
    assert all(log.covers(extent, extent + 1) for extent in leaving)


def test_a_sequential_writer_finds_the_next_extents_active() -> None:
    log = ActivityLog(6, (0,), 1, limits=Limits(active_extents=100))
    log.want(1, 2)
    active, _ = committed(log)
    assert active == {0, 1, 2, 3, 4, 5}
