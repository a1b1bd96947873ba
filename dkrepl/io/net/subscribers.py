"""Who listens to the stream: one connection a peer, for dkrepl's topics only (R5).

ZeroMQ keeps every subscription that anybody asks for, and a queue for every connection. A peer needs one connection and
the topics of its group; a subscriber that asks for more is disconnected, and what ZeroMQ queued for it is dropped.
"""

from __future__ import annotations

import zmq

from dkrepl.io.net.access import Access
from dkrepl.io.net.connection import Connection, of_frame

LARGEST = 512
"""Bytes of a message to the stream's socket: a handshake takes 300, a subscription 40."""
_TOPIC = 2  # bytes, see core/protocol/frames.py
_AT_ONCE = 20_000  # subscriptions looked at in a row
_WAITING = 256  # messages of one connection
_NOWAIT = int(zmq.DONTWAIT)


class Subscribers:
    """The connections at an XPUB socket bound to ``port``."""

    def __init__(self, sock: zmq.Socket[bytes], access: Access, port: int) -> None:
        """To be made before the socket is bound."""
        sock.setsockopt(zmq.XPUB_VERBOSER, 1)  # otherwise only the first subscriber to a topic is seen
        sock.setsockopt(zmq.RCVHWM, _WAITING)
        self._sock = sock
        self._access = access
        self._port = port
        self._of: dict[str, Connection] = {}  # by whose key it came

    def tend(self) -> None:
        """Take what was asked for since the last time, and throw out who may not listen, or not any more."""
        for _ in range(_AT_ONCE):
            try:
                part = self._sock.recv(_NOWAIT, copy=False)
            except zmq.Again:
                break
            self._take(part)
        self._throw_out_strangers()

    def _take(self, part: zmq.Frame) -> None:
        wanted = part.bytes
        if wanted[:1] == b"\1":
            user, connection = self._access.user(part), of_frame(part)
            if len(wanted) != 1 + _TOPIC:
                self._access.refuse("foreign_topic", public_key=user or None)
                self._access.bar(user)
                connection.hang_up(self._port)
            elif user:
                before = self._of.get(user)
                if before is not None and before != connection:  # broken, or somebody piles them up
                    before.hang_up(self._port)
                self._of[user] = connection
        while part.more:
            part = self._sock.recv(_NOWAIT, copy=False)

    def _throw_out_strangers(self) -> None:
        """A key was taken out of the description: who came in by it has to go."""
        for user in [user for user in self._of if not self._access.knows(user)]:
            self._access.refuse("key_removed", public_key=user)
            self._of.pop(user).hang_up(self._port)
