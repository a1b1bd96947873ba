"""The control port of a node that does not serve as source: it answers who it is, and has the next source take over."""

from __future__ import annotations

from collections.abc import Callable

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.lineage.metadata import NodeMetadata
from dkrepl.core.protocol import messages
from dkrepl.core.protocol.sender import check_sender, name_of
from dkrepl.daemon.connections import ControlPortSocket
from dkrepl.daemon.peers.answering import Answering
from dkrepl.errors import ProtocolError


class ControlPort:
    """Answers questions at the node's control port; ``metadata`` returns its present record.

    ``stalled`` is called with what a peer says of its store.
    """

    def __init__(
        self,
        socket: ControlPortSocket,
        answering: Answering,
        metadata: Callable[[], NodeMetadata],
        stalled: Callable[[messages.Stalled], None] = lambda _: None,
        *,
        limits: Limits = DEFAULT,
    ) -> None:
        self._a_round = limits.control_port_frames_a_round
        self._socket = socket
        self._answering = answering
        self._metadata = metadata
        self._stalled = stalled
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
                check_sender(message, name_of(identity))
            except ProtocolError:
                self.frames_refused += 1
                continue
            if (answer := self._answering.answer(message)) is not None:
                self._socket.send(identity, answer)
            elif isinstance(message, messages.Stalled):
                self._stalled(message)
            elif isinstance(message, messages.Hello):
                self._greeted(identity, message)

    def _greeted(self, identity: bytes, hello: messages.Hello) -> None:
        metadata = self._metadata()
        if metadata.next_source and hello.node == metadata.next_source:
            handover = messages.Handover(metadata.node, metadata.next_source_epoch, metadata.generation)
            self._socket.send(identity, messages.encode(handover))

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()
