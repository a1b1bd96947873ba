"""The source's daemon dies, or is restarted, under a device in use: applications notice a pause, and no error."""

from __future__ import annotations

from tests.lab.mirror import Lab, Wanted


def test_an_application_notices_nothing_but_a_pause(lab: Lab) -> None:
    with lab.mirror(Wanted(gamma="async")) as mirror:
        alpha = mirror.alpha
        with mirror.writing(alpha, mirror.area(1)) as load:
            for disturb in (alpha.kill, alpha.restart, alpha.kill):
                disturb()
                load.wait_for_more(50)
        assert load.errors == 0
        mirror.wait_in_sync(alpha)
        mirror.assert_equal_copies(alpha)
        assert not load.missing_on(alpha)
