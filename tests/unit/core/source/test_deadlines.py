"""When a source gives up on a target (R5, R13)."""

from __future__ import annotations

from dkrepl.core.protocol.messages import Alive, Evict
from tests.unit.core.source.alpha import Alpha
from tests.unit.core.source.started import IN_SYNC, SESSION


def listen(alpha: Alpha, seconds: float) -> None:
    """Let time pass while beta says that it lives."""
    for _ in range(round(seconds)):
        alpha.say(Alive(epoch=alpha.view().epoch, session=SESSION), "beta")
        alpha.let_pass(1.0)


def test_one_that_never_sees_the_probe_is_told_so() -> None:
    alpha = Alpha()
    alpha.hello()
    listen(alpha, 2 * alpha.description.peer_timeout)
    assert alpha.view().state == "Connecting"
    listen(alpha, 1)
    assert alpha.view().reason == "the stream does not reach it; check the data port"
    assert [message.code for message in alpha.sent(Evict, "beta")] == ["NoProbe"]


def test_one_that_never_confirms_the_end_of_its_resync_is_given_up_and_its_silence_counts_from_then() -> None:
    alpha = Alpha(peers={"beta": IN_SYNC})
    alpha.enter()
    listen(alpha, alpha.core.limits.stall_timeouts * alpha.description.peer_timeout - 1)
    assert alpha.view().state == "Resyncing"
    listen(alpha, 2)
    assert [message.code for message in alpha.sent(Evict, "beta")] == ["Stalled"]


def test_the_marker_is_lost_if_a_write_after_it_has_arrived() -> None:
    alpha = Alpha(peers={"beta": IN_SYNC})
    alpha.enter()
    listen(alpha, 1)
    seq = alpha.write()
    alpha.ack(applied=seq)
    assert [message.code for message in alpha.sent(Evict, "beta")] == ["Gap"]
