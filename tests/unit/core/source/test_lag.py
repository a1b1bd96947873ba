"""How far back in time a target is, as its source says it (R10)."""

from __future__ import annotations

from dkrepl.core.protocol.messages import Alive, Bye
from dkrepl.core.source.lag import LagClock
from tests.unit.core.source.alpha import PAGE, Alpha
from tests.unit.core.source.started import IN_SYNC


def said(alpha: Alpha) -> tuple[float | None, int]:
    """Return (seconds, bytes) that beta lacks, as it is told next."""
    alpha.let_pass(alpha.description.peer_timeout / 5)
    newest: Alive = alpha.sent(Alive, "beta")[-1]
    return newest.lag_seconds, newest.lag_bytes


def test_a_target_lags_since_the_first_write_that_it_lacks() -> None:
    clock = LagClock()
    for seq, now in ((1, 10.0), (2, 10.01), (3, 12.0), (4, 13.0)):
        clock.sample(seq, now)
    assert clock.behind(4, 4, 20.0) == 0.0
    assert clock.behind(3, 4, 20.0) == 7.0
    assert clock.behind(1, 4, 20.0) == 8.0, "the second write was too soon after the first to be noted"
    assert clock.behind(0, 4, 20.0) == 10.0, "at least"


def test_one_that_is_in_sync_lacks_its_window() -> None:
    alpha = Alpha(peers={"beta": IN_SYNC})
    alpha.get_in_sync()
    assert said(alpha) == (0.0, 0)
    alpha.write()
    assert said(alpha)[1] == PAGE


def test_one_that_has_left_lacks_what_its_bitmap_names_since_it_left() -> None:
    alpha = Alpha(peers={"beta": IN_SYNC})
    alpha.get_in_sync()
    alpha.core.targets.resync("beta", False, alpha.now)
    alpha.perform()
    assert said(alpha) == (0.0, 0)
    alpha.write()
    seconds, missing = said(alpha)
    assert seconds is not None
    assert seconds > 1.0
    assert missing == alpha.description.block


def test_since_when_is_not_known_after_a_restart() -> None:
    alpha = Alpha(peers={"beta": IN_SYNC})
    alpha.view().bitmap.mark(0, 1)
    alpha.hello()
    assert said(alpha) == (None, alpha.description.block)


def test_one_that_is_away_is_told_nothing() -> None:
    alpha = Alpha(peers={"beta": IN_SYNC})
    alpha.get_in_sync()
    alpha.say(Bye("beta"), "beta")
    alpha.done.clear()
    alpha.let_pass(1.5)
    assert not alpha.sent(Alive, "beta")
