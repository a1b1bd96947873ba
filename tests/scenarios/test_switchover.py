"""The source hands the mirror over to a target, and back: nothing is lost, and nothing is copied."""

from __future__ import annotations

from dkrepl.api.requests import Switchover
from tests.lab.mirror import Lab, Wanted


def test_a_switchover_and_back_copies_nothing_and_loses_nothing(lab: Lab) -> None:
    """The application is stopped before each switchover, as it must be, and goes on at once at the new source."""
    with lab.mirror(Wanted(gamma="async")) as mirror:
        alpha, beta, gamma = mirror.alpha, mirror.beta, mirror.gamma
        written = [mirror.fill(alpha, mirror.area(3))]
        for number, (old, new) in enumerate(((alpha, beta), (beta, alpha)), 1):
            with mirror.writing(old, mirror.area(number), seed=number) as load:
                load.wait_for_more(50)
            mirror.wait_quiet(old)
            old.ask(Switchover(to=new.name))
            mirror.wait_serving(new)
            mirror.wait_in_sync(new)
            assert [mirror.seen(new, node).resent_bytes for node in (old, gamma)] == [0, 0]
            with mirror.writing(new, mirror.area(0), seed=number) as later:
                pass
            mirror.assert_equal_copies(new)
            written += [load, later]
            for writes in written:
                assert not writes.missing_on(new)
                assert not writes.missing_on(old)
