"""Beta, a target that alpha lets into its stream: what it is told, what it does, and the messages of a stream."""

from __future__ import annotations

from typing import Any

from dkrepl.config.description import Description, parse
from dkrepl.config.example import render_example
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.actions import Commit, Event, FlushStore, Send
from dkrepl.core.protocol import frames
from dkrepl.core.target.target import Target
from tests.unit.greetings import welcome
from tests.unit.records import MemoryStore, bitmap, record

DESCRIPTION = parse(render_example(), "r0", {})
SESSION, EPOCH = 7, 5


def message(
    kind: int, first: int, position: int, *records: tuple[int, int, int], data: bytes = b"", **fields: Any
) -> Any:
    """Return a checked message of the stream; ``fields`` are set otherwise."""
    epoch = 0 if kind == frames.LIVE else EPOCH
    made = frames.StreamMessage(kind, epoch, SESSION, first, position, list(records), memoryview(data))
    return made._replace(**fields)


def marker(op: int, first: int = 0, position: int = 0, length: int = 0, offset: int = 0, **fields: Any) -> Any:
    """Return a marker for this epoch."""
    return message(frames.MARKER, first, position, (op, length, offset), **fields)


def write(seq: int, offset: int = 0, length: int = 4096) -> Any:
    """Return the write of that seq, as it comes in the stream."""
    return message(frames.LIVE, seq, seq, (frames.WRITE, length, offset), data=bytes(length))


def flush(seq: int) -> Any:
    """Return the flush of that seq."""
    return message(frames.LIVE, seq, seq, (frames.FLUSH, 0, 0))


def copied(number: int, position: int = 0) -> Any:
    """Return the resync's message of that number."""
    return message(frames.RESYNC, number, position, (frames.WRITE, 4096, 0), data=bytes(4096))


class Beta:
    """``done``: what it asked for, the newest last. Commits and flushes are carried out, unless ``holds`` is set."""

    def __init__(self, description: Description = DESCRIPTION, limits: Limits = DEFAULT, **facts: Any) -> None:
        self.description = description
        shape = {"size": description.size, "block": description.block, "extent": description.extent}
        fields = {"node": "beta", "role": "target", "generation": "g1"} | shape | facts
        self.store = MemoryStore()
        bitmaps = {name: bitmap(description) for name in ("alpha", "gamma")}
        self.core = Target(description, "beta", record(**fields), bitmaps, "x", store=self.store, limits=limits)
        self.now = 1.0
        self.holds = False
        self.stalled = 0.0
        self.done: list[Any] = []

    def perform(self) -> list[Any]:
        """Carry out what it asks for; return that."""
        new: list[Any] = []
        while self.core.actions:
            action = self.core.actions.pop(0)
            new.append(action)
            if isinstance(action, Commit) and not self.holds:
                self.core.committed(action.number, self.now)
            elif isinstance(action, FlushStore) and not self.holds:
                self.core.store_flushed(action.number, self.now)
        self.done += new
        return new

    def say(self, message: Any, peer: str = "alpha") -> list[Any]:
        """Let ``peer`` say something to it."""
        self.core.on_message(peer, message, self.now)
        return self.perform()

    def stream(self, message: Any) -> bool:
        """Let a message of the stream reach it; return whether it was applied."""
        assert not self.core.blocked
        before = self.core.applied, self.core.resync_applied
        self.core.take(message, self.now)
        self.perform()
        return before != (self.core.applied, self.core.resync_applied)

    def enter(self, to_copy: int = 0, position: int = 0, **fields: Any) -> None:
        """Let alpha welcome it, and begin its stream; ``fields``: of the Welcome."""
        self.say(welcome(self.description, epoch=EPOCH, **fields))
        self.stream(marker(frames.START, to_copy, position))

    def get_in_sync(self) -> None:
        """Let it enter, with nothing to copy."""
        self.enter()
        self.stream(marker(frames.SYNCED, 1))
        assert self.core.state == "InSync"

    def let_pass(self, seconds: float) -> list[Any]:
        """Let time pass; return what it does."""
        self.now += seconds
        self.core.tick(self.now, stalled=self.stalled)
        self.core.step(self.now)
        return self.perform()

    def sent(self, kind: type, peer: str = "alpha") -> list[Any]:
        """Return the control messages of that kind that it has sent to ``peer``."""
        messages = [action.message for action in self.done if isinstance(action, Send) and action.peer == peer]
        return [message for message in messages if isinstance(message, kind)]

    def asked_for(self, kind: type) -> list[Any]:
        """Return the actions of that kind that it has asked for."""
        return [action for action in self.done if isinstance(action, kind)]

    def reported(self) -> list[str]:
        """Return the names of the events that it has reported."""
        return [action.name for action in self.done if isinstance(action, Event)]
