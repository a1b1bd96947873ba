"""The socket of a node that is not serving as source: a ROUTER at its control port.

It belongs to the one thread that made it.
"""

from __future__ import annotations

import contextlib
from typing import Any

import zmq

from dkrepl.config.description import Description, Node
from dkrepl.core.protocol import frames
from dkrepl.io.net import options
from dkrepl.io.net.access import Access
from dkrepl.io.net.addresses import bind, numeric
from dkrepl.io.net.nonblocking import NOWAIT, descriptor, readable
from dkrepl.io.net.sender import take_rest
from dkrepl.io.net.zap import ZapAuthenticator


class ControlPortSocket:
    """The control port of a node that is not serving as source."""

    def __init__(self, description: Description, node: Node, access: Access) -> None:
        """Bind the port. Raises ``HostError``."""
        self._context: zmq.Context[Any] = zmq.Context()
        self._access = access
        self._port = node.control_port
        authenticator = ZapAuthenticator(self._context, access)
        self._socket = self._context.socket(zmq.ROUTER)
        try:
            options.common(self._socket, frames.MAX_CONTROL, description.peer_timeout)
            access.serve(self._socket)
            authenticator.watch(self._socket, "control")
            # As at the source: a peer that comes back while its old connection still seems alive takes its place.
            self._socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
            options.control_queues(self._socket)
            bind(self._socket, numeric(node.address), node.control_port, "control_port")
        except BaseException:
            authenticator.start()  # it takes its sockets with it
            self.close()
            raise
        authenticator.start()
        self.fd = descriptor(self._socket)

    def receive(self) -> tuple[bytes, bytes] | None:
        """Return (identity, frame) of the next control frame, or None if none waits; both empty as at the source."""
        if not readable(self._socket):
            return None
        return take_rest(self._socket, self._socket.recv(NOWAIT), self._access, self._port)

    def send(self, identity: bytes, frame: bytes) -> None:
        """Send a control frame; to one who is gone, or does not read, it is dropped."""
        with contextlib.suppress(zmq.ZMQError):
            self._socket.send_multipart((identity, frame), NOWAIT)

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()
        self._context.term()
