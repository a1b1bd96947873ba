"""What a target knows of the source that it follows, or that refused it, and of its own entry into the stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from dkrepl.core.protocol.messages import Alive, Welcome
from dkrepl.core.stall import Stall


@dataclass
class Entry:
    """One entry into the stream of a source, from the Welcome on: valid while Connecting and in the stream.

    ``source_epoch``: the source's own last epoch, of the time when it was a target.
    """

    session: int
    epoch: int
    source_epoch: int
    group: int
    slot: int
    subscribed: bool = False
    dirty_blocks_sent: int = 0  # that the bitmap for the source names, and that the source is told of
    sending_bitmap: bool = False  # not all of that has been sent yet

    @classmethod
    def of(cls, welcome: Welcome) -> Entry:
        """Return the entry that a Welcome begins."""
        return cls(welcome.session, welcome.epoch, welcome.node_epoch, welcome.group, welcome.slot)


@dataclass
class Position:
    """How far it is in the stream: valid while Resyncing and InSync."""

    applied: int  # seq of the newest live write applied
    resync_applied: int = 0  # number of the newest message of the resync applied
    synced: str | None = None
    """The generation that the SYNCED marker named, while what it means is being recorded; "" is none yet."""


class Place(NamedTuple):
    """A place in the stream: seq of the newest live write, number of the newest message of the resync."""

    position: Position
    seq: int
    resync: int


class SourceView:
    """Remembers what a target last heard of its source, and how long ago.

    ``name`` is None while no source is known; ``peer_timeout`` and ``store_timeout`` in seconds.
    """

    def __init__(self, peer_timeout: float, store_timeout: float) -> None:
        self.name: str | None = None
        self.heard = 0.0  # when something came from it, monotonic seconds
        self.refusal = ""  # the code of its last refusal, or of ours
        self.stall = Stall(store_timeout)
        self.resync: Alive | None = None  # what it last said of the resync
        self.advisory_differs = False  # its description differs in something that need not be equal
        self._timeout = peer_timeout

    def silent(self, now: float) -> bool:
        """Whether nothing came from it for so long that it counts as gone."""
        return now - self.heard > self._timeout

    def hears(self, now: float) -> str:
        """Return its name if it was heard just now: a source that lives is heard far more often than that."""
        return self.name if self.name and now - self.heard < self._timeout / 2 else ""

    def found(self, name: str, now: float) -> None:
        """A source has spoken, and this node follows it, or is refused by it."""
        if name != self.name:
            self.stall.forget()
        self.name, self.heard = name, now

    def forget(self) -> None:
        """Nobody is known as source any more."""
        self.name = None
        self.stall.forget()
