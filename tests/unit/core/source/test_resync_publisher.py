"""Blocks of a resync are sent at the place of the stream at which they were read (R3)."""

from __future__ import annotations

from dkrepl.core.actions import PublishMarker
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.messages import Bye
from dkrepl.core.source.resync_publisher import ResyncPublisher
from tests.unit.core.source.published import Published
from tests.unit.core.source.started import DESCRIPTION

BLOCK = DESCRIPTION.block


class Sending(Published):
    """Alpha, which has blocks 2 to 5 to copy to beta."""

    def __init__(self) -> None:
        super().__init__()
        alpha = self.alpha
        alpha.say(Bye("beta"), "beta")
        alpha.view().bitmap.mark(2, 6)
        alpha.enter()
        alpha.write(BLOCK * 40)  # its extent is active
        self.resync_publisher = ResyncPublisher(alpha.core, self.publisher)
        self.member = alpha.member()
        self.messages.clear()
        alpha.done.clear()

    def next(self) -> tuple[int, int] | None:
        """Return the blocks that are next."""
        found = self.resync_publisher.next(self.alpha.now)
        return None if found is None else found[1:]


def test_what_was_read_is_sent_and_the_last_message_is_followed_by_the_marker() -> None:
    sending = Sending()
    assert sending.next() == (2, 6)
    sending.resync_publisher.send(sending.member, 2, 6, b"x" * 4 * BLOCK)
    [message] = sending.messages
    assert (message.kind, message.first, message.records) == (frames.RESYNC, 1, [(frames.WRITE, 4 * BLOCK, 2 * BLOCK)])
    sending.alpha.perform()
    assert [marker.op for marker in sending.alpha.asked_for(PublishMarker)] == [frames.SYNCED]
    assert sending.next() is None


def test_blocks_of_zeroes_are_sent_without_data() -> None:
    sending = Sending()
    sending.resync_publisher.send(sending.member, 2, 3, bytes(BLOCK))
    sending.resync_publisher.send(sending.member, 3, 4, None)
    assert [message.records[0][0] for message in sending.messages] == [frames.DISCARD, frames.DISCARD]
    assert sending.alpha.view().resent_bytes == 0


def test_blocks_that_are_being_discarded_wait() -> None:
    sending = Sending()
    stream = sending.alpha.core.stream
    stream.begin_slow(4 * BLOCK, BLOCK)
    assert sending.next() == (2, 4)
    sending.resync_publisher.send(sending.member, 2, 4, None)
    assert sending.next() == (4, 4), "they must wait"
    stream.end_slow()
    assert sending.next() == (4, 6)


def test_what_was_written_while_it_was_read_is_not_sent() -> None:
    sending = Sending()
    watch = sending.resync_publisher.begin_read(2, 4)
    sending.alpha.write(5 * BLOCK)
    assert sending.resync_publisher.end_read(watch)
    for change in (lambda: sending.alpha.write(3 * BLOCK), lambda: sending.alpha.core.stream.begin_slow(0, 3 * BLOCK)):
        watch = sending.resync_publisher.begin_read(2, 4)
        change()
        assert not sending.resync_publisher.end_read(watch)


def test_a_discard_elsewhere_does_not_matter() -> None:
    sending = Sending()
    watch = sending.resync_publisher.begin_read(2, 4)
    sending.alpha.core.stream.begin_slow(9 * BLOCK, BLOCK)
    assert sending.resync_publisher.end_read(watch)
    assert sending.next() == (2, 6)


def test_an_extent_of_which_blocks_are_read_stays_active() -> None:
    sending = Sending()
    log = sending.alpha.core.activity_log
    watch = sending.resync_publisher.begin_read(2, 4)
    assert log.plan(100, sending.alpha.now, everything=True) is None
    sending.resync_publisher.end_read(watch)
    assert log.plan(100, sending.alpha.now, everything=True) is not None
