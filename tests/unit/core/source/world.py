"""Alpha with beta InSync, and its store and stream, which note what is done in which order."""

from __future__ import annotations

from dkrepl.core.protocol import frames
from dkrepl.core.protocol.frames import Ack
from dkrepl.core.protocol.messages import Ready
from dkrepl.core.source.publisher import Publisher
from dkrepl.core.source.source import Source
from dkrepl.core.source.write_path import WritePath
from dkrepl.errors import StoreError
from tests.unit.core.source.started import DESCRIPTION, IN_SYNC, SESSION, commit, new_record, started
from tests.unit.greetings import hello

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
            self.source.commits.plan(1.2)
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
    source.acks.on_ack("beta", ack, 1.1)
    commit(source)
    assert source.views["beta"].state == "InSync", source.views["beta"].reason
