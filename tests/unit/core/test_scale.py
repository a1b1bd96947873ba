"""What the loop does takes no longer because the mirror is larger (R13): lines are counted, what C does is timed."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from dkrepl.config.limits import DEFAULT
from dkrepl.core.intent.bitmap import IntentBitmap
from dkrepl.core.intent.peer_bitmaps import PeerBitmaps
from dkrepl.core.protocol import frames
from dkrepl.core.source.resync_state import Resync
from dkrepl.core.source.write_log import WriteLog
from tests.bench.scale import Mirror, describe
from tests.unit.bitmaps import bitmap_of

PIECE = 1 << 15  # blocks


def bitmap(blocks: int) -> IntentBitmap:
    return bitmap_of(blocks, 64)


def lines_run(call: Callable[[], object]) -> int:
    """Return how many lines of Python a call runs."""
    count = 0

    def trace(*_: object) -> object:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    gc.collect()
    gc.disable()  # what other tests have left would be finalized, and counted, in between
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        call()
    finally:
        sys.settrace(before)
        gc.enable()
    return count


def calls(pieces: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the calls of a source and of a target of a mirror with so many pieces."""
    blocks = pieces * PIECE
    full = bitmap(blocks)
    full.fill(1)
    yield "count", full.count
    yield "enter", lambda: Resync(full, 65536, 0.0)
    for at in (0, blocks // 2, blocks - PIECE // 2):
        resync = Resync(full, 65536, 0.0)
        resync.sent(0, at, data_bytes=0, position=0)
        yield f"resync at {at * 4 // blocks}/4", partial(resync.next_run, 1024)
    one = bitmap(blocks)
    one.mark(blocks - 1, blocks)
    one.count()
    yield "find", lambda: one.find(0)
    peers = PeerBitmaps({"a": bitmap(blocks), "c": one}, 16)
    peers.enter("a", ["c"])
    yield "in sync", lambda: peers.in_sync(0)
    yield "mark", lambda: peers.mark(0, 4096)
    yield "reported", lambda: peers.update({"c": 0}, 1)
    wide = bitmap(blocks)
    wide.begin_fill(1)
    yield "fill step", wide.fill_step


def test_no_call_does_more_for_a_mirror_that_is_sixteen_times_as_large() -> None:
    small, large = ({name: lines_run(call) for name, call in calls(pieces)} for pieces in (200, 3200))
    assert all(0 < large[name] <= small[name] + 8 for name in small), (small, large)


@pytest.mark.parametrize("writes", [100, 1600])
def test_an_ack_of_wide_writes_costs_the_same_for_each(writes: int) -> None:
    log, named = WriteLog(), bitmap(32 * PIECE)
    for number in range(2 * writes):
        first = number * 256 % (30 * PIECE) + 3
        log.append(first, first + 256, 1 << 20)
        named.mark(first, first + 256)
    assert lines_run(lambda: log.clear_confirmed(named, 0, writes, None)) < 150 * writes
    assert lines_run(lambda: log.trim(writes)) < 800 * writes


@pytest.mark.parametrize("extent", ["4MiB", "64MiB"])
@pytest.mark.parametrize("block", ["4 KiB", "64 KiB", "1 MiB"])
def test_no_run_of_a_resync_is_longer_than_a_record_can_say(block: str, extent: str) -> None:
    if block == "1 MiB" and extent == "4MiB":
        extent = "8MiB"
    mirror = Mirror("64 GiB", block, extent)
    mirror.bitmap.fill(1)
    mirror.enter()
    found = mirror.resync_order.next(0.0)
    assert found is not None
    length = (found[2] - found[1]) * mirror.description.block
    assert 0 < length <= DEFAULT.zero_record_bytes
    frames.pack_record(frames.DISCARD, length, 0)


def test_the_description_of_the_largest_mirrors_is_taken() -> None:
    assert describe("16 TiB", "4 KiB").blocks == 1 << 32
