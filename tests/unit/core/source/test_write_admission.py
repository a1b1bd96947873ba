"""Which write may begin now (R1, R4)."""

from __future__ import annotations

import msgspec

from tests.unit.core.source.alpha import PAGE, Alpha
from tests.unit.core.source.started import DESCRIPTION

TWO_COPIES = msgspec.structs.replace(DESCRIPTION, min_copies=2)


def test_a_write_over_two_extents_waits_until_both_are_active() -> None:
    alpha = Alpha()
    extent = DESCRIPTION.extent
    alpha.write(0)
    assert not alpha.core.write_admission.admit(extent - PAGE, 2 * PAGE)
    alpha.write(extent - PAGE, 2 * PAGE)
    assert alpha.core.write_admission.admit(extent, PAGE)


def test_without_enough_copies_nothing_is_begun() -> None:
    alpha = Alpha(TWO_COPIES)
    assert not alpha.core.write_admission.admit(0, PAGE)
    alpha.core.commits.plan(alpha.now)
    assert alpha.perform() == []
