"""The sockets of a node, as protocols: of a source, of a target or one that asks, and of one that is only asked.

They belong to the loop. None of them blocks, and each bounds what it keeps (R5). A descriptor becomes readable when
something may have arrived; it may say so once too often, or once too little after a call, so the loop looks itself too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

Buffer = bytes | memoryview


class SourceSockets(Protocol):
    """The source's ends of the stream and of the control channel."""

    unasked: bool
    """Whether frames may wait of which ``fd`` says nothing any more."""

    @property
    def fd(self) -> int:
        """The descriptor that tells of control frames."""

    def receive(self) -> tuple[bytes, bytes] | None:
        """Return (identity, frame) of the next control frame, both empty for one that was refused; None: none waits."""

    def send(self, identity: bytes, frame: bytes) -> bool:
        """Send a control frame; return whether the peer is still connected. A full queue drops the frame."""

    def publish(self, head: bytes, data: Buffer) -> None:
        """Publish a stream message; large data is sent from where it lies, so it must not change any more."""

    def tend(self) -> None:
        """Look after the subscribers, now and then."""

    def close(self) -> None:
        """Give the ports back."""


class ControlPortSocket(Protocol):
    """The control port of a node that is not serving as source."""

    @property
    def fd(self) -> int:
        """The descriptor that tells of frames."""

    def receive(self) -> tuple[bytes, bytes] | None:
        """Return (identity, frame) of the next frame, both empty for one that was refused; None: none waits."""

    def send(self, identity: bytes, frame: bytes) -> object:
        """Send a frame; to one who is gone, or does not read, it is dropped."""

    def close(self) -> None:
        """Give the port back."""


class TargetSockets(Protocol):
    """A control socket to each peer, and one subscription at the source."""

    @property
    def control(self) -> Iterable[str]:
        """The peers' names."""

    @property
    def fds(self) -> Sequence[int]:
        """The descriptors that tell of control frames."""

    def renew(self) -> None:
        """Connect by the peers' keys as they are now."""

    def send(self, peer: str, frame: bytes) -> None:
        """Send a control frame; without a connection it is dropped: a node that waits for an answer asks again."""

    def receive(self, peer: str) -> bytes | None:
        """Return the next control frame from ``peer``, or None if none waits."""

    def subscribe(self, peer: str, topics: Iterable[bytes]) -> list[int]:
        """Subscribe at ``peer`` anew; return the descriptors (of the stream, of the loss of its connection)."""

    def unsubscribe(self) -> None:
        """Drop the subscription and everything of it that waits."""

    def broken(self) -> bool:
        """Whether the stream's connection was lost since the last call: then something may be missing."""

    def next_message(self) -> tuple[Buffer, memoryview | None] | None:
        """Return (head frame, data frame or None) of the next stream message, or None if none waits."""

    def close(self) -> None:
        """Close every socket."""
