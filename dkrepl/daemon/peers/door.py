"""The control port of a node that is not serving as source: it answers who it is, and tells its heir to be source."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from dkrepl.config.description import Description
from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.config.terms import advisory, required
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.lineage.peer_records import record_of
from dkrepl.core.protocol import messages
from dkrepl.daemon.connections import DoorSocket
from dkrepl.errors import ProtocolError


def node_identity(
    metadata: NodeMetadata,
    *,
    role: str,
    asker: str,
    own_bytes: int,
    copy: messages.Copy | None,
    description: Description,
    vote: str = "",
) -> messages.Answer:
    """Return the answer to ``Ask``; ``role`` is "source", "target" or "arbitrating".

    ``own_bytes``: written here, and perhaps not at the node that asks. ``copy``: None of a source. ``description``: the
    one that this node uses. ``vote``: the node that it votes for.
    """
    return messages.Answer(
        node=metadata.node,
        mirror=metadata.mirror,
        mirror_id=metadata.mirror_id,
        role=role,
        generation=metadata.generation,
        history=list(metadata.history),
        base=list(record_of(metadata, asker).base),
        since=metadata.generation_at,
        own_bytes=own_bytes,
        copy=copy,
        terms=required(description),
        agreed=metadata.agreed,
        store_failed=metadata.store_failed,
        split_brain=sorted(name for name, record in metadata.peers.items() if record.split_brain),
        former=list(metadata.former),
        heir=metadata.heir,
        vote=vote,
        ballot=metadata.ballot,
        promised=list(metadata.promised),
        stood=metadata.stood,
        yields_to=metadata.yields_to,
    )


def described(description: Description, node: str) -> messages.Described:
    """Return the answer to ``Describe``."""
    return messages.Described(node, description.name, required(description), advisory(description))


def _name_of(identity: bytes) -> str:
    return identity.partition(b"/")[0].decode("utf-8", "replace")


class Door:
    """Answers questions at the node's control port; ``metadata`` and ``copy`` return their present values.

    ``stalled`` is called with what a peer says of its store; ``vote`` with a question, and gives the node that this one
    votes for.
    """

    def __init__(
        self,
        socket: DoorSocket,
        description: Description,
        metadata: Callable[[], NodeMetadata],
        role: str,
        copy: Callable[[], messages.Copy],
        stalled: Callable[[messages.Stalled], None] = lambda _: None,
        vote: Callable[[messages.Ask], str] = lambda _: "",
        *,
        limits: Limits = DEFAULT,
    ) -> None:
        self._a_round = limits.door_frames_a_round
        self._socket = socket
        self._description = description
        self._metadata = metadata
        self._role = role
        self._copy = copy
        self._stalled = stalled
        self._vote = vote
        self.fd = self._socket.fd
        self.frames_refused = 0

    def answer(self) -> None:
        """Answer the questions that wait; whatever else comes is dropped."""
        for _ in range(self._a_round):
            received = self._socket.receive()
            if received is None:
                return
            identity, frame = received
            if not identity:
                continue
            try:
                message = messages.decode(frame)
            except ProtocolError:
                self.frames_refused += 1
                continue
            asks = messages.Ask | messages.Hello | messages.Describe | messages.Stalled
            if isinstance(message, asks) and message.node != _name_of(identity):
                self.frames_refused += 1  # the name in the identity is proven, the one in the message is not
                continue
            if isinstance(message, messages.Stalled):
                self._stalled(message)
                continue
            vote = self._vote(message) if isinstance(message, messages.Ask) else ""  # before its copy is looked at
            metadata = self._metadata()
            if isinstance(message, messages.Ask):
                answer = node_identity(
                    metadata,
                    role=self._role,
                    asker=message.node,
                    own_bytes=0,
                    copy=self._copy(),
                    description=self._description,
                    vote=vote,
                )
                answer = msgspec.structs.replace(answer, number=message.number)
                self._socket.send(identity, messages.encode(answer))
            elif isinstance(message, messages.Describe):
                self._socket.send(identity, messages.encode(described(self._description, metadata.node)))
            elif isinstance(message, messages.Hello) and metadata.heir and message.node == metadata.heir:
                heir = messages.Handover(metadata.node, metadata.heir_epoch, metadata.generation)
                self._socket.send(identity, messages.encode(heir))

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()
