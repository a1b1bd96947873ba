"""A change of the device takes one way: its bits before the store, the store before the stream, in that order."""

from __future__ import annotations

from typing import Any

import pytest

from dkrepl.core.lineage.metadata import PeerRecord
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.frames import Ack
from dkrepl.core.protocol.messages import Ready
from dkrepl.core.source.publisher import Publisher
from dkrepl.core.source.source import Source
from dkrepl.core.source.write_path import WritePath
from dkrepl.errors import StoreError
from tests.unit.core.source.alpha import described
from tests.unit.core.source.started import DESCRIPTION, IN_SYNC, SESSION, commit, new_record, started
from tests.unit.greetings import hello
from tests.unit.records import MemoryStore

PAGE = bytes(4096)
TOKEN = (1, 4096)


class World:
    """Alpha with beta InSync, and its store and stream, which note what is done in which order."""

    def __init__(self, *, extent_active: bool = True) -> None:
        self.source = started(new_record(peers={"beta": IN_SYNC}))
        self.done: list[str] = []
        self.messages: list[frames.StreamMessage] = []
        self.fails = False
        self.publisher = Publisher(self.publish, self.source.stream, SESSION)
        self.path = WritePath(self.source, self, self.publisher, lambda: 2.0)
        join(self.source)
        if extent_active:
            self.path.write(0, PAGE, TOKEN)
            self.source.plan(1.2)
            commit(self.source)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """The store."""
        marked = self.source.views["gamma"].bitmap.count()
        self.done.append(f"store, {marked} blocks marked")
        if self.fails:
            raise StoreError("the disk is broken")

    def publish(self, head: bytes, data: bytes | memoryview) -> None:
        """The stream."""
        body = memoryview(bytes(data)) if data else None
        message = frames.parse_stream(memoryview(head), body, DESCRIPTION.size)
        self.messages.append(message)
        self.done.append("stream")

    def records(self) -> list[tuple[int, int, int]]:
        """Return (op, length, offset) of what was published, in order."""
        self.publisher.flush()
        return [record for message in self.messages for record in message.records]


def join(source: Source) -> None:
    """Let beta join, and come to be InSync."""
    source.on_message("beta", hello(DESCRIPTION, generation="b1"), 1.0)
    commit(source)
    source.on_message("beta", Ready(6, 0), 1.0)
    commit(source)
    ack = Ack(epoch=6, session=SESSION, applied=0, durable=0, resync_applied=1, resync_durable=1)
    source.on_ack("beta", ack, 1.1)
    commit(source)
    assert source.views["beta"].state == "InSync", source.views["beta"].reason


def test_a_write_is_marked_before_it_is_stored_and_stored_before_it_is_published() -> None:
    world = World()
    assert world.path.write(0, PAGE, TOKEN)
    world.publisher.flush()
    assert world.done == ["store, 1 blocks marked", "stream"]
    assert world.source.stream.waiting


def test_a_write_whose_extent_is_not_active_yet_changes_nothing() -> None:
    world = World(extent_active=False)
    assert not world.path.write(0, PAGE, TOKEN)
    assert not world.done
    assert not world.source.views["gamma"].bitmap.any()
    assert not world.records()


def test_a_write_that_the_store_fails_leaves_a_flush_in_the_stream_and_its_block_to_be_copied_anew() -> None:
    world = World()
    world.fails = True
    with pytest.raises(StoreError, match="the disk is broken"):
        world.path.write(0, PAGE, TOKEN)
    assert world.records() == [(frames.FLUSH, 0, 0)]
    assert world.source.views["beta"].state == "Behind"
    assert world.source.views["beta"].bitmap.any()
    assert not world.source.stream.waiting, "the caller answers it, with an error"


def test_a_write_over_a_discard_under_way_waits_until_that_has_its_place_in_the_stream() -> None:
    world = World()
    assert world.path.begin_slow(0, 8192)
    assert world.source.views["gamma"].bitmap.any(), "marked before it begins"
    assert not world.path.begin_slow(0, 4096), "one at a time"
    assert not world.path.write(4096, PAGE, TOKEN)
    world.path.end_slow(frames.DISCARD, failed=False)
    assert world.path.write(4096, PAGE, TOKEN)
    assert world.records() == [(frames.DISCARD, 8192, 0), (frames.WRITE, 4096, 4096)]


def test_a_discard_that_fails_is_published_as_a_flush() -> None:
    world = World()
    assert world.path.begin_slow(0, 8192)
    world.path.end_slow(frames.DISCARD, failed=True)
    assert world.records() == [(frames.FLUSH, 0, 0)]
    assert world.source.views["beta"].state == "Behind"


def test_a_flush_goes_into_the_stream_and_is_answered_once_it_is_durable_everywhere() -> None:
    world = World()
    assert world.path.flush((9, -1), attached=True) == "parked"
    assert world.records() == [(frames.FLUSH, 0, 0)]
    seq = world.source.stream.log.seq
    world.source.store_synced(seq)
    assert not world.source.stream.release()
    ack = Ack(epoch=6, session=SESSION, applied=seq, durable=seq, resync_applied=0, resync_durable=0)
    world.source.on_ack("beta", ack, 2.0)
    assert world.source.stream.release() == [(9, -1)]


def test_no_flush_succeeds_after_one_has_failed() -> None:
    """The pages that the first one lost are not written by the second (R15)."""
    world = World()
    world.source.local_sync_failed("Input/output error", 2.0)
    assert world.path.flush((9, -1), attached=True) == "store failed"
    assert not world.records()


@pytest.mark.parametrize(
    ("on_no_quorum", "beta", "attached", "what"),
    [
        ("wait", IN_SYNC, True, "local only"),  # beta has everything durably: nothing need wait for it
        ("wait", PeerRecord(), False, "local only"),  # no application asks, and the kernel lets nothing follow a flush
        ("wait", PeerRecord(), True, "parked"),
        ("error", PeerRecord(), True, "refused"),
    ],
)
def test_a_flush_without_enough_copies(on_no_quorum: Any, beta: PeerRecord, attached: bool, what: str) -> None:
    source = started(new_record(peers={"beta": beta}), described(min_copies=2, on_no_quorum=on_no_quorum))
    publisher = Publisher(lambda head, data: None, source.stream, SESSION)
    path = WritePath(source, MemoryStore(), publisher, lambda: 2.0)
    assert path.flush(TOKEN, attached=attached) == what
