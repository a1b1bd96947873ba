"""The control connections of a source: by which of them each target follows, what comes in, and what goes out.

A connection has an identity, and proves the name of its node by its key. A node has several of them: its target, its
stall watch, a promotion. The connection of its Hello is the *link* of the target: acks count only there. Whatever else
a node may ask is answered where it came from.
"""

from __future__ import annotations

from collections.abc import Callable

from dkrepl.core.election.node_identity import RoleReport
from dkrepl.core.protocol import frames, messages
from dkrepl.core.protocol.sender import check_sender, name_of
from dkrepl.core.source.source import Source
from dkrepl.daemon.connections import SourceSockets
from dkrepl.daemon.peers.answering import Answering
from dkrepl.daemon.source.digests import Digests
from dkrepl.daemon.surroundings import Surroundings
from dkrepl.errors import ProtocolError


class ControlLinks:
    """Takes and sends control frames. ``perform()`` carries out the core's actions."""

    def __init__(
        self,
        here: Surroundings,
        *,
        source: Source,
        sockets: SourceSockets,
        digests: Digests,
        perform: Callable[[], None],
    ) -> None:
        self.frames_refused = 0
        self._here = here
        self._node = here.node.name
        self._now = here.outside.clock.monotonic
        self._source = source
        self._on_ack = source.acks.on_ack
        self._sockets = sockets
        self._digests = digests
        self._perform = perform
        self._answering = Answering(here.description, self._node, self._report)
        self._links: dict[str, bytes] = {}
        self._guest: tuple[str, bytes] = ("", b"")  # who spoke last, and where; it may have no link, as when refused
        self._bad_frame_told = 0.0

    def take(self, identity: bytes, frame: bytes) -> None:
        """Take a control frame that came by the connection ``identity``."""
        name = name_of(identity)
        now = self._now()
        try:
            message = messages.decode(frame)
            if isinstance(message, frames.Ack):  # first, for most frames are acks
                self._take_ack(name, identity, message, now)
                return
            if not isinstance(message, messages.Hello):  # which gets an answer even then: UnknownNode
                check_sender(message, name)
        except ProtocolError as error:
            self._refused(name, error, now)
            return
        if self._take_of_any(name, identity, message, now):
            return
        self._guest = (name, identity)
        link = self._links.get(name)
        if isinstance(message, messages.Hello) and link is not None and link != identity:
            known = self._source.views[name].state != "Disconnected"
            sign_of_life = messages.encode(messages.Alive(epoch=0, session=self._source.session))
            if known and self._sockets.send(link, sign_of_life):
                text = f"another process is connected as {name}; stop one of them"
                refusal = messages.Refuse("DuplicateName", text, self._node)
                self._sockets.send(identity, messages.encode(refusal))
                return
            self._disconnected(name, "it was restarted", now)
            link = None
        if link is None and name in self._source.views:
            link = self._links[name] = identity
        if link == identity or isinstance(message, messages.Hello):
            if isinstance(message, messages.Digest):
                self._digests.came(name, message)
            else:
                self._source.on_message(name, message, now)
        self._perform()

    def _take_ack(self, name: str, identity: bytes, ack: frames.Ack, now: float) -> None:
        link = self._links.get(name)
        if link is None and name in self._source.views:
            link = self._links[name] = identity
        if link == identity:
            self._on_ack(name, ack, now)
            self._perform()

    def send(self, peer: str, message: messages.Message) -> None:
        """Send a control message by the link of ``peer``; if that is broken, the target counts as disconnected."""
        identity = self._links.get(peer)
        if identity is None and self._guest[0] == peer:
            identity = self._guest[1]
        if identity is None:
            return
        if not self._sockets.send(identity, messages.encode(message)):
            self._disconnected(peer, "its connection is gone", self._now())

    def _take_of_any(self, name: str, identity: bytes, message: messages.AnyMessage, now: float) -> bool:
        """Take what may come by any connection of a node, not only by its target's; return whether it was that."""
        if (answer := self._answering.answer(message)) is not None:
            self._sockets.send(identity, answer)
            return True
        if isinstance(message, messages.Stalled):
            self._source.on_message(name, message, now)
            self._perform()
            return True
        return False

    def _report(self, ask: messages.Ask) -> RoleReport:
        view = self._source.views.get(ask.node)
        own_bytes = view.bitmap.count() * self._here.description.block if view is not None else 0
        return RoleReport(role="source", metadata=self._source.metadata, own_bytes=own_bytes)

    def _refused(self, name: str, error: ProtocolError, now: float) -> None:
        self.frames_refused += 1
        if now - self._bad_frame_told > self._here.limits.complaint_seconds:
            self._bad_frame_told = now
            fields: dict[str, object] = {"peer": name, "reason": str(error), "count": self.frames_refused}
            self._here.events.report("frame_refused", "warning", fields)

    def _disconnected(self, peer: str, why: str, now: float) -> None:
        self._links.pop(peer, None)
        self._source.disconnected(peer, why, now)
