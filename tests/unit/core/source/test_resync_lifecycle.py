"""How a resync goes on and ends (R2, R8)."""

from __future__ import annotations

from dkrepl.core.actions import PublishMarker
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.messages import Bye, Evict
from tests.unit.core.source.alpha import PAGE, Alpha
from tests.unit.core.source.started import IN_SYNC


def sending() -> Alpha:
    """Return alpha, which has sent beta one of two blocks."""
    alpha = Alpha(peers={"beta": IN_SYNC})
    alpha.view().bitmap.mark(2, 3)
    alpha.view().bitmap.mark(9, 10)
    alpha.enter()
    alpha.write(20 * alpha.description.block)
    send(alpha, 2)
    return alpha


def send(alpha: Alpha, block: int) -> None:
    """Send a block to beta."""
    member = alpha.member()
    alpha.core.resync_order.sent(member, block, block + 1, data_bytes=PAGE)
    alpha.core.resyncs.sent(member)
    alpha.perform()


def test_a_block_is_clean_once_it_is_durable_there_and_its_extent_is_let_go() -> None:
    alpha = sending()
    seq = alpha.core.stream.log.seq
    alpha.ack(applied=seq, durable=seq, resync_applied=1)
    assert alpha.view().bitmap.count() == 2
    assert alpha.core.activity_log.plan(seq, alpha.now, everything=True) is None, "the block is on its way"
    alpha.ack(applied=seq, durable=seq, resync_applied=1, resync_durable=1)
    assert list(alpha.view().bitmap.runs()) == [(9, 10)]
    resync = alpha.view().resync
    assert resync is not None
    assert resync.percent() == 50.0
    assert alpha.core.activity_log.plan(seq, alpha.now, everything=True) is not None


def test_one_that_makes_blocks_durable_makes_progress() -> None:
    alpha = sending()
    limit = alpha.core.limits.stall_timeouts * alpha.description.peer_timeout
    alpha.now += limit - 1
    alpha.ack(resync_applied=1, resync_durable=1)
    alpha.let_pass(2.0)
    assert alpha.view().state == "Resyncing"


def test_the_marker_follows_the_last_block_and_status_tells_of_the_resync() -> None:
    alpha = sending()
    markers = len(alpha.asked_for(PublishMarker))
    send(alpha, 9)
    [marker] = alpha.asked_for(PublishMarker)[markers:]
    assert (marker.op, marker.number) == (frames.SYNCED, 3)
    seq = alpha.core.stream.log.seq
    alpha.now += 4
    alpha.ack(applied=seq, durable=seq, resync_applied=3, resync_durable=3)
    assert alpha.view().state == "InSync"
    block = alpha.description.block
    assert alpha.view().last_resync == {
        "kind": "partial",
        "seconds": 4.0,
        "copied_bytes": 2 * block,
        "sent_bytes": 2 * PAGE,
    }


def test_a_block_that_was_read_for_one_that_has_left_ends_no_resync() -> None:
    alpha = sending()
    member = alpha.member()
    alpha.say(Bye("beta"), "beta")
    alpha.core.resyncs.sent(member)
    assert alpha.perform() == []


def test_if_blocks_cannot_be_read_the_target_waits_for_long() -> None:
    alpha = sending()
    alpha.core.resyncs.cannot_copy("beta", "Input/output error", alpha.now)
    alpha.perform()
    [told] = alpha.sent(Evict, "beta")
    assert (told.code, told.retry) == ("SourceStoreError", alpha.core.limits.rejoin_last_seconds)
