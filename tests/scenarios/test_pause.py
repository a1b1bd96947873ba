"""A target that an administrator pauses gets nothing until it is resumed, and then what it missed."""

from __future__ import annotations

from dkrepl.api.requests import Pause, Resume
from tests.lab.mirror import Lab, Wanted


def test_a_paused_target_gets_what_it_missed_when_it_is_resumed(lab: Lab) -> None:
    with lab.mirror(Wanted(gamma="async")) as mirror:
        alpha, gamma = mirror.alpha, mirror.gamma
        before = mirror.seen(alpha, gamma).resent_bytes
        copy = gamma.digest()
        alpha.ask(Pause(targets=("gamma",)))
        mirror.wait_state(gamma, "Paused")
        with mirror.writing(alpha, mirror.area(1)) as load:
            pass
        seen = mirror.seen(alpha, gamma)
        assert (seen.state, seen.paused) == ("Paused", True)
        assert seen.dirty_bytes == load.written(mirror.block)
        assert gamma.digest() == copy

        alpha.ask(Resume(targets=("gamma",)))
        mirror.wait_in_sync(alpha)
        mirror.assert_equal_copies(alpha)
        assert not load.missing_on(gamma)
        assert mirror.partial_resync(alpha, gamma).copied_bytes <= load.written(mirror.block)
        assert mirror.seen(alpha, gamma).resent_bytes - before <= load.written(mirror.block)
