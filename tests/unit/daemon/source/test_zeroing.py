"""Discards and write-zeroes of a source: no call of the loop empties anything, and what overlaps waits for its turn."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from dkrepl.config.description import parse
from dkrepl.core import actions as act
from dkrepl.core.intent.activity_log import ActivityLog
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.protocol import frames
from dkrepl.core.source.source import Source
from dkrepl.daemon.host import HostClock
from dkrepl.daemon.source.device_requests import DeviceRequests
from dkrepl.errors import DkreplError
from dkrepl.io.fuse import DISCARD, SYNC, WRITE, Request
from dkrepl.io.store.calls import StoreCalls
from dkrepl.io.store.store import StoreFailed
from tests.unit.bitmaps import bitmap_of

MIB = 1 << 20
DESCRIPTION = """
name = "r0"
size = "16GiB"
source = "a"
security = "none"
[[node]]
name = "a"
address = "10.0.0.1"
store = "/store"
[[node]]
name = "b"
address = "10.0.0.2"
store = "/store"
"""


class World:
    """A source whose worker runs when it is told to; it is the session, store, publisher and workers in one."""

    def __init__(self) -> None:
        description = parse(DESCRIPTION, "r0", {})
        per = description.extent // description.block
        metadata = NodeMetadata(
            format=1,
            mirror="r0",
            mirror_id="m" * 32,
            node="a",
            role="source",
            size=description.size,
            block=description.block,
            extent=description.extent,
        )
        numbers = itertools.count(1)
        self.bitmap = bitmap_of(description.blocks, per)
        log = ActivityLog(description.size // description.extent, (), 1)
        self.source = Source(description, "a", metadata, {"b": self.bitmap}, log, 7, lambda: f"{next(numbers):016x}")
        self.asked: deque[Request] = deque()
        self.work: deque[tuple[Callable[[], Any], Callable[..., None]]] = deque()
        self.done: list[tuple[str, int, int]] = []  # what was done to the store
        self.published: list[tuple[int, int, int]] = []  # op, offset, length
        self.answers: dict[int, int] = {}
        self.fails = False
        self.calls = StoreCalls()
        self.requests = DeviceRequests(
            cast(Any, self),
            cast(Any, self),
            self.source,
            cast(Any, self),
            cast(Any, self),
            lambda *_: None,
            HostClock(),
        )

    def receive(self) -> Request | None:
        return self.asked.popleft() if self.asked else None

    def reply_ok(self, unique: int) -> None:
        self.answers[unique] = 0

    def reply_written(self, unique: int, length: int) -> None:
        self.answers[unique] = 0

    def reply_error(self, unique: int, code: int) -> None:
        self.answers[unique] = code

    def write(self, offset: int, data: bytes) -> None:
        self.done.append(("write", offset, len(data)))

    def discard(self, offset: int, length: int) -> None:
        if self.fails:
            raise StoreFailed("the disk is broken", 5)
        self.done.append(("discard", offset, length))

    def sync(self) -> None:
        self.done.append(("sync", 0, 0))

    def add(self, seq: int, record: bytes, data: bytes | None) -> None:
        op, length, offset = frames._RECORD.unpack(record)
        self.published.append((op, offset, length))

    def flush(self) -> None:
        return

    def flush_record(self, seq: int) -> None:
        self.published.append((frames.FLUSH, 0, 0))

    def run(self, kind: str, work: Callable[[], Any], done: Callable[..., None]) -> None:
        self.work.append((work, done))

    def ask(self, *requests: Request) -> None:
        self.asked.extend(requests)
        self.requests.drain()
        self.commit()

    def commit(self) -> None:
        """Carry out the commits that are wanted."""
        for second in range(1, 10):
            self.source.commits.plan(float(second))
            for action in [action for action in self.source.actions if isinstance(action, act.Commit)]:
                self.source.commits.committed(action.number, float(second))
            self.source.actions.clear()
            self.requests.retry_waiting()

    def work_once(self) -> None:
        """Run the oldest piece of work, then take its result as the loop does."""
        work, done = self.work.popleft()
        try:
            result = work()
        except DkreplError as error:
            done(None, error)
        else:
            done(result, None)
        self.commit()


def test_a_discard_of_gigabytes_is_done_in_a_worker_piece_by_piece_and_answered_at_its_end() -> None:
    world = World()
    world.ask(Request(DISCARD, 1, 0, (1 << 32) - 4096, b""))
    assert not world.done, "the loop itself emptied something"
    while world.work:
        assert not world.answers
        world.work_once()
    assert world.answers == {1: 0}
    assert max(length for _, _, length in world.done) <= 256 * MIB
    at = 0
    for what, offset, length in world.done:
        assert (what, offset) == ("discard", at)
        at += length
    assert at == (1 << 32) - 4096
    assert [(offset, length) for _, offset, length in world.published] == [
        (offset, length) for _, offset, length in world.done
    ]


def test_a_write_over_a_piece_under_way_waits_and_others_and_flushes_go_on() -> None:
    world = World()
    world.ask(Request(WRITE, 1, 0, 4096, bytes(4096)), Request(WRITE, 2, 64 * MIB, 4096, bytes(4096)))
    world.ask(Request(DISCARD, 3, 0, 2 * MIB, b""))
    world.ask(Request(WRITE, 4, MIB, 4096, bytes(4096)), Request(WRITE, 5, 64 * MIB, 4096, bytes(4096)))
    world.ask(Request(SYNC, 6, 0, 0, b""))
    assert 5 in world.answers
    assert 4 not in world.answers
    assert 3 not in world.answers
    world.work.append(world.work.popleft())  # the flush ends before the discard
    world.work_once()
    assert 6 in world.answers
    assert 3 not in world.answers
    world.work_once()
    assert {3, 4} <= world.answers.keys()
    changes = [change[:2] for change in world.done if change[0] != "sync"]
    assert changes[-2:] == [("discard", 0), ("write", MIB)]
    assert [offset for op, offset, _ in world.published if op in (frames.DISCARD, frames.WRITE)] == [
        0, 64 * MIB, 64 * MIB, 0, MIB,
    ]  # fmt: skip


def test_bits_of_a_piece_are_set_before_it_begins() -> None:
    world = World()
    world.ask(Request(DISCARD, 1, 0, 2 * MIB, b""))
    assert world.work
    assert not world.done
    assert world.bitmap.count() == 2 * MIB // world.source.description.block


def test_a_piece_that_fails_is_answered_with_the_error_and_ends_the_request() -> None:
    world = World()
    world.ask(Request(DISCARD, 1, 0, 1 << 30, b""))
    world.fails = True
    world.work_once()
    assert world.answers == {1: 5}
    assert not world.work
    assert world.requests.idle
    assert world.published == [(frames.FLUSH, 0, 0)]
