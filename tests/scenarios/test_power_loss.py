"""Targets lose their power: in the middle of a resync, and together with the source."""

from __future__ import annotations

import pytest

from dkrepl.api.requests import Promote
from dkrepl.errors import Refused
from tests.lab.mirror import Lab, Wanted


def test_a_target_that_loses_its_power_in_a_resync_goes_on_where_it_stopped(lab: Lab) -> None:
    """R8: what it had stored is not sent again."""
    with lab.mirror(Wanted(gamma="async", resync_seconds=4.0)) as mirror:
        alpha, beta = mirror.alpha, mirror.beta
        beta.stop()
        mirror.wait_gone(alpha, beta)
        missed = mirror.fill(alpha, mirror.area(0, 2))
        beta.start()
        with mirror.writing(alpha, mirror.area(3)) as load:
            mirror.wait_target(alpha, beta, "is half copied", lambda seen: seen.resync and seen.resync.percent > 50)
            beta.power_off()
            left = mirror.wait_gone(alpha, beta).dirty_bytes
            resent = mirror.seen(alpha, beta).resent_bytes
            load.wait_for_more(50)
            beta.power_on()
            mirror.wait_in_sync(alpha)
        assert load.errors == 0, "the application must not notice"
        mirror.assert_equal_copies(alpha)
        assert not load.missing_on(alpha)
        assert not missed.missing_on(alpha)
        stored = missed.written(mirror.block) // 2
        assert left <= stored + load.written(mirror.block), "what it had stored before must not be sent again"
        assert mirror.partial_resync(alpha, beta)
        assert 0 < mirror.seen(alpha, beta).resent_bytes - resent <= left + load.written(mirror.block)


def test_a_target_that_lost_its_power_with_the_source_is_no_safe_choice(lab: Lab) -> None:
    """What it had not flushed may be gone with its memory; a target that kept its power has all that was answered."""
    with lab.mirror(Wanted(min_copies=2)) as mirror:
        alpha, beta, gamma = mirror.alpha, mirror.beta, mirror.gamma
        with mirror.writing(alpha, mirror.area(1)) as load:
            alpha.power_off()
            beta.power_off()
        beta.power_on()
        mirror.wait_missing_source(beta, gamma)
        with pytest.raises(Refused, match="lost power"):
            beta.ask(Promote())

        mirror.take_over(gamma)
        assert not load.missing_on(gamma)
        alpha.power_on()
        for node in (alpha, beta):
            mirror.wait_following(node, gamma)
        mirror.assert_equal_copies(gamma)
        assert not load.missing_on(beta)
