"""The source's daemon dies, or is restarted, under a device in use: applications notice a pause, and no error."""

from __future__ import annotations

import pytest

from tests.lab.mirror import Lab, Wanted


@pytest.mark.parametrize("how", ["kill", "restart"])
def test_an_application_notices_nothing_but_a_pause(lab: Lab, how: str) -> None:
    with lab.mirror(Wanted(gamma="async")) as mirror:
        alpha = mirror.alpha
        with mirror.writing(alpha, mirror.area(1)) as load:
            for _ in range(3):
                load.wait_for_more(50)
                getattr(alpha, how)()
            load.wait_for_more(50)
        assert load.errors == 0
        mirror.wait_in_sync(alpha)
        mirror.assert_equal_copies(alpha)
        assert not load.missing_on(alpha)
