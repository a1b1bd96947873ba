"""A change of the device takes one way: its bits before the store, the store before the stream, in that order."""

from __future__ import annotations

from typing import Any

import pytest

from dkrepl.core.lineage.metadata import PeerRecord
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.frames import Ack
from dkrepl.core.source.publisher import Publisher
from dkrepl.core.source.write_path import WritePath
from dkrepl.errors import StoreError
from tests.unit.core.source.alpha import described
from tests.unit.core.source.started import IN_SYNC, SESSION, new_record, started
from tests.unit.core.source.world import PAGE, TOKEN, World
from tests.unit.records import MemoryStore


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
    world.source.stream.store_synced(seq)
    assert not world.source.stream.release()
    ack = Ack(epoch=6, session=SESSION, applied=seq, durable=seq, resync_applied=0, resync_durable=0)
    world.source.acks.on_ack("beta", ack, 2.0)
    assert world.source.stream.release() == [(9, -1)]


def test_no_flush_succeeds_after_one_has_failed() -> None:
    """The pages that the first one lost are not written by the second (R15)."""
    world = World()
    world.source.store_verdict.flush_failed("Input/output error", 2.0)
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
