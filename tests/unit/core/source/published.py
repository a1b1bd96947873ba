"""The stream of alpha, and what was published in it."""

from __future__ import annotations

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.frames import pack_record
from dkrepl.core.source.publisher import Publisher
from tests.unit.core.source.alpha import Alpha
from tests.unit.core.source.started import DESCRIPTION, IN_SYNC, SESSION


class Published:
    """The stream of alpha, with beta in sync; ``messages``: what was published, and ``topics`` for whom."""

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self.alpha = Alpha(peers={"beta": IN_SYNC})
        self.alpha.get_in_sync()
        self.messages: list[frames.StreamMessage] = []
        self.topics: list[bytes] = []
        self.publisher = Publisher(self._publish, self.alpha.core.stream, SESSION, limits=limits)

    def _publish(self, head: bytes, data: bytes | memoryview) -> None:
        body = memoryview(bytes(data)) if data else None
        self.messages.append(frames.parse_stream(memoryview(head), body, DESCRIPTION.size))
        self.topics.append(head[:2])

    def write(self, seq: int, length: int = 512) -> None:
        """Publish a write of that seq."""
        data = bytes([seq]) * length
        self.publisher.add(seq, pack_record(frames.WRITE, length, 0), data)
