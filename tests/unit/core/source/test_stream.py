"""What is answered with an error when the order of things can no longer be kept (R4, R7, R15)."""

from __future__ import annotations

from dkrepl.core.protocol.messages import Bye
from tests.unit.core.source.alpha import PAGE, Alpha, described
from tests.unit.core.source.started import IN_SYNC


def test_flushes_that_the_local_store_failed_are_answered_and_later_ones_are_not() -> None:
    stream = Alpha().core.stream
    stream.park_flush(1, (1, -1))
    stream.park_flush(2, (2, -1))
    assert stream.fail_flushes(1) == [(1, -1)]
    stream.local_durable = 2
    assert stream.release() == [(2, -1)]


def test_if_the_generation_cannot_be_recorded_what_it_holds_is_answered_and_only_that() -> None:
    alpha = Alpha(peers={"beta": IN_SYNC})
    alpha.get_in_sync()
    seq = alpha.write()
    alpha.core.stream.park_flush(seq, (9, -1))
    assert alpha.core.stream.fail_held() == [], "nothing is held"
    alpha.say(Bye("beta"), "beta")
    assert alpha.answered() == []
    assert alpha.core.stream.fail_held() == [(1, 4096), (9, -1)]
    assert not alpha.core.stream.waiting


def test_answers_wait_for_an_async_target_that_may_delay_them_from_a_full_window_on() -> None:
    alpha = Alpha(described(gamma={"on_full": "block", "async_limit": 2}), peers={"gamma": IN_SYNC})
    alpha.get_in_sync("gamma")
    for _ in range(2):
        alpha.write()
    assert alpha.answered() == [1], "the record of the generation is the first in the window"
    alpha.ack("gamma", applied=2, resync_applied=1, resync_durable=1)
    assert alpha.answered() == [2]
    assert alpha.core.stream.log.written == 2 * PAGE
