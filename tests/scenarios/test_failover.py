"""The source loses its power under load; a sync target takes over, and the old source comes back as a target."""

from __future__ import annotations

from tests.lab.mirror import Lab, Wanted

AHEAD = 5  # extents that may be active beyond those of the writes, at most


def test_no_answered_write_is_lost_with_the_source(lab: Lab) -> None:
    """With two copies of each write that is safe without a word of the old source (R4, R11)."""
    with lab.mirror(Wanted(min_copies=2)) as mirror:
        alpha, beta, gamma = mirror.alpha, mirror.beta, mirror.gamma
        with mirror.writing(alpha, mirror.area(1)) as load:
            alpha.power_off()
        mirror.wait_missing_source(beta, gamma)
        mirror.take_over(beta)
        assert not load.missing_on(beta)


def test_the_old_source_and_the_survivor_follow_and_are_copied_in_part(lab: Lab) -> None:
    """R7, R8: nobody takes older data, and each is sent what may differ, and no more."""
    with lab.mirror(Wanted()) as mirror:
        alpha, beta, gamma = mirror.alpha, mirror.beta, mirror.gamma
        mirror.fill(alpha, mirror.area(0))
        alpha.stop()  # after a clean stop no extent is active
        alpha.start()
        mirror.wait_quiet(alpha)
        with mirror.writing(alpha, mirror.area(1)) as load:
            alpha.power_off()
        mirror.wait_missing_source(beta, gamma)
        mirror.take_over(beta, fenced=("alpha",))
        assert not load.missing_on(beta)
        with mirror.writing(beta, mirror.area(2), seed=2) as later:
            mirror.wait_in_sync(beta, gamma)
            survivor = mirror.partial_resync(beta, gamma)
            alpha.power_on()
            gamma.kill()
            for node in (alpha, gamma):
                mirror.wait_following(node, beta)
        assert later.errors == 0, "the application there must not notice"
        mirror.assert_equal_copies(beta)
        assert not load.missing_on(alpha)
        assert not later.missing_on(alpha)
        assert survivor.copied_bytes <= load.written(mirror.block) + later.written(mirror.block)
        active = load.written(mirror.extent) + later.written(mirror.extent) + AHEAD * mirror.extent
        assert mirror.partial_resync(beta, alpha).copied_bytes <= active
