"""Writes wait for room in the activity log: who keeps it full is asked to flush, and may have to leave (R5)."""

from __future__ import annotations

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.actions import PublishFlush
from dkrepl.core.protocol.messages import Evict
from tests.unit.core.source.alpha import PAGE, Alpha
from tests.unit.core.source.started import DESCRIPTION, IN_SYNC

EXTENT = DESCRIPTION.extent


def full() -> Alpha:
    """Return alpha, for whose third extent there is no room: neither beta nor gamma has confirmed anything."""
    alpha = Alpha(limits=Limits(active_extents=2), peers={"beta": IN_SYNC, "gamma": IN_SYNC})
    alpha.get_in_sync("beta")
    alpha.get_in_sync("gamma")
    alpha.write(0)
    alpha.write(EXTENT)
    assert not alpha.core.write_admission.admit(2 * EXTENT, PAGE)
    alpha.core.commits.plan(alpha.now)
    alpha.perform()
    return alpha


def confirm(alpha: Alpha, peer: str) -> None:
    """Let ``peer`` confirm everything."""
    seq = alpha.core.stream.log.seq
    alpha.ack(peer, applied=seq, durable=seq, resync_applied=1, resync_durable=1)


def wait(alpha: Alpha) -> None:
    """Let the time pass that the targets have."""
    alpha.now += DEFAULT.backpressure_seconds + 0.1
    alpha.core.commits.plan(alpha.now)
    alpha.perform()


def flushes(alpha: Alpha) -> int:
    """Return how often the targets were asked to flush."""
    return len(alpha.asked_for(PublishFlush))


def test_the_targets_are_asked_to_flush_once() -> None:
    alpha = full()
    alpha.core.commits.plan(alpha.now)
    alpha.perform()
    assert flushes(alpha) == 1


def test_a_write_goes_on_when_they_have() -> None:
    alpha = full()
    confirm(alpha, "beta")
    confirm(alpha, "gamma")
    alpha.write(2 * EXTENT)
    assert flushes(alpha) == 1


def test_one_that_may_not_delay_the_application_leaves_the_stream() -> None:
    alpha = full()
    confirm(alpha, "beta")
    wait(alpha)
    assert [message.code for message in alpha.sent(Evict, "gamma")] == ["ActivityLogFull"]
    alpha.write(2 * EXTENT)


def test_one_that_may_is_waited_for() -> None:
    alpha = full()
    confirm(alpha, "gamma")
    wait(alpha)
    assert not alpha.sent(Evict, "beta")
    assert not alpha.core.write_admission.admit(2 * EXTENT, PAGE)


def test_if_what_they_flushed_is_not_enough_they_are_asked_again() -> None:
    alpha = full()
    seq = alpha.core.stream.log.seq
    for extent in (0, 1):
        alpha.core.activity_log.pin(extent, extent + 1)  # a resync reads them
    for peer in ("beta", "gamma"):
        alpha.ack(peer, applied=seq, durable=seq, resync_applied=1, resync_durable=1)
    wait(alpha)
    assert flushes(alpha) == 1
    wait(alpha)
    assert flushes(alpha) == 2
