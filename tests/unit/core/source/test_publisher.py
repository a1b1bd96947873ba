"""Writes of one round travel in few messages, in their order, to every group of targets (R3)."""

from __future__ import annotations

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.protocol import frames, members
from dkrepl.core.protocol.frames import pack_record
from tests.unit.core.source.published import Published
from tests.unit.core.source.world import PAGE, TOKEN, World


def test_small_writes_of_a_round_are_one_message() -> None:
    made = Published()
    made.write(1)
    made.write(2)
    assert not made.messages
    made.publisher.flush()
    [message] = made.messages
    assert (message.first, message.position) == (1, 2)
    assert bytes(message.data) == b"\1" * 512 + b"\2" * 512


def test_a_large_write_goes_alone_after_those_before_it() -> None:
    made = Published()
    made.write(1)
    made.write(2, DEFAULT.message_bytes)
    assert [(message.first, len(message.records)) for message in made.messages] == [(1, 1), (2, 1)]


def test_a_message_has_no_more_records_than_a_target_takes() -> None:
    made = Published(Limits(message_records=2))
    for seq in (1, 2, 3):
        made.write(seq)
    assert [len(message.records) for message in made.messages] == [2]


def test_for_nobody_nothing_is_published_and_nothing_is_left_over() -> None:
    made = Published()
    made.alpha.core.disconnected("beta", "its connection is gone", 2.0)
    made.write(1)
    made.publisher.flush()
    made.alpha.get_in_sync()
    made.publisher.flush()
    assert not made.messages


def test_a_group_without_targets_gets_nothing() -> None:
    made = Published()
    made.alpha.core.stream.masks.append(0)
    made.write(1)
    made.publisher.flush()
    assert made.topics == [bytes((0, made.alpha.view().settings.bit))]


def test_a_generation_names_its_members_after_the_writes_before_it() -> None:
    made = Published()
    made.write(1)
    made.publisher.generation(2, "ab" * 8, {"beta": True})
    write, begun = made.messages
    assert write.first == 1
    assert begun.records[0][0] == frames.GENERATION
    assert f"{begun.records[0][2]:016x}" == "ab" * 8
    assert members.parse(begun.data) == {"beta": True}


def test_a_marker_is_for_one_target_at_its_place_in_the_stream() -> None:
    made = Published()
    seq = made.alpha.write()
    made.write(seq)
    view = made.alpha.view()
    made.publisher.single(frames.MARKER, view.settings, view.epoch, 4, pack_record(frames.START, 0, 0))
    write, marker = made.messages
    assert write.kind == frames.LIVE
    assert (marker.epoch, marker.first, marker.position) == (view.epoch, 4, seq)


def test_a_marker_does_not_count_a_flush_whose_record_comes_behind_it() -> None:
    """The target would miss that flush, and leave a resync that has just ended."""
    world = World()
    assert world.path.write(0, PAGE, TOKEN)
    written = world.source.stream.log.seq
    flush = world.source.stream.control_record()
    view = world.source.views["beta"]
    world.publisher.single(frames.MARKER, view.settings, view.epoch, 1, pack_record(frames.SYNCED, 0, 0))
    world.publisher.flush_record(flush)
    marker = next(message for message in world.messages if message.kind == frames.MARKER)
    assert (marker.position, world.messages[-1].first) == (written, flush)
