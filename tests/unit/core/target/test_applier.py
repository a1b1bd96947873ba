"""Messages of the stream are applied whole and in order, and blocks are marked for the others before they change."""

from __future__ import annotations

import pytest
from xxhash import xxh3_64_intdigest

from dkrepl.core.actions import Ended, SendAck, TargetAction, ZeroRange
from dkrepl.core.intent.peer_bitmaps import PeerBitmaps
from dkrepl.core.outbox import Outbox
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.messages import Bye, Evict
from dkrepl.core.target.applier import Applier
from dkrepl.errors import StoreError
from tests.unit.core.target.beta import DESCRIPTION, Beta
from tests.unit.records import MemoryStore, bitmap

PAGE = b"p" * 4096
BLOCK = DESCRIPTION.block


def live(*records: tuple[int, int], first: int = 1) -> frames.StreamMessage:
    """Return a live message; ``records``: (op, offset), of a page each."""
    data = PAGE * sum(op == frames.WRITE for op, _ in records)
    head = frames.pack_head(
        group=0,
        mask=1,
        kind=frames.LIVE,
        epoch=0,
        session=7,
        first=first,
        position=first + len(records) - 1,
        records=[frames.pack_record(op, 4096, offset) for op, offset in records],
        data_len=len(data),
        data_sum=xxh3_64_intdigest(data) if data else 0,
    )
    return frames.parse_stream(memoryview(head), memoryview(data) if data else None, DESCRIPTION.size)


class Watchful(MemoryStore):
    """Notes what was marked for gamma before each write."""

    def __init__(self, peers: PeerBitmaps) -> None:
        super().__init__()
        self.marked: list[int] = []
        self._peers = peers

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write ``data`` at ``offset``."""
        self.marked.append(self._peers.bitmaps["gamma"].count())
        super().write(offset, data)


def test_a_block_is_marked_for_the_other_targets_before_it_is_written() -> None:
    peers = PeerBitmaps({"gamma": bitmap(DESCRIPTION)}, BLOCK.bit_length() - 1)
    peers.enter("alpha", ["gamma"])
    store = Watchful(peers)
    assert Applier(store, peers, Outbox()).apply(live((frames.WRITE, 0), (frames.WRITE, BLOCK)))
    assert store.marked == [1, 2]
    assert store.writes == [(0, PAGE), (BLOCK, PAGE)]


def test_what_follows_a_discard_is_written_once_that_is_done() -> None:
    out: Outbox[TargetAction] = Outbox()
    store = MemoryStore()
    applier = Applier(store, PeerBitmaps({}, 12), out)
    message = live((frames.WRITE, 0), (frames.DISCARD, 8192), (frames.ZERO, 16384), (frames.WRITE, 8192))
    assert not applier.apply(message)
    assert store.writes == [(0, PAGE)]
    assert not applier.zeroed()
    assert store.writes == [(0, PAGE)]
    assert applier.zeroed()
    assert store.writes == [(0, PAGE), (8192, PAGE)]
    assert out.actions == [
        ZeroRange(discard=True, offset=8192, length=4096),
        ZeroRange(discard=False, offset=16384, length=4096),
    ]
    assert applier.message is None


def test_a_write_that_the_store_fails_ends_the_message() -> None:
    store = MemoryStore()
    store.fails = "the disk is broken"
    with pytest.raises(StoreError, match="the disk is broken"):
        Applier(store, PeerBitmaps({}, 12), Outbox()).apply(live((frames.WRITE, 0)))


def discarding() -> Beta:
    """Return a target that is applying a discard, after which its message goes on with a write."""
    target = Beta()
    target.enter()
    target.core.take(live((frames.DISCARD, 0), (frames.WRITE, 8192)), target.now)
    assert target.core.stream.blocked
    return target


def test_a_target_acknowledges_a_message_only_when_its_discard_is_done_too() -> None:
    target = discarding()
    assert target.core.following.applied == 0
    target.core.zeroed(None, target.now)
    assert target.core.following.applied == 2
    assert target.store.writes == [(8192, PAGE)]
    assert not target.core.stream.blocked


def test_a_discard_is_acknowledged_as_soon_as_it_is_done() -> None:
    target = discarding()
    target.core.zeroed(None, target.now)
    acks = [action.ack.applied for action in target.perform() if isinstance(action, SendAck)]
    assert acks == [2]


def test_a_message_whose_discard_failed_is_no_longer_being_applied() -> None:
    target = discarding()
    target.core.zeroed("Input/output error", target.now)
    assert not target.core.stream.applying


def test_nothing_more_is_applied_of_a_message_if_the_target_left_the_stream_during_its_discard() -> None:
    target = discarding()
    target.say(Bye("alpha"))
    assert target.core.stream.blocked, "the discard goes on"
    target.core.zeroed(None, target.now)
    assert not target.store.writes
    assert not target.core.stream.applying


@pytest.mark.parametrize("why", ["Input/output error", None])
def test_a_store_that_fails_a_message_makes_the_copy_inconsistent(why: str | None) -> None:
    target = discarding()
    target.store.fails = "Input/output error"
    target.core.zeroed(why, target.now)
    target.perform()
    assert target.core.state == "Behind"
    assert target.core.metadata.store_state == "Inconsistent"


def test_a_store_that_fails_after_the_target_has_left_is_reported() -> None:
    target = discarding()
    target.say(Evict(5, "Resync", "a resync was asked for"))
    target.done.clear()
    target.core.zeroed("Input/output error", target.now)
    target.perform()
    assert target.reported() == ["store_failed"]


def test_a_target_that_is_stopped_during_a_discard_applies_that_message_as_a_whole_before_it_ends() -> None:
    target = discarding()
    target.core.stop()
    assert not target.core.ending.begun
    target.core.zeroed(None, target.now)
    assert target.store.writes == [(8192, PAGE)]
    assert target.core.ending.begun
    assert not any(isinstance(action, Ended) for action in target.perform()), "its last flush comes first"
