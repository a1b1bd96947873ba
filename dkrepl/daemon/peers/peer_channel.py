"""The connections to the peers' control ports: what this node asks of them, and what they say.

Who waits for answers, such as a promotion, an arbitration, a voter or the look-out for another source, listens here.
"""

from __future__ import annotations

from collections.abc import Callable

from dkrepl.core.protocol import messages
from dkrepl.core.protocol.frames import Ack, pack_ack
from dkrepl.core.protocol.sender import check_sender
from dkrepl.daemon.connections import TargetSockets
from dkrepl.daemon.outside import Loop
from dkrepl.errors import ProtocolError

Listener = Callable[[messages.Answer], None]


class PeerChannel:
    """``refused``: called with a peer and why its frame makes no sense; ``other``: with a message that is no answer."""

    def __init__(
        self,
        sockets: TargetSockets,
        loop: Loop,
        *,
        refused: Callable[[str, ProtocolError], None] = lambda _, __: None,
        other: Callable[[str, messages.AnyMessage], None] = lambda _, __: None,
    ) -> None:
        self.sockets = sockets
        self.descriptions: dict[str, messages.Described] = {}
        """What the peers said of their descriptions, by name."""
        self._loop = loop
        self._refused = refused
        self._other = other
        self._listeners: list[Listener] = []
        self._signalled: Callable[[], None] | None = None

    def listen(self, listener: Listener) -> None:
        """Call ``listener`` with every answer from now on; that it is of the peer that it names has been checked."""
        self._listeners.append(listener)

    def watch(self, signalled: Callable[[], None]) -> None:
        """Have the loop call ``signalled`` when something may have come."""
        self._signalled = signalled
        for fd in self.sockets.fds:
            self._loop.watch(fd, signalled)

    def renew_keys(self) -> None:
        """The peers' keys have changed."""
        self._ignore()
        self.sockets.renew()
        if self._signalled is not None:
            self.watch(self._signalled)

    def send(self, peer: str, message: messages.Message) -> None:
        """Send a message; without a connection it is dropped: a node that waits for an answer asks again."""
        self.sockets.send(peer, messages.encode(message))

    def acknowledge(self, peer: str, ack: Ack) -> None:
        """Tell the source what is applied here, and what is durable."""
        self.sockets.send(peer, pack_ack(ack))

    def receive(self) -> None:
        """Take everything that has come, and hand it to those who wait for it."""
        for peer in self.sockets.control:
            while (frame := self.sockets.receive(peer)) is not None:
                try:
                    message = messages.decode(frame)
                except ProtocolError as error:
                    self._refused(peer, error)
                    continue
                self._take(peer, message)

    def _take(self, peer: str, message: messages.AnyMessage | Ack) -> None:
        match message:
            case messages.Described():
                self.descriptions[peer] = message
            case messages.Answer():
                try:
                    check_sender(message, peer)
                except ProtocolError:
                    return  # its description gives it another name than ours does: dkrepl config diff shows that
                for listener in self._listeners:
                    listener(message)
            case Ack():
                return
            case _:
                self._other(peer, message)

    def close(self) -> None:
        """Give the sockets back."""
        self._ignore()
        self.sockets.close()

    def _ignore(self) -> None:
        for fd in self.sockets.fds:
            self._loop.ignore(fd)
