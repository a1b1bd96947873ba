"""The power of a target is cut in the middle of its resync: it goes on where it stopped (R8)."""

from __future__ import annotations

from tests.lab.mirror import Lab, Wanted


def test_a_target_that_loses_its_power_in_a_resync_goes_on_where_it_stopped(lab: Lab) -> None:
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
