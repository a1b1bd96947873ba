"""A source that was restarted waits a moment for those that had everything, before it answers without them (R4)."""

from __future__ import annotations

from dkrepl.config.limits import DEFAULT
from tests.unit.core.source.alpha import PAGE, Alpha
from tests.unit.core.source.started import IN_SYNC


def restarted() -> Alpha:
    """Return alpha, which was source before, and for which a write waits."""
    alpha = Alpha(generation_at=1700.0, peers={"beta": IN_SYNC, "gamma": IN_SYNC})
    assert not alpha.core.write_admission.admit(0, PAGE)
    return alpha


def test_only_a_sync_target_is_waited_for_and_status_says_so() -> None:
    warning = restarted().core.awaited.warning
    assert warning == "waiting up to 2 s for beta to be in sync again, before writes are acknowledged"


def test_nothing_is_begun_until_it_is_back() -> None:
    alpha = restarted()
    alpha.let_pass(0.1)
    assert not alpha.core.write_admission.admit(0, PAGE)
    alpha.get_in_sync()
    alpha.let_pass(0.1)
    assert alpha.core.awaited.warning is None
    alpha.write()
    assert alpha.core.generation == "b2"
    alpha.ack(applied=2, durable=2)
    assert alpha.answered() == [1]


def test_after_a_while_writes_go_on_without_it() -> None:
    alpha = restarted()
    alpha.let_pass(0.1)
    alpha.let_pass(DEFAULT.returning_seconds)
    assert alpha.core.awaited.warning is None
    alpha.write()
    assert alpha.answered() == [1]


def test_one_that_was_just_promoted_waits_for_nobody() -> None:
    assert Alpha(peers={"beta": IN_SYNC}).core.awaited.warning is None
