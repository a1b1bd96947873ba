"""A target that is cut off does not stop the source, and comes back with what it missed and no more (R8)."""

from __future__ import annotations

import pytest

from tests.lab.mirror import Lab, Wanted


@pytest.mark.parametrize("name", ["beta", "gamma"])
def test_a_cut_target_catches_up_by_a_partial_resync(lab: Lab, name: str) -> None:
    with lab.mirror(Wanted(gamma="async")) as mirror:
        alpha, target = mirror.alpha, mirror.nodes[name]
        other = mirror.gamma if name == "beta" else mirror.beta
        before = {node: mirror.seen(alpha, node).resent_bytes for node in (target, other)}
        with mirror.writing(alpha, mirror.area(1)) as load:
            mirror.cut(alpha, target)
            mirror.wait_gone(alpha, target)
            mirror.wait_missing_source(target)
            load.wait_for_more(100)
            assert mirror.seen(alpha, other).state == "InSync", "the other target must not suffer"
            mirror.heal()
            mirror.wait_in_sync(alpha)
        assert load.errors == 0, "the application must not notice"
        mirror.assert_equal_copies(alpha)
        for node in (alpha, target):
            assert not load.missing_on(node)
        assert mirror.partial_resync(alpha, target)
        assert 0 < mirror.seen(alpha, target).resent_bytes - before[target] <= load.written(mirror.block)
        assert mirror.seen(alpha, other).resent_bytes == before[other]
