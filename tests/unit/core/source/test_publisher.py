"""Messages to one target name the place in the stream at which they are published (R3)."""

from __future__ import annotations

from dkrepl.core.protocol import frames
from dkrepl.core.protocol.frames import pack_record
from tests.unit.core.source.test_write_path import PAGE, TOKEN, World


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
