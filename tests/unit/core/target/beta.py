"""Beta, a target that alpha lets into its stream: what it is told, what it does, and the messages of a stream."""

from __future__ import annotations

from typing import Any

from dkrepl.config.description import Description, parse
from dkrepl.config.example import render_example
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.actions import Commit
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.messages import AnyMessage
from dkrepl.core.states import TargetState
from dkrepl.core.target.target import Target
from tests.unit.core.driven import Action, Driven, MessageT
from tests.unit.greetings import welcome
from tests.unit.records import MemoryStore, bitmap, record

DESCRIPTION = parse(render_example(), "r0", {})
SESSION, EPOCH = 7, 5


def message(
    kind: int, first: int, position: int, *records: tuple[int, int, int], data: bytes = b"", **fields: Any
) -> frames.StreamMessage:
    """Return a checked message of the stream; ``fields`` are set otherwise."""
    epoch = 0 if kind == frames.LIVE else EPOCH
    made = frames.StreamMessage(kind, epoch, SESSION, first, position, list(records), memoryview(data))
    return made._replace(**fields)


def marker(
    op: int, first: int = 0, position: int = 0, length: int = 0, offset: int = 0, **fields: Any
) -> frames.StreamMessage:
    """Return a marker for this epoch."""
    return message(frames.MARKER, first, position, (op, length, offset), **fields)


def write(seq: int, offset: int = 0, length: int = 4096) -> frames.StreamMessage:
    """Return the write of that seq, as it comes in the stream."""
    return message(frames.LIVE, seq, seq, (frames.WRITE, length, offset), data=bytes(length))


def flush(seq: int) -> frames.StreamMessage:
    """Return the flush of that seq."""
    return message(frames.LIVE, seq, seq, (frames.FLUSH, 0, 0))


def copied(number: int, position: int = 0) -> frames.StreamMessage:
    """Return the resync's message of that number."""
    return message(frames.RESYNC, number, position, (frames.WRITE, 4096, 0), data=bytes(4096))


class Beta(Driven[Target]):
    """Beta, which has the data of generation g1; ``facts``: of its record, if otherwise."""

    def __init__(self, description: Description = DESCRIPTION, limits: Limits = DEFAULT, **facts: Any) -> None:
        shape = {"size": description.size, "block": description.block, "extent": description.extent}
        fields = {"node": "beta", "role": "target", "generation": "g1"} | shape | facts
        self.store = MemoryStore()
        bitmaps = {name: bitmap(description, limits) for name in ("alpha", "gamma")}
        super().__init__(
            Target(
                description, "beta", record(**fields), bitmaps=bitmaps, software="x", store=self.store, limits=limits
            )
        )
        self.description = description

    def committed(self, number: int) -> None:
        """Let a commit end well."""
        self.core.committed(number, self.now)

    def flush(self, number: int) -> None:
        """Flush its store."""
        self.core.store_flushed(number, self.now)

    def say(self, message: AnyMessage, peer: str = "alpha") -> list[Action]:
        """Let ``peer`` say something to it; return what it does."""
        return super().say(message, peer)

    def sent(self, kind: type[MessageT], peer: str = "alpha") -> list[MessageT]:
        """Return the control messages of that kind that it has sent to ``peer``."""
        return super().sent(kind, peer)

    def state(self) -> TargetState:
        """Return its state as it is now; mypy takes an attribute that a test has compared once as unchanged."""
        return self.core.state

    def recorded(self) -> list[NodeMetadata]:
        """Return the records that it has asked to be made durable."""
        records = [commit.metadata for commit in self.asked_for(Commit)]
        assert None not in records, "every commit of a target has a record"
        return [record for record in records if record is not None]

    def stream(self, message: frames.StreamMessage) -> bool:
        """Let a message of the stream reach it; return whether it was applied."""
        assert not self.core.stream.blocked
        before = self.core.following.applied, self.core.following.resync_applied
        self.core.take(message, self.now)
        self.perform()
        return before != (self.core.following.applied, self.core.following.resync_applied)

    def enter(self, to_copy: int = 0, position: int = 0, **fields: Any) -> None:
        """Let alpha welcome it, and begin its stream; ``fields``: of the Welcome."""
        self.say(welcome(self.description, epoch=EPOCH, **fields))
        self.stream(marker(frames.START, to_copy, position))

    def get_in_sync(self) -> None:
        """Let it enter, with nothing to copy."""
        self.enter()
        self.stream(marker(frames.SYNCED, 1))
        assert self.core.state == "InSync"

    def let_pass(self, seconds: float) -> list[Action]:
        """Let time pass; return what it does."""
        self.now += seconds
        self.core.tick(self.now, stalled=self.stalled)
        self.core.step(self.now)
        return self.perform()
