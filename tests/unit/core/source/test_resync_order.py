"""Which blocks are copied next, and to whom (R1)."""

from __future__ import annotations

from typing import Any

from dkrepl.config.limits import DEFAULT, Limits
from tests.unit.core.source.alpha import Alpha, described
from tests.unit.core.source.started import DESCRIPTION, IN_SYNC

PER = DESCRIPTION.extent // DESCRIPTION.block


def resyncing(*ranges: tuple[int, int], limits: Limits = DEFAULT, **fields: Any) -> Alpha:
    """Return alpha, which has those blocks to copy to beta and to gamma."""
    alpha = Alpha(described(**fields), limits, peers={"beta": IN_SYNC, "gamma": IN_SYNC})
    for peer in ("beta", "gamma"):
        for first, end in ranges:
            alpha.view(peer).bitmap.mark(first, end)
        alpha.enter(peer)
    return alpha


def found(alpha: Alpha, *skip: str) -> tuple[str, int, int] | None:
    """Return (target, first, end) of what is next, once its extents are active."""
    for _ in range(3):
        if (now := alpha.core.resync_order.next(alpha.now, skip)) is not None:
            return now[0].name, now[1], now[2]
        alpha.core.commits.plan(alpha.now)
        alpha.perform()
    return None


def test_nothing_is_copied_before_its_extent_is_active() -> None:
    alpha = resyncing((0, 2))
    assert alpha.core.resync_order.next(alpha.now) is None
    assert 0 not in alpha.core.activity_log.active
    assert found(alpha) == ("beta", 0, 2)
    assert 0 in alpha.core.activity_log.active


def test_targets_take_turns_and_some_are_left_out() -> None:
    alpha = resyncing((0, 2))
    assert found(alpha) == ("beta", 0, 2)
    assert found(alpha) == ("gamma", 0, 2)
    assert found(alpha, "beta") == ("gamma", 0, 2)


def test_a_run_reaches_over_active_extents_as_far_as_they_are() -> None:
    alpha = resyncing((PER - 1, 2 * PER + 1), limits=Limits(resync_extents_ahead=2))
    assert found(alpha) == ("beta", PER - 1, 2 * PER)


def test_extents_are_activated_ahead_where_blocks_are_to_be_copied() -> None:
    alpha = resyncing((0, 1), (5 * PER, 5 * PER + 1), (9 * PER, 9 * PER + 1), limits=Limits(resync_extents_ahead=2))
    found(alpha)
    assert set(alpha.core.activity_log.active) == {0, 5}


def test_one_that_has_had_its_rate_waits() -> None:
    alpha = resyncing((0, 2), resync_rate=1 << 20)
    assert found(alpha, "gamma") == ("beta", 0, 2)
    beta = alpha.member()
    alpha.core.resync_order.sent(beta, 0, 1, data_bytes=1 << 22)
    assert found(alpha, "gamma") is None
    alpha.now += 10
    assert found(alpha, "gamma") == ("beta", 1, 2)


def test_one_with_enough_on_its_way_waits() -> None:
    alpha = resyncing((0, 2), limits=Limits(resync_window_messages=1))
    assert found(alpha, "gamma") == ("beta", 0, 2)
    alpha.core.resync_order.sent(alpha.member(), 0, 1, data_bytes=4096)
    assert found(alpha, "gamma") is None
