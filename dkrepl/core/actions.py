"""What the core asks of the outside world; the daemon carries these out in the order given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.protocol.frames import Ack
from dkrepl.core.protocol.messages import Message


@dataclass(frozen=True)
class Send:
    """Send a control message to a peer, by its name."""

    peer: str
    message: Message


@dataclass(frozen=True, kw_only=True)
class PublishMarker:
    """Publish a marker for one target: ``op`` with ``number``, at this place of the stream."""

    peer: str
    op: int
    number: int
    length: int = 0
    offset: int = 0


@dataclass(frozen=True)
class PublishGeneration:
    """Publish a GENERATION record, with this seq, to every target in the stream."""

    seq: int
    generation: str
    members: Mapping[str, bool] = field(default_factory=dict)  # those in sync, and whether they are synchronous


@dataclass(frozen=True)
class PublishFlush:
    """Publish a FLUSH record, with this seq, to every target in the stream."""

    seq: int


@dataclass(frozen=True)
class Commit:
    """Make things durable, in this order: the store, the bitmaps, the activity log, the metadata.

    When it has ended, tell the core, under this number, that it is durable or that it failed.
    """

    number: int
    sync_store: bool = False
    sync_bitmaps: bool = False
    active: tuple[int, frozenset[int]] | None = None  # (serial, extents)
    metadata: NodeMetadata | None = None


@dataclass(frozen=True)
class QuorumChanged:
    """Source: there are too few copies from here on, or enough again: see to the requests that wait."""


@dataclass(frozen=True)
class Event:
    """Report the administrator: a stable name, a level, and fields."""

    name: str
    level: str = "info"
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Connect:
    """Target: subscribe at the peer that is source to the topics of this place in its stream."""

    peer: str
    group: int
    slot: int


@dataclass(frozen=True)
class Disconnect:
    """Target: drop every subscription at a peer."""

    peer: str


@dataclass(frozen=True)
class SaveDiverged:
    """Target: copy the blocks that the bitmap for ``peer`` names to a file; answer with ``diverged_saved``."""

    peer: str


class SendAck(NamedTuple):  # one for nearly every message of the stream: a tuple is made fastest
    """Target: acknowledge to the source what is applied and what is durable."""

    peer: str
    ack: Ack


@dataclass(frozen=True)
class FlushStore:
    """Flush the store; answer with ``store_flushed(number)`` or ``store_flush_failed(number, why)``.

    A source asks for it at its end only; see ``last_flush_ended`` there.
    """

    number: int


@dataclass(frozen=True, kw_only=True)
class ZeroRange:
    """Target: make a range (bytes) read as zeroes, as a discard or keeping its space; answer with ``zeroed``.

    Nothing else is applied meanwhile. After ``Disconnect`` it may end early.
    """

    discard: bool
    offset: int
    length: int


@dataclass(frozen=True, kw_only=True)
class ReadDigest:
    """Target: take the checksum of a range as it is now; answer with ``digest_read``. Nothing is applied meanwhile."""

    epoch: int
    number: int
    offset: int
    length: int


@dataclass(frozen=True)
class Settle:
    """Target, at its end: make the store and the bitmaps durable and record that they are, with this metadata.

    Answer with ``settled``.
    """

    metadata: NodeMetadata


@dataclass(frozen=True)
class Ended:
    """The role has ended. ``error``: what could not be recorded; ``unsound``: this node must not be source."""

    error: str | None = None
    unsound: bool = False


SourceAction = (
    Send | PublishMarker | PublishGeneration | PublishFlush | Commit | QuorumChanged | FlushStore | Ended | Event
)
TargetAction = (
    Send
    | SendAck
    | Connect
    | Disconnect
    | Commit
    | FlushStore
    | ZeroRange
    | ReadDigest
    | SaveDiverged
    | Settle
    | Ended
    | Event
)
ArbitrationAction = Send | Commit | Event
