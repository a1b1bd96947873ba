"""How the commits of a source end: what fails with one, when it is tried again, and which one is a mistake of ours."""

from __future__ import annotations

import pytest

from dkrepl.core.actions import Commit
from dkrepl.errors import LocalProtocolError
from tests.unit.core.source.alpha import PAGE, Alpha
from tests.unit.core.source.started import IN_SYNC


def in_sync() -> Alpha:
    """Return alpha, with beta in sync; commits are ended by the test."""
    alpha = Alpha(peers={"beta": IN_SYNC})
    alpha.get_in_sync()
    alpha.holds = True
    assert not alpha.core.write_admission.admit(0, PAGE)
    alpha.core.commits.plan(alpha.now)
    alpha.perform()
    return alpha


def test_a_generation_that_cannot_be_recorded_fails_the_writes_that_wait_and_is_tried_again_later() -> None:
    alpha = in_sync()
    first, second = alpha.asked_for(Commit)[-2:]
    assert alpha.core.commits.failed(first.number, "no space left", alpha.now)
    assert alpha.core.commits.failed(second.number, "no space left", alpha.now)
    alpha.perform()
    assert alpha.reported()[-1] == "commit_failed"
    assert not alpha.core.write_admission.admit(0, PAGE)
    alpha.let_pass(0.5)
    assert alpha.asked_for(Commit)[-1] == second
    alpha.let_pass(1.0)
    assert len(alpha.asked_for(Commit)) > 2
    assert alpha.asked_for(Commit)[-1] != second


def test_a_commit_that_nobody_began_is_our_own_mistake() -> None:
    with pytest.raises(LocalProtocolError, match="commit 999"):
        Alpha().core.commits.committed(999, 1.0)
